/*
 * router: from method and path to a handler. Patterns are made of literal segments, {name} for exactly
 * one non-empty segment, and a last {name...} for the rest of the path (maybe empty).
 *
 *     struct router r;
 *     router_init(&r);
 *     router_add(&r, "GET", "/v1/keys/{name}", get_key, ctx);
 *     router_add(&r, "*", "/v1/{path...}", vault, ctx);        "*": any method
 *     struct http_server_opts o = {.handle = router_dispatch, .ctx = &r};
 *
 * The most literal pattern wins, whatever the order of adding. No match: 404; other methods only: 405
 * with Allow. HEAD is served by GET when it has no handler of its own. Both answers are JSON, or go to
 * `router_fallback` when one is set.
 */
#ifndef SEXTANT_ROUTER_H
#define SEXTANT_ROUTER_H

#include "lib/http/http.h"

enum { ROUTER_PARAMS_MAX = 8 };

struct http_param {
    struct str name, value; /* value decoded; of {name...}: decoded segment by segment */
};

struct route;

struct router {
    struct route *routes; /* owned */
    size_t n, cap;
    void (*fallback)(struct http_req *req, void *ctx, int status /* 404 or 405 */);
    void *fallback_ctx;
    struct arena memory; /* for what belongs to routes and lives as long as they (lib/grpc) */
};

typedef void http_handler(struct http_req *req, void *ctx);

void router_init(struct router *r);
void router_release(struct router *r);
/* Pattern and method are string constants. A wrong pattern is a mistake of the program: aborts. */
void router_add(struct router *r, const char *method, const char *pattern, http_handler *fn,
                void *ctx);
void router_fallback(struct router *r, void (*fn)(struct http_req *, void *, int), void *ctx);
/* Is there a route of this method (or of every one) for the path? */
bool router_has(const struct router *r, struct str method, struct str path);
void router_dispatch(struct http_req *req, void *router); /* a http_handler */

/* Value of a path parameter. Asking for one the pattern does not have aborts. */
struct str http_param(const struct http_req *req, const char *name);

#endif
