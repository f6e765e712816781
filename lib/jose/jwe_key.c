#include "jwe_key.h"

#include "aead.h"
#include "lib/base/codec.h"
#include "lib/x509/digest.h"
#include "lib/x509/ossl.h"

#include <openssl/rsa.h>

/* ---- direct use and wrapping with a shared key (sections 4.4, 4.5, 4.7) ---- */

static struct err direct(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                         struct buf *cek)
{
    ENSURE(key->key == NULL && r->encrypted.n == 0, ERR_SIGNATURE, "decryption failed");
    buf_puts(cek, secret_bytes(&key->oct));
    return OK;
}

/* "A128KW" and "A128GCMKW" say the size of the key that wraps. */
static size_t kek_size(struct str alg)
{
    return str_find(alg, S("A128")) != STR_NPOS   ? 16
           : str_find(alg, S("A192")) != STR_NPOS ? 24
                                                  : 32;
}

static struct err wrapped(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                          struct buf *cek)
{
    ENSURE(key->key == NULL && key->oct.n == kek_size(r->alg), ERR_SIGNATURE,
           "the key does not fit '%.*s'", STR_FMT(r->alg));
    return aes_unwrap(secret_bytes(&key->oct), r->encrypted, cek);
}

static struct err gcm_wrapped(struct arena *a, const struct jwk *key,
                              const struct jwe_key_request *r, struct buf *cek)
{
    struct str iv, tag;
    ENSURE(key->key == NULL && key->oct.n == kek_size(r->alg), ERR_SIGNATURE,
           "the key does not fit '%.*s'", STR_FMT(r->alg));
    TRY(base64_decode(a, json_str(json_get(r->header, "iv")), BASE64_URL, &iv));
    TRY(base64_decode(a, json_str(json_get(r->header, "tag")), BASE64_URL, &tag));
    ENSURE(iv.n == 12, ERR_SIGNATURE, "decryption failed");
    return aead_gcm_open(secret_bytes(&key->oct), iv, STR_EMPTY, r->encrypted, tag, cek);
}

/* ---- RSA (section 4.3) ---- */

static struct err oaep(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                       struct buf *cek)
{
    ENSURE(key->key != NULL && key_type(key->key) == KEY_RSA && key_is_private(key->key),
           ERR_SIGNATURE, "a private RSA key is due");
    EVP_MD *md = ossl_md(str_is(r->alg, "RSA-OAEP") ? DIGEST_SHA1 : DIGEST_SHA256);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, key_evp(key->key), NULL);
    unsigned char out[KEY_RSA_MAX_BITS / 8];
    size_t n = sizeof(out);
    bool good =
        c != NULL && EVP_PKEY_decrypt_init(c) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md(c, md) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(c, md) == 1 &&
        EVP_PKEY_decrypt(c, out, &n, (const unsigned char *)r->encrypted.p, r->encrypted.n) == 1;
    EVP_PKEY_CTX_free(c);
    if (good) {
        buf_put(cek, out, MIN(n, (size_t)AEAD_KEY_MAX + 1));
    }
    wipe(out, sizeof(out));
    return good ? OK : ossl_err(ERR_SIGNATURE, "decryption failed");
}

/* ---- ECDH-ES (section 4.6) ---- */

static struct err agree(const struct jwk *mine, const struct jwk *theirs, struct buf *z)
{
    ENSURE(mine->key != NULL && key_is_private(mine->key) && key_type(mine->key) <= KEY_P521 &&
               key_type(mine->key) == key_type(theirs->key),
           ERR_SIGNATURE, "two keys on one NIST curve are due, one of them private");
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, key_evp(mine->key), NULL);
    unsigned char out[66];
    size_t n = sizeof(out);
    bool good = c != NULL && EVP_PKEY_derive_init(c) == 1 &&
                EVP_PKEY_derive_set_peer_ex(c, key_evp(theirs->key), 1) == 1 &&
                EVP_PKEY_derive(c, out, &n) == 1;
    EVP_PKEY_CTX_free(c);
    if (good) {
        buf_put(z, out, n);
    }
    wipe(out, sizeof(out));
    return good ? OK : ossl_err(ERR_SIGNATURE, "decryption failed");
}

static void put_counted(struct buf *b, struct str s)
{
    buf_put_be(b, s.n, 4);
    buf_puts(b, s);
}

/* Concat KDF (section 4.6.2) with SHA-256: one or two rounds give all the bits that are needed. */
static struct err concat_kdf(struct arena *a, struct str z, struct str alg_id,
                             const struct jwe_key_request *r, size_t size, struct buf *out)
{
    struct str apu = STR_EMPTY, apv = STR_EMPTY;
    const struct json *u = json_get(r->header, "apu"), *v = json_get(r->header, "apv");
    if (u != NULL) {
        TRY(base64_decode(a, json_str(u), BASE64_URL, &apu));
    }
    if (v != NULL) {
        TRY(base64_decode(a, json_str(v), BASE64_URL, &apv));
    }
    uint8_t sum[DIGEST_MAX];
    size_t have = 0;
    for (uint32_t round = 1; have < size; round++) {
        struct buf in;
        buf_init_secret(&in, 64 * 1024);
        buf_put_be(&in, round, 4);
        buf_puts(&in, z);
        put_counted(&in, alg_id);
        put_counted(&in, apu);
        put_counted(&in, apv);
        buf_put_be(&in, size * 8, 4);
        struct err e = buf_check(&in);
        size_t n = digest(DIGEST_SHA256, buf_str(&in), sum);
        buf_release(&in);
        TRY(e);
        buf_put(out, sum, MIN(n, size - have));
        have += n;
    }
    wipe(sum, sizeof(sum));
    return OK;
}

static struct err derive(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                         bool wraps, struct buf *out)
{
    struct jwk *theirs;
    TRY(jwk_parse(json_get(r->header, "epk"), NULL, &theirs));
    struct buf z;
    buf_init_secret(&z, 128);
    struct err e =
        theirs->key != NULL ? agree(key, theirs, &z) : err_make(ERR_SIGNATURE, "decryption failed");
    jwk_free(theirs);
    if (!failed(e)) {
        e = concat_kdf(a, buf_str(&z), wraps ? r->alg : r->enc, r,
                       wraps ? kek_size(r->alg) : r->size, out);
    }
    buf_release(&z);
    return e;
}

static struct err ecdh(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                       struct buf *cek)
{
    ENSURE(r->encrypted.n == 0, ERR_SIGNATURE, "decryption failed");
    return derive(a, key, r, false, cek);
}

static struct err ecdh_wrapped(struct arena *a, const struct jwk *key,
                               const struct jwe_key_request *r, struct buf *cek)
{
    struct buf kek;
    buf_init_secret(&kek, 64);
    struct err e = derive(a, key, r, true, &kek);
    if (!failed(e)) {
        e = aes_unwrap(buf_str(&kek), r->encrypted, cek);
    }
    buf_release(&kek);
    return e;
}

struct err jwe_content_key(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                           struct buf *cek)
{
    static const struct {
        const char *alg;
        struct err (*run)(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                          struct buf *cek);
    } ways[] = {{"dir", direct},
                {"A128KW", wrapped},
                {"A192KW", wrapped},
                {"A256KW", wrapped},
                {"A128GCMKW", gcm_wrapped},
                {"A192GCMKW", gcm_wrapped},
                {"A256GCMKW", gcm_wrapped},
                {"RSA-OAEP", oaep},
                {"RSA-OAEP-256", oaep},
                {"ECDH-ES", ecdh},
                {"ECDH-ES+A128KW", ecdh_wrapped},
                {"ECDH-ES+A192KW", ecdh_wrapped},
                {"ECDH-ES+A256KW", ecdh_wrapped}};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        if (str_is(r->alg, ways[i].alg)) {
            return ways[i].run(a, key, r, cek);
        }
    }
    FAIL(ERR_UNSUPPORTED, "key management '%.*s' is not supported",
         STR_FMT(str_sub(r->alg, 0, 64)));
}
