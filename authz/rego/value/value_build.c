/* How containers come to be: lists, sorting without recursion on size, merging, copying. */
#include "authz/rego/value/pool.h"
#include "authz/rego/value/value_priv.h"

#include <stdlib.h>

void vlist_grow(struct vlist *l)
{
    size_t cap = l->cap;
    l->v = arena_grow(l->a, l->v, l->n, l->n + 1, &cap, sizeof *l->v);
    l->cap = cap;
}

struct val vlist_array(const struct vlist *l)
{
    return val_array(l->a, l->v, l->n);
}

static int compare_one(const void *a, const void *b)
{
    return val_cmp(*(const struct val *)a, *(const struct val *)b);
}

/* Short lists and lists that arrive in order are the usual case. */
static void sort_items(struct val *v, size_t n)
{
    if (n > 24) {
        for (size_t i = 1; i < n; i++) {
            if (val_cmp(v[i - 1], v[i]) > 0) {
                qsort(v, n, sizeof *v, compare_one);
                return;
            }
        }
        return;
    }
    for (size_t i = 1; i < n; i++) {
        struct val x = v[i];
        size_t k = i;
        for (; k > 0 && val_cmp(v[k - 1], x) > 0; k--) {
            v[k] = v[k - 1];
        }
        v[k] = x;
    }
}

static struct val sorted_set(struct arena *a, struct val *v, size_t n);

struct val val_set(struct arena *a, const struct val *items, size_t n)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < n; i++) {
        vlist_add(&l, items[i]);
    }
    return sorted_set(a, l.v, l.n);
}

struct val vlist_set(struct vlist *l)
{
    return sorted_set(l->a, l->v, l->n);
}

static struct val sorted_set(struct arena *a, struct val *v, size_t n)
{
    if (n == 0) {
        return val_empty_set();
    }
    sort_items(v, n);
    size_t kept = 1;
    for (size_t i = 1; i < n; i++) {
        if (!val_eq(v[kept - 1], v[i])) {
            v[kept++] = v[i];
        }
    }
    return val_table(a, V_SET, v, kept);
}

struct pair {
    struct val k, v;
};

/* Object keys are strings nearly always. */
static inline bool key_after(struct val a, struct val b)
{
    if (val_is_ptr(a) && val_is_ptr(b) && val_head(a)->type == V_STRING &&
        val_head(b)->type == V_STRING) {
        return val_str_cmp(a, b) > 0;
    }
    return val_cmp(a, b) > 0;
}

static void merge_pairs(struct pair *from, struct pair *to, size_t lo, size_t mid, size_t hi)
{
    size_t i = lo, j = mid;
    for (size_t k = lo; k < hi; k++) {
        bool left = i < mid && (j >= hi || !key_after(from[i].k, from[j].k));
        to[k] = left ? from[i++] : from[j++];
    }
}

static bool ascending(const struct pair *p, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (!key_after(p[i].k, p[i - 1].k)) {
            return false;
        }
    }
    return true;
}

static void sort_pairs(struct pair *p, size_t n)
{
    if (n <= 24) {
        for (size_t i = 1; i < n; i++) {
            struct pair x = p[i];
            size_t k = i;
            for (; k > 0 && key_after(p[k - 1].k, x.k); k--) {
                p[k] = p[k - 1];
            }
            p[k] = x;
        }
        return;
    }
    struct pair *other = malloc(n * sizeof *p), *from = p, *to = other;
    BUG_ON(other == NULL);
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t lo = 0; lo < n; lo += 2 * width) {
            merge_pairs(from, to, lo, MIN(lo + width, n), MIN(lo + 2 * width, n));
        }
        struct pair *t = from;
        from = to, to = t;
    }
    if (from != p) {
        memcpy(p, from, n * sizeof *p);
    }
    free(other);
}

bool vlist_object_strict(struct vlist *l, struct val *out, struct val *clash)
{
    size_t n = l->n / 2, kept = 0;
    struct pair *p = (struct pair *)(void *)l->v;
    if (ascending(p, n)) {
        *out = val_table(l->a, V_OBJECT, l->v, n);
        return true;
    }
    sort_pairs(p, n);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && val_eq(p[kept - 1].k, p[i].k)) {
            if (clash != NULL && !val_eq(p[kept - 1].v, p[i].v)) {
                *clash = p[i].k;
                return false;
            }
            p[kept - 1] = p[i];
            continue;
        }
        p[kept++] = p[i];
    }
    *out = kept == 0 ? val_empty_object() : val_table(l->a, V_OBJECT, &p->k, kept);
    return true;
}

struct val vlist_object(struct vlist *l)
{
    struct val r = VAL_UNDEF;
    bool ok = vlist_object_strict(l, &r, NULL);
    BUG_ON(!ok);
    return r;
}

struct val val_object2(struct arena *a, const struct val *pairs, size_t n)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < 2 * n; i++) {
        vlist_add(&l, pairs[i]);
    }
    return vlist_object(&l);
}

struct val val_with(struct arena *a, struct val obj, struct val key, struct val v)
{
    struct vlist l = {.a = a};
    if (val_is(obj, V_OBJECT)) {
        for (uint32_t i = 0; i < val_len(obj); i++) {
            vlist_add2(&l, val_nth_key(a, obj, i), val_nth(obj, i));
        }
    }
    vlist_add2(&l, key, v);
    return vlist_object(&l);
}

struct val val_without(struct arena *a, struct val obj, struct val key)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(obj); i++) {
        struct val k = val_nth_key(a, obj, i);
        if (!val_eq(k, key)) {
            vlist_add2(&l, k, val_nth(obj, i));
        }
    }
    return vlist_object(&l);
}

/* Members of both; where both hold objects they are merged, otherwise y wins and *clash tells. */
struct val val_merge(struct arena *a, struct val x, struct val y, bool *clash)
{
    if (!val_is(x, V_OBJECT) || !val_is(y, V_OBJECT)) {
        if (clash != NULL && !val_eq(x, y)) {
            *clash = true;
        }
        return y;
    }
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(x); i++) {
        vlist_add2(&l, val_nth_key(a, x, i), val_nth(x, i));
    }
    for (uint32_t i = 0; i < val_len(y); i++) {
        struct val k = val_nth_key(a, y, i), v = val_nth(y, i), old = val_get(x, k);
        vlist_add2(&l, k, val_undef(old) ? v : val_merge(a, old, v, clash));
    }
    return vlist_object(&l);
}

static struct val copied(struct arena *a, struct val_pool *pool, struct val v);

static struct val copied_container(struct arena *a, struct val_pool *pool, struct val v)
{
    enum vtype t = val_type(v);
    size_t n = (size_t)val_len(v) * (t == V_OBJECT ? 2 : 1);
    const struct val *from = t == V_ARRAY ? val_arr(v)->v : val_tab(v)->v;
    struct val few[16], *to = n <= ARRAY_LEN(few) ? few : malloc(n * sizeof *to);
    BUG_ON(to == NULL);
    for (size_t i = 0; i < n; i++) {
        to[i] = copied(a, pool, from[i]);
    }
    struct val r = t == V_ARRAY ? val_array(a, to, n) : val_table(a, t, to, val_len(v));
    if (to != few) {
        free(to);
    }
    return r;
}

static struct val copied(struct arena *a, struct val_pool *pool, struct val v)
{
    if (!val_is_ptr(v)) {
        return v;
    }
    enum vtype t = val_type(v);
    if (t >= V_ARRAY && val_len(v) == 0) {
        return v;
    }
    struct arena_mark mark = arena_mark(a);
    struct val r = t == V_STRING   ? val_str(a, val_text(v))
                   : t == V_NUMBER ? val_num(a, val_number(v))
                                   : copied_container(a, pool, v);
    struct val known = pool != NULL ? val_pooled(pool, r) : r;
    if (!val_same(known, r) && t < V_ARRAY) {
        arena_rewind(a, mark);
    }
    return known;
}

struct val val_copy(struct arena *a, struct val v)
{
    return copied(a, NULL, v);
}

struct val val_copy_shared(struct arena *a, struct val v)
{
    struct val_pool *pool = val_pool_new((size_t)1 << 30);
    struct val r = copied(a, pool, v);
    val_pool_free(pool);
    return r;
}
