/*
 * num: numbers as JSON and Rego write them: decimal text, exact at any size.
 *
 * A number is an int64 (the fast path), a bigger integer, or decimal text with a point or an
 * exponent, which is kept as it was written. Comparing is exact. Sums, differences and products of
 * integers are exact at any size; everything else is computed with a binary mantissa of 64 bits,
 * rounded to nearest even, and printed as the shortest decimal that reads back as the same value.
 * These are the rules of Open Policy Agent, digit for digit.
 *
 * Text of results lives in the arena given. No hardware floating point is involved.
 */
#ifndef SEXTANT_NUM_H
#define SEXTANT_NUM_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum num_kind {
    NUM_I64, /* `i` holds it */
    NUM_BIG, /* an integer outside int64, in `text` */
    NUM_DEC, /* decimal text with a point or an exponent (or "-0"), in `text` */
};

struct num {
    enum num_kind kind;
    int64_t i;
    struct str text;
};

/* A binary exponent beyond this is refused: "number too big". */
enum { NUM_MAX_EXP2 = 100000, NUM_TEXT_MAX = 64 << 10 };

static inline struct num num_int(int64_t i)
{
    return (struct num){.kind = NUM_I64, .i = i};
}

/* The grammar of RFC 8259 section 6. `text` must outlive the number. ERR_SYNTAX, ERR_RANGE. */
struct err num_parse(struct str text, struct num *out);

void num_write(struct buf *out, struct num n);
struct str num_text(struct arena *a, struct num n);

int num_cmp(struct num a, struct num b);     /* exact: <0, 0, >0 */
uint64_t num_hash(struct num n);             /* equal numbers have equal hashes */
bool num_is_integral(struct num n);          /* is the value whole, however it is written? */
bool num_to_i64(struct num n, int64_t *out); /* false unless whole and in range */
bool num_written_as_int(struct num n);       /* neither point nor exponent */
double num_to_double(struct num n);          /* for formatting only */
int num_sign(struct num n);                  /* -1, 0, 1 */

/* ERR_RANGE with detail "divide by zero", "modulo by zero" or "modulo on floating-point number". */
struct err num_add(struct arena *a, struct num x, struct num y, struct num *out);
struct err num_sub(struct arena *a, struct num x, struct num y, struct num *out);
struct err num_mul(struct arena *a, struct num x, struct num y, struct num *out);
struct err num_div(struct arena *a, struct num x, struct num y, struct num *out);
struct err num_rem(struct arena *a, struct num x, struct num y, struct num *out);
struct num num_abs(struct arena *a, struct num x);
struct num num_round(struct arena *a, struct num x); /* half away from zero */
struct num num_ceil(struct arena *a, struct num x);
struct num num_floor(struct arena *a, struct num x);

/* The product with all its digits, written without an exponent. */
struct err num_mul_exact(struct arena *a, struct num x, struct num y, struct num *out);

/* `x` at 53 bits times `y` at 64, rounded to 53: the steps of products of lists that hold fractions. */
struct err num_mul53(struct arena *a, struct num x, struct num y, struct num *out);

/* Bitwise words on integers of any size, in two's complement. Operands must be integers. */
enum num_bit_op { NUM_AND, NUM_OR, NUM_XOR, NUM_NOT, NUM_SHL, NUM_SHR };
struct err num_bits(struct arena *a, enum num_bit_op op, struct num x, struct num y,
                    struct num *out);
/* The whole part of `x`, in `base` 2..36, lower case. */
struct str num_in_base(struct arena *a, struct num x, int base);
/* An integer of any size from digits of `base`; ERR_SYNTAX. */
struct err num_from_base(struct arena *a, struct str digits, int base, struct num *out);

#endif
