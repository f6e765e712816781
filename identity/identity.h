/*
 * identity: the daemon that gives every process its name.
 *
 *     entry, registry     who is to be called what          (SQLite)
 *     attest              what the kernel says of a caller  (pidfd)
 *     ca, svid, transit   certificates, through crypto
 *     jwt                 tokens, through crypto, cached
 *     denylist            who is not to be believed any more, told to all at once
 *     federation          bundles of other trust domains
 *     workload            the SPIFFE Workload API
 *     admin, web          registration and bans; bundle and OIDC documents
 */
#ifndef SEXTANT_IDENTITY_H
#define SEXTANT_IDENTITY_H

#include "attest.h"
#include "ca.h"
#include "denylist.h"
#include "federation.h"
#include "lib/daemon/daemon.h"
#include "lib/grpc/grpc.h"
#include "lib/tls/tls.h"
#include "registry.h"

struct identity_config {
    struct str listen, jwt_issuer, peer_pidfd;
    int64_t ca_ttl_ns, x509_ttl_ns, jwt_ttl_ns, refresh_hint_ns;
    struct config_list daemon_names;
};

struct stream;
struct jwt_cache;

struct identity {
    struct daemon *d;
    const struct identity_config *cfg;
    struct store *store;
    struct registry registry;
    struct transit transit;
    struct ca ca;
    struct denylist deny;
    struct federation federation;
    struct jwt_cache *jwt;
    struct dependency *crypto_dep;
    struct stream *streams;
    size_t n_streams;
    struct router workload_router, admin_router, web_router;
    struct http_server *workload, *admin, *web;
    struct tls_server *tls;
    struct svid *own;  /* our own, for the web */
    struct strs names; /* of this machine: for the SVIDs of the daemons */
    struct timer *tick;
    int64_t renew_due_s; /* when the first SVID in use wants a successor */
    int64_t retry_at_ns; /* monotonic: when crypto may be asked again */
    int64_t pushed_ns, pruned_ns;
    bool push_queued, stopping;
};

/* ---- who a caller is: view.c ---- */

struct view {
    struct entry *entries[REGISTRY_MATCH_MAX]; /* banned ones left out */
    size_t n;
    bool banned;
};
struct err view_peer(const struct identity *id, const struct http_req *req,
                     struct attest_peer *out);
struct err view_caller(struct identity *id, const struct attest_peer *p, struct view *out);
/* The SVID of an entry, made when there is none that is fresh. *made tells. */
struct err view_svid(struct identity *id, struct entry *e, struct svid **out, bool *made);
void view_drop_svid(struct entry *e);
/* Trust domains other than ours that any of the entries federates with, and for which we have a bundle. */
size_t view_federated(const struct identity *id, const struct view *v, const struct federated **out,
                      size_t max);

/* Our own bundle as a document and as anchors. */
struct err identity_bundle(struct identity *id, struct spiffe_bundle *out);

/* ---- the Workload API: workload.c, streams.c ---- */

void workload_mount(struct identity *id);
bool workload_header_ok(struct grpc_call *call); /* else the call has been ended */
void streams_open(struct identity *id, struct grpc_call *call, int kind);
void streams_push(struct identity *id); /* look at all of them again, soon */
void streams_close(struct identity *id);
enum stream_kind { STREAM_X509, STREAM_X509_BUNDLES, STREAM_JWT_BUNDLES };

/* ---- tokens: jwt.c ---- */

struct jwt_request {
    struct str spiffe_id;
    const struct str *audiences;
    size_t n_audiences;
    int64_t ttl_s;
    const struct trace *trace;
};
struct jwt_cache *jwt_cache_new(void);
void jwt_cache_free(struct jwt_cache *c);
void jwt_cache_drop(struct jwt_cache *c); /* after a ban or a change of keys */
/* done(ctx, OK, token); the token dies with the callback. Never before this returns. */
void jwt_mint(struct identity *id, const struct jwt_request *r,
              void (*done)(void *ctx, struct err e, struct str token), void *ctx);

/* ---- HTTP: admin.c, web.c ---- */

void admin_mount(struct identity *id);
void web_mount(struct identity *id);
struct err web_update(struct identity *id); /* own SVID, TLS, bundle.pem */

/* ---- commands: cli.c ---- */
extern const struct daemon_command identity_commands[];
const struct sandbox_profile *identity_sandbox(struct arena *a, const struct config *c,
                                               const void *section);

/* Audit: actor, source and resource filled in; never a secret. */
struct audit_event identity_event(enum ocsf_class cls, const char *activity, const char *outcome);

#endif
