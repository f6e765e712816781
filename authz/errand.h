/*
 * errand: what a policy asks of the world, carried out on the event loop: an HTTP request with its redirections,
 * retries and TLS, or the addresses of a name.
 *
 *     TRY(errands_new(loop, &limits, &errands));
 *     struct errand *e = errand_send(errands, &request, answered, ctx);
 *     errand_cancel(e);                              `answered` will not run
 *
 * Requests with TLS options of their own get connections of their own; all others share kept ones.
 */
#ifndef SEXTANT_AUTHZ_ERRAND_H
#define SEXTANT_AUTHZ_ERRAND_H

#include "authz/rego/outside.h"
#include "lib/loop/loop.h"

struct errands;
struct errand;

struct errand_limits {
    int64_t longest_ns;          /* of one request with all its retries; 0: ERRAND_LONGEST_S */
    size_t body_max;             /* of an answer; 0: ERRAND_BODY_MAX */
    bool no_insecure;            /* tls_insecure_skip_verify is refused */
    const struct outside *hosts; /* where redirections may lead; lives as long as the errands */
};

enum { ERRAND_LONGEST_S = 3600, ERRAND_BODY_MAX = 64 << 20, ERRAND_REDIRECTS_MAX = 10 };

struct err errands_new(struct loop *l, const struct errand_limits *limits, struct errands **out);
void errands_free(struct errands *s); /* NULL is fine; what is under way is cancelled */

/* done(ctx, answer) once, never before this returned; the answer dies with the call. */
struct errand *errand_send(struct errands *s, const struct outside_request *r,
                           void (*done)(void *ctx, const struct outside_answer *w), void *ctx);
/* done(ctx, addresses) likewise. */
struct errand *errand_resolve(struct errands *s, struct str host,
                              void (*done)(void *ctx, const struct outside_addresses *w),
                              void *ctx);
void errand_cancel(struct errand *e); /* NULL is fine */

/*
 * For commands, which may wait: an `outside` that runs a loop of its own until the answer is there. Hosts are
 * limited, and answers cached, as the caller sets in it.
 */
struct err outside_blocking_new(struct outside **out);
void outside_blocking_free(struct outside *o); /* NULL is fine */

#endif
