/* Aggregates, arrays and sets. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/value/utf8.h"

#include <stdlib.h>

static enum b_status b_count(struct bcall *b)
{
    struct val v = b->args[0];
    if (val_is(v, V_STRING)) {
        return b_out(b, val_int(b->a, (int64_t)utf8_count(val_text(v))));
    }
    if (!val_is_collection(v)) {
        return b_type(b, 1, "one of {array, object, set, string}");
    }
    return b_out(b, val_int(b->a, val_len(v)));
}

static bool is_list(struct val v)
{
    return val_is(v, V_ARRAY) || val_is(v, V_SET);
}

static enum b_status item_type(struct bcall *b, struct val item)
{
    return b_type_of_item(b, 1, val_is(b->args[0], V_ARRAY) ? "array of numbers" : "set of numbers",
                          item);
}

/* A whole number that is written with a point or an exponent, as its digits alone. */
static struct num in_full(struct arena *a, struct num n)
{
    struct num r;
    if (num_written_as_int(n) || failed(num_mul_exact(a, n, num_int(1), &r))) {
        return n;
    }
    struct str text = num_text(a, r);
    text = str_sub(text, 0, str_find_char(text, '.'));
    return failed(num_parse(str_is(text, "-0") ? S("0") : text, &r)) ? n : r;
}

/* A list that holds a fraction is summed in binary floats from its first number on. */
static struct err add(struct arena *a, bool exact, struct num x, struct num y, struct num *out)
{
    if (exact) {
        return num_add(a, x, y, out);
    }
    TRY(num_div(a, y, num_int(1), &y));
    TRY(num_add(a, x, y, out));
    return num_div(a, *out, num_int(1), out);
}

static enum b_status fold(struct bcall *b, struct num start, bool product)
{
    struct val v = b->args[0];
    if (!is_list(v)) {
        return b_type(b, 1, "one of {set, array}");
    }
    struct num r = start;
    bool exact = true;
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val item = val_nth(v, i);
        if (!val_is(item, V_NUMBER)) {
            return item_type(b, item);
        }
        exact &= num_is_integral(val_number(item));
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct num n = val_number(val_nth(v, i));
        n = exact ? in_full(b->a, n) : n;
        struct err e = !product ? add(b->a, exact, r, n, &r)
                       : exact  ? num_mul(b->a, r, n, &r)
                                : num_mul53(b->a, r, n, &r);
        if (failed(e)) {
            return b_fail_err(b, e);
        }
    }
    return b_out(b, val_num(b->a, r));
}

static enum b_status b_sum(struct bcall *b)
{
    return fold(b, num_int(0), false);
}
static enum b_status b_product(struct bcall *b)
{
    return fold(b, num_int(1), true);
}

static enum b_status extreme(struct bcall *b, int sign)
{
    struct val v = b->args[0], best = VAL_UNDEF;
    if (!is_list(v)) {
        return b_type(b, 1, "one of {set, array}");
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val item = val_nth(v, i);
        if (val_undef(best) || val_cmp(item, best) * sign > 0) {
            best = item;
        }
    }
    return val_undef(best) ? B_UNDEF : b_out(b, best);
}

static enum b_status b_max(struct bcall *b)
{
    return extreme(b, 1);
}
static enum b_status b_min(struct bcall *b)
{
    return extreme(b, -1);
}

static int by_value(const void *x, const void *y)
{
    return val_cmp(*(const struct val *)x, *(const struct val *)y);
}

static enum b_status b_sort(struct bcall *b)
{
    struct val v = b->args[0];
    if (!is_list(v)) {
        return b_type(b, 1, "one of {set, array}");
    }
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        vlist_add(&l, val_nth(v, i));
    }
    if (l.n > 1) {
        qsort(l.v, l.n, sizeof *l.v, by_value);
    }
    return b_out(b, vlist_array(&l));
}

static enum b_status b_all(struct bcall *b)
{
    struct val v = b->args[0];
    if (!is_list(v)) {
        return b_type(b, 1, "one of {array, set}");
    }
    bool all = true;
    for (uint32_t i = 0; i < val_len(v); i++) {
        all &= val_is_true(val_nth(v, i));
    }
    return b_out(b, val_bool(all));
}

static enum b_status b_any(struct bcall *b)
{
    struct val v = b->args[0];
    if (!is_list(v)) {
        return b_type(b, 1, "one of {array, set}");
    }
    bool any = false;
    for (uint32_t i = 0; i < val_len(v); i++) {
        any |= val_is_true(val_nth(v, i));
    }
    return b_out(b, val_bool(any));
}

static enum b_status b_concat_arrays(struct bcall *b)
{
    struct vlist l = {.a = b->a};
    if (!b_is(b, 1, V_ARRAY) || !b_is(b, 2, V_ARRAY)) {
        return B_ERROR;
    }
    for (int k = 0; k < 2; k++) {
        for (uint32_t i = 0; i < val_len(b->args[k]); i++) {
            vlist_add(&l, val_nth(b->args[k], i));
        }
    }
    return b_out(b, vlist_array(&l));
}

static enum b_status b_flatten(struct bcall *b)
{
    struct vlist l = {.a = b->a};
    if (!b_is(b, 1, V_ARRAY)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        struct val item = val_nth(b->args[0], i);
        if (!val_is(item, V_ARRAY)) {
            vlist_add(&l, item);
            continue;
        }
        for (uint32_t k = 0; k < val_len(item); k++) {
            vlist_add(&l, val_nth(item, k));
        }
    }
    return b_out(b, vlist_array(&l));
}

static enum b_status b_reverse(struct bcall *b)
{
    struct vlist l = {.a = b->a};
    if (!b_is(b, 1, V_ARRAY)) {
        return B_ERROR;
    }
    for (uint32_t i = val_len(b->args[0]); i > 0; i--) {
        vlist_add(&l, val_nth(b->args[0], i - 1));
    }
    return b_out(b, vlist_array(&l));
}

static enum b_status b_slice(struct bcall *b)
{
    int64_t from, to;
    if (!b_is(b, 1, V_ARRAY) || !b_int(b, 2, &from) || !b_int(b, 3, &to)) {
        return B_ERROR;
    }
    int64_t n = val_len(b->args[0]);
    from = MAX(from, (int64_t)0);
    to = MIN(to, n);
    if (from >= to) {
        return b_out(b, val_empty_array());
    }
    return b_out(b, val_array(b->a, val_arr(b->args[0])->v + from, (size_t)(to - from)));
}

static void add_items(struct vlist *l, struct val set)
{
    for (uint32_t i = 0; i < val_len(set); i++) {
        vlist_add(l, val_nth(set, i));
    }
}

static struct val both(struct arena *a, struct val x, struct val y)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(x); i++) {
        if (val_has(y, val_nth(x, i))) {
            vlist_add(&l, val_nth(x, i));
        }
    }
    return vlist_set(&l);
}

static enum b_status b_and(struct bcall *b)
{
    if (!b_is(b, 1, V_SET) || !b_is(b, 2, V_SET)) {
        return B_ERROR;
    }
    return b_out(b, both(b->a, b->args[0], b->args[1]));
}

static enum b_status b_or(struct bcall *b)
{
    struct vlist l = {.a = b->a};
    if (!b_is(b, 1, V_SET) || !b_is(b, 2, V_SET)) {
        return B_ERROR;
    }
    add_items(&l, b->args[0]);
    add_items(&l, b->args[1]);
    return b_out(b, vlist_set(&l));
}

static bool sets_inside(struct bcall *b)
{
    if (!b_is(b, 1, V_SET)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        if (!val_is(val_nth(b->args[0], i), V_SET)) {
            (void)b_type_of_item(b, 1, "set of sets", val_nth(b->args[0], i));
            return false;
        }
    }
    return true;
}

static enum b_status b_union(struct bcall *b)
{
    struct vlist l = {.a = b->a};
    if (!sets_inside(b)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        add_items(&l, val_nth(b->args[0], i));
    }
    return b_out(b, vlist_set(&l));
}

static enum b_status b_intersection(struct bcall *b)
{
    if (!sets_inside(b)) {
        return B_ERROR;
    }
    struct val r = val_len(b->args[0]) > 0 ? val_nth(b->args[0], 0) : val_empty_set();
    for (uint32_t i = 1; i < val_len(b->args[0]); i++) {
        r = both(b->a, r, val_nth(b->args[0], i));
    }
    return b_out(b, r);
}

const struct builtin builtins_collection[] = {
    {"count", 1, b_count, BF_CHEAP},
    {"sum", 1, b_sum, 0},
    {"product", 1, b_product, 0},
    {"max", 1, b_max, 0},
    {"min", 1, b_min, 0},
    {"sort", 1, b_sort, 0},
    {"all", 1, b_all, BF_DEPRECATED},
    {"any", 1, b_any, BF_DEPRECATED},
    {"array.concat", 2, b_concat_arrays, 0},
    {"array.flatten", 1, b_flatten, 0},
    {"array.reverse", 1, b_reverse, 0},
    {"array.slice", 3, b_slice, 0},
    {"and", 2, b_and, 0},
    {"or", 2, b_or, 0},
    {"union", 1, b_union, 0},
    {"intersection", 1, b_intersection, 0},
    {0},
};
