/* The server side: one POST route a method. Status travels in trailers, or alone when nothing was sent. */
#include "grpc_priv.h"

#include "lib/grpc/proto/health.pb-c.h"

#include <stdio.h>

struct grpc_call {
    struct http_req *req;
    struct timer *deadline;
    int64_t deadline_ms;
    void (*on_abort)(void *ctx);
    void *abort_ctx;
    bool started;
};

struct method {
    const ProtobufCMessageDescriptor *request;
    grpc_handler *fn;
    void *ctx;
};

void grpc_frame(struct buf *out, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    buf_init(out, n + GRPC_PREFIX);
    buf_putc(out, '\0');
    buf_put_be(out, n, 4);
    uint8_t *p = (uint8_t *)buf_reserve(out, n);
    if (p != NULL) {
        protobuf_c_message_pack(m, p);
        buf_commit(out, n);
    }
}

/* ---- ending ---- */

/* Printable ASCII but '%' stands for itself (gRPC over HTTP/2, "Percent-Encoded"). */
static struct str encode_message(struct arena *a, const char *message)
{
    struct buf b;
    buf_init(&b, 4096);
    for (const unsigned char *p = (const unsigned char *)message; *p != '\0'; p++) {
        if (*p >= 0x20 && *p <= 0x7e && *p != '%') {
            buf_putc(&b, (char)*p);
        } else {
            buf_printf(&b, "%%%02X", *p);
        }
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

void grpc_end(struct grpc_call *call, enum grpc_status status, const char *message)
{
    struct http_req *req = call->req;
    struct http_header trailers[2] = {
        {S("grpc-status"), arena_printf(req->arena, "%d", (int)status)}};
    size_t n = 1;
    if (message != NULL && message[0] != '\0') {
        trailers[n++] =
            (struct http_header){S("grpc-message"), encode_message(req->arena, message)};
    }
    timer_stop(call->deadline);
    call->deadline = NULL;
    http_reply_trailers(req, trailers, n);
}

void grpc_end_err(struct grpc_call *call, struct err e)
{
    grpc_end(call, (enum grpc_status)err_grpc_status(e), err_text(e));
}

static void forget(struct grpc_call *call)
{
    void (*fn)(void *) = call->on_abort;
    void *ctx = call->abort_ctx;
    timer_stop(call->deadline);
    call->deadline = NULL;
    fn(ctx);
}

static void client_gone(void *ctx)
{
    forget(ctx);
}

static void too_late(void *ctx)
{
    struct grpc_call *call = ctx;
    call->deadline = NULL;
    if (call->on_abort == NULL) {
        return; /* a handler that does not want to know answers in its own time */
    }
    forget(call);
    grpc_end(call, GRPC_DEADLINE_EXCEEDED, "the deadline has passed");
}

/* ---- beginning ---- */

/* "5S": at most 8 digits and a unit. 0: none or malformed. */
static int64_t parse_timeout_ms(struct str s)
{
    uint64_t n;
    if (s.n < 2 || s.n > 9 || failed(str_to_u64(str_sub(s, 0, s.n - 1), &n))) {
        return 0;
    }
    switch (s.p[s.n - 1]) {
    case 'H':
        return (int64_t)n * 3600000;
    case 'M':
        return (int64_t)n * 60000;
    case 'S':
        return (int64_t)n * 1000;
    case 'm':
        return (int64_t)MAX(n, 1);
    case 'u':
        return (int64_t)MAX(n / 1000, 1);
    case 'n':
        return (int64_t)MAX(n / 1000000, 1);
    default:
        return 0;
    }
}

static void set_deadline(struct grpc_call *call)
{
    enum { LONGEST_MS = 24 * 3600 * 1000 };
    int64_t ms = parse_timeout_ms(http_header_get(call->req, "grpc-timeout"));
    if (ms > 0) {
        struct loop *l = http_req_loop(call->req);
        ms = MIN(ms, (int64_t)LONGEST_MS);
        call->deadline_ms = loop_now_ms(l) + ms;
        call->deadline = timer_start(l, ms, 0, too_late, call);
    }
}

/* Exactly one uncompressed message. */
static struct err take_message(const struct http_req *req, struct str *out)
{
    struct str b = req->body;
    ENSURE(b.n >= GRPC_PREFIX, ERR_SYNTAX, "the call has no message");
    const unsigned char *p = (const unsigned char *)b.p;
    size_t n = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
    ENSURE(p[0] == 0, ERR_UNSUPPORTED, "compressed messages are not taken");
    ENSURE(n == b.n - GRPC_PREFIX, ERR_SYNTAX, "the call has not exactly one message");
    *out = str_sub(b, GRPC_PREFIX, b.n);
    return OK;
}

static void serve(struct http_req *req, void *ctx)
{
    const struct method *m = ctx;
    struct str type = http_header_get(req, "content-type"), bytes;
    if (req->version != 20) {
        http_reply_status(req, 505);
        return;
    }
    if (!str_is(type, "application/grpc") && !str_starts(type, S("application/grpc+proto")) &&
        !str_starts(type, S("application/grpc;"))) {
        http_reply_status(req, 415);
        return;
    }
    struct grpc_call *call = arena_new(req->arena, struct grpc_call);
    call->req = req;
    set_deadline(call);
    ProtobufCMessage *in = NULL;
    struct err e = take_message(req, &bytes);
    if (!failed(e)) {
        e = grpc_unpack(req->arena, m->request, bytes, &in);
    }
    if (failed(e)) {
        grpc_end(call, (enum grpc_status)err_grpc_status(e), err_detail());
        return;
    }
    m->fn(call, in, m->ctx);
}

void grpc_method(struct router *r, const char *path, const ProtobufCMessageDescriptor *request,
                 grpc_handler *fn, void *ctx)
{
    struct method *m = arena_new(&r->memory, struct method);
    *m = (struct method){request, fn, ctx};
    router_add(r, "POST", path, serve, m);
}

static void unknown(struct http_req *req, void *ctx)
{
    if (req->version != 20) {
        http_reply_status(req, 404);
        return;
    }
    struct grpc_call call = {.req = req};
    grpc_end(&call, GRPC_UNIMPLEMENTED, "unknown method");
}

void grpc_unknown(struct router *r, const char *service)
{
    const char *pattern = arena_printf(&r->memory, "/%s/{method...}", service).p;
    router_add(r, "POST", pattern, unknown, NULL);
}

/* ---- what handlers call ---- */

struct http_req *grpc_request(const struct grpc_call *call)
{
    return call->req;
}

int64_t grpc_deadline_ms(const struct grpc_call *call)
{
    return call->deadline_ms;
}

void grpc_on_abort(struct grpc_call *call, void (*fn)(void *), void *ctx)
{
    call->on_abort = fn;
    call->abort_ctx = ctx;
    http_on_abort(call->req, client_gone, call);
}

static void send(struct grpc_call *call, const ProtobufCMessage *m, bool secret)
{
    if (!call->started) {
        call->started = true;
        http_reply_begin(call->req, 200, S("application/grpc"), NULL, 0);
    }
    struct buf frame;
    grpc_frame(&frame, m);
    frame.wipe = secret;
    if (secret) {
        http_reply_chunk_secret(call->req, buf_str(&frame));
    } else {
        http_reply_chunk(call->req, buf_str(&frame));
    }
    buf_release(&frame);
}

void grpc_send(struct grpc_call *call, const ProtobufCMessage *m)
{
    send(call, m, false);
}

void grpc_send_secret(struct grpc_call *call, const ProtobufCMessage *m)
{
    send(call, m, true);
}

/* ---- health ---- */

struct health {
    bool (*serving)(void *ctx);
    void *ctx;
};

static void check_health(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    const struct health *h = ctx;
    Grpc__Health__V1__HealthCheckResponse out = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    out.status = h->serving(h->ctx)
                     ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                     : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    grpc_send(call, &out.base);
    grpc_end(call, GRPC_OK, NULL);
}

void grpc_health(struct router *r, bool (*serving)(void *), void *ctx)
{
    struct health *h = arena_new(&r->memory, struct health);
    *h = (struct health){serving, ctx};
    grpc_method(r, "/grpc.health.v1.Health/Check",
                &grpc__health__v1__health_check_request__descriptor, check_health, h);
    grpc_unknown(r, "grpc.health.v1.Health");
}
