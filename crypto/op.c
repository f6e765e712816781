#include "op.h"

#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/daemon/bans.h"
#include "lib/telemetry/telemetry.h"

#include <unistd.h>

static struct metric requests_ok =
    METRIC_COUNTER("sextant_crypto_requests_total", "Transit requests.", "outcome", "allowed");
static struct metric requests_denied =
    METRIC_COUNTER("sextant_crypto_requests_total", "Transit requests.", "outcome", "denied");
static struct metric requests_failed =
    METRIC_COUNTER("sextant_crypto_requests_total", "Transit requests.", "outcome", "failed");

/* ---- fields ---- */

bool field_has(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return v != NULL && !json_is(v, JSON_NULL);
}

struct str field_str(const struct json *o, const char *key)
{
    return json_str(json_get(o, key));
}

struct err field_u32(const struct json *o, const char *key, uint32_t *out)
{
    const struct json *v = json_get(o, key);
    uint64_t n = 0;
    if (v == NULL || json_is(v, JSON_NULL)) {
        return OK;
    }
    struct err e = json_is(v, JSON_STRING) ? str_to_u64(json_str(v), &n) : json_u64(v, &n);
    ENSURE(!failed(e) && n <= UINT32_MAX, ERR_INVALID,
           "Field validation failed: error converting input for field \"%s\"", key);
    *out = (uint32_t)n;
    return OK;
}

struct err field_bool(const struct json *o, const char *key, bool *out)
{
    const struct json *v = json_get(o, key);
    struct str text = json_str(v);
    if (v == NULL || json_is(v, JSON_NULL)) {
        return OK;
    }
    bool yes = json_is(v, JSON_TRUE) || str_is(text, "true") || str_is(text, "1");
    bool no = json_is(v, JSON_FALSE) || str_is(text, "false") || str_is(text, "0");
    ENSURE(yes || no, ERR_INVALID,
           "Field validation failed: error converting input for field \"%s\"", key);
    *out = yes;
    return OK;
}

struct err field_base64(struct arena *a, const struct json *o, const char *key, struct str *out)
{
    struct str bytes;
    ENSURE(!failed(base64_decode(a, field_str(o, key), BASE64_STD, &bytes)), ERR_INVALID,
           "failed to base64-decode %s", key);
    *out = bytes;
    return OK;
}

/* ---- life ---- */

static void op_free(struct op *op)
{
    buf_release(&op->reply);
    arena_release(&op->arena);
    free(op);
}

static void on_abort(void *ctx)
{
    struct op *op = ctx;
    op->req = NULL;
}

static void reply_errors(struct http_req *req, int status, struct str text)
{
    struct buf body;
    struct jw w;
    buf_init(&body, 8192);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key(&w, S("errors"));
    jw_arr(&w);
    if (text.n > 0) {
        jw_str(&w, text);
    }
    jw_end(&w);
    jw_end(&w);
    http_reply_json(req, status, buf_str(&body));
    buf_release(&body);
}

/*
 * A banned identity uses no key. Callers from the network wait for the first deny-list; the daemons of this host do
 * not, since identity itself needs its key before it can tell of bans.
 */
static struct err check_banned(struct op *op, const struct peer *p)
{
    const struct bans *bans = op->c->bans;
    ENSURE(p->kind == PEER_UNIX || bans_known(bans), ERR_UNAVAILABLE,
           "the deny-list is not known yet");
    ENSURE(!bans_has(bans, op->caller.spiffe_id), ERR_DENIED, "%.*s is banned",
           STR_FMT(op->caller.spiffe_id));
    return OK;
}

/* The operator's command runs as root or as the daemon's own user, who own the keys anyway. */
static struct err find_caller(struct op *op)
{
    const struct peer *p = op->req->peer;
    bool owner = p->kind == PEER_UNIX && (p->uid == 0 || p->uid == geteuid());
    struct err e;
    if (owner && str_is(http_header_get(op->req, "x-sextant-caller"), "operator")) {
        op->caller =
            (struct caller){.spiffe_id = crypto_operator(&op->arena, op->c->d->trust_domain),
                            .source = S("unix:"),
                            .pid = p->pid,
                            .uid = p->uid};
        return OK;
    }
    e = daemon_caller(op->c->d, op->req, &op->caller);
    if (!failed(e)) {
        op->caller.spiffe_id = arena_str(&op->arena, op->caller.spiffe_id);
        op->caller.source = arena_str(&op->arena, op->caller.source);
        e = check_banned(op, p);
    }
    return e;
}

static struct err read_body(struct op *op)
{
    struct json *v = NULL;
    struct str text = str_trim(op->req->body);
    if (text.n == 0) {
        op->body = json_new_object(&op->arena);
        return OK;
    }
    struct json_limits limits = {.max_bytes = CRYPTO_BODY_MAX, .max_depth = 16};
    struct err e = json_parse(&op->arena, arena_str(&op->arena, text), &limits, &v);
    ENSURE(!failed(e) && json_is(v, JSON_OBJECT), ERR_INVALID, "failed to parse JSON input: %s",
           failed(e) ? err_detail() : "not an object");
    op->body = v;
    return OK;
}

struct op *op_begin(struct http_req *req, struct crypto *c, const char *activity, bool named)
{
    struct op *op = calloc(1, sizeof(*op));
    BUG_ON(op == NULL);
    *op = (struct op){.c = c, .req = req, .trace = req->trace, .activity = activity, .count = 1};
    arena_init(&op->arena, OP_ARENA_MAX);
    buf_init_secret(&op->reply, OP_REPLY_MAX);
    http_on_abort(req, on_abort, op);
    if (named) {
        op->name = arena_str(&op->arena, http_param(req, "name"));
    }
    struct err e = find_caller(op);
    if (failed(e)) {
        log_info("caller without a name", {"error", LOG_CSTR(err_detail())});
        e = err_make(ERR_DENIED, "permission denied");
    } else {
        e = read_body(op);
    }
    if (failed(e)) {
        op_fail(op, e);
        return NULL;
    }
    return op;
}

/* ---- the end ---- */

static void send_reply(void *ctx, struct err audited)
{
    struct op *op = ctx;
    if (failed(audited)) {
        log_error("no audit, no service", {"error", LOG_CSTR(err_detail())});
    }
    if (op->req != NULL && failed(audited)) {
        reply_errors(op->req, 503, S("audit is not available"));
    } else if (op->req != NULL && op->reply.n == 0) {
        http_reply(op->req, &(struct http_reply){.status = 204});
    } else if (op->req != NULL) {
        struct http_header no_store[] = {{S("Cache-Control"), S("no-store")}};
        http_reply(op->req, &(struct http_reply){.status = op->status,
                                                 .content_type = S("application/json"),
                                                 .body = buf_str(&op->reply),
                                                 .headers = no_store,
                                                 .n_headers = 1});
    }
    op_free(op);
}

static void count_outcome(const char *outcome)
{
    metric_add(strcmp(outcome, "allowed") == 0  ? &requests_ok
               : strcmp(outcome, "denied") == 0 ? &requests_denied
                                                : &requests_failed,
               1);
}

static void finish(struct op *op, const char *outcome, struct str reason)
{
    struct audit_event e = {
        .class_uid = OCSF_API_ACTIVITY,
        .activity = op->activity,
        .outcome = outcome,
        .key_name = op->name,
        .reason = reason,
    };
    struct json *extra = json_new_object(&op->arena);
    json_set(&op->arena, extra, S("count"), json_new_int(&op->arena, op->count));
    e.extra = extra;
    daemon_audit_caller(&e, &op->caller, &op->trace);
    count_outcome(outcome);
    if (op->silent) {
        send_reply(op, OK);
        return;
    }
    audit_emit(op->c->d->audit, &e, send_reply, op);
}

void op_reply_status(struct op *op, int status, struct str data, const char *outcome)
{
    char id[UUID_TEXT];
    struct jw w;
    op->status = status;
    uuid4(id);
    jw_init(&w, &op->reply);
    jw_obj(&w);
    jw_key_str(&w, S("request_id"), str_of(id));
    jw_key_str(&w, S("lease_id"), STR_EMPTY);
    jw_key_bool(&w, S("renewable"), false);
    jw_key_int(&w, S("lease_duration"), 0);
    jw_key(&w, S("data"));
    jw_raw(&w, data);
    jw_key(&w, S("wrap_info"));
    jw_null(&w);
    jw_key(&w, S("warnings"));
    if (op->existed) {
        jw_arr(&w);
        jw_str(&w, arena_printf(&op->arena, "key %.*s already existed", STR_FMT(op->name)));
        jw_end(&w);
    } else {
        jw_null(&w);
    }
    jw_key(&w, S("auth"));
    jw_null(&w);
    jw_end(&w);
    if (!buf_ok(&op->reply)) {
        buf_clear(&op->reply);
        op_fail(op, err_make(ERR_LIMIT, "the answer is too large"));
        return;
    }
    finish(op, outcome, STR_EMPTY);
}

void op_reply(struct op *op, struct str data)
{
    if (data.n == 0) {
        finish(op, "allowed", STR_EMPTY);
        return;
    }
    op_reply_status(op, 200, data, "allowed");
}

void op_fail(struct op *op, struct err e)
{
    struct jw w;
    int status = e.code == ERR_INVALID || e.code == ERR_SYNTAX || e.code == ERR_EXISTS ||
                         e.code == ERR_RANGE || e.code == ERR_UNSUPPORTED
                     ? 400
                     : err_http_status(e);
    bool internal = status >= 500;
    struct str text = arena_str(&op->arena, str_of(internal ? "internal error" : err_detail()));
    if (internal) {
        log_error("request failed", {"activity", LOG_CSTR(op->activity)},
                  {"error", LOG_CSTR(err_detail())});
    }
    op->status = status;
    jw_init(&w, &op->reply);
    jw_obj(&w);
    jw_key(&w, S("errors"));
    jw_arr(&w);
    if (e.code != ERR_NOT_FOUND) {
        jw_str(&w, text);
    }
    jw_end(&w);
    jw_end(&w);
    finish(op, e.code == ERR_DENIED ? "denied" : "failed", text);
}
