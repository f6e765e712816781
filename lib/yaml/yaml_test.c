/* Tests of lib/yaml: the core schema, structure, aliases, refusals with positions, and writing. */
#include "yaml.h"

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
    struct json *docs = NULL;
    assert_ok(yaml_parse(&arena, str_of(text), S("t.yaml"), NULL, &docs));
    return docs;
}

static void check(const char *yaml_text, const char *want_json)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    json_write(&out, parsed(yaml_text));
    if (!str_is(buf_str(&out), want_json)) {
        fail_msg("%s\ngave %.*s\nnot  %s", yaml_text, STR_FMT(buf_str(&out)), want_json);
    }
    buf_release(&out);
}

static void test_core_schema(void **state)
{
    check("[null, Null, ~, '', \"~\", !!str ~]", "[[null,null,null,\"\",\"~\",\"~\"]]");
    check("[true, True, FALSE, yes, no, on, off, 'true']",
          "[[true,true,false,\"yes\",\"no\",\"on\",\"off\",\"true\"]]");
    check("[0, -12, +12, 007, 0x1F, 0o17, 1_000, 0b1]", "[[0,-12,12,7,31,15,\"1_000\",\"0b1\"]]");
    check("[1.50, .5, 5., -.5, 1e3, +1.0E-2, ., 1.2.3, 12:30:45]",
          "[[1.50,0.5,5.0,-0.5,1e3,1.0E-2,\".\",\"1.2.3\",\"12:30:45\"]]");
    check("{a: , b: 123456789012345678901234567890}",
          "[{\"a\":null,\"b\":123456789012345678901234567890}]");
    check("!!int 5", "[5]");
    check("! 5", "[\"5\"]");
}

static void test_structure(void **state)
{
    check("", "[]");
    check("a: 1\n---\n- b\n- c: {d: [1, 2]}\n...\n---\n\"text\"\n",
          "[{\"a\":1},[\"b\",{\"c\":{\"d\":[1,2]}}],\"text\"]");
    check("text: |\n  one\n  two\nfolded: >-\n  three\n  four\n",
          "[{\"text\":\"one\\ntwo\\n\",\"folded\":\"three four\"}]");
    check("{\"json\": [true, null, 1.5, \"x\\u00e9\\n\"]}",
          "[{\"json\":[true,null,1.5,\"x\xc3\xa9\\n\"]}]");
    check("a: &x {k: [1]}\nb: *x\nc: [*x, *x]",
          "[{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":[{\"k\":[1]},{\"k\":[1]}]}]");
    check("1: a\ntrue: b\nnull: c", "[{\"1\":\"a\",\"true\":\"b\",\"null\":\"c\"}]");
}

static void test_positions(void **state)
{
    const struct json *doc = parsed("# comment\na:\n  bb: [1,\n       2]\n")->items[0];
    const struct json *bb = json_path(doc, "a.bb");
    assert_int_equal(doc->members[0].line, 2);
    assert_int_equal(bb->line, 3);
    assert_int_equal(bb->col, 7);
    assert_int_equal(bb->items[1]->line, 4);
    assert_int_equal(bb->items[1]->col, 8);
    assert_int_equal(json_get(doc, "a")->members[0].col, 3);
}

static void check_refused(const char *text, enum err_code code, const char *where)
{
    struct json *docs = NULL;
    assert_err(yaml_parse(&arena, str_of(text), S("t.yaml"), NULL, &docs), code);
    if (!str_starts(str_of(err_detail()), str_of(where))) {
        fail_msg("%s: '%s' does not begin with '%s'", text, err_detail(), where);
    }
    assert_null(docs);
}

static void test_refused(void **state)
{
    check_refused("a: 1\nb: 2\na: 3\n", ERR_INVALID, "t.yaml:3:1: the key 'a' stands twice");
    check_refused("a: [1, 2\n", ERR_SYNTAX, "t.yaml:2:1: ");
    check_refused("a: b: c", ERR_SYNTAX, "t.yaml:1:5: ");
    check_refused("\tx: 1", ERR_SYNTAX, "t.yaml:1:1: ");
    check_refused("a: !custom x", ERR_INVALID, "t.yaml:1:4: the tag '!custom'");
    check_refused("a: !!binary aGk=", ERR_INVALID, "t.yaml:1:4: the tag");
    check_refused("a: !!int x", ERR_INVALID, "t.yaml:1:4: 'x' is not what its tag");
    check_refused("a: !!map [1]", ERR_INVALID, "t.yaml:1:4: ");
    check_refused("a: .inf", ERR_RANGE, "t.yaml:1:4: .inf");
    check_refused("a: 0x10000000000000000", ERR_RANGE, "t.yaml:1:4: ");
    check_refused("? [a]\n: b", ERR_UNSUPPORTED, "t.yaml:1:3: a key must be a scalar");
    check_refused("a: &x {b: 1}\nc:\n  <<: *x", ERR_UNSUPPORTED, "t.yaml:3:3: merge keys");
    check_refused("a: *nope", ERR_INVALID, "t.yaml:1:4: the alias *nope");
    check_refused("a: &x [*x]", ERR_INVALID, "t.yaml:1:8: the alias *x stands inside");
    check_refused("a: &x 1\n---\nb: *x", ERR_INVALID, "t.yaml:3:4: ");
    check_refused("a: \xff", ERR_SYNTAX, "t.yaml:1:");
}

static void test_limits(void **state)
{
    struct json *docs;
    const char *bomb =
        "a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
        "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
        "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    struct yaml_limits few = {.max_values = 100000};
    assert_err(yaml_parse(&arena, str_of(bomb), S(""), &few, &docs), ERR_LIMIT);
    struct yaml_limits shallow = {.max_depth = 4};
    assert_ok(yaml_parse(&arena, S("[[[[]]]]"), S(""), &shallow, &docs));
    assert_err(yaml_parse(&arena, S("[[[[[]]]]]"), S(""), &shallow, &docs), ERR_LIMIT);
    assert_err(yaml_parse(&arena, S("a: &a [[[]]]\nb: [*a]"), S(""), &shallow, &docs), ERR_LIMIT);
    struct yaml_limits single = {.max_aliases = 1};
    assert_err(yaml_parse(&arena, S("a: &a 1\nb: *a\nc: *a"), S(""), &single, &docs), ERR_LIMIT);
    struct yaml_limits small = {.max_bytes = 4};
    assert_err(yaml_parse(&arena, S("a: 12"), S(""), &small, &docs), ERR_LIMIT);
    struct arena tiny;
    arena_init(&tiny, 5000);
    static char text[60000] = "a: '";
    memset(text + 4, 'x', sizeof(text) - 6);
    text[sizeof(text) - 2] = '\'';
    assert_err(yaml_parse(&tiny, str_of(text), S(""), NULL, &docs), ERR_LIMIT);
    arena_release(&tiny);
}

static void test_write(void **state)
{
    const char *source = "{\"a\":{\"b\":[1,\"two\",{\"c\":true,\"d\":[]},[null,[\"x\"]]],\"e\":{}},"
                         "\"quoted\":[\"\",\"yes\",\"12\",\"a: b\",\"x:\",\"- "
                         "y\",\"#z\",\"l1\\nl2\",\" s \",\"\\u007f\\u2028\\u0085\"],"
                         "\"addr\":\"127.0.0.1:80\",\"path\":\"/var/lib\",\"1\":-1.50}";
    struct json *v, *docs;
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_ok(json_parse(&arena, str_of(source), NULL, &v));
    yaml_write(&out, v);
    assert_ok(yaml_parse(&arena, buf_str(&out), S("out"), NULL, &docs));
    assert_true(json_equal(v, docs->items[0]));
    assert_true(str_starts(
        buf_str(&out), S("a:\n  b:\n    - 1\n    - two\n    - c: true\n      d: []\n    - - null\n"
                         "      - - x\n  e: {}\nquoted:\n  - \"\"\n  - \"yes\"\n  - \"12\"\n")));
    buf_release(&out);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {T(test_core_schema), T(test_structure), T(test_positions),
                                       T(test_refused),     T(test_limits),    T(test_write)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
