/*
 * tokens: what is inside the tokens issued here, and reading them back.
 *
 * Access tokens are JWTs of RFC 9068 signed with ES256, ID tokens are signed with RS256. Both carry
 * identity only; the claims of a user come from attributes under declared names.
 */
#ifndef SEXTANT_AUTHN_TOKENS_H
#define SEXTANT_AUTHN_TOKENS_H

#include "op.h"
#include "users.h"

/* What one answer of the token endpoint issues. */
struct issue {
    struct str sub, client_id, sid, audience, family /* its jti begins with it; empty: none */,
        nonce;
    unsigned scopes;
    int64_t auth_time; /* 0: no person logged in */
    bool want_id_token;
    const struct user *user; /* for ID token claims; NULL ok */
    /* results */
    struct str access_token, id_token, jti;
    int64_t access_life_s;
    /* private */
    struct str inputs[SIGNING_KEYS], signatures[SIGNING_KEYS];
    unsigned pending;
    bool broken;
    void (*then)(struct op *op, struct err e);
};

/* Signs what is wanted; then(op, result) with access_token and id_token set. */
void tokens_issue(struct op *op, struct issue *i, void (*then)(struct op *op, struct err e));

/* The claims of a user that these scopes release, for userinfo; `only` limits them to a list. */
void user_claims_put(struct json *out, struct arena *a, const struct authn *n, const struct user *u,
                     unsigned scopes, const struct str_list *only);

/* A token of ours, verified: signature, issuer, typ. */
struct own_token {
    const struct json *claims;
    struct str jti, sub, client_id, sid, scope;
    int64_t iat, exp, auth_time;
    unsigned scopes;
};
/* Access tokens. ERR_EXPIRED, ERR_REVOKED, ERR_SIGNATURE, ERR_SYNTAX, ... */
struct err access_token_read(struct authn *n, struct arena *a, struct str text,
                             struct own_token *out);
/* ID tokens as hints: an expired one is fine. */
struct err id_token_read(struct authn *n, struct arena *a, struct str text, struct own_token *out);

#endif
