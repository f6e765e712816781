/*
 * seal: how keys rest in the database. Each record is sealed by itself with AES-256-GCM under the seal
 * key; what the record is (its kind, key name and version) is bound in as additional data, so that a
 * record moved to another place does not open.
 *
 * Layout: format (8 bits, 1), nonce (12 bytes), ciphertext, tag (16 bytes). Nonces are random: with a key
 * that seals far fewer than 2^32 records a repeat is out of reach.
 *
 * The seal key is 32 random bytes in a file that its uid alone can read, made by `sextant-crypto init`.
 */
#ifndef SEXTANT_CRYPTO_SEAL_H
#define SEXTANT_CRYPTO_SEAL_H

#include "lib/base/buf.h"
#include "lib/base/secret.h"

enum { SEAL_KEY_BYTES = 32, SEAL_NONCE = 12, SEAL_TAG = 16, SEAL_OVERHEAD = 1 + 12 + 16 };

struct err seal_key_create(const char *path, struct secret *out); /* ERR_EXISTS */
/* ERR_NOT_FOUND; ERR_DENIED when others may read the file; ERR_SYNTAX when it has a wrong length. */
struct err seal_key_read(const char *path, struct secret *out);

struct err seal_record(const struct secret *key, struct str place, struct str plain,
                       struct buf *out);
/* ERR_SIGNATURE when the record is not what was sealed for this place under this key. */
struct err seal_open(const struct secret *key, struct str place, struct str sealed,
                     struct secret *out);

#endif
