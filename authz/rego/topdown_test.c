/* The second evaluator by examples: what remains, what happened, what ran, and why. */
#include "authz/rego/partial.h"
#include "authz/rego/trace.h"
#include "authz/rego/why.h"
#include "test/unit.h"

static struct arena arena;
static struct buf out;

struct setup {
    struct rego_policy *p;
    struct rego_topdown *t;
    struct rego_topdown_query *q;
};

static struct setup prepare(const char *policy, const char *query, bool capture)
{
    struct setup s = {0};
    struct rego_errors errors = {.a = &arena};
    struct rego_source src = {S("t.rego"), str_of(policy), REGO_V1};
    struct rego_query_options o = {.version = REGO_V1, .capture = capture};
    buf_clear(&out);
    if (!rego_compile(&src, 1, NULL, &errors, &s.p)) {
        fail_msg("%.*s", STR_FMT(errors.v[0].message));
    }
    s.t = rego_topdown_new(s.p);
    if (query != NULL && !rego_topdown_prepare(s.t, str_of(query), &o, &errors, &s.q)) {
        fail_msg("%.*s", STR_FMT(errors.v[0].message));
    }
    return s;
}

static void drop(struct setup *s)
{
    rego_topdown_query_free(s->q);
    rego_topdown_free(s->t);
    rego_policy_free(s->p);
}

static struct val json(const char *text)
{
    struct val v = VAL_UNDEF;
    assert_ok(val_from_json(&arena, str_of(text), &v));
    return v;
}

static struct str residual(const char *policy, const char *query, const char *unknown)
{
    struct setup s = prepare(policy, query, false);
    struct str unknowns[] = {str_of(unknown)};
    struct rego_partial_options o = {.eval = {.data = json("{}")}, .unknowns = unknowns};
    struct rego_partial_result r;
    o.n_unknowns = 1;
    o.eval.input = json("{\"user\": \"bob\", \"level\": 3}");
    rego_partial(s.q, &o, NULL, &arena, &r);
    if (r.failed) {
        buf_puts(&out, r.error.message);
    } else {
        rego_partial_to_source(&out, &r);
    }
    drop(&s);
    return buf_str(&out);
}

static const char documents[] = "package d\n"
                                "default allow := false\n"
                                "allow if { input.user == input.doc.owner }\n"
                                "allow if { input.doc.public; input.level > 2 }\n"
                                "allow if { input.doc.secret; input.level > 9 }\n"
                                "count_is(n) if count(input.doc.tags) == n\n";

static void test_partial(void **state)
{
    (void)state;
    assert_str(residual(documents, "data.d.allow == true", "input.doc"),
               "# Query 1\n\"bob\" = input.doc.owner\n\n# Query 2\ninput.doc.public\n\n");
    assert_str(residual(documents, "data.d.count_is(2)", "input.doc"),
               "# Query 1\ncount(input.doc.tags, 2)\n\n");
    assert_str(residual(documents, "not data.d.allow", "input.doc"),
               "# Query 1\nnot data.partial.d.allow\n\n# Module 1\npackage partial.d\n\n"
               "default allow := false\n\nallow if input.doc.public\n\n"
               "allow if \"bob\" = input.doc.owner\n");
    assert_str(residual("package d\np if input.level == 3", "data.d.p", "input.doc"),
               "# Query 1\n\n");
    assert_str(residual("package d\np if input.level == 4", "data.d.p", "input.doc"), "");
    assert_str(residual(documents, "data.d.allow", "1 + 2"),
               "an unknown must be a reference like input.a, not 1 + 2");
}

static void test_trace(void **state)
{
    (void)state;
    struct setup s = prepare("package t\np if { some x in [1, 2]; x > 1 }", "data.t.p", true);
    struct rego_trace t;
    struct rego_result r;
    rego_trace_init(&t, &arena, EXPLAIN_FULL);
    rego_topdown_eval(s.q, &(struct rego_eval_options){0}, &t.tracer, &arena, &r);
    rego_trace_to_text(&out, &t, true);
    assert_int_equal(r.n_rows, 1);
    buf_clear(&out);
    rego_trace_to_json(&out, &t, false);
    assert_int_equal(val_len(json(arena_cstr(&arena, buf_str(&out)))), 18);
    buf_clear(&out);
    rego_trace_to_text(&out, &t, true);
    assert_str(buf_str(&out), "query:1      Enter data.t.p = _\n"
                              "query:1      | Eval data.t.p = _\n"
                              "query:1      | Index data.t.p (matched 1 rule, early exit)\n"
                              "t.rego:2     | Enter data.t.p\n"
                              "t.rego:2     | | Eval __local3__ = [1, 2]\n"
                              "t.rego:2     | | Eval x = __local3__[__local0__]\n"
                              "t.rego:2     | | Eval gt(x, 1)\n"
                              "t.rego:2     | | Fail gt(x, 1)\n"
                              "t.rego:2     | | Redo x = __local3__[__local0__]\n"
                              "t.rego:2     | | Eval gt(x, 1)\n"
                              "t.rego:2     | | Exit data.t.p early\n"
                              "query:1      | Exit data.t.p = _\n"
                              "query:1      Redo data.t.p = _\n"
                              "query:1      | Redo data.t.p = _\n"
                              "t.rego:2     | Redo data.t.p\n"
                              "t.rego:2     | | Redo gt(x, 1)\n"
                              "t.rego:2     | | Redo x = __local3__[__local0__]\n"
                              "t.rego:2     | | Redo __local3__ = [1, 2]\n");
    drop(&s);
}

static void test_trace_of_notes(void **state)
{
    (void)state;
    struct setup s = prepare("package t\np if { q }\nq if { trace(\"here\") }\nr := 1",
                             "data.t.r; data.t.p", true);
    struct rego_trace t;
    struct rego_result r;
    rego_trace_init(&t, &arena, EXPLAIN_NOTES);
    rego_topdown_eval(s.q, &(struct rego_eval_options){0}, &t.tracer, &arena, &r);
    rego_trace_to_text(&out, &t, false);
    assert_str(buf_str(&out), "Enter data.t.r = _; data.t.p = _\n| Enter data.t.p\n"
                              "| | Enter data.t.q\n| | | Note \"here\"\n");
    drop(&s);
}

static void test_cover(void **state)
{
    (void)state;
    struct setup s =
        prepare("package t\np if {\n  input.a\n  input.b\n}\nq := 1", "data.t.p", true);
    struct rego_cover c;
    struct rego_result r;
    rego_cover_init(&c, s.p, &arena);
    rego_topdown_eval(s.q, &(struct rego_eval_options){.input = json("{\"a\": 1}")}, &c.tracer,
                      &arena, &r);
    rego_cover_to_json(&out, &c);
    struct val v = json(arena_cstr(&arena, buf_str(&out)));
    assert_int_equal(val_small(val_get_str(v, "covered_lines")), 2);
    assert_int_equal(val_small(val_get_str(v, "not_covered_lines")), 2);
    assert_true(rego_cover_percent(&c) > 49 && rego_cover_percent(&c) < 51);
    drop(&s);
}

static const char roles[] = "package a\n"
                            "default allow := false\n"
                            "allow if { is_admin; not blocked }\n"
                            "allow if { input.method == \"GET\"; input.age > 18 }\n"
                            "is_admin if input.role == \"admin\"\n"
                            "is_admin if input.user in data.admins\n"
                            "blocked if input.user == \"mallory\"\n";

static struct str why(const char *input)
{
    struct setup s = prepare(roles, NULL, false);
    struct rego_why_options o = {.eval = {.input = json(input)}};
    struct rego_why w;
    o.eval.data = json("{\"admins\": [\"root\"]}");
    rego_why(s.t, S("data.a.allow"), &o, &arena, &w);
    rego_why_to_text(&out, &w);
    drop(&s);
    return buf_str(&out);
}

static void test_why(void **state)
{
    (void)state;
    assert_str(why("{\"role\": \"guest\", \"user\": \"bob\"}"),
               "data.a.allow is false (t.rego:2).\n"
               "It would be true by the rule at t.rego:3, if this were different:\n"
               "  t.rego:5  input.role is \"guest\", want \"admin\"\n"
               "Or by the rule at t.rego:3, if this were different:\n"
               "  t.rego:6  input.user is \"bob\", want one of [\"root\"]\n");
    assert_str(why("{\"role\": \"admin\", \"user\": \"mallory\"}"),
               "data.a.allow is false (t.rego:2).\n"
               "It would be true by the rule at t.rego:3, if this were different:\n"
               "  t.rego:7  input.user is \"mallory\", want != \"mallory\"\n");
    assert_str(why("{\"user\": \"bob\", \"method\": \"GET\", \"role\": \"guest\"}"),
               "data.a.allow is false (t.rego:2).\n"
               "It would be true by the rule at t.rego:3, if this were different:\n"
               "  t.rego:5  input.role is \"guest\", want \"admin\"\n"
               "Or by the rule at t.rego:3, if this were different:\n"
               "  t.rego:6  input.user is \"bob\", want one of [\"root\"]\n"
               "Or by the rule at t.rego:4, if this were different:\n"
               "  t.rego:4  input.age is undefined, want > 18\n");
    assert_str(why("{\"role\": \"admin\", \"user\": \"bob\"}"),
               "data.a.allow is true (t.rego:3).\n"
               "It would be something else by the rule at t.rego:3, if this were different:\n"
               "  t.rego:5  input.role is \"admin\", want != \"admin\"\n"
               "Or by the rule at t.rego:3, if this were different:\n"
               "  t.rego:7  input.user is \"bob\", want \"mallory\"\n");
}

static void test_why_of_nothing(void **state)
{
    (void)state;
    struct setup s = prepare(roles, NULL, false);
    struct rego_why w;
    rego_why(s.t, S("data.a"), &(struct rego_why_options){0}, &arena, &w);
    assert_true(w.failed);
    assert_string_equal(w.error.code, "why_error");
    drop(&s);
}

/* Nesting is bounded by the stack, not by the policy. */
static void test_depth(void **state)
{
    (void)state;
    buf_clear(&out);
    buf_puts(&out, S("package t\np if {\n"));
    for (int i = 0; i < 20000; i++) {
        buf_puts(&out, S("input\n"));
    }
    buf_puts(&out, S("}\n"));
    const char *policy = arena_cstr(&arena, buf_str(&out));
    struct setup s = prepare(policy, "data.t.p", true);
    struct rego_result r;
    rego_topdown_eval(s.q, &(struct rego_eval_options){.input = VAL_TRUE}, NULL, &arena, &r);
    assert_true(r.failed);
    assert_string_equal(r.error.code, "eval_internal_error");
    drop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_partial),
        cmocka_unit_test(test_trace),
        cmocka_unit_test(test_trace_of_notes),
        cmocka_unit_test(test_cover),
        cmocka_unit_test(test_why),
        cmocka_unit_test(test_why_of_nothing),
        cmocka_unit_test(test_depth),
    };
    arena_init(&arena, (size_t)1 << 30);
    buf_init(&out, 8 << 20);
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    buf_release(&out);
    arena_release(&arena);
    return r;
}
