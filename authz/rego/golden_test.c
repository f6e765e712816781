/*
 * Calls of builtins whose results were recorded from OPA 1.22.2: golden/NAME.json holds a list of
 * { query, input, want } or { query, input, error }, the error as "code: message". Builtin errors are strict.
 */
#include "authz/rego/engine.h"
#include "test/unit.h"

static int n_files;
static char **files;

static struct val load(struct arena *a, const char *path)
{
    struct val v;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    char *p = arena_alloc_raw(a, n + 1, 1);
    assert_int_equal(fread(p, 1, n, f), n);
    fclose(f);
    assert_ok(val_from_json(a, str_n(p, n), &v));
    return v;
}

static struct str outcome(struct arena *a, struct val c, struct val *got)
{
    struct rego_errors errors = {.a = a};
    struct rego_policy *p = NULL;
    struct rego_query *q = NULL;
    struct rego_query_options qo = {.version = REGO_V1, .capture = true};
    assert_true(rego_compile(NULL, 0, NULL, &errors, &p));
    assert_true(rego_prepare(p, val_text(val_get_str(c, "query")), &qo, &errors, &q));
    struct rego_eval_options o = {.input = val_get_str(c, "input"), .strict_builtin_errors = true};
    struct rego_result r;
    rego_eval(q, &o, a, &r);
    struct str error = STR_EMPTY;
    *got = VAL_UNDEF;
    if (r.failed) {
        error = arena_printf(a, "%s: %.*s", r.error.code, STR_FMT(r.error.message));
    } else if (r.n_rows > 0) {
        /* Constants of the query are in its own memory. */
        *got = val_copy(a, val_nth(r.rows[0], (uint32_t)r.n_vars));
    }
    rego_query_free(q);
    rego_policy_free(p);
    return error;
}

static void check(const char *file, uint32_t i, struct val c)
{
    struct arena a;
    struct val got, want = val_get_str(c, "want"), error = val_get_str(c, "error");
    arena_init(&a, 256 << 20);
    struct str e = outcome(&a, c, &got);
    struct str want_error = val_undef(error) ? STR_EMPTY : val_text(error);
    bool same = val_undef(want) == val_undef(got) && (val_undef(want) || val_eq(want, got));
    if (!str_eq(e, want_error) || !same) {
        fail_msg("%s, case %u, %.*s:\n  error %.*s\n  not   %.*s\n  value %.*s\n  not   %.*s", file,
                 i, STR_FMT(val_text(val_get_str(c, "query"))), STR_FMT(e), STR_FMT(want_error),
                 STR_FMT(val_rego_text(&a, got)), STR_FMT(val_rego_text(&a, want)));
    }
    arena_release(&a);
}

static void test_golden(void **state)
{
    (void)state;
    assert_true(n_files > 0);
    for (int f = 0; f < n_files; f++) {
        struct arena a;
        arena_init(&a, 64 << 20);
        struct val cases = load(&a, files[f]);
        assert_true(val_len(cases) > 0);
        for (uint32_t i = 0; i < val_len(cases); i++) {
            check(files[f], i, val_nth(cases, i));
        }
        arena_release(&a);
    }
}

int main(int argc, char **argv)
{
    n_files = argc - 1;
    files = argv + 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
