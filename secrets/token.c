/* The store of tokens: made, found, used, renewed, revoked. */
#include "token.h"

#include "field.h"
#include "identity.h"
#include "lease.h"
#include "trail.h"
#include "ttl.h"

#include "lib/base/log.h"
#include "lib/tls/digest.h"

#include <inttypes.h>

enum { RECORD_ARENA_MAX = 1 << 20 };

/* ---- keys and records ---- */

void token_hash(const struct core *c, struct str id, char out[HASH_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t mac[SHA256_BYTES];
    hmac_sha256(secret_bytes(&c->salt), id, mac);
    for (size_t i = 0; i < sizeof mac; i++) {
        out[2 * i] = digits[mac[i] >> 4];
        out[2 * i + 1] = digits[mac[i] & 15];
    }
    out[HASH_TEXT - 1] = '\0';
}

static struct str record_path(struct arena *a, const char *hash)
{
    return arena_printf(a, "sys/token/id/%s", hash);
}

static struct json *to_record(struct arena *a, const struct token *t)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "accessor", str_of(t->accessor));
    json_set_str(a, o, "policies", t->policies);
    json_set_str(a, o, "path", t->path);
    json_set_str(a, o, "display_name", t->display_name);
    json_set_str(a, o, "meta", t->meta);
    json_set_str(a, o, "role", t->role);
    json_set_str(a, o, "entity_id", t->entity_id);
    json_set_str(a, o, "mount_path", t->mount_path);
    json_set_str(a, o, "parent", t->parent != NULL ? str_of(t->parent->hash) : STR_EMPTY);
    json_set_int(a, o, "created", t->created_s);
    json_set_int(a, o, "last_renewal", t->last_renewal_s);
    json_set_int(a, o, "ttl", t->ttl_s);
    json_set_int(a, o, "period", t->period_s);
    json_set_int(a, o, "explicit_max", t->explicit_max_s);
    json_set_int(a, o, "expire", t->expire_s);
    json_set_int(a, o, "uses", t->uses);
    json_set_bool(a, o, "orphan", t->orphan);
    json_set_bool(a, o, "renewable", t->renewable);
    return o;
}

struct err token_save(struct core *c, const struct token *t)
{
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct err e = storage_put_json(c->st, record_path(&a, t->hash), to_record(&a, t));
    arena_release(&a);
    return e;
}

static int64_t int_of(const struct json *o, const char *key)
{
    int64_t n = 0;
    const struct json *v = json_get(o, key);
    if (v != NULL) {
        ignore_err(json_i64(v, &n));
    }
    return n;
}

static struct str text_of(const struct json *o, const char *key)
{
    return str_dup(json_str(json_get(o, key)));
}

static struct token *from_record(const char *hash, const struct json *o)
{
    struct token *t = calloc(1, sizeof *t);
    BUG_ON(t == NULL);
    t->refs = 1;
    ignore_err(str_to_cstr(str_of(hash), t->hash, sizeof t->hash));
    ignore_err(str_to_cstr(json_str(json_get(o, "accessor")), t->accessor, sizeof t->accessor));
    t->policies = text_of(o, "policies");
    t->path = text_of(o, "path");
    t->display_name = text_of(o, "display_name");
    t->meta = text_of(o, "meta");
    t->role = text_of(o, "role");
    t->entity_id = text_of(o, "entity_id");
    t->mount_path = text_of(o, "mount_path");
    t->created_s = int_of(o, "created");
    t->last_renewal_s = int_of(o, "last_renewal");
    t->ttl_s = int_of(o, "ttl");
    t->period_s = int_of(o, "period");
    t->explicit_max_s = int_of(o, "explicit_max");
    t->expire_s = int_of(o, "expire");
    t->uses = int_of(o, "uses");
    t->orphan = json_true(json_get(o, "orphan"));
    t->renewable = json_true(json_get(o, "renewable"));
    t->root = str_is(t->policies, "root");
    return t;
}

struct token *token_ref(struct token *t)
{
    t->refs++;
    return t;
}

void token_unref(struct token *t)
{
    if (t == NULL || --t->refs > 0) {
        return;
    }
    struct str *owned[] = {&t->policies, &t->path,      &t->display_name, &t->meta,
                           &t->role,     &t->entity_id, &t->mount_path};
    for (size_t i = 0; i < ARRAY_LEN(owned); i++) {
        str_drop(owned[i]);
    }
    free(t);
}

/* ---- the tables ---- */

static void link_parent(struct token *t, struct token *parent)
{
    t->parent = parent;
    t->next = parent->first_child;
    if (t->next != NULL) {
        t->next->prev = t;
    }
    parent->first_child = t;
}

static void unlink_parent(struct token *t)
{
    if (t->parent == NULL) {
        return;
    }
    if (t->prev != NULL) {
        t->prev->next = t->next;
    } else {
        t->parent->first_child = t->next;
    }
    if (t->next != NULL) {
        t->next->prev = t->prev;
    }
    t->parent = t->prev = t->next = NULL;
}

static void on_expiry(struct expiry_node *n, void *ctx)
{
    struct token *t = container_of(n, struct token, expiry);
    token_revoke(ctx, t, false);
}

static void enter(struct core *c, struct token *t)
{
    map_set(&c->tokens, str_of(t->hash), t);
    map_set(&c->accessors, str_of(t->accessor), t);
    t->expiry.fire = on_expiry;
    if (t->expire_s > 0) {
        expiry_set(c->expiry, &t->expiry, t->expire_s * NS_PER_S);
    }
}

struct token *token_find(struct core *c, struct str id)
{
    if (id.n == 0 || id.n > TOKEN_ID_MAX) {
        return NULL;
    }
    char hash[HASH_TEXT];
    token_hash(c, id, hash);
    struct token *t = map_get(&c->tokens, str_of(hash));
    bool ended = t == NULL || t->uses < 0 || (t->expire_s > 0 && t->expire_s <= clock_wall_s());
    return ended ? NULL : t;
}

struct token *token_by_accessor(struct core *c, struct str accessor)
{
    struct token *t = map_get(&c->accessors, accessor);
    return t == NULL || t->uses < 0 || (t->expire_s > 0 && t->expire_s <= clock_wall_s()) ? NULL
                                                                                          : t;
}

/* ---- making ---- */

static int by_text(const void *l, const void *r)
{
    return str_cmp(*(const struct str *)l, *(const struct str *)r);
}

/* Sorted, once each, "root" alone, "default" added: as "a,b,c". */
static struct err join_policies(struct arena *a, const struct json *names, bool no_default,
                                struct str *out)
{
    struct str list[TOKEN_POLICIES_MAX + 1];
    size_t n = 0;
    for (uint32_t i = 0; names != NULL && i < names->n; i++) {
        struct str name;
        TRY(policy_name_normal(a, json_str(names->items[i]), &name));
        ENSURE(str_find_char(name, ',') == STR_NPOS, ERR_INVALID, "a policy name holds a comma");
        ENSURE(!str_is(name, "response-wrapping"), ERR_INVALID,
               "cannot assign policy \"response-wrapping\"");
        if (str_is(name, "root")) {
            *out = S("root");
            return OK;
        }
        ENSURE(n < TOKEN_POLICIES_MAX, ERR_LIMIT, "more than %d policies", TOKEN_POLICIES_MAX);
        list[n++] = name;
    }
    if (!no_default) {
        list[n++] = S("default");
    }
    qsort(list, n, sizeof *list, by_text);
    struct buf b;
    buf_init(&b, (POLICY_NAME_MAX + 1) * (TOKEN_POLICIES_MAX + 1));
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(list[i], list[i - 1])) {
            buf_puts(&b, b.n > 0 ? S(",") : S(""));
            buf_puts(&b, list[i]);
        }
    }
    *out = b.n > 0 ? arena_str(a, buf_str(&b)) : S("");
    buf_release(&b);
    return OK;
}

static struct err choose_id(struct core *c, struct arena *a, const struct token_spec *s,
                            struct str *id)
{
    if (s->id.n == 0) {
        *id = arena_printf(a, "hvs.%.*s", STR_FMT(core_random_id(a, TOKEN_ID_LEN - 4)));
        return OK;
    }
    ENSURE(s->id.n <= TOKEN_ID_MAX, ERR_INVALID, "a token ID has at most %d bytes", TOKEN_ID_MAX);
    ENSURE(!str_starts(s->id, S("hvs.")), ERR_INVALID,
           "custom token ID cannot have the 'hvs.' prefix");
    ENSURE(!str_starts(s->id, S("s.")), ERR_INVALID, "custom token ID cannot have the 's.' prefix");
    ENSURE(str_find_char(s->id, '.') == STR_NPOS, ERR_INVALID,
           "custom token ID cannot have a '.' in the value");
    ENSURE(token_find(c, s->id) == NULL, ERR_INVALID, "cannot create a token with a duplicate ID");
    *id = arena_str(a, s->id);
    return OK;
}

static void warn_capped(struct request *r, const struct ttl_result *ttl)
{
    if (r != NULL && ttl->capped) {
        reply_warn(r,
                   "TTL of \"%.*s\" exceeded the effective max_ttl of \"%.*s\"; TTL value is "
                   "capped accordingly",
                   STR_FMT(duration_text(r->arena, ttl->asked_s)),
                   STR_FMT(duration_text(r->arena, ttl->max_s)));
    }
}

static struct err decide_end(struct core *c, struct request *r, struct token *t,
                             const struct token_spec *s)
{
    const struct mount *m = s->mount != NULL ? s->mount : mount_at(c, S("auth/token/"));
    t->mount_path = str_dup(m->path);
    if (t->root && s->ttl_s == 0 && s->explicit_max_s == 0 && s->period_s == 0) {
        return OK; /* a root token without an end */
    }
    struct ttl_result ttl;
    TRY(ttl_decide(&(struct ttl_rules){.system_default = mount_default_ttl(m),
                                       .system_max = mount_max_ttl(m),
                                       .increment = s->ttl_s,
                                       .engine_max = s->max_ttl_s,
                                       .period = s->period_s,
                                       .explicit_max = s->explicit_max_s,
                                       .start_s = t->created_s,
                                       .now_s = t->created_s},
                   &ttl));
    warn_capped(r, &ttl);
    t->ttl_s = ttl.ttl_s;
    t->expire_s = t->created_s + ttl.ttl_s;
    return OK;
}

static struct err fill(struct core *c, struct request *r, struct arena *a,
                       const struct token_spec *s, struct token *t)
{
    struct str policies, meta = S("");
    TRY(join_policies(a, s->policies, s->no_default, &policies));
    if (s->meta != NULL && s->meta->n > 0) {
        meta = json_text(a, s->meta);
        ENSURE(meta.n <= TOKEN_META_MAX, ERR_LIMIT, "metadata has at most %d bytes",
               TOKEN_META_MAX);
    }
    unsigned depth = 0;
    for (struct token *p = s->parent; p != NULL; p = p->parent) {
        ENSURE(++depth < TOKEN_DEPTH_MAX, ERR_LIMIT, "tokens nest deeper than %d", TOKEN_DEPTH_MAX);
    }
    t->policies = str_dup(policies);
    t->meta = str_dup(meta);
    t->root = str_is(policies, "root");
    t->path = str_dup(s->path);
    t->display_name = str_dup(s->display_name);
    t->role = str_dup(s->role);
    t->entity_id = str_dup(s->entity_id);
    t->uses = s->uses;
    t->period_s = s->period_s;
    t->explicit_max_s = s->explicit_max_s;
    t->orphan = s->parent == NULL;
    t->created_s = clock_wall_s();
    TRY(decide_end(c, r, t, s));
    t->renewable = !s->not_renewable && t->expire_s > 0;
    ignore_err(str_to_cstr(core_random_id(a, ACCESSOR_TEXT - 1), t->accessor, sizeof t->accessor));
    return OK;
}

struct err token_create(struct core *c, struct request *r, struct arena *a,
                        const struct token_spec *s, struct token **out, struct str *id)
{
    struct str fresh;
    TRY(choose_id(c, a, s, &fresh));
    struct token *t = calloc(1, sizeof *t);
    BUG_ON(t == NULL);
    t->refs = 1;
    token_hash(c, fresh, t->hash);
    struct err e = fill(c, r, a, s, t);
    if (!failed(e)) {
        if (s->parent != NULL) {
            link_parent(t, s->parent);
        }
        e = token_save(c, t);
    }
    if (failed(e)) {
        unlink_parent(t);
        token_unref(t);
        return e;
    }
    enter(c, t);
    if (r != NULL) {
        r->reply.token = t;
        r->reply.auth_token = fresh;
    }
    *out = t;
    *id = fresh;
    return OK;
}

/* ---- using, renewing, revoking ---- */

struct err token_use(struct core *c, struct token *t, bool *last)
{
    if (t->uses <= 0) {
        return OK;
    }
    t->uses = t->uses == 1 ? -1 : t->uses - 1;
    *last = t->uses == -1;
    return token_save(c, t);
}

struct err token_renew(struct core *c, struct request *r, struct token *t, int64_t increment_s)
{
    ENSURE(t->renewable, ERR_INVALID, "lease is not renewable");
    const struct mount *m = mount_at(c, t->mount_path);
    m = m != NULL ? m : mount_at(c, S("auth/token/"));
    int64_t now = clock_wall_s();
    struct ttl_result ttl;
    TRY(ttl_decide(&(struct ttl_rules){.system_default = mount_default_ttl(m),
                                       .system_max = mount_max_ttl(m),
                                       .increment = increment_s,
                                       .engine_default = t->ttl_s,
                                       .period = t->period_s,
                                       .explicit_max = t->explicit_max_s,
                                       .start_s = t->created_s,
                                       .now_s = now},
                   &ttl));
    warn_capped(r, &ttl);
    t->last_renewal_s = now;
    t->expire_s = now + ttl.ttl_s;
    expiry_set(c->expiry, &t->expiry, t->expire_s * NS_PER_S);
    return token_save(c, t);
}

/* Out of every table and off the disk; its leases go to the queue. */
static void remove_one(struct core *c, struct token *t)
{
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct err e = storage_del(c->st, record_path(&a, t->hash));
    struct str cubbyhole = arena_printf(&a, "cubbyhole/%s/", t->hash);
    if (!failed(e)) {
        e = storage_del_prefix(c->st, cubbyhole);
    }
    if (failed(e)) {
        log_error("a revoked token could not be taken off the disk",
                  {"accessor", LOG_CSTR(t->accessor)}, {"detail", LOG_CSTR(err_detail())});
    }
    arena_release(&a);
    trail_token_ended(c, t, t->expire_s > 0 && t->expire_s <= clock_wall_s());
    map_del(&c->tokens, str_of(t->hash));
    map_del(&c->accessors, str_of(t->accessor));
    expiry_clear(c->expiry, &t->expiry);
    unlink_parent(t);
    t->revoked = true;
    while (t->first_lease != NULL) {
        struct lease *l = t->first_lease;
        t->first_lease = l->next;
        if (l->next != NULL) {
            l->next->prev = NULL;
        }
        l->token = NULL;
        l->next = l->prev = NULL;
        lease_revoke(c, l, NULL);
    }
    token_unref(t);
}

static void orphan_children(struct core *c, struct token *t)
{
    while (t->first_child != NULL) {
        struct token *child = t->first_child;
        unlink_parent(child);
        child->orphan = true;
        ignore_err(token_save(c, child));
    }
}

void token_revoke(struct core *c, struct token *t, bool orphans)
{
    if (t->revoked) {
        return;
    }
    if (orphans) {
        orphan_children(c, t);
    }
    struct token *at = t;
    for (;;) {
        while (at->first_child != NULL) {
            at = at->first_child;
        }
        struct token *up = at->parent;
        bool last = at == t;
        remove_one(c, at);
        if (last) {
            return;
        }
        at = up;
    }
}

/* ---- login ---- */

struct err token_login(struct request *r, const struct login *l)
{
    struct core *c = r->core;
    struct entity *entity = NULL;
    ENSURE(l->spiffe_id.n == 0 || map_get(&c->banned, l->spiffe_id) == NULL, ERR_DENIED,
           "permission denied");
    TRY(identity_login(c, r->mount, l->alias, l->spiffe_id, l->meta, &entity));
    r->entity = entity;
    r->actor = l->spiffe_id.n > 0 ? l->spiffe_id : l->alias;
    ENSURE(!entity->disabled, ERR_DENIED, "permission denied");
    struct str mount =
        str_sub(r->mount->path, 5, r->mount->path.n - 1); /* between auth/ and the final / */
    struct token_spec spec = {.policies = l->policies,
                              .path = r->path,
                              .role = l->role,
                              .meta = l->meta,
                              .display_name = arena_printf(r->arena, "%.*s%s%.*s", STR_FMT(mount),
                                                           l->display_name.n > 0 ? "-" : "",
                                                           STR_FMT(l->display_name)),
                              .entity_id = str_of(entity->id),
                              .no_default = l->no_default,
                              .ttl_s = l->ttl_s,
                              .max_ttl_s = l->max_ttl_s,
                              .period_s = l->period_s,
                              .explicit_max_s = l->explicit_max_s,
                              .uses = l->uses,
                              .mount = r->mount};
    struct token *t;
    struct str id;
    TRY(token_create(c, r, r->arena, &spec, &t, &id));
    r->reply.auth = token_auth_json(c, r->arena, t, id);
    return OK;
}

/* ---- from disk ---- */

struct loading {
    struct core *c;
    struct arena arena;
};

static struct err load_one(void *ctx, struct str path, struct str text)
{
    struct loading *ld = ctx;
    char hash[HASH_TEXT];
    TRY(str_to_cstr(str_sub(path, sizeof "sys/token/id/" - 1, path.n), hash, sizeof hash));
    arena_reset(&ld->arena);
    struct json *o;
    TRY(json_parse(&ld->arena, text, NULL, &o));
    struct token *t = from_record(hash, o);
    map_set(&ld->c->tokens, str_of(t->hash), t);
    map_set(&ld->c->accessors, str_of(t->accessor), t);
    return OK;
}

static struct err link_one(void *ctx, struct str path, struct str text)
{
    struct loading *ld = ctx;
    arena_reset(&ld->arena);
    struct json *o;
    TRY(json_parse(&ld->arena, text, NULL, &o));
    struct token *t = map_get(&ld->c->tokens, str_sub(path, sizeof "sys/token/id/" - 1, path.n));
    struct str parent = json_str(json_get(o, "parent"));
    struct token *p = parent.n > 0 ? map_get(&ld->c->tokens, parent) : NULL;
    if (p != NULL && p != t) {
        link_parent(t, p);
    } else if (parent.n > 0) {
        t->expire_s = 1; /* its parent is gone: so is it */
    }
    enter(ld->c, t);
    return OK;
}

struct err tokens_load(struct core *c)
{
    struct loading ld = {.c = c};
    arena_init(&ld.arena, RECORD_ARENA_MAX);
    struct err e = storage_each(c->st, S("sys/token/id/"), load_one, &ld);
    if (!failed(e)) {
        e = storage_each(c->st, S("sys/token/id/"), link_one, &ld);
    }
    arena_release(&ld.arena);
    return e;
}

void tokens_unload(struct core *c)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->tokens, &i)) != NULL;) {
        struct token *t = e->value;
        t->revoked = true;
        t->parent = t->first_child = t->prev = t->next = NULL;
        t->first_lease = NULL;
        token_unref(t);
    }
    map_release(&c->tokens);
    map_release(&c->accessors);
    map_init(&c->tokens);
    map_init(&c->accessors);
}
