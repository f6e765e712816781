/* The relations between the numbers of a private RSA key (RFC 8017 section 3.2). */
#include "key.h"

#include "ossl.h"

#include <openssl/bn.h>

struct numbers {
    BN_CTX *ctx;
    BIGNUM *n, *e, *d, *p, *q, *dp, *dq, *qi, *t, *u;
};

static BIGNUM *number(struct str be)
{
    BIGNUM *b = BN_bin2bn((const unsigned char *)be.p, (int)be.n, NULL);
    BUG_ON(b == NULL);
    return b;
}

/* e * d = 1 modulo prime - 1, and `part` is d modulo the same. */
static bool exponents_fit(struct numbers *k, const BIGNUM *prime, const BIGNUM *part)
{
    return BN_sub(k->t, prime, BN_value_one()) == 1 && !BN_is_zero(k->t) &&
           BN_mod(k->u, k->d, k->t, k->ctx) == 1 && BN_cmp(k->u, part) == 0 &&
           BN_mod_mul(k->u, k->u, k->e, k->t, k->ctx) == 1 && BN_is_one(k->u);
}

static struct err check(struct numbers *k)
{
    ENSURE(BN_mul(k->t, k->p, k->q, k->ctx) == 1 && BN_cmp(k->t, k->n) == 0, ERR_RANGE,
           "crypto/rsa: p * q != n");
    ENSURE(BN_is_odd(k->p) && BN_is_odd(k->q) && BN_is_odd(k->e) && !BN_is_one(k->e), ERR_RANGE,
           "crypto/rsa: invalid prime or exponent");
    ENSURE(exponents_fit(k, k->p, k->dp) && exponents_fit(k, k->q, k->dq), ERR_RANGE,
           "crypto/rsa: invalid CRT exponent");
    ENSURE(BN_mod_mul(k->t, k->qi, k->q, k->p, k->ctx) == 1 && BN_is_one(k->t), ERR_RANGE,
           "crypto/rsa: invalid CRT coefficient");
    return OK;
}

struct err rsa_numbers_check(struct str n, struct str e, struct str d, struct str p, struct str q,
                             struct str dp, struct str dq, struct str qi)
{
    ENSURE(n.n <= KEY_RSA_MAX_BITS / 8 && e.n <= 8 && d.n <= n.n && p.n <= n.n && q.n <= n.n &&
               dp.n <= n.n && dq.n <= n.n && qi.n <= n.n,
           ERR_LIMIT, "an RSA key of %zu bits; at most %d", 8 * n.n, KEY_RSA_MAX_BITS);
    ossl_init();
    struct numbers k = {.ctx = BN_CTX_secure_new(),
                        .n = number(n),
                        .e = number(e),
                        .d = number(d),
                        .p = number(p),
                        .q = number(q),
                        .dp = number(dp),
                        .dq = number(dq),
                        .qi = number(qi),
                        .t = BN_new(),
                        .u = BN_new()};
    BUG_ON(k.ctx == NULL || k.t == NULL || k.u == NULL);
    struct err err = check(&k);
    BIGNUM *all[] = {k.n, k.e, k.d, k.p, k.q, k.dp, k.dq, k.qi, k.t, k.u};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        BN_clear_free(all[i]);
    }
    BN_CTX_free(k.ctx);
    return err;
}
