/*
 * wire: messages between the two processes of crypto, the front and the holder of the keys.
 *
 * A frame is a 32-bit length (of what follows), a 32-bit request id, and a message, big endian
 * throughout. A request is: operation (8 bits), caller (string), key name (string), then fields by
 * operation. A reply is: status (8 bits, enum err_code), then fields, or for a failure one string,
 * the text for the client. A string is a 32-bit length and its bytes.
 *
 * Readers are bounded: reading past the end sets `bad` and gives zeros, and a message is right only when
 * it is read to its last byte (wire_end). The holder of the keys treats the front as hostile.
 */
#ifndef SEXTANT_CRYPTO_WIRE_H
#define SEXTANT_CRYPTO_WIRE_H

#include "lib/base/buf.h"

enum {
    WIRE_MAX = 40 * 1024 * 1024, /* bytes of a message */
    WIRE_HEAD = 8,               /* length and id */
    WIRE_ITEMS_MAX = 100000,     /* of one batch */
    KEYS_FD = 3,                 /* where the holder of the keys finds its channel */
};

enum wire_op {
    WIRE_LOAD_META = 1, /* sealed; no reply fields */
    WIRE_LOAD_VERSION,  /* number, sealed */
    WIRE_DROP,          /* forget a key */
    WIRE_CREATE,        /* type, flags, size -> meta, number, version */
    WIRE_ROTATE,        /* -> meta, number, version */
    WIRE_CONFIG,        /* mask, values -> meta */
    WIRE_TRIM,          /* min available -> meta */
    WIRE_GRANT,         /* id, operations -> meta */
    WIRE_DELETE,        /* may the caller delete it? */
    WIRE_READ,          /* -> description */
    WIRE_LIST,          /* -> names the caller may see */
    WIRE_CRYPT,         /* batch of operations with the key -> results */
    WIRE_OP_MAX,
};

/* What WIRE_CRYPT does with each item. */
enum crypt_what {
    CRYPT_ENCRYPT = 1,
    CRYPT_DECRYPT,
    CRYPT_REWRAP,
    CRYPT_DATAKEY,      /* plaintext key in `extra` */
    CRYPT_DATAKEY_ONLY, /* wrapped key alone */
    CRYPT_SIGN,
    CRYPT_VERIFY, /* data is one byte, 1 or 0 */
    CRYPT_HMAC,
    CRYPT_HMAC_VERIFY,
    CRYPT_WHAT_MAX,
};

enum crypt_flag {
    CRYPT_PREHASHED = 1 << 0,
    CRYPT_JWS = 1 << 1,      /* ECDSA as r||s of fixed width instead of DER */
    CRYPT_PKCS1V15 = 1 << 2, /* RSA; else PSS */
};

enum { SALT_AUTO = -1, SALT_HASH = -2 };

enum hash_algorithm {
    HASH_NONE,
    HASH_SHA1,
    HASH_SHA2_224,
    HASH_SHA2_256,
    HASH_SHA2_384,
    HASH_SHA2_512,
    HASH_SHA3_224,
    HASH_SHA3_256,
    HASH_SHA3_384,
    HASH_SHA3_512,
    HASH_MAX,
};

/* Parameters shared by the items of a batch. */
struct crypt_params {
    enum crypt_what what;
    enum hash_algorithm hash;
    unsigned flags; /* enum crypt_flag */
    int salt_length;
    unsigned bits; /* of a data key */
};

struct crypt_item {
    uint32_t version;     /* of the ciphertext or signature; or to use: 0 is the latest */
    uint32_t to_version;  /* rewrap: to encrypt with; 0 is the latest */
    struct str input;     /* plaintext, ciphertext bytes, or message */
    struct str signature; /* to verify */
    struct str context;   /* of derived keys */
    struct str aad;
    bool has_context;
};

struct wire_reader {
    const unsigned char *p;
    size_t n;
    bool bad;
};

struct wire_reader wire_read(struct str message);
uint8_t wire_u8(struct wire_reader *r);
uint32_t wire_u32(struct wire_reader *r);
uint64_t wire_u64(struct wire_reader *r);
struct str wire_str(struct wire_reader *r); /* into the message */
bool wire_end(const struct wire_reader *r); /* all read, nothing missing */

void wire_put_str(struct buf *out, struct str s);
static inline void wire_put_u8(struct buf *out, unsigned v)
{
    buf_put_be(out, v, 1);
}
static inline void wire_put_u32(struct buf *out, uint32_t v)
{
    buf_put_be(out, v, 4);
}

void wire_put_params(struct buf *out, const struct crypt_params *p);
void wire_put_item(struct buf *out, const struct crypt_item *item);
struct crypt_params wire_params(struct wire_reader *r); /* unknown values set bad */
struct crypt_item wire_item(struct wire_reader *r);

#endif
