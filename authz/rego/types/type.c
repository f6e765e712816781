/* Types: construction, order, union, and what indexing them gives. */
#include "authz/rego/types/type.h"

#include <stdlib.h>

static const struct type scalars[] = {
    [TY_NULL] = {.kind = TY_NULL},     [TY_BOOL] = {.kind = TY_BOOL},
    [TY_NUMBER] = {.kind = TY_NUMBER}, [TY_STRING] = {.kind = TY_STRING},
    [TY_ANY] = {.kind = TY_ANY},
};

const struct type *type_null(void)
{
    return &scalars[TY_NULL];
}
const struct type *type_bool(void)
{
    return &scalars[TY_BOOL];
}
const struct type *type_number(void)
{
    return &scalars[TY_NUMBER];
}
const struct type *type_string(void)
{
    return &scalars[TY_STRING];
}
const struct type *type_any(void)
{
    return &scalars[TY_ANY];
}

static uint16_t depth_of(const struct type *t)
{
    return t != NULL ? t->depth : 0;
}

static uint16_t depth_of_list(struct type_list l)
{
    uint16_t most = 0;
    for (size_t i = 0; i < l.n; i++) {
        most = MAX(most, depth_of(l.v[i]));
    }
    return most;
}

static bool any_unknown(struct type_list l)
{
    for (size_t i = 0; i < l.n; i++) {
        if (type_unknown(l.v[i])) {
            return true;
        }
    }
    return false;
}

/* A recursive type counts as known: looking into it would never end. */
static bool has_unknown_part(const struct type *t)
{
    switch (t->kind) {
    case TY_ARRAY:
        return any_unknown(t->array.items) || (t->array.rest != NULL && t->array.rest->unknown);
    case TY_OBJECT:
        for (size_t i = 0; i < t->object.n; i++) {
            if (type_unknown(t->object.props[i].value)) {
                return true;
            }
        }
        return t->object.open && (type_unknown(t->object.key) || type_unknown(t->object.value));
    case TY_SET:
        return type_unknown(t->of);
    case TY_FUNC:
        return any_unknown(t->func.args) || type_unknown(t->func.result);
    default:
        return false;
    }
}

/* Seals a new type whose parts are `below` deep. */
static const struct type *sealed(struct type *t, uint16_t below)
{
    if (below >= TYPE_DEPTH_MAX) {
        return type_any();
    }
    t->depth = (uint16_t)(below + 1);
    t->unknown = has_unknown_part(t);
    return t;
}

static struct type *new_type(struct arena *a, enum type_kind kind)
{
    struct type *t = arena_new(a, struct type);
    t->kind = kind;
    return t;
}

const struct type *type_array(struct arena *a, struct type_list items, const struct type *rest)
{
    struct type *t = new_type(a, TY_ARRAY);
    t->array.items = items;
    t->array.rest = rest;
    return sealed(t, MAX(depth_of_list(items), depth_of(rest)));
}

const struct type *type_set(struct arena *a, const struct type *of)
{
    struct type *t = new_type(a, TY_SET);
    t->of = of;
    return sealed(t, depth_of(of));
}

static int by_key(const void *x, const void *y)
{
    const struct type_prop *a = x, *b = y;
    return val_cmp(a->key, b->key);
}

static struct type *object_of(struct arena *a, struct type_prop *props, size_t n)
{
    struct type *t = new_type(a, TY_OBJECT);
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++) {
        sorted = val_cmp(props[i - 1].key, props[i].key) <= 0;
    }
    if (!sorted) {
        qsort(props, n, sizeof *props, by_key);
    }
    t->object.props = props;
    t->object.n = n;
    return t;
}

static uint16_t depth_of_props(const struct type *t)
{
    uint16_t most = 0;
    for (size_t i = 0; i < t->object.n; i++) {
        most = MAX(most, depth_of(t->object.props[i].value));
    }
    return most;
}

const struct type *type_object(struct arena *a, struct type_prop *props, size_t n)
{
    struct type *t = object_of(a, props, n);
    return sealed(t, depth_of_props(t));
}

const struct type *type_open_object(struct arena *a, struct type_prop *props, size_t n,
                                    const struct type *key, const struct type *value)
{
    struct type *t = object_of(a, props, n);
    t->object.open = true;
    t->object.key = key;
    t->object.value = value;
    return sealed(t, MAX(depth_of_props(t), MAX(depth_of(key), depth_of(value))));
}

static int by_type(const void *x, const void *y)
{
    const struct type *const *a = x, *const *b = y;
    return type_cmp(*a, *b);
}

const struct type *type_union(struct arena *a, struct type_list of)
{
    struct type *t = new_type(a, TY_ANY);
    if (of.n > 1) {
        qsort(of.v, of.n, sizeof(struct type *), by_type);
    }
    t->any = of;
    return sealed(t, depth_of_list(of));
}

const struct type *type_func(struct arena *a, struct type_list args, const struct type *result)
{
    struct type *t = new_type(a, TY_FUNC);
    t->func.args = args;
    t->func.result = result;
    return sealed(t, MAX(depth_of_list(args), depth_of(result)));
}

struct type *type_recursive(struct arena *a, struct str name)
{
    struct type *t = new_type(a, TY_RECURSIVE);
    t->recursive.name = name;
    t->recursive.target = type_any();
    t->depth = 1;
    return t;
}

const struct type *type_plain(const struct type *t)
{
    return t != NULL && t->kind == TY_RECURSIVE ? t->recursive.target : t;
}

static int cmp_lists(struct type_list x, struct type_list y)
{
    for (size_t i = 0; i < MIN(x.n, y.n); i++) {
        int c = type_cmp(x.v[i], y.v[i]);
        if (c != 0) {
            return c;
        }
    }
    return x.n < y.n ? -1 : x.n > y.n;
}

static int cmp_arrays(const struct type *x, const struct type *y)
{
    if ((x->array.rest != NULL) != (y->array.rest != NULL)) {
        return x->array.rest != NULL ? 1 : -1;
    }
    int c = type_cmp(x->array.rest, y->array.rest);
    return c != 0 ? c : cmp_lists(x->array.items, y->array.items);
}

static int cmp_objects(const struct type *x, const struct type *y)
{
    if (x->object.open != y->object.open) {
        return x->object.open ? 1 : -1;
    }
    int c = type_cmp(x->object.key, y->object.key);
    c = c != 0 ? c : type_cmp(x->object.value, y->object.value);
    for (size_t i = 0; c == 0 && i < MIN(x->object.n, y->object.n); i++) {
        c = val_cmp(x->object.props[i].key, y->object.props[i].key);
        c = c != 0 ? c : type_cmp(x->object.props[i].value, y->object.props[i].value);
    }
    return c != 0 ? c : x->object.n < y->object.n ? -1 : x->object.n > y->object.n;
}

static int cmp_funcs(const struct type *x, const struct type *y)
{
    if (x->func.args.n != y->func.args.n) {
        return x->func.args.n < y->func.args.n ? -1 : 1;
    }
    int c = cmp_lists(x->func.args, y->func.args);
    c = c != 0 ? c : type_cmp(x->func.result, y->func.result);
    return c != 0 ? c : type_cmp(x->func.variadic, y->func.variadic);
}

int type_cmp(const struct type *x, const struct type *y)
{
    if (type_is(x, TY_RECURSIVE) && type_is(y, TY_RECURSIVE)) { /* or this would never end */
        return x == y ? 0 : str_cmp(x->recursive.name, y->recursive.name);
    }
    x = type_plain(x), y = type_plain(y);
    int a = x != NULL ? (int)x->kind : -1, b = y != NULL ? (int)y->kind : -1;
    if (a != b) {
        return a < b ? -1 : 1;
    }
    if (x == y) {
        return 0;
    }
    switch (x->kind) {
    case TY_ARRAY:
        return cmp_arrays(x, y);
    case TY_OBJECT:
        return cmp_objects(x, y);
    case TY_SET:
        return type_cmp(x->of, y->of);
    case TY_ANY:
        return cmp_lists(x->any, y->any);
    case TY_FUNC:
        return cmp_funcs(x, y);
    default:
        return 0;
    }
}

/* The place of `t` among the members of a union; *found tells whether it is there. */
static size_t place_in(struct type_list l, const struct type *t, bool *found)
{
    size_t lo = 0, hi = l.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (type_cmp(l.v[mid], t) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *found = lo < l.n && type_cmp(l.v[lo], t) == 0;
    return lo;
}

bool type_contains(const struct type *x, const struct type *y)
{
    if (!type_is(x, TY_ANY)) {
        return type_cmp(x, y) == 0;
    }
    bool found;
    place_in(x->any, y, &found);
    return !type_is(y, TY_FUNC) && (found || x->any.n == 0);
}

static const struct type *any_with(struct arena *a, const struct type *any, const struct type *t)
{
    bool found;
    size_t at = place_in(any->any, t, &found);
    if (found || any->any.n == 0) {
        return any;
    }
    struct type_list l = {arena_array(a, const struct type *, any->any.n + 1), any->any.n + 1};
    memcpy(l.v, any->any.v, at * sizeof *l.v);
    l.v[at] = t;
    memcpy(l.v + at + 1, any->any.v + at, (any->any.n - at) * sizeof *l.v);
    struct type *merged = new_type(a, TY_ANY);
    merged->any = l;
    return sealed(merged, depth_of_list(l));
}

static const struct type *any_merge(struct arena *a, const struct type *x, const struct type *y)
{
    if (x->any.n == 0 || y->any.n == 0) {
        return type_any();
    }
    struct type_list l = {arena_array(a, const struct type *, x->any.n + y->any.n), 0};
    size_t i = 0, k = 0;
    while (i < x->any.n || k < y->any.n) {
        int c = i == x->any.n ? 1 : k == y->any.n ? -1 : type_cmp(x->any.v[i], y->any.v[k]);
        l.v[l.n++] = c <= 0 ? x->any.v[i] : y->any.v[k];
        i += c <= 0;
        k += c >= 0;
    }
    struct type *merged = new_type(a, TY_ANY);
    merged->any = l;
    return sealed(merged, depth_of_list(l));
}

static const struct type *or_funcs(struct arena *a, const struct type *x, const struct type *y)
{
    bool variadic = x->func.variadic != NULL;
    if (x->func.args.n != y->func.args.n || variadic != (y->func.variadic != NULL)) {
        return NULL;
    }
    struct type_list l = {arena_array(a, const struct type *, x->func.args.n + 1), x->func.args.n};
    for (size_t i = 0; i < l.n; i++) {
        l.v[i] = type_or(a, x->func.args.v[i], y->func.args.v[i]);
    }
    struct type *t = new_type(a, TY_FUNC);
    t->func.args = l;
    t->func.result = type_or(a, x->func.result, y->func.result);
    t->func.variadic = type_or(a, x->func.variadic, y->func.variadic);
    return sealed(t, MAX(depth_of_list(l), depth_of(t->func.result)));
}

const struct type *type_or(struct arena *a, const struct type *x, const struct type *y)
{
    if (x == NULL || y == NULL) {
        return x == NULL ? y : x;
    }
    bool fx = x->kind == TY_FUNC, fy = y->kind == TY_FUNC;
    if (fx || fy) {
        return fx && fy ? or_funcs(a, x, y) : NULL;
    }
    if (x->kind == TY_ANY) {
        return y->kind == TY_ANY ? any_merge(a, x, y) : any_with(a, x, y);
    }
    if (y->kind == TY_ANY) {
        return any_with(a, y, x);
    }
    int c = type_cmp(x, y);
    if (c == 0) {
        return x;
    }
    struct type_list l = {arena_array(a, const struct type *, 2), 2};
    l.v[0] = c < 0 ? x : y;
    l.v[1] = c < 0 ? y : x;
    struct type *t = new_type(a, TY_ANY);
    t->any = l;
    return sealed(t, depth_of_list(l));
}

const struct type *type_of_value(struct arena *a, struct val v)
{
    size_t n = val_is_collection(v) ? val_len(v) : 0;
    switch (val_type(v)) {
    case V_NULL:
        return type_null();
    case V_BOOL:
        return type_bool();
    case V_NUMBER:
        return type_number();
    case V_STRING:
        return type_string();
    case V_OBJECT: {
        struct type_prop *props = arena_array(a, struct type_prop, n + 1);
        for (size_t i = 0; i < n; i++) {
            props[i].key = val_nth_key(a, v, (uint32_t)i);
            props[i].value = type_of_value(a, val_nth(v, (uint32_t)i));
        }
        return type_object(a, props, n);
    }
    default: { /* a set is written as an array where it stands for a key */
        struct type_list l = {arena_array(a, const struct type *, n + 1), n};
        for (size_t i = 0; i < n; i++) {
            l.v[i] = type_of_value(a, val_nth(v, (uint32_t)i));
        }
        return type_array(a, l, NULL);
    }
    }
}

static const struct type *select_item(const struct type *t, struct val key)
{
    int64_t at;
    if (!val_to_i64(key, &at) || at < 0) {
        return NULL;
    }
    return (uint64_t)at < t->array.items.n ? t->array.items.v[at] : t->array.rest;
}

static const struct type *select_prop(struct arena *a, const struct type *t, struct val key)
{
    size_t lo = 0, hi = t->object.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (val_cmp(t->object.props[mid].key, key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo < t->object.n && val_eq(t->object.props[lo].key, key)) {
        return t->object.props[lo].value;
    }
    return t->object.open && type_contains(t->object.key, type_of_value(a, key)) ? t->object.value
                                                                                 : NULL;
}

static const struct type *select_member(struct arena *a, const struct type *t, struct val key)
{
    const struct type *k = type_of_value(a, key);
    if (type_cmp(t->of, k) == 0) {
        return t->of;
    }
    return type_is(t->of, TY_ANY) && type_contains(t->of, k) ? k : NULL;
}

const struct type *type_select(struct arena *a, const struct type *t, struct val key)
{
    t = type_plain(t);
    if (t == NULL) {
        return NULL;
    }
    switch (t->kind) {
    case TY_ARRAY:
        return val_is(key, V_NUMBER) ? select_item(t, key) : NULL;
    case TY_OBJECT:
        return select_prop(a, t, key);
    case TY_SET:
        return select_member(a, t, key);
    case TY_ANY: {
        const struct type *all = NULL;
        for (size_t i = 0; i < t->any.n; i++) {
            all = type_or(a, type_select(a, t->any.v[i], key), all);
        }
        return t->any.n == 0 ? t : all;
    }
    default:
        return NULL;
    }
}

const struct type *type_keys(struct arena *a, const struct type *t)
{
    t = type_plain(t);
    const struct type *all = NULL;
    if (t == NULL) {
        return NULL;
    }
    switch (t->kind) {
    case TY_ARRAY:
        return type_number();
    case TY_OBJECT:
        for (size_t i = 0; i < t->object.n; i++) {
            all = type_or(a, all, type_of_value(a, t->object.props[i].key));
        }
        return t->object.open ? type_or(a, all, t->object.key) : all;
    case TY_SET:
        return t->of;
    case TY_ANY:
        for (size_t i = 0; i < t->any.n; i++) {
            all = type_or(a, type_keys(a, t->any.v[i]), all);
        }
        return t->any.n == 0 ? t : all;
    default:
        return NULL;
    }
}

const struct type *type_values(struct arena *a, const struct type *t)
{
    t = type_plain(t);
    const struct type *all = NULL;
    if (t == NULL) {
        return NULL;
    }
    switch (t->kind) {
    case TY_ARRAY:
        for (size_t i = 0; i < t->array.items.n; i++) {
            all = type_or(a, all, t->array.items.v[i]);
        }
        return type_or(a, all, t->array.rest);
    case TY_OBJECT:
        for (size_t i = 0; i < t->object.n; i++) {
            all = type_or(a, all, t->object.props[i].value);
        }
        return t->object.open ? type_or(a, all, t->object.value) : all;
    case TY_SET:
        return t->of;
    case TY_ANY:
        for (size_t i = 0; i < t->any.n; i++) {
            all = type_or(a, type_values(a, t->any.v[i]), all);
        }
        return t->any.n == 0 ? t : all;
    default:
        return NULL;
    }
}

bool type_is_empty(const struct type *t)
{
    t = type_plain(t);
    if (t == NULL) {
        return false;
    }
    return (t->kind == TY_OBJECT && t->object.n == 0 && !t->object.open) ||
           (t->kind == TY_ARRAY && t->array.items.n == 0 && t->array.rest == NULL) ||
           (t->kind == TY_SET && t->of == NULL);
}
