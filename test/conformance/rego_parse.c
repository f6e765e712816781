/*
 * What the parser says about wrong text, word for word and place for place.
 *
 *     rego_parse FILE [-v] [--floor FILE]
 *
 * FILE holds rows of `version`, `source` and `errors`, each error [row, col, message]: inputs of Open Policy
 * Agent's own tables of parser errors, in modules, with what its parser says. All errors must come, in order.
 * test/interop/authz-parse.sh makes the comparison against the program itself.
 */
#include "authz/rego/syntax/ast.h"
#include "suite.h"

static bool verbose;

static enum rego_version version_of(struct str s)
{
    return str_is(s, "v0") ? REGO_V0 : str_is(s, "v2") ? REGO_V2 : REGO_V1;
}

static bool same_error(struct val want, const struct rego_error *got)
{
    int64_t row = 0, col = 0;
    return val_to_i64(val_nth(want, 0), &row) && val_to_i64(val_nth(want, 1), &col) &&
           row == (int64_t)got->loc.row && col == (int64_t)got->loc.col &&
           str_eq(val_text(val_nth(want, 2)), got->message);
}

static void show(struct val c, const struct rego_errors *got)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_errors_write(&b, got);
    printf("FAIL %.*s\n%.*s\ngot %.*s\nwant ", STR_FMT(suite_text(c, "id")),
           STR_FMT(suite_text(c, "source")), STR_FMT(buf_str(&b)));
    buf_clear(&b);
    val_to_json(&b, val_get_str(c, "errors"), false);
    printf("%.*s\n", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static bool holds(struct arena *a, struct val c)
{
    struct rego_errors got = {.a = a};
    struct parse_options o = {.version = version_of(suite_text(c, "version"))};
    struct val want = val_get_str(c, "errors");
    struct module *m;
    bool ok = !rego_parse_module(a, STR_EMPTY, suite_text(c, "source"), &o, &got, &m) &&
              got.n == val_len(want);
    for (uint32_t i = 0; ok && i < val_len(want); i++) {
        ok = same_error(val_nth(want, i), &got.v[i]);
    }
    if (!ok && verbose) {
        show(c, &got);
    }
    return ok;
}

int main(int argc, char **argv)
{
    const char *floor_file = NULL;
    struct suite_count n = {0};
    struct arena a;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--floor") == 0 && i + 1 < argc) {
            floor_file = argv[++i];
        }
    }
    arena_init(&a, 64 << 20);
    struct val cases = suite_cases(&a, argc > 1 ? argv[1] : "");
    for (uint32_t i = 0; !val_undef(cases) && i < val_len(cases); i++) {
        struct arena own;
        arena_init(&own, 64 << 20);
        n.total++;
        n.passed += holds(&own, val_nth(cases, i));
        arena_release(&own);
    }
    arena_release(&a);
    return suite_finish(n, floor_file);
}
