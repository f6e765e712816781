/*
 * aead: authenticated encryption and key wrapping as JWE needs them (RFC 7518 sections 4.4 and 5).
 *
 * Algorithms are fetched once. Opening gives nothing unless the tag is right, and wipes what it had; keys and
 * plaintext go through buffers that are wiped. Failures say no more than that it failed.
 */
#ifndef SEXTANT_JOSE_AEAD_H
#define SEXTANT_JOSE_AEAD_H

#include "lib/base/buf.h"

enum { AEAD_TAG = 16, AEAD_KEY_MAX = 64, AEAD_IV_MAX = 128, AEAD_TEXT_MAX = 16 * 1024 * 1024 };

/* AES-GCM; keys of 16, 24 or 32 bytes, any nonce of 1 to AEAD_IV_MAX bytes, tags of 16. ERR_RANGE. */
struct err aead_gcm_seal(struct str key, struct str iv, struct str aad, struct str plain,
                         struct buf *cipher, uint8_t tag[AEAD_TAG]);
/* ERR_SIGNATURE when the tag does not fit. `plain` should be wiped when released (buf_init_secret). */
struct err aead_gcm_open(struct str key, struct str iv, struct str aad, struct str cipher,
                         struct str tag, struct buf *plain);
/* AES-CBC with HMAC-SHA2 (RFC 7518 section 5.2.2): keys of 32, 48 or 64 bytes, half for each. */
struct err aead_cbc_hmac_open(struct str key, struct str iv, struct str aad, struct str cipher,
                              struct str tag, struct buf *plain);
/* AES key wrap (RFC 3394). */
struct err aes_unwrap(struct str kek, struct str wrapped, struct buf *key);

#endif
