#include "op.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/secret.h"
#include "lib/daemon/daemon.h"
#include "lib/telemetry/telemetry.h"

#include "denylist.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

static void client_gone(void *ctx)
{
    struct op *op = ctx;
    op->req = NULL;
}

/* RFC 6750 section 2.1: one header, the scheme in any case, blanks, one token. */
static void read_authorization(struct op *op, const struct http_req *req)
{
    size_t seen = 0;
    for (size_t i = 0; i < req->n_headers; i++) {
        if (!str_is(req->headers[i].name, "authorization")) {
            continue;
        }
        struct str v = req->headers[i].value;
        size_t blank = str_find_char(v, ' ');
        struct str scheme = str_sub(v, 0, blank == STR_NPOS ? v.n : blank),
                   rest = str_sub(v, scheme.n, v.n);
        while (rest.n > 0 && rest.p[0] == ' ') {
            rest = str_sub(rest, 1, rest.n);
        }
        if (str_eq_nocase(scheme, S("bearer"))) {
            op->bearer = arena_str(&op->arena, rest);
        } else if (str_eq_nocase(scheme, S("basic"))) {
            op->basic = arena_str(&op->arena, rest);
        }
        seen++;
    }
    op->bearer_twice = seen > 1;
}

static struct str cookie(struct op *op, const struct http_req *req, const char *name)
{
    struct str v;
    return http_cookie_get(req, name, &v) && v.n == ONE_TIME_TEXT ? arena_str(&op->arena, v)
                                                                  : STR_EMPTY;
}

struct op *op_new(struct authn *n, struct http_req *req)
{
    struct op *op = calloc(1, sizeof(*op));
    BUG_ON(op == NULL);
    arena_init(&op->arena, OP_ARENA);
    op->n = n;
    op->req = req;
    op->trace = req->trace;
    op->uid = req->peer->kind == PEER_UNIX ? req->peer->uid : (uid_t)-1;
    op->method = arena_str(&op->arena, req->method);
    op->path = arena_str(&op->arena, req->path);
    op->source = arena_str(&op->arena, req->peer->addr);
    op->origin = arena_str(&op->arena, http_header_get(req, "origin"));
    op->fetch_site = arena_str(&op->arena, http_header_get(req, "sec-fetch-site"));
    op->session_cookie = cookie(op, req, "__Host-sextant");
    op->browser_cookie = cookie(op, req, "__Host-sextant-browser");
    struct str type = http_header_get(req, "content-type");
    op->form = str_starts_nocase(type, S("application/x-www-form-urlencoded"));
    op->event = (struct audit_event){.class_uid = OCSF_AUTHENTICATION, .trace = req->trace};
    read_authorization(op, req);
    struct caller caller;
    /* A banned identity counts for nothing, however good its certificate still is. */
    if (!failed(daemon_caller(n->daemon, req, &caller)) &&
        !denylist_has(n->denylist, caller.spiffe_id)) {
        op->peer_id = arena_str(&op->arena, caller.spiffe_id);
    }
    http_on_abort(req, client_gone, op);
    return op;
}

struct err op_params(struct op *op, bool with_query)
{
    struct err e = OK;
    if (with_query) {
        e = params_add(&op->params, &op->arena, op->req->query);
    }
    if (!failed(e) && op->form) {
        e = params_add(&op->params, &op->arena, op->req->body);
        /* It may hold a password or a secret; the copy in our arena is wiped with it. */
        wipe((char *)(uintptr_t)op->req->body.p, op->req->body.n);
    }
    if (failed(e)) {
        op_oauth_error(op, 400, "invalid_request", "%s", err_detail());
    }
    return e;
}

struct err op_body_json(struct op *op, struct json **out)
{
    struct json *v;
    TRY(json_parse(&op->arena, op->req->body, NULL, &v));
    wipe((char *)(uintptr_t)op->req->body.p, op->req->body.n);
    ENSURE(v->type == JSON_OBJECT, ERR_INVALID, "the body must be a JSON object");
    *out = v;
    return OK;
}

void op_header(struct op *op, const char *name, struct str value)
{
    BUG_ON(op->n_headers == OP_HEADERS_MAX);
    op->headers[op->n_headers++] = (struct http_header){str_of(name), value};
}

void op_cross_origin(struct op *op)
{
    op_header(op, "access-control-allow-origin", S("*"));
}

void op_preflight(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    op_cross_origin(op);
    op_header(op, "access-control-allow-methods", S("GET, POST"));
    op_header(op, "access-control-allow-headers", S("authorization, content-type"));
    op_header(op, "access-control-max-age", S("600"));
    op_answer(op, 204, STR_EMPTY, STR_EMPTY);
    op_send(op);
}

void op_answer(struct op *op, int status, struct str content_type, struct str body)
{
    op->status = status;
    op->content_type = content_type;
    op->answer = body;
}

void op_json(struct op *op, int status, const struct buf *body)
{
    if (!buf_ok(body)) {
        op_answer(op, 500, S("application/json"), S("{\"error\":\"server_error\"}\n"));
        return;
    }
    op_answer(op, status, S("application/json"), arena_str(&op->arena, buf_str(body)));
}

void op_redirect(struct op *op, struct str location)
{
    op_header(op, "location", location);
    op_answer(op, 303, STR_EMPTY, STR_EMPTY);
}

void op_oauth_error(struct op *op, int status, const char *code, const char *fmt, ...)
{
    char text[ERR_DETAIL_MAX];
    struct buf b;
    struct jw w;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    buf_init(&b, 8192);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_str(&w, S("error"), str_of(code));
    jw_key_str(&w, S("error_description"), str_of(text));
    jw_end(&w);
    op_json(op, status, &b);
    buf_release(&b);
}

void op_error(struct op *op, struct err e)
{
    struct buf b;
    struct jw w;
    bool ours = e.code == ERR_IO || e.code == ERR_CRYPTO || e.code == ERR_INTERNAL;
    buf_init(&b, 8192);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_str(&w, S("error"), str_of(ours ? err_text(e) : err_detail()));
    jw_end(&w);
    op_json(op, err_http_status(e), &b);
    buf_release(&b);
}

static void free_op(struct op *op)
{
    if (op->wipe_answer) {
        wipe((char *)(uintptr_t)op->answer.p, op->answer.n);
    }
    client_unref(op->client);
    arena_release(&op->arena);
    free(op);
}

void op_send(struct op *op)
{
    struct http_req *req = op->req;
    if (req != NULL) {
        op_header(op, "x-content-type-options", S("nosniff"));
        op_header(op, "referrer-policy", S("no-referrer"));
        bool has_cache = false;
        for (size_t i = 0; i < op->n_headers; i++) {
            has_cache |= str_is(op->headers[i].name, "cache-control");
        }
        if (!has_cache) {
            op_header(op, "cache-control", S("no-store"));
        }
        struct http_reply r = {op->status, op->content_type, op->answer, op->headers,
                               op->n_headers};
        http_on_abort(req, NULL, NULL);
        http_reply(req, &r);
    }
    free_op(op);
}

/* ---- the store ---- */

static struct err run_write(void *ctx)
{
    struct op *op = ctx;
    return op->write(op);
}

static void run_then(void *ctx, struct err e)
{
    struct op *op = ctx;
    op->then(op, e);
}

void op_store(struct op *op, struct err (*write)(struct op *op),
              void (*then)(struct op *op, struct err e))
{
    op->write = write;
    op->then = then;
    store_batch(op->n->store, run_write, run_then, op);
}

/* ---- audit ---- */

static void count_outcome(const char *outcome)
{
    static struct metric counters[] = {
        METRIC_COUNTER("sextant_authn_decisions_total", "Decisions by outcome.", "outcome",
                       "allowed"),
        METRIC_COUNTER("sextant_authn_decisions_total", "Decisions by outcome.", "outcome",
                       "denied"),
        METRIC_COUNTER("sextant_authn_decisions_total", "Decisions by outcome.", "outcome",
                       "failed"),
    };
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        if (strcmp(counters[i].label_value, outcome) == 0) {
            metric_add(&counters[i], 1);
        }
    }
}

void op_audit(struct op *op, const char *activity, const char *outcome, struct str reason,
              void (*then)(struct op *op, struct err e))
{
    count_outcome(outcome);
    op->event.activity = activity;
    op->event.outcome = outcome;
    op->event.reason = reason;
    op->event.source_addr = op->source;
    if (op->event.actor_spiffe_id.n == 0) {
        op->event.actor_spiffe_id = op->peer_id;
    }
    op->then = then;
    audit_emit(op->n->daemon->audit, &op->event, run_then, op);
}

static void audited(struct op *op, struct err e)
{
    if (failed(e)) {
        log_warn("no answer without audit", {"path", LOG_STR(op->path)},
                 {"reason", LOG_CSTR(err_detail())});
        if (op->wipe_answer) {
            wipe((char *)(uintptr_t)op->answer.p, op->answer.n);
        }
        op->n_headers = 0;
        op->wipe_answer = false;
        op_header(op, "retry-after", S("2"));
        op_oauth_error(op, 503, "temporarily_unavailable",
                       "the audit service does not acknowledge events, so nothing is released");
    }
    op_send(op);
}

void op_end(struct op *op, const char *activity, const char *outcome, struct str reason)
{
    op_audit(op, activity, outcome, arena_str(&op->arena, reason), audited);
}

void op_fail(struct op *op, const char *activity, struct err e)
{
    struct str detail = arena_str(&op->arena, str_of(err_detail()));
    bool wait = e.code == ERR_UNAVAILABLE || e.code == ERR_BUSY || e.code == ERR_TIMEOUT ||
                e.code == ERR_LIMIT || e.code == ERR_CLOSED;
    log_warn("request failed", {"path", LOG_STR(op->path)}, {"reason", LOG_STR(detail)});
    op->n_headers = 0;
    if (wait) {
        op_header(op, "retry-after", S("1"));
    }
    op_oauth_error(op, wait ? 503 : 500, wait ? "temporarily_unavailable" : "server_error", "%s",
                   wait ? "try again in a moment" : "internal error");
    op_end(op, activity, "failed", detail);
}
