/* The client side: one HTTP/2 connection an address, made when the first call wants it. */
#include "grpc_priv.h"

#include "lib/base/codec.h"
#include "lib/http/h2.h"

#include <stdio.h>
#include <stdlib.h>

enum { ARENA_MAX = 64 << 20, CONNECT_MS = 5000, METADATA_MAX = 32 };

struct grpc_client {
    struct loop *loop;
    char *address;
    struct tls_client *tls;
    struct h2_client *h2;
    struct grpc_stream *streams;
    unsigned refs;
    bool connecting, freed;
};

struct grpc_stream {
    struct grpc_client *client;
    struct grpc_stream *prev, *next;
    struct grpc_out out; /* pointers into `arena` */
    struct arena arena;
    struct arena message; /* of the message being handed over */
    struct h2_stream *h2; /* NULL while waiting for the connection, and after its end */
    struct buf in;
    struct str frame; /* the request, framed */
    struct timer *timer;
    struct timer *failing;
    int status; /* -1: not yet known */
    struct str text;
    bool busy, dead;
};

static void client_unref(struct grpc_client *c)
{
    if (--c->refs == 0) {
        free(c->address);
        free(c);
    }
}

/* ---- ends ---- */

static void unlink_stream(struct grpc_stream *s)
{
    struct grpc_client *c = s->client;
    if (s->prev != NULL) {
        s->prev->next = s->next;
    } else if (c->streams == s) {
        c->streams = s->next;
    }
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    s->prev = s->next = NULL;
}

static void stream_free(struct grpc_stream *s)
{
    buf_release(&s->in);
    arena_release(&s->message);
    arena_release(&s->arena);
    client_unref(s->client);
    free(s);
}

/* Takes the stream out of everything; it is freed now, or by the callback of its own that is running. */
static void bury(struct grpc_stream *s)
{
    s->dead = true;
    timer_stop(s->timer);
    timer_stop(s->failing);
    s->timer = s->failing = NULL;
    if (s->h2 != NULL) {
        h2_stream_reset(s->h2);
        s->h2 = NULL;
    }
    unlink_stream(s);
    if (!s->busy) {
        stream_free(s);
    }
}

static void end_call(struct grpc_stream *s, int status, struct str text)
{
    void (*on_end)(void *, int, struct str) = s->out.on_end;
    void *ctx = s->out.ctx;
    char copy[512];
    size_t n = MIN(text.n, sizeof(copy));
    if (n > 0) {
        memcpy(copy, text.p, n);
    }
    bury(s);
    on_end(ctx, status, str_n(copy, n));
}

/* ---- answers ---- */

static struct str find(const struct http_header *h, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (str_is(h[i].name, name)) {
            return h[i].value;
        }
    }
    return STR_EMPTY;
}

static void note_status(struct grpc_stream *s, const struct http_header *h, size_t n)
{
    uint64_t code;
    struct str text = find(h, n, "grpc-status"), message = find(h, n, "grpc-message");
    if (text.p == NULL) {
        return;
    }
    s->status = !failed(str_to_u64(text, &code)) && code <= 16 ? (int)code : GRPC_UNKNOWN;
    if (message.n > 1024 || failed(percent_decode(&s->arena, message, false, &s->text))) {
        s->text = STR_EMPTY;
    }
}

/* An answer that is not gRPC at all: a proxy, or a web server. */
static int status_of_http(int http)
{
    switch (http) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

static void on_head(void *ctx, int status, const struct http_header *headers, size_t n, bool end)
{
    struct grpc_stream *s = ctx;
    bool is_grpc = str_starts(find(headers, n, "content-type"), S("application/grpc"));
    if (status != 200 || !is_grpc) {
        s->status = status_of_http(status);
        s->text = arena_printf(&s->arena, "the server answered HTTP %d", status);
        if (!end) {
            end_call(s, s->status, s->text);
        }
        return;
    }
    if (end) {
        note_status(s, headers, n);
    }
}

static void on_trailers(void *ctx, const struct http_header *headers, size_t n)
{
    note_status(ctx, headers, n);
}

/* One message from the front of s->in: false when there is none, or the call has ended. */
static bool take_message(struct grpc_stream *s)
{
    if (s->in.n < GRPC_PREFIX) {
        return false;
    }
    const unsigned char *p = (const unsigned char *)s->in.p;
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    if (p[0] != 0 || n > GRPC_MESSAGE_MAX) {
        end_call(s, p[0] != 0 ? GRPC_UNIMPLEMENTED : GRPC_RESOURCE_EXHAUSTED,
                 p[0] != 0 ? S("a compressed message") : S("a message over the limit"));
        return false;
    }
    if (s->in.n - GRPC_PREFIX < n) {
        return false;
    }
    ProtobufCMessage *m;
    arena_reset(&s->message);
    struct err e = grpc_unpack(&s->message, s->out.reply, str_n(p + GRPC_PREFIX, n), &m);
    if (failed(e)) {
        end_call(s, GRPC_INTERNAL, str_of(err_detail()));
        return false;
    }
    buf_consume(&s->in, GRPC_PREFIX + n);
    s->out.on_message(s->out.ctx, m);
    return !s->dead;
}

static void on_data(void *ctx, struct str bytes)
{
    struct grpc_stream *s = ctx;
    h2_stream_consumed(s->h2, bytes.n);
    s->busy = true;
    buf_puts(&s->in, bytes);
    if (!buf_ok(&s->in)) {
        end_call(s, GRPC_RESOURCE_EXHAUSTED, S("messages over the limit"));
    }
    while (!s->dead && take_message(s)) {
    }
    s->busy = false;
    if (s->dead) {
        stream_free(s);
    } else if (s->in.n == 0) {
        buf_release(&s->in); /* a stream that waits for years holds nothing */
        arena_reset(&s->message);
    }
}

static void on_close(void *ctx, struct err why)
{
    struct grpc_stream *s = ctx;
    s->h2 = NULL;
    if (s->status >= 0) {
        end_call(s, s->status, s->text);
    } else if (failed(why)) {
        end_call(s, GRPC_UNAVAILABLE, str_of(err_detail()));
    } else {
        end_call(s, GRPC_UNKNOWN, S("the answer ended without a status"));
    }
}

static const struct h2_stream_handler handler = {
    .on_head = on_head, .on_data = on_data, .on_trailers = on_trailers, .on_close = on_close};

/* ---- calls ---- */

static void put_timeout(struct grpc_stream *s, struct http_header *h, size_t *n)
{
    if (s->out.timeout_ms > 0) {
        h[(*n)++] = (struct http_header){
            S("grpc-timeout"), arena_printf(&s->arena, "%dm", MIN(s->out.timeout_ms, 99999999))};
    }
}

static void put_trace(struct grpc_stream *s, struct http_header *h, size_t *n)
{
    if (trace_is_set(&s->out.trace)) {
        struct trace child = trace_child(&s->out.trace);
        struct buf b;
        buf_init(&b, TRACE_TEXT);
        trace_put(&b, &child);
        h[(*n)++] = (struct http_header){S("traceparent"), arena_str(&s->arena, buf_str(&b))};
        buf_release(&b);
    }
}

/* False when the connection takes no more calls. */
static bool send_call(struct grpc_stream *s)
{
    struct grpc_client *c = s->client;
    bool is_unix = strncmp(c->address, "unix:", 5) == 0;
    struct http_header h[8 + METADATA_MAX] = {
        {S(":method"), S("POST")},
        {S(":scheme"), c->tls != NULL ? S("https") : S("http")},
        {S(":authority"), is_unix ? S("localhost") : str_of(c->address)},
        {S(":path"), str_of(s->out.path)},
        {S("te"), S("trailers")},
        {S("content-type"), S("application/grpc")},
    };
    size_t n = 6;
    put_timeout(s, h, &n);
    put_trace(s, h, &n);
    for (size_t i = 0; i < s->out.n_metadata; i++) {
        h[n++] = s->out.metadata[i];
    }
    s->h2 = h2_request(c->h2, h, n, false, &handler, s);
    if (s->h2 == NULL) {
        return false;
    }
    h2_stream_send(s->h2, s->frame, true);
    return true;
}

/* A connection and its client; one that is going away may live on beside its successor. */
struct link {
    struct grpc_client *client;
    struct h2_client *h2;
};

static void connection_gone(void *ctx, struct err why)
{
    struct link *link = ctx;
    struct grpc_client *c = link->client;
    if (c->h2 == link->h2) {
        c->h2 = NULL;
    }
    free(link);
    client_unref(c);
}

static struct err adopt(struct grpc_client *c, struct conn *conn)
{
    struct link *link = calloc(1, sizeof(*link));
    ENSURE(link != NULL, ERR_LIMIT, "out of memory");
    struct h2_client_opts o = {.on_close = connection_gone, .ctx = link};
    struct err e = h2_client_new(conn, &o, &link->h2);
    if (failed(e)) {
        free(link);
        return e;
    }
    link->client = c;
    c->h2 = link->h2;
    c->refs++;
    return OK;
}

/* Calls that wait for the connection, taken one by one: each may end others. */
static struct grpc_stream *next_waiting(struct grpc_client *c)
{
    for (struct grpc_stream *s = c->streams; s != NULL; s = s->next) {
        if (s->h2 == NULL && s->failing == NULL) {
            return s;
        }
    }
    return NULL;
}

static void on_connected(void *ctx, struct err e, struct conn *conn)
{
    struct grpc_client *c = ctx;
    c->connecting = false;
    if (!failed(e) && !c->freed) {
        e = adopt(c, conn);
    }
    if ((failed(e) || c->freed) && conn != NULL) {
        conn_close(conn);
    }
    char why[256];
    snprintf(why, sizeof(why), "%s", failed(e) ? err_detail() : "");
    struct grpc_stream *s;
    while (!c->freed && (s = next_waiting(c)) != NULL) {
        if (failed(e)) {
            end_call(s, GRPC_UNAVAILABLE, str_of(why));
        } else if (!send_call(s)) {
            end_call(s, GRPC_UNAVAILABLE, S("the connection takes no more calls"));
        }
    }
    client_unref(c);
}

static void timed_out(void *ctx)
{
    struct grpc_stream *s = ctx;
    s->timer = NULL;
    end_call(s, GRPC_DEADLINE_EXCEEDED, S("no answer before the deadline"));
}

static void fail_late(void *ctx)
{
    struct grpc_stream *s = ctx;
    s->failing = NULL;
    end_call(s, GRPC_UNAVAILABLE, s->text);
}

static struct err ensure_connection(struct grpc_client *c)
{
    if (c->connecting) {
        return OK;
    }
    struct connect_opts o = {.timeout_ms = CONNECT_MS};
    TRY(loop_connect(c->loop, str_of(c->address), c->tls, &o, on_connected, c));
    c->connecting = true;
    c->refs++;
    return OK;
}

static struct grpc_stream *stream_new(struct grpc_client *c, const struct grpc_out *o)
{
    BUG_ON(o->n_metadata > METADATA_MAX);
    struct grpc_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    s->client = c;
    c->refs++;
    s->status = -1;
    s->out = *o;
    arena_init(&s->arena, GRPC_MESSAGE_MAX * 2);
    arena_init(&s->message, ARENA_MAX);
    buf_init(&s->in, 2 * (GRPC_MESSAGE_MAX + GRPC_PREFIX));
    s->out.path = arena_cstr(&s->arena, str_of(o->path));
    struct http_header *h = arena_array(&s->arena, struct http_header, o->n_metadata);
    for (size_t i = 0; i < o->n_metadata; i++) {
        h[i].name = arena_str(&s->arena, o->metadata[i].name);
        h[i].value = arena_str(&s->arena, o->metadata[i].value);
    }
    s->out.metadata = h;
    struct buf frame;
    grpc_frame(&frame, o->request);
    s->frame = arena_str(&s->arena, buf_str(&frame));
    buf_release(&frame);
    s->next = c->streams;
    if (c->streams != NULL) {
        c->streams->prev = s;
    }
    c->streams = s;
    return s;
}

struct grpc_stream *grpc_client_call(struct grpc_client *c, const struct grpc_out *o)
{
    struct grpc_stream *s = stream_new(c, o);
    if (o->timeout_ms > 0) {
        s->timer = timer_start(c->loop, o->timeout_ms, 0, timed_out, s);
    }
    if (c->h2 != NULL && !h2_client_usable(c->h2)) {
        c->h2 = NULL; /* going away: its calls end, new ones go elsewhere */
    }
    struct err e = OK;
    if (c->h2 != NULL) {
        e = send_call(s) ? OK : err_make(ERR_BUSY, "the connection takes no more calls");
    } else {
        e = ensure_connection(c);
    }
    if (failed(e)) {
        s->text = arena_printf(&s->arena, "%s", err_detail());
        s->failing = timer_start(c->loop, 0, 0, fail_late, s);
    }
    return s;
}

void grpc_stream_cancel(struct grpc_stream *s)
{
    if (s != NULL && !s->dead) {
        bury(s);
    }
}

struct err grpc_client_new(struct loop *l, struct str address, struct tls_client *tls,
                           struct grpc_client **out)
{
    struct grpc_client *c = calloc(1, sizeof(*c));
    ENSURE(c != NULL, ERR_LIMIT, "out of memory for a gRPC client");
    c->loop = l;
    c->address = strndup(address.p, address.n);
    c->tls = tls;
    c->refs = 1;
    *out = c;
    return OK;
}

void grpc_client_free(struct grpc_client *c)
{
    if (c == NULL) {
        return;
    }
    c->freed = true;
    while (c->streams != NULL) {
        bury(c->streams);
    }
    if (c->h2 != NULL) {
        h2_client_close(c->h2);
    }
    client_unref(c);
}
