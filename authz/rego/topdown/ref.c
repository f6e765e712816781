/* References, key by key: through rules and base documents together, or through one value. */
#include "authz/rego/topdown/save.h"

struct val input_at(struct td *td, const struct tt *ref)
{
    struct val v = td->w->input;
    for (size_t i = 1; i < ref->list.n && !val_undef(v); i++) {
        v = ref->list.v[i]->kind == TT_VAL ? val_index(v, ref->list.v[i]->v) : VAL_UNDEF;
    }
    return v;
}

bool is_target(const struct td *td, const struct tt *ref, size_t n)
{
    for (const struct tworld *w = td->w; w != NULL; w = w->outer) {
        for (size_t i = 0; i < w->n_targets; i++) {
            const struct tt *t = w->targets[i];
            bool all = t->list.n <= n;
            for (size_t k = 0; all && k < t->list.n; k++) {
                all = tt_same(t->list.v[k], ref->list.v[k]);
            }
            if (all) {
                return true;
            }
        }
    }
    return false;
}

struct val base_at(struct td *td, const struct tt *ref, size_t n)
{
    struct val v = td->w->data;
    for (size_t i = 1; i < n && !val_undef(v); i++) {
        const struct tt *k = ref->list.v[i];
        v = k->kind == TT_VAL ? base_index(td->a, v, k->v) : VAL_UNDEF;
    }
    return v;
}

/* All documents of the rules below a node, as an object. */
static struct halt *leaves(struct tref r, struct tt *at, const struct tnode *n, struct val *out);

struct k_leaf {
    struct k k;
    struct td *td;
    struct tt *var;
    struct binds *b;
    struct val v;
};

static struct halt *take_leaf(struct k *self)
{
    struct k_leaf *c = (struct k_leaf *)self;
    struct tt *p = plug(c->td, c->var, c->b);
    c->v = p->kind == TT_VAL ? p->v : VAL_UNDEF;
    return NULL;
}

static struct halt *leaf(struct tref r, struct tt *at, struct val *out)
{
    struct td *td = r.e->td;
    struct sym *s = sym_get(&td->syms, arena_printf(td->a, "%.*s_leaf", STR_FMT(td->var_prefix)));
    struct k_leaf c = {
        .k = {take_leaf}, .td = td, .var = tt_var(td->a, s, at->loc), .b = r.e->b, .v = VAL_UNDEF};
    struct halt *h = unify(r.e, at, c.var, r.e->b, r.e->b, &c.k);
    *out = c.v;
    return h;
}

static struct halt *leaves(struct tref r, struct tt *at, const struct tnode *n, struct val *out)
{
    struct td *td = r.e->td;
    struct vlist l = {.a = td->a};
    for (size_t i = 0; i < n->n_children; i++) {
        const struct tnode *child = n->children[i];
        struct val v = VAL_UNDEF;
        if (child->hidden) {
            continue;
        }
        struct tt *below = tt_list(td->a, TT_REF, at->list.n + 1, at->loc);
        memcpy(below->list.v, at->list.v, at->list.n * sizeof(struct tt *));
        below->list.v[at->list.n] = tt_val(td->a, child->n->key, at->loc);
        bool rules = child->n_extent > 0 || child->fallback != NULL;
        struct halt *h = rules ? leaf(r, below, &v) : leaves(r, below, child, &v);
        if (h != NULL) {
            return h;
        }
        if (!val_undef(v)) {
            vlist_add2(&l, child->n->key, v);
        }
    }
    *out = vlist_object(&l);
    return NULL;
}

static struct val without_system(struct td *td, struct val v)
{
    struct vlist l = {.a = td->a};
    if (!val_is(v, V_OBJECT) || val_undef(val_get_str(v, "system"))) {
        return v;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(td->a, v, i);
        if (!val_is(k, V_STRING) || !str_is(val_text(k), "system")) {
            vlist_add2(&l, k, val_nth(v, i));
        }
    }
    return vlist_object(&l);
}

/* Base and rules overlaid; where both have a value that is no object, the base wins. */
static struct val overlay(struct td *td, struct val base, struct val rules)
{
    return val_is(base, V_OBJECT) && val_is(rules, V_OBJECT) ? val_merge(td->a, rules, base, NULL)
                                                             : base;
}

static struct halt *finish_tree(struct tref r)
{
    struct td *td = r.e->td;
    if (td->pe != NULL && unknown_term(r.e, r.plugged, r.b)) {
        return save_unify(r.e, r.plugged, r.rterm, r.b, r.rb, r.k);
    }
    struct val base = base_at(td, r.plugged, r.plugged->list.n), rules = VAL_UNDEF;
    if (r.plugged->list.n == 1) {
        base = without_system(td, base);
    }
    if (r.node != NULL) {
        struct halt *h = leaves(r, r.plugged, r.node, &rules);
        if (h != NULL) {
            return h;
        }
    }
    struct val v = val_undef(rules) ? base : val_undef(base) ? rules : overlay(td, base, rules);
    if (val_undef(v)) {
        return NULL;
    }
    return unify(r.e, r.rterm, tt_val(td->a, v, r.ref->loc), r.rb, r.b, r.k);
}

static struct halt *next_in_tree(struct tref r, struct tt *key)
{
    struct td *td = r.e->td;
    struct tt *p = arena_new(td->a, struct tt);
    *p = *r.plugged;
    p->list.v = arena_array(td->a, struct tt *, p->list.n + 1);
    memcpy(p->list.v, r.plugged->list.v, p->list.n * sizeof(struct tt *));
    p->list.v[r.pos] = key;
    r.plugged = p;
    const struct tnode *node = NULL;
    if (r.node != NULL && key->kind == TT_VAL && !is_target(td, p, r.pos + 1)) {
        node = tnode_child(td->t, r.node, key->v);
        if (node != NULL && (node->n_rules > 0 || node->fallback != NULL)) {
            r.node = node;
            return eval_virtual(r);
        }
    }
    r.node = node;
    r.pos++;
    return eval_tree(r);
}

struct k_key {
    struct k k;
    struct tref r;
    struct tt *key;
    bool tree;
};

static struct halt *next_in_term(struct tref r, struct tt *key);

static struct halt *with_key(struct k *self)
{
    struct k_key *c = (struct k_key *)self;
    return c->tree ? next_in_tree(c->r, c->key)
                   : next_in_term(c->r, plug(c->r.e->td, c->key, c->r.tb));
}

/* One key of an enumeration. An exit that is only deferred does not end it. */
static struct halt *try_key(struct k_key *c, struct tt *key, struct binds *of,
                            struct halt **deferred)
{
    c->key = key;
    struct halt *h = unify(c->r.e, key, c->r.ref->list.v[c->r.pos], of, c->r.b, &c->k);
    if (h != NULL && h->kind == HALT_DEFER) {
        *deferred = *deferred != NULL ? *deferred : h;
        return NULL;
    }
    return h;
}

static struct halt *enumerate_tree(struct tref r)
{
    struct td *td = r.e->td;
    struct tt *prefix = ref_slice(td->a, r.plugged, r.pos);
    if (td->pe != NULL &&
        (inlining_disabled(td, prefix, true) || save_contains(td, prefix, NULL))) {
        return save_unify(r.e, r.plugged, r.rterm, r.b, r.rb, r.k);
    }
    struct halt *deferred = NULL, *h = NULL;
    struct k_key c = {.k = {with_key}, .r = r, .tree = true};
    struct val base = base_at(td, r.plugged, r.pos);
    if (r.pos == 1) {
        base = without_system(td, base);
    }
    bool have = !val_undef(base) && val_is_collection(base);
    for (uint32_t i = 0; have && h == NULL && i < val_len(base); i++) {
        h = try_key(&c, tt_val(td->a, val_nth_key(td->a, base, i), r.ref->loc), r.b, &deferred);
    }
    if (h != NULL || deferred != NULL) {
        return h != NULL ? h : deferred;
    }
    for (size_t i = 0; r.node != NULL && h == NULL && i < r.node->n_children; i++) {
        struct val k = r.node->children[i]->n->key;
        bool seen = have && !val_undef(val_is(base, V_SET) ? VAL_UNDEF : val_index(base, k));
        if (!seen) {
            c.key = tt_val(td->a, k, r.ref->loc);
            h = unify(r.e, c.key, r.ref->list.v[r.pos], r.b, r.b, &c.k);
        }
    }
    return h;
}

struct halt *eval_tree(struct tref r)
{
    if (r.pos == r.ref->list.n) {
        return finish_tree(r);
    }
    struct tt *key = plug(r.e->td, r.ref->list.v[r.pos], r.b);
    return tt_ground(key) ? next_in_tree(r, key) : enumerate_tree(r);
}

/* The member of the term at hand, or NULL; its bindings in r.tb. */
static struct tt *get_member(struct tref *r, struct tt *key)
{
    struct td *td = r->e->td;
    struct tt *t = r->term, *found = NULL;
    if (t->kind == TT_VAL) {
        bool indexable = val_is_collection(t->v) && key->kind == TT_VAL;
        struct val v = indexable ? val_index(t->v, key->v) : VAL_UNDEF;
        return val_undef(v) ? NULL : tt_val(td->a, v, t->loc);
    }
    if (t->kind == TT_ARRAY) {
        int64_t i = -1;
        bool ok = key->kind == TT_VAL && val_to_i64(key->v, &i) && i >= 0 && (size_t)i < t->list.n;
        found = ok ? t->list.v[i] : NULL;
    }
    size_t width = t->kind == TT_OBJECT ? 2 : 1;
    for (size_t i = 0; t->kind != TT_ARRAY && found == NULL && i < t->list.n; i += width) {
        if (tt_same(plug(td, t->list.v[i], r->tb), key)) {
            found = width == 2 ? t->list.v[i + 1] : key;
        }
    }
    if (found != NULL) {
        binds_apply(&found, &r->tb);
    }
    return found;
}

static bool is_composite(const struct tt *t)
{
    return t->kind == TT_ARRAY || t->kind == TT_OBJECT || t->kind == TT_SET ||
           (t->kind == TT_VAL && val_is_collection(t->v));
}

static struct halt *next_in_term(struct tref r, struct tt *key)
{
    struct td *td = r.e->td;
    if (td->pe != NULL) {
        struct tt *path = unknown_path(&r, key);
        if (path != NULL) {
            return save_unify(r.e, path, r.rterm, r.b, r.rb, r.k);
        }
    }
    struct tt *m = is_composite(r.term) ? get_member(&r, key) : NULL;
    if (m == NULL) {
        return NULL;
    }
    r.term = m;
    r.pos++;
    return eval_term(r);
}

static struct tt *nth_key(struct td *td, const struct tt *t, size_t i)
{
    if (t->kind == TT_VAL) {
        return tt_val(td->a, val_nth_key(td->a, t->v, (uint32_t)i), t->loc);
    }
    if (t->kind == TT_ARRAY) {
        return tt_val(td->a, val_int(td->a, (int64_t)i), t->loc);
    }
    return t->list.v[t->kind == TT_OBJECT ? 2 * i : i];
}

static struct halt *enumerate_term(struct tref r)
{
    struct td *td = r.e->td;
    struct halt *deferred = NULL, *h = NULL;
    struct k_key c = {.k = {with_key}, .r = r};
    size_t n = 0;
    if (is_composite(r.term)) {
        n = r.term->kind == TT_VAL      ? val_len(r.term->v)
            : r.term->kind == TT_OBJECT ? r.term->list.n / 2
                                        : r.term->list.n;
    }
    for (size_t i = 0; h == NULL && i < n; i++) {
        h = try_key(&c, nth_key(td, r.term, i), r.tb, &deferred);
    }
    if (h == NULL && td->pe != NULL) {
        h = enumerate_unknown_keys(r, &deferred);
    }
    return h != NULL ? h : deferred;
}

struct halt *eval_term(struct tref r)
{
    if (r.pos == r.ref->list.n) {
        return unify(r.e, r.term, r.rterm, r.tb, r.rb, r.k);
    }
    if (r.e->td->pe != NULL && save_contains(r.e->td, r.term, r.tb)) {
        return save_term(r);
    }
    struct tt *key = plug(r.e->td, r.ref->list.v[r.pos], r.b);
    return tt_ground(key) ? next_in_term(r, key) : enumerate_term(r);
}
