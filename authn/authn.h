/*
 * authn: the state of the daemon, shared by its endpoints.
 *
 * The domain (clients, users, grants, revocations, rules) knows nothing of HTTP; endpoints read a request
 * into an operation (op.h), call the domain inside a group commit, leave an audit event, and answer.
 */
#ifndef SEXTANT_AUTHN_H
#define SEXTANT_AUTHN_H

#include "lib/config/config.h"
#include "lib/http/router.h"

#include "clients.h"
#include "grants.h"
#include "hasher.h"
#include "interactions.h"
#include "revocations.h"
#include "signer.h"
#include "throttle.h"

struct daemon;
struct denylist;
struct op;

struct claim_config {
    struct str name, attribute, scope;
};

struct authn_config {
    struct str issuer, listen, listen_mtls, tls_cert, tls_key, id_key, access_key, crypto;
    struct config_list tls_names, admins;
    int64_t access_ns, id_ns, code_ns, refresh_idle_ns, refresh_max_ns, grace_ns, session_idle_ns,
        session_max_ns, publish_ahead_ns;
    int64_t hash_memory, hash_passes, hash_workers;
    struct config_items claims; /* struct claim_config */
};

extern const struct config_key authn_keys[];

struct authn {
    struct daemon *daemon;
    const struct authn_config *config;
    struct store *store;
    struct clients clients;
    struct revocations revocations;
    struct throttle throttle;
    struct interactions interactions;
    struct hasher *hasher;
    struct signer *signer;
    struct denylist *denylist;
    struct router public_routes, admin_routes;
    struct op *watchers; /* waiting for revocations */
    unsigned n_watchers;
};

static inline int64_t seconds_of(int64_t ns)
{
    return ns / 1000000000;
}

/* Longest life of a token, with skew: how long a revocation must be remembered. */
int64_t authn_mark_s(const struct authn *n);
struct session_limits authn_session_limits(const struct authn *n);
/* Checks what types cannot: the issuer, the claims. Errors name file, line and column. */
struct err authn_config_check(const struct config *c, const struct authn_config *a);

/* Endpoints by area. */
void discovery_routes(struct authn *n, struct router *r);
void authorize_routes(struct authn *n, struct router *r);
void interaction_routes(struct authn *n, struct router *r);
void token_routes(struct authn *n, struct router *r);
void resource_routes(struct authn *n, struct router *r);
void logout_routes(struct authn *n, struct router *r);
void watch_routes(struct authn *n, struct router *r);
void admin_user_routes(struct authn *n, struct router *r);
void admin_client_routes(struct authn *n, struct router *r);
void admin_grant_routes(struct authn *n, struct router *r);

/* Call when marks have become durable: index them and answer those who wait. */
void authn_marks_written(struct authn *n);

#endif
