/*
 * key: a named key with its versions, rules and grants, inside the process that holds the keys.
 *
 * A key rests as one sealed record of its rules (type, flags, version limits, grants) and one sealed
 * record a version (material). Versions count from 1; `latest` is the newest. Nothing here writes to
 * the database: a change makes new records, which count once they are loaded again.
 *
 * Grants say who may do what: a SPIFFE id, or one that ends in "/" and a star for everything below it,
 * with a set of operations. There is no default: a caller that no grant names is denied.
 */
#ifndef SEXTANT_CRYPTO_KEY_H
#define SEXTANT_CRYPTO_KEY_H

#include "lib/base/buf.h"
#include "lib/base/secret.h"

#include <openssl/evp.h>

enum key_type {
    KEY_AES128,
    KEY_AES256,
    KEY_CHACHA20,
    KEY_XCHACHA20,
    KEY_ED25519,
    KEY_P256,
    KEY_P384,
    KEY_P521,
    KEY_RSA2048,
    KEY_RSA3072,
    KEY_RSA4096,
    KEY_HMAC,
    KEY_TYPE_MAX,
};

struct key_kind {
    const char *name;         /* of the Transit API: "aes256-gcm96" */
    const char *version_name; /* of one version in GET keys/x: "P-256" */
    unsigned bytes;           /* symmetric: of the key; ECDSA: of r and of s; else 0 */
    bool aead, rsa, ecdsa, signs, derives;
};
extern const struct key_kind key_kinds[KEY_TYPE_MAX];
/* KEY_TYPE_MAX when there is no such type. */
enum key_type key_type_of(struct str name);

enum key_flag {
    KEY_DERIVED = 1 << 0,
    KEY_CONVERGENT = 1 << 1,
    KEY_DELETION_ALLOWED = 1 << 2,
};

/* Operations a grant may name. */
enum grant_op {
    GRANT_ENCRYPT = 1 << 0,
    GRANT_DECRYPT = 1 << 1,
    GRANT_SIGN = 1 << 2,
    GRANT_VERIFY = 1 << 3,
    GRANT_HMAC = 1 << 4,
    GRANT_REWRAP = 1 << 5,
    GRANT_DATAKEY = 1 << 6,
    GRANT_READ = 1 << 7,
    GRANT_ROTATE = 1 << 8,
    GRANT_CONFIG = 1 << 9,
    GRANT_ALL = (1 << 10) - 1,
};
/* "sign,verify" to a set: ERR_INVALID names the unknown word and the right ones. */
struct err grant_ops_parse(struct str text, uint32_t *ops);
void grant_ops_put(struct buf *out, uint32_t ops);

enum {
    KEY_NAME_MAX = 128,
    KEY_GRANTS_MAX = 256,
    KEY_VERSIONS_MAX = 1000,
    KEY_HMAC_MIN = 32, /* bytes of an `hmac` key, at least and at most */
    KEY_HMAC_MAX = 512,
    KEY_HMAC_BYTES = 32, /* of the HMAC key that every version of another type has beside it */
};

struct grant {
    char *id; /* owned */
    uint32_t ops;
};

struct key_version {
    uint32_t n;
    int64_t created_s;
    struct secret material; /* symmetric and HMAC keys; Ed25519: seed and public key */
    struct secret hmac;
    EVP_PKEY *pkey;            /* asymmetric */
    EVP_PKEY_CTX *sign_ctx;    /* ECDSA, ready to sign a digest */
    EVP_CIPHER_CTX *enc, *dec; /* AEAD with this key set; only the nonce changes */
};

struct ckey {
    char *name;
    enum key_type type;
    unsigned flags;
    unsigned size; /* `hmac`: bytes */
    uint32_t latest, min_available, min_decryption, min_encryption;
    int64_t auto_rotate_s;
    struct grant *grants;
    size_t n_grants;
    struct key_version **versions; /* ascending */
    size_t n_versions, cap_versions;
};

struct ckey *ckey_new(struct str name);
void ckey_free(struct ckey *k); /* NULL ok */

/* Letters, digits, '.', '_' and '-', starting with a letter or digit. */
bool key_name_is_valid(struct str name);

/* NULL when that version is not there (never was, or trimmed). */
struct key_version *ckey_version(const struct ckey *k, uint32_t n);
uint32_t ckey_allows(const struct ckey *k, struct str caller); /* set of enum grant_op */
void ckey_grant(struct ckey *k, struct str id, uint32_t ops); /* replaces; 0 takes the grant away */

/* The rules as a plain record, and back; `k` keeps its versions. ERR_SYNTAX. */
void ckey_put_meta(const struct ckey *k, struct buf *out);
struct err ckey_take_meta(struct ckey *k, struct str record);

/* ---- material.c: versions ---- */

/* A fresh version, not yet part of the key, and its plain record (a secret buffer) for sealing. */
struct err key_version_make(enum key_type type, unsigned size, uint32_t n, int64_t now_s,
                            struct buf *record);
/* Reads a plain record; ERR_SYNTAX, ERR_CRYPTO. */
struct err key_version_load(enum key_type type, uint32_t n, struct str record,
                            struct key_version **out);
void key_version_free(struct key_version *v);
/* Replaces the version with the same number. */
struct err ckey_add_version(struct ckey *k, struct key_version *v);
/* PEM, or base64 of the raw key for Ed25519; nothing for symmetric keys. */
struct err key_version_public(enum key_type type, const struct key_version *v, struct buf *out);

/* HKDF-SHA256 of the version's key with `context` as info (derived keys). */
struct err key_derive(const struct key_version *v, struct str context, size_t n,
                      struct secret *out);

#endif
