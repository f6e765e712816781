#include "test/unit.h"

#include "lib/base/buf.h"
#include "lib/http/h1.h"

static const struct h1_limits limits = {.head_max = 0};
static struct arena arena;

/* Parses `text` as a whole request: 0, or the status of the refusal. Body pieces go to `body`. */
static int request(struct str text, struct h1_head *h, struct buf *body, struct str *rest)
{
    struct h1_scan scan = {0};
    size_t n = 0;
    if (failed(h1_head_end(&scan, text, &limits, &n))) {
        return scan.status;
    }
    if (n == 0) {
        return -1;
    }
    char *copy = arena_cstr(&arena, text);
    if (failed(h1_parse_request(&arena, copy, n, &limits, h))) {
        return h->status;
    }
    struct h1_body b;
    struct str in = str_sub(text, n, text.n), piece;
    h1_body_init(&b, h, 1000);
    while (in.n > 0 && !b.done) {
        if (failed(h1_body_next(&b, &in, &piece))) {
            return b.status;
        }
        buf_puts(body, piece);
    }
    *rest = in;
    return b.done ? 0 : -1;
}

static const struct refusal {
    const char *text;
    int status;
} smuggling[] = {
    /* two parsers could disagree about each of these */
    {"GET / HTTP/1.1\nHost: a\n\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\x80: 1\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
    {"GET / HTTP/1.1\r\nX: 1\r\n\r\n", 400},
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    {"GET /\r\nHost: a\r\n\r\n", 400},
    {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET http://u@h/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: "
     "3\r\n\r\n0\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nabc", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n", 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
     "chunked\r\n\r\n",
     501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
     "chunked\r\n\r\n0\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\nContent-Length: 1\r\n\r\na", 417},
    /* chunked bodies */
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 3\r\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a\nb\r\nabc\r\n0\r\n\r\n",
     400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
     "chunked\r\n\r\n0000000000000000003\r\nabc\r\n",
     400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\nabc", 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 413},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400},
    {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n x: y\r\n\r\n", 400},
};

static void test_smuggling_is_refused(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(smuggling); i++) {
        struct h1_head h;
        struct buf body;
        struct str rest;
        buf_init(&body, 1 << 16);
        int got = request(str_of(smuggling[i].text), &h, &body, &rest);
        if (got != smuggling[i].status) {
            fail_msg("case %zu: %d instead of %d: %s", i, got, smuggling[i].status,
                     smuggling[i].text);
        }
        buf_release(&body);
    }
}

static void test_a_request_in_its_parts(void **state)
{
    struct h1_head h;
    struct buf body;
    struct str rest;
    buf_init(&body, 1 << 16);
    struct str text = S("POST /a?b=c HTTP/1.1\r\nHOST: h:80\r\nX-Odd:\t  two words \t\r\nEmpty:\r\n"
                        "Transfer-Encoding: Chunked\r\nConnection: foo, Close\r\n\r\n"
                        "3;ext=1\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET");
    assert_int_equal(request(text, &h, &body, &rest), 0);
    assert_str(h.method, "POST");
    assert_str(h.target, "/a?b=c");
    assert_str(h.host, "h:80");
    assert_str(h1_header(&h, "x-odd"), "two words");
    assert_str(h1_header(&h, "empty"), "");
    assert_false(h.keep_alive);
    assert_int_equal(h.framing, H1_CHUNKED);
    assert_str(buf_str(&body), "abc0123456789");
    assert_str(rest, "GET");
    buf_release(&body);
}

static void test_an_absolute_target_overrules_host(void **state)
{
    struct h1_head h;
    struct buf body;
    struct str rest;
    buf_init(&body, 10);
    assert_int_equal(
        request(S("GET http://real:1/x HTTP/1.1\r\nHost: other\r\n\r\n"), &h, &body, &rest), 0);
    assert_str(h.host, "real:1");
    buf_release(&body);
}

/* However a message is cut, the head ends at the same byte. */
static void test_any_cut_gives_the_same(void **state)
{
    struct str text = S("GET /x HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\nrest");
    for (size_t cut = 0; cut < text.n; cut++) {
        struct h1_scan scan = {0};
        size_t n = 0;
        assert_ok(h1_head_end(&scan, str_sub(text, 0, cut), &limits, &n));
        if (n == 0) {
            assert_ok(h1_head_end(&scan, text, &limits, &n));
        }
        assert_int_equal(n, text.n - 4);
    }
}

static void test_limits(void **state)
{
    struct h1_limits small = {.head_max = 100, .line_max = 40, .headers_max = 3};
    struct h1_scan scan = {0};
    size_t n;
    struct h1_head h;
    char text[200];
    memset(text, 'a', sizeof(text));
    assert_err(h1_head_end(&scan, str_n(text, 41), &small, &n), ERR_LIMIT);
    assert_int_equal(scan.status, 414);
    memcpy(text, "GET / HTTP/1.1\r\n", 16);
    scan = (struct h1_scan){0};
    assert_err(h1_head_end(&scan, str_n(text, 101), &small, &n), ERR_LIMIT);
    assert_int_equal(scan.status, 431);
    char four[] = "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nA: b\r\nA: b\r\n\r\n";
    assert_err(h1_parse_request(&arena, four, sizeof(four) - 1, &small, &h), ERR_LIMIT);
    assert_int_equal(h.status, 431);
}

static const struct answer {
    const char *text, *method;
    enum h1_framing framing;
    bool keep_alive;
} answers[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", H1_LENGTH, true},
    {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", H1_NO_BODY, true},
    {"HTTP/1.1 200 OK\r\n\r\n", "GET", H1_UNTIL_CLOSE, false},
    {"HTTP/1.1 204\r\n\r\n", "GET", H1_NO_BODY, true},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "GET", H1_NO_BODY, true},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "GET", H1_NO_BODY, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", "GET", H1_NO_BODY,
     true},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET", H1_CHUNKED, true},
    {"HTTP/1.1 200 OK\r\n\r\n", "CONNECT", H1_TUNNEL, false},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "GET", H1_TUNNEL, false},
};

static void test_framing_of_answers(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct h1_head h;
        char *copy = arena_cstr(&arena, str_of(answers[i].text));
        assert_ok(
            h1_parse_response(&arena, copy, strlen(copy), &limits, str_of(answers[i].method), &h));
        assert_int_equal(h.framing, answers[i].framing);
        assert_int_equal(h.keep_alive, answers[i].keep_alive);
    }
    static const char *const wrong[] = {"HTTP/1.1 20 OK\r\n\r\n",   "HTTP/1.1 2000 OK\r\n\r\n",
                                        "HTTP/1.1  200 OK\r\n\r\n", "HTTP/2 200\r\n\r\n",
                                        "HTTP/1.1 600 X\r\n\r\n",   "ICY 200 OK\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct h1_head h;
        char *copy = arena_cstr(&arena, str_of(wrong[i]));
        assert_err(h1_parse_response(&arena, copy, strlen(copy), &limits, S("GET"), &h),
                   ERR_SYNTAX);
    }
}

static int set_up(void **state)
{
    arena_init(&arena, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_smuggling_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_request_in_its_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_absolute_target_overrules_host, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_cut_gives_the_same, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_framing_of_answers, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
