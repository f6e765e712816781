/* Bindings: a variable stands for a term and the list in which that term's own variables are bound. */
#include "authz/rego/topdown/td.h"

struct binds *binds_new(struct td *td, uint64_t id)
{
    struct binds *b = arena_new(td->a, struct binds);
    b->id = id;
    return b;
}

void binds_push(struct td *td, struct binds *b, struct sym *s, struct tt *t, struct binds *of)
{
    b->v = arena_grow(td->a, b->v, b->n, b->n + 1, &b->cap, sizeof *b->v);
    b->v[b->n++] = (struct bound){.sym = s, .t = t, .b = of};
}

static const struct bound *find(const struct binds *b, const struct sym *s)
{
    for (size_t i = b->n; i > 0; i--) {
        if (b->v[i - 1].sym == s) {
            return &b->v[i - 1];
        }
    }
    return NULL;
}

void binds_apply(struct tt **t, struct binds **b)
{
    while ((*t)->kind == TT_VAR && *b != NULL) {
        const struct bound *found = find(*b, (*t)->sym);
        if (found == NULL) {
            return;
        }
        *t = found->t;
        *b = found->b;
    }
}

struct tt *name_space_var(struct td *td, struct tt *var, const struct binds *b,
                          const struct binds *caller)
{
    bool root = var->sym == td->t->data || var->sym == td->t->input;
    if (caller == NULL || caller == b || root || b == NULL) {
        return var;
    }
    struct str name = arena_printf(td->a, "%.*s%" PRIu64, STR_FMT(var->sym->name), b->id);
    return tt_var(td->a, sym_get(&td->syms, name), var->loc);
}

static struct tt *plug_list(struct td *td, struct tt *t, struct binds *b,
                            const struct binds *caller)
{
    struct tt **v = NULL;
    for (size_t i = 0; i < t->list.n; i++) {
        struct tt *item = t->list.v[i];
        struct tt *p = item->kind == TT_VAL ? item : plug_for(td, item, b, caller);
        if (p != item && v == NULL) {
            v = arena_array(td->a, struct tt *, t->list.n + 1);
            memcpy(v, t->list.v, t->list.n * sizeof *v);
        }
        if (v != NULL) {
            v[i] = p;
        }
    }
    if (v == NULL) {
        return t;
    }
    struct tt *r = arena_new(td->a, struct tt);
    *r = *t;
    r->list.v = v;
    return tt_fold(td->a, r);
}

struct tt *plug_for(struct td *td, struct tt *t, struct binds *b, const struct binds *caller)
{
    switch (t->kind) {
    case TT_VAR: {
        struct tt *x = t;
        struct binds *next = b;
        binds_apply(&x, &next);
        if (x != t || next != b) {
            return x->kind == TT_VAL ? x : plug_for(td, x, next, caller);
        }
        return name_space_var(td, t, b, caller);
    }
    case TT_REF:
    case TT_ARRAY:
    case TT_OBJECT:
    case TT_SET:
        return plug_list(td, t, b, caller);
    default:
        return t;
    }
}

struct tt *plug(struct td *td, struct tt *t, struct binds *b)
{
    return t->kind == TT_VAL ? t : plug_for(td, t, b, NULL);
}

struct tt *name_space_term(struct td *td, struct tt *t, const struct binds *from,
                           const struct binds *caller)
{
    if (t->kind == TT_VAR) {
        return name_space_var(td, t, from, caller);
    }
    struct tt *c = t;
    if (tt_is_list(t)) {
        c = tt_list(td->a, t->kind, t->list.n, t->loc);
        for (size_t i = 0; i < t->list.n; i++) {
            c->list.v[i] = name_space_term(td, t->list.v[i], from, caller);
        }
    } else if (tt_is_comp(t)) {
        c = tt_copy(td->a, t);
        if (c->comp.key != NULL) {
            c->comp.key = name_space_term(td, c->comp.key, from, caller);
        }
        c->comp.value = name_space_term(td, c->comp.value, from, caller);
        name_space_body(td, c->comp.body, from, caller);
    }
    return c;
}

/* The body is changed in place: give it a copy. */
void name_space_body(struct td *td, struct tbody *b, const struct binds *from,
                     const struct binds *caller)
{
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *e = b->v[i];
        for (size_t k = e->kind == TX_CALL; k < e->n; k++) {
            e->t[k] = name_space_term(td, e->t[k], from, caller);
        }
        if (e->kind == TX_EVERY) {
            e->key = name_space_term(td, e->key, from, caller);
            e->value = name_space_term(td, e->value, from, caller);
            e->domain = name_space_term(td, e->domain, from, caller);
        }
        if (e->lhs != NULL) {
            name_space_body(td, e->lhs, from, caller);
        }
        if (e->rhs != NULL) {
            name_space_body(td, e->rhs, from, caller);
        }
        for (size_t k = 0; k < e->n_with; k++) {
            e->with[k].target = name_space_term(td, e->with[k].target, from, caller);
            e->with[k].value = name_space_term(td, e->with[k].value, from, caller);
        }
    }
}
