/* Types of terms from what is known of variables and documents. */
#include "authz/rego/types/check_priv.h"

#include "authz/rego/types/signature.h"

bool is_input_or_data(const struct term *t)
{
    return t->type == T_VAR && t->var.local == NULL &&
           (str_is(t->var.name, "input") || str_is(t->var.name, "data"));
}

const struct type *var_type(const struct checker *k, const struct local *l)
{
    return l->id < k->n_vars ? k->vars[l->id] : NULL;
}

void var_set(struct checker *k, const struct local *l, const struct type *t)
{
    if (l->id >= k->n_vars) {
        size_t n = (size_t)l->id + 1;
        k->vars = arena_grow(k->a, k->vars, k->n_vars, n, &k->cap_vars, sizeof *k->vars);
        memset(k->vars + k->n_vars, 0, (n - k->n_vars) * sizeof *k->vars);
        k->n_vars = n;
    }
    k->changes = arena_grow(k->a, k->changes, k->n_changes, k->n_changes + 1, &k->cap_changes,
                            sizeof *k->changes);
    k->changes[k->n_changes++] = (struct var_change){l->id, k->vars[l->id]};
    k->vars[l->id] = t;
    k->stamp++;
}

void vars_restore(struct checker *k, size_t changes, uint64_t stamp)
{
    while (k->n_changes > changes) {
        const struct var_change *x = &k->changes[--k->n_changes];
        k->vars[x->id] = x->before;
    }
    k->stamp = stamp;
}

static const struct type *infer_array(struct checker *k, const struct term *t)
{
    struct type_list l = {arena_array(k->a, const struct type *, t->list.n + 1), t->list.n};
    for (size_t i = 0; i < l.n; i++) {
        l.v[i] = infer(k, t->list.v[i]);
    }
    return type_array(k->a, l, NULL);
}

static const struct type *infer_object(struct checker *k, const struct term *t)
{
    struct type_prop *props = arena_array(k->a, struct type_prop, t->list.n / 2 + 1);
    const struct type *key = NULL, *value = NULL;
    size_t n = 0;
    bool open = false;
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        struct val name = term_const(k->a, t->list.v[i]);
        if (val_undef(name)) {
            open = true;
            key = infer(k, t->list.v[i]);
            value = infer(k, t->list.v[i + 1]);
        } else {
            props[n].key = name;
            props[n++].value = infer(k, t->list.v[i + 1]);
        }
    }
    return open ? type_open_object(k->a, props, n, key, value) : type_object(k->a, props, n);
}

static const struct type *infer_set(struct checker *k, const struct term *t)
{
    const struct type *of = NULL;
    for (size_t i = 0; i < t->list.n; i++) {
        of = type_or(k->a, of, infer(k, t->list.v[i]));
    }
    return type_set(k->a, of);
}

const struct type *infer(struct checker *k, const struct term *t)
{
    switch (t->type) {
    case T_NULL:
        return type_null();
    case T_BOOL:
        return type_bool();
    case T_NUMBER:
        return type_number();
    case T_STRING:
    case T_TEMPLATE:
        return type_string();
    case T_VAR:
        return t->var.local != NULL  ? var_type(k, t->var.local)
               : is_input_or_data(t) ? infer_ref(k, t, 0)
                                     : infer_operator(k, t);
    case T_REF:
        return infer_ref(k, t, t->list.n);
    case T_ARRAY:
        return infer_array(k, t);
    case T_OBJECT:
        return infer_object(k, t);
    case T_SET:
        return infer_set(k, t);
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return check_comprehension(k, t);
    default:
        return NULL;
    }
}

/* What `t` is behind terms i.. of a reference. */
static const struct type *select_ref(struct checker *k, const struct type *t,
                                     const struct term *ref, size_t i, size_t n)
{
    for (; t != NULL && i < n; i++) {
        struct val key = term_const(k->a, ref->list.v[i]);
        bool scalar = ref->list.v[i]->type <= T_STRING;
        if (scalar) {
            t = type_select(k->a, t, key);
        } else if (type_is_empty(t)) {
            return type_any();
        } else {
            t = type_values(k->a, t);
        }
    }
    return t;
}

/* In one layer; *known tells whether it says anything at all. */
static const struct type *ref_in_layer(struct checker *k, const struct type_env *env,
                                       const struct term *ref, size_t n, bool *known)
{
    const struct term *head = ref->type == T_REF ? ref->list.v[0] : ref;
    const struct type_tree *t = type_tree_child(env->tree, val_str(k->a, head->var.name));
    *known = t != NULL;
    for (size_t i = 1; t != NULL; i++) {
        if (i >= n) {
            return type_tree_extent(k->a, t);
        }
        struct val key = term_const(k->a, ref->list.v[i]);
        struct type_tree *child = val_undef(key) ? NULL : type_tree_child(t, key);
        if (t->type != NULL && child == NULL) {
            return select_ref(k, t->type, ref, i, n);
        }
        if (val_undef(key)) {
            return select_ref(k, type_tree_extent(k->a, t), ref, i, n);
        }
        t = child;
    }
    *known = false;
    return NULL;
}

const struct type *infer_ref(struct checker *k, const struct term *ref, size_t n)
{
    const struct term *head = ref->type == T_REF ? ref->list.v[0] : ref;
    if (head->type == T_VAR && head->var.local != NULL) {
        const struct type *t = var_type(k, head->var.local);
        return t == NULL ? NULL : select_ref(k, t, ref, 1, n);
    }
    if (head->type != T_VAR) {
        return NULL;
    }
    if (!is_input_or_data(head)) {
        return infer_operator(k, ref);
    }
    for (const struct type_env *env = k->env; env != NULL; env = env->next) {
        bool known;
        const struct type *t = ref_in_layer(k, env, ref, n, &known);
        if (known) {
            return t;
        }
    }
    return type_any();
}

/* Of a builtin that the embedding program added: anything in, anything out. */
static const struct type *any_function(struct arena *a, int arity)
{
    const struct type **args = arena_array(a, const struct type *, (size_t)arity + 1);
    for (int i = 0; i < arity; i++) {
        args[i] = type_any();
    }
    return type_func(a, (struct type_list){args, (size_t)arity}, type_any());
}

static const struct type *builtin_type(struct checker *k, struct str name)
{
    const struct type *t = map_get(k->signatures, name);
    const struct signature *s = t == NULL ? signature_find(name) : NULL;
    const struct builtin *b = t == NULL ? builtin_find(name) : NULL;
    if (b != NULL) {
        t = s != NULL ? signature_type(k->a, s) : any_function(k->a, b->arity);
        map_set(k->signatures, name, (void *)(uintptr_t)t);
    }
    return t;
}

const struct type *infer_operator(struct checker *k, const struct term *op)
{
    const struct term *head = op->type == T_REF ? op->list.v[0] : op;
    if (head->type != T_VAR || head->var.local != NULL) {
        return head->type == T_VAR ? infer(k, op) : NULL;
    }
    if (is_input_or_data(head)) {
        return infer_ref(k, op, op->type == T_REF ? op->list.n : 0);
    }
    struct term *slot = (struct term *)(uintptr_t)op;
    struct term call = {.type = T_CALL};
    call.list.v = &slot;
    call.list.n = 1;
    return builtin_type(k, term_call_name(k->a, &call));
}
