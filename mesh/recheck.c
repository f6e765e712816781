/* After a change: is everything that is open still allowed? */
#include "mesh.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

static const char *reason_to_cut(struct mesh *m, struct flow *f, int64_t now_s)
{
    struct tls_session *tls = f->conn != NULL ? conn_tls(f->conn) : NULL;
    if (mesh_is_denied(m, f)) {
        return "the identity is on the deny-list";
    }
    if (tls != NULL && f->tls && failed(tls_recheck(tls, now_s))) {
        return "the certificate is no longer accepted";
    }
    bool plain_inbound = f->door->dir == INBOUND && !f->door->people && !f->tls;
    if (plain_inbound && mesh_mtls_mode(m->epoch->set, f->port) == MESH_MTLS_STRICT) {
        return "PeerAuthentication now demands mutual TLS";
    }
    return NULL;
}

static void judge_flow(struct mesh *m, struct flow *f, int64_t now_s)
{
    const char *why = reason_to_cut(m, f, now_s);
    if (why != NULL) {
        struct trace t = trace_new();
        struct mesh_decision d = {.verdict = MESH_DENY, .reason = why};
        audit_decision(m, f, NULL, &d, "denied", STR_EMPTY, &t, NULL, NULL);
        flow_cut(f, why);
        return;
    }
    if (f->relay != NULL) {
        relay_judge(f->relay);
        return;
    }
    for (struct px *px = f->exchanges, *next; px != NULL; px = next) {
        next = proxy_next(px);
        proxy_judge(px);
    }
}

void mesh_recheck(struct mesh *m, const char *why)
{
    if (m->epoch == NULL) {
        return;
    }
    int64_t now_s = clock_wall_s();
    size_t before = m->n_flows;
    for (struct flow *f = m->flows, *next; f != NULL; f = next) {
        next = f->next;
        judge_flow(m, f, now_s);
    }
    size_t cut = m->up != NULL ? upstream_recheck(m->up, now_s) : 0;
    log_info("open connections judged again", {"why", LOG_CSTR(why)},
             {"connections", LOG_INT(before)}, {"upstream_cut", LOG_INT(cut)});
}
