#include "verify.h"

#include <stdlib.h>

enum { PROBE_PORTS_MAX = 4096, PROBE_OUTSIDE_MAX = 2048, MISMATCHES_MAX = 100 };

/* What is tried between every pair: all ports that matter, and addresses outside that matter. */
struct probes {
    uint16_t *ports;
    size_t n_ports;
    struct ip *outside;
    size_t n_outside;
};

static void probe_port(struct probes *p, int port)
{
    if (port < 1 || port > 65535 || p->n_ports == PROBE_PORTS_MAX) {
        return;
    }
    for (size_t i = 0; i < p->n_ports; i++) {
        if (p->ports[i] == port) {
            return;
        }
    }
    p->ports[p->n_ports++] = (uint16_t)port;
}

/* A port range is decided alike inside, so its edges and the ports beside them stand for it. */
static void probe_edges(struct probes *p, int first, int last)
{
    probe_port(p, first - 1);
    probe_port(p, first);
    probe_port(p, last);
    probe_port(p, last + 1);
}

static void probe_ip(struct probes *p, const struct netpol_model *m, struct ip ip)
{
    if (p->n_outside < PROBE_OUTSIDE_MAX && netpol_model_pod_at(m, &ip) == NULL) {
        p->outside[p->n_outside++] = ip;
    }
}

static void probe_block(struct probes *p, const struct netpol_model *m, const struct ip_block *b)
{
    struct ip first = ip_block_first(b), last = ip_block_last(b), before = first, after = last;
    probe_ip(p, m, first);
    probe_ip(p, m, last);
    if (ip_prev(&before)) {
        probe_ip(p, m, before);
    }
    if (ip_next(&after)) {
        probe_ip(p, m, after);
    }
}

static void probe_rule(struct probes *p, const struct netpol_model *m, const struct netpol_rule *r)
{
    for (size_t i = 0; i < r->n_ports; i++) {
        if (r->ports[i].first != 0) {
            probe_edges(p, r->ports[i].first, r->ports[i].last);
        }
    }
    for (size_t i = 0; i < r->n_peers; i++) {
        const struct netpol_peer *peer = &r->peers[i];
        if (peer->is_block) {
            probe_block(p, m, &peer->block);
        }
        for (size_t e = 0; e < peer->n_except; e++) {
            probe_block(p, m, &peer->except[e]);
        }
    }
}

static void collect(struct arena *a, const struct netpol_model *m, struct probes *p)
{
    static const char *const outside[] = {"192.0.2.1", "2001:db8::1"};
    p->ports = arena_array(a, uint16_t, PROBE_PORTS_MAX);
    p->outside = arena_array(a, struct ip, PROBE_OUTSIDE_MAX);
    for (size_t i = 0; i < ARRAY_LEN(outside); i++) {
        struct ip ip;
        if (!failed(ip_parse(str_of(outside[i]), &ip))) {
            probe_ip(p, m, ip);
        }
    }
    probe_edges(p, 1, 65535);
    probe_port(p, 33333);
    for (size_t i = 0; i < m->n_policies; i++) {
        for (int dir = 0; dir < 2; dir++) {
            for (size_t r = 0; r < m->policies[i]->n_rules[dir]; r++) {
                probe_rule(p, m, &m->policies[i]->rules[dir][r]);
            }
        }
    }
    for (size_t i = 0; i < m->n_pods; i++) {
        for (size_t k = 0; k < m->pods[i]->n_ports; k++) {
            probe_port(p, m->pods[i]->ports[k].number);
        }
    }
}

struct verifier {
    struct arena *arena;
    const struct netpol_model *m;
    const struct nft_table *t;
    bool unrelated_accepted;
    struct probes probes;
    struct netpol_verify_report report;
};

static void note_mismatch(struct verifier *v, const struct netpol_end *src,
                          const struct netpol_end *dst, enum netpol_proto proto, uint16_t port,
                          const struct netpol_decision *d)
{
    if (v->report.mismatches++ > 0) {
        return;
    }
    struct buf text;
    buf_init(&text, 4096);
    buf_printf(&text, "the kernel %s what the policies %s: ", d->allowed ? "drops" : "passes",
               d->allowed ? "allow" : "deny");
    netpol_explain_text(&text, src, dst, proto, port, d);
    v->report.first = arena_str(v->arena, buf_str(&text));
    buf_release(&text);
}

static struct err check_one(struct verifier *v, const struct netpol_end *src,
                            const struct netpol_end *dst, enum netpol_proto proto, uint16_t port)
{
    struct netpol_decision d = netpol_decide(v->m, src, dst, proto, port);
    struct nft_packet p = {
        .src = src->ip, .dst = dst->ip, .proto = (uint8_t)proto, .dport = port, .syn = true};
    bool accepted, want = d.unknown ? v->unrelated_accepted : d.allowed;
    TRY(nft_table_judge(v->t, &p, &accepted));
    v->report.checks++;
    if (accepted != want) {
        note_mismatch(v, src, dst, proto, port, &d);
    }
    return OK;
}

static struct err check_pair(struct verifier *v, const struct netpol_end *src,
                             const struct netpol_end *dst)
{
    static const enum netpol_proto protos[] = {NETPOL_TCP, NETPOL_UDP, NETPOL_SCTP};
    if (src->ip.family != dst->ip.family || (src->pod != NULL && src->pod == dst->pod)) {
        return OK;
    }
    TRY(check_one(v, src, dst, NETPOL_ICMP, 0));
    for (size_t p = 0; p < ARRAY_LEN(protos); p++) {
        for (size_t i = 0; i < v->probes.n_ports; i++) {
            TRY(check_one(v, src, dst, protos[p], v->probes.ports[i]));
        }
    }
    return OK;
}

/* Packets of known connections pass, and a cut connection's next packet does not revive it. */
static struct err check_states(struct verifier *v)
{
    struct nft_packet p = {.proto = NETPOL_TCP, .dport = 1, .established = true};
    bool accepted;
    TRY(ip_parse(S("192.0.2.1"), &p.src));
    TRY(ip_parse(S("192.0.2.2"), &p.dst));
    TRY(nft_table_judge(v->t, &p, &accepted));
    ENSURE(accepted, ERR_CONFLICT, "the kernel drops packets of established connections");
    for (size_t i = 0; i < v->m->n_pods; i++) {
        p = (struct nft_packet){.proto = NETPOL_TCP, .dport = 1, .dst = p.dst};
        if (v->m->pods[i]->n_ips > 0 && !v->m->pods[i]->host_network) {
            p.src = v->m->pods[i]->ips[0];
            TRY(nft_table_judge(v->t, &p, &accepted));
            ENSURE(!accepted, ERR_CONFLICT, "the kernel lets a cut connection of a pod go on");
        }
    }
    return OK;
}

static struct err check_from(struct verifier *v, const struct netpol_end *src)
{
    for (size_t i = 0; i < v->m->n_pods && v->report.mismatches < MISMATCHES_MAX; i++) {
        const struct netpol_pod *pod = v->m->pods[i];
        for (size_t a = 0; a < pod->n_ips && !pod->host_network; a++) {
            struct netpol_end dst = {pod, pod->ips[a]};
            TRY(check_pair(v, src, &dst));
        }
    }
    for (size_t i = 0; i < v->probes.n_outside && v->report.mismatches < MISMATCHES_MAX; i++) {
        struct netpol_end dst = {NULL, v->probes.outside[i]};
        TRY(check_pair(v, src, &dst));
    }
    return OK;
}

struct err netpol_verify(struct arena *a, const struct netpol_model *m, const struct nft_table *t,
                         bool unrelated_accepted, struct netpol_verify_report *out)
{
    struct verifier v = {.arena = a, .m = m, .t = t, .unrelated_accepted = unrelated_accepted};
    collect(a, m, &v.probes);
    TRY(check_states(&v));
    for (size_t i = 0; i < m->n_pods; i++) {
        for (size_t k = 0; k < m->pods[i]->n_ips && !m->pods[i]->host_network; k++) {
            struct netpol_end src = {m->pods[i], m->pods[i]->ips[k]};
            TRY(check_from(&v, &src));
        }
    }
    for (size_t i = 0; i < v.probes.n_outside; i++) {
        struct netpol_end src = {NULL, v.probes.outside[i]};
        TRY(check_from(&v, &src));
    }
    *out = v.report;
    return OK;
}
