/* check_priv: the checker's state, shared by the files that infer types. */
#ifndef SEXTANT_REGO_CHECK_PRIV_H
#define SEXTANT_REGO_CHECK_PRIV_H

#include "authz/rego/types/check.h"
#include "authz/rego/types/env.h"
#include "authz/rego/types/lower.h"

/* A change to the type of a variable, to be taken back where its closure ends. */
struct var_change {
    uint32_t id;
    const struct type *before;
};

/* What a comprehension was found to be, as long as nothing around it changed. */
struct remembered {
    const struct term *comp;
    const struct type_env *env;
    uint64_t stamp;
    const struct type *type;
    struct rego_errors errors;
    struct remembered *next;
};

struct checker {
    struct compiler *c;
    struct arena *a;
    struct type_env *env;
    const struct type **vars; /* by the id of the local */
    size_t n_vars, cap_vars;
    struct var_change *changes;
    size_t n_changes, cap_changes;
    uint64_t stamp; /* of the state of vars */
    struct remembered *remembered;
    struct rego_errors errors; /* of the body at work on */
    struct map *signatures;    /* name to type of a builtin, as far as they were asked for */
    struct map *relaxed;       /* text of a `with` target to the tree of what depends on it */
    struct map *schemas;       /* name to type, as far as they were asked for */
};

/* infer.c: types of terms. */
const struct type *infer(struct checker *k, const struct term *t);
const struct type *infer_ref(struct checker *k, const struct term *ref, size_t n);
const struct type *infer_operator(struct checker *k, const struct term *op);
const struct type *var_type(const struct checker *k, const struct local *l);
void var_set(struct checker *k, const struct local *l, const struct type *t);
void vars_restore(struct checker *k, size_t changes, uint64_t stamp);
bool is_input_or_data(const struct term *t); /* the variable of a root document */

/* body.c: errors of bodies; they are added to k->errors. */
void check_body(struct checker *k, const struct body *b);
const struct type *check_comprehension(struct checker *k, const struct term *comp);

/* unify.c */
bool unifies(const struct type *x, const struct type *y);
/* Makes `t` be of type `type`: variables without a type get one. False when it cannot be. */
bool unify_term(struct checker *k, const struct term *t, const struct type *type, bool join);
bool unify_terms(struct checker *k, const struct term *x, const struct type *tx,
                 const struct term *y, const struct type *ty);

/* refs.c */
void check_ref(struct checker *k, const struct term *ref);

/* check.c */
void types_dependents(struct compiler *c, const struct term *ref,
                      void (*fn)(void *ctx, struct crule *cr), void *ctx);
const struct type *type_keep(struct arena *a, const struct type *t);

/* schema_env.c: the layers that schemas give. */
void schema_input(struct checker *k, struct type_env *outer);
struct type_env *schema_env(struct checker *k, const struct crule *cr, struct type_env *env);

/* detail.c: errors with their detail lines. */
void error_match(struct checker *k, struct loc loc, const struct type *left,
                 const struct type *right);
void error_arguments(struct checker *k, struct loc loc, struct str name, const char *what,
                     struct type_list have, const struct type *func, bool with_result);
void error_ref(struct checker *k, const struct term *ref, size_t at, const struct type *have,
               const struct type *want, struct val one_of);
void error_ref_unsupported(struct checker *k, const struct term *ref, size_t at,
                           const struct type *have);
bool error_is_unknown(struct type_list l);
void error_add(struct checker *k, struct loc loc, struct str message, struct str details);

#endif
