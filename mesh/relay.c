/*
 * Bytes relayed as they are: TCP, and what is opaque to us. Decided once, when the connection is made, and
 * again whenever policy, identity or trust change.
 */
#include "mesh.h"

#include "lib/base/log.h"

#include <stdlib.h>

struct relay {
    struct flow *flow;
    struct conn *up; /* NULL before it is connected and after its end */
    struct epoch *epoch;
    struct check *check;
    struct trace trace;
    struct str expect; /* owned copy of the identity that must be there */
    unsigned refs;     /* the flow, the upstream connection (or its making), the audit event */
    bool decided, down_gone, up_eof, down_eof, down_paused, up_paused, cut;
};

static void relay_unref(struct relay *r)
{
    if (--r->refs == 0) {
        epoch_unref(r->epoch);
        free((void *)(uintptr_t)r->expect.p);
        free(r);
    }
}

void relay_cut(struct relay *r)
{
    if (r->cut) {
        return;
    }
    r->cut = true;
    if (r->check != NULL) {
        check_cancel(r->check);
        r->check = NULL;
    }
    if (r->up != NULL) {
        conn_abort(r->up);
    }
    if (!r->down_gone && r->flow->conn != NULL) {
        conn_abort(r->flow->conn);
    }
}

/* ---- moving bytes ---- */

/* The sender waits while the receiver has more than MESH_BUFFER_MAX to take. */
static void throttle(struct conn *from, struct conn *to, bool *paused)
{
    bool full = to == NULL || conn_pending(to) > MESH_BUFFER_MAX;
    if (full && !*paused) {
        *paused = true;
        conn_pause(from);
    } else if (!full && *paused) {
        *paused = false;
        conn_resume(from);
    }
}

static void close_when_both_ended(struct relay *r)
{
    if (r->up_eof && r->down_eof) {
        if (r->up != NULL) {
            conn_close(r->up);
        }
        if (!r->down_gone) {
            conn_close(r->flow->conn);
        }
    }
}

static void on_down_data(struct conn *c, struct str bytes, void *ctx)
{
    struct relay *r = ((struct flow *)ctx)->relay;
    if (r->up == NULL) { /* paused, but what TLS had ready still comes */
        buf_puts(&r->flow->first, bytes);
        if (!buf_ok(&r->flow->first)) {
            relay_cut(r);
        }
        return;
    }
    conn_write(r->up, bytes);
    throttle(c, r->up, &r->down_paused);
}

static void on_down_eof(struct conn *c, void *ctx)
{
    struct relay *r = ((struct flow *)ctx)->relay;
    r->down_eof = true;
    if (r->up != NULL) {
        conn_shutdown(r->up);
    }
    close_when_both_ended(r);
}

static void on_down_drain(struct conn *c, void *ctx)
{
    struct relay *r = ((struct flow *)ctx)->relay;
    if (r->up != NULL && r->up_paused) {
        throttle(r->up, c, &r->up_paused);
    }
}

static void on_down_close(struct conn *c, struct err why, void *ctx)
{
    struct flow *f = ctx;
    struct relay *r = f->relay;
    r->down_gone = true;
    f->conn = NULL;
    if (r->check != NULL) {
        check_cancel(r->check);
        r->check = NULL;
    }
    if (r->up != NULL) {
        conn_close(r->up);
    }
    f->relay = NULL;
    r->flow = NULL;
    flow_end(f);
    relay_unref(r);
}

static const struct conn_handler down_handler = {.on_data = on_down_data,
                                                 .on_eof = on_down_eof,
                                                 .on_drain = on_down_drain,
                                                 .on_close = on_down_close};

static void on_up_data(struct conn *c, struct str bytes, void *ctx)
{
    struct relay *r = ctx;
    if (!r->down_gone) {
        conn_write(r->flow->conn, bytes);
        throttle(c, r->flow->conn, &r->up_paused);
    }
}

static void on_up_eof(struct conn *c, void *ctx)
{
    struct relay *r = ctx;
    r->up_eof = true;
    if (!r->down_gone) {
        conn_shutdown(r->flow->conn);
    }
    close_when_both_ended(r);
}

static void on_up_drain(struct conn *c, void *ctx)
{
    struct relay *r = ctx;
    if (!r->down_gone && r->down_paused) {
        throttle(r->flow->conn, c, &r->down_paused);
    }
}

static void on_up_close(struct conn *c, struct err why, void *ctx)
{
    struct relay *r = ctx;
    r->up = NULL;
    if (!r->down_gone) {
        if (failed(why)) {
            conn_abort(r->flow->conn);
        } else {
            conn_close(r->flow->conn);
        }
    }
    relay_unref(r);
}

static const struct conn_handler up_handler = {
    .on_data = on_up_data, .on_eof = on_up_eof, .on_drain = on_up_drain, .on_close = on_up_close};

static void on_connected(void *ctx, struct err e, struct conn *up)
{
    struct relay *r = ctx;
    if (failed(e)) {
        if (!r->down_gone) {
            log_info("no connection onwards", {"destination", LOG_CSTR(r->flow->dst)},
                     {"why", LOG_CSTR(err_detail())});
            conn_abort(r->flow->conn);
        }
        relay_unref(r);
        return;
    }
    r->up = up;
    conn_start(up, &up_handler, r); /* its reference is now the connection's */
    if (r->down_gone || r->cut) {
        conn_abort(up);
        return;
    }
    struct flow *f = r->flow;
    conn_write(up, buf_str(&f->first));
    buf_release(&f->first);
    if (r->down_eof) {
        conn_shutdown(up);
    }
    r->down_paused = true; /* since relay_start */
    throttle(f->conn, up, &r->down_paused);
}

static void connect_up(struct relay *r)
{
    struct mesh *m = r->flow->m;
    struct target t;
    target_of(m, r->flow, &t);
    if (t.refused != NULL) {
        struct mesh_decision d = {.verdict = MESH_DENY, .reason = t.refused};
        audit_decision(m, r->flow, NULL, &d, "denied", STR_EMPTY, &r->trace, NULL, NULL);
        relay_cut(r);
        return;
    }
    struct connect_opts o = {.mark = (uint32_t)m->o->mark, .expect_spiffe = t.identity};
    r->refs++;
    struct err e = loop_connect(m->loop, str_of(t.address), t.identity.n > 0 ? m->tls_tcp : NULL,
                                &o, on_connected, r);
    if (failed(e)) {
        relay_unref(r);
        relay_cut(r);
    }
}

/* ---- deciding ---- */

static void audited(void *ctx, struct err e)
{
    struct relay *r = ctx;
    if (!r->down_gone && !r->cut) {
        if (failed(e)) {
            relay_cut(r); /* no audit, no service */
        } else {
            connect_up(r);
        }
    }
    relay_unref(r);
}

static void settle(struct relay *r, const struct mesh_decision *d)
{
    struct mesh *m = r->flow->m;
    if (d->verdict == MESH_ALLOW) {
        r->decided = true;
        r->refs++;
        audit_decision(m, r->flow, NULL, d, "allowed", STR_EMPTY, &r->trace, audited, r);
        return;
    }
    audit_decision(m, r->flow, NULL, d, "denied", STR_EMPTY, &r->trace, NULL, NULL);
    relay_cut(r);
}

static void checked(void *ctx, const struct check_result *res)
{
    struct relay *r = ctx;
    r->check = NULL;
    struct mesh_request q;
    flow_request(r->flow, &q);
    struct mesh_decision d = {.verdict = MESH_DENY, .reason = res->reason};
    if (res->allowed) {
        d = mesh_authz_decide_after_custom(r->epoch->set, &q);
    }
    settle(r, &d);
}

static void decide(struct relay *r)
{
    struct flow *f = r->flow;
    struct mesh_decision d = {.verdict = MESH_ALLOW, .reason = "outbound"};
    if (f->door->dir == INBOUND) {
        struct mesh_request q;
        flow_request(f, &q);
        d = mesh_authz_decide(r->epoch->set, &q);
    }
    if (d.verdict == MESH_CUSTOM) {
        r->check = check_start(d.provider->ctx, f, NULL, STR_EMPTY, NULL, checked, r);
        return;
    }
    settle(r, &d);
}

void relay_start(struct flow *f)
{
    struct relay *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        flow_cut(f, "out of memory");
        return;
    }
    r->flow = f;
    r->refs = 1;
    r->epoch = epoch_ref(f->m->epoch);
    r->trace = trace_new();
    f->relay = r;
    conn_start(f->conn, &down_handler, f);
    conn_pause(f->conn);
    decide(r);
}

static struct mesh_decision judge(const struct flow *f)
{
    struct mesh_decision d = {.verdict = MESH_ALLOW};
    if (f->door->dir == OUTBOUND) {
        struct target t;
        target_of(f->m, f, &t);
        if (t.refused != NULL) {
            d = (struct mesh_decision){.verdict = MESH_DENY, .reason = t.refused};
        }
        return d;
    }
    struct mesh_request q;
    flow_request(f, &q);
    d = mesh_authz_decide(f->m->epoch->set, &q);
    /* The provider has allowed this connection; the rest is judged anew. */
    return d.verdict == MESH_CUSTOM ? mesh_authz_decide_after_custom(f->m->epoch->set, &q) : d;
}

void relay_judge(struct relay *r)
{
    struct flow *f = r->flow;
    if (!r->decided) {
        return;
    }
    struct mesh_decision d = judge(f);
    epoch_unref(r->epoch);
    r->epoch = epoch_ref(f->m->epoch);
    if (d.verdict != MESH_ALLOW) {
        audit_decision(f->m, f, NULL, &d, "denied", STR_EMPTY, &r->trace, NULL, NULL);
        relay_cut(r);
    }
}
