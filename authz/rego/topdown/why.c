/*
 * The search: bodies run as usual, but where an expression has no solution the search may go on as if it
 * had one, at the price of one change. Expressions that lead to rules are followed into them instead.
 */
#include "authz/rego/topdown/why_priv.h"

#include <stdlib.h>

static struct halt *search_body(struct why *w, struct te *e, struct k *k);

struct k_why {
    struct k k;
    struct why *w;
    struct te *e;
    struct k *then;
    bool found;
};

static struct halt *next_expr(struct k_why *c)
{
    c->e->index++;
    struct halt *h = search_body(c->w, c->e, c->then);
    c->e->index--;
    return h;
}

static struct halt *expr_holds(struct k *self)
{
    struct k_why *c = (struct k_why *)self;
    c->found = true;
    return next_expr(c);
}

/* One expression alone, with the bindings of the body it stands in. */
static struct halt *run_alone(struct te *e, const struct texpr *x, struct k *k)
{
    struct td *td = e->td;
    struct tbody *one = tb_new(td->a);
    struct te child;
    tb_push(td->a, one, (struct texpr *)(uintptr_t)x);
    te_closure(e, one, &child);
    return eval_body(&child, k);
}

static bool wish(struct why *w, struct te *e, const struct texpr *x, size_t change)
{
    struct vset vars = {.a = w->td->a};
    if (x->negated || x->kind == TX_NOT) {
        return true;
    }
    tx_vars(x, VARS_NO_CLOSURES | VARS_NO_OPERATORS, &vars);
    for (size_t i = 0; i < vars.n; i++) {
        struct tt var = {.kind = TT_VAR}, *t = &var;
        struct binds *b = e->b;
        var.sym = vars.v[i];
        binds_apply(&t, &b);
        bool free = t->kind == TT_VAR && t->sym != w->td->t->data && t->sym != w->td->t->input;
        if (!free) {
            continue;
        }
        if (w->n_wished == WHY_WISHED_MAX) {
            return false;
        }
        w->wished[w->n_wished++] = (struct wished){.sym = t->sym, .b = b, .change = change};
    }
    return true;
}

/* Goes on as if the expression held. */
static struct halt *change_expr(struct why *w, struct te *e, const struct texpr *x, bool hold,
                                struct k_why *c)
{
    struct halt *h = NULL;
    if (w->n >= w->most || w->n >= WHY_CHANGES_MAX) {
        return NULL;
    }
    size_t wished = w->n_wished;
    why_describe(w, e, x, hold, &w->changes[w->n]);
    w->n++;
    if (hold || wish(w, e, x, w->n - 1)) {
        h = next_expr(c);
    }
    w->n--;
    w->n_wished = wished;
    return h;
}

struct target {
    const struct tnode *node;
    struct tt **args; /* of a function */
    size_t n_args;
    struct tt *member; /* what must be in a set */
    struct val want;   /* VAL_UNDEF: anything but false */
};

/* Which rules would make the expression hold? False: it leads to none. */
static bool target_of(struct why *w, struct te *e, const struct texpr *x, struct target *out)
{
    const struct rego_topdown *t = w->td->t;
    *out = (struct target){.want = VAL_UNDEF};
    if (x->kind == TX_CALL && x->func != NULL) {
        *out = (struct target){.node = x->func, .args = x->t + 1, .want = VAL_UNDEF};
        out->n_args = (size_t)x->func->arity;
        return true;
    }
    struct tt *ref = x->t != NULL ? x->t[x->kind == TX_CALL] : NULL, *other = NULL;
    if (x->kind == TX_CALL && x->eq) {
        bool swap = !(ref->kind == TT_REF && ref_head_is(ref, t->data));
        other = plug(w->td, x->t[swap ? 1 : 2], e->b);
        ref = x->t[swap ? 2 : 1];
    } else if (x->kind != TX_TERM) {
        return false;
    }
    if (ref->kind != TT_REF || !ref_head_is(ref, t->data)) {
        return false;
    }
    ref = plug(w->td, ref, e->b);
    const struct tnode *n = tnode_root(t);
    size_t i = 1;
    while (i < ref->list.n && n->n_rules == 0 && ref->list.v[i]->kind == TT_VAL) {
        const struct tnode *child = tnode_child(t, n, ref->list.v[i]->v);
        if (child == NULL) {
            return false;
        }
        n = child;
        i++;
    }
    bool set = n->multi && n->ground && i + 1 == ref->list.n;
    if (n->n_rules == 0 || n->arity >= 0 || !n->ground || (i < ref->list.n && !set)) {
        return false;
    }
    out->node = n;
    out->member = set ? ref->list.v[i] : NULL;
    out->want = !set && other != NULL && other->kind == TT_VAL ? other->v : VAL_UNDEF;
    return set || !n->multi;
}

static bool could_give(const struct trule *r, struct val want)
{
    if (r->value == NULL || r->value->kind != TT_VAL) {
        return true;
    }
    return val_undef(want) ? !val_is_false(r->value->v) : val_eq(r->value->v, want);
}

struct k_enter {
    struct k k;
    struct why *w;
    struct te *child;
    struct k *then;
};

static struct halt *enter_rule(struct k *self)
{
    struct k_enter *c = (struct k_enter *)self;
    return search_body(c->w, c->child, c->then);
}

static struct halt *leave_rule(struct k *self)
{
    struct k_why *c = (struct k_why *)self;
    c->w->depth--;
    struct halt *h = next_expr(c);
    c->w->depth++;
    return h;
}

/* The bodies of the rules that would make it hold, each with its own changes. */
static struct halt *follow(struct why *w, struct te *e, const struct target *t, struct k *then)
{
    struct halt *h = NULL;
    if (w->depth >= WHY_DEPTH_MAX) {
        return NULL;
    }
    w->depth++;
    for (size_t i = 0; h == NULL && i < t->node->n_rules; i++) {
        for (const struct trule *r = t->node->rules[i]; h == NULL && r != NULL; r = r->otherwise) {
            struct te child;
            if (!could_give(r, t->want)) {
                continue;
            }
            te_child(e, r->body, r->rule->module->file, &child);
            struct k_enter enter = {.k = {enter_rule}, .w = w, .child = &child, .then = then};
            const struct trule *top = w->top;
            w->top = w->depth == 1 ? r : top;
            if (t->n_args > 0) {
                h = unify_lists(e, t->args, r->args, MIN(t->n_args, r->n_args), e->b, child.b,
                                &enter.k);
            } else if (t->member != NULL && r->key != NULL) {
                h = unify(e, t->member, r->key, e->b, child.b, &enter.k);
            } else {
                h = search_body(w, &child, then);
            }
            w->top = top;
        }
    }
    w->depth--;
    return h;
}

struct k_break {
    struct k k;
    struct why *w;
    struct te *e;
    const struct target *t;
    size_t rule; /* the next whose body must not hold */
    struct k *then;
    const struct tbody *body;
    struct te *child;
    bool found;
};

static struct halt *break_from(struct k_break *c);
static struct halt *break_rules(struct why *w, struct te *e, const struct target *t,
                                struct k *then);

static struct halt *after_break(struct k *self)
{
    return break_from((struct k_break *)self);
}

static bool target_inside(struct why *w, struct te *e, const struct texpr *x, struct target *out)
{
    struct texpr positive = *x;
    positive.negated = false;
    return x->n_with == 0 &&
           target_of(w, e, x->kind == TX_NOT && x->lhs->n == 1 ? x->lhs->v[0] : &positive, out);
}

/* An expression that holds is made to fail, in the rules it leads to or by itself. */
static struct halt *break_expr(const struct k_break *c, const struct texpr *x)
{
    struct why *w = c->w;
    struct target t;
    struct k_break next = *c;
    size_t before = w->n_ways;
    struct halt *h = NULL;
    next.k.run = after_break;
    next.rule++;
    next.found = false;
    if (target_inside(w, c->child, x, &t)) {
        bool negative = x->negated || x->kind == TX_NOT;
        h = negative ? follow(w, c->child, &t, &next.k) : break_rules(w, c->child, &t, &next.k);
    }
    if (h != NULL || w->n_ways > before || w->n >= WHY_CHANGES_MAX) {
        return h;
    }
    why_describe(w, c->child, x, true, &w->changes[w->n]);
    w->n++;
    h = break_from(&next);
    w->n--;
    return h;
}

/* Of a body that holds, one expression must not: each that reads the input is a way. */
static struct halt *break_body(struct k *self)
{
    struct k_break *c = (struct k_break *)self;
    struct halt *h = NULL;
    struct why *w = c->w;
    if (c->found || w->n >= w->most || w->n >= WHY_CHANGES_MAX) {
        return NULL;
    }
    c->found = true;
    w->top = w->depth == 1 ? c->t->node->rules[c->rule] : w->top;
    size_t tried = 0;
    for (int pass = 0; pass < 2 && tried == 0; pass++) {
        for (size_t i = 0; h == NULL && i < c->body->n; i++) {
            const struct texpr *x = c->body->v[i];
            struct target t;
            bool leads = why_reads_input(w, c->child, x) || target_inside(w, c->child, x, &t);
            if (x->generated || (pass == 0 && !leads)) {
                continue;
            }
            tried++;
            h = break_expr(c, x);
        }
    }
    return h;
}

static struct halt *break_from(struct k_break *c)
{
    struct te child;
    for (; c->rule < c->t->node->n_rules; c->rule++) {
        const struct trule *r = c->t->node->rules[c->rule];
        te_child(c->e, r->body, r->rule->module->file, &child);
        struct k_break body = *c;
        body.k.run = break_body;
        body.child = &child;
        body.body = r->body;
        body.found = false;
        if (!could_give(r, c->t->want)) {
            continue;
        }
        struct halt *h = eval_body(&child, &body.k);
        if (h != NULL || body.found) {
            return h;
        }
    }
    return k_run(c->then);
}

static struct halt *break_rules(struct why *w, struct te *e, const struct target *t, struct k *then)
{
    if (w->depth >= WHY_DEPTH_MAX || t->n_args > 0 || t->member != NULL) {
        return NULL;
    }
    struct k_break c = {.w = w, .e = e, .t = t, .then = then};
    w->depth++;
    struct halt *h = break_from(&c);
    w->depth--;
    return h;
}

static struct halt *fail_expr(struct why *w, struct te *e, const struct texpr *x, struct k_why *c)
{
    struct target t;
    bool negative = x->negated || x->kind == TX_NOT;
    if (!target_inside(w, e, x, &t)) {
        return change_expr(w, e, x, false, c);
    }
    struct k_why leave = *c;
    leave.k.run = leave_rule;
    size_t before = w->n_ways;
    struct halt *h;
    if (negative) {
        h = break_rules(w, e, &t, &leave.k);
    } else {
        size_t wished = w->n_wished;
        (void)wish(w, e, x, w->n);
        h = follow(w, e, &t, &leave.k);
        w->n_wished = wished;
    }
    /* Nothing inside could be told: the expression itself is what stands in the way. */
    return h == NULL && w->n_ways == before ? change_expr(w, e, x, false, c) : h;
}

static struct halt *search_body(struct why *w, struct te *e, struct k *k)
{
    if (!td_step(w->td)) {
        return &halt_error;
    }
    if (e->index >= e->query->n) {
        return k_run(k);
    }
    const struct texpr *x = te_expr(e);
    struct k_why c = {.k = {expr_holds}, .w = w, .e = e, .then = k};
    const struct wished *wished = why_find_wished(w, e, x);
    if (wished != NULL && wished->change < w->n) {
        struct rego_change before = w->changes[wished->change];
        size_t n = w->n_wished;
        why_refine(w, e, x, &w->changes[wished->change]);
        (void)wish(w, e, x, wished->change);
        struct halt *h = next_expr(&c);
        w->changes[wished->change] = before;
        w->n_wished = n;
        return h;
    }
    if (wished != NULL) {
        return next_expr(&c);
    }
    struct halt *h = run_alone(e, x, &c.k);
    return h != NULL || c.found ? h : fail_expr(w, e, x, &c);
}

static bool same_changes(const struct rego_way *a, const struct rego_change *v, size_t n)
{
    bool same = a->n_changes == n;
    for (size_t i = 0; same && i < n; i++) {
        const struct rego_change *x = &a->changes[i], *y = &v[i];
        same = str_eq(x->what, y->what) && str_eq(x->relation, y->relation) &&
               str_eq(x->expr, y->expr) && x->loc.row == y->loc.row &&
               (val_undef(x->want) ? val_undef(y->want)
                                   : !val_undef(y->want) && val_eq(x->want, y->want));
    }
    return same;
}

static struct halt *take_way(struct k *self)
{
    struct k_why *c = (struct k_why *)self;
    struct why *w = c->w;
    if (w->n == 0 || w->n_ways == WHY_KEPT_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < w->n_ways; i++) {
        if (same_changes(&w->ways[i], w->changes, w->n)) {
            return NULL;
        }
    }
    struct rego_way *way = &w->ways[w->n_ways++];
    *way = (struct rego_way){.n_changes = w->n};
    way->changes = arena_array(w->a, struct rego_change, w->n);
    memcpy(way->changes, w->changes, w->n * sizeof *way->changes);
    if (w->top != NULL) {
        way->file = w->top->rule->module->file;
        way->loc = w->top->rule->loc;
        way->rule = node_path(w->a, w->top->node->n);
    }
    return NULL;
}

static int by_changes(const void *a, const void *b)
{
    const struct rego_way *x = a, *y = b;
    return x->n_changes < y->n_changes ? -1 : x->n_changes > y->n_changes;
}

/* Few changes first: the limit rises until there is a way. */
static void search(struct why *w, struct te *root, const struct target *t, bool stop)
{
    struct k_why c = {.k = {take_way}, .w = w, .e = root};
    for (w->most = 1; w->most <= WHY_CHANGES_MAX && w->n_ways == 0 && !w->td->ev.failed;
         w->most *= 2) {
        w->n = 0;
        w->n_wished = 0;
        w->depth = 0;
        (void)(stop ? break_rules(w, root, t, &c.k) : follow(w, root, t, &c.k));
    }
    qsort(w->ways, w->n_ways, sizeof *w->ways, by_changes);
}

static void hand_out(struct why *w, struct rego_why *out)
{
    size_t best = w->n_ways > 0 ? w->ways[0].n_changes : 0;
    out->ways = arena_array(w->a, struct rego_way, WHY_WAYS_MAX);
    for (size_t i = 0; i < w->n_ways && out->n_ways < WHY_WAYS_MAX; i++) {
        if (w->ways[i].n_changes <= best + 1) {
            out->ways[out->n_ways++] = w->ways[i];
        }
    }
}

static struct val default_of(const struct tnode *n)
{
    return n->fallback != NULL && n->fallback->value->kind == TT_VAL ? n->fallback->value->v
                                                                     : VAL_UNDEF;
}

static void explain(const struct rego_topdown_query *q, struct td *td, struct te *root,
                    const struct rego_why_options *o, struct rego_why *out)
{
    struct why *w = arena_new(td->a, struct why);
    *w = (struct why){.td = td, .a = td->a};
    struct target t;
    bool wants_other = o->want.w == 0 || val_undef(o->want);
    bool truth = val_is_true(out->value);
    out->want = wants_other ? (truth ? VAL_UNDEF : VAL_TRUE) : o->want;
    const struct texpr *x = q->plain->v[q->plain->n - 1];
    if (!target_of(w, root, x, &t)) {
        td_error(root, "why_error", STR_EMPTY, (struct loc){0},
                 "%.*s is no rule with one value or a set's member", STR_FMT(out->path));
        return;
    }
    struct val fallback = default_of(t.node);
    bool stop = (wants_other && truth) ||
                (!wants_other && !val_undef(fallback) && val_eq(fallback, o->want));
    t.want = stop ? VAL_UNDEF : out->want;
    bool already = !val_undef(out->want) && !val_undef(out->value) && val_eq(out->value, out->want);
    if (!already) {
        search(w, root, &t, stop);
        hand_out(w, out);
    }
}

/* The definition that gave the value. */
static void given_by(void *ctx, const struct rego_event *e)
{
    struct rego_why *out = ctx;
    if (e->op == OP_TRACE_EXIT && e->kind == NODE_RULE && str_eq(e->path, out->path)) {
        out->by_file = e->file;
        out->by_loc = e->loc;
    }
}

void rego_why(const struct rego_topdown *t, struct str path, const struct rego_why_options *o,
              struct arena *a, struct rego_why *out)
{
    struct rego_errors errors = {.a = a};
    struct rego_query_options qo = {.version = REGO_V1, .capture = true};
    struct rego_topdown_query *q;
    *out = (struct rego_why){.path = path, .value = VAL_UNDEF, .want = VAL_UNDEF};
    if (!rego_topdown_prepare(t, path, &qo, &errors, &q)) {
        out->failed = true;
        out->error = errors.v[0];
        return;
    }
    struct rego_result r;
    struct rego_tracer tracer = {.event = given_by, .ctx = out};
    rego_topdown_eval(q, &o->eval, &tracer, a, &r);
    out->failed = r.failed;
    out->error = r.error;
    if (r.n_rows > 0 && r.n_exprs == 1) {
        out->value = val_copy(a, val_nth(r.rows[0], (uint32_t)r.n_vars));
    }
    if (!out->failed) {
        struct td td;
        struct te root;
        char here;
        td_start(&td, q, &o->eval, NULL, a, &root);
        td.stack_base = &here;
        explain(q, &td, &root, o, out);
        out->failed = td.ev.failed;
        out->error = td.ev.error;
        td_finish(&td);
    }
    rego_topdown_query_free(q);
}
