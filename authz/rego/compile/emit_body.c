/* Expressions and bodies: negation, every, and/or, with, comprehensions, templates. */
#include "authz/rego/compile/emit_priv.h"

/*
 * What stands inside a negated expression is evaluated in front of the negation, and fails it when it is
 * undefined: calls, operands of calls, and references within references. Under the new `not` none of
 * this happens; there the operand is a body of its own.
 */
static void hoist_value(struct gen *g, struct term **slot)
{
    int32_t v = emit_value(g, *slot);
    struct local *l = new_local(g->c, S("$not"), (*slot)->loc);
    l->bound = true;
    l->reg = (uint32_t)v;
    if (v >= 0) {
        *slot = local_term(g->c, l, (*slot)->loc);
    }
}

static void hoist_one(struct gen *g, struct term **slot)
{
    struct term *t = *slot;
    bool parts = t->type == T_ARRAY || t->type == T_OBJECT || t->type == T_SET;
    if (parts) {
        for (size_t i = 0; i < t->list.n; i++) {
            hoist_one(g, &t->list.v[i]);
        }
    } else if (t->type == T_REF || t->type == T_CALL) {
        hoist_value(g, slot);
    }
}

/* The reference or collection that is negated itself. */
static void hoist_inside(struct gen *g, struct term **slot)
{
    struct term *t = *slot;
    if (t->type != T_REF) {
        hoist_one(g, slot);
        return;
    }
    if (t->list.v[0]->type == T_CALL) {
        hoist_value(g, &t->list.v[0]);
    }
    for (size_t i = 1; i < t->list.n; i++) {
        hoist_one(g, &t->list.v[i]);
    }
}

static void hoist_operands(struct gen *g, struct term *call)
{
    /* In rules `==` is unification; in queries it is a call like others. */
    bool eq = term_is_call_of(call, "eq") || (!g->c->query && term_is_call_of(call, "equal"));
    for (size_t i = 1; i < call->list.n; i++) {
        if (eq) {
            hoist_inside(g, &call->list.v[i]);
        } else {
            hoist_one(g, &call->list.v[i]);
        }
    }
}

static void emit_plain(struct gen *g, struct expr *e);

static void emit_not(struct gen *g, struct body *b)
{
    uint32_t outer = g->fail, holds = label_new(g);
    size_t branch = branch_begin(g);
    g->fail = holds;
    emit_body(g, b);
    emit_jump(g, outer);
    label_here(g, holds);
    branch_end(g, branch);
    g->fail = outer;
}

static void emit_negated(struct gen *g, struct expr *written)
{
    struct expr copy = *written, *e = &copy;
    if (e->kind == E_TERM) {
        e->term = term_copy(g->c->a, e->term);
        if (e->term->type == T_CALL) {
            hoist_operands(g, e->term);
        } else {
            hoist_inside(g, &e->term);
        }
    }
    uint32_t outer = g->fail, holds = label_new(g);
    size_t branch = branch_begin(g);
    g->fail = holds;
    emit_plain(g, e);
    emit_jump(g, outer);
    label_here(g, holds);
    branch_end(g, branch);
    g->fail = outer;
}

static void emit_every(struct gen *g, struct expr *e)
{
    int32_t domain = emit_value(g, e->every.domain), it = reg_new(g);
    reg_new(g);
    reg_new(g);
    uint32_t outer = g->fail, next = label_new(g), bad = label_new(g), done = label_new(g);
    int32_t key = -1;
    if (e->every.key != NULL) {
        bind_local(g, e->every.key->var.local);
        key = (int32_t)e->every.key->var.local->reg;
    }
    bind_local(g, e->every.value->var.local);
    emit(g, OP_SCAN, it, domain, 0);
    label_here(g, next);
    emit(g, OP_NEXT, it, key, (int32_t)e->every.value->var.local->reg)->to = done;
    size_t branch = branch_begin(g);
    g->fail = bad;
    emit_body(g, e->every.body);
    emit_jump(g, next);
    label_here(g, bad);
    emit_jump(g, outer);
    label_here(g, done);
    branch_end(g, branch);
    g->fail = outer;
}

static void emit_or(struct gen *g, struct term *t)
{
    uint32_t outer = g->fail, second = label_new(g), done = label_new(g);
    size_t branch = branch_begin(g);
    g->fail = second;
    emit_body(g, t->logic.lhs);
    emit_jump(g, done);
    label_here(g, second);
    branch_end(g, branch);
    g->fail = outer;
    emit_body(g, t->logic.rhs);
    label_here(g, done);
    branch_end(g, branch);
    g->fail = outer;
}

static void emit_and(struct gen *g, struct term *t)
{
    uint32_t outer = g->fail;
    emit_body(g, t->logic.lhs);
    g->fail = outer;
    emit_body(g, t->logic.rhs);
    g->fail = outer;
}

static bool is_relation(const struct term *t, int *rel)
{
    static const char *const names[] = {"equal", "neq", "lt", "lte", "gt", "gte"};
    for (size_t i = 0; i < ARRAY_LEN(names) && t->list.n == 3; i++) {
        if (term_is_call_of(t, names[i])) {
            *rel = (int)i;
            return true;
        }
    }
    return false;
}

static void emit_print(struct gen *g, struct term *t)
{
    int32_t *ops = arena_array(g->c->a, int32_t, t->list.n);
    for (size_t i = 1; i < t->list.n; i++) {
        uint32_t outer = g->fail, end = label_new(g);
        int32_t coll = reg_new(g), r = reg_new(g);
        size_t branch = branch_begin(g);
        emit(g, OP_COLLECT, coll, 0, 0);
        g->fail = end;
        int32_t v = emit_value(g, t->list.v[i]);
        emit(g, OP_ADD, coll, v, 0);
        emit_jump(g, g->fail);
        label_here(g, end);
        branch_end(g, branch);
        g->fail = outer;
        emit(g, OP_DONE, r, coll, 0)->n = V_SET;
        ops[i - 1] = r;
    }
    int32_t at = list_add(g, ops, t->list.n - 1);
    emit(g, OP_PRINT, 0, at, 0)->n = (uint16_t)(t->list.n - 1);
}

/*
 * A member that is read for nothing but this comparison needs no register: the reading instruction, when it is the
 * last one, becomes the comparison.
 */
static struct insn *fuse_field(struct gen *g, const int32_t *xy, int *rel)
{
    static const int mirrored[] = {0, 1, 4, 5, 2, 3};
    struct insn *i = g->code->n > 0 ? &g->code->v[g->code->n - 1] : NULL;
    bool left = i != NULL && xy[0] == i->a;
    if (i == NULL || i->op != OP_FIELD || xy[0] == xy[1] || (!left && xy[1] != i->a) ||
        label_is_here(g)) {
        return NULL;
    }
    struct known *last = g->n_known > 0 ? &g->known[g->n_known - 1] : NULL;
    if (last != NULL && last->place == NULL && last->to == i->a) {
        g->n_known--; /* the register is not written after all */
    }
    i->op = OP_FIELD_CMP;
    i->flag = !left;
    i->a = left ? xy[1] : xy[0];
    *rel = left ? *rel : mirrored[*rel];
    return i;
}

/* The side that reads a member comes last where the order is free, so that the comparison can take it over. */
static void emit_compared(struct gen *g, struct term **t, int32_t *xy)
{
    bool free_order = !has_unbound(t[0]) && !has_unbound(t[1]) && t[1]->type != T_CALL;
    if (free_order && t[0]->type == T_REF && t[0]->list.v[0]->var.local != NULL) {
        xy[1] = emit_value(g, t[1]);
        xy[0] = emit_value(g, t[0]);
        return;
    }
    emit_operands(g, t, 2, xy);
}

static void emit_call_expr(struct gen *g, struct term *t)
{
    struct callee callee;
    int rel;
    if (term_is_call_of(t, "eq") && t->list.n == 3) {
        emit_unify(g, t->list.v[1], t->list.v[2]);
        return;
    }
    if (term_is_call_of(t, "print")) {
        emit_print(g, t);
        return;
    }
    if (is_relation(t, &rel)) {
        int32_t xy[2];
        emit_compared(g, t->list.v + 1, xy);
        struct insn *i = fuse_field(g, xy, &rel);
        i = i != NULL ? i : emit(g, OP_CMP, 0, xy[0], xy[1]);
        i->n = (uint16_t)rel;
        i->p = builtin_find(term_call_name(g->c->a, t));
        return;
    }
    bool known = find_callee(g->c, t->list.v[0], &callee);
    size_t n = t->list.n - 1;
    if (known && n == (size_t)callee.arity + 1) {
        int32_t r = emit_call(g, t, n - 1);
        emit_match(g, t->list.v[n], r);
        return;
    }
    int32_t r = emit_call(g, t, n);
    bool relation = known && callee.builtin != NULL && (callee.builtin->flags & BF_RELATION) != 0;
    if (!relation) {
        emit(g, OP_TRUE, 0, r, 0);
    }
}

static void emit_plain(struct gen *g, struct expr *e)
{
    if (e->kind == E_EVERY) {
        emit_every(g, e);
        return;
    }
    if (e->kind == E_SOME) {
        return;
    }
    struct term *t = e->term;
    switch (t->type) {
    case T_CALL:
        emit_call_expr(g, t);
        break;
    case T_NOT:
        emit_not(g, t->logic.lhs);
        break;
    case T_AND:
        emit_and(g, t);
        break;
    case T_OR:
        emit_or(g, t);
        break;
    default: {
        int32_t v = t->type == T_REF ? emit_ref(g, t, false) : emit_value(g, t);
        emit(g, OP_TRUE, 0, v, 0);
    }
    }
}

void emit_expr(struct gen *g, struct expr *e)
{
    if (e->loc.row != 0) {
        g->loc = e->loc;
    }
    if (e->n_with > 0) {
        emit_with(g, e);
    } else if (e->negated) {
        emit_negated(g, e);
    } else {
        emit_plain(g, e);
    }
}

void emit_body(struct gen *g, struct body *b)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        emit_expr(g, b->v[i]);
    }
}

int32_t emit_comprehension(struct gen *g, struct term *t)
{
    uint32_t outer = g->fail, end = label_new(g);
    int32_t coll = reg_new(g), r = reg_new(g);
    size_t branch = branch_begin(g);
    emit(g, OP_COLLECT, coll, 0, 0);
    g->fail = end;
    emit_body(g, t->comp.body);
    if (t->type == T_OBJECT_COMP) {
        int32_t k = emit_value(g, t->comp.key), v = emit_value(g, t->comp.value);
        emit(g, OP_ADD2, coll, k, v);
    } else {
        int32_t v = emit_value(g, t->comp.value);
        emit(g, OP_ADD, coll, v, 0);
    }
    emit_jump(g, g->fail);
    label_here(g, end);
    branch_end(g, branch);
    g->fail = outer;
    g->loc = t->loc.row != 0 ? t->loc : g->loc;
    emit(g, OP_DONE, r, coll, 0)->n = t->type == T_ARRAY_COMP ? V_ARRAY
                                      : t->type == T_SET_COMP ? V_SET
                                                              : V_OBJECT;
    return r;
}

static int32_t emit_template_part(struct gen *g, struct expr *e)
{
    uint32_t outer = g->fail, end = label_new(g);
    int32_t coll = reg_new(g), r = reg_new(g);
    size_t branch = branch_begin(g);
    emit(g, OP_COLLECT, coll, 0, 0);
    g->fail = end;
    int32_t v;
    if (e->n_with > 0) {
        struct local *l = new_local(g->c, S("$part"), e->loc);
        struct term *eq = term_new(g->c->a, T_CALL, e->loc);
        eq->infix = true;
        term_push(g->c->a, eq, term_var(g->c->a, S("eq"), e->loc));
        term_push(g->c->a, eq, local_term(g->c, l, e->loc));
        term_push(g->c->a, eq, e->term);
        struct expr copy = *e; /* the tree stays as it is for those who read it later */
        copy.term = eq;
        emit_with(g, &copy);
        v = (int32_t)l->reg;
    } else {
        v = emit_value(g, e->term);
    }
    emit(g, OP_ADD, coll, v, 0);
    emit_jump(g, g->fail);
    label_here(g, end);
    branch_end(g, branch);
    g->fail = outer;
    emit(g, OP_DONE, r, coll, 0)->n = V_SET;
    return r;
}

int32_t emit_template(struct gen *g, struct term *t)
{
    int32_t *ops = arena_array(g->c->a, int32_t, t->list.n + 1);
    for (size_t i = 0; i < t->list.n; i++) {
        struct term *part = t->list.v[i];
        ops[i] = part->type == T_EXPR ? emit_template_part(g, part->expr) : emit_value(g, part);
    }
    int32_t at = list_add(g, ops, t->list.n), r = reg_new(g);
    emit(g, OP_TEMPLATE, r, at, 0)->n = (uint16_t)t->list.n;
    return r;
}
