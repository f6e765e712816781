/* Signatures and MACs. A digest is made first, so that a prepared context signs it directly. */
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "cipher.h"

#include "lib/base/codec.h"

enum { DER_MAX = 160, SEED = 32 };

static const char *const hash_names[HASH_MAX] = {"none",     "sha1",     "sha2-224", "sha2-256",
                                                 "sha2-384", "sha2-512", "sha3-224", "sha3-256",
                                                 "sha3-384", "sha3-512"};

const EVP_MD *hash_md(enum hash_algorithm h)
{
    static const EVP_MD *(*const md[HASH_MAX])(void) = {
        NULL,       EVP_sha1,     EVP_sha224,   EVP_sha256,   EVP_sha384,
        EVP_sha512, EVP_sha3_224, EVP_sha3_256, EVP_sha3_384, EVP_sha3_512};
    return md[h] != NULL ? md[h]() : NULL;
}

enum hash_algorithm hash_of(struct str name)
{
    enum hash_algorithm h = 0;
    while (h < HASH_MAX && !str_is(name, hash_names[h])) {
        h++;
    }
    return h;
}

/* The bytes that are signed: the digest of the input, or the input when it is one already. */
struct digest {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    struct str value;
};

static struct err make_digest(const struct crypt_params *p, struct str input, struct digest *d)
{
    const EVP_MD *md = hash_md(p->hash);
    if ((p->flags & CRYPT_PREHASHED) != 0) {
        ENSURE(md == NULL || input.n == (size_t)EVP_MD_get_size(md), ERR_INVALID,
               "the prehashed input has %zu bytes; %s has %d", input.n, hash_names[p->hash],
               md != NULL ? EVP_MD_get_size(md) : 0);
        d->value = input;
        return OK;
    }
    unsigned n = 0;
    ENSURE(md != NULL, ERR_INVALID, "hash_algorithm 'none' requires prehashed input");
    ENSURE(EVP_Digest(input.p, input.n, d->bytes, &n, md, NULL) == 1, ERR_CRYPTO, "no %s",
           hash_names[p->hash]);
    d->value = str_n(d->bytes, n);
    return OK;
}

/* ---- ECDSA ---- */

static struct err der_to_fixed(struct str der, size_t width, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)der.p;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)der.n);
    char *room = buf_reserve(out, 2 * width);
    bool good = sig != NULL && room != NULL &&
                BN_bn2binpad(ECDSA_SIG_get0_r(sig), (unsigned char *)room, (int)width) > 0 &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), (unsigned char *)room + width, (int)width) > 0;
    ECDSA_SIG_free(sig);
    ENSURE(good, ERR_CRYPTO, "a signature cannot be written");
    buf_commit(out, 2 * width);
    return OK;
}

/* Returns the length of the DER form, or 0 when `fixed` is not r||s of that width. */
static size_t fixed_to_der(struct str fixed, size_t width, unsigned char der[DER_MAX])
{
    if (fixed.n != 2 * width) {
        return 0;
    }
    const unsigned char *p = (const unsigned char *)fixed.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, (int)width, NULL), *s = BN_bin2bn(p + width, (int)width, NULL);
    int n = 0;
    if (sig != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* the signature's now */
        n = i2d_ECDSA_SIG(sig, NULL);
        n = n > 0 && n <= DER_MAX ? i2d_ECDSA_SIG(sig, &der) : 0;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

static struct err sign_ecdsa(const struct ckey *k, struct key_version *v,
                             const struct crypt_params *p, struct str digest, struct buf *out)
{
    unsigned char der[DER_MAX];
    size_t n = sizeof(der);
    ENSURE(EVP_PKEY_sign(v->sign_ctx, der, &n, (const unsigned char *)digest.p, digest.n) == 1,
           ERR_CRYPTO, "signing failed");
    if ((p->flags & CRYPT_JWS) != 0) {
        return der_to_fixed(str_n(der, n), key_kinds[k->type].bytes, out);
    }
    buf_put(out, der, n);
    return OK;
}

static bool verify_digest(EVP_PKEY_CTX *ctx, struct str sig, struct str digest)
{
    return EVP_PKEY_verify(ctx, (const unsigned char *)sig.p, sig.n,
                           (const unsigned char *)digest.p, digest.n) == 1;
}

static bool verify_ecdsa(const struct ckey *k, struct key_version *v, const struct crypt_params *p,
                         struct str digest, struct str sig)
{
    unsigned char der[DER_MAX];
    if ((p->flags & CRYPT_JWS) != 0) {
        sig = str_n(der, fixed_to_der(sig, key_kinds[k->type].bytes, der));
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->pkey, NULL);
    bool valid = sig.n > 0 && ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
                 verify_digest(ctx, sig, digest);
    EVP_PKEY_CTX_free(ctx);
    return valid;
}

/* ---- RSA ---- */

static EVP_PKEY_CTX *rsa_context(struct key_version *v, const struct crypt_params *p, bool sign)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->pkey, NULL);
    const EVP_MD *md = hash_md(p->hash);
    bool pss = (p->flags & CRYPT_PKCS1V15) == 0;
    int salt = p->salt_length == SALT_HASH   ? RSA_PSS_SALTLEN_DIGEST
               : p->salt_length == SALT_AUTO ? (sign ? RSA_PSS_SALTLEN_MAX : RSA_PSS_SALTLEN_AUTO)
                                             : p->salt_length;
    bool good =
        ctx != NULL && (sign ? EVP_PKEY_sign_init(ctx) : EVP_PKEY_verify_init(ctx)) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(ctx, pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1 &&
        (md == NULL || EVP_PKEY_CTX_set_signature_md(ctx, md) == 1) &&
        (!pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, salt) == 1);
    if (!good) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

static struct err check_rsa(const struct crypt_params *p)
{
    ENSURE(p->hash != HASH_NONE || (p->flags & CRYPT_PKCS1V15) != 0, ERR_INVALID,
           "hash_algorithm 'none' requires signature_algorithm 'pkcs1v15'");
    return OK;
}

static struct err sign_rsa(struct key_version *v, const struct crypt_params *p, struct str digest,
                           struct buf *out)
{
    TRY(check_rsa(p));
    EVP_PKEY_CTX *ctx = rsa_context(v, p, true);
    size_t n = (size_t)EVP_PKEY_get_size(v->pkey);
    char *room = buf_reserve(out, n);
    bool good = ctx != NULL && room != NULL &&
                EVP_PKEY_sign(ctx, (unsigned char *)room, &n, (const unsigned char *)digest.p,
                              digest.n) == 1;
    EVP_PKEY_CTX_free(ctx);
    ENSURE(good, ERR_INVALID, "the RSA key cannot sign with these parameters");
    buf_commit(out, n);
    return OK;
}

static bool verify_rsa(struct key_version *v, const struct crypt_params *p, struct str digest,
                       struct str sig)
{
    EVP_PKEY_CTX *ctx = rsa_context(v, p, false);
    bool valid = ctx != NULL && verify_digest(ctx, sig, digest);
    EVP_PKEY_CTX_free(ctx);
    return valid;
}

/* ---- Ed25519, which takes the message itself ---- */

static struct err ed25519_key(const struct ckey *k, const struct key_version *v,
                              const struct crypt_item *item, EVP_PKEY **out)
{
    if ((k->flags & KEY_DERIVED) == 0) {
        EVP_PKEY_up_ref(v->pkey);
        *out = v->pkey;
        return OK;
    }
    struct secret seed = SECRET_EMPTY;
    ENSURE(item->has_context && item->context.n > 0, ERR_INVALID,
           "missing 'context' for key derivation; the key was created using a derived key, which "
           "means additional, per-request information must be included in order to perform "
           "operations with the key");
    TRY(key_derive(v, item->context, SEED, &seed));
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(
        EVP_PKEY_ED25519, NULL, (const unsigned char *)secret_bytes(&seed).p, SEED);
    secret_release(&seed);
    ENSURE(pkey != NULL, ERR_CRYPTO, "an Ed25519 key cannot be derived");
    *out = pkey;
    return OK;
}

static void put_raw_public(EVP_PKEY *pkey, struct buf *public)
{
    unsigned char raw[SEED];
    size_t n = sizeof(raw);
    if (EVP_PKEY_get_raw_public_key(pkey, raw, &n) == 1) {
        base64_put(public, str_n(raw, n), BASE64_STD);
    }
}

static struct err sign_ed25519(const struct ckey *k, struct key_version *v,
                               const struct crypt_item *item, struct buf *out, struct buf *public)
{
    EVP_PKEY *pkey;
    unsigned char sig[64];
    size_t n = sizeof(sig);
    TRY(ed25519_key(k, v, item, &pkey));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good =
        ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
        EVP_DigestSign(ctx, sig, &n, (const unsigned char *)item->input.p, item->input.n) == 1;
    if ((k->flags & KEY_DERIVED) != 0) {
        put_raw_public(pkey, public);
    }
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    ENSURE(good, ERR_CRYPTO, "signing failed");
    buf_put(out, sig, n);
    return OK;
}

static struct err verify_ed25519(const struct ckey *k, struct key_version *v,
                                 const struct crypt_item *item, bool *valid)
{
    EVP_PKEY *pkey;
    TRY(ed25519_key(k, v, item, &pkey));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    *valid = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, pkey) == 1 &&
             EVP_DigestVerify(ctx, (const unsigned char *)item->signature.p, item->signature.n,
                              (const unsigned char *)item->input.p, item->input.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return OK;
}

/* ---- the public words ---- */

struct err cipher_sign(const struct ckey *k, struct key_version *v, const struct crypt_params *p,
                       const struct crypt_item *item, struct buf *out, struct buf *public)
{
    struct digest d;
    const struct key_kind *kind = &key_kinds[k->type];
    ENSURE(kind->signs, ERR_INVALID, "message signing not supported for key type %s", kind->name);
    if (k->type == KEY_ED25519) {
        return sign_ed25519(k, v, item, out, public);
    }
    TRY(make_digest(p, item->input, &d));
    return kind->rsa ? sign_rsa(v, p, d.value, out) : sign_ecdsa(k, v, p, d.value, out);
}

struct err cipher_verify(const struct ckey *k, struct key_version *v, const struct crypt_params *p,
                         const struct crypt_item *item, bool *valid)
{
    struct digest d;
    const struct key_kind *kind = &key_kinds[k->type];
    ENSURE(kind->signs, ERR_INVALID, "message verification not supported for key type %s",
           kind->name);
    if (k->type == KEY_ED25519) {
        return verify_ed25519(k, v, item, valid);
    }
    TRY(make_digest(p, item->input, &d));
    if (kind->rsa) {
        TRY(check_rsa(p));
        *valid = verify_rsa(v, p, d.value, item->signature);
    } else {
        *valid = verify_ecdsa(k, v, p, d.value, item->signature);
    }
    return OK;
}

/* A key of type hmac is the MAC key itself; every other version has one beside it. */
struct err cipher_hmac(const struct ckey *k, const struct key_version *v, enum hash_algorithm h,
                       struct str input, struct buf *out)
{
    struct str key = k->type == KEY_HMAC ? secret_bytes(&v->material) : secret_bytes(&v->hmac);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const EVP_MD *md = hash_md(h);
    ENSURE(md != NULL, ERR_INVALID, "an HMAC needs a hash algorithm");
    ENSURE(HMAC(md, key.p, (int)key.n, (const unsigned char *)input.p, input.n, mac, &n) != NULL,
           ERR_CRYPTO, "HMAC failed");
    buf_put(out, mac, n);
    return OK;
}
