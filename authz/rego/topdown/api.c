/* Starting an evaluation, and reading its solutions. */
#include "authz/rego/topdown/save.h"

void td_start(struct td *td, const struct rego_topdown_query *q, const struct rego_eval_options *o,
              const struct rego_tracer *tracer, struct arena *a, struct te *root)
{
    *td = (struct td){.a = a, .t = q->t, .tracer = tracer, .written = &q->written, .root = root};
    symtab_init(&td->syms, a, (struct symtab *)(uintptr_t)&q->syms);
    td->ev = (struct eval){.a = a, .p = q->t->p, .o = o, .builtin_errors = {.a = a}};
    td->ev.max_steps = o->max_steps != 0 ? o->max_steps : REGO_STEPS_DEFAULT;
    td->ev.now_ns = o->now_ns;
    td->w = arena_new(a, struct tworld);
    td->w->input = o->input.w == 0 ? VAL_UNDEF : o->input;
    td->w->data = o->data.w == 0 ? VAL_UNDEF : o->data;
    td->ev.w.input = td->w->input;
    td->ev.w.data = td->w->data;
    *root = (struct te){.td = td, .query = q->body, .id = td->next_id++};
    root->b = binds_new(td, root->id);
}

void td_finish(struct td *td)
{
    map_release(&td->syms.m);
    if (!td->ev.failed && arena_exhausted(td->a)) {
        (void)eval_stop(&td->ev);
    }
}

struct k_rows {
    struct k k;
    struct te *e;
    const struct rego_topdown_query *q;
    struct vlist list;
};

static struct val value_of(struct k_rows *c, struct sym *s)
{
    struct td *td = c->e->td;
    struct tt *p = plug(td, tt_var(td->a, s, (struct loc){0}), c->e->b);
    return p->kind == TT_VAL ? p->v : VAL_UNDEF;
}

static struct halt *take_row(struct k *self)
{
    struct k_rows *c = (struct k_rows *)self;
    trace_body(c->e, OP_TRACE_EXIT, c->q->body);
    for (size_t i = 0; i < c->q->n_vars; i++) {
        vlist_add(&c->list, value_of(c, c->q->vars[i]));
    }
    for (size_t i = 0; i < c->q->n_exprs; i++) {
        struct sym *s = c->q->captures[i];
        vlist_add(&c->list, s != NULL ? value_of(c, s) : VAL_TRUE);
    }
    trace_body(c->e, OP_TRACE_REDO, c->q->body);
    return NULL;
}

void rego_topdown_eval(const struct rego_topdown_query *q, const struct rego_eval_options *o,
                       const struct rego_tracer *tracer, struct arena *a, struct rego_result *out)
{
    struct td td;
    struct te root;
    char here;
    td_start(&td, q, o, tracer, a, &root);
    td.stack_base = &here;
    struct k_rows c = {.k = {take_row}, .e = &root, .q = q, .list = {.a = a}};
    trace_body(&root, OP_TRACE_ENTER, q->body);
    (void)eval_body(&root, &c.k);
    td_finish(&td);
    size_t width = q->n_vars + q->n_exprs;
    *out = (struct rego_result){.n_vars = q->n_vars,
                                .n_exprs = q->n_exprs,
                                .failed = td.ev.failed,
                                .error = td.ev.error,
                                .steps = td.ev.steps,
                                .builtin_errors = vlist_array(&td.ev.builtin_errors)};
    out->n_rows = out->failed ? 0 : c.list.n / width;
    out->rows = arena_array(a, struct val, out->n_rows + 1);
    for (size_t i = 0; i < out->n_rows; i++) {
        out->rows[i] = val_array(a, c.list.v + i * width, width);
    }
}
