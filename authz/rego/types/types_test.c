/* Types: the notation read and written, unions, selection; signatures of all builtins. */
#include "authz/rego/builtin/builtin.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_select),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
