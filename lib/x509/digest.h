/*
 * digest: hashes, HMAC and HKDF, on algorithms that were looked up once.
 *
 * Looking an algorithm up costs more than hashing a short text with it, so every wrapper here works
 * on the handles of fetched.h and on contexts that are kept. Not for use on pool threads.
 *
 *     uint8_t sum[DIGEST_MAX];
 *     size_t n = digest(DIGEST_SHA256, S("abc"), sum);
 */
#ifndef SEXTANT_X509_DIGEST_H
#define SEXTANT_X509_DIGEST_H

#include "lib/base/err.h"
#include "lib/base/str.h"

enum digest_alg {
    DIGEST_MD5,
    DIGEST_SHA1,
    DIGEST_SHA224,
    DIGEST_SHA256,
    DIGEST_SHA384,
    DIGEST_SHA512,
    DIGEST_SHA512_224, /* FIPS 180-4 section 5.3.6: SHA-512 cut, from starting values of its own */
    DIGEST_SHA512_256,
};
enum { DIGEST_MAX = 64 };

size_t digest_size(enum digest_alg alg); /* bytes: 16..64 */

/* Writes digest_size(alg) bytes to `out` and returns how many. Never fails: aborts without libcrypto. */
size_t digest(enum digest_alg alg, struct str bytes, uint8_t out[DIGEST_MAX]);
/* The digest of several slices laid end to end. */
size_t digest_parts(enum digest_alg alg, const struct str *parts, size_t n,
                    uint8_t out[DIGEST_MAX]);

/* RFC 2104. */
size_t digest_hmac(enum digest_alg alg, struct str key, struct str bytes, uint8_t out[DIGEST_MAX]);

/* RFC 5869, extract and expand; ERR_RANGE when n is over 255 digests. */
struct err digest_hkdf(enum digest_alg alg, struct str salt, struct str secret, struct str info,
                       void *out, size_t n);

/* RFC 8018 section 5.2. ERR_RANGE for no iterations or n over 1 KiB. */
struct err digest_pbkdf2(enum digest_alg alg, struct str password, struct str salt,
                         uint32_t iterations, void *out, size_t n);

/* An incremental hash, for streams. */
struct digest_state;
struct digest_state *digest_begin(enum digest_alg alg);
void digest_add(struct digest_state *d, struct str bytes);
size_t digest_end(struct digest_state *d, uint8_t out[DIGEST_MAX]); /* frees `d`; out may be NULL */

#endif
