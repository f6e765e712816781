#include "test/pki.h"

#include "lib/loop/conn.h"

static struct loop *loop;
static struct pki pki, foreign;
static struct tls_server *server;
static struct tls_client *client, *stranger;
static struct listener *listener;
static struct conn *peers[2];
static struct peer seen_by_server, seen_by_client;
static char seen_id[128];
static size_t to_send, received, closed;
static struct err connect_error, close_reason;
static char big[200000];

static int set_up(void **state)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    assert_ok(loop_new(&loop));
    pki_make(&pki, "one.test");
    pki_make(&foreign, "two.test");
    server = pki_server(&pki, "spiffe://one.test/b", alpn);
    client = pki_client(&pki, "spiffe://one.test/a", alpn);
    stranger = pki_client(&foreign, "spiffe://two.test/a", alpn);
    received = closed = 0;
    connect_error = close_reason = OK;
    peers[0] = peers[1] = NULL;
    return 0;
}

static int tear_down(void **state)
{
    listener_close(listener);
    loop_free(loop);
    tls_server_unref(server);
    tls_client_unref(client);
    tls_client_unref(stranger);
    pki_release(&pki);
    pki_release(&foreign);
    return 0;
}

static void echo_data(struct conn *c, struct str bytes, void *ctx)
{
    conn_write(c, bytes);
}

static void on_close(struct conn *c, struct err why, void *ctx)
{
    close_reason = why;
    if (++closed == 2 || ctx != NULL) {
        loop_stop(loop);
    }
}

static const struct conn_handler echo = {.on_data = echo_data, .on_close = on_close};

static void serve(void *ctx, struct conn *c)
{
    seen_by_server = *conn_peer(c);
    snprintf(seen_id, sizeof(seen_id), "%.*s", STR_FMT(seen_by_server.spiffe_id));
    conn_start(c, &echo, NULL);
}

static void count_data(struct conn *c, struct str bytes, void *ctx)
{
    received += bytes.n;
    if (received >= to_send) {
        conn_close(c);
    }
}

static const struct conn_handler counting = {.on_data = count_data, .on_close = on_close};

static void connected(void *ctx, struct err e, struct conn *c)
{
    connect_error = e;
    if (failed(e)) {
        loop_stop(loop);
        return;
    }
    seen_by_client = *conn_peer(c);
    conn_start(c, &counting, NULL);
    for (size_t sent = 0; sent < to_send; sent += MIN(sizeof(big), to_send - sent)) {
        conn_write(c, str_n(big, MIN(sizeof(big), to_send - sent)));
    }
}

static void listen_tls(void)
{
    assert_ok(loop_listen(loop, S("127.0.0.1:0"), server, NULL, serve, NULL, &listener));
}

static void connect_as(struct tls_client *who, const char *expect)
{
    struct connect_opts o = {.expect_spiffe = str_of(expect), .timeout_ms = 3000};
    assert_ok(loop_connect(loop, str_of(listener_address(listener)), who, &o, connected, NULL));
    loop_run(loop);
}

static void test_both_sides_know_each_other(void **state)
{
    size_t sizes[] = {1, 20000, 5000000};
    listen_tls();
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        to_send = sizes[i];
        received = closed = 0;
        connect_as(client, "spiffe://one.test/b");
        assert_false(failed(connect_error));
        assert_int_equal(received, to_send);
        assert_string_equal(seen_id, "spiffe://one.test/a");
        assert_true(seen_by_server.tls);
        assert_int_equal(closed, 2);
    }
}

static void test_the_expected_server_or_none(void **state)
{
    listen_tls();
    connect_as(client, "spiffe://one.test/c");
    assert_int_equal(connect_error.code, ERR_DENIED);
    assert_non_null(strstr(err_detail(), "spiffe://one.test/c"));
}

static void test_strangers_and_plain_talk_are_refused(void **state)
{
    listen_tls();
    to_send = 10;
    connect_as(stranger, NULL);
    assert_true(failed(connect_error));
    assert_int_equal(received, 0);
    connect_error = OK;
    closed = 1; /* the server side of a failed handshake has no owner */
    connect_as(NULL, NULL);
    assert_true(received < to_send); /* perhaps an alert, but no echo */
}

/* The first bytes decide; then the handshake begins with them. */
static void tls_ready_now(void *ctx, struct err e, struct conn *c)
{
    assert_false(failed(e));
    serve(NULL, c);
}

static void sniff_data(struct conn *c, struct str bytes, void *ctx)
{
    if (bytes.p[0] == 0x16) {
        assert_ok(conn_start_tls(c, server, bytes, tls_ready_now, NULL));
        return;
    }
    static const struct conn_handler plain = {.on_data = echo_data, .on_close = on_close};
    conn_start(c, &plain, NULL);
    conn_write(c, bytes);
}

static const struct conn_handler sniffing = {.on_data = sniff_data, .on_close = on_close};

static void sniff(void *ctx, struct conn *c)
{
    conn_start(c, &sniffing, NULL);
}

static void test_tls_after_looking(void **state)
{
    assert_ok(loop_listen(loop, S("127.0.0.1:0"), NULL, NULL, sniff, NULL, &listener));
    to_send = 300000;
    connect_as(client, "spiffe://one.test/b");
    assert_int_equal(received, to_send);
    assert_string_equal(seen_id, "spiffe://one.test/a");
    received = closed = 0;
    connect_as(NULL, NULL);
    assert_int_equal(received, to_send);
}

static void silent(void *ctx, struct conn *c)
{
    static const struct conn_handler h = {.on_data = count_data, .on_close = on_close};
    to_send = SIZE_MAX;
    conn_start(c, &h, NULL);
}

static void test_a_handshake_has_a_time_limit(void **state)
{
    assert_ok(loop_listen(loop, S("127.0.0.1:0"), NULL, NULL, silent, NULL, &listener));
    struct connect_opts o = {.timeout_ms = 50};
    assert_ok(loop_connect(loop, str_of(listener_address(listener)), client, &o, connected, NULL));
    loop_run(loop);
    assert_int_equal(connect_error.code, ERR_TIMEOUT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_both_sides_know_each_other),           T(test_the_expected_server_or_none),
        T(test_strangers_and_plain_talk_are_refused), T(test_tls_after_looking),
        T(test_a_handshake_has_a_time_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
