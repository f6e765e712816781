/*
 * What the outside tables leave open: TCP against HTTP, the order of actions, dry run, providers, JWT places,
 * precise errors, and findings.
 */
#include "policy.h"

#include "lib/yaml/yaml.h"
#include "test/unit.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

#define AP(name, spec)                                                                             \
    "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: " name     \
    ", namespace: n}\nspec: {" spec "}\n"

static const struct mesh_provider providers[] = {{.name = STR_INIT("grpc")},
                                                 {.name = STR_INIT("web"), .http = true}};

static struct mesh_policies *load(const char *yaml)
{
    struct mesh_config config = {.providers = providers, .n_providers = 2};
    struct mesh_policies *all;
    struct json *docs;
    assert_ok(yaml_parse(&arena, str_of(yaml), S("test"), NULL, &docs));
    assert_ok(mesh_policies_load(&arena, docs->items, docs->n, &config, &all));
    return all;
}

static const struct mesh_set *set_of(const char *yaml)
{
    struct mesh_workload w = {.ns = S("n")};
    return mesh_policies_for(&arena, load(yaml), &w);
}

static struct mesh_request http_request(void)
{
    return (struct mesh_request){.http = true,
                                 .peer_id = S("spiffe://cluster.local/ns/n/sa/a"),
                                 .host = S("h"),
                                 .method = S("GET"),
                                 .path = S("/x"),
                                 .destination_port = 80};
}

static void test_http_rules_on_tcp(void **state)
{
    (void)state;
    struct mesh_request tcp = http_request();
    tcp.http = false;
    const struct mesh_set *allow =
        set_of(AP("a", "rules: [{to: [{operation: {methods: [GET]}}]}]"));
    assert_int_equal(mesh_authz_decide(allow, &tcp).verdict, MESH_DENY);
    const struct mesh_set *deny =
        set_of(AP("d", "action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]"));
    struct mesh_decision d = mesh_authz_decide(deny, &tcp);
    assert_int_equal(d.verdict, MESH_DENY);
    assert_str(d.policy_key, "ns[n]-policy[d]-rule[0]");
    const struct mesh_set *ports = set_of(
        AP("d", "action: DENY, rules: [{to: [{operation: {methods: [POST], ports: ['81']}}]}]"));
    assert_int_equal(mesh_authz_decide(ports, &tcp).verdict, MESH_ALLOW);
    struct mesh_request get = http_request();
    assert_int_equal(mesh_authz_decide(deny, &get).verdict, MESH_ALLOW);
    assert_true(mesh_set_needs_http(deny));
}

static void test_order_of_actions(void **state)
{
    (void)state;
    struct mesh_request r = http_request();
    const struct mesh_set *both =
        set_of(AP("a", "rules: [{}]") AP("d", "action: DENY, rules: [{}]"));
    assert_int_equal(mesh_authz_decide(both, &r).verdict, MESH_DENY);
    const struct mesh_set *nothing = set_of(AP("a", ""));
    assert_int_equal(mesh_authz_decide(nothing, &r).verdict, MESH_DENY);
    assert_string_equal(mesh_authz_decide(nothing, &r).reason, "no ALLOW policy matches");
    const struct mesh_set *audit = set_of(AP("u", "action: AUDIT, rules: [{}]"));
    struct mesh_decision d = mesh_authz_decide(audit, &r);
    assert_int_equal(d.verdict, MESH_ALLOW);
    assert_str(d.audit_key, "ns[n]-policy[u]-rule[0]");
}

static void test_custom(void **state)
{
    (void)state;
    struct mesh_request r = http_request(), tcp = http_request();
    tcp.http = false;
    const struct mesh_set *grpc =
        set_of(AP("c", "action: CUSTOM, provider: {name: grpc}, rules: [{}]")
                   AP("d", "action: DENY, rules: [{to: [{operation: {paths: [/x]}}]}]"));
    struct mesh_decision d = mesh_authz_decide(grpc, &r);
    assert_int_equal(d.verdict, MESH_CUSTOM);
    assert_ptr_equal(d.provider, &providers[0]);
    assert_int_equal(mesh_authz_decide_after_custom(grpc, &r).verdict, MESH_DENY);
    const struct mesh_set *web =
        set_of(AP("c", "action: CUSTOM, provider: {name: web}, rules: [{}]"));
    assert_int_equal(mesh_authz_decide(web, &tcp).verdict, MESH_ALLOW); /* HTTP checks skip TCP */
    const struct mesh_set *unknown =
        set_of(AP("c", "action: CUSTOM, provider: {name: nobody}, rules: [{}]"));
    assert_int_equal(mesh_authz_decide(unknown, &r).verdict, MESH_DENY);
    const struct mesh_set *two =
        set_of(AP("c", "action: CUSTOM, provider: {name: grpc}, rules: [{}]")
                   AP("e", "action: CUSTOM, provider: {name: web}, rules: [{}]"));
    assert_int_equal(mesh_authz_decide(two, &r).verdict, MESH_DENY);
}

static void test_dry_run(void **state)
{
    (void)state;
    struct mesh_request r = http_request();
    const struct mesh_set *dry =
        set_of("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: d, "
               "namespace: n, annotations: {istio.io/dry-run: 'true'}}\nspec: {action: DENY, "
               "rules: [{}]}\n");
    struct mesh_decision d = mesh_authz_decide(dry, &r);
    assert_int_equal(d.verdict, MESH_ALLOW);
    assert_str(d.dry_run_key, "ns[n]-policy[d]-rule[0]");
}

static void test_repeated_headers_and_hosts(void **state)
{
    (void)state;
    struct mesh_request r = http_request();
    struct mesh_header headers[] = {{S("x-a"), S("one")}, {S("x-b"), S("")}, {S("x-a"), S("two")}};
    r.headers = headers;
    r.n_headers = 3;
    r.host = S("API.example.org:8443");
    assert_int_equal(
        mesh_authz_decide(
            set_of(AP("a", "rules: [{when: [{key: 'request.headers[X-A]', values: "
                           "['one,two']}, {key: 'request.headers[x-b]', values: ['*']}], "
                           "to: [{operation: {hosts: ['api.example.org:*']}}]}]")),
            &r)
            .verdict,
        MESH_ALLOW);
    assert_int_equal(
        mesh_authz_decide(
            set_of(AP("a", "rules: [{to: [{operation: {hosts: [api.example.org]}}]}]")), &r)
            .verdict,
        MESH_DENY);
    assert_int_equal(
        mesh_authz_decide(
            set_of(AP("a", "rules: [{when: [{key: 'request.headers[x-c]', notValues: ['v']}]}]")),
            &r)
            .verdict,
        MESH_ALLOW);
}

static void test_trust_domains(void **state)
{
    (void)state;
    struct str alias = S("old.td");
    struct mesh_config config = {
        .trust_domain = S("new.td"), .trust_domain_aliases = &alias, .n_trust_domain_aliases = 1};
    struct mesh_policies *all;
    struct json *docs;
    struct mesh_request r = http_request();
    struct mesh_workload w = {.ns = S("n")};
    assert_ok(yaml_parse(
        &arena, S(AP("a", "rules: [{from: [{source: {principals: [old.td/ns/n/sa/a]}}]}]")), S("t"),
        NULL, &docs));
    assert_ok(mesh_policies_load(&arena, docs->items, docs->n, &config, &all));
    const struct mesh_set *set = mesh_policies_for(&arena, all, &w);
    static const struct {
        const char *id;
        enum mesh_verdict want;
    } rows[] = {{"spiffe://new.td/ns/n/sa/a", MESH_ALLOW},
                {"spiffe://old.td/ns/n/sa/a", MESH_ALLOW},
                {"spiffe://other.td/ns/n/sa/a", MESH_DENY},
                {"old.td/ns/n/sa/a", MESH_DENY},
                {"", MESH_DENY}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        r.peer_id = str_of(rows[i].id);
        assert_int_equal(mesh_authz_decide(set, &r).verdict, rows[i].want);
    }
}

/* In our own reading {*} is any one segment; in Envoy's a segment with '=' slips past. */
static void test_template_modes(void **state)
{
    (void)state;
    static const char yaml[] =
        AP("d", "action: DENY, rules: [{to: [{operation: {paths: ['/a/{*}/b']}}]}]");
    struct mesh_request r = http_request();
    r.path = S("/a/x=y/b");
    for (int envoy = 0; envoy < 2; envoy++) {
        struct mesh_config config = {.envoy_path_templates = envoy == 1};
        struct mesh_workload w = {.ns = S("n")};
        struct mesh_policies *all;
        struct json *docs;
        assert_ok(yaml_parse(&arena, str_of(yaml), S("t"), NULL, &docs));
        assert_ok(mesh_policies_load(&arena, docs->items, docs->n, &config, &all));
        assert_int_equal(mesh_authz_decide(mesh_policies_for(&arena, all, &w), &r).verdict,
                         envoy == 1 ? MESH_ALLOW : MESH_DENY);
    }
}

static void test_errors_say_where(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *says;
        unsigned line;
    } rows[] = {
        {AP("a", "\n  rulez: []"), "no field 'rulez'", 6},
        {AP("a", "rules: [{from: [{source: {ipBlocks: [\n  10.0.0.0/33]}}]}]"), "10.0.0.0/33", 6},
        {AP("a", "action: MAYBE"), "ALLOW, DENY, AUDIT or CUSTOM", 5},
        {AP("a", "rules: [{when: [{key: source.labels, values: [x]}]}]"), "not a condition key", 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct mesh_policies *all;
        struct json *docs;
        assert_ok(yaml_parse(&arena, str_of(rows[i].yaml), S("t"), NULL, &docs));
        assert_err(mesh_policies_load(&arena, docs->items, docs->n, NULL, &all), ERR_INVALID);
        if (strstr(err_detail(), rows[i].says) == NULL || err_line() != rows[i].line) {
            fail_msg("row %zu: line %u: %s", i, err_line(), err_detail());
        }
    }
}

static enum mesh_jwt_verdict accept_good(void *ctx, const struct mesh_jwt_rule *rule,
                                         struct str token, const struct json **claims)
{
    (void)rule;
    *claims = ctx;
    return str_ends(token, S("good")) ? MESH_JWT_OK : MESH_JWT_INVALID;
}

/* A client cannot forge what rules write, with a token or without. */
static void test_output_headers_cannot_be_forged(void **state)
{
    (void)state;
    struct json *claims;
    assert_ok(json_parse(
        &arena, S("{\"iss\":\"i\",\"sub\":\"s\",\"a\":{\"b\":true},\"x\":\"v\\r\\nx-admin: 1\"}"),
        NULL, &claims));
    const struct mesh_set *set =
        set_of("apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: r, "
               "namespace: n}\n"
               "spec: {jwtRules: [{issuer: i, jwksUri: 'https://i/', fromCookies: [t], "
               "outputClaimToHeaders: "
               "[{header: X-B, claim: a.b}, {header: x-x, claim: x}]}]}\n");
    struct mesh_header forged[] = {{S("x-b"), S("admin")}, {S("cookie"), S("s=1; t=a.b.good")}};
    struct mesh_http req = {S("GET"), STR_EMPTY, forged, 1};
    struct mesh_jwt_outcome o;
    mesh_jwt_check(&arena, set, &req, accept_good, claims, &o);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.n_remove_headers, 2);
    assert_str(o.remove_headers[0], "x-b");
    assert_int_equal(o.n_set_headers, 0);
    req.n_headers = 2;
    mesh_jwt_check(&arena, set, &req, accept_good, claims, &o);
    assert_int_equal(o.n_set_headers,
                     1); /* the claim that would break out of its header is left out */
    assert_str(o.set_headers[0].name, "x-b");
    assert_str(o.set_headers[0].value, "true");
    forged[1].value = S("t=a.b.bad");
    mesh_jwt_check(&arena, set, &req, accept_good, claims, &o);
    assert_int_equal(o.status, 401);
}

static bool has_finding(const struct mesh_finding *f, size_t n, const char *code)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(f[i].code, code) == 0) {
            return true;
        }
    }
    return false;
}

static void test_findings(void **state)
{
    (void)state;
    const struct mesh_policies *all = load(
        AP("a", "selector: {matchLabels: {app: gone}}, rules: [{from: [{source: {notNamespaces: "
                "[x]}}], to: "
                "[{operation: {hosts: [h]}}]}]")
            AP("b",
               "action: DENY, rules: [{from: [{source: {namespaces: [nowhere]}}], to: [{operation: "
               "{methods: [GET]}}]}]")
                AP("c", "action: CUSTOM, provider: {name: nobody}, rules: [{}]"));
    uint16_t tcp = 5432;
    struct str ns = S("n");
    struct mesh_workload_info w = {
        .name = S("n/w"), .workload = {.ns = S("n")}, .tcp_ports = &tcp, .n_tcp_ports = 1};
    struct mesh_surroundings around = {&w, 1, &ns, 1};
    struct mesh_finding *f;
    size_t n;
    static const char *const want[] = {"IST0127", "IST0101", "SXM0001", "SXM0002",
                                       "SXM0003", "SXM0004", "SXM0006"};
    mesh_policies_analyze(&arena, all, &around, &f, &n);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        if (!has_finding(f, n, want[i])) {
            fail_msg("%s was not found", want[i]);
        }
    }
    const struct mesh_policies *good =
        load(AP("a", "rules: [{from: [{source: {principals: ['*']}}]}]"));
    mesh_policies_analyze(&arena, good, &around, &f, &n);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_http_rules_on_tcp, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_of_actions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_custom, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dry_run, setup, teardown),
        cmocka_unit_test_setup_teardown(test_repeated_headers_and_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trust_domains, setup, teardown),
        cmocka_unit_test_setup_teardown(test_template_modes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_say_where, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_headers_cannot_be_forged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_findings, setup, teardown),
    };
    return cmocka_run_group_tests_name("mesh policy", tests, NULL, NULL);
}
