#include "authz/rego/value/value_priv.h"

#include <inttypes.h>
#include <stdlib.h>

static uint64_t mix(uint64_t h, uint64_t v)
{
    unsigned __int128 m = (unsigned __int128)(h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return ((uint64_t)m ^ (uint64_t)(m >> 64)) | 1;
}

struct vstr *val_str_room(struct arena *a, size_t n)
{
    struct vstr *s = arena_alloc_raw(a, sizeof *s + STR_WORDS(n) * 8, 8);
    s->h = (struct vhead){.type = V_STRING, .n = (uint32_t)n};
    return s;
}

struct val val_str_done(struct vstr *s)
{
    memset(s->p + s->h.n, 0, STR_WORDS(s->h.n) * 8 - s->h.n);
    return val_of(s);
}

struct val val_str(struct arena *a, struct str s)
{
    struct vstr *v = val_str_room(a, s.n);
    if (s.n > 0) {
        memcpy(v->p, s.p, s.n);
    }
    return val_str_done(v);
}

static struct val number_text(struct arena *a, struct str text, enum num_kind kind)
{
    struct vnum *n = arena_alloc_raw(a, sizeof *n + text.n, 8);
    n->h = (struct vhead){.type = V_NUMBER, .flags = (uint8_t)kind, .n = (uint32_t)text.n};
    memcpy(n->text, text.p, text.n);
    return val_of(n);
}

struct val val_int(struct arena *a, int64_t i)
{
    if (likely(i >= -(INT64_C(1) << 61) && i < INT64_C(1) << 61)) {
        return (struct val){((uint64_t)i << 2) | 1};
    }
    char text[24];
    int n = snprintf(text, sizeof text, "%" PRId64, i);
    return number_text(a, str_n(text, (size_t)n), NUM_I64);
}

struct val val_num(struct arena *a, struct num x)
{
    return x.kind == NUM_I64 ? val_int(a, x.i) : number_text(a, x.text, x.kind);
}

struct str val_num_text(struct val v)
{
    return str_n(((const struct vnum *)(uintptr_t)v.w)->text, val_head(v)->n);
}

struct num val_number(struct val v)
{
    if (val_is_small(v)) {
        return num_int(val_small(v));
    }
    struct num n = {.kind = (enum num_kind)val_head(v)->flags, .text = val_num_text(v)};
    if (n.kind == NUM_I64) {
        BUG_ON(failed(num_parse(n.text, &n)));
    }
    return n;
}

static const struct varr empty_array = {.h = {.type = V_ARRAY, .depth = 1}};
static const struct vtab empty_object = {.h = {.type = V_OBJECT, .depth = 1}};
static const struct vtab empty_set = {.h = {.type = V_SET, .depth = 1}};

struct val val_empty_array(void)
{
    return val_of(&empty_array);
}
struct val val_empty_object(void)
{
    return val_of(&empty_object);
}
struct val val_empty_set(void)
{
    return val_of(&empty_set);
}

static uint16_t depth_over(const struct val *v, size_t n)
{
    unsigned d = 0;
    for (size_t i = 0; i < n; i++) {
        if (val_is_ptr(v[i]) && val_head(v[i])->depth > d) {
            d = val_head(v[i])->depth;
        }
    }
    return (uint16_t)MIN(d + 1, 65535u);
}

struct val val_array(struct arena *a, const struct val *items, size_t n)
{
    if (n == 0) {
        return val_empty_array();
    }
    struct varr *r = arena_alloc_raw(a, sizeof *r + n * sizeof *items, 8);
    r->h = (struct vhead){.type = V_ARRAY, .n = (uint32_t)n, .depth = depth_over(items, n)};
    memcpy(r->v, items, n * sizeof *items);
    return val_of(r);
}

static uint32_t index_slots(uint32_t n)
{
    return UINT32_C(1) << (32 - __builtin_clz(n * 2 - 1));
}

static const uint32_t *index_of(const struct vtab *t, size_t step)
{
    return (const uint32_t *)(const void *)(t->v + t->h.n * step);
}

static void index_build(struct vtab *t, size_t step, uint32_t *index, uint32_t slots)
{
    memset(index, 0, slots * sizeof *index);
    for (uint32_t i = 0; i < t->h.n; i++) {
        uint32_t at = (uint32_t)val_hash(t->v[i * step]) & (slots - 1);
        while (index[at] != 0) {
            at = (at + 1) & (slots - 1);
        }
        index[at] = i + 1;
    }
}

/* Containers as keys are found by their order: hashing them would cost more, for each look-up anew. */
static bool scalar_keys(const struct val *v, size_t n, size_t step)
{
    for (size_t i = 0; i < n; i++) {
        if (val_type(v[i * step]) >= V_ARRAY) {
            return false;
        }
    }
    return true;
}

struct val val_table(struct arena *a, enum vtype type, const struct val *v, size_t n)
{
    size_t step = type == V_OBJECT ? 2 : 1;
    if (n == 0) {
        return type == V_OBJECT ? val_empty_object() : val_empty_set();
    }
    bool indexed = n >= VAL_INDEX_FROM && scalar_keys(v, n, step);
    uint32_t slots = indexed ? index_slots((uint32_t)n) : 0;
    struct vtab *t =
        arena_alloc_raw(a, sizeof *t + n * step * sizeof *v + slots * sizeof(uint32_t), 8);
    t->h =
        (struct vhead){.type = (uint8_t)type, .n = (uint32_t)n, .depth = depth_over(v, n * step)};
    memcpy(t->v, v, n * step * sizeof *v);
    if (indexed) {
        t->h.flags = VF_INDEX;
        index_build(t, step, (uint32_t *)(void *)(t->v + n * step), slots);
    }
    return val_of(t);
}

static int64_t find_sorted(const struct vtab *t, size_t step, struct val key)
{
    uint32_t lo = 0, hi = t->h.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = val_cmp(t->v[mid * step], key);
        if (c == 0) {
            return mid;
        }
        if (c < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return -1;
}

static int64_t find_indexed(const struct vtab *t, size_t step, struct val key)
{
    const uint32_t *index = index_of(t, step);
    uint32_t mask = index_slots(t->h.n) - 1, at = (uint32_t)val_hash(key) & mask;
    for (; index[at] != 0; at = (at + 1) & mask) {
        if (val_eq(t->v[(index[at] - 1) * step], key)) {
            return index[at] - 1;
        }
    }
    return -1;
}

/* Position of `key` in the table, or -1. */
static int64_t table_find(const struct vtab *t, size_t step, struct val key)
{
    if (t->h.n >= VAL_INDEX_FROM) {
        return (t->h.flags & VF_INDEX) != 0 ? find_indexed(t, step, key)
                                            : find_sorted(t, step, key);
    }
    if (val_is_ptr(key) && val_head(key)->type == V_STRING) {
        for (uint32_t i = 0; i < t->h.n; i++) {
            struct val k = t->v[i * step];
            if (val_is_ptr(k) && str_same(val_head(k), val_head(key))) {
                return i;
            }
        }
        return -1;
    }
    for (uint32_t i = 0; i < t->h.n; i++) {
        if (val_eq(t->v[i * step], key)) {
            return i;
        }
    }
    return -1;
}

struct val val_get(struct val obj, struct val key)
{
    if (!val_is(obj, V_OBJECT)) {
        return VAL_UNDEF;
    }
    const struct vtab *t = val_tab(obj);
    int64_t at = table_find(t, 2, key);
    return at < 0 ? VAL_UNDEF : t->v[2 * at + 1];
}

struct val val_get_str(struct val obj, const char *key)
{
    if (!val_is(obj, V_OBJECT)) {
        return VAL_UNDEF;
    }
    size_t n = strlen(key);
    struct {
        struct vhead h;
        char p[64];
    } probe = {.h = {.type = V_STRING, .n = (uint32_t)n}};
    BUG_ON(n >= sizeof probe.p);
    memcpy(probe.p, key, n);
    return val_get(obj, val_of(&probe));
}

bool val_has(struct val set, struct val item)
{
    return val_is(set, V_SET) && table_find(val_tab(set), 1, item) >= 0;
}

bool val_to_i64(struct val v, int64_t *out)
{
    if (val_is_small(v)) {
        *out = val_small(v);
        return true;
    }
    return val_is(v, V_NUMBER) && num_to_i64(val_number(v), out);
}

struct val val_index(struct val v, struct val key)
{
    int64_t i;
    if (!val_is_ptr(v)) {
        return VAL_UNDEF;
    }
    switch (val_head(v)->type) {
    case V_OBJECT:
        return val_get(v, key);
    case V_ARRAY:
        return val_to_i64(key, &i) && i >= 0 && i < val_len(v) ? val_arr(v)->v[i] : VAL_UNDEF;
    case V_SET:
        i = table_find(val_tab(v), 1, key);
        return i < 0 ? VAL_UNDEF : val_tab(v)->v[i];
    default:
        return VAL_UNDEF;
    }
}

static size_t words(struct val v)
{
    return (size_t)val_len(v) * (val_head(v)->type == V_OBJECT ? 2 : 1);
}

static const struct val *word_list(struct val v)
{
    return val_head(v)->type == V_ARRAY ? val_arr(v)->v : val_tab(v)->v;
}

static uint64_t hash_string(const struct vhead *h)
{
    return str_hash_fast(str_n(((const struct vstr *)h)->p, h->n)) | 1;
}

uint64_t val_hash(struct val v)
{
    if (val_is_small(v)) {
        return num_hash(num_int(val_small(v)));
    }
    if (!val_is_ptr(v)) {
        return mix(0x77, v.w);
    }
    const struct vhead *h = val_head(v);
    if (h->type == V_STRING) {
        return hash_string(h);
    }
    if (h->type == V_NUMBER) {
        return num_hash(val_number(v));
    }
    uint64_t r = 0x1234567 + h->type;
    size_t n = words(v);
    const struct val *w = word_list(v);
    for (size_t i = 0; i < n; i++) {
        r = mix(r, val_hash(w[i]));
    }
    return r;
}

enum { QUICK_WORDS = 6, QUICK_BYTES = 64 };

/* Of a long string: its length, some words spread over it, and its end. */
static uint64_t hash_string_quick(const struct vhead *h)
{
    if (h->n <= QUICK_BYTES) {
        return hash_string(h);
    }
    size_t words = STR_WORDS(h->n), step = words / QUICK_WORDS;
    uint64_t r = mix(h->type, h->n);
    for (size_t i = 0; i < words; i += step) {
        r = mix(r, str_word(h, i));
    }
    return mix(mix(r, str_word(h, words - 1)), str_word(h, words - 2));
}

uint64_t val_hash_quick(struct val v)
{
    if (val_is_ptr(v) && val_head(v)->type == V_STRING) {
        return hash_string_quick(val_head(v));
    }
    if (!val_is_ptr(v) || val_head(v)->type == V_NUMBER) {
        return val_hash(v);
    }
    uint64_t r = mix(val_head(v)->type, val_head(v)->n);
    size_t n = MIN(words(v), (size_t)QUICK_WORDS);
    const struct val *w = word_list(v);
    for (size_t i = 0; i < n; i++) {
        r = mix(r,
                val_is_ptr(w[i]) && val_type(w[i]) >= V_ARRAY ? val_head(w[i])->n : val_hash(w[i]));
    }
    return r;
}

bool val_eq(struct val a, struct val b)
{
    if (a.w == b.w) {
        return true;
    }
    if (!val_is_ptr(a) || !val_is_ptr(b)) {
        return val_is(a, V_NUMBER) && val_is(b, V_NUMBER) &&
               num_cmp(val_number(a), val_number(b)) == 0;
    }
    const struct vhead *x = val_head(a), *y = val_head(b);
    if (x->type != y->type) {
        return false;
    }
    if (x->type == V_STRING) {
        return str_same(x, y);
    }
    if (x->type == V_NUMBER) {
        return num_cmp(val_number(a), val_number(b)) == 0;
    }
    if (x->n != y->n) {
        return false;
    }
    const struct val *p = word_list(a), *q = word_list(b);
    for (size_t i = 0, n = words(a); i < n; i++) {
        if (!val_eq(p[i], q[i])) {
            return false;
        }
    }
    return true;
}

static int cmp_words(struct val a, struct val b)
{
    size_t n = words(a), m = words(b);
    const struct val *p = word_list(a), *q = word_list(b);
    for (size_t i = 0; i < MIN(n, m); i++) {
        int c = val_cmp(p[i], q[i]);
        if (c != 0) {
            return c;
        }
    }
    return n < m ? -1 : n > m;
}

int val_cmp(struct val a, struct val b)
{
    if (a.w == b.w) {
        return 0;
    }
    enum vtype x = val_type(a), y = val_type(b);
    if (x != y) {
        return x < y ? -1 : 1;
    }
    switch (x) {
    case V_BOOL:
        return val_is_false(a) ? -1 : 1;
    case V_NUMBER:
        if (val_is_small(a) && val_is_small(b)) {
            return val_small(a) < val_small(b) ? -1 : 1;
        }
        return num_cmp(val_number(a), val_number(b));
    case V_STRING:
        return val_str_cmp(a, b);
    case V_ARRAY:
    case V_OBJECT:
    case V_SET:
        return cmp_words(a, b);
    default:
        return 0;
    }
}

const char *val_type_name(struct val v)
{
    static const char *const names[] = {"undefined", "null",   "boolean", "number",   "string",
                                        "array",     "object", "set",     "document", "list"};
    return names[val_type(v)];
}
