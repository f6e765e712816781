/*
 * jwt: the claims of a token (RFC 7519), checked.
 *
 * Times are 64-bit seconds and may have a fraction in the text (rounded so that the token never
 * gains time); skew is 30 s unless said otherwise, 60 s at most.
 */
#ifndef SEXTANT_JOSE_JWT_H
#define SEXTANT_JOSE_JWT_H

#include "jws.h"

enum { JWT_SKEW_S = 30, JWT_SKEW_MAX_S = 60, JWT_AUDIENCES_MAX = 100 };

struct jwt_policy {
    struct str issuer;           /* byte for byte; empty = any */
    const struct str *audiences; /* one of these must be among `aud`; none given = not checked */
    size_t n_audiences;
    int64_t now_s; /* 0 = now */
    int skew_s;    /* 0 = JWT_SKEW_S, negative = none */
    bool require_exp, require_iat, require_sub, require_jti;
    int64_t max_age_s; /* now - iat at most; 0 = any (implies require_iat) */
};

struct jwt {
    const struct json *claims;
    struct str iss, sub, jti;    /* empty when absent */
    int64_t exp_s, nbf_s, iat_s; /* 0 when absent */
};

/* ERR_SYNTAX, ERR_EXPIRED, ERR_DENIED (issuer, audience), ERR_INVALID (missing claim). */
struct err jwt_check(const struct json *claims, const struct jwt_policy *policy, struct jwt *out);
/* Parses the payload and checks it. */
struct err jwt_check_text(struct arena *a, struct str payload, const struct jwt_policy *policy,
                          struct jwt *out);
/* jws_verify, then the claims. `token` may be NULL. */
struct err jwt_verify(struct arena *a, struct str compact, const struct jwks *set,
                      const struct jws_policy *sig, const struct jwt_policy *claims,
                      struct jws *token, struct jwt *out);
bool jwt_has_audience(const struct json *claims, struct str audience);
struct err jwt_time(const struct json *v, int64_t *seconds); /* a NumericDate, rounded down */

#endif
