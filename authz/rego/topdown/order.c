/*
 * Safety: what an expression binds, and the order of bodies that follows from it. The compiler has
 * checked that there is one; here the rewritten bodies are put into it again.
 */
#include "authz/rego/topdown/program.h"

int tx_arity(const struct texpr *e)
{
    if (e->eq) {
        return 2;
    }
    if (e->func != NULL) {
        return e->func->arity;
    }
    return e->builtin != NULL ? e->builtin->arity : -1;
}

static bool all_in(struct arena *a, const struct tt *t, const struct vset *safe)
{
    struct vset vars = {.a = a};
    tt_vars(t, VARS_SAFETY, &vars);
    return vset_missing(&vars, safe) == 0;
}

static bool head_safe(const struct tt *ref, const struct vset *safe)
{
    const struct tt *head = ref->list.v[0];
    if (head->kind != TT_VAR) {
        return all_in(safe->a, head, safe);
    }
    return vset_has(safe, head->sym) || str_is(head->sym->name, "data") ||
           str_is(head->sym->name, "input");
}

/* Variables that enumerating references inside of `t` binds. */
static void term_outputs(const struct tt *t, const struct vset *safe, struct vset *out)
{
    if (!tt_is_list(t)) {
        return;
    }
    if (t->kind == TT_REF) {
        if (!head_safe(t, safe)) {
            return;
        }
        tt_vars(t, VARS_NO_REF_HEAD, out);
    }
    for (size_t i = 0; i < t->list.n; i++) {
        term_outputs(t->list.v[i], safe, out);
    }
}

enum { PATTERN = VARS_NO_CLOSURES | VARS_NO_REF_HEAD | VARS_NO_KEYS };

static bool learn(const struct tt *t, struct vset *known)
{
    size_t before = known->n;
    tt_vars(t, PATTERN, known);
    return known->n > before;
}

static bool is_pattern(const struct tt *t)
{
    return t->kind == TT_ARRAY || t->kind == TT_OBJECT;
}

static bool gives_value(const struct tt *t, const struct vset *known)
{
    switch (t->kind) {
    case TT_VAR:
        return vset_has(known, t->sym);
    case TT_REF:
        return head_safe(t, known);
    case TT_CALL:
        return all_in(known->a, t, known);
    case TT_ARRAY:
    case TT_OBJECT: {
        struct vset vars = {.a = known->a};
        tt_vars(t, PATTERN, &vars);
        return vset_missing(&vars, known) == 0;
    }
    default:
        return true;
    }
}

static const struct tt *member_of(const struct tt *object, const struct tt *key)
{
    for (size_t i = 0; i + 1 < object->list.n; i += 2) {
        if (tt_same(object->list.v[i], key)) {
            return object->list.v[i + 1];
        }
    }
    return NULL;
}

static bool unify_step(const struct tt *a, const struct tt *b, struct vset *known)
{
    bool changed = false;
    if (is_pattern(a) && is_pattern(b)) {
        if (a->kind != b->kind || a->list.n != b->list.n) {
            return false;
        }
        bool object = a->kind == TT_OBJECT;
        for (size_t i = 0; i < a->list.n; i += object ? 2 : 1) {
            const struct tt *other = object ? member_of(b, a->list.v[i]) : b->list.v[i];
            changed |= other != NULL && unify_step(a->list.v[object ? i + 1 : i], other, known);
        }
        return changed;
    }
    if (gives_value(a, known) && (b->kind == TT_VAR || is_pattern(b))) {
        changed |= learn(b, known);
    }
    if (gives_value(b, known) && (a->kind == TT_VAR || is_pattern(a))) {
        changed |= learn(a, known);
    }
    return changed;
}

static struct vset eq_outputs(struct arena *a, const struct texpr *e, const struct vset *safe)
{
    struct vset known = {.a = a}, left = {.a = a};
    term_outputs(e->t[1], safe, &known);
    term_outputs(e->t[2], safe, &known);
    vset_add_all(&known, safe);
    if (e->assigned) {
        tt_vars(e->t[1], VARS_ALL, &left);
        known = vset_minus(a, &known, &left);
    }
    while (unify_step(e->t[1], e->t[2], &known)) {
    }
    return vset_minus(a, &known, safe);
}

static struct vset call_outputs(struct arena *a, const struct texpr *e, const struct vset *safe)
{
    struct vset out = {.a = a}, needed = {.a = a}, none = {.a = a};
    int arity = tx_arity(e);
    if (arity < 0) {
        return none;
    }
    for (size_t i = 1; i < e->n; i++) {
        term_outputs(e->t[i], safe, &out);
    }
    size_t inputs = (size_t)arity + 1;
    if (inputs >= e->n) {
        return out;
    }
    for (size_t i = 1; i < inputs; i++) {
        tt_vars(e->t[i], PATTERN | VARS_NO_SETS, &needed);
    }
    needed = vset_minus(a, &needed, &out);
    if (vset_missing(&needed, safe) > 0) {
        return none;
    }
    for (size_t i = inputs; i < e->n; i++) {
        tt_vars(e->t[i], PATTERN | VARS_NO_SETS, &out);
    }
    return out;
}

struct vset tx_outputs(struct arena *a, const struct texpr *e, const struct vset *safe)
{
    struct vset out = {.a = a};
    if (e->negated || e->kind == TX_NOT || e->kind == TX_AND || e->kind == TX_OR) {
        return out;
    }
    for (size_t i = 0; i < e->n_with; i++) {
        if (!all_in(a, e->with[i].value, safe) && e->with[i].value->kind != TT_REF) {
            return out;
        }
    }
    if (e->kind == TX_EVERY) {
        term_outputs(e->domain, safe, &out);
        return out;
    }
    if (e->kind == TX_CALL) {
        return e->eq ? eq_outputs(a, e, safe) : call_outputs(a, e, safe);
    }
    term_outputs(e->t[0], safe, &out);
    return out;
}

struct vset tb_outputs(struct arena *a, const struct tbody *b, const struct vset *safe)
{
    struct vset o = {.a = a};
    vset_add_all(&o, safe);
    for (size_t i = 0; i < b->n; i++) {
        struct vset out = tx_outputs(a, b->v[i], &o);
        vset_add_all(&o, &out);
    }
    return vset_minus(a, &o, safe);
}

struct work {
    struct texpr *e;
    struct vset unsafe;
    bool done;
};

struct ordering {
    struct arena *a;
    const struct vset *globals;
    struct vset safe, body_vars;
    struct tbody ordered;
};

/* True when the expression found its place. */
static bool place(struct ordering *o, struct work *w)
{
    struct vset out = tx_outputs(o->a, w->e, &o->safe), closed = {.a = o->a};
    tx_closure_vars(w->e, &closed);
    struct vset needed = {.a = o->a};
    for (size_t i = 0; i < closed.n; i++) {
        if (vset_has(&o->body_vars, closed.v[i]) && !vset_has(o->globals, closed.v[i])) {
            vset_add(&needed, closed.v[i]);
        }
    }
    struct vset missing = {.a = o->a};
    if (needed.n > 0) {
        struct vset bound = tb_outputs(o->a, &o->ordered, &o->safe);
        vset_add_all(&bound, &o->safe);
        missing = vset_minus(o->a, &needed, &bound);
    }
    if (missing.n > 0) {
        if (missing.n == out.n && vset_missing(&missing, &out) == 0) {
            return false;
        }
        w->unsafe = missing;
    }
    w->unsafe = vset_minus(o->a, &w->unsafe, &out);
    w->unsafe = vset_minus(o->a, &w->unsafe, &o->safe);
    if (w->unsafe.n > 0) {
        return false;
    }
    w->done = true;
    tb_push(o->a, &o->ordered, w->e);
    vset_add_all(&o->safe, &out);
    return true;
}

static void order_in_term(struct arena *a, struct tt *t, const struct vset *globals)
{
    if (tt_is_list(t)) {
        for (size_t i = 0; i < t->list.n; i++) {
            order_in_term(a, t->list.v[i], globals);
        }
    } else if (tt_is_comp(t)) {
        tb_order(a, t->comp.body, globals);
    }
}

static void order_closures(struct arena *a, struct texpr *e, struct vset *globals)
{
    for (size_t i = 0; i < e->n; i++) {
        order_in_term(a, e->t[i], globals);
    }
    if (e->kind == TX_EVERY) {
        tt_vars(e->key, VARS_ALL, globals);
        tt_vars(e->value, VARS_ALL, globals);
    }
    if (e->lhs != NULL) {
        tb_order(a, e->lhs, globals);
    }
    if (e->rhs != NULL) {
        tb_order(a, e->rhs, globals);
    }
}

void tb_order(struct arena *a, struct tbody *b, const struct vset *globals)
{
    struct ordering o = {.a = a, .globals = globals, .safe = {.a = a}, .body_vars = {.a = a}};
    struct work *w = arena_array(a, struct work, b->n + 1);
    vset_add_all(&o.safe, globals);
    for (size_t i = 0; i < b->n; i++) {
        w[i].e = b->v[i];
        w[i].unsafe.a = a;
        tx_needed_vars(b->v[i], &w[i].unsafe);
        vset_add_all(&o.body_vars, &w[i].unsafe);
        w[i].unsafe = vset_minus(a, &w[i].unsafe, globals);
    }
    for (bool some = true; some;) {
        some = false;
        for (size_t i = 0; i < b->n; i++) {
            some |= !w[i].done && place(&o, &w[i]);
        }
    }
    for (size_t i = 0; i < b->n; i++) {
        if (!w[i].done) { /* cannot be: the compiler found an order */
            tb_push(a, &o.ordered, b->v[i]);
        }
    }
    struct vset seen = {.a = a};
    vset_add_all(&seen, globals);
    for (size_t i = 0; i < o.ordered.n; i++) {
        if (i > 0) {
            tx_needed_vars(o.ordered.v[i - 1], &seen);
        }
        order_closures(a, o.ordered.v[i], &seen);
    }
    b->v = o.ordered.v;
    b->n = o.ordered.n;
    b->cap = o.ordered.cap;
}
