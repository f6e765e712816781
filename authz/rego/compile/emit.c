/* Instructions, labels, registers, and the code of rules and queries. */
#include "authz/rego/compile/emit_priv.h"
#include "authz/rego/syntax/visit.h"

uint32_t label_new(struct gen *g)
{
    g->labels = arena_grow(g->c->a, g->labels, g->n_labels, g->n_labels + 1, &g->cap_labels,
                           sizeof *g->labels);
    g->labels[g->n_labels] = UINT32_MAX;
    return (uint32_t)g->n_labels++;
}

void label_here(struct gen *g, uint32_t label)
{
    g->labels[label] = (uint32_t)g->code->n;
    g->last_label = g->code->n;
}

bool label_is_here(const struct gen *g)
{
    return g->n_labels > 0 && g->last_label == g->code->n;
}

struct insn *emit(struct gen *g, enum op op, int32_t a, int32_t b, int32_t c)
{
    struct code *k = g->code;
    k->v = arena_grow(g->c->a, k->v, k->n, k->n + 1, &k->cap, sizeof *k->v);
    struct insn *i = &k->v[k->n++];
    *i = (struct insn){.op = (uint8_t)op, .a = a, .b = b, .c = c, .to = g->fail, .loc = g->loc};
    return i;
}

void emit_jump(struct gen *g, uint32_t label)
{
    emit(g, OP_JMP, 0, 0, 0)->to = label;
}

int32_t reg_new(struct gen *g)
{
    return (int32_t)g->code->n_regs++;
}

int32_t constant(struct gen *g, struct val v)
{
    struct code *k = g->code;
    for (size_t i = 0; i < k->n_consts; i++) {
        if (val_type(k->consts[i]) == val_type(v) && val_eq(k->consts[i], v) &&
            (!val_is(v, V_NUMBER) || val_same(k->consts[i], v))) {
            return ~(int32_t)i;
        }
    }
    k->consts = arena_grow(g->c->a, k->consts, k->n_consts, k->n_consts + 1, &k->cap_consts,
                           sizeof *k->consts);
    k->consts[k->n_consts] = v;
    return ~(int32_t)k->n_consts++;
}

int32_t list_add(struct gen *g, const int32_t *ops, size_t n)
{
    struct code *k = g->code;
    size_t at = k->n_lists;
    k->lists =
        arena_grow(g->c->a, k->lists, k->n_lists, k->n_lists + n, &k->cap_lists, sizeof *k->lists);
    for (size_t i = 0; i < n; i++) {
        k->lists[at + i] = ops[i];
    }
    k->n_lists += n;
    return (int32_t)at;
}

void bind_local(struct gen *g, struct local *l)
{
    if (!l->bound) {
        l->bound = true;
        l->reg = (uint32_t)reg_new(g);
    }
}

bool node_is_doc(const struct node *n)
{
    return n->n_complete == 0 && n->n_sets == 0 && n->n_dynamic == 0 && n->fallback == NULL &&
           !n->func;
}

static void finish(struct gen *g)
{
    emit(g, OP_END, 0, 0, 0);
    for (size_t i = 0; i < g->code->n; i++) {
        struct insn *x = &g->code->v[i];
        x->to = g->labels[x->to];
        BUG_ON(x->to == UINT32_MAX);
    }
}

static struct gen begin(struct compiler *c)
{
    struct gen g = {.c = c};
    g.code = arena_new(c->a, struct code);
    g.code->file = c->query || c->unit == NULL ? STR_EMPTY : c->unit->m->file;
    g.code->node = c->query ? NULL : c->node;
    g.fail = label_new(&g);
    return g;
}

static void emit_args(struct gen *g, const struct head *h)
{
    for (size_t i = 0; i < h->n_args; i++) {
        reg_new(g);
    }
    for (size_t i = 0; i < h->n_args; i++) {
        struct term *t = h->args[i];
        if (t->type == T_VAR && t->var.local != NULL && !t->var.local->bound) {
            t->var.local->bound = true;
            t->var.local->reg = (uint32_t)i;
        } else {
            emit_match(g, t, (int32_t)i);
        }
    }
}

enum { TAIL_MAX = 64 };

static void emit_part(struct gen *g, struct rule *r, struct term **tail, size_t n_tail)
{
    int32_t ops[TAIL_MAX + 2];
    BUG_ON(n_tail > TAIL_MAX);
    for (size_t i = 0; i < n_tail; i++) {
        ops[i] = emit_value(g, tail[i]);
    }
    bool set = r->head->key != NULL;
    ops[n_tail] = emit_value(g, set ? r->head->key : r->head->value);
    int32_t at = list_add(g, ops, n_tail + 1);
    struct insn *x = emit(g, OP_PART, 0, at, set);
    x->n = (uint16_t)(n_tail + 1);
}

struct code *emit_rule(struct compiler *c, struct rule *r, struct term **tail, size_t n_tail)
{
    struct gen g = begin(c);
    uint32_t end = g.fail;
    g.loc = r->loc;
    emit_args(&g, r->head);
    emit_body(&g, r->body);
    g.loc = r->loc;
    if (n_tail > 0) {
        emit_part(&g, r, tail, n_tail);
    } else if (r->head->key != NULL) {
        int32_t k = emit_value(&g, r->head->key);
        emit(&g, OP_MEMBER, 0, k, 0);
    } else {
        int32_t v = emit_value(&g, r->head->value);
        emit(&g, v < 0 ? OP_RETURN : OP_VALUE, 0, v, 0);
    }
    emit_jump(&g, g.fail);
    label_here(&g, end);
    finish(&g);
    return g.failed ? NULL : g.code;
}

/* The value of one expression of a query; `capture` lets false be a value like others. */
static int32_t emit_query_expr(struct gen *g, struct expr *e, bool capture)
{
    struct term *t = e->term;
    bool plain = e->kind == E_TERM && !e->negated && e->n_with == 0 && t->type < T_AND;
    bool equation =
        plain && t->type == T_CALL && (term_is_call_of(t, "eq") || term_is_call_of(t, "print"));
    if (!capture || !plain || equation) {
        emit_expr(g, e);
        bool value = plain && t->type != T_CALL && !any_unbound(t);
        return value ? emit_value(g, t) : constant(g, VAL_TRUE);
    }
    struct callee callee;
    if (t->type == T_CALL && find_callee(g->c, t->list.v[0], &callee) &&
        t->list.n == (size_t)callee.arity + 2) {
        emit_expr(g, e);
        return constant(g, VAL_TRUE);
    }
    return emit_value(g, t);
}

struct iteration {
    struct compiler *c;
    bool found;
};

static bool find_iteration(struct visitor *v, struct term *t)
{
    struct iteration *i = v->ctx;
    struct callee callee;
    if (t->type >= T_ARRAY_COMP && t->type <= T_OBJECT_COMP) {
        return false;
    }
    for (size_t k = 1; t->type == T_REF && k < t->list.n; k++) {
        i->found |= t->list.v[k]->type == T_VAR;
    }
    if (t->type == T_CALL && find_callee(i->c, t->list.v[0], &callee) && callee.builtin != NULL) {
        i->found |= (callee.builtin->flags & BF_RELATION) != 0;
    }
    return !i->found;
}

/* Only a query of one expression with at most one value shows false; others look for what holds. */
static bool must_hold(struct compiler *c, struct body *b)
{
    struct iteration i = {c, b->n > 1};
    struct visitor v = {.term = find_iteration, .ctx = &i};
    if (!i.found) {
        visit_body(&v, b);
    }
    return i.found;
}

struct code *emit_query(struct compiler *c, struct body *b, struct local **vars, size_t n_vars,
                        bool capture)
{
    struct gen g = begin(c);
    uint32_t end = g.fail;
    int32_t *ops = arena_array(c->a, int32_t, n_vars + b->n + 1);
    bool holds = capture && must_hold(c, b);
    for (size_t i = 0; i < b->n; i++) {
        g.loc = b->v[i]->loc;
        ops[n_vars + i] = emit_query_expr(&g, b->v[i], capture);
        if (holds) {
            emit(&g, OP_TRUE, 0, ops[n_vars + i], 0);
        }
    }
    for (size_t i = 0; i < n_vars; i++) {
        ops[i] = vars[i]->bound ? (int32_t)vars[i]->reg : constant(&g, VAL_UNDEF);
    }
    int32_t at = list_add(&g, ops, n_vars + b->n);
    emit(&g, OP_ROW, 0, at, 0)->n = (uint16_t)(n_vars + b->n);
    emit_jump(&g, g.fail);
    label_here(&g, end);
    finish(&g);
    return g.failed ? NULL : g.code;
}
