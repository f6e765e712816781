/*
 * authz: the decision server: the store of policies, its REST API, its gRPC service, and the audit
 * event that every decision leaves before its answer does.
 */
#ifndef SEXTANT_AUTHZ_H
#define SEXTANT_AUTHZ_H

#include "lib/config/config.h"
#include "lib/daemon/daemon.h"
#include "lib/http/http.h"
#include "lib/http/router.h"
#include "store.h"

enum authn_scheme { AUTHN_OFF, AUTHN_TOKEN, AUTHN_TLS };

struct authz_config {
    struct str listen, grpc, socket, default_decision, ext_authz_path;
    struct config_list policies, data;
    struct str
        opa_config; /* OPA's configuration file: services, bundles, decision logs …; empty: none */
    bool v0_compatible, api_writes, persist;
    struct config_list writers;
    int64_t poll_ns, eval_ns, max_steps, eval_memory, body_max;
    /* OPA's server section, and its options of the command line */
    struct str diagnostic; /* address that serves health and metrics alone; empty: none */
    struct str authorization_decision; /* "/system/authz/allow" */
    struct str authentication;         /* off, token, tls */
    bool authorization;                /* every request needs the decision above */
    int64_t gzip_body_max, gzip_min;
    int64_t gzip_level;
    struct str tls_cert, tls_key, tls_ca;
    int64_t tls_refresh_ns;
    /* What policies may ask of the world (http.send, net.lookup_ip_addr) */
    struct config_list outbound; /* hosts; "*": any; none: they may not ask */
    int64_t outbound_ns, outbound_body_max, outbound_cache;
    bool outbound_insecure;
};

extern const struct config_key authz_keys[];

/* ---- parts that plug in: bundles, discovery, decision logs, status ---- */

enum plugin_state { PLUGIN_OK, PLUGIN_NOT_READY, PLUGIN_WARN, PLUGIN_ERROR };

/* One that has a say in /health. Owned by who registers it, as long as the server lives. */
struct authz_plugin {
    const char *name; /* "bundle", "discovery", "decision_logs", "status"; others are its own */
    enum plugin_state state;
    /* Bundles that are configured and not in force, "a, b"; NULL: none are named. */
    const char *not_activated;
    struct authz_plugin *next;
};

struct decision;
struct authz;

/*
 * Where decisions go besides audit. `log` is called once for each, before its reply: it must copy what it needs. An
 * error keeps the decision back (500).
 */
struct decision_log {
    struct err (*log)(void *ctx, const struct decision *d, const struct http_req *req);
    void *ctx;
};

/* The request that is being handled, for evaluations that ask the world: server/outing.h. */
struct errands;
struct outing;
struct outing_scope {
    struct outing *outing; /* NULL until one does */
    struct loop *loop;     /* NULL: none may */
    void (*again)(void *ctx, struct outing *o);
    void *ctx;
};

struct authz {
    struct daemon *daemon;      /* NULL when run by hand without a configuration */
    struct audit_client *audit; /* NULL: decisions are not recorded */
    const struct authz_config *config;
    struct authz_store store;
    struct router routes, diagnostic_routes, grpc_routes;
    char id[37];
    struct authz_plugin *plugins;
    bool plugins_were_ready;
    struct decision_log log; /* .log NULL: none */
    struct val labels;       /* beside id and version; VAL_UNDEF: none */
    /* Writes the active configuration, without secrets, as a JSON object; NULL: the default one. */
    void (*write_config)(void *ctx, struct buf *out);
    void *write_config_ctx;
    /* The status plugin's present view as a JSON object; NULL: 500 "status plugin not enabled". */
    void (*write_status)(void *ctx, struct buf *out);
    void *write_status_ctx;
    /* Further metrics in Prometheus' form; NULL: none. */
    void (*write_metrics)(void *ctx, struct buf *out);
    void *write_metrics_ctx;
    struct outing_scope scope;
    struct errands *errands;      /* NULL until a policy asks the world */
    struct outside world;         /* what policies may ask, and their cache */
    struct rego_topdown *topdown; /* of the policies at `topdown_revision` */
    uint64_t topdown_revision;
    struct answer *spare; /* answers between uses */
    unsigned n_spare;
};

void authz_init(struct authz *z, const struct authz_config *c);
void authz_release(struct authz *z);
void authz_add_plugin(struct authz *z, struct authz_plugin *p);

/* May this caller change policies and data over the API? Replies 403 itself when not. */
bool authz_may_write(struct authz *z, struct http_req *req);

/* One decision: what was asked, and what came of it. */
struct decision {
    struct str path;     /* "authz/allow", as it stood in the URL */
    struct str query;    /* an ad-hoc query; then there is no path */
    struct str actor;    /* SPIFFE id of the one who asks through ext_authz; else empty */
    struct str resource; /* "GET /reports/1"; else the path stands for it */
    char id[37];
    char batch_id[37];  /* of the batch it belongs to; empty: none */
    struct val input;   /* VAL_UNDEF: none */
    struct val request; /* the request's other members (request_metadata), or VAL_UNDEF */
    struct val result;  /* VAL_UNDEF: undefined; rows of an ad-hoc query */
    struct rego_result eval;
    const char *error;      /* why there is no result beside eval.error: a message, or NULL */
    const char *error_code; /* with it, or NULL */
    int64_t wall_ns;        /* when */
    int64_t parse_ns, prepare_ns, eval_ns, handler_ns; /* how long; 0: not measured */
};

/* Evaluates the document at `path` into the arena; d->eval.failed tells of an error. */
void decide(struct authz *z, const struct val *path, size_t n, struct val input, bool strict,
            struct arena *a, struct decision *d);
/* Budgets of one evaluation, from the configuration. */
struct rego_eval_options eval_options(const struct authz *z, struct val input);
/* A fresh id of a decision (UUID version 4), from randomness drawn in advance. */
void decision_new_id(char out[37]);
/* Do replies name the decision's id? Only when somebody keeps it. */
static inline bool decisions_are_kept(const struct authz *z)
{
    return z->audit != NULL || z->log.log != NULL;
}
/*
 * Records the decision, then calls done(ctx, err): the answer may leave only then, and only when err
 * is success. What `d` points to is needed until this returns, not until done.
 */
void decision_record(struct authz *z, const struct decision *d, const struct http_req *req,
                     void (*done)(void *ctx, struct err e), void *ctx);
bool decision_allows(struct val result);

/* An error as the REST API writes it: indented, with a newline. */
struct str error_body(struct arena *a, const char *code, struct str message,
                      const struct rego_errors *errors);

/* ---- serving ---- */

/* All routes of the REST API; the diagnostic ones are health and metrics alone. */
void authz_routes(struct authz *z);
/* Handler of the http server (ctx: struct authz): who asks, may he, and what. */
void authz_serve(struct http_req *req, void *z);
void authz_serve_diagnostic(struct http_req *req, void *z);
/* For http_server_opts.on_reply: counts and times requests. */
void authz_on_reply(const struct http_req *req, int status, void *z);
/* For http_server_opts.on_too_large: OPA's words for a body over the limit. */
void authz_too_large(struct http_req *req, uint64_t announced, void *z);

void ext_authz_routes(struct authz *z, struct router *r);
const struct sandbox_profile *authz_sandbox(struct arena *a, const struct config *c,
                                            const void *section);

/* The OPA-compatible server on its own: `sextant-authz run`. */
extern const struct daemon_command authz_commands[];

#endif
