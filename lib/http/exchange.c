/* One request and its reply, whatever the version of HTTP. */
#include "http_priv.h"

#include <stdlib.h>

/* ---- life ---- */

struct http_exchange *exchange_new(struct http_conn *hc)
{
    struct http_server *s = hc->server;
    struct http_exchange *x = s->free_exchanges;
    if (x != NULL) {
        s->free_exchanges = x->next;
        s->n_free--;
    } else {
        x = calloc(1, sizeof(*x));
        if (x == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
        arena_init(&x->arena, s->opts.arena_max);
    }
    struct arena arena = x->arena;
    struct buf body = x->body;
    *x = (struct http_exchange){.server = s, .hc = hc, .state = X_READING, .keep_alive = true};
    x->arena = arena;
    x->body = body;
    x->body_max = s->opts.body_max;
    x->req.arena = &x->arena;
    x->req.x = x;
    x->req.peer = conn_peer(hc->conn);
    x->req.scheme = hc->secure ? S("https") : S("http");
    s->n_requests++;
    s->refs++;
    return x;
}

void exchange_free(struct http_exchange *x)
{
    struct http_server *s = x->server;
    http_server_request_done(s);
    buf_release(&x->out);
    if (s->n_free < EXCHANGES_KEPT && !s->freed) {
        arena_reset(&x->arena);
        if (x->body.cap > BODY_KEPT) {
            buf_release(&x->body);
        } else if (x->body.p != NULL) {
            buf_clear(&x->body);
        }
        x->next = s->free_exchanges;
        s->free_exchanges = x;
        s->n_free++;
    } else {
        arena_release(&x->arena);
        buf_release(&x->body);
        free(x);
    }
    http_server_unref(s); /* a server outlives its last request */
}

/*
 * The client is gone. A handler that asked to know is told, and must forget the request; one that
 * did not will still answer some day, into nothing.
 */
void exchange_abort(struct http_exchange *x)
{
    x->hc = NULL;
    if (x->state == X_READING || x->state == X_DONE) {
        exchange_free(x);
    } else if (x->on_abort != NULL) {
        void (*fn)(void *) = x->on_abort;
        x->on_abort = NULL;
        x->state = X_DONE;
        fn(x->abort_ctx);
        exchange_free(x);
    }
}

void exchange_split_target(struct http_req *req)
{
    struct str t = req->target;
    if (t.n > 0 && t.p[0] != '/' && t.p[0] != '*') { /* absolute form */
        size_t scheme = str_find(t, S("://"));
        size_t slash =
            scheme == STR_NPOS ? STR_NPOS : str_find_char(str_sub(t, scheme + 3, t.n), '/');
        size_t mark =
            scheme == STR_NPOS ? STR_NPOS : str_find_char(str_sub(t, scheme + 3, t.n), '?');
        if (scheme != STR_NPOS && slash != STR_NPOS && (mark == STR_NPOS || slash < mark)) {
            t = str_sub(t, scheme + 3 + slash, t.n);
        } else if (scheme != STR_NPOS) {
            t = mark != STR_NPOS
                    ? arena_printf(req->arena, "/%.*s", STR_FMT(str_sub(t, scheme + 3 + mark, t.n)))
                    : S("/");
        }
    }
    size_t q = str_find_char(t, '?');
    req->path = str_sub(t, 0, q == STR_NPOS ? t.n : q);
    req->query = q == STR_NPOS ? STR_EMPTY : str_sub(t, q + 1, t.n);
}

int exchange_check_head(struct http_exchange *x)
{
    struct http_server *s = x->server;
    struct str parent = http_header_get(&x->req, "traceparent");
    if (parent.n == 0 || failed(trace_parse(parent, &x->req.trace))) {
        x->req.trace = trace_new();
    }
    return s->opts.on_head != NULL ? s->opts.on_head(&x->req, &x->body_max, s->opts.ctx) : 0;
}

void exchange_dispatch(struct http_exchange *x)
{
    x->state = X_HANDLING;
    x->req.body = buf_str(&x->body);
    x->server->opts.handle(&x->req, x->server->opts.ctx);
}

/* ---- what handlers ask ---- */

struct str http_header_get(const struct http_req *req, const char *lower_name)
{
    struct str name = str_of(lower_name);
    for (size_t i = 0; i < req->n_headers; i++) {
        if (str_eq(req->headers[i].name, name)) {
            return req->headers[i].value;
        }
    }
    return STR_EMPTY;
}

struct loop *http_req_loop(const struct http_req *req)
{
    return req->x->server->loop;
}

struct tls_session *http_req_tls(const struct http_req *req)
{
    return req->x->hc != NULL ? conn_tls(req->x->hc->conn) : NULL;
}

void http_on_abort(struct http_req *req, void (*fn)(void *), void *ctx)
{
    req->x->on_abort = fn;
    req->x->abort_ctx = ctx;
}

void http_on_drain(struct http_req *req, void (*fn)(void *), void *ctx)
{
    req->x->on_drain = fn;
    req->x->drain_ctx = ctx;
}

bool http_req_more(const struct http_req *req)
{
    return req->x->body_open;
}

static void read_on(struct http_exchange *x)
{
    if (x->hc == NULL) {
        return;
    }
    if (x->stream_id != 0) {
        h2_deliver(x);
    } else {
        h1_continue(x->hc);
    }
}

void http_req_read(struct http_req *req, void (*fn)(void *, struct str, bool), void *ctx)
{
    req->x->on_body = fn;
    req->x->body_ctx = ctx;
    read_on(req->x);
}

void http_req_pause(struct http_req *req)
{
    req->x->body_paused = true;
}

void http_req_resume(struct http_req *req)
{
    if (req->x->body_paused) {
        req->x->body_paused = false;
        read_on(req->x);
    }
}

void *http_req_conn_ctx(const struct http_req *req)
{
    return req->x->hc != NULL ? req->x->hc->conn_ctx : NULL;
}

/* ---- replies ---- */

/* A value that came from elsewhere must not add lines of its own to our head. */
bool exchange_headers_ok(const struct http_header *h, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!h1_is_token(h[i].name) || !h1_is_value(h[i].value)) {
            return false;
        }
    }
    return true;
}

static void tell_reply(const struct http_exchange *x, int status)
{
    const struct http_server_opts *o = &x->server->opts;
    if (o->on_reply != NULL) {
        o->on_reply(&x->req, status, o->ctx);
    }
}

/* Nobody is there any more: what remains is to forget the request. */
static bool nobody_waits(struct http_exchange *x)
{
    BUG_ON(x->state == X_READING || x->state == X_DONE);
    return x->hc == NULL;
}

/* The reply is complete: nothing of this request is the handler's business any more. */
static void let_go(struct http_exchange *x)
{
    x->on_abort = NULL;
    x->on_drain = NULL;
    x->on_body = NULL;
}

void http_reply(struct http_req *req, const struct http_reply *r)
{
    struct http_exchange *x = req->x;
    BUG_ON(x->state != X_HANDLING);
    tell_reply(x, r->status);
    if (nobody_waits(x)) {
        exchange_free(x);
        return;
    }
    BUG_ON(r->status < 200 || r->status > 599);
    if (!exchange_headers_ok(r->headers, r->n_headers) || !h1_is_value(r->content_type)) {
        http_reply_status(req, 500);
        return;
    }
    let_go(x);
    if (x->stream_id != 0) {
        h2_begin(x, r->status, r->content_type, r->headers, r->n_headers, true, r->body.n);
        h2_chunk(x, r->body);
        h2_end(x);
        return;
    }
    h1_begin(x, r->status, r->content_type, r->headers, r->n_headers, true, r->body.n);
    if (!x->is_head && r->status != 204 && r->status != 304) {
        conn_write(x->hc->conn, r->body);
    }
    h1_finish(x);
}

void http_reply_text(struct http_req *req, int status, struct str body)
{
    struct http_reply r = {
        .status = status, .content_type = S("text/plain; charset=utf-8"), .body = body};
    http_reply(req, &r);
}

void http_reply_json(struct http_req *req, int status, struct str body)
{
    struct http_reply r = {.status = status, .content_type = S("application/json"), .body = body};
    http_reply(req, &r);
}

void http_reply_status(struct http_req *req, int status)
{
    http_reply_text(req, status, arena_printf(req->arena, "%s\n", http_reason(status)));
}

void http_reply_err(struct http_req *req, struct err e)
{
    http_reply_json(req, err_http_status(e),
                    arena_printf(req->arena, "{\"error\":\"%s\"}\n", err_text(e)));
}

static void begin(struct http_req *req, int status, struct str content_type,
                  const struct http_header *headers, size_t n, bool whole, uint64_t length)
{
    struct http_exchange *x = req->x;
    BUG_ON(x->state != X_HANDLING);
    if (!exchange_headers_ok(headers, n) || !h1_is_value(content_type)) {
        status = 500;
        n = 0;
    }
    x->state = X_STREAMING;
    tell_reply(x, status);
    if (nobody_waits(x)) {
        return;
    }
    if (x->stream_id != 0) {
        h2_begin(x, status, content_type, headers, n, whole, (size_t)length);
    } else {
        h1_begin(x, status, content_type, headers, n, whole, (size_t)length);
    }
}

void http_reply_begin(struct http_req *req, int status, struct str content_type,
                      const struct http_header *headers, size_t n)
{
    begin(req, status, content_type, headers, n, false, 0);
}

void http_reply_begin_length(struct http_req *req, int status, uint64_t length,
                             const struct http_header *headers, size_t n)
{
    begin(req, status, STR_EMPTY, headers, n, true, length);
}

void http_reply_chunk(struct http_req *req, struct str bytes)
{
    struct http_exchange *x = req->x;
    BUG_ON(x->state != X_STREAMING);
    if (nobody_waits(x) || bytes.n == 0) {
        return;
    }
    if (x->stream_id != 0) {
        h2_chunk(x, bytes);
    } else {
        h1_chunk(x, bytes);
    }
}

void http_reply_chunk_secret(struct http_req *req, struct str bytes)
{
    struct http_exchange *x = req->x;
    if (x->hc != NULL) {
        x->out.wipe = true;
        conn_set_secret(x->hc->conn);
    }
    http_reply_chunk(req, bytes);
}

void http_reply_end(struct http_req *req)
{
    struct http_exchange *x = req->x;
    BUG_ON(x->state != X_STREAMING);
    if (nobody_waits(x)) {
        exchange_free(x);
        return;
    }
    let_go(x);
    if (x->stream_id != 0) {
        h2_end(x);
    } else {
        h1_end(x);
    }
}

void http_reply_trailers(struct http_req *req, const struct http_header *trailers, size_t n)
{
    struct http_exchange *x = req->x;
    if (nobody_waits(x)) {
        exchange_free(x);
        return;
    }
    BUG_ON(x->stream_id == 0);
    let_go(x);
    h2_trailers(x, trailers, n);
}

void http_reply_abort(struct http_req *req)
{
    struct http_exchange *x = req->x;
    if (nobody_waits(x)) {
        exchange_free(x);
        return;
    }
    let_go(x);
    if (x->stream_id != 0) {
        h2_abort(x);
        return;
    }
    x->state = X_DONE;
    conn_abort(x->hc->conn); /* on_close frees it */
}

size_t http_reply_pending(const struct http_req *req)
{
    const struct http_exchange *x = req->x;
    if (x->hc == NULL) {
        return 0;
    }
    return x->out.n - x->out_at + conn_pending(x->hc->conn);
}
