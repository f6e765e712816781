/*
 * Identity's deny-list at work: a SPIFFE id that is banned loses its tokens and leases at
 * once, and neither logs in nor is served until it is allowed again.
 */
#include "secretsd.h"

#include "identity.h"
#include "lease.h"

#include "lib/base/log.h"
#include "lib/daemon/bans.h"

struct cutting {
    struct secretsd *s;
    struct str spiffe_id; /* owned */
    unsigned tokens;
    int64_t began_ns;
};

static void cut(struct revocation *rv)
{
    struct cutting *ct = rv->ctx;
    log_warn("a banned identity was cut off", {"spiffe_id", LOG_STR(ct->spiffe_id)},
             {"tokens", LOG_INT(ct->tokens)}, {"leases", LOG_INT(rv->revoked)},
             {"failed", LOG_INT(rv->failed_n)},
             {"ms", LOG_INT((clock_mono_ns() - ct->began_ns) / NS_PER_MS)});
    if (ct->s->core->audit != NULL) {
        audit_emit(ct->s->core->audit,
                   &(struct audit_event){.class_uid = OCSF_API_ACTIVITY,
                                         .activity = "entity.revoke",
                                         .outcome = rv->failed_n == 0 ? "allowed" : "failed",
                                         .actor_spiffe_id = str_of(ct->s->d->spiffe_id),
                                         .resource_type = S("identity"),
                                         .resource_uid = ct->spiffe_id,
                                         .reason = S("banned by identity"),
                                         .trace = trace_new()},
                   NULL, NULL);
    }
    str_drop(&ct->spiffe_id);
    free(ct);
}

static void ban(struct secretsd *s, struct str id)
{
    struct core *c = s->core;
    struct entity *e = entity_by_spiffe(c, id);
    if (e == NULL) {
        return;
    }
    struct cutting *ct = calloc(1, sizeof *ct);
    BUG_ON(ct == NULL);
    *ct = (struct cutting){.s = s, .spiffe_id = str_dup(id), .began_ns = clock_mono_ns()};
    struct revocation *rv = revocation_new(cut, ct);
    lease_revoke_entity(c, str_of(e->id), rv, &ct->tokens);
    revocation_ready(rv);
}

static void changed(void *ctx, struct str id, bool banned)
{
    static char present;
    struct secretsd *s = ctx;
    struct core *c = s->core;
    if (!banned) {
        map_del(&c->banned, id);
    } else if (map_set(&c->banned, id, &present) == NULL && !c->sealed) {
        ban(s, id);
    }
}

struct err denylist_start(struct secretsd *s)
{
    return bans_follow(s->d, s->cfg->identity_admin, changed, s, &s->bans);
}

void denylist_stop(struct secretsd *s)
{
    bans_free(s->bans);
    s->bans = NULL;
}
