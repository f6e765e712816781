#include "test/unit.h"

#include "lib/grpc/grpc.h"
#include "lib/grpc/proto/ext_authz.pb-c.h"
#include "lib/grpc/proto/workload.pb-c.h"
#include "lib/http/client.h"
#include "lib/http/h2.h"

#include <unistd.h>

static struct loop *loop;
static struct router router;
static struct http_server *server;
static struct grpc_client *client;
static char address[100];
static int server_aborts;

/* ---- a server ---- */

static struct grpc_call *parked;

static void svids(struct grpc_call *call, int n)
{
    for (int i = 0; i < n; i++) {
        X509SVID one = X509_SVID__INIT, *list[] = {&one};
        X509SVIDResponse r = X509_SVIDRESPONSE__INIT;
        char id[40], big[3000];
        snprintf(id, sizeof(id), "spiffe://td/%d", i);
        memset(big, 'k', sizeof(big));
        one.spiffe_id = id;
        one.x509_svid_key = grpc_bytes(str_n(big, sizeof(big)));
        r.svids = list;
        r.n_svids = 1;
        grpc_send_secret(call, &r.base);
    }
}

static void fetch(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    svids(call, 100);
    grpc_end(call, GRPC_OK, NULL);
}

static void gone(void *ctx)
{
    server_aborts++;
    parked = NULL;
    loop_stop(loop);
}

static void fetch_and_wait(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    parked = call;
    grpc_on_abort(call, gone, NULL);
    svids(call, 1);
}

static void refuse(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    const JWTSVIDRequest *r = (const JWTSVIDRequest *)in;
    assert_int_equal(r->n_audience, 2);
    assert_string_equal(r->audience[1], "b");
    grpc_end(call, GRPC_PERMISSION_DENIED, "no identity: 100% \xc3\xa9\n");
}

static bool serving(void *ctx)
{
    return true;
}

static int set_up(void **state)
{
    assert_ok(loop_new(&loop));
    router_init(&router);
    grpc_method(&router, "/SpiffeWorkloadAPI/FetchX509SVID", &x509_svidrequest__descriptor, fetch,
                NULL);
    grpc_method(&router, "/SpiffeWorkloadAPI/FetchX509Bundles", &x509_bundles_request__descriptor,
                fetch_and_wait, NULL);
    grpc_method(&router, "/SpiffeWorkloadAPI/FetchJWTSVID", &jwtsvidrequest__descriptor, refuse,
                NULL);
    grpc_unknown(&router, "SpiffeWorkloadAPI");
    grpc_health(&router, serving, NULL);
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &router, .body_max = GRPC_MESSAGE_MAX + 5};
    assert_ok(http_server_new(loop, &o, &server));
    snprintf(address, sizeof(address), "unix:/tmp/grpc_test.%d.sock", (int)getpid());
    assert_ok(http_server_listen(server, str_of(address), NULL, NULL));
    assert_ok(grpc_client_new(loop, str_of(address), NULL, &client));
    server_aborts = 0;
    parked = NULL;
    return 0;
}

static int tear_down(void **state)
{
    grpc_client_free(client);
    http_server_free(server);
    loop_free(loop);
    router_release(&router);
    return 0;
}

/* ---- a client ---- */

static int n_messages, last_status, n_ended;
static char last_text[300], last_id[100];

static void got(void *ctx, const ProtobufCMessage *m)
{
    const X509SVIDResponse *r = (const X509SVIDResponse *)m;
    n_messages++;
    snprintf(last_id, sizeof(last_id), "%s", r->svids[0]->spiffe_id);
    if (ctx != NULL) {
        loop_stop(loop);
    }
}

static void ended(void *ctx, int status, struct str text)
{
    last_status = status;
    n_ended++;
    snprintf(last_text, sizeof(last_text), "%.*s", STR_FMT(text));
    loop_stop(loop);
}

static struct grpc_stream *call(const char *path, const ProtobufCMessage *m, int timeout_ms,
                                void *ctx)
{
    struct grpc_out o = {.path = path,
                         .request = m,
                         .reply = &x509_svidresponse__descriptor,
                         .on_message = got,
                         .on_end = ended,
                         .timeout_ms = timeout_ms,
                         .ctx = ctx};
    n_messages = n_ended = 0;
    last_status = -1;
    return grpc_client_call(client, &o);
}

static void test_stream_of_messages(void **state)
{
    X509SVIDRequest r = X509_SVIDREQUEST__INIT;
    for (int i = 0; i < 3; i++) {
        call("/SpiffeWorkloadAPI/FetchX509SVID", &r.base, 0, NULL);
        loop_run(loop);
        assert_int_equal(last_status, 0);
        assert_int_equal(n_messages, 100);
        assert_string_equal(last_id, "spiffe://td/99");
    }
}

static void test_status_and_message(void **state)
{
    JWTSVIDRequest r = JWTSVIDREQUEST__INIT;
    char a[] = "a", b[] = "b", *audience[] = {a, b};
    r.audience = audience;
    r.n_audience = 2;
    call("/SpiffeWorkloadAPI/FetchJWTSVID", &r.base, 0, NULL);
    loop_run(loop);
    assert_int_equal(last_status, GRPC_PERMISSION_DENIED);
    assert_string_equal(last_text, "no identity: 100% \xc3\xa9\n");
    call("/SpiffeWorkloadAPI/Nothing", &r.base, 0, NULL);
    loop_run(loop);
    assert_int_equal(last_status, GRPC_UNIMPLEMENTED);
    call("/Other/Nothing", &r.base, 0, NULL);
    loop_run(loop);
    assert_int_equal(last_status, GRPC_UNIMPLEMENTED);
}

static void test_cancel_reaches_the_server(void **state)
{
    X509BundlesRequest r = X509_BUNDLES_REQUEST__INIT;
    struct grpc_stream *s = call("/SpiffeWorkloadAPI/FetchX509Bundles", &r.base, 0, loop);
    loop_run(loop);
    assert_int_equal(n_messages, 1);
    svids(parked, 1);
    loop_run(loop);
    assert_int_equal(n_messages, 2);
    grpc_stream_cancel(s);
    loop_run(loop);
    assert_int_equal(server_aborts, 1);
    assert_int_equal(n_ended, 0);
}

static void test_deadline(void **state)
{
    X509BundlesRequest r = X509_BUNDLES_REQUEST__INIT;
    call("/SpiffeWorkloadAPI/FetchX509Bundles", &r.base, 60, NULL);
    while (n_ended == 0) {
        loop_run(loop);
    }
    assert_int_equal(last_status, GRPC_DEADLINE_EXCEEDED);
    if (server_aborts == 0) {
        loop_run(loop);
    }
    assert_int_equal(server_aborts, 1);
}

static void test_nobody_there(void **state)
{
    struct grpc_client *other;
    X509SVIDRequest r = X509_SVIDREQUEST__INIT;
    assert_ok(grpc_client_new(loop, S("unix:/tmp/no/such.sock"), NULL, &other));
    struct grpc_out o = {.path = "/a/b",
                         .request = &r.base,
                         .reply = &x509_svidresponse__descriptor,
                         .on_message = got,
                         .on_end = ended};
    last_status = -1;
    grpc_client_call(other, &o);
    assert_int_equal(last_status, -1);
    loop_run(loop);
    assert_int_equal(last_status, GRPC_UNAVAILABLE);
    grpc_client_free(other);
}

static void test_server_going_away_ends_streams(void **state)
{
    X509BundlesRequest r = X509_BUNDLES_REQUEST__INIT;
    call("/SpiffeWorkloadAPI/FetchX509Bundles", &r.base, 0, loop);
    loop_run(loop);
    http_server_free(server);
    server = NULL;
    while (n_ended == 0) {
        loop_run(loop);
    }
    assert_int_equal(last_status, GRPC_UNAVAILABLE);
}

/* ---- HTTP/2 itself ---- */

static struct h2_client *h2;
static int h2_status, h2_closed;
static struct buf h2_body;

static void on_head(void *ctx, int status, const struct http_header *headers, size_t n, bool end)
{
    h2_status = status;
}

static void on_body(void *ctx, struct str bytes)
{
    buf_puts(&h2_body, bytes);
}

static void on_stream_close(void *ctx, struct err why)
{
    h2_closed++;
    loop_stop(loop);
}

static const struct h2_stream_handler stream_handler = {
    .on_head = on_head, .on_data = on_body, .on_close = on_stream_close};

static void h2_gone(void *ctx, struct err why)
{
    h2 = NULL;
}

static void h2_connected(void *ctx, struct err e, struct conn *c)
{
    assert_false(failed(e));
    struct h2_client_opts o = {.on_close = h2_gone};
    assert_ok(h2_client_new(c, &o, &h2));
    loop_stop(loop);
}

static void h2_start(void)
{
    h2_closed = 0;
    buf_init(&h2_body, 1 << 20);
    assert_ok(loop_connect(loop, str_of(address), NULL, NULL, h2_connected, NULL));
    loop_run(loop);
}

static struct h2_stream *ask(struct str method, struct str path, struct str type, bool end)
{
    struct http_header h[] = {{S(":method"), method},
                              {S(":scheme"), S("http")},
                              {S(":authority"), S("x")},
                              {S(":path"), path},
                              {S("content-type"), type}};
    h2_status = 0;
    return h2_request(h2, h, 5, end, &stream_handler, NULL);
}

static void test_plain_requests_and_refusals_over_h2(void **state)
{
    h2_start();
    ask(S("GET"), S("/nothing"), S("text/plain"), true);
    loop_run(loop);
    assert_int_equal(h2_status, 404);
    assert_str(buf_str(&h2_body), "{\"error\":\"not found\"}\n");
    struct h2_stream *s =
        ask(S("POST"), S("/SpiffeWorkloadAPI/FetchJWTSVID"), S("text/plain"), false);
    h2_stream_send(s, S("hello"), true);
    loop_run(loop);
    assert_int_equal(h2_status, 415);
    /* a body over the limit is refused before it is there */
    s = ask(S("POST"), S("/x"), S("text/plain"), false);
    char *big = calloc(1, 1 << 20);
    for (int i = 0; i < 5; i++) {
        h2_stream_send(s, str_n(big, 1 << 20), i == 4);
    }
    loop_run(loop);
    assert_int_equal(h2_status, 413);
    free(big);
    buf_release(&h2_body);
    h2_client_close(h2);
}

static void test_resets_in_a_row_are_a_flood(void **state)
{
    h2_start();
    for (int i = 0; i < 2000 && h2 != NULL && h2_client_usable(h2); i++) {
        struct h2_stream *s = ask(S("POST"), S("/nothing"), S("text/plain"), false);
        timer_start(loop, 0, 0, (void (*)(void *))loop_stop, loop);
        loop_run(loop);
        if (h2 != NULL && h2_client_streams(h2) > 0 && s != NULL) {
            h2_stream_reset(s);
        }
    }
    for (int i = 0; i < 50 && h2 != NULL; i++) {
        timer_start(loop, 10, 0, (void (*)(void *))loop_stop, loop);
        loop_run(loop);
    }
    assert_null(h2);
    buf_release(&h2_body);
}

/* ---- messages ---- */

static void test_deep_messages_are_refused(void **state)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    /* claims { fields { value { struct_value { fields { ... */
    struct buf b, c;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 200; i++) {
        buf_init(&c, 1 << 20);
        static const char tags[] = {0x0a, 0x12, 0x2a};
        size_t n = b.n;
        buf_putc(&c, tags[(199 - i) % 3]);
        if (n >= 128) {
            buf_putc(&c, (char)(0x80 | (n & 0x7f)));
            n >>= 7;
        }
        buf_putc(&c, (char)n);
        buf_puts(&c, buf_str(&b));
        buf_release(&b);
        b = c;
    }
    buf_init(&c, 1 << 20);
    buf_putc(&c, 0x12);
    buf_putc(&c, (char)(0x80 | (b.n & 0x7f)));
    buf_putc(&c, (char)(b.n >> 7));
    buf_puts(&c, buf_str(&b));
    ProtobufCMessage *m;
    assert_err(grpc_unpack(&a, &validate_jwtsvidresponse__descriptor, buf_str(&c), &m), ERR_LIMIT);
    assert_err(grpc_unpack(&a, &validate_jwtsvidresponse__descriptor, S("\x0a\xff"), &m),
               ERR_SYNTAX);
    assert_ok(grpc_unpack(&a, &validate_jwtsvidresponse__descriptor, STR_EMPTY, &m));
    buf_release(&b);
    buf_release(&c);
    arena_release(&a);
}

static void test_a_message_that_unfolds_to_much_is_refused(void **state)
{
    struct arena a;
    struct buf b;
    ProtobufCMessage *m;
    arena_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 100000; i++) {
        buf_put(&b, "\x0a\x00", 2);
    }
    assert_err(grpc_unpack(&a, &x509_svidresponse__descriptor, buf_str(&b), &m), ERR_SYNTAX);
    buf_release(&b);
    arena_release(&a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_stream_of_messages),
        T(test_status_and_message),
        T(test_cancel_reaches_the_server),
        T(test_deadline),
        T(test_nobody_there),
        T(test_server_going_away_ends_streams),
        T(test_plain_requests_and_refusals_over_h2),
        T(test_resets_in_a_row_are_a_flood),
        T(test_deep_messages_are_refused),
        T(test_a_message_that_unfolds_to_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
