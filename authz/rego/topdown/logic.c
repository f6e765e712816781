/* Closed scopes: every, not, and, or. */
#include "authz/rego/topdown/save.h"

struct k_operand {
    struct k k;
    struct te *child;
    const struct tbody *body;
    bool holds;
};

static struct halt *operand_holds(struct k *self)
{
    struct k_operand *c = (struct k_operand *)self;
    trace_body(c->child, OP_TRACE_EXIT, c->body);
    trace_body(c->child, OP_TRACE_REDO, c->body);
    c->holds = true;
    return NULL;
}

/* Is there a solution? What it binds is forgotten. */
static struct halt *holds(struct te *e, const struct tbody *body, bool find_one, bool *out)
{
    struct te child;
    te_closure(e, body, &child);
    child.find_one = find_one;
    struct k_operand c = {.k = {operand_holds}, .child = &child, .body = body};
    trace_body(&child, OP_TRACE_ENTER, body);
    struct halt *h = eval_body(&child, &c.k);
    *out = c.holds;
    return find_one ? halt_unwrap(h) : h;
}

struct halt *eval_logic(struct te *e, const struct texpr *x, struct k *k)
{
    bool left, right;
    if (e->td->pe != NULL && (unknown_body(e, x->lhs) || unknown_body(e, x->rhs))) {
        return save_plugged(e, x, k);
    }
    struct halt *h = holds(e, x->lhs, true, &left);
    if (h != NULL) {
        return h;
    }
    if (left != (x->kind == TX_AND)) { /* the left side decides */
        return left ? k_run(k) : NULL;
    }
    h = holds(e, x->rhs, true, &right);
    return h != NULL ? h : right ? k_run(k) : NULL;
}

struct halt *eval_not_body(struct te *e, const struct texpr *x, struct k *k)
{
    bool found;
    if (e->td->pe != NULL && unknown_body(e, x->lhs)) {
        return not_body_partial(e, x, k);
    }
    struct halt *h = holds(e, x->lhs, false, &found);
    return h != NULL ? h : found ? NULL : k_run(k);
}

/* The old `not`: of one expression, whose operands were evaluated before it. */
struct halt *eval_not(struct te *e, struct k *k)
{
    struct td *td = e->td;
    const struct texpr *x = te_expr(e);
    bool found;
    if (td->pe != NULL && unknown_expr(e, x)) {
        return not_partial(e, x, k);
    }
    struct texpr *positive = arena_new(td->a, struct texpr);
    *positive = *x;
    positive->negated = false;
    positive->with = NULL;
    positive->n_with = 0;
    positive->ast = NULL;
    struct tbody *b = tb_new(td->a);
    b->loc = x->loc;
    tb_push(td->a, b, positive);
    struct halt *h = holds(e, b, false, &found);
    if (h != NULL) {
        return h;
    }
    if (found) {
        trace_expr(e, OP_TRACE_FAIL, x, STR_EMPTY);
        return NULL;
    }
    return k_run(k);
}

struct k_every {
    struct k k;
    struct te *domain;
    const struct texpr *x;
    bool all;
};

static struct halt *every_item(struct k *self)
{
    struct k_every *c = (struct k_every *)self;
    bool found;
    if (!c->all) {
        return NULL;
    }
    struct halt *h = holds(c->domain, c->x->lhs, true, &found);
    c->all = found;
    trace_expr(c->domain, OP_TRACE_REDO, c->x, STR_EMPTY);
    return h;
}

/* The body that enumerates: value = domain[key]. */
static struct tbody *generator(struct te *e, const struct texpr *x)
{
    struct td *td = e->td;
    struct tt *ref = tt_list(td->a, TT_REF, 2, x->domain->loc);
    ref->list.v[0] = x->domain;
    ref->list.v[1] = x->key;
    struct tbody *b = tb_new(td->a);
    struct texpr *eq = tx_eq(td->a, &td->syms, ref, x->value);
    eq->loc = x->domain->loc;
    tb_push(td->a, b, eq);
    return b;
}

enum { EVERY_UNROLL_MAX = 32 };

struct k_pairs {
    struct k k;
    struct te *domain;
    const struct texpr *x;
    struct tt *pairs[2 * EVERY_UNROLL_MAX];
    size_t n;
};

static struct halt *take_pair(struct k *self)
{
    struct k_pairs *c = (struct k_pairs *)self;
    if (c->n < EVERY_UNROLL_MAX) {
        c->pairs[2 * c->n] = plug(c->domain->td, c->x->key, c->domain->b);
        c->pairs[2 * c->n + 1] = plug(c->domain->td, c->x->value, c->domain->b);
        c->n++;
    }
    return NULL;
}

struct renaming {
    struct te *e;
    struct sym *from[2];
    struct tt *to[2];
    struct str suffix;
};

static struct tt *rename_term(struct renaming *r, struct tt *t, bool head);

static void rename_body(struct renaming *r, struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *x = b->v[i];
        for (size_t k = x->kind == TX_CALL; k < x->n; k++) {
            x->t[k] = rename_term(r, x->t[k], false);
        }
        if (x->kind == TX_EVERY) {
            x->key = rename_term(r, x->key, false);
            x->value = rename_term(r, x->value, false);
            x->domain = rename_term(r, x->domain, false);
        }
        if (x->lhs != NULL) {
            rename_body(r, x->lhs);
        }
        if (x->rhs != NULL) {
            rename_body(r, x->rhs);
        }
        for (size_t k = 0; k < x->n_with; k++) {
            x->with[k].value = rename_term(r, x->with[k].value, false);
        }
    }
}

static struct tt *rename_var(struct renaming *r, struct tt *t)
{
    struct td *td = r->e->td;
    for (int i = 0; i < 2; i++) {
        if (r->from[i] == t->sym) {
            return r->to[i];
        }
    }
    struct tt *p = plug(td, t, r->e->b);
    bool free = p->kind == TT_VAR && p->sym == t->sym && t->sym != td->t->data &&
                t->sym != td->t->input && !unknown_term(r->e, t, r->e->b);
    if (!free) {
        return t;
    }
    struct str name = arena_printf(td->a, "%.*s%.*s", STR_FMT(t->sym->name), STR_FMT(r->suffix));
    return tt_var(td->a, sym_get(&td->syms, name), t->loc);
}

static struct tt *rename_term(struct renaming *r, struct tt *t, bool head)
{
    (void)head;
    if (t->kind == TT_VAR) {
        return rename_var(r, t);
    }
    if (tt_is_list(t)) {
        for (size_t i = 0; i < t->list.n; i++) {
            t->list.v[i] = rename_term(r, t->list.v[i], i == 0);
        }
        return tt_fold(r->e->td->a, t);
    }
    if (tt_is_comp(t)) {
        if (t->comp.key != NULL) {
            t->comp.key = rename_term(r, t->comp.key, false);
        }
        t->comp.value = rename_term(r, t->comp.value, false);
        rename_body(r, t->comp.body);
    }
    return t;
}

/* The body for one element: scalars stand in place of the variables, others are bound to fresh ones. */
static void element_body(struct te *e, const struct texpr *x, struct tt **pair, struct tbody *out)
{
    struct td *td = e->td;
    struct renaming r = {.e = e, .suffix = arena_printf(td->a, "__e%u", ++e->made_up)};
    struct tt *vars[2] = {x->key, x->value};
    for (int i = 0; i < 2; i++) {
        if (vars[i]->kind != TT_VAR) {
            continue;
        }
        r.from[i] = vars[i]->sym;
        r.to[i] = pair[i];
        if (!tt_is_scalar(pair[i])) {
            struct str name =
                arena_printf(td->a, "%.*s%.*s", STR_FMT(vars[i]->sym->name), STR_FMT(r.suffix));
            r.to[i] = tt_var(td->a, sym_get(&td->syms, name), vars[i]->loc);
            tb_push(td->a, out, tx_eq(td->a, &td->syms, r.to[i], pair[i]));
        }
    }
    struct tbody *copy = tb_copy(td->a, x->lhs);
    rename_body(&r, copy);
    for (size_t i = 0; i < copy->n; i++) {
        tb_push(td->a, out, copy->v[i]);
    }
}

static struct halt *unroll(struct te *e, const struct texpr *x, struct k_pairs *p, struct k *k)
{
    struct td *td = e->td;
    struct tbody *body = tb_new(td->a);
    for (size_t i = 0; i < p->n; i++) {
        element_body(e, x, p->pairs + 2 * i, body);
    }
    struct te child;
    te_closure(e, body, &child);
    child.unrolled = MAX(e->unrolled, 1u) * (unsigned)MAX(p->n, (size_t)1);
    trace_expr(e, OP_TRACE_NOTE, x, arena_printf(td->a, "every unrolled over %zu elements", p->n));
    return eval_body(&child, k);
}

static struct halt *every_partial(struct te *e, const struct texpr *x, bool domain_unknown,
                                  struct k *k)
{
    struct td *td = e->td;
    struct tt *domain = plug(td, x->domain, e->b);
    bool known = !domain_unknown && domain->kind == TT_VAL && val_is_collection(domain->v) &&
                 MAX(val_len(domain->v), 1u) * MAX(e->unrolled, 1u) <= EVERY_UNROLL_MAX;
    if (!known) {
        return save_every(e, x, k);
    }
    struct te child;
    te_closure(e, generator(e, x), &child);
    struct k_pairs p = {.k = {take_pair}, .domain = &child, .x = x};
    struct halt *h = eval_body(&child, &p.k);
    return h != NULL ? h : unroll(e, x, &p, k);
}

struct halt *eval_every(struct te *e, const struct texpr *x, struct k *k)
{
    struct td *td = e->td;
    if (td->pe != NULL) {
        bool domain = unknown_term(e, x->domain, e->b);
        if (domain || unknown_body(e, x->lhs)) {
            return every_partial(e, x, domain, k);
        }
    }
    struct tt *d = plug(td, x->domain, e->b);
    bool iterable = (d->kind == TT_VAL && val_is_collection(d->v)) || d->kind == TT_ARRAY ||
                    d->kind == TT_OBJECT || d->kind == TT_SET;
    if (!iterable) {
        trace_expr(e, OP_TRACE_FAIL, x, STR_EMPTY);
        return NULL;
    }
    struct te domain;
    te_closure(e, generator(e, x), &domain);
    struct k_every c = {.k = {every_item}, .domain = &domain, .x = x, .all = true};
    trace_expr(&domain, OP_TRACE_ENTER, x, STR_EMPTY);
    struct halt *h = eval_body(&domain, &c.k);
    if (h != NULL) {
        return h;
    }
    if (!c.all) {
        trace_expr(&domain, OP_TRACE_FAIL, x, STR_EMPTY);
        return NULL;
    }
    h = k_run(k);
    trace_expr(&domain, OP_TRACE_EXIT, x, STR_EMPTY);
    return h;
}
