/*
 * aead: AES-256-GCM for folders that may not include OpenSSL themselves.
 *
 * One `struct aead` holds one key in an initialised context: setting a key up costs more than
 * encrypting a short record with it. A nonce is drawn for every record; with random 96-bit nonces at
 * most 2^32 records go under one key, and aead_count() says how many this process has made.
 *
 *     TRY(aead_new(&key, &a));
 *     TRY(aead_seal(a, path, plaintext, &out));     appends nonce, ciphertext, tag
 *     TRY(aead_open(a, path, record, &plain));      ERR_SIGNATURE for anything that was touched
 *
 * NIST SP 800-38D.
 */
#ifndef SEXTANT_AEAD_H
#define SEXTANT_AEAD_H

#include "lib/base/buf.h"
#include "lib/base/secret.h"

enum { AEAD_KEY_BYTES = 32, AEAD_NONCE_BYTES = 12, AEAD_TAG_BYTES = 16, AEAD_BYTES_MAX = 64 << 20 };

struct aead;

struct err aead_new(const struct secret *key,
                    struct aead **out); /* ERR_CRYPTO for another length */
void aead_free(struct aead *a);         /* wipes; NULL ok */

/* Appends nonce (12), ciphertext and tag (16) to `out`. ERR_LIMIT when it does not fit. */
struct err aead_seal(struct aead *a, struct str aad, struct str plaintext, struct buf *out);
/* Appends the plaintext. ERR_SYNTAX for a record that is too short, ERR_SIGNATURE for a false one. */
struct err aead_open(struct aead *a, struct str aad, struct str record, struct buf *out);
uint64_t aead_count(const struct aead *a); /* records sealed since aead_new */

#endif
