/* Making decisions, and recording them. */
#include "outing.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/telemetry/telemetry.h"

#include <stdio.h>

static struct metric decisions =
    METRIC_COUNTER("sextant_authz_decisions_total", "Decisions made.", NULL, NULL);
static struct metric failures = METRIC_COUNTER("sextant_authz_decision_errors_total",
                                               "Decisions that ended in an error.", NULL, NULL);
static struct metric latency = METRIC_HISTOGRAM(
    "sextant_authz_eval_seconds", "Time to evaluate a decision, every 16th.", NULL, NULL);

enum { EVAL_SAMPLE = 16 };

/* Ids must differ, and nobody may guess them; one system call draws for many. */
void decision_new_id(char out[37])
{
    static const char digits[] = "0123456789abcdef";
    static unsigned char pool[1024];
    static size_t left;
    if (left < 16) {
        random_bytes(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= 16;
    unsigned char *r = pool + left;
    r[6] = (unsigned char)(0x40 | (r[6] & 0x0f));
    r[8] = (unsigned char)(0x80 | (r[8] & 0x3f));
    for (size_t i = 0, n = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[n++] = '-';
        }
        out[n++] = digits[r[i] >> 4];
        out[n++] = digits[r[i] & 15];
    }
    out[36] = '\0';
}

/* What policies print goes to the log, with the place of the call. */
static void log_print(void *ctx, struct str file, struct loc loc, struct str line)
{
    char text[4096], place[512];
    (void)ctx;
    snprintf(text, sizeof text, "%.*s", STR_FMT(line));
    snprintf(place, sizeof place, "%.*s:%u", STR_FMT(file), loc.row);
    log_info(text, {"line", LOG_CSTR(place)});
}

extern char **environ;

/* What opa.runtime() answers. Made once: neither changes. */
static struct val runtime(const struct authz *z)
{
    static struct arena a;
    static struct val made;
    if (a.budget == 0) {
        arena_init(&a, 8 << 20);
        struct vlist env = {.a = &a}, all = {.a = &a};
        for (char **e = environ; *e != NULL && !arena_exhausted(&a); e++) {
            struct str rest = str_of(*e), name = str_split(&rest, '=');
            vlist_add2(&env, val_str(&a, name), val_str(&a, rest));
        }
        vlist_put(&all, "env", vlist_object(&env));
        vlist_put(&all, "version", val_str(&a, S("1.22.2")));
        vlist_put(&all, "commit", val_str(&a, S("")));
        vlist_put(&all, "authorization_enabled", val_bool(z->config->authorization));
        vlist_put(&all, "skip_known_schema_check", VAL_FALSE);
        made = vlist_object(&all);
    }
    return made;
}

struct rego_eval_options eval_options(const struct authz *z, struct val input)
{
    return (struct rego_eval_options){
        .runtime = runtime(z),
        .input = input,
        .data = z->store.data,
        .print_at = log_print,
        .max_steps = z->config->max_steps > 0 ? (uint64_t)z->config->max_steps : 0,
    };
}

/* `data` as a whole does not show data.system: policies of the server itself live there. */
static struct val without_system(struct arena *a, struct val v)
{
    if (!val_is(v, V_OBJECT) || val_undef(val_get_str(v, "system"))) {
        return v;
    }
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(a, v, i);
        if (!val_is(k, V_STRING) || !str_is(val_text(k), "system")) {
            vlist_add2(&l, k, val_nth(v, i));
        }
    }
    return vlist_object(&l);
}

void decide(struct authz *z, const struct val *path, size_t n, struct val input, bool strict,
            struct arena *a, struct decision *d)
{
    static unsigned turn;
    bool timed = turn++ % EVAL_SAMPLE == 0;
    int64_t start = timed || z->config->eval_ns > 0 ? clock_mono_ns() : 0;
    struct rego_eval_options o = eval_options(z, input);
    o.strict_builtin_errors = strict;
    o.deadline_ns = z->config->eval_ns > 0 ? start + z->config->eval_ns : 0;
    outing_fill(z, rego_policy_asks(z->store.policy), &o);
    d->input = input;
    d->result = rego_eval_path(z->store.policy, path, n, &o, a, &d->eval);
    if (n == 0) {
        d->result = without_system(a, d->result);
    }
    if (d->eval.waiting) {
        outing_spent(z, &d->eval, clock_mono_ns() - start);
        return;
    }
    metric_add(d->eval.failed ? &failures : &decisions, 1);
    if (timed) {
        metric_observe(&latency, clock_mono_ns() - start);
    }
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

static void record_audit(struct authz *z, const struct decision *d, const struct http_req *req,
                         void (*done)(void *ctx, struct err e), void *ctx)
{
    struct caller caller = {.source = S("unknown")};
    char rule[512] = "";
    if (d->eval.rule_row > 0) {
        snprintf(rule, sizeof rule, "%.*s:%u", STR_FMT(d->eval.rule_file), d->eval.rule_row);
    }
    struct str path = d->path.n > 0 ? d->path : d->query;
    struct audit_event e = {
        .class_uid = OCSF_API_ACTIVITY,
        .activity = "decide",
        .outcome = d->eval.failed               ? "failed"
                   : decision_allows(d->result) ? "allowed"
                                                : "denied",
        .decision_id = str_of(d->id),
        .policy_path = path,
        .policy_rule = str_of(rule),
        .resource_type = S("policy"),
        .resource_uid = d->resource.n > 0 ? d->resource : path,
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

void decision_record(struct authz *z, const struct decision *d, const struct http_req *req,
                     void (*done)(void *ctx, struct err e), void *ctx)
{
    struct err e = z->log.log != NULL ? z->log.log(z->log.ctx, d, req) : OK;
    if (failed(e) || z->audit == NULL) {
        done(ctx, e);
        return;
    }
    record_audit(z, d, req, done, ctx);
}
