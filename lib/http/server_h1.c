/* HTTP/1.1 on a server connection: heads and bodies in, replies out, one request at a time. */
#include "http_priv.h"

#include <stdio.h>

/* ---- replies ---- */

static void put_number(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_put(b, digits + at, sizeof(digits) - at);
}

static void put_status_line(struct buf *b, int status)
{
    if (status == 200) {
        buf_puts(b, S("HTTP/1.1 200 OK\r\n"));
        return;
    }
    buf_puts(b, S("HTTP/1.1 "));
    put_number(b, (uint64_t)status);
    buf_putc(b, ' ');
    buf_puts(b, str_of(http_reason(status)));
    buf_puts(b, S("\r\n"));
}

static void put_header(struct buf *b, struct str name, struct str value)
{
    size_t n = name.n + value.n + 4;
    char *to = buf_reserve(b, n);
    if (to == NULL) {
        return;
    }
    memcpy(to, name.p, name.n);
    memcpy(to + name.n, ": ", 2);
    if (value.n > 0) {
        memcpy(to + name.n + 2, value.p, value.n);
    }
    memcpy(to + n - 2, "\r\n", 2);
    buf_commit(b, n);
}

void h1_begin(struct http_exchange *x, int status, struct str content_type,
              const struct http_header *headers, size_t n, bool whole, size_t length)
{
    struct buf *b = &x->server->head;
    buf_clear(b);
    put_status_line(b, status);
    put_header(b, S("date"), http_server_date(x->server));
    if (content_type.n > 0) {
        put_header(b, S("content-type"), content_type);
    }
    bool may_have_body = status != 204 && status != 304;
    if (whole && may_have_body) {
        buf_puts(b, S("content-length: "));
        put_number(b, length);
        buf_puts(b, S("\r\n"));
    } else if (!whole && may_have_body) {
        x->chunked = x->req.version == 11;
        x->keep_alive &= x->chunked;
        if (x->chunked) {
            buf_puts(b, S("transfer-encoding: chunked\r\n"));
        }
    }
    if (x->server->draining || x->hc->saw_eof) {
        x->keep_alive = false;
    }
    if (!x->keep_alive) {
        buf_puts(b, S("connection: close\r\n"));
    } else if (x->req.version == 10) {
        buf_puts(b, S("connection: keep-alive\r\n"));
    }
    for (size_t i = 0; i < n; i++) {
        put_header(b, headers[i].name, headers[i].value);
    }
    buf_puts(b, S("\r\n"));
    if (!buf_ok(b)) { /* more header bytes than any client takes */
        x->keep_alive = false;
        conn_abort(x->hc->conn);
        return;
    }
    conn_write(x->hc->conn, buf_str(b));
}

void h1_chunk(struct http_exchange *x, struct str bytes)
{
    if (x->is_head) {
        return;
    }
    struct conn *c = x->hc->conn;
    if (x->chunked) {
        char size[20];
        int n = snprintf(size, sizeof(size), "%zx\r\n", bytes.n);
        conn_write(c, str_n(size, (size_t)n));
        conn_write(c, bytes);
        conn_write(c, S("\r\n"));
    } else {
        conn_write(c, bytes);
    }
}

static void go_on(void *ctx)
{
    struct http_conn *hc = ctx;
    if (!hc->gone && !hc->closing) {
        h1_conn_data(hc, STR_EMPTY);
    }
    http_conn_unref(hc);
}

void h1_continue(struct http_conn *hc)
{
    if (!hc->processing) {
        http_conn_ref(hc);
        loop_defer(hc->server->loop, go_on, hc);
    }
}

void h1_finish(struct http_exchange *x)
{
    struct http_conn *hc = x->hc;
    bool keep = x->keep_alive && !x->body_open;
    hc->x = NULL;
    exchange_free(x);
    if (!keep) {
        hc->closing = true;
        conn_close_lingering(hc->conn);
        return;
    }
    http_conn_deadline(hc, hc->in.n > 0 ? hc->server->opts.head_ms : hc->server->opts.idle_ms);
    if (hc->in.n > 0) {
        h1_continue(hc);
    }
}

void h1_end(struct http_exchange *x)
{
    if (x->chunked && !x->is_head) {
        conn_write(x->hc->conn, S("0\r\n\r\n"));
    }
    h1_finish(x);
}

/* A refusal by the server itself; the rest of what the client sends is not read. */
void h1_send_error(struct http_conn *hc, int status)
{
    char text[256];
    const char *reason = http_reason(status);
    int n =
        snprintf(text, sizeof(text),
                 "HTTP/1.1 %d %s\r\ndate: %s\r\ncontent-type: text/plain\r\ncontent-length: %zu\r\n"
                 "connection: close\r\n\r\n%s\n",
                 status, reason, http_server_date(hc->server).p, strlen(reason) + 1, reason);
    struct http_exchange *x = hc->x;
    bool begun = x != NULL && x->state == X_STREAMING;
    hc->x = NULL;
    hc->closing = true;
    if (x != NULL) {
        exchange_abort(x);
    }
    if (begun) { /* another answer has begun: break it off */
        conn_abort(hc->conn);
        return;
    }
    conn_write(hc->conn, str_n(text, (size_t)n));
    conn_close_lingering(hc->conn);
}

/* ---- requests ---- */

/* The handler's own words for a body that is too long; what is left of it is not read. */
static bool refuse_body(struct http_conn *hc, int status)
{
    struct http_exchange *x = hc->x;
    const struct http_server_opts *o = &hc->server->opts;
    if (status != 413 || x == NULL || x->state != X_READING || o->on_too_large == NULL ||
        x->req.method.n == 0) {
        return false;
    }
    bool whole = x->framing.framing == H1_LENGTH;
    x->keep_alive = false;
    x->state = X_HANDLING;
    x->req.body = STR_EMPTY;
    http_conn_deadline(hc, 0);
    o->on_too_large(&x->req, whole ? x->framing.left + x->framing.total : 0, o->ctx);
    return true;
}

static void fill_request(struct http_exchange *x, const struct h1_head *h)
{
    struct http_req *r = &x->req;
    r->method = h->method;
    r->target = h->target;
    r->authority = h->host;
    r->headers = h->headers;
    r->n_headers = h->n_headers;
    r->version = 10 + h->minor;
    x->is_head = str_is(h->method, "HEAD");
    x->keep_alive = h->keep_alive && !x->hc->server->draining;
    exchange_split_target(r);
}

/* Takes a head of `n` bytes from the front of `bytes`: an error status, or 0. */
static int begin_request(struct http_conn *hc, struct str bytes, size_t n)
{
    struct http_exchange *x = exchange_new(hc);
    hc->x = x;
    hc->requests++;
    hc->scan = (struct h1_scan){0};
    char *copy = arena_alloc_raw(&x->arena, n, 1);
    memcpy(copy, bytes.p, n);
    struct h1_head h;
    if (failed(h1_parse_request(&x->arena, copy, n, &hc->server->opts.head, &h))) {
        return h.status;
    }
    if (str_is(h.method, "CONNECT")) {
        return 501;
    }
    fill_request(x, &h);
    int refused = exchange_check_head(x);
    if (refused != 0) {
        return refused;
    }
    bool streamed = hc->server->opts.stream_bodies;
    h1_body_init(&x->framing, &h, streamed ? UINT64_MAX : x->body_max);
    if (!streamed && h.framing == H1_LENGTH && h.content_length > x->body_max) {
        return 413;
    }
    x->body_open = streamed && !x->framing.done;
    if (!x->framing.done) {
        x->body.max = x->body_max;
        http_conn_deadline(hc, hc->server->opts.body_ms);
        if (h.expect_continue && h.minor > 0) {
            conn_write(hc->conn, S("HTTP/1.1 100 Continue\r\n\r\n"));
        }
    }
    return 0;
}

static int read_body(struct http_exchange *x, struct str *in)
{
    while (in->n > 0 && !x->framing.done) {
        struct str piece;
        if (failed(h1_body_next(&x->framing, in, &piece))) {
            return x->framing.status;
        }
        buf_puts(&x->body, piece);
    }
    return buf_ok(&x->body) ? 0 : 413;
}

/* Pieces to the handler, until it pauses, replies, or the body ends. */
static int stream_body(struct http_conn *hc, struct str *in)
{
    struct http_exchange *x = hc->x;
    while (in->n > 0 && hc->x == x && x->body_open && x->on_body != NULL && !x->body_paused) {
        struct str piece;
        if (failed(h1_body_next(&x->framing, in, &piece))) {
            return x->framing.status;
        }
        bool end = x->framing.done;
        x->body_open = !end;
        http_conn_deadline(hc, end ? 0 : hc->server->opts.body_ms);
        if (piece.n > 0 || end) {
            x->on_body(x->body_ctx, piece, end);
        }
    }
    return 0;
}

/* The next head from the front of `in`: 0 and hc->x unchanged when it is not complete. */
static int take_head(struct http_conn *hc, struct str *in)
{
    size_t head = 0;
    if (in->n == 0) {
        return 0;
    }
    if (failed(h1_head_end(&hc->scan, *in, &hc->server->opts.head, &head))) {
        return hc->scan.status;
    }
    if (head == 0) {
        return 0;
    }
    int status = begin_request(hc, *in, head);
    *in = str_sub(*in, head, in->n);
    if (status == 0 && hc->server->opts.stream_bodies) {
        http_conn_deadline(hc, 0);
        exchange_dispatch(hc->x);
    }
    return status;
}

/*
 * Takes as many requests from `in` as are complete, until one is left with its handler. Returns what
 * remains; an error status is sent by the caller.
 */
static int process(struct http_conn *hc, struct str *in)
{
    while (!hc->closing && !hc->gone) {
        if (hc->x == NULL) {
            size_t before = in->n;
            int status = take_head(hc, in);
            if (status != 0 || (hc->x == NULL && in->n == before)) {
                return status;
            }
            continue;
        }
        if (hc->x->state != X_READING) {
            struct http_exchange *x = hc->x;
            int status = stream_body(hc, in);
            if (status != 0 || hc->x == x) {
                return status;
            }
            continue;
        }
        int status = read_body(hc->x, in);
        if (status != 0 || !hc->x->framing.done) {
            return status;
        }
        http_conn_deadline(hc, 0);
        exchange_dispatch(hc->x);
    }
    return 0;
}

/* Reading ahead of a slow handler has a limit: then the client must wait. */
static void throttle(struct http_conn *hc)
{
    bool full = hc->x != NULL && hc->in.n > PIPELINE_MAX;
    if (full && !hc->paused) {
        conn_pause(hc->conn);
    } else if (!full && hc->paused) {
        conn_resume(hc->conn);
    }
    hc->paused = full;
}

void h1_conn_data(struct http_conn *hc, struct str bytes)
{
    if (hc->closing || hc->gone) {
        return;
    }
    bool was_empty = hc->in.n == 0;
    struct str in = bytes;
    if (!was_empty) {
        buf_puts(&hc->in, bytes);
        in = buf_str(&hc->in);
    } else if (hc->x == NULL && bytes.n > 0) {
        http_conn_deadline(hc, hc->server->opts.head_ms);
    }
    hc->processing = true;
    int status = buf_ok(&hc->in) ? process(hc, &in) : 431;
    hc->processing = false;
    if (hc->gone || hc->closing) {
        return;
    }
    if (status != 0) {
        if (!refuse_body(hc, status)) {
            h1_send_error(hc, status);
        }
        return;
    }
    if (!was_empty) {
        buf_consume(&hc->in, hc->in.n - in.n);
        if (hc->in.n == 0) {
            buf_release(&hc->in);
        }
    } else if (in.n > 0) {
        buf_puts(&hc->in, in);
    }
    throttle(hc);
}
