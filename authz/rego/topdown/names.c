/*
 * Names: declared variables become __local0__, __local1__ and so on, so that no two rules share one.
 * They are numbered in the order in which upstream does it, so that results print the same.
 */
#include "authz/rego/topdown/program.h"

#include <stdlib.h>

static struct str key_of(const void *const *p)
{
    return str_n(p, sizeof *p);
}

static struct sym *find_sym(struct lowering *l, const void *what)
{
    return map_get(&l->locals, key_of(&what));
}

static void set_sym(struct lowering *l, const void *what, struct sym *s)
{
    map_set(&l->locals, key_of(&what), s);
}

void lowering_init(struct lowering *l, struct arena *a, struct symtab *syms)
{
    l->a = a;
    l->syms = syms;
    map_init(&l->locals);
    map_init(&l->hoisted);
}

void lowering_release(struct lowering *l)
{
    map_release(&l->locals);
    map_release(&l->hoisted);
}

struct sym *fresh_local(struct lowering *l, struct str written)
{
    struct str name;
    struct sym *s;
    do { /* a query is rewritten more than once: what an earlier pass made up is free again */
        name = arena_printf(l->a, "%s%u__", l->prefix, (*l->next)++);
        s = sym_find(l->syms, name);
    } while (s != NULL && !s->made_up);
    s = sym_get(l->syms, name);
    s->made_up = true;
    if (written.n > 0) {
        map_set(l->written, s->name, sym_get(l->syms, written));
    }
    return s;
}

/* The symbol of a variable; one that was never declared keeps its name. */
struct sym *symbol_of(struct lowering *l, const struct term *t)
{
    const struct local *local = t->var.local;
    struct sym *s = local != NULL ? find_sym(l, local) : NULL;
    if (s != NULL) {
        return s;
    }
    bool made_up = local != NULL &&
                   (local->declared ||
                    (local->name.p[0] == '$' &&
                     !(local->name.n > 1 && local->name.p[1] >= '0' && local->name.p[1] <= '9')));
    s = made_up ? fresh_local(l, local->name) : sym_get(l->syms, t->var.name);
    if (local != NULL) {
        set_sym(l, local, s);
    }
    return s;
}

struct sym *every_key(struct lowering *l, const struct expr *e)
{
    struct sym *s = find_sym(l, e);
    if (s == NULL) {
        s = fresh_local(l, STR_EMPTY);
        set_sym(l, e, s);
    }
    return s;
}

static void declare_one(struct lowering *l, const struct term *t)
{
    if (t->var.local != NULL && t->var.local->declared) {
        (void)symbol_of(l, t);
    }
}

static void name_term(struct lowering *l, const struct term *t);

static void name_terms(struct lowering *l, struct term *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        name_term(l, v[i]);
    }
}

static void name_term(struct lowering *l, const struct term *t)
{
    switch (t->type) {
    case T_REF:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        name_terms(l, t->list.v, t->list.n);
        break;
    case T_CALL:
        name_terms(l, t->list.v + 1, t->list.n - 1);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        name_body(l, t->comp.body);
        if (t->comp.key != NULL) {
            name_term(l, t->comp.key);
        }
        name_term(l, t->comp.value);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        name_body(l, t->logic.lhs);
        if (t->logic.rhs != NULL) {
            name_body(l, t->logic.rhs);
        }
        break;
    default:
        break;
    }
}

/* Variables of a pattern, as they are written. */
static void declare_pattern(struct lowering *l, const struct term *t)
{
    if (t->type == T_VAR) {
        declare_one(l, t);
    } else if (t->type == T_ARRAY) {
        for (size_t i = 0; i < t->list.n; i++) {
            declare_pattern(l, t->list.v[i]);
        }
    } else if (t->type == T_OBJECT) {
        for (size_t i = 1; i < t->list.n; i += 2) {
            declare_pattern(l, t->list.v[i]);
        }
    }
}

struct pending {
    const struct term **v;
    size_t n, cap;
};

static void collect(struct lowering *l, const struct term *t, struct pending *p)
{
    if (t->type == T_VAR) {
        bool new = t->var.local != NULL && t->var.local->declared && !t->var.local->assigned &&
                   !t->var.local->arg &&find_sym(l, t->var.local) == NULL;
        if (new) {
            p->v = arena_grow(l->a, p->v, p->n, p->n + 1, &p->cap, sizeof *p->v);
            p->v[p->n++] = t;
        }
    } else if (t->type == T_ARRAY || t->type == T_OBJECT) {
        for (size_t i = t->type == T_OBJECT; i < t->list.n; i += t->type == T_OBJECT ? 2 : 1) {
            collect(l, t->list.v[i], p);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    const struct term *const *x = a, *const *y = b;
    return str_cmp((*x)->var.name, (*y)->var.name);
}

/*
 * `some k, v in xs` is already v = xs[k]; the variables are numbered by name. A key that was not asked
 * for is numbered twice: as it is made up, and as it is declared.
 */
static bool name_some(struct lowering *l, const struct expr *e)
{
    const struct term *left = e->term->list.v[1], *right = e->term->list.v[2];
    const struct term *key = right->type == T_REF ? right->list.v[right->list.n - 1] : NULL;
    struct term made_up = {.type = T_VAR};
    struct pending p = {0};
    bool unasked = key != NULL && key->type == T_VAR && str_is(key->var.name, "$some") &&
                   find_sym(l, key->var.local) == NULL;
    if (unasked) {
        made_up.var.name = fresh_local(l, STR_EMPTY)->name;
        p.v = arena_grow(l->a, p.v, 0, 1, &p.cap, sizeof *p.v);
        p.v[p.n++] = &made_up;
    } else if (key != NULL) {
        collect(l, key, &p);
    }
    collect(l, left, &p);
    if (p.n == 0) {
        return false;
    }
    qsort(p.v, p.n, sizeof *p.v, by_name);
    for (size_t i = 0; i < p.n; i++) {
        if (p.v[i] == &made_up) {
            set_sym(l, key->var.local, fresh_local(l, made_up.var.name));
        } else {
            (void)symbol_of(l, p.v[i]);
        }
    }
    name_term(l, left);
    name_term(l, right);
    return true;
}

static void name_every(struct lowering *l, const struct expr *e)
{
    name_term(l, e->every.domain);
    if (e->every.key == NULL) {
        (void)every_key(l, e);
    } else if (!term_is_wildcard(e->every.key)) {
        declare_one(l, e->every.key);
    }
    if (!term_is_wildcard(e->every.value)) {
        declare_one(l, e->every.value);
    }
    name_body(l, e->every.body);
}

static void name_expr(struct lowering *l, const struct expr *e)
{
    for (size_t i = 0; e->kind == E_SOME && i < e->n_symbols; i++) {
        if (e->symbols[i]->type == T_VAR) {
            declare_one(l, e->symbols[i]);
        }
    }
    if (e->kind == E_EVERY) {
        name_every(l, e);
    } else if (e->kind == E_TERM && term_is_call_of(e->term, "eq") && e->term->list.n == 3) {
        if (e->term->generated) {
            name_term(l, e->term->list.v[2]);
            declare_pattern(l, e->term->list.v[1]);
        } else if (!name_some(l, e)) {
            name_term(l, e->term);
        }
    } else if (e->kind == E_TERM) {
        name_term(l, e->term);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        name_term(l, e->with[i]->value);
    }
}

static int by_place(const void *a, const void *b)
{
    const struct expr *const *x = a, *const *y = b;
    if ((*x)->generated != (*y)->generated) {
        return (*x)->generated ? 1 : -1;
    }
    return (*x)->loc.off < (*y)->loc.off ? -1 : (*x)->loc.off > (*y)->loc.off;
}

/* The body in the order of the source, which ordering for safety may have changed. */
struct expr **source_order(struct arena *a, const struct body *b)
{
    struct expr **v = arena_array(a, struct expr *, b->n + 1);
    for (size_t i = 0; i < b->n; i++) {
        v[i] = b->v[i];
    }
    qsort(v, b->n, sizeof(struct expr *), by_place);
    return v;
}

void name_body(struct lowering *l, const struct body *b)
{
    struct expr **v = source_order(l->a, b);
    for (size_t i = 0; i < b->n; i++) {
        name_expr(l, v[i]);
    }
}

void find_hoisted(struct lowering *l, const struct rule *r)
{
    for (size_t i = 0; i < r->body->n; i++) {
        const struct expr *e = r->body->v[i];
        if (!e->generated || e->kind != E_TERM || !term_is_call_of(e->term, "eq")) {
            continue;
        }
        const struct term *var = e->term->list.v[1];
        if (var->type == T_VAR && var->var.local != NULL &&
            (str_starts(var->var.name, S("$head")) || str_starts(var->var.name, S("$arg")))) {
            const void *key = var->var.local;
            map_set(&l->hoisted, key_of(&key), e->term->list.v[2]);
        }
    }
}

const struct term *hoisted_term(struct lowering *l, const struct term *t)
{
    const void *key = t->type == T_VAR ? t->var.local : NULL;
    const struct term *h = key != NULL ? map_get(&l->hoisted, key_of(&key)) : NULL;
    return h != NULL ? h : t;
}

static void name_arg(struct lowering *l, const struct term *t)
{
    t = hoisted_term(l, t);
    if (t->type == T_VAR && t->var.local != NULL) {
        if (find_sym(l, t->var.local) == NULL) {
            set_sym(l, t->var.local, fresh_local(l, t->var.name));
        }
    } else if (t->type == T_ARRAY || t->type == T_OBJECT || t->type == T_REF) {
        bool object = t->type == T_OBJECT;
        for (size_t i = object || t->type == T_REF; i < t->list.n; i += object ? 2 : 1) {
            name_arg(l, t->list.v[i]);
        }
    }
}

/* An else branch has parameters of its own that mean those of the first rule. */
static void share_arg(struct lowering *l, const struct term *t, const struct term *first)
{
    t = hoisted_term(l, t);
    first = hoisted_term(l, first);
    if (t->type == T_VAR && t->var.local != NULL && first->type == T_VAR &&
        first->var.local != NULL && find_sym(l, t->var.local) == NULL) {
        set_sym(l, t->var.local, symbol_of(l, first));
    } else if ((t->type == T_ARRAY || t->type == T_OBJECT) && t->type == first->type) {
        for (size_t i = 0; i < t->list.n && i < first->list.n; i++) {
            share_arg(l, t->list.v[i], first->list.v[i]);
        }
    }
}

static void name_nested(struct lowering *l, const struct term *t)
{
    if (t != NULL) {
        name_term(l, hoisted_term(l, t));
    }
}

void name_rule(struct lowering *l, const struct rule *r, const struct rule *first)
{
    for (size_t i = 0; i < r->head->n_args; i++) {
        if (first != NULL && i < first->head->n_args) {
            share_arg(l, r->head->args[i], first->head->args[i]);
        } else {
            name_arg(l, r->head->args[i]);
        }
    }
    for (size_t i = 1; i < r->head->ref->list.n; i++) {
        name_nested(l, r->head->ref->list.v[i]);
    }
    name_nested(l, r->head->key);
    name_nested(l, r->head->value);
    struct body own = {.v = r->body->v, .n = 0, .loc = r->body->loc};
    own.v = arena_array(l->a, struct expr *, r->body->n + 1);
    for (size_t i = 0; i < r->body->n; i++) {
        const struct expr *e = r->body->v[i];
        bool hoisted = e->generated && e->kind == E_TERM && term_is_call_of(e->term, "eq") &&
                       hoisted_term(l, e->term->list.v[1]) != e->term->list.v[1];
        if (!hoisted) {
            own.v[own.n++] = r->body->v[i];
        }
    }
    name_body(l, &own);
}
