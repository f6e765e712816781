/* Ad-hoc queries: /v1/query. */
#include "answer.h"
#include "outing.h"

#include "lib/base/clock.h"

static void put_row(struct buf *b, const struct rego_query *q, const struct rego_result *r,
                    size_t i)
{
    bool first = true;
    buf_putc(b, '{');
    for (size_t k = 0; k < r->n_vars; k++) {
        struct val v = val_nth(r->rows[i], (uint32_t)k);
        struct str name = rego_query_var(q, k);
        if (val_undef(v) || str_starts(name, S("$"))) {
            continue;
        }
        buf_puts(b, first ? S("") : S(","));
        first = false;
        val_json_string(b, name, true);
        buf_putc(b, ':');
        val_to_json(b, v, true);
    }
    buf_putc(b, '}');
}

/*
 * Of several expressions each has to be true; one alone is shown whatever it is, unless it was one of many
 * solutions.
 */
static bool row_counts(const struct rego_query *q, const struct rego_result *r, size_t i)
{
    bool all = rego_query_exprs(q) > 1 || r->n_rows > 1;
    for (size_t k = 0; all && k < r->n_exprs; k++) {
        if (val_is_false(val_nth(r->rows[i], (uint32_t)(r->n_vars + k)))) {
            return false;
        }
    }
    return true;
}

static void put_answer(struct answer *x, const struct rego_query *q, struct buf *b)
{
    const struct rego_result *r = &x->d.eval;
    bool any = false, first = true;
    buf_putc(b, '{');
    if (x->p.metrics || x->p.instrument) {
        buf_puts(b, S("\"metrics\":"));
        put_metrics(b, &x->t);
        first = false;
    }
    for (size_t i = 0; i < r->n_rows; i++) {
        if (!row_counts(q, r, i)) {
            continue;
        }
        buf_puts(b, any ? S(",") : first ? S("\"result\":[") : S(",\"result\":["));
        any = true;
        put_row(b, q, r, i);
    }
    buf_puts(b, any ? S("]}") : S("}"));
}

/* The rows as a value, for those who keep decisions. */
static struct val rows_value(struct answer *x, struct str json)
{
    struct val v = VAL_UNDEF;
    if (!decisions_are_kept(x->z) ||
        failed(val_from_json(&x->memory, arena_str(&x->memory, json), &v))) {
        return VAL_UNDEF;
    }
    return val_get_str(v, "result");
}

static void run(struct answer *x, const struct rego_query *q, struct val input)
{
    struct authz *z = x->z;
    int64_t start = clock_mono_ns();
    struct rego_eval_options o = eval_options(z, input);
    o.deadline_ns = z->config->eval_ns > 0 ? start + z->config->eval_ns : 0;
    outing_fill(z, rego_query_asks(q), &o);
    rego_eval(q, &o, &x->memory, &x->d.eval);
    x->t.eval_ns = x->d.eval_ns = clock_mono_ns() - start;
    if (x->d.eval.waiting) {
        outing_spent(z, &x->d.eval, x->d.eval_ns);
        return;
    }
    x->t.handler_ns = x->t.begin_ns != 0 ? clock_mono_ns() - x->t.begin_ns : 0;
    if (x->d.eval.failed) {
        answer_eval_error(x);
        return;
    }
    struct buf plain;
    buf_init(&plain, REPLY_MAX);
    put_answer(x, q, &plain);
    x->d.result = rows_value(x, buf_str(&plain));
    if (x->p.pretty) {
        json_indent(&x->body, buf_str(&plain));
    } else {
        buf_puts(&x->body, buf_str(&plain));
    }
    x->body.overflow |= plain.overflow;
    buf_putc(&x->body, '\n');
    buf_release(&plain);
}

static void query(struct answer *x, struct str text, struct val input)
{
    struct http_req *req = x->req;
    struct rego_errors errors = {.a = req->arena};
    struct rego_query *q;
    /* http.send would let anyone who may ask have this machine ask others. */
    static const char *const unsafe[] = {"http.send", NULL};
    struct rego_query_options o = {
        .version = x->z->store.version, .capture = true, .unsafe_builtins = unsafe};
    int64_t start = clock_mono_ns();
    if (str_trim(text).n == 0) {
        reply_error(req, 500, "internal_error", "cannot evaluate empty query");
        answer_free(x);
        return;
    }
    if (!rego_prepare(x->z->store.policy, text, &o, &errors, &q)) {
        bool parse = errors.n > 0 && strcmp(errors.v[0].code, "rego_parse_error") == 0;
        reply_errors(req, 400, "invalid_parameter",
                     parse ? "error(s) occurred while parsing query"
                           : "error(s) occurred while compiling query",
                     &errors);
        answer_free(x);
        return;
    }
    x->t.compile_ns = clock_mono_ns() - start;
    x->d.query = arena_str(&x->memory, text);
    x->d.input = input;
    decision_new_id(x->d.id);
    run(x, q, input);
    rego_query_free(q);
    if (x->d.eval.waiting) {
        outing_wait(x->z);
        answer_free(x);
        return;
    }
    answer_send(x);
}

/* The last `q` counts. */
static void query_get(struct http_req *req, void *ctx)
{
    struct str rest = req->query, name, v, q = STR_EMPTY;
    meter_label(req, HANDLER_V1_QUERY);
    while (param_next(req->arena, &rest, &name, &v)) {
        if (str_is(name, "q")) {
            q = (struct str){v.p != NULL ? v.p : "", v.n};
        }
    }
    if (q.p == NULL) {
        reply_error(req, 400, "invalid_parameter", "missing parameter 'q'");
        return;
    }
    query(answer_new(ctx, req), q, VAL_UNDEF);
}

static bool read_request(struct answer *x, struct val *body)
{
    struct http_req *req = x->req;
    struct str text = STR_EMPTY, why;
    if (!body_read(x->z, req, &x->memory, &text, &why)) {
        reply_error(req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
        return false;
    }
    why = S("EOF");
    if (!body_parse(&x->memory, text, false, body, &why) || val_undef(*body)) {
        reply_error(req, 400, "invalid_parameter", "error(s) occurred while decoding request: %.*s",
                    STR_FMT(why));
        return false;
    }
    if (!val_is(*body, V_OBJECT) && !val_is(*body, V_NULL)) {
        reply_error(req, 400, "invalid_parameter",
                    "error(s) occurred while decoding request: json: cannot unmarshal %s into Go "
                    "value of type types.QueryRequestV1",
                    go_json_kind(*body));
        return false;
    }
    struct val q = val_get_str(*body, "query");
    if (!val_undef(q) && !val_is(q, V_STRING) && !val_is(q, V_NULL)) {
        reply_error(req, 400, "invalid_parameter",
                    "error(s) occurred while decoding request: json: cannot unmarshal %s into Go "
                    "struct field QueryRequestV1.query of type string",
                    go_json_kind(q));
        return false;
    }
    return true;
}

static void query_post(struct http_req *req, void *ctx)
{
    struct answer *x = answer_new(ctx, req);
    struct val body;
    meter_label(req, HANDLER_V1_QUERY);
    if (!read_request(x, &body)) {
        answer_free(x);
        return;
    }
    struct val q = val_get_str(body, "query"), input = val_get_str(body, "input");
    query(x, val_is(q, V_STRING) ? val_text(q) : S(""), val_is(input, V_NULL) ? VAL_UNDEF : input);
}

void query_routes(struct authz *z, struct router *r)
{
    router_add(r, "GET", "/v1/query", query_get, z);
    router_add(r, "POST", "/v1/query", query_post, z);
}
