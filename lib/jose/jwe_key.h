/* jwe_key: how the content encryption key of a token is got at (RFC 7518 section 4). */
#ifndef SEXTANT_JOSE_JWE_KEY_H
#define SEXTANT_JOSE_JWE_KEY_H

#include "jwk.h"

struct jwe_key_request {
    const struct json *header;
    struct str alg, enc, encrypted;
    size_t size; /* of the content key, in bytes */
};

struct err jwe_content_key(struct arena *a, const struct jwk *key, const struct jwe_key_request *r,
                           struct buf *cek);

#endif
