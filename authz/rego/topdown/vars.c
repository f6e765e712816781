/* Sets of variables, and which of them stand where. */
#include "authz/rego/topdown/term.h"

void vset_add(struct vset *s, struct sym *v)
{
    if (vset_has(s, v)) {
        return;
    }
    s->v = arena_grow(s->a, s->v, s->n, s->n + 1, &s->cap, sizeof *s->v);
    s->v[s->n++] = v;
}

bool vset_has(const struct vset *s, const struct sym *v)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->v[i] == v) {
            return true;
        }
    }
    return false;
}

void vset_add_all(struct vset *s, const struct vset *o)
{
    for (size_t i = 0; i < o->n; i++) {
        vset_add(s, o->v[i]);
    }
}

size_t vset_missing(const struct vset *s, const struct vset *in)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += !vset_has(in, s->v[i]);
    }
    return n;
}

struct vset vset_minus(struct arena *a, const struct vset *s, const struct vset *o)
{
    struct vset r = {.a = a};
    for (size_t i = 0; i < s->n; i++) {
        if (!vset_has(o, s->v[i])) {
            vset_add(&r, s->v[i]);
        }
    }
    return r;
}

static void list_vars(struct tt *const *v, size_t n, size_t from, size_t by, unsigned how,
                      struct vset *out)
{
    for (size_t i = from; i < n; i += by) {
        tt_vars(v[i], how, out);
    }
}

void tt_vars(const struct tt *t, unsigned how, struct vset *out)
{
    switch (t->kind) {
    case TT_VAL:
        break;
    case TT_VAR:
        vset_add(out, t->sym);
        break;
    case TT_REF:
        list_vars(t->list.v, t->list.n, (how & VARS_NO_REF_HEAD) != 0, 1, how, out);
        break;
    case TT_CALL:
        list_vars(t->list.v, t->list.n, (how & VARS_NO_OPERATORS) != 0, 1, how, out);
        break;
    case TT_ARRAY:
        list_vars(t->list.v, t->list.n, 0, 1, how, out);
        break;
    case TT_SET:
        if ((how & VARS_NO_SETS) == 0) {
            list_vars(t->list.v, t->list.n, 0, 1, how, out);
        }
        break;
    case TT_OBJECT: {
        bool values = (how & VARS_NO_KEYS) != 0;
        list_vars(t->list.v, t->list.n, values, values ? 2 : 1, how, out);
        break;
    }
    case TT_ARRAY_COMP:
    case TT_SET_COMP:
    case TT_OBJECT_COMP:
        if ((how & VARS_NO_CLOSURES) == 0) {
            if (t->comp.key != NULL) {
                tt_vars(t->comp.key, how, out);
            }
            tt_vars(t->comp.value, how, out);
            tb_vars(t->comp.body, how, out);
        }
        break;
    case TT_TEMPLATE:
        for (size_t i = 0; (how & VARS_NO_CLOSURES) == 0 && i < t->parts.n; i++) {
            tx_vars(t->parts.v[i], how, out);
        }
        break;
    }
}

static void with_vars(const struct texpr *e, unsigned how, struct vset *out)
{
    for (size_t i = 0; i < e->n_with; i++) {
        const struct tt *target = e->with[i].target, *value = e->with[i].value;
        if ((how & VARS_NO_OPERATORS) == 0) {
            tt_vars(target, how, out);
            tt_vars(value, how, out);
            continue;
        }
        if (target->kind == TT_REF) {
            list_vars(target->list.v, target->list.n, 1, 1, how, out);
        }
        if (value->kind == TT_REF) {
            list_vars(value->list.v, value->list.n, 1, 1, how, out);
        } else {
            tt_vars(value, how, out);
        }
    }
}

void tx_vars(const struct texpr *e, unsigned how, struct vset *out)
{
    bool closed = (how & VARS_NO_CLOSURES) != 0;
    list_vars(e->t, e->n, e->kind == TX_CALL && (how & VARS_NO_OPERATORS) != 0, 1, how, out);
    if (e->kind == TX_EVERY) {
        tt_vars(e->domain, how, out);
        if (closed) {
            return;
        }
        tt_vars(e->key, how, out);
        tt_vars(e->value, how, out);
    }
    if (!closed && e->lhs != NULL) {
        tb_vars(e->lhs, how, out);
    }
    if (!closed && e->rhs != NULL) {
        tb_vars(e->rhs, how, out);
    }
    with_vars(e, how, out);
}

void tb_vars(const struct tbody *b, unsigned how, struct vset *out)
{
    for (size_t i = 0; i < b->n; i++) {
        tx_vars(b->v[i], how, out);
    }
}

static void closures_in_term(const struct tt *t, struct vset *out)
{
    if (tt_is_list(t)) {
        for (size_t i = 0; i < t->list.n; i++) {
            closures_in_term(t->list.v[i], out);
        }
    } else if (tt_is_comp(t) || t->kind == TT_TEMPLATE) {
        tt_vars(t, VARS_ALL, out);
    }
}

void tx_closure_vars(const struct texpr *e, struct vset *out)
{
    for (size_t i = 0; i < e->n; i++) {
        closures_in_term(e->t[i], out);
    }
    if (e->kind == TX_EVERY) {
        closures_in_term(e->domain, out);
    }
    if (e->lhs != NULL) {
        tb_vars(e->lhs, VARS_ALL, out);
    }
    if (e->rhs != NULL) {
        tb_vars(e->rhs, VARS_ALL, out);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        closures_in_term(e->with[i].value, out);
    }
}

/* What of a bare operand is not bound inside of it must come from outside. */
static void bare_operand(struct arena *a, const struct tbody *b, struct vset *out)
{
    struct vset none = {.a = a}, inside = tb_outputs(a, b, &none);
    for (size_t i = 0; i < b->n; i++) {
        struct vset here = {.a = a};
        tx_needed_vars(b->v[i], &here);
        for (size_t k = 0; k < here.n; k++) {
            size_t uses = 0;
            for (size_t j = 0; j < b->n; j++) {
                struct vset other = {.a = a};
                tx_vars(b->v[j], VARS_SAFETY, &other);
                uses += vset_has(&other, here.v[k]);
            }
            if (b->n == 1 || uses < 2 || !vset_has(&inside, here.v[k])) {
                vset_add(out, here.v[k]);
            }
        }
    }
}

void tx_needed_vars(const struct texpr *e, struct vset *out)
{
    tx_vars(e, VARS_SAFETY, out);
    bool logic = e->kind == TX_NOT || e->kind == TX_AND || e->kind == TX_OR;
    if (logic && !e->explicit_lhs) {
        bare_operand(out->a, e->lhs, out);
    }
    if (logic && e->rhs != NULL && !e->explicit_rhs) {
        bare_operand(out->a, e->rhs, out);
    }
}
