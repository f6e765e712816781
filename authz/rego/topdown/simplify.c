/*
 * Simplifying what remains: variables that only carry a value from one expression to another are
 * replaced by it. Variables of the asker are kept, and so is everything whose being defined matters.
 */
#include "authz/rego/topdown/save.h"

#include <stdlib.h>

/* A class of variables that must be equal, and the constant they equal, if there is one. */
struct class
{
    struct sym *key;
    struct class *parent; /* NULL: the root */
    struct tt *constant;
};

struct binding {
    struct sym *k;
    struct tt *v;
    bool placeholder;
};

struct simplifier {
    struct td *td;
    struct vset live, heads;
    struct class **classes;
    size_t n_classes, cap_classes;
    struct binding *removed;
    size_t n_removed, cap_removed;
    unsigned next;
    bool negated; /* the expression at work */
};

static struct class *find_class(const struct simplifier *s, const struct sym *v)
{
    for (size_t i = 0; i < s->n_classes; i++) {
        if (s->classes[i]->key == v) {
            struct class *c = s->classes[i];
            while (c->parent != NULL) {
                c = c->parent;
            }
            return c;
        }
    }
    return NULL;
}

static struct class *make_class(struct simplifier *s, struct sym *v)
{
    struct class *c = find_class(s, v);
    if (c != NULL) {
        return c;
    }
    c = arena_new(s->td->a, struct class);
    c->key = v;
    s->classes = arena_grow(s->td->a, s->classes, s->n_classes, s->n_classes + 1, &s->cap_classes,
                            sizeof(struct class *));
    s->classes[s->n_classes++] = c;
    return c;
}

static bool merge(struct simplifier *s, struct sym *a, struct sym *b)
{
    struct class *x = make_class(s, a), *y = make_class(s, b);
    if (x == y) {
        return true;
    }
    if (!vset_has(&s->live, x->key)) { /* a variable of the asker stays the root */
        struct class *t = x;
        x = y;
        y = t;
    }
    y->parent = x;
    if (x->constant != NULL && y->constant != NULL) {
        return tt_same(x->constant, y->constant);
    }
    x->constant = x->constant != NULL ? x->constant : y->constant;
    return true;
}

static bool equals_constant(struct simplifier *s, struct sym *v, struct tt *c)
{
    struct class *x = make_class(s, v);
    if (x->constant != NULL && !tt_same(x->constant, c)) {
        return false;
    }
    x->constant = c;
    return true;
}

/* False: the query cannot be satisfied. */
static bool make_classes(struct simplifier *s, const struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct texpr *x = b->v[i];
        bool ok = true;
        if (!x->eq || x->negated || x->n_with > 0) {
            continue;
        }
        struct tt *l = x->t[1], *r = x->t[2];
        if (l->kind == TT_VAR && r->kind == TT_VAR) {
            ok = merge(s, l->sym, r->sym);
        } else if (l->kind == TT_VAR && r->kind == TT_VAL) {
            ok = equals_constant(s, l->sym, r);
        } else if (r->kind == TT_VAR && l->kind == TT_VAL) {
            ok = equals_constant(s, r->sym, l);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

static void heads_in_body(struct simplifier *s, const struct tbody *b);

static void heads_in_term(struct simplifier *s, const struct tt *t)
{
    if (t->kind == TT_REF && t->list.v[0]->kind == TT_VAR) {
        struct sym *v = t->list.v[0]->sym;
        struct class *c = find_class(s, v);
        if (c != NULL) {
            c->constant = NULL;
        }
        vset_add(&s->heads, c != NULL ? c->key : v);
    }
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        heads_in_term(s, t->list.v[i]);
    }
    if (tt_is_comp(t)) {
        if (t->comp.key != NULL) {
            heads_in_term(s, t->comp.key);
        }
        heads_in_term(s, t->comp.value);
        heads_in_body(s, t->comp.body);
    }
}

static void heads_in_body(struct simplifier *s, const struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct texpr *x = b->v[i];
        for (size_t k = 0; k < x->n; k++) {
            heads_in_term(s, x->t[k]);
        }
        if (x->kind == TX_EVERY) {
            heads_in_term(s, x->domain);
        }
        if (x->lhs != NULL) {
            heads_in_body(s, x->lhs);
        }
        if (x->rhs != NULL) {
            heads_in_body(s, x->rhs);
        }
        for (size_t k = 0; k < x->n_with; k++) {
            heads_in_term(s, x->with[k].target);
            heads_in_term(s, x->with[k].value);
        }
    }
}

static struct tt *find_removed(const struct simplifier *s, const struct sym *k)
{
    for (size_t i = 0; i < s->n_removed; i++) {
        if (s->removed[i].k == k) {
            return s->removed[i].v;
        }
    }
    return NULL;
}

static void put_removed(struct simplifier *s, struct sym *k, struct tt *v, bool placeholder)
{
    for (size_t i = 0; i < s->n_removed; i++) {
        if (s->removed[i].k == k) {
            s->removed[i].v = v;
            return;
        }
    }
    s->removed = arena_grow(s->td->a, s->removed, s->n_removed, s->n_removed + 1, &s->cap_removed,
                            sizeof *s->removed);
    s->removed[s->n_removed++] = (struct binding){.k = k, .v = v, .placeholder = placeholder};
}

static struct tt *put_in(struct simplifier *s, struct tt *t);
static void put_in_body(struct simplifier *s, struct tbody *b);

static struct tt *put_in_children(struct simplifier *s, struct tt *t)
{
    struct arena *a = s->td->a;
    if (tt_is_list(t)) {
        struct tt *c = tt_list(a, t->kind, t->list.n, t->loc);
        for (size_t i = 0; i < t->list.n; i++) {
            c->list.v[i] = put_in(s, t->list.v[i]);
        }
        return tt_fold(a, c);
    }
    if (!tt_is_comp(t)) {
        return t;
    }
    struct tt *c = tt_copy(a, t);
    if (c->comp.key != NULL) {
        c->comp.key = put_in(s, c->comp.key);
    }
    c->comp.value = put_in(s, c->comp.value);
    put_in_body(s, c->comp.body);
    return c;
}

static struct tt *put_in_var(struct simplifier *s, struct tt *t)
{
    struct arena *a = s->td->a;
    struct class *c = find_class(s, t->sym);
    if (c != NULL && c->constant != NULL) {
        return c->constant;
    }
    struct tt *var = c != NULL && c->key != t->sym ? tt_var(a, c->key, t->loc) : t;
    struct tt *b = find_removed(s, var->sym);
    struct vset vars = {.a = a};
    if (b == NULL || (s->negated && !tt_ground(b))) {
        return var;
    }
    tt_vars(b, VARS_ALL, &vars);
    return vset_has(&vars, var->sym) ? var : put_in_children(s, b);
}

static struct tt *put_in_ref(struct simplifier *s, struct tt *t)
{
    struct arena *a = s->td->a;
    struct tt *head = t->list.v[0];
    if (head->kind == TT_VAR) {
        struct class *c = find_class(s, head->sym);
        head = c == NULL ? head : c->constant != NULL ? c->constant : tt_var(a, c->key, head->loc);
    }
    struct tt *b = head->kind == TT_VAR ? find_removed(s, head->sym) : NULL;
    if (b != NULL && s->negated && !tt_ground(b)) {
        b = NULL;
    }
    size_t front = b != NULL && b->kind == TT_REF ? b->list.n : 1;
    struct tt *r = tt_list(a, TT_REF, front + t->list.n - 1, t->loc);
    r->list.v[0] = b != NULL ? b : head;
    if (b != NULL && b->kind == TT_REF) {
        memcpy(r->list.v, b->list.v, front * sizeof(struct tt *));
    }
    memcpy(r->list.v + front, t->list.v + 1, (t->list.n - 1) * sizeof(struct tt *));
    return put_in_children(s, r);
}

static struct tt *put_in(struct simplifier *s, struct tt *t)
{
    switch (t->kind) {
    case TT_VAR:
        return put_in_var(s, t);
    case TT_REF:
        return put_in_ref(s, t);
    default:
        return put_in_children(s, t);
    }
}

static void put_in_expr(struct simplifier *s, struct texpr *x)
{
    for (size_t i = 0; i < x->n; i++) {
        x->t[i] = put_in(s, x->t[i]);
    }
    if (x->kind == TX_EVERY) {
        x->key = put_in(s, x->key);
        x->value = put_in(s, x->value);
        x->domain = put_in(s, x->domain);
    }
    if (x->lhs != NULL) {
        put_in_body(s, x->lhs);
    }
    if (x->rhs != NULL) {
        put_in_body(s, x->rhs);
    }
    for (size_t i = 0; i < x->n_with; i++) {
        x->with[i].target = put_in(s, x->with[i].target);
        x->with[i].value = put_in(s, x->with[i].value);
    }
}

static void put_in_body(struct simplifier *s, struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        put_in_expr(s, b->v[i]);
    }
}

static bool carries(struct simplifier *s, struct tt *a, struct tt *b)
{
    bool drop = a->kind == TT_VAR && !vset_has(&s->live, a->sym) &&
                (b->kind == TT_REF || b->kind == TT_CALL);
    if (drop) {
        put_removed(s, a->sym, b, false);
    }
    return drop;
}

static struct tt *as_call(struct simplifier *s, const struct texpr *x)
{
    struct tt *c = tt_list(s->td->a, TT_CALL, x->n - 1, x->loc);
    memcpy(c->list.v, x->t, (x->n - 1) * sizeof(struct tt *));
    return c;
}

/* False: the expression is no longer needed, what it said is remembered. */
static bool keep(struct simplifier *s, const struct texpr *x)
{
    struct td *td = s->td;
    if (s->negated || x->n_with > 0) {
        return true;
    }
    if (x->eq) {
        if (tt_same(x->t[1], x->t[2])) {
            bool live = x->t[1]->kind == TT_REF && x->t[1]->list.v[0]->kind == TT_VAR &&
                        vset_has(&s->live, x->t[1]->list.v[0]->sym);
            if (live) {
                struct str name = arena_printf(td->a, "__localcp%u__", s->next++);
                put_removed(s, sym_get(&td->syms, name), x->t[1], true);
            }
            return false;
        }
        return !carries(s, x->t[1], x->t[2]) && !carries(s, x->t[2], x->t[1]);
    }
    if (x->kind == TX_CALL && tx_arity(x) == (int)x->n - 2) {
        struct tt *out = x->t[x->n - 1];
        if (out->kind == TT_VAR && !vset_has(&s->live, out->sym) &&
            !vset_has(&s->heads, out->sym)) {
            put_removed(s, out->sym, as_call(s, x), false);
            return false;
        }
    }
    bool noop = x->kind == TX_TERM && x->t[0]->kind == TT_VAL && !tt_is(x->t[0], VAL_FALSE);
    noop |= x->kind == TX_CALL && x->builtin != NULL && x->n == 3 &&
            strcmp(x->builtin->name, "equal") == 0 && tt_same(x->t[1], x->t[2]);
    return !noop;
}

static int by_name(const void *a, const void *b)
{
    struct sym *const *x = a, *const *y = b;
    return str_cmp((*x)->name, (*y)->name);
}

static void bind_live(struct simplifier *s, struct tbody *out)
{
    struct td *td = s->td;
    struct sym **v = arena_array(td->a, struct sym *, s->live.n + 1);
    for (size_t i = 0; i < s->live.n; i++) {
        v[i] = s->live.v[i];
    }
    qsort(v, s->live.n, sizeof(struct sym *), by_name);
    for (size_t i = 0; i < s->live.n; i++) {
        struct class *c = find_class(s, v[i]);
        struct tt *to = NULL;
        if (c == NULL) {
            continue;
        }
        struct tt *removed = find_removed(s, c->key);
        if (c->constant != NULL) {
            to = c->constant;
        } else if (removed != NULL) {
            to = removed;
        } else if (c->key != v[i]) {
            to = tt_var(td->a, c->key, (struct loc){0});
        }
        if (to != NULL) {
            struct tt *var = tt_var(td->a, v[i], (struct loc){0});
            tb_push(td->a, out, tx_eq(td->a, &td->syms, var, to));
        }
    }
}

static bool term_contains(const struct tt *t, const struct tt *v)
{
    if (v->kind == TT_REF && t->kind == TT_REF ? ref_has_prefix(t, v) : tt_same(t, v)) {
        return true;
    }
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        if (term_contains(t->list.v[i], v)) {
            return true;
        }
    }
    return false;
}

static bool body_contains(const struct tbody *b, const struct tt *v)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct texpr *x = b->v[i];
        bool found = false;
        for (size_t k = 0; !found && k < x->n; k++) {
            found = term_contains(x->t[k], v);
        }
        if (x->kind == TX_EVERY) {
            found |= term_contains(x->key, v) || term_contains(x->value, v) ||
                     term_contains(x->domain, v);
        } else {
            found |= (x->lhs != NULL && body_contains(x->lhs, v)) ||
                     (x->rhs != NULL && body_contains(x->rhs, v));
        }
        for (size_t k = 0; !found && k < x->n_with; k++) {
            found = term_contains(x->with[k].target, v) || term_contains(x->with[k].value, v);
        }
        if (found) {
            return true;
        }
    }
    return false;
}

static int by_key_down(const void *a, const void *b)
{
    const struct binding *x = a, *y = b;
    return str_cmp(y->k->name, x->k->name);
}

/* Expressions dropped above come back where they bind something, or only say that it is defined. */
static struct vset restore(struct simplifier *s, struct tbody *out)
{
    struct td *td = s->td;
    struct vset safe = {.a = td->a}, needed = {.a = td->a};
    vset_add_all(&safe, &td->t->reserved);
    vset_add_all(&safe, &s->live);
    struct vset bound = tb_outputs(td->a, out, &safe);
    vset_add_all(&safe, &bound);
    for (size_t i = 0; i < out->n; i++) {
        tx_needed_vars(out->v[i], &needed);
    }
    struct vset unsafe = vset_minus(td->a, &needed, &safe);
    if (s->n_removed > 0) {
        qsort(s->removed, s->n_removed, sizeof *s->removed, by_key_down);
    }
    for (size_t i = 0; i < s->n_removed; i++) {
        const struct binding *b = &s->removed[i];
        struct texpr *eq = tx_eq(td->a, &td->syms, tt_var(td->a, b->k, (struct loc){0}), b->v);
        struct vset gives = tx_outputs(td->a, eq, &safe);
        struct vset left = vset_minus(td->a, &unsafe, &gives);
        bool helps = left.n < unsafe.n;
        unsafe = left;
        bool bare = b->v->kind == TT_REF && b->v->list.n == 1 && b->v->list.v[0]->kind == TT_VAR &&
                    vset_has(&safe, b->v->list.v[0]->sym);
        if (helps || (!bare && !body_contains(out, b->v))) {
            bool defined = b->placeholder && b->v->kind == TT_REF;
            tb_push(td->a, out, defined ? tx_term(td->a, b->v) : eq);
            vset_add_all(&safe, &gives);
        }
    }
    return unsafe;
}

/* Variables of a not's body that the outside knows. */
static struct vset inner_live(struct simplifier *s, const struct tbody *b)
{
    struct vset vars = {.a = s->td->a}, live = {.a = s->td->a};
    tb_vars(b, VARS_SAFETY, &vars);
    for (size_t i = 0; i < vars.n; i++) {
        struct sym *v = vars.v[i];
        if (vset_has(&s->live, v) || find_class(s, v) != NULL || find_removed(s, v) != NULL) {
            vset_add(&live, v);
        }
    }
    return live;
}

struct tbody *simplify(struct td *td, const struct vset *live, bool not_empty,
                       const struct tbody *query)
{
    struct simplifier s = {.td = td, .live = *live, .heads = {.a = td->a}};
    struct tbody *out = tb_new(td->a);
    if (!make_classes(&s, query)) {
        return (struct tbody *)(uintptr_t)query;
    }
    heads_in_body(&s, query);
    for (size_t i = 0; i < query->n; i++) {
        struct texpr *x = tx_copy(td->a, query->v[i]);
        s.negated = x->negated || x->kind == TX_NOT;
        put_in_expr(&s, x);
        if (x->kind == TX_NOT) {
            struct vset inner = inner_live(&s, x->lhs);
            x->lhs = simplify(td, &inner, true, x->lhs);
        }
        if (keep(&s, x)) {
            tb_push(td->a, out, x);
        }
    }
    bind_live(&s, out);
    struct vset unsafe = restore(&s, out);
    if (unsafe.n > 0) {
        return (struct tbody *)(uintptr_t)query;
    }
    if (not_empty && out->n == 0) {
        struct texpr *always = tx_term(td->a, tt_val(td->a, VAL_TRUE, (struct loc){0}));
        always->generated = true;
        tb_push(td->a, out, always);
    }
    return out;
}
