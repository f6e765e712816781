/* The last stages: `==` unifies, and what must be evaluated before a call stands before it. */
#include "authz/rego/topdown/program.h"

static void equals_in_term(struct lowering *l, struct tt *t)
{
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        equals_in_term(l, t->list.v[i]);
    }
    if (tt_is_comp(t)) {
        unify_equals(l, t->comp.body);
    }
}

void unify_equals(struct lowering *l, struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *e = b->v[i];
        bool equal = e->kind == TX_CALL && e->n == 3 && e->builtin != NULL &&
                     strcmp(e->builtin->name, "equal") == 0;
        if (equal) {
            struct tt *op = tt_list(l->a, TT_REF, 1, e->t[0]->loc);
            op->list.v[0] = tt_var(l->a, sym_get(l->syms, S("eq")), e->t[0]->loc);
            e->t[0] = op;
            e->eq = true;
            e->builtin = NULL;
        }
        for (size_t k = 0; k < e->n; k++) {
            equals_in_term(l, e->t[k]);
        }
        if (e->lhs != NULL) {
            unify_equals(l, e->lhs);
        }
        if (e->rhs != NULL) {
            unify_equals(l, e->rhs);
        }
    }
}

static struct tt *bind_first(struct lowering *l, struct tt *t, const struct texpr *of,
                             struct tbody *out)
{
    struct tt *var = bind_to_local(l, t, out);
    struct texpr *e = out->v[out->n - 1];
    e->with = of->with;
    e->n_with = of->n_with;
    return var;
}

static struct tt *dynamic_one(struct lowering *l, struct tt *t, const struct texpr *of,
                              struct tbody *out)
{
    switch (t->kind) {
    case TT_REF:
        for (size_t i = 1; i < t->list.n; i++) {
            t->list.v[i] = dynamic_one(l, t->list.v[i], of, out);
        }
        return bind_first(l, t, of, out);
    case TT_ARRAY:
    case TT_OBJECT:
    case TT_SET: {
        struct tt *c = tt_list(l->a, t->kind, t->list.n, t->loc);
        for (size_t i = 0; i < t->list.n; i++) {
            c->list.v[i] = dynamic_one(l, t->list.v[i], of, out);
        }
        return tt_fold(l->a, c);
    }
    case TT_ARRAY_COMP:
    case TT_SET_COMP:
    case TT_OBJECT_COMP:
        expand_dynamics(l, t->comp.body);
        return bind_first(l, t, of, out);
    default:
        return t;
    }
}

static struct tt *dynamic_term(struct lowering *l, struct tt *t, const struct texpr *of,
                               struct tbody *out)
{
    if (t->kind == TT_REF) {
        for (size_t i = 1; i < t->list.n; i++) {
            t->list.v[i] = dynamic_one(l, t->list.v[i], of, out);
        }
        return t;
    }
    if (tt_is_comp(t)) {
        expand_dynamics(l, t->comp.body);
        return t;
    }
    return dynamic_one(l, t, of, out);
}

void expand_dynamics(struct lowering *l, struct tbody *b)
{
    struct tbody out = {.loc = b->loc};
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *e = b->v[i];
        bool whole = e->kind == TX_TERM || e->eq;
        for (size_t k = e->kind == TX_CALL; k < e->n; k++) {
            e->t[k] = whole ? dynamic_term(l, e->t[k], e, &out) : dynamic_one(l, e->t[k], e, &out);
        }
        if (e->kind == TX_EVERY) {
            e->domain = dynamic_one(l, e->domain, e, &out);
        }
        if (e->lhs != NULL) {
            expand_dynamics(l, e->lhs);
        }
        if (e->rhs != NULL) {
            expand_dynamics(l, e->rhs);
        }
        tb_push(l->a, &out, e);
    }
    *b = out;
}
