/*
 * Calls before types are known: functions that do not exist or take another number of operands, results
 * that do not exist, and operands of print and of templates that nothing gives a value.
 */
#include "authz/rego/compile/order_priv.h"
#include "authz/rego/syntax/visit.h"
#include "authz/rego/types/check.h"

static bool void_call(struct visitor *v, struct term *t)
{
    struct compiler *c = v->ctx;
    struct callee callee;
    struct loc loc = t->loc;
    if (t->type == T_EXPR && t->expr->kind == E_TERM) { /* in a template it is a value too */
        t = t->expr->term;
        loc = (struct loc){0};
    }
    if (t->type == T_CALL && find_callee(c, t->list.v[0], &callee) && callee.builtin != NULL &&
        str_is(str_of(callee.builtin->name), "print")) {
        struct buf b;
        buf_init(&b, 1 << 16);
        term_write(&b, t);
        compile_error(c, "rego_type_error", loc, "%.*s used as value", STR_FMT(buf_str(&b)));
        buf_release(&b);
    }
    return true;
}

/* A call that is an expression of its own needs no result. */
static bool operands_only(struct visitor *v, struct expr *e)
{
    if (e->kind != E_TERM || e->term->type != T_CALL) {
        return true;
    }
    for (size_t i = 1; i < e->term->list.n; i++) {
        visit_term(v, e->term->list.v[i]);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        visit_term(v, e->with[i]->value);
    }
    return false;
}

void check_void_calls(struct compiler *c, struct crule *cr)
{
    struct visitor v = {.term = void_call, .expr = operands_only, .ctx = c};
    visit_rule(&v, cr->rule);
}

static bool add_missing(struct varset *unsafe, const struct varset *safe)
{
    bool any = false;
    for (size_t i = 0; i < unsafe->words; i++) {
        unsafe->bits[i] &= ~(i < safe->words ? safe->bits[i] : 0);
        any |= unsafe->bits[i] != 0;
    }
    return any;
}

/* "var x is undeclared" for each variable of `t` that nothing before gives a value. */
static void check_declared(struct compiler *c, const struct term *t, const struct varset *safe)
{
    struct varset vars = varset_new(c);
    direct_vars(t, &vars);
    if (!add_missing(&vars, safe)) {
        return;
    }
    for (uint32_t id = 0; id < c->n_locals; id++) {
        for (struct local *l = c->locals; varset_has(&vars, id) && l != NULL; l = l->next) {
            if (l->id == id) {
                compile_error(c, "rego_compile_error", t->loc, "var %.*s is undeclared",
                              STR_FMT(l->wildcard ? S("_") : l->name));
            }
        }
    }
}

static struct varset with_outputs(struct compiler *c, const struct body *b, size_t n,
                                  const struct varset *safe)
{
    struct varset all = varset_new(c);
    memcpy(all.bits, safe->bits, MIN(safe->words, all.words) * sizeof *all.bits);
    for (size_t i = 0; i < n; i++) {
        struct varset out = varset_new(c);
        expr_outputs(c, b->v[i], &all, &out);
        for (size_t k = 0; k < all.words; k++) {
            all.bits[k] |= out.bits[k];
        }
    }
    return all;
}

struct scan {
    struct compiler *c;
    struct varset safe;
};

static void scan_body(struct compiler *c, struct body *b, const struct varset *safe);

static bool is_print(const struct expr *e)
{
    return e->kind == E_TERM && term_is_call_of(e->term, "print");
}

static bool known_rule(struct compiler *c, const struct term *t)
{
    const struct term *head = t->list.v[0];
    if (head->type != T_VAR || head->var.local != NULL || !str_is(head->var.name, "data")) {
        return false;
    }
    struct node *n = c->p->root;
    for (size_t i = 1; n != NULL && i < t->list.n; i++) {
        struct val k = term_const(c->a, t->list.v[i]);
        n = val_undef(k) ? NULL : node_child(n, k);
    }
    return n != NULL && !n->func && (n->fallback != NULL || n->n_sets > 0);
}

static void check_part(struct compiler *c, struct expr *e, const struct varset *safe)
{
    struct term *t = e->term;
    struct callee callee;
    if (t->type == T_CALL && find_callee(c, t->list.v[0], &callee) && callee.builtin != NULL &&
        (callee.builtin->flags & BF_RELATION) != 0) {
        compile_error(c, "rego_compile_error", (struct loc){0},
                      "illegal call to relation built-in '%s' that may cause multiple outputs",
                      callee.builtin->name);
        return;
    }
    if (t->type != T_VAR && !(t->type == T_REF && known_rule(c, t))) {
        check_declared(c, t, safe);
    }
}

static bool scan_term(struct visitor *v, struct term *t)
{
    struct scan *s = v->ctx;
    switch (t->type) {
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP: {
        struct scan inner = {s->c, with_outputs(s->c, t->comp.body, t->comp.body->n, &s->safe)};
        struct visitor inside = {.term = scan_term, .expr = v->expr, .ctx = &inner};
        size_t before = s->c->errors->n;
        scan_body(s->c, t->comp.body, &s->safe);
        visit_term(&inside, t->comp.key);
        visit_term(&inside, t->comp.value);
        return s->c->errors->n > before; /* what is wrong inside is told of outside as well */
    }
    case T_TEMPLATE:
        for (size_t i = 0; i < t->list.n; i++) {
            struct term *part = t->list.v[i];
            if (part->type == T_EXPR && part->expr->kind == E_TERM) {
                check_part(s->c, part->expr, &s->safe);
            }
        }
        return true;
    case T_AND:
    case T_OR:
    case T_NOT:
        scan_body(s->c, t->logic.lhs, &s->safe);
        scan_body(s->c, t->logic.rhs, &s->safe);
        return false;
    default:
        return true;
    }
}

static void add_local(struct varset *s, const struct term *t)
{
    if (t != NULL && t->type == T_VAR && t->var.local != NULL) {
        varset_add(s, t->var.local->id);
    }
}

static void scan_print(struct compiler *c, struct expr *e, const struct varset *safe)
{
    for (size_t i = 1; i < e->term->list.n; i++) {
        check_declared(c, e->term->list.v[i], safe);
    }
}

/* print sees what stands before it; templates see all that the body gives. */
static void scan_body(struct compiler *c, struct body *b, const struct varset *safe)
{
    if (b == NULL) {
        return;
    }
    struct scan all = {c, with_outputs(c, b, b->n, safe)};
    struct visitor v = {.term = scan_term, .ctx = &all};
    for (size_t i = 0; i < b->n; i++) {
        struct expr *e = b->v[i];
        if (is_print(e)) {
            struct varset before = with_outputs(c, b, i, safe);
            scan_print(c, e, &before);
        }
        visit_term(&v, e->term);
        for (size_t k = 0; k < e->n_with; k++) {
            visit_term(&v, e->with[k]->value);
        }
        if (e->kind == E_EVERY) {
            struct varset inside = with_outputs(c, b, i, safe);
            visit_term(&v, e->every.domain);
            add_local(&inside, e->every.key);
            add_local(&inside, e->every.value);
            scan_body(c, e->every.body, &inside);
        }
    }
}

static bool of_interest(struct visitor *v, struct term *t)
{
    *(bool *)v->ctx |= t->type == T_TEMPLATE || term_is_call_of(t, "print");
    return true;
}

void check_prints(struct compiler *c, struct crule *cr)
{
    bool any = false;
    struct visitor look = {.term = of_interest, .ctx = &any};
    visit_rule(&look, cr->rule);
    if (!any) {
        return;
    }
    struct varset safe = varset_new(c);
    for (size_t i = 0; i < cr->rule->head->n_args; i++) {
        direct_vars(cr->rule->head->args[i], &safe);
    }
    scan_body(c, cr->rule->body, &safe);
    struct scan s = {c, with_outputs(c, cr->rule->body, cr->rule->body->n, &safe)};
    struct visitor v = {.term = scan_term, .ctx = &s};
    visit_term(&v, cr->rule->head->key);
    visit_term(&v, cr->rule->head->value);
}

void check_calls_of_query(struct compiler *c, struct body *b)
{
    struct visitor v = {.term = void_call, .expr = operands_only, .ctx = c};
    struct varset safe = varset_new(c);
    visit_body(&v, b);
    scan_body(c, b, &safe);
}

/* The number of operands of what a call names; -1 when there is no such thing. */
static int arity_of(struct compiler *c, const struct term *op, struct callee *callee)
{
    if (find_callee(c, op, callee)) {
        return callee->arity;
    }
    const struct term *head = op->type == T_REF ? op->list.v[0] : op;
    if (head->type != T_VAR || head->var.local != NULL || !str_is(head->var.name, "data")) {
        return -1;
    }
    struct node *n = c->p->root;
    for (size_t i = 1; n != NULL && op->type == T_REF && i < op->list.n; i++) {
        struct val k = term_const(c->a, op->list.v[i]);
        n = val_undef(k) ? NULL : node_child(n, k);
    }
    return n != NULL && n->n_all > 0 ? (int)n->all[0]->rule->head->n_args : -1;
}

struct calls {
    struct compiler *c;
    const struct term *statement; /* stands alone: its result may be left out */
    const struct expr *part;      /* of a template */
};

static void arity_error(struct compiler *c, struct term *t, const struct callee *callee, int arity,
                        bool alone, struct loc loc)
{
    int given = (int)t->list.n - 1;
    struct str name = term_call_name(c->a, t);
    if (callee->builtin != NULL) {
        types_arity_error(c, t, callee->builtin, !alone, loc);
        return;
    }
    compile_error(c, "rego_type_error", loc, "function %.*s has arity %d, got %d argument%s",
                  STR_FMT(name), arity, given, given == 1 ? "" : "s");
}

static void check_call(struct calls *k, struct term *t, bool alone, struct loc loc)
{
    struct callee callee = {0};
    int arity = arity_of(k->c, t->list.v[0], &callee), given = (int)t->list.n - 1;
    if (callee.builtin != NULL && str_is(str_of(callee.builtin->name), "print")) {
        return;
    }
    if (arity < 0) {
        struct buf name;
        buf_init(&name, 1 << 16);
        term_write(&name, t->list.v[0]);
        compile_error(k->c, "rego_type_error", loc, "undefined function %.*s",
                      STR_FMT(buf_str(&name)));
        buf_release(&name);
    } else if (given != arity && !(alone && given == arity + 1)) {
        arity_error(k->c, t, &callee, arity, alone, loc);
    }
}

static bool call_in_expr(struct visitor *v, struct expr *e)
{
    struct calls *k = v->ctx;
    if (e->kind == E_TERM && e->term->type == T_CALL && e != k->part) {
        k->statement = e->term;
        check_call(k, e->term, true, e->loc);
    } else if (e == k->part && e->term->type == T_CALL) {
        k->statement = e->term;
        check_call(k, e->term, false, (struct loc){0});
    }
    return true;
}

static bool call_in_term(struct visitor *v, struct term *t)
{
    struct calls *k = v->ctx;
    if (t->type == T_EXPR) {
        k->part = t->expr;
    }
    if (t->type == T_CALL && t != k->statement) {
        check_call(k, t, false, t->loc);
    }
    return true;
}

void check_functions(struct compiler *c, struct crule *cr)
{
    struct calls k = {.c = c};
    struct visitor v = {.term = call_in_term, .expr = call_in_expr, .ctx = &k};
    visit_rule(&v, cr->rule);
}

void check_functions_of_body(struct compiler *c, struct body *b)
{
    struct calls k = {.c = c};
    struct visitor v = {.term = call_in_term, .expr = call_in_expr, .ctx = &k};
    visit_body(&v, b);
}
