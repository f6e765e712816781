#include "digest.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct sha256), "struct sha256 is too small");
_Static_assert(SHA256_DIGEST_LENGTH == SHA256_BYTES, "SHA-256 has 32 bytes");

enum { HMAC_BLOCK = 64 };

static SHA256_CTX *context(struct sha256 *h)
{
    return (SHA256_CTX *)(void *)h->opaque;
}

void sha256_init(struct sha256 *h)
{
    BUG_ON(SHA256_Init(context(h)) != 1);
}

void sha256_add(struct sha256 *h, struct str bytes)
{
    if (bytes.n > 0) {
        BUG_ON(SHA256_Update(context(h), bytes.p, bytes.n) != 1);
    }
}

void sha256_end(struct sha256 *h, uint8_t out[SHA256_BYTES])
{
    BUG_ON(SHA256_Final(out, context(h)) != 1);
}

void sha256_of(struct str bytes, uint8_t out[SHA256_BYTES])
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, bytes);
    sha256_end(&h, out);
}

void hmac_sha256(struct str key, struct str bytes, uint8_t out[SHA256_BYTES])
{
    uint8_t pad[HMAC_BLOCK] = {0}, inner[SHA256_BYTES];
    if (key.n > HMAC_BLOCK) {
        sha256_of(key, pad);
    } else if (key.n > 0) {
        memcpy(pad, key.p, key.n);
    }
    struct sha256 h;
    for (size_t i = 0; i < HMAC_BLOCK; i++) {
        pad[i] ^= 0x36;
    }
    sha256_init(&h);
    sha256_add(&h, str_n(pad, sizeof(pad)));
    sha256_add(&h, bytes);
    sha256_end(&h, inner);
    for (size_t i = 0; i < HMAC_BLOCK; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    sha256_init(&h);
    sha256_add(&h, str_n(pad, sizeof(pad)));
    sha256_add(&h, str_n(inner, sizeof(inner)));
    sha256_end(&h, out);
    wipe(pad, sizeof(pad));
    wipe(&h, sizeof(h));
}

bool ed25519_verify(const uint8_t public_key[ED25519_KEY_BYTES], struct str message, struct str sig)
{
    if (sig.n != ED25519_SIG_BYTES) {
        return false;
    }
    EVP_PKEY *key =
        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ED25519_KEY_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = key != NULL && ctx != NULL &&
                EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestVerify(ctx, (const unsigned char *)sig.p, sig.n,
                                 (const unsigned char *)message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good;
}

static struct err key_of_seed(const struct secret *seed, EVP_PKEY **out)
{
    struct str bytes = secret_bytes(seed);
    ENSURE(bytes.n == ED25519_KEY_BYTES, ERR_CRYPTO, "an Ed25519 seed has 32 bytes, not %zu",
           bytes.n);
    *out = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.p,
                                        bytes.n);
    ENSURE(*out != NULL, ERR_CRYPTO, "OpenSSL refused an Ed25519 seed");
    return OK;
}

struct err ed25519_public(const struct secret *seed, uint8_t public_key[ED25519_KEY_BYTES])
{
    EVP_PKEY *key;
    TRY(key_of_seed(seed, &key));
    size_t n = ED25519_KEY_BYTES;
    bool good = EVP_PKEY_get_raw_public_key(key, public_key, &n) == 1;
    EVP_PKEY_free(key);
    ENSURE(good, ERR_CRYPTO, "OpenSSL gave no Ed25519 public key");
    return OK;
}

struct err ed25519_sign(const struct secret *seed, struct str message,
                        uint8_t sig[ED25519_SIG_BYTES])
{
    EVP_PKEY *key;
    TRY(key_of_seed(seed, &key));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t n = ED25519_SIG_BYTES;
    bool good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(ctx, sig, &n, (const unsigned char *)message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    ENSURE(good && n == ED25519_SIG_BYTES, ERR_CRYPTO, "OpenSSL could not sign with Ed25519");
    return OK;
}
