/* Keys from the numbers that JWK and COSE carry, and back: no DER on this way. */
#include "key_priv.h"

#include "lib/base/buf.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>

static struct err from_params(const char *kind, OSSL_PARAM *params, bool is_private,
                              struct key **out)
{
    static EVP_PKEY_CTX *ec, *rsa;
    EVP_PKEY_CTX **kept = kind[0] == 'E' ? &ec : &rsa;
    if (*kept == NULL) {
        ossl_init();
        *kept = EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
        BUG_ON(*kept == NULL || EVP_PKEY_fromdata_init(*kept) != 1);
    }
    EVP_PKEY *pkey = NULL;
    int selection = is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY;
    if (EVP_PKEY_fromdata(*kept, &pkey, selection, params) != 1) {
        EVP_PKEY_free(pkey);
        return ossl_err(ERR_RANGE, "the numbers are not a key of this kind");
    }
    return key_adopt(pkey, is_private, out);
}

/* A private scalar must belong to the point beside it, or signatures would name another key. */
static struct err check_pair(struct key *k)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
    bool good = c != NULL && EVP_PKEY_pairwise_check(c) == 1;
    EVP_PKEY_CTX_free(c);
    return good ? OK
                : ossl_err(ERR_RANGE, "the private and the public half do not belong together");
}

static struct err finish_pair(struct err e, struct key *k, bool is_private, struct key **out)
{
    if (!failed(e) && is_private) {
        e = check_pair(k);
        if (failed(e)) {
            key_unref(k);
        }
    }
    if (!failed(e)) {
        *out = k;
    }
    return e;
}

struct err key_from_ec_parts(enum key_type type, struct str x, struct str y, struct str d,
                             struct key **out)
{
    size_t w = key_ec_width(type);
    ENSURE(w > 0, ERR_UNSUPPORTED, "not a curve with two coordinates");
    ENSURE(x.n == w && y.n == w, ERR_RANGE, "coordinates of %zu and %zu bytes; %s has %zu each",
           x.n, y.n, key_type_name(type), w);
    ENSURE(d.n == 0 || d.n == w, ERR_RANGE, "a private scalar of %zu bytes; %s has %zu", d.n,
           key_type_name(type), w);
    uint8_t point[1 + 2 * 66];
    point[0] = 4;
    memcpy(point + 1, x.p, w);
    memcpy(point + 1 + w, y.p, w);
    OSSL_PARAM params[4];
    size_t n = 0;
    char group[16];
    TRY(str_to_cstr(str_of(key_ec_group(type)), group, sizeof(group)));
    params[n++] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
    params[n++] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * w);
    uint8_t native[66];
    if (d.n > 0) {
        /* OSSL_PARAM integers are in the machine's byte order: little endian here. */
        for (size_t i = 0; i < w; i++) {
            native[i] = (uint8_t)d.p[w - 1 - i];
        }
        params[n++] = OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_PRIV_KEY, native, w);
    }
    params[n] = OSSL_PARAM_construct_end();
    struct key *k = NULL;
    struct err e = from_params("EC", params, d.n > 0, &k);
    wipe(native, sizeof(native));
    return finish_pair(e, k, d.n > 0, out);
}

struct err key_from_ed25519_parts(struct str x, struct str d, struct key **out)
{
    ENSURE(x.n == 32 || (x.n == 0 && d.n > 0), ERR_RANGE, "an Ed25519 key of %zu bytes; 32 are due",
           x.n);
    ENSURE(d.n == 0 || d.n == 32, ERR_RANGE, "an Ed25519 private key of %zu bytes; 32 are due",
           d.n);
    ossl_init();
    struct str raw = d.n > 0 ? d : x;
    EVP_PKEY *pkey = d.n > 0 ? EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL,
                                                               (const unsigned char *)raw.p, raw.n)
                             : EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL,
                                                              (const unsigned char *)raw.p, raw.n);
    if (pkey == NULL) {
        return ossl_err(ERR_RANGE, "not an Ed25519 key");
    }
    struct key *k;
    TRY(key_adopt(pkey, d.n > 0, &k));
    if (x.n > 0 && !str_eq(str_sub(k->spki, k->spki.n - 32, k->spki.n), x)) {
        key_unref(k);
        FAIL(ERR_RANGE, "the private and the public half do not belong together");
    }
    *out = k;
    return OK;
}

/* Odd and at least 3, at most 64 bits: an even or huge exponent is a mistake or an attack. */
static struct err exponent_check(struct str e)
{
    while (e.n > 0 && e.p[0] == 0) {
        e = str_sub(e, 1, e.n);
    }
    ENSURE(e.n > 0 && e.n <= 8 && (e.p[e.n - 1] & 1) == 1 && !(e.n == 1 && e.p[0] == 1), ERR_RANGE,
           "an RSA exponent must be odd, at least 3 and at most 64 bits");
    return OK;
}

struct err key_from_rsa_parts(struct str n, struct str e, struct str d, struct str p, struct str q,
                              struct str dp, struct str dq, struct str qi, struct key **out)
{
    TRY(exponent_check(e));
    struct str parts[] = {n, e, d, p, q, dp, dq, qi};
    static const char *const names[] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    /* Two factors and no more: with some of the five missing none is given, and the key is slow but right. */
    size_t use = d.n == 0 ? 2 : p.n > 0 && q.n > 0 && dp.n > 0 && dq.n > 0 && qi.n > 0 ? 8 : 3;
    OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
    BIGNUM *bn[ARRAY_LEN(parts)] = {NULL};
    struct err err = OK;
    for (size_t i = 0; i < use && !failed(err); i++) {
        if (parts[i].n == 0 || parts[i].n > KEY_RSA_MAX_BITS / 8) {
            err = err_make(ERR_RANGE, "RSA number '%s' of %zu bytes; 1 to %d", names[i], parts[i].n,
                           KEY_RSA_MAX_BITS / 8);
            break;
        }
        bn[i] = BN_bin2bn((const unsigned char *)parts[i].p, (int)parts[i].n, NULL);
        BUG_ON(bn[i] == NULL || OSSL_PARAM_BLD_push_BN(b, names[i], bn[i]) != 1);
    }
    struct key *k = NULL;
    if (!failed(err)) {
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
        BUG_ON(params == NULL);
        err = from_params("RSA", params, d.n > 0, &k);
        OSSL_PARAM_free(params);
    }
    for (size_t i = 0; i < ARRAY_LEN(bn); i++) {
        BN_clear_free(bn[i]);
    }
    OSSL_PARAM_BLD_free(b);
    return finish_pair(err, k, d.n > 0 && use == 8, out);
}

static struct str put_bn(const struct key *k, const char *name, uint8_t *at)
{
    BIGNUM *v = NULL;
    BUG_ON(EVP_PKEY_get_bn_param(k->pkey, name, &v) != 1);
    int n = BN_bn2bin(v, at);
    BN_free(v);
    return str_n(at, (size_t)n);
}

void key_public_parts(const struct key *k, struct key_parts *out)
{
    *out = (struct key_parts){.x = STR_EMPTY};
    size_t w = key_ec_width(k->type);
    if (k->type == KEY_RSA) {
        out->n = put_bn(k, OSSL_PKEY_PARAM_RSA_N, out->storage);
        out->e = put_bn(k, OSSL_PKEY_PARAM_RSA_E, out->storage + out->n.n);
    } else if (k->type == KEY_ED25519) {
        out->x = str_sub(k->spki, k->spki.n - 32, k->spki.n);
    } else {
        out->x = str_sub(k->spki, k->spki.n - 2 * w, k->spki.n - w);
        out->y = str_sub(k->spki, k->spki.n - w, k->spki.n);
    }
}
