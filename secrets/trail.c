#include "trail.h"

#include "identity.h"

#include "lib/telemetry/audit.h"

struct grave {
    char hash[HASH_TEXT], accessor[ACCESSOR_TEXT];
    struct str who; /* owned */
};

struct trail {
    struct grave ring[TRAIL_REMEMBERED];
    size_t next;
    struct map by_hash; /* hash -> struct grave */
};

struct trail *trail_new(void)
{
    struct trail *t = calloc(1, sizeof *t);
    BUG_ON(t == NULL);
    map_init(&t->by_hash);
    return t;
}

void trail_free(struct trail *t)
{
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < TRAIL_REMEMBERED; i++) {
        str_drop(&t->ring[i].who);
    }
    map_release(&t->by_hash);
    free(t);
}

static struct str owner_of(const struct core *c, const struct token *t)
{
    const struct entity *e = t->entity_id.n > 0 ? map_get(&c->entities, t->entity_id) : NULL;
    return e != NULL && e->spiffe_id.n > 0 ? e->spiffe_id : t->display_name;
}

/* The oldest grave gives way. */
static void bury(struct trail *tr, const struct token *t, struct str who)
{
    struct grave *g = &tr->ring[tr->next];
    tr->next = (tr->next + 1) % TRAIL_REMEMBERED;
    if (g->hash[0] != '\0') {
        map_del(&tr->by_hash, str_of(g->hash));
        str_drop(&g->who);
    }
    memcpy(g->hash, t->hash, sizeof g->hash);
    memcpy(g->accessor, t->accessor, sizeof g->accessor);
    g->who = str_dup(who);
    map_set(&tr->by_hash, str_of(g->hash), g);
}

static void tell(struct core *c, const char *activity, bool ok, struct str who, struct str accessor,
                 struct str lease, struct str reason)
{
    if (c->audit == NULL) {
        return;
    }
    bool spiffe = str_starts(who, S("spiffe://"));
    audit_emit(c->audit,
               &(struct audit_event){.class_uid = OCSF_API_ACTIVITY,
                                     .activity = activity,
                                     .outcome = ok ? "allowed" : "failed",
                                     .actor_spiffe_id = spiffe ? who : STR_EMPTY,
                                     .actor_user = spiffe ? STR_EMPTY : who,
                                     .token_accessor = accessor,
                                     .lease_id = lease,
                                     .reason = reason,
                                     .trace = trace_new()},
               NULL, NULL);
}

void trail_token_ended(struct core *c, const struct token *t, bool expired)
{
    struct str who = owner_of(c, t);
    if (str_is(t->policies, "response-wrapping")) {
        return; /* it did what it was for */
    }
    if (!expired) {
        bury(c->trail, t, who);
    }
    tell(c, expired ? "token.expire" : "token.revoke", true, who, str_of(t->accessor), STR_EMPTY,
         STR_EMPTY);
}

void trail_lease_ended(struct core *c, const struct lease *l, bool gone)
{
    const struct entity *e =
        l->entity_id[0] != '\0' ? map_get(&c->entities, str_of(l->entity_id)) : NULL;
    struct str who = e == NULL ? STR_EMPTY : e->spiffe_id.n > 0 ? e->spiffe_id : e->name;
    bool expired = l->token != NULL && !l->asked;
    tell(c, expired ? "lease.expire" : "lease.revoke", gone, who, STR_EMPTY, l->id,
         gone ? STR_EMPTY : l->error);
}

bool trail_recall(const struct core *c, const char *hash, struct str *accessor, struct str *who)
{
    const struct grave *g = map_get(&c->trail->by_hash, str_of(hash));
    if (g == NULL) {
        return false;
    }
    *accessor = str_of(g->accessor);
    *who = g->who;
    return true;
}
