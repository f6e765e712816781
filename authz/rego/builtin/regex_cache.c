#include "authz/rego/builtin/regex_cache.h"

#include <stdlib.h>

struct slot {
    uint64_t hash;
    char *pattern;
    size_t n;
    struct regex *re;
};

static struct slot slots[REGEX_CACHE_MAX];

struct err regex_cached(struct str pattern, struct regex **out)
{
    uint64_t hash = str_hash(pattern);
    struct slot *s = &slots[hash % REGEX_CACHE_MAX];
    if (s->re != NULL && s->hash == hash && str_eq(str_n(s->pattern, s->n), pattern)) {
        *out = s->re;
        return OK;
    }
    struct regex *re;
    TRY(regex_compile(pattern, 0, &re));
    regex_free(s->re);
    free(s->pattern);
    *s = (struct slot){.hash = hash, .re = re, .n = pattern.n, .pattern = malloc(pattern.n + 1)};
    BUG_ON(s->pattern == NULL);
    memcpy(s->pattern, pattern.p != NULL ? pattern.p : "", pattern.n);
    *out = re;
    return OK;
}
