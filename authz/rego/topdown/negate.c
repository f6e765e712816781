/*
 * Negations of what is unknown. What the negated expression leaves is inverted in place when it is
 * small and simple: not (a and b, or c) is (not a, not c) or (not b, not c). Otherwise it becomes a rule
 * that is negated.
 */
#include "authz/rego/topdown/save.h"

#include <stdlib.h>

struct residuals {
    struct tbody **v;
    size_t n, cap;
};

struct k_residual {
    struct k k;
    struct te *child;
    struct vset live;
    struct residuals *out;
    bool plain; /* not simplified */
};

static struct halt *take_residual(struct k *self)
{
    struct k_residual *c = (struct k_residual *)self;
    struct td *td = c->child->td;
    struct tbody *b = saved_plug(td, td->root->b);
    struct residuals *r = c->out;
    if (!may_hold(td, b)) {
        return NULL;
    }
    if (!c->plain) {
        b = simplify(td, &c->live, true, b);
    }
    r->v = arena_grow(td->a, r->v, r->n, r->n + 1, &r->cap, sizeof(struct tbody *));
    r->v[r->n++] = b;
    return NULL;
}

/* What remains of the body, each way it can hold. */
static struct halt *residuals_of(struct te *e, const struct tbody *body, struct te *child,
                                 const struct vset *live, bool plain, struct residuals *out)
{
    struct td *td = e->td;
    te_closure(e, body, child);
    struct k_residual c = {
        .k = {take_residual}, .child = child, .live = *live, .out = out, .plain = plain};
    size_t base = saved_begin(td);
    struct halt *h = eval_body(child, &c.k);
    saved_end(td, base);
    return h;
}

static bool has_ref_or_call(const struct tt *t)
{
    if (t->kind == TT_REF || t->kind == TT_CALL) {
        return true;
    }
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        if (has_ref_or_call(t->list.v[i])) {
            return true;
        }
    }
    if (!tt_is_comp(t)) {
        return false;
    }
    bool found =
        has_ref_or_call(t->comp.value) || (t->comp.key != NULL && has_ref_or_call(t->comp.key));
    for (size_t i = 0; !found && i < t->comp.body->n; i++) {
        found = t->comp.body->v[i]->kind == TX_CALL;
        for (size_t k = 0; !found && k < t->comp.body->v[i]->n; k++) {
            found = has_ref_or_call(t->comp.body->v[i]->t[k]);
        }
    }
    return found;
}

static bool has_nested(const struct tt *t)
{
    if (t->kind != TT_REF) {
        return has_ref_or_call(t);
    }
    for (size_t i = 1; i < t->list.n; i++) {
        if (has_ref_or_call(t->list.v[i])) {
            return true;
        }
    }
    return false;
}

static bool hard_to_negate(const struct texpr *x);

static bool hard_body(const struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (hard_to_negate(b->v[i])) {
            return true;
        }
    }
    return false;
}

static bool hard_to_negate(const struct texpr *x)
{
    bool hard = false;
    switch (x->kind) {
    case TX_EVERY:
        return true;
    case TX_CALL:
        for (size_t i = 1; i < x->n; i++) {
            hard |= x->eq ? has_nested(x->t[i]) : has_ref_or_call(x->t[i]);
        }
        return hard;
    case TX_TERM:
        return has_nested(x->t[0]);
    default:
        return hard_body(x->lhs) || (x->rhs != NULL && hard_body(x->rhs));
    }
}

enum { INLINE_MAX = 16 };

static bool can_inline(struct td *td, const struct vset *safe, const struct residuals *r)
{
    size_t size = 1;
    for (size_t i = 0; i < r->n; i++) {
        size *= r->v[i]->n;
        if (size > INLINE_MAX) {
            return false;
        }
        for (size_t k = 0; k < r->v[i]->n; k++) {
            const struct texpr *x = r->v[i]->v[k];
            struct vset vars = {.a = td->a};
            if (hard_to_negate(x)) {
                return false;
            }
            if (x->negated || x->kind == TX_NOT) {
                continue;
            }
            tx_vars(x, VARS_SAFETY, &vars);
            vars = vset_minus(td->a, &vars, safe);
            if (vset_missing(&vars, &td->t->reserved) > 0) {
                return false;
            }
        }
    }
    return true;
}

static struct texpr *flipped(struct td *td, const struct texpr *x)
{
    struct texpr *c = tx_copy(td->a, x);
    c->negated = !x->negated;
    return c;
}

static struct texpr *wrapped_in_not(struct td *td, struct texpr *x, bool explicit)
{
    struct texpr *n = tx_new(td->a, TX_NOT, x->loc);
    n->lhs = tb_new(td->a);
    n->explicit_lhs = explicit;
    tb_push(td->a, n->lhs, x);
    return n;
}

/* The expressions that together say the opposite. */
static void complement(struct td *td, struct texpr *x, bool bodies, struct tbody *out)
{
    if (x->negated || (!bodies && x->kind != TX_NOT)) {
        tb_push(td->a, out, flipped(td, x));
        return;
    }
    if (x->kind != TX_NOT) {
        tb_push(td->a, out, wrapped_in_not(td, x, false));
        return;
    }
    for (size_t i = 0; i < x->lhs->n; i++) {
        struct texpr *c = arena_new(td->a, struct texpr);
        *c = *x->lhs->v[i];
        c->with = arena_array(td->a, struct twith, c->n_with + x->n_with + 1);
        for (size_t k = 0; k < c->n_with; k++) {
            c->with[k] = x->lhs->v[i]->with[k];
        }
        for (size_t k = 0; k < x->n_with; k++) {
            c->with[c->n_with++] = x->with[k];
        }
        tb_push(td->a, out, c);
    }
}

static struct halt *product(struct te *e, const struct residuals *r, size_t at, bool bodies,
                            struct tbody *chosen, struct k *k)
{
    struct td *td = e->td;
    if (at == r->n) {
        struct texpr **copy = arena_array(td->a, struct texpr *, chosen->n + 1);
        for (size_t i = 0; i < chosen->n; i++) {
            copy[i] = arena_new(td->a, struct texpr);
            *copy[i] = *chosen->v[i];
        }
        return save_negated(e, copy, chosen->n, k);
    }
    for (size_t i = 0; i < r->v[at]->n; i++) {
        size_t mark = chosen->n;
        complement(td, r->v[at]->v[i], bodies, chosen);
        struct halt *h = product(e, r, at + 1, bodies, chosen, k);
        if (h != NULL) {
            return h;
        }
        chosen->n = mark;
    }
    return NULL;
}

static int by_term(const void *x, const void *y)
{
    const struct tt *const *a = x, *const *b = y;
    return tt_cmp(*a, *b);
}

/* A rule that says what is negated; its parameters are the unknown variables it mentions. */
static struct halt *by_support(struct te *e, const struct te *child, const struct texpr *x,
                               const struct vset *unknown, const struct residuals *r, bool bodies,
                               struct k *k)
{
    struct td *td = e->td;
    struct str name =
        arena_printf(td->a, "__not%" PRIu64 "_%zu_%" PRIu64 "__", e->id, e->index, child->id);
    struct vset used = {.a = td->a};
    for (size_t i = 0; i < r->n; i++) {
        tb_vars(r->v[i], VARS_ALL, &used);
    }
    struct tt *path = tt_list(td->a, TT_REF, 3, x->loc);
    path->list.v[0] = tt_var(td->a, td->t->data, x->loc);
    path->list.v[1] = tt_val(td->a, td->pe->name_space, x->loc);
    path->list.v[2] = tt_val(td->a, val_str(td->a, name), x->loc);
    struct texpr *call = tx_new(td->a, TX_CALL, x->loc);
    call->t = arena_array(td->a, struct tt *, unknown->n + 2);
    call->t[call->n++] = path;
    for (size_t i = 0; i < unknown->n; i++) {
        if (vset_has(&used, unknown->v[i])) {
            call->t[call->n++] = tt_var(td->a, unknown->v[i], x->loc);
        }
    }
    qsort(call->t + 1, call->n - 1, sizeof(struct tt *), by_term);
    call->kind = call->n > 1 ? TX_CALL : TX_TERM;
    for (size_t i = 0; i < r->n; i++) {
        struct trule *rule = arena_new(td->a, struct trule);
        rule->ref = tt_list(td->a, TT_REF, 1, x->loc);
        rule->ref->list.v[0] = tt_var(td->a, sym_get(&td->syms, name), x->loc);
        rule->args = call->t + 1;
        rule->n_args = call->n - 1;
        rule->value = tt_val(td->a, VAL_TRUE, x->loc);
        rule->body = r->v[i];
        support_add(td, ref_slice(td->a, path, 2), rule);
    }
    struct texpr *negated = bodies ? wrapped_in_not(td, call, false) : call;
    negated->negated = !bodies;
    return save_negated(e, &negated, 1, k);
}

static struct halt *negate(struct te *e, const struct texpr *x, const struct tbody *body,
                           bool bodies, struct k *k)
{
    struct td *td = e->td;
    struct te child;
    struct residuals r = {0};
    struct vset unknown = unknown_vars(td, td->root->b);
    struct halt *h = residuals_of(e, body, &child, &unknown, td->pe->shallow, &r);
    if (h != NULL) {
        return h;
    }
    if (r.n == 0) {
        return k_run(k);
    }
    if (!can_inline(td, &unknown, &r)) {
        return by_support(e, &child, x, &unknown, &r, bodies, k);
    }
    struct tbody chosen = {0};
    return product(e, &r, 0, bodies, &chosen, k);
}

struct halt *not_partial(struct te *e, const struct texpr *x, struct k *k)
{
    struct td *td = e->td;
    struct texpr *positive = tx_copy(td->a, x);
    positive->negated = false;
    positive->n_with = 0;
    struct tbody *b = tb_new(td->a);
    tb_push(td->a, b, positive);
    return negate(e, x, b, false, k);
}

struct halt *not_body_partial(struct te *e, const struct texpr *x, struct k *k)
{
    struct td *td = e->td;
    if (!x->explicit_lhs || td->pe->shallow) {
        return negate(e, x, x->lhs, true, k);
    }
    struct te child;
    struct residuals r = {0};
    struct vset none = {.a = td->a};
    struct halt *h = residuals_of(e, x->lhs, &child, &none, true, &r);
    if (h != NULL || r.n == 0) {
        return h != NULL ? h : k_run(k);
    }
    struct texpr **v = arena_array(td->a, struct texpr *, r.n);
    for (size_t i = 0; i < r.n; i++) {
        v[i] = tx_new(td->a, TX_NOT, x->loc);
        v[i]->lhs = tb_copy(td->a, r.v[i]);
        v[i]->explicit_lhs = true;
    }
    return save_negated(e, v, r.n, k);
}
