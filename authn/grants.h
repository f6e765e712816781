/*
 * grants: what a login gives a client, and for how long. Sessions of browsers, families of tokens,
 * authorization codes and refresh tokens, all in the store.
 *
 * A family is everything that one authorization gave one client: it has one code, a chain of refresh
 * tokens, and access tokens whose jti begins with its id. Revoking the family ends all of it.
 *
 * Each function that writes is to be called inside a transaction and decides by what it finds
 * there, so that one-time values are spent once under any race and across a crash. Outcomes that must
 * be written although they refuse (a code tried with a wrong verifier is spent) are results, not errors.
 */
#ifndef SEXTANT_AUTHN_GRANTS_H
#define SEXTANT_AUTHN_GRANTS_H

#include "lib/base/arena.h"
#include "lib/store/store.h"

#include "revocations.h"
#include "rules.h"

enum { ID_TEXT = 22 }; /* letters of base62: 131 bits */

/* ---- sessions ---- */

struct session {
    struct str id, sub;
    int64_t auth_time, seen, expires;
};

struct session_limits {
    int64_t idle_s, max_s;
};

struct err session_insert(struct store *s, const struct session *n, struct str cookie,
                          struct str source);
/* ERR_NOT_FOUND also for one that is over. */
struct err session_by_cookie(struct store *s, struct arena *a, struct str cookie,
                             const struct session_limits *lim, int64_t now_s, struct session *out);
struct err session_touch(struct store *s, struct str id, int64_t now_s);
/* Ends a session: its cookie, its refresh tokens but offline ones, and its access tokens. */
struct err session_end(struct store *s, struct str id, int64_t now_s, int64_t mark_s);
/* A new password or a disabled user: every session, every family, every token issued until now. */
struct err subject_end(struct store *s, struct str sub, int64_t now_s, int64_t mark_s);
struct err client_end(struct store *s, struct str client, int64_t now_s, int64_t mark_s);
struct err session_end_others(struct store *s,
                              struct str cookie); /* the row alone: at a new login */

/* ---- families and codes ---- */

struct family {
    struct str id, client, sub, session, audience;
    unsigned scopes;
    int64_t auth_time, created, expires;
    bool offline, revoked;
};

struct err family_insert(struct store *s, const struct family *f);
struct err family_by_id(struct store *s, struct arena *a, struct str id, struct family *out);
struct err family_revoke(struct store *s, struct str id, int64_t now_s, int64_t mark_s);

struct code_details {
    struct str redirect_uri, challenge, nonce;
    int64_t expires;
};

struct err code_insert(struct store *s, struct str code, struct str family,
                       const struct code_details *d);

enum redeem_outcome {
    REDEEM_OK,
    REDEEM_UNKNOWN,      /* no such code, token, or it is expired */
    REDEEM_REUSED,       /* used before: the family is now revoked */
    REDEEM_WRONG_CLIENT, /* the code or token of somebody else */
    REDEEM_MISMATCH,     /* redirect_uri or verifier: the code is spent */
    REDEEM_REVOKED,
    REDEEM_SCOPE, /* more than was granted */
};
const char *redeem_reason(enum redeem_outcome o); /* for audit */

struct code_redeem {
    /* asked */
    struct str code, client, redirect_uri /* empty: not sent */, verifier;
    int64_t now_s, mark_s;
    /* found */
    enum redeem_outcome outcome;
    struct family family;
    struct str nonce;
};
struct err code_redeem(struct store *s, struct arena *a, struct code_redeem *r);

/* ---- refresh tokens ---- */

struct refresh_limits {
    int64_t idle_s, grace_s;
};

struct err refresh_insert(struct store *s, struct str token, struct str family, int64_t generation,
                          int64_t expires);

struct refresh_rotate {
    /* asked */
    struct str token, client;
    unsigned scopes; /* 0: as granted */
    int64_t now_s, mark_s;
    struct refresh_limits limits;
    /* found */
    enum redeem_outcome outcome;
    struct family family;
    struct str successor; /* the refresh token to hand out */
};
/*
 * Spends a refresh token for its successor. The same token within the grace time gives the same
 * successor again (an answer may have been lost, two tabs may race); later it is theft, and the
 * family is revoked. The successor is stored sealed under the token that it succeeds.
 */
struct err refresh_rotate(struct store *s, struct arena *a, struct refresh_rotate *r);
/* Family of a refresh token that is still good. ERR_NOT_FOUND. */
struct err refresh_lookup(struct store *s, struct arena *a, struct str token, int64_t now_s,
                          struct family *out);
/* Family of a refresh token, spent or not. ERR_NOT_FOUND. */
struct err refresh_family(struct store *s, struct arena *a, struct str token, struct family *out);

/* ---- the rest ---- */

/* Remembers the id of a client assertion until it expires. ERR_EXISTS when it was used before. */
struct err assertion_spend(struct store *s, struct str client, struct str jti, int64_t expires);

struct err consent_insert(struct store *s, struct str sub, struct str client, unsigned scopes,
                          int64_t now_s);
struct err consent_scopes(struct store *s, struct str sub, struct str client,
                          unsigned *scopes); /* 0: none */

/* Deletes what has run out. */
struct err grants_prune(struct store *s, int64_t now_s);

#endif
