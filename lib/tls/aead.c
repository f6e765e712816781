#include "aead.h"

#include "lib/base/codec.h"

#include <openssl/evp.h>

struct aead {
    EVP_CIPHER_CTX *seal, *open; /* the key is set; a nonce comes with each record */
    uint64_t count;
};

struct err aead_new(const struct secret *key, struct aead **out)
{
    ENSURE(key->n == AEAD_KEY_BYTES, ERR_CRYPTO, "an AES-256 key has 32 bytes, not %zu", key->n);
    struct aead *a = calloc(1, sizeof *a);
    BUG_ON(a == NULL);
    const unsigned char *k = (const unsigned char *)secret_bytes(key).p;
    a->seal = EVP_CIPHER_CTX_new();
    a->open = EVP_CIPHER_CTX_new();
    EVP_CIPHER *gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    bool ok = a->seal != NULL && a->open != NULL && gcm != NULL &&
              EVP_EncryptInit_ex2(a->seal, gcm, k, NULL, NULL) == 1 &&
              EVP_DecryptInit_ex2(a->open, gcm, k, NULL, NULL) == 1;
    EVP_CIPHER_free(gcm);
    if (!ok) {
        aead_free(a);
        FAIL(ERR_CRYPTO, "AES-256-GCM is not available");
    }
    *out = a;
    return OK;
}

void aead_free(struct aead *a)
{
    if (a != NULL) {
        EVP_CIPHER_CTX_free(a->seal);
        EVP_CIPHER_CTX_free(a->open);
        free(a);
    }
}

static const unsigned char *bytes(struct str s)
{
    return (const unsigned char *)(s.p != NULL ? s.p : "");
}

struct err aead_seal(struct aead *a, struct str aad, struct str plaintext, struct buf *out)
{
    ENSURE(plaintext.n <= AEAD_BYTES_MAX && aad.n <= AEAD_BYTES_MAX, ERR_LIMIT,
           "more than %d bytes in one record", AEAD_BYTES_MAX);
    size_t need = AEAD_NONCE_BYTES + plaintext.n + AEAD_TAG_BYTES;
    unsigned char *p = (unsigned char *)buf_reserve(out, need);
    ENSURE(p != NULL, ERR_LIMIT, "no room for a record of %zu bytes", need);
    random_bytes(p, AEAD_NONCE_BYTES);
    unsigned char *text = p + AEAD_NONCE_BYTES;
    int n = 0;
    bool ok = EVP_EncryptInit_ex2(a->seal, NULL, NULL, p, NULL) == 1 &&
              (aad.n == 0 || EVP_EncryptUpdate(a->seal, NULL, &n, bytes(aad), (int)aad.n) == 1) &&
              EVP_EncryptUpdate(a->seal, text, &n, bytes(plaintext), (int)plaintext.n) == 1 &&
              EVP_EncryptFinal_ex(a->seal, text + plaintext.n, &n) == 1 &&
              EVP_CIPHER_CTX_ctrl(a->seal, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES,
                                  text + plaintext.n) == 1;
    ENSURE(ok, ERR_CRYPTO, "AES-256-GCM failed to encrypt");
    buf_commit(out, need);
    a->count++;
    return OK;
}

struct err aead_open(struct aead *a, struct str aad, struct str record, struct buf *out)
{
    ENSURE(record.n >= AEAD_NONCE_BYTES + AEAD_TAG_BYTES, ERR_SYNTAX, "the record is cut short");
    ENSURE(record.n <= (size_t)AEAD_BYTES_MAX + 64 && aad.n <= AEAD_BYTES_MAX, ERR_LIMIT,
           "more than %d bytes in one record", AEAD_BYTES_MAX);
    size_t len = record.n - AEAD_NONCE_BYTES - AEAD_TAG_BYTES;
    unsigned char tag[AEAD_TAG_BYTES];
    memcpy(tag, record.p + record.n - AEAD_TAG_BYTES, sizeof tag);
    unsigned char *p = (unsigned char *)buf_reserve(out, len + 1);
    ENSURE(p != NULL, ERR_LIMIT, "no room for a record of %zu bytes", len);
    int n = 0;
    const unsigned char *r = bytes(record);
    bool ok = EVP_DecryptInit_ex2(a->open, NULL, NULL, r, NULL) == 1 &&
              (aad.n == 0 || EVP_DecryptUpdate(a->open, NULL, &n, bytes(aad), (int)aad.n) == 1) &&
              EVP_DecryptUpdate(a->open, p, &n, r + AEAD_NONCE_BYTES, (int)len) == 1 &&
              EVP_CIPHER_CTX_ctrl(a->open, EVP_CTRL_AEAD_SET_TAG, AEAD_TAG_BYTES, tag) == 1 &&
              EVP_DecryptFinal_ex(a->open, p + len, &n) == 1;
    if (!ok) {
        wipe(p, len);
        FAIL(ERR_SIGNATURE, "the record was changed, or another key made it");
    }
    buf_commit(out, len);
    return OK;
}

uint64_t aead_count(const struct aead *a)
{
    return a->count;
}
