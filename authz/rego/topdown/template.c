/* Templates and print: their parts may be undefined, so each is a set of at most one value. */
#include "authz/rego/topdown/program.h"

static bool always_defined(struct lowering *l, const struct tt *t)
{
    if (t->kind == TT_VAR) {
        return true;
    }
    const struct tnode *n = ref_head_is(t, l->t->data) ? tnode_find(l->t, t) : NULL;
    if (n == NULL || n->arity >= 0 || (n->n_rules == 0 && n->fallback == NULL)) {
        return false;
    }
    if (n->fallback != NULL || n->multi) {
        return true;
    }
    const struct trule *r = n->rules[0];
    const struct body *b = r->rule->body;
    return n->n_rules == 1 && b->n == 1 && b->v[0]->kind == E_TERM &&
           b->v[0]->term->type == T_BOOL && b->v[0]->term->boolean && r->value != NULL &&
           r->value->kind == TT_VAL;
}

static struct tt *set_of(struct lowering *l, struct tt *t)
{
    struct tt *s = tt_list(l->a, TT_SET, 1, t->loc);
    s->list.v[0] = t;
    return tt_fold(l->a, s);
}

static struct tt *captured(struct lowering *l, struct tt *t, const struct texpr *of)
{
    struct tt *c = arena_new(l->a, struct tt);
    c->kind = TT_SET_COMP;
    c->loc = t->loc;
    c->comp.value = tt_var(l->a, fresh_local(l, STR_EMPTY), t->loc);
    c->comp.body = tb_new(l->a);
    struct texpr *e = tx_eq(l->a, l->syms, tt_copy(l->a, c->comp.value), t);
    e->with = of->with;
    e->n_with = of->n_with;
    tb_push(l->a, c->comp.body, e);
    return c;
}

static struct tt *whole_term(struct lowering *l, const struct texpr *e)
{
    if (e->kind == TX_TERM) {
        return e->t[0];
    }
    struct tt *call = tt_list(l->a, TT_CALL, e->n, e->loc);
    for (size_t i = 0; i < e->n; i++) {
        call->list.v[i] = e->t[i];
    }
    return call;
}

static struct tt *template_call(struct lowering *l, const struct tt *t)
{
    struct tt *parts = tt_list(l->a, TT_ARRAY, t->parts.n, t->loc);
    for (size_t i = 0; i < t->parts.n; i++) {
        const struct texpr *e = t->parts.v[i];
        struct tt *part = whole_term(l, e);
        bool text = e->generated;
        parts->list.v[i] = text                                        ? part
                           : e->n_with == 0 && always_defined(l, part) ? set_of(l, part)
                                                                       : captured(l, part, e);
    }
    if (t->parts.n == 0) {
        parts = tt_list(l->a, TT_ARRAY, 1, t->loc);
        parts->list.v[0] = tt_val(l->a, val_str(l->a, STR_EMPTY), t->loc);
    }
    struct tt *call = tt_list(l->a, TT_CALL, 2, t->loc), *op = tt_list(l->a, TT_REF, 2, t->loc);
    op->list.v[0] = tt_var(l->a, sym_get(l->syms, S("internal")), t->loc);
    op->list.v[1] = tt_val(l->a, val_str(l->a, S("template_string")), t->loc);
    call->list.v[0] = op;
    call->list.v[1] = tt_fold(l->a, parts);
    return call;
}

void expand_template_term(struct lowering *l, struct tt **slot)
{
    struct tt *t = *slot;
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        expand_template_term(l, &t->list.v[i]);
    }
    if (tt_is_comp(t)) {
        expand_templates(l, t->comp.body);
        if (t->comp.key != NULL) {
            expand_template_term(l, &t->comp.key);
        }
        expand_template_term(l, &t->comp.value);
    } else if (t->kind == TT_TEMPLATE) {
        struct tbody b = {.v = t->parts.v, .n = t->parts.n};
        expand_templates(l, &b);
        *slot = template_call(l, t);
    }
}

/* print(x, y) becomes internal.print([{…}, {…}]). */
static void expand_print(struct lowering *l, struct texpr *e)
{
    struct tt *parts = tt_list(l->a, TT_ARRAY, e->n - 1, e->loc),
              *op = tt_list(l->a, TT_REF, 2, e->loc);
    for (size_t i = 1; i < e->n; i++) {
        struct texpr none = {0};
        parts->list.v[i - 1] = captured(l, e->t[i], &none);
    }
    op->list.v[0] = tt_var(l->a, sym_get(l->syms, S("internal")), e->loc);
    op->list.v[1] = tt_val(l->a, val_str(l->a, S("print")), e->loc);
    e->t = arena_array(l->a, struct tt *, 2);
    e->t[0] = op;
    e->t[1] = tt_fold(l->a, parts);
    e->n = 2;
    e->builtin = builtin_find(S("internal.print"));
}

void expand_templates(struct lowering *l, struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *e = b->v[i];
        for (size_t k = 0; k < e->n; k++) {
            expand_template_term(l, &e->t[k]);
        }
        if (e->kind == TX_EVERY) {
            expand_template_term(l, &e->domain);
        }
        for (size_t k = 0; k < e->n_with; k++) {
            expand_template_term(l, &e->with[k].value);
        }
        if (e->lhs != NULL) {
            expand_templates(l, e->lhs);
        }
        if (e->rhs != NULL) {
            expand_templates(l, e->rhs);
        }
        if (e->kind == TX_CALL && e->builtin != NULL && strcmp(e->builtin->name, "print") == 0) {
            expand_print(l, e);
        }
    }
}
