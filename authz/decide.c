/* Making decisions, and recording them. */
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/telemetry/telemetry.h"

#include "authz.h"

static struct metric decisions =
    METRIC_COUNTER("sextant_authz_decisions_total", "Decisions made.", NULL, NULL);
static struct metric failures = METRIC_COUNTER("sextant_authz_decision_errors_total",
                                               "Decisions that ended in an error.", NULL, NULL);
static struct metric latency =
    METRIC_HISTOGRAM("sextant_authz_eval_seconds", "Time to evaluate a decision.", NULL, NULL);

void decide(struct authz *z, const struct val *path, size_t n, struct val input, bool strict,
            struct arena *a, struct decision *d)
{
    int64_t start = clock_mono_ns();
    struct rego_eval_options o = {
        .input = input,
        .data = z->store.image->data,
        .strict_builtin_errors = strict,
        .max_steps = z->config->max_steps > 0 ? (uint64_t)z->config->max_steps : 0,
        .deadline_ns = z->config->eval_ns > 0 ? start + z->config->eval_ns : 0,
    };
    uuid4(d->id);
    d->result = rego_eval_path(z->store.image->policy, path, n, &o, a, &d->eval);
    metric_add(d->eval.failed ? &failures : &decisions, 1);
    metric_observe(&latency, clock_mono_ns() - start);
}

bool decision_allows(struct val result)
{
    if (val_is(result, V_BOOL)) {
        return val_is_true(result);
    }
    struct val allowed = val_get_str(result, "allowed");
    allowed = val_undef(allowed) ? val_get_str(result, "allow") : allowed;
    return val_undef(allowed) ? !val_undef(result) : val_is_true(allowed);
}

void decision_record(struct authz *z, const struct decision *d, const struct http_req *req,
                     void (*done)(void *ctx, struct err e), void *ctx)
{
    if (z->audit == NULL) {
        done(ctx, OK);
        return;
    }
    struct caller caller = {.source = S("unknown")};
    char rule[512] = "";
    if (d->eval.rule_row > 0) {
        snprintf(rule, sizeof rule, "%.*s:%u", STR_FMT(d->eval.rule_file), d->eval.rule_row);
    }
    struct audit_event e = {
        .class_uid = OCSF_API_ACTIVITY,
        .activity = "decide",
        .outcome = d->eval.failed               ? "failed"
                   : decision_allows(d->result) ? "allowed"
                                                : "denied",
        .decision_id = str_of(d->id),
        .policy_path = d->path,
        .policy_rule = str_of(rule),
        .resource_type = S("policy"),
        .resource_uid = d->resource.n > 0 ? d->resource : d->path,
        .reason = d->eval.failed ? d->eval.error.message : STR_EMPTY,
        .trace = req->trace,
    };
    if (z->daemon != NULL && !failed(daemon_caller(z->daemon, req, &caller))) {
        daemon_audit_caller(&e, &caller, &req->trace);
    } else if (req->peer != NULL) {
        e.source_addr = req->peer->addr;
    }
    if (d->actor.n > 0) {
        e.actor_spiffe_id = d->actor; /* the proxy asks on behalf of this one */
    }
    audit_emit(z->audit, &e, done, ctx);
}
