#include "key_priv.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <inttypes.h>

/* ---- life ---- */

static struct err kind_of(EVP_PKEY *pkey, enum key_type *type, unsigned *bits)
{
    *bits = (unsigned)EVP_PKEY_get_bits(pkey);
    if (EVP_PKEY_is_a(pkey, "ED25519")) {
        *type = KEY_ED25519;
        return OK;
    }
    if (EVP_PKEY_is_a(pkey, "RSA")) {
        *type = KEY_RSA;
        ENSURE(*bits >= KEY_RSA_MIN_BITS && *bits <= KEY_RSA_MAX_BITS, ERR_RANGE,
               "RSA key of %u bits; %d to %d are accepted", *bits, KEY_RSA_MIN_BITS,
               KEY_RSA_MAX_BITS);
        return OK;
    }
    char group[64] = "";
    ENSURE(EVP_PKEY_is_a(pkey, "EC") &&
               EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1,
           ERR_UNSUPPORTED, "a kind of key that is not supported; use P-256, Ed25519 or RSA");
    for (enum key_type t = KEY_P256; t <= KEY_P521; t++) {
        if (strcmp(group, key_ec_group(t)) == 0) {
            *type = t;
            return OK;
        }
    }
    FAIL(ERR_UNSUPPORTED, "curve '%s' is not supported; use P-256, P-384 or P-521", group);
}

struct err key_adopt(EVP_PKEY *pkey, bool is_private, struct key **out)
{
    struct key *k = calloc(1, sizeof(*k));
    BUG_ON(k == NULL);
    k->pkey = pkey;
    k->is_private = is_private;
    k->refs = 1;
    struct err e = kind_of(pkey, &k->type, &k->bits);
    if (!failed(e)) {
        e = key_make_spki(k);
    }
    if (failed(e)) {
        key_unref(k);
        return e;
    }
    *out = k;
    return OK;
}

struct key *key_ref(struct key *k)
{
    if (k != NULL) {
        k->refs++;
    }
    return k;
}

void key_unref(struct key *k)
{
    if (k == NULL || --k->refs > 0) {
        return;
    }
    for (size_t i = 0; i < SIG_ALG_COUNT; i++) {
        EVP_PKEY_CTX_free(k->signers[i]);
        EVP_PKEY_CTX_free(k->verifiers[i]);
    }
    EVP_PKEY_free(k->pkey);
    free((void *)(uintptr_t)k->spki.p);
    free(k);
}

EVP_PKEY *key_evp(const struct key *k)
{
    return k->pkey;
}

/* One generator context a kind is kept: looking the curve up costs as much as making the key. */
struct err key_generate(enum key_type type, struct key **out)
{
    static EVP_PKEY_CTX *kept[KEY_ED25519 + 1];
    if (type == KEY_RSA) {
        return key_generate_rsa(2048, out);
    }
    if (kept[type] == NULL) {
        ossl_init();
        const char *name = type == KEY_ED25519 ? "ED25519" : "EC";
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, name, NULL);
        BUG_ON(c == NULL || EVP_PKEY_keygen_init(c) != 1);
        BUG_ON(type != KEY_ED25519 && EVP_PKEY_CTX_set_group_name(c, key_ec_group(type)) != 1);
        kept[type] = c;
    }
    EVP_PKEY *pkey = NULL;
    if (EVP_PKEY_generate(kept[type], &pkey) != 1) {
        return ossl_err(ERR_OK, "generating a key");
    }
    return key_adopt(pkey, true, out);
}

struct err key_generate_rsa(unsigned bits, struct key **out)
{
    ENSURE(bits == 2048 || bits == 3072 || bits == 4096, ERR_RANGE,
           "RSA keys are made with 2048, 3072 or 4096 bits, not %u", bits);
    ossl_init();
    EVP_PKEY *pkey = EVP_RSA_gen(bits);
    return pkey != NULL ? key_adopt(pkey, true, out) : ossl_err(ERR_OK, "generating an RSA key");
}

/* ---- what it is ---- */

enum key_type key_type(const struct key *k)
{
    return k->type;
}

bool key_is_private(const struct key *k)
{
    return k->is_private;
}

unsigned key_bits(const struct key *k)
{
    return k->bits;
}

struct str key_spki(const struct key *k)
{
    return k->spki;
}

bool key_same_public(const struct key *a, const struct key *b)
{
    return str_eq(a->spki, b->spki);
}

const char *key_type_name(enum key_type t)
{
    static const char *const names[] = {"P-256", "P-384", "P-521", "Ed25519", "RSA"};
    BUG_ON(t >= ARRAY_LEN(names));
    return names[t];
}

static const struct {
    enum key_type type;
    enum digest_alg md;
    bool pss;
} algs[SIG_ALG_COUNT] = {
    [SIG_RS256] = {KEY_RSA, DIGEST_SHA256, false},
    [SIG_RS384] = {KEY_RSA, DIGEST_SHA384, false},
    [SIG_RS512] = {KEY_RSA, DIGEST_SHA512, false},
    [SIG_PS256] = {KEY_RSA, DIGEST_SHA256, true},
    [SIG_PS384] = {KEY_RSA, DIGEST_SHA384, true},
    [SIG_PS512] = {KEY_RSA, DIGEST_SHA512, true},
    [SIG_ES256] = {KEY_P256, DIGEST_SHA256, false},
    [SIG_ES384] = {KEY_P384, DIGEST_SHA384, false},
    [SIG_ES512] = {KEY_P521, DIGEST_SHA512, false},
    [SIG_EDDSA] = {KEY_ED25519, DIGEST_SHA512, false},
};

bool key_fits(const struct key *k, enum sig_alg alg)
{
    return alg < SIG_ALG_COUNT && algs[alg].type == k->type;
}

enum sig_alg key_default_alg(const struct key *k)
{
    static const enum sig_alg best[] = {SIG_ES256, SIG_ES384, SIG_ES512, SIG_EDDSA, SIG_RS256};
    return best[k->type];
}

/* ---- signing ---- */

static bool prepare(EVP_PKEY_CTX *c, enum sig_alg alg, bool sign)
{
    if ((sign ? EVP_PKEY_sign_init(c) : EVP_PKEY_verify_init(c)) != 1 ||
        EVP_PKEY_CTX_set_signature_md(c, ossl_md(algs[alg].md)) != 1) {
        return false;
    }
    if (algs[alg].type != KEY_RSA) {
        return true;
    }
    if (!algs[alg].pss) {
        return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) == 1;
    }
    return EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(c, ossl_md(algs[alg].md)) == 1;
}

static struct err context(struct key *k, enum sig_alg alg, bool sign, EVP_PKEY_CTX **out)
{
    EVP_PKEY_CTX **slot = sign ? &k->signers[alg] : &k->verifiers[alg];
    if (*slot == NULL) {
        EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
        if (c == NULL || !prepare(c, alg, sign)) {
            EVP_PKEY_CTX_free(c);
            return ossl_err(ERR_OK, "preparing a key");
        }
        *slot = c;
    }
    *out = *slot;
    return OK;
}

/* Ed25519 hashes the message itself, so it goes by the one-shot interface. */
static struct err ed25519_do(struct key *k, struct str message, struct str signature, uint8_t *made)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    BUG_ON(c == NULL);
    size_t n = 64;
    const unsigned char *tbs = (const unsigned char *)message.p;
    bool good;
    if (made != NULL) {
        good = EVP_DigestSignInit_ex(c, NULL, NULL, NULL, NULL, k->pkey, NULL) == 1 &&
               EVP_DigestSign(c, made, &n, tbs, message.n) == 1;
    } else {
        good = EVP_DigestVerifyInit_ex(c, NULL, NULL, NULL, NULL, k->pkey, NULL) == 1 &&
               EVP_DigestVerify(c, (const unsigned char *)signature.p, signature.n, tbs,
                                message.n) == 1;
    }
    EVP_MD_CTX_free(c);
    return good ? OK : ossl_err(made != NULL ? ERR_CRYPTO : ERR_SIGNATURE, "Ed25519");
}

struct err key_sign(struct key *k, enum sig_alg alg, struct str message, struct buf *out)
{
    ENSURE(k->is_private, ERR_INVALID, "a public key cannot sign");
    ENSURE(key_fits(k, alg), ERR_INVALID, "a key of kind %s does not fit the algorithm",
           key_type_name(k->type));
    uint8_t sig[SIGNATURE_MAX + 64], sum[DIGEST_MAX];
    size_t n = sizeof(sig);
    if (k->type == KEY_ED25519) {
        TRY(ed25519_do(k, message, STR_EMPTY, sig));
        n = 64;
    } else {
        EVP_PKEY_CTX *c;
        TRY(context(k, alg, true, &c));
        size_t len = digest(algs[alg].md, message, sum);
        if (EVP_PKEY_sign(c, sig, &n, sum, len) != 1) {
            return ossl_err(ERR_OK, "signing");
        }
    }
    buf_put(out, sig, n);
    return buf_check(out);
}

struct err key_verify(struct key *k, enum sig_alg alg, struct str message, struct str signature)
{
    ENSURE(key_fits(k, alg), ERR_SIGNATURE, "a key of kind %s does not fit the algorithm",
           key_type_name(k->type));
    if (k->type == KEY_ED25519) {
        return ed25519_do(k, message, signature, NULL);
    }
    EVP_PKEY_CTX *c;
    TRY(context(k, alg, false, &c));
    uint8_t sum[DIGEST_MAX];
    size_t len = digest(algs[alg].md, message, sum);
    if (signature.n == 0 ||
        EVP_PKEY_verify(c, (const unsigned char *)signature.p, signature.n, sum, len) != 1) {
        return ossl_err(ERR_SIGNATURE, "signature does not verify");
    }
    return OK;
}

struct err key_sign_raw(struct key *k, enum sig_alg alg, struct str message, struct buf *out)
{
    size_t width = key_ec_width(k->type);
    if (width == 0) {
        return key_sign(k, alg, message, out);
    }
    struct buf der;
    buf_init(&der, SIGNATURE_MAX);
    struct err e = key_sign(k, alg, message, &der);
    if (!failed(e)) {
        e = ecdsa_der_to_raw(buf_str(&der), width, out);
    }
    buf_release(&der);
    return e;
}

struct err key_verify_raw(struct key *k, enum sig_alg alg, struct str message, struct str signature)
{
    size_t width = key_ec_width(k->type);
    if (width == 0) {
        return key_verify(k, alg, message, signature);
    }
    ENSURE(signature.n == 2 * width, ERR_SIGNATURE, "an ECDSA signature of %zu bytes; %zu are due",
           signature.n, 2 * width);
    struct buf der;
    buf_init(&der, SIGNATURE_MAX);
    struct err e = ecdsa_raw_to_der(signature, width, &der);
    if (!failed(e)) {
        e = key_verify(k, alg, message, buf_str(&der));
    }
    buf_release(&der);
    return e;
}
