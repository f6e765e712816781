/* References: does what they name have such keys? */
#include "authz/rego/types/check_priv.h"

#include <stdlib.h>

static bool is_var(const struct term *t)
{
    return t->type == T_VAR && t->var.local != NULL;
}

static int by_value(const void *x, const void *y)
{
    const struct val *a = x, *b = y;
    return val_cmp(*a, *b);
}

/* A sorted array without duplicates. */
static struct val sorted(struct vlist *l)
{
    struct vlist out = {.a = l->a};
    if (l->n > 1) {
        qsort(l->v, l->n, sizeof *l->v, by_value);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (i == 0 || !val_eq(l->v[i - 1], l->v[i])) {
            vlist_add(&out, l->v[i]);
        }
    }
    return vlist_array(&out);
}

static void keys_of(struct vlist *l, const struct type *t)
{
    t = type_plain(t);
    for (size_t i = 0; type_is(t, TY_OBJECT) && i < t->object.n; i++) {
        vlist_add(l, t->object.props[i].key);
    }
    for (size_t i = 0; type_is(t, TY_ANY) && i < t->any.n; i++) {
        keys_of(l, t->any.v[i]);
    }
}

static struct val keys_of_type(struct checker *k, const struct type *t)
{
    struct vlist l = {.a = k->a};
    keys_of(&l, t);
    return sorted(&l);
}

static struct val keys_of_tree(struct checker *k, const struct type_tree *t)
{
    struct vlist l = {.a = k->a};
    for (size_t i = 0; i < t->n; i++) {
        vlist_add(&l, t->children[i]->key);
    }
    return sorted(&l);
}

/* One key of a collection that holds nothing. */
static bool check_empty(struct checker *k, const struct type *t, const struct term *ref, size_t i)
{
    const struct term *key = ref->list.v[i];
    if (key->type <= T_STRING) {
        error_ref(k, ref, i, NULL, NULL, VAL_UNDEF);
        return false;
    }
    if (!is_var(key)) {
        return true;
    }
    const struct type *known = var_type(k, key->var.local), *keys = type_keys(k->a, t);
    if (known == NULL) {
        var_set(k, key->var.local, type_any());
    } else if (keys != NULL && !unifies(known, keys)) {
        error_ref(k, ref, i, known, keys, VAL_UNDEF);
        return false;
    }
    return true;
}

/* One key of a collection: the type behind it, or NULL after an error. */
static const struct type *check_key(struct checker *k, const struct type *t, const struct term *ref,
                                    size_t i)
{
    const struct term *key = ref->list.v[i];
    const struct type *keys = type_keys(k->a, t), *known;
    if (keys == NULL) {
        error_ref_unsupported(k, ref, i - 1, t);
        return NULL;
    }
    switch (key->type) {
    case T_VAR:
    case T_REF:
        known = infer(k, key);
        if (known == NULL && is_var(key)) {
            var_set(k, key->var.local, keys);
        } else if (known != NULL && !unifies(known, keys)) {
            error_ref(k, ref, i, known, keys, keys_of_type(k, t));
            return NULL;
        }
        return type_values(k->a, t);
    case T_ARRAY:
    case T_OBJECT:
    case T_SET:
        if (!unify_term(k, key, keys, false)) {
            error_ref(k, ref, i, infer(k, key), keys, VAL_UNDEF);
            return NULL;
        }
        return type_values(k->a, t);
    default:
        known = type_select(k->a, t, term_const(k->a, key));
        if (known == NULL) {
            error_ref(k, ref, i, NULL, keys, keys_of_type(k, t));
        }
        return known;
    }
}

static void check_below(struct checker *k, const struct type *t, const struct term *ref, size_t i)
{
    for (; i < ref->list.n; i++) {
        if (type_is_empty(t)) {
            check_empty(k, t, ref, i);
            return;
        }
        t = check_key(k, t, ref, i);
        if (t == NULL) {
            return;
        }
    }
}

static bool check_var_key(struct checker *k, const struct type_tree *t, const struct term *ref,
                          size_t i)
{
    const struct term *key = ref->list.v[i];
    const struct type *keys = type_tree_keys(k->a, t), *known = var_type(k, key->var.local);
    if (known == NULL) {
        var_set(k, key->var.local, keys);
    } else if (!unifies(keys, known)) {
        error_ref(k, ref, i, known, keys, keys_of_tree(k, t));
        return false;
    }
    return true;
}

/* In one layer. False: it does not know of the document, ask the next one. */
static bool check_in_layer(struct checker *k, const struct type_env *env, const struct term *ref)
{
    const struct type_tree *t = type_tree_child(env->tree, val_str(k->a, ref->list.v[0]->var.name));
    if (t == NULL) {
        return false;
    }
    for (size_t i = 1; i < ref->list.n; i++) {
        const struct term *key = ref->list.v[i];
        if (t->type != NULL) {
            check_below(k, t->type, ref, i);
            return true;
        }
        if (i <= 2 && key->type != T_STRING && !is_var(key)) {
            error_ref(k, ref, i, infer(k, key), type_string(), keys_of_tree(k, t));
            return true;
        }
        if (is_var(key) && !check_var_key(k, t, ref, i)) {
            return true;
        }
        struct val name = term_const(k->a, key);
        const struct type_tree *child = val_undef(name) ? NULL : type_tree_child(t, name);
        if (child == NULL) {
            return false;
        }
        t = child;
    }
    return true;
}

void check_ref(struct checker *k, const struct term *ref)
{
    const struct term *head = ref->list.v[0];
    const struct type *t = infer(k, ref);
    if (type_is(t, TY_FUNC)) {
        error_ref_unsupported(k, ref, ref->list.n - 1, t);
        return;
    }
    if (is_var(head)) {
        if (var_type(k, head->var.local) == NULL) {
            var_set(k, head->var.local, type_any());
        }
        check_below(k, var_type(k, head->var.local), ref, 1);
        return;
    }
    for (const struct type_env *env = k->env; env != NULL; env = env->next) {
        if (is_input_or_data(head) && check_in_layer(k, env, ref)) {
            return;
        }
    }
    check_below(k, type_any(), ref, 1);
}
