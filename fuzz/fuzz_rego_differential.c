/* deps: rego base */
/*
 * The two evaluators must agree: same value or same error, whatever the policy. The input is a policy,
 * perhaps followed by a line "# input" and JSON, and "# data" and JSON. What remains of partial
 * evaluation with everything unknown must be there or not, but never a crash.
 */
#include "authz/rego/partial.h"
#include "authz/rego/trace.h"
#include "authz/rego/why.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct val document(struct arena *a, struct str text, const char *mark, const char *instead)
{
    size_t at = str_find(text, str_of(mark));
    struct val v = VAL_UNDEF;
    if (at != STR_NPOS) {
        struct str rest = str_sub(text, at + strlen(mark), text.n);
        if (!failed(val_from_json(a, str_split(&rest, '\n'), &v)) && val_is(v, V_OBJECT)) {
            return v;
        }
    }
    ignore_err(val_from_json(a, str_of(instead), &v));
    return v;
}

static bool gave_up(const struct rego_result *r)
{
    return r->failed && (strcmp(r->error.code, "eval_cancel_error") == 0 ||
                         strcmp(r->error.code, "eval_internal_error") == 0);
}

static bool same_rows(struct arena *a, const struct rego_result *x, const struct rego_result *y)
{
    return val_eq(val_set(a, x->rows, x->n_rows), val_set(a, y->rows, y->n_rows));
}

static void compare(struct arena *a, const struct rego_policy *p, const struct rego_topdown *t,
                    const struct rego_eval_options *o)
{
    struct rego_errors errors = {.a = a};
    struct rego_query *q;
    struct rego_topdown_query *tq;
    struct rego_result fast, slow;
    if (!rego_prepare(p, S("data.fuzz = x"), NULL, &errors, &q)) {
        return;
    }
    BUG_ON(!rego_topdown_prepare(t, S("data.fuzz = x"), NULL, &errors, &tq));
    rego_eval(q, o, a, &fast);
    rego_topdown_eval(tq, o, NULL, a, &slow);
    if (!gave_up(&fast) && !gave_up(&slow)) {
        BUG_ON(fast.failed != slow.failed);
        BUG_ON(fast.failed && strcmp(fast.error.code, slow.error.code) != 0);
        BUG_ON(!fast.failed && !same_rows(a, &fast, &slow));
    }
    rego_query_free(q);
    rego_topdown_query_free(tq);
}

static void others(struct arena *a, const struct rego_topdown *t, const struct rego_eval_options *o)
{
    struct rego_errors errors = {.a = a};
    struct rego_topdown_query *q;
    struct rego_partial_options po = {.eval = *o};
    struct rego_partial_result r;
    struct rego_why_options wo = {.eval = *o};
    struct rego_why w;
    struct rego_trace trace;
    struct buf out;
    buf_init(&out, 8 << 20);
    rego_trace_init(&trace, a, EXPLAIN_FULL);
    if (rego_topdown_prepare(t, S("data.fuzz.p"), NULL, &errors, &q)) {
        rego_partial(q, &po, &trace.tracer, a, &r);
        rego_partial_to_source(&out, &r);
        rego_partial_to_json(&out, &r, "support");
        rego_topdown_query_free(q);
    }
    rego_why(t, S("data.fuzz.p"), &wo, a, &w);
    rego_why_to_text(&out, &w);
    rego_trace_to_json(&out, &trace, false);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size > 8 * 1024) {
        return 0;
    }
    arena_init(&a, 256 << 20);
    struct str text = arena_printf(&a, "package fuzz\n%.*s", (int)size, (const char *)data);
    struct rego_errors errors = {.a = &a};
    struct rego_source src = {S("fuzz.rego"), text, REGO_V1};
    struct rego_policy *p = NULL;
    if (rego_compile(&src, 1, NULL, &errors, &p)) {
        struct rego_eval_options o = {.max_steps = 20000, .now_ns = 1};
        o.input = document(&a, text, "# input ",
                           "{\"a\":[1,2.5,{\"b\":null}],\"s\":\"text\",\"t\":true,\"n\":3}");
        o.data = document(&a, text, "# data ", "{\"d\":{\"x\":[1,2,3]},\"e\":\"text\"}");
        struct rego_topdown *t = rego_topdown_new(p);
        compare(&a, p, t, &o);
        others(&a, t, &o);
        rego_topdown_free(t);
        rego_policy_free(p);
    }
    arena_release(&a);
    return 0;
}
