/* sys/leases, and what responders ask: everything an identity holds, and its end in one call. */
#include "field.h"
#include "identity.h"
#include "lease.h"
#include "sys_priv.h"
#include "token.h"

static struct err wanted_id(struct request *r, struct str *id)
{
    *id = STR_EMPTY;
    TRY(field_str(r->data, "lease_id", id));
    if (id->n == 0 && r->n_params > 0) {
        *id = request_param(r, "lease_id");
    }
    ENSURE(id->n > 0, ERR_INVALID, "lease_id must be specified");
    return OK;
}

static struct json *lease_json(struct arena *a, const struct lease *l)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "id", arena_str(a, l->id));
    json_put(a, o, "issue_time", json_time(a, l->issue_s * NS_PER_S));
    json_put(a, o, "expire_time", json_time(a, l->expire_s * NS_PER_S));
    json_put(a, o, "last_renewal",
             l->last_renewal_s > 0 ? json_time(a, l->last_renewal_s * NS_PER_S) : json_new_null(a));
    json_set_bool(a, o, "renewable", l->renewable);
    json_set_int(a, o, "ttl", MAX(0, l->expire_s - clock_wall_s()));
    return o;
}

struct err sys_lease_lookup(struct request *r)
{
    struct str id;
    TRY(wanted_id(r, &id));
    const struct lease *l = lease_find(r->core, id);
    ENSURE(l != NULL && l->state == LEASE_ACTIVE, ERR_INVALID, "invalid lease");
    return reply_data(r, lease_json(r->arena, l));
}

static void push_once(struct request *r, struct map *seen, struct json *keys, struct str name)
{
    if (map_set(seen, name, keys) == NULL) {
        json_push(r->arena, keys, json_new_string(r->arena, arena_str(r->arena, name)));
    }
}

/* Names below a prefix, folders once: of leases, and of tokens by their paths. */
struct err sys_lease_list(struct request *r)
{
    struct str prefix = r->n_params > 0 ? request_param(r, "prefix") : S("");
    prefix = prefix.n > 0 ? arena_printf(r->arena, "%.*s/", STR_FMT(prefix)) : prefix;
    struct json *keys = json_new_array(r->arena);
    struct map seen;
    map_init(&seen);
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&r->core->leases, &i)) != NULL && keys->n < LIST_MAX;) {
        if (str_starts(e->key, prefix)) {
            struct str name = str_sub(e->key, prefix.n, e->key.n);
            size_t slash = str_find_char(name, '/');
            push_once(r, &seen, keys, slash == STR_NPOS ? name : str_sub(name, 0, slash + 1));
        }
    }
    map_release(&seen);
    return reply_list(r, keys);
}

/* ---- renewal ---- */

static void renewed(void *ctx, struct err e)
{
    if (failed(e)) {
        request_finish_err(ctx, e);
    } else {
        request_finish(ctx);
    }
}

struct err sys_lease_renew(struct request *r)
{
    struct str id;
    int64_t increment = 0;
    TRY(wanted_id(r, &id));
    TRY(field_seconds(r->data, "increment", &increment));
    struct lease *l = lease_find(r->core, id);
    ENSURE(l != NULL, ERR_INVALID, "lease not found");
    r->later = true;
    struct err e = lease_extend(r, l, increment, renewed, r);
    r->later = !failed(e);
    return e;
}

/* ---- revocation ---- */

static void revocation_answer(struct revocation *rv)
{
    struct request *r = rv->ctx;
    if (rv->failed_n > 0) {
        ignore_err(reply_error(r, 400,
                               "%u of %u leases could not be revoked yet; they are tried again",
                               rv->failed_n, rv->failed_n + rv->revoked));
    }
    request_finish(r);
}

static struct err is_sync(struct request *r, bool *sync)
{
    *sync = false;
    return field_bool(r->data, "sync", sync);
}

struct err sys_lease_revoke(struct request *r)
{
    struct str id;
    bool sync;
    TRY(wanted_id(r, &id));
    TRY(is_sync(r, &sync));
    struct lease *l = lease_find(r->core, id);
    if (!sync) {
        if (l != NULL) {
            lease_revoke(r->core, l, NULL);
        }
        r->reply.status = 202;
        return reply_empty(r);
    }
    if (l == NULL) {
        return reply_empty(r);
    }
    r->later = true;
    struct revocation *rv = revocation_new(revocation_answer, r);
    lease_revoke(r->core, l, rv);
    revocation_ready(rv);
    return OK;
}

struct err sys_lease_revoke_prefix(struct request *r)
{
    bool sync;
    TRY(is_sync(r, &sync));
    struct str prefix = request_param(r, "prefix");
    ENSURE(prefix.n > 0, ERR_INVALID, "prefix must be specified");
    if (!sync) {
        lease_revoke_prefix(r->core, prefix, NULL);
        r->reply.status = 202;
        return reply_empty(r);
    }
    r->later = true;
    struct revocation *rv = revocation_new(revocation_answer, r);
    lease_revoke_prefix(r->core, prefix, rv);
    revocation_ready(rv);
    return OK;
}

struct err sys_lease_revoke_force(struct request *r)
{
    struct str prefix = request_param(r, "prefix");
    ENSURE(prefix.n > 0, ERR_INVALID, "prefix must be specified");
    lease_forget_force(r->core, prefix);
    return reply_empty(r);
}

struct err sys_lease_tidy(struct request *r)
{
    r->reply.status = 202;
    reply_warn(r, "Tidy operation successfully started. Any information from the operation will be "
                  "printed to "
                  "Vault's server logs.");
    return OK;
}

static size_t count(struct core *c, enum lease_state only, bool all)
{
    size_t n = 0;
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->leases, &i)) != NULL;) {
        n += all || ((struct lease *)e->value)->state == only;
    }
    return n;
}

static bool asks_irrevocable(const struct request *r)
{
    return str_is(json_str(json_get(r->data, "type")), "irrevocable");
}

struct err sys_lease_count(struct request *r)
{
    struct json *data = json_new_object(r->arena);
    json_set_int(r->arena, data, "lease_count",
                 (int64_t)count(r->core, LEASE_IRREVOCABLE, !asks_irrevocable(r)));
    json_set_obj(r->arena, data, "counts");
    return reply_data(r, data);
}

struct err sys_lease_irrevocable(struct request *r)
{
    struct arena *a = r->arena;
    struct json *data = json_new_object(a), *list = json_new_array(a);
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&r->core->leases, &i)) != NULL && list->n < 10000;) {
        const struct lease *l = e->value;
        if (l->state == LEASE_IRREVOCABLE) {
            struct json *o = json_new_object(a);
            json_set_str(a, o, "lease_id", arena_str(a, l->id));
            json_set_str(a, o, "error", arena_str(a, l->error));
            json_push(a, list, o);
        }
    }
    json_set_int(a, data, "lease_count", list->n);
    json_put(a, data, "leases", list);
    return reply_data(r, data);
}

/* ---- for responders ---- */

static struct err wanted_entity(struct request *r, struct entity **out)
{
    struct str spiffe = STR_EMPTY, id = STR_EMPTY;
    TRY(field_str(r->data, "spiffe_id", &spiffe));
    TRY(field_str(r->data, "entity_id", &id));
    ENSURE(spiffe.n > 0 || id.n > 0, ERR_INVALID, "spiffe_id or entity_id must be supplied");
    *out = spiffe.n > 0 ? entity_by_spiffe(r->core, spiffe) : entity_by_id(r->core, id);
    return OK;
}

static bool belongs(const struct token *t, const struct entity *e)
{
    for (; t != NULL; t = t->parent) {
        if (str_is(t->entity_id, e->id)) {
            return true;
        }
    }
    return false;
}

static struct json *token_json(struct arena *a, const struct token *t)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "accessor", arena_str(a, str_of(t->accessor)));
    json_set_str(a, o, "display_name", arena_str(a, t->display_name));
    json_set_str(a, o, "path", arena_str(a, t->path));
    json_put(a, o, "policies", token_policies_json(a, t));
    json_put(a, o, "issue_time", json_time(a, t->created_s * NS_PER_S));
    json_set_int(a, o, "ttl", token_ttl_left(t));
    return o;
}

struct err sys_holdings(struct request *r)
{
    struct arena *a = r->arena;
    struct entity *entity;
    TRY(wanted_entity(r, &entity));
    if (entity == NULL) {
        return reply_not_found(r);
    }
    struct json *data = json_new_object(a), *tokens = json_new_array(a),
                *leases = json_new_array(a);
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&r->core->tokens, &i)) != NULL;) {
        if (belongs(e->value, entity)) {
            json_push(a, tokens, token_json(a, e->value));
        }
    }
    for (size_t i = 0; (e = map_at(&r->core->leases, &i)) != NULL;) {
        const struct lease *l = e->value;
        if (strcmp(l->entity_id, entity->id) == 0) {
            struct json *o = lease_json(a, l);
            json_set_str(a, o, "accessor",
                         l->token != NULL ? arena_str(a, str_of(l->token->accessor)) : S(""));
            json_push(a, leases, o);
        }
    }
    json_set_str(a, data, "entity_id", arena_str(a, str_of(entity->id)));
    json_set_str(a, data, "spiffe_id", arena_str(a, entity->spiffe_id));
    json_set_bool(a, data, "disabled", entity->disabled);
    json_put(a, data, "tokens", tokens);
    json_put(a, data, "leases", leases);
    return reply_data(r, data);
}

static void entity_answer(struct revocation *rv)
{
    struct request *r = rv->ctx;
    struct json *data = r->reply.data;
    json_set_int(r->arena, data, "leases_revoked", rv->revoked);
    json_set_int(r->arena, data, "leases_failed", rv->failed_n);
    request_finish(r);
}

struct err sys_entity_revoke(struct request *r)
{
    struct arena *a = r->arena;
    struct entity *entity;
    bool disable = false;
    TRY(wanted_entity(r, &entity));
    TRY(field_bool(r->data, "disable", &disable));
    if (entity == NULL) {
        return reply_not_found(r);
    }
    if (disable) {
        TRY(entity_set_disabled(r->core, entity, true));
    }
    struct str id = arena_str(a, str_of(entity->id));
    unsigned tokens;
    struct revocation *rv = revocation_new(entity_answer, r);
    r->later = true;
    lease_revoke_entity(r->core, id, rv, &tokens);
    struct json *data = json_new_object(a);
    json_set_str(a, data, "entity_id", id);
    json_set_bool(a, data, "disabled", entity->disabled);
    json_set_int(a, data, "tokens_revoked", tokens);
    ignore_err(reply_data(r, data));
    revocation_ready(rv);
    return OK;
}
