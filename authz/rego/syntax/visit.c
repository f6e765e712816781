/* The order of a walk: operands as they are written, modifiers behind the expression they modify. */
#include "authz/rego/syntax/visit.h"

static void visit_list(struct visitor *v, struct term **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        visit_term(v, list[i]);
    }
}

void visit_term(struct visitor *v, struct term *t)
{
    if (t == NULL || (v->term != NULL && !v->term(v, t))) {
        return;
    }
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        visit_list(v, t->list.v, t->list.n);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        visit_term(v, t->comp.key);
        visit_term(v, t->comp.value);
        visit_body(v, t->comp.body);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        visit_body(v, t->logic.lhs);
        visit_body(v, t->logic.rhs);
        break;
    case T_EXPR:
        visit_expr(v, t->expr);
        break;
    default:
        break;
    }
}

void visit_expr(struct visitor *v, struct expr *e)
{
    if (e == NULL || (v->expr != NULL && !v->expr(v, e))) {
        return;
    }
    visit_term(v, e->term);
    if (e->kind == E_SOME) {
        visit_list(v, e->symbols, e->n_symbols);
    }
    if (e->kind == E_EVERY) {
        visit_term(v, e->every.key);
        visit_term(v, e->every.value);
        visit_term(v, e->every.domain);
        visit_body(v, e->every.body);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        visit_term(v, e->with[i]->target);
        visit_term(v, e->with[i]->value);
    }
}

void visit_body(struct visitor *v, struct body *b)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        visit_expr(v, b->v[i]);
    }
}

void visit_head(struct visitor *v, struct head *h)
{
    visit_list(v, h->ref->list.v + 1, h->ref->list.n - 1);
    visit_list(v, h->args, h->n_args);
    visit_term(v, h->key);
    visit_term(v, h->value);
}

void visit_rule(struct visitor *v, struct rule *r)
{
    visit_head(v, r->head);
    visit_body(v, r->body);
}

static bool needs_evaluation(struct visitor *v, struct term *t)
{
    bool *any = v->ctx;
    *any |= (t->type == T_REF && t->list.n > 0) ||
            (t->type >= T_ARRAY_COMP && t->type <= T_OBJECT_COMP);
    return !*any;
}

bool term_requires_evaluation(struct term *t)
{
    bool any = false;
    struct visitor v = {.term = needs_evaluation, .ctx = &any};
    visit_term(&v, t);
    return any;
}
