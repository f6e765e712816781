#include "compile.h"

#include "disjoint.h"

/* What one compilation carries around. */
struct compiler {
    struct arena *arena;
    const struct netpol_model *m;
    struct netpol_ruleset *out;
    uint32_t *class_of; /* by pod index; from 1 */
    size_t *sample;     /* a pod of each class, by class */
    uint32_t n_classes;
};

/* --- classes: pods with the same list of properties ------------------------------------------- */

/* What tells a pod apart: the numbers of the peers that match it, and of what it calls by a port name. */
struct traits {
    uint32_t *items;
    size_t n, cap;
};

static void add_trait(struct compiler *c, struct traits *t, uint32_t trait)
{
    t->items = arena_grow(c->arena, t->items, t->n, t->n + 1, &t->cap, sizeof(*t->items));
    t->items[t->n++] = trait;
}

static void add_peer(struct compiler *c, struct traits *pods, const struct netpol_peer *peer,
                     uint32_t number)
{
    for (size_t i = 0; bit_next(peer->matched, c->m->words, &i); i++) {
        add_trait(c, &pods[i], number);
    }
}

/* Pods that resolve a port name of an egress rule differently must not share a class. */
static void add_port_name(struct compiler *c, struct traits *pods, const struct netpol_port *port,
                          uint32_t number)
{
    for (size_t i = 0; i < c->m->n_pods; i++) {
        const struct netpol_pod *pod = c->m->pods[i];
        for (size_t p = 0; p < pod->n_ports; p++) {
            if (pod->ports[p].proto == port->proto && str_eq(pod->ports[p].name, port->name)) {
                add_trait(c, &pods[i], number);
                add_trait(c, &pods[i], pod->ports[p].number);
            }
        }
    }
}

static void add_rule(struct compiler *c, struct traits *pods, const struct netpol_rule *rule,
                     int dir, uint32_t *number)
{
    for (size_t i = 0; i < rule->n_peers; i++) {
        if (!rule->peers[i].is_block) {
            add_peer(c, pods, &rule->peers[i], ++*number);
        }
    }
    for (size_t i = 0; dir == NETPOL_EGRESS && i < rule->n_ports; i++) {
        if (rule->ports[i].name.n > 0) {
            add_port_name(c, pods, &rule->ports[i], ++*number);
        }
    }
}

/* One class for each list of traits that occurs, in the order of the pods. */
static void number_classes(struct compiler *c, const struct traits *pods)
{
    struct map classes;
    map_init(&classes);
    c->class_of = arena_array(c->arena, uint32_t, c->m->n_pods);
    c->sample = arena_array(c->arena, size_t, c->m->n_pods + 1);
    for (size_t i = 0; i < c->m->n_pods; i++) {
        struct str key = str_n(pods[i].items, pods[i].n * sizeof(pods[i].items[0]));
        uintptr_t class = (uintptr_t)map_get(&classes, key);
        if (class == 0) {
            class = ++c->n_classes;
            map_set(&classes, key, (void *)class);
            c->sample[class] = i;
        }
        c->class_of[i] = (uint32_t) class;
    }
    map_release(&classes);
}

static void make_classes(struct compiler *c)
{
    const struct netpol_model *m = c->m;
    struct traits *pods = arena_array(c->arena, struct traits, m->n_pods);
    uint32_t number = 0;
    for (size_t p = 0; p < m->n_policies; p++) {
        for (int dir = 0; dir < 2; dir++) {
            for (size_t r = 0; m->policies[p]->types[dir] && r < m->policies[p]->n_rules[dir];
                 r++) {
                add_rule(c, pods, &m->policies[p]->rules[dir][r], dir, &number);
            }
        }
    }
    number_classes(c, pods);
}

static int compare_classes(const void *a, const void *b)
{
    const struct netpol_class *x = a, *y = b;
    return ip_cmp(&x->ip, &y->ip);
}

static void put_classes(struct compiler *c)
{
    struct netpol_ruleset *out = c->out;
    for (int f = 0; f < FAMILY_MAX; f++) {
        out->classes[f] = arena_array(c->arena, struct netpol_class, c->m->n_pods);
    }
    for (size_t i = 0; i < c->m->n_pods; i++) {
        const struct netpol_pod *pod = c->m->pods[i];
        for (size_t a = 0; a < pod->n_ips && !pod->host_network; a++) {
            enum netpol_family f = pod->ips[a].family == 4 ? FAMILY_4 : FAMILY_6;
            out->classes[f][out->n_classes[f]++] =
                (struct netpol_class){pod->ips[a], c->class_of[i]};
        }
    }
    for (int f = 0; f < FAMILY_MAX; f++) {
        qsort(out->classes[f], out->n_classes[f], sizeof(*out->classes[f]), compare_classes);
        out->n_elements += out->n_classes[f];
    }
}

/* --- elements -------------------------------------------------------------------------------- */

static void put(struct compiler *c, enum netpol_shape shape, int dir, const struct netpol_elem *e)
{
    struct netpol_set *s = &c->out->sets[shape][dir][e->own.family == 4 ? FAMILY_4 : FAMILY_6];
    if (c->out->n_elements >= NETPOL_ELEMENTS_MAX || arena_exhausted(c->arena)) {
        return; /* the caller sees both and fails */
    }
    s->items = arena_grow(c->arena, s->items, s->n, s->n + 1, &s->cap, sizeof(*s->items));
    s->items[s->n++] = *e;
    c->out->n_elements++;
}

/* One own address under one rule with one entry of ports (NULL: any port). */
struct site {
    int dir;
    const struct netpol_pod *pod;
    const struct netpol_port *port;
    struct netpol_elem e; /* own, and later the ports */
};

static void put_for_any(struct compiler *c, struct site *s)
{
    if (s->port == NULL) {
        put(c, SHAPE_ANY, s->dir, &s->e);
    } else if (s->e.first == s->e.last) {
        put(c, SHAPE_ANY_PORT, s->dir, &s->e);
    } else {
        struct ip_block all = {.addr.family = s->e.own.family};
        s->e.lo = ip_block_first(&all);
        s->e.hi = ip_block_last(&all);
        put(c, SHAPE_BLOCK_RANGE, s->dir, &s->e);
    }
}

static void put_for_class(struct compiler *c, struct site *s, uint32_t class)
{
    s->e.class = class;
    enum netpol_shape shape = s->port == NULL           ? SHAPE_CLASS
                              : s->e.first == s->e.last ? SHAPE_CLASS_PORT
                                                        : SHAPE_CLASS_RANGE;
    put(c, shape, s->dir, &s->e);
    s->e.class = 0;
}

static void put_for_span(struct compiler *c, struct site *s, struct ip lo, struct ip hi)
{
    s->e.lo = lo;
    s->e.hi = hi;
    put(c, s->port == NULL ? SHAPE_BLOCK : SHAPE_BLOCK_RANGE, s->dir, &s->e);
}

/* The block without its exceptions, as spans between them. */
static void put_for_block(struct compiler *c, struct site *s, const struct netpol_peer *peer)
{
    if (peer->block.addr.family != s->e.own.family) {
        return;
    }
    struct ip at = ip_block_first(&peer->block), end = ip_block_last(&peer->block);
    for (;;) {
        const struct ip_block *next =
            NULL; /* the exception that begins first at or after `at`, or holds it */
        for (size_t i = 0; i < peer->n_except; i++) {
            struct ip last = ip_block_last(&peer->except[i]);
            struct ip first = ip_block_first(&peer->except[i]), best;
            if (ip_cmp(&last, &at) < 0) {
                continue;
            }
            if (next != NULL) {
                best = ip_block_first(next);
            }
            if (next == NULL || ip_cmp(&first, &best) < 0) {
                next = &peer->except[i];
            }
        }
        if (next == NULL) {
            put_for_span(c, s, at, end);
            return;
        }
        struct ip first = ip_block_first(next), last = ip_block_last(next);
        if (ip_cmp(&first, &at) > 0) {
            struct ip before = first;
            ip_prev(&before);
            put_for_span(c, s, at, before);
        }
        at = last;
        if (!ip_next(&at) || ip_cmp(&at, &end) > 0) {
            return;
        }
    }
}

/* Peers of a rule, for ports already resolved to numbers (or none). */
static void put_peers(struct compiler *c, struct site *s, const struct netpol_rule *rule)
{
    if (rule->n_peers == 0) {
        put_for_any(c, s);
        return;
    }
    for (size_t i = 0; i < rule->n_peers; i++) {
        const struct netpol_peer *peer = &rule->peers[i];
        if (peer->is_block) {
            put_for_block(c, s, peer);
            continue;
        }
        for (size_t p = 0; bit_next(peer->matched, c->m->words, &p); p++) {
            if (c->sample[c->class_of[p]] == p) { /* its class's first pod stands for all of them */
                put_for_class(c, s, c->class_of[p]);
            }
        }
    }
}

/* Ingress: a port name means a number (or several) of the own pod. */
static void put_own_named(struct compiler *c, struct site *s, const struct netpol_rule *rule)
{
    for (size_t i = 0; i < s->pod->n_ports; i++) {
        const struct netpol_container_port *p = &s->pod->ports[i];
        if (p->proto == s->port->proto && str_eq(p->name, s->port->name)) {
            s->e.first = s->e.last = p->number;
            put_peers(c, s, rule);
        }
    }
}

static bool rule_admits_pod(const struct netpol_rule *rule, const struct netpol_pod *pod,
                            bool blocks)
{
    for (size_t i = 0; i < rule->n_peers; i++) {
        if (rule->peers[i].is_block == blocks && bit_get(rule->peers[i].matched, pod->index)) {
            return true;
        }
    }
    return !blocks && rule->n_peers == 0;
}

/* A block peer reaches a named port only on the pods inside the block. */
static void put_named_in_blocks(struct compiler *c, struct site *s, const struct netpol_rule *rule,
                                const struct netpol_pod *dst, uint16_t number)
{
    s->e.first = s->e.last = number;
    for (size_t a = 0; a < dst->n_ips && !dst->host_network; a++) {
        bool inside = false;
        for (size_t i = 0; i < rule->n_peers && !inside; i++) {
            inside = rule->peers[i].is_block && netpol_peer_has_ip(&rule->peers[i], &dst->ips[a]);
        }
        if (inside && dst->ips[a].family == s->e.own.family) {
            put_for_span(c, s, dst->ips[a], dst->ips[a]);
        }
    }
}

/* Egress: a port name means whatever each destination calls so; alike within a class. */
static void put_peer_named(struct compiler *c, struct site *s, const struct netpol_rule *rule)
{
    for (size_t i = 0; i < c->m->n_pods; i++) {
        const struct netpol_pod *dst = c->m->pods[i];
        for (size_t p = 0; p < dst->n_ports; p++) {
            if (dst->ports[p].proto != s->port->proto ||
                !str_eq(dst->ports[p].name, s->port->name)) {
                continue;
            }
            s->e.first = s->e.last = dst->ports[p].number;
            if (c->sample[c->class_of[i]] == i && rule_admits_pod(rule, dst, false)) {
                put_for_class(c, s, c->class_of[i]);
            }
            if (rule_admits_pod(rule, dst, true)) {
                put_named_in_blocks(c, s, rule, dst, dst->ports[p].number);
            }
        }
    }
}

static void put_port(struct compiler *c, struct site *s, const struct netpol_rule *rule)
{
    s->e.proto = (uint8_t)s->port->proto;
    if (s->port->name.n > 0) {
        if (s->dir == NETPOL_INGRESS) {
            put_own_named(c, s, rule);
        } else {
            put_peer_named(c, s, rule);
        }
        return;
    }
    s->e.first = s->port->first;
    s->e.last = s->port->first == 0 ? 65535 : s->port->last;
    put_peers(c, s, rule);
}

static void put_pod(struct compiler *c, const struct netpol_policy *policy, int dir,
                    const struct netpol_pod *pod)
{
    for (size_t a = 0; a < pod->n_ips; a++) {
        struct netpol_elem own = {.own = pod->ips[a]};
        put(c, SHAPE_ISOLATED, dir, &own);
        for (size_t r = 0; r < policy->n_rules[dir]; r++) {
            const struct netpol_rule *rule = &policy->rules[dir][r];
            struct site s = {.dir = dir, .pod = pod, .e = own};
            if (rule->n_ports == 0) {
                put_peers(c, &s, rule);
            }
            for (size_t p = 0; p < rule->n_ports; p++) {
                s = (struct site){.dir = dir, .pod = pod, .port = &rule->ports[p], .e = own};
                put_port(c, &s, rule);
            }
        }
    }
}

struct err netpol_compile(struct arena *a, const struct netpol_model *m,
                          struct netpol_ruleset **out)
{
    struct compiler c = {.arena = a, .m = m, .out = arena_new(a, struct netpol_ruleset)};
    BUG_ON(!m->sealed);
    make_classes(&c);
    put_classes(&c);
    for (size_t p = 0; p < m->n_policies; p++) {
        for (int dir = 0; dir < 2; dir++) {
            for (size_t i = 0;
                 m->policies[p]->types[dir] && bit_next(m->policies[p]->selected, m->words, &i);
                 i++) {
                put_pod(&c, m->policies[p], dir, m->pods[i]);
            }
        }
    }
    ENSURE(c.out->n_elements < NETPOL_ELEMENTS_MAX && !arena_exhausted(a), ERR_LIMIT,
           "the policies need more than %d set elements", NETPOL_ELEMENTS_MAX);
    netpol_make_disjoint(a, c.out);
    ENSURE(!arena_exhausted(a), ERR_LIMIT, "the policies need more memory than allowed");
    *out = c.out;
    return OK;
}

const char *netpol_shape_name(enum netpol_shape s)
{
    static const char *const names[] = {"isolated",   "any",         "any_port", "class",
                                        "class_port", "class_range", "block",    "block_range"};
    return names[s];
}
