/* key_priv: the inside of struct key, shared by key.c (life, signing) and key_codec.c (forms). */
#ifndef SEXTANT_X509_KEY_PRIV_H
#define SEXTANT_X509_KEY_PRIV_H

#include "key.h"
#include "ossl.h"

struct key {
    EVP_PKEY *pkey;
    enum key_type type;
    bool is_private;
    unsigned refs, bits;
    struct str spki;                      /* owned */
    EVP_PKEY_CTX *signers[SIG_ALG_COUNT]; /* prepared at first use */
    EVP_PKEY_CTX *verifiers[SIG_ALG_COUNT];
};

/* Bytes of a coordinate: 32, 48, 66; 0 for other kinds. */
size_t key_ec_width(enum key_type t);
const char *key_ec_group(enum key_type t);
/* DER before the point of an uncompressed EC key's SPKI. */
struct str key_ec_spki_prefix(enum key_type t);
struct err key_make_spki(struct key *k);

#endif
