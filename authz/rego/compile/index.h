/*
 * index: which definitions of a rule can hold at all for a given input.
 *
 * Definitions of one name often differ in what they compare one place of the input (or one argument) with:
 * `input.method == "GET"`, `f("E")`, `input.action in {"read", "list"}`. The index is a decision tree over such
 * places: each switch looks one up in a hash table and goes on with the definitions that are left, in the order in
 * which they were declared. It never leaves out a definition whose body could hold.
 */
#ifndef SEXTANT_REGO_INDEX_H
#define SEXTANT_REGO_INDEX_H

#include "authz/rego/compile/compile_priv.h"

enum { INDEX_FROM = 3, INDEX_LEAF_MAX = 2, INDEX_DEPTH_MAX = 6 };

struct index_slot {
    struct val key; /* .w == 0: empty */
    const struct index *child;
};

struct index {
    /* A leaf: what is left. */
    struct crule *const *rules;
    size_t n_rules;
    /* A switch over a place; slots is NULL in a leaf. */
    int arg; /* of the function, or -1: the input */
    const struct val *path;
    size_t n_path;
    struct index_slot *slots;
    size_t mask;
    const struct index *other; /* the place is undefined, or has no value of the table */
};

/* NULL when the definitions are few, or differ in nothing that an index could use. */
struct index *index_build(struct compiler *c, struct crule *const *rules, size_t n);

#endif
