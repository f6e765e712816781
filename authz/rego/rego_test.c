/* The engine by small examples, and the whole truth table of the first policy that a reader copies. */
#include "authz/rego/engine.h"
#include "authz/rego/syntax/format.h"
#include "test/unit.h"

static struct arena arena;

static struct rego_policy *compiled(const char *text)
{
    struct rego_errors errors = {.a = &arena};
    struct rego_source src = {S("t.rego"), str_of(text), REGO_V1};
    struct rego_policy *p = NULL;
    if (!rego_compile(&src, 1, NULL, &errors, &p)) {
        fail_msg("%.*s", STR_FMT(errors.v[0].message));
    }
    return p;
}

static struct str refused(const char *text, enum rego_version v)
{
    struct rego_errors errors = {.a = &arena};
    struct rego_source src = {S("t.rego"), str_of(text), v};
    struct rego_policy *p = NULL;
    if (rego_compile(&src, 1, NULL, &errors, &p)) {
        rego_policy_free(p);
        return S("accepted");
    }
    struct buf b;
    buf_init(&b, 1 << 16);
    rego_errors_write(&b, &errors);
    struct str s = arena_str(&arena, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str value_of(const char *policy, const char *query)
{
    struct rego_policy *p = compiled(policy);
    struct rego_errors errors = {.a = &arena};
    struct rego_query *q = NULL;
    struct rego_query_options qo = {.version = REGO_V1, .capture = true};
    if (!rego_prepare(p, str_of(query), &qo, &errors, &q)) {
        fail_msg("%.*s", STR_FMT(errors.v[0].message));
    }
    struct rego_eval_options o = {.max_steps = 100000};
    struct rego_result r;
    rego_eval(q, &o, &arena, &r);
    struct str s = r.failed        ? arena_str(&arena, r.error.message)
                   : r.n_rows == 0 ? S("undefined")
                                   : val_rego_text(&arena, val_nth(r.rows[0], (uint32_t)r.n_vars));
    rego_query_free(q);
    rego_policy_free(p);
    return s;
}

static void test_values(void **state)
{
    (void)state;
    struct val v, w;
    assert_ok(val_from_json(&arena, S("{\"b\":[1,1.0,1e2],\"a\":\"\\u00e9\"}"), &v));
    assert_str(val_rego_text(&arena, v), "{\"a\": \"é\", \"b\": [1, 1.0, 1e2]}");
    assert_ok(val_from_json(&arena, S("{\"a\":\"é\",\"b\":[1.0,1,100]}"), &w));
    assert_true(val_eq(v, w));
    assert_true(val_hash(v) == val_hash(w));
    assert_err(val_from_json(&arena, S("{\"a\":}"), &v), ERR_SYNTAX);
    assert_err(val_from_json(&arena, S("[1,]"), &v), ERR_SYNTAX);
    assert_err(val_from_json(&arena, S("[1] 2"), &v), ERR_SYNTAX);
    assert_err(val_from_json(&arena, S("01"), &v), ERR_SYNTAX);
}

static void test_evaluation(void **state)
{
    (void)state;
    static const char policy[] = "package t\n"
                                 "default a := 1\n"
                                 "a := 2 if input.nope\n"
                                 "s contains x if some x in [3, 1, 2]\n"
                                 "o[k] := v if some k, v in {\"x\": 1, \"y\": 2}\n"
                                 "f(x) := x + 1 if x > 0 else := 0\n"
                                 "every_ok if every x in s { x < 4 }\n"
                                 "deep.er[x] contains y if { some x in [\"p\", \"q\"]; y := x }\n"
                                 "mocked := y if y := f(1) with data.t.f as 42\n";
    assert_str(value_of(policy, "data.t.a"), "1");
    assert_str(value_of(policy, "data.t.s"), "{1, 2, 3}");
    assert_str(value_of(policy, "data.t.o"), "{\"x\": 1, \"y\": 2}");
    assert_str(value_of(policy, "[data.t.f(1), data.t.f(-1)]"), "[2, 0]");
    assert_str(value_of(policy, "data.t.every_ok"), "true");
    assert_str(value_of(policy, "data.t.deep.er"), "{\"p\": {\"p\"}, \"q\": {\"q\"}}");
    assert_str(value_of(policy, "data.t.mocked"), "42");
    assert_str(value_of(policy, "data.t.nothing"), "undefined");
    assert_str(value_of(policy, "{x: y | some x, y in data.t.o; y > 1}"), "{\"y\": 2}");
}

static void test_budget(void **state)
{
    (void)state;
    assert_str(value_of("package t\np if { some a in numbers.range(1, 900); some b in "
                        "numbers.range(1, 900); a + b < 0 }",
                        "data.t.p"),
               "step budget of the query is used up");
}

static void test_refusals(void **state)
{
    (void)state;
    assert_str(
        refused("package t\n\nallow { true }\n", REGO_V1),
        "1 error occurred: t.rego:3: rego_parse_error: `if` keyword is required before rule body");
    assert_str(refused("package t\n\nallow { true }\n", REGO_V0), "accepted");
    assert_str(refused("package t\np if x == 1\n", REGO_V1),
               "1 error occurred: t.rego:2: rego_unsafe_var_error: var x is unsafe");
    assert_str(refused("package t\np if not q\nq if not p\n", REGO_V1),
               "2 errors occurred:\n"
               "t.rego:2: rego_recursion_error: rule data.t.p is recursive: "
               "data.t.p -> data.t.q -> data.t.p\n"
               "t.rego:3: rego_recursion_error: rule data.t.q is recursive: "
               "data.t.q -> data.t.p -> data.t.q");
    assert_str(refused("package t\np := no.such(1)\n", REGO_V1),
               "1 error occurred: t.rego:2: rego_type_error: undefined function no.such");
}

static const char article[] =
    "package authz\n\nimport rego.v1\n\ndefault allow := false\n\nallow if {\n"
    "\tinput.user.role == \"analyst\"\n\tinput.action == \"read\"\n"
    "\tinput.resource.owner_team == input.user.team\n"
    "\tinput.resource.environment != \"production\"\n}\n";

static struct str member(const char *name, const char *value)
{
    return value != NULL ? arena_printf(&arena, "\"%s\":\"%s\",", name, value) : STR_EMPTY;
}

/* Of 81 inputs exactly one is allowed; none is undefined. */
static void test_truth_table(void **state)
{
    (void)state;
    static const char *const roles[] = {"analyst", "admin", NULL}, *const actions[] = {
                                                                       "read", "write", NULL};
    static const char *const teams[] = {"pay", "hr", NULL}, *const places[] = {"staging",
                                                                               "production", NULL};
    struct rego_policy *p = compiled(article);
    struct val path[2] = {val_str(&arena, S("authz")), val_str(&arena, S("allow"))};
    int allowed = 0;
    for (int i = 0; i < 81; i++) {
        const char *role = roles[i % 3], *action = actions[i / 3 % 3];
        const char *team = teams[i / 9 % 3], *place = places[i / 27];
        struct str text = arena_printf(
            &arena, "{%.*s\"user\":{%.*s\"team\":\"pay\"},\"resource\":{%.*s%.*s\"x\":1}}",
            STR_FMT(member("action", action)), STR_FMT(member("role", role)),
            STR_FMT(member("owner_team", team)), STR_FMT(member("environment", place)));
        struct rego_eval_options o = {0};
        struct rego_result r;
        assert_ok(val_from_json(&arena, text, &o.input));
        struct val v = rego_eval_path(p, path, 2, &o, &arena, &r);
        assert_true(val_is(v, V_BOOL));
        bool want = i == 0;
        assert_int_equal(val_is_true(v), want);
        allowed += val_is_true(v);
    }
    assert_int_equal(allowed, 1);
    rego_policy_free(p);
}

static void test_format(void **state)
{
    (void)state;
    static const char old[] = "package authz\n\ndefault allow = false\n\nallow {\n"
                              "  input.user.role == \"analyst\"\n  input.action == \"read\"\n"
                              "  input.resource.owner_team == input.user.team\n"
                              "  input.resource.environment != \"production\"\n}\n";
    struct format_options o = {.from = REGO_V0, .to = REGO_V1};
    struct rego_errors errors = {.a = &arena};
    struct buf b;
    buf_init(&b, 1 << 16);
    assert_true(rego_format(&arena, S("t.rego"), str_of(old), &o, &errors, &b));
    assert_str(buf_str(&b), article);
    buf_clear(&b);
    o = (struct format_options){.from = REGO_V1, .to = REGO_V1};
    assert_true(rego_format(&arena, S("t.rego"), str_of(article), &o, &errors, &b));
    assert_str(buf_str(&b), article);
    buf_release(&b);
}

int main(void)
{
    arena_init(&arena, 256 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),      cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_budget),      cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_truth_table), cmocka_unit_test(test_format),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return r;
}
