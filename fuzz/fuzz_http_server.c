/* deps: grpc http loop base */
#include "lib/grpc/grpc.h"
#include "lib/grpc/proto/workload.pb-c.h"
#include "lib/http/router.h"

#include <stdio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A whole server fed by one client: HTTP/1.1, HTTP/2 and gRPC, streamed and not. */
static struct loop *loop;
static struct http_server *servers[2];
static struct router router;
static struct str input;
static struct timer *last_call;

static void hello(struct http_req *req, void *ctx)
{
    http_reply_text(req, 200, req->body);
}

static void fetch(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    JWTSVIDResponse r = JWTSVIDRESPONSE__INIT;
    grpc_send(call, &r.base);
    grpc_end(call, GRPC_OK, "done");
}

static void take(void *ctx, struct str piece, bool end)
{
    if (end) {
        http_reply_status(ctx, 200);
    }
}

static void left(void *ctx)
{
}

static void streamed(struct http_req *req, void *ctx)
{
    http_on_abort(req, left, NULL); /* a body may never end: then the request is forgotten */
    if (http_req_more(req)) {
        http_req_read(req, take, req);
    } else {
        http_reply_status(req, 204);
    }
}

static void start(void)
{
    char address[100];
    struct http_server_opts plain = {
        .handle = router_dispatch, .ctx = &router, .body_max = 4096, .head_ms = 100};
    struct http_server_opts proxy = {.handle = streamed, .stream_bodies = true, .head_ms = 100};
    BUG_ON(failed(loop_new(&loop)));
    router_init(&router);
    router_add(&router, "*", "/{path...}", hello, NULL);
    grpc_method(&router, "/SpiffeWorkloadAPI/FetchJWTSVID", &jwtsvidrequest__descriptor, fetch,
                NULL);
    BUG_ON(failed(http_server_new(loop, &plain, &servers[0])));
    BUG_ON(failed(http_server_new(loop, &proxy, &servers[1])));
    for (int i = 0; i < 2; i++) {
        snprintf(address, sizeof(address), "unix:/tmp/fuzz_http.%d.%d.sock", (int)getpid(), i);
        BUG_ON(failed(http_server_listen(servers[i], str_of(address), NULL, NULL)));
    }
}

static void on_data(struct conn *c, struct str bytes, void *ctx)
{
}

static void on_close(struct conn *c, struct err why, void *ctx)
{
    timer_stop(last_call);
    last_call = NULL;
    loop_stop(loop);
}

static const struct conn_handler handler = {.on_data = on_data, .on_close = on_close};

static void close_late(void *ctx)
{
    last_call = NULL;
    conn_abort(ctx);
}

static void connected(void *ctx, struct err e, struct conn *c)
{
    BUG_ON(failed(e));
    conn_start(c, &handler, NULL);
    if (ctx != NULL) {
        conn_write(c, S("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    }
    conn_write(c, input);
    conn_flush(c);
    last_call = timer_start(loop, 1, 0, close_late, c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (loop == NULL) {
        start();
    }
    if (size < 2) {
        return 0;
    }
    input = str_n(data + 1, size - 1);
    struct str address = str_of(http_server_address(servers[data[0] & 1], 0));
    BUG_ON(failed(
        loop_connect(loop, address, NULL, NULL, connected, (data[0] & 2) != 0 ? loop : NULL)));
    loop_run(loop);
    return 0;
}
