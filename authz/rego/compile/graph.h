/*
 * graph: which rules a rule may read.
 *
 * Vertices are rules (with else branches on their own), places of the rule tree ("all rules that stand
 * here") and subtrees, so that a reference to a place or a package is one edge however many rules are
 * there. A variable in a reference matches anything, unless an earlier expression of the body binds it
 * to at most KNOWN_MAX constants.
 */
#ifndef SEXTANT_REGO_GRAPH_H
#define SEXTANT_REGO_GRAPH_H

#include "authz/rego/compile/compile_priv.h"

enum { KNOWN_MAX = 64 };

/* The constants that a variable may hold, bound by the body's expression `at`. */
struct known {
    const struct local *local;
    size_t at;
    struct val *v;
    size_t n;
};

struct known_list {
    struct known *v;
    size_t n, cap;
};

/* One reference of a rule to data. */
struct ref_use {
    const struct term *ref;
    size_t at; /* the expression of the body it stands in; behind the last: in the head */
    bool has_vars;
};

struct vertex {
    uint32_t *to;
    size_t n, cap;
};

struct graph {
    struct arena *a;
    struct vertex *vertices;
    size_t n;
    struct crule **rules; /* by id */
    uint32_t n_rules, n_nodes;
    struct crule **order; /* those that are read stand before those that read them */
    size_t n_order;
    uint32_t *component;    /* of each vertex */
    uint32_t *sizes;        /* of each component */
    struct vertex *readers; /* the edges backwards, made when first needed */
};

/* References of `cr` to data, in the order in which they stand. */
struct ref_use *graph_uses(struct compiler *c, struct crule *cr, size_t *n);
struct known_list graph_known(struct compiler *c, const struct rule *r);
/* The values that `t` may have before expression `at`; NULL if that is not known. */
const struct known *graph_values(struct compiler *c, const struct known_list *l, size_t at,
                                 const struct term *t, struct known *room);
/* The term `i` of a rule's reference from data on; NULL if it is not constant. */
struct val graph_rule_term(struct compiler *c, const struct crule *cr, size_t i);
size_t graph_rule_length(const struct crule *cr);
/* May `ref` (with what is known of its variables) refer to the rule? */
bool graph_may_refer(struct compiler *c, const struct known_list *l, const struct ref_use *u,
                     const struct crule *cr);
/* Calls `fn` with every rule that a reference to `ref` may read, and with all who read those. */
void graph_dependents(struct compiler *c, const struct term *ref,
                      void (*fn)(void *ctx, struct crule *cr), void *ctx);

/* recursion.c: tells of every rule that reads itself. */
void recursion_check(struct compiler *c);

#endif
