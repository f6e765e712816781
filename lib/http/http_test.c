#include "test/unit.h"

#include "lib/base/buf.h"
#include "lib/http/client.h"
#include "lib/http/router.h"

#include <unistd.h>

static struct loop *loop;
static struct http_server *server;
static struct http_client *http;
static struct router router;
static struct http_req *parked;
static int aborted;
static char url_base[64];

/* ---- handlers ---- */

static void hello(struct http_req *req, void *ctx)
{
    http_reply_text(req, 200, S("hello\n"));
}

static void echo(struct http_req *req, void *ctx)
{
    struct str q = S("-");
    http_query_get(req, "q", &q);
    http_reply_text(req, 201,
                    arena_printf(req->arena, "%.*s|%.*s|%.*s|%.*s", STR_FMT(req->method),
                                 STR_FMT(http_param(req, "name")), STR_FMT(q), STR_FMT(req->body)));
}

static void rest_of_path(struct http_req *req, void *ctx)
{
    http_reply_text(req, 200, http_param(req, "path"));
}

static void note_abort(void *ctx)
{
    aborted++;
    parked = NULL;
    loop_stop(loop);
}

static void park(struct http_req *req, void *ctx)
{
    parked = req;
    http_on_abort(req, note_abort, NULL);
    if (ctx != NULL) {
        loop_stop(loop);
    }
}

static void stream(struct http_req *req, void *ctx)
{
    http_reply_begin(req, 200, S("text/plain"), NULL, 0);
    for (int i = 0; i < 1000; i++) {
        http_reply_chunk(req, arena_printf(req->arena, "line %d\n", i));
    }
    http_reply_end(req);
}

static void evil(struct http_req *req, void *ctx)
{
    struct http_header h = {S("x-a"), S("b\r\nset-cookie: c")};
    struct http_reply r = {.status = 200, .headers = &h, .n_headers = 1};
    http_reply(req, &r);
}

static void form(struct http_req *req, void *ctx)
{
    struct str a = S("-");
    http_form_get(req, "a", &a);
    http_reply_text(req, 200,
                    arena_printf(req->arena, "%.*s %zu", STR_FMT(a), http_form_count(req, "a")));
}

static void later(void *ctx)
{
    hello(ctx, NULL);
}

static void slow(struct http_req *req, void *ctx)
{
    timer_start(loop, 20, 0, later, req);
}

static int set_up(void **state)
{
    assert_ok(loop_new(&loop));
    router_init(&router);
    router_add(&router, "GET", "/hello", hello, NULL);
    router_add(&router, "*", "/echo/{name}", echo, NULL);
    router_add(&router, "POST", "/echo/fixed", hello, NULL);
    router_add(&router, "GET", "/rest/{path...}", rest_of_path, NULL);
    router_add(&router, "GET", "/park", park, loop);
    router_add(&router, "GET", "/stream", stream, NULL);
    router_add(&router, "GET", "/evil", evil, NULL);
    router_add(&router, "GET", "/slow", slow, NULL);
    router_add(&router, "POST", "/form", form, NULL);
    struct http_server_opts o = {.handle = router_dispatch,
                                 .ctx = &router,
                                 .head_ms = 300,
                                 .body_ms = 300,
                                 .idle_ms = 2000,
                                 .body_max = 100000};
    assert_ok(http_server_new(loop, &o, &server));
    assert_ok(http_server_listen(server, S("127.0.0.1:0"), NULL, NULL));
    snprintf(url_base, sizeof(url_base), "http://%s", http_server_address(server, 0));
    struct http_client_opts co = {.conns_per_host = 2, .timeout_ms = 3000};
    assert_ok(http_client_new(loop, &co, &http));
    aborted = 0;
    parked = NULL;
    return 0;
}

static int tear_down(void **state)
{
    http_client_free(http);
    http_server_free(server);
    loop_free(loop);
    router_release(&router);
    return 0;
}

/* ---- by our own client ---- */

static int waiting_for;
static int last_status;
static struct err last_error;
static char last_body[20000];

static void got(void *ctx, struct err e, const struct http_result *res)
{
    last_error = e;
    last_status = res != NULL ? res->status : 0;
    snprintf(last_body, sizeof(last_body), "%.*s", res != NULL ? (int)res->body.n : 0,
             res != NULL && res->body.n > 0 ? res->body.p : "");
    if (--waiting_for == 0) {
        loop_stop(loop);
    }
}

static void call_async(const char *method, const char *path, struct str body, const char *type)
{
    char url[512];
    snprintf(url, sizeof(url), "%s%s", url_base, path);
    struct http_call c = {.method = str_of(method),
                          .url = str_of(url),
                          .body = body,
                          .content_type = str_of(type),
                          .done = got};
    waiting_for++;
    http_client_call(http, &c);
}

static int call(const char *method, const char *path, const char *body)
{
    waiting_for = 0;
    call_async(method, path, str_of(body), NULL);
    loop_run(loop);
    return last_status;
}

static void test_routes(void **state)
{
    assert_int_equal(call("GET", "/hello", NULL), 200);
    assert_string_equal(last_body, "hello\n");
    assert_int_equal(call("PUT", "/echo/a%20b?x=1&q=%41+b", "body"), 201);
    assert_string_equal(last_body, "PUT|a b|A b|body");
    assert_int_equal(call("POST", "/echo/fixed", NULL), 200);
    assert_int_equal(call("GET", "/echo/fixed", NULL), 201);
    assert_int_equal(call("GET", "/rest/a/b%2Fc", NULL), 200);
    assert_string_equal(last_body, "a/b/c");
    assert_int_equal(call("GET", "/rest/", NULL), 200);
    assert_int_equal(call("GET", "/nothing", NULL), 404);
    assert_int_equal(call("POST", "/hello", NULL), 405);
    assert_int_equal(call("HEAD", "/hello", NULL), 200);
    assert_string_equal(last_body, "");
    assert_int_equal(call("GET", "/echo/%zz", NULL), 400);
    assert_int_equal(call("GET", "/echo/", NULL), 404);
    assert_int_equal(call("GET", "/evil", NULL), 500);
}

static void test_forms(void **state)
{
    waiting_for = 0;
    call_async("POST", "/form", S("b=1&a=x%26y+z&a=2"),
               "application/x-www-form-urlencoded; charset=utf-8");
    loop_run(loop);
    assert_string_equal(last_body, "x&y z 2");
    call_async("POST", "/form", S("a=1"), "text/plain");
    loop_run(loop);
    assert_string_equal(last_body, "- 0");
}

static void test_streams_and_many_at_once(void **state)
{
    assert_int_equal(call("GET", "/stream", NULL), 200);
    assert_int_equal(strlen(last_body), 8890);
    waiting_for = 0;
    for (int i = 0; i < 50; i++) {
        call_async("GET", i % 2 ? "/slow" : "/hello", STR_EMPTY, NULL);
    }
    loop_run(loop);
    assert_int_equal(waiting_for, 0);
    assert_int_equal(last_status, 200);
}

static void test_limits_of_the_server(void **state)
{
    char *big = calloc(1, 100002);
    memset(big, 'x', 100001);
    assert_int_equal(call("POST", "/echo/a", big), 413);
    big[100000] = '\0';
    assert_int_equal(call("POST", "/echo/a", big), 201);
    free(big);
}

static void test_a_call_times_out_and_its_request_is_aborted(void **state)
{
    char url[512];
    snprintf(url, sizeof(url), "%s/park", url_base);
    struct http_call c = {.url = str_of(url), .done = got, .timeout_ms = 50};
    waiting_for = 1;
    http_client_call(http, &c);
    loop_run(loop); /* parked */
    assert_non_null(parked);
    loop_run(loop);
    if (aborted == 0) {
        loop_run(loop);
    }
    assert_int_equal(last_error.code, ERR_TIMEOUT);
    assert_int_equal(aborted, 1);
}

static void test_cancelling(void **state)
{
    char url[512];
    snprintf(url, sizeof(url), "%s/park", url_base);
    struct http_call c = {.url = str_of(url), .done = got};
    struct http_call_state *s = http_client_call(http, &c);
    loop_run(loop);
    assert_non_null(parked);
    http_client_cancel(s);
    loop_run(loop);
    assert_int_equal(aborted, 1);
    assert_int_equal(call("GET", "/hello", NULL), 200);
}

static void test_freeing_the_client_ends_calls(void **state)
{
    waiting_for = 0;
    call_async("GET", "/park", STR_EMPTY, NULL);
    call_async("GET", "/park", STR_EMPTY, NULL);
    call_async("GET", "/hello", STR_EMPTY, NULL);
    loop_run(loop);
    http_client_free(http);
    http = NULL;
    assert_int_equal(last_error.code, ERR_CLOSED);
}

static void test_wrong_urls(void **state)
{
    static const char *const wrong[] = {"ftp://a/",   "http://", "http://a b/", "http://u:p@h/",
                                        "https://a/", "unix:",   "unix:/a:b",   "http://h:x/"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct http_call c = {.url = str_of(wrong[i]), .done = got};
        waiting_for = 1;
        http_client_call(http, &c);
        loop_run(loop);
        assert_true(failed(last_error));
    }
}

static void drained(void *ctx)
{
    *(bool *)ctx = true;
}

static void test_draining_waits_for_answers(void **state)
{
    bool done = false;
    waiting_for = 1;
    call_async("GET", "/slow", STR_EMPTY, NULL);
    waiting_for = 1;
    struct timer *t = timer_start(loop, 10, 0, (void (*)(void *))loop_stop, loop);
    (void)t;
    loop_run(loop);
    http_server_drain(server, drained, &done);
    loop_run(loop);
    assert_int_equal(last_status, 200);
    timer_start(loop, 1200, 0, (void (*)(void *))loop_stop, loop);
    loop_run(loop);
    assert_true(done);
}

/* ---- raw bytes ---- */

static struct buf raw;
static struct str raw_pieces[600];
static size_t n_pieces, next_piece;
static struct conn *raw_conn;

static void raw_data(struct conn *c, struct str bytes, void *ctx)
{
    buf_puts(&raw, bytes);
}

static void raw_close(struct conn *c, struct err why, void *ctx)
{
    n_pieces = 0; /* a piece may be due yet */
    loop_stop(loop);
}

static const struct conn_handler raw_handler = {.on_data = raw_data, .on_close = raw_close};

static void send_piece(void *ctx)
{
    if (next_piece < n_pieces) {
        conn_write(raw_conn, raw_pieces[next_piece++]);
        timer_start(loop, 1, 0, send_piece, NULL);
    }
}

static void raw_connected(void *ctx, struct err e, struct conn *c)
{
    raw_conn = c;
    conn_start(c, &raw_handler, NULL);
    send_piece(NULL);
}

/* Sends `text` in steps of `step` bytes and reads until the server closes. */
static struct str talk(const char *text, size_t step)
{
    struct str rest = str_of(text);
    buf_release(&raw);
    buf_init(&raw, 1 << 20);
    for (n_pieces = next_piece = 0; rest.n > 0; rest = str_sub(rest, step, rest.n)) {
        raw_pieces[n_pieces++] = str_sub(rest, 0, step);
    }
    assert_ok(loop_connect(loop, str_of(http_server_address(server, 0)), NULL, NULL, raw_connected,
                           NULL));
    loop_run(loop);
    n_pieces = 0;
    return buf_str(&raw);
}

static size_t count(struct str s, const char *what)
{
    size_t n = 0;
    for (size_t at; (at = str_find(s, str_of(what))) != STR_NPOS; n++) {
        s = str_sub(s, at + 1, s.n);
    }
    return n;
}

static void test_pipelined_requests_are_answered_in_order(void **state)
{
    const char *text = "GET /slow HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo/x HTTP/1.1\r\nHost: a\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                       "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n"
                       "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    size_t steps[] = {1000, 7, 1};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct str got_bytes = talk(text, steps[i]);
        assert_int_equal(count(got_bytes, "HTTP/1.1 "), 4);
        assert_int_equal(count(got_bytes, "hello\n"), 3);
        assert_true(str_find(got_bytes, S("hello")) < str_find(got_bytes, S("POST|x|-|abc")));
        assert_int_equal(count(got_bytes, "connection: close"), 1);
    }
}

static void test_refusals_close_the_connection(void **state)
{
    assert_int_equal(
        count(talk("GET / HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n", 1000),
              "HTTP/1.1 400"),
        1);
    assert_int_equal(count(buf_str(&raw), "hello"), 0);
    assert_int_equal(count(talk("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 1000), "HTTP/1.1 501"),
                     1);
    assert_int_equal(count(talk("GET /hello HTTP/1.1\r\nHost:", 1000), "HTTP/1.1 408"), 1);
    assert_int_equal(
        count(talk("POST /echo/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 1000),
              "HTTP/1.1 408"),
        1);
    /* a byte now and then does not help */
    assert_int_equal(
        count(talk("GET /hello HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                   "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                   1),
              "HTTP/1.1 408"),
        1);
    buf_release(&raw);
}

static void test_expect_continue(void **state)
{
    struct str s =
        talk("POST /echo/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
             "Connection: close\r\n\r\nab",
             1000);
    assert_int_equal(count(s, "HTTP/1.1 100 Continue\r\n\r\n"), 1);
    assert_int_equal(count(s, "POST|a|-|ab"), 1);
    buf_release(&raw);
}

static void test_http_1_0(void **state)
{
    struct str s = talk("GET /stream HTTP/1.0\r\n\r\n", 1000);
    assert_int_equal(count(s, "transfer-encoding"), 0);
    assert_int_equal(count(s, "line 999\n"), 1);
    buf_release(&raw);
}

static void test_blocking_call(void **state)
{
    struct arena a;
    struct http_result res;
    struct http_client_opts o = {.timeout_ms = 200};
    arena_init(&a, 1 << 20);
    assert_err(http_get_blocking(&a, &o, S("http://127.0.0.1:1/"), &res), ERR_UNAVAILABLE);
    arena_release(&a);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_routes),
        T(test_forms),
        T(test_streams_and_many_at_once),
        T(test_limits_of_the_server),
        T(test_a_call_times_out_and_its_request_is_aborted),
        T(test_cancelling),
        T(test_freeing_the_client_ends_calls),
        T(test_wrong_urls),
        T(test_draining_waits_for_answers),
        T(test_pipelined_requests_are_answered_in_order),
        T(test_refusals_close_the_connection),
        T(test_expect_continue),
        T(test_http_1_0),
        T(test_blocking_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
