/* What one query has learned of the world: the time, random numbers, answers; from run to run if asked to. */
#include "authz/rego/eval/eval_priv.h"

#include "lib/base/clock.h"

#include <stdlib.h>

struct slot {
    struct val key, v;
    uint64_t hash; /* 0: free */
};

struct results {
    struct arena *a;
    struct slot *slots;
    size_t n, mask;
};

struct rego_memory {
    struct arena a;
    struct results cache;
    size_t left; /* bytes that values may still take */
    int64_t now_ns;
};

struct rego_memory *rego_memory_new(size_t budget)
{
    struct rego_memory *m = calloc(1, sizeof *m);
    BUG_ON(m == NULL);
    arena_init(&m->a, 4 * budget + (64 << 20));
    m->cache.a = &m->a;
    m->left = budget;
    return m;
}

void rego_memory_free(struct rego_memory *m)
{
    if (m != NULL) {
        arena_release(&m->a);
        free(m);
    }
}

int64_t memory_now(const struct rego_memory *m)
{
    return m != NULL ? m->now_ns : 0;
}

int64_t b_now_ns(struct bcall *b)
{
    if (b->ev->now_ns == 0) {
        b->ev->now_ns = clock_wall_ns();
        if (b->ev->o->memory != NULL) {
            b->ev->o->memory->now_ns = b->ev->now_ns;
        }
    }
    return b->ev->now_ns;
}

void eval_wait(struct eval *ev)
{
    eval_fail(ev, "eval_waiting", ev->file, ev->loc, "an answer from outside is not there yet");
    ev->waiting = true;
}

/* ---- the table ---- */

static struct slot *slot_of(struct results *c, struct val key, uint64_t hash)
{
    for (size_t at = hash & c->mask;; at = (at + 1) & c->mask) {
        struct slot *s = &c->slots[at];
        if (s->hash == 0 || (s->hash == hash && val_eq(s->key, key))) {
            return s;
        }
    }
}

static void grow(struct results *c)
{
    struct slot *old = c->slots;
    size_t n = old != NULL ? c->mask + 1 : 0;
    c->mask = n == 0 ? 15 : n * 4 - 1;
    c->slots = arena_array(c->a, struct slot, c->mask + 1);
    for (size_t i = 0; i < n; i++) {
        if (old[i].hash != 0) {
            *slot_of(c, old[i].key, old[i].hash) = old[i];
        }
    }
}

static uint64_t hash_of(struct val key)
{
    return val_hash(key) | 1;
}

static struct results *cache_of(struct eval *ev)
{
    if (ev->o->memory != NULL) {
        return &ev->o->memory->cache;
    }
    if (ev->cache == NULL) {
        ev->cache = arena_new(ev->a, struct results);
        ev->cache->a = ev->a;
    }
    return ev->cache;
}

struct val b_cache_get(struct bcall *b, struct val key)
{
    struct results *c = cache_of(b->ev);
    if (c->n == 0) {
        return VAL_UNDEF;
    }
    struct slot *s = slot_of(c, key, hash_of(key));
    return s->hash != 0 ? s->v : VAL_UNDEF;
}

/* Bytes of a value, and no more than `most` are counted. */
static size_t bytes_of(struct val v, size_t most)
{
    size_t n = 64;
    if (val_is(v, V_STRING)) {
        return n + val_len(v);
    }
    if (val_is(v, V_NUMBER)) {
        return n + (val_is_small(v) ? 0 : val_number(v).text.n);
    }
    for (uint32_t i = 0; val_is_collection(v) && i < val_len(v) && n < most; i++) {
        n += 16 + bytes_of(val_nth(v, i), most - n);
        if (val_is(v, V_OBJECT) && n < most) {
            n += bytes_of(val_tab(v)->v[2 * (size_t)i], most - n);
        }
    }
    return n;
}

void b_cache_put(struct bcall *b, struct val key, struct val v)
{
    struct results *c = cache_of(b->ev);
    struct rego_memory *m = b->ev->o->memory;
    if (m != NULL) {
        size_t n = bytes_of(key, m->left);
        n += n < m->left ? bytes_of(v, m->left - n) : 0;
        if (n >= m->left) {
            return;
        }
        m->left -= n;
        key = val_copy(&m->a, key);
        v = val_copy(&m->a, v);
    }
    if (c->n * 2 >= c->mask) {
        grow(c);
    }
    struct slot *s = slot_of(c, key, hash_of(key));
    c->n += s->hash == 0;
    *s = (struct slot){.key = key, .v = v, .hash = hash_of(key)};
}
