/* Asking for decisions: /v1/data, /v0/data and the default decision. */
#include "answer.h"
#include "outing.h"

#include "authz/rego/why.h"
#include "lib/base/clock.h"

/* Time since `*since`, which moves on; 0 when nobody measures. */
static int64_t lap(const struct answer *x, int64_t *since)
{
    if (x->t.begin_ns == 0) {
        return 0;
    }
    int64_t now = clock_mono_ns(), d = now - *since;
    *since = now;
    return d;
}

/* A function, asked for as if it were a document: told as the error that it is. */
static bool asks_for_function(struct answer *x, struct str ref)
{
    struct rego_errors errors = {.a = &x->memory};
    struct rego_query_options o = {.version = x->z->store.version};
    struct rego_query *q;
    if (rego_prepare(x->z->store.policy, ref, &o, &errors, &q)) {
        rego_query_free(q);
        return false;
    }
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_errors_write(&b, &errors);
    answer_error(x, 500, "internal_error", buf_str(&b), NULL);
    x->d.error = "the path names a function";
    buf_release(&b);
    return true;
}

/* Evaluates once more, step by step, for ?explain. Of what is undefined the full account alone is given. */
static void explain(struct answer *x, struct str ref, struct val input)
{
    struct rego_errors errors = {.a = &x->memory};
    struct rego_query_options o = {.version = x->z->store.version, .capture = true};
    struct rego_topdown_query *q;
    bool wanted = x->p.explain == EXPLAIN_FULL || !val_undef(x->d.result);
    if (wanted && rego_topdown_prepare(topdown_of(x->z), ref, &o, &errors, &q)) {
        struct rego_eval_options e = eval_options(x->z, input);
        struct rego_result r;
        e.strict_builtin_errors = x->p.strict;
        x->trace = arena_new(&x->memory, struct rego_trace);
        rego_trace_init(x->trace, &x->memory, x->p.explain);
        rego_topdown_eval(q, &e, &x->trace->tracer, &x->memory, &r);
        answer_result(x);
        rego_topdown_query_free(q);
    } else {
        answer_result(x);
    }
}

/* What would have to be different for another answer: ?why. */
static void account(struct answer *x, struct str ref, struct val input)
{
    struct rego_why_options o = {.eval = eval_options(x->z, input)};
    x->why = arena_new(&x->memory, struct rego_why);
    rego_why(topdown_of(x->z), ref, &o, &x->memory, x->why);
    x->why = x->why->failed ? NULL : x->why;
}

static void undefined_v0(struct answer *x, const struct target *t, struct str ref)
{
    bool rules = rego_path_has_rules(x->z->store.policy, t->path, t->n);
    struct str why = arena_printf(&x->memory, "document %s: %.*s", rules ? "undefined" : "missing",
                                  STR_FMT(ref));
    x->d.error = why.p;
    x->d.error_code = "undefined_document";
    answer_error(x, 404, x->d.error_code, why, NULL);
}

static void decide_and_answer(struct answer *x, struct str raw, struct val input, int64_t since)
{
    struct str bad;
    const struct target *t = target_find(x->z, &x->memory, raw, &bad);
    if (t == NULL) {
        reply_error(x->req, 500, "internal_error",
                    "invalid_parameter: invalid path: invalid ref term '%.*s'", STR_FMT(bad));
        answer_free(x);
        return;
    }
    x->d.path = raw;
    if (decisions_are_kept(x->z)) {
        decision_new_id(x->d.id);
    }
    x->t.prepare_ns = lap(x, &since);
    decide(x->z, t->path, t->n, input, x->p.strict, &x->memory, &x->d);
    if (x->d.eval.waiting) {
        outing_wait(x->z);
        answer_free(x);
        return;
    }
    x->t.eval_ns = x->d.eval_ns = lap(x, &since);
    x->t.handler_ns = x->t.begin_ns != 0 ? since - x->t.begin_ns : 0;
    x->d.parse_ns = x->t.parse_ns;
    x->d.prepare_ns = x->t.prepare_ns;
    x->d.handler_ns = x->t.handler_ns;
    if (x->p.why && !x->v0 && !x->d.eval.failed) {
        account(x, path_ref(&x->memory, t->path, t->n), input);
    }
    if (x->d.eval.failed) {
        answer_eval_error(x);
    } else if (x->p.explain != EXPLAIN_OFF && !x->v0) {
        explain(x, path_ref(&x->memory, t->path, t->n), input);
    } else if (val_undef(x->d.result)) {
        struct str ref = path_ref(&x->memory, t->path, t->n);
        if (!asks_for_function(x, ref)) {
            if (x->v0) {
                undefined_v0(x, t, ref);
            } else {
                answer_result(x);
            }
        }
    } else {
        answer_result(x);
    }
    answer_send(x);
}

/* Go's decoder takes the name in any case, if it is not there as it should be. */
static struct val member_any_case(struct val obj, const char *name)
{
    struct val v = val_get_str(obj, name);
    for (uint32_t i = 0; val_undef(v) && i < val_len(obj); i++) {
        struct val k = val_tab(obj)->v[2 * (size_t)i];
        v = str_eq_nocase(val_text(k), str_of(name)) ? val_nth(obj, i) : v;
    }
    return v;
}

/* Of a request's body: its `input`, and what else stands beside it. */
static bool post_input(struct answer *x, struct val *input, struct str *why)
{
    struct str text = STR_EMPTY;
    struct val body = VAL_UNDEF;
    *input = VAL_UNDEF;
    if (!body_read(x->z, x->req, &x->memory, &text, why)) {
        return false;
    }
    if (!body_parse(&x->memory, text, body_is_yaml(x->req), &body, why)) {
        bool number = str_starts(*why, S("invalid number: number"));
        *why =
            arena_printf(&x->memory, "%s%.*s",
                         number ? "" : "body contains malformed input document: ", STR_FMT(*why));
        return false;
    }
    if (val_is(body, V_OBJECT)) {
        *input = member_any_case(body, "input");
        *input = val_is(*input, V_NULL) ? VAL_UNDEF : *input;
        x->d.request = val_len(body) > (val_undef(*input) ? 0u : 1u) ? body : VAL_UNDEF;
    } else if (!val_undef(body) && !val_is(body, V_NULL)) {
        *why = arena_printf(&x->memory,
                            "body contains malformed input document: json: cannot unmarshal %s "
                            "into Go value of type types.alias",
                            go_json_kind(body));
        return false;
    }
    x->warn = val_undef(*input);
    return true;
}

/* The last `input` parameter counts. */
static bool get_input(struct answer *x, struct val *input, struct str *why)
{
    struct str rest = x->req->query, name, v, text = STR_EMPTY;
    *input = VAL_UNDEF;
    while (param_next(x->req->arena, &rest, &name, &v)) {
        if (str_is(name, "input")) {
            text = (struct str){v.p != NULL ? v.p : "", v.n};
        }
    }
    if (text.p == NULL || json_parse_whole(&x->memory, text, input, why)) {
        return true;
    }
    *why = arena_printf(&x->memory, "parameter contains malformed input document: %.*s",
                        STR_FMT(*why));
    return false;
}

void data_read(struct http_req *req, void *ctx)
{
    struct answer *x = answer_new(ctx, req);
    struct val input;
    struct str why;
    int64_t since = x->t.begin_ns;
    bool post = str_is(req->method, "POST");
    if (!(post ? post_input(x, &input, &why) : get_input(x, &input, &why))) {
        reply_error(req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
        answer_free(x);
        return;
    }
    x->t.parse_ns = lap(x, &since);
    decide_and_answer(x, path_rest(req, "/v1/data"), input, since);
}

static void v0_decision(struct authz *z, struct http_req *req, struct str path)
{
    struct answer *x = answer_new(z, req);
    struct val input;
    struct str text = STR_EMPTY, why;
    int64_t since = x->t.begin_ns;
    x->v0 = true;
    bool ok = body_read(z, req, &x->memory, &text, &why);
    const char *kind = "";
    if (ok && !body_parse(&x->memory, text, body_is_yaml(req), &input, &why)) {
        kind = str_starts(why, S("invalid number: number"))
                   ? ""
                   : "body contains malformed input document: ";
        ok = false;
    }
    if (!ok) {
        reply_error(req, 400, "invalid_parameter", "unexpected parse error for input: %s%.*s", kind,
                    STR_FMT(why));
        answer_free(x);
        return;
    }
    x->t.parse_ns = lap(x, &since);
    decide_and_answer(x, path, val_undef(input) ? VAL_NULL : input, since);
}

void data_v0(struct http_req *req, void *ctx)
{
    v0_decision(ctx, req, path_rest(req, "/v0/data"));
}

void data_default(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct str path = z->config->default_decision;
    v0_decision(z, req, str_sub(path, str_starts(path, S("/")), path.n));
}
