/* Trees of types: lookup, and joining what several rules say of one place. */
#include "authz/rego/types/env.h"

enum { INDEX_FROM = 16 };

struct type_tree *type_tree_new(struct arena *a)
{
    struct type_tree *t = arena_new(a, struct type_tree);
    t->key = VAL_UNDEF;
    return t;
}

static void index_one(struct type_tree *t, size_t i)
{
    size_t at = (size_t)val_hash(t->children[i]->key) & (t->n_slots - 1);
    while (t->slots[at] != 0) {
        at = (at + 1) & (t->n_slots - 1);
    }
    t->slots[at] = (uint32_t)i + 1;
}

static void reindex(struct arena *a, struct type_tree *t)
{
    t->n_slots = INDEX_FROM * 2;
    while (t->n_slots < 2 * t->cap) {
        t->n_slots *= 2;
    }
    t->slots = arena_array(a, uint32_t, t->n_slots);
    for (size_t i = 0; i < t->n; i++) {
        index_one(t, i);
    }
}

struct type_tree *type_tree_child(const struct type_tree *t, struct val key)
{
    if (t->slots == NULL) {
        for (size_t i = 0; i < t->n; i++) {
            if (val_eq(t->children[i]->key, key)) {
                return t->children[i];
            }
        }
        return NULL;
    }
    size_t at = (size_t)val_hash(key) & (t->n_slots - 1);
    for (; t->slots[at] != 0; at = (at + 1) & (t->n_slots - 1)) {
        struct type_tree *child = t->children[t->slots[at] - 1];
        if (val_eq(child->key, key)) {
            return child;
        }
    }
    return NULL;
}

static struct type_tree *child_make(struct arena *a, struct type_tree *t, struct val key)
{
    struct type_tree *child = type_tree_child(t, key);
    if (child != NULL) {
        return child;
    }
    child = type_tree_new(a);
    child->key = key;
    t->children = arena_grow(a, t->children, t->n, t->n + 1, &t->cap, sizeof *t->children);
    t->children[t->n++] = child;
    if (t->n >= INDEX_FROM && t->n_slots < 2 * t->n) {
        reindex(a, t);
    } else if (t->slots != NULL) {
        index_one(t, t->n - 1);
    }
    return child;
}

struct type_tree *type_tree_make(struct arena *a, struct type_tree *t, const struct val *path,
                                 size_t n)
{
    for (size_t i = 0; i < n; i++) {
        t = child_make(a, t, path[i]);
    }
    return t;
}

void type_tree_put(struct arena *a, struct type_tree *t, const struct val *path, size_t n,
                   const struct type *type)
{
    type_tree_make(a, t, path, n)->type = type;
}

static bool has_no_props(const struct type *t)
{
    return type_is(t, TY_OBJECT) && t->object.n == 0;
}

static const struct type *merge(struct arena *a, const struct type *x, const struct type *y);

static const struct type *merge_objects(struct arena *a, const struct type *x, const struct type *y)
{
    if (!x->object.open || !y->object.open) {
        return x->object.open ? x : y;
    }
    return type_open_object(a, NULL, 0, type_or(a, x->object.key, y->object.key),
                            merge(a, x->object.value, y->object.value));
}

/* An open object joins the open object among the members of a union. */
static const struct type *merge_into_union(struct arena *a, const struct type *any,
                                           const struct type *object)
{
    for (size_t i = 0; i < any->any.n; i++) {
        const struct type *t = any->any.v[i];
        if (!has_no_props(t) || !t->object.open) {
            continue;
        }
        struct type_list l = {arena_array(a, const struct type *, any->any.n), any->any.n};
        memcpy(l.v, any->any.v, l.n * sizeof *l.v);
        l.v[i] = type_open_object(a, NULL, 0, type_or(a, t->object.key, object->object.key),
                                  type_or(a, t->object.value, object->object.value));
        return type_union(a, l);
    }
    return NULL;
}

static const struct type *merge(struct arena *a, const struct type *x, const struct type *y)
{
    x = type_plain(x), y = type_plain(y);
    if (x == NULL || y == NULL) {
        return x == NULL ? y : x;
    }
    if (x->kind == TY_ANY && y->kind != TY_ANY) {
        const struct type *t = x;
        x = y, y = t;
    }
    if (has_no_props(x) && has_no_props(y)) {
        return merge_objects(a, x, y);
    }
    if (has_no_props(x) && x->object.open && y->kind == TY_ANY) {
        const struct type *t = merge_into_union(a, y, x);
        if (t != NULL) {
            return t;
        }
    }
    if (x->kind == TY_SET && y->kind == TY_SET) {
        return type_cmp(x, y) == 0 ? x : type_set(a, type_or(a, x->of, y->of));
    }
    return type_or(a, x, y);
}

/* An object that also has what `t` is at `path` below it. */
static const struct type *with_path(struct arena *a, const struct type *o, const struct val *path,
                                    size_t n, const struct type *t)
{
    if (n == 0) {
        return o;
    }
    const struct type *key = type_of_value(a, path[0]);
    const struct type *value =
        n == 1 ? t : with_path(a, type_object(a, NULL, 0), path + 1, n - 1, t);
    if (o->object.open) {
        key = type_or(a, o->object.key, key);
        value = type_or(a, o->object.value, value);
    }
    return type_open_object(a, o->object.props, o->object.n, key, value);
}

enum { PATH_MAX_TERMS = 256 };

struct leaves {
    struct arena *a;
    const struct type *object;
    struct val path[PATH_MAX_TERMS];
};

static void join_leaves(struct leaves *l, const struct type_tree *t, size_t depth)
{
    if (depth >= PATH_MAX_TERMS) {
        return;
    }
    l->path[depth] = t->key;
    if (t->type != NULL) {
        l->object = with_path(l->a, l->object, l->path, depth + 1, t->type);
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        join_leaves(l, t->children[i], depth + 1);
    }
}

void type_tree_insert(struct arena *a, struct type_tree *t, const struct val *path, size_t n,
                      const struct type *type)
{
    for (size_t i = 0; i < n; i++) {
        struct type_tree *child = type_tree_child(t, path[i]);
        const struct type *here = child != NULL ? type_plain(child->type) : NULL;
        if (i + 1 < n && type_is(here, TY_OBJECT)) {
            child->type = with_path(a, here, path + i + 1, n - i - 1, type);
        }
        t = child != NULL ? child : child_make(a, t, path[i]);
    }
    t->type = merge(a, t->type, type);
    if (!type_is(type_plain(type), TY_OBJECT) || !type_is(type_plain(t->type), TY_OBJECT)) {
        return;
    }
    struct leaves l = {.a = a, .object = type_plain(t->type)};
    for (size_t i = 0; i < t->n; i++) {
        join_leaves(&l, t->children[i], 0);
    }
    t->type = l.object;
}

static bool is_scalar_key(struct val key)
{
    return val_is(key, V_STRING) || val_is(key, V_NUMBER) || val_is(key, V_BOOL);
}

const struct type *type_tree_extent(struct arena *a, const struct type_tree *t)
{
    if (t->type != NULL) {
        return t->type;
    }
    struct type_prop *props = arena_array(a, struct type_prop, t->n + 1);
    size_t n = 0;
    for (size_t i = 0; i < t->n; i++) {
        if (is_scalar_key(t->children[i]->key)) {
            props[n].key = t->children[i]->key;
            props[n++].value = type_tree_extent(a, t->children[i]);
        }
    }
    return type_open_object(a, props, n, type_string(), type_any());
}

const struct type *type_tree_keys(struct arena *a, const struct type_tree *t)
{
    if (t->type != NULL) {
        return type_keys(a, t->type);
    }
    const struct type *all = type_string();
    for (size_t i = 0; i < t->n; i++) {
        if (is_scalar_key(t->children[i]->key) && !val_is(t->children[i]->key, V_STRING)) {
            all = type_or(a, all, type_of_value(a, t->children[i]->key));
        }
    }
    return all;
}
