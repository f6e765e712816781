#include "test/unit.h"

#include "policy.h"

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

static struct policy *parse(const char *name, const char *text)
{
    struct policy *p = NULL;
    assert_ok(policy_parse(str_of(name), str_of(text), &p));
    return p;
}

static bool allows(struct acl *acl, enum acl_op op, const char *path)
{
    struct acl_verdict v;
    acl_check(acl, &(struct acl_request){.op = op, .path = str_of(path)}, &v);
    return v.allowed;
}

static void best_pattern_only(void **state)
{
    struct policy *p = parse("p", "path \"secret/*\" { capabilities = [\"deny\"] }\n"
                                  "path \"secret/a\" { capabilities = [\"read\"] }\n"
                                  "path \"secret/+/b\" { capabilities = [\"read\"] }\n");
    struct acl *acl;
    assert_ok(acl_new(&p, 1, NULL, &acl));
    assert_true(allows(acl, ACL_READ, "secret/a"));
    assert_false(allows(acl, ACL_READ, "secret/c"));
    assert_true(allows(acl, ACL_READ, "secret/x/b"));
    assert_false(allows(acl, ACL_READ, "secret//b"));
    assert_false(allows(acl, ACL_UPDATE, "secret/a"));
    assert_true(acl_sees_mount(acl, S("secret/")));
    assert_false(acl_sees_mount(acl, S("other/")));
    acl_free(acl);
    policy_unref(p);
}

static void names_the_rule(void **state)
{
    struct policy *p[2] = {parse("one", "path \"a\" { capabilities = [\"read\"] }"),
                           parse("two", "\n\npath \"a\" { capabilities = [\"update\"] }")};
    struct acl *acl;
    struct acl_verdict v;
    assert_ok(acl_new(p, 2, NULL, &acl));
    acl_check(acl, &(struct acl_request){.op = ACL_UPDATE, .path = S("a")}, &v);
    assert_true(v.allowed);
    assert_int_equal(v.rule->n_granting, 2);
    assert_str(v.rule->granting[1]->name, "two");
    assert_int_equal(v.rule->granting_lines[1], 3);
    acl_free(acl);
    policy_unref(p[0]);
    policy_unref(p[1]);
}

static void templates_cannot_widen(void **state)
{
    struct policy *p =
        parse("t", "path \"secret/{{identity.entity.name}}/*\" { capabilities = [\"read\"] }\n"
                   "path \"own/{{identity.entity.id}}\" { capabilities = [\"read\"] }\n");
    struct acl_entity entity = {.id = S("e1"), .name = S("+")};
    struct acl *acl;
    assert_ok(acl_new(&p, 1, &entity, &acl));
    assert_false(allows(acl, ACL_READ, "secret/other/x"));
    assert_true(allows(acl, ACL_READ, "own/e1"));
    acl_free(acl);
    entity.name = S("ana");
    assert_ok(acl_new(&p, 1, &entity, &acl));
    assert_true(allows(acl, ACL_READ, "secret/ana/x"));
    assert_false(allows(acl, ACL_READ, "secret/other/x"));
    acl_free(acl);
    assert_ok(acl_new(&p, 1, NULL, &acl));
    assert_false(allows(acl, ACL_READ, "own/e1"));
    acl_free(acl);
    policy_unref(p);
}

static void root_stands_alone(void **state)
{
    struct policy *p[2] = {parse("root", ""), parse("x", "")};
    struct acl *acl;
    assert_ok(acl_new(p, 1, NULL, &acl));
    assert_true(allows(acl, ACL_DELETE, "sys/anything"));
    acl_free(acl);
    assert_err(acl_new(p, 2, NULL, &acl), ERR_INVALID);
    policy_unref(p[0]);
    policy_unref(p[1]);
}

static void every_problem_named(void **state)
{
    struct policy *p = NULL;
    assert_err(policy_parse(S("x"), S("path \"a\" { capabilities = [\"red\"] }\nbad = 1\n"), &p),
               ERR_INVALID);
    assert_non_null(strstr(err_detail(), "invalid capability \"red\""));
    assert_non_null(strstr(err_detail(), "invalid key \"bad\" on line 2"));
    assert_err(policy_parse(S("x"), S("path = 1"), &p), ERR_INVALID);
    assert_err(policy_parse(S("x"), S("path \"a\" = 1"), &p), ERR_SYNTAX);
    assert_err(policy_parse(S("x"), S("path \"a\" { min_wrapping_ttl = \"soon\" }"), &p),
               ERR_INVALID);
    assert_null(p);
}

static void names(void **state)
{
    struct str out;
    assert_ok(policy_name_normal(&arena, S(" Dev-Ops "), &out));
    assert_str(out, "dev-ops");
    assert_err(policy_name_normal(&arena, S("  "), &out), ERR_INVALID);
    assert_err(policy_name_normal(&arena, S("a b"), &out), ERR_INVALID);
    assert_err(policy_name_normal(&arena, S("ro\0ot"), &out), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_pattern_only),      cmocka_unit_test(names_the_rule),
        cmocka_unit_test(templates_cannot_widen), cmocka_unit_test(root_stands_alone),
        cmocka_unit_test(every_problem_named),    cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
