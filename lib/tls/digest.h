/*
 * digest: hashes, MACs and Ed25519 for folders that may not include OpenSSL themselves.
 *
 * SHA-256 goes through the library's low-level context, which lives on the caller's stack: a
 * Merkle tree hashes millions of 64-byte messages, and the fetched, allocated form costs five
 * times as much for each of them. Nothing here allocates but the Ed25519 calls.
 *
 *     struct sha256 h;
 *     sha256_init(&h);
 *     sha256_add(&h, S("\x00"));
 *     sha256_add(&h, leaf);
 *     sha256_end(&h, out);
 */
#ifndef SEXTANT_DIGEST_H
#define SEXTANT_DIGEST_H

#include "lib/base/err.h"
#include "lib/base/secret.h"

enum { SHA256_BYTES = 32, ED25519_KEY_BYTES = 32, ED25519_SIG_BYTES = 64 };

struct sha256 {
    uint64_t opaque[14]; /* holds OpenSSL's SHA256_CTX, checked when compiled */
};

void sha256_init(struct sha256 *h);
void sha256_add(struct sha256 *h, struct str bytes);
void sha256_end(struct sha256 *h, uint8_t out[SHA256_BYTES]);
void sha256_of(struct str bytes, uint8_t out[SHA256_BYTES]); /* the three in one */

/* RFC 2104 over SHA-256; any key length. */
void hmac_sha256(struct str key, struct str bytes, uint8_t out[SHA256_BYTES]);

/* RFC 8032, pure Ed25519. False for any signature that is not 64 bytes or does not verify. */
bool ed25519_verify(const uint8_t public_key[ED25519_KEY_BYTES], struct str message,
                    struct str sig);

/* The public key of a 32-byte seed; ERR_CRYPTO when the seed has another length. */
struct err ed25519_public(const struct secret *seed, uint8_t public_key[ED25519_KEY_BYTES]);
struct err ed25519_sign(const struct secret *seed, struct str message,
                        uint8_t sig[ED25519_SIG_BYTES]);

#endif
