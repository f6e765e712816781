/*
 * barrier: everything secrets keeps passes through it, encrypted and bound to its place.
 *
 * A record is be32 term, version byte 2, nonce (12), ciphertext, tag (16): AES-256-GCM under the key of
 * the term, with the storage path as associated data, so that a record that is moved to another path
 * does not open. The keyring (one key a term) is itself a record under the root key; the root
 * key is held by nobody here: the seal (crypto's transit key, or Shamir's shares) gives it back.
 *
 *     TRY(barrier_create(&b));
 *     TRY(barrier_seal(b, S("logical/x/a"), value, &blob));
 *     TRY(barrier_open(b, S("logical/x/a"), blob, &value));
 */
#ifndef SEXTANT_SECRETS_BARRIER_H
#define SEXTANT_SECRETS_BARRIER_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/secret.h"

enum {
    BARRIER_TERMS_MAX = 1024,
    BARRIER_OVERHEAD = 33, /* bytes a record is longer than its value */
    BARRIER_VALUE_MAX = 32 << 20,
};

/* A new term is due at this many records under one key: 90 % of 2^32. */
#define BARRIER_ROTATE_AT UINT64_C(3865470566)

struct barrier;

struct err barrier_create(struct barrier **out); /* a new keyring of one term */
/* The keyring as a record under the root key (32 bytes), and back. */
struct err barrier_export(struct barrier *b, const struct secret *root_key, struct buf *out);
struct err barrier_import(const struct secret *root_key, struct str record, struct barrier **out);
void barrier_free(struct barrier *b); /* wipes every key; NULL ok */

struct err barrier_seal(struct barrier *b, struct str path, struct str value, struct buf *out);
/* ERR_SYNTAX, ERR_SIGNATURE, ERR_NOT_FOUND (unknown term). Reads version 1 (no path bound) too. */
struct err barrier_open(struct barrier *b, struct str path, struct str record, struct buf *out);

struct err barrier_rotate(struct barrier *b); /* adds a term; old ones stay for reading */
uint32_t barrier_term(const struct barrier *b);
int64_t barrier_installed_ns(const struct barrier *b); /* wall time of the newest term */
uint64_t barrier_encryptions(const struct barrier *b); /* records under the newest term, this run */

#endif
