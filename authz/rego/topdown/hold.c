/* What can never be true, as far as the shape of terms tells. */
#include "authz/rego/topdown/save.h"

enum shape { SHAPE_ANY, SHAPE_SCALAR, SHAPE_ARRAY, SHAPE_OBJECT, SHAPE_SET };

static enum shape shape_of(const struct tt *t)
{
    switch (t->kind) {
    case TT_VAL:
        return val_is(t->v, V_ARRAY)    ? SHAPE_ARRAY
               : val_is(t->v, V_OBJECT) ? SHAPE_OBJECT
               : val_is(t->v, V_SET)    ? SHAPE_SET
                                        : SHAPE_SCALAR;
    case TT_ARRAY:
    case TT_ARRAY_COMP:
        return SHAPE_ARRAY;
    case TT_OBJECT:
    case TT_OBJECT_COMP:
        return SHAPE_OBJECT;
    case TT_SET:
    case TT_SET_COMP:
        return SHAPE_SET;
    default:
        return SHAPE_ANY;
    }
}

static bool never_equal(struct td *td, const struct tt *a, const struct tt *b);

/* Keys and values by turns; NULL when a key is not constant. */
static struct tt **members(struct td *td, const struct tt *t, size_t *n)
{
    if (t->kind != TT_VAL) {
        *n = t->list.n;
        for (size_t i = 0; i < *n; i += 2) {
            if (t->list.v[i]->kind != TT_VAL) {
                return NULL;
            }
        }
        return t->list.v;
    }
    *n = 2 * (size_t)val_len(t->v);
    struct tt **v = arena_array(td->a, struct tt *, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        v[i] = tt_val(td->a, val_tab(t->v)->v[i], t->loc);
    }
    return v;
}

/* Objects whose keys are all constant must have the same ones. */
static bool objects_differ(struct td *td, const struct tt *a, const struct tt *b)
{
    size_t n, m;
    struct tt **x = members(td, a, &n), **y = members(td, b, &m);
    if (x == NULL || y == NULL) {
        return false;
    }
    if (n != m) {
        return true;
    }
    for (size_t i = 0; i < n; i += 2) {
        if (!tt_same(x[i], y[i]) || never_equal(td, x[i + 1], y[i + 1])) {
            return true;
        }
    }
    return false;
}

static bool no_pair(struct td *td, const struct tt *a, const struct tt *b)
{
    size_t n, m;
    struct tt **x = tt_elements(td, a, &n), **y = tt_elements(td, b, &m);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < m; k++) {
            if (!never_equal(td, x[i], y[k])) {
                return false;
            }
        }
    }
    return n > 0 && m > 0;
}

static bool never_equal(struct td *td, const struct tt *a, const struct tt *b)
{
    enum shape sa = shape_of(a), sb = shape_of(b);
    if (sa == SHAPE_ANY || sb == SHAPE_ANY) {
        return false;
    }
    if (sa != sb) {
        return true;
    }
    if (tt_is_comp(a) || tt_is_comp(b)) {
        return false;
    }
    if (sa == SHAPE_SCALAR) {
        return val_type(a->v) != val_type(b->v);
    }
    if (sa == SHAPE_OBJECT) {
        return objects_differ(td, a, b);
    }
    if (sa == SHAPE_SET) {
        return no_pair(td, a, b);
    }
    size_t n, m;
    struct tt **x = tt_elements(td, a, &n), **y = tt_elements(td, b, &m);
    for (size_t i = 0; n == m && i < n; i++) {
        if (never_equal(td, x[i], y[i])) {
            return true;
        }
    }
    return n != m;
}

bool may_hold(struct td *td, const struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        const struct texpr *x = b->v[i];
        if (x->eq && never_equal(td, x->t[1], x->t[2])) {
            return false;
        }
    }
    return true;
}
