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

struct authz_config {
    struct str listen, grpc, socket, default_decision, ext_authz_path;
    struct config_list policies, data;
    bool v0_compatible, api_writes;
    struct config_list writers;
    int64_t poll_ns, eval_ns, max_steps, eval_memory, body_max;
};

extern const struct config_key authz_keys[];

struct authz {
    struct daemon *daemon;      /* NULL when run by hand without a configuration */
    struct audit_client *audit; /* NULL: decisions are not recorded */
    const struct authz_config *config;
    struct authz_store store;
    struct router routes, grpc_routes;
    char id[37];
};

/* May this caller change policies and data over the API? Replies 403 itself when not. */
bool authz_may_write(struct authz *z, struct http_req *req);

/* One decision: what was asked, and what came of it. */
struct decision {
    struct str path;     /* "authz/allow" */
    struct str actor;    /* SPIFFE id of the one who asks through ext_authz; else empty */
    struct str resource; /* "GET /reports/1"; else the path stands for it */
    char id[37];
    struct val result; /* VAL_UNDEF: undefined */
    struct rego_result eval;
};

/* Evaluates the document at `path` into the arena; d->eval.failed tells of an error. */
void decide(struct authz *z, const struct val *path, size_t n, struct val input, bool strict,
            struct arena *a, struct decision *d);
/*
 * Records the decision, then calls done(ctx, err): the answer may leave only then, and only when err
 * is success.
 */
void decision_record(struct authz *z, const struct decision *d, const struct http_req *req,
                     void (*done)(void *ctx, struct err e), void *ctx);
bool decision_allows(struct val result);

/* Replies. */
struct str error_body(struct arena *a, const char *code, struct str message,
                      const struct rego_errors *errors);
void reply_error(struct http_req *req, int status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void reply_errors(struct http_req *req, int status, const char *code, const char *message,
                  const struct rego_errors *errors);
void reply_value(struct http_req *req, int status, struct buf *body); /* takes and frees the buf */
bool query_flag(const struct http_req *req, const char *name);

void data_routes(struct authz *z, struct router *r);
void policy_routes(struct authz *z, struct router *r);
void query_routes(struct authz *z, struct router *r);
void ext_authz_routes(struct authz *z, struct router *r);
const struct sandbox_profile *authz_sandbox(struct arena *a, const struct config *c,
                                            const void *section);

/* The OPA-compatible server on its own: `sextant-authz run`. */
extern const struct daemon_command authz_commands[];

#endif
