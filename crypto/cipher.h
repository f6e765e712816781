/*
 * cipher: encryption and signatures with one version of a key. Byte formats are those of the Transit
 * API: an AEAD ciphertext is nonce, ciphertext, tag; RSA encrypts with OAEP and SHA-256.
 *
 * Errors whose text is meant for the client: ERR_INVALID. All outputs are appended.
 */
#ifndef SEXTANT_CRYPTO_CIPHER_H
#define SEXTANT_CRYPTO_CIPHER_H

#include "key.h"
#include "wire.h"

const EVP_MD *hash_md(enum hash_algorithm h); /* NULL for HASH_NONE */
enum hash_algorithm hash_of(struct str name); /* "sha2-256"; HASH_MAX when unknown */

struct err cipher_encrypt(const struct ckey *k, struct key_version *v,
                          const struct crypt_item *item, struct buf *out);
struct err cipher_decrypt(const struct ckey *k, struct key_version *v,
                          const struct crypt_item *item, struct buf *out);

/* `public` gets the base64 public key of a derived Ed25519 key, and nothing otherwise. */
struct err cipher_sign(const struct ckey *k, struct key_version *v, const struct crypt_params *p,
                       const struct crypt_item *item, struct buf *out, struct buf *public);
/* A wrong signature is no error: *valid is false. */
struct err cipher_verify(const struct ckey *k, struct key_version *v, const struct crypt_params *p,
                         const struct crypt_item *item, bool *valid);

struct err cipher_hmac(const struct ckey *k, const struct key_version *v, enum hash_algorithm h,
                       struct str input, struct buf *out);

#endif
