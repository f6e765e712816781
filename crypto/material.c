/* Versions of keys: making, reading and deriving them, and their public halves. */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "key.h"

#include "lib/base/codec.h"
#include "wire.h"

enum { VERSION_FORMAT = 1, ED25519_SEED = 32, ED25519_STORED = 64 };

static EVP_PKEY *generate(enum key_type type)
{
    switch (type) {
    case KEY_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case KEY_P256:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    case KEY_P384:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
    case KEY_P521:
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
    case KEY_RSA2048:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    case KEY_RSA3072:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
    case KEY_RSA4096:
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)4096);
    default:
        return NULL;
    }
}

/* PKCS#8; Ed25519 as seed and public key, the form that Transit derives from. */
static struct err put_private(enum key_type type, EVP_PKEY *pkey, struct buf *out)
{
    if (type == KEY_ED25519) {
        unsigned char raw[ED25519_STORED];
        size_t n = ED25519_SEED, m = ED25519_SEED;
        bool good = EVP_PKEY_get_raw_private_key(pkey, raw, &n) == 1 &&
                    EVP_PKEY_get_raw_public_key(pkey, raw + ED25519_SEED, &m) == 1;
        wire_put_str(out, str_n(raw, sizeof(raw)));
        wipe(raw, sizeof(raw));
        ENSURE(good, ERR_CRYPTO, "an Ed25519 key cannot be written");
        return OK;
    }
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    unsigned char *der = NULL;
    int n = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
    PKCS8_PRIV_KEY_INFO_free(info);
    ENSURE(n > 0, ERR_CRYPTO, "a private key cannot be written");
    wire_put_str(out, str_n(der, (size_t)n));
    OPENSSL_clear_free(der, (size_t)n);
    return OK;
}

static struct err put_random(size_t n, struct buf *out)
{
    struct secret s = SECRET_EMPTY;
    TRY(secret_random(&s, n));
    wire_put_str(out, secret_bytes(&s));
    secret_release(&s);
    return OK;
}

static struct err put_material(enum key_type type, unsigned size, struct buf *out)
{
    if (type == KEY_HMAC) {
        return put_random(size, out);
    }
    if (key_kinds[type].aead) {
        return put_random(key_kinds[type].bytes, out);
    }
    EVP_PKEY *pkey = generate(type);
    ENSURE(pkey != NULL, ERR_CRYPTO, "no %s key could be made", key_kinds[type].name);
    struct err e = put_private(type, pkey, out);
    EVP_PKEY_free(pkey);
    return e;
}

struct err key_version_make(enum key_type type, unsigned size, uint32_t n, int64_t now_s,
                            struct buf *record)
{
    wire_put_u8(record, VERSION_FORMAT);
    wire_put_u32(record, n);
    buf_put_be(record, (uint64_t)now_s, 8);
    TRY(put_material(type, size, record));
    TRY(put_random(KEY_HMAC_BYTES, record));
    return buf_check(record);
}

/* Contexts that are ready to work: setting one up costs as much as the operation itself. */
static struct err prepare_aead(enum key_type type, struct key_version *v)
{
    static const EVP_CIPHER *(*const ciphers[])(void) = {
        [KEY_AES128] = EVP_aes_128_gcm,
        [KEY_AES256] = EVP_aes_256_gcm,
        [KEY_CHACHA20] = EVP_chacha20_poly1305,
    };
    if (type == KEY_XCHACHA20) {
        return OK; /* libsodium's, which keeps no state */
    }
    const unsigned char *k = (const unsigned char *)secret_bytes(&v->material).p;
    v->enc = EVP_CIPHER_CTX_new();
    v->dec = EVP_CIPHER_CTX_new();
    ENSURE(v->enc != NULL && v->dec != NULL &&
               EVP_EncryptInit_ex(v->enc, ciphers[type](), NULL, k, NULL) == 1 &&
               EVP_DecryptInit_ex(v->dec, ciphers[type](), NULL, k, NULL) == 1,
           ERR_CRYPTO, "%s is not available", key_kinds[type].name);
    return OK;
}

static struct err load_symmetric(enum key_type type, struct str bytes, struct key_version *v)
{
    size_t want = type == KEY_HMAC ? 0 : key_kinds[type].bytes;
    ENSURE(bytes.n > 0 && (want == 0 || bytes.n == want), ERR_SYNTAX,
           "a version of a %s key has %zu bytes", key_kinds[type].name, bytes.n);
    TRY(secret_copy(&v->material, bytes));
    return key_kinds[type].aead ? prepare_aead(type, v) : OK;
}

static struct err load_ed25519(struct str bytes, struct key_version *v)
{
    ENSURE(bytes.n == ED25519_STORED, ERR_SYNTAX, "an Ed25519 key of %zu bytes", bytes.n);
    TRY(secret_copy(&v->material, bytes));
    v->pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.p,
                                           ED25519_SEED);
    ENSURE(v->pkey != NULL, ERR_CRYPTO, "an Ed25519 key cannot be read");
    return OK;
}

static struct err load_pkcs8(enum key_type type, struct str bytes, struct key_version *v)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    v->pkey = d2i_AutoPrivateKey(NULL, &p, (long)bytes.n);
    ENSURE(v->pkey != NULL && p == (const unsigned char *)bytes.p + bytes.n, ERR_SYNTAX,
           "a private key of type %s cannot be read", key_kinds[type].name);
    if (!key_kinds[type].ecdsa) {
        return OK;
    }
    v->sign_ctx = EVP_PKEY_CTX_new(v->pkey, NULL);
    ENSURE(v->sign_ctx != NULL && EVP_PKEY_sign_init(v->sign_ctx) == 1, ERR_CRYPTO,
           "a %s key cannot sign", key_kinds[type].name);
    return OK;
}

static struct err load_material(enum key_type type, struct str bytes, struct key_version *v)
{
    if (type == KEY_HMAC || key_kinds[type].aead) {
        return load_symmetric(type, bytes, v);
    }
    return type == KEY_ED25519 ? load_ed25519(bytes, v) : load_pkcs8(type, bytes, v);
}

struct err key_version_load(enum key_type type, uint32_t n, struct str record,
                            struct key_version **out)
{
    struct wire_reader r = wire_read(record);
    unsigned format = wire_u8(&r);
    uint32_t number = wire_u32(&r);
    int64_t created = (int64_t)wire_u64(&r);
    struct str material = wire_str(&r), hmac = wire_str(&r);
    ENSURE(format == VERSION_FORMAT && number == n && wire_end(&r), ERR_SYNTAX,
           "version %u of a %s key is malformed", n, key_kinds[type].name);
    struct key_version *v = calloc(1, sizeof(*v));
    BUG_ON(v == NULL);
    v->n = n;
    v->created_s = created;
    struct err e = secret_copy(&v->hmac, hmac);
    if (!failed(e)) {
        e = load_material(type, material, v);
    }
    if (failed(e)) {
        key_version_free(v);
        return e;
    }
    *out = v;
    return OK;
}

void key_version_free(struct key_version *v)
{
    if (v == NULL) {
        return;
    }
    secret_release(&v->material);
    secret_release(&v->hmac);
    EVP_PKEY_CTX_free(v->sign_ctx);
    EVP_PKEY_free(v->pkey);
    EVP_CIPHER_CTX_free(v->enc);
    EVP_CIPHER_CTX_free(v->dec);
    free(v);
}

static struct err put_pem(EVP_PKEY *pkey, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    bool good = bio != NULL && PEM_write_bio_PUBKEY(bio, pkey) == 1;
    long n = good ? BIO_get_mem_data(bio, &text) : 0;
    buf_put(out, text, (size_t)n);
    BIO_free(bio);
    ENSURE(good, ERR_CRYPTO, "a public key cannot be written");
    return OK;
}

struct err key_version_public(enum key_type type, const struct key_version *v, struct buf *out)
{
    if (v->pkey == NULL) {
        return OK;
    }
    if (type != KEY_ED25519) {
        return put_pem(v->pkey, out);
    }
    base64_put(out, str_sub(secret_bytes(&v->material), ED25519_SEED, ED25519_STORED), BASE64_STD);
    return OK;
}

struct err key_derive(const struct key_version *v, struct str context, size_t n, struct secret *out)
{
    struct str ikm = secret_bytes(&v->material);
    struct secret derived = SECRET_EMPTY;
    TRY(secret_zeroed(&derived, n));
    /* OSSL_PARAM takes no pointer to const, but does not write to inputs */
    union {
        const char *in;
        void *param;
    } key = {.in = ikm.p}, info = {.in = context.p != NULL ? context.p : ""};
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.param, ikm.n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.param, context.n),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    bool good = ctx != NULL && EVP_KDF_derive(ctx, secret_mutable(&derived), n, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    if (!good) {
        secret_release(&derived);
        FAIL(ERR_CRYPTO, "key derivation failed");
    }
    *out = derived;
    return OK;
}
