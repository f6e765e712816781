/*
 * The rows of OPA's tests of data filters: policy and target in, filter or errors out.
 *
 *     rego_filter TABLE.json [--refresh FILE] [-v] [--floor FILE]
 *
 * Rows that take their unknowns from annotations or call out over HTTP are counted as not run.
 */
#include "authz/rego/filter/filter.h"

#include <stdio.h>
#include <stdlib.h>

static bool verbose;

struct count {
    size_t passed, total, not_run;
};

static struct str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return STR_EMPTY;
    }
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *p = arena_alloc_raw(a, (size_t)n + 1, 1);
    size_t got = fread(p, 1, (size_t)n, f);
    fclose(f);
    return str_n(p, got);
}

/* The tables write numbers of JSON as {"$call": "float64", "args": [10]}. */
static struct val plain(struct arena *a, struct val v)
{
    struct vlist l = {.a = a};
    if (!val_is_collection(v)) {
        return v;
    }
    struct val call = val_is(v, V_OBJECT) ? val_get_str(v, "$call") : VAL_UNDEF;
    if (val_is(call, V_STRING)) {
        return val_nth(val_get_str(v, "args"), 0);
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        if (val_is(v, V_OBJECT)) {
            vlist_add(&l, val_nth_key(a, v, i));
        }
        vlist_add(&l, plain(a, val_nth(v, i)));
    }
    return val_is(v, V_OBJECT) ? vlist_object(&l) : vlist_array(&l);
}

static struct str text_of(struct arena *a, struct val v)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    val_to_json(&b, v, false);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* "3:12 message" of each error, a line each. */
static struct str errors_got(struct arena *a, const struct rego_errors *e)
{
    struct str s = STR_EMPTY;
    for (size_t i = 0; i < e->n; i++) {
        s = arena_printf(a, "%.*s%u:%u %.*s %.*s\n", STR_FMT(s), e->v[i].loc.row, e->v[i].loc.col,
                         STR_FMT(e->v[i].message), STR_FMT(e->v[i].details));
    }
    return s;
}

static struct str errors_wanted(struct arena *a, struct val errors)
{
    struct str s = STR_EMPTY;
    for (uint32_t i = 0; i < val_len(errors); i++) {
        struct val e = val_nth(errors, i), loc = val_get_str(e, "Location");
        struct val args = val_is(loc, V_OBJECT) ? val_get_str(loc, "args") : VAL_UNDEF;
        struct val details = val_get_str(e, "Details");
        struct val extra = val_is(details, V_OBJECT) ? val_get_str(details, "Extra") : VAL_UNDEF;
        int64_t row = 0, col = 0;
        if (val_is(args, V_ARRAY)) {
            (void)val_to_i64(val_nth(args, 2), &row);
            (void)val_to_i64(val_nth(args, 3), &col);
        }
        s = arena_printf(a, "%.*s%d:%d %.*s %.*s\n", STR_FMT(s), (int)row, (int)col,
                         STR_FMT(val_text(val_get_str(e, "Message"))),
                         STR_FMT(val_is(extra, V_STRING) ? val_text(extra) : STR_EMPTY));
    }
    return s;
}

static struct str answer(struct arena *a, const struct rego_filter_result *r)
{
    if (r->failed) {
        return r->error.message;
    }
    if (r->errors.n > 0) {
        return errors_got(a, &r->errors);
    }
    const struct rego_filter *f = &r->filters[0];
    return f->kind == FILTER_NONE  ? S("null")
           : f->kind == FILTER_SQL ? text_of(a, val_str(a, f->sql))
                                   : text_of(a, f->ucast);
}

static bool runnable(struct val c)
{
    struct val rego = val_get_str(c, "rego");
    return val_is(rego, V_STRING) && !val_is_true(val_get_str(c, "omitUnknowns")) &&
           val_undef(val_get_str(c, "skip"));
}

static struct str expected(struct arena *a, struct val c)
{
    struct val errors = val_get_str(c, "errors"), result = val_get_str(c, "result");
    if (val_is(errors, V_ARRAY)) {
        return errors_wanted(a, errors);
    }
    return text_of(a, val_undef(result) ? VAL_NULL : plain(a, result));
}

static struct str run_row(struct arena *a, struct val c)
{
    static const struct str unknowns[] = {STR_INIT("input.fruits"), STR_INIT("input.baskets")};
    struct rego_source src = {.name = S("filters.rego"), .version = REGO_V1};
    struct rego_errors errors = {.a = a};
    struct rego_policy *p;
    struct rego_target target = {S("ucast"), S("all")};
    struct val media = val_get_str(c, "target"), mappings = val_get_str(c, "mappings");
    src.text = arena_printf(a, "package filters\nimport rego.v1\n%.*s",
                            STR_FMT(val_text(val_get_str(c, "rego"))));
    if (!rego_compile(&src, 1, NULL, &errors, &p)) {
        return arena_printf(a, "compile: %.*s", STR_FMT(errors.v[0].message));
    }
    if (val_is(media, V_STRING) && !rego_target_of_media(val_text(media), &target)) {
        return S("no such target");
    }
    struct rego_topdown *t = rego_topdown_new(p);
    struct rego_filter_options o = {.targets = &target, .n_targets = 1, .mappings = VAL_UNDEF};
    struct val input = val_get_str(c, "input"), runtime;
    if (val_undef(input) &&
        failed(val_from_json(a, S("{\"a\":true,\"b\":false,\"colour\":\"orange\"}"), &input))) {
        return S("no input");
    }
    if (failed(val_from_json(a, S("{\"foo\":\"bar\",\"fox\":100}"), &runtime))) {
        return S("no runtime");
    }
    if (val_is(mappings, V_OBJECT)) {
        struct vlist l = {.a = a};
        vlist_put(&l, "ucast", mappings);
        o.mappings = vlist_object(&l);
    }
    o.partial.eval = (struct rego_eval_options){.input = input, .runtime = runtime};
    o.partial.unknowns = unknowns;
    o.partial.n_unknowns = ARRAY_LEN(unknowns);
    struct rego_filter_result r;
    rego_filter(t, S("data.filters.include"), &o, a, &r);
    struct str got = answer(a, &r);
    rego_topdown_free(t);
    rego_policy_free(p);
    return got;
}

static struct val find_row(struct val table, struct val note)
{
    for (uint32_t i = 0; !val_undef(table) && i < val_len(table); i++) {
        struct val cases = val_get_str(val_nth(table, i), "cases");
        for (uint32_t k = 0; k < val_len(cases); k++) {
            if (val_eq(val_get_str(val_nth(cases, k), "note"), note)) {
                return val_nth(cases, k);
            }
        }
    }
    return VAL_UNDEF;
}

static void run_table(struct val table, struct val other, bool only_new, struct count *n)
{
    for (uint32_t i = 0; !val_undef(table) && i < val_len(table); i++) {
        struct val cases = val_get_str(val_nth(table, i), "cases");
        for (uint32_t k = 0; val_is(cases, V_ARRAY) && k < val_len(cases); k++) {
            struct val c = val_nth(cases, k), same = find_row(other, val_get_str(c, "note"));
            if (only_new && !val_undef(same)) {
                continue;
            }
            c = val_undef(same) ? c : same;
            n->total++;
            if (!runnable(c)) {
                n->not_run++;
                continue;
            }
            struct arena a;
            arena_init(&a, 256 << 20);
            struct str want = expected(&a, c), got = run_row(&a, c);
            bool ok = str_eq(want, got);
            n->passed += ok;
            if (!ok && verbose) {
                printf("FAIL %.*s\n  want %.*s\n  got  %.*s\n",
                       STR_FMT(val_text(val_get_str(c, "note"))), STR_FMT(want), STR_FMT(got));
            }
            arena_release(&a);
        }
    }
}

static size_t read_floor(const char *path)
{
    unsigned long n = 0;
    FILE *f = path != NULL ? fopen(path, "r") : NULL;
    if (f != NULL) {
        n = fscanf(f, "%lu", &n) == 1 ? n : 0;
        fclose(f);
    }
    return n;
}

int main(int argc, char **argv)
{
    const char *floor_file = NULL, *refresh_file = NULL;
    struct arena a;
    arena_init(&a, (size_t)1 << 30);
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "--floor") == 0 && i + 1 < argc) {
            floor_file = argv[++i];
        } else if (strcmp(argv[i], "--refresh") == 0 && i + 1 < argc) {
            refresh_file = argv[++i];
        }
    }
    struct str text = argc > 1 ? read_file(&a, argv[1]) : STR_EMPTY;
    struct val table, refresh = VAL_UNDEF;
    struct count n = {0};
    if (text.n == 0) {
        printf("skipped: the table %s is not here\n", argc > 1 ? argv[1] : "");
        return 77;
    }
    if (failed(val_from_json(&a, text, &table)) ||
        (refresh_file != NULL &&
         failed(val_from_json(&a, read_file(&a, refresh_file), &refresh)))) {
        printf("%s\n", err_detail());
        return 1;
    }
    run_table(table, refresh, false, &n);
    run_table(refresh, table, true, &n);
    arena_release(&a);
    printf("total %zu/%zu, not run %zu\n", n.passed, n.total, n.not_run);
    if (n.passed < read_floor(floor_file)) {
        printf("below the floor of %zu\n", read_floor(floor_file));
        return 1;
    }
    return 0;
}
