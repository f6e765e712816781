/* Documents to policies, and policies to the set of one workload. */
#include "policy_priv.h"

#include <stdlib.h>

enum kind { KIND_NONE, KIND_AUTHZ, KIND_PEER, KIND_REQUEST };

static enum kind kind_of(const struct json *doc)
{
    struct str api = json_str(json_get(doc, "apiVersion")), kind = json_str(json_get(doc, "kind"));
    if (!str_is(api, "security.istio.io/v1") && !str_is(api, "security.istio.io/v1beta1")) {
        return KIND_NONE;
    }
    return str_is(kind, "AuthorizationPolicy")     ? KIND_AUTHZ
           : str_is(kind, "PeerAuthentication")    ? KIND_PEER
           : str_is(kind, "RequestAuthentication") ? KIND_REQUEST
                                                   : KIND_NONE;
}

static void fill_config(struct arena *a, const struct mesh_config *config,
                        struct mesh_policies *all)
{
    static const struct mesh_config none;
    all->config = config != NULL ? *config : none;
    struct mesh_config *c = &all->config;
    c->root_namespace = c->root_namespace.n > 0 ? c->root_namespace : S("istio-system");
    c->trust_domain = c->trust_domain.n > 0 ? c->trust_domain : S("cluster.local");
    all->trust_domains = arena_array(a, struct str, c->n_trust_domain_aliases + 1);
    all->trust_domains[all->n_trust_domains++] = c->trust_domain;
    for (size_t i = 0; i < c->n_trust_domain_aliases; i++) {
        all->trust_domains[all->n_trust_domains++] = c->trust_domain_aliases[i];
    }
}

static struct err read_doc(struct mesh_reader *r, const struct json *doc, struct mesh_policies *all)
{
    switch (kind_of(doc)) {
    case KIND_AUTHZ:
        all->authz[all->n_authz] = arena_new(r->arena, struct mesh_authz);
        TRY(mesh_read_authz(r, doc, all->authz[all->n_authz]));
        all->n_authz++;
        return OK;
    case KIND_PEER:
        all->peer[all->n_peer] = arena_new(r->arena, struct mesh_peer_auth);
        TRY(mesh_read_peer_auth(r, doc, all->peer[all->n_peer]));
        all->n_peer++;
        return OK;
    case KIND_REQUEST:
        all->request[all->n_request] = arena_new(r->arena, struct mesh_request_auth);
        TRY(mesh_read_request_auth(r, doc, all->request[all->n_request]));
        all->n_request++;
        return OK;
    case KIND_NONE:
        break;
    }
    return OK;
}

/* By age, then name; inside one scope the older counts first (or alone). */
static int compare_objects(const struct mesh_object *a, const struct mesh_object *b)
{
    if (a->created_ns != b->created_ns) {
        return a->created_ns < b->created_ns ? -1 : 1;
    }
    int c = str_cmp(a->name, b->name);
    return c != 0 ? c : str_cmp(a->ns, b->ns);
}

/* Every kind begins with its object. */
static int compare(const void *a, const void *b)
{
    const struct mesh_object *const *x = a, *const *y = b;
    return compare_objects(*x, *y);
}

struct err mesh_policies_load(struct arena *a, struct json *const *docs, size_t n_docs,
                              const struct mesh_config *config, struct mesh_policies **out)
{
    struct mesh_policies *all = arena_new(a, struct mesh_policies);
    struct mesh_reader r = {.arena = a, .all = all};
    ENSURE(n_docs <= MESH_POLICIES_MAX, ERR_LIMIT, "more than %d documents", MESH_POLICIES_MAX);
    all->arena = a;
    fill_config(a, config, all);
    all->authz = arena_array(a, struct mesh_authz *, n_docs);
    all->peer = arena_array(a, struct mesh_peer_auth *, n_docs);
    all->request = arena_array(a, struct mesh_request_auth *, n_docs);
    for (size_t i = 0; i < n_docs; i++) {
        const struct json *meta = json_get(docs[i], "metadata");
        struct err e = read_doc(&r, docs[i], all);
        if (failed(e)) {
            return err_wrap(e, "%.*s %.*s/%.*s line %u",
                            STR_FMT(json_str(json_get(docs[i], "kind"))),
                            STR_FMT(json_str(json_get(meta, "namespace"))),
                            STR_FMT(json_str(json_get(meta, "name"))),
                            err_line() > 0 ? err_line() : docs[i]->line);
        }
        ENSURE(!arena_exhausted(a), ERR_LIMIT, "the policies need more memory than allowed");
    }
    qsort(all->authz, all->n_authz, sizeof(*all->authz), compare);
    qsort(all->peer, all->n_peer, sizeof(*all->peer), compare);
    qsort(all->request, all->n_request, sizeof(*all->request), compare);
    *out = all;
    return OK;
}

size_t mesh_policies_count(const struct mesh_policies *all)
{
    return all->n_authz + all->n_peer + all->n_request;
}

struct err mesh_policy_validate(struct arena *a, const struct json *doc, struct str *warning)
{
    struct mesh_reader r = {.arena = a};
    struct mesh_authz authz = {0};
    struct mesh_peer_auth peer = {0};
    struct mesh_request_auth request = {0};
    switch (kind_of(doc)) {
    case KIND_AUTHZ:
        TRY(mesh_read_authz(&r, doc, &authz));
        break;
    case KIND_PEER:
        TRY(mesh_read_peer_auth(&r, doc, &peer));
        break;
    case KIND_REQUEST:
        TRY(mesh_read_request_auth(&r, doc, &request));
        break;
    case KIND_NONE:
        FAIL(ERR_UNSUPPORTED,
             "not a PeerAuthentication, AuthorizationPolicy or RequestAuthentication of "
             "security.istio.io/v1");
    }
    ENSURE(!arena_exhausted(a), ERR_LIMIT, "the policy needs more memory than allowed");
    *warning = r.warning;
    return OK;
}

/* --- selection ------------------------------------------------------------------------------- */

static bool labels_hold(const struct mesh_selector *s, const struct mesh_workload *w)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t k = 0;
        while (k < w->n_labels && !(str_eq(w->labels[k].key, s->labels[i].key) &&
                                    str_eq(w->labels[k].value, s->labels[i].value))) {
            k++;
        }
        if (k == w->n_labels) {
            return false;
        }
    }
    return true;
}

bool mesh_object_selects(const struct mesh_object *o, struct str root_ns,
                         const struct mesh_workload *w)
{
    if (o->selector.target_refs) {
        return false; /* meant for a gateway or waypoint */
    }
    return (str_eq(o->ns, root_ns) || str_eq(o->ns, w->ns)) && labels_hold(&o->selector, w);
}

static void add_rules(struct arena *a, struct mesh_set *set, const struct mesh_authz *p,
                      struct mesh_rules *into, size_t cap)
{
    if (into->items == NULL) {
        into->items = arena_array(a, const struct mesh_rule *, cap);
    }
    for (size_t i = 0; i < p->n_rules; i++) {
        into->items[into->n++] = &p->rules[i];
        set->needs_http = set->needs_http || p->rules[i].needs_http;
    }
}

static size_t count_rules(const struct mesh_policies *all)
{
    size_t n = 0;
    for (size_t i = 0; i < all->n_authz; i++) {
        n += all->authz[i]->n_rules;
    }
    return n;
}

/* Root namespace first, then the workload's own. */
static void select_authz(struct arena *a, const struct mesh_policies *all,
                         const struct mesh_workload *w, struct mesh_set *set)
{
    struct str root = all->config.root_namespace;
    size_t cap = count_rules(all);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < all->n_authz; i++) {
            const struct mesh_authz *p = all->authz[i];
            if (str_eq(p->object.ns, root) != (pass == 0) ||
                !mesh_object_selects(&p->object, root, w)) {
                continue;
            }
            add_rules(a, set, p, p->dry_run ? &set->dry_run : &set->rules[p->action], cap);
            set->has_allow = set->has_allow || (p->action == ACTION_ALLOW && !p->dry_run);
        }
    }
}

/* The oldest policy of each scope; a selector in the root namespace has no meaning here. */
static void select_peer(const struct mesh_policies *all, const struct mesh_workload *w,
                        struct mesh_set *set)
{
    struct str root = all->config.root_namespace;
    for (size_t i = 0; i < all->n_peer; i++) {
        const struct mesh_peer_auth *p = all->peer[i];
        bool in_root = str_eq(p->object.ns, root), given = p->object.selector.given;
        size_t scope = in_root ? 2 : given ? 0 : 1;
        if ((in_root && given) || !mesh_object_selects(&p->object, root, w)) {
            continue;
        }
        if (set->peer[scope] == NULL) {
            set->peer[scope] = p;
        }
    }
}

static int compare_issuers(const void *a, const void *b)
{
    const struct mesh_jwt_rule *x = a, *y = b;
    int c = str_cmp(x->issuer, y->issuer);
    return c != 0 ? c : str_cmp(x->policy_key, y->policy_key);
}

static void select_request(struct arena *a, const struct mesh_policies *all,
                           const struct mesh_workload *w, struct mesh_set *set)
{
    size_t cap = 0;
    for (size_t i = 0; i < all->n_request; i++) {
        cap += all->request[i]->n_rules;
    }
    set->jwt = arena_array(a, struct mesh_jwt_rule, cap);
    for (size_t i = 0; i < all->n_request; i++) {
        const struct mesh_request_auth *p = all->request[i];
        for (size_t r = 0;
             mesh_object_selects(&p->object, all->config.root_namespace, w) && r < p->n_rules;
             r++) {
            set->jwt[set->n_jwt++] = p->rules[r];
        }
    }
    qsort(set->jwt, set->n_jwt, sizeof(*set->jwt), compare_issuers);
}

const struct mesh_set *mesh_policies_for(struct arena *a, const struct mesh_policies *all,
                                         const struct mesh_workload *workload)
{
    struct mesh_set *set = arena_new(a, struct mesh_set);
    set->all = all;
    select_authz(a, all, workload, set);
    select_peer(all, workload, set);
    select_request(a, all, workload, set);
    return set;
}

struct mesh_jwt_rule *mesh_jwt_rules(const struct mesh_set *set, size_t *n)
{
    *n = set->n_jwt;
    return set->jwt;
}
