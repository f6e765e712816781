/* POST /v1/events: NDJSON from a daemon on this host; 200 once every line is on disk. */
#include "audit_daemon.h"

#include "lib/base/log.h"

struct pending {
    struct audit *a;
    struct http_req *req; /* NULL once the client is gone */
    unsigned n;
};

static void run_commit(void *ctx)
{
    struct audit *a = ctx;
    a->commit_due = false;
    service_commit(a->service);
}

/* All requests of this turn of the loop share one sync. */
void audit_wake(void *ctx)
{
    struct audit *a = ctx;
    if (!a->commit_due) {
        a->commit_due = true;
        loop_defer(a->d->loop, run_commit, a);
    }
}

static void client_gone(void *ctx)
{
    struct pending *p = ctx;
    p->req =
        NULL; /* its events stay in the batch: it may deliver them again, and they are known then */
}

static void reply_error(struct http_req *req, struct err e)
{
    struct buf body;
    struct jw w;
    buf_init(&body, 4096);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key_str(&w, S("error"), str_of(err_text(e)));
    jw_key_str(&w, S("detail"), str_of(err_detail()));
    jw_end(&w);
    http_reply_json(req, e.code == ERR_IO ? 503 : err_http_status(e), buf_str(&body));
    buf_release(&body);
}

static void durable(void *ctx, struct err e)
{
    struct pending *p = ctx;
    if (p->req != NULL && failed(e)) {
        reply_error(p->req, e);
    } else if (p->req != NULL) {
        struct buf body;
        buf_init(&body, 64);
        buf_printf(&body, "{\"accepted\":%u}", p->n);
        http_reply_json(p->req, 200, buf_str(&body));
        buf_release(&body);
    }
    free(p);
}

/*
 * A daemon's name is the last part of its id. A uid that the configuration names by a workload's SPIFFE id is the
 * sidecar of that workload: it speaks as the mesh, and as no other daemon.
 */
static struct str producer_of(const struct audit *a, struct http_req *req, const struct caller *c)
{
    struct str prefix =
        arena_printf(req->arena, "spiffe://%.*s/sextant/", STR_FMT(a->d->trust_domain));
    return str_starts(c->spiffe_id, prefix) ? str_sub(c->spiffe_id, prefix.n, c->spiffe_id.n)
                                            : S("mesh");
}

void intake_post(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    struct caller who;
    struct err e = daemon_caller(a->d, req, &who);
    if (failed(e)) {
        log_warn("events refused", {"error", LOG_CSTR(err_detail())});
        reply_error(req, e);
        return;
    }
    struct pending *p = calloc(1, sizeof(*p));
    BUG_ON(p == NULL);
    *p = (struct pending){.a = a, .req = req};
    struct sender from = {producer_of(a, req, &who), who.spiffe_id};
    e = service_take(a->service, req->body, &from, durable, p, &p->n);
    if (failed(e)) {
        log_warn("events refused", {"from", LOG_STR(who.spiffe_id)},
                 {"error", LOG_CSTR(err_detail())});
        reply_error(req, e);
        free(p);
        return;
    }
    http_on_abort(req, client_gone, p);
}
