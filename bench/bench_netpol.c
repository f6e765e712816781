/* deps: netpol_host yaml json base */
/*
 * What netpol costs, in a network namespace of its own (needs root).
 *
 * A cluster of N pods, each under a policy that lets ten others in on two ports. Reported: reading and compiling,
 * loading the whole table, changing one policy over netlink against the same change by an nft process, the same
 * policies as one chain and one set a pod (the usual design) loaded by nft, and decisions a second.
 */
#include "netpol/flows.h"
#include "netpol/netlink.h"
#include "netpol/nft.h"

#include "lib/base/clock.h"
#include "lib/yaml/yaml.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum { PEERS = 10, CHANGES = 50, DECISIONS = 2000000 };

static double ms_since(int64_t start)
{
    return (double)(clock_mono_ns() - start) / 1e6;
}

static void must(struct err e, const char *what)
{
    if (failed(e)) {
        fprintf(stderr, "bench_netpol: %s: %s\n", what, err_detail());
        exit(1);
    }
}

static unsigned peer_of(unsigned pod, unsigned k, unsigned n)
{
    return (pod * 7 + k * 13 + 1) % n;
}

static void put_ip(struct buf *out, unsigned pod)
{
    buf_printf(out, "10.%u.%u.%u", 64 + pod / 65536, pod / 256 % 256, pod % 256);
}

/* `ports` of pod 0's policy differ between two clusters; all else is the same. */
static void write_manifests(struct buf *out, unsigned n, const char *ports)
{
    for (unsigned i = 0; i < n; i++) {
        buf_printf(out,
                   "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%u, namespace: n, labels: "
                   "{app: a%u}}\nstatus: {podIP: ",
                   i, i);
        put_ip(out, i);
        buf_printf(out,
                   "}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: "
                   "{name: p%u, namespace: n}\n"
                   "spec: {podSelector: {matchLabels: {app: a%u}}, ingress: [{from: [{podSelector: "
                   "{matchExpressions: "
                   "[{key: app, operator: In, values: [",
                   i, i);
        for (unsigned k = 0; k < PEERS; k++) {
            buf_printf(out, "%sa%u", k > 0 ? ", " : "", peer_of(i, k, n));
        }
        buf_printf(out, "]}]}}], ports: [%s]}]}\n", i == 0 ? ports : "{port: 80}, {port: 443}");
    }
}

static struct netpol_model *build(struct arena *a, unsigned n, const char *ports,
                                  struct netpol_ruleset **r, bool print)
{
    struct buf text;
    struct json *docs;
    buf_init(&text, 256 << 20);
    write_manifests(&text, n, ports);
    struct yaml_limits limits = {.max_bytes = 256 << 20, .max_values = 64 << 20};
    int64_t start = clock_mono_ns();
    must(yaml_parse(a, buf_str(&text), S("bench"), &limits, &docs), "yaml");
    double read = ms_since(start);
    struct netpol_model *m = netpol_model_new(a);
    start = clock_mono_ns();
    for (uint32_t i = 0; i < docs->n; i++) {
        must(netpol_model_add(m, docs->items[i], S("bench")), "model");
    }
    must(netpol_model_seal(m), "seal");
    must(netpol_compile(a, m, r), "compile");
    if (print) {
        printf("read %.0f ms, compile %.0f ms: %zu elements\n", read, ms_since(start),
               (*r)->n_elements);
    }
    buf_release(&text);
    return m;
}

static void load_whole(const struct netpol_ruleset *r)
{
    struct buf text;
    buf_init(&text, NFT_TEXT_MAX);
    must(netpol_put_ruleset(&text, r, &(struct netpol_text_opts){.comment = S("bench")}), "text");
    int64_t start = clock_mono_ns();
    must(nft_apply(buf_str(&text)), "load");
    printf("whole table: %.0f ms\n", ms_since(start));
    buf_release(&text);
}

/* The same policies with a set and a chain for each pod, and a map from pod to chain. */
static void load_per_pod(unsigned n)
{
    struct buf t;
    buf_init(&t, NFT_TEXT_MAX);
    buf_puts(&t, S("table inet perpod {\n"));
    for (unsigned i = 0; i < n; i++) {
        buf_printf(&t, "set s%u {\ntype ipv4_addr\nelements = { ", i);
        for (unsigned k = 0; k < PEERS; k++) {
            buf_puts(&t, k > 0 ? S(", ") : STR_EMPTY);
            put_ip(&t, peer_of(i, k, n));
        }
        buf_printf(&t, " }\n}\nchain c%u {\nip saddr @s%u tcp dport { 80, 443 } return\ndrop\n}\n",
                   i, i);
    }
    buf_puts(&t, S("map m {\ntype ipv4_addr : verdict\nelements = { "));
    for (unsigned i = 0; i < n; i++) {
        buf_puts(&t, i > 0 ? S(", ") : STR_EMPTY);
        put_ip(&t, i);
        buf_printf(&t, " : jump c%u", i);
    }
    buf_puts(&t, S(" }\n}\nchain f {\ntype filter hook forward priority 0\nct state "
                   "established,related accept\nip daddr vmap @m\n}\n}\n"));
    int64_t start = clock_mono_ns();
    must(nft_apply(buf_str(&t)), "per-pod load");
    printf("one chain and one set a pod: %.0f ms\n", ms_since(start));
    must(nft_delete(S("perpod")), "delete");
    buf_release(&t);
}

static void change_one(const struct netpol_model *m, const struct netpol_ruleset *a,
                       const struct netpol_ruleset *b)
{
    struct flows_report flows;
    struct netlink *nl;
    must(netlink_open(&nl), "netlink");
    int64_t start = clock_mono_ns();
    for (int i = 0; i < CHANGES; i++) {
        must(netlink_change(nl, i % 2 == 0 ? a : b, i % 2 == 0 ? b : a, S("sextant")), "netlink");
    }
    double netlink = ms_since(start) / CHANGES;
    start = clock_mono_ns();
    for (int i = 0; i < CHANGES; i++) {
        struct buf text;
        buf_init(&text, 1 << 20);
        netpol_put_change(&text, i % 2 == 0 ? a : b, i % 2 == 0 ? b : a, STR_EMPTY);
        must(nft_apply(buf_str(&text)), "nft");
        buf_release(&text);
    }
    double nft = ms_since(start) / CHANGES;
    start = clock_mono_ns();
    must(flows_cut(nl, m, &flows), "flows");
    printf("one policy changed (%zu elements): netlink %.2f ms, nft process %.2f ms, ratio %.1f; "
           "live connections looked over in %.2f ms\n",
           netpol_change_size(a, b), netlink, nft, nft / netlink, ms_since(start));
    netlink_close(nl);
}

static void decide(const struct netpol_model *m)
{
    size_t allowed = 0;
    int64_t start = clock_mono_ns();
    for (size_t i = 0; i < DECISIONS; i++) {
        const struct netpol_pod *x = m->pods[i * 7919 % m->n_pods],
                                *y = m->pods[i * 104729 % m->n_pods];
        struct netpol_end src = {x, x->ips[0]}, dst = {y, y->ips[0]};
        allowed += netpol_decide(m, &src, &dst, NETPOL_TCP, 80).allowed;
    }
    printf("decisions: %.1f million a second (%zu allowed)\n", DECISIONS / ms_since(start) / 1000,
           allowed);
}

int main(int argc, char **argv)
{
    struct arena a;
    struct netpol_ruleset *one, *two;
    unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    if (unshare(CLONE_NEWNET) != 0) {
        printf("skipped: bench_netpol needs root\n");
        return 77;
    }
    arena_init(&a, (size_t)4 << 30);
    printf("%u pods, %u policies\n", n, n);
    struct netpol_model *m = build(&a, n, "{port: 80}, {port: 443}", &one, true);
    struct netpol_model *m2 = build(&a, n, "{port: 80}, {port: 8443}", &two, false);
    load_whole(one);
    change_one(m, one, two);
    decide(m);
    load_per_pod(n);
    netpol_model_release(m);
    netpol_model_release(m2);
    arena_release(&a);
    return 0;
}
