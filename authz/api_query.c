/* Ad-hoc queries, health, configuration and status. */
#include "authz.h"

#include "lib/base/clock.h"

#include <stdlib.h>

enum { REPLY_MAX = 1 << 30 };

static void put_rows(struct buf *b, const struct rego_query *q, const struct rego_result *r)
{
    bool any_row = r->n_rows > 0;
    buf_putc(b, '{');
    if (any_row) {
        buf_puts(b, S("\"result\":["));
    }
    for (size_t i = 0; i < r->n_rows; i++) {
        buf_puts(b, i > 0 ? S(",{") : S("{"));
        bool first = true;
        for (size_t k = 0; k < r->n_vars; k++) {
            struct val v = val_nth(r->rows[i], (uint32_t)k);
            if (val_undef(v)) {
                continue;
            }
            buf_puts(b, first ? S("") : S(","));
            first = false;
            val_json_string(b, rego_query_var(q, k), true);
            buf_putc(b, ':');
            val_to_json(b, v, true);
        }
        buf_putc(b, '}');
    }
    buf_puts(b, any_row ? S("]}") : S("}"));
}

static void run(struct authz *z, struct http_req *req, const struct rego_query *q, struct val input)
{
    struct arena a;
    struct rego_result r;
    arena_init(&a, (size_t)z->config->eval_memory);
    struct rego_eval_options o = {
        .input = input,
        .data = z->store.image->data,
        .strict_builtin_errors = query_flag(req, "strict-builtin-errors"),
        .max_steps = z->config->max_steps > 0 ? (uint64_t)z->config->max_steps : 0,
        .deadline_ns = z->config->eval_ns > 0 ? clock_mono_ns() + z->config->eval_ns : 0,
    };
    rego_eval(q, &o, &a, &r);
    if (r.failed) {
        struct rego_errors errors = {.a = &a};
        rego_errors_add(&errors, r.error.code, r.error.file, r.error.loc, "%.*s",
                        STR_FMT(r.error.message));
        reply_errors(req, 500, "internal_error", "error(s) occurred while evaluating query",
                     &errors);
    } else {
        struct buf b;
        buf_init(&b, REPLY_MAX);
        put_rows(&b, q, &r);
        if (query_flag(req, "pretty")) {
            struct val v;
            if (!failed(val_from_json(&a, arena_str(&a, buf_str(&b)), &v))) {
                buf_clear(&b);
                val_to_json_pretty(&b, v, "  ", true);
            }
        }
        buf_putc(&b, '\n');
        reply_value(req, 200, &b);
    }
    arena_release(&a);
}

static void query(struct authz *z, struct http_req *req, struct str text, struct val input)
{
    struct rego_errors errors = {.a = req->arena};
    struct rego_query *q;
    struct rego_query_options o = {.version = z->store.version, .capture = true};
    if (!rego_prepare(z->store.image->policy, text, &o, &errors, &q)) {
        bool parse = errors.n > 0 && strcmp(errors.v[0].code, "rego_parse_error") == 0;
        reply_errors(req, 400, "invalid_parameter",
                     parse ? "error(s) occurred while parsing query"
                           : "error(s) occurred while compiling query",
                     &errors);
        return;
    }
    run(z, req, q, input);
    rego_query_free(q);
}

static void query_get(struct http_req *req, void *ctx)
{
    struct str q;
    if (!http_query_get(req, "q", &q) || q.n == 0) {
        reply_error(req, 400, "invalid_parameter", "missing parameter 'q'");
        return;
    }
    query(ctx, req, q, VAL_UNDEF);
}

static void query_post(struct http_req *req, void *ctx)
{
    struct val body;
    if (failed(val_from_json(req->arena, req->body, &body))) {
        reply_error(req, 400, "invalid_parameter", "error(s) occurred while decoding request: %s",
                    req->body.n == 0 ? "EOF" : err_detail());
        return;
    }
    struct val q = val_get_str(body, "query");
    if (!val_is(q, V_STRING) || val_len(q) == 0) {
        reply_error(req, 400, "invalid_parameter", "missing required 'query' value");
        return;
    }
    query(ctx, req, val_text(q), val_get_str(body, "input"));
}

static void health(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    if (z->daemon != NULL && !daemon_ready(z->daemon)) {
        http_reply_json(req, 500, S("{\"error\":\"one or more plugins are not up\"}\n"));
        return;
    }
    http_reply_json(req, 200, S("{}\n"));
}

/* /health/{path}: data.system.health.<path> must be true. */
static void health_path(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    if (http_param(req, "path").n == 0) {
        health(req, ctx);
        return;
    }
    struct val path[32] = {val_str(req->arena, S("system")), val_str(req->arena, S("health"))};
    size_t n = 2;
    for (struct str rest = http_param(req, "path"); rest.p != NULL && n < ARRAY_LEN(path);) {
        struct str part = str_split(&rest, '/');
        if (part.n > 0) {
            path[n++] = val_str(req->arena, part);
        }
    }
    struct arena a;
    struct decision d = {0};
    arena_init(&a, (size_t)z->config->eval_memory);
    struct val input = val_empty_object();
    decide(z, path, n, input, false, &a, &d);
    bool ok = !d.eval.failed && val_is_true(d.result);
    http_reply_json(req, ok ? 200 : 500,
                    ok ? S("{}\n") : S("{\"error\":\"unable to perform evaluation\"}\n"));
    arena_release(&a);
}

static void config(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":{\"default_authorization_decision\":\"/system/authz/"
                   "allow\",\"default_decision\":"));
    val_json_string(&b, z->config->default_decision, true);
    buf_printf(&b, ",\"labels\":{\"id\":\"%s\",\"version\":\"1.22.2\"}}}\n", z->id);
    reply_value(req, 200, &b);
}

static void status(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_printf(
        &b,
        "{\"result\":{\"labels\":{\"id\":\"%s\",\"version\":\"1.22.2\"},\"plugins\":{\"policies\":"
        "{\"state\":\"OK\",\"revision\":%llu,\"files\":%zu}}}}\n",
        z->id, (unsigned long long)z->store.revision, z->store.image->n_files);
    reply_value(req, 200, &b);
}

static void banner(struct http_req *req, void *ctx)
{
    (void)ctx;
    http_reply(req,
               &(struct http_reply){
                   .status = 200,
                   .content_type = S("text/html; charset=utf-8"),
                   .body = S("<html><body><pre>sextant-authz: policy decisions. POST /v1/data/PATH "
                             "with {\"input\": …}, see docs/authz.md.</pre></body></html>\n")});
}

static void fallback(struct http_req *req, void *ctx, int code)
{
    (void)ctx;
    if (code == 405) {
        http_reply(req, &(struct http_reply){.status = 405});
        return;
    }
    http_reply(req, &(struct http_reply){.status = 404,
                                         .content_type = S("text/plain; charset=utf-8"),
                                         .body = S("404 page not found\n")});
}

void query_routes(struct authz *z, struct router *r)
{
    router_add(r, "GET", "/v1/query", query_get, z);
    router_add(r, "POST", "/v1/query", query_post, z);
    router_add(r, "GET", "/health", health, z);
    router_add(r, "GET", "/health/{path...}", health_path, z);
    router_add(r, "GET", "/v1/config", config, z);
    router_add(r, "GET", "/v1/status", status, z);
    router_add(r, "GET", "/", banner, z);
    router_fallback(r, fallback, z);
}
