/* Calls: builtins, functions made of rules, and what `with` puts in their place. */
#include "authz/rego/topdown/save.h"

void find_operator(struct td *td, const struct tt *ref, const struct builtin **builtin,
                   const struct tnode **func)
{
    *builtin = NULL;
    *func = NULL;
    if (ref->kind != TT_REF || ref->list.v[0]->kind != TT_VAR) {
        return;
    }
    if (ref->list.v[0]->sym == td->t->data) {
        const struct tnode *n = tnode_find(td->t, ref);
        *func = n != NULL && n->arity >= 0 ? n : NULL;
        return;
    }
    struct str name = ref->list.v[0]->sym->name;
    for (size_t i = 1; i < ref->list.n; i++) {
        const struct tt *k = ref->list.v[i];
        if (k->kind != TT_VAL || !val_is(k->v, V_STRING)) {
            return;
        }
        name = arena_printf(td->a, "%.*s.%.*s", STR_FMT(name), STR_FMT(val_text(k->v)));
    }
    *builtin = builtin_find(name);
}

static struct tmock *find_mock(struct td *td, const struct tt *ref)
{
    for (size_t i = td->w->n_mocks; i > 0; i--) {
        if (tt_same(td->w->mocks[i - 1].target, ref)) {
            return &td->w->mocks[i - 1];
        }
    }
    return NULL;
}

struct k_world {
    struct k k;
    struct td *td;
    struct tworld *inside, *outside;
    struct k *then;
};

static struct halt *leave_world(struct k *self)
{
    struct k_world *c = (struct k_world *)self;
    c->td->w = c->outside;
    struct halt *h = k_run(c->then);
    c->td->w = c->inside;
    return h;
}

/* Inside of a replacement nothing is replaced. */
static struct halt *call_replacement(struct te *e, struct call c, const struct tmock *m,
                                     struct k *k)
{
    struct td *td = e->td;
    struct tworld w = *td->w;
    w.n_mocks = 0;
    w.cache = (struct vcache){0};
    struct call other = c;
    other.t = arena_array(td->a, struct tt *, c.n + 1);
    memcpy(other.t, c.t, c.n * sizeof(struct tt *));
    other.t[0] = m->value;
    find_operator(td, m->value, &other.builtin, &other.func);
    struct k_world back = {.k = {leave_world}, .td = td, .inside = &w, .outside = td->w, .then = k};
    td->w = &w;
    struct halt *h = eval_call_expr(e, other, &back.k);
    td->w = back.outside;
    return h;
}

static struct halt *give_value(struct te *e, const struct call *c, int arity, struct tt *v,
                               struct k *k)
{
    if ((int)c->n == arity + 2) {
        return unify(e, c->t[c->n - 1], v, e->b, e->b, k);
    }
    return tt_is(v, VAL_FALSE) ? NULL : k_run(k);
}

static void print_line(struct td *td, struct val parts)
{
    struct buf line;
    if (td->ev.o->print == NULL) {
        return;
    }
    size_t combinations = 1;
    for (uint32_t i = 0; i < val_len(parts); i++) {
        combinations *= MAX(val_len(val_nth(parts, i)), 1u);
    }
    for (size_t at = 0; at < MIN(combinations, (size_t)1000); at++) {
        size_t rest = at;
        buf_init(&line, 1 << 20);
        for (uint32_t i = 0; i < val_len(parts); i++) {
            struct val set = val_nth(parts, i);
            uint32_t n = val_len(set);
            struct val v = n > 0 ? val_nth(set, (uint32_t)(rest % n)) : VAL_UNDEF;
            rest /= MAX(n, 1u);
            buf_puts(&line, i > 0 ? S(" ") : S(""));
            if (val_undef(v)) {
                buf_puts(&line, S("<undefined>"));
            } else if (val_is(v, V_STRING)) {
                buf_puts(&line, val_text(v));
            } else {
                val_to_rego(&line, v);
            }
        }
        td->ev.o->print(td->ev.o->print_ctx, buf_str(&line));
        buf_release(&line);
    }
}

static struct halt *outputs(struct te *e, const struct call *c, struct val out, struct k *k)
{
    struct td *td = e->td;
    if ((c->builtin->flags & BF_RELATION) == 0) {
        return give_value(e, c, c->builtin->arity, tt_val(td->a, out, c->t[0]->loc), k);
    }
    struct halt *deferred = NULL;
    for (uint32_t i = 0; i < val_len(out); i++) {
        struct halt *h =
            give_value(e, c, c->builtin->arity, tt_val(td->a, val_nth(out, i), c->t[0]->loc), k);
        if (h != NULL && h->kind != HALT_DEFER) {
            return h;
        }
        deferred = deferred != NULL ? deferred : h;
    }
    return deferred;
}

static bool too_many_outputs(struct val parts)
{
    for (uint32_t i = 0; val_is(parts, V_ARRAY) && i < val_len(parts); i++) {
        if (val_is(val_nth(parts, i), V_SET) && val_len(val_nth(parts, i)) > 1) {
            return true;
        }
    }
    return false;
}

static struct halt *call_builtin(struct te *e, const struct call *c, struct k *k)
{
    struct td *td = e->td;
    const struct builtin *fn = c->builtin;
    size_t n = MIN((size_t)fn->arity, c->n - 1);
    struct val args[16], out = VAL_UNDEF;
    bool template = strcmp(fn->name, "internal.template_string") == 0;
    td->ev.loc = te_expr(e)->loc;
    td->ev.file = e->file;
    if (n > ARRAY_LEN(args)) {
        return td_error(e, "eval_internal_error", e->file, td->ev.loc, "too many operands");
    }
    for (size_t i = 0; i < n; i++) {
        struct tt *p = plug(td, c->t[i + 1], e->b);
        if (p->kind != TT_VAL) {
            return td_error(e, "eval_internal_error", e->file, td->ev.loc,
                            "%s: operand %zu was not evaluated", fn->name, i + 1);
        }
        args[i] = p->v;
    }
    if (template && too_many_outputs(args[0])) {
        return td_error(e, "eval_conflict_error", e->file, td->ev.loc,
                        "template-strings must not produce multiple outputs");
    }
    if (strcmp(fn->name, "internal.print") == 0) {
        print_line(td, args[0]);
        return k_run(k);
    }
    if (strcmp(fn->name, "trace") == 0 && td->tracer != NULL && val_is(args[0], V_STRING)) {
        trace_expr(e, OP_TRACE_NOTE, te_expr(e), val_text(args[0]));
    }
    if (!eval_call(&td->ev, fn, args, n, &out)) {
        return &halt_error;
    }
    if ((fn->flags & BF_VOID) != 0) {
        return k_run(k);
    }
    return val_undef(out) ? NULL : outputs(e, c, out, k);
}

/* One definition of a function, its parameters unified with the operands before its body runs. */
struct k_func {
    struct k k;
    struct te *e, *child;
    const struct call *c;
    const struct trule *rule;
    struct tt *prev;   /* the value of the definitions before */
    struct tt *result; /* of this one */
    struct val key;
    const struct tnode *node;
    const struct trule *first_by;
    struct k *then;
};

static struct halt *func_conflict(struct k_func *c)
{
    return conflict_error(c->e, c->node, c->rule, c->c->t + 1, c->e->b, c->prev->v, c->first_by);
}

static struct halt *func_value(struct k *self)
{
    struct k_func *c = (struct k_func *)self;
    struct td *td = c->e->td;
    bool test = c->c->n - 1 == c->rule->n_args;
    trace_rule(c->child, OP_TRACE_EXIT, c->rule);
    if (test && td->pe != NULL && save_contains(td, c->rule->value, c->child->b)) {
        struct halt *h = save_expr(c->e, tx_term(td->a, c->rule->value), c->child->b, c->then);
        trace_rule(c->child, OP_TRACE_REDO, c->rule);
        return h;
    }
    c->result = plug(td, c->rule->value, c->child->b);
    if (!val_undef(c->key) && c->result->kind == TT_VAL) {
        cache_put(td, c->node, c->key, c->result->v);
    }
    bool same = c->prev == NULL || tt_same(c->prev, c->result);
    if (test && tt_is(c->result, VAL_FALSE)) {
        if (!same && td->pe == NULL) {
            return func_conflict(c);
        }
        c->prev = c->result;
        return NULL;
    }
    if (td->pe == NULL && c->prev != NULL) {
        if (!same) {
            return func_conflict(c);
        }
        trace_rule(c->child, OP_TRACE_REDO, c->rule);
        return NULL;
    }
    c->prev = c->result;
    c->first_by = c->rule;
    struct halt *h = k_run(c->then);
    if (h == NULL) {
        trace_rule(c->child, OP_TRACE_REDO, c->rule);
    }
    return h;
}

struct k_args {
    struct k k;
    struct te *child;
    struct k *then;
};

static struct halt *args_bound(struct k *self)
{
    struct k_args *c = (struct k_args *)self;
    return eval_body(c->child, c->then);
}

static struct halt *func_rule(struct k_func *c, const struct trule *r, bool find_one)
{
    struct te child;
    size_t n = c->c->n - 1;
    te_child(c->e, r->body, r->rule->module->file, &child);
    child.find_one = find_one;
    struct tt **params = arena_array(c->e->td->a, struct tt *, n + 2);
    memcpy(params, r->args, r->n_args * sizeof(struct tt *));
    if (n == r->n_args + 1) {
        params[n - 1] = r->value;
    }
    c->rule = r;
    c->child = &child;
    c->result = NULL;
    struct k_args bound = {.k = {args_bound}, .child = &child, .then = &c->k};
    trace_rule(&child, OP_TRACE_ENTER, r);
    return unify_lists(c->e, c->c->t + 1, params, MIN(n, r->n_args + 1), c->e->b, child.b,
                       &bound.k);
}

static bool try_rule(struct k_func *c, const struct trule *r, bool find_one, struct halt **h,
                     struct halt **deferred)
{
    *h = func_rule(c, r, find_one);
    if (*h != NULL && (*h)->kind == HALT_DEFER) {
        *deferred = *deferred != NULL ? *deferred : *h;
        *h = NULL;
    }
    return *h == NULL;
}

static struct halt *func_rules(struct k_func *c, const struct tnode *f)
{
    struct halt *h = NULL, *deferred = NULL;
    for (size_t i = 0; i < f->n_rules; i++) {
        for (const struct trule *r = f->rules[i]; r != NULL; r = r->otherwise) {
            if (!try_rule(c, r, f->early_exit, &h, &deferred)) {
                return h;
            }
            if (c->result != NULL) {
                break;
            }
        }
    }
    if (f->fallback != NULL && c->prev == NULL) {
        return func_rule(c, f->fallback, f->early_exit);
    }
    return deferred;
}

static bool call_key(struct te *e, const struct call *c, const struct tnode *f, struct val *key)
{
    struct vlist l = {.a = e->td->a};
    for (int i = 1; i <= f->arity; i++) {
        struct tt *p = plug(e->td, c->t[i], e->b);
        if (p->kind != TT_VAL) {
            return false;
        }
        vlist_add(&l, p->v);
    }
    *key = vlist_array(&l);
    return true;
}

/* Must the function stay a function, because something of it is unknown? */
static bool needs_support(struct te *e, const struct call *c, const struct tnode *f)
{
    struct partial *pe = e->td->pe;
    bool must = false;
    if (f->fallback != NULL) {
        bool test = f->fallback->n_args == c->n - 1;
        must = !test || f->fallback->value == NULL || !tt_is(f->fallback->value, VAL_FALSE);
    }
    if (!must && !pe->shallow && !inlining_disabled(e->td, c->t[0], false)) {
        return false;
    }
    bool unknown = unknown_term(e, c->t[0], e->b);
    for (int i = 1; !unknown && i <= f->arity; i++) {
        unknown = unknown_term(e, c->t[i], e->b);
    }
    return unknown;
}

static struct halt *call_function(struct te *e, const struct call *c, struct k *k)
{
    struct td *td = e->td;
    const struct tnode *f = c->func;
    struct k_func fc = {.k = {func_value}, .e = e, .c = c, .node = f, .then = k, .key = VAL_UNDEF};
    if (f->n_rules == 0 && f->fallback == NULL) {
        return NULL;
    }
    trace_index(e, f, c->t[0], c->t[0]->list.n);
    if (td->pe != NULL) {
        if (f->has_else && unknown_expr(e, te_expr(e))) {
            return save_call(e, f->arity, *c, k);
        }
        if (needs_support(e, c, f)) {
            return func_support(e, *c, f->arity, k);
        }
    } else if (call_key(e, c, f, &fc.key)) {
        struct val v;
        if (cache_get(td, f, fc.key, &v)) {
            return give_value(e, c, f->arity, tt_val(td->a, v, c->t[0]->loc), k);
        }
    }
    return halt_unwrap(func_rules(&fc, f));
}

struct halt *eval_call_expr(struct te *e, struct call c, struct k *k)
{
    struct td *td = e->td;
    struct tmock *m = td->w->n_mocks > 0 ? find_mock(td, c.t[0]) : NULL;
    if (m != NULL) {
        const struct builtin *b;
        const struct tnode *f;
        find_operator(td, m->value, &b, &f);
        if (b != NULL || f != NULL) {
            return call_replacement(e, c, m, k);
        }
        int arity = c.func != NULL ? c.func->arity : c.builtin != NULL ? c.builtin->arity : 0;
        return give_value(e, &c, arity, m->value, k);
    }
    if (c.func != NULL) {
        return call_function(e, &c, k);
    }
    if (c.builtin == NULL) {
        return td_error(e, "eval_type_error", e->file, te_expr(e)->loc, "unsupported built-in");
    }
    if (td->pe != NULL && unknown_expr(e, te_expr(e))) {
        return save_call(e, c.builtin->arity, c, k);
    }
    return call_builtin(e, &c, k);
}
