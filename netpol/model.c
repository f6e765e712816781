#include "model.h"

const char *netpol_proto_name(enum netpol_proto p)
{
    switch (p) {
    case NETPOL_ICMP:
        return "ICMP";
    case NETPOL_TCP:
        return "TCP";
    case NETPOL_UDP:
        return "UDP";
    case NETPOL_SCTP:
        return "SCTP";
    }
    return "?";
}

struct err netpol_proto_parse(struct str s, enum netpol_proto *out)
{
    static const enum netpol_proto all[] = {NETPOL_TCP, NETPOL_UDP, NETPOL_SCTP};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (str_eq_nocase(s, str_of(netpol_proto_name(all[i])))) {
            *out = all[i];
            return OK;
        }
    }
    FAIL(ERR_INVALID, "'%.*s' is not a protocol; write TCP, UDP or SCTP", STR_FMT(s));
}

struct netpol_model *netpol_model_new(struct arena *a)
{
    struct netpol_model *m = arena_new(a, struct netpol_model);
    m->arena = a;
    map_init(&m->namespaces);
    map_init(&m->pod_names);
    map_init(&m->pod_ips);
    map_init(&m->policy_names);
    return m;
}

void netpol_model_release(struct netpol_model *m)
{
    map_release(&m->namespaces);
    map_release(&m->pod_names);
    map_release(&m->pod_ips);
    map_release(&m->policy_names);
}

static struct str ip_key(const struct ip *ip)
{
    return str_n(ip, sizeof(*ip));
}

static struct str namespace_of(const struct json *meta)
{
    struct str ns = json_str(json_get(meta, "namespace"));
    return ns.n > 0 ? ns : S("default");
}

static struct err add_namespace(struct netpol_model *m, const struct json *doc)
{
    const struct json *meta = json_get(doc, "metadata");
    struct netpol_namespace *ns = arena_new(m->arena, struct netpol_namespace);
    ns->name = json_str(json_get(meta, "name"));
    if (ns->name.n == 0) {
        return err_make_at(ERR_INVALID, doc->line, doc->col, "a Namespace needs metadata.name");
    }
    TRY(labels_read(m->arena, json_get(meta, "labels"), &ns->labels));
    labels_default(m->arena, &ns->labels, S("kubernetes.io/metadata.name"), ns->name);
    if (map_get(&m->namespaces, ns->name) != NULL) {
        return err_make_at(ERR_EXISTS, doc->line, doc->col, "Namespace %.*s is there twice",
                           STR_FMT(ns->name));
    }
    map_set(&m->namespaces, ns->name, ns);
    return OK;
}

static struct err read_container_port(const struct json *obj, struct netpol_container_port *out)
{
    struct netpol_container_port p = {.name = json_str(json_get(obj, "name")), .proto = NETPOL_TCP};
    const struct json *proto = json_get(obj, "protocol");
    uint64_t number;
    if (proto != NULL) {
        TRY(netpol_proto_parse(json_str(proto), &p.proto));
    }
    if (failed(json_u64(json_get(obj, "containerPort"), &number)) || number < 1 || number > 65535) {
        return err_make_at(ERR_INVALID, obj->line, obj->col,
                           "containerPort must be a number from 1 to 65535");
    }
    p.number = (uint16_t)number;
    *out = p;
    return OK;
}

static struct err read_containers(struct netpol_model *m, const struct json *list,
                                  struct netpol_pod *pod)
{
    size_t cap = pod->n_ports;
    for (uint32_t c = 0; json_is(list, JSON_ARRAY) && c < list->n; c++) {
        const struct json *ports = json_get(list->items[c], "ports");
        for (uint32_t i = 0; json_is(ports, JSON_ARRAY) && i < ports->n; i++) {
            ENSURE(pod->n_ports < NETPOL_PORTS_MAX, ERR_LIMIT, "more than %d ports",
                   NETPOL_PORTS_MAX);
            pod->ports = arena_grow(m->arena, pod->ports, pod->n_ports, pod->n_ports + 1, &cap,
                                    sizeof(*pod->ports));
            TRY(read_container_port(ports->items[i], &pod->ports[pod->n_ports]));
            pod->n_ports++;
        }
    }
    return OK;
}

static struct err add_pod_ip(struct netpol_pod *pod, struct str text)
{
    struct ip ip;
    TRY(ip_parse(text, &ip));
    for (size_t i = 0; i < pod->n_ips; i++) {
        if (ip_eq(&pod->ips[i], &ip)) {
            return OK; /* podIP repeats the first of podIPs */
        }
        ENSURE(pod->ips[i].family != ip.family, ERR_INVALID,
               "a pod has at most one address of each family");
    }
    pod->ips[pod->n_ips++] = ip;
    return OK;
}

static struct err read_pod_ips(const struct json *status, struct netpol_pod *pod)
{
    struct str phase = json_str(json_get(status, "phase"));
    if (str_is(phase, "Succeeded") || str_is(phase, "Failed")) {
        return OK; /* its address may be another pod's by now */
    }
    const struct json *list = json_get(status, "podIPs");
    if (json_get(status, "podIP") != NULL) {
        TRY(add_pod_ip(pod, json_str(json_get(status, "podIP"))));
    }
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        TRY(add_pod_ip(pod, json_str(json_get(list->items[i], "ip"))));
    }
    return OK;
}

static struct err register_pod(struct netpol_model *m, struct netpol_pod *pod)
{
    struct str key = arena_printf(m->arena, "%.*s/%.*s", STR_FMT(pod->ns), STR_FMT(pod->name));
    ENSURE(m->n_pods < NETPOL_PODS_MAX, ERR_LIMIT, "more than %d pods", NETPOL_PODS_MAX);
    ENSURE(map_get(&m->pod_names, key) == NULL, ERR_EXISTS, "Pod %.*s is there twice",
           STR_FMT(key));
    for (size_t i = 0; i < pod->n_ips && !pod->host_network; i++) {
        const struct netpol_pod *other = map_set(&m->pod_ips, ip_key(&pod->ips[i]), pod);
        ENSURE(other == NULL, ERR_EXISTS, "pods %.*s and %.*s/%.*s have the same address",
               STR_FMT(key), STR_FMT(other->ns), STR_FMT(other->name));
    }
    map_set(&m->pod_names, key, pod);
    pod->index = m->n_pods;
    m->pods = arena_grow(m->arena, m->pods, m->n_pods, m->n_pods + 1, &m->cap_pods,
                         sizeof(struct netpol_pod *));
    m->pods[m->n_pods++] = pod;
    return OK;
}

static struct err add_pod(struct netpol_model *m, const struct json *doc, struct str file)
{
    const struct json *meta = json_get(doc, "metadata"), *spec = json_get(doc, "spec");
    struct netpol_pod *pod = arena_new(m->arena, struct netpol_pod);
    pod->ns = namespace_of(meta);
    pod->name = json_str(json_get(meta, "name"));
    pod->place = (struct netpol_place){file, doc->line};
    pod->host_network = json_true(json_get(spec, "hostNetwork"));
    ENSURE(pod->name.n > 0, ERR_INVALID, "a Pod needs metadata.name");
    TRY(labels_read(m->arena, json_get(meta, "labels"), &pod->labels));
    TRY(read_containers(m, json_get(spec, "containers"), pod));
    TRY(read_pod_ips(json_get(doc, "status"), pod));
    return register_pod(m, pod);
}

static struct err add_policy(struct netpol_model *m, const struct json *doc, struct str file)
{
    struct netpol_policy *p = arena_new(m->arena, struct netpol_policy);
    ENSURE(m->n_policies < NETPOL_POLICIES_MAX, ERR_LIMIT, "more than %d policies",
           NETPOL_POLICIES_MAX);
    TRY(netpol_policy_read(m->arena, doc, p));
    p->place.file = file;
    struct str key = arena_printf(m->arena, "%.*s/%.*s", STR_FMT(p->ns), STR_FMT(p->name));
    ENSURE(map_get(&m->policy_names, key) == NULL, ERR_EXISTS, "NetworkPolicy %.*s is there twice",
           STR_FMT(key));
    map_set(&m->policy_names, key, p);
    m->policies = arena_grow(m->arena, m->policies, m->n_policies, m->n_policies + 1,
                             &m->cap_policies, sizeof(struct netpol_policy *));
    m->policies[m->n_policies++] = p;
    return OK;
}

static struct err add_object(struct netpol_model *m, const struct json *doc, struct str file)
{
    struct str kind = json_str(json_get(doc, "kind")), api = json_str(json_get(doc, "apiVersion"));
    if (str_is(kind, "NetworkPolicy") && str_starts(api, S("networking.k8s.io/"))) {
        ENSURE(str_is(api, "networking.k8s.io/v1"), ERR_UNSUPPORTED,
               "NetworkPolicy of %.*s; write networking.k8s.io/v1", STR_FMT(api));
        return add_policy(m, doc, file);
    }
    if (str_is(kind, "Pod") && str_is(api, "v1")) {
        return add_pod(m, doc, file);
    }
    if (str_is(kind, "Namespace") && str_is(api, "v1")) {
        return add_namespace(m, doc);
    }
    m->n_ignored++;
    return OK;
}

/* Names the object in front of the detail, whatever went wrong inside. */
static struct err add_named(struct netpol_model *m, const struct json *doc, struct str file)
{
    struct err e = add_object(m, doc, file);
    if (!failed(e)) {
        return arena_exhausted(m->arena) ? err_make(ERR_LIMIT, "the manifests are too big") : OK;
    }
    const struct json *meta = json_get(doc, "metadata");
    return err_wrap(
        e, "%.*s:%u: %.*s %.*s/%.*s", STR_FMT(file), err_line() > 0 ? err_line() : doc->line,
        STR_FMT(json_str(json_get(doc, "kind"))), STR_FMT(json_str(json_get(meta, "namespace"))),
        STR_FMT(json_str(json_get(meta, "name"))));
}

struct err netpol_model_add(struct netpol_model *m, const struct json *doc, struct str file)
{
    BUG_ON(m->sealed);
    if (json_is(doc, JSON_NULL)) {
        return OK; /* an empty document between two separators */
    }
    if (!json_is(doc, JSON_OBJECT)) {
        return err_make_at(ERR_INVALID, doc->line, doc->col, "%.*s:%u: not a Kubernetes object",
                           STR_FMT(file), doc->line);
    }
    const struct json *items = json_get(doc, "items");
    if (!str_ends(json_str(json_get(doc, "kind")), S("List")) || !json_is(items, JSON_ARRAY)) {
        return add_named(m, doc, file);
    }
    for (uint32_t i = 0; i < items->n; i++) {
        TRY(add_named(m, items->items[i], file));
    }
    return OK;
}

bool netpol_peer_has_ip(const struct netpol_peer *p, const struct ip *ip)
{
    if (!ip_in_block(ip, &p->block)) {
        return false;
    }
    for (size_t i = 0; i < p->n_except; i++) {
        if (ip_in_block(ip, &p->except[i])) {
            return false;
        }
    }
    return true;
}

static const struct netpol_namespace *namespace_named(struct netpol_model *m, struct str name)
{
    struct netpol_namespace *ns = map_get(&m->namespaces, name);
    if (ns == NULL) {
        ns = arena_new(m->arena, struct netpol_namespace);
        ns->name = name;
        labels_default(m->arena, &ns->labels, S("kubernetes.io/metadata.name"), name);
        map_set(&m->namespaces, name, ns);
    }
    return ns;
}

/* Pods that carry one label with one value. */
struct posting {
    size_t *pods;
    size_t n, cap;
};

/* What sealing needs besides the model: pods by label, and namespaces by number. */
struct sealer {
    struct netpol_model *m;
    struct map by_label; /* "key NUL value" to struct posting */
    bool *ns_matches;    /* by namespace number, for the peer at hand */
};

static struct str label_key(struct arena *a, struct str key, struct str value)
{
    char *p = arena_alloc_raw(a, key.n + value.n + 1, 1);
    memcpy(p, key.p, key.n);
    p[key.n] = '\0';
    if (value.n > 0) {
        memcpy(p + key.n + 1, value.p, value.n);
    }
    return str_n(p, key.n + value.n + 1);
}

static void index_labels(struct sealer *s)
{
    for (size_t i = 0; i < s->m->n_pods; i++) {
        const struct labels *l = &s->m->pods[i]->labels;
        for (size_t k = 0; k < l->n; k++) {
            struct str key = label_key(s->m->arena, l->items[k].key, l->items[k].value);
            struct posting *p = map_get(&s->by_label, key);
            if (p == NULL) {
                p = arena_new(s->m->arena, struct posting);
                map_set(&s->by_label, key, p);
            }
            p->pods = arena_grow(s->m->arena, p->pods, p->n, p->n + 1, &p->cap, sizeof(*p->pods));
            p->pods[p->n++] = i;
        }
    }
}

typedef void (*on_pod)(void *ctx, const struct netpol_pod *pod);

/* Calls back for every pod that the selector matches: few candidates when some term names values. */
static void each_match(struct sealer *s, const struct selector *sel, on_pod fn, void *ctx)
{
    const struct selector_term *narrow = NULL;
    for (size_t i = 0; i < sel->n; i++) {
        if (sel->terms[i].op == SELECTOR_IN &&
            (narrow == NULL || sel->terms[i].n_values < narrow->n_values)) {
            narrow = &sel->terms[i];
        }
    }
    for (size_t i = 0; narrow == NULL && i < s->m->n_pods; i++) {
        if (selector_matches(sel, &s->m->pods[i]->labels)) {
            fn(ctx, s->m->pods[i]);
        }
    }
    for (size_t v = 0; narrow != NULL && v < narrow->n_values; v++) {
        const struct posting *p =
            map_get(&s->by_label, label_key(s->m->arena, narrow->key, narrow->values[v]));
        for (size_t i = 0; p != NULL && i < p->n; i++) {
            if (selector_matches(sel, &s->m->pods[p->pods[i]]->labels)) {
                fn(ctx, s->m->pods[p->pods[i]]);
            }
        }
    }
}

struct collector {
    const struct sealer *s;
    uint64_t *bits;
    struct str own_ns; /* when set: only this namespace; else those of ns_matches */
};

static void collect(void *ctx, const struct netpol_pod *pod)
{
    struct collector *c = ctx;
    bool in = c->own_ns.n > 0 ? str_eq(pod->ns, c->own_ns) : c->s->ns_matches[pod->in->number];
    if (in && !pod->host_network) {
        bit_set(c->bits, pod->index);
    }
}

static void seal_block(struct netpol_model *m, struct netpol_peer *peer)
{
    for (size_t p = 0; p < m->n_pods; p++) {
        for (size_t i = 0; i < m->pods[p]->n_ips; i++) {
            if (netpol_peer_has_ip(peer, &m->pods[p]->ips[i])) {
                bit_set(peer->matched, p);
            }
        }
    }
}

static void seal_peer(struct sealer *s, const struct netpol_policy *policy,
                      struct netpol_peer *peer)
{
    struct map_entry *e;
    peer->matched = arena_array(s->m->arena, uint64_t, s->m->words);
    if (peer->is_block) {
        seal_block(s->m, peer);
        return;
    }
    for (size_t i = 0; !peer->any_pod_ns && (e = map_at(&s->m->namespaces, &i)) != NULL;) {
        const struct netpol_namespace *ns = e->value;
        s->ns_matches[ns->number] = selector_matches(&peer->namespaces, &ns->labels);
    }
    struct collector c = {s, peer->matched, peer->any_pod_ns ? policy->ns : STR_EMPTY};
    each_match(s, &peer->pods, collect, &c);
}

static void seal_policy(struct sealer *s, struct netpol_policy *policy)
{
    policy->selected = arena_array(s->m->arena, uint64_t, s->m->words);
    struct collector c = {s, policy->selected, policy->ns};
    each_match(s, &policy->pods, collect, &c);
    for (int dir = 0; dir < 2; dir++) {
        for (size_t r = 0; r < policy->n_rules[dir]; r++) {
            for (size_t i = 0; i < policy->rules[dir][r].n_peers; i++) {
                seal_peer(s, policy, &policy->rules[dir][r].peers[i]);
            }
        }
    }
}

static void seal_isolation(struct netpol_model *m, enum netpol_direction dir)
{
    size_t *caps = arena_array(m->arena, size_t, m->n_pods);
    m->isolating[dir] = arena_array(m->arena, const struct netpol_policy **, m->n_pods);
    m->n_isolating[dir] = arena_array(m->arena, size_t, m->n_pods);
    for (size_t p = 0; p < m->n_policies; p++) {
        for (size_t i = 0;
             m->policies[p]->types[dir] && bit_next(m->policies[p]->selected, m->words, &i); i++) {
            size_t n = m->n_isolating[dir][i]++;
            m->isolating[dir][i] = arena_grow(m->arena, m->isolating[dir][i], n, n + 1, &caps[i],
                                              sizeof(struct netpol_policy *));
            m->isolating[dir][i][n] = m->policies[p];
        }
    }
}

static struct err seal_policies(struct netpol_model *m)
{
    struct sealer s = {.m = m};
    size_t number = 0;
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&m->namespaces, &i)) != NULL;) {
        ((struct netpol_namespace *)e->value)->number = number++;
    }
    s.ns_matches = arena_array(m->arena, bool, number);
    map_init(&s.by_label);
    index_labels(&s);
    for (size_t i = 0; i < m->n_policies && !arena_exhausted(m->arena); i++) {
        seal_policy(&s, m->policies[i]);
    }
    map_release(&s.by_label);
    return arena_exhausted(m->arena)
               ? err_make(ERR_LIMIT, "the policies need more memory than allowed")
               : OK;
}

struct err netpol_model_seal(struct netpol_model *m)
{
    BUG_ON(m->sealed);
    m->words = m->n_pods / 64 + 1;
    for (size_t i = 0; i < m->n_pods; i++) {
        m->pods[i]->in = namespace_named(m, m->pods[i]->ns);
    }
    TRY(seal_policies(m));
    seal_isolation(m, NETPOL_INGRESS);
    seal_isolation(m, NETPOL_EGRESS);
    ENSURE(!arena_exhausted(m->arena), ERR_LIMIT, "the policies need more memory than allowed");
    m->sealed = true;
    return OK;
}

const struct netpol_pod *netpol_model_pod(const struct netpol_model *m, struct str ns_name)
{
    return map_get(&m->pod_names, ns_name);
}

const struct netpol_pod *netpol_model_pod_at(const struct netpol_model *m, const struct ip *ip)
{
    return map_get(&m->pod_ips, ip_key(ip));
}
