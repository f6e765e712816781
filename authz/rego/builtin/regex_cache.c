#include "authz/rego/builtin/regex_cache.h"

#include <stdlib.h>

struct slot {
    uint64_t hash;
    char *pattern;
    size_t n;
    uint64_t used; /* when, in calls */
    struct regex *re;
};

enum { WAYS = 4, QUICK_SETS = REGEX_QUICK_MAX / WAYS, SETS = REGEX_CACHE_MAX / WAYS };

/*
 * Quick ones are small and many; the others may each grow to REGEX_MEM_MAX. Each thread has its own: bundles are
 * compiled on the pool, and a schema in an annotation may hold patterns.
 */
static _Thread_local struct slot quick[QUICK_SETS][WAYS], slots[SETS][WAYS];
static _Thread_local uint64_t calls;
static _Thread_local unsigned long misses;

unsigned long regex_cache_misses(void)
{
    return misses;
}

static struct slot *oldest(struct slot *set)
{
    struct slot *s = &set[0];
    for (int i = 1; i < WAYS; i++) {
        s = set[i].used < s->used ? &set[i] : s;
    }
    return s;
}

static struct regex *find(struct slot *set, uint64_t hash, struct str pattern)
{
    for (int i = 0; i < WAYS; i++) {
        struct slot *s = &set[i];
        if (s->hash == hash && s->re != NULL && s->n == pattern.n &&
            memcmp(s->pattern, pattern.p, pattern.n) == 0) {
            s->used = calls;
            return s->re;
        }
    }
    return NULL;
}

static void put(struct slot *s, uint64_t hash, struct str pattern, struct regex *re)
{
    regex_free(s->re);
    free(s->pattern);
    *s = (struct slot){
        .hash = hash, .re = re, .n = pattern.n, .used = calls, .pattern = malloc(pattern.n + 1)};
    BUG_ON(s->pattern == NULL);
    memcpy(s->pattern, pattern.p != NULL ? pattern.p : "", pattern.n);
}

struct err regex_cached(struct str pattern, struct regex **out)
{
    uint64_t hash = str_hash_fast(pattern);
    struct slot *quick_set = quick[hash % QUICK_SETS], *set = slots[hash % SETS];
    calls++;
    struct regex *re = find(quick_set, hash, pattern);
    re = re != NULL ? re : find(set, hash, pattern);
    if (re == NULL) {
        misses++;
        TRY(regex_compile(pattern, 0, &re));
        put(oldest(regex_is_quick(re) ? quick_set : set), hash, pattern, re);
    }
    *out = re;
    return OK;
}
