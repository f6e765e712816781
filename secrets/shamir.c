#include "shamir.h"

#include "lib/base/codec.h"

uint8_t gf_mul(uint8_t a, uint8_t b)
{
    unsigned product = 0, x = a;
    for (int bit = 0; bit < 8; bit++) {
        product ^= x & (0u - (b >> bit & 1u));
        x = x << 1 ^ (0x11bu & (0u - (x >> 7 & 1u)));
    }
    return (uint8_t)product;
}

/* b^254 is the inverse of b; 0 stays 0. */
uint8_t gf_div(uint8_t a, uint8_t b)
{
    uint8_t square = b, inverse = 1;
    for (int i = 1; i < 8; i++) {
        square = gf_mul(square, square);
        inverse = gf_mul(inverse, square);
    }
    return gf_mul(a, inverse);
}

/* Distinct, non-zero x for each share, in random order. */
static void draw_xs(uint8_t xs[SHAMIR_SHARES_MAX])
{
    for (unsigned i = 0; i < SHAMIR_SHARES_MAX; i++) {
        xs[i] = (uint8_t)(i + 1);
    }
    for (unsigned i = SHAMIR_SHARES_MAX - 1; i > 0; i--) {
        uint32_t random;
        random_bytes(&random, sizeof random);
        unsigned k = random % (i + 1);
        uint8_t t = xs[i];
        xs[i] = xs[k];
        xs[k] = t;
    }
}

static void fill_byte(uint8_t value, size_t at, unsigned shares, unsigned threshold,
                      struct secret *out)
{
    uint8_t poly[SHAMIR_SHARES_MAX];
    random_bytes(poly, threshold);
    poly[0] = value;
    for (unsigned i = 0; i < shares; i++) {
        uint8_t *share = secret_mutable(&out[i]), x = share[out[i].n - 1], y = 0;
        for (unsigned d = threshold; d > 0; d--) {
            y = gf_mul(y, x) ^ poly[d - 1];
        }
        share[at] = y;
    }
    wipe(poly, sizeof poly);
}

struct err shamir_split(const struct secret *key, unsigned shares, unsigned threshold,
                        struct secret *out)
{
    ENSURE(threshold >= 2 && threshold <= shares && shares <= SHAMIR_SHARES_MAX, ERR_INVALID,
           "threshold must be between 2 and the number of shares, which is at most %d",
           SHAMIR_SHARES_MAX);
    ENSURE(key->n > 0, ERR_INVALID, "cannot split an empty secret");
    uint8_t xs[SHAMIR_SHARES_MAX];
    draw_xs(xs);
    for (unsigned i = 0; i < shares; i++) {
        struct err e = secret_zeroed(&out[i], key->n + 1);
        if (failed(e)) {
            while (i-- > 0) {
                secret_release(&out[i]);
            }
            return e;
        }
        secret_mutable(&out[i])[key->n] = xs[i];
    }
    for (size_t at = 0; at < key->n; at++) {
        fill_byte((uint8_t)secret_bytes(key).p[at], at, shares, threshold, out);
    }
    return OK;
}

static uint8_t x_of(const struct secret *s)
{
    return (uint8_t)secret_bytes(s).p[s->n - 1];
}

static struct err check_shares(const struct secret *shares, unsigned n)
{
    ENSURE(n >= 2, ERR_INVALID, "less than two parts cannot be used to reconstruct the secret");
    ENSURE(n <= SHAMIR_SHARES_MAX, ERR_INVALID, "more than %d parts", SHAMIR_SHARES_MAX);
    for (unsigned i = 0; i < n; i++) {
        ENSURE(shares[i].n >= 2, ERR_INVALID, "parts must be at least two bytes");
        ENSURE(shares[i].n == shares[0].n, ERR_INVALID, "all parts must be the same length");
        for (unsigned k = 0; k < i; k++) {
            ENSURE(x_of(&shares[i]) != x_of(&shares[k]), ERR_INVALID, "duplicate part detected");
        }
    }
    return OK;
}

/* Lagrange's polynomial through the points, at zero. */
static uint8_t at_zero(const struct secret *shares, unsigned n, size_t at)
{
    uint8_t sum = 0;
    for (unsigned i = 0; i < n; i++) {
        uint8_t basis = 1;
        for (unsigned k = 0; k < n; k++) {
            if (k != i) {
                basis =
                    gf_mul(basis, gf_div(x_of(&shares[k]), x_of(&shares[i]) ^ x_of(&shares[k])));
            }
        }
        sum ^= gf_mul((uint8_t)secret_bytes(&shares[i]).p[at], basis);
    }
    return sum;
}

struct err shamir_combine(const struct secret *shares, unsigned n, struct secret *out)
{
    TRY(check_shares(shares, n));
    struct secret key;
    TRY(secret_zeroed(&key, shares[0].n - 1));
    for (size_t at = 0; at < key.n; at++) {
        secret_mutable(&key)[at] = at_zero(shares, n, at);
    }
    *out = key;
    return OK;
}
