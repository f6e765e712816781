/* Rules that stay rules: partially evaluated, and kept under a package of their own. */
#include "authz/rego/topdown/save.h"

struct tt *name_space_ref(struct td *td, const struct tt *ref)
{
    if (td->pe->skip_namespace) {
        return ref_slice(td->a, ref, ref->list.n);
    }
    struct tt *r = tt_list(td->a, TT_REF, ref->list.n + 1, ref->loc);
    r->list.v[0] = ref->list.v[0];
    r->list.v[1] = tt_val(td->a, td->pe->name_space, ref->loc);
    memcpy(r->list.v + 2, ref->list.v + 1, (ref->list.n - 1) * sizeof(struct tt *));
    return r;
}

static bool is_name(const struct tt *t)
{
    if (t->kind != TT_VAL || !val_is(t->v, V_STRING)) {
        return false;
    }
    struct str s = val_text(t->v);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return s.n > 0;
}

/* The rule's name is the last element that can be one; what is before is the package. */
void split_path(struct td *td, const struct tt *path, struct tt **package, struct tt **rule)
{
    size_t start = 2;
    for (size_t i = start; i < path->list.n && is_name(path->list.v[i]); i++) {
        start = i;
    }
    *package = ref_slice(td->a, path, start);
    struct tt *r = tt_list(td->a, TT_REF, path->list.n - start, path->loc);
    memcpy(r->list.v, path->list.v + start, r->list.n * sizeof(struct tt *));
    struct tt *name = r->list.v[0];
    if (name->kind == TT_VAL && val_is(name->v, V_STRING)) {
        r->list.v[0] = tt_var(td->a, sym_get(&td->syms, val_text(name->v)), name->loc);
    }
    *rule = r;
}

static struct support *find_support(struct td *td, const struct tt *package)
{
    for (size_t i = 0; i < td->pe->n_support; i++) {
        if (tt_same(td->pe->support[i].package, package)) {
            return &td->pe->support[i];
        }
    }
    return NULL;
}

bool support_exists(struct td *td, const struct tt *path)
{
    struct tt *package, *rule;
    split_path(td, path, &package, &rule);
    const struct support *s = find_support(td, package);
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        if (ref_has_prefix(s->rules[i]->ref, rule)) {
            return true;
        }
    }
    return false;
}

void support_add(struct td *td, const struct tt *package, struct trule *r)
{
    struct partial *pe = td->pe;
    struct support *s = find_support(td, package);
    if (s == NULL) {
        pe->support = arena_grow(td->a, pe->support, pe->n_support, pe->n_support + 1,
                                 &pe->cap_support, sizeof *pe->support);
        s = &pe->support[pe->n_support++];
        *s = (struct support){.package = (struct tt *)(uintptr_t)package};
    }
    s->rules = arena_grow(td->a, s->rules, s->n, s->n + 1, &s->cap, sizeof(struct trule *));
    s->rules[s->n++] = r;
}

static struct tt *plug_out(struct te *child, struct tt *t)
{
    return t == NULL ? NULL : plug_for(child->td, t, child->b, child->td->root->b);
}

struct k_support {
    struct k k;
    struct te *child;
    const struct trule *rule;
    struct tt *package, *path; /* of complete rules */
    bool defined, func, partial;
};

static void head_vars(struct td *td, const struct trule *r, struct vset *out)
{
    (void)td;
    for (size_t i = 0; i < r->n_args; i++) {
        tt_vars(r->args[i], VARS_ALL, out);
    }
    tt_vars(r->ref, VARS_NO_REF_HEAD, out);
    if (r->key != NULL) {
        tt_vars(r->key, VARS_ALL, out);
    }
    if (r->value != NULL) {
        tt_vars(r->value, VARS_ALL, out);
    }
}

static struct trule *new_rule(struct k_support *c)
{
    struct td *td = c->child->td;
    struct trule *r = arena_new(td->a, struct trule);
    r->rule = c->rule->rule;
    r->is_default = c->rule->is_default;
    r->complete = !c->partial;
    r->value = plug_out(c->child, c->rule->value);
    r->key = plug_out(c->child, c->rule->key);
    r->n_args = c->rule->n_args;
    r->args = arena_array(td->a, struct tt *, r->n_args + 1);
    for (size_t i = 0; i < r->n_args; i++) {
        r->args[i] = plug_out(c->child, c->rule->args[i]);
    }
    return r;
}

static struct halt *take_support(struct k *self)
{
    struct k_support *c = (struct k_support *)self;
    struct td *td = c->child->td;
    c->defined = true;
    trace_rule(c->child, OP_TRACE_EXIT, c->rule);
    struct tbody *body = saved_plug(td, td->root->b);
    if (!may_hold(td, body)) {
        return NULL;
    }
    struct trule *r = new_rule(c);
    struct tt *package = c->package;
    r->ref = c->path;
    if (c->partial) {
        struct tt *ref = name_space_ref(td, c->rule->ref);
        struct tt *plugged = tt_list(td->a, TT_REF, ref->list.n, ref->loc);
        for (size_t i = 0; i < ref->list.n; i++) {
            plugged->list.v[i] = i == 0 ? ref->list.v[0] : plug_out(c->child, ref->list.v[i]);
        }
        split_path(td, plugged, &package, &r->ref);
    }
    if (!td->pe->shallow && !c->func) {
        struct vset live = {.a = td->a};
        head_vars(td, r, &live);
        body = simplify(td, &live, true, body);
    }
    r->body = body;
    support_add(td, package, r);
    trace_rule(c->child, OP_TRACE_REDO, c->rule);
    return NULL;
}

static struct halt *support_rule(struct te *e, struct k_support *c, const struct trule *rule)
{
    struct td *td = e->td;
    struct te child;
    te_child(e, rule->body, rule->rule->module->file, &child);
    c->k.run = take_support;
    c->child = &child;
    c->rule = rule;
    trace_rule(&child, OP_TRACE_ENTER, rule);
    size_t base = saved_begin(td), unknown = td->pe->n_unknown;
    for (size_t i = 0; c->func && i < rule->n_args; i++) {
        struct vset vars = {.a = td->a};
        tt_vars(rule->args[i], VARS_ALL, &vars);
        for (size_t k = 0; k < vars.n; k++) {
            unknown_push(td, tt_var(td->a, vars.v[k], rule->args[i]->loc), child.b);
        }
    }
    struct halt *h = eval_body(&child, &c->k);
    td->pe->n_unknown = unknown;
    saved_end(td, base);
    return h;
}

/* The package and the path below it, of a complete rule at data.a.b.c. */
static void complete_path(struct td *td, const struct tt *path, const struct trule *rule,
                          struct k_support *c)
{
    struct tt *spaced = name_space_ref(td, path);
    size_t n = path->list.n - rule->n_package;
    c->package = ref_slice(td->a, spaced, spaced->list.n - n);
    c->path = tt_list(td->a, TT_REF, n, path->loc);
    memcpy(c->path->list.v, path->list.v + rule->n_package, n * sizeof(struct tt *));
    struct tt *name = c->path->list.v[0];
    c->path->list.v[0] = tt_var(td->a, sym_get(&td->syms, val_text(name->v)), name->loc);
}

struct halt *complete_support(struct tref r)
{
    struct td *td = r.e->td;
    struct tt *path = ref_slice(td->a, r.plugged, r.pos + 1);
    struct k_support c = {0};
    struct halt *h = NULL;
    if (support_exists(td, name_space_ref(td, path))) {
        c.defined = true;
    } else {
        for (size_t i = 0; h == NULL && i < r.node->n_rules; i++) {
            complete_path(td, path, r.node->rules[i], &c);
            h = support_rule(r.e, &c, r.node->rules[i]);
        }
        if (h == NULL && r.node->fallback != NULL) {
            complete_path(td, path, r.node->fallback, &c);
            h = support_rule(r.e, &c, r.node->fallback);
        }
    }
    if (h != NULL || !c.defined) {
        return h;
    }
    return save_unify(r.e, name_space_ref(td, r.ref), r.rterm, r.b, r.rb, r.k);
}

struct halt *partial_support(struct tref r, struct tt *empty)
{
    struct td *td = r.e->td;
    struct tt *path = ref_slice(td->a, r.plugged, r.pos + 1);
    struct tt *term = name_space_ref(td, r.ref);
    struct k_support c = {.partial = true};
    struct halt *h = NULL;
    if (support_exists(td, name_space_ref(td, path))) {
        c.defined = true;
    }
    for (size_t i = 0; h == NULL && i < r.node->n_extent && !(i == 0 && c.defined); i++) {
        h = support_rule(r.e, &c, r.node->extent[i]);
    }
    if (h != NULL) {
        return h;
    }
    if (!c.defined) {
        if (r.ref->list.n != r.pos + 1) {
            return NULL;
        }
        term = empty;
    }
    return save_unify(r.e, term, r.rterm, r.b, r.rb, r.k);
}

struct halt *func_support(struct te *e, struct call c, int arity, struct k *k)
{
    struct td *td = e->td;
    struct tt *path = name_space_ref(td, c.t[0]);
    struct k_support s = {.func = true};
    struct halt *h = NULL;
    if (!support_exists(td, path)) {
        split_path(td, path, &s.package, &s.path);
        for (size_t i = 0; h == NULL && i < c.func->n_rules; i++) {
            h = support_rule(e, &s, c.func->rules[i]);
        }
        if (h == NULL && c.func->fallback != NULL) {
            h = support_rule(e, &s, c.func->fallback);
        }
    }
    if (h != NULL || !support_exists(td, path)) {
        return h;
    }
    struct call other = c;
    other.func = NULL;
    other.t = arena_array(td->a, struct tt *, c.n + 1);
    memcpy(other.t, c.t, c.n * sizeof(struct tt *));
    other.t[0] = path;
    return save_call(e, arity, other, k);
}
