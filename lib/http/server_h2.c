/*
 * HTTP/2 on a server connection (RFC 9113): nghttp2 frames, we keep the streams as exchanges.
 *
 * Against hostile clients: at most H2_STREAMS_MAX streams; header blocks bounded in bytes and in
 * CONTINUATION frames; frames that cost us work for nothing (RST_STREAM, PING, SETTINGS, PRIORITY, empty
 * DATA) are counted in a leaking bucket; what waits to be written is bounded by conn_pending.
 */
#include "http_priv.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

struct h2_server {
    nghttp2_session *ng;
    struct http_conn *hc;
    struct http_exchange *streams;
    size_t n_streams, n_reading;
    int64_t bucket_ms;
    unsigned bucket, continuations;
    bool flush_queued, leaving;
};

/* ---- streams ---- */

static void link_stream(struct h2_server *h, struct http_exchange *x)
{
    x->next = h->streams;
    if (h->streams != NULL) {
        h->streams->prev = x;
    }
    h->streams = x;
    h->n_streams++;
}

static void unlink_stream(struct h2_server *h, struct http_exchange *x)
{
    if (x->prev != NULL) {
        x->prev->next = x->next;
    } else {
        h->streams = x->next;
    }
    if (x->next != NULL) {
        x->next->prev = x->prev;
    }
    x->prev = x->next = NULL;
    h->n_streams--;
}

/* While a request is arriving, progress is owed; without streams the connection is idle. */
static void set_deadline(struct h2_server *h)
{
    const struct http_server_opts *o = &h->hc->server->opts;
    http_conn_deadline(h->hc, h->n_reading > 0 ? o->body_ms : h->n_streams == 0 ? o->idle_ms : 0);
}

static void reading_done(struct h2_server *h, struct http_exchange *x)
{
    if (x->state == X_READING) {
        h->n_reading--;
        set_deadline(h);
    }
}

/* ---- sending ---- */

static void flush(struct h2_server *h)
{
    struct http_conn *hc = h->hc;
    while (!hc->gone && conn_pending(hc->conn) < H2_OUT_MAX) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(h->ng, &bytes);
        if (n < 0) {
            conn_abort(hc->conn);
            return;
        }
        if (n == 0) {
            break;
        }
        conn_write(hc->conn, str_n(bytes, (size_t)n));
    }
    bool finished = !nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng);
    if (!hc->gone && finished) {
        conn_close(hc->conn);
    }
}

static void flush_later(void *ctx)
{
    struct http_conn *hc = ctx;
    if (hc->h2 != NULL) {
        hc->h2->flush_queued = false;
        flush(hc->h2);
    }
    http_conn_unref(hc);
}

/* After the callback that is running: nghttp2 does not send while it receives. */
static void queue_flush(struct http_conn *hc)
{
    if (!hc->h2->flush_queued) {
        hc->h2->flush_queued = true;
        http_conn_ref(hc);
        loop_defer(hc->server->loop, flush_later, hc);
    }
}

void h2_server_flush(struct http_conn *hc)
{
    flush(hc->h2);
}

static nghttp2_nv make_nv(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name.p, (uint8_t *)(uintptr_t)value.p, name.n,
                        value.n, NGHTTP2_NV_FLAG_NONE};
}

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++) {
        if (p[i] >= 'A' && p[i] <= 'Z') {
            p[i] |= 0x20;
        }
    }
    return str_n(p, s.n);
}

/* Fields of the connection have no meaning here (RFC 9113 section 8.2.2). */
static bool is_connection_field(struct str name)
{
    return str_is(name, "connection") || str_is(name, "transfer-encoding") ||
           str_is(name, "keep-alive") || str_is(name, "upgrade") ||
           str_is(name, "proxy-connection");
}

static size_t add_fields(struct arena *a, nghttp2_nv *nva, size_t at,
                         const struct http_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str name = lower(a, headers[i].name);
        if (!is_connection_field(name)) {
            nva[at++] = make_nv(name, headers[i].value);
        }
    }
    return at;
}

static void finish_trailers(nghttp2_session *ng, struct http_exchange *x)
{
    nghttp2_nv *nva = arena_array(&x->arena, nghttp2_nv, x->n_trailers + 1);
    size_t n = add_fields(&x->arena, nva, 0, x->trailers, x->n_trailers);
    nghttp2_submit_trailer(ng, x->stream_id, nva, n);
}

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *dst, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct http_exchange *x = source->ptr;
    size_t n = MIN(room, x->out.n - x->out_at);
    if (n == 0 && !x->out_end) {
        x->out_waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) {
        memcpy(dst, x->out.p + x->out_at, n);
    }
    x->out_at += n;
    if (x->out_at == x->out.n) {
        if (x->out.p != NULL) {
            buf_clear(&x->out);
        }
        x->out_at = 0;
        if (!x->out_end && x->on_drain != NULL) {
            x->on_drain(x->drain_ctx);
        }
        if (x->out_end && x->out.n == 0) {
            *flags |= NGHTTP2_DATA_FLAG_EOF;
            if (x->has_trailers) {
                *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                finish_trailers(ng, x);
            }
        }
    }
    return (ssize_t)n;
}

static void submit(struct http_exchange *x, const nghttp2_nv *nva, size_t n, bool body)
{
    nghttp2_data_provider provider = {.source.ptr = x, .read_callback = read_body};
    int rc = nghttp2_submit_response(x->hc->h2->ng, x->stream_id, nva, n, body ? &provider : NULL);
    if (rc != 0) {
        nghttp2_submit_rst_stream(x->hc->h2->ng, NGHTTP2_FLAG_NONE, x->stream_id,
                                  NGHTTP2_INTERNAL_ERROR);
    }
    x->submitted = true;
    queue_flush(x->hc);
}

void h2_begin(struct http_exchange *x, int status, struct str content_type,
              const struct http_header *headers, size_t n, bool whole, size_t length)
{
    struct arena *a = &x->arena;
    reading_done(x->hc->h2, x);
    nghttp2_nv *nva = arena_array(a, nghttp2_nv, n + 4);
    size_t at = 0;
    nva[at++] = make_nv(S(":status"), arena_printf(a, "%d", status));
    nva[at++] = make_nv(S("date"), arena_str(a, http_server_date(x->server)));
    if (content_type.n > 0) {
        nva[at++] = make_nv(S("content-type"), content_type);
    }
    bool may_have_body = status != 204 && status != 304;
    if (whole && may_have_body) {
        nva[at++] = make_nv(S("content-length"), arena_printf(a, "%zu", length));
    }
    at = add_fields(a, nva, at, headers, n);
    bool body = may_have_body && !x->is_head && (!whole || length > 0);
    buf_init(&x->out, (size_t)64 << 20);
    submit(x, nva, at, body);
}

static void resume(struct http_exchange *x)
{
    if (x->out_waiting) {
        x->out_waiting = false;
        nghttp2_session_resume_data(x->hc->h2->ng, x->stream_id);
    }
    queue_flush(x->hc);
}

void h2_chunk(struct http_exchange *x, struct str bytes)
{
    if (x->is_head || bytes.n == 0) {
        return;
    }
    buf_puts(&x->out, bytes);
    if (!buf_ok(&x->out)) { /* a reader that never reads */
        nghttp2_submit_rst_stream(x->hc->h2->ng, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_CANCEL);
    }
    resume(x);
}

void h2_end(struct http_exchange *x)
{
    x->state = X_DONE;
    x->out_end = true;
    resume(x);
}

void h2_trailers(struct http_exchange *x, const struct http_header *trailers, size_t n)
{
    struct arena *a = &x->arena;
    reading_done(x->hc->h2, x);
    x->state = X_DONE;
    x->out_end = true;
    if (!x->submitted) { /* trailers only: they are the head */
        nghttp2_nv *nva = arena_array(a, nghttp2_nv, n + 2);
        nva[0] = make_nv(S(":status"), S("200"));
        nva[1] = make_nv(S("content-type"), S("application/grpc"));
        submit(x, nva, add_fields(a, nva, 2, trailers, n), false);
        return;
    }
    x->trailers = arena_array(a, struct http_header, n);
    for (size_t i = 0; i < n; i++) {
        x->trailers[i].name = arena_str(a, trailers[i].name);
        x->trailers[i].value = arena_str(a, trailers[i].value);
    }
    x->n_trailers = n;
    x->has_trailers = true;
    resume(x);
}

void h2_abort(struct http_exchange *x)
{
    reading_done(x->hc->h2, x);
    x->state = X_DONE;
    nghttp2_submit_rst_stream(x->hc->h2->ng, NGHTTP2_FLAG_NONE, x->stream_id,
                              NGHTTP2_INTERNAL_ERROR);
    queue_flush(x->hc);
}

/* ---- receiving ---- */

/* The server's own answer, before the handler has seen the request. */
static void refuse(struct h2_server *h, struct http_exchange *x, int status)
{
    if (x->refused) {
        return;
    }
    x->refused = true;
    struct str body = arena_printf(&x->arena, "%s\n", http_reason(status));
    h2_begin(x, status, S("text/plain"), NULL, 0, true, body.n);
    h2_chunk(x, body);
    h2_end(x);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_server *h = ctx;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0;
    }
    struct http_exchange *x = exchange_new(h->hc);
    x->stream_id = frame->hd.stream_id;
    x->req.version = 20;
    link_stream(h, x);
    h->n_reading++;
    set_deadline(h);
    nghttp2_session_set_stream_user_data(ng, frame->hd.stream_id, x);
    return 0;
}

static void take_pseudo(struct http_req *r, struct str name, struct str value)
{
    if (str_is(name, ":method")) {
        r->method = value;
    } else if (str_is(name, ":path")) {
        r->target = value;
    } else if (str_is(name, ":authority")) {
        r->authority = value;
    } else if (str_is(name, ":scheme")) {
        r->scheme = value;
    }
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t nn, const uint8_t *value, size_t vn, uint8_t flags, void *ctx)
{
    struct h2_server *h = ctx;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    const struct h1_limits *lim = &h->hc->server->opts.head;
    size_t count_max = lim->headers_max > 0 ? lim->headers_max : (size_t)H1_HEADERS_MAX;
    if (x == NULL || frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers are not used */
    }
    x->header_bytes += nn + vn + 32;
    if (x->header_bytes > lim->head_max || x->req.n_headers == count_max) {
        x->header_bytes = SIZE_MAX / 2;
        return 0;
    }
    struct http_req *r = &x->req;
    struct str n = arena_str(&x->arena, str_n(name, nn)),
               v = arena_str(&x->arena, str_n(value, vn));
    if (nn > 0 && name[0] == ':') {
        take_pseudo(r, n, v);
        return 0;
    }
    r->headers = arena_grow(&x->arena, r->headers, r->n_headers, r->n_headers + 1, &x->header_cap,
                            sizeof(*r->headers));
    r->headers[r->n_headers++] = (struct http_header){n, v};
    return 0;
}

static void head_complete(struct h2_server *h, struct http_exchange *x)
{
    struct http_req *r = &x->req;
    x->is_head = str_is(r->method, "HEAD");
    if (x->header_bytes > h->hc->server->opts.head.head_max) {
        refuse(h, x, 431);
        return;
    }
    if (r->authority.n == 0) {
        r->authority = http_header_get(r, "host");
    }
    if (str_is(r->method, "CONNECT") || r->target.n == 0) {
        refuse(h, x, str_is(r->method, "CONNECT") ? 501 : 400);
        return;
    }
    exchange_split_target(r);
    int status = exchange_check_head(x);
    if (status != 0) {
        refuse(h, x, status);
        return;
    }
    x->body.max = h->hc->server->opts.stream_bodies ? (size_t)H2_OUT_MAX : x->body_max;
}

static void deliver_end(struct http_exchange *x)
{
    x->body_ended = false;
    x->body_open = false;
    x->on_body(x->body_ctx, STR_EMPTY, true);
}

void h2_deliver(struct http_exchange *x)
{
    if (x->on_body == NULL || x->body_paused || x->hc == NULL) {
        return;
    }
    if (x->body.n > 0) {
        struct buf kept = x->body;
        buf_init(&x->body, kept.max);
        nghttp2_session_consume(x->hc->h2->ng, x->stream_id, kept.n);
        queue_flush(x->hc);
        x->on_body(x->body_ctx, buf_str(&kept), false);
        buf_release(&kept);
    }
    if (x->body_ended && !x->body_paused && x->body.n == 0) {
        deliver_end(x);
    }
}

static void request_complete(struct h2_server *h, struct http_exchange *x)
{
    if (x->body_open) {
        if (x->on_body != NULL && !x->body_paused && x->body.n == 0) {
            deliver_end(x);
        } else {
            x->body_ended = true;
        }
        return;
    }
    if (!x->refused && x->state == X_READING) {
        reading_done(h, x);
        exchange_dispatch(x);
    }
}

/* A bucket that leaks H2_FLOOD_RATE a second and holds H2_FLOOD_BURST. */
static bool is_flood(struct h2_server *h)
{
    int64_t now = loop_now_ms(h->hc->server->loop);
    unsigned leaked =
        (unsigned)MIN((now - h->bucket_ms) * H2_FLOOD_RATE / 1000, (int64_t)H2_FLOOD_BURST);
    if (leaked > 0) {
        h->bucket = h->bucket > leaked ? h->bucket - leaked : 0;
        h->bucket_ms = now;
    }
    return ++h->bucket > H2_FLOOD_BURST;
}

static bool costs_for_nothing(const nghttp2_frame *f)
{
    switch (f->hd.type) {
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_PRIORITY:
        return true;
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
        return (f->hd.flags & NGHTTP2_FLAG_ACK) == 0;
    case NGHTTP2_DATA:
        return f->hd.length == 0 && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0;
    default:
        return false;
    }
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_server *h = ctx;
    if (costs_for_nothing(frame) && is_flood(h)) {
        nghttp2_session_terminate_session(ng, NGHTTP2_ENHANCE_YOUR_CALM);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct http_exchange *x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
    if (x == NULL) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        head_complete(h, x);
        if (h->hc->server->opts.stream_bodies && !x->refused && x->state == X_READING) {
            x->body_open = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0;
            reading_done(h, x);
            exchange_dispatch(x);
            return 0;
        }
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        request_complete(h, x);
    }
    return 0;
}

/* Counts the CONTINUATION frames of one header block: an endless one costs memory without a request. */
static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *ctx)
{
    struct h2_server *h = ctx;
    h->continuations = hd->type == NGHTTP2_CONTINUATION ? h->continuations + 1 : 0;
    return h->continuations > H2_CONTINUATIONS_MAX ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_body(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *ctx)
{
    struct h2_server *h = ctx;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(ng, id);
    if (x != NULL && x->body_open && !x->refused) {
        if (x->on_body != NULL && !x->body_paused && x->body.n == 0) {
            nghttp2_session_consume(ng, id, n);
            x->on_body(x->body_ctx, str_n(p, n), false);
        } else {
            buf_put(&x->body, p, n); /* within the window; consumed when it is delivered */
        }
        return 0;
    }
    nghttp2_session_consume(ng, id, n);
    if (x == NULL || x->refused || x->state != X_READING) {
        return 0;
    }
    buf_put(&x->body, p, n);
    if (!buf_ok(&x->body)) {
        refuse(h, x, 413);
    }
    return 0;
}

/* An answer that is complete before its request: the rest of the request is not wanted. */
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    bool last = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (last && nghttp2_session_get_stream_remote_close(ng, frame->hd.stream_id) == 0) {
        nghttp2_submit_rst_stream(ng, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
}

static int on_stream_closed(nghttp2_session *ng, int32_t id, uint32_t error, void *ctx)
{
    struct h2_server *h = ctx;
    struct http_exchange *x = nghttp2_session_get_stream_user_data(ng, id);
    if (x != NULL) {
        nghttp2_session_set_stream_user_data(ng, id, NULL);
        reading_done(h, x);
        unlink_stream(h, x);
        exchange_abort(x);
    }
    set_deadline(h);
    if (h->leaving && h->n_streams == 0) {
        nghttp2_session_terminate_session(ng, NGHTTP2_NO_ERROR);
    }
    return 0;
}

/* ---- the session ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    static nghttp2_session_callbacks *cb; /* the same for every connection */
    if (cb == NULL && nghttp2_session_callbacks_new(&cb) == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
        nghttp2_session_callbacks_set_on_begin_frame_callback(cb, on_begin_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_body);
        nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_sent);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_closed);
    }
    return cb;
}

/* Windows open when bytes are taken, not when they arrive: a slow handler slows its client. */
static int new_session(struct h2_server *h)
{
    nghttp2_option *o;
    nghttp2_session_callbacks *cb = make_callbacks();
    int rc = cb != NULL ? nghttp2_option_new(&o) : NGHTTP2_ERR_NOMEM;
    if (rc != 0) {
        return rc;
    }
    nghttp2_option_set_no_auto_window_update(o, 1);
    rc = nghttp2_session_server_new2(&h->ng, cb, h, o);
    nghttp2_option_del(o);
    return rc;
}

bool h2_server_start(struct http_conn *hc)
{
    struct h2_server *h = calloc(1, sizeof(*h));
    if (h == NULL || new_session(h) != 0) {
        free(h);
        return false;
    }
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, H2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)hc->server->opts.head.head_max},
    };
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    h->hc = hc;
    hc->h2 = h;
    h->bucket_ms = loop_now_ms(hc->server->loop);
    set_deadline(h);
    queue_flush(hc);
    return true;
}

void h2_server_data(struct http_conn *hc, struct str bytes)
{
    struct h2_server *h = hc->h2;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes.p, bytes.n);
    if (n < 0) {
        nghttp2_session_terminate_session(h->ng, NGHTTP2_PROTOCOL_ERROR);
        flush(h);
        conn_close(hc->conn);
        return;
    }
    queue_flush(hc);
}

void h2_server_free(struct http_conn *hc)
{
    struct h2_server *h = hc->h2;
    hc->h2 = NULL;
    while (h->streams != NULL) {
        struct http_exchange *x = h->streams;
        unlink_stream(h, x);
        exchange_abort(x);
    }
    nghttp2_session_del(h->ng);
    free(h);
}

void h2_server_goaway(struct http_conn *hc)
{
    struct h2_server *h = hc->h2;
    h->leaving = true;
    if (h->n_streams == 0) {
        nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
    } else {
        nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR,
                              NULL, 0);
    }
    queue_flush(hc);
}

/* The client did not go on with what it began. */
void h2_server_expire(struct http_conn *hc)
{
    nghttp2_session_terminate_session(hc->h2->ng, NGHTTP2_NO_ERROR);
    queue_flush(hc);
}
