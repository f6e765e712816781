/*
 * td: one running evaluation.
 *
 * Solutions are passed on, not collected: whoever finds one calls the continuation (struct k), and
 * looks for the next when it returns. So a body is a nest of calls, as deep as it has expressions, and
 * bindings are undone on the way back. A continuation returns NULL for "go on", or a halt: an error, or
 * an early exit of a rule whose further solutions could not change anything.
 */
#ifndef SEXTANT_REGO_TD_H
#define SEXTANT_REGO_TD_H

#include "authz/rego/eval/eval_priv.h"
#include "authz/rego/topdown/program.h"
#include "authz/rego/trace.h"

#include <inttypes.h>

enum halt_kind { HALT_EXIT, HALT_DEFER, HALT_ERROR };

struct halt {
    enum halt_kind kind;
    struct halt *prev; /* the exit of an outer rule that this one carries */
};

extern struct halt halt_error;

struct k {
    struct halt *(*run)(struct k *self);
};

struct binds;

struct bound {
    struct sym *sym;
    struct tt *t;
    struct binds *b; /* where the variables of `t` are bound */
};

struct binds {
    uint64_t id;
    struct bound *v; /* in the order of binding; undone in the reverse order */
    size_t n, cap;
};

struct cached {
    const void *what;
    struct val key, v; /* VAL_UNDEF: known to be undefined */
    uint64_t hash;
};

struct vcache {
    struct cached *v;
    size_t n, slots;
};

struct tmock {
    const struct tt *target;
    struct tt *value;
};

/* What `with` replaces. */
struct tworld {
    struct val input, data;
    struct vcache cache;
    struct tt **targets;
    size_t n_targets;
    struct tmock *mocks;
    size_t n_mocks;
    struct tworld *outer;
};

struct partial;

struct td {
    struct arena *a;
    const struct rego_topdown *t;
    struct symtab syms;
    struct eval ev; /* what builtins see; holds budgets and the error */
    struct tworld *w;
    uint64_t next_id;
    char *stack_base;
    const struct rego_tracer *tracer;
    const struct map *written; /* of the query */
    struct loc last_loc;
    struct str last_file;
    struct partial *pe; /* NULL: everything is known */
    struct str var_prefix;
    struct te *root;
};

/* One body that is being evaluated. */
struct te {
    struct td *td;
    struct te *parent;
    const struct tbody *query;
    size_t index;
    uint64_t id;
    struct binds *b;
    struct str file;
    bool find_one, defined;
    unsigned unrolled, made_up;
};

/* What the evaluator hands over when terms are unified. */
static inline struct halt *k_run(struct k *k)
{
    return k->run(k);
}

/* run.c */
void te_closure(struct te *e, const struct tbody *query, struct te *out);
void te_child(struct te *e, const struct tbody *query, struct str file, struct te *out);
struct halt *td_error(struct te *e, const char *code, struct str file, struct loc loc,
                      const char *fmt, ...) PRINTF_LIKE(5, 6);
bool td_step(struct td *td); /* false: out of budget; the error is on record */
struct halt *eval_body(struct te *e, struct k *k);
struct halt *eval_next(struct te *e, struct k *k);
/* The expression at work, and then the ones behind it, or with `advance` off only `k`. */
struct halt *eval_step(struct te *e, struct k *k, bool advance);
struct halt *halt_unwrap(struct halt *h); /* behind a rule: its own exit ends here */
const struct texpr *te_expr(const struct te *e);

/* bind.c */
struct binds *binds_new(struct td *td, uint64_t id);
void binds_push(struct td *td, struct binds *b, struct sym *s, struct tt *t, struct binds *of);
static inline void binds_pop(struct binds *b)
{
    b->n--;
}
void binds_apply(struct tt **t, struct binds **b);
/* The term with variables replaced by their values; those of other lists than `caller` get its id. */
struct tt *plug(struct td *td, struct tt *t, struct binds *b);
struct tt *plug_for(struct td *td, struct tt *t, struct binds *b, const struct binds *caller);
struct tt *name_space_var(struct td *td, struct tt *var, const struct binds *b,
                          const struct binds *caller);
void name_space_body(struct td *td, struct tbody *b, const struct binds *from,
                     const struct binds *caller);
struct tt *name_space_term(struct td *td, struct tt *t, const struct binds *from,
                           const struct binds *caller);

/* unify.c */
struct halt *unify(struct te *e, struct tt *a, struct tt *b, struct binds *b1, struct binds *b2,
                   struct k *k);
struct halt *unify_lists(struct te *e, struct tt **a, struct tt **b, size_t n, struct binds *b1,
                         struct binds *b2, struct k *k);
struct tt **tt_elements(struct td *td, const struct tt *t, size_t *n);
struct halt *unify_comprehension(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                                 struct binds *b2, bool swap, struct k *k);

/* ref.c */
struct tref {
    struct te *e;
    struct tt *ref;
    size_t pos;
    struct binds *b;
    struct tt *term; /* what the reference has come to */
    struct binds *tb;
    struct tt *rterm; /* what it is unified with in the end */
    struct binds *rb;
    struct tt *plugged; /* the reference with what is known of it */
    const struct tnode *node;
    struct k *k;
};
struct halt *eval_tree(struct tref r);
struct halt *eval_term(struct tref r);
/* The base document at a reference that is constant up to `n`; VAL_UNDEF. */
struct val base_at(struct td *td, const struct tt *ref, size_t n);
bool is_target(const struct td *td, const struct tt *ref, size_t n);
struct val input_at(struct td *td, const struct tt *ref);

/* rule.c, part.c */
struct halt *eval_virtual(struct tref r);
struct halt *eval_complete(struct tref r);
struct halt *eval_members(struct tref r);
struct halt *conflict_error(struct te *e, const struct tnode *n, const struct trule *clashing,
                            struct tt **args, struct binds *b, struct val first,
                            const struct trule *first_by);
bool cache_get(struct td *td, const void *what, struct val key, struct val *out);
void cache_put(struct td *td, const void *what, struct val key, struct val v);

/* func.c */
struct call {
    struct tt **t;
    size_t n;
    const struct builtin *builtin;
    const struct tnode *func;
};
struct halt *eval_call_expr(struct te *e, struct call c, struct k *k);
void find_operator(struct td *td, const struct tt *ref, const struct builtin **builtin,
                   const struct tnode **func);

/* with.c, logic.c */
struct halt *eval_with(struct te *e, struct k *k);
struct halt *eval_every(struct te *e, const struct texpr *x, struct k *k);
struct halt *eval_not(struct te *e, struct k *k);
struct halt *eval_not_body(struct te *e, const struct texpr *x, struct k *k);
struct halt *eval_logic(struct te *e, const struct texpr *x, struct k *k);

/* trace.c: nothing when nobody listens. */
void trace_expr(struct te *e, enum rego_op op, const struct texpr *x, struct str message);
void trace_rule(struct te *e, enum rego_op op, const struct trule *r);
void trace_body(struct te *e, enum rego_op op, const struct tbody *b);
void trace_index(struct te *e, const struct tnode *n, const struct tt *ref, size_t pos);
void trace_unify(struct te *e, struct tt *a, struct tt *b);

/* to_ast.c */
struct term *term_from_tt(struct arena *a, const struct tt *t);
struct expr *expr_from_tx(struct arena *a, const struct texpr *e);
struct body *body_from_tb(struct arena *a, const struct tbody *b);
/* The reference of its head is taken as it stands. */
struct rule *rule_from_tr(struct arena *a, const struct trule *r);

void td_start(struct td *td, const struct rego_topdown_query *q, const struct rego_eval_options *o,
              const struct rego_tracer *tracer, struct arena *a, struct te *root);
void td_finish(struct td *td);

#endif
