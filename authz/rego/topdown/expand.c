/*
 * Rewriting, stage by stage: calls inside of terms become expressions of their own, templates become
 * calls, and references in the arguments of calls are bound to variables first.
 */
#include "authz/rego/topdown/program.h"

static bool is_true(const struct tbody *b)
{
    return b->n == 1 && b->v[0]->kind == TX_TERM && tt_is(b->v[0]->t[0], VAL_TRUE) &&
           !b->v[0]->negated && b->v[0]->n_with == 0;
}

void body_append(struct arena *a, struct tbody *b, const struct tbody *more)
{
    for (size_t i = 0; i < more->n; i++) {
        if (i == 0 && is_true(b)) {
            b->n = 0;
        }
        tb_push(a, b, more->v[i]);
    }
}

struct tt *bind_to_local(struct lowering *l, struct tt *t, struct tbody *out)
{
    struct tt *var = tt_var(l->a, fresh_local(l, STR_EMPTY), t->loc);
    struct texpr *e = tx_eq(l->a, l->syms, var, t);
    e->generated = true;
    e->loc = t->loc;
    tb_push(l->a, out, e);
    return var;
}

static struct texpr *call_expr(struct lowering *l, struct tt *call, struct tt *output)
{
    struct texpr *e = tx_new(l->a, TX_CALL, call->loc);
    e->t = arena_array(l->a, struct tt *, call->list.n + 1);
    for (size_t i = 0; i < call->list.n; i++) {
        e->t[i] = call->list.v[i];
    }
    e->n = call->list.n;
    if (output != NULL) {
        e->t[e->n++] = output;
    }
    e->generated = true;
    const struct tt *op = e->t[0];
    if (op->list.v[0]->sym == l->t->data) {
        e->func = tnode_find(l->t, op);
        return e;
    }
    struct buf name;
    buf_init(&name, 4096);
    buf_puts(&name, op->list.v[0]->sym->name);
    for (size_t i = 1; i < op->list.n; i++) {
        buf_putc(&name, '.');
        buf_puts(&name, val_text(op->list.v[i]->v));
    }
    e->builtin = builtin_find(buf_str(&name));
    e->eq = str_is(buf_str(&name), "eq");
    buf_release(&name);
    return e;
}

static void expand_list(struct lowering *l, struct tt *t, struct tbody *support)
{
    for (size_t i = 0; i < t->list.n; i++) {
        t->list.v[i] = expand_term(l, t->list.v[i], support);
    }
}

static void expand_ref(struct lowering *l, struct tt *t, struct tbody *support)
{
    expand_list(l, t, support);
    struct tt *head = t->list.v[0];
    bool composite = head->kind != TT_VAR && head->kind != TT_REF;
    if (composite) {
        t->list.v[0] = bind_to_local(l, head, support);
    }
}

static void expand_comp(struct lowering *l, struct tt *t)
{
    struct tbody more = {0};
    if (t->comp.key != NULL) {
        t->comp.key = expand_term(l, t->comp.key, &more);
        body_append(l->a, t->comp.body, &more);
        more.n = 0;
    }
    t->comp.value = expand_term(l, t->comp.value, &more);
    body_append(l->a, t->comp.body, &more);
    expand_body(l, t->comp.body);
}

struct tt *expand_term(struct lowering *l, struct tt *t, struct tbody *support)
{
    switch (t->kind) {
    case TT_CALL: {
        for (size_t i = 1; i < t->list.n; i++) {
            t->list.v[i] = expand_term(l, t->list.v[i], support);
        }
        struct tt *out = tt_var(l->a, fresh_local(l, STR_EMPTY), t->loc);
        tb_push(l->a, support, call_expr(l, t, out));
        return out;
    }
    case TT_REF:
        expand_ref(l, t, support);
        return t;
    case TT_ARRAY:
    case TT_OBJECT:
    case TT_SET:
        expand_list(l, t, support);
        return tt_fold(l->a, t);
    case TT_ARRAY_COMP:
    case TT_SET_COMP:
    case TT_OBJECT_COMP:
        expand_comp(l, t);
        return t;
    default:
        return t;
    }
}

static void give_with(struct texpr *e, const struct texpr *from)
{
    e->with = from->with;
    e->n_with = from->n_with;
}

static void expand_every(struct lowering *l, struct texpr *e, struct tbody *out)
{
    struct tt *domain = tt_var(l->a, fresh_local(l, STR_EMPTY), e->domain->loc);
    struct texpr *eq = tx_eq(l->a, l->syms, domain, e->domain);
    eq->generated = true;
    eq->loc = e->domain->loc;
    give_with(eq, e);
    struct tbody one = {0};
    tb_push(l->a, &one, eq);
    expand_body(l, &one);
    body_append(l->a, out, &one);
    e->domain = domain;
    expand_body(l, e->lhs);
    tb_push(l->a, out, e);
}

static void expand_expr(struct lowering *l, struct texpr *e, struct tbody *out)
{
    for (size_t i = 0; i < e->n_with; i++) {
        e->with[i].value = expand_term(l, e->with[i].value, out);
    }
    if (e->kind == TX_EVERY) {
        expand_every(l, e, out);
        return;
    }
    size_t before = out->n;
    for (size_t i = e->kind == TX_CALL; i < e->n; i++) {
        e->t[i] = expand_term(l, e->t[i], out);
    }
    for (size_t i = before; e->n_with > 0 && i < out->n; i++) {
        give_with(out->v[i], e);
    }
    if (e->lhs != NULL) {
        expand_body(l, e->lhs);
    }
    if (e->rhs != NULL) {
        expand_body(l, e->rhs);
    }
    tb_push(l->a, out, e);
}

void expand_body(struct lowering *l, struct tbody *b)
{
    struct tbody out = {.loc = b->loc};
    for (size_t i = 0; i < b->n; i++) {
        expand_expr(l, b->v[i], &out);
    }
    *b = out;
}

bool requires_eval(const struct tt *t)
{
    if (t == NULL) {
        return false;
    }
    if (t->kind == TT_REF || tt_is_comp(t) || t->kind == TT_TEMPLATE) {
        return true;
    }
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        if (requires_eval(t->list.v[i])) {
            return true;
        }
    }
    return false;
}

void expand_comprehension_heads_in(struct lowering *l, struct tt *t)
{
    if (tt_is_list(t)) {
        for (size_t i = 0; i < t->list.n; i++) {
            expand_comprehension_heads_in(l, t->list.v[i]);
        }
    }
    if (!tt_is_comp(t)) {
        return;
    }
    if (t->comp.key != NULL) {
        expand_comprehension_heads_in(l, t->comp.key);
    }
    expand_comprehension_heads_in(l, t->comp.value);
    expand_comprehension_heads(l, t->comp.body);
    struct tbody more = {0};
    if (requires_eval(t->comp.key)) {
        t->comp.key = bind_to_local(l, t->comp.key, &more);
    }
    if (requires_eval(t->comp.value)) {
        t->comp.value = bind_to_local(l, t->comp.value, &more);
    }
    body_append(l->a, t->comp.body, &more);
}

void expand_comprehension_heads(struct lowering *l, struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *e = b->v[i];
        for (size_t k = 0; k < e->n; k++) {
            expand_comprehension_heads_in(l, e->t[k]);
        }
        for (size_t k = 0; k < e->n_with; k++) {
            expand_comprehension_heads_in(l, e->with[k].value);
        }
        if (e->lhs != NULL) {
            expand_comprehension_heads(l, e->lhs);
        }
        if (e->rhs != NULL) {
            expand_comprehension_heads(l, e->rhs);
        }
    }
}

/* Is the value of `with` the name of a function that replaces another? */
static bool names_function(struct lowering *l, const struct twith *w)
{
    const struct tt *v = w->value;
    if (v->kind != TT_REF) {
        return false;
    }
    if (v->list.v[0]->kind == TT_VAR && v->list.v[0]->sym == l->t->input) {
        return false;
    }
    if (v->list.v[0]->kind == TT_VAR && v->list.v[0]->sym == l->t->data) {
        const struct tnode *n = tnode_find(l->t, v);
        return n != NULL && n->arity >= 0;
    }
    struct tt *call = tt_list(l->a, TT_CALL, 1, v->loc);
    call->list.v[0] = w->value;
    for (size_t i = 1; i < v->list.n; i++) {
        if (v->list.v[i]->kind != TT_VAL || !val_is(v->list.v[i]->v, V_STRING)) {
            return false;
        }
    }
    return v->list.v[0]->kind == TT_VAR && call_expr(l, call, NULL)->builtin != NULL;
}

static void withs_in_term(struct lowering *l, struct tt *t)
{
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        withs_in_term(l, t->list.v[i]);
    }
    if (tt_is_comp(t)) {
        expand_withs(l, t->comp.body);
    }
}

void expand_withs(struct lowering *l, struct tbody *b)
{
    struct tbody out = {.loc = b->loc};
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *e = b->v[i];
        for (size_t k = 0; k < e->n; k++) {
            withs_in_term(l, e->t[k]);
        }
        if (e->lhs != NULL) {
            expand_withs(l, e->lhs);
        }
        if (e->rhs != NULL) {
            expand_withs(l, e->rhs);
        }
        for (size_t k = 0; k < e->n_with; k++) {
            if (requires_eval(e->with[k].value) && !names_function(l, &e->with[k])) {
                e->with[k].value = bind_to_local(l, e->with[k].value, &out);
            }
        }
        tb_push(l->a, &out, e);
    }
    *b = out;
}
