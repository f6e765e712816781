/*
 * GET /v1/revocations?after=N&wait=S: enforcement points hold this open and learn of a revocation as
 * soon as it is durable. Callers show who they are: an SVID, a known uid, or the same uid as ours.
 */
#include "lib/daemon/daemon.h"
#include "lib/loop/loop.h"

#include "op.h"

#include <unistd.h>

enum { WAIT_DEFAULT_S = 25, WAIT_MAX_S = 60 };

static void answer_watch(struct op *op)
{
    struct buf b;
    bool any;
    buf_init(&b, 1 << 20);
    struct err e = revocations_write_json(&op->n->revocations, op->after, &b, &any);
    if (failed(e)) {
        op_error(op, e);
    } else {
        op_json(op, 200, &b);
    }
    buf_release(&b);
    op_send(op);
}

static void leave(struct op *op)
{
    struct op **link = &op->n->watchers;
    while (*link != op) {
        link = &(*link)->next_watcher;
    }
    *link = op->next_watcher;
    op->n->n_watchers--;
}

static void waited(void *ctx)
{
    struct op *op = ctx;
    op->timer = NULL;
    leave(op);
    answer_watch(op);
}

void authn_marks_written(struct authn *n)
{
    bool any;
    struct err e = revocations_refresh(&n->revocations, &any);
    if (failed(e) || !any) {
        return;
    }
    while (n->watchers != NULL) {
        struct op *op = n->watchers;
        leave(op);
        timer_stop(op->timer);
        answer_watch(op);
    }
}

static void watch(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    uint64_t after = 0, wait = WAIT_DEFAULT_S;
    bool ours = op->uid == geteuid() || op->uid == 0;
    if (op->peer_id.n == 0 && !ours) {
        op_oauth_error(op, 401, "invalid_client",
                       "revocations are told to callers with an SVID or a known uid");
        op_send(op);
        return;
    }
    struct str after_text = S("0"), wait_text = S("25");
    http_query_get(req, "after", &after_text);
    http_query_get(req, "wait", &wait_text);
    if (failed(str_to_u64(after_text, &after)) || failed(str_to_u64(wait_text, &wait)) ||
        after > INT64_MAX || wait > WAIT_MAX_S) {
        op_oauth_error(op, 400, "invalid_request",
                       "after must be a number, wait a number of seconds up to %d", WAIT_MAX_S);
        op_send(op);
        return;
    }
    op->after = (int64_t)after;
    if (op->after < op->n->revocations.latest || wait == 0 || op->n->n_watchers >= WATCHERS_MAX) {
        answer_watch(op);
        return;
    }
    op->next_watcher = op->n->watchers;
    op->n->watchers = op;
    op->n->n_watchers++;
    op->timer = timer_start(op->n->daemon->loop, (int64_t)wait * 1000, 0, waited, op);
}

void watch_routes(struct authn *n, struct router *r)
{
    router_add(r, "GET", "/v1/revocations", watch, n);
}
