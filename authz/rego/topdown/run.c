/* Bodies: one expression after the other, each for every solution of those before it. */
#include "authz/rego/topdown/save.h"

#include "lib/base/clock.h"

#include <stdarg.h>

struct halt halt_error = {.kind = HALT_ERROR};

void te_closure(struct te *e, const struct tbody *query, struct te *out)
{
    *out = *e;
    out->parent = e;
    out->query = query;
    out->index = 0;
    out->id = e->td->next_id++;
    out->find_one = false;
    out->defined = false;
}

void te_child(struct te *e, const struct tbody *query, struct str file, struct te *out)
{
    te_closure(e, query, out);
    out->b = binds_new(e->td, out->id);
    out->file = file;
}

const struct texpr *te_expr(const struct te *e)
{
    return e->query->v[e->index];
}

struct halt *td_error(struct te *e, const char *code, struct str file, struct loc loc,
                      const char *fmt, ...)
{
    char text[8192];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    eval_fail(&e->td->ev, code, file, loc, "%s", text);
    return &halt_error;
}

bool td_step(struct td *td)
{
    char here;
    ptrdiff_t depth = td->stack_base - &here;
    if (unlikely(depth > TOPDOWN_STACK_MAX || -depth > TOPDOWN_STACK_MAX)) {
        eval_fail(&td->ev, "eval_internal_error", td->ev.file, td->ev.loc,
                  "the query is nested too deeply");
        return false;
    }
    if (unlikely((++td->ev.steps & 255) == 0)) {
        return !eval_stop(&td->ev);
    }
    return !td->ev.failed;
}

static struct halt *halt_new(struct td *td, enum halt_kind kind, struct halt *prev)
{
    struct halt *h = arena_new(td->a, struct halt);
    h->kind = kind;
    h->prev = prev;
    return h;
}

struct halt *halt_unwrap(struct halt *h)
{
    return h == NULL || h->kind == HALT_ERROR ? h : h->prev;
}

static struct halt *at_end(struct te *e, struct k *k)
{
    struct halt *h = k_run(k);
    if (h != NULL) {
        return h->kind == HALT_ERROR ? h : halt_new(e->td, e->find_one ? HALT_EXIT : HALT_DEFER, h);
    }
    return e->find_one && e->td->pe == NULL ? halt_new(e->td, HALT_EXIT, NULL) : NULL;
}

struct halt *eval_next(struct te *e, struct k *k)
{
    e->index++;
    struct halt *h = eval_body(e, k);
    e->index--;
    return h;
}

struct k_step {
    struct k k;
    struct te *e;
    struct k *then;
    const struct texpr *x;
    struct tt *value; /* of an expression that is a term */
    bool advance, defined;
};

static struct halt *go_on(struct k_step *c)
{
    return c->advance ? eval_next(c->e, c->then) : k_run(c->then);
}

static struct halt *step_done(struct k *self)
{
    struct k_step *c = (struct k_step *)self;
    c->defined = true;
    struct halt *h = go_on(c);
    trace_expr(c->e, OP_TRACE_REDO, c->x, STR_EMPTY);
    return h;
}

static struct halt *saved_value(struct k *self)
{
    return go_on((struct k_step *)((char *)self - offsetof(struct k_step, k)));
}

static struct halt *value_done(struct k *self)
{
    struct k_step *c = (struct k_step *)self;
    struct td *td = c->e->td;
    if (td->pe != NULL && save_contains(td, c->value, c->e->b)) {
        struct k_step after = *c;
        after.k.run = saved_value;
        return save_expr(c->e, tx_term(td->a, c->value), c->e->b, &after.k);
    }
    if (tt_is(plug(td, c->value, c->e->b), VAL_FALSE)) {
        return NULL;
    }
    return step_done(self);
}

static struct halt *eval_value(struct te *e, const struct texpr *x, struct k_step *c)
{
    struct td *td = e->td;
    struct str name =
        arena_printf(td->a, "%.*s_term_%" PRIu64 "_%zu", STR_FMT(td->var_prefix), e->id, e->index);
    c->value = tt_var(td->a, sym_get(&td->syms, name), x->loc);
    c->k.run = value_done;
    /* Upstream knows only under a tracer that the value is merely tested, and then inlines more. */
    bool tested = td->pe != NULL && td->tracer != NULL;
    if (tested) {
        inlining_push(td, NULL, 0, c->value->sym, true);
    }
    struct halt *h = unify(e, x->t[0], c->value, e->b, e->b, &c->k);
    if (tested) {
        inlining_pop(td);
    }
    return h;
}

/* dispatch: one line a kind of expression */
static struct halt *eval_kind(struct te *e, const struct texpr *x, struct k_step *c)
{
    switch (x->kind) {
    case TX_TERM:
        return eval_value(e, x, c);
    case TX_CALL:
        if (x->eq) {
            return unify(e, x->t[1], x->t[2], e->b, e->b, &c->k);
        }
        return eval_call_expr(
            e, (struct call){.t = x->t, .n = x->n, .builtin = x->builtin, .func = x->func}, &c->k);
    case TX_EVERY:
        return eval_every(e, x, &c->k);
    case TX_NOT:
        return eval_not_body(e, x, &c->k);
    default:
        return eval_logic(e, x, &c->k);
    }
}

static struct halt *negated_done(struct k *self)
{
    return go_on((struct k_step *)self);
}

struct halt *eval_step(struct te *e, struct k *k, bool advance)
{
    const struct texpr *x = te_expr(e);
    struct k_step c = {.k = {step_done}, .e = e, .then = k, .x = x, .advance = advance};
    if (x->negated) {
        c.k.run = negated_done;
        return eval_not(e, &c.k);
    }
    struct halt *h = eval_kind(e, x, &c);
    if (h == NULL && !c.defined) {
        trace_expr(e, OP_TRACE_FAIL, x, STR_EMPTY);
    }
    return h;
}

struct halt *eval_body(struct te *e, struct k *k)
{
    if (!td_step(e->td)) {
        return &halt_error;
    }
    if (e->index >= e->query->n) {
        return at_end(e, k);
    }
    const struct texpr *x = te_expr(e);
    trace_expr(e, OP_TRACE_EVAL, x, STR_EMPTY);
    e->td->ev.loc = x->loc;
    e->td->ev.file = e->file;
    return x->n_with > 0 ? eval_with(e, k) : eval_step(e, k, true);
}
