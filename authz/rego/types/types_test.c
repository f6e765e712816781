/* Types: the notation read and written, unions, selection; signatures of all builtins. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/capabilities.h"
#include "authz/rego/engine.h"
#include "authz/rego/types/signature.h"
#include "test/unit.h"

static void test_signatures(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 16 << 20);
    for (size_t i = 0; i < n_signatures; i++) {
        const struct signature *s = &signatures[i];
        struct str name = str_of(s->name);
        assert_true(i == 0 || str_cmp(str_of(signatures[i - 1].name), name) < 0);
        assert_ptr_equal(signature_find(name), s);
        const struct type *t = signature_type(&a, s);
        assert_int_equal(t->kind, TY_FUNC);
        const struct builtin *b = builtin_find(name);
        if (b != NULL && t->func.variadic == NULL) {
            assert_int_equal(b->arity, (int)t->func.args.n);
            assert_int_equal(b->flags & (BF_RELATION | BF_DEPRECATED),
                             s->flags & (BF_RELATION | BF_DEPRECATED));
        }
    }
    arena_release(&a);
}

static void same(struct arena *a, const char *notation, const char *text)
{
    const struct type *t = type_parse(a, str_of(notation));
    assert_non_null(t);
    assert_string_equal(arena_cstr(a, type_text(a, t)), text);
}

static void test_text(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    same(&a, "string|number", "any<number, string>");
    same(&a, "array<string, number>[any]", "array<string, number>[any]");
    same(&a, "object<b: set[any], a: null>[string: number|null]",
         "object<a: null, b: set[any]>[string: any<null, number>]");
    same(&a, "set", "set");
    assert_null(type_parse(&a, S("strings")));
    assert_null(type_parse(&a, S("array<string")));
    assert_null(type_parse(&a, S("")));
    arena_release(&a);
}

static void test_select(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    const struct type *t = type_parse(&a, S("object<x: number>[string: boolean]"));
    assert_int_equal(type_select(&a, t, val_str(&a, S("x")))->kind, TY_NUMBER);
    assert_int_equal(type_select(&a, t, val_str(&a, S("y")))->kind, TY_BOOL);
    assert_null(type_select(&a, t, VAL_TRUE));
    t = type_parse(&a, S("array<string>[number]"));
    assert_int_equal(type_select(&a, t, val_int(&a, 0))->kind, TY_STRING);
    assert_int_equal(type_select(&a, t, val_int(&a, 7))->kind, TY_NUMBER);
    assert_null(type_select(&a, t, val_int(&a, -1)));
    arena_release(&a);
}

static void test_depth(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 20);
    const struct type *t = type_number();
    for (int i = 0; i < 10 * TYPE_DEPTH_MAX; i++) {
        t = type_set(&a, t);
        assert_true(t->depth <= TYPE_DEPTH_MAX);
    }
    arena_release(&a);
}

static void test_capabilities(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, CAPABILITIES_JSON_MAX);
    rego_capabilities_write(&b, false);
    assert_true(buf_ok(&b));
    struct arena a;
    arena_init(&a, 16 << 20);
    struct val v;
    assert_true(!failed(val_from_json(&a, buf_str(&b), &v)));
    assert_int_equal(val_len(val_get_str(v, "builtins")), n_signatures);
    struct capabilities c;
    assert_true(!failed(capabilities_read(v, &c)));
    assert_true(c.limited && c.rego_v1 && !c.rule_head_refs);
    assert_true(capabilities_allow(&c, S("count")));
    assert_false(capabilities_allow(&c, S("no.such")));
    capabilities_release(&c);
    assert_true(failed(capabilities_read(VAL_TRUE, &c)));
    capabilities_release(&c);
    arena_release(&a);
    buf_release(&b);
}

static const char *compiled(struct arena *a, const char *text, const char *capabilities,
                            const char *schemas)
{
    struct rego_source src = {.name = S("t.rego"), .text = str_of(text), .version = REGO_V1};
    struct rego_compile_options o = {.annotations = true};
    struct rego_errors errors = {.a = a};
    struct rego_policy *p;
    assert_true(capabilities == NULL ||
                !failed(val_from_json(a, str_of(capabilities), &o.capabilities)));
    assert_true(schemas == NULL || !failed(val_from_json(a, str_of(schemas), &o.schemas)));
    if (rego_compile(&src, 1, &o, &errors, &p)) {
        rego_policy_free(p);
        return "";
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_errors_write(&b, &errors);
    const char *s = arena_cstr(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static void test_reduced(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 16 << 20);
    static const char caps[] =
        "{\"builtins\": [{\"name\": \"plus\"}], \"features\": [\"rego_v1\"]}";
    assert_string_equal(compiled(&a, "package t\np := 1 + 2\n", caps, NULL), "");
    assert_string_equal(compiled(&a, "package t\np := count([])\n", caps, NULL),
                        "1 error occurred: t.rego:2: rego_type_error: undefined function count");
    assert_string_equal(
        compiled(&a, "package t\np := $\"a\"\n", caps, NULL),
        "1 error occurred: t.rego:2: rego_compile_error: template-strings are not supported");
    arena_release(&a);
}

static void test_schema(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 16 << 20);
    static const char schemas[] =
        "{\"schema\": {\"type\": \"object\", \"additionalProperties\": false,"
        "\"properties\": {\"user\": {\"$ref\": \"#/$defs/user\"}},"
        "\"$defs\": {\"user\": {\"type\": \"object\", \"additionalProperties\": false,"
        "\"properties\": {\"name\": {\"type\": \"string\"}}}}}}";
    assert_string_equal(compiled(&a, "package t\np := input.user.name\n", NULL, schemas), "");
    assert_string_equal(compiled(&a, "package t\np := input.user.nam\n", NULL, schemas),
                        "1 error occurred: t.rego:2: rego_type_error: undefined ref: "
                        "input.user.nam\n\tinput.user.nam\n\t           ^\n\t           have: "
                        "\"nam\"\n\t           want (one of): [\"name\"]");
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),   cmocka_unit_test(test_text),
        cmocka_unit_test(test_select),       cmocka_unit_test(test_depth),
        cmocka_unit_test(test_capabilities), cmocka_unit_test(test_reduced),
        cmocka_unit_test(test_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
