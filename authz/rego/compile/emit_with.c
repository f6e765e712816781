/*
 * `with`: an expression under replaced documents or functions. Its solutions are collected while the
 * replacement is in force, and enumerated when it is gone; caches thus never mix.
 */
#include "authz/rego/compile/emit_priv.h"
#include "authz/rego/compile/order_priv.h"

static bool is_root(const struct term *t, const char *name)
{
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    return head->type == T_VAR && head->var.local == NULL && str_is(head->var.name, name);
}

static const struct builtin *named_builtin(struct gen *g, struct term *t)
{
    if (t->type == T_VAR) {
        return t->var.local == NULL ? builtin_find(t->var.name) : NULL;
    }
    if (t->type != T_REF || is_root(t, "input") || is_root(t, "data") ||
        t->list.v[0]->type != T_VAR || t->list.v[0]->var.local != NULL) {
        return NULL;
    }
    struct term call = {.type = T_CALL};
    call.list.v = &t;
    call.list.n = 1;
    return builtin_find(term_call_name(g->c->a, &call));
}

/* The node of a reference to data that is constant throughout, or NULL. */
static struct node *node_of(struct gen *g, const struct term *t)
{
    struct node *n = is_root(t, "data") ? g->c->p->root : NULL;
    for (size_t i = 1; n != NULL && t->type == T_REF && i < t->list.n; i++) {
        struct val k = term_const(g->c->a, t->list.v[i]);
        n = val_undef(k) ? NULL : node_child(n, k);
    }
    return n;
}

static void check_partial(struct gen *g, const struct term *t)
{
    struct node *n = g->c->p->root;
    for (size_t i = 1; n != NULL && t->type == T_REF && i < t->list.n; i++) {
        struct val k = term_const(g->c->a, t->list.v[i]);
        n = val_undef(k) ? NULL : node_child(n, k);
        if (n != NULL && !node_is_doc(n) && i + 1 < t->list.n) {
            compile_error(g->c, "rego_compile_error", t->loc,
                          "with keyword cannot partially replace virtual document(s)");
            g->failed = true;
            return;
        }
    }
}

static struct val *const_path(struct gen *g, const struct term *t, size_t *n)
{
    *n = t->type == T_REF ? t->list.n - 1 : 0;
    struct val *path = arena_array(g->c->a, struct val, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        path[i] = term_const(g->c->a, t->list.v[i + 1]);
        if (val_undef(path[i])) {
            compile_error(g->c, "rego_compile_error", t->loc, "with keyword target must be ground");
            g->failed = true;
            path[i] = VAL_NULL;
        }
    }
    return path;
}

static void replace_function(struct gen *g, struct with_target *t, struct term *value)
{
    t->kind = WITH_FUNC;
    t->by_builtin = named_builtin(g, value);
    struct node *n = node_of(g, value);
    if (t->by_builtin == NULL && n != NULL && n->func) {
        t->by_func = n;
    }
}

static void target_of(struct gen *g, struct with *w, struct with_target *t)
{
    t->builtin = named_builtin(g, w->target);
    if (t->builtin != NULL) {
        replace_function(g, t, w->value);
        return;
    }
    if (is_root(w->target, "input")) {
        t->kind = WITH_INPUT;
        t->path = const_path(g, w->target, &t->n_path);
        return;
    }
    if (!is_root(w->target, "data")) {
        g->failed = true;
        compile_error(g->c, "rego_type_error", w->target->loc,
                      "with keyword target must reference existing input, data, or a function");
        return;
    }
    struct node *n = node_of(g, w->target);
    if (n != NULL && n->func) {
        t->func = n;
        replace_function(g, t, w->value);
        return;
    }
    check_partial(g, w->target);
    t->kind = WITH_DATA;
    t->path = const_path(g, w->target, &t->n_path);
    t->mask = n;
}

static struct with_code *targets_of(struct gen *g, struct expr *e, int32_t *values)
{
    struct with_code *w = arena_new(g->c->a, struct with_code);
    w->n = e->n_with;
    w->targets = arena_array(g->c->a, struct with_target, e->n_with);
    for (size_t i = 0; i < e->n_with; i++) {
        struct with_target *t = &w->targets[i];
        target_of(g, e->with[i], t);
        bool by_name = t->kind == WITH_FUNC && (t->by_func != NULL || t->by_builtin != NULL);
        values[i] = by_name || g->failed ? constant(g, VAL_NULL) : emit_value(g, e->with[i]->value);
    }
    return w;
}

/* The locals that the expression binds for what comes after it. */
static size_t free_locals(struct gen *g, const struct expr *e, struct local **out)
{
    struct varset vars = varset_new(g->c);
    needed_vars(e, &vars);
    size_t n = 0;
    for (struct local *l = g->c->locals; l != NULL; l = l->next) {
        if (!l->bound && varset_has(&vars, l->id)) {
            out[n++] = l;
        }
    }
    return n;
}

static void emit_under(struct gen *g, struct expr *e)
{
    struct expr inner = *e;
    inner.n_with = 0;
    g->with_depth++;
    emit_expr(g, &inner);
    g->with_depth--;
}

static void emit_once(struct gen *g, struct expr *e)
{
    uint32_t outer = g->fail, failed = label_new(g), done = label_new(g);
    g->fail = failed;
    emit_under(g, e);
    g->fail = outer;
    emit(g, OP_UNWITH, 0, 0, 0);
    emit_jump(g, done);
    label_here(g, failed);
    emit(g, OP_UNWITH, 0, 0, 0);
    emit_jump(g, outer);
    label_here(g, done);
}

static void emit_all(struct gen *g, struct expr *e, struct local **free, size_t n)
{
    uint32_t outer = g->fail, end = label_new(g), next = label_new(g);
    int32_t coll = reg_new(g), rows = reg_new(g), row = reg_new(g);
    emit(g, OP_COLLECT, coll, 0, 0);
    g->fail = end;
    emit_under(g, e);
    int32_t *ops = arena_array(g->c->a, int32_t, n);
    for (size_t i = 0; i < n; i++) {
        bool held =
            free[i]->bound && !free[i]->wildcard; /* no register is written for a wildcard */
        ops[i] = held ? (int32_t)free[i]->reg : constant(g, VAL_NULL);
    }
    int32_t at = list_add(g, ops, n);
    emit(g, OP_ARRAY, row, at, 0)->n = (uint16_t)n;
    emit(g, OP_ADD, coll, row, 0);
    emit_jump(g, g->fail);
    label_here(g, end);
    g->fail = outer;
    emit(g, OP_UNWITH, 0, 0, 0);
    emit(g, OP_DONE, rows, coll, 0)->n = V_ARRAY;
    int32_t it = reg_new(g);
    reg_new(g);
    reg_new(g);
    emit(g, OP_SCAN, it, rows, 0);
    label_here(g, next);
    emit(g, OP_NEXT, it, -1, row);
    g->fail = next;
    for (size_t i = 0; i < n; i++) {
        if (free[i]->bound && !free[i]->wildcard) {
            int32_t k = constant(g, val_int(g->c->a, (int64_t)i));
            emit(g, OP_DOT, (int32_t)free[i]->reg, row, k);
        }
    }
}

void emit_with(struct gen *g, struct expr *e)
{
    int32_t *values = arena_array(g->c->a, int32_t, e->n_with);
    struct local **free = arena_array(g->c->a, struct local *, g->c->n_locals + 1);
    struct with_code *w = targets_of(g, e, values);
    if (g->failed) {
        return;
    }
    size_t n = e->negated ? 0 : free_locals(g, e, free);
    int32_t at = list_add(g, values, e->n_with);
    struct insn *x = emit(g, OP_WITH, 0, at, 0);
    x->n = (uint16_t)e->n_with;
    x->p = w;
    if (n == 0) {
        emit_once(g, e);
    } else {
        emit_all(g, e, free, n);
    }
}
