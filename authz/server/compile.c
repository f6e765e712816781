/* The Compile API: what remains of a query while parts of the documents are unknown. */
#include "answer.h"

#include "authz/rego/partial.h"
#include "lib/base/clock.h"

enum { LIST_MAX = 1000 }; /* unknowns, references that stay rules */

struct compiling {
    struct authz *z;
    struct http_req *req;
    struct params p;
    struct timers t;
    struct arena memory;
    struct str query;
    struct val input;
    struct rego_partial_options o;
    struct str unknowns[LIST_MAX], keep[LIST_MAX];
};

static bool refuse(struct compiling *c, const char *prefix, struct str what)
{
    reply_error(c->req, 400, "invalid_parameter", "%s%.*s", prefix, STR_FMT(what));
    return false;
}

/* The strings of a list; null and absence are an empty one. */
static bool strings(struct compiling *c, struct val v, const char *field, struct str *out,
                    size_t *n)
{
    *n = 0;
    if (val_undef(v) || val_is(v, V_NULL)) {
        return true;
    }
    struct val bad = val_is(v, V_ARRAY) ? VAL_UNDEF : v;
    const char *want = val_undef(bad) ? "string" : "[]string";
    for (uint32_t i = 0; val_undef(bad) && i < MIN(val_len(v), (uint32_t)LIST_MAX); i++) {
        struct val item = val_nth(v, i);
        bad = val_is(item, V_STRING) ? VAL_UNDEF : item;
        out[(*n)++] = val_undef(bad) ? val_text(item) : STR_EMPTY;
    }
    if (!val_undef(bad)) {
        reply_error(c->req, 400, "invalid_parameter",
                    "error(s) occurred while decoding request: json: cannot unmarshal %s into Go "
                    "struct field CompileRequestV1.%s of type %s",
                    go_json_kind(bad), field, want);
    }
    return val_undef(bad);
}

static bool read_body(struct compiling *c, struct val *body)
{
    struct str text = STR_EMPTY, why = STR_EMPTY;
    if (!body_read(c->z, c->req, &c->memory, &text, &why)) {
        return refuse(c, "", why);
    }
    why = S("EOF");
    if (!body_parse(&c->memory, text, false, body, &why) || val_undef(*body)) {
        return refuse(c, "error(s) occurred while decoding request: ", why);
    }
    if (!val_is(*body, V_OBJECT) && !val_is(*body, V_NULL)) {
        return refuse(c, "error(s) occurred while decoding request: json: cannot unmarshal ",
                      arena_printf(&c->memory, "%s into Go value of type types.CompileRequestV1",
                                   go_json_kind(*body)));
    }
    return true;
}

static bool read_request(struct compiling *c)
{
    struct val body = VAL_UNDEF;
    if (!read_body(c, &body)) {
        return false;
    }
    struct val q = val_get_str(body, "query"), options = val_get_str(body, "options");
    struct val unknowns = val_get_str(body, "unknowns");
    if (!val_undef(q) && !val_is(q, V_NULL) && !val_is(q, V_STRING)) {
        return refuse(c, "error(s) occurred while decoding request: json: cannot unmarshal ",
                      arena_printf(&c->memory,
                                   "%s into Go struct field CompileRequestV1.query of type string",
                                   go_json_kind(q)));
    }
    c->query = val_is(q, V_STRING) ? val_text(q) : STR_EMPTY;
    c->input = val_get_str(body, "input");
    c->input = val_is(c->input, V_NULL) ? VAL_UNDEF : c->input;
    c->o.unknowns = c->unknowns;
    c->o.disable_inlining = c->keep;
    c->o.nondeterministic = val_is_true(val_get_str(options, "nondeterministicBuiltins"));
    if (!strings(c, unknowns, "unknowns", c->unknowns, &c->o.n_unknowns) ||
        !strings(c, val_get_str(options, "disableInlining"), "options.disableInlining", c->keep,
                 &c->o.n_disable_inlining)) {
        return false;
    }
    if (val_is(unknowns, V_ARRAY) && c->o.n_unknowns == 0) {
        /* Nothing is unknown: said by something that no query names. */
        c->unknowns[c->o.n_unknowns++] = S("data[\"nothing is unknown\"]");
    }
    return true;
}

const struct rego_topdown *topdown_of(struct authz *z)
{
    if (z->topdown == NULL || z->topdown_revision != z->store.revision) {
        rego_topdown_free(z->topdown);
        z->topdown = rego_topdown_new(z->store.policy);
        z->topdown_revision = z->store.revision;
    }
    return z->topdown;
}

static void reply_result(struct compiling *c, const struct rego_partial_result *r,
                         struct rego_trace *trace)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":"));
    rego_partial_to_json(&b, r, "support");
    if (trace != NULL) {
        buf_puts(&b, S(",\"explanation\":"));
        rego_trace_to_json(&b, trace, c->p.pretty);
    }
    if (c->p.metrics || c->p.instrument) {
        c->t.handler_ns = clock_mono_ns() - c->t.begin_ns;
        buf_puts(&b, S(",\"metrics\":"));
        put_metrics(&b, &c->t);
    }
    buf_putc(&b, '}');
    reply_value(c->z, c->req, 200, &b, c->p.pretty);
}

static void evaluate(struct compiling *c, struct rego_topdown_query *q)
{
    struct rego_partial_result r;
    struct rego_trace trace;
    bool explained = c->p.explain != EXPLAIN_OFF;
    int64_t start = clock_mono_ns();
    c->o.eval = eval_options(c->z, c->input);
    c->o.eval.deadline_ns = c->z->config->eval_ns > 0 ? start + c->z->config->eval_ns : 0;
    if (explained) {
        rego_trace_init(&trace, &c->memory, c->p.explain);
    }
    rego_partial(q, &c->o, explained ? &trace.tracer : NULL, &c->memory, &r);
    c->t.eval_ns = clock_mono_ns() - start;
    if (!r.failed) {
        reply_result(c, &r, explained ? &trace : NULL);
    } else if (strcmp(r.error.code, "partial_error") == 0) {
        (void)refuse(c, "error(s) occurred while parsing unknowns: ", r.error.message);
    } else {
        reply_eval_error(c->req, &r.error);
    }
}

static void prepare(struct compiling *c)
{
    struct rego_errors errors = {.a = c->req->arena};
    /* http.send would let anyone who may ask have this machine ask others. */
    static const char *const unsafe[] = {"http.send", NULL};
    struct rego_query_options o = {.version = c->z->store.version, .unsafe_builtins = unsafe};
    struct rego_topdown_query *q;
    struct rego_query *checked;
    if (str_trim(c->query).n == 0) {
        (void)refuse(c, "missing required 'query' value", STR_EMPTY);
        return;
    }
    if (!rego_prepare(c->z->store.policy, c->query, &o, &errors, &checked)) {
        bool parse = strcmp(errors.v[0].code, "rego_parse_error") == 0;
        reply_errors(c->req, 400, "invalid_parameter",
                     parse ? "error(s) occurred while parsing query"
                           : "error(s) occurred while compiling module(s)",
                     &errors);
        return;
    }
    rego_query_free(checked);
    int64_t start = clock_mono_ns();
    if (rego_topdown_prepare(topdown_of(c->z), c->query, &o, &errors, &q)) {
        c->t.compile_ns = clock_mono_ns() - start;
        evaluate(c, q);
        rego_topdown_query_free(q);
    } else {
        reply_errors(c->req, 400, "invalid_parameter",
                     "error(s) occurred while compiling module(s)", &errors);
    }
}

static void compile(struct http_req *req, void *ctx)
{
    static struct compiling c; /* one at a time: nothing here waits */
    memset(&c, 0, sizeof c);
    c.z = ctx;
    c.req = req;
    c.t.begin_ns = clock_mono_ns();
    meter_label(req, HANDLER_V1_COMPILE);
    params_read(req, &c.p);
    arena_init(&c.memory, (size_t)c.z->config->eval_memory);
    if (read_request(&c)) {
        prepare(&c);
    }
    arena_release(&c.memory);
}

void compile_routes(struct authz *z, struct router *r)
{
    router_add(r, "POST", "/v1/compile", compile, z);
}
