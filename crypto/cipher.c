#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>

#include "cipher.h"

#include "lib/base/codec.h"

#include <sodium.h>

enum { TAG = 16, NONCE_MAX = 24, HMAC_HALF = 32 };

static size_t nonce_size(enum key_type type)
{
    return type == KEY_XCHACHA20 ? 24 : 12;
}

/* The key to use, and for convergent keys the second half that makes the nonce. */
struct aead_key {
    struct secret derived; /* empty: the version's own, whose contexts are ready */
    size_t n;              /* bytes of the first half */
};

static struct err aead_key(const struct ckey *k, const struct key_version *v,
                           const struct crypt_item *item, struct aead_key *out)
{
    *out = (struct aead_key){.n = key_kinds[k->type].bytes};
    if ((k->flags & KEY_DERIVED) == 0) {
        return OK;
    }
    ENSURE(item->has_context && item->context.n > 0, ERR_INVALID,
           "missing 'context' for key derivation; the key was created using a derived key, which "
           "means additional, per-request information must be included in order to perform "
           "operations with the key");
    size_t more = (k->flags & KEY_CONVERGENT) != 0 ? HMAC_HALF : 0;
    return key_derive(v, item->context, out->n + more, &out->derived);
}

static struct err make_nonce(const struct ckey *k, const struct aead_key *key, struct str plaintext,
                             unsigned char *nonce)
{
    if ((k->flags & KEY_CONVERGENT) == 0) {
        random_bytes(nonce, nonce_size(k->type));
        return OK;
    }
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const char *half = secret_bytes(&key->derived).p + key->n;
    ENSURE(HMAC(EVP_sha256(), half, HMAC_HALF, (const unsigned char *)plaintext.p, plaintext.n, mac,
                &n) != NULL,
           ERR_CRYPTO, "the nonce could not be made");
    memcpy(nonce, mac, nonce_size(k->type));
    wipe(mac, sizeof(mac));
    return OK;
}

static const EVP_CIPHER *cipher_of(enum key_type type)
{
    return type == KEY_AES128   ? EVP_aes_128_gcm()
           : type == KEY_AES256 ? EVP_aes_256_gcm()
                                : EVP_chacha20_poly1305();
}

/* The prepared context of the version, or a fresh one for a derived key (then *own is set). */
static EVP_CIPHER_CTX *context_for(const struct ckey *k, const struct key_version *v,
                                   const struct aead_key *key, bool encrypt, EVP_CIPHER_CTX **own)
{
    *own = NULL;
    if (key->derived.n == 0) {
        return encrypt ? v->enc : v->dec;
    }
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const unsigned char *bytes = (const unsigned char *)secret_bytes(&key->derived).p;
    if (ctx == NULL ||
        EVP_CipherInit_ex(ctx, cipher_of(k->type), NULL, bytes, NULL, encrypt) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        return NULL;
    }
    *own = ctx;
    return ctx;
}

static bool run_aead(EVP_CIPHER_CTX *ctx, bool encrypt, const unsigned char *nonce, struct str aad,
                     struct str in, unsigned char *out, unsigned char *tag)
{
    int n = 0;
    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, encrypt) == 1 &&
           (aad.n == 0 ||
            EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)aad.p, (int)aad.n) == 1) &&
           (in.n == 0 ||
            EVP_CipherUpdate(ctx, out, &n, (const unsigned char *)in.p, (int)in.n) == 1) &&
           (encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, tag) == 1) &&
           EVP_CipherFinal_ex(ctx, out + in.n, &n) == 1 &&
           (!encrypt || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, TAG, tag) == 1);
}

static const unsigned char *xchacha_key(const struct key_version *v, const struct aead_key *key)
{
    struct str s = key->derived.n > 0 ? secret_bytes(&key->derived) : secret_bytes(&v->material);
    return (const unsigned char *)s.p;
}

static bool aead_seal(const struct ckey *k, struct key_version *v, const struct aead_key *key,
                      const unsigned char *nonce, const struct crypt_item *item,
                      unsigned char *room)
{
    struct str in = item->input;
    if (k->type == KEY_XCHACHA20) {
        return crypto_aead_xchacha20poly1305_ietf_encrypt(room, NULL, (const unsigned char *)in.p,
                                                          in.n, (const unsigned char *)item->aad.p,
                                                          item->aad.n, NULL, nonce,
                                                          xchacha_key(v, key)) == 0;
    }
    EVP_CIPHER_CTX *own, *ctx = context_for(k, v, key, true, &own);
    bool good = ctx != NULL && run_aead(ctx, true, nonce, item->aad, in, room, room + in.n);
    EVP_CIPHER_CTX_free(own);
    return good;
}

static bool aead_open(const struct ckey *k, struct key_version *v, const struct aead_key *key,
                      const struct crypt_item *item, unsigned char *room)
{
    size_t nonce_n = nonce_size(k->type);
    struct str nonce = str_sub(item->input, 0, nonce_n);
    struct str body = str_sub(item->input, nonce_n, item->input.n);
    struct str text = str_sub(body, 0, body.n - TAG);
    if (k->type == KEY_XCHACHA20) {
        return crypto_aead_xchacha20poly1305_ietf_decrypt(
                   room, NULL, NULL, (const unsigned char *)body.p, body.n,
                   (const unsigned char *)item->aad.p, item->aad.n, (const unsigned char *)nonce.p,
                   xchacha_key(v, key)) == 0;
    }
    unsigned char tag[TAG];
    memcpy(tag, body.p + text.n, TAG);
    EVP_CIPHER_CTX *own, *ctx = context_for(k, v, key, false, &own);
    bool good = ctx != NULL &&
                run_aead(ctx, false, (const unsigned char *)nonce.p, item->aad, text, room, tag);
    EVP_CIPHER_CTX_free(own);
    return good;
}

static struct err encrypt_aead(const struct ckey *k, struct key_version *v,
                               const struct crypt_item *item, struct buf *out)
{
    struct aead_key key;
    unsigned char nonce[NONCE_MAX];
    TRY(aead_key(k, v, item, &key));
    struct err e = make_nonce(k, &key, item->input, nonce);
    if (!failed(e)) {
        buf_put(out, nonce, nonce_size(k->type));
        char *room = buf_reserve(out, item->input.n + TAG);
        if (room == NULL) {
            e = err_make(ERR_LIMIT, "the ciphertext is too large");
        } else if (!aead_seal(k, v, &key, nonce, item, (unsigned char *)room)) {
            e = err_make(ERR_CRYPTO, "encryption failed");
        } else {
            buf_commit(out, item->input.n + TAG);
        }
    }
    secret_release(&key.derived);
    return e;
}

static struct err decrypt_aead(const struct ckey *k, struct key_version *v,
                               const struct crypt_item *item, struct buf *out)
{
    struct aead_key key;
    size_t extra = nonce_size(k->type) + TAG;
    ENSURE(item->input.n >= extra, ERR_INVALID, "invalid ciphertext length");
    TRY(aead_key(k, v, item, &key));
    struct err e = OK;
    size_t n = item->input.n - extra;
    char *room = buf_reserve(out, n + 1);
    if (room == NULL) {
        e = err_make(ERR_LIMIT, "the plaintext is too large");
    } else if (!aead_open(k, v, &key, item, (unsigned char *)room)) {
        wipe(room, n); /* bytes that were never authenticated */
        e = err_make(ERR_INVALID, "invalid ciphertext: unable to decrypt");
    } else {
        buf_commit(out, n);
    }
    secret_release(&key.derived);
    return e;
}

static struct err rsa_oaep(struct key_version *v, bool encrypt, struct str in, struct buf *out)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(v->pkey, NULL);
    size_t n = (size_t)EVP_PKEY_get_size(v->pkey);
    char *room = buf_reserve(out, n);
    const unsigned char *p = (const unsigned char *)in.p;
    bool good = ctx != NULL && room != NULL &&
                (encrypt ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx)) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
                EVP_PKEY_CTX_set_rsa_oaep_md(ctx, EVP_sha256()) == 1 &&
                (encrypt ? EVP_PKEY_encrypt(ctx, (unsigned char *)room, &n, p, in.n)
                         : EVP_PKEY_decrypt(ctx, (unsigned char *)room, &n, p, in.n)) == 1;
    EVP_PKEY_CTX_free(ctx);
    ENSURE(good, ERR_INVALID,
           encrypt ? "the plaintext is too long for this RSA key"
                   : "invalid ciphertext: unable to decrypt");
    buf_commit(out, n);
    return OK;
}

static struct err check_use(const struct ckey *k, const struct crypt_item *item, const char *what)
{
    const struct key_kind *kind = &key_kinds[k->type];
    ENSURE(kind->aead || kind->rsa, ERR_INVALID, "message %s not supported for key type %s", what,
           kind->name);
    ENSURE(!kind->rsa || item->aad.n == 0, ERR_INVALID,
           "associated data not supported for key type %s", kind->name);
    return OK;
}

struct err cipher_encrypt(const struct ckey *k, struct key_version *v,
                          const struct crypt_item *item, struct buf *out)
{
    TRY(check_use(k, item, "encryption"));
    return key_kinds[k->type].rsa ? rsa_oaep(v, true, item->input, out)
                                  : encrypt_aead(k, v, item, out);
}

struct err cipher_decrypt(const struct ckey *k, struct key_version *v,
                          const struct crypt_item *item, struct buf *out)
{
    TRY(check_use(k, item, "decryption"));
    return key_kinds[k->type].rsa ? rsa_oaep(v, false, item->input, out)
                                  : decrypt_aead(k, v, item, out);
}
