/*
 * The formatter's pairs: input and the bytes that must come out.
 *
 *     rego_fmt DIR [-v] [-i ID] [--floor FILE]
 *
 * DIR holds v0.json, v1.json, v2.json, v0_to_v1.json, v0_to_v2.json, v1_to_v2.json. A pair holds when the
 * text comes out byte for byte, parses, and formats to itself; where expected_no_keywords_in_refs is given,
 * also without that capability. Inputs with expected_error or expected_error_prefix must be refused so.
 */
#include "authz/rego/syntax/format.h"
#include "suite.h"

static bool verbose;
static const char *only;

struct group {
    const char *name;
    enum rego_version from, to;
};

static const struct group groups[] = {
    {"v0", REGO_V0, REGO_V0},       {"v1", REGO_V1, REGO_V1},       {"v2", REGO_V2, REGO_V2},
    {"v0_to_v1", REGO_V0, REGO_V1}, {"v0_to_v2", REGO_V0, REGO_V2}, {"v1_to_v2", REGO_V1, REGO_V2},
};

static bool wrong(struct val c, const char *what, struct str got)
{
    if (verbose) {
        printf("FAIL %.*s: %s\n%.*s\n", STR_FMT(suite_text(c, "id")), what, STR_FMT(got));
    }
    return false;
}

/* The names of files as the suite has them in its error texts. */
static struct str file_of(struct arena *a, struct str id)
{
    if (str_ends(id, S(".broken"))) {
        return arena_printf(a, "testfiles/%.*s.rego.error", STR_FMT(str_sub(id, 0, id.n - 7)));
    }
    return arena_printf(a, "testfiles/%.*s.rego", STR_FMT(id));
}

static struct str error_text(struct arena *a, const struct rego_errors *e)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_errors_write(&b, e);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* The formatted text, or false with the errors' text. */
static bool format_text(struct arena *a, struct str file, struct str in,
                        const struct format_options *o, struct str *out)
{
    struct rego_errors errors = {.a = a};
    struct buf b;
    buf_init(&b, 1 << 22);
    bool ok = rego_format(a, file, in, o, &errors, &b);
    *out = ok ? arena_str(a, buf_str(&b)) : error_text(a, &errors);
    buf_release(&b);
    return ok;
}

static bool gives(struct arena *a, struct val c, struct format_options o, struct str want)
{
    struct str file = file_of(a, suite_text(c, "id")), got, again;
    if (!format_text(a, file, suite_text(c, "input"), &o, &got)) {
        return wrong(c, "refused", got);
    }
    if (!str_eq(got, want)) {
        return wrong(c, "other text", got);
    }
    struct rego_errors errors = {.a = a};
    struct parse_options po = {.version = o.to};
    struct module *m;
    if (!rego_parse_module(a, file, got, &po, &errors, &m)) {
        return wrong(c, "the result does not parse", error_text(a, &errors));
    }
    o.from = o.to;
    if (!format_text(a, file, got, &o, &again) || !str_eq(got, again)) {
        return wrong(c, "the result is formatted to something else", again);
    }
    return true;
}

static bool refused(struct arena *a, struct val c, struct format_options o)
{
    struct str exact = suite_text(c, "expected_error"), got;
    struct str prefix = suite_text(c, "expected_error_prefix");
    if (format_text(a, file_of(a, suite_text(c, "id")), suite_text(c, "input"), &o, &got)) {
        return wrong(c, "not refused", got);
    }
    bool ok = exact.n > 0 ? str_eq(got, exact) : str_starts(got, prefix);
    return ok || wrong(c, "other error", got);
}

static bool holds(struct arena *a, struct val c, const struct group *g)
{
    struct format_options o = {.from = g->from, .to = g->to};
    struct val plain = val_get_str(c, "expected_no_keywords_in_refs");
    if (val_undef(val_get_str(c, "expected"))) {
        return refused(a, c, o);
    }
    bool ok = gives(a, c, o, suite_text(c, "expected"));
    o.no_keywords_in_refs = true;
    return ok && (val_undef(plain) || gives(a, c, o, val_text(plain)));
}

static struct suite_count run(const char *dir, const struct group *g)
{
    struct arena a;
    struct suite_count n = {0};
    arena_init(&a, 256 << 20);
    struct val cases = suite_cases(&a, arena_printf(&a, "%s/%s.json", dir, g->name).p);
    for (uint32_t i = 0; !val_undef(cases) && i < val_len(cases); i++) {
        struct val c = val_nth(cases, i);
        if (only != NULL && str_find(suite_text(c, "id"), str_of(only)) == STR_NPOS) {
            continue;
        }
        struct arena own;
        arena_init(&own, 64 << 20);
        n.total++;
        n.passed += holds(&own, c, g);
        arena_release(&own);
    }
    arena_release(&a);
    return n;
}

int main(int argc, char **argv)
{
    const char *dir = argc > 1 ? argv[1] : "", *floor_file = NULL;
    struct suite_count all = {0};
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "-i") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--floor") == 0 && i + 1 < argc) {
            floor_file = argv[++i];
        }
    }
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        struct suite_count n = run(dir, &groups[g]);
        printf("%-10s %zu/%zu\n", groups[g].name, n.passed, n.total);
        all.passed += n.passed;
        all.total += n.total;
    }
    if (all.total == 0 && only == NULL) {
        printf("skipped: the formatter's suite %s is not here\n", dir);
        return 77;
    }
    return suite_finish(all, floor_file);
}
