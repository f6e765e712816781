/* save: what partial evaluation knows to be unknown, and what it keeps for later. */
#ifndef SEXTANT_REGO_TD_SAVE_H
#define SEXTANT_REGO_TD_SAVE_H

#include "authz/rego/partial.h"
#include "authz/rego/topdown/td.h"

struct unknown {
    struct tt *t;    /* a reference, or a variable … */
    struct binds *b; /* … of this list */
};

struct saved {
    struct texpr *e;
    struct binds *b1, *b2; /* both NULL: nothing to plug */
};

struct disabled {
    bool internal;
    struct tt **refs;
    size_t n;
    struct sym *var;
};

struct support {
    struct tt *package;
    struct trule **rules;
    size_t n, cap;
};

struct partial {
    struct unknown *unknown;
    size_t n_unknown, cap_unknown;
    struct saved *saved; /* a stack of queries: the one at work is on top */
    size_t n_saved, cap_saved, base;
    struct disabled *disabled;
    size_t n_disabled, cap_disabled;
    struct support *support;
    size_t n_support, cap_support;
    bool shallow, nondeterministic, skip_namespace;
    struct val name_space;
    uint64_t search; /* number of the search for unknowns at work */
    struct vset live;
    struct tbody **queries;
    size_t n_queries, cap_queries;
};

bool save_contains(struct td *td, const struct tt *t, const struct binds *b);
bool save_contains_any(struct td *td, struct tt *t, struct binds *b);
bool unknown_term(struct te *e, struct tt *t, struct binds *b);
bool unknown_expr(struct te *e, const struct texpr *x);
bool unknown_body(struct te *e, const struct tbody *body);
bool inlining_disabled(struct td *td, const struct tt *ref, bool ignore_internal);
bool inlining_disabled_var(struct td *td, const struct sym *var, bool ignore_internal);
void inlining_push(struct td *td, struct tt **refs, size_t n, struct sym *var, bool internal);
static inline void inlining_pop(struct td *td)
{
    if (td->pe != NULL) {
        td->pe->n_disabled--;
    }
}
void unknown_push(struct td *td, struct tt *t, struct binds *b);
/* The variables of `t` that have no value are unknown from now on. Returns how many were pushed. */
size_t unknown_push_vars(struct td *td, struct tt *t, struct binds *b);
struct vset unknown_vars(struct td *td, const struct binds *caller);
struct tt *unknown_path(const struct tref *r, struct tt *key);
struct halt *enumerate_unknown_keys(struct tref r, struct halt **deferred);

struct halt *save_unify(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                        struct binds *b2, struct k *k);
struct halt *save_expr(struct te *e, struct texpr *x, struct binds *b, struct k *k);
struct halt *save_expr_unknowns(struct te *e, const struct texpr *x, struct binds *b, struct k *k);
struct halt *save_call(struct te *e, int arity, struct call c, struct k *k);
struct halt *save_term(struct tref r);
struct halt *save_comprehension(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                                struct binds *b2, bool swap, struct k *k);
struct halt *save_every(struct te *e, const struct texpr *x, struct k *k);
struct halt *save_plugged(struct te *e, const struct texpr *x, struct k *k);
/* Expressions that are plugged already; all under the `with` of the expression at work. */
struct halt *save_negated(struct te *e, struct texpr **v, size_t n, struct k *k);
struct halt *not_partial(struct te *e, const struct texpr *x, struct k *k);
struct halt *not_body_partial(struct te *e, const struct texpr *x, struct k *k);
size_t saved_begin(struct td *td); /* a query of its own; returns what saved_end wants */
void saved_end(struct td *td, size_t base);
struct tbody *saved_plug(struct td *td, const struct binds *caller);
struct texpr *plug_expr(struct te *e, const struct texpr *x);
/* Body and terms with values in place of variables; in place: give it a copy. */
void plug_body(struct te *e, struct tbody *b);

/* support.c */
struct tt *name_space_ref(struct td *td, const struct tt *ref);
bool support_exists(struct td *td, const struct tt *path);
void support_add(struct td *td, const struct tt *package, struct trule *r);
void split_path(struct td *td, const struct tt *path, struct tt **package, struct tt **rule);
struct halt *complete_support(struct tref r);
struct halt *partial_support(struct tref r, struct tt *empty);
struct halt *func_support(struct te *e, struct call c, int arity, struct k *k);

/* simplify.c */
struct tbody *simplify(struct td *td, const struct vset *live, bool not_empty,
                       const struct tbody *query);
/* Can the body be true at all, as far as types tell? */
bool may_hold(struct td *td, const struct tbody *b);

#endif
