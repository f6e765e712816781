/*
 * The compiler against the kernel: every step of cyclonus' cases and the Kubernetes end-to-end
 * tables is compiled, loaded into nftables in a network namespace of the test's own, listed back, and
 * judged packet by packet against the evaluator.
 */
#include "test/netpol_cluster.h"

#include "compile.h"
#include "netlink.h"
#include "nft.h"
#include "verify.h"

#include <sched.h>
#include <unistd.h>

static struct arena arena;
static uint64_t checks;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)512 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

static void load(const struct netpol_model *m, struct netpol_ruleset **r)
{
    struct buf text;
    struct netpol_text_opts opts = {.comment = S("test"), .log_group = 1511};
    buf_init(&text, NFT_TEXT_MAX);
    assert_ok(netpol_compile(&arena, m, r));
    assert_ok(netpol_put_ruleset(&text, *r, &opts));
    assert_ok(nft_apply(buf_str(&text)));
    buf_release(&text);
}

/* What the kernel holds now, against the model. */
static struct netpol_verify_report verify_kernel(const struct netpol_model *m)
{
    struct json_limits limits = {.max_bytes = NFT_TEXT_MAX};
    struct buf listing;
    struct json *v;
    struct nft_table *t;
    struct netpol_verify_report report;
    buf_init(&listing, NFT_TEXT_MAX);
    assert_ok(nft_list(S("sextant"), &listing));
    assert_ok(json_parse(&arena, buf_str(&listing), &limits, &v));
    assert_ok(nft_table_read(&arena, v, &t));
    assert_ok(netpol_verify(&arena, m, t, false, &report));
    nft_table_release(t);
    buf_release(&listing);
    return report;
}

static void assert_proven(const struct netpol_model *m, const char *what)
{
    struct netpol_verify_report r = verify_kernel(m);
    if (r.mismatches > 0) {
        fail_msg("%s: %.*s", what, STR_FMT(r.first));
    }
    checks += r.checks;
}

static void test_suites(void **state)
{
    (void)state;
    static const char *const files[] = {"cyclonus-generated.json", "k8s-e2e-truth-tables.json"};
    static const char *const lists[] = {"cases", "tests"};
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        const struct json *suite = suite_file(&arena, files[f]);
        if (suite == NULL) {
            print_message("skipped: netpol/%s is not there\n", files[f]);
            continue;
        }
        const struct json *cases = json_get(suite, lists[f]);
        for (uint32_t i = 0; i < cases->n; i++) {
            const struct json *steps = json_get(cases->items[i], "steps");
            for (uint32_t s = 0; s < steps->n; s++) {
                struct netpol_model *m =
                    cluster_model(&arena, steps->items[s], json_get(steps->items[s], "policies"),
                                  json_get(suite, "containers"));
                struct netpol_ruleset *r;
                load(m, &r);
                assert_proven(m, files[f]);
                netpol_model_release(m);
            }
        }
        print_message("%s: %u cases proven in the kernel, %llu packets so far\n", files[f],
                      cases->n, (unsigned long long)checks);
    }
}

static struct netpol_model *model_of(const char *policies_json)
{
    static const char cluster[] =
        "{\"namespaces\":{\"n\":{}},\"pods\":["
        "{\"namespace\":\"n\",\"name\":\"a\",\"ip\":\"10.0.0.1\",\"labels\":{\"app\":\"a\"}},"
        "{\"namespace\":\"n\",\"name\":\"b\",\"ip\":\"10.0.0.2\",\"labels\":{\"app\":\"b\"}},"
        "{\"namespace\":\"n\",\"name\":\"c6\",\"ip\":\"fd00::3\",\"labels\":{\"app\":\"c\"}},"
        "{\"namespace\":\"n\",\"name\":\"d6\",\"ip\":\"fd00::4\",\"labels\":{\"app\":\"d\"}}]}";
    static const char ports[] = "[{\"port\":80,\"protocol\":\"TCP\",\"name\":\"web\"},"
                                "{\"port\":53,\"protocol\":\"UDP\",\"name\":\"dns\"}]";
    struct json *c, *p, *containers;
    assert_ok(json_parse(&arena, str_of(cluster), NULL, &c));
    assert_ok(json_parse(&arena, str_of(policies_json), NULL, &p));
    assert_ok(json_parse(&arena, str_of(ports), NULL, &containers));
    return cluster_model(&arena, c, p, containers);
}

#define POLICY(spec) "[{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":" spec "}]"

/* Shapes that the suites do not reach: IPv6, overlapping blocks and ranges, names in blocks. */
static void test_shapes(void **state)
{
    (void)state;
    static const char *const policies[] = {
        "[]",
        POLICY("{\"podSelector\":{},\"policyTypes\":[\"Ingress\",\"Egress\"]}"),
        POLICY("{\"podSelector\":{},\"ingress\":[{\"from\":[{\"podSelector\":{\"matchLabels\":{"
               "\"app\":\"c\"}}}],"
               "\"ports\":[{\"port\":1000,\"endPort\":2000},{\"port\":1500,\"endPort\":2500},{"
               "\"protocol\":\"UDP\"}]}]}"),
        POLICY("{\"podSelector\":{},\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/"
               "8\",\"except\":[\"10.0.0.0/30\","
               "\"10.255.0.0/16\"]}},{\"ipBlock\":{\"cidr\":\"10.0.0.0/"
               "16\"}},{\"ipBlock\":{\"cidr\":\"fd00::/16\"}}]}]}"),
        POLICY("{\"podSelector\":{},\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/"
               "8\"}}],\"ports\":[{\"port\":1,"
               "\"endPort\":100}]},{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/"
               "16\"}}],\"ports\":[{\"port\":50,\"endPort\":200}]},"
               "{\"from\":[{\"ipBlock\":{\"cidr\":\"0.0.0.0/0\"}}],\"ports\":[{\"port\":70}]}]}"),
        POLICY("{\"podSelector\":{},\"egress\":[{\"to\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/"
               "31\"}},{\"podSelector\":{\"matchLabels\":"
               "{\"app\":\"d\"}}}],\"ports\":[{\"port\":\"web\"}]},{\"ports\":[{\"port\":\"dns\","
               "\"protocol\":\"UDP\"}]}]}"),
        POLICY("{\"podSelector\":{},\"ingress\":[{\"ports\":[{\"port\":9,\"endPort\":99},{"
               "\"protocol\":\"SCTP\"}]},"
               "{\"from\":[{\"namespaceSelector\":{}}]}],\"egress\":[{}]}"),
    };
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        struct netpol_model *m = model_of(policies[i]);
        struct netpol_ruleset *r;
        load(m, &r);
        assert_proven(m, policies[i]);
        netpol_model_release(m);
    }
}

/* Each policy set turned into the next by element changes alone, as text or over netlink, is again proven. */
static void change_step_by_step(bool over_netlink)
{
    struct netlink *nl;
    assert_ok(netlink_open(&nl));
    static const char *const policies[] = {
        POLICY("{\"podSelector\":{},\"ingress\":[{\"from\":[{\"podSelector\":{\"matchLabels\":{"
               "\"app\":\"a\"}}}]}]}"),
        POLICY("{\"podSelector\":{},\"ingress\":[{\"from\":[{\"podSelector\":{\"matchLabels\":{"
               "\"app\":\"b\"}}}],\"ports\":[{\"port\":80}]},"
               "{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/"
               "24\"}}],\"ports\":[{\"port\":80,\"endPort\":90}]}]}"),
        POLICY("{\"podSelector\":{},\"ingress\":[{\"from\":[{\"ipBlock\":{\"cidr\":\"10.0.0.0/"
               "25\"}}],\"ports\":[{\"port\":85,\"endPort\":95}]}]}"),
        POLICY("{\"podSelector\":{}}"),
        POLICY("{\"podSelector\":{},\"egress\":[{\"to\":[{\"ipBlock\":{\"cidr\":\"fd00::/"
               "64\"}},{\"podSelector\":{\"matchLabels\":{\"app\":\"c\"}}}],"
               "\"ports\":[{\"port\":53,\"protocol\":\"UDP\"},{\"port\":1,\"endPort\":9}]},{"
               "\"ports\":[{\"port\":443}]}]}"),
        "[]",
    };
    struct netpol_ruleset *now = NULL;
    for (size_t i = 0; i < ARRAY_LEN(policies); i++) {
        struct netpol_model *m = model_of(policies[i]);
        struct netpol_ruleset *next;
        struct buf text;
        buf_init(&text, NFT_TEXT_MAX);
        if (now == NULL) {
            load(m, &next);
        } else {
            assert_ok(netpol_compile(&arena, m, &next));
            assert_true(netpol_change_size(now, next) > 0);
            if (over_netlink) {
                assert_ok(netlink_change(nl, now, next, S("sextant")));
                if (i == 1) { /* it takes elements away, and they are gone */
                    assert_err(netlink_change(nl, now, next, S("sextant")), ERR_CONFLICT);
                }
            } else {
                netpol_put_change(&text, now, next, STR_EMPTY);
                assert_ok(nft_apply(buf_str(&text)));
            }
        }
        assert_proven(m, policies[i]);
        assert_int_equal(netpol_change_size(next, next), 0);
        now = next;
        buf_release(&text);
        netpol_model_release(m);
    }
    netlink_close(nl);
}

static void test_changes_as_text(void **state)
{
    (void)state;
    change_step_by_step(false);
}

static void test_changes_over_netlink(void **state)
{
    (void)state;
    change_step_by_step(true);
}

/* The proof must see tampering: an extra accept, a lost element, an added element, another policy. */
static void test_tampering_is_seen(void **state)
{
    (void)state;
    static const char *const edits[] = {
        "insert rule inet sextant forward accept",
        "delete element inet sextant ingress_isolated4 { 10.0.0.2 }",
        "add element inet sextant ingress_any4 { 10.0.0.2 }",
        "flush chain inet sextant ingress4",
    };
    struct netpol_model *m =
        model_of(POLICY("{\"podSelector\":{\"matchLabels\":{\"app\":\"b\"}}}"));
    for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
        struct netpol_ruleset *r;
        load(m, &r);
        assert_proven(m, "before");
        assert_ok(nft_apply(str_of(edits[i])));
        struct buf listing;
        struct json *v;
        struct nft_table *t;
        struct netpol_verify_report report = {0};
        buf_init(&listing, NFT_TEXT_MAX);
        assert_ok(nft_list(S("sextant"), &listing));
        assert_ok(json_parse(&arena, buf_str(&listing), NULL, &v));
        assert_ok(nft_table_read(&arena, v, &t));
        struct err e = netpol_verify(&arena, m, t, false, &report);
        if (!failed(e) && report.mismatches == 0) {
            fail_msg("not seen: %s", edits[i]);
        }
        nft_table_release(t);
        buf_release(&listing);
    }
    struct netpol_ruleset *r;
    load(m, &r);
    assert_ok(nft_apply(S("insert rule inet sextant forward limit rate 1/day accept")));
    struct buf listing;
    struct json *v;
    struct nft_table *t;
    buf_init(&listing, NFT_TEXT_MAX);
    assert_ok(nft_list(S("sextant"), &listing));
    assert_ok(json_parse(&arena, buf_str(&listing), NULL, &v));
    assert_err(nft_table_read(&arena, v, &t), ERR_UNSUPPORTED);
    buf_release(&listing);
    netpol_model_release(m);
}

static void test_lockdown_and_ownership(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 65536);
    assert_ok(nft_apply(S("table inet other {\n}")));
    netpol_put_lockdown(&text, STR_EMPTY);
    assert_ok(nft_apply(buf_str(&text)));
    buf_clear(&text);
    assert_ok(nft_list(S("sextant"), &text));
    struct json *v;
    struct nft_table *t;
    struct nft_packet p = {.proto = NETPOL_TCP, .dport = 80, .syn = true};
    bool accepted = true;
    assert_ok(json_parse(&arena, buf_str(&text), NULL, &v));
    assert_ok(nft_table_read(&arena, v, &t));
    assert_ok(ip_parse(S("10.0.0.1"), &p.src));
    assert_ok(ip_parse(S("10.0.0.2"), &p.dst));
    assert_ok(nft_table_judge(t, &p, &accepted));
    assert_false(accepted);
    nft_table_release(t);
    assert_ok(nft_delete(S("sextant")));
    assert_ok(nft_delete(S("sextant")));
    buf_clear(&text);
    assert_err(nft_list(S("sextant"), &text), ERR_NOT_FOUND);
    assert_ok(nft_list(S("other"), &text));
    assert_err(nft_apply(S("table inet {")), ERR_INVALID);
    buf_release(&text);
}

int main(void)
{
    const char *file;
    if (failed(nft_find(&file)) ||
        unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        printf("skipped: netpol kernel: needs nft and a network namespace of its own\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shapes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes_as_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changes_over_netlink, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tampering_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lockdown_and_ownership, setup, teardown),
        cmocka_unit_test_setup_teardown(test_suites, setup, teardown),
    };
    return cmocka_run_group_tests_name("netpol kernel", tests, NULL, NULL);
}
