/*
 * Identity's deny-list, held open by long polls: a SPIFFE id that is banned loses its tokens and leases at
 * once, and neither logs in nor is served until it is allowed again.
 */
#include "secretsd.h"

#include "identity.h"
#include "lease.h"

#include "lib/base/log.h"
#include "lib/loop/loop.h"

enum { POLL_MS = 40000, RETRY_MS = 1000 };

static void ask(void *ctx);

struct cutting {
    struct secretsd *s;
    struct str spiffe_id; /* owned */
    unsigned tokens;
    int64_t began_ns;
};

static void cut(struct revocation *rv)
{
    struct cutting *ct = rv->ctx;
    log_warn("a banned identity was cut off", {"spiffe_id", LOG_STR(ct->spiffe_id)}, {"tokens", LOG_INT(ct->tokens)},
             {"leases", LOG_INT(rv->revoked)}, {"failed", LOG_INT(rv->failed_n)},
             {"ms", LOG_INT((clock_mono_ns() - ct->began_ns) / NS_PER_MS)});
    if (ct->s->core->audit != NULL) {
        audit_emit(ct->s->core->audit, &(struct audit_event){
            .class_uid = OCSF_API_ACTIVITY, .activity = "entity.revoke", .outcome = rv->failed_n == 0 ? "allowed" : "failed",
            .actor_spiffe_id = str_of(ct->s->d->spiffe_id), .resource_type = S("identity"),
            .resource_uid = ct->spiffe_id, .reason = S("banned by identity"), .trace = trace_new()}, NULL, NULL);
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

static bool listed(const struct json *entries, struct str id)
{
    for (uint32_t i = 0; i < entries->n; i++) {
        if (str_eq(json_str(json_get(entries->items[i], "spiffe_id")), id)) {
            return true;
        }
    }
    return false;
}

/* The answer is the whole list: what is new is cut off, what is gone may log in again. */
static void apply(struct secretsd *s, const struct json *entries)
{
    static char present;
    struct core *c = s->core;
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->banned, &i)) != NULL;) {
        if (!listed(entries, e->key)) {
            map_del(&c->banned, e->key);
        }
    }
    for (uint32_t i = 0; i < entries->n; i++) {
        struct str id = json_str(json_get(entries->items[i], "spiffe_id"));
        if (id.n > 0 && map_set(&c->banned, id, &present) == NULL && !c->sealed) {
            ban(s, id);
        }
    }
}

static struct err read_answer(struct secretsd *s, const struct http_result *res)
{
    struct arena a;
    struct json *v;
    uint64_t sequence = 0;
    ENSURE(res->status == 200, ERR_UNAVAILABLE, "identity answered %d", res->status);
    arena_init(&a, DENYLIST_BODY_MAX * 2);
    struct err e = json_parse(&a, res->body, NULL, &v);
    if (!failed(e)) {
        e = json_u64(json_get(v, "sequence"), &sequence);
    }
    if (!failed(e) && !json_is(json_get(v, "entries"), JSON_ARRAY)) {
        e = err_make(ERR_SYNTAX, "no entries");
    }
    if (!failed(e)) {
        s->denylist_sequence = sequence;
        apply(s, json_get(v, "entries"));
    }
    arena_release(&a);
    return e;
}

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct secretsd *s = ctx;
    s->denylist_call = NULL;
    bool timeout = e.code == ERR_TIMEOUT;
    if (!failed(e)) {
        e = read_answer(s, res);
    }
    if (failed(e) && !timeout) {
        log_debug("deny-list not available", {"detail", LOG_CSTR(err_detail())});
        s->denylist_retry = timer_start(s->d->loop, RETRY_MS, 0, ask, s);
        return;
    }
    ask(s);
}

static void ask(void *ctx)
{
    struct secretsd *s = ctx;
    char url[1024];
    s->denylist_retry = NULL;
    snprintf(url, sizeof url, "%.*s/v1/denylist?after=%llu", STR_FMT(s->cfg->identity_admin),
             (unsigned long long)s->denylist_sequence);
    s->denylist_call = http_client_call(s->http, &(struct http_call){
        .method = S("GET"), .url = str_of(url), .timeout_ms = POLL_MS, .body_max = DENYLIST_BODY_MAX,
        .done = answered, .ctx = s});
}

void denylist_start(struct secretsd *s)
{
    if (s->cfg->identity_admin.n > 0) {
        ask(s);
    }
}

void denylist_stop(struct secretsd *s)
{
    http_client_cancel(s->denylist_call);
    s->denylist_call = NULL;
    timer_stop(s->denylist_retry);
    s->denylist_retry = NULL;
}
