/* binary: a binary floating number of 64 bits of mantissa, in integers alone. Private to lib/num. */
#ifndef SEXTANT_NUM_BINARY_H
#define SEXTANT_NUM_BINARY_H

#include "num.h"

#include <gmp.h>

struct binary {
    bool neg;
    uint64_t m; /* top bit set, or zero */
    int32_t e;  /* the value is m * 2^e */
};

/* digits * 10^exp10, rounded to 64 bits. */
struct binary binary_from_decimal(const mpz_t digits, long exp10, bool neg);
struct binary binary_from_mpz(const mpz_t z);
struct binary binary_add(struct binary x, struct binary y);
struct binary binary_mul(struct binary x, struct binary y);
struct binary binary_div(struct binary x, struct binary y); /* y is not zero */
struct binary binary_round_bits(struct binary x, int bits);
bool binary_is_int(struct binary x);
void binary_to_mpz(mpz_t out, struct binary x, bool *fraction);     /* truncates towards zero */
struct str binary_text(struct arena *a, struct binary x, int bits); /* shortest that reads back */

#endif
