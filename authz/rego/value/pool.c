#include "authz/rego/value/pool.h"

#include "authz/rego/value/value_priv.h"

#include <stdlib.h>

enum { SLOTS_MIN = 1 << 8, SLOTS_MAX = 1 << 17, BYTES_A_SLOT = 64, MEMBERS_MAX = 32 };

/* The hash beside the value: what does not fit is told without a look at far-off memory. */
struct pool_slot {
    uint64_t hash;
    struct val v;
};

struct val_pool {
    size_t mask;
    struct pool_slot slots[];
};

struct val_pool *val_pool_new(size_t bytes)
{
    size_t n = SLOTS_MIN;
    while (n < SLOTS_MAX && n * BYTES_A_SLOT < bytes) {
        n *= 2;
    }
    struct val_pool *p = calloc(1, sizeof *p + n * sizeof p->slots[0]);
    BUG_ON(p == NULL);
    p->mask = n - 1;
    return p;
}

void val_pool_free(struct val_pool *p)
{
    free(p);
}

static size_t words_of(struct val v)
{
    return (size_t)val_len(v) * (val_head(v)->type == V_OBJECT ? 2 : 1);
}

static const struct val *members_of(struct val v)
{
    return val_head(v)->type == V_ARRAY ? val_arr(v)->v : val_tab(v)->v;
}

/* Members are the pool's own, so that words stand for values. */
static uint64_t hash_members(struct val v)
{
    const struct val *w = members_of(v);
    uint64_t h = val_head(v)->type;
    for (size_t i = 0, n = words_of(v); i < n; i++) {
        h = (h ^ w[i].w) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 29;
    }
    return h;
}

/* Collisions cost a value made twice, nothing else: no key is needed. */
static uint64_t hash_string(const struct vhead *s)
{
    uint64_t h = s->n;
    for (size_t i = 0; i < STR_WORDS(s->n); i++) {
        h = (h ^ str_word(s, i)) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 32;
    }
    return h;
}

static bool same(struct val x, struct val y)
{
    const struct vhead *a = val_head(x), *b = val_head(y);
    if (a->type != b->type || a->n != b->n) {
        return false;
    }
    if (a->type == V_STRING) {
        return str_same(a, b);
    }
    if (a->type == V_NUMBER) {
        return str_eq(val_num_text(x), val_num_text(y)); /* 1.0 and 1.00 are written as they were */
    }
    return memcmp(members_of(x), members_of(y), words_of(x) * sizeof x) == 0;
}

struct val val_pooled(struct val_pool *p, struct val v)
{
    if (!val_is_ptr(v)) {
        return v;
    }
    enum vtype t = val_type(v);
    if (t >= V_ARRAY && (val_len(v) > MEMBERS_MAX || val_len(v) == 0)) {
        return v;
    }
    uint64_t h = t == V_STRING   ? hash_string(val_head(v))
                 : t == V_NUMBER ? str_hash_fast(val_num_text(v))
                                 : hash_members(v);
    struct pool_slot *slot = &p->slots[(h >> 20) & p->mask];
    if (slot->hash == h && slot->v.w != 0 && same(slot->v, v)) {
        return slot->v;
    }
    *slot = (struct pool_slot){h, v};
    return v;
}
