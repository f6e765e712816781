#include "h2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEADER_MAX = 32 * 1024,
    OUT_MAX = 256 * 1024,      /* bytes with the connection before it must drain */
    STREAM_OUT_MAX = 64 << 20, /* bytes queued for one stream */
    WINDOW = 1 << 20,          /* what we let a peer send ahead, a stream and in all */
};

struct h2_client {
    nghttp2_session *ng;
    struct conn *conn; /* NULL once closed */
    struct loop *loop;
    struct h2_client_opts opts;
    struct h2_stream *streams;
    size_t n_streams;
    unsigned refs;
    bool flush_queued, closing, goaway;
};

struct h2_stream {
    struct h2_client *client;
    struct h2_stream *prev, *next;
    const struct h2_stream_handler *handler; /* NULL after h2_stream_reset */
    void *ctx;
    int32_t id;
    struct buf out;
    size_t out_at;
    bool out_end, out_waiting, head_seen;
    int status;
    struct arena arena; /* of the header block that is arriving */
    struct http_header *headers;
    size_t n_headers, cap, header_bytes;
};

static void client_unref(struct h2_client *h)
{
    if (--h->refs == 0) {
        nghttp2_session_del(h->ng);
        free(h);
    }
}

static void stream_free(struct h2_stream *s)
{
    buf_release(&s->out);
    arena_release(&s->arena);
    free(s);
}

/* ---- sending ---- */

static void flush(struct h2_client *h)
{
    while (h->conn != NULL && conn_pending(h->conn) < OUT_MAX) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(h->ng, &bytes);
        if (n < 0) {
            conn_abort(h->conn);
            return;
        }
        if (n == 0) {
            break;
        }
        conn_write(h->conn, str_n(bytes, (size_t)n));
    }
    if (h->conn != NULL && !nghttp2_session_want_read(h->ng) &&
        !nghttp2_session_want_write(h->ng)) {
        conn_close(h->conn);
    }
}

static void flush_later(void *ctx)
{
    struct h2_client *h = ctx;
    h->flush_queued = false;
    flush(h);
    client_unref(h);
}

static void queue_flush(struct h2_client *h)
{
    if (!h->flush_queued) {
        h->flush_queued = true;
        h->refs++;
        loop_defer(h->loop, flush_later, h);
    }
}

static ssize_t read_body(nghttp2_session *ng, int32_t id, uint8_t *dst, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx)
{
    struct h2_stream *s = source->ptr;
    size_t n = MIN(room, s->out.n - s->out_at);
    if (n == 0 && !s->out_end) {
        s->out_waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) {
        memcpy(dst, s->out.p + s->out_at, n);
    }
    s->out_at += n;
    if (s->out_at < s->out.n) {
        return (ssize_t)n;
    }
    if (s->out.p != NULL) {
        buf_clear(&s->out);
    }
    s->out_at = 0;
    if (s->out_end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    } else if (s->handler != NULL && s->handler->on_drain != NULL) {
        s->handler->on_drain(s->ctx);
    }
    return (ssize_t)n;
}

struct h2_stream *h2_request(struct h2_client *h, const struct http_header *headers, size_t n,
                             bool end, const struct h2_stream_handler *sh, void *ctx)
{
    if (!h2_client_usable(h)) {
        return NULL;
    }
    struct h2_stream *s = calloc(1, sizeof(*s));
    nghttp2_nv *nva = calloc(n, sizeof(*nva));
    if (s == NULL || nva == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    for (size_t i = 0; i < n; i++) {
        nva[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)headers[i].name.p,
                              (uint8_t *)(uintptr_t)headers[i].value.p, headers[i].name.n,
                              headers[i].value.n, NGHTTP2_NV_FLAG_NONE};
    }
    nghttp2_data_provider provider = {.source.ptr = s, .read_callback = read_body};
    s->id = nghttp2_submit_request(h->ng, NULL, nva, n, end ? NULL : &provider, s);
    free(nva);
    if (s->id < 0) {
        free(s);
        return NULL;
    }
    s->client = h;
    s->handler = sh;
    s->ctx = ctx;
    s->out_end = end;
    buf_init(&s->out, STREAM_OUT_MAX);
    arena_init(&s->arena, h->opts.header_max * 2 + 4096);
    s->next = h->streams;
    if (h->streams != NULL) {
        h->streams->prev = s;
    }
    h->streams = s;
    h->n_streams++;
    queue_flush(h);
    return s;
}

void h2_stream_send(struct h2_stream *s, struct str bytes, bool end)
{
    if (s->out_end) {
        return;
    }
    buf_puts(&s->out, bytes);
    s->out_end = end;
    if (!buf_ok(&s->out)) {
        nghttp2_submit_rst_stream(s->client->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_INTERNAL_ERROR);
    }
    if (s->out_waiting) {
        s->out_waiting = false;
        nghttp2_session_resume_data(s->client->ng, s->id);
    }
    queue_flush(s->client);
}

void h2_stream_consumed(struct h2_stream *s, size_t n)
{
    nghttp2_session_consume(s->client->ng, s->id, n);
    queue_flush(s->client);
}

size_t h2_stream_pending(const struct h2_stream *s)
{
    return s->out.n - s->out_at;
}

void h2_stream_reset(struct h2_stream *s)
{
    s->handler = NULL;
    nghttp2_submit_rst_stream(s->client->ng, NGHTTP2_FLAG_NONE, s->id, NGHTTP2_CANCEL);
    queue_flush(s->client);
}

/* ---- receiving ---- */

static struct h2_stream *stream_of(nghttp2_session *ng, int32_t id)
{
    return nghttp2_session_get_stream_user_data(ng, id);
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_stream *s = stream_of(ng, frame->hd.stream_id);
    if (s != NULL) {
        arena_reset(&s->arena);
        s->headers = NULL;
        s->n_headers = s->cap = s->header_bytes = 0;
    }
    return 0;
}

static int parse_status(struct str v)
{
    uint64_t n = 0;
    return v.n == 3 && !failed(str_to_u64(v, &n)) ? (int)n : 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
                     size_t nn, const uint8_t *value, size_t vn, uint8_t flags, void *ctx)
{
    struct h2_client *h = ctx;
    struct h2_stream *s = stream_of(ng, frame->hd.stream_id);
    if (s == NULL) {
        return 0;
    }
    s->header_bytes += nn + vn + 32;
    if (s->header_bytes > h->opts.header_max || s->n_headers == H1_HEADERS_MAX) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    }
    struct str n = arena_str(&s->arena, str_n(name, nn)),
               v = arena_str(&s->arena, str_n(value, vn));
    if (str_is(n, ":status")) {
        s->status = parse_status(v);
        return 0;
    }
    s->headers = arena_grow(&s->arena, s->headers, s->n_headers, s->n_headers + 1, &s->cap,
                            sizeof(*s->headers));
    s->headers[s->n_headers++] = (struct http_header){n, v};
    return 0;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *ctx)
{
    struct h2_client *h = ctx;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        h->goaway = true;
    }
    struct h2_stream *s =
        frame->hd.type == NGHTTP2_HEADERS ? stream_of(ng, frame->hd.stream_id) : NULL;
    if (s == NULL || s->handler == NULL) {
        return 0;
    }
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!s->head_seen) {
        if (s->status / 100 == 1) {
            return 0;
        }
        s->head_seen = true;
        s->handler->on_head(s->ctx, s->status, s->headers, s->n_headers, end);
    } else if (s->handler->on_trailers != NULL) {
        s->handler->on_trailers(s->ctx, s->headers, s->n_headers);
    }
    return 0;
}

static int on_body(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
                   void *ctx)
{
    struct h2_stream *s = stream_of(ng, id);
    if (s != NULL && s->handler != NULL) {
        s->handler->on_data(s->ctx, str_n(p, n));
    } else {
        nghttp2_session_consume(ng, id, n);
    }
    return 0;
}

static void end_stream(struct h2_stream *s, struct err why)
{
    struct h2_client *h = s->client;
    if (s->prev != NULL) {
        s->prev->next = s->next;
    } else {
        h->streams = s->next;
    }
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    h->n_streams--;
    if (s->handler != NULL) {
        s->handler->on_close(s->ctx, why);
    }
    stream_free(s);
}

static int on_stream_closed(nghttp2_session *ng, int32_t id, uint32_t error, void *ctx)
{
    struct h2_client *h = ctx;
    struct h2_stream *s = stream_of(ng, id);
    if (s == NULL) {
        return 0;
    }
    nghttp2_session_set_stream_user_data(ng, id, NULL);
    struct err why = OK;
    if (error != NGHTTP2_NO_ERROR || !s->head_seen) {
        why = err_make(error == NGHTTP2_REFUSED_STREAM ? ERR_UNAVAILABLE : ERR_CLOSED,
                       "the stream was reset: %s", nghttp2_http2_strerror(error));
    }
    end_stream(s, why);
    if (h->n_streams == 0 && !h->closing && h->opts.on_idle != NULL) {
        h->opts.on_idle(h->opts.ctx);
    }
    return 0;
}

static void on_data(struct conn *c, struct str bytes, void *ctx)
{
    struct h2_client *h = ctx;
    ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)bytes.p, bytes.n);
    if (n < 0) {
        nghttp2_session_terminate_session(h->ng, NGHTTP2_PROTOCOL_ERROR);
        flush(h);
        if (h->conn != NULL) {
            conn_close(h->conn);
        }
        return;
    }
    queue_flush(h);
}

static void on_drain(struct conn *c, void *ctx)
{
    flush(ctx);
}

static void on_close(struct conn *c, struct err why, void *ctx)
{
    struct h2_client *h = ctx;
    char *detail = failed(why) ? strdup(err_detail()) : NULL;
    h->conn = NULL;
    h->closing = true;
    while (h->streams != NULL) {
        end_stream(h->streams, err_make(failed(why) ? why.code : ERR_CLOSED, "%s",
                                        detail != NULL ? detail : "the connection was closed"));
    }
    free(detail);
    if (h->opts.on_close != NULL) {
        h->opts.on_close(h->opts.ctx, why);
    }
    client_unref(h);
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

/* ---- the connection ---- */

static nghttp2_session_callbacks *make_callbacks(void)
{
    static nghttp2_session_callbacks *cb;
    if (cb == NULL && nghttp2_session_callbacks_new(&cb) == 0) {
        nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
        nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_body);
        nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_closed);
    }
    return cb;
}

static int new_session(struct h2_client *h)
{
    nghttp2_option *o;
    nghttp2_session_callbacks *cb = make_callbacks();
    int rc = cb != NULL ? nghttp2_option_new(&o) : NGHTTP2_ERR_NOMEM;
    if (rc != 0) {
        return rc;
    }
    nghttp2_option_set_no_auto_window_update(o, 1); /* a reader that is slow slows its peer */
    rc = nghttp2_session_client_new2(&h->ng, cb, h, o);
    nghttp2_option_del(o);
    return rc;
}

struct err h2_client_new(struct conn *c, const struct h2_client_opts *o, struct h2_client **out)
{
    struct h2_client *h = calloc(1, sizeof(*h));
    ENSURE(h != NULL, ERR_LIMIT, "out of memory for an HTTP/2 connection");
    if (new_session(h) != 0) {
        free(h);
        return err_make(ERR_LIMIT, "out of memory for an HTTP/2 session");
    }
    h->conn = c;
    h->loop = conn_loop(c);
    h->opts = *o;
    h->opts.header_max = o->header_max > 0 ? o->header_max : (size_t)HEADER_MAX;
    h->refs = 1;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)h->opts.header_max},
    };
    nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
    nghttp2_session_set_local_window_size(h->ng, NGHTTP2_FLAG_NONE, 0, WINDOW);
    conn_start(c, &handler, h);
    queue_flush(h);
    *out = h;
    return OK;
}

void h2_client_close(struct h2_client *h)
{
    if (h->closing) {
        return;
    }
    h->closing = true;
    nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
    flush(h);
    if (h->conn != NULL) {
        conn_close(h->conn);
    }
}

bool h2_client_usable(const struct h2_client *h)
{
    return !h->closing && !h->goaway && h->conn != NULL &&
           nghttp2_session_check_request_allowed(h->ng) != 0;
}

size_t h2_client_streams(const struct h2_client *h)
{
    return h->n_streams;
}
