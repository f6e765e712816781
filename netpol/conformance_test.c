/*
 * The evaluator against outside truth tables: cyclonus' generated cases, the Kubernetes end-to-end
 * tables, kube-network-policies' unit tables and the API server's admission cases.
 */
#include "test/netpol_cluster.h"

#include "lib/yaml/yaml.h"

static struct arena arena;
static size_t checks;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)256 << 20);
    checks = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

enum matrix { COMBINED, INGRESS, EGRESS };

static bool cell_allows(const struct netpol_decision *d, enum matrix which)
{
    return which == COMBINED  ? d->allowed
           : which == INGRESS ? d->ingress.allowed
                              : d->egress.allowed;
}

/* One truth table; the diagonal is left out, as upstream leaves it out. */
static void check_matrix(const struct netpol_model *m, const struct json *order,
                         const struct json *rows, enum netpol_proto proto, uint16_t port,
                         enum matrix which, const char *what)
{
    assert_int_equal(rows->n, order->n);
    for (uint32_t i = 0; i < order->n; i++) {
        for (uint32_t j = 0; j < order->n; j++) {
            struct netpol_end src = end_named(m, order->items[i]->text);
            struct netpol_end dst = end_named(m, order->items[j]->text);
            struct netpol_decision d = netpol_decide(m, &src, &dst, proto, port);
            bool want = rows->items[i]->text.p[j] == '.';
            if (i != j && cell_allows(&d, which) != want) {
                fail_msg("%s: %.*s -> %.*s %u/%s: want %s", what, STR_FMT(order->items[i]->text),
                         STR_FMT(order->items[j]->text), port, netpol_proto_name(proto),
                         want ? "allowed" : "denied");
            }
            checks++;
        }
    }
}

static void check_cyclonus_step(const struct json *step, const struct json *containers,
                                const char *what)
{
    struct netpol_model *m = cluster_model(&arena, step, json_get(step, "policies"), containers);
    const struct json *expected = json_get(step, "expected");
    for (uint32_t i = 0; i < expected->n; i++) {
        struct str port_text = expected->members[i].key, name = str_split(&port_text, '/');
        const struct json *tables = expected->members[i].value;
        enum netpol_proto proto;
        uint64_t port;
        assert_ok(netpol_proto_parse(name, &proto));
        if (failed(str_to_u64(port_text, &port))) {
            fail_msg("%s: unknown port %.*s", what, STR_FMT(port_text));
        }
        const struct json *order = json_get(step, "order");
        check_matrix(m, order, json_get(tables, "combined"), proto, (uint16_t)port, COMBINED, what);
        check_matrix(m, order, json_get(tables, "ingress"), proto, (uint16_t)port, INGRESS, what);
        check_matrix(m, order, json_get(tables, "egress"), proto, (uint16_t)port, EGRESS, what);
    }
    netpol_model_release(m);
}

static void test_cyclonus(void **state)
{
    (void)state;
    const struct json *suite = suite_file(&arena, "cyclonus-generated.json");
    if (suite == NULL) {
        print_message("skipped: netpol/cyclonus-generated.json is not there\n");
        skip();
    }
    const struct json *cases = json_get(suite, "cases");
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *steps = json_get(cases->items[i], "steps");
        struct str name = json_str(json_get(cases->items[i], "description"));
        for (uint32_t s = 0; s < steps->n; s++) {
            check_cyclonus_step(steps->items[s], json_get(suite, "containers"),
                                arena_cstr(&arena, name));
        }
    }
    print_message("cyclonus: %u cases, %zu cells agree\n", cases->n, checks);
    assert_int_equal(cases->n, 230);
}

static void test_kubernetes_e2e(void **state)
{
    (void)state;
    const struct json *suite = suite_file(&arena, "k8s-e2e-truth-tables.json");
    if (suite == NULL) {
        print_message("skipped: netpol/k8s-e2e-truth-tables.json is not there\n");
        skip();
    }
    const struct json *tests = json_get(suite, "tests");
    for (uint32_t i = 0; i < tests->n; i++) {
        const struct json *steps = json_get(tests->items[i], "steps");
        for (uint32_t s = 0; s < steps->n; s++) {
            const struct json *step = steps->items[s];
            struct netpol_model *m = cluster_model(&arena, step, json_get(step, "policies"),
                                                   json_get(suite, "containers"));
            enum netpol_proto proto;
            uint64_t port;
            assert_ok(netpol_proto_parse(json_str(json_get(step, "protocol")), &proto));
            assert_ok(json_u64(json_get(step, "port"), &port));
            check_matrix(m, json_get(step, "order"), json_get(step, "expected"), proto,
                         (uint16_t)port, COMBINED,
                         arena_cstr(&arena, json_str(json_get(tests->items[i], "name"))));
            netpol_model_release(m);
        }
    }
    print_message("kubernetes e2e: %u tests, %zu cells agree\n", tests->n, checks);
    assert_int_equal(tests->n, 48);
}

static void test_admission(void **state)
{
    (void)state;
    const struct json *suite = suite_file(&arena, "networkpolicy-validation.json");
    if (suite == NULL) {
        print_message("skipped: netpol/networkpolicy-validation.json is not there\n");
        skip();
    }
    const struct json *cases = json_get(suite, "cases");
    for (uint32_t i = 0; i < cases->n; i++) {
        struct netpol_policy p;
        struct err e = netpol_policy_read(&arena, json_get(cases->items[i], "policy"), &p);
        if (failed(e) == json_true(json_get(cases->items[i], "valid"))) {
            fail_msg("%.*s: %s", STR_FMT(json_str(json_get(cases->items[i], "name"))),
                     failed(e) ? err_detail() : "was accepted");
        }
    }
    print_message("admission: %u cases agree\n", cases->n);
    assert_int_equal(cases->n, 35);
}

static void check_packets(const struct json *suite)
{
    const struct json *cases = json_get(suite, "cases");
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *c = cases->items[i];
        struct netpol_model *m =
            cluster_model(&arena, suite, json_get(c, "policies"), json_get(suite, "containers"));
        struct netpol_end src = end_named(m, json_str(json_get(c, "src")));
        struct netpol_end dst = end_named(m, json_str(json_get(c, "dst")));
        enum netpol_proto proto;
        uint64_t port;
        assert_ok(netpol_proto_parse(json_str(json_get(c, "protocol")), &proto));
        assert_ok(json_u64(json_get(c, "port"), &port));
        struct netpol_decision d = netpol_decide(m, &src, &dst, proto, (uint16_t)port);
        if (d.allowed != json_true(json_get(c, "allowed"))) {
            fail_msg("packet case: %.*s", STR_FMT(json_str(json_get(c, "name"))));
        }
        netpol_model_release(m);
    }
    assert_int_equal(cases->n, 19);
}

/* A selector case as a whole model: a policy that admits the peer to some other pod. */
static bool selector_case_matches(const struct json *c)
{
    const struct json *pod = json_get(c, "pod");
    struct labels pod_labels, ns_labels;
    struct selector pods, namespaces;
    const struct json *pod_selector = json_get(c, "podSelector");
    const struct json *ns_selector = json_get(c, "namespaceSelector");
    assert_ok(labels_read(&arena, json_get(pod, "labels"), &pod_labels));
    assert_ok(labels_read(&arena, json_get(pod, "nsLabels"), &ns_labels));
    assert_ok(selector_read(&arena, pod_selector, "podSelector", &pods));
    assert_ok(selector_read(&arena, ns_selector, "namespaceSelector", &namespaces));
    bool own = json_is(ns_selector, JSON_NULL);
    bool in =
        own ? str_eq(json_str(json_get(pod, "namespace")), json_str(json_get(c, "policyNamespace")))
            : selector_matches(&namespaces, &ns_labels);
    return in && selector_matches(&pods, &pod_labels);
}

static void check_selectors(const struct json *suite)
{
    const struct json *cases = json_get(suite, "selectorCases");
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *c = cases->items[i];
        if (selector_case_matches(c) != json_true(json_get(c, "match"))) {
            fail_msg("selector case: %.*s", STR_FMT(json_str(json_get(c, "name"))));
        }
    }
    assert_int_equal(cases->n, 11);
}

/* One ingress rule with these ports, around any peer. */
static bool port_case_matches(const struct json *c)
{
    static const char pods[] =
        "{\"namespaces\":{},\"pods\":[{\"namespace\":\"n\",\"name\":\"a\",\"ip\":"
        "\"10.0.0.1\",\"labels\":{}},{\"namespace\":\"n\",\"name\":\"b\",\"ip\":"
        "\"10.0.0.2\",\"labels\":{}}]}";
    struct json *cluster, *rule = json_new_object(&arena), *spec = json_new_object(&arena);
    assert_ok(json_parse(&arena, str_of(pods), NULL, &cluster));
    struct json *rules = json_new_array(&arena), *policies = json_new_array(&arena);
    struct json *meta = json_new_object(&arena);
    json_set(&arena, rule, S("ports"), member(c, "ports"));
    json_push(&arena, rules, rule);
    json_set(&arena, spec, S("podSelector"), json_new_object(&arena));
    json_set(&arena, spec, S("ingress"), rules);
    json_set(&arena, meta, S("name"), json_new_string(&arena, S("p")));
    json_set(&arena, meta, S("namespace"), json_new_string(&arena, S("n")));
    struct json *policy = object_of(&arena, "NetworkPolicy", "networking.k8s.io/v1", meta);
    json_set(&arena, policy, S("spec"), spec);
    json_push(&arena, policies, policy);
    struct netpol_model *m = cluster_model(&arena, cluster, policies, json_get(c, "containers"));
    struct netpol_end src = end_named(m, S("n/a")), dst = end_named(m, S("n/b"));
    enum netpol_proto proto;
    uint64_t port;
    assert_ok(netpol_proto_parse(json_str(json_get(c, "protocol")), &proto));
    assert_ok(json_u64(json_get(c, "port"), &port));
    bool allowed = netpol_decide(m, &src, &dst, proto, (uint16_t)port).allowed;
    netpol_model_release(m);
    return allowed;
}

static void check_ports_and_blocks(const struct json *suite)
{
    const struct json *cases = json_get(suite, "portCases"),
                      *blocks = json_get(suite, "ipBlockCases");
    for (uint32_t i = 0; i < cases->n; i++) {
        if (port_case_matches(cases->items[i]) != json_true(json_get(cases->items[i], "match"))) {
            fail_msg("port case: %.*s", STR_FMT(json_str(json_get(cases->items[i], "name"))));
        }
    }
    assert_int_equal(cases->n, 11);
    for (uint32_t i = 0; i < blocks->n; i++) {
        const struct json *c = blocks->items[i], *except = json_get(c, "except");
        struct netpol_peer peer = {.is_block = true};
        struct ip_block hole;
        struct ip ip;
        assert_ok(ip_block_parse(json_str(json_get(c, "cidr")), &peer.block));
        assert_ok(ip_parse(json_str(json_get(c, "ip")), &ip));
        if (except->n > 0) {
            assert_ok(ip_block_parse(json_str(except->items[0]), &hole));
            peer.except = &hole;
            peer.n_except = 1;
        }
        assert_int_equal(netpol_peer_has_ip(&peer, &ip), json_true(json_get(c, "match")));
    }
    assert_int_equal(blocks->n, 4);
}

static void test_kube_network_policies(void **state)
{
    (void)state;
    const struct json *suite = suite_file(&arena, "kube-network-policies-unit.json");
    if (suite == NULL) {
        print_message("skipped: netpol/kube-network-policies-unit.json is not there\n");
        skip();
    }
    check_packets(suite);
    check_selectors(suite);
    check_ports_and_blocks(suite);
}

/* The reference article's policy: service-a of prod, and nothing else, reaches the database on 5432. */
static void test_article(void **state)
{
    (void)state;
    static const char cluster[] = "apiVersion: v1\nkind: List\nitems:\n"
                                  "- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: "
                                  "prod, labels: {app: service-a}}, status: {podIP: 10.0.0.1}}\n"
                                  "- {apiVersion: v1, kind: Pod, metadata: {name: db, namespace: "
                                  "prod, labels: {app: database}}, status: {podIP: 10.0.0.2}}\n"
                                  "- {apiVersion: v1, kind: Pod, metadata: {name: c, namespace: "
                                  "prod, labels: {app: service-c}}, status: {podIP: 10.0.0.3}}\n"
                                  "- {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: "
                                  "dev, labels: {app: service-a}}, status: {podIP: 10.0.0.4}}\n";
    static const struct {
        const char *src, *dst;
        uint16_t port;
        enum netpol_proto proto;
        bool allowed;
    } rows[] = {
        {"prod/a", "prod/db", 5432, NETPOL_TCP, true},
        {"prod/a", "prod/db", 5433, NETPOL_TCP, false},
        {"prod/a", "prod/db", 5432, NETPOL_UDP, false},
        {"prod/a", "prod/db", 0, NETPOL_ICMP, false},
        {"prod/c", "prod/db", 5432, NETPOL_TCP, false},
        {"dev/a", "prod/db", 5432, NETPOL_TCP, false},
        {"203.0.113.9", "prod/db", 5432, NETPOL_TCP, false},
        {"prod/db", "prod/a", 80, NETPOL_TCP, true},
        {"prod/db", "203.0.113.9", 443, NETPOL_TCP, true},
        {"prod/c", "prod/a", 80, NETPOL_TCP, true},
    };
    const char *root = getenv("SEXTANT_CONFORMANCE");
    struct str path = arena_printf(&arena, "%s/article/networkpolicy.yaml",
                                   root != NULL ? root : "../shared/conformance");
    char text[4096];
    FILE *f = fopen(path.p, "re");
    if (f == NULL) {
        print_message("skipped: article/networkpolicy.yaml is not there\n");
        skip();
    }
    size_t n = fread(text, 1, sizeof(text), f);
    fclose(f);
    struct json *pods, *policy;
    struct netpol_model *m = netpol_model_new(&arena);
    assert_ok(yaml_parse(&arena, str_of(cluster), S("pods"), NULL, &pods));
    assert_ok(yaml_parse(&arena, str_n(text, n), S("networkpolicy.yaml"), NULL, &policy));
    assert_ok(netpol_model_add(m, pods->items[0], S("pods")));
    assert_ok(netpol_model_add(m, policy->items[0], S("networkpolicy.yaml")));
    assert_ok(netpol_model_seal(m));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct netpol_end src = end_named(m, str_of(rows[i].src)),
                          dst = end_named(m, str_of(rows[i].dst));
        assert_int_equal(netpol_decide(m, &src, &dst, rows[i].proto, rows[i].port).allowed,
                         rows[i].allowed);
    }
    netpol_model_release(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cyclonus, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kubernetes_e2e, setup, teardown),
        cmocka_unit_test_setup_teardown(test_admission, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kube_network_policies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_article, setup, teardown),
    };
    return cmocka_run_group_tests_name("netpol conformance", tests, NULL, NULL);
}
