/* Back to the tree of syntax, for those who print or compile what the evaluator leaves. All is copied. */
#include "authz/rego/topdown/td.h"

static struct term *from_val(struct arena *a, struct val v, struct loc loc)
{
    struct term *t;
    switch (val_type(v)) {
    case V_BOOL:
        return term_bool(a, val_is_true(v), loc);
    case V_NUMBER:
        t = term_new(a, T_NUMBER, loc);
        t->num = val_number(v);
        if (t->num.kind != NUM_I64) {
            t->num.text = arena_str(a, t->num.text);
        }
        return t;
    case V_STRING:
        return term_string(a, arena_str(a, val_text(v)), loc);
    case V_ARRAY:
    case V_SET:
        t = term_new(a, val_is(v, V_ARRAY) ? T_ARRAY : T_SET, loc);
        for (uint32_t i = 0; i < val_len(v); i++) {
            term_push(a, t, from_val(a, val_nth(v, i), loc));
        }
        return t;
    case V_OBJECT:
        t = term_new(a, T_OBJECT, loc);
        for (uint32_t i = 0; i < val_len(v); i++) {
            term_push(a, t, from_val(a, val_nth_key(a, v, i), loc));
            term_push(a, t, from_val(a, val_nth(v, i), loc));
        }
        return t;
    default:
        return term_new(a, T_NULL, loc);
    }
}

static const struct {
    const char *name;
    size_t n;
} infix[] = {{"eq", 3},
             {"equal", 3},
             {"neq", 3},
             {"lt", 3},
             {"lte", 3},
             {"gt", 3},
             {"gte", 3},
             {"plus", 3},
             {"minus", 3},
             {"mul", 3},
             {"div", 3},
             {"rem", 3},
             {"and", 3},
             {"or", 3},
             {"internal.member_2", 3},
             {"internal.member_3", 4}};

static struct term *operator_from(struct arena *a, const struct tt *op, size_t n, bool *is_infix)
{
    struct str name = op->list.v[0]->sym->name;
    bool plain = op->list.n == 1;
    if (op->list.n == 2 && str_is(name, "internal") && op->list.v[1]->kind == TT_VAL) {
        name = arena_printf(a, "internal.%.*s", STR_FMT(val_text(op->list.v[1]->v)));
        plain = str_starts(name, S("internal.member"));
    }
    *is_infix = false;
    for (size_t i = 0; plain && i < ARRAY_LEN(infix); i++) {
        *is_infix |= str_is(name, infix[i].name) && n == infix[i].n;
    }
    return plain ? term_var(a, arena_str(a, name), op->loc) : term_from_tt(a, op);
}

static struct term *call_from(struct arena *a, struct tt **v, size_t n, struct loc loc)
{
    struct term *t = term_new(a, T_CALL, loc);
    term_push(a, t, operator_from(a, v[0], n, &t->infix));
    for (size_t i = 1; i < n; i++) {
        term_push(a, t, term_from_tt(a, v[i]));
    }
    return t;
}

static struct term *list_from(struct arena *a, const struct tt *t, enum term_type type)
{
    struct term *r = term_new(a, type, t->loc);
    for (size_t i = 0; i < t->list.n; i++) {
        term_push(a, r, term_from_tt(a, t->list.v[i]));
    }
    return r;
}

struct term *term_from_tt(struct arena *a, const struct tt *t)
{
    switch (t->kind) {
    case TT_VAL:
        return from_val(a, t->v, t->loc);
    case TT_VAR:
        return term_var(a, arena_str(a, t->sym->name), t->loc);
    case TT_REF:
        return list_from(a, t, T_REF);
    case TT_ARRAY:
        return list_from(a, t, T_ARRAY);
    case TT_OBJECT:
        return list_from(a, t, T_OBJECT);
    case TT_SET:
        return list_from(a, t, T_SET);
    case TT_CALL:
        return call_from(a, t->list.v, t->list.n, t->loc);
    case TT_TEMPLATE:
        return term_new(a, T_NULL, t->loc);
    default: {
        enum term_type type = t->kind == TT_ARRAY_COMP ? T_ARRAY_COMP
                              : t->kind == TT_SET_COMP ? T_SET_COMP
                                                       : T_OBJECT_COMP;
        struct term *r = term_new(a, type, t->loc);
        r->comp.key = t->comp.key != NULL ? term_from_tt(a, t->comp.key) : NULL;
        r->comp.value = term_from_tt(a, t->comp.value);
        r->comp.body = body_from_tb(a, t->comp.body);
        return r;
    }
    }
}

static struct term *logic_from(struct arena *a, const struct texpr *x)
{
    enum term_type type = x->kind == TX_NOT ? T_NOT : x->kind == TX_AND ? T_AND : T_OR;
    struct term *t = term_new(a, type, x->loc);
    t->logic.lhs = body_from_tb(a, x->lhs);
    t->logic.rhs = x->rhs != NULL ? body_from_tb(a, x->rhs) : NULL;
    t->logic.explicit_lhs = x->explicit_lhs;
    t->logic.explicit_rhs = x->explicit_rhs;
    return t;
}

struct expr *expr_from_tx(struct arena *a, const struct texpr *x)
{
    struct expr *e = arena_new(a, struct expr);
    e->loc = x->loc;
    e->negated = x->negated;
    e->generated = x->generated;
    e->file = x->file;
    if (x->kind == TX_TERM) {
        e->term = term_from_tt(a, x->t[0]);
    } else if (x->kind == TX_CALL) {
        e->term = call_from(a, x->t, x->n, x->loc);
    } else if (x->kind == TX_EVERY) {
        e->kind = E_EVERY;
        e->every.key = term_from_tt(a, x->key);
        e->every.value = term_from_tt(a, x->value);
        e->every.domain = term_from_tt(a, x->domain);
        e->every.body = body_from_tb(a, x->lhs);
    } else {
        e->term = logic_from(a, x);
    }
    e->with = arena_array(a, struct with *, x->n_with + 1);
    for (size_t i = 0; i < x->n_with; i++) {
        e->with[i] = arena_new(a, struct with);
        e->with[i]->loc = x->with[i].loc;
        e->with[i]->target = term_from_tt(a, x->with[i].target);
        e->with[i]->value = term_from_tt(a, x->with[i].value);
    }
    e->n_with = e->cap_with = x->n_with;
    return e;
}

struct body *body_from_tb(struct arena *a, const struct tbody *b)
{
    struct body *r = arena_new(a, struct body);
    r->loc = b->loc;
    for (size_t i = 0; i < b->n; i++) {
        body_push(a, r, expr_from_tx(a, b->v[i]));
    }
    return r;
}

struct rule *rule_from_tr(struct arena *a, const struct trule *r)
{
    struct rule *out = arena_new(a, struct rule);
    struct head *h = arena_new(a, struct head);
    out->head = h;
    out->is_default = r->is_default;
    out->body = body_from_tb(a, r->body);
    h->ref = term_new(a, T_REF, (struct loc){0});
    for (size_t i = 0; i < r->ref->list.n; i++) {
        term_push(a, h->ref, term_from_tt(a, r->ref->list.v[i]));
    }
    h->is_func = r->n_args > 0;
    h->n_args = r->n_args;
    h->args = arena_array(a, struct term *, r->n_args + 1);
    for (size_t i = 0; i < r->n_args; i++) {
        h->args[i] = term_from_tt(a, r->args[i]);
    }
    h->key = r->key != NULL ? term_from_tt(a, r->key) : NULL;
    h->value = r->value != NULL ? term_from_tt(a, r->value) : NULL;
    h->named = h->ref->list.n == 1 || (h->ref->list.n == 2 && h->key == NULL && !r->complete);
    h->map_key = h->ref->list.n == 2 && h->key == NULL && !r->complete ? h->ref->list.v[1] : NULL;
    h->uses_if = true;
    h->uses_contains = r->key != NULL;
    return out;
}
