/* The world for commands: the same errands, waited for on a loop of their own. */
#include "errand.h"

#include "lib/base/clock.h"

#include <stdlib.h>

struct waiting {
    struct outside o; /* the first member: what callers hold */
    struct loop *loop;
    struct errands *errands;
    struct arena *a; /* of the call at work */
    struct outside_answer *answer;
    struct outside_addresses *addresses;
};

static void sent(void *ctx, const struct outside_answer *w)
{
    struct waiting *x = ctx;
    outside_answer_copy(x->a, w, x->answer);
    loop_stop(x->loop);
}

static bool send_and_wait(void *ctx, const struct outside_request *r, struct arena *a,
                          struct outside_answer *out)
{
    struct waiting *x = ctx;
    x->a = a;
    x->answer = out;
    (void)errand_send(x->errands, r, sent, x);
    loop_run(x->loop);
    return true;
}

static void resolved(void *ctx, const struct outside_addresses *w)
{
    struct waiting *x = ctx;
    outside_addresses_copy(x->a, w, x->addresses);
    loop_stop(x->loop);
}

static bool resolve_and_wait(void *ctx, struct str host, struct arena *a,
                             struct outside_addresses *out)
{
    struct waiting *x = ctx;
    x->a = a;
    x->addresses = out;
    (void)errand_resolve(x->errands, host, resolved, x);
    loop_run(x->loop);
    return true;
}

struct err outside_blocking_new(struct outside **out)
{
    struct waiting *x = calloc(1, sizeof *x);
    BUG_ON(x == NULL);
    struct err e = loop_new(&x->loop);
    if (failed(e)) {
        free(x);
        return e;
    }
    struct errand_limits limits = {.body_max = 256 << 20, .hosts = &x->o};
    TRY(errands_new(x->loop, &limits, &x->errands));
    x->o = (struct outside){.send = send_and_wait,
                            .resolve = resolve_and_wait,
                            .ctx = x,
                            .cache = outside_cache_new(OUTSIDE_CACHE_MAX)};
    *out = &x->o;
    return OK;
}

void outside_blocking_free(struct outside *o)
{
    if (o != NULL) {
        struct waiting *x = container_of(o, struct waiting, o);
        errands_free(x->errands);
        loop_free(x->loop);
        outside_cache_free(o->cache);
        free(x);
    }
}
