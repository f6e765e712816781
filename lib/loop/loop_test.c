#include "test/unit.h"

#include "lib/loop/conn.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static struct loop *loop;

static int set_up(void **state)
{
    assert_ok(loop_new(&loop));
    return 0;
}

static int tear_down(void **state)
{
    loop_free(loop);
    return 0;
}

/* ---- timers, deferred calls, signals, work ---- */

static int order[8], n_order;

static void note(void *ctx)
{
    order[n_order++] = *(int *)ctx;
}

static void note_and_stop(void *ctx)
{
    note(ctx);
    loop_stop(loop);
}

static void test_timers_fire_in_order(void **state)
{
    static int one = 1, two = 2, three = 3;
    n_order = 0;
    timer_start(loop, 20, 0, note_and_stop, &three);
    timer_start(loop, 1, 0, note, &one);
    timer_start(loop, 10, 0, note, &two);
    struct timer *never = timer_start(loop, 5, 0, note, &three);
    timer_stop(never);
    loop_run(loop);
    assert_int_equal(n_order, 3);
    assert_true(order[0] == 1 && order[1] == 2 && order[2] == 3);
}

static void defer_again(void *ctx)
{
    static int two = 2;
    note(ctx);
    loop_defer(loop, note, &two);
}

static void test_deferred_calls_end_the_loop_by_themselves(void **state)
{
    static int one = 1;
    n_order = 0;
    loop_defer(loop, defer_again, &one);
    loop_run(loop);
    assert_int_equal(n_order, 2);
}

static void test_signals_arrive(void **state)
{
    static int one = 1;
    n_order = 0;
    loop_on_signal(loop, SIGUSR1, note_and_stop, &one);
    struct timer *keep = timer_start(loop, 5000, 0, note, &one);
    kill(getpid(), SIGUSR1);
    loop_run(loop);
    timer_stop(keep);
    assert_int_equal(n_order, 1);
}

static struct err fail_with_detail(void *ctx)
{
    FAIL(ERR_BUSY, "seventeen %s", (const char *)ctx);
}

static void see_detail(void *ctx, struct err e)
{
    assert_int_equal(e.code, ERR_BUSY);
    assert_string_equal(err_detail(), "seventeen cows");
    n_order = 17;
}

static void test_work_carries_its_error(void **state)
{
    static char cows[] = "cows";
    assert_ok(loop_work(loop, fail_with_detail, see_detail, cows));
    loop_run(loop);
    assert_int_equal(n_order, 17);
}

static void child_done(void *ctx, pid_t pid, int status, int signal)
{
    *(int *)ctx = status * 1000 + signal;
}

static void test_children_report_their_end(void **state)
{
    int got = 0;
    const char *const argv[] = {"sh", "-c", "exit 7", NULL};
    struct spawn s = {.file = "/bin/sh",
                      .argv = argv,
                      .fds = {-1, -1, 2},
                      .n_fds = 3,
                      .on_exit = child_done,
                      .ctx = &got};
    pid_t pid = 0;
    assert_ok(loop_spawn(loop, &s, &pid));
    assert_true(pid > 0);
    loop_run(loop);
    assert_int_equal(got, 7000);
    s.file = "/nowhere/program";
    assert_err(loop_spawn(loop, &s, &pid), ERR_NOT_FOUND);
}

/* ---- connections ---- */

static struct listener *listener;
static struct conn *server_side, *client_side;
static struct buf received;
static size_t total, own_total, closed, to_send;
static struct err why_closed;

static void echo_data(struct conn *c, struct str bytes, void *ctx)
{
    conn_write(c, bytes);
}

static void count_close(struct conn *c, struct err why, void *ctx)
{
    closed++;
    why_closed = why;
}

static const struct conn_handler echo = {.on_data = echo_data, .on_close = count_close};

static void serve(void *ctx, struct conn *c)
{
    server_side = c;
    conn_start(c, ctx, NULL);
}

static void client_data(struct conn *c, struct str bytes, void *ctx)
{
    total += bytes.n;
    if (received.n < 1000) {
        buf_puts(&received, bytes);
    }
    own_total += bytes.n;
    if (own_total >= *(size_t *)ctx) {
        assert_true(conn_sent(c) >= MIN(to_send, 8u));
        conn_close(c);
        listener_close(listener);
    }
}

static const struct conn_handler client = {.on_data = client_data, .on_close = count_close};

static char big[300000];

static void connected(void *ctx, struct err e, struct conn *c)
{
    if (failed(e)) {
        fail_msg("connect: %s", err_detail());
    }
    client_side = c;
    conn_start(c, &client, &to_send);
    for (size_t sent = 0; sent < to_send;) {
        size_t n = MIN(sizeof(big), to_send - sent);
        conn_write(c, str_n(big, n));
        sent += n;
    }
}

static void start(struct str address, const struct conn_handler *h, const struct listen_opts *o)
{
    total = own_total = closed = 0;
    buf_init(&received, 1 << 20);
    assert_ok(loop_listen(loop, address, NULL, o, serve, (void *)(uintptr_t)h, &listener));
}

static void test_tcp_echo_small_and_large(void **state)
{
    size_t sizes[] = {1, 5, 16 * 1024, 10 * 1000 * 1000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        start(S("127.0.0.1:0"), &echo, NULL);
        to_send = sizes[i];
        assert_ok(
            loop_connect(loop, str_of(listener_address(listener)), NULL, NULL, connected, NULL));
        loop_run(loop);
        assert_int_equal(total, sizes[i]);
        assert_int_equal(closed, 2);
        buf_release(&received);
    }
}

static struct peer seen;

static void look(void *ctx, struct conn *c)
{
    seen = *conn_peer(c);
    conn_start(c, &echo, NULL);
}

static void test_unix_peer_is_known(void **state)
{
    char path[100], address[120];
    struct listen_opts o = {.mode = 0666};
    struct stat st;
    snprintf(path, sizeof(path), "/tmp/loop_test.%d.sock", (int)getpid());
    snprintf(address, sizeof(address), "unix:%s", path);
    total = own_total = closed = 0;
    buf_init(&received, 100);
    assert_ok(loop_listen(loop, str_of(address), NULL, &o, look, NULL, &listener));
    struct listener *second;
    assert_err(loop_listen(loop, str_of(address), NULL, &o, look, NULL, &second), ERR_EXISTS);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
    to_send = 3;
    assert_ok(loop_connect(loop, str_of(address), NULL, NULL, connected, NULL));
    loop_run(loop);
    assert_int_equal(seen.kind, PEER_UNIX);
    assert_int_equal(seen.pid, getpid());
    assert_int_equal(seen.uid, getuid());
    assert_int_equal(stat(path, &st), -1);
    buf_release(&received);
}

static void not_connected(void *ctx, struct err e, struct conn *c)
{
    assert_null(c);
    *(int *)ctx = e.code;
}

static void test_refused_and_timed_out(void **state)
{
    int code = 0;
    start(S("127.0.0.1:0"), &echo, NULL);
    char address[64];
    snprintf(address, sizeof(address), "%s", listener_address(listener));
    listener_close(listener);
    loop_run(loop);
    assert_ok(loop_connect(loop, str_of(address), NULL, NULL, not_connected, &code));
    loop_run(loop);
    assert_int_equal(code, ERR_UNAVAILABLE);
    assert_ok(
        loop_connect(loop, S("unix:/tmp/there/is/no.sock"), NULL, NULL, not_connected, &code));
    loop_run(loop);
    assert_int_equal(code, ERR_NOT_FOUND);
    buf_release(&received);
}

static void test_wrong_addresses(void **state)
{
    struct listener *ls;
    static const char *const wrong[] = {
        "",       "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "1.2.3.4:65536",
        "::1:80", "[::1]80",   "unix:",      ":80"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        assert_err(loop_listen(loop, str_of(wrong[i]), NULL, NULL, look, NULL, &ls), ERR_SYNTAX);
    }
}

/* A half-closed client still gets its answer. */
static void answer_at_eof(struct conn *c, void *ctx)
{
    conn_write(c, S("answer"));
    conn_close(c);
}

static void ignore_data(struct conn *c, struct str bytes, void *ctx)
{
}

static const struct conn_handler at_eof = {
    .on_data = ignore_data, .on_eof = answer_at_eof, .on_close = count_close};

static void shut(void *ctx, struct err e, struct conn *c)
{
    conn_start(c, &client, &to_send);
    conn_write(c, S("question"));
    conn_shutdown(c);
}

static void test_half_close(void **state)
{
    start(S("127.0.0.1:0"), &at_eof, NULL);
    to_send = 6;
    assert_ok(loop_connect(loop, str_of(listener_address(listener)), NULL, NULL, shut, NULL));
    loop_run(loop);
    assert_str(buf_str(&received), "answer");
    assert_int_equal(closed, 2);
    buf_release(&received);
}

/* Sends a little and closes when it is back; the listener stays. */
static void close_when_back(struct conn *c, struct str bytes, void *ctx)
{
    total += bytes.n;
    if (to_send != SIZE_MAX) {
        conn_close(c);
    }
}

static const struct conn_handler brief = {.on_data = close_when_back, .on_close = count_close};

static void connect_first(void *ctx, struct err e, struct conn *c)
{
    conn_start(c, &brief, NULL);
    conn_write(c, str_n(big, *(size_t *)ctx));
}

/* With one place, the second client is served when the first has left. */
static void test_connection_limit_waits(void **state)
{
    struct listen_opts o = {.max_conns = 1};
    start(S("127.0.0.1:0"), &echo, &o);
    to_send = 4;
    static size_t first = 2;
    struct str at = str_of(listener_address(listener));
    assert_ok(loop_connect(loop, at, NULL, NULL, connect_first, &first));
    assert_ok(loop_connect(loop, at, NULL, NULL, connected, NULL));
    loop_run(loop);
    assert_int_equal(total, 6);
    assert_int_equal(closed, 4);
    buf_release(&received);
}

static void test_freeing_the_loop_closes_everything(void **state)
{
    start(S("127.0.0.1:0"), &echo, NULL);
    to_send = SIZE_MAX;
    static size_t first = 2;
    assert_ok(
        loop_connect(loop, str_of(listener_address(listener)), NULL, NULL, connect_first, &first));
    timer_start(loop, 100000, 0, note, NULL);
    timer_start(loop, 50, 0, note_and_stop, &order[0]);
    n_order = 0;
    loop_run(loop);
    assert_int_equal(total, 2);
    buf_release(&received);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers_fire_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deferred_calls_end_the_loop_by_themselves, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_signals_arrive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_work_carries_its_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_children_report_their_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tcp_echo_small_and_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unix_peer_is_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_and_timed_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_connection_limit_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_freeing_the_loop_closes_everything, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
