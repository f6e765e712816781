/*
 * authorize: the authorization endpoint (RFC 6749 section 4.1, OpenID Connect Core section 3.1.2), from
 * the reading of a request to the answer that carries a code.
 */
#ifndef SEXTANT_AUTHN_AUTHORIZE_H
#define SEXTANT_AUTHN_AUTHORIZE_H

#include "op.h"

/* What is wrong with a request, and whether the client may be told. */
struct auth_problem {
    const char *code; /* NULL: nothing */
    struct str description;
    bool by_redirect; /* client and redirect URI are known to be good */
};

/*
 * Reads and checks a request, in this order: client, redirect URI, then all else, so that errors go by
 * redirect only to where a code could go. `out` is filled as far as it was read. id_token_hint is
 * left to the caller, who has the keys.
 */
void auth_request_read(struct arena *a, const struct clients *clients, struct str issuer,
                       const struct params *p, struct auth_request *out,
                       struct auth_problem *problem);

/* The answer is a redirect (or form) to the client with an error. */
void authorize_error(struct op *op, const struct auth_request *r, const char *code,
                     struct str description);
/*
 * Makes a code for a person who is logged in and has agreed, and ends the operation with it.
 * `consented` are the scopes newly agreed to, to be remembered; 0: none.
 */
void authorize_grant(struct op *op, const struct auth_request *r, struct str sub,
                     struct str session, int64_t auth_time, unsigned consented);

/* Does this person have to agree first? */
struct err consent_needed(struct authn *n, const struct auth_request *r, struct str sub,
                          bool *needed);

#endif
