/* Two sidecars, a workload, audit and an external authorizer in one loop; everything but the network is real. */
#include "test/pki.h"

#include "lib/base/log.h"
#include "lib/grpc/proto/ext_authz.pb-c.h"
#include "lib/http/client.h"
#include "lib/http/h2.h"
#include "lib/jose/jose.h"
#include "mesh/mesh.h"
#include "mesh/upstream.h"

#include <sys/stat.h>
#include <unistd.h>

#define SA_A "spiffe://cluster.local/ns/prod/sa/a"
#define SA_B "spiffe://cluster.local/ns/prod/sa/b"
#define SA_C "spiffe://cluster.local/ns/prod/sa/c"

static struct loop *loop;
static struct pki pki, foreign;
static char folder[64], policy_path[96];

/* ---- audit ---- */

static struct http_server *audit_server;
static struct audit_client *audit;
static struct buf audit_log;
static bool audit_broken;

static void take_events(struct http_req *req, void *ctx)
{
    if (audit_broken) {
        http_reply_status(req, 500);
        return;
    }
    buf_puts(&audit_log, req->body);
    http_reply_json(req, 200, S("{}"));
}

static size_t logged(const char *what)
{
    size_t n = 0;
    struct str s = buf_str(&audit_log);
    for (size_t at; (at = str_find(s, str_of(what))) != STR_NPOS; n++) {
        s = str_sub(s, at + 1, s.n);
    }
    return n;
}

/* ---- the workload ---- */

static struct http_server *workload;
static struct router routes;
static struct http_req *parked;
static size_t seen_body;
static int seen_version;

static void show(struct http_req *req, void *ctx)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_printf(&b, "%.*s %.*s?%.*s host=%.*s\n", STR_FMT(req->method), STR_FMT(req->path),
               STR_FMT(req->query), STR_FMT(req->authority));
    seen_version = req->version;
    for (size_t i = 0; i < req->n_headers; i++) {
        buf_printf(&b, "%.*s: %.*s\n", STR_FMT(req->headers[i].name),
                   STR_FMT(req->headers[i].value));
    }
    http_reply_text(req, 200, buf_str(&b));
    buf_release(&b);
}

static void count_body(struct http_req *req, void *ctx)
{
    seen_body = req->body.n;
    char *big = calloc(1, 3000000);
    http_reply_text(req, 200, str_n(big, 3000000));
    free(big);
}

static void park_gone(void *ctx)
{
    parked = NULL;
}

static void park(struct http_req *req, void *ctx)
{
    parked = req;
    http_on_abort(req, park_gone, NULL);
    http_reply_begin(req, 200, S("text/event-stream"), NULL, 0);
    http_reply_chunk(req, S("first\n"));
}

static void say(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    Extauthz__CheckResponse r = EXTAUTHZ__CHECK_RESPONSE__INIT;
    grpc_send(call, &r.base);
    grpc_end(call, GRPC_OK, "fine");
}

/* ---- the external authorizer ---- */

static struct http_server *authorizer;
static struct router authz_routes;
static char asked_path[100], asked_principal[100];

static void check(struct grpc_call *call, const ProtobufCMessage *in, void *ctx)
{
    const Extauthz__CheckRequest *r = (const Extauthz__CheckRequest *)in;
    const char *path = r->attributes->request != NULL ? r->attributes->request->http->path : "tcp";
    Extauthz__CheckResponse out = EXTAUTHZ__CHECK_RESPONSE__INIT;
    Extauthz__Status status = EXTAUTHZ__STATUS__INIT;
    Extauthz__DeniedHttpResponse denied = EXTAUTHZ__DENIED_HTTP_RESPONSE__INIT;
    Extauthz__HttpStatus code = EXTAUTHZ__HTTP_STATUS__INIT;
    Extauthz__OkHttpResponse ok = EXTAUTHZ__OK_HTTP_RESPONSE__INIT;
    Extauthz__HeaderValue header = EXTAUTHZ__HEADER_VALUE__INIT;
    Extauthz__HeaderValueOption option = EXTAUTHZ__HEADER_VALUE_OPTION__INIT,
                                *options[] = {&option};
    char key[] = "X-Decided-By", value[] = "authorizer", body[] = "not today";
    snprintf(asked_path, sizeof(asked_path), "%s", path);
    snprintf(asked_principal, sizeof(asked_principal), "%s", r->attributes->source->principal);
    out.status = &status;
    option.header = &header;
    header.key = key;
    header.value = value;
    if (strncmp(path, "/custom/no", 10) == 0) {
        status.code = 7;
        code.code = 418;
        denied.status = &code;
        denied.body = body;
        out.denied_response = &denied;
    } else {
        ok.headers = options;
        ok.n_headers = 1;
        out.ok_response = &ok;
    }
    grpc_send(call, &out.base);
    grpc_end(call, GRPC_OK, NULL);
}

/* ---- sidecars ---- */

struct side {
    struct daemon d;
    struct mesh_options o;
    struct mesh m;
    struct door_config in[3], out[3];
    struct provider_config provider;
    struct config_pair labels[1];
};

static struct side a, b, c;

static void side_init(struct side *s, const char *app)
{
    memset(s, 0, sizeof(*s));
    arena_init(&s->d.boot, 4 << 20);
    s->d.loop = loop;
    s->d.trust_domain = S("cluster.local");
    s->d.audit = audit;
    s->labels[0] = (struct config_pair){S("app"), str_of(app)};
    s->o = (struct mesh_options){.ns = S("prod"),
                                 .policies = str_of(folder),
                                 .labels = {s->labels, 1},
                                 .path_normalization = S("BASE"),
                                 .audit = S("all"),
                                 .other_destinations = S("refuse"),
                                 .root_namespace = S("istio-system")};
    s->m.d = &s->d;
    s->m.o = &s->o;
    s->m.loop = loop;
}

static void side_identity(struct side *s, struct pki *who, const char *id)
{
    struct tls_identity *i = pki_identity(who, id);
    struct tls_trust *t = pki_trust(who);
    struct tls_client *clients[] = {s->m.tls_h1, s->m.tls_h2, s->m.tls_tcp};
    assert_ok(tls_server_set_identity(s->m.tls_mesh, i));
    assert_ok(tls_server_set_trust(s->m.tls_mesh, t));
    assert_ok(tls_server_set_identity(s->m.tls_people, i));
    for (size_t k = 0; k < ARRAY_LEN(clients); k++) {
        assert_ok(tls_client_set_identity(clients[k], i));
        assert_ok(tls_client_set_trust(clients[k], t));
    }
    tls_identity_unref(i);
    tls_trust_unref(t);
    s->m.own_id = strdup(id);
}

static const char *door_address(struct side *s, const char *to, enum direction dir)
{
    for (struct door *d = s->m.doors; d != NULL; d = d->next) {
        if (d->dir == dir && str_is(d->config->to, to)) {
            return listener_address(d->listener);
        }
    }
    return NULL;
}

static char b_http[64], b_tcp[64], b_people[64], workload_address[64], echo_address[64];
static struct listener *echo_listener;

static void echo_data(struct conn *conn, struct str bytes, void *ctx)
{
    conn_write(conn, bytes);
}

static const struct conn_handler echo_handler = {.on_data = echo_data};

static void echo_conn(void *ctx, struct conn *conn)
{
    conn_start(conn, &echo_handler, NULL);
}

static void write_policies(const char *text)
{
    FILE *f = fopen(policy_path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char *const usual =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict, "
    "namespace: prod}\n"
    "spec: {mtls: {mode: STRICT}}\n---\n"
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: only-a, "
    "namespace: prod}\n"
    "spec:\n  selector: {matchLabels: {app: b}}\n  rules:\n"
    "  - from: [{source: {principals: [cluster.local/ns/prod/sa/a]}}]\n---\n"
    "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: custom, "
    "namespace: prod}\n"
    "spec:\n  selector: {matchLabels: {app: b}}\n  action: CUSTOM\n  provider: {name: ext}\n  "
    "rules:\n"
    "  - to: [{operation: {paths: [\"/custom/*\"]}}]\n";

static char *door_to(struct side *s, const char *text)
{
    return arena_cstr(&s->d.boot, str_of(text));
}

static void start_b(void)
{
    side_init(&b, "b");
    b.in[0] = (struct door_config){.listen = S("127.0.0.1:0"),
                                   .port = 8080,
                                   .to = str_of(workload_address),
                                   .tls = S("mesh"),
                                   .protocol = S("auto")};
    b.in[1] = (struct door_config){.listen = S("127.0.0.1:0"),
                                   .port = 9000,
                                   .to = str_of(echo_address),
                                   .tls = S("mesh"),
                                   .protocol = S("auto")};
    b.o.inbound = (struct config_items){b.in, 2};
    b.provider = (struct provider_config){
        .name = S("ext"),
        .timeout_ns = 500 * NS_PER_MS,
        .status_on_error = 403,
        .address = str_of(arena_cstr(&b.d.boot, str_of(http_server_address(authorizer, 0))))};
    b.o.providers = (struct config_items){&b.provider, 1};
    assert_ok(mesh_make(&b.m));
    side_identity(&b, &pki, SA_B);
    assert_ok(doors_open(&b.m));
    snprintf(b_http, sizeof(b_http), "%s", door_address(&b, workload_address, INBOUND));
    snprintf(b_tcp, sizeof(b_tcp), "%s", door_address(&b, echo_address, INBOUND));
}

static void start_caller(struct side *s, const char *app, struct pki *who, const char *id)
{
    side_init(s, app);
    s->provider = (struct provider_config){.name = S("ext"),
                                           .timeout_ns = 500 * NS_PER_MS,
                                           .status_on_error = 403,
                                           .address = S("127.0.0.1:1")};
    s->o.providers = (struct config_items){&s->provider, 1};
    s->out[0] = (struct door_config){.listen = S("127.0.0.1:0"),
                                     .to = str_of(door_to(s, b_http)),
                                     .identity = S(SA_B),
                                     .protocol = S("auto")};
    s->out[1] = (struct door_config){.listen = S("127.0.0.1:0"),
                                     .to = str_of(door_to(s, b_tcp)),
                                     .identity = S(SA_B),
                                     .protocol = S("tcp")};
    s->o.outbound = (struct config_items){s->out, 2};
    assert_ok(mesh_make(&s->m));
    side_identity(s, who, id);
    assert_ok(doors_open(&s->m));
}

static int set_up(void **state)
{
    snprintf(folder, sizeof(folder), "/tmp/mesh_test.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(policy_path, sizeof(policy_path), "%s/p.yaml", folder);
    write_policies(usual);
    assert_ok(loop_new(&loop));
    pki_make(&pki, "cluster.local");
    pki_make(&foreign, "evil.example");
    buf_init(&audit_log, 16 << 20);
    audit_broken = false;
    struct http_server_opts ao = {.handle = take_events, .body_max = 1 << 20};
    char address[100];
    snprintf(address, sizeof(address), "unix:%s/audit.sock", folder);
    assert_ok(http_server_new(loop, &ao, &audit_server));
    assert_ok(http_server_listen(audit_server, str_of(address), NULL, NULL));
    struct audit_opts opts = {.timeout_ms = 300};
    assert_ok(audit_client_new(loop, str_of(address), "mesh", &opts, &audit));
    router_init(&routes);
    router_add(&routes, "*", "/{path...}", show, NULL);
    router_add(&routes, "POST", "/count", count_body, NULL);
    router_add(&routes, "GET", "/park", park, NULL);
    grpc_method(&routes, "/test.Service/Say", &extauthz__check_request__descriptor, say, NULL);
    struct http_server_opts wo = {.handle = router_dispatch, .ctx = &routes, .body_max = 16 << 20};
    assert_ok(http_server_new(loop, &wo, &workload));
    assert_ok(http_server_listen(workload, S("127.0.0.1:0"), NULL, NULL));
    snprintf(workload_address, sizeof(workload_address), "%s", http_server_address(workload, 0));
    assert_ok(loop_listen(loop, S("127.0.0.1:0"), NULL, NULL, echo_conn, NULL, &echo_listener));
    snprintf(echo_address, sizeof(echo_address), "%s", listener_address(echo_listener));
    router_init(&authz_routes);
    grpc_method(&authz_routes, "/envoy.service.auth.v3.Authorization/Check",
                &extauthz__check_request__descriptor, check, NULL);
    struct http_server_opts zo = {.handle = router_dispatch, .ctx = &authz_routes};
    assert_ok(http_server_new(loop, &zo, &authorizer));
    assert_ok(http_server_listen(authorizer, S("127.0.0.1:0"), NULL, NULL));
    start_b();
    start_caller(&a, "a", &pki, SA_A);
    start_caller(&c, "c", &pki, SA_C);
    parked = NULL;
    return 0;
}

static void side_release(struct side *s)
{
    mesh_unmake(&s->m);
    arena_release(&s->d.boot);
}

static int tear_down(void **state)
{
    side_release(&a);
    side_release(&c);
    side_release(&b);
    http_server_free(workload);
    http_server_free(authorizer);
    audit_client_free(audit);
    http_server_free(audit_server);
    listener_close(echo_listener);
    loop_free(loop);
    router_release(&routes);
    router_release(&authz_routes);
    buf_release(&audit_log);
    pki_release(&pki);
    pki_release(&foreign);
    unlink(policy_path);
    char sock[100];
    snprintf(sock, sizeof(sock), "%s/audit.sock", folder);
    unlink(sock);
    rmdir(folder);
    return 0;
}

/* ---- clients ---- */

static int last_status, pieces;
static struct err last_error;
static char last_body[20000];
static size_t last_length;
static bool finished;

static void got(void *ctx, struct err e, const struct http_result *res)
{
    last_error = e;
    finished = true;
    last_status = res != NULL ? res->status : 0;
    last_length = res != NULL ? res->body.n : 0;
    snprintf(last_body, sizeof(last_body), "%.*s", res != NULL ? (int)MIN(res->body.n, 19999u) : 0,
             res != NULL && res->body.n > 0 ? res->body.p : "");
    loop_stop(loop);
}

static void piece(void *ctx, int status, struct str bytes)
{
    pieces++;
    last_status = status;
    loop_stop(loop);
}

static int fetch_opts(const char *method, const char *address, const char *path, struct str body,
                      const struct http_header *headers, size_t n, struct tls_client *tls)
{
    struct http_client *client;
    struct http_client_opts o = {.timeout_ms = 5000, .tls = tls};
    char url[300];
    snprintf(url, sizeof(url), "%s://%s%s", tls != NULL ? "https" : "http", address, path);
    assert_ok(http_client_new(loop, &o, &client));
    struct http_call call = {.method = str_of(method),
                             .url = str_of(url),
                             .body = body,
                             .headers = headers,
                             .n_headers = n,
                             .done = got};
    finished = false;
    http_client_call(client, &call);
    while (!finished) {
        loop_run(loop);
    }
    http_client_free(client);
    return last_status;
}

static int fetch(struct side *s, const char *path)
{
    static const struct http_header spoofed[] = {
        {STR_INIT("X-Forwarded-Client-Cert"),
         STR_INIT("URI=spiffe://cluster.local/ns/prod/sa/root")},
        {STR_INIT("X-Envoy-Internal"), STR_INIT("true")}};
    return fetch_opts("GET", door_address(s, b_http, OUTBOUND), path, STR_EMPTY, spoofed, 2, NULL);
}

static void wait_ms(int ms)
{
    timer_start(loop, ms, 0, (void (*)(void *))loop_stop, loop);
    loop_run(loop);
}

/* ---- tests ---- */

static void test_allowed_with_identity_and_trace(void **state)
{
    assert_int_equal(fetch(&a, "/x/../y?q=1"), 200);
    assert_non_null(strstr(last_body, "GET /y?q=1"));
    assert_non_null(strstr(last_body, "URI=" SA_A));
    assert_non_null(strstr(last_body, "By=" SA_B));
    assert_null(strstr(last_body, "sa/root"));
    assert_null(strstr(last_body, "x-envoy-internal"));
    assert_non_null(strstr(last_body, "traceparent: 00-"));
    assert_int_equal(logged("\"outcome\":\"allowed\""), 1);
    assert_int_equal(logged("\"policy_rule\":\"ns[prod]-policy[only-a]-rule[0]\""), 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(fetch(&a, "/again"), 200);
    }
    assert_int_equal(logged("\"outcome\":\"allowed\""), 6);
}

static void test_others_are_denied(void **state)
{
    assert_int_equal(fetch(&c, "/y"), 403);
    assert_string_equal(last_body, "RBAC: access denied");
    assert_int_equal(logged("\"outcome\":\"denied\""), 1);
    assert_true(logged(SA_C) > 0);
}

static void test_plaintext_is_refused(void **state)
{
    fetch_opts("GET", b_http, "/y", STR_EMPTY, NULL, 0, NULL);
    assert_true(failed(last_error));
    wait_ms(20);
    assert_int_equal(logged("\"reason\":\"plaintext where PeerAuthentication"), 1);
}

static void test_a_foreign_trust_domain_is_refused(void **state)
{
    side_release(&c);
    start_caller(&c, "c", &foreign, "spiffe://evil.example/ns/prod/sa/a");
    int status = fetch(&c, "/y");
    assert_true(status == 502 || status == 503);
}

static void test_the_wrong_destination_is_refused(void **state)
{
    a.out[0].identity = S(SA_C);
    assert_int_equal(fetch(&a, "/y"), 502);
    wait_ms(20);
    assert_int_equal(logged("\"reason\":\"wrong destination identity"), 1);
}

static void test_big_bodies_both_ways(void **state)
{
    size_t n = 8000000;
    char *big = calloc(1, n);
    assert_int_equal(fetch_opts("POST", door_address(&a, b_http, OUTBOUND), "/count", str_n(big, n),
                                NULL, 0, NULL),
                     200);
    assert_int_equal(seen_body, n);
    assert_int_equal(last_length, 3000000);
    free(big);
}

static void test_external_authorization(void **state)
{
    assert_int_equal(fetch(&a, "/custom/yes"), 200);
    assert_non_null(strstr(last_body, "x-decided-by: authorizer"));
    assert_string_equal(asked_path, "/custom/yes");
    assert_string_equal(asked_principal, SA_A);
    assert_int_equal(fetch(&a, "/custom/no"), 418);
    assert_string_equal(last_body, "not today");
    assert_int_equal(fetch(&c, "/custom/yes"), 403); /* allowed there, denied by policy */
    http_server_free(authorizer);
    authorizer = NULL;
    assert_int_equal(fetch(&a, "/custom/yes"), 403); /* nobody to ask: closed */
    assert_int_equal(fetch(&a, "/other"), 200);
}

static void test_no_audit_no_service(void **state)
{
    audit_broken = true;
    assert_int_equal(fetch(&a, "/y"), 503);
    assert_int_equal(fetch(&c, "/y"), 403);
}

/* gRPC from the caller's sidecar to the workload and back, over HTTP/2 all the way. */
static int grpc_status;
static char grpc_text[100];

static void grpc_got(void *ctx, const ProtobufCMessage *m)
{
    pieces++;
}

static void grpc_ended(void *ctx, int status, struct str text)
{
    grpc_status = status;
    snprintf(grpc_text, sizeof(grpc_text), "%.*s", STR_FMT(text));
    loop_stop(loop);
}

static int call_grpc(struct side *s)
{
    struct grpc_client *client;
    assert_ok(grpc_client_new(loop, str_of(door_address(s, b_http, OUTBOUND)), NULL, &client));
    Extauthz__CheckRequest r = EXTAUTHZ__CHECK_REQUEST__INIT;
    struct grpc_out o = {.path = "/test.Service/Say",
                         .request = &r.base,
                         .reply = &extauthz__check_response__descriptor,
                         .on_message = grpc_got,
                         .on_end = grpc_ended};
    pieces = 0;
    grpc_client_call(client, &o);
    loop_run(loop);
    grpc_client_free(client);
    return grpc_status;
}

static void test_grpc(void **state)
{
    for (int i = 0; i < 3; i++) {
        assert_int_equal(call_grpc(&a), 0);
        assert_int_equal(pieces, 1);
        assert_string_equal(grpc_text, "fine");
    }
    assert_int_equal(call_grpc(&c), GRPC_PERMISSION_DENIED);
    assert_string_equal(grpc_text, "RBAC: access denied");
}

/* ---- live connections ---- */

static struct conn *tcp;
static size_t tcp_bytes;
static bool tcp_closed;

static void tcp_data(struct conn *conn, struct str bytes, void *ctx)
{
    tcp_bytes += bytes.n;
    loop_stop(loop);
}

static void tcp_close(struct conn *conn, struct err why, void *ctx)
{
    tcp_closed = true;
    loop_stop(loop);
}

static const struct conn_handler tcp_handler = {.on_data = tcp_data, .on_close = tcp_close};

static void tcp_connected(void *ctx, struct err e, struct conn *conn)
{
    assert_false(failed(e));
    tcp = conn;
    conn_start(conn, &tcp_handler, NULL);
    conn_write(conn, S("\x01\x02hello"));
}

static void open_tcp(struct side *s)
{
    tcp_bytes = 0;
    tcp_closed = false;
    assert_ok(loop_connect(loop, str_of(door_address(s, b_tcp, OUTBOUND)), NULL, NULL,
                           tcp_connected, NULL));
    loop_run(loop);
}

static const char *const nobody = "apiVersion: security.istio.io/v1\nkind: "
                                  "AuthorizationPolicy\nmetadata: {name: nobody, namespace: prod}\n"
                                  "spec: {}\n";

static int h2_status;

static void h2_ready(void *ctx)
{
}

static void h2_head(void *ctx, int status, const struct http_header *h, size_t n, bool end)
{
    h2_status = status;
}

static void h2_data(void *ctx, struct str bytes)
{
}

static void h2_end(void *ctx, struct err why)
{
    loop_stop(loop);
}

/* What is not gRPC reaches the workload in the version that every workload speaks. */
static void test_http2_meets_a_workload_of_http1(void **state)
{
    static const struct up_handler handler = {
        .on_ready = h2_ready, .on_head = h2_head, .on_data = h2_data, .on_close = h2_end};
    struct up_target t = {.address = str_of(door_address(&a, b_http, OUTBOUND)), .h2 = true};
    struct up_request r = {
        .method = S("GET"), .path = S("/v"), .scheme = S("http"), .authority = S("b")};
    struct upstream *u;
    assert_ok(upstream_new(loop, &(struct upstream_opts){.connect_ms = 1000}, &u));
    assert_non_null(up_open(u, &t, &r, &handler, NULL));
    loop_run(loop);
    upstream_free(u);
    assert_int_equal(h2_status, 200);
    assert_int_equal(seen_version, 11);
}

static void test_tcp_is_relayed_and_cut_when_policy_changes(void **state)
{
    open_tcp(&a);
    assert_int_equal(tcp_bytes, 7);
    conn_write(tcp, S("more"));
    loop_run(loop);
    assert_int_equal(tcp_bytes, 11);
    write_policies(nobody);
    int64_t start = loop_now_ms(loop);
    while (!tcp_closed && loop_now_ms(loop) - start < 2000) {
        wait_ms(5);
    }
    assert_true(tcp_closed);
    open_tcp(&a);
    while (!tcp_closed) {
        wait_ms(5);
    }
    assert_int_equal(tcp_bytes, 0);
}

static void test_tcp_of_others_is_refused(void **state)
{
    open_tcp(&c);
    while (!tcp_closed) {
        wait_ms(5);
    }
    assert_int_equal(tcp_bytes, 0);
    assert_int_equal(logged("\"outcome\":\"denied\""), 1);
}

static void wait_cut(void)
{
    for (int i = 0; i < 400 && !tcp_closed; i++) {
        wait_ms(5);
    }
    assert_true(tcp_closed);
}

static void test_who_lost_an_identity_calls_nobody(void **state)
{
    open_tcp(&a);
    a.m.withdrawn = true;
    mesh_recheck(&a.m, "test");
    wait_cut();
    assert_int_equal(fetch(&a, "/y"), 502);
    a.m.withdrawn = false;
    assert_int_equal(fetch(&a, "/y"), 200);
    open_tcp(&a);
    map_set(&a.m.denied, S("spiffe_id " SA_B), calloc(1, sizeof(int64_t)));
    mesh_recheck(&a.m, "test");
    wait_cut();
    assert_int_equal(fetch(&a, "/y"), 502);
    assert_non_null(strstr(last_body, "deny-list"));
}

static void test_a_denied_caller_is_cut(void **state)
{
    open_tcp(&a);
    map_set(&b.m.denied, S("spiffe_id " SA_A), calloc(1, sizeof(int64_t)));
    mesh_recheck(&b.m, "test");
    wait_cut();
    assert_int_equal(fetch(&a, "/y") / 100, 5);
    wait_ms(20);
    assert_true(logged("the identity is on the deny-list") > 0);
}

static struct http_client *stream_client;

static void start_stream(void)
{
    struct http_client_opts o = {.timeout_ms = 5000};
    char url[300];
    snprintf(url, sizeof(url), "http://%s/park", door_address(&a, b_http, OUTBOUND));
    assert_ok(http_client_new(loop, &o, &stream_client));
    struct http_call call = {.url = str_of(url), .done = got, .on_piece = piece};
    finished = false;
    pieces = 0;
    http_client_call(stream_client, &call);
    loop_run(loop);
    assert_int_equal(pieces, 1);
    assert_non_null(parked);
}

static void test_a_stream_is_cut_when_policy_changes(void **state)
{
    start_stream();
    http_reply_chunk(parked, S("second\n"));
    loop_run(loop);
    assert_int_equal(pieces, 2);
    write_policies("kind: nonsense: [");
    wait_ms(150);
    assert_false(finished); /* wrong policies change nothing */
    write_policies(nobody);
    for (int i = 0; i < 400 && !finished; i++) {
        wait_ms(5);
    }
    assert_true(finished);
    assert_true(failed(last_error));
    wait_ms(20);
    assert_null(parked); /* the workload has learnt of it */
    http_client_free(stream_client);
}

static void test_a_stream_is_cut_when_trust_goes(void **state)
{
    start_stream();
    struct tls_trust *other = pki_trust(&foreign);
    assert_ok(tls_server_set_trust(b.m.tls_mesh, other));
    tls_trust_unref(other);
    mesh_recheck(&b.m, "test");
    for (int i = 0; i < 400 && !finished; i++) {
        wait_ms(5);
    }
    assert_true(finished);
    assert_true(failed(last_error));
    http_client_free(stream_client);
}

/* ---- people ---- */

static struct key *issuer_key;

static struct str token(struct arena *ar, const char *aud, int64_t life)
{
    struct json *h = json_new_object(ar), *p = json_new_object(ar);
    struct buf text;
    struct str out;
    json_set(ar, h, S("kid"), json_new_string(ar, S("k1")));
    json_set(ar, p, S("iss"), json_new_string(ar, S("https://issuer")));
    json_set(ar, p, S("sub"), json_new_string(ar, S("ana")));
    json_set(ar, p, S("aud"), json_new_string(ar, str_of(aud)));
    json_set(ar, p, S("exp"), json_new_int(ar, clock_wall_s() + life));
    buf_init(&text, 4096);
    json_write(&text, p);
    assert_ok(jws_sign(ar, JOSE_ES256, issuer_key, h, buf_str(&text), &out));
    buf_release(&text);
    return out;
}

static int knock(struct arena *ar, struct str bearer)
{
    struct tls_client *tls;
    struct tls_trust *trust;
    assert_ok(tls_trust_names(pki.anchors, &trust));
    struct tls_client_opts o = {.trust = trust, .server_name = S("server.test")};
    assert_ok(tls_client_new(&o, &tls));
    tls_trust_unref(trust);
    struct http_header h = {S("Authorization"), arena_printf(ar, "Bearer %.*s", STR_FMT(bearer))};
    char address[64];
    snprintf(address, sizeof(address), "%s", b_people);
    /* the name to verify is the certificate's, whatever the address */
    struct str at = str_of(address);
    char named[80];
    snprintf(named, sizeof(named), "localhost%.*s",
             STR_FMT(str_sub(at, str_rfind_char(at, ':'), at.n)));
    int status = fetch_opts("GET", named, "/reports", STR_EMPTY, &h, bearer.n > 0 ? 1 : 0, tls);
    tls_client_unref(tls);
    return status;
}

static void test_people_come_with_tokens(void **state)
{
    struct arena ar;
    arena_init(&ar, 4 << 20);
    assert_ok(key_generate(KEY_P256, &issuer_key));
    struct json *jwk = key_to_jwk_json(&ar, issuer_key);
    json_set(&ar, jwk, S("kid"), json_new_string(&ar, S("k1")));
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_puts(
        &text,
        S("apiVersion: security.istio.io/v1\nkind: RequestAuthentication\n"
          "metadata: {name: people, namespace: prod}\nspec:\n  jwtRules:\n  - issuer: "
          "https://issuer\n"
          "    audiences: [reports]\n    outputClaimToHeaders: [{header: x-person, claim: sub}]\n"
          "    jwks: '{\"keys\":["));
    json_write(&text, jwk);
    buf_puts(&text, S("]}'\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
                      "metadata: {name: token, namespace: prod}\nspec:\n  action: DENY\n  rules:\n"
                      "  - from: [{source: {notRequestPrincipals: [\"*\"]}}]\n"));
    write_policies(arena_cstr(&ar, buf_str(&text)));
    buf_release(&text);
    mesh_reload_policies(&b.m);
    b.in[2] = (struct door_config){.listen = S("127.0.0.1:0"),
                                   .port = 8443,
                                   .to = S("localhost:1"),
                                   .tls = S("people"),
                                   .protocol = S("auto")};
    struct config_items only = {&b.in[2], 1};
    b.in[2].to = str_of(workload_address);
    struct config_items all = b.o.inbound;
    doors_close(&b.m);
    b.o.inbound = only;
    assert_ok(doors_open(&b.m));
    b.o.inbound = all;
    snprintf(b_people, sizeof(b_people), "%s", door_address(&b, workload_address, INBOUND));
    assert_int_equal(knock(&ar, STR_EMPTY), 403);
    assert_int_equal(knock(&ar, token(&ar, "reports", 600)), 200);
    assert_non_null(strstr(last_body, "x-person: ana"));
    assert_null(strstr(last_body, "authorization:"));
    assert_int_equal(knock(&ar, token(&ar, "elsewhere", 600)), 403);
    assert_int_equal(knock(&ar, token(&ar, "reports", -600)), 401);
    struct str forged =
        arena_printf(&ar, "%.*sAAAA", STR_FMT(str_sub(token(&ar, "reports", 600), 0, 200)));
    assert_int_equal(knock(&ar, forged), 401);
    key_unref(issuer_key);
    arena_release(&ar);
}

/* ---- small parts ---- */

static void test_hello_of_a_sidecar_is_told_from_others(void **state)
{
    static const char *const mesh_alpn[] = {"istio", NULL}, *const other[] = {"h2", NULL};
    const char *const *lists[] = {mesh_alpn, other};
    enum hello want[] = {HELLO_MESH, HELLO_OTHER};
    for (int i = 0; i < 2; i++) {
        struct tls_client *client = pki_client(&pki, SA_A, lists[i]);
        struct tls_session *s;
        struct buf hello;
        buf_init(&hello, 1 << 16);
        assert_ok(tls_session_client(client, STR_EMPTY, &s));
        assert_ok(tls_start(s));
        assert_true(tls_pending_out(s, &hello));
        assert_int_equal(hello_look(buf_str(&hello)), want[i]);
        for (size_t n = 1; n < hello.n; n++) {
            assert_int_equal(hello_look(str_n(hello.p, n)), HELLO_PARTIAL);
        }
        buf_release(&hello);
        tls_session_free(s);
        tls_client_unref(client);
    }
    assert_int_equal(hello_look(S("GET / HTTP/1.1")), HELLO_NONE);
}

int main(void)
{
    log_setup("mesh_test", LOG_ERROR, LOG_TEXT);
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(test_allowed_with_identity_and_trace),
        T(test_others_are_denied),
        T(test_plaintext_is_refused),
        T(test_a_foreign_trust_domain_is_refused),
        T(test_the_wrong_destination_is_refused),
        T(test_big_bodies_both_ways),
        T(test_external_authorization),
        T(test_no_audit_no_service),
        T(test_grpc),
        T(test_http2_meets_a_workload_of_http1),
        T(test_tcp_is_relayed_and_cut_when_policy_changes),
        T(test_tcp_of_others_is_refused),
        T(test_who_lost_an_identity_calls_nobody),
        T(test_a_denied_caller_is_cut),
        T(test_a_stream_is_cut_when_policy_changes),
        T(test_a_stream_is_cut_when_trust_goes),
        T(test_people_come_with_tokens),
        T(test_hello_of_a_sidecar_is_told_from_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
