/* Expressions that cannot be evaluated yet are put on a stack, from which results are read. */
#include "authz/rego/topdown/save.h"

static void push_saved(struct td *td, struct texpr *e, struct binds *b1, struct binds *b2)
{
    struct partial *pe = td->pe;
    pe->saved = arena_grow(td->a, pe->saved, pe->n_saved, pe->n_saved + 1, &pe->cap_saved,
                           sizeof *pe->saved);
    pe->saved[pe->n_saved++] = (struct saved){.e = e, .b1 = b1, .b2 = b2};
}

size_t saved_begin(struct td *td)
{
    size_t base = td->pe->base;
    td->pe->base = td->pe->n_saved;
    return base;
}

void saved_end(struct td *td, size_t base)
{
    td->pe->n_saved = td->pe->base;
    td->pe->base = base;
}

static struct texpr *plug_saved(struct td *td, const struct saved *s, const struct binds *caller)
{
    if (s->b1 == NULL && s->b2 == NULL) {
        return s->e;
    }
    struct texpr *e = arena_new(td->a, struct texpr);
    *e = *s->e;
    e->ast = NULL;
    e->t = arena_array(td->a, struct tt *, e->n + 1);
    for (size_t i = 0; i < e->n; i++) {
        bool callee = e->kind == TX_CALL && i == 0;
        struct binds *b = e->eq && i == 2 ? s->b2 : s->b1;
        e->t[i] = callee ? s->e->t[i] : plug_for(td, s->e->t[i], b, caller);
    }
    e->with = arena_array(td->a, struct twith, e->n_with + 1);
    for (size_t i = 0; i < e->n_with; i++) {
        e->with[i] = s->e->with[i];
        e->with[i].value = plug_for(td, s->e->with[i].value, s->b1, caller);
    }
    return e;
}

struct tbody *saved_plug(struct td *td, const struct binds *caller)
{
    struct partial *pe = td->pe;
    struct tbody *b = tb_new(td->a);
    for (size_t i = pe->base; i < pe->n_saved; i++) {
        tb_push(td->a, b, plug_saved(td, &pe->saved[i], caller));
    }
    if (b->n == 0) {
        tb_push(td->a, b, tx_term(td->a, tt_val(td->a, VAL_TRUE, (struct loc){0})));
    }
    return b;
}

/* The `with` of the expression at work, replaced functions left out: those are inlined. */
static void take_withs(struct te *e, struct texpr *x)
{
    struct td *td = e->td;
    const struct texpr *at = te_expr(e);
    x->with = arena_array(td->a, struct twith, at->n_with + 1);
    x->n_with = 0;
    for (size_t i = 0; i < at->n_with; i++) {
        const struct builtin *b;
        const struct tnode *f;
        find_operator(td, at->with[i].target, &b, &f);
        bool document = ref_head_is(at->with[i].target, td->t->data) ||
                        ref_head_is(at->with[i].target, td->t->input);
        if (document && f == NULL) {
            x->with[x->n_with++] = at->with[i];
        }
    }
    x->loc = at->loc;
    x->file = e->file;
}

static struct halt *run_saved(struct te *e, size_t pushed, struct texpr *x, struct k *k)
{
    struct td *td = e->td;
    trace_expr(e, OP_TRACE_SAVE, x, STR_EMPTY);
    struct halt *h = k_run(k);
    td->pe->n_saved--;
    td->pe->n_unknown -= pushed;
    return h;
}

struct halt *save_unify(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                        struct binds *b2, struct k *k)
{
    struct td *td = e->td;
    struct texpr *x = tx_eq(td->a, &td->syms, a, b);
    take_withs(e, x);
    size_t pushed = unknown_push_vars(td, a, b1);
    pushed += unknown_push_vars(td, b, b2);
    push_saved(td, x, b1, b2);
    return run_saved(e, pushed, x, k);
}

struct halt *save_expr(struct te *e, struct texpr *x, struct binds *b, struct k *k)
{
    take_withs(e, x);
    push_saved(e->td, x, b, b);
    return run_saved(e, 0, x, k);
}

struct halt *save_expr_unknowns(struct te *e, const struct texpr *of, struct binds *b, struct k *k)
{
    struct td *td = e->td;
    struct texpr *x = arena_new(td->a, struct texpr);
    size_t pushed = 0;
    *x = *of;
    take_withs(e, x);
    if (x->kind == TX_TERM) {
        pushed = unknown_push_vars(td, x->t[0], b);
    } else if (x->eq) {
        pushed = unknown_push_vars(td, x->t[1], b);
        pushed += unknown_push_vars(td, x->t[2], b);
    } else if (x->kind == TX_CALL && tx_arity(x) == (int)x->n - 2) {
        pushed = unknown_push_vars(td, x->t[x->n - 1], b);
    }
    push_saved(td, x, b, b);
    trace_expr(e, OP_TRACE_SAVE, x, STR_EMPTY);
    struct halt *h = eval_next(e, k);
    td->pe->n_saved--;
    td->pe->n_unknown -= pushed;
    return h;
}

struct halt *save_call(struct te *e, int arity, struct call c, struct k *k)
{
    struct td *td = e->td;
    struct texpr *x = tx_new(td->a, TX_CALL, te_expr(e)->loc);
    x->t = c.t;
    x->n = c.n;
    x->builtin = c.builtin;
    x->func = c.func;
    take_withs(e, x);
    size_t pushed = arity == (int)c.n - 2 ? unknown_push_vars(td, c.t[c.n - 1], e->b) : 0;
    push_saved(td, x, e->b, e->b);
    return run_saved(e, pushed, x, k);
}

struct k_saved_term {
    struct k k;
    struct tref r;
    struct tt *ref;
};

static struct halt *rest_of_term(struct k *self)
{
    struct k_saved_term *c = (struct k_saved_term *)self;
    return unify(c->r.e, c->ref, c->r.rterm, c->r.b, c->r.rb, c->r.k);
}

/* The value a reference has come to is unknown: the rest of it goes through a variable. */
struct halt *save_term(struct tref r)
{
    struct td *td = r.e->td;
    struct str name = arena_printf(td->a, "%.*s_ref_%u", STR_FMT(td->var_prefix), r.e->made_up++);
    struct tt *var = tt_var(td->a, sym_get(&td->syms, name), r.ref->loc);
    struct k_saved_term c = {.k = {rest_of_term}, .r = r};
    c.ref = tt_list(td->a, TT_REF, r.ref->list.n - r.pos + 1, r.ref->loc);
    c.ref->list.v[0] = var;
    memcpy(c.ref->list.v + 1, r.ref->list.v + r.pos, (r.ref->list.n - r.pos) * sizeof(struct tt *));
    return unify(r.e, r.term, var, r.tb, r.b, &c.k);
}

/* The comprehension with what it knows of its surroundings said in its body. */
static struct tt *close_comprehension(struct te *e, struct tt *t, struct binds *b)
{
    struct td *td = e->td;
    struct vset vars = {.a = td->a};
    struct tt *c = tt_copy(td->a, t);
    tt_vars(c, VARS_ALL, &vars);
    for (size_t i = 0; i < b->n; i++) {
        if (vset_has(&vars, b->v[i].sym)) {
            struct tt *var = tt_var(td->a, b->v[i].sym, t->loc);
            struct tt *v = plug_for(td, var, b, td->root->b);
            tb_push(td->a, c->comp.body, tx_eq(td->a, &td->syms, var, v));
        }
    }
    return name_space_term(td, c, b, td->root->b);
}

struct halt *save_comprehension(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                                struct binds *b2, bool swap, struct k *k)
{
    a = close_comprehension(e, a, b1);
    b = tt_is_comp(b) ? close_comprehension(e, b, b2) : b;
    return swap ? save_unify(e, b, a, b2, b1, k) : save_unify(e, a, b, b1, b2, k);
}

static struct tt *plug_or_close(struct te *e, struct tt *t)
{
    return tt_is_comp(t) ? close_comprehension(e, t, e->b)
                         : plug_for(e->td, t, e->b, e->td->root->b);
}

void plug_body(struct te *e, struct tbody *b)
{
    struct td *td = e->td;
    for (size_t i = 0; i < b->n; i++) {
        struct texpr *x = b->v[i];
        for (size_t k = x->kind == TX_CALL; k < x->n; k++) {
            x->t[k] = plug_or_close(e, x->t[k]);
        }
        if (x->kind == TX_EVERY) {
            x->key = plug_for(td, x->key, e->b, td->root->b);
            x->value = plug_for(td, x->value, e->b, td->root->b);
            x->domain = plug_for(td, x->domain, e->b, td->root->b);
        }
        if (x->lhs != NULL) {
            plug_body(e, x->lhs);
        }
        if (x->rhs != NULL) {
            plug_body(e, x->rhs);
        }
    }
}

struct halt *save_plugged(struct te *e, const struct texpr *x, struct k *k)
{
    struct tbody one = {.v = (struct texpr *[]){tx_copy(e->td->a, x)}, .n = 1};
    plug_body(e, &one);
    return save_expr(e, one.v[0], e->b, k);
}

struct halt *save_every(struct te *e, const struct texpr *x, struct k *k)
{
    return save_plugged(e, x, k);
}

struct halt *save_negated(struct te *e, struct texpr **v, size_t n, struct k *k)
{
    struct td *td = e->td;
    struct texpr with = {0};
    take_withs(e, &with);
    for (size_t i = 0; i < with.n_with; i++) {
        with.with[i].value = plug_for(td, with.with[i].value, e->b, td->root->b);
    }
    for (size_t i = 0; i < n; i++) {
        v[i]->with = with.with;
        v[i]->n_with = with.n_with;
        push_saved(td, v[i], NULL, NULL);
        trace_expr(e, OP_TRACE_SAVE, v[i], STR_EMPTY);
    }
    struct halt *h = k_run(k);
    td->pe->n_saved -= n;
    return h;
}
