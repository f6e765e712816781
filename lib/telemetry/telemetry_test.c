#include "telemetry.h"

#include "audit.h"
#include "spool.h"
#include "test/unit.h"

#include "lib/http/http.h"
#include "lib/json/json.h"
#include "lib/loop/loop.h"

#include <sys/stat.h>
#include <unistd.h>

static char dir[64], socket_path[96], spool_path[96];

/* An audit daemon that counts lines, and may refuse those that say "poison". */
struct peer_daemon {
    struct loop *loop;
    struct http_server *server;
    int requests, lines;
    int status; /* answered to everything; 0: as it should be */
};

static bool holds(struct str s, const char *what)
{
    return str_find(s, str_of(what)) != STR_NPOS;
}

static void handle(struct http_req *req, void *ctx)
{
    struct peer_daemon *p = ctx;
    if (!str_is(req->path, "/v1/events")) {
        http_reply_status(req, 200);
        return;
    }
    p->requests++;
    if (p->status != 0 || holds(req->body, "poison")) {
        http_reply_status(req, p->status != 0 ? p->status : 400);
        return;
    }
    struct str rest = req->body;
    while (rest.p != NULL && rest.n > 0) {
        p->lines += str_split(&rest, '\n').n > 0;
    }
    http_reply_status(req, 200);
}

static void serve(struct peer_daemon *p)
{
    struct http_server_opts o = {.handle = handle, .ctx = p};
    char address[128];
    snprintf(address, sizeof(address), "unix:%s", socket_path);
    assert_ok(http_server_new(p->loop, &o, &p->server));
    assert_ok(http_server_listen(p->server, str_of(address), NULL, NULL));
}

struct waiter {
    struct loop *loop;
    int *left;
    bool called;
    struct err result;
};

static void done(void *ctx, struct err e)
{
    struct waiter *w = ctx;
    assert_false(w->called);
    w->called = true;
    w->result = e;
    if (--*w->left == 0) {
        loop_stop(w->loop);
    }
}

static void too_long(void *ctx)
{
    loop_stop(ctx);
}

static void run(struct loop *loop, int ms)
{
    struct timer *t = timer_start(loop, ms, 0, too_long, loop);
    loop_run(loop);
    timer_stop(t);
}

static struct audit_event event(const char *activity)
{
    return (struct audit_event){.class_uid = OCSF_API_ACTIVITY,
                                .activity = activity,
                                .outcome = "allowed",
                                .source_addr = S("10.0.0.1:4242"),
                                .actor_spiffe_id = S("spiffe://cluster.local/sextant/authz"),
                                .key_name = S("k"),
                                .trace = trace_new()};
}

static struct audit_client *client_of(struct loop *loop, const struct audit_opts *o)
{
    struct audit_client *c;
    char address[128];
    snprintf(address, sizeof(address), "unix:%s", socket_path);
    assert_ok(audit_client_new(loop, str_of(address), "test", o, &c));
    return c;
}

static void test_event(void **state)
{
    struct arena a;
    struct buf out;
    struct json *v;
    arena_init(&a, 1 << 20);
    buf_init(&out, AUDIT_EVENT_MAX);
    struct audit_event e = event("sign");
    e.outcome = "denied";
    e.reason = S("line\nbreak \"quoted\"");
    e.extra = json_new_object(&a);
    json_set(&a, (struct json *)(uintptr_t)e.extra, S("count"), json_new_int(&a, 3));
    audit_event_write(&out, &e, "crypto");
    assert_int_equal(out.p[out.n - 1], '\n');
    assert_true(str_find_char(str_n(out.p, out.n - 1), '\n') == STR_NPOS);
    assert_ok(json_parse(&a, str_n(out.p, out.n - 1), NULL, &v));
    assert_str(json_str(json_path(v, "unmapped.sextant.reason")), "line\nbreak \"quoted\"");
    assert_str(json_str(json_path(v, "src_endpoint.ip")), "10.0.0.1");
    assert_str(json_str(json_path(v, "actor.app_uid")), "spiffe://cluster.local/sextant/authz");
    int64_t n;
    assert_ok(json_i64(json_path(v, "type_uid"), &n));
    assert_int_equal(n, 600399);
    assert_ok(json_i64(json_path(v, "status_id"), &n));
    assert_int_equal(n, 2);
    assert_ok(json_i64(json_path(v, "unmapped.sextant.count"), &n));
    assert_int_equal(n, 3);
    assert_int_equal(json_str(json_path(v, "unmapped.sextant.trace_id")).n, 32);
    buf_release(&out);
    arena_release(&a);
}

static void test_events_travel_together(void **state)
{
    struct peer_daemon p = {0};
    struct waiter w[50];
    int left = 50;
    assert_ok(loop_new(&p.loop));
    serve(&p);
    struct audit_client *c = client_of(p.loop, NULL);
    struct audit_event e = event("sign");
    for (int i = 0; i < 50; i++) {
        w[i] = (struct waiter){.loop = p.loop, .left = &left};
        audit_emit(c, &e, done, &w[i]);
        assert_false(w[i].called);
    }
    run(p.loop, 5000);
    assert_int_equal(left, 0);
    assert_int_equal(p.lines, 50);
    assert_true(p.requests <= 2);
    assert_false(failed(w[0].result) || failed(w[49].result));
    assert_true(audit_reachable(c) && audit_waiting(c) == 0);
    audit_client_free(c);
    http_server_free(p.server);
    loop_free(p.loop);
}

static void test_fail_closed(void **state)
{
    struct loop *loop;
    int left = 1;
    assert_ok(loop_new(&loop));
    struct audit_client *c = client_of(loop, &(struct audit_opts){.timeout_ms = 300});
    struct waiter w = {.loop = loop, .left = &left};
    struct audit_event e = event("sign");
    audit_emit(c, &e, done, &w);
    run(loop, 5000);
    assert_true(w.called);
    assert_int_equal(w.result.code, ERR_UNAVAILABLE);
    audit_client_free(c);
    loop_free(loop);
}

static void late_server(void *ctx)
{
    serve(ctx);
}

static void test_waits_for_audit_to_come(void **state)
{
    struct peer_daemon p = {0};
    int left = 1;
    assert_ok(loop_new(&p.loop));
    struct audit_client *c = client_of(p.loop, NULL);
    struct waiter w = {.loop = p.loop, .left = &left};
    struct audit_event e = event("sign");
    audit_emit(c, &e, done, &w);
    timer_start(p.loop, 200, 0, late_server, &p);
    run(p.loop, 5000);
    assert_true(w.called && !failed(w.result));
    assert_int_equal(p.lines, 1);
    audit_client_free(c);
    http_server_free(p.server);
    loop_free(p.loop);
}

static void test_one_bad_event_fails_alone(void **state)
{
    struct peer_daemon p = {0};
    struct waiter w[5];
    int left = 5;
    assert_ok(loop_new(&p.loop));
    serve(&p);
    struct audit_client *c = client_of(p.loop, NULL);
    for (int i = 0; i < 5; i++) {
        struct audit_event e = event(i == 2 ? "poison" : "sign");
        w[i] = (struct waiter){.loop = p.loop, .left = &left};
        audit_emit(c, &e, done, &w[i]);
    }
    run(p.loop, 5000);
    assert_int_equal(left, 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(failed(w[i].result), i == 2);
    }
    assert_int_equal(p.lines, 4);
    audit_client_free(c);
    http_server_free(p.server);
    loop_free(p.loop);
}

static void test_spool(void **state)
{
    struct peer_daemon p = {0};
    struct waiter w[3];
    int left = 3;
    struct stat st;
    assert_ok(loop_new(&p.loop));
    struct audit_opts o = {.mode = AUDIT_SPOOL, .spool = spool_path};
    struct audit_client *c = client_of(p.loop, &o);
    struct audit_event e = event("sign");
    for (int i = 0; i < 3; i++) {
        w[i] = (struct waiter){.loop = p.loop, .left = &left};
        audit_emit(c, &e, done, &w[i]);
    }
    run(p.loop, 5000);
    assert_int_equal(left, 0);
    assert_false(failed(w[0].result) || failed(w[2].result));
    audit_client_free(c);
    assert_int_equal(stat(spool_path, &st), 0);
    assert_true(st.st_size > 0);
    serve(&p);
    c = client_of(p.loop, &o);
    run(p.loop, 500);
    assert_int_equal(p.lines, 3);
    assert_int_equal(stat(spool_path, &st), 0);
    assert_int_equal(st.st_size, 0);
    audit_client_free(c);
    http_server_free(p.server);
    loop_free(p.loop);
}

static void test_spool_file(void **state)
{
    struct spool s;
    struct buf out;
    buf_init(&out, 1 << 16);
    assert_ok(spool_open(&s, spool_path, 20));
    assert_ok(spool_append(&s, S("one\n")));
    assert_ok(spool_append(&s, S("two\n")));
    assert_err(spool_append(&s, S("a line that is too long\n")), ERR_LIMIT);
    assert_int_equal(pwrite(s.fd, "torn", 4, s.size), 4);
    spool_close(&s);
    assert_ok(spool_open(&s, spool_path, 20));
    assert_int_equal(s.size, 8);
    assert_ok(spool_peek(&s, &out, 6));
    assert_str(buf_str(&out), "one\n");
    assert_ok(spool_delivered(&s, 4));
    buf_clear(&out);
    assert_ok(spool_peek(&s, &out, 100));
    assert_str(buf_str(&out), "two\n");
    assert_ok(spool_delivered(&s, 4));
    assert_true(spool_is_empty(&s) && s.size == 0);
    spool_close(&s);
    buf_release(&out);
}

static void test_metrics(void **state)
{
    static struct metric signs = METRIC_COUNTER("t_ops_total", "Operations.", "op", "sign");
    static struct metric odd = METRIC_COUNTER("t_ops_total", "Operations.", "op", "a\"b\\c");
    static struct metric level = METRIC_GAUGE("t_level", "Level.", NULL, NULL);
    static struct metric took = METRIC_HISTOGRAM("t_seconds", "Duration.", NULL, NULL);
    struct buf out;
    buf_init(&out, 1 << 16);
    metrics_init();
    metric_add(&signs, 2);
    metric_set(&level, -5);
    metric_add(&odd, 1);
    metric_observe(&took, 60000);
    metric_observe(&took, INT64_C(20000000000));
    metrics_write(&out);
    struct str text = buf_str(&out);
    assert_true(holds(text, "# TYPE t_ops_total counter\nt_ops_total{op=\"sign\"} 2\n"
                            "t_ops_total{op=\"a\\\"b\\\\c\"} 1\n"));
    assert_true(holds(text, "t_level -5\n"));
    assert_true(holds(text, "t_seconds_bucket{le=\"0.000050000\"} 0\n"
                            "t_seconds_bucket{le=\"0.000100000\"} 1\n"));
    assert_true(holds(text, "t_seconds_bucket{le=\"+Inf\"} 2\nt_seconds_sum 20.000060000\n"
                            "t_seconds_count 2\n"));
    assert_true(holds(text, "process_resident_memory_bytes "));
    buf_release(&out);
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/telemetry-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(socket_path, sizeof(socket_path), "%s/audit.sock", dir);
    snprintf(spool_path, sizeof(spool_path), "%s/spool", dir);
    return 0;
}

static int teardown(void **state)
{
    unlink(socket_path);
    unlink(spool_path);
    return rmdir(dir);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_event),      CASE(test_events_travel_together),    CASE(test_fail_closed),
        CASE(test_spool_file), CASE(test_waits_for_audit_to_come),   CASE(test_spool),
        CASE(test_metrics),    CASE(test_one_bad_event_fails_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
