/*
 * shamir: a secret split into shares, any `threshold` of which give it back (GF(2^8), polynomial 0x11b).
 *
 * A share is one byte y for each byte of the secret, and then its x. Multiplication takes the same time for all
 * values: no table is looked up by a secret.
 */
#ifndef SEXTANT_SECRETS_SHAMIR_H
#define SEXTANT_SECRETS_SHAMIR_H

#include "lib/base/secret.h"

enum { SHAMIR_SHARES_MAX = 255 };

/* `out` has room for `shares` secrets. ERR_INVALID unless 2 <= threshold <= shares <= 255. */
struct err shamir_split(const struct secret *key, unsigned shares, unsigned threshold,
                        struct secret *out);
/* ERR_INVALID: fewer than 2 shares, different lengths, the same x twice. A wrong set gives a wrong key. */
struct err shamir_combine(const struct secret *shares, unsigned n, struct secret *out);

uint8_t gf_mul(uint8_t a, uint8_t b);
uint8_t gf_div(uint8_t a, uint8_t b); /* b must not be 0 */

#endif
