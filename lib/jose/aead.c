#include "aead.h"

#include "lib/x509/digest.h"
#include "lib/x509/ossl.h"

enum mode { GCM, CBC, WRAP };

/* One handle a mode and key size, fetched at first use. */
static EVP_CIPHER *cipher_of(enum mode mode, size_t key_bytes)
{
    static const char *const names[3][3] = {{"AES-128-GCM", "AES-192-GCM", "AES-256-GCM"},
                                            {"AES-128-CBC", "AES-192-CBC", "AES-256-CBC"},
                                            {"AES-128-WRAP", "AES-192-WRAP", "AES-256-WRAP"}};
    static EVP_CIPHER *fetched[3][3];
    if (key_bytes != 16 && key_bytes != 24 && key_bytes != 32) {
        return NULL;
    }
    size_t i = key_bytes / 8 - 2;
    if (fetched[mode][i] == NULL) {
        ossl_init();
        fetched[mode][i] = EVP_CIPHER_fetch(NULL, names[mode][i], NULL);
        BUG_ON(fetched[mode][i] == NULL);
    }
    return fetched[mode][i];
}

static const unsigned char *bytes(struct str s)
{
    return (const unsigned char *)(s.n > 0 ? s.p : "");
}

static struct err gcm_check(struct str key, struct str iv, struct str text)
{
    ENSURE(cipher_of(GCM, key.n) != NULL, ERR_RANGE,
           "an AES key of %zu bytes; 16, 24 or 32 are due", key.n);
    ENSURE(iv.n > 0 && iv.n <= AEAD_IV_MAX, ERR_RANGE, "a nonce of %zu bytes; 1 to %d", iv.n,
           AEAD_IV_MAX);
    ENSURE(text.n <= AEAD_TEXT_MAX, ERR_LIMIT, "%zu bytes to encrypt or decrypt; at most %d",
           text.n, AEAD_TEXT_MAX);
    return OK;
}

static bool gcm_start(EVP_CIPHER_CTX *c, struct str key, struct str iv, struct str aad, int encrypt)
{
    int n;
    return EVP_CipherInit_ex2(c, cipher_of(GCM, key.n), NULL, NULL, encrypt, NULL) == 1 &&
           EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.n, NULL) == 1 &&
           EVP_CipherInit_ex2(c, NULL, bytes(key), bytes(iv), encrypt, NULL) == 1 &&
           (aad.n == 0 || EVP_CipherUpdate(c, NULL, &n, bytes(aad), (int)aad.n) == 1);
}

/* Runs `text` through to the end of `out`; what was written is taken back when it fails. */
static bool gcm_run(EVP_CIPHER_CTX *c, struct str text, struct buf *out, uint8_t *tag_out,
                    struct str tag_in)
{
    int n = 0, last = 0;
    char *room = buf_reserve(out, text.n + 16);
    if (room == NULL ||
        EVP_CipherUpdate(c, (unsigned char *)room, &n, bytes(text), (int)text.n) != 1) {
        return false;
    }
    if (tag_in.n > 0 && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, (int)tag_in.n,
                                            (void *)(uintptr_t)tag_in.p) != 1) {
        return false;
    }
    if (EVP_CipherFinal_ex(c, (unsigned char *)room + n, &last) != 1) {
        wipe(room, (size_t)n);
        return false;
    }
    buf_commit(out, (size_t)(n + last));
    return tag_out == NULL || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG, tag_out) == 1;
}

struct err aead_gcm_seal(struct str key, struct str iv, struct str aad, struct str plain,
                         struct buf *cipher, uint8_t tag[AEAD_TAG])
{
    TRY(gcm_check(key, iv, plain));
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    BUG_ON(c == NULL);
    bool good = gcm_start(c, key, iv, aad, 1) && gcm_run(c, plain, cipher, tag, STR_EMPTY);
    EVP_CIPHER_CTX_free(c);
    return good ? OK : ossl_err(ERR_CRYPTO, "encrypting");
}

struct err aead_gcm_open(struct str key, struct str iv, struct str aad, struct str cipher,
                         struct str tag, struct buf *plain)
{
    TRY(gcm_check(key, iv, cipher));
    ENSURE(tag.n == AEAD_TAG, ERR_SIGNATURE, "an authentication tag of %zu bytes; %d are due",
           tag.n, AEAD_TAG);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    BUG_ON(c == NULL);
    bool good = gcm_start(c, key, iv, aad, 0) && gcm_run(c, cipher, plain, NULL, tag);
    EVP_CIPHER_CTX_free(c);
    return good ? OK : ossl_err(ERR_SIGNATURE, "decryption failed");
}

/* The MAC covers the additional data, the nonce, the ciphertext and the bit length of the first. */
static struct err cbc_check_tag(struct str key, struct str iv, struct str aad, struct str cipher,
                                struct str tag)
{
    static const enum digest_alg mds[] = {DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512};
    struct buf input;
    uint8_t mac[DIGEST_MAX];
    buf_init(&input, aad.n + iv.n + cipher.n + 8);
    buf_puts(&input, aad);
    buf_puts(&input, iv);
    buf_puts(&input, cipher);
    buf_put_be(&input, (uint64_t)aad.n * 8, 8);
    struct err e = buf_check(&input);
    if (!failed(e)) {
        digest_hmac(mds[key.n / 16 - 2], str_sub(key, 0, key.n / 2), buf_str(&input), mac);
        if (!str_eq_secret(str_n(mac, key.n / 2), tag)) {
            e = err_make(ERR_SIGNATURE, "decryption failed");
        }
    }
    buf_release(&input);
    return e;
}

struct err aead_cbc_hmac_open(struct str key, struct str iv, struct str aad, struct str cipher,
                              struct str tag, struct buf *plain)
{
    ENSURE(key.n == 32 || key.n == 48 || key.n == 64, ERR_RANGE,
           "a key of %zu bytes; 32, 48 or 64 are due", key.n);
    ENSURE(iv.n == 16 && cipher.n <= AEAD_TEXT_MAX, ERR_RANGE, "a nonce of %zu bytes; 16 are due",
           iv.n);
    TRY(cbc_check_tag(key, iv, aad, cipher, tag));
    char *room = buf_reserve(plain, cipher.n + 32);
    ENSURE(room != NULL, ERR_LIMIT, "no room for the plaintext");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    BUG_ON(c == NULL);
    int n = 0, last = 0;
    bool good =
        EVP_DecryptInit_ex2(c, cipher_of(CBC, key.n / 2), bytes(str_sub(key, key.n / 2, key.n)),
                            bytes(iv), NULL) == 1 &&
        EVP_DecryptUpdate(c, (unsigned char *)room, &n, bytes(cipher), (int)cipher.n) == 1 &&
        EVP_DecryptFinal_ex(c, (unsigned char *)room + n, &last) == 1;
    EVP_CIPHER_CTX_free(c);
    if (!good) {
        return ossl_err(ERR_SIGNATURE, "decryption failed");
    }
    buf_commit(plain, (size_t)(n + last));
    return OK;
}

struct err aes_unwrap(struct str kek, struct str wrapped, struct buf *key)
{
    EVP_CIPHER *cipher = cipher_of(WRAP, kek.n);
    ENSURE(cipher != NULL, ERR_RANGE, "an AES key of %zu bytes; 16, 24 or 32 are due", kek.n);
    ENSURE(wrapped.n >= 24 && wrapped.n % 8 == 0 && wrapped.n <= AEAD_KEY_MAX + 8, ERR_SIGNATURE,
           "decryption failed");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    BUG_ON(c == NULL);
    unsigned char out[AEAD_KEY_MAX + 16];
    int n = 0, last = 0;
    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    bool good = EVP_DecryptInit_ex2(c, cipher, bytes(kek), NULL, NULL) == 1 &&
                EVP_DecryptUpdate(c, out, &n, bytes(wrapped), (int)wrapped.n) == 1 && n > 0 &&
                EVP_DecryptFinal_ex(c, out + n, &last) == 1;
    EVP_CIPHER_CTX_free(c);
    if (good) {
        buf_put(key, out, (size_t)(n + last));
    }
    wipe(out, sizeof(out));
    return good ? OK : ossl_err(ERR_SIGNATURE, "decryption failed");
}
