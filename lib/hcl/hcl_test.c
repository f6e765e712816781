#include "test/unit.h"

#include "hcl.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 8 << 20);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

/* The text's value as compact JSON. */
static struct str as_json(struct str text)
{
    struct json *v;
    assert_ok(hcl_parse(&arena, text, &v));
    struct buf b;
    buf_init(&b, 1 << 20);
    json_write(&b, v);
    struct str out = arena_str(&arena, buf_str(&b));
    buf_release(&b);
    return out;
}

static void values(void **state)
{
    assert_str(as_json(S("")), "{}");
    assert_str(as_json(S("a = 1\nb = \"x\"\nc = true\nd = [1, \"two\", false,]\n")),
               "{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":[1,\"two\",false]}");
    assert_str(as_json(S("a = { b = 1, c = { d = [] } }")), "{\"a\":{\"b\":1,\"c\":{\"d\":[]}}}");
    assert_str(as_json(S("a = 0xff\nb = -1.5e3")), "{\"a\":255,\"b\":-1.5e3}");
    assert_str(as_json(S("a = \"tab\\t quote\\\" \\u00e9 ${x}\"")),
               "{\"a\":\"tab\\t quote\\\" \xc3\xa9 ${x}\"}");
    assert_str(as_json(S("# one\n// two\n/* three\n */ a = 1 # four")), "{\"a\":1}");
    assert_str(as_json(S("\"quoted key\" = 1")), "{\"quoted key\":1}");
}

static void blocks(void **state)
{
    assert_str(as_json(S("path \"a\" { x = 1 }\npath \"b\" { }\nplain { y = 2 }")),
               "{\"path\":[{\"a\":{\"x\":1}},{\"b\":{}}],\"plain\":[{\"y\":2}]}");
    assert_str(as_json(S("r \"a\" \"b\" { x = 1 }")), "{\"r\":[{\"a\":{\"b\":{\"x\":1}}}]}");
}

static void heredocs(void **state)
{
    assert_str(as_json(S("a = <<EOT\n one\n  two\nEOT\nb = 1")),
               "{\"a\":\" one\\n  two\\n\",\"b\":1}");
    assert_str(as_json(S("a = <<-EOT\n    one\n      two\n    EOT\n")),
               "{\"a\":\"one\\n  two\\n\"}");
}

static void json_form(void **state)
{
    assert_str(as_json(S(" {\"path\": {\"a\": {\"capabilities\": [\"read\"]}}}")),
               "{\"path\":{\"a\":{\"capabilities\":[\"read\"]}}}");
}

static void positions(void **state)
{
    struct json *v;
    assert_ok(hcl_parse(&arena, S("a = 1\n\npath \"x\" {\n  policy = \"read\"\n}"), &v));
    const struct json *body = json_get(json_get(v, "path")->items[0], "x");
    assert_int_equal(body->line, 3);
    assert_int_equal(json_get(body, "policy")->line, 4);
    assert_int_equal(json_get(body, "policy")->col, 12);
}

static void refuses(void **state)
{
    static const struct {
        const char *text;
        unsigned line, col;
    } bad[] = {
        {"a = ", 1, 5},         {"a", 1, 2},
        {"a = 1\na = 2", 2, 3}, {"a = \"x\n\"", 1, 5},
        {"a = [1 2]", 1, 8},    {"path \"x\" {\n a = 1\n", 3, 1},
        {"a = 1.", 1, 5},       {"a = yes", 1, 5},
        {"a = \"\\q\"", 1, 7},  {"/* x", 1, 1},
        {"a = <<E\nb\n", 1, 5}, {"= 1", 1, 1},
        {"a = 01", 1, 5},       {"a = \"\\ud800\"", 1, 12},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct json *v = NULL;
        struct err e = hcl_parse(&arena, str_of(bad[i].text), &v);
        if (e.code != ERR_SYNTAX || err_line() != bad[i].line || err_col() != bad[i].col) {
            fail_msg("%s: %s at %u:%u: %s", bad[i].text, err_text(e), err_line(), err_col(),
                     err_detail());
        }
        assert_null(v);
    }
}

static void limits(void **state)
{
    struct buf b;
    struct json *v;
    buf_init(&b, 1 << 20);
    buf_puts(&b, S("a = "));
    for (int i = 0; i < HCL_DEPTH_MAX; i++) {
        buf_putc(&b, '[');
    }
    assert_err(hcl_parse(&arena, buf_str(&b), &v), ERR_LIMIT);
    buf_clear(&b);
    for (int i = 0; i <= HCL_MEMBERS_MAX; i++) {
        buf_printf(&b, "a%d = 1\n", i);
    }
    assert_err(hcl_parse(&arena, buf_str(&b), &v), ERR_LIMIT);
    assert_err(hcl_parse(&arena, S("a = \"\xff\""), &v), ERR_SYNTAX);
    assert_err(hcl_parse(&arena, S("a \"1\" \"2\" \"3\" \"4\" \"5\" {}"), &v), ERR_SYNTAX);
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values),    cmocka_unit_test(blocks),    cmocka_unit_test(heredocs),
        cmocka_unit_test(json_form), cmocka_unit_test(positions), cmocka_unit_test(refuses),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
