/*
 * Policies that ask the world, with real connections: a peer in a process of its own serves HTTP and HTTPS on loopback, and
 * `sextant-authz run` asks it on behalf of its policies.
 */
#include "test/unit.h"

#include "lib/base/clock.h"
#include "lib/http/router.h"
#include "lib/loop/loop.h"
#include "lib/tls/tls.h"
#include "test/authz_server.h"

#include <time.h>

static const char *binary;
static struct server s;
static struct arena memory;
static char dir[64], plain_url[64], tls_url[64];
static pid_t peer;

/* ---- the peer ---- */

static unsigned calls;

struct late {
    struct http_req *req;
};

static void answer_late(void *ctx)
{
    struct late *l = ctx;
    http_reply_text(l->req, 200, S("slow"));
    free(l);
}

static struct str date_now(struct arena *a)
{
    time_t now = time(NULL);
    struct tm t;
    char text[64];
    gmtime_r(&now, &t);
    strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &t);
    return arena_str(a, str_of(text));
}

static void reply_with(struct http_req *req, int status, const char *name, const char *value,
                       struct str body)
{
    struct http_header h[] = {{S("date"), date_now(req->arena)}, {str_of(name), str_of(value)}};
    http_reply(req, &(struct http_reply){.status = status,
                                         .content_type = S("text/plain"),
                                         .headers = h,
                                         .n_headers = 2,
                                         .body = body});
}

static void serve_peer(struct http_req *req, void *ctx)
{
    struct str count = arena_printf(req->arena, "%u", ++calls);
    if (str_is(req->path, "/slow")) {
        struct late *l = calloc(1, sizeof *l);
        l->req = req;
        timer_start(ctx, 600, 0, answer_late, l);
    } else if (str_is(req->path, "/echo")) {
        struct str token = http_header_get(req, "authorization");
        http_reply_json(req, 200,
                        arena_printf(req->arena,
                                     "{\"method\":\"%.*s\",\"body\":\"%.*s\",\"token\":\"%.*s\"}",
                                     STR_FMT(req->method), STR_FMT(req->body), STR_FMT(token)));
    } else if (str_is(req->path, "/500")) {
        http_reply_text(req, 500, count);
    } else if (str_is(req->path, "/maxage")) {
        reply_with(req, 200, "cache-control", "max-age=100", count);
    } else if (str_is(req->path, "/etag")) {
        bool known = str_is(http_header_get(req, "if-none-match"), "\"v\"");
        reply_with(req, known ? 304 : 200, "etag", "\"v\"", known ? STR_EMPTY : count);
    } else if (str_is(req->path, "/moved")) {
        reply_with(req, 302, "location", "/echo", STR_EMPTY);
    } else if (str_is(req->path, "/round")) {
        reply_with(req, 302, "location", "/round", STR_EMPTY);
    } else {
        http_reply_text(req, 200, count);
    }
}

static void run_peer(int ready)
{
    struct loop *l;
    struct http_server *server;
    struct tls_identity *id;
    struct tls_server *tls;
    struct str names[] = {S("localhost"), S("named.example")};
    assert_ok(loop_new(&l));
    assert_ok(tls_identity_local(dir, names, 2, clock_wall_s(), &id));
    struct tls_server_opts to = {.identity = id};
    assert_ok(tls_server_new(&to, &tls));
    struct http_server_opts o = {.handle = serve_peer, .ctx = l};
    assert_ok(http_server_new(l, &o, &server));
    assert_ok(http_server_listen(server, S("127.0.0.1:0"), NULL, NULL));
    assert_ok(http_server_listen(server, S("127.0.0.1:0"), tls, NULL));
    char text[256];
    int n = snprintf(text, sizeof text, "http://%s\nhttps://localhost%s\n",
                     http_server_address(server, 0), strrchr(http_server_address(server, 1), ':'));
    if (write(ready, text, (size_t)n) != n) {
        _exit(1);
    }
    loop_run(l);
    _exit(0);
}

static int start_peer(void **state)
{
    int fds[2];
    char text[256] = "";
    snprintf(dir, sizeof dir, "/tmp/outing-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pipe(fds), 0);
    peer = fork();
    if (peer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run_peer(fds[1]);
    }
    close(fds[1]);
    assert_true(read(fds[0], text, sizeof text - 1) > 0);
    close(fds[0]);
    struct str rest = str_of(text), a = str_split(&rest, '\n'), b = str_split(&rest, '\n');
    assert_ok(str_to_cstr(a, plain_url, sizeof plain_url));
    assert_ok(str_to_cstr(b, tls_url, sizeof tls_url));
    arena_init(&memory, 64 << 20);
    return 0;
}

static int stop_peer(void **state)
{
    kill(peer, SIGKILL);
    waitpid(peer, NULL, 0);
    char path[128];
    static const char *const files[] = {"ca.crt", "server.crt", "server.key"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        unlink(path);
    }
    rmdir(dir);
    arena_release(&memory);
    return 0;
}

/* ---- asking ---- */

static struct answer ask(const char *method, const char *target, const char *body)
{
    return server_ask(&s, &memory,
                      &(struct ask){.method = method, .target = target, .body = str_of(body)});
}

/* A policy in which %P and %T stand for the peer's addresses and %D for its folder. */
static void load(const char *policy)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (const char *p = policy; *p != '\0'; p++) {
        bool mark = p[0] == '%' && (p[1] == 'P' || p[1] == 'T' || p[1] == 'D');
        if (!mark) {
            buf_putc(&b, *p);
            continue;
        }
        p++;
        buf_puts(&b, str_of(*p == 'P' ? plain_url : *p == 'T' ? tls_url : dir));
    }
    buf_putc(&b, '\0');
    struct answer r = ask("PUT", "/v1/policies/p", b.p);
    if (r.status != 200) {
        fail_msg("%.*s", STR_FMT(r.body));
    }
    buf_release(&b);
}

static void start(const char *policy)
{
    server_start(&s, binary, NULL);
    load(policy);
}

static void assert_value(const char *rule, const char *want)
{
    struct answer r = ask("GET", arena_printf(&memory, "/v1/data/p/%s", rule).p, "");
    struct str expected = arena_printf(&memory, "{\"result\":%s}\n", want);
    if (r.status != 200 || !str_eq(r.body, expected)) {
        fail_msg("%s: %d %.*s, not %s", rule, r.status, STR_FMT(r.body), want);
    }
}

static struct str value_of(const char *rule)
{
    return ask("GET", arena_printf(&memory, "/v1/data/p/%s", rule).p, "").body;
}

/* ---- tests ---- */

static void test_requests(void **state)
{
    start("package p\n"
          "echo(x) := http.send(object.union({\"url\": \"%P/echo\"}, x)).body\n"
          "get := echo({\"method\": \"get\"}).method\n"
          "put := echo({\"method\": \"put\", \"body\": [1]}).method\n"
          "raw := echo({\"method\": \"post\", \"raw_body\": \"x y\"}).body\n"
          "token := echo({\"method\": \"get\", \"headers\": {\"Authorization\": \"t\"}}).token\n"
          "moved := http.send({\"method\": \"get\", \"url\": \"%P/moved\"}).status_code\n"
          "followed := http.send({\"method\": \"get\", \"url\": \"%P/moved\", \"enable_redirect\": "
          "true}).body.method\n"
          "round := http.send({\"method\": \"get\", \"url\": \"%P/round\", \"enable_redirect\": "
          "true, "
          "\"raise_error\": false}).error.code\n"
          "refused := http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1:1/\", "
          "\"raise_error\": "
          "false}).error\n"
          "undefined_ := http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1:1/\"})\n"
          "slow := http.send({\"method\": \"get\", \"url\": \"%P/slow\", \"timeout\": \"50ms\", "
          "\"raise_error\": false}).error.code\n"
          "runtime if { opa.runtime().env.PATH; opa.runtime().version; not "
          "opa.runtime().authorization_enabled }\n"
          "names := net.lookup_ip_addr(\"localhost\") & {\"127.0.0.1\", \"::1\"} != set()\n");
    assert_value("get", "\"GET\"");
    assert_value("put", "\"PUT\"");
    assert_value("raw", "\"x y\"");
    assert_value("token", "\"t\"");
    assert_value("moved", "302");
    assert_value("followed", "\"GET\"");
    assert_value("round", "\"eval_http_send_network_error\"");
    assert_value("refused",
                 "{\"code\":\"eval_http_send_network_error\",\"message\":\"Get "
                 "\\\"http://127.0.0.1:1/\\\": dial tcp 127.0.0.1:1: connect: connection "
                 "refused\"}");
    assert_str(value_of("undefined_"), "{}\n");
    assert_value("slow", "\"eval_http_send_network_error\"");
    assert_value("names", "true");
    assert_value("runtime", "true");
    server_stop(&s);
}

static void test_tls(void **state)
{
    start("package p\n"
          "ask(x) := http.send(object.union({\"method\": \"get\", \"url\": \"%T/echo\", "
          "\"raise_error\": "
          "false}, x)).status_code\n"
          "stranger := ask({})\n"
          "known := ask({\"tls_ca_cert_file\": \"%D/ca.crt\"})\n"
          "named := ask({\"tls_ca_cert_file\": \"%D/ca.crt\", \"tls_server_name\": "
          "\"named.example\"})\n"
          "misnamed := ask({\"tls_ca_cert_file\": \"%D/ca.crt\", \"tls_server_name\": "
          "\"other.example\"})\n"
          "unchecked := ask({\"tls_insecure_skip_verify\": true})\n");
    assert_value("stranger", "0");
    assert_value("known", "200");
    assert_value("named", "200");
    assert_value("misnamed", "0");
    assert_value("unchecked", "200");
    server_stop(&s);
}

/* A request is asked once a decision, unless its status must not be remembered; random numbers and the time stay. */
static void test_runs(void **state)
{
    start("package p\n"
          "once := count({http.send({\"method\": \"get\", \"url\": \"%P/count\"}).raw_body | some "
          "i in [1, 2, "
          "3]})\n"
          "thrice := count({http.send({\"method\": \"get\", \"url\": \"%P/500\", \"headers\": "
          "{\"x\": "
          "\"y\"}}).raw_body | some i in [1, 2, 3]})\n"
          "many := [n | some i in numbers.range(1, 30); t := time.now_ns(); u := "
          "uuid.rfc4122(sprintf(\"%d\", [i])); r := http.send({\"method\": \"post\", \"url\": "
          "\"%P/echo\", "
          "\"raw_body\": sprintf(\"%d %s\", [t, u])}); r.body.body == sprintf(\"%d %s\", [t, u]); "
          "n := i]\n"
          "all_many := count(many)\n"
          "toomany := count([1 | some i in numbers.range(1, 150); http.send({\"method\": \"get\", "
          "\"url\": sprintf(\"%P/n?%d\", [i]), \"raise_error\": false}).status_code == 200])\n"
          "mine := http.send({\"method\": \"post\", \"url\": \"%P/echo\", \"raw_body\": "
          "input.x}).body.body\n");
    assert_value("once", "1");
    assert_value("thrice", "3");
    assert_value("all_many", "30");
    assert_value("toomany", "100");
    struct answer r = ask("POST", "/v1/batch/data/p/mine",
                          "{\"inputs\":{\"a\":{\"x\":\"1\"},\"b\":{\"x\":\"2\"}}}");
    assert_str(r.body, "{\"responses\":{\"a\":{\"result\":\"1\"},\"b\":{\"result\":\"2\"}}}\n");
    r = ask("POST", "/v1/query", "{\"query\":\"http.send({})\"}");
    assert_int_equal(r.status, 400);
    assert_true(str_find(r.body, S("unsafe built-in function calls in expression: http.send")) !=
                STR_NPOS);
    r = ask("POST", "/v1/query", "{\"query\":\"x = data.p.once\"}");
    assert_str(r.body, "{\"result\":[{\"x\":1}]}\n");
    server_stop(&s);
}

static void test_caches(void **state)
{
    start(
        "package p\n"
        "get(path, x) := http.send(object.union({\"method\": \"get\", \"url\": concat(\"\", "
        "[\"%P\", "
        "path])}, x)).raw_body\n"
        "plain := get(\"/count\", {})\n"
        "aged := get(\"/maxage\", {\"cache\": true})\n"
        "tagged := get(\"/etag\", {\"cache\": true})\n"
        "forced := get(\"/count\", {\"force_cache\": true, \"force_cache_duration_seconds\": 60})\n"
        "ignoring := get(\"/maxage\", {\"cache\": true, \"headers\": {\"x\": input.x}, "
        "\"cache_ignored_headers\": [\"x\"]})\n");
    static const char *const kept[] = {"aged", "tagged", "forced"};
    struct str first = value_of("plain");
    assert_false(str_eq(first, value_of("plain")));
    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        first = value_of(kept[i]);
        assert_true(str_starts(first, S("{\"result\":\"")));
        if (!str_eq(first, value_of(kept[i]))) {
            fail_msg("%s is asked again", kept[i]);
        }
    }
    first = ask("POST", "/v1/data/p/ignoring", "{\"input\":{\"x\":\"1\"}}").body;
    assert_true(
        str_eq(first, ask("POST", "/v1/data/p/ignoring", "{\"input\":{\"x\":\"2\"}}").body));
    server_stop(&s);
}

/* One decision waits for the network; others do not wait for it, and a client that leaves ends its errand. */
static void test_others_go_on(void **state)
{
    start("package p\nslow := http.send({\"method\": \"get\", \"url\": "
          "\"%P/slow\"}).raw_body\nfast := 1\n");
    static const char get[] =
        "GET /v1/data/p/slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    int fds[8];
    int64_t begin = clock_mono_ns();
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = server_connect(&s);
        assert_int_equal(write(fds[i], get, sizeof get - 1), sizeof get - 1);
    }
    close(fds[0]);
    assert_value("fast", "1");
    assert_true(clock_mono_ns() - begin < 500 * NS_PER_MS);
    for (size_t i = 1; i < ARRAY_LEN(fds); i++) {
        char text[1024];
        size_t n = 0;
        for (ssize_t k; (k = read(fds[i], text + n, sizeof text - n)) > 0;) {
            n += (size_t)k;
        }
        assert_true(str_find(str_n(text, n), S("{\"result\":\"slow\"}")) != STR_NPOS);
        close(fds[i]);
    }
    assert_true(clock_mono_ns() - begin < 3 * NS_PER_S);
    server_stop(&s);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: outing_test AUTHZ\n");
        return 2;
    }
    binary = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),     cmocka_unit_test(test_tls),
        cmocka_unit_test(test_runs),         cmocka_unit_test(test_caches),
        cmocka_unit_test(test_others_go_on),
    };
    return cmocka_run_group_tests(tests, start_peer, stop_peer);
}
