#include "lib/store/pg.h"

#include "test/unit.h"

static void test_quoting(void **state)
{
    (void)state;
    struct arena a;
    struct str out;
    arena_init(&a, 1 << 16);
    assert_ok(pg_quote_ident(&a, S("we\"ird; DROP"), &out));
    assert_str(out, "\"we\"\"ird; DROP\"");
    assert_ok(pg_quote_literal(&a, S("O'Hara"), &out));
    assert_str(out, "'O''Hara'");
    assert_ok(pg_quote_literal(&a, S("a\\'b"), &out));
    assert_str(out, " E'a\\\\''b'");
    assert_err(pg_quote_ident(&a, str_n("a\0b", 3), &out), ERR_SYNTAX);
    arena_release(&a);
}

/* Nobody listens on port 1: the error must say so and must not hold the password. */
static void test_nobody_there(void **state)
{
    (void)state;
    struct secret pw;
    struct pg *pg = NULL;
    assert_ok(secret_copy(&pw, S("hunter2-hunter2")));
    struct pg_params p = {.host = S("127.0.0.1"),
                          .port = 1,
                          .user = S("u"),
                          .dbname = S("d"),
                          .password = &pw,
                          .timeout_s = 2};
    assert_err(pg_connect(&p, &pg), ERR_UNAVAILABLE);
    assert_null(strstr(err_detail(), "hunter2"));
    assert_null(pg);
    secret_release(&pw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_nobody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
