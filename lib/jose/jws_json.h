/*
 * jws_json: the JSON forms of JWS (RFC 7515 section 7.2), general and flattened, detached content included.
 *
 * For documents that ask for them; a token is compact and goes through jws.h. Headers outside the signature
 * count for `kid` alone: an algorithm is taken from there only when the caller says so.
 */
#ifndef SEXTANT_JOSE_JWS_JSON_H
#define SEXTANT_JOSE_JWS_JSON_H

#include "jws.h"

enum { JWS_SIGNATURES_MAX = 16 };

struct jws_json_opts {
    struct str detached;        /* base64url of the payload, when the document has none */
    bool allow_unprotected_alg; /* RFC 7520 section 4.6 and 4.7 do this */
};

/* One signature that verifies is enough. ERR_SYNTAX, ERR_UNSUPPORTED, ERR_NOT_FOUND, ERR_SIGNATURE. */
struct err jws_json_verify(struct arena *a, const struct json *doc, const struct jwks *set,
                           const struct jws_policy *policy, const struct jws_json_opts *opts,
                           struct jws *out);

#endif
