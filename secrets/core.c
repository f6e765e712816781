/* The life of the core: made, initialised, unsealed, sealed; and the policies that it holds. */
#include "core.h"

#include "identity.h"
#include "lease.h"
#include "policies.h"
#include "seal.h"
#include "token.h"
#include "trail.h"

#include "lib/base/log.h"
#include "lib/tls/digest.h"

enum { KEY_BYTES = 32, SALTS_MAX = 1024 };

static void storage_failed(void *ctx)
{
    struct core *c = ctx;
    log_error("storage failed; what is in memory is read from disk again",
              {"detail", LOG_CSTR(err_detail())});
    if (!c->sealed && !c->sealing) {
        c->reload = true;
        core_seal(c);
    }
}

struct err core_new(struct loop *loop, struct storage *st, const struct core_opts *o,
                    struct core **out)
{
    struct core *c = calloc(1, sizeof *c);
    BUG_ON(c == NULL);
    c->loop = loop;
    c->st = st;
    c->opts = *o;
    c->sealed = true;
    c->trail = trail_new();
    struct map *maps[] = {&c->policies, &c->acls,         &c->tokens,  &c->accessors, &c->leases,
                          &c->entities, &c->entity_names, &c->aliases, &c->spiffe,    &c->banned};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        map_init(maps[i]);
    }
    storage_on_failure(st, storage_failed, c);
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str keyring;
    struct err e = storage_get_plain(st, &a, S("core/keyring"), &keyring, &c->initialized);
    arena_release(&a);
    if (failed(e)) {
        core_free(c);
        return e;
    }
    *out = c;
    return OK;
}

static struct err load_all(struct core *c);

static void drop_loaded(struct core *c)
{
    expiry_free(c->expiry);
    c->expiry = NULL;
    leases_unload(c);
    tokens_unload(c);
    identity_unload(c);
    mounts_unload(c);
    core_forget_acls(c);
    policies_unload(c);
    secret_release(&c->salt);
    secret_release(&c->audit_key);
}

static void drop_all(struct core *c)
{
    drop_loaded(c);
    barrier_free(storage_barrier(c->st));
    storage_set_barrier(c->st, NULL);
    c->sealed = true;
    c->sealing = false;
}

void core_free(struct core *c)
{
    if (c == NULL) {
        return;
    }
    c->on_sealed = NULL;
    drop_all(c);
    struct map *maps[] = {&c->policies, &c->acls,         &c->tokens,  &c->accessors, &c->leases,
                          &c->entities, &c->entity_names, &c->aliases, &c->spiffe,    &c->banned};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        map_release(maps[i]);
    }
    trail_free(c->trail);
    free(c);
}

/* Memory was ahead of a disk that did not take it: everything is read again, under the same keys. */
static bool reload(struct core *c)
{
    c->reload = false;
    drop_loaded(c);
    c->expiry = expiry_new(c->loop, c);
    struct err e = load_all(c);
    if (failed(e)) {
        log_error("storage cannot be read; sealing", {"detail", LOG_CSTR(err_detail())});
        return false;
    }
    c->sealing = false;
    log_info("read again", {"tokens", LOG_INT(map_len(&c->tokens))},
             {"leases", LOG_INT(map_len(&c->leases))});
    return true;
}

void core_seal(struct core *c)
{
    if (c->sealed) {
        return;
    }
    c->sealing = true;
    if (c->inflight > 0 || c->revoking > 0 || (c->reload && reload(c))) {
        return;
    }
    drop_all(c);
    if (c->on_sealed != NULL) {
        c->on_sealed(c->state_ctx);
    }
}

/* ---- keys that live inside the barrier ---- */

static struct err put_key(struct core *c, const char *path)
{
    struct secret key;
    TRY(secret_random(&key, KEY_BYTES));
    struct err e = storage_put(c->st, str_of(path), secret_bytes(&key));
    secret_release(&key);
    return e;
}

static struct err get_key(struct core *c, const char *path, struct secret *out)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct str key;
    bool found;
    struct err e = storage_get(c->st, &a, str_of(path), &key, &found);
    if (!failed(e)) {
        e = found && key.n == KEY_BYTES ? secret_copy(out, key)
                                        : err_make(ERR_IO, "%s is missing or damaged", path);
        wipe((void *)(uintptr_t)key.p, found ? key.n : 0);
    }
    arena_release(&a);
    return e;
}

static struct err put_keyring(struct core *c, const struct secret *root_key)
{
    struct buf record;
    buf_init(&record, 1 << 20);
    struct err e = barrier_export(storage_barrier(c->st), root_key, &record);
    if (!failed(e)) {
        e = storage_put_plain(c->st, S("core/keyring"), buf_str(&record));
    }
    buf_release(&record);
    return e;
}

struct err core_init(struct core *c, const struct secret *root_key)
{
    ENSURE(!c->initialized, ERR_INVALID, "Vault is already initialized");
    struct barrier *b;
    TRY(barrier_create(&b));
    storage_set_barrier(c->st, b);
    TRY(put_keyring(c, root_key));
    TRY(put_key(c, "core/salt"));
    TRY(put_key(c, "core/audit-key"));
    char id[UUID_TEXT];
    uuid4(id);
    TRY(storage_put_plain(c->st, S("core/cluster-id"), str_of(id)));
    TRY(policies_defaults(c));
    TRY(mounts_defaults(c));
    mounts_unload(c);
    policies_unload(c);
    barrier_free(b);
    storage_set_barrier(c->st, NULL);
    c->initialized = true;
    return OK;
}

static struct err load_all(struct core *c)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct str id;
    bool found;
    struct err e = storage_get_plain(c->st, &a, S("core/cluster-id"), &id, &found);
    if (!failed(e) && found && id.n < sizeof c->cluster_id) {
        ignore_err(str_to_cstr(id, c->cluster_id, sizeof c->cluster_id));
    }
    arena_release(&a);
    TRY(e);
    TRY(get_key(c, "core/salt", &c->salt));
    TRY(get_key(c, "core/audit-key", &c->audit_key));
    TRY(policies_load(c));
    TRY(mounts_load(c));
    TRY(identity_load(c));
    TRY(tokens_load(c));
    return leases_load(c);
}

struct err core_unseal(struct core *c, const struct secret *root_key)
{
    ENSURE(c->initialized, ERR_INVALID, "not initialized");
    if (!c->sealed) {
        return OK;
    }
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str keyring;
    bool found;
    struct barrier *b;
    struct err e = storage_get_plain(c->st, &a, S("core/keyring"), &keyring, &found);
    if (!failed(e)) {
        e = barrier_import(root_key, found ? keyring : STR_EMPTY, &b);
    }
    arena_release(&a);
    TRY(e);
    storage_set_barrier(c->st, b);
    c->expiry = expiry_new(c->loop, c);
    e = load_all(c);
    if (failed(e)) {
        drop_all(c);
        return err_wrap(e, "unseal");
    }
    c->sealed = false;
    log_info("unsealed", {"tokens", LOG_INT(map_len(&c->tokens))},
             {"leases", LOG_INT(map_len(&c->leases))});
    if (c->on_unsealed != NULL) {
        c->on_unsealed(c->state_ctx);
    }
    return OK;
}

struct str core_hmac(struct core *c, struct arena *a, struct str value)
{
    uint8_t mac[SHA256_BYTES];
    hmac_sha256(secret_bytes(&c->audit_key), value, mac);
    return arena_printf(a, "hmac-sha256:%.*s", STR_FMT(hex_encode(a, str_n(mac, sizeof mac))));
}

/* ---- policies of a token, compiled ---- */

void core_forget_acls(struct core *c)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->acls, &i)) != NULL;) {
        acl_free(e->value);
    }
    map_release(&c->acls);
    map_init(&c->acls);
}

/* Names of the token and of its entity; what is not there grants nothing. */
static size_t collect(struct core *c, const struct token *t, const struct entity *entity,
                      struct policy **out)
{
    size_t n = 0;
    for (struct str rest = t->policies; rest.p != NULL && rest.n > 0 && n < ACL_POLICIES_MAX;) {
        struct policy *p = map_get(&c->policies, str_split(&rest, ','));
        if (p != NULL) {
            out[n++] = p;
        }
    }
    for (uint32_t i = 0; entity != NULL && entity->policies != NULL && i < entity->policies->n;
         i++) {
        struct policy *p = map_get(&c->policies, json_str(entity->policies->items[i]));
        bool have = p == NULL || n == ACL_POLICIES_MAX || str_is(p->name, "root");
        for (size_t k = 0; k < n; k++) {
            have |= out[k] == p;
        }
        if (!have) {
            out[n++] = p;
        }
    }
    return n;
}

struct err core_acl(struct core *c, const struct token *t, struct acl **out)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str key = arena_printf(&a, "%.*s|%.*s", STR_FMT(t->policies), STR_FMT(t->entity_id));
    struct acl *acl = map_get(&c->acls, key);
    struct err e = OK;
    if (acl == NULL) {
        struct policy *list[ACL_POLICIES_MAX];
        struct acl_entity for_templates;
        const struct entity *entity = entity_by_id(c, t->entity_id);
        size_t n = collect(c, t, entity, list);
        if (entity != NULL) {
            entity_for_acl(&a, entity, &for_templates);
        }
        e = acl_new(list, n, entity != NULL ? &for_templates : NULL, &acl);
        if (!failed(e)) {
            map_set(&c->acls, key, acl);
        }
    }
    arena_release(&a);
    if (!failed(e)) {
        *out = acl;
    }
    return e;
}
