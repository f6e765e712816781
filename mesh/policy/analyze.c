/*
 * A static look over policies: what cannot work, and what works otherwise than it reads. Codes
 * IST... are those of istioctl analyze; SXM... are findings that it does not make.
 */
#include "policy_priv.h"

struct analysis {
    struct arena *arena;
    const struct mesh_policies *all;
    const struct mesh_surroundings *around;
    struct mesh_finding *items;
    size_t n, cap;
};

static void add(struct analysis *x, const char *code, int level, const char *kind,
                const struct mesh_object *o, unsigned line, struct str text)
{
    x->items = arena_grow(x->arena, x->items, x->n, x->n + 1, &x->cap, sizeof(*x->items));
    struct mesh_finding *f = &x->items[x->n++];
    *f = (struct mesh_finding){.code = code, .line = line, .text = text};
    f->level = level;
    f->resource = arena_printf(x->arena, "%s %.*s/%.*s", kind, STR_FMT(o->ns), STR_FMT(o->name));
}

/* IST0127 */
static void check_selects(struct analysis *x, const char *kind, const struct mesh_object *o)
{
    struct str root = x->all->config.root_namespace;
    bool wanted = o->selector.given || !str_eq(o->ns, root);
    if (x->around->n_workloads == 0 || o->selector.target_refs || !wanted) {
        return;
    }
    for (size_t i = 0; i < x->around->n_workloads; i++) {
        if (mesh_object_selects(o, root, &x->around->workloads[i].workload)) {
            return;
        }
    }
    add(x, "IST0127", MESH_WARNING, kind, o, o->line,
        S("no workload has the labels that the policy selects; check the selector and the "
          "namespace"));
}

static bool namespace_known(const struct analysis *x, struct str name)
{
    for (size_t i = 0; i < x->around->n_namespaces; i++) {
        if (str_eq(x->around->namespaces[i], name)) {
            return true;
        }
    }
    return x->around->n_namespaces == 0 || str_find_char(name, '*') != STR_NPOS;
}

/* IST0101 */
static void check_namespaces(struct analysis *x, const struct mesh_authz *p,
                             const struct mesh_rule *r, const struct mesh_values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        if (!namespace_known(x, v->items[i].text)) {
            add(x, "IST0101", MESH_ERROR, "AuthorizationPolicy", &p->object, r->line,
                arena_printf(x->arena, "namespace %.*s does not exist", STR_FMT(v->items[i].text)));
        }
    }
}

/* SXM0004: a client may send the port, and then an exact host is another one. */
static void check_hosts(struct analysis *x, const struct mesh_authz *p, const struct mesh_rule *r,
                        const struct mesh_values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        bool covered =
            v->items[i].kind != PATTERN_EXACT || str_find_char(v->items[i].text, ':') != STR_NPOS;
        for (size_t k = 0; k < v->n && !covered; k++) {
            struct str t = v->items[k].text;
            covered = v->items[k].kind == PATTERN_PREFIX && str_starts(t, v->items[i].text) &&
                      t.n == v->items[i].text.n + 1 && t.p[t.n - 1] == ':';
        }
        if (!covered) {
            add(x, "SXM0004", MESH_WARNING, "AuthorizationPolicy", &p->object, r->line,
                arena_printf(x->arena,
                             "host %.*s does not match when the client sends a port; add '%.*s:*'",
                             STR_FMT(v->items[i].text), STR_FMT(v->items[i].text)));
        }
    }
}

/* SXM0005 */
static void check_paths(struct analysis *x, const struct mesh_authz *p, const struct mesh_rule *r,
                        const struct mesh_values *v)
{
    for (size_t i = 0; i < v->n; i++) {
        if (v->items[i].envoy_template && p->action == ACTION_DENY) {
            add(x, "SXM0005", MESH_WARNING, "AuthorizationPolicy", &p->object, r->line,
                arena_printf(x->arena,
                             "path template %.*s does not match a segment that holds '=' or '*' in "
                             "Envoy's reading, so the DENY can be slipped past",
                             STR_FMT(v->items[i].text)));
        }
    }
}

static void check_clause(struct analysis *x, const struct mesh_authz *p, const struct mesh_rule *r,
                         const struct mesh_clause *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct mesh_cond *cond = &c->conds[i];
        if (cond->field == FIELD_NAMESPACE) {
            check_namespaces(x, p, r, &cond->any);
            check_namespaces(x, p, r, &cond->none);
        } else if (cond->field == FIELD_HOST) {
            check_hosts(x, p, r, &cond->any);
        } else if (cond->field == FIELD_PATH) {
            check_paths(x, p, r, &cond->any);
        }
    }
}

/* SXM0003: "not X" holds for a peer without any identity. */
static void check_negatives(struct analysis *x, const struct mesh_authz *p,
                            const struct mesh_rule *r)
{
    for (size_t i = 0; i < r->n_from && p->action == ACTION_ALLOW; i++) {
        bool negative = false, positive = false;
        for (size_t k = 0; k < r->from[i].n; k++) {
            bool identity = mesh_field_is_identity(r->from[i].conds[k].field);
            negative = negative || (identity && r->from[i].conds[k].none.n > 0);
            positive = positive || (identity && r->from[i].conds[k].any.n > 0);
        }
        if (negative && !positive) {
            add(x, "SXM0003", MESH_WARNING, "AuthorizationPolicy", &p->object, r->line,
                S("a source with only not-fields of identity also admits peers without any; add "
                  "principals: [\"*\"]"));
        }
    }
}

static bool rule_uses_identity(const struct mesh_rule *r)
{
    for (size_t i = 0; i < r->n_from; i++) {
        for (size_t k = 0; k < r->from[i].n; k++) {
            if (mesh_field_is_identity(r->from[i].conds[k].field) &&
                r->from[i].conds[k].any.n > 0) {
                return true;
            }
        }
    }
    return false;
}

/* SXM0001, SXM0002: against each workload that the policy selects. */
static void check_on_workload(struct analysis *x, const struct mesh_authz *p,
                              const struct mesh_rule *r, const struct mesh_workload_info *w)
{
    const struct mesh_set *set = mesh_policies_for(x->arena, x->all, &w->workload);
    if (r->needs_http && w->n_tcp_ports > 0) {
        add(x, "SXM0001", MESH_WARNING, "AuthorizationPolicy", &p->object, r->line,
            arena_printf(
                x->arena,
                "the rule needs HTTP, but port %u of %.*s carries TCP: there the rule is %s",
                w->tcp_ports[0], STR_FMT(w->name),
                p->action == ACTION_ALLOW ? "left out, so it allows nothing"
                                          : "enforced without its HTTP parts, so it matches more"));
    }
    if (rule_uses_identity(r) && mesh_mtls_mode(set, 0) != MESH_MTLS_STRICT &&
        p->action == ACTION_DENY) {
        add(x, "SXM0002", MESH_WARNING, "AuthorizationPolicy", &p->object, r->line,
            arena_printf(x->arena,
                         "%.*s takes plaintext (mTLS is %s); a peer passes this DENY by sending no "
                         "identity",
                         STR_FMT(w->name), mesh_mtls_mode_name(mesh_mtls_mode(set, 0))));
    }
}

/* SXM0006 */
static void check_provider(struct analysis *x, const struct mesh_authz *p)
{
    for (size_t i = 0; i < x->all->config.n_providers; i++) {
        if (str_eq(x->all->config.providers[i].name, p->provider)) {
            return;
        }
    }
    add(x, "SXM0006", MESH_ERROR, "AuthorizationPolicy", &p->object, p->object.line,
        arena_printf(x->arena,
                     "provider %.*s is not configured: every request that matches is denied",
                     STR_FMT(p->provider)));
}

static void check_authz(struct analysis *x, const struct mesh_authz *p)
{
    check_selects(x, "AuthorizationPolicy", &p->object);
    if (p->action == ACTION_CUSTOM) {
        check_provider(x, p);
    }
    for (size_t r = 0; r < p->n_rules; r++) {
        const struct mesh_rule *rule = &p->rules[r];
        check_negatives(x, p, rule);
        for (size_t i = 0; i < rule->n_from; i++) {
            check_clause(x, p, rule, &rule->from[i]);
        }
        for (size_t i = 0; i < rule->n_to; i++) {
            check_clause(x, p, rule, &rule->to[i]);
        }
        check_clause(x, p, rule, &rule->when);
        for (size_t i = 0; i < x->around->n_workloads; i++) {
            if (mesh_object_selects(&p->object, x->all->config.root_namespace,
                                    &x->around->workloads[i].workload)) {
                check_on_workload(x, p, rule, &x->around->workloads[i]);
            }
        }
    }
}

void mesh_policies_analyze(struct arena *a, const struct mesh_policies *all,
                           const struct mesh_surroundings *around, struct mesh_finding **findings,
                           size_t *n)
{
    struct analysis x = {.arena = a, .all = all, .around = around};
    for (size_t i = 0; i < all->n_authz; i++) {
        check_authz(&x, all->authz[i]);
    }
    for (size_t i = 0; i < all->n_peer; i++) {
        check_selects(&x, "PeerAuthentication", &all->peer[i]->object);
    }
    for (size_t i = 0; i < all->n_request; i++) {
        check_selects(&x, "RequestAuthentication", &all->request[i]->object);
    }
    *findings = x.items;
    *n = x.n;
}
