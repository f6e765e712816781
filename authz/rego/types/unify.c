/* Whether two types can be of one value, and what unification tells about variables. */
#include "authz/rego/types/check_priv.h"

static bool any_unifies(const struct type *any, const struct type *t)
{
    if (t->kind == TY_FUNC) {
        return false;
    }
    for (size_t i = 0; i < any->any.n; i++) {
        if (unifies(any->any.v[i], t)) {
            return true;
        }
    }
    return any->any.n == 0;
}

static bool items_unify(const struct type *x, const struct type *y)
{
    size_t n = MAX(x->array.items.n, y->array.items.n);
    for (size_t i = 0; i < n; i++) {
        const struct type *a = i < x->array.items.n ? x->array.items.v[i] : x->array.rest;
        const struct type *b = i < y->array.items.n ? y->array.items.v[i] : y->array.rest;
        if (!unifies(a, b)) {
            return false;
        }
    }
    return x->array.rest == NULL || y->array.rest == NULL || unifies(x->array.rest, y->array.rest);
}

static bool props_unify(const struct type *x, const struct type *y)
{
    bool open = x->object.open || y->object.open;
    struct arena a;
    arena_init(&a, 1 << 20);
    bool ok = true;
    for (size_t i = 0; i < x->object.n && ok; i++) {
        const struct type *other = type_select(&a, y, x->object.props[i].key);
        ok = other == NULL ? open : unifies(x->object.props[i].value, other);
    }
    arena_release(&a);
    return ok;
}

static bool objects_unify(const struct type *x, const struct type *y)
{
    return props_unify(x, y) && props_unify(y, x) &&
           (!x->object.open || !y->object.open || x->object.value == NULL ||
            y->object.value == NULL || unifies(x->object.value, y->object.value));
}

static bool funcs_unify(const struct type *x, const struct type *y)
{
    if (x->func.args.n != y->func.args.n) {
        return false;
    }
    for (size_t i = 0; i < x->func.args.n; i++) {
        if (!unifies(x->func.args.v[i], y->func.args.v[i])) {
            return false;
        }
    }
    return true;
}

bool unifies(const struct type *x, const struct type *y)
{
    if (x == NULL || y == NULL) {
        return false;
    }
    if (x == y || (x->kind == TY_RECURSIVE && y->kind == TY_RECURSIVE &&
                   str_eq(x->recursive.name, y->recursive.name))) {
        return x->kind != TY_FUNC || funcs_unify(x, y);
    }
    x = type_plain(x), y = type_plain(y);
    if (x->kind == TY_ANY || y->kind == TY_ANY) {
        return (x->kind == TY_ANY && any_unifies(x, y)) || (y->kind == TY_ANY && any_unifies(y, x));
    }
    if (x->kind != y->kind) {
        return false;
    }
    switch (x->kind) {
    case TY_ARRAY:
        return items_unify(x, y);
    case TY_OBJECT:
        return objects_unify(x, y);
    case TY_SET: /* the empty set is one of every type of sets */
        return x->of == NULL || y->of == NULL || unifies(x->of, y->of);
    case TY_FUNC:
        return funcs_unify(x, y);
    default:
        return true;
    }
}

static bool unify_list(struct checker *k, const struct term *t, const struct type *type, bool join)
{
    if (t->list.n != type->array.items.n && type->array.rest == NULL) {
        return false;
    }
    for (size_t i = 0; i < t->list.n; i++) {
        const struct type *item =
            i < type->array.items.n ? type->array.items.v[i] : type->array.rest;
        if (!unify_term(k, t->list.v[i], item, join)) {
            return false;
        }
    }
    return true;
}

static bool unify_object(struct checker *k, const struct term *t, const struct type *type,
                         bool join)
{
    if (t->list.n / 2 != type->object.n && !(type->object.open && type->object.value != NULL)) {
        return false;
    }
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        struct val key = term_const(k->a, t->list.v[i]);
        if (val_undef(key)) { /* under a key that is not known anything may stand */
            unify_term(k, t->list.v[i + 1], type_any(), join);
            continue;
        }
        const struct type *value = type_select(k->a, type, key);
        if (value == NULL || !unify_term(k, t->list.v[i + 1], value, join)) {
            return false;
        }
    }
    return true;
}

static bool unify_set(struct checker *k, const struct term *t, const struct type *type, bool join)
{
    for (size_t i = 0; i < t->list.n; i++) {
        if (!unify_term(k, t->list.v[i], type->of, join)) {
            return false;
        }
    }
    return true;
}

static bool unify_composite_any(struct checker *k, const struct term *t, const struct type *any)
{
    if (any->any.n == 0) {
        for (size_t i = 0; i < t->list.n; i++) {
            unify_term(k, t->list.v[i], any, true);
        }
        return true;
    }
    bool ok = false;
    for (size_t i = 0; i < any->any.n; i++) {
        ok |= unify_term(k, t, any->any.v[i], true);
    }
    return ok;
}

static bool unify_composite(struct checker *k, const struct term *t, const struct type *type,
                            bool join)
{
    bool recursive = type_is(type, TY_RECURSIVE) && t->type != T_SET;
    type = recursive ? type_plain(type) : type;
    if (type_is(type, TY_ANY) && !recursive) {
        return unify_composite_any(k, t, type);
    }
    switch (t->type) {
    case T_ARRAY:
        return type_is(type, TY_ARRAY) && unify_list(k, t, type, join);
    case T_OBJECT:
        return type_is(type, TY_OBJECT) && unify_object(k, t, type, join);
    default:
        return type_is(type, TY_SET) && unify_set(k, t, type, join);
    }
}

static bool unify_var(struct checker *k, const struct local *l, const struct type *type, bool join)
{
    const struct type *known = var_type(k, l);
    if (join) {
        var_set(k, l, type_or(k->a, known, type));
        return true;
    }
    if (known != NULL) {
        return unifies(known, type);
    }
    var_set(k, l, type);
    return true;
}

bool unify_term(struct checker *k, const struct term *t, const struct type *type, bool join)
{
    switch (t->type) {
    case T_ARRAY:
    case T_OBJECT:
    case T_SET:
        return unify_composite(k, t, type, join);
    case T_VAR:
        if (t->var.local != NULL) {
            return unify_var(k, t->var.local, type, join);
        }
        return unifies(infer(k, t), type);
    default:
        return unifies(infer(k, t), type);
    }
}

static bool unify_arrays(struct checker *k, const struct term *x, const struct term *y)
{
    bool ok = x->list.n == y->list.n;
    for (size_t i = 0; i < x->list.n && ok; i++) {
        const struct term *a = x->list.v[i], *b = y->list.v[i];
        ok = unify_terms(k, a, infer(k, a), b, infer(k, b));
    }
    return ok;
}

static const struct term *member(struct checker *k, const struct term *object, struct val key)
{
    for (size_t i = 0; i + 1 < object->list.n; i += 2) {
        struct val other = term_const(k->a, object->list.v[i]);
        if (!val_undef(other) && val_eq(other, key)) {
            return object->list.v[i + 1];
        }
    }
    return NULL;
}

static bool unify_objects(struct checker *k, const struct term *x, const struct term *y)
{
    bool ok = x->list.n == y->list.n;
    for (size_t i = 0; i + 1 < x->list.n && ok; i += 2) {
        struct val key = term_const(k->a, x->list.v[i]);
        const struct term *a = x->list.v[i + 1];
        const struct term *b = val_undef(key) ? NULL : member(k, y, key);
        ok = b != NULL && unify_terms(k, a, infer(k, a), b, infer(k, b));
    }
    return ok;
}

static bool is_var(const struct term *t)
{
    return t->type == T_VAR && t->var.local != NULL;
}

/* A composite of which parts are not known, and a variable or a composite of the same kind. */
static bool unify_parts(struct checker *k, const struct term *x, const struct term *y)
{
    if (is_var(y)) {
        return unify_term(k, x, type_any(), false) && unify_term(k, y, infer(k, x), false);
    }
    if (x->type != y->type) {
        return false;
    }
    return x->type == T_ARRAY ? unify_arrays(k, x, y) : unify_objects(k, x, y);
}

bool unify_terms(struct checker *k, const struct term *x, const struct type *tx,
                 const struct term *y, const struct type *ty)
{
    bool no_x = type_unknown(tx), no_y = type_unknown(ty);
    if (!no_x || !no_y) {
        return no_x   ? unify_term(k, x, ty, false)
               : no_y ? unify_term(k, y, tx, false)
                      : unifies(tx, ty);
    }
    if (x->type == T_ARRAY || x->type == T_OBJECT) {
        return unify_parts(k, x, y);
    }
    if (is_var(x) && is_var(y)) {
        return unify_term(k, x, type_any(), false) && unify_term(k, y, infer(k, x), false);
    }
    if (is_var(x) && (y->type == T_ARRAY || y->type == T_OBJECT)) {
        return unify_parts(k, y, x);
    }
    if (is_var(x) && y->type == T_REF) {
        return unify_term(k, x, type_any(), false);
    }
    if (x->type == T_REF && is_var(y)) {
        return unify_term(k, y, type_any(), false);
    }
    if (is_var(x) && tx == NULL && ty != NULL) {
        return unify_term(k, x, ty, false);
    }
    return is_var(y) && ty == NULL && tx != NULL && unify_term(k, y, tx, false);
}
