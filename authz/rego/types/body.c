/* Bodies: each expression is checked under what those before it told about variables. */
#include "authz/rego/types/check_priv.h"

#include "authz/rego/syntax/visit.h"

static struct type_list operand_types(struct checker *k, const struct term *call)
{
    struct type_list l = {arena_array(k->a, const struct type *, call->list.n), call->list.n - 1};
    for (size_t i = 0; i < l.n; i++) {
        l.v[i] = infer(k, call->list.v[i + 1]);
    }
    return l;
}

/* An error about something unknown says little where a better one was told of the same expression. */
struct told {
    bool better;
};

static void tell_match(struct checker *k, const struct told *told, struct loc loc,
                       const struct type *x, const struct type *y)
{
    if (!told->better || !(type_unknown(x) || type_unknown(y))) {
        error_match(k, loc, x, y);
    }
}

static void tell_arguments(struct checker *k, const struct told *told, const struct expr *e,
                           const char *what, struct type_list have, const struct type *func)
{
    if (!told->better || !error_is_unknown(have)) {
        error_arguments(k, e->loc, term_call_name(k->a, e->term), what, have, func, true);
    }
}

static void check_eq(struct checker *k, const struct expr *e, const struct told *told)
{
    const struct term *x = e->term->list.v[1], *y = e->term->list.v[2];
    const struct type *tx = infer(k, x), *ty = infer(k, y);
    if (!unify_terms(k, x, tx, y, ty)) {
        tell_match(k, told, e->loc, tx, ty);
    }
}

static bool check_member_operand(struct checker *k, const struct expr *e, const struct told *told,
                                 const struct term *t, const struct type *type)
{
    if (type_unknown(type)) {
        return true;
    }
    const struct type *have = infer(k, t);
    if ((type_unknown(have) || unifies(have, type)) && unify_term(k, t, type, false)) {
        return true;
    }
    tell_match(k, told, e->loc, have, type);
    return false;
}

/* `x in xs` and `k, v in xs`: what may be found depends on the collection. */
static bool check_member(struct checker *k, const struct expr *e, const struct told *told,
                         size_t arity)
{
    const struct term *call = e->term;
    if (call->list.n <= arity) {
        return true;
    }
    const struct type *xs = infer(k, call->list.v[arity]), *values = type_values(k->a, xs);
    if (values == NULL) {
        return true;
    }
    return (arity < 3 || check_member_operand(k, e, told, call->list.v[1], type_keys(k->a, xs))) &&
           check_member_operand(k, e, told, call->list.v[arity - 1], values);
}

static const struct type *param_of(const struct type *f, size_t i)
{
    if (i < f->func.args.n) {
        return f->func.args.v[i];
    }
    return i == f->func.args.n && f->func.result != NULL ? f->func.result : f->func.variadic;
}

static void check_call(struct checker *k, const struct expr *e, const struct told *told)
{
    const struct term *call = e->term;
    const struct type *f = infer_operator(k, call->list.v[0]);
    if (type_is_any(f)) {
        return;
    }
    if (!type_is(f, TY_FUNC)) {
        error_add(
            k, e->loc,
            arena_printf(k->a, "undefined function %.*s", STR_FMT(term_call_name(k->a, call))),
            STR_EMPTY);
        return;
    }
    size_t n = call->list.n - 1, most = f->func.args.n + (f->func.result != NULL);
    struct type_list have = operand_types(k, call);
    if ((n > most && f->func.variadic == NULL) || n < f->func.args.n) {
        tell_arguments(k, told, e, n > most ? "too many arguments" : "too few arguments", have, f);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const struct type *want = param_of(f, i);
        if (!type_unknown(have.v[i]) && !unifies(have.v[i], want)) {
            tell_arguments(k, told, e, "invalid argument(s)", have, f);
            return;
        }
        if (want == NULL || !unify_term(k, call->list.v[i + 1], want, false)) {
            tell_arguments(k, told, e, "invalid argument(s)", operand_types(k, call), f);
            return;
        }
    }
}

/* A function is replaced by one that takes as many operands. */
static bool check_replacements(struct checker *k, const struct expr *e)
{
    for (size_t i = 0; i < e->n_with; i++) {
        const struct type *target = infer(k, e->with[i]->target),
                          *value = infer(k, e->with[i]->value);
        if (type_is(target, TY_FUNC) && type_is(value, TY_FUNC) && !unifies(target, value)) {
            struct term *slot = e->with[i]->target;
            struct term call = {.type = T_CALL};
            call.list.v = &slot;
            call.list.n = 1;
            error_arguments(k, e->with[i]->loc, term_call_name(k->a, &call), "arity mismatch",
                            value->func.args, target, false);
            return false;
        }
    }
    return true;
}

static void check_expr(struct checker *k, const struct expr *e, const struct told *told)
{
    if (!check_replacements(k, e) || e->kind != E_TERM || e->term->type != T_CALL) {
        return;
    }
    if (term_is_call_of(e->term, "eq") && e->term->list.n == 3) {
        check_eq(k, e, told);
        return;
    }
    bool member = term_is_call_of(e->term, "internal.member_2");
    if ((member || term_is_call_of(e->term, "internal.member_3")) &&
        !check_member(k, e, told, member ? 2 : 3)) {
        return;
    }
    check_call(k, e, told);
}

/* ---- Comprehensions ---- */

static bool collect_comprehension(struct visitor *v, struct term *t)
{
    struct checker *k = v->ctx;
    if (t->type < T_ARRAY_COMP || t->type > T_OBJECT_COMP) {
        return true;
    }
    check_comprehension(k, t);
    if (k->remembered->errors.n > 0) { /* of several wrong ones the last is told */
        k->errors = k->remembered->errors;
        return false;
    }
    return true;
}

static const struct type *type_of_comprehension(struct checker *k, const struct term *t)
{
    const struct type *value = infer(k, t->comp.value);
    if (t->type == T_SET_COMP) {
        return type_set(k->a, value);
    }
    if (t->type == T_ARRAY_COMP) {
        return type_array(k->a, (struct type_list){0}, value);
    }
    return type_open_object(k->a, NULL, 0, infer(k, t->comp.key), value);
}

static struct remembered *recall(struct checker *k, const struct term *comp)
{
    struct remembered **at = &k->remembered;
    for (struct remembered *r = k->remembered; r != NULL; at = &r->next, r = r->next) {
        if (r->comp == comp && r->env == k->env && r->stamp == k->stamp) {
            *at = r->next; /* to the front, where the caller looks */
            r->next = k->remembered;
            k->remembered = r;
            return r;
        }
    }
    return NULL;
}

const struct type *check_comprehension(struct checker *k, const struct term *comp)
{
    struct remembered *r = recall(k, comp);
    if (r != NULL) {
        return r->type;
    }
    struct rego_errors outer = k->errors;
    size_t changes = k->n_changes;
    uint64_t stamp = k->stamp;
    k->errors = (struct rego_errors){.a = k->a};
    check_body(k, comp->comp.body);
    const struct type *t = k->errors.n == 0 ? type_of_comprehension(k, comp) : NULL;
    r = arena_new(k->a, struct remembered);
    *r = (struct remembered){comp, k->env, stamp, t, k->errors, NULL};
    k->errors = outer;
    vars_restore(k, changes, stamp);
    r->next = k->remembered;
    k->remembered = r;
    return t;
}

/* ---- with ---- */

struct relaxing {
    struct checker *k;
    struct type_tree *tree;
    const struct node *except;
};

static size_t path_of(struct arena *a, const struct node *n, struct val **path)
{
    size_t len = n->depth + 1;
    *path = arena_array(a, struct val, len);
    for (; n->parent != NULL; n = n->parent) {
        (*path)[n->depth] = n->key;
    }
    (*path)[0] = val_str(a, S("data"));
    return len;
}

static void relax(void *ctx, struct crule *cr)
{
    struct relaxing *r = ctx;
    struct val *path;
    if (cr->node == r->except) {
        return;
    }
    if (r->tree == NULL) {
        r->tree = type_tree_new(r->k->a);
    }
    size_t n = path_of(r->k->a, cr->node, &path);
    type_tree_put(r->k->a, r->tree, path, n, type_any());
}

static const struct node *node_named(struct checker *k, const struct term *ref)
{
    const struct node *n = k->c->p->root;
    for (size_t i = 1; n != NULL && i < ref->list.n; i++) {
        struct val key = term_const(k->a, ref->list.v[i]);
        n = val_undef(key) ? NULL : node_child(n, key);
    }
    return n;
}

/* What depends on a replaced document may be anything. Made once for each target. */
static struct type_tree *relaxed_by(struct checker *k, const struct term *target, bool func)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_puts(&b, func ? S("f:") : S("d:"));
    term_write(&b, target);
    struct type_tree *t = map_get(k->relaxed, buf_str(&b));
    if (t == NULL) {
        struct relaxing r = {.k = k, .except = func ? node_named(k, target) : NULL};
        if (k->c->query) { /* nobody knows what depends on it */
            struct val data = val_str(k->a, S("data"));
            r.tree = type_tree_new(k->a);
            type_tree_put(k->a, r.tree, &data, 1, type_any());
        } else {
            types_dependents(k->c, target, relax, &r);
        }
        t = r.tree != NULL ? r.tree : type_tree_new(k->a);
        map_set(k->relaxed, buf_str(&b), t);
    }
    buf_release(&b);
    return t->n > 0 ? t : NULL;
}

static struct type_env *layer(struct checker *k, struct type_env *next, struct type_tree *tree)
{
    struct type_env *env = arena_new(k->a, struct type_env);
    *env = (struct type_env){next, tree};
    return env;
}

static size_t constant_prefix(struct checker *k, const struct term *t, struct val *path)
{
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    size_t n = 0;
    path[n++] = val_str(k->a, head->var.name);
    for (size_t i = 1; t->type == T_REF && i < t->list.n; i++) {
        path[n] = term_const(k->a, t->list.v[i]);
        if (val_undef(path[n])) {
            break;
        }
        n++;
    }
    return n;
}

static void replace(struct checker *k, struct type_env *env, const struct with *w,
                    struct type_tree *tree)
{
    const struct term *target = w->target;
    const struct term *head = target->type == T_REF ? target->list.v[0] : target;
    if (!is_input_or_data(head)) {
        return;
    }
    const struct type *was = infer(k, target), *value = infer(k, w->value), *type = NULL;
    if (type_is(was, TY_FUNC)) {
        return;
    }
    size_t terms = target->type == T_REF ? target->list.n : 1;
    struct val *path = arena_array(k->a, struct val, terms + 1);
    size_t n = constant_prefix(k, target, path);
    if (n == terms && was != NULL && value != NULL) {
        type = type_or(k->a, was, value);
    }
    type_tree_put(k->a, tree, path, n, type != NULL ? type : type_any());
    (void)env;
}

/* The layers of an expression with modifiers; replaced documents stand innermost. */
static struct type_env *with_env(struct checker *k, const struct expr *e)
{
    struct type_env *env = k->env;
    struct type_tree *replaced = type_tree_new(k->a);
    for (size_t i = 0; i < e->n_with; i++) {
        const struct term *target = e->with[i]->target;
        const struct term *head = target->type == T_REF ? target->list.v[0] : target;
        if (is_input_or_data(head) && str_is(head->var.name, "data") && target->type == T_REF) {
            bool func = type_is(infer(k, target), TY_FUNC);
            struct type_tree *t = relaxed_by(k, target, func);
            env = t != NULL ? layer(k, env, t) : env;
        }
        replace(k, env, e->with[i], replaced);
    }
    return replaced->n > 0 ? layer(k, env, replaced) : env;
}

/* ---- Bodies ---- */

static bool check_refs_of_term(struct visitor *v, struct term *t)
{
    struct checker *k = v->ctx;
    if (t->type >= T_ARRAY_COMP && t->type <= T_OBJECT_COMP) {
        return false;
    }
    if (t->type == T_REF) {
        check_ref(k, t);
    }
    return true;
}

static bool check_refs_of_expr(struct visitor *v, struct expr *e)
{
    if (e->kind != E_TERM) {
        return true;
    }
    if (e->term->type == T_CALL) {
        for (size_t i = 1; i < e->term->list.n; i++) {
            visit_term(v, e->term->list.v[i]);
        }
    } else {
        visit_term(v, e->term);
    }
    return false;
}

static void check_statement(struct checker *k, struct expr *e)
{
    struct rego_errors before = k->errors;
    struct type_env *env = k->env;
    if (e->n_with > 0) {
        k->env = with_env(k, e);
    }
    k->errors = (struct rego_errors){.a = k->a};
    struct visitor closures = {.term = collect_comprehension, .ctx = k};
    visit_expr(&closures, e);
    struct visitor refs = {.expr = check_refs_of_expr, .term = check_refs_of_term, .ctx = k};
    visit_expr(&refs, e);
    struct told told = {.better = k->errors.n > 0};
    check_expr(k, e, &told);
    k->env = env;
    for (size_t i = 0; i < k->errors.n; i++) {
        before.v =
            arena_grow(k->a, before.v, before.n, before.n + 1, &before.cap, sizeof *before.v);
        before.v[before.n++] = k->errors.v[i];
    }
    k->errors = before;
}

void check_body(struct checker *k, const struct body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        check_statement(k, b->v[i]);
    }
}
