/* From connections and requests to what the policy engine asks, and from decisions to audit events. */
#include "mesh.h"

#include "lib/telemetry/telemetry.h"

static struct metric allowed =
    METRIC_COUNTER("sextant_mesh_decisions_total", "Decisions made.", "outcome", "allowed");
static struct metric denied =
    METRIC_COUNTER("sextant_mesh_decisions_total", "Decisions made.", "outcome", "denied");

void flow_request(const struct flow *f, struct mesh_request *out)
{
    *out = (struct mesh_request){
        .peer_id = str_of(f->peer_id),
        .source_ip = f->src_ip,
        .destination_ip = f->dst_ip,
        .destination_port = f->port,
        .sni = str_of(f->sni),
    };
}

static struct str resource_of(struct arena *a, const struct flow *f, const struct http_req *req)
{
    if (req == NULL) {
        return arena_printf(a, "tcp://%s", f->dst);
    }
    return arena_printf(a, "%.*s http://%s%.*s", STR_FMT(req->method), f->dst,
                        STR_FMT(str_sub(req->path, 0, 1024)));
}

void audit_decision(struct mesh *m, const struct flow *f, const struct http_req *req,
                    const struct mesh_decision *d, const char *outcome, struct str user,
                    const struct trace *trace, void (*done)(void *, struct err), void *ctx)
{
    bool allows = strcmp(outcome, "allowed") == 0;
    metric_add(allows ? &allowed : &denied, 1);
    if (allows && str_is(m->o->audit, "denied")) {
        done(ctx, OK);
        return;
    }
    struct arena own, *a = req != NULL ? req->arena : &own;
    arena_init(&own, 1 << 16);
    struct audit_event e = {
        .class_uid = req != NULL ? OCSF_API_ACTIVITY : OCSF_NETWORK_ACTIVITY,
        .activity = f->door->dir == INBOUND ? "mesh.inbound" : "mesh.outbound",
        .outcome = outcome,
        .actor_spiffe_id = f->door->dir == INBOUND ? str_of(f->peer_id) : str_of(m->own_id),
        .actor_user = user,
        .policy_path = str_sub(d->policy_key, 0, 512),
        .policy_rule = str_sub(d->policy_key, 0, 512),
        .resource_type = S("service"),
        .resource_uid = resource_of(a, f, req),
        .source_addr = str_of(f->src_text),
        .namespace = m->o->ns,
        .reason = allows ? STR_EMPTY : str_of(d->reason),
        .trace = *trace,
    };
    audit_emit(m->d->audit, &e, done, ctx);
    arena_release(&own);
}
