/*
 * sprintf and format_int. Whole numbers are Go's int (or big.Int), numbers with a point or an exponent
 * its float64, strings its string, and everything else arrives as the string of its Rego notation.
 */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/builtin/gofmt.h"

#include <math.h>

enum { FORMAT_MAX = 64 << 20 };

static struct gofmt_arg arg_of(struct bcall *b, struct val v)
{
    struct gofmt_arg a = {.kind = GOFMT_STRING};
    if (val_is(v, V_STRING)) {
        a.text = val_text(v);
    } else if (val_is(v, V_NUMBER)) {
        a.num = val_number(v);
        a.kind = a.num.kind == NUM_I64   ? GOFMT_INT
                 : a.num.kind == NUM_BIG ? GOFMT_BIG
                                         : GOFMT_FLOAT;
        a.type = a.kind == GOFMT_INT ? "int64" : NULL;
        a.f = a.kind == GOFMT_FLOAT ? num_to_double(a.num) : 0;
        if (!isfinite(a.f)) {
            a.kind = GOFMT_STRING; /* too large for a float64: its text stands for it */
            a.text = num_text(b->a, a.num);
        }
    } else {
        a.text = val_rego_text(b->a, v);
    }
    return a;
}

static enum b_status b_sprintf(struct bcall *b)
{
    struct str f;
    struct buf out;
    if (!b_string(b, 1, &f) || !b_is(b, 2, V_ARRAY)) {
        return B_ERROR;
    }
    size_t n = val_len(b->args[1]);
    struct gofmt_arg *args = arena_array(b->a, struct gofmt_arg, n + 1);
    for (size_t i = 0; i < n; i++) {
        args[i] = arg_of(b, val_nth(b->args[1], (uint32_t)i));
    }
    buf_init(&out, FORMAT_MAX);
    gofmt(b->a, &out, f, args, n);
    return b_buf(b, &out);
}

static enum b_status b_format_int(struct bcall *b)
{
    struct num n;
    int64_t base;
    if (!b_number(b, 1, &n) || !b_is(b, 2, V_NUMBER)) {
        return B_ERROR;
    }
    if (!val_to_i64(b->args[1], &base) || (base != 2 && base != 8 && base != 10 && base != 16)) {
        return b_operand(b, 2, "must be one of {2, 8, 10, 16}");
    }
    return b_str(b, num_in_base(b->a,
                                num_written_as_int(n) ? n
                                : num_sign(n) < 0     ? num_ceil(b->a, n)
                                                      : num_floor(b->a, n),
                                (int)base));
}

const struct builtin builtins_format[] = {
    {"sprintf", 2, b_sprintf, 0},
    {"format_int", 2, b_format_int, 0},
    {0},
};
