/* Documents: rules and base data overlaid, replaced by `with`, and objects made of many rules. */
#include "authz/rego/eval/eval_priv.h"

bool is_masked(const struct eval *ev, const struct node *n)
{
    for (const struct mask *m = ev->w.masks; m != NULL; m = m->next) {
        for (const struct node *up = n; up != NULL; up = up->parent) {
            if (up == m->node) {
                return true;
            }
        }
    }
    return false;
}

struct val node_base(struct eval *ev, const struct node *n)
{
    if (val_undef(ev->w.data)) {
        return VAL_UNDEF;
    }
    if (n->parent == NULL) {
        return ev->w.data;
    }
    struct val up = node_base(ev, n->parent);
    return val_undef(up) ? up : val_index(up, n->key);
}

struct val doc_new(struct eval *ev, struct node *n, struct val base)
{
    struct vdoc *d = arena_new(ev->a, struct vdoc);
    d->h.type = V_DOC;
    d->node = n;
    d->base = base;
    return val_of(d);
}

static struct vdoc *doc_of(struct val v)
{
    return (struct vdoc *)(uintptr_t)v.w;
}

struct val base_index(struct arena *a, struct val v, struct val key)
{
    struct val r = val_index(v, key);
    if (val_undef(r) && val_is(v, V_OBJECT) && val_is(key, V_NUMBER)) {
        r = val_get(v, val_str(a, num_text(a, val_number(key))));
    }
    return r;
}

bool doc_child(struct eval *ev, struct val doc, struct val key, struct val *out)
{
    struct vdoc *d = doc_of(doc);
    struct node *child = node_child(d->node, key);
    struct val base = val_undef(d->base) ? VAL_UNDEF : base_index(ev->a, d->base, key);
    if (child == NULL || child->func || is_masked(ev, child)) {
        *out = base;
        return true;
    }
    if (node_is_doc(child)) {
        *out = doc_new(ev, child, base);
        return true;
    }
    struct val v;
    if (!eval_node(ev, child, &v)) {
        return false;
    }
    *out = val_undef(v) ? base : v;
    return true;
}

bool doc_keys(struct eval *ev, struct val doc, struct val *out)
{
    struct vdoc *d = doc_of(doc);
    struct vlist keys = {.a = ev->a};
    for (size_t i = 0; i < d->node->n_children; i++) {
        if (!d->node->children[i]->func) {
            vlist_add(&keys, d->node->children[i]->key);
        }
    }
    if (!val_undef(d->base) && val_is_collection(d->base)) {
        for (uint32_t i = 0; i < val_len(d->base); i++) {
            vlist_add(&keys, val_nth_key(ev->a, d->base, i));
        }
    }
    struct val set = vlist_set(&keys);
    *out = val_array(ev->a, val_tab(set)->v, val_len(set));
    return true;
}

bool doc_force(struct eval *ev, struct val v, struct val *out)
{
    if (!val_is(v, V_DOC)) {
        *out = v;
        return true;
    }
    struct val keys;
    struct vlist l = {.a = ev->a};
    struct vdoc *d = doc_of(v);
    if (d->node->n_children == 0 && !val_undef(d->base)) {
        *out = d->base;
        return true;
    }
    if (!doc_keys(ev, v, &keys)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(keys); i++) {
        struct val k = val_arr(keys)->v[i], item;
        struct node *child = node_child(d->node, k);
        struct val base = val_undef(d->base) ? VAL_UNDEF : val_index(d->base, k);
        if (child != NULL && !node_is_doc(child) && !val_undef(base)) {
            item = base; /* what both define is taken from the base document */
        } else if (!doc_child(ev, v, k, &item) || !doc_force(ev, item, &item)) {
            return false;
        }
        if (!val_undef(item)) {
            vlist_add2(&l, k, item);
        }
    }
    *out = vlist_object(&l);
    return true;
}

/* A copy of `v` in which the value at the path is `leaf`; what is no object on the way gives way. */
static struct val replaced(struct arena *a, struct val v, const struct val *path, size_t n,
                           struct val leaf)
{
    if (n == 0) {
        return leaf;
    }
    struct val old = val_is(v, V_OBJECT) ? val_get(v, path[0]) : VAL_UNDEF;
    return val_with(a, val_is(v, V_OBJECT) ? v : VAL_UNDEF, path[0],
                    replaced(a, old, path + 1, n - 1, leaf));
}

static void replace_one(struct eval *ev, const struct with_target *t, struct val value)
{
    if (t->kind == WITH_INPUT) {
        ev->w.input = replaced(ev->a, ev->w.input, t->path, t->n_path, value);
        return;
    }
    if (t->kind == WITH_DATA) {
        ev->w.data = replaced(ev->a, ev->w.data, t->path, t->n_path, value);
        if (t->mask != NULL) {
            struct mask *m = arena_new(ev->a, struct mask);
            *m = (struct mask){.node = t->mask, .next = ev->w.masks};
            ev->w.masks = m;
        }
        return;
    }
    struct mock *m = arena_new(ev->a, struct mock);
    *m = (struct mock){.target = t, .value = value, .next = ev->w.mocks};
    ev->w.mocks = m;
}

void with_push(struct eval *ev, const struct with_code *w, const struct val *values)
{
    struct world *saved = arena_new(ev->a, struct world);
    *saved = ev->w;
    ev->w.outer = saved;
    ev->w.memo = arena_array(ev->a, struct memo, ev->p->n_nodes + 1);
    ev->w.calls = arena_new(ev->a, struct fcache);
    for (size_t i = 0; i < w->n; i++) {
        replace_one(ev, &w->targets[i], values[i]);
    }
}

void with_pop(struct eval *ev)
{
    ev->w = *ev->w.outer;
}

/* A tree of parts, and one hash table over (parent, key) to find them. */
struct part {
    struct val key, leaf;
    struct vlist members;
    struct part *first, *last, *sibling, *up;
    bool set;
};

struct parts {
    struct part root;
    struct part **slots;
    size_t n, mask;
};

struct parts *parts_new(struct eval *ev)
{
    struct parts *p = arena_new(ev->a, struct parts);
    p->root.leaf = VAL_UNDEF;
    p->mask = 15;
    p->slots = arena_array(ev->a, struct part *, 16);
    return p;
}

static size_t part_hash(const struct part *up, struct val key)
{
    uint64_t h = (val_hash(key) ^ (uint64_t)(uintptr_t)up) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 32);
}

static void parts_grow(struct eval *ev, struct parts *p)
{
    struct part **old = p->slots;
    size_t n = p->mask + 1;
    p->mask = n * 4 - 1;
    p->slots = arena_array(ev->a, struct part *, p->mask + 1);
    for (size_t i = 0; i < n; i++) {
        if (old[i] != NULL) {
            size_t at = part_hash(old[i]->up, old[i]->key) & p->mask;
            while (p->slots[at] != NULL) {
                at = (at + 1) & p->mask;
            }
            p->slots[at] = old[i];
        }
    }
}

static struct part *part_at(struct eval *ev, struct parts *p, struct part *up, struct val key)
{
    if (p->n * 2 > p->mask) {
        parts_grow(ev, p);
    }
    size_t at = part_hash(up, key) & p->mask;
    for (; p->slots[at] != NULL; at = (at + 1) & p->mask) {
        if (p->slots[at]->up == up && val_eq(p->slots[at]->key, key)) {
            return p->slots[at];
        }
    }
    struct part *x = arena_new(ev->a, struct part);
    *x = (struct part){.key = key, .leaf = VAL_UNDEF, .up = up, .members = {.a = ev->a}};
    if (up->last != NULL) {
        up->last->sibling = x;
    } else {
        up->first = x;
    }
    up->last = x;
    p->slots[at] = x;
    p->n++;
    return x;
}

bool parts_add(struct eval *ev, struct parts *p, const struct val *path, size_t n, struct val v,
               bool member)
{
    struct part *at = &p->root;
    for (size_t i = 0; i < n; i++) {
        if (!val_undef(at->leaf) || at->set) {
            return false;
        }
        at = part_at(ev, p, at, path[i]);
    }
    if (at->first != NULL) {
        return false;
    }
    bool more = val_is(v, V_SET) && at->set;
    for (uint32_t i = 0; more && i < val_len(v); i++) {
        vlist_add(&at->members, val_nth(v, i));
    }
    if (more) {
        return true;
    }
    if (member) {
        at->set = true;
        vlist_add(&at->members, v);
        return val_undef(at->leaf);
    }
    if (at->set || (!val_undef(at->leaf) && !val_eq(at->leaf, v))) {
        return false;
    }
    at->leaf = v;
    return true;
}

/* Depth is that of rule heads. */
static struct val part_value(struct eval *ev, struct part *p)
{
    if (p->set) {
        return vlist_set(&p->members);
    }
    if (!val_undef(p->leaf)) {
        return p->leaf;
    }
    struct vlist l = {.a = ev->a};
    for (struct part *x = p->first; x != NULL; x = x->sibling) {
        vlist_add2(&l, x->key, part_value(ev, x));
    }
    return vlist_object(&l);
}

struct val parts_value(struct eval *ev, struct parts *p)
{
    return part_value(ev, &p->root);
}
