#include "eval.h"

static bool named_port_covers(const struct netpol_port *p, const struct netpol_pod *dst,
                              uint16_t port)
{
    if (dst == NULL || dst->host_network) {
        return false; /* an outside address has no port names */
    }
    for (size_t i = 0; i < dst->n_ports; i++) {
        const struct netpol_container_port *c = &dst->ports[i];
        if (c->proto == p->proto && c->number == port && str_eq(c->name, p->name)) {
            return true;
        }
    }
    return false;
}

bool netpol_port_covers(const struct netpol_port *p, const struct netpol_pod *dst,
                        enum netpol_proto proto, uint16_t port)
{
    if (p->proto != proto) {
        return false;
    }
    if (p->name.n > 0) {
        return named_port_covers(p, dst, port);
    }
    return p->first == 0 || (port >= p->first && port <= p->last);
}

static bool peer_covers(const struct netpol_peer *p, const struct netpol_end *e)
{
    if (p->is_block) {
        return netpol_peer_has_ip(p, &e->ip);
    }
    return e->pod != NULL && bit_get(p->matched, e->pod->index);
}

/* Looks a rule over; on a match notes which peer and port did it. */
static bool rule_covers(const struct netpol_rule *r, const struct netpol_end *peer,
                        const struct netpol_end *dst, enum netpol_proto proto, uint16_t port,
                        struct netpol_side *side)
{
    size_t p = 0, q = 0;
    while (p < r->n_peers && !peer_covers(&r->peers[p], peer)) {
        p++;
    }
    while (q < r->n_ports && !netpol_port_covers(&r->ports[q], dst->pod, proto, port)) {
        q++;
    }
    if ((r->n_peers > 0 && p == r->n_peers) || (r->n_ports > 0 && q == r->n_ports)) {
        return false;
    }
    side->peer = r->n_peers > 0 ? p : SIZE_MAX;
    side->port = r->n_ports > 0 ? q : SIZE_MAX;
    return true;
}

static struct netpol_side decide_side(const struct netpol_model *m, enum netpol_direction dir,
                                      const struct netpol_end *src, const struct netpol_end *dst,
                                      enum netpol_proto proto, uint16_t port)
{
    const struct netpol_end *own = dir == NETPOL_INGRESS ? dst : src;
    const struct netpol_end *peer = dir == NETPOL_INGRESS ? src : dst;
    struct netpol_side side = {.allowed = true, .peer = SIZE_MAX, .port = SIZE_MAX};
    if (own->pod == NULL || m->n_isolating[dir][own->pod->index] == 0) {
        return side;
    }
    const struct netpol_policy **policies = m->isolating[dir][own->pod->index];
    side.isolated = true;
    for (size_t i = 0; i < m->n_isolating[dir][own->pod->index]; i++) {
        for (size_t r = 0; r < policies[i]->n_rules[dir]; r++) {
            if (rule_covers(&policies[i]->rules[dir][r], peer, dst, proto, port, &side)) {
                side.policy = policies[i];
                side.rule = r;
                return side;
            }
        }
    }
    side.allowed = false;
    side.policy = policies[0];
    return side;
}

struct netpol_decision netpol_decide(const struct netpol_model *m, const struct netpol_end *src,
                                     const struct netpol_end *dst, enum netpol_proto proto,
                                     uint16_t port)
{
    BUG_ON(!m->sealed);
    struct netpol_decision d = {0};
    if (src->pod != NULL && src->pod == dst->pod) {
        d.self = d.allowed = true;
        d.egress.allowed = d.ingress.allowed = true;
        return d;
    }
    d.unknown = src->pod == NULL && dst->pod == NULL;
    d.egress = decide_side(m, NETPOL_EGRESS, src, dst, proto, port);
    d.ingress = decide_side(m, NETPOL_INGRESS, src, dst, proto, port);
    d.allowed = d.egress.allowed && d.ingress.allowed && !d.unknown;
    return d;
}

struct err netpol_end_parse(const struct netpol_model *m, struct str text, uint8_t family,
                            struct netpol_end *out)
{
    struct netpol_end e = {0};
    if (!failed(ip_parse(text, &e.ip))) {
        e.pod = netpol_model_pod_at(m, &e.ip);
        *out = e;
        return OK;
    }
    size_t slash = str_find_char(text, '/');
    ENSURE(slash != STR_NPOS, ERR_SYNTAX, "'%.*s' is neither NAMESPACE/POD nor an address",
           STR_FMT(text));
    e.pod = netpol_model_pod(m, text);
    ENSURE(e.pod != NULL, ERR_NOT_FOUND, "there is no pod %.*s in the manifests", STR_FMT(text));
    ENSURE(e.pod->n_ips > 0, ERR_NOT_FOUND, "pod %.*s has no address yet (status.podIP)",
           STR_FMT(text));
    e.ip = e.pod->ips[0];
    for (size_t i = 0; i < e.pod->n_ips; i++) {
        if (e.pod->ips[i].family == family) {
            e.ip = e.pod->ips[i];
        }
    }
    if (e.pod->host_network) {
        e.pod = NULL; /* it is its node's address to every policy */
    }
    *out = e;
    return OK;
}

struct err netpol_port_parse(const struct netpol_end *dst, struct str text,
                             enum netpol_proto *proto, uint16_t *port)
{
    struct str rest = text, number = str_split(&rest, '/');
    enum netpol_proto p = NETPOL_TCP;
    uint64_t n;
    if (rest.p != NULL) {
        TRY(netpol_proto_parse(rest, &p));
    }
    if (!failed(str_to_u64(number, &n))) {
        ENSURE(n > 0 && n < 65536, ERR_SYNTAX, "port %.*s is not in 1..65535", STR_FMT(number));
        *port = (uint16_t)n;
        *proto = p;
        return OK;
    }
    for (size_t i = 0; dst->pod != NULL && i < dst->pod->n_ports; i++) {
        const struct netpol_container_port *c = &dst->pod->ports[i];
        if (str_eq(c->name, number) && (rest.p == NULL || c->proto == p)) {
            *port = c->number;
            *proto = c->proto;
            return OK;
        }
    }
    FAIL(ERR_NOT_FOUND,
         "'%.*s' is neither a port such as 5432 or 53/UDP nor a port name of the "
         "destination",
         STR_FMT(text));
}
