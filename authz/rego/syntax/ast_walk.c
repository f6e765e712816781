/* Places set anew in whole trees. */
#include "authz/rego/syntax/parse_priv.h"

static void set_expr(struct expr *e, struct loc loc);

static void set_terms(struct term **v, size_t n, struct loc loc);

static void set_term(struct term *t, struct loc loc)
{
    if (t == NULL) {
        return;
    }
    t->loc = loc;
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        set_terms(t->list.v, t->list.n, loc);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        set_term(t->comp.key, loc);
        set_term(t->comp.value, loc);
        loc_set_deep(t->comp.body, loc);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        loc_set_deep(t->logic.lhs, loc);
        loc_set_deep(t->logic.rhs, loc);
        break;
    case T_EXPR:
        set_expr(t->expr, loc);
        break;
    default:
        break;
    }
}

static void set_terms(struct term **v, size_t n, struct loc loc)
{
    for (size_t i = 0; i < n; i++) {
        set_term(v[i], loc);
    }
}

static void set_expr(struct expr *e, struct loc loc)
{
    e->loc = e->word = loc;
    set_term(e->term, loc);
    set_terms(e->symbols, e->n_symbols, loc);
    set_term(e->every.key, loc);
    set_term(e->every.value, loc);
    set_term(e->every.domain, loc);
    loc_set_deep(e->every.body, loc);
    for (size_t i = 0; i < e->n_with; i++) {
        e->with[i]->loc = loc;
        set_term(e->with[i]->target, loc);
        set_term(e->with[i]->value, loc);
    }
}

void loc_set_deep(struct body *b, struct loc loc)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        set_expr(b->v[i], loc);
    }
}

void loc_set_head(struct head *h, struct loc loc)
{
    h->loc = loc;
    h->value_at_head = h->value != NULL;
    set_terms(h->args, h->n_args, loc);
    set_term(h->key, loc);
    set_term(h->map_key, loc);
    set_term(h->value, loc);
}
