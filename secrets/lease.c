/* Leases: registered, renewed, ended; and the queue of revocations. */
#include "lease.h"

#include "engines.h"
#include "field.h"
#include "token.h"
#include "trail.h"
#include "ttl.h"

#include "lib/base/log.h"
#include "lib/loop/loop.h"

#include <inttypes.h>

enum { RECORD_ARENA_MAX = 1 << 20 };

struct lease_waiter {
    struct revocation *rv;
    struct lease_waiter *next;
};

static void work_queue(struct core *c);

/* ---- records ---- */

static struct str record_path(struct arena *a, struct str id)
{
    return arena_printf(a, "sys/expire/id/%.*s", STR_FMT(id));
}

static struct err save(struct core *c, const struct lease *l)
{
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct json *o = json_new_object(&a);
    json_set_str(&a, o, "mount", str_of(l->mount_uuid));
    json_set_str(&a, o, "token", str_of(l->token_hash));
    json_set_str(&a, o, "entity", str_of(l->entity_id));
    json_set_str(&a, o, "data", l->data);
    json_set_int(&a, o, "issue", l->issue_s);
    json_set_int(&a, o, "expire", l->expire_s);
    json_set_int(&a, o, "last_renewal", l->last_renewal_s);
    json_set_int(&a, o, "max_ttl", l->max_ttl_s);
    json_set_int(&a, o, "default_ttl", l->default_ttl_s);
    json_set_bool(&a, o, "renewable", l->renewable);
    json_set_bool(&a, o, "irrevocable", l->state == LEASE_IRREVOCABLE);
    json_set_str(&a, o, "error", l->error);
    struct err e = storage_put_json(c->st, record_path(&a, l->id), o);
    arena_release(&a);
    return e;
}

static void lease_free(struct lease *l)
{
    str_drop(&l->id);
    str_drop(&l->data);
    str_drop(&l->error);
    free(l);
}

static void link_token(struct lease *l, struct token *t)
{
    l->token = t;
    l->next = t->first_lease;
    if (l->next != NULL) {
        l->next->prev = l;
    }
    t->first_lease = l;
}

static void unlink_token(struct lease *l)
{
    if (l->token == NULL) {
        return;
    }
    if (l->prev != NULL) {
        l->prev->next = l->next;
    } else {
        l->token->first_lease = l->next;
    }
    if (l->next != NULL) {
        l->next->prev = l->prev;
    }
    l->token = NULL;
    l->prev = l->next = NULL;
}

static void end_it(struct core *c, struct lease *l, struct revocation *rv);

static void on_expiry(struct expiry_node *n, void *ctx)
{
    end_it(ctx, container_of(n, struct lease, expiry), NULL);
}

static void on_retry(struct expiry_node *n, void *ctx)
{
    struct lease *l = container_of(n, struct lease, expiry);
    l->state = LEASE_ACTIVE;
    end_it(ctx, l, NULL);
}

static void note_entity(struct lease *l, const struct token *t)
{
    while (t != NULL && t->entity_id.n == 0) {
        t = t->parent;
    }
    if (t != NULL) {
        ignore_err(str_to_cstr(t->entity_id, l->entity_id, sizeof l->entity_id));
    }
}

struct err lease_register(struct request *r, const struct json *data, int64_t ttl_s,
                          int64_t max_ttl_s, bool renewable, struct lease **out)
{
    struct core *c = r->core;
    ENSURE(map_len(&c->leases) < LEASES_MAX, ERR_LIMIT, "more than %d leases", LEASES_MAX);
    struct str text = json_text(r->arena, data);
    ENSURE(text.n <= LEASE_DATA_MAX, ERR_LIMIT, "a lease keeps at most %d bytes", LEASE_DATA_MAX);
    struct lease *l = calloc(1, sizeof *l);
    BUG_ON(l == NULL);
    l->core = c;
    l->id = str_dup(arena_printf(r->arena, "%.*s/%.*s", STR_FMT(r->path),
                                 STR_FMT(core_random_id(r->arena, 24))));
    l->data = str_dup(text);
    memcpy(l->mount_uuid, r->mount->uuid, UUID_TEXT);
    l->issue_s = clock_wall_s();
    l->expire_s = l->issue_s + ttl_s;
    l->default_ttl_s = ttl_s;
    l->max_ttl_s = max_ttl_s;
    l->renewable = renewable;
    l->expiry.fire = on_expiry;
    if (r->token != NULL) {
        memcpy(l->token_hash, r->token->hash, HASH_TEXT);
        link_token(l, r->token);
        note_entity(l, r->token);
    }
    struct err e = save(c, l);
    if (failed(e)) {
        unlink_token(l);
        lease_free(l);
        return e;
    }
    map_set(&c->leases, l->id, l);
    expiry_set(c->expiry, &l->expiry, l->expire_s * NS_PER_S);
    r->reply.lease = l;
    r->reply.lease_id = arena_str(r->arena, l->id);
    r->reply.renewable = renewable;
    r->reply.lease_s = ttl_s;
    *out = l;
    return OK;
}

/* Off the disk and out of the table. */
static void forget(struct core *c, struct lease *l)
{
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct err e = storage_del(c->st, record_path(&a, l->id));
    if (failed(e)) {
        log_error("an ended lease could not be taken off the disk", {"lease", LOG_STR(l->id)},
                  {"detail", LOG_CSTR(err_detail())});
    }
    arena_release(&a);
    map_del(&c->leases, l->id);
    expiry_clear(c->expiry, &l->expiry);
    unlink_token(l);
}

void lease_drop(struct core *c, struct lease *l)
{
    forget(c, l);
    lease_free(l);
}

struct lease *lease_find(struct core *c, struct str id)
{
    return map_get(&c->leases, id);
}

struct mount *lease_mount(const struct lease *l)
{
    for (size_t i = 0; i < l->core->n_mounts; i++) {
        if (strcmp(l->core->mounts[i]->uuid, l->mount_uuid) == 0) {
            return l->core->mounts[i];
        }
    }
    return NULL;
}

struct err lease_extend(struct request *r, struct lease *l, int64_t increment_s, revoked_fn *done,
                        void *ctx)
{
    struct core *c = r->core;
    struct mount *m = lease_mount(l);
    int64_t now = clock_wall_s();
    ENSURE(l->state == LEASE_ACTIVE && m != NULL && l->expire_s > now, ERR_INVALID,
           "lease expired");
    ENSURE(l->renewable, ERR_INVALID, "lease is not renewable");
    struct ttl_result ttl;
    TRY(ttl_decide(&(struct ttl_rules){.system_default = mount_default_ttl(m),
                                       .system_max = mount_max_ttl(m),
                                       .increment = increment_s,
                                       .engine_default = l->default_ttl_s,
                                       .engine_max = l->max_ttl_s,
                                       .start_s = l->issue_s,
                                       .now_s = now},
                   &ttl));
    if (ttl.capped) {
        reply_warn(r,
                   "TTL of \"%.*s\" exceeded the effective max_ttl of \"%.*s\"; TTL value is "
                   "capped accordingly",
                   STR_FMT(duration_text(r->arena, ttl.asked_s)),
                   STR_FMT(duration_text(r->arena, ttl.max_s)));
    }
    l->expire_s = now + ttl.ttl_s;
    l->last_renewal_s = now;
    expiry_set(c->expiry, &l->expiry, l->expire_s * NS_PER_S);
    TRY(save(c, l));
    r->reply.lease_id = arena_str(r->arena, l->id);
    r->reply.renewable = true;
    r->reply.lease_s = ttl.ttl_s;
    if (m->engine->renew != NULL) {
        m->engine->renew(l, l->expire_s, done, ctx);
    } else {
        done(ctx, OK);
    }
    return OK;
}

/* ---- revocation ---- */

struct revocation *revocation_new(void (*done)(struct revocation *), void *ctx)
{
    struct revocation *rv = calloc(1, sizeof *rv);
    BUG_ON(rv == NULL);
    *rv = (struct revocation){.pending = 1, .done = done, .ctx = ctx};
    return rv;
}

void revocation_ready(struct revocation *rv)
{
    if (--rv->pending == 0) {
        rv->done(rv);
        free(rv);
    }
}

/* Those who wait hear of each attempt once: a failed one does not keep them waiting for the next. */
static void tell(struct lease *l, bool ok)
{
    struct lease_waiter *w = l->waiters;
    l->waiters = NULL;
    while (w != NULL) {
        struct lease_waiter *next = w->next;
        w->rv->revoked += ok;
        w->rv->failed_n += !ok;
        revocation_ready(w->rv);
        free(w);
        w = next;
    }
}

static void give_up_or_wait(struct core *c, struct lease *l, struct err e)
{
    str_drop(&l->error);
    l->error = str_dup(str_of(err_detail()));
    l->attempts++;
    log_warn("a lease could not be revoked", {"lease", LOG_STR(l->id)},
             {"attempt", LOG_INT(l->attempts)}, {"error", LOG_CSTR(err_text(e))},
             {"detail", LOG_STR(l->error)});
    if (l->attempts >= LEASE_ATTEMPTS) {
        l->state = LEASE_IRREVOCABLE;
        trail_lease_ended(c, l, false);
        ignore_err(save(c, l));
    } else {
        l->state = LEASE_WAITING;
        l->expiry.fire = on_retry;
        expiry_set(c->expiry, &l->expiry,
                   clock_wall_ns() + ((int64_t)LEASE_BACKOFF_MS << l->attempts) * NS_PER_MS);
    }
    tell(l, false);
}

static void revoked(void *ctx, struct err e)
{
    struct lease *l = ctx;
    struct core *c = l->core;
    c->revoking--;
    if (failed(e)) {
        give_up_or_wait(c, l, e);
    } else {
        trail_lease_ended(c, l, true);
        forget(c, l);
        tell(l, true);
        lease_free(l);
    }
    if (c->sealing) {
        core_seal(c);
    } else {
        work_queue(c);
    }
}

static void begin(struct core *c, struct lease *l)
{
    c->revoking++;
    l->state = LEASE_REVOKING;
    struct mount *m = lease_mount(l);
    if (m == NULL || m->engine->revoke == NULL) {
        revoked(l, OK);
        return;
    }
    m->engine->revoke(l, revoked, l);
}

/* An engine may answer at once, inside begin(): the loop out here then takes the next. */
static void work_queue(struct core *c)
{
    if (c->queue_running) {
        return;
    }
    c->queue_running = true;
    while (c->revoke_head != NULL && c->revoking < LEASE_WORKERS && !c->sealing) {
        struct lease *l = c->revoke_head;
        c->revoke_head = l->queue_next;
        if (c->revoke_head == NULL) {
            c->revoke_tail = NULL;
        }
        l->queue_next = NULL;
        begin(c, l);
    }
    c->queue_running = false;
}

static void enqueue(struct core *c, struct lease *l)
{
    l->state = LEASE_QUEUED;
    expiry_clear(c->expiry, &l->expiry);
    l->expire_s = MIN(l->expire_s, clock_wall_s());
    if (c->revoke_tail != NULL) {
        c->revoke_tail->queue_next = l;
    } else {
        c->revoke_head = l;
    }
    c->revoke_tail = l;
}

static void wait_for(struct lease *l, struct revocation *rv)
{
    struct lease_waiter *w = malloc(sizeof *w);
    BUG_ON(w == NULL);
    *w = (struct lease_waiter){rv, l->waiters};
    l->waiters = w;
    rv->pending++;
}

static void queue_later(void *ctx)
{
    struct core *c = ctx;
    if (!c->sealed) {
        work_queue(c);
    }
}

void lease_revoke(struct core *c, struct lease *l, struct revocation *rv)
{
    l->asked = true;
    end_it(c, l, rv);
}

static void end_it(struct core *c, struct lease *l, struct revocation *rv)
{
    if (rv != NULL) {
        wait_for(l, rv);
    }
    if (l->state == LEASE_MAKING) {
        l->revoke_wanted = true;
        return;
    }
    if (l->state == LEASE_QUEUED || l->state == LEASE_REVOKING) {
        return;
    }
    if (l->state == LEASE_IRREVOCABLE) {
        l->attempts = 0;
    }
    enqueue(c, l);
    ignore_err(save(c, l)); /* expired now, also after a crash */
    if (c->loop != NULL) {
        loop_defer(c->loop, queue_later, c);
    } else {
        work_queue(c);
    }
}

void lease_hold(struct lease *l)
{
    l->state = LEASE_MAKING;
}

bool lease_release(struct core *c, struct lease *l)
{
    l->state = LEASE_ACTIVE;
    if (!l->revoke_wanted) {
        return true;
    }
    lease_revoke(c, l, NULL);
    return false;
}

static void revoke_tokens_below(struct core *c, struct str prefix)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->tokens, &i)) != NULL;) {
        struct token *t = e->value;
        if (str_starts(t->path, prefix)) {
            token_revoke(c, t, false);
        }
    }
}

void lease_revoke_prefix(struct core *c, struct str prefix, struct revocation *rv)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->leases, &i)) != NULL;) {
        struct lease *l = e->value;
        if (str_starts(l->id, prefix)) {
            lease_revoke(c, l, rv);
        }
    }
    if (str_starts(prefix, S("auth/"))) {
        revoke_tokens_below(c, prefix);
    }
}

static bool descends_from(const struct token *t, struct str entity_id)
{
    for (; t != NULL; t = t->parent) {
        if (str_eq(t->entity_id, entity_id)) {
            return true;
        }
    }
    return false;
}

void lease_revoke_entity(struct core *c, struct str entity_id, struct revocation *rv,
                         unsigned *tokens)
{
    struct map_entry *e;
    *tokens = 0;
    for (size_t i = 0; (e = map_at(&c->leases, &i)) != NULL;) {
        struct lease *l = e->value;
        if (str_is(entity_id, l->entity_id)) {
            lease_revoke(c, l, rv);
        }
    }
    for (size_t i = 0; (e = map_at(&c->tokens, &i)) != NULL;) {
        *tokens += descends_from(e->value, entity_id);
    }
    for (size_t i = 0; (e = map_at(&c->tokens, &i)) != NULL;) {
        struct token *t = e->value;
        if (str_eq(t->entity_id, entity_id)) {
            token_revoke(c, t, false);
        }
    }
}

void lease_forget_force(struct core *c, struct str prefix)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->leases, &i)) != NULL;) {
        struct lease *l = e->value;
        if (str_starts(l->id, prefix) && l->state != LEASE_REVOKING && l->state != LEASE_QUEUED) {
            tell(l, true);
            lease_drop(c, l);
        }
    }
}

/* ---- from disk ---- */

struct loading {
    struct core *c;
    struct arena arena;
};

static int64_t int_of(const struct json *o, const char *key)
{
    int64_t n = 0;
    const struct json *v = json_get(o, key);
    if (v != NULL) {
        ignore_err(json_i64(v, &n));
    }
    return n;
}

static struct err load_one(void *ctx, struct str path, struct str text)
{
    struct loading *ld = ctx;
    struct core *c = ld->c;
    arena_reset(&ld->arena);
    struct json *o;
    TRY(json_parse(&ld->arena, text, NULL, &o));
    struct lease *l = calloc(1, sizeof *l);
    BUG_ON(l == NULL);
    l->core = c;
    l->id = str_dup(str_sub(path, sizeof "sys/expire/id/" - 1, path.n));
    l->data = str_dup(json_str(json_get(o, "data")));
    l->error = str_dup(json_str(json_get(o, "error")));
    ignore_err(str_to_cstr(json_str(json_get(o, "mount")), l->mount_uuid, sizeof l->mount_uuid));
    ignore_err(str_to_cstr(json_str(json_get(o, "entity")), l->entity_id, sizeof l->entity_id));
    ignore_err(str_to_cstr(json_str(json_get(o, "token")), l->token_hash, sizeof l->token_hash));
    l->issue_s = int_of(o, "issue");
    l->expire_s = int_of(o, "expire");
    l->last_renewal_s = int_of(o, "last_renewal");
    l->max_ttl_s = int_of(o, "max_ttl");
    l->default_ttl_s = int_of(o, "default_ttl");
    l->renewable = json_true(json_get(o, "renewable"));
    l->expiry.fire = on_expiry;
    map_set(&c->leases, l->id, l);
    struct token *t = l->token_hash[0] != '\0' ? map_get(&c->tokens, str_of(l->token_hash)) : NULL;
    if (t != NULL) {
        link_token(l, t);
    }
    if (json_true(json_get(o, "irrevocable"))) {
        l->state = LEASE_IRREVOCABLE;
    } else {
        /* Without its token it has no right to live on: it expires at once. */
        bool alone = t == NULL && l->token_hash[0] != '\0';
        expiry_set(c->expiry, &l->expiry, (alone ? 1 : l->expire_s) * NS_PER_S);
    }
    return OK;
}

struct err leases_load(struct core *c)
{
    struct loading ld = {.c = c};
    arena_init(&ld.arena, RECORD_ARENA_MAX);
    struct err e = storage_each(c->st, S("sys/expire/id/"), load_one, &ld);
    arena_release(&ld.arena);
    return e;
}

void leases_unload(struct core *c)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->leases, &i)) != NULL;) {
        struct lease *l = e->value;
        tell(l, false);
        lease_free(l);
    }
    map_release(&c->leases);
    map_init(&c->leases);
    c->revoke_head = c->revoke_tail = NULL;
}
