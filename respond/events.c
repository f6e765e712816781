/* What the runbook did, in the log: one event for each credential that ended, one for each step. */
#include "incident.h"

#include "lib/base/log.h"
#include "lib/telemetry/audit.h"

enum { EVICT = 2, HARDEN = 4, ISOLATE = 1, DETECT = 5, RESTORE = 3, EVENTS_MAX = 3 << 20 };

static struct audit_event base_event(const struct incident *i, int activity_id,
                                     const char *activity)
{
    return (struct audit_event){
        .class_uid = OCSF_REMEDIATION_ACTIVITY,
        .activity_id = activity_id,
        .activity = activity,
        .outcome = "allowed",
        .severity = 1,
        .trace = trace_child(&i->calls.trace),
        .source_addr = S("unix:"),
        .actor_spiffe_id =
            arena_printf(i->a, "spiffe://%.*s/sextant/respond", STR_FMT(i->trust_domain)),
    };
}

static struct json *about(struct incident *i)
{
    struct json *extra = json_new_object(i->a);
    json_set(i->a, extra, S("incident"), json_new_string(i->a, i->id));
    json_set(i->a, extra, S("about_identity"), json_new_string(i->a, i->identity));
    return extra;
}

static bool send(struct incident *i, struct buf *lines, struct str *why)
{
    if (lines->n == 0) {
        return true;
    }
    struct call c = {.method = "POST",
                     .url = join_url(i, i->config->audit, "/v1/events"),
                     .body = buf_str(lines)};
    calls_run(&i->calls, &c, 1);
    *why = call_outcome(i->a, &c);
    return call_good(&c);
}

static void put_revoked(struct incident *i, struct buf *out, const struct json *list,
                        const char *type, const char *const *ids)
{
    for (uint32_t n = 0; json_is(list, JSON_ARRAY) && n < list->n && out->n < EVENTS_MAX / 2; n++) {
        struct str id = STR_EMPTY;
        for (size_t k = 0; ids[k] != NULL && id.n == 0; k++) {
            id = json_str(json_get(list->items[n], ids[k]));
        }
        if (id.n > 0) {
            struct audit_event e = base_event(i, EVICT, "revoke");
            e.resource_type = str_of(type);
            e.resource_uid = id;
            e.extra = about(i);
            audit_event_write(out, &e, "respond");
        }
    }
}

/* The log learns each accessor and lease that ended: their later use is then seen for what it is. */
void incident_log_revoked(struct incident *i)
{
    static const char *const accessor[] = {"accessor", NULL},
                             *const lease[] = {"id", "lease_id", NULL},
                             *const session[] = {"session", NULL},
                             *const family[] = {"family", NULL};
    const struct json *data = json_get(i->holdings, "data");
    struct buf lines;
    struct str why;
    buf_init(&lines, EVENTS_MAX);
    struct audit_event ban = base_event(i, ISOLATE, "ban");
    ban.resource_type = S("identity");
    ban.resource_uid = i->identity;
    ban.extra = about(i);
    audit_event_write(&lines, &ban, "respond");
    put_revoked(i, &lines, json_get(data, "tokens"), "token", accessor);
    put_revoked(i, &lines, json_get(data, "leases"), "lease", lease);
    put_revoked(i, &lines, json_get(i->grants, "sessions"), "session", session);
    put_revoked(i, &lines, json_get(i->grants, "families"), "grant", family);
    if (!send(i, &lines, &why)) {
        step_residual(i, STEP_REVOKE, "the revocations were not logged by the runbook itself: %.*s",
                      STR_FMT(why));
    }
    buf_release(&lines);
}

void incident_log_steps(struct incident *i)
{
    static const int kinds[STEPS] = {DETECT, EVICT, RESTORE, DETECT, HARDEN, RESTORE, DETECT};
    struct buf lines;
    struct str why;
    buf_init(&lines, EVENTS_MAX);
    for (int s = 0; s < STEPS; s++) {
        const struct step *step = &i->steps[s];
        struct str activity = arena_printf(i->a, "respond.%s", step_names[s]);
        struct audit_event e = base_event(i, kinds[s], arena_cstr(i->a, activity));
        struct json *extra = about(i);
        json_set(i->a, extra, S("step"), json_new_int(i->a, s + 1));
        json_set(i->a, extra, S("probes"), json_new_int(i->a, (int64_t)step->n_probes));
        json_set(i->a, extra, S("residual"), step->residual);
        json_set(i->a, extra, S("ended_ms"), json_new_int(i->a, step->ended_ms));
        e.outcome = step->state == STEP_FAILED ? "failed" : "allowed";
        e.resource_type = S("incident");
        e.resource_uid = i->id;
        e.extra = extra;
        audit_event_write(&lines, &e, "respond");
    }
    if (!send(i, &lines, &why)) {
        step_residual(i, STEP_LIST, "the steps were not logged: %.*s", STR_FMT(why));
    }
    buf_release(&lines);
}
