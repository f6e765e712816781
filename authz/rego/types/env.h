/*
 * env: what is known of documents, as trees of types in layers.
 *
 * The outermost layer holds the rules, those inside of it what a schema annotation or a `with` says for
 * a while. Where a layer knows nothing of a path the next one is asked; where none does, a document may
 * be anything.
 */
#ifndef SEXTANT_REGO_ENV_H
#define SEXTANT_REGO_ENV_H

#include "authz/rego/types/type.h"

struct type_tree {
    struct val key;
    const struct type *type; /* NULL: nothing stands here itself */
    struct type_tree **children;
    size_t n, cap;
    uint32_t *slots; /* hash index over children, once there are many */
    size_t n_slots;
};

struct type_env {
    struct type_env *next;
    struct type_tree *tree;
};

struct type_tree *type_tree_new(struct arena *a);
struct type_tree *type_tree_child(const struct type_tree *t, struct val key); /* or NULL */
struct type_tree *type_tree_make(struct arena *a, struct type_tree *t, const struct val *path,
                                 size_t n);
void type_tree_put(struct arena *a, struct type_tree *t, const struct val *path, size_t n,
                   const struct type *type);
/* As put, but joined with what is there, above and below. */
void type_tree_insert(struct arena *a, struct type_tree *t, const struct val *path, size_t n,
                      const struct type *type);
/* The type of all that stands at and below a place. */
const struct type *type_tree_extent(struct arena *a, const struct type_tree *t);
const struct type *type_tree_keys(struct arena *a, const struct type_tree *t);

#endif
