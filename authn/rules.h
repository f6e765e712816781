/*
 * rules: the small decisions of OAuth that have no state: PKCE, redirect URIs, scopes, and which
 * claims are identity.
 */
#ifndef SEXTANT_AUTHN_RULES_H
#define SEXTANT_AUTHN_RULES_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum { SHA256_BYTES = 32, ONE_TIME_BYTES = 32, ONE_TIME_TEXT = 43 };

void sha256(struct str bytes, uint8_t out[SHA256_BYTES]);
/* 256 random bits as 43 characters of base64url: codes, refresh tokens, cookies, client secrets. */
struct str one_time_value(struct arena *a);

/* A code_challenge of method S256: 43 characters of base64url (RFC 7636 section 4.2). */
bool pkce_challenge_ok(struct str challenge);
/* Does the verifier (43 to 128 unreserved characters) give this challenge? */
bool pkce_verify(struct str verifier, struct str challenge);

/*
 * May this URI be registered for redirects? https with a host; http only for a loopback host; a
 * private-use scheme with a dot in it (RFC 8252 section 7.1). No fragment, no user information,
 * nothing outside printable ASCII. ERR_INVALID says what is wrong.
 */
struct err redirect_uri_check(struct str uri);
/*
 * Is `asked` the registered URI? Byte for byte; only the port of http on a loopback address
 * (127.0.0.1 or [::1], not a name) is free (RFC 8252 section 7.3).
 */
bool redirect_uri_match(struct str registered, struct str asked);
/* scheme://host:port of a checked URI, or "scheme:" of a private-use one: for form-action. */
struct str redirect_uri_origin(struct str uri);

/* Scopes are identity only, so they are a fixed set. */
enum scope {
    SCOPE_OPENID = 1 << 0,
    SCOPE_PROFILE = 1 << 1,
    SCOPE_EMAIL = 1 << 2,
    SCOPE_ADDRESS = 1 << 3,
    SCOPE_PHONE = 1 << 4,
    SCOPE_OFFLINE = 1 << 5,
};
enum { SCOPE_COUNT = 6 };

/* Splits on single blanks. ERR_INVALID for an unknown one, with the reason it cannot exist. */
struct err scope_parse(struct str text, unsigned *out);
void scope_put(struct buf *out, unsigned scopes);
struct str scope_text(struct arena *a, unsigned scopes);

/*
 * May a claim of this name be in a token? ERR_DENIED with an explanation for whatever says what
 * somebody may do (roles, permissions, entitlements, groups, …) rather than who they are.
 */
struct err identity_claim_check(struct str name);
/* Names that the protocol itself sets, which no mapping may replace. */
bool claim_is_reserved(struct str name);

#endif
