/* Filters by examples: the same policy in each dialect, names that must not become syntax. */
#include "authz/rego/filter/filter.h"
#include "test/unit.h"

static struct arena arena;

static const char policy[] =
    "package f\n"
    "default a := false\n"
    "a if { input.fruits.name == \"o'br\\\"ien\\\\\\n\"; input.fruits.ok == true }\n"
    "a if input.fruits.price > 10\n"
    "b if input.fruits.name in {\"a\", 3}\n"
    "c if startswith(input.fruits.name, \"a_b%\")\n"
    "d if { not input.fruits.x == 1; input.fruits.y == null }\n"
    "e if input.fruits[input.column] != input.baskets.z\n"
    "yes if true\n"
    "no if false\n"
    "f if count(input.fruits.tags) > 1\n";

static struct str filtered(const char *rule, const char *media, const char *mappings)
{
    static const struct str unknowns[] = {STR_INIT("input.fruits"), STR_INIT("input.baskets")};
    struct rego_errors errors = {.a = &arena};
    struct rego_source src = {S("f.rego"), str_of(policy), REGO_V1};
    struct rego_policy *p;
    struct rego_target target;
    struct rego_filter_options o = {.targets = &target, .n_targets = 1, .mappings = VAL_UNDEF};
    struct rego_filter_result r;
    assert_true(rego_target_of_media(str_of(media), &target));
    assert_true(rego_compile(&src, 1, NULL, &errors, &p));
    assert_ok(val_from_json(&arena, S("{\"column\": \"q\\\" OR 1=1 --\"}"), &o.partial.eval.input));
    if (mappings != NULL) {
        assert_ok(val_from_json(&arena, str_of(mappings), &o.mappings));
    }
    o.partial.unknowns = unknowns;
    o.partial.n_unknowns = ARRAY_LEN(unknowns);
    struct rego_topdown *t = rego_topdown_new(p);
    rego_filter(t, arena_printf(&arena, "data.f.%s", rule), &o, &arena, &r);
    rego_topdown_free(t);
    rego_policy_free(p);
    if (r.bad_mappings.n > 0) {
        return r.bad_mappings;
    }
    if (r.failed || r.errors.n > 0) {
        return r.failed ? r.error.message : r.errors.v[0].message;
    }
    const struct rego_filter *f = &r.filters[0];
    return f->kind == FILTER_NONE  ? S("nothing")
           : f->kind == FILTER_SQL ? f->sql
                                   : val_rego_text(&arena, f->ucast);
}

#define SQL(dialect) "application/vnd.opa.sql." dialect "+json"
#define UCAST(dialect) "application/vnd.opa.ucast." dialect "+json"

static void test_dialects(void **state)
{
    (void)state;
    assert_str(
        filtered("a", SQL("sqlserver"), NULL),
        "WHERE ((fruits.name = N'o''br\"ien\\\n' AND fruits.ok = TRUE) OR fruits.price > N'10')");
    assert_str(filtered("a", SQL("mysql"), NULL),
               "WHERE ((fruits.name = 'o\\'br\\\"ien\\\\\\n' AND fruits.ok = TRUE) "
               "OR fruits.price > '10')");
    assert_str(filtered("a", SQL("postgresql"), NULL),
               "WHERE ((fruits.name = E'o\\'br\\\"ien\\\\\\n' AND fruits.ok = TRUE) "
               "OR fruits.price > E'10')");
    assert_str(filtered("a", SQL("sqlite"), NULL),
               "WHERE ((fruits.name = 'o''br\"ien\\\n' AND fruits.ok = TRUE) "
               "OR fruits.price > '10')");
    assert_str(filtered("b", SQL("postgresql"), NULL), "WHERE fruits.name IN (E'3', E'a')");
    assert_str(filtered("c", SQL("mysql"), NULL), "WHERE fruits.name LIKE 'a\\\\_b\\\\%%'");
    assert_str(filtered("d", SQL("sqlite"), NULL),
               "WHERE (NOT fruits.x = '1' AND fruits.y IS NULL)");
    assert_str(filtered("b", UCAST("all"), NULL),
               "{\"field\": \"fruits.name\", \"operator\": \"in\", \"type\": \"field\", \"value\": "
               "[3, \"a\"]}");
}

static void test_names(void **state)
{
    (void)state;
    assert_str(filtered("e", SQL("sqlite"), NULL), "WHERE fruits.\"q\"\" OR 1=1 --\" <> baskets.z");
    assert_str(filtered("e", SQL("mysql"), NULL), "WHERE fruits.`q\" OR 1=1 --` <> baskets.z");
    assert_str(filtered("d", SQL("sqlite"),
                        "{\"sqlite\": {\"fruits\": {\"$self\": \"FRUIT\", \"x\": \"the x\"}}}"),
               "WHERE (NOT FRUIT.\"the x\" = '1' AND FRUIT.y IS NULL)");
    assert_str(filtered("d", SQL("sqlite"), "{\"fruits\": {\"$self\": 1}}"),
               "mappings: invalid mappings: fruits.$self: expected string, got json.Number");
}

static void test_all_or_nothing(void **state)
{
    (void)state;
    assert_str(filtered("yes", SQL("mysql"), NULL), "");
    assert_str(filtered("no", SQL("mysql"), NULL), "nothing");
    assert_str(filtered("yes", UCAST("linq"), NULL), "{}");
    assert_str(filtered("none", SQL("mysql"), NULL), "nothing");
}

/* What cannot be said is refused, never left out. */
static void test_refused(void **state)
{
    (void)state;
    assert_str(filtered("f", SQL("mysql"), NULL),
               "gt: nested call operand: count(input.fruits.tags)");
    assert_str(filtered("c", SQL("sqlite"), NULL),
               "invalid builtin `startswith`: unsupported for SQL (sqlite)");
    assert_str(filtered("d", UCAST("linq"), NULL),
               "\"not\" not permitted: unsupported feature \"not\" for UCAST (LINQ)");
    struct rego_target t;
    assert_false(rego_target_of_media(S("application/vnd.opa.sql.oracle+json"), &t));
    assert_false(rego_target_parse(S("sql"), &t));
    assert_true(rego_target_parse(S("ucast+prisma"), &t));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dialects), cmocka_unit_test(test_names),
        cmocka_unit_test(test_all_or_nothing), cmocka_unit_test(test_refused)};
    arena_init(&arena, (size_t)1 << 30);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return r;
}
