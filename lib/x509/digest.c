#include "digest.h"

#include "lib/base/secret.h"
#include "ossl.h"

#include <openssl/hmac.h>

size_t digest_size(enum digest_alg alg)
{
    static const uint8_t sizes[] = {16, 20, 28, 32, 48, 64, 28, 32};
    BUG_ON(alg >= ARRAY_LEN(sizes));
    return sizes[alg];
}

size_t digest_parts(enum digest_alg alg, const struct str *parts, size_t n, uint8_t out[DIGEST_MAX])
{
    static EVP_MD_CTX *kept;
    if (kept == NULL) {
        kept = EVP_MD_CTX_new();
    }
    BUG_ON(kept == NULL || EVP_DigestInit_ex2(kept, ossl_md(alg), NULL) != 1);
    for (size_t i = 0; i < n; i++) {
        BUG_ON(EVP_DigestUpdate(kept, parts[i].p, parts[i].n) != 1);
    }
    unsigned len = 0;
    BUG_ON(EVP_DigestFinal_ex(kept, out, &len) != 1);
    return len;
}

size_t digest(enum digest_alg alg, struct str bytes, uint8_t out[DIGEST_MAX])
{
    return digest_parts(alg, &bytes, 1, out);
}

/* HMAC by its definition: two digests on contexts that are already fetched (RFC 2104 section 2). */
size_t digest_hmac(enum digest_alg alg, struct str key, struct str bytes, uint8_t out[DIGEST_MAX])
{
    size_t block = alg >= DIGEST_SHA384 ? 128 : 64;
    uint8_t pad[128] = {0}, hashed[DIGEST_MAX];
    if (key.n > block) {
        size_t n = digest(alg, key, hashed);
        memcpy(pad, hashed, n);
    } else if (key.n > 0) {
        memcpy(pad, key.p, key.n);
    }
    for (size_t i = 0; i < block; i++) {
        pad[i] ^= 0x36;
    }
    struct str inner[] = {str_n(pad, block), bytes};
    size_t n = digest_parts(alg, inner, 2, hashed);
    for (size_t i = 0; i < block; i++) {
        pad[i] ^= 0x36 ^ 0x5c;
    }
    struct str outer[] = {str_n(pad, block), str_n(hashed, n)};
    digest_parts(alg, outer, 2, out);
    wipe(pad, sizeof(pad));
    wipe(hashed, sizeof(hashed));
    return n;
}

struct err digest_hkdf(enum digest_alg alg, struct str salt, struct str secret, struct str info,
                       void *out, size_t n)
{
    size_t size = digest_size(alg);
    ENSURE(n <= 255 * size, ERR_RANGE, "HKDF gives at most %zu bytes, not %zu", 255 * size, n);
    ENSURE(info.n <= 1024, ERR_RANGE, "HKDF info of %zu bytes; at most 1024", info.n);
    uint8_t zeros[DIGEST_MAX] = {0}, prk[DIGEST_MAX], block[DIGEST_MAX];
    uint8_t input[DIGEST_MAX + 1024 + 1];
    digest_hmac(alg, salt.n > 0 ? salt : str_n(zeros, size), secret, prk);
    size_t have = 0, done = 0;
    for (unsigned counter = 1; done < n; counter++) {
        size_t len = 0;
        memcpy(input, block, have);
        len += have;
        if (info.n > 0) {
            memcpy(input + len, info.p, info.n);
            len += info.n;
        }
        input[len++] = (uint8_t)counter;
        have = digest_hmac(alg, str_n(prk, size), str_n(input, len), block);
        size_t take = MIN(have, n - done);
        memcpy((uint8_t *)out + done, block, take);
        done += take;
    }
    wipe(prk, sizeof(prk));
    wipe(block, sizeof(block));
    wipe(input, sizeof(input));
    return OK;
}

struct err digest_pbkdf2(enum digest_alg alg, struct str password, struct str salt,
                         uint32_t iterations, void *out, size_t n)
{
    ENSURE(iterations > 0 && iterations <= INT32_MAX, ERR_RANGE,
           "PBKDF2 needs 1 or more iterations");
    ENSURE(n <= 1024 && password.n <= INT32_MAX && salt.n <= INT32_MAX, ERR_RANGE,
           "PBKDF2 gives at most 1024 bytes, not %zu", n);
    if (PKCS5_PBKDF2_HMAC(password.n > 0 ? password.p : "", (int)password.n,
                          (const unsigned char *)salt.p, (int)salt.n, (int)iterations, ossl_md(alg),
                          (int)n, out) != 1) {
        return ossl_err(ERR_OK, "PBKDF2");
    }
    return OK;
}

struct digest_state {
    EVP_MD_CTX *ctx;
};

struct digest_state *digest_begin(enum digest_alg alg)
{
    struct digest_state *d = calloc(1, sizeof(*d));
    BUG_ON(d == NULL);
    d->ctx = EVP_MD_CTX_new();
    BUG_ON(d->ctx == NULL || EVP_DigestInit_ex2(d->ctx, ossl_md(alg), NULL) != 1);
    return d;
}

void digest_add(struct digest_state *d, struct str bytes)
{
    BUG_ON(EVP_DigestUpdate(d->ctx, bytes.p, bytes.n) != 1);
}

size_t digest_end(struct digest_state *d, uint8_t out[DIGEST_MAX])
{
    uint8_t sum[DIGEST_MAX];
    unsigned n = 0;
    BUG_ON(EVP_DigestFinal_ex(d->ctx, sum, &n) != 1);
    if (out != NULL) {
        memcpy(out, sum, n);
    }
    EVP_MD_CTX_free(d->ctx);
    free(d);
    return n;
}
