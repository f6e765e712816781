/* Arithmetic, bits, and ranges of numbers. */
#include "authz/rego/builtin/builtin.h"

#include "lib/base/codec.h"

static enum b_status number(struct bcall *b, struct err e, struct num n)
{
    return failed(e) ? b_fail_err(b, e) : b_out(b, val_num(b->a, n));
}

static enum b_status arith(struct bcall *b,
                           struct err (*fn)(struct arena *, struct num, struct num, struct num *))
{
    struct num x, y, r = num_int(0);
    if (!b_number(b, 1, &x) || !b_number(b, 2, &y)) {
        return B_ERROR;
    }
    struct err e = fn(b->a, x, y, &r);
    return number(b, e, r);
}

static enum b_status b_plus(struct bcall *b)
{
    return arith(b, num_add);
}
static enum b_status b_mul(struct bcall *b)
{
    return arith(b, num_mul);
}
static enum b_status b_div(struct bcall *b)
{
    return arith(b, num_div);
}
static enum b_status b_rem(struct bcall *b)
{
    return arith(b, num_rem);
}

static enum b_status set_minus(struct bcall *b)
{
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        struct val v = val_tab(b->args[0])->v[i];
        if (!val_has(b->args[1], v)) {
            vlist_add(&l, v);
        }
    }
    return b_out(b, vlist_set(&l));
}

static enum b_status b_minus(struct bcall *b)
{
    if (val_is(b->args[0], V_SET)) {
        return b_is(b, 2, V_SET) ? set_minus(b) : B_ERROR;
    }
    if (!val_is(b->args[0], V_NUMBER)) {
        return b_type(b, 1, "one of {number, set}");
    }
    return arith(b, num_sub);
}

static enum b_status b_set_diff(struct bcall *b)
{
    return b_is(b, 1, V_SET) && b_is(b, 2, V_SET) ? set_minus(b) : B_ERROR;
}

static enum b_status unary(struct bcall *b, struct num (*fn)(struct arena *, struct num))
{
    struct num x;
    return b_number(b, 1, &x) ? b_out(b, val_num(b->a, fn(b->a, x))) : B_ERROR;
}

/* Beyond int64 the value goes through a binary float, as all arithmetic on one number does. */
static struct num absolute(struct arena *a, struct num x)
{
    struct num r = num_abs(a, x);
    if (x.kind != NUM_I64) {
        ignore_err(num_div(a, r, num_int(1), &r));
    }
    return r;
}

static enum b_status b_abs(struct bcall *b)
{
    return unary(b, absolute);
}
/* Integers beyond int64 become binary floats first, whose digits show. */
static struct num as_float(struct arena *a, struct num x)
{
    struct num r = x;
    if (x.kind == NUM_BIG) {
        ignore_err(num_parse(arena_printf(a, "%.*s.0", STR_FMT(x.text)), &r));
    }
    return r;
}

/* As upstream has it, what is between -1 and 0 has the floor 0 and the ceiling 1. */
static bool is_small_fraction(struct num x)
{
    return num_sign(x) < 0 && num_cmp(x, num_int(-1)) > 0;
}

static struct num ceil_of(struct arena *a, struct num x)
{
    return is_small_fraction(x) ? num_int(1) : num_ceil(a, as_float(a, x));
}

static struct num floor_of(struct arena *a, struct num x)
{
    return is_small_fraction(x) ? num_int(0) : num_floor(a, as_float(a, x));
}

static struct num round_of(struct arena *a, struct num x)
{
    return num_round(a, as_float(a, x));
}

static enum b_status b_ceil(struct bcall *b)
{
    return unary(b, ceil_of);
}
static enum b_status b_floor(struct bcall *b)
{
    return unary(b, floor_of);
}
static enum b_status b_round(struct bcall *b)
{
    return unary(b, round_of);
}

static bool whole(struct bcall *b, int pos, struct num *n)
{
    if (!val_is(b->args[pos - 1], V_NUMBER)) {
        (void)b_type(b, pos, "integer");
        return false;
    }
    *n = val_number(b->args[pos - 1]);
    if (!num_is_integral(*n)) {
        (void)b_operand(b, pos, "must be integer number but got floating-point number");
        return false;
    }
    return true;
}

static enum b_status bits(struct bcall *b, enum num_bit_op op)
{
    struct num x, y = num_int(0), r = num_int(0);
    bool shift = op == NUM_SHL || op == NUM_SHR;
    if (!whole(b, 1, &x) || (op != NUM_NOT && !whole(b, 2, &y))) {
        return B_ERROR;
    }
    if (shift && num_sign(y) < 0) {
        return b_operand(b, 2, "must be an unsigned integer number but got a negative integer");
    }
    struct err e = num_bits(b->a, op, x, y, &r);
    return number(b, e, r);
}

static enum b_status b_bits_and(struct bcall *b)
{
    return bits(b, NUM_AND);
}
static enum b_status b_bits_or(struct bcall *b)
{
    return bits(b, NUM_OR);
}
static enum b_status b_bits_xor(struct bcall *b)
{
    return bits(b, NUM_XOR);
}
static enum b_status b_bits_negate(struct bcall *b)
{
    return bits(b, NUM_NOT);
}
static enum b_status b_bits_lsh(struct bcall *b)
{
    return bits(b, NUM_SHL);
}
static enum b_status b_bits_rsh(struct bcall *b)
{
    return bits(b, NUM_SHR);
}

enum { RANGE_MAX = 10 * 1000 * 1000 };

static enum b_status range(struct bcall *b, struct num step)
{
    struct num x, y, at, down;
    if (!whole(b, 1, &x) || !whole(b, 2, &y)) {
        return B_ERROR;
    }
    bool falls = num_cmp(x, y) > 0;
    struct vlist l = {.a = b->a};
    struct err e = num_sub(b->a, num_int(0), step, &down);
    at = x;
    while (!failed(e) && (falls ? num_cmp(at, y) >= 0 : num_cmp(at, y) <= 0)) {
        vlist_add(&l, val_num(b->a, at));
        e = num_add(b->a, at, falls ? down : step, &at);
        if (l.n > RANGE_MAX || b_budget(b, 1)) {
            return b_fail(b, "range of more than %d numbers", RANGE_MAX);
        }
    }
    return failed(e) ? b_fail_err(b, e) : b_out(b, vlist_array(&l));
}

static enum b_status b_range(struct bcall *b)
{
    return range(b, num_int(1));
}

static enum b_status b_range_step(struct bcall *b)
{
    struct num step, unused;
    if (!whole(b, 1, &unused) || !whole(b, 2, &unused) || !whole(b, 3, &step)) {
        return B_ERROR;
    }
    if (num_sign(step) <= 0) {
        return b_fail(b, "step must be a positive integer");
    }
    return range(b, step);
}

static enum b_status b_rand_intn(struct bcall *b)
{
    struct str seed;
    int64_t n;
    if (!b_string(b, 1, &seed) || !b_int(b, 2, &n)) {
        return B_ERROR;
    }
    if (n == 0 || n == INT64_MIN) {
        return b_out(b, val_int(b->a, 0));
    }
    uint64_t r, bound = (uint64_t)(n < 0 ? -n : n);
    random_bytes(&r, sizeof r);
    return b_out(b, val_int(b->a, (int64_t)(r % bound)));
}

const struct builtin builtins_number[] = {
    {"plus", 2, b_plus, BF_CHEAP},
    {"minus", 2, b_minus, BF_CHEAP},
    {"mul", 2, b_mul, BF_CHEAP},
    {"div", 2, b_div, 0},
    {"rem", 2, b_rem, BF_CHEAP},
    {"abs", 1, b_abs, BF_CHEAP},
    {"ceil", 1, b_ceil, BF_CHEAP},
    {"floor", 1, b_floor, BF_CHEAP},
    {"round", 1, b_round, BF_CHEAP},
    {"set_diff", 2, b_set_diff, BF_DEPRECATED},
    {"bits.and", 2, b_bits_and, 0},
    {"bits.or", 2, b_bits_or, 0},
    {"bits.xor", 2, b_bits_xor, 0},
    {"bits.negate", 1, b_bits_negate, 0},
    {"bits.lsh", 2, b_bits_lsh, 0},
    {"bits.rsh", 2, b_bits_rsh, 0},
    {"numbers.range", 2, b_range, 0},
    {"numbers.range_step", 3, b_range_step, 0},
    {"rand.intn", 2, b_rand_intn, BF_NONDET},
    {0},
};
