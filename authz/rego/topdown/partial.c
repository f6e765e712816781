/* Partial evaluation from the outside: options in, queries and modules out. */
#include "authz/rego/topdown/save.h"

#include <stdlib.h>

struct k_query {
    struct k k;
    struct te *e;
    struct partial *pe;
};

static int by_content(const void *a, const void *b)
{
    struct texpr *const *x = a, *const *y = b;
    return tx_cmp(*x, *y, true);
}

/* Variables of the asker that have a value are said to be equal to it. */
static void add_bindings(struct te *e, struct tbody *b)
{
    struct td *td = e->td;
    size_t from = b->n;
    for (size_t i = 0; i < e->b->n; i++) {
        struct tt *var = tt_var(td->a, e->b->v[i].sym, (struct loc){0});
        tb_push(td->a, b, tx_eq(td->a, &td->syms, var, plug_for(td, var, e->b, e->b)));
    }
    if (b->n > from) {
        qsort(b->v + from, b->n - from, sizeof(struct texpr *), by_content);
    }
}

static struct halt *take_query(struct k *self)
{
    struct k_query *c = (struct k_query *)self;
    struct td *td = c->e->td;
    struct partial *pe = c->pe;
    trace_body(c->e, OP_TRACE_EXIT, c->e->query);
    struct tbody *b = tb_new(td->a);
    if (pe->n_saved > pe->base) {
        b = saved_plug(td, c->e->b);
    }
    add_bindings(c->e, b);
    if (may_hold(td, b)) {
        if (!pe->shallow) {
            b = simplify(td, &pe->live, false, b);
        }
        pe->queries = arena_grow(td->a, pe->queries, pe->n_queries, pe->n_queries + 1,
                                 &pe->cap_queries, sizeof(struct tbody *));
        pe->queries[pe->n_queries++] = b;
    }
    trace_body(c->e, OP_TRACE_REDO, c->e->query);
    return NULL;
}

/* "input.a[0]" as a reference. NULL: it is none. */
static struct tt *parse_ref(struct td *td, struct str text)
{
    struct rego_errors errors = {.a = td->a};
    struct parse_options po = {.version = REGO_V1};
    struct body *b;
    if (!rego_parse_query(td->a, arena_str(td->a, text), &po, &errors, &b) || b->n != 1 ||
        b->v[0]->kind != E_TERM || b->v[0]->n_with > 0 || b->v[0]->negated) {
        return NULL;
    }
    const struct term *t = b->v[0]->term;
    size_t n = t->type == T_REF ? t->list.n : 1;
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    if (head->type != T_VAR) {
        return NULL;
    }
    struct sym *s = sym_get(&td->syms, head->var.name);
    if (t->type == T_VAR && s != td->t->data && s != td->t->input) {
        return tt_var(td->a, s, t->loc);
    }
    struct tt *r = tt_list(td->a, TT_REF, n, t->loc);
    r->list.v[0] = tt_var(td->a, s, t->loc);
    for (size_t i = 1; i < n; i++) {
        struct val k = term_const(td->a, t->list.v[i]);
        r->list.v[i] = tt_val(td->a, k, t->loc);
        if (val_undef(k)) {
            return NULL;
        }
    }
    return r;
}

static bool set_unknowns(struct te *root, const struct rego_partial_options *o)
{
    static const struct str input[] = {STR_INIT("input")};
    struct td *td = root->td;
    const struct str *v = o->n_unknowns > 0 ? o->unknowns : input;
    size_t n = o->n_unknowns > 0 ? o->n_unknowns : 1;
    for (size_t i = 0; i < n; i++) {
        struct tt *t = parse_ref(td, v[i]);
        if (t == NULL) {
            td_error(root, "partial_error", STR_EMPTY, (struct loc){0},
                     "an unknown must be a reference like input.a, not %.*s", STR_FMT(v[i]));
            return false;
        }
        unknown_push(td, t, root->b);
        vset_add(&td->pe->live, t->kind == TT_VAR ? t->sym : t->list.v[0]->sym);
    }
    struct tt **disabled = arena_array(td->a, struct tt *, o->n_disable_inlining + 1);
    for (size_t i = 0; i < o->n_disable_inlining; i++) {
        disabled[i] = parse_ref(td, o->disable_inlining[i]);
        if (disabled[i] == NULL || disabled[i]->kind != TT_REF) {
            td_error(root, "partial_error", STR_EMPTY, (struct loc){0},
                     "what is not to be inlined must be a reference like data.a, not %.*s",
                     STR_FMT(o->disable_inlining[i]));
            return false;
        }
    }
    if (o->n_disable_inlining > 0) {
        inlining_push(td, disabled, o->n_disable_inlining, NULL, false);
    }
    return true;
}

static void set_live(struct te *root)
{
    struct td *td = root->td;
    struct vset vars = {.a = td->a};
    tb_vars(root->query, VARS_ALL, &vars);
    for (size_t i = 0; i < vars.n; i++) {
        if (!sym_generated(vars.v[i])) {
            vset_add(&td->pe->live, vars.v[i]);
        }
    }
}

static int cmp_terms(struct tt **a, size_t na, struct tt **b, size_t nb)
{
    for (size_t i = 0; i < na && i < nb; i++) {
        int c = tt_cmp(a[i], b[i]);
        if (c != 0) {
            return c;
        }
    }
    return na < nb ? -1 : na > nb;
}

static int cmp_optional(const struct tt *a, const struct tt *b)
{
    if (a == NULL || b == NULL) {
        return a == b ? 0 : a == NULL ? -1 : 1;
    }
    return tt_cmp(a, b);
}

static int by_rule(const void *a, const void *b)
{
    struct trule *const *px = a, *const *py = b;
    const struct trule *x = *px, *y = *py;
    int c = cmp_terms(x->args, x->n_args, y->args, y->n_args);
    c = c != 0 ? c : tt_cmp(x->ref, y->ref);
    c = c != 0 ? c : cmp_optional(x->key, y->key);
    c = c != 0 ? c : cmp_optional(x->value, y->value);
    if (c == 0 && x->is_default != y->is_default) {
        return x->is_default ? 1 : -1;
    }
    return c != 0 ? c : tb_cmp(x->body, y->body);
}

static int by_package(const void *a, const void *b)
{
    const struct support *x = a, *y = b;
    return tt_cmp(x->package, y->package);
}

static struct module *module_out(struct arena *a, struct support *s)
{
    struct module *m = arena_new(a, struct module);
    m->version = m->effective = REGO_V1;
    m->has_package = true;
    m->package = term_from_tt(a, s->package);
    qsort(s->rules, s->n, sizeof(struct trule *), by_rule);
    m->rules = arena_array(a, struct rule *, s->n + 1);
    m->n_rules = m->cap_rules = s->n;
    for (size_t i = 0; i < s->n; i++) {
        m->rules[i] = rule_from_tr(a, s->rules[i]);
        m->rules[i]->module = m;
    }
    return m;
}

static void hand_out(struct td *td, struct rego_partial_result *out)
{
    struct partial *pe = td->pe;
    struct arena *a = td->a;
    out->n_queries = pe->n_queries;
    out->queries = arena_array(a, struct body *, pe->n_queries + 1);
    for (size_t i = 0; i < pe->n_queries; i++) {
        out->queries[i] = body_from_tb(a, pe->queries[i]);
    }
    if (pe->n_support > 0) {
        qsort(pe->support, pe->n_support, sizeof *pe->support, by_package);
    }
    out->n_support = pe->n_support;
    out->support = arena_array(a, struct module *, pe->n_support + 1);
    for (size_t i = 0; i < pe->n_support; i++) {
        out->support[i] = module_out(a, &pe->support[i]);
    }
}

void rego_partial(const struct rego_topdown_query *q, const struct rego_partial_options *o,
                  const struct rego_tracer *tracer, struct arena *a,
                  struct rego_partial_result *out)
{
    struct td td;
    struct te root;
    char here;
    struct partial pe = {.shallow = o->shallow,
                         .nondeterministic = o->nondeterministic,
                         .skip_namespace = o->skip_namespace,
                         .live = {.a = a}};
    pe.name_space = val_str(a, o->name_space.n > 0 ? o->name_space : S("partial"));
    td_start(&td, q, &o->eval, tracer, a, &root);
    td.stack_base = &here;
    root.query = o->keep_equal ? q->plain : q->partial;
    td.pe = &pe;
    td.var_prefix = o->var_prefix;
    if (set_unknowns(&root, o)) {
        set_live(&root);
        struct k_query c = {.k = {take_query}, .e = &root, .pe = &pe};
        trace_body(&root, OP_TRACE_ENTER, root.query);
        (void)eval_body(&root, &c.k);
    }
    *out = (struct rego_partial_result){.failed = td.ev.failed,
                                        .error = td.ev.error,
                                        .steps = td.ev.steps,
                                        .builtin_errors = vlist_array(&td.ev.builtin_errors)};
    if (!out->failed) {
        hand_out(&td, out);
    }
    td_finish(&td);
}
