/* Tests of lib/json: the grammar from both sides, limits, positions, building and every writer. */
#include "json.h"

#include "test/unit.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static struct json *parsed(const char *text)
{
    struct json *v = NULL;
    assert_ok(json_parse(&arena, str_of(text), NULL, &v));
    return v;
}

/* What comes out of reading and writing again. */
static void check_round(const char *text, const char *want)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    json_write(&out, parsed(text));
    assert_str(buf_str(&out), want);
    buf_release(&out);
}

static void test_values(void **state)
{
    check_round(" null ", "null");
    check_round("true", "true");
    check_round("false", "false");
    check_round("-0.10e+07", "-0.10e+07");
    check_round("123456789012345678901234567890", "123456789012345678901234567890");
    check_round("\"\"", "\"\"");
    check_round("[ ]", "[]");
    check_round("{\r\n\t}", "{}");
    check_round("[1,[2,[3]],{\"a\":{\"b\":[]}}]", "[1,[2,[3]],{\"a\":{\"b\":[]}}]");
    check_round("{\"z\":1,\"a\":2}", "{\"z\":1,\"a\":2}");
}

static void test_strings(void **state)
{
    check_round("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"");
    check_round("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
                "\"A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    check_round("\"\\u0000\\u001f\"", "\"\\u0000\\u001f\"");
    check_round("\"twelve bytes and then \xc3\xa9 and \\n more than eight\"",
                "\"twelve bytes and then \xc3\xa9 and \\n more than eight\"");
    assert_int_equal(json_str(parsed("\"a\\u0000b\"")).n, 3);
}

static void check_refused(const char *text, enum err_code code, unsigned line, unsigned col)
{
    struct json *v = NULL;
    assert_err(json_parse(&arena, str_of(text), NULL, &v), code);
    if (err_line() != line || err_col() != col) {
        fail_msg("%s: at %u:%u, not %u:%u: %s", text, err_line(), err_col(), line, col,
                 err_detail());
    }
    assert_null(v);
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        unsigned line, col;
    } cases[] = {
        {"", 1, 1},
        {"  ", 1, 3},
        {"nul", 1, 1},
        {"nulll", 1, 5},
        {"01", 1, 2},
        {"-", 1, 2},
        {"1.", 1, 3},
        {".5", 1, 1},
        {"1e", 1, 3},
        {"+1", 1, 1},
        {"0x10", 1, 2},
        {"NaN", 1, 1},
        {"[1,]", 1, 4},
        {"[1 2]", 1, 4},
        {"[", 1, 2},
        {"]", 1, 1},
        {"{\"a\"}", 1, 5},
        {"{\"a\":}", 1, 6},
        {"{\"a\":1,}", 1, 8},
        {"{a:1}", 1, 2},
        {"{'a':1}", 1, 2},
        {"{\"a\":1", 1, 7},
        {"\"abc", 1, 5},
        {"\"\t\"", 1, 2},
        {"\"\\x\"", 1, 3},
        {"\"\\u12g4\"", 1, 3},
        {"\"\\ud800\"", 1, 8},
        {"\"\\udc00\"", 1, 3},
        {"\"\\ud800\\u0041\"", 1, 8},
        {"\"\xc0\xaf\"", 1, 2},
        {"\"\xed\xa0\x80\"", 1, 2},
        {"\"\xf4\x90\x80\x80\"", 1, 2},
        {"\"\xe2\x82\"", 1, 2},
        {"\xef\xbb\xbf{}", 1, 1},
        {"1 1", 1, 3},
        {"[1,\n 2,\n x]", 3, 2},
        {"// no\n1", 1, 1},
        {"{\n\"a\":1\n\"b\":2}", 3, 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        check_refused(cases[i].text, ERR_SYNTAX, cases[i].line, cases[i].col);
    }
    struct json *v;
    assert_err(json_parse(&arena, str_n("1\0", 2), NULL, &v), ERR_SYNTAX);
    assert_err(json_parse(&arena, str_n("\"a\0\"", 4), NULL, &v), ERR_SYNTAX);
}

static void test_duplicates(void **state)
{
    check_refused("{\"a\":1,\n  \"a\":2}", ERR_INVALID, 2, 3);
    check_refused("{\"a\":1,\"\\u0061\":2}", ERR_INVALID, 1, 8);
    struct json_limits last = {.duplicate_keys_last_wins = true};
    struct json *v;
    assert_ok(json_parse(&arena, S("{\"a\":1,\"b\":2,\"a\":3}"), &last, &v));
    assert_int_equal(v->n, 2);
    assert_str(v->members[0].value->text, "3");
    struct buf text;
    buf_init(&text, 1 << 20);
    buf_putc(&text, '{');
    for (int i = 0; i < 1000; i++) {
        buf_printf(&text, "\"key%d\":%d,", i, i);
    }
    buf_puts(&text, S("\"key500\":0}"));
    assert_err(json_parse(&arena, buf_str(&text), NULL, &v), ERR_INVALID);
    assert_ok(json_parse(&arena, buf_str(&text), &last, &v));
    assert_int_equal(v->n, 1000);
    assert_str(json_get(v, "key500")->text, "0");
    buf_release(&text);
}

static void test_limits(void **state)
{
    struct json *v;
    struct json_limits lim = {.max_depth = 3, .max_values = 5, .max_bytes = 30};
    assert_ok(json_parse(&arena, S("[[[]]]"), &lim, &v));
    assert_err(json_parse(&arena, S("[[[[]]]]"), &lim, &v), ERR_LIMIT);
    assert_ok(json_parse(&arena, S("[1,2,3,4]"), &lim, &v));
    assert_err(json_parse(&arena, S("[1,2,3,4,5]"), &lim, &v), ERR_LIMIT);
    assert_err(json_parse(&arena, S("\"1234567890123456789012345678901\""), &lim, &v), ERR_LIMIT);
    static char deep[300000];
    memset(deep, '[', sizeof(deep));
    assert_err(json_parse(&arena, str_n(deep, sizeof(deep)), NULL, &v), ERR_LIMIT);
    struct json_limits wide = {.max_depth = 1000000};
    memset(deep + 150000, ']', 150000);
    assert_ok(json_parse(&arena, str_n(deep, sizeof(deep)), &wide, &v));
    struct arena small;
    arena_init(&small, 100000);
    assert_err(json_parse(&small, str_n(deep, sizeof(deep)), &wide, &v), ERR_LIMIT);
    assert_err(json_parse(&small, str_n(deep + 120000, 60000), &wide, &v), ERR_LIMIT);
    arena_release(&small);
}

static void test_positions(void **state)
{
    const struct json *v = parsed("{\n  \"a\": [10,\n    20]\n}");
    assert_int_equal(v->members[0].line, 2);
    assert_int_equal(v->members[0].col, 3);
    const struct json *twenty = json_get(v, "a")->items[1];
    assert_int_equal(twenty->line, 3);
    assert_int_equal(twenty->col, 5);
}

static void test_reading(void **state)
{
    const struct json *v = parsed(
        "{\"a\":{\"b\":\"x\"},\"t\":true,\"n\":18446744073709551615,\"m\":-9223372036854775808,"
        "\"f\":1.0}");
    assert_str(json_str(json_path(v, "a.b")), "x");
    assert_null(json_path(v, "a.c"));
    assert_null(json_path(v, "t.c"));
    assert_null(json_get(NULL, "a"));
    assert_true(json_true(json_get(v, "t")));
    assert_false(json_true(json_get(v, "a")));
    assert_int_equal(json_str(json_get(v, "t")).n, 0);
    uint64_t u;
    int64_t i;
    assert_ok(json_u64(json_get(v, "n"), &u));
    assert_true(u == UINT64_MAX);
    assert_err(json_i64(json_get(v, "n"), &i), ERR_RANGE);
    assert_ok(json_i64(json_get(v, "m"), &i));
    assert_true(i == INT64_MIN);
    assert_err(json_u64(json_get(v, "m"), &u), ERR_RANGE);
    assert_err(json_i64(json_get(v, "f"), &i), ERR_SYNTAX);
    assert_err(json_i64(json_get(v, "t"), &i), ERR_INVALID);
    assert_err(json_i64(NULL, &i), ERR_INVALID);
}

static void test_building(void **state)
{
    struct json *o = parsed("{\"keep\":1}"), *list = json_new_array(&arena);
    for (int i = 0; i < 100; i++) {
        json_push(&arena, list, json_new_int(&arena, i - 50));
        json_set(&arena, o, arena_printf(&arena, "k%d", i % 20), json_new_int(&arena, i));
    }
    assert_int_equal(list->n, 100);
    assert_str(list->items[0]->text, "-50");
    assert_int_equal(o->n, 21);
    assert_str(json_get(o, "k19")->text, "99");
    assert_true(json_remove(o, S("k3")));
    assert_false(json_remove(o, S("k3")));
    json_set(&arena, o, S("k3"), json_new_bool(&arena, true));
    assert_int_equal(o->n, 21);
    assert_true(json_true(json_get(o, "k3")));
    json_set(&arena, o, S("list"), list);
    struct json *copy = json_copy(&arena, o);
    assert_true(json_equal(copy, o));
    json_push(&arena, copy->members[21].value, json_new_null(&arena));
    assert_false(json_equal(copy, o));
    assert_true(json_equal(parsed("{\"a\":1,\"b\":[]}"), parsed("{\"b\":[],\"a\":1}")));
    assert_false(json_equal(parsed("{\"a\":1}"), parsed("{\"a\":1.0}")));
    assert_false(json_equal(parsed("\"1\""), parsed("1")));
}

static void test_pretty_and_canonical(void **state)
{
    struct buf out;
    buf_init(&out, 4096);
    const struct json *v =
        parsed("{\"\xf0\x9f\x98\x80\":1,\"\xee\x80\x80\":2,\"b\":[1,{}],\"a\":[]}");
    json_write_pretty(&out, parsed("{\"b\":[1,{}],\"a\":[]}"), 2);
    assert_str(buf_str(&out), "{\n  \"b\": [\n    1,\n    {}\n  ],\n  \"a\": []\n}");
    buf_clear(&out);
    json_write_canonical(&out, v);
    /* The emoji is a surrogate pair in UTF-16, so it comes before U+E000. */
    assert_str(buf_str(&out), "{\"a\":[],\"b\":[1,{}],\"\xf0\x9f\x98\x80\":1,\"\xee\x80\x80\":2}");
    buf_clear(&out);
    json_write_string(&out, S("a\xff\xc3\xa9\x7f\x1b"));
    assert_str(buf_str(&out), "\"a\xef\xbf\xbd\xc3\xa9\x7f\\u001b\"");
    buf_release(&out);
}

static void test_streaming(void **state)
{
    struct buf out;
    struct jw w;
    buf_init(&out, 4096);
    jw_init(&w, &out);
    jw_obj(&w);
    jw_key_str(&w, S("s"), S("x\"y"));
    jw_key(&w, S("a")), jw_arr(&w), jw_int(&w, INT64_MIN), jw_int(&w, 0), jw_null(&w), jw_obj(&w),
        jw_end(&w);
    jw_raw(&w, S("[1]")), jw_json(&w, parsed("{\"q\":1}")), jw_end(&w);
    jw_key_bool(&w, S("b"), false), jw_key_int(&w, S("n"), 42);
    jw_end(&w);
    assert_str(buf_str(&out), "{\"s\":\"x\\\"y\",\"a\":[-9223372036854775808,0,null,{},[1],{\"q\":"
                              "1}],\"b\":false,\"n\":42}");
    assert_int_equal(w.depth, 0);
    buf_release(&out);
    buf_init(&out, 8);
    jw_init(&w, &out);
    jw_str(&w, S("too long for it"));
    assert_false(buf_ok(&out));
    buf_release(&out);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_values),     T(test_strings),  T(test_refused),
        T(test_duplicates), T(test_limits),   T(test_positions),
        T(test_reading),    T(test_building), T(test_pretty_and_canonical),
        T(test_streaming),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
