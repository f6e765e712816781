/*
 * Safety: expressions of a body are put into an order in which every variable is bound before it is
 * needed. What cannot be ordered is unsafe. Closures (comprehensions, every, braces) are ordered after
 * the body they stand in, with its variables as their own inputs.
 */
#include "authz/rego/compile/order_priv.h"

struct varset varset_new(struct compiler *c)
{
    struct varset s = {.words = c->n_locals / 64 + 1};
    s.bits = arena_array(c->a, uint64_t, s.words);
    return s;
}

void varset_add(struct varset *s, uint32_t id)
{
    BUG_ON(id / 64 >= s->words);
    s->bits[id / 64] |= UINT64_C(1) << (id % 64);
}

static struct varset copy_set(struct compiler *c, const struct varset *s)
{
    struct varset r = varset_new(c);
    memcpy(r.bits, s->bits, MIN(s->words, r.words) * sizeof *r.bits);
    return r;
}

static void add_all(struct varset *to, const struct varset *from)
{
    for (size_t i = 0; i < MIN(to->words, from->words); i++) {
        to->bits[i] |= from->bits[i];
    }
}

static void remove_all(struct varset *from, const struct varset *what)
{
    for (size_t i = 0; i < MIN(what->words, from->words); i++) {
        from->bits[i] &= ~what->bits[i];
    }
}

static void keep_only(struct varset *from, const struct varset *what)
{
    for (size_t i = 0; i < from->words; i++) {
        from->bits[i] &= i < what->words ? what->bits[i] : 0;
    }
}

static bool is_empty(const struct varset *s)
{
    for (size_t i = 0; i < s->words; i++) {
        if (s->bits[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool same_set(const struct varset *a, const struct varset *b)
{
    return a->words == b->words && memcmp(a->bits, b->bits, a->words * sizeof *a->bits) == 0;
}

static bool subset(const struct varset *a, const struct varset *b)
{
    for (size_t i = 0; i < a->words; i++) {
        if ((a->bits[i] & ~(i < b->words ? b->bits[i] : 0)) != 0) {
            return false;
        }
    }
    return true;
}

struct work {
    struct expr *e;
    struct varset unsafe;
    bool done;
};

static void take_outputs(struct varset *unsafe, const struct varset *out, const struct varset *safe)
{
    remove_all(unsafe, out);
    remove_all(unsafe, safe);
}

/* One round over the body: true when something new found its place. */
static bool place_some(struct compiler *c, struct work *w, size_t n, struct body *ordered,
                       struct varset *safe, struct varset *placed, const struct varset *body_vars,
                       const struct varset *globals)
{
    size_t before = ordered->n;
    for (size_t i = 0; i < n; i++) {
        if (w[i].done) {
            continue;
        }
        struct varset out = varset_new(c), closed = varset_new(c);
        expr_outputs(c, w[i].e, safe, &out);
        closure_vars(w[i].e, &closed);
        keep_only(&closed, body_vars);
        remove_all(&closed, globals);
        if (!subset(&closed, placed)) {
            remove_all(&closed, placed);
            if (same_set(&closed, &out)) {
                continue;
            }
            w[i].unsafe = copy_set(c, &closed);
        }
        take_outputs(&w[i].unsafe, &out, safe);
        if (is_empty(&w[i].unsafe)) {
            w[i].done = true;
            body_push(c->a, ordered, w[i].e);
            add_all(safe, &out);
            add_all(placed, &out);
        }
    }
    return ordered->n > before;
}

static struct term *find_var(struct term *t, uint32_t id);

static struct term *find_in_list(struct term **v, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++) {
        struct term *t = find_var(v[i], id);
        if (t != NULL) {
            return t;
        }
    }
    return NULL;
}

static struct term *find_in_body(struct body *b, uint32_t id)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        struct expr *e = b->v[i];
        struct term *t = e->term != NULL ? find_var(e->term, id) : NULL;
        if (t == NULL && e->kind == E_EVERY) {
            t = find_var(e->every.domain, id);
            t = t != NULL ? t : find_in_body(e->every.body, id);
        }
        for (size_t k = 0; t == NULL && k < e->n_with; k++) {
            t = find_var(e->with[k]->value, id);
        }
        if (t != NULL) {
            return t;
        }
    }
    return NULL;
}

static struct term *find_var(struct term *t, uint32_t id)
{
    switch (t->type) {
    case T_VAR:
        return t->var.local != NULL && t->var.local->id == id ? t : NULL;
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        return find_in_list(t->list.v, t->list.n, id);
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP: {
        struct term *f = t->comp.key != NULL ? find_var(t->comp.key, id) : NULL;
        f = f != NULL ? f : find_var(t->comp.value, id);
        return f != NULL ? f : find_in_body(t->comp.body, id);
    }
    case T_AND:
    case T_OR:
    case T_NOT: {
        struct term *f = find_in_body(t->logic.lhs, id);
        return f != NULL ? f : find_in_body(t->logic.rhs, id);
    }
    case T_EXPR: {
        struct body b = {.v = &t->expr, .n = 1};
        return find_in_body(&b, id);
    }
    default:
        return NULL;
    }
}

static struct local *local_by_id(struct compiler *c, uint32_t id)
{
    struct local *l = c->locals;
    while (l != NULL && l->id != id) {
        l = l->next;
    }
    return l;
}

static bool already_reported(const struct compiler *c, struct loc loc)
{
    for (size_t i = 0; i < c->errors->n; i++) {
        const struct rego_error *e = &c->errors->v[i];
        if (e->loc.row == loc.row && e->loc.col == loc.col &&
            strcmp(e->code, "rego_unsafe_var_error") == 0) {
            return true;
        }
    }
    return false;
}

static void report(struct compiler *c, struct expr *e, const struct varset *unsafe)
{
    struct body b = {.v = &e, .n = 1};
    for (uint32_t id = 0; id < c->n_locals; id++) {
        struct local *l = varset_has(unsafe, id) ? local_by_id(c, id) : NULL;
        if (l == NULL) {
            continue;
        }
        struct term *t = find_in_body(&b, id);
        struct loc loc = t != NULL ? t->loc : e->loc;
        if (!already_reported(c, loc)) {
            struct str name = l->wildcard || l->name.p[0] == '$' ? S("_") : l->name;
            compile_error(c, "rego_unsafe_var_error", loc, "var %.*s is unsafe", STR_FMT(name));
        }
    }
}

/* A variable that is assigned from something unsafe is not the cause: leave it out. */
static void drop_consequences(struct compiler *c, struct work *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct term *t = w[i].e->term;
        if (w[i].done || w[i].e->kind != E_TERM || !term_is_call_of(t, "eq") || !t->generated) {
            continue;
        }
        struct varset left = varset_new(c), rest = copy_set(c, &w[i].unsafe);
        direct_vars(t->list.v[1], &left);
        remove_all(&rest, &left);
        if (is_empty(&rest)) {
            continue;
        }
        w[i].unsafe = rest;
        for (size_t k = 0; k < n; k++) {
            if (k != i && !w[k].done) {
                remove_all(&w[k].unsafe, &left);
            }
        }
    }
}

static bool order_closures(struct compiler *c, struct body *b, const struct varset *globals)
{
    struct varset seen = copy_set(c, globals);
    bool ok = true;
    for (size_t i = 0; i < b->n; i++) {
        ok &= order_closures_of(c, b->v[i], &seen);
        needed_vars(b->v[i], &seen);
    }
    return ok;
}

bool order_body(struct compiler *c, struct body *b, struct varset *safe_in)
{
    struct varset globals = copy_set(c, safe_in), body_vars = varset_new(c);
    struct varset safe = copy_set(c, safe_in), placed = copy_set(c, safe_in);
    struct work *w = arena_array(c->a, struct work, b->n + 1);
    for (size_t i = 0; i < b->n; i++) {
        w[i].e = b->v[i];
        w[i].unsafe = varset_new(c);
        needed_vars(b->v[i], &w[i].unsafe);
        add_all(&body_vars, &w[i].unsafe);
        remove_all(&w[i].unsafe, &globals);
    }
    struct body ordered = {.loc = b->loc};
    while (place_some(c, w, b->n, &ordered, &safe, &placed, &body_vars, &globals)) {
    }
    bool ok = ordered.n == b->n;
    drop_consequences(c, w, b->n);
    for (size_t i = 0; i < b->n; i++) {
        if (!w[i].done) {
            report(c, w[i].e, &w[i].unsafe);
        }
    }
    ok &= order_closures(c, &ordered, &globals);
    add_all(safe_in, &safe);
    add_all(safe_in, &body_vars);
    if (ok) {
        *b = ordered;
    }
    return ok;
}

static bool check_head(struct compiler *c, struct term *t, const struct varset *safe)
{
    struct varset vars = varset_new(c);
    direct_vars(t, &vars);
    remove_all(&vars, safe);
    if (is_empty(&vars)) {
        return true;
    }
    struct expr e = {.kind = E_TERM, .term = t, .loc = t->loc};
    report(c, &e, &vars);
    return false;
}

bool order_rule(struct compiler *c, struct rule *r)
{
    struct varset safe = varset_new(c);
    struct head *h = r->head;
    for (size_t i = 0; i < h->n_args; i++) {
        direct_vars(h->args[i], &safe);
    }
    bool ok = order_body(c, r->body, &safe);
    for (size_t i = 1; i < h->ref->list.n; i++) {
        ok = ok && check_head(c, h->ref->list.v[i], &safe);
    }
    ok = ok && (h->key == NULL || check_head(c, h->key, &safe));
    return ok && (h->value == NULL || check_head(c, h->value, &safe));
}
