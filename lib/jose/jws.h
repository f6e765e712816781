/*
 * jws: signed tokens in compact form (RFC 7515), read strictly (RFC 8725).
 *
 * Three segments, base64url without padding or spare bits, no duplicate member, no algorithm that
 * the policy does not name, no key that does not fit the algorithm. `crit` names only what we
 * understand, which is nothing; b64=false is refused; jku, jwk, x5u and x5c are ignored. The
 * algorithm is checked against the policy and the key before any cryptography is done.
 *
 *     struct jws token;
 *     TRY(jws_verify(arena, compact, set, &(struct jws_policy){.algs = JOSE_ALGS_DEFAULT}, &token));
 *     use(token.payload);        its JSON, if it is a JWT: jwt.h
 */
#ifndef SEXTANT_JOSE_JWS_H
#define SEXTANT_JOSE_JWS_H

#include "jwk.h"

enum {
    JWS_COMPACT_MAX = 64 * 1024,
    JWT_PAYLOAD_MAX = 32 * 1024,
    JWS_HEADER_MAX = 8 * 1024,
    JWS_KEY_TRIES = 8
};

struct jws_policy {
    unsigned algs; /* bits JOSE_BIT(); 0 means JOSE_ALGS_DEFAULT. HMAC only if named here */
    const char *const *typ; /* NULL-terminated list of accepted typ values; NULL = any or none */
    bool typ_required;      /* with `typ`: a missing typ is refused */
    bool require_kid;
};

struct jws {
    const struct json *header;
    struct str payload;       /* decoded; in the arena */
    struct str signing_input; /* of the text given */
    struct str signature;     /* decoded */
    enum jose_alg alg;
    struct str kid; /* empty when absent */
    struct str typ;
    const struct jwk *key; /* that verified; lives with its set. NULL after jws_parse */
};

/* Reads without verifying: for choosing an issuer, never for believing anything. */
struct err jws_parse(struct arena *a, struct str compact, const struct jws_policy *policy,
                     struct jws *out);
/*
 * Reads and verifies. With a kid only keys of that kid are tried; without one, at most JWS_KEY_TRIES
 * fitting keys. ERR_SYNTAX, ERR_UNSUPPORTED (alg, crit), ERR_NOT_FOUND (no key of this kid: the set
 * may be stale), ERR_SIGNATURE.
 */
struct err jws_verify(struct arena *a, struct str compact, const struct jwks *set,
                      const struct jws_policy *policy, struct jws *out);
/* The second half of jws_verify on a parsed token. */
struct err jws_check(struct jws *token, const struct jwks *set, const struct jws_policy *policy);

/* `header` must not hold "alg"; it is put first. The result is in the arena. */
struct err jws_sign(struct arena *a, enum jose_alg alg, struct key *key, struct json *header,
                    struct str payload, struct str *compact);
/* For keys held elsewhere: the text to sign, and the token once the signature (raw, not DER) is there. */
struct str jws_signing_input(struct arena *a, enum jose_alg alg, struct json *header,
                             struct str payload);
struct str jws_assemble(struct arena *a, struct str signing_input, struct str signature);

/* One signature over bytes, with any algorithm, HMAC included: what jws_check calls. */
struct err jose_verify(const struct jwk *k, enum jose_alg alg, struct str input,
                       struct str signature);
struct err jose_sign(const struct jwk *k, enum jose_alg alg, struct str input,
                     struct buf *signature);

#endif
