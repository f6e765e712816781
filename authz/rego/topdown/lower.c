/* From the syntax tree, resolved by the compiler, to terms of the second evaluator. */
#include "authz/rego/topdown/program.h"

/* A name that is no variable stands for a document or a builtin: a reference of one element or more. */
static struct tt *global_ref(struct lowering *l, struct str name, struct loc loc)
{
    size_t n = 1;
    for (size_t i = 0; i < name.n; i++) {
        n += name.p[i] == '.';
    }
    struct tt *t = tt_list(l->a, TT_REF, n, loc);
    struct str rest = name;
    t->list.v[0] = tt_var(l->a, sym_get(l->syms, str_split(&rest, '.')), loc);
    for (size_t i = 1; i < n; i++) {
        t->list.v[i] = tt_val(l->a, val_str(l->a, str_split(&rest, '.')), loc);
    }
    return t;
}

static struct tt *lower_list(struct lowering *l, const struct term *t, enum tt_kind kind)
{
    struct tt *r = tt_list(l->a, kind, t->list.n, t->loc);
    for (size_t i = 0; i < t->list.n; i++) {
        r->list.v[i] = lower_term(l, t->list.v[i]);
    }
    return tt_fold(l->a, r);
}

static struct tt *lower_ref(struct lowering *l, const struct term *t)
{
    struct tt *r = tt_list(l->a, TT_REF, t->list.n, t->loc);
    const struct term *head = t->list.v[0];
    r->list.v[0] = head->type == T_VAR && head->var.local == NULL
                       ? tt_var(l->a, sym_get(l->syms, head->var.name), head->loc)
                       : lower_term(l, head);
    for (size_t i = 1; i < t->list.n; i++) {
        r->list.v[i] = lower_term(l, t->list.v[i]);
    }
    return r;
}

static struct tt *lower_operator(struct lowering *l, const struct term *call)
{
    const struct term *op = call->list.v[0];
    if (op->type == T_REF) {
        return lower_ref(l, op);
    }
    return global_ref(l, op->var.name, op->loc);
}

static struct tt *lower_call(struct lowering *l, const struct term *t)
{
    struct tt *r = tt_list(l->a, TT_CALL, t->list.n, t->loc);
    r->list.v[0] = lower_operator(l, t);
    for (size_t i = 1; i < t->list.n; i++) {
        r->list.v[i] = lower_term(l, t->list.v[i]);
    }
    return r;
}

static struct tt *lower_comp(struct lowering *l, const struct term *t)
{
    struct tt *r = arena_new(l->a, struct tt);
    r->kind = t->type == T_ARRAY_COMP ? TT_ARRAY_COMP
              : t->type == T_SET_COMP ? TT_SET_COMP
                                      : TT_OBJECT_COMP;
    r->loc = t->loc;
    r->comp.key = t->comp.key != NULL ? lower_term(l, t->comp.key) : NULL;
    r->comp.value = lower_term(l, t->comp.value);
    r->comp.body = lower_body(l, t->comp.body);
    return r;
}

static struct texpr *lower_expr(struct lowering *l, const struct expr *e);

static struct tt *lower_template(struct lowering *l, const struct term *t)
{
    struct tt *r = arena_new(l->a, struct tt);
    r->kind = TT_TEMPLATE;
    r->loc = t->loc;
    r->parts.v = arena_array(l->a, struct texpr *, t->list.n + 1);
    for (size_t i = 0; i < t->list.n; i++) {
        const struct term *part = t->list.v[i];
        r->parts.v[r->parts.n] =
            part->type == T_EXPR ? lower_expr(l, part->expr) : tx_term(l->a, lower_term(l, part));
        r->parts.v[r->parts.n++]->generated = part->type != T_EXPR;
    }
    return r;
}

struct tt *lower_term(struct lowering *l, const struct term *t)
{
    t = hoisted_term(l, t);
    switch (t->type) {
    case T_NULL:
    case T_BOOL:
    case T_NUMBER:
    case T_STRING:
        return tt_val(l->a, term_const(l->a, t), t->loc);
    case T_VAR:
        return t->var.local == NULL ? global_ref(l, t->var.name, t->loc)
                                    : tt_var(l->a, symbol_of(l, t), t->loc);
    case T_REF:
        return lower_ref(l, t);
    case T_ARRAY:
        return lower_list(l, t, TT_ARRAY);
    case T_OBJECT:
        return lower_list(l, t, TT_OBJECT);
    case T_SET:
        return lower_list(l, t, TT_SET);
    case T_CALL:
        return lower_call(l, t);
    case T_TEMPLATE:
        return lower_template(l, t);
    default:
        return lower_comp(l, t);
    }
}

static void settle_call(struct lowering *l, struct texpr *e, const struct term *call)
{
    struct tt *op = e->t[0];
    struct compiler c = {.a = l->a, .p = (struct rego_policy *)(uintptr_t)l->t->p};
    struct callee callee;
    e->eq = term_is_call_of(call, "eq") && call->list.n == 3;
    if (op->list.v[0]->kind == TT_VAR && op->list.v[0]->sym == l->t->data) {
        e->func = tnode_find(l->t, op);
    } else if (find_callee(&c, call->list.v[0], &callee)) {
        e->builtin = callee.builtin;
    }
}

static struct texpr *lower_logic(struct lowering *l, const struct term *t)
{
    enum tx_kind kind = t->type == T_NOT ? TX_NOT : t->type == T_AND ? TX_AND : TX_OR;
    struct texpr *e = tx_new(l->a, kind, t->loc);
    e->lhs = lower_body(l, t->logic.lhs);
    e->explicit_lhs = t->logic.explicit_lhs;
    e->explicit_rhs = t->logic.explicit_rhs;
    e->rhs = t->logic.rhs != NULL ? lower_body(l, t->logic.rhs) : NULL;
    return e;
}

static struct texpr *lower_every(struct lowering *l, const struct expr *e)
{
    struct texpr *x = tx_new(l->a, TX_EVERY, e->loc);
    x->key = e->every.key != NULL ? lower_term(l, e->every.key)
                                  : tt_var(l->a, every_key(l, e), (struct loc){0});
    x->value = lower_term(l, e->every.value);
    x->domain = lower_term(l, e->every.domain);
    x->lhs = lower_body(l, e->every.body);
    return x;
}

static struct texpr *lower_expr(struct lowering *l, const struct expr *e)
{
    struct texpr *x;
    const struct term *t = e->term;
    if (e->kind == E_EVERY) {
        x = lower_every(l, e);
    } else if (t->type == T_NOT || t->type == T_AND || t->type == T_OR) {
        x = lower_logic(l, t);
    } else if (t->type == T_CALL) {
        x = tx_new(l->a, TX_CALL, e->loc);
        struct tt *call = lower_call(l, t);
        x->t = call->list.v;
        x->n = call->list.n;
        x->assigned = t->generated;
        settle_call(l, x, t);
    } else {
        x = tx_term(l->a, lower_term(l, t));
    }
    x->loc = e->loc;
    x->negated = e->negated;
    x->generated = e->generated;
    x->with = arena_array(l->a, struct twith, e->n_with + 1);
    for (size_t i = 0; i < e->n_with; i++) {
        x->with[i].loc = e->with[i]->loc;
        x->with[i].target = lower_term(l, e->with[i]->target);
        x->with[i].value = lower_term(l, e->with[i]->value);
    }
    x->n_with = e->n_with;
    return x;
}

struct tbody *lower_body(struct lowering *l, const struct body *b)
{
    struct tbody *r = tb_new(l->a);
    r->loc = b->loc;
    struct expr **v = source_order(l->a, b);
    for (size_t i = 0; i < b->n; i++) {
        const struct expr *e = v[i];
        bool hoisted = e->generated && e->kind == E_TERM && term_is_call_of(e->term, "eq") &&
                       hoisted_term(l, e->term->list.v[1]) != e->term->list.v[1];
        if (e->kind != E_SOME && !hoisted) {
            tb_push(l->a, r, lower_expr(l, e));
        }
    }
    if (r->n == 0) {
        struct texpr *always = tx_term(l->a, tt_val(l->a, VAL_TRUE, b->loc));
        always->generated = true;
        tb_push(l->a, r, always);
    }
    return r;
}
