/* why_priv: the search for the fewest expressions that stand in the way of an answer. */
#ifndef SEXTANT_REGO_WHY_PRIV_H
#define SEXTANT_REGO_WHY_PRIV_H

#include "authz/rego/topdown/td.h"
#include "authz/rego/why.h"

enum { WHY_CHANGES_MAX = 12, WHY_WISHED_MAX = 64, WHY_KEPT_MAX = 64 };

/* A variable that has no value because what should give it failed. */
struct wished {
    struct sym *sym;
    struct binds *b;
    size_t change; /* the one that would give it a value */
};

struct why {
    struct td *td;
    struct arena *a;
    struct rego_change changes[WHY_CHANGES_MAX];
    size_t n, most; /* changes so far; no way with more than `most` is of interest */
    struct wished wished[WHY_WISHED_MAX];
    size_t n_wished;
    unsigned depth;
    struct rego_way ways[WHY_KEPT_MAX];
    size_t n_ways;
    const struct trule *top; /* the rule whose body is searched */
};

/* What an expression that fails, or with `hold` one that must no longer hold, would need. */
void why_describe(struct why *w, struct te *e, const struct texpr *x, bool hold,
                  struct rego_change *out);
/* Makes an earlier change say more: this expression uses the value it should give. */
void why_refine(struct why *w, struct te *e, const struct texpr *x, struct rego_change *c);
const struct wished *why_find_wished(const struct why *w, struct te *e, const struct texpr *x);
bool why_reads_input(struct why *w, struct te *e, const struct texpr *x);

#endif
