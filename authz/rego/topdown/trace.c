/* Events of an evaluation, made only when someone listens. */
#include "authz/rego/topdown/td.h"

static struct rego_local *locals_of(struct te *e, size_t *n)
{
    struct td *td = e->td;
    const struct binds *b = e->b;
    struct rego_local *v = arena_array(td->a, struct rego_local, b->n + 1);
    *n = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct sym *s = b->v[i].sym, *written = map_get(&td->t->written, s->name);
        written = written != NULL ? written : map_get(td->written, s->name);
        struct tt *p = plug(td, tt_var(td->a, s, (struct loc){0}), (struct binds *)(uintptr_t)b);
        v[(*n)++] = (struct rego_local){.name = s->name,
                                        .written = written != NULL ? written->name : s->name,
                                        .value = term_from_tt(td->a, p)};
    }
    return v;
}

static void tell(struct te *e, struct rego_event *ev)
{
    struct td *td = e->td;
    ev->query_id = e->id;
    ev->parent_id = e->parent != NULL ? e->parent->id : 0;
    ev->file = e->file;
    if (ev->loc.row == 0) {
        ev->loc = td->last_loc;
        ev->file = td->last_file;
    } else {
        td->last_loc = ev->loc;
        td->last_file = e->file;
    }
    ev->written[0] = &td->t->written;
    ev->written[1] = td->written;
    if (td->tracer->locals) {
        ev->locals = locals_of(e, &ev->n_locals);
    }
    td->tracer->event(td->tracer->ctx, ev);
}

void trace_expr(struct te *e, enum rego_op op, const struct texpr *x, struct str message)
{
    if (e->td->tracer == NULL) {
        return;
    }
    struct rego_event ev = {.op = op, .kind = NODE_EXPR, .loc = x->loc, .message = message};
    ev.expr = expr_from_tx(e->td->a, x);
    ev.index = e->index;
    tell(e, &ev);
}

void trace_rule(struct te *e, enum rego_op op, const struct trule *r)
{
    struct td *td = e->td;
    if (td->tracer == NULL) {
        return;
    }
    struct rego_event ev = {.op = op, .kind = NODE_RULE, .loc = r->rule->head->loc};
    ev.rule = rule_from_tr(td->a, r);
    struct buf path;
    buf_init(&path, 1 << 16);
    size_t n = 1;
    while (n < r->ref->list.n && r->ref->list.v[n]->kind == TT_VAL) {
        n++;
    }
    term_write(&path, term_from_tt(td->a, ref_slice(td->a, r->ref, n)));
    ev.path = arena_str(td->a, buf_str(&path));
    buf_release(&path);
    ev.message = op == OP_TRACE_EXIT && e->find_one ? S("early") : STR_EMPTY;
    tell(e, &ev);
}

void trace_body(struct te *e, enum rego_op op, const struct tbody *b)
{
    if (e->td->tracer == NULL) {
        return;
    }
    struct rego_event ev = {.op = op, .kind = NODE_BODY};
    ev.loc = b->n > 0 ? b->v[0]->loc : b->loc;
    ev.body = body_from_tb(e->td->a, b);
    ev.message = op == OP_TRACE_EXIT && e->find_one ? S("early") : STR_EMPTY;
    tell(e, &ev);
}

void trace_index(struct te *e, const struct tnode *n, const struct tt *ref, size_t pos)
{
    struct td *td = e->td;
    if (td->tracer == NULL) {
        return;
    }
    struct rego_event ev = {.op = OP_TRACE_INDEX, .kind = NODE_EXPR};
    const struct texpr *x = te_expr(e);
    ev.expr = expr_from_tx(td->a, x);
    ev.loc = x->loc;
    struct buf path;
    buf_init(&path, 1 << 16);
    term_write(&path, term_from_tt(td->a, ref_slice(td->a, ref, pos)));
    ev.path = arena_str(td->a, buf_str(&path));
    buf_release(&path);
    ev.message = arena_printf(td->a, "(matched %zu rule%s%s)", n->n_extent,
                              n->n_extent == 1 ? "" : "s", n->early_exit ? ", early exit" : "");
    tell(e, &ev);
}

void trace_unify(struct te *e, struct tt *a, struct tt *b)
{
    struct td *td = e->td;
    if (td->tracer == NULL || !td->tracer->unify) {
        return;
    }
    struct rego_event ev = {.op = OP_TRACE_UNIFY, .kind = NODE_EXPR};
    ev.expr = expr_from_tx(td->a, tx_eq(td->a, &td->syms, a, b));
    tell(e, &ev);
}
