/* NetworkPolicy documents (networking.k8s.io/v1): reading and admission in one pass. */
#include "model.h"

static struct err invalid(const struct json *at, const char *what)
{
    return err_make_at(ERR_INVALID, at != NULL ? at->line : 0, at != NULL ? at->col : 0, "%s",
                       what);
}

/* An unknown field is an error: left out silently it would widen the policy. */
static struct err check_fields(const struct json *obj, const char *what, const char *const *known)
{
    if (!json_is(obj, JSON_OBJECT)) {
        return err_make_at(ERR_INVALID, obj != NULL ? obj->line : 0, obj != NULL ? obj->col : 0,
                           "%s must be a mapping", what);
    }
    for (uint32_t i = 0; i < obj->n; i++) {
        const struct json_member *m = &obj->members[i];
        bool found = false;
        for (size_t k = 0; known[k] != NULL && !found; k++) {
            found = str_is(m->key, known[k]);
        }
        if (!found) {
            return err_make_at(ERR_INVALID, m->line, m->col, "%s has no field '%.*s'", what,
                               STR_FMT(m->key));
        }
    }
    return OK;
}

/* RFC 6335: at most 15 of a-z, 0-9 and '-', a letter among them, no '-' at an end or doubled. */
static bool is_port_name(struct str s)
{
    bool letter = false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool lower = c >= 'a' && c <= 'z', dash = c == '-';
        if (!lower && !dash && (c < '0' || c > '9')) {
            return false;
        }
        if (dash && (i == 0 || i + 1 == s.n || s.p[i + 1] == '-')) {
            return false;
        }
        letter = letter || lower;
    }
    return letter && s.n <= 15;
}

static struct err read_port_number(const struct json *v, const char *what, uint16_t *out)
{
    uint64_t n;
    if (failed(json_u64(v, &n)) || n < 1 || n > 65535) {
        return err_make_at(ERR_INVALID, v->line, v->col, "%s must be a number from 1 to 65535",
                           what);
    }
    *out = (uint16_t)n;
    return OK;
}

static struct err read_end_port(const struct json *end, const struct json *port,
                                struct netpol_port *out)
{
    if (!json_is(port, JSON_NUMBER)) {
        return invalid(end, "endPort needs a numeric port before it");
    }
    TRY(read_port_number(end, "endPort", &out->last));
    if (out->last < out->first) {
        return invalid(end, "endPort must not be below port");
    }
    return OK;
}

static bool is_absent(const struct json *v)
{
    return v == NULL || json_is(v, JSON_NULL);
}

static struct err read_port(const struct json *obj, struct netpol_port *out)
{
    static const char *const known[] = {"protocol", "port", "endPort", NULL};
    TRY(check_fields(obj, "an entry of ports", known));
    const struct json *proto = json_get(obj, "protocol"), *port = json_get(obj, "port");
    const struct json *end = json_get(obj, "endPort");
    struct netpol_port p = {.proto = NETPOL_TCP};
    if (!is_absent(proto) && failed(netpol_proto_parse(json_str(proto), &p.proto))) {
        return invalid(proto, "protocol must be TCP, UDP or SCTP");
    }
    if (json_is(port, JSON_STRING)) {
        p.name = port->text;
        if (!is_port_name(p.name)) {
            return invalid(port,
                           "a port name has at most 15 of a-z, 0-9 and '-', one of them a letter");
        }
    } else if (!is_absent(port)) {
        TRY(read_port_number(port, "port", &p.first));
        p.last = p.first;
    }
    if (!is_absent(end)) {
        TRY(read_end_port(end, port, &p));
    }
    *out = p;
    return OK;
}

static struct err read_except(struct arena *a, const struct json *list, struct netpol_peer *p)
{
    if (is_absent(list)) {
        return OK;
    }
    if (!json_is(list, JSON_ARRAY) || list->n > NETPOL_EXCEPT_MAX) {
        return invalid(list, "ipBlock.except must be a list of at most 512 blocks");
    }
    p->except = arena_array(a, struct ip_block, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        struct ip_block *b = &p->except[p->n_except];
        if (failed(ip_block_parse(json_str(list->items[i]), b))) {
            return invalid(list->items[i], "ipBlock.except must hold blocks such as 10.1.0.0/16");
        }
        if (!ip_block_contains(&p->block, b) || b->len == p->block.len) {
            return invalid(list->items[i], "ipBlock.except must lie strictly inside ipBlock.cidr");
        }
        p->n_except++;
    }
    return OK;
}

static struct err read_block(struct arena *a, const struct json *obj, struct netpol_peer *p)
{
    static const char *const known[] = {"cidr", "except", NULL};
    TRY(check_fields(obj, "ipBlock", known));
    const struct json *cidr = json_get(obj, "cidr");
    if (failed(ip_block_parse(json_str(cidr), &p->block))) {
        return invalid(cidr != NULL ? cidr : obj,
                       "ipBlock.cidr must be a block such as 10.0.0.0/8");
    }
    p->is_block = true;
    return read_except(a, json_get(obj, "except"), p);
}

static struct err read_peer(struct arena *a, const struct json *obj, struct netpol_peer *out)
{
    static const char *const known[] = {"podSelector", "namespaceSelector", "ipBlock", NULL};
    TRY(check_fields(obj, "a peer", known));
    const struct json *pods = json_get(obj, "podSelector"), *block = json_get(obj, "ipBlock");
    const struct json *namespaces = json_get(obj, "namespaceSelector");
    struct netpol_peer p = {.has_pods = !is_absent(pods), .any_pod_ns = is_absent(namespaces)};
    if (!is_absent(block)) {
        if (p.has_pods || !p.any_pod_ns) {
            return invalid(obj, "ipBlock cannot stand beside podSelector or namespaceSelector");
        }
        TRY(read_block(a, block, &p));
    } else if (!p.has_pods && p.any_pod_ns) {
        return invalid(obj, "a peer needs podSelector, namespaceSelector or ipBlock");
    }
    TRY(selector_read(a, pods, "podSelector", &p.pods));
    TRY(selector_read(a, namespaces, "namespaceSelector", &p.namespaces));
    *out = p;
    return OK;
}

static struct err list_length(const struct json *list, const char *what, size_t max, size_t *n)
{
    *n = 0;
    if (is_absent(list)) {
        return OK;
    }
    if (!json_is(list, JSON_ARRAY) || list->n > max) {
        return err_make_at(ERR_INVALID, list->line, list->col, "%s must be a list of at most %zu",
                           what, max);
    }
    *n = list->n;
    return OK;
}

static struct err read_rule(struct arena *a, const struct json *obj, enum netpol_direction dir,
                            struct netpol_rule *out)
{
    static const char *const known[2][3] = {{"from", "ports", NULL}, {"to", "ports", NULL}};
    const char *peers_key = known[dir][0];
    TRY(check_fields(obj, dir == NETPOL_INGRESS ? "an ingress rule" : "an egress rule",
                     known[dir]));
    const struct json *peers = json_get(obj, peers_key), *ports = json_get(obj, "ports");
    struct netpol_rule r = {.line = obj->line};
    TRY(list_length(peers, peers_key, NETPOL_PEERS_MAX, &r.n_peers));
    TRY(list_length(ports, "ports", NETPOL_PORTS_MAX, &r.n_ports));
    r.peers = arena_array(a, struct netpol_peer, r.n_peers);
    r.ports = arena_array(a, struct netpol_port, r.n_ports);
    for (size_t i = 0; i < r.n_peers; i++) {
        TRY(read_peer(a, peers->items[i], &r.peers[i]));
    }
    for (size_t i = 0; i < r.n_ports; i++) {
        TRY(read_port(ports->items[i], &r.ports[i]));
    }
    *out = r;
    return OK;
}

static struct err read_rules(struct arena *a, const struct json *list, enum netpol_direction dir,
                             struct netpol_policy *p)
{
    TRY(list_length(list, dir == NETPOL_INGRESS ? "spec.ingress" : "spec.egress", NETPOL_RULES_MAX,
                    &p->n_rules[dir]));
    p->rules[dir] = arena_array(a, struct netpol_rule, p->n_rules[dir]);
    for (size_t i = 0; i < p->n_rules[dir]; i++) {
        TRY(read_rule(a, list->items[i], dir, &p->rules[dir][i]));
    }
    return OK;
}

/* Absent or empty types: ingress always, egress when the spec has egress rules. */
static struct err read_types(const struct json *list, struct netpol_policy *p)
{
    size_t n;
    TRY(list_length(list, "spec.policyTypes", 2, &n));
    for (size_t i = 0; i < n; i++) {
        struct str name = json_str(list->items[i]);
        if (!str_is(name, "Ingress") && !str_is(name, "Egress")) {
            return invalid(list->items[i], "spec.policyTypes takes Ingress and Egress");
        }
        p->types[str_is(name, "Egress") ? NETPOL_EGRESS : NETPOL_INGRESS] = true;
    }
    if (n == 0) {
        p->types[NETPOL_INGRESS] = true;
        p->types[NETPOL_EGRESS] = p->n_rules[NETPOL_EGRESS] > 0;
    }
    return OK;
}

struct err netpol_policy_read(struct arena *a, const struct json *doc, struct netpol_policy *out)
{
    static const char *const known[] = {"podSelector", "ingress", "egress", "policyTypes", NULL};
    static const char *const top[] = {"apiVersion", "kind", "metadata", "spec", "status", NULL};
    TRY(check_fields(doc, "a NetworkPolicy", top));
    const struct json *meta = json_get(doc, "metadata"), *spec = json_get(doc, "spec");
    struct netpol_policy p = {.ns = json_str(json_get(meta, "namespace")),
                              .name = json_str(json_get(meta, "name")),
                              .place.line = doc->line};
    if (p.name.n == 0) {
        return invalid(doc, "a NetworkPolicy needs metadata.name");
    }
    p.ns = p.ns.n > 0 ? p.ns : S("default");
    if (is_absent(spec)) {
        return invalid(doc, "a NetworkPolicy needs spec");
    }
    TRY(check_fields(spec, "spec", known));
    TRY(selector_read(a, json_get(spec, "podSelector"), "spec.podSelector", &p.pods));
    TRY(read_rules(a, json_get(spec, "ingress"), NETPOL_INGRESS, &p));
    TRY(read_rules(a, json_get(spec, "egress"), NETPOL_EGRESS, &p));
    TRY(read_types(json_get(spec, "policyTypes"), &p));
    *out = p;
    return OK;
}
