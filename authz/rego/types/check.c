/* Rules in the order of their dependencies, queries, and what is kept of them. */
#include "authz/rego/types/check.h"

#include "authz/rego/compile/graph.h"
#include "authz/rego/types/check_priv.h"

void types_dependents(struct compiler *c, const struct term *ref,
                      void (*fn)(void *ctx, struct crule *cr), void *ctx)
{
    graph_dependents(c, ref, fn, ctx);
}

/* ---- What outlives the compilation ---- */

static struct type_list keep_list(struct arena *a, struct type_list l)
{
    struct type_list kept = {arena_array(a, const struct type *, l.n + 1), l.n};
    for (size_t i = 0; i < l.n; i++) {
        kept.v[i] = type_keep(a, l.v[i]);
    }
    return kept;
}

/* A copy in another arena; recursive types are kept as any, as copying them would never end. */
const struct type *type_keep(struct arena *a, const struct type *t)
{
    if (t == NULL || t->kind <= TY_STRING || type_is_any(t)) {
        return t;
    }
    struct type *n = arena_new(a, struct type);
    *n = *t;
    switch (t->kind) {
    case TY_ARRAY:
        n->array.items = keep_list(a, t->array.items);
        n->array.rest = type_keep(a, t->array.rest);
        break;
    case TY_OBJECT:
        n->object.props = arena_array(a, struct type_prop, t->object.n + 1);
        for (size_t i = 0; i < t->object.n; i++) {
            n->object.props[i].key = val_copy(a, t->object.props[i].key);
            n->object.props[i].value = type_keep(a, t->object.props[i].value);
        }
        n->object.key = type_keep(a, t->object.key);
        n->object.value = type_keep(a, t->object.value);
        break;
    case TY_SET:
        n->of = type_keep(a, t->of);
        break;
    case TY_ANY:
        n->any = keep_list(a, t->any);
        break;
    case TY_FUNC:
        n->func.args = keep_list(a, t->func.args);
        n->func.result = type_keep(a, t->func.result);
        n->func.variadic = type_keep(a, t->func.variadic);
        break;
    default:
        return type_any();
    }
    return n;
}

static struct type_tree *keep_tree(struct arena *a, const struct type_tree *t)
{
    struct type_tree *n = type_tree_new(a);
    n->key = val_undef(t->key) ? VAL_UNDEF : val_copy(a, t->key);
    n->type = type_keep(a, t->type);
    for (size_t i = 0; i < t->n; i++) {
        struct val key = val_copy(a, t->children[i]->key);
        *type_tree_make(a, n, &key, 1) = *keep_tree(a, t->children[i]);
    }
    return n;
}

/* ---- Rules ---- */

static struct val *rule_place(struct arena *a, const struct crule *cr, size_t *n)
{
    struct val *path = arena_array(a, struct val, cr->node->depth + 1);
    for (const struct node *at = cr->node; at->parent != NULL; at = at->parent) {
        path[at->depth] = at->key;
    }
    path[0] = val_str(a, S("data"));
    *n = cr->node->depth + 1;
    return path;
}

struct untyped {
    struct checker *k;
};

static void name_arguments(struct checker *k, const struct term *t)
{
    if (t->type == T_VAR && t->var.local != NULL && var_type(k, t->var.local) == NULL) {
        var_set(k, t->var.local, type_any());
    }
    bool list = t->type == T_ARRAY || t->type == T_OBJECT || t->type == T_SET || t->type == T_REF;
    for (size_t i = 0; list && i < t->list.n; i++) {
        name_arguments(k, t->list.v[i]);
    }
}

static const struct type *function_type(struct checker *k, const struct rule *r)
{
    struct type_list args = {arena_array(k->a, const struct type *, r->head->n_args + 1),
                             r->head->n_args};
    for (size_t i = 0; i < args.n; i++) {
        name_arguments(k, r->head->args[i]);
    }
    for (size_t i = 0; i < args.n; i++) {
        args.v[i] = infer(k, r->head->args[i]);
    }
    return type_func(k->a, args, r->head->value != NULL ? infer(k, r->head->value) : NULL);
}

/* Objects for the part of the rule's reference that is known at run time only. */
static const struct type *nested(struct checker *k, const struct crule *cr, const struct type *t)
{
    for (size_t i = cr->n_tail; i > 0 && t != NULL; i--) {
        const struct type *key = infer(k, cr->tail[i - 1]);
        t = key == NULL ? NULL : type_open_object(k->a, NULL, 0, key, t);
    }
    return t;
}

static const struct type *rule_type(struct checker *k, const struct crule *cr)
{
    const struct head *h = cr->rule->head;
    if (h->n_args > 0) {
        return function_type(k, cr->rule);
    }
    const struct type *t = infer(k, h->key != NULL ? h->key : h->value);
    if (h->key != NULL && t != NULL) {
        t = type_set(k->a, t);
    }
    return nested(k, cr, t);
}

static void take_errors(struct checker *k)
{
    for (size_t i = 0; i < k->errors.n; i++) {
        compile_detailed(k->c, false, &k->errors.v[i]);
    }
}

static void check_rule(struct checker *k, struct crule *cr)
{
    struct compiler *c = k->c;
    compile_enter(c, cr);
    struct lower l = {.c = c, .a = k->a, .next = c->n_locals};
    struct body *b = lowered_body(&l, cr->rule->body);
    size_t n;
    struct val *path = rule_place(k->a, cr, &n);
    struct type_env *env = k->env;
    struct type_tree *rules = env->tree;
    k->errors = (struct rego_errors){.a = k->a};
    k->env = schema_env(k, cr, env);
    check_body(k, b);
    const struct type *t = k->errors.n > 0 ? NULL : rule_type(k, cr);
    k->env = env;
    if (k->errors.n > 0) {
        take_errors(k);
        struct type_tree *at = type_tree_make(k->a, rules, path, n);
        at->type = cr->n_tail == 0 ? type_any() : at->type;
    } else if (t != NULL) {
        type_tree_insert(k->a, rules, path, n, t);
    }
    vars_restore(k, 0, 0);
    k->remembered = NULL;
    compile_leave(c, cr);
}

/* What a checker looks up again and again. */
struct lookups {
    struct map signatures, relaxed, schemas;
};

static void checker_init(struct checker *k, struct compiler *c, struct lookups *l)
{
    *k = (struct checker){.c = c,
                          .a = &c->scratch,
                          .signatures = &l->signatures,
                          .relaxed = &l->relaxed,
                          .schemas = &l->schemas};
    map_init(&l->signatures);
    map_init(&l->relaxed);
    map_init(&l->schemas);
}

static void lookups_release(struct lookups *l)
{
    map_release(&l->signatures);
    map_release(&l->relaxed);
    map_release(&l->schemas);
}

void types_check(struct compiler *c)
{
    struct checker k;
    struct lookups lookups;
    checker_init(&k, c, &lookups);
    struct type_env outer = {NULL, type_tree_new(k.a)}, rules = {&outer, type_tree_new(k.a)};
    schema_input(&k, &outer);
    k.env = &rules;
    for (size_t i = 0; i < c->graph->n_order && !c->enough; i++) {
        check_rule(&k, c->graph->order[i]);
    }
    if (c->errors->n == c->errors_before) {
        c->p->input_types = keep_tree(c->a, outer.tree);
        c->p->rule_types = keep_tree(c->a, rules.tree);
    }
    lookups_release(&lookups);
}

/* The query as it is checked: calls whose value it shows have a variable for it. */
static struct body *with_results(struct checker *k, struct lower *l, const struct body *b)
{
    struct body *out = arena_new(k->a, struct body);
    for (size_t i = 0; i < b->n; i++) {
        struct expr *e = b->v[i];
        struct callee callee;
        if (k->c->captured != NULL && e->kind == E_TERM && !e->negated && e->term->type == T_CALL &&
            !term_is_call_of(e->term, "eq") && find_callee(k->c, e->term->list.v[0], &callee) &&
            e->term->list.n == (size_t)callee.arity + 1 &&
            (callee.builtin == NULL || (callee.builtin->flags & BF_VOID) == 0)) {
            struct expr *copy = arena_new(k->a, struct expr);
            *copy = *e;
            copy->term = lowered_result(l, e->term);
            e = copy;
        }
        body_push(k->a, out, e);
    }
    return out;
}

void types_check_query(struct compiler *c, struct body *b)
{
    struct checker k;
    struct lookups lookups;
    checker_init(&k, c, &lookups);
    struct type_tree *none = type_tree_new(k.a);
    struct type_env outer = {NULL, c->p->input_types != NULL ? c->p->input_types : none};
    struct type_env rules = {&outer, c->p->rule_types != NULL ? c->p->rule_types : none};
    struct lower l = {.c = c, .a = k.a, .next = c->n_locals, .query = true};
    k.env = &rules;
    k.errors = (struct rego_errors){.a = k.a};
    check_body(&k, lowered_body(&l, with_results(&k, &l, b)));
    take_errors(&k);
    lookups_release(&lookups);
}

void types_arity_error(struct compiler *c, struct term *call, const struct builtin *b, bool inner,
                       struct loc loc)
{
    struct checker k;
    struct lookups lookups;
    checker_init(&k, c, &lookups);
    struct type_env none = {NULL, type_tree_new(k.a)};
    struct type_list have = {arena_array(k.a, const struct type *, call->list.n + 1),
                             call->list.n - 1 + inner};
    k.env = &none;
    k.errors = (struct rego_errors){.a = k.a};
    for (size_t i = 1; i < call->list.n; i++) {
        bool hidden = call->list.v[i]->type == T_CALL;
        have.v[i - 1] = hidden ? NULL : infer(&k, call->list.v[i]);
    }
    struct term name = {.type = T_VAR};
    name.var.name = str_of(b->name);
    error_arguments(&k, loc, name.var.name, "arity mismatch", have, infer_operator(&k, &name),
                    false);
    compile_detailed(c, true, &k.errors.v[0]);
    lookups_release(&lookups);
}

const struct type *types_at(const struct rego_policy *p, struct arena *a, const struct val *path,
                            size_t n)
{
    struct val data = val_str(a, S("data"));
    const struct type_tree *t = p->rule_types != NULL ? type_tree_child(p->rule_types, data) : NULL;
    for (size_t i = 0; t != NULL && i < n; i++) {
        const struct type_tree *child = type_tree_child(t, path[i]);
        if (child == NULL && t->type != NULL) {
            const struct type *at = t->type;
            for (; at != NULL && i < n; i++) {
                at = type_select(a, at, path[i]);
            }
            return at;
        }
        t = child;
    }
    return t != NULL ? type_tree_extent(a, t) : NULL;
}
