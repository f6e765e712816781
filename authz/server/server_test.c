/*
 * The REST API on the wire. golden.json holds requests in groups, each to a server that has just started, with what
 * OPA 1.22.2 answered: status, the headers that say something of the body, and the body byte for byte
 * (test/interop/opa-rest/compare.py records it). Then what OPA does not have: batches, persistence, authorization.
 */
#include "test/unit.h"

#include "authz/rego/value/value.h"
#include "lib/base/codec.h"
#include "lib/http/gzip.h"
#include "test/authz_server.h"

static const char *binary, *golden;

static struct val load(struct arena *a, const char *path)
{
    struct val v;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    char *p = arena_alloc_raw(a, n + 1, 1);
    assert_int_equal(fread(p, 1, n, f), n);
    fclose(f);
    assert_ok(val_from_json(a, str_n(p, n), &v));
    return v;
}

static struct str text_of(struct val v, const char *name)
{
    struct val t = val_get_str(v, name);
    return val_is(t, V_STRING) ? val_text(t) : STR_EMPTY;
}

static struct str headers_of(struct arena *a, struct val v)
{
    struct str s = STR_EMPTY;
    for (uint32_t i = 0; val_is(v, V_OBJECT) && i < val_len(v); i++) {
        s = arena_printf(a, "%.*s%.*s: %.*s\r\n", STR_FMT(s),
                         STR_FMT(val_text(val_nth_key(a, v, i))), STR_FMT(val_text(val_nth(v, i))));
    }
    return s;
}

static struct str plain_body(struct arena *a, const struct answer *r)
{
    if (!str_is(answer_header(r, "content-encoding"), "gzip")) {
        return r->body;
    }
    struct buf b;
    buf_init(&b, 64 << 20);
    assert_ok(gzip_unpack(r->body, &b));
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static int check_golden(const struct server *s, struct arena *a, struct val c)
{
    static const char *const named[] = {"content-type", "vary", "content-encoding", "location",
                                        "allow"};
    struct val want = val_get_str(c, "want"), headers = val_get_str(want, "headers");
    struct ask q = {.method = arena_cstr(a, text_of(c, "method")),
                    .target = arena_cstr(a, text_of(c, "target")),
                    .headers = headers_of(a, val_get_str(c, "headers"))};
    assert_ok(base64_decode(a, text_of(c, "body64"), BASE64_STD, &q.body));
    struct answer r = server_ask(s, a, &q);
    int64_t status;
    assert_true(val_to_i64(val_get_str(want, "status"), &status));
    struct str body = plain_body(a, &r);
    bool same = r.status == status && str_eq(body, text_of(want, "body"));
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        same &= str_eq(answer_header(&r, named[i]), text_of(headers, named[i]));
    }
    if (!same) {
        printf("%s %s %.300s\n  got  %d %.*s\n  want %lld %.*s\n", q.method, q.target,
               q.body.p != NULL ? q.body.p : "", r.status, STR_FMT(body), (long long)status,
               STR_FMT(text_of(want, "body")));
    }
    return !same;
}

static void test_golden(void **state)
{
    struct arena a;
    int wrong = 0, count = 0;
    arena_init(&a, (size_t)1 << 30);
    struct val groups = load(&a, golden);
    for (uint32_t g = 0; g < val_len(groups); g++) {
        struct server s;
        struct val cases = val_get_str(val_nth(groups, g), "cases");
        server_start(&s, binary, NULL);
        for (uint32_t i = 0; i < val_len(cases); i++, count++) {
            wrong += check_golden(&s, &a, val_nth(cases, i));
        }
        server_stop(&s);
    }
    arena_release(&a);
    printf("%d answers as recorded, %d not\n", count - wrong, wrong);
    assert_int_equal(wrong, 0);
    assert_true(count > 350);
}

/* ---- what OPA does not have, or needs options for ---- */

static struct server s;
static struct arena memory;

static struct answer ask(const char *method, const char *target, const char *body)
{
    return server_ask(&s, &memory,
                      &(struct ask){.method = method, .target = target, .body = str_of(body)});
}

static void assert_answer(struct answer r, int status, const char *body)
{
    if (r.status != status || !str_is(r.body, body)) {
        fail_msg("got %d %.*s, want %d %s", r.status, STR_FMT(r.body), status, body);
    }
}

static int set_up(void **state)
{
    arena_init(&memory, 64 << 20);
    return 0;
}

static int tear_down(void **state)
{
    arena_release(&memory);
    return 0;
}

static void test_batch(void **state)
{
    server_start(&s, binary, NULL);
    assert_answer(ask("PUT", "/v1/policies/p",
                      "package p\nallow := input.n > 1\nbad := 1 if input.n > 2\nbad := 2 if true"),
                  200, "{}\n");
    assert_answer(
        ask("POST", "/v1/batch/data/p/allow", "{\"inputs\":{\"a\":{\"n\":1},\"b\":{\"n\":2}}}"),
        200, "{\"responses\":{\"a\":{\"result\":false},\"b\":{\"result\":true}}}\n");
    assert_answer(ask("POST", "/v1/batch/data/p/allow",
                      "{\"inputs\":{\"a\":{},\"b\":{\"n\":0}},\"common_input\":{\"n\":5}}"),
                  200, "{\"responses\":{\"a\":{\"result\":true},\"b\":{\"result\":false}}}\n");
    assert_answer(ask("POST", "/v1/batch/data/p/none", "{\"inputs\":{\"a\":{}}}"), 200,
                  "{\"responses\":{\"a\":{}}}\n");
    struct answer mixed =
        ask("POST", "/v1/batch/data/p/bad", "{\"inputs\":{\"a\":{\"n\":1},\"b\":{\"n\":3}}}");
    assert_int_equal(mixed.status, 207);
    assert_true(str_find(mixed.body, S("\"a\":{\"result\":2,\"http_status_code\":\"200\"}")) !=
                STR_NPOS);
    assert_true(str_find(mixed.body, S("eval_conflict_error")) != STR_NPOS);
    assert_true(str_find(mixed.body, S("\"http_status_code\":\"500\"")) != STR_NPOS);
    assert_int_equal(ask("POST", "/v1/batch/data/p/bad", "{\"inputs\":{\"b\":{\"n\":3}}}").status,
                     500);
    assert_int_equal(ask("POST", "/v1/batch/data/p/bad", "{}").status, 400);
    assert_int_equal(ask("POST", "/v1/batch/data/p/bad", "{").status, 400);
    server_stop(&s);
}

/* ?why names the one thing that would have to be different. */
static void test_why(void **state)
{
    server_start(&s, binary, NULL);
    assert_answer(ask("PUT", "/v1/policies/p",
                      "package p\ndefault allow := false\nallow if input.role == \"analyst\""),
                  200, "{}\n");
    struct str r = ask("POST", "/v1/data/p/allow?why", "{\"input\":{\"role\":\"guest\"}}").body;
    assert_true(str_starts(r, S("{\"result\":false,\"why\":{")));
    assert_true(str_find(r, S("\"what\":\"input.role\",\"is\":\"guest\",\"relation\":\"==\","
                              "\"want\":\"analyst\"")) != STR_NPOS);
    server_stop(&s);
}

/* What was written over the API is there again, and nothing that was taken back. */
static void test_persist(void **state)
{
    char path[100], flag[120];
    snprintf(path, sizeof path, "/tmp/authz-persist-%d", (int)getpid());
    snprintf(flag, sizeof flag, "--persist=%s", path);
    const char *const more[] = {flag, NULL};
    unlink(path);
    server_start(&s, binary, more);
    assert_answer(ask("PUT", "/v1/policies/p", "package p\nallow := data.users[input.u].ok"), 200,
                  "{}\n");
    assert_int_equal(ask("PUT", "/v1/policies/q", "package q\nx := 1").status, 200);
    assert_int_equal(ask("DELETE", "/v1/policies/q", "").status, 200);
    assert_int_equal(ask("PUT", "/v1/data/users/ana", "{\"ok\":true}").status, 204);
    assert_int_equal(ask("PUT", "/v1/data/users/bob", "{\"ok\":true}").status, 204);
    assert_int_equal(ask("PUT", "/v1/data/list", "[1,2]").status, 204);
    assert_int_equal(
        ask("PATCH", "/v1/data/list", "[{\"op\":\"add\",\"path\":\"0\",\"value\":0}]").status, 204);
    assert_int_equal(ask("DELETE", "/v1/data/users/bob", "").status, 204);
    assert_int_equal(ask("PUT", "/v1/data/p/allow", "1").status, 400);
    server_stop(&s);
    server_start(&s, binary, more);
    assert_answer(ask("GET", "/v1/data", ""), 200,
                  "{\"result\":{\"list\":[0,1,2],\"p\":{},\"users\":{\"ana\":{\"ok\":true}}}}\n");
    assert_answer(ask("POST", "/v1/data/p/allow", "{\"input\":{\"u\":\"ana\"}}"), 200,
                  "{\"result\":true}\n");
    assert_int_equal(ask("GET", "/v1/policies/q", "").status, 404);
    server_stop(&s);
    unlink(path);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
}

static struct answer ask_as(const char *token, const char *method, const char *target,
                            const char *body)
{
    struct ask q = {.method = method, .target = target, .body = str_of(body)};
    q.headers =
        token != NULL ? arena_printf(&memory, "Authorization: Bearer %s\r\n", token) : STR_EMPTY;
    return server_ask(&s, &memory, &q);
}

static void test_authorization(void **state)
{
    char path[100];
    snprintf(path, sizeof path, "/tmp/authz-gate-%d.rego", (int)getpid());
    write_file(path,
               "package system.authz\n"
               "default allow := {\"allowed\": false, \"reason\": \"not you\"}\n"
               "allow := true if { input.identity == \"root\" }\n"
               "allow := true if { input.identity == \"reader\"; input.method == \"GET\"; "
               "input.path == [\"v1\", \"data\", \"a/b\"]; input.params.x == [\"1\", \"2\"] }\n"
               "allow := true if { input.body.input.me == \"bob\" }\n"
               "allow := false if { input.identity == \"nobody\" }\n"
               "allow := true if { input.headers[\"X-Team\"] == [\"red\"] }\n");
    const char *const more[] = {"--authentication=token", "--authorization=basic", path, NULL};
    server_start(&s, binary, more);
    assert_int_equal(ask_as("root", "GET", "/v1/policies", "").status, 200);
    assert_int_equal(ask_as("reader", "GET", "/v1/data/a%2Fb?x=1&x=2", "").status, 200);
    assert_answer(ask_as("reader", "GET", "/v1/data/a/b?x=1&x=2", ""), 401,
                  "{\n  \"code\": \"unauthorized\",\n  \"message\": \"not you\"\n}\n");
    assert_answer(ask_as("nobody", "GET", "/health", ""), 401,
                  "{\n  \"code\": \"unauthorized\",\n  \"message\": \"request rejected by "
                  "administrative policy\"\n}\n");
    assert_int_equal(ask_as(NULL, "GET", "/health", "").status, 401);
    assert_int_equal(ask_as(NULL, "POST", "/v1/data/x", "{\"input\":{\"me\":\"bob\"}}").status,
                     200);
    assert_int_equal(ask_as(NULL, "PUT", "/v1/data/x", "{\"input\":{\"me\":\"bob\"}}").status, 401);
    struct ask team = {.method = "GET", .target = "/v1/data", .headers = S("x-team: red\r\n")};
    assert_int_equal(server_ask(&s, &memory, &team).status, 200);
    server_stop(&s);
    unlink(path);
}

/* Without a policy that answers, nobody gets in, and it is told as the mistake that it is. */
static void test_authorization_undefined(void **state)
{
    const char *const more[] = {"--authorization=basic", NULL};
    server_start(&s, binary, more);
    assert_answer(
        ask("GET", "/v1/data", ""), 500,
        "{\n  \"code\": \"internal_error\",\n  \"message\": \"authorization policy missing "
        "or undefined\"\n}\n");
    server_stop(&s);
}

static void test_metrics(void **state)
{
    server_start(&s, binary, NULL);
    assert_int_equal(ask("POST", "/v1/data/x", "{\"input\":1}").status, 200);
    assert_int_equal(ask("POST", "/v1/data/x", "{").status, 400);
    struct str m = ask("GET", "/metrics", "").body;
    assert_true(
        str_find(m, S("http_request_duration_seconds_count{code=\"200\",handler=\"v1/data\","
                      "method=\"post\"} 1\n")) != STR_NPOS);
    assert_true(
        str_find(m, S("http_request_duration_seconds_bucket{code=\"400\",handler=\"v1/data\","
                      "method=\"post\",le=\"+Inf\"} 1\n")) != STR_NPOS);
    struct str r = ask("POST", "/v1/data/x?metrics", "{\"input\":1}").body;
    assert_true(str_find(r, S("\"timer_rego_query_eval_ns\":")) != STR_NPOS);
    assert_true(str_find(r, S("\"timer_server_handler_ns\":")) != STR_NPOS);
    server_stop(&s);
}

/* A body of 300 MB is refused by its announced length, in OPA's words, before it is read. */
static void test_too_large(void **state)
{
    server_start(&s, binary, NULL);
    int fd = server_connect(&s);
    char reply[4096];
    server_write(fd,
                 S("POST /v1/data/x HTTP/1.1\r\nHost: h\r\nContent-Length: 300000000\r\n\r\n{"));
    ssize_t n = read(fd, reply, sizeof reply);
    assert_true(n > 0);
    struct str got = str_n(reply, (size_t)n);
    assert_true(str_starts(got, S("HTTP/1.1 400 ")));
    assert_true(
        str_find(got, S("\"request body too large: 286.1 MiB exceeds limit of 268435456 bytes "
                        "(server.decoding.max_length)\"")) != STR_NPOS);
    close(fd);
    server_stop(&s);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: server_test AUTHZ GOLDEN\n");
        return 2;
    }
    binary = argv[1];
    golden = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test_setup_teardown(test_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_persist, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_authorization, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_authorization_undefined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_metrics, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
