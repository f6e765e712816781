#include "der.h"
#include "key_priv.h"

#include "cert.h"
#include "lib/base/codec.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

/* ---- the fixed parts of the usual curves ---- */

static const struct {
    size_t width;
    const char *group;
    struct str spki; /* SEQUENCE { SEQUENCE { id-ecPublicKey, curve }, BIT STRING 04 */
} curves[] = {
    [KEY_P256] = {32, "prime256v1",
                  STR_INIT(
                      "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48"
                      "\xce\x3d\x03\x01\x07\x03\x42\x00\x04")},
    [KEY_P384] = {48, "secp384r1",
                  STR_INIT(
                      "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04"
                      "\x00\x22\x03\x62\x00\x04")},
    [KEY_P521] = {66, "secp521r1",
                  STR_INIT(
                      "\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81"
                      "\x04\x00\x23\x03\x81\x86\x00\x04")},
};
static const struct str ed25519_spki = STR_INIT("\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00");
/* PKCS#8 of a P-256 key: what stands before the scalar, and between it and the point. */
static const struct str p256_pkcs8_head =
    STR_INIT("\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86"
             "\x48\xce\x3d\x03\x01\x07\x04\x6d\x30\x6b\x02\x01\x01\x04\x20");
static const struct str p256_pkcs8_mid = STR_INIT("\xa1\x44\x03\x42\x00");

size_t key_ec_width(enum key_type t)
{
    return t <= KEY_P521 ? curves[t].width : 0;
}

const char *key_ec_group(enum key_type t)
{
    BUG_ON(t > KEY_P521);
    return curves[t].group;
}

struct str key_ec_spki_prefix(enum key_type t)
{
    BUG_ON(t > KEY_P521);
    return curves[t].spki;
}

/* ---- SPKI ---- */

/* 04 and both coordinates, whatever form the key came in. */
static bool ec_point(const struct key *k, uint8_t out[1 + 2 * 66])
{
    size_t w = key_ec_width(k->type), n = 0;
    if (EVP_PKEY_get_octet_string_param(k->pkey, OSSL_PKEY_PARAM_PUB_KEY, out, 1 + 2 * 66, &n) ==
            1 &&
        n == 1 + 2 * w && out[0] == 4) {
        return true;
    }
    BIGNUM *x = NULL, *y = NULL;
    bool good = EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
                EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
                BN_bn2binpad(x, out + 1, (int)w) == (int)w &&
                BN_bn2binpad(y, out + 1 + w, (int)w) == (int)w;
    out[0] = 4;
    BN_free(x);
    BN_free(y);
    return good;
}

static void keep_spki(struct key *k, struct str head, struct str rest)
{
    char *p = malloc(head.n + rest.n);
    BUG_ON(p == NULL);
    if (head.n > 0) {
        memcpy(p, head.p, head.n);
    }
    memcpy(p + head.n, rest.p, rest.n);
    k->spki = str_n(p, head.n + rest.n);
}

struct err key_make_spki(struct key *k)
{
    uint8_t raw[1 + 2 * 66];
    size_t n = 32;
    if (k->type == KEY_ED25519) {
        ENSURE(EVP_PKEY_get_raw_public_key(k->pkey, raw, &n) == 1 && n == 32, ERR_CRYPTO,
               "an Ed25519 key without a public half");
        keep_spki(k, ed25519_spki, str_n(raw, 32));
        return OK;
    }
    if (k->type != KEY_RSA) {
        ENSURE(ec_point(k, raw), ERR_RANGE, "an EC key without a public point");
        keep_spki(k, key_ec_spki_prefix(k->type), str_n(raw + 1, 2 * key_ec_width(k->type)));
        return OK;
    }
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(k->pkey, &der);
    if (len <= 0) {
        return ossl_err(ERR_OK, "encoding a public key");
    }
    keep_spki(k, STR_EMPTY, str_n(der, (size_t)len));
    OPENSSL_free(der);
    return OK;
}

struct err key_from_spki(struct str der, struct key **out)
{
    ENSURE(der.n <= KEY_DER_MAX, ERR_LIMIT, "public key of %zu bytes; at most %d", der.n,
           KEY_DER_MAX);
    /* The fixed shapes go by their parts: OpenSSL's decoder takes six times as long. */
    for (enum key_type t = KEY_P256; t <= KEY_P521; t++) {
        size_t w = curves[t].width, head = curves[t].spki.n;
        if (der.n == head + 2 * w && str_starts(der, curves[t].spki)) {
            return key_from_ec_parts(t, str_sub(der, head, head + w), str_sub(der, head + w, der.n),
                                     STR_EMPTY, out);
        }
    }
    if (der.n == ed25519_spki.n + 32 && str_starts(der, ed25519_spki)) {
        return key_from_ed25519_parts(str_sub(der, ed25519_spki.n, der.n), STR_EMPTY, out);
    }
    ossl_init();
    const unsigned char *p = (const unsigned char *)der.p;
    EVP_PKEY *pkey = der.n > 0 ? d2i_PUBKEY(NULL, &p, (long)der.n) : NULL;
    if (pkey == NULL) {
        return ossl_err(ERR_SYNTAX, "not a public key (SubjectPublicKeyInfo)");
    }
    if (p != (const unsigned char *)der.p + der.n) {
        EVP_PKEY_free(pkey);
        FAIL(ERR_SYNTAX, "bytes left over after a public key");
    }
    return key_adopt(pkey, false, out);
}

bool key_spki_is_sound(struct str spki)
{
    if (spki.n == 0 || spki.n > KEY_DER_MAX) {
        return false;
    }
    ossl_init();
    const unsigned char *p = (const unsigned char *)spki.p;
    EVP_PKEY *pkey = d2i_PUBKEY(NULL, &p, (long)spki.n);
    bool sound = pkey != NULL && p == (const unsigned char *)spki.p + spki.n;
    EVP_PKEY_free(pkey);
    if (!sound) {
        ignore_err(ossl_err(ERR_SYNTAX, "public key"));
    }
    return sound;
}

/* ---- private keys ---- */

struct err key_from_pkcs8(struct str der, struct key **out)
{
    ENSURE(der.n > 0 && der.n <= KEY_DER_MAX, ERR_LIMIT, "private key of %zu bytes; 1 to %d", der.n,
           KEY_DER_MAX);
    ossl_init();
    const unsigned char *p = (const unsigned char *)der.p;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.n);
    bool whole = info != NULL && p == (const unsigned char *)der.p + der.n;
    EVP_PKEY *pkey = whole ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (pkey == NULL) {
        return ossl_err(ERR_SYNTAX, "not a private key (PKCS#8)");
    }
    return key_adopt(pkey, true, out);
}

/* SEC1 and PKCS#1, as older tools write them. */
static struct err key_from_traditional(int type, struct str der, struct key **out)
{
    ossl_init();
    const unsigned char *p = (const unsigned char *)der.p;
    EVP_PKEY *pkey = d2i_PrivateKey(type, NULL, &p, (long)der.n);
    if (pkey == NULL || p != (const unsigned char *)der.p + der.n) {
        EVP_PKEY_free(pkey);
        return ossl_err(ERR_SYNTAX, "not a private key");
    }
    return key_adopt(pkey, true, out);
}

struct err key_from_pem(struct str pem, struct key **out)
{
    ENSURE(pem.n <= SECRET_MAX, ERR_LIMIT, "PEM key of %zu bytes; at most %d", pem.n, SECRET_MAX);
    static const struct {
        const char *label;
        int type;
    } forms[] = {{"PRIVATE KEY", 0},
                 {"EC PRIVATE KEY", EVP_PKEY_EC},
                 {"RSA PRIVATE KEY", EVP_PKEY_RSA},
                 {"PUBLIC KEY", -1}};
    struct buf der;
    buf_init_secret(&der, KEY_DER_MAX);
    struct err e = err_make(ERR_NOT_FOUND, "no PEM block of an unencrypted key (PRIVATE KEY)");
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        struct str rest = pem;
        e = pem_next_buf(&rest, forms[i].label, &der);
        if (e.code == ERR_NOT_FOUND) {
            continue;
        }
        if (!failed(e)) {
            e = forms[i].type == 0  ? key_from_pkcs8(buf_str(&der), out)
                : forms[i].type < 0 ? key_from_spki(buf_str(&der), out)
                                    : key_from_traditional(forms[i].type, buf_str(&der), out);
        }
        break;
    }
    buf_release(&der);
    return e.code == ERR_NOT_FOUND
               ? err_make(ERR_NOT_FOUND, "no PEM block of an unencrypted key (PRIVATE KEY)")
               : e;
}

static struct err p256_pkcs8(const struct key *k, struct secret *out)
{
    BIGNUM *d = NULL;
    if (EVP_PKEY_get_bn_param(k->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &d) != 1) {
        return ossl_err(ERR_INVALID, "a key without its private half");
    }
    size_t head = p256_pkcs8_head.n, mid = p256_pkcs8_mid.n;
    struct secret s;
    struct err e = secret_zeroed(&s, head + 32 + mid + 65);
    if (!failed(e)) {
        unsigned char *p = secret_mutable(&s);
        memcpy(p, p256_pkcs8_head.p, head);
        BUG_ON(BN_bn2binpad(d, p + head, 32) != 32);
        memcpy(p + head + 32, p256_pkcs8_mid.p, mid);
        /* The point stands at the end of the SPKI. */
        memcpy(p + head + 32 + mid, k->spki.p + k->spki.n - 65, 65);
        *out = s;
    }
    BN_clear_free(d);
    return e;
}

struct err key_to_pkcs8(const struct key *k, struct secret *out)
{
    ENSURE(k->is_private, ERR_INVALID, "a public key has no private form");
    if (k->type == KEY_P256) {
        return p256_pkcs8(k, out);
    }
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(k->pkey);
    unsigned char *der = NULL;
    int n = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    if (n <= 0) {
        return ossl_err(ERR_OK, "encoding a private key");
    }
    struct err e = secret_copy(out, str_n(der, (size_t)n));
    OPENSSL_clear_free(der, (size_t)n);
    return e;
}

struct err key_to_pkcs8_pem(const struct key *k, struct secret *out)
{
    struct secret der;
    TRY(key_to_pkcs8(k, &der));
    struct buf pem;
    buf_init_secret(&pem, SECRET_MAX);
    pem_put(&pem, "PRIVATE KEY", secret_bytes(&der));
    secret_release(&der);
    struct err e = buf_check(&pem);
    if (!failed(e)) {
        e = secret_copy(out, buf_str(&pem));
    }
    buf_release(&pem);
    return e;
}

void key_spki_pem(const struct key *k, struct buf *out)
{
    pem_put(out, "PUBLIC KEY", k->spki);
}
