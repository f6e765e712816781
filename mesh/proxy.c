/*
 * One HTTP request on its way through: tokens, policy, external authorization, the audit event, and only
 * then the upstream. An exchange is counted: whatever is under way for it (audit, a check) holds a reference, and
 * finds `req` NULL when the client has gone meanwhile.
 */
#include "mesh.h"

#include "lib/base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct px {
    struct mesh *m;
    struct flow *flow;    /* NULL once the request is over */
    struct http_req *req; /* NULL once it is answered or its client is gone */
    struct px *prev, *next;
    struct epoch *epoch;
    struct check *check;
    struct up_stream *up;
    struct mesh_request mr;
    struct mesh_jwt_outcome jwt;
    struct mesh_decision decision;
    struct str path, user;
    struct http_header *more; /* headers that external authorization adds */
    size_t n_more;
    struct str *less;
    size_t n_less;
    struct http_header *trailers;
    size_t n_trailers;
    struct str deny_body;
    const struct http_header *deny_headers;
    size_t n_deny_headers;
    int deny_status;
    unsigned refs;
    bool allowed, ready, reading, begun, is_grpc, up_paused, down_paused, opening;
};

static void px_unref(struct px *px)
{
    if (--px->refs == 0) {
        epoch_unref(px->epoch);
        free(px);
    }
}

/* The request is over: nothing of it may be touched again. */
static void px_leave(struct px *px)
{
    if (px->flow == NULL) {
        return;
    }
    if (px->prev != NULL) {
        px->prev->next = px->next;
    } else {
        px->flow->exchanges = px->next;
    }
    if (px->next != NULL) {
        px->next->prev = px->prev;
    }
    px->flow = NULL;
    px->req = NULL;
    if (px->check != NULL) {
        check_cancel(px->check);
        px->check = NULL;
    }
    if (px->up != NULL) {
        up_cancel(px->up);
        px->up = NULL;
    }
    px_unref(px);
}

static void on_abort(void *ctx)
{
    px_leave(ctx);
}

/* ---- answers of our own ---- */

static void answer_grpc(struct http_req *req, int status, struct str text)
{
    struct http_header t[2] = {{S("grpc-status"), status == 401   ? S("16")
                                                  : status == 403 ? S("7")
                                                                  : S("14")},
                               {S("grpc-message"), text}};
    http_reply_trailers(req, t, 2);
}

static void answer(struct px *px, int status, struct str body, const struct http_header *headers,
                   size_t n)
{
    struct http_req *req = px->req;
    bool grpc = px->is_grpc && req->version == 20;
    px->req = NULL;
    struct str text = arena_str(req->arena, body);
    px_leave(px);
    if (grpc) {
        answer_grpc(req, status, text);
        return;
    }
    static const struct http_header challenge = {STR_INIT("www-authenticate"),
                                                 STR_INIT("Bearer error=\"invalid_token\"")};
    struct http_reply r = {.status = status,
                           .content_type = S("text/plain"),
                           .body = text,
                           .headers = n == 0 && status == 401 ? &challenge : headers,
                           .n_headers = n == 0 && status == 401 ? 1 : n};
    http_reply(req, &r);
}

static void denied_and_audited(void *ctx, struct err e)
{
    struct px *px = ctx;
    if (px->req != NULL) {
        answer(px, px->deny_status, px->deny_body, px->deny_headers, px->n_deny_headers);
    }
    px_unref(px);
}

static void deny(struct px *px, int status, struct str body)
{
    px->deny_status = status;
    px->deny_body = body;
    px->refs++;
    audit_decision(px->m, px->flow, px->req, &px->decision, "denied", px->user, &px->req->trace,
                   denied_and_audited, px);
}

static void deny_for(struct px *px, int status, struct str body, const char *reason)
{
    px->decision = (struct mesh_decision){.verdict = MESH_DENY, .reason = reason};
    deny(px, status, body);
}

/* ---- the answer from upstream ---- */

static int status_of(struct err e)
{
    switch (e.code) {
    case ERR_TIMEOUT:
        return 504;
    case ERR_DENIED:
    case ERR_SYNTAX:
    case ERR_LIMIT:
        return 502;
    default:
        return 503;
    }
}

static void up_head(void *ctx, int status, const struct http_header *headers, size_t n, bool end)
{
    struct px *px = ctx;
    struct http_req *req = px->req;
    struct head h;
    uint64_t length = 0;
    head_init(&h, req->arena, headers, n, 0);
    struct str given = STR_EMPTY;
    for (size_t i = 0; i < n; i++) {
        if (str_is(headers[i].name, "content-length")) {
            given = headers[i].value;
        }
    }
    bool known = given.n > 0 && !failed(str_to_u64(given, &length));
    head_end_to_end(&h);
    head_remove(&h, S("content-length"));
    head_remove(&h, S("date"));
    /* The connection's buffers die with this callback; h2 heads are framed later. */
    for (size_t i = 0; i < h.n && req->version == 20; i++) {
        h.h[i].name = arena_str(req->arena, h.h[i].name);
        h.h[i].value = arena_str(req->arena, h.h[i].value);
    }
    px->begun = true;
    if (known || end) {
        http_reply_begin_length(req, status, length, h.h, h.n);
    } else {
        http_reply_begin(req, status, STR_EMPTY, h.h, h.n);
    }
}

static void up_data(void *ctx, struct str bytes)
{
    struct px *px = ctx;
    http_reply_chunk(px->req, bytes);
    if (!px->up_paused && http_reply_pending(px->req) > MESH_BUFFER_MAX) {
        px->up_paused = true;
        up_pause(px->up);
    }
}

static void down_drain(void *ctx)
{
    struct px *px = ctx;
    if (px->up_paused && px->up != NULL) {
        px->up_paused = false;
        up_resume(px->up);
    }
}

static void up_trailers(void *ctx, const struct http_header *headers, size_t n)
{
    struct px *px = ctx;
    struct arena *a = px->req->arena;
    px->trailers = arena_array(a, struct http_header, n);
    px->n_trailers = n;
    for (size_t i = 0; i < n; i++) {
        px->trailers[i].name = arena_str(a, headers[i].name);
        px->trailers[i].value = arena_str(a, headers[i].value);
    }
}

static void up_closed(void *ctx, struct err why)
{
    struct px *px = ctx;
    px->up = NULL;
    struct http_req *req = px->req;
    if (failed(why) && !px->begun) {
        int status = status_of(why);
        log_info("no answer from upstream", {"destination", LOG_CSTR(px->flow->dst)},
                 {"why", LOG_CSTR(err_detail())});
        if (why.code == ERR_DENIED) {
            deny_for(px, status, S("the destination is not who it should be"),
                     "wrong destination identity");
            return;
        }
        answer(px, status, arena_printf(req->arena, "upstream: %s", err_text(why)), NULL, 0);
        return;
    }
    struct http_header *trailers = px->trailers;
    size_t n = px->n_trailers;
    px_leave(px);
    if (failed(why)) {
        http_reply_abort(req);
    } else if (n > 0 && req->version == 20) {
        http_reply_trailers(req, trailers, n);
    } else {
        http_reply_end(req);
    }
}

/* ---- the request's body ---- */

static void down_body(void *ctx, struct str piece, bool end)
{
    struct px *px = ctx;
    if (px->up == NULL) {
        return;
    }
    up_send(px->up, piece, end);
    if (!px->down_paused && up_pending(px->up) > MESH_BUFFER_MAX) {
        px->down_paused = true;
        http_req_pause(px->req);
    }
}

static void up_drain(void *ctx)
{
    struct px *px = ctx;
    if (px->down_paused && px->req != NULL) {
        px->down_paused = false;
        http_req_resume(px->req);
    }
}

static void start_reading(struct px *px)
{
    if (px->ready && !px->reading && !px->opening && px->up != NULL && http_req_more(px->req)) {
        px->reading = true;
        http_req_read(px->req, down_body, px);
    }
}

static void up_ready(void *ctx)
{
    struct px *px = ctx;
    px->ready = true;
    start_reading(px);
}

static const struct up_handler up_handler = {.on_ready = up_ready,
                                             .on_head = up_head,
                                             .on_data = up_data,
                                             .on_trailers = up_trailers,
                                             .on_drain = up_drain,
                                             .on_close = up_closed};

/* ---- sending on ---- */

/* HTTP/2 may split a cookie; HTTP/1.1 wants it whole (RFC 9113 section 8.2.3). */
static void join_cookies(struct head *h)
{
    struct str all = STR_EMPTY;
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (str_is(h->h[i].name, "cookie")) {
            all = n++ == 0
                      ? h->h[i].value
                      : arena_printf(h->arena, "%.*s; %.*s", STR_FMT(all), STR_FMT(h->h[i].value));
        }
    }
    if (n > 1) {
        head_set(h, S("cookie"), all);
    }
}

static void add_identity(struct px *px, struct head *h)
{
    struct flow *f = px->flow;
    head_remove(h, S("x-forwarded-client-cert"));
    if (f->door->dir == INBOUND && f->peer_id != NULL && f->xfcc != NULL) {
        head_add(h, S("x-forwarded-client-cert"), str_of(f->xfcc));
    }
    if (f->door->people) {
        head_set(h, S("x-forwarded-for"), str_of(f->src_text));
        head_set(h, S("x-forwarded-proto"), S("https"));
    }
}

static void add_trace(struct px *px, struct head *h)
{
    struct trace child = trace_child(&px->req->trace);
    struct buf b;
    buf_init(&b, TRACE_TEXT);
    trace_put(&b, &child);
    head_set(h, S("traceparent"), arena_str(h->arena, buf_str(&b)));
    buf_release(&b);
}

static void make_head(struct px *px, struct head *h, bool to_h1)
{
    struct http_req *req = px->req;
    head_init(h, req->arena, req->headers, req->n_headers, MESH_HEADERS_ADDED);
    bool trailers_te = px->is_grpc;
    head_end_to_end(h);
    head_remove(h, S("host"));
    head_remove(h, S("expect"));
    head_remove_prefix(h, S("x-envoy-"));
    head_remove_prefix(h, S("x-sextant-"));
    if (trailers_te && !to_h1) {
        head_add(h, S("te"), S("trailers"));
    }
    for (size_t i = 0; i < px->jwt.n_remove_headers; i++) {
        head_remove(h, px->jwt.remove_headers[i]);
    }
    for (size_t i = 0; i < px->n_less; i++) {
        head_remove(h, px->less[i]);
    }
    for (size_t i = 0; i < px->jwt.n_set_headers; i++) {
        head_set(h, px->jwt.set_headers[i].name, px->jwt.set_headers[i].value);
    }
    for (size_t i = 0; i < px->n_more; i++) {
        head_set(h, px->more[i].name, px->more[i].value);
    }
    add_identity(px, h);
    add_trace(px, h);
    if (to_h1 && req->version == 20) {
        join_cookies(h);
    }
}

/* The query without the parameter that held a token. */
static struct str query_without(struct arena *a, struct str query, struct str name)
{
    if (name.n == 0) {
        return query;
    }
    struct buf b;
    buf_init(&b, query.n + 1);
    for (struct str rest = query; rest.p != NULL && rest.n > 0;) {
        struct str pair = str_split(&rest, '&');
        size_t eq = str_find_char(pair, '=');
        if (!str_eq(str_sub(pair, 0, eq == STR_NPOS ? pair.n : eq), name)) {
            buf_puts(&b, b.n > 0 ? S("&") : S(""));
            buf_puts(&b, pair);
        }
    }
    struct str out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static bool has_length(const struct head *h)
{
    for (size_t i = 0; i < h->n; i++) {
        if (str_is(h->h[i].name, "content-length")) {
            return true;
        }
    }
    return false;
}

static void send_on(struct px *px)
{
    struct http_req *req = px->req;
    struct target where;
    target_of(px->m, px->flow, &where);
    if (where.refused != NULL) {
        deny_for(px, 502, arena_printf(req->arena, "not sent on: %s", where.refused),
                 where.refused);
        return;
    }
    /* A workload is only sure to speak HTTP/1.1, unless gRPC asks for more; other sidecars speak both. */
    bool h2 = req->version == 20 && (px->is_grpc || where.identity.n > 0);
    struct head h;
    make_head(px, &h, !h2);
    struct str query = query_without(req->arena, req->query, px->jwt.remove_param);
    struct up_target t = {.address = str_of(where.address),
                          .mtls = where.identity.n > 0,
                          .expect = where.identity,
                          .h2 = h2};
    struct up_request r = {
        .method = req->method,
        .path = query.n > 0
                    ? arena_printf(req->arena, "%.*s?%.*s", STR_FMT(px->path), STR_FMT(query))
                    : px->path,
        .scheme = where.identity.n > 0 ? S("https") : S("http"),
        .authority = req->authority.n > 0 ? req->authority : str_of(px->flow->dst),
        .headers = h.h,
        .n_headers = h.n,
        .body = http_req_more(req),
        .chunked = !has_length(&h)};
    http_on_drain(req, down_drain, px);
    px->opening = true;
    px->up = up_open(px->m->up, &t, &r, &up_handler, px);
    px->opening = false;
    start_reading(px);
}

static void allowed_and_audited(void *ctx, struct err e)
{
    struct px *px = ctx;
    if (px->req != NULL) {
        if (failed(e)) {
            answer(px, 503, S("audit is not available"), NULL, 0);
        } else {
            px->allowed = true;
            send_on(px);
        }
    }
    px_unref(px);
}

static void allow(struct px *px)
{
    px->refs++;
    audit_decision(px->m, px->flow, px->req, &px->decision, "allowed", px->user, &px->req->trace,
                   allowed_and_audited, px);
}

/* ---- deciding ---- */

static struct str denied_text(void)
{
    return S("RBAC: access denied");
}

static void settle(struct px *px)
{
    if (px->decision.verdict == MESH_ALLOW) {
        allow(px);
    } else {
        deny(px, 403, denied_text());
    }
}

static void keep_check_headers(struct px *px, const struct check_result *r)
{
    struct arena *a = px->req->arena;
    px->more = arena_array(a, struct http_header, r->n_headers);
    px->n_more = r->n_headers;
    for (size_t i = 0; i < r->n_headers; i++) {
        px->more[i].name = arena_str(a, r->headers[i].name);
        px->more[i].value = arena_str(a, r->headers[i].value);
    }
    px->less = arena_array(a, struct str, r->n_remove);
    px->n_less = r->n_remove;
    for (size_t i = 0; i < r->n_remove; i++) {
        px->less[i] = arena_str(a, r->remove[i]);
    }
}

static void checked(void *ctx, const struct check_result *r)
{
    struct px *px = ctx;
    px->check = NULL;
    keep_check_headers(px, r);
    if (r->allowed) {
        px->decision = mesh_authz_decide_after_custom(px->epoch->set, &px->mr);
        settle(px);
        return;
    }
    px->decision.verdict = MESH_DENY;
    px->decision.reason = r->reason;
    px->deny_headers = px->more;
    px->n_deny_headers = px->n_more;
    deny(px, r->status, r->body.n > 0 ? arena_str(px->req->arena, r->body) : denied_text());
}

static void fill_request(struct px *px)
{
    struct http_req *req = px->req;
    flow_request(px->flow, &px->mr);
    px->mr.http = true;
    px->mr.host = req->authority;
    px->mr.method = req->method;
    px->mr.path = px->path;
    px->mr.headers = (const struct mesh_header *)(const void *)req->headers;
    px->mr.n_headers = req->n_headers;
    px->mr.claims = px->jwt.claims;
}

/* 0, or the status to refuse with. */
static int authenticate(struct px *px)
{
    struct http_req *req = px->req;
    struct mesh_http in = {.method = req->method,
                           .query = req->query,
                           .headers = (const struct mesh_header *)(const void *)req->headers,
                           .n_headers = req->n_headers};
    struct token_ctx t = {px->m, req->arena};
    mesh_jwt_check(req->arena, px->epoch->set, &in, mesh_verify_token, &t, &px->jwt);
    if (px->jwt.status != 200) {
        px->decision.reason = px->jwt.reason;
        return px->jwt.status;
    }
    px->user = json_str(json_get(px->jwt.claims, "sub"));
    if (px->jwt.claims != NULL && mesh_token_revoked(px->m, px->jwt.claims)) {
        px->decision.reason = "the token has been revoked";
        return 401;
    }
    return 0;
}

static void decide_inbound(struct px *px)
{
    int status = authenticate(px);
    if (status != 0) {
        px->decision.verdict = MESH_DENY;
        deny(px, status,
             status == 401 ? S("Jwt verification fails") : S("Audiences in Jwt are not allowed"));
        return;
    }
    fill_request(px);
    px->decision = mesh_authz_decide(px->epoch->set, &px->mr);
    if (px->decision.verdict == MESH_CUSTOM) {
        px->check = check_start(px->decision.provider->ctx, px->flow, px->req, px->path,
                                px->jwt.claims, checked, px);
        return;
    }
    settle(px);
}

static struct px *px_new(struct mesh *m, struct flow *f, struct http_req *req)
{
    struct px *px = calloc(1, sizeof(*px));
    if (px == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    px->m = m;
    px->flow = f;
    px->req = req;
    px->refs = 1;
    px->epoch = epoch_ref(m->epoch);
    px->is_grpc = str_starts(http_header_get(req, "content-type"), S("application/grpc"));
    px->next = f->exchanges;
    if (f->exchanges != NULL) {
        f->exchanges->prev = px;
    }
    f->exchanges = px;
    return px;
}

void proxy_request(struct http_req *req, void *mesh)
{
    struct mesh *m = mesh;
    struct flow *f = http_req_conn_ctx(req);
    struct px *px = px_new(m, f, req);
    http_on_abort(req, on_abort, px);
    enum mesh_path_mode mode = f->door->dir == OUTBOUND ? MESH_PATH_NONE : mesh_path_mode_of(m);
    if (str_is(req->path, "*")) {
        px->path = req->path;
    } else if (failed(mesh_path_normalise(req->arena, mode, req->path, &px->path))) {
        deny_for(px, 400, S("the path is not acceptable"), "the path is not acceptable");
        return;
    }
    if (f->door->dir == OUTBOUND) {
        px->allowed = true;
        send_on(px);
    } else {
        decide_inbound(px);
    }
}

void proxy_conn_closed(void *flow)
{
    struct flow *f = flow;
    f->conn = NULL;
    BUG_ON(f->exchanges != NULL);
    flow_end(f);
}

struct px *proxy_next(const struct px *px)
{
    return px->next;
}

/* What holds now for a request that is on its way. */
static struct mesh_decision judge(struct px *px)
{
    struct mesh *m = px->m;
    struct mesh_decision d = {.verdict = MESH_ALLOW};
    struct target where;
    if (px->flow->door->dir == OUTBOUND) {
        target_of(m, px->flow, &where);
        if (where.refused != NULL) {
            d = (struct mesh_decision){.verdict = MESH_DENY, .reason = where.refused};
        }
        return d;
    }
    if (px->jwt.claims != NULL && mesh_token_revoked(m, px->jwt.claims)) {
        return (struct mesh_decision){.verdict = MESH_DENY, .reason = "the token has been revoked"};
    }
    d = mesh_authz_decide(m->epoch->set, &px->mr);
    return d.verdict == MESH_CUSTOM ? mesh_authz_decide_after_custom(m->epoch->set, &px->mr) : d;
}

void proxy_judge(struct px *px)
{
    if (!px->allowed || px->req == NULL) {
        return;
    }
    struct mesh_decision d = judge(px);
    if (d.verdict == MESH_ALLOW) {
        return;
    }
    struct http_req *req = px->req;
    audit_decision(px->m, px->flow, req, &d, "denied", px->user, &req->trace, NULL, NULL);
    px_leave(px);
    http_reply_abort(req);
}
