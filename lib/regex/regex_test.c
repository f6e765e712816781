#include "lib/regex/regex.h"
#include "test/unit.h"

static struct regex *compiled(const char *pattern)
{
    struct regex *re = NULL;
    assert_ok(regex_compile(str_of(pattern), 0, &re));
    return re;
}

static void test_groups(void **state)
{
    (void)state;
    struct regex *re = compiled("(?P<key>[a-z]+)=(x)?(\\d*)");
    struct str g[4];
    assert_int_equal(regex_groups(re), 3);
    assert_true(regex_match(re, S("..ab=12;"), g, 4));
    assert_str(g[0], "ab=12");
    assert_str(g[1], "ab");
    assert_null(g[2].p);
    assert_str(g[3], "12");
    assert_str(regex_group_name(re, 1), "key");
    assert_str(regex_group_name(re, 2), "");
    assert_false(regex_match(re, S("12"), g, 4));
    regex_free(re);
}

static void test_anchors(void **state)
{
    (void)state;
    struct regex *re = compiled("^a");
    struct str g[1];
    assert_false(regex_match_from(re, S("aa"), 1, g, 1));
    assert_true(regex_match(re, S("ab"), NULL, 0));
    assert_false(regex_match_full(re, S("ab")));
    regex_free(re);
}

static void test_refused(void **state)
{
    (void)state;
    struct regex *re = NULL;
    assert_err(regex_compile(S("a("), 0, &re), ERR_SYNTAX);
    assert_err(regex_compile(S("(a)\\1"), 0, &re), ERR_SYNTAX);
    assert_err(regex_compile(S("((a{1000}){1000}){1000}"), 0, &re), ERR_SYNTAX);
    assert_null(re);
}

/* Asking for no groups may take the quick way; asking for the whole match takes RE2's. */
static void quick_patterns_agree_with_re2(void **state)
{
    static const char *const patterns[] = {
        "abc",
        "^abc$",
        "/api/v1/res-5/*",
        "^/api/[^/]+/\\d+$",
        "a.c",
        "x?y+z*$",
        "[a-c-]+\\.rego$",
        "^$",
        "a*",
        "\\W",
        "^[^\\d]$",
        "l*lo$",
        "[]x]",
        "^(a|b)$",
        "a{2}",
        "\\bx",
    };
    static const char *const texts[] = {
        "",     "abc", "xabcx",    "/api/v1/res-5", "/api/v1/res-55", "/api/x/12", "/api/x/12/",
        "a\nc", "aXc", "yy",       "xyzzz",         "b-a.rego",       "hello",     "]",
        "b",    "aa",  "\xc3\xa9", "x y",           "\x7f",
    };
    unsigned quick = 0;
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        struct regex *re;
        assert_ok(regex_compile(str_of(patterns[i]), 0, &re));
        quick += regex_is_quick(re);
        for (size_t k = 0; k < ARRAY_LEN(texts); k++) {
            struct str whole, text = str_of(texts[k]);
            if (regex_match(re, text, NULL, 0) != regex_match(re, text, &whole, 1)) {
                fail_msg("%s on %s", patterns[i], texts[k]);
            }
        }
        regex_free(re);
    }
    assert_int_equal(quick, 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quick_patterns_agree_with_re2),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_anchors),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
