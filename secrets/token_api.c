/* auth/token/: tokens made from tokens, looked up, renewed, revoked, and the roles to make them by. */
#include "engines.h"
#include "field.h"
#include "policies.h"
#include "token.h"

/* ---- create ---- */

static bool subset_of_parent(const struct token *parent, const struct json *names)
{
    for (uint32_t i = 0; i < names->n; i++) {
        struct str name = json_str(names->items[i]);
        if (!token_has_policy(parent, name) && !str_is(name, "default")) {
            return false;
        }
    }
    return true;
}

/* Names in their normal form, so that " Root " is not taken for something harmless. */
static struct err normal_names(struct request *r, const struct json *names, struct json **out)
{
    struct json *list = json_new_array(r->arena);
    for (uint32_t i = 0; names != NULL && i < names->n; i++) {
        struct str name;
        TRY(policy_name_normal(r->arena, json_str(names->items[i]), &name));
        json_push(r->arena, list, json_new_string(r->arena, name));
        if (policies_get(r->core, name) == NULL) {
            reply_warn(r, "Policy \"%.*s\" does not exist", STR_FMT(name));
        }
    }
    *out = list;
    return OK;
}

/* What the caller without a role may ask for. */
static struct err check_policies(struct request *r, struct token_spec *s, const struct json *asked)
{
    struct json *names;
    if (asked == NULL || asked->n == 0) {
        s->policies = token_policies_json(r->arena, r->token);
        return OK;
    }
    TRY(normal_names(r, asked, &names));
    bool root = list_has(names, S("root"));
    ENSURE(!root || r->token->root, ERR_INVALID,
           "root tokens may not be created without parent token being root");
    ENSURE(r->sudo || subset_of_parent(r->token, names), ERR_INVALID,
           "child policies must be subset of parent");
    ENSURE(!root || r->token->expire_s == 0 || s->ttl_s > 0, ERR_INVALID,
           "expiring root tokens cannot create non-expiring root tokens");
    s->policies = names;
    return OK;
}

/* The allowed lists of a role decide; what the parent holds does not matter. */
static struct err check_role(struct request *r, struct token_spec *s, const struct json *role,
                             const struct json *asked)
{
    struct json *allowed = NULL, *disallowed = NULL, *names;
    TRY(field_list(r->arena, role, "allowed_policies", &allowed));
    TRY(field_list(r->arena, role, "disallowed_policies", &disallowed));
    const struct json *from = asked != NULL && asked->n > 0 ? asked : allowed;
    if (from == NULL || from->n == 0) {
        from = token_policies_json(r->arena, r->token);
    }
    TRY(normal_names(r, from, &names));
    for (uint32_t i = 0; i < names->n; i++) {
        struct str name = json_str(names->items[i]);
        ENSURE(!list_has(disallowed, name), ERR_INVALID,
               "token policies (%.*s) contain a disallowed one", STR_FMT(name));
        ENSURE(allowed == NULL || allowed->n == 0 || list_has(allowed, name) ||
                   str_is(name, "default"),
               ERR_INVALID,
               "token policies ([\"%.*s\"]) must be subset of the role's allowed policies",
               STR_FMT(name));
        ENSURE(!str_is(name, "root") || r->token->root, ERR_INVALID,
               "root tokens may not be created without parent token being root");
    }
    ENSURE(allowed != NULL && allowed->n > 0 ? true : r->sudo || subset_of_parent(r->token, names),
           ERR_INVALID, "child policies must be subset of parent");
    s->policies = names;
    return OK;
}

static struct err read_fields(struct request *r, struct token_spec *s, struct str *display,
                              bool *no_parent)
{
    struct json *meta = NULL;
    bool renewable = true;
    struct str type = S("service"), alias = STR_EMPTY;
    TRY(field_str(r->data, "id", &s->id));
    TRY(field_str(r->data, "type", &type));
    TRY(field_str(r->data, "entity_alias", &alias));
    TRY(field_map(r->arena, r->data, "meta", &meta));
    TRY(field_bool(r->data, "no_default_policy", &s->no_default));
    TRY(field_bool(r->data, "renewable", &renewable));
    TRY(field_seconds(r->data, "lease", &s->ttl_s));
    TRY(field_seconds(r->data, "ttl", &s->ttl_s));
    TRY(field_seconds(r->data, "explicit_max_ttl", &s->explicit_max_s));
    TRY(field_seconds(r->data, "period", &s->period_s));
    TRY(field_int(r->data, "num_uses", &s->uses));
    TRY(field_str(r->data, "display_name", display));
    TRY(field_bool(r->data, "no_parent", no_parent));
    ENSURE(str_is(type, "service") || type.n == 0, ERR_INVALID,
           "only tokens of type \"service\" are issued: batch tokens cannot be revoked");
    ENSURE(alias.n == 0, ERR_INVALID, "entity_alias is not supported; log in instead");
    ENSURE(s->uses >= 0, ERR_INVALID, "number of uses cannot be negative");
    ENSURE(s->ttl_s >= 0 && s->explicit_max_s >= 0 && s->period_s >= 0, ERR_INVALID,
           "a ttl is negative");
    ENSURE(s->id.n == 0 || r->sudo, ERR_INVALID,
           "root or sudo privileges required to specify token id");
    ENSURE(s->period_s == 0 || r->sudo, ERR_INVALID,
           "root or sudo privileges required to create periodic token");
    s->meta = meta;
    s->not_renewable = !renewable;
    return OK;
}

static struct str safe_display(struct arena *a, struct str name)
{
    if (name.n == 0) {
        return S("token");
    }
    struct str out = arena_printf(a, "token-%.*s", STR_FMT(name));
    for (size_t i = 6; i < out.n; i++) {
        char *p = (char *)(uintptr_t)&out.p[i];
        bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                  (*p >= '0' && *p <= '9') || *p == '-';
        *p = ok ? *p : '-';
    }
    return out;
}

static struct str role_path(struct arena *a, struct str name)
{
    return arena_printf(a, "sys/token/roles/%.*s", STR_FMT(name));
}

static struct err apply_role(struct request *r, struct token_spec *s, const struct json *role,
                             bool *orphan)
{
    int64_t period = 0, explicit_max = 0, uses = 0;
    bool renewable = true;
    struct str suffix = STR_EMPTY;
    TRY(field_bool(role, "orphan", orphan));
    TRY(field_bool(role, "renewable", &renewable));
    TRY(field_bool(role, "token_no_default_policy", &s->no_default));
    TRY(field_seconds(role, "token_period", &period));
    TRY(field_seconds(role, "token_explicit_max_ttl", &explicit_max));
    TRY(field_int(role, "token_num_uses", &uses));
    TRY(field_str(role, "path_suffix", &suffix));
    s->role = request_param(r, "role");
    s->period_s = period;
    s->explicit_max_s = explicit_max > 0 ? explicit_max : s->explicit_max_s;
    s->uses = uses > 0 ? uses : s->uses;
    s->not_renewable |= !renewable;
    s->path = arena_printf(r->arena, "auth/token/create/%.*s%s%.*s", STR_FMT(s->role),
                           suffix.n > 0 ? "/" : "", STR_FMT(suffix));
    return OK;
}

static struct err create_with(struct request *r, const struct json *role, bool orphan)
{
    ENSURE(r->token != NULL, ERR_DENIED, "permission denied");
    ENSURE(r->token->uses == 0, ERR_INVALID, "restricted use token cannot generate child tokens");
    struct token_spec s = {.path = r->path};
    struct str display = STR_EMPTY;
    struct json *asked = NULL;
    bool no_parent = false;
    TRY(read_fields(r, &s, &display, &no_parent));
    TRY(field_list(r->arena, r->data, "policies", &asked));
    ENSURE(!no_parent || r->sudo, ERR_INVALID,
           "root or sudo privileges required to create orphan token");
    orphan |= no_parent;
    if (role != NULL) {
        TRY(apply_role(r, &s, role, &orphan));
        TRY(check_role(r, &s, role, asked));
    } else {
        TRY(check_policies(r, &s, asked));
    }
    s.parent = orphan ? NULL : r->token;
    s.entity_id = orphan ? STR_EMPTY : r->token->entity_id;
    s.display_name = safe_display(r->arena, display);
    struct token *t;
    struct str id;
    TRY(token_create(r->core, r, r->arena, &s, &t, &id));
    r->reply.auth = token_auth_json(r->core, r->arena, t, id);
    return OK;
}

static struct err create(struct request *r)
{
    return create_with(r, NULL, false);
}

static struct err create_orphan(struct request *r)
{
    ENSURE(r->sudo, ERR_INVALID, "root or sudo privileges required to create orphan token");
    return create_with(r, NULL, true);
}

static struct err create_by_role(struct request *r)
{
    struct json *role;
    struct str name = request_param(r, "role");
    TRY(storage_get_json(r->core->st, r->arena, role_path(r->arena, name), &role));
    ENSURE(role != NULL, ERR_INVALID, "unknown role %.*s", STR_FMT(name));
    return create_with(r, role, false);
}

/* ---- look up, renew, revoke ---- */

static struct err by_id(struct request *r, struct token **out, struct str *id)
{
    *id = STR_EMPTY;
    TRY(field_str(r->data, "token", id));
    ENSURE(id->n > 0, ERR_INVALID, "missing token ID");
    *out = token_find(r->core, *id);
    return OK;
}

static struct err by_accessor(struct request *r, struct token **out)
{
    struct str accessor = STR_EMPTY;
    TRY(field_str(r->data, "accessor", &accessor));
    ENSURE(accessor.n > 0, ERR_INVALID, "missing accessor");
    *out = token_by_accessor(r->core, accessor);
    return OK;
}

static struct err lookup(struct request *r)
{
    struct token *t;
    struct str id;
    TRY(by_id(r, &t, &id));
    ENSURE(t != NULL, ERR_DENIED, "bad token");
    return reply_data(r, token_lookup_json(r->core, r->arena, t, id));
}

static struct err lookup_self(struct request *r)
{
    return reply_data(r, token_lookup_json(r->core, r->arena, r->token, r->client_token));
}

static struct err lookup_accessor(struct request *r)
{
    struct token *t;
    TRY(by_accessor(r, &t));
    ENSURE(t != NULL, ERR_DENIED, "invalid accessor");
    return reply_data(r, token_lookup_json(r->core, r->arena, t, S("")));
}

static struct err renew_it(struct request *r, struct token *t, struct str id)
{
    int64_t increment = 0;
    TRY(field_seconds(r->data, "increment", &increment));
    TRY(token_renew(r->core, r, t, increment));
    r->reply.auth = token_auth_json(r->core, r->arena, t, id);
    return OK;
}

static struct err renew(struct request *r)
{
    struct token *t;
    struct str id;
    TRY(by_id(r, &t, &id));
    ENSURE(t != NULL, ERR_DENIED, "bad token");
    return renew_it(r, t, id);
}

static struct err renew_self(struct request *r)
{
    return renew_it(r, r->token, r->client_token);
}

static struct err renew_accessor(struct request *r)
{
    struct token *t;
    TRY(by_accessor(r, &t));
    ENSURE(t != NULL, ERR_DENIED, "invalid accessor");
    return renew_it(r, t, S(""));
}

static struct err revoke(struct request *r)
{
    struct token *t;
    struct str id;
    TRY(by_id(r, &t, &id));
    if (t != NULL) {
        token_revoke(r->core, t, false);
    }
    return reply_empty(r);
}

static struct err revoke_self(struct request *r)
{
    token_revoke(r->core, r->token, false);
    return reply_empty(r);
}

static struct err revoke_orphan(struct request *r)
{
    struct token *t;
    struct str id;
    TRY(by_id(r, &t, &id));
    ENSURE(t != NULL, ERR_INVALID, "token to revoke not found");
    token_revoke(r->core, t, true);
    return reply_empty(r);
}

static struct err revoke_accessor(struct request *r)
{
    struct token *t;
    TRY(by_accessor(r, &t));
    ENSURE(t != NULL, ERR_INVALID, "invalid accessor");
    token_revoke(r->core, t, false);
    return reply_empty(r);
}

static struct err list_accessors(struct request *r)
{
    struct json *keys = json_new_array(r->arena);
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&r->core->accessors, &i)) != NULL && keys->n < LIST_MAX;) {
        json_push(r->arena, keys, json_new_string(r->arena, arena_str(r->arena, e->key)));
    }
    return reply_list(r, keys);
}

/* ---- roles ---- */

static struct err role_read(struct request *r)
{
    struct json *role;
    TRY(storage_get_json(r->core->st, r->arena, role_path(r->arena, request_param(r, "role")),
                         &role));
    return role != NULL ? reply_data(r, role) : reply_not_found(r);
}

static struct err put_list(struct request *r, struct json *role, const char *name)
{
    struct json *list = NULL;
    TRY(field_list(r->arena, r->data, name, &list));
    if (list != NULL || json_get(role, name) == NULL) {
        json_put(r->arena, role, name, list != NULL ? list : json_new_array(r->arena));
    }
    return OK;
}

static struct err put_seconds(struct request *r, struct json *role, const char *name)
{
    int64_t n = 0;
    if (json_get(role, name) != NULL) {
        ignore_err(json_i64(json_get(role, name), &n));
    }
    TRY(field_seconds(r->data, name, &n));
    ENSURE(n >= 0, ERR_INVALID, "%s is negative", name);
    json_set_int(r->arena, role, name, n);
    return OK;
}

static struct err put_bool(struct request *r, struct json *role, const char *name, bool fallback)
{
    bool b = json_get(role, name) != NULL ? json_true(json_get(role, name)) : fallback;
    TRY(field_bool(r->data, name, &b));
    json_set_bool(r->arena, role, name, b);
    return OK;
}

static struct err role_write(struct request *r)
{
    struct arena *a = r->arena;
    struct str name = request_param(r, "role"), suffix = STR_EMPTY;
    struct json *role;
    TRY(storage_get_json(r->core->st, a, role_path(a, name), &role));
    role = role != NULL ? role : json_new_object(a);
    json_set_str(a, role, "name", name);
    TRY(put_list(r, role, "allowed_policies"));
    TRY(put_list(r, role, "disallowed_policies"));
    TRY(put_bool(r, role, "orphan", false));
    TRY(put_bool(r, role, "renewable", true));
    TRY(put_bool(r, role, "token_no_default_policy", false));
    TRY(put_seconds(r, role, "token_period"));
    TRY(put_seconds(r, role, "token_explicit_max_ttl"));
    TRY(put_seconds(r, role, "token_num_uses"));
    TRY(field_str(r->data, "path_suffix", &suffix));
    json_set_str(a, role, "path_suffix", suffix.n > 0 ? suffix : S(""));
    json_set_str(a, role, "token_type", S("default-service"));
    return storage_put_json(r->core->st, role_path(a, name), role);
}

static struct err role_del(struct request *r)
{
    return storage_del(r->core->st, role_path(r->arena, request_param(r, "role")));
}

static struct err role_list(struct request *r)
{
    struct json *keys = json_new_array(r->arena);
    TRY(storage_list(r->core->st, r->arena, S("sys/token/roles/"), LIST_MAX, keys));
    return reply_list(r, keys);
}

static const struct route routes[] = {
    {"create", .write = create},
    {"create-orphan", .write = create_orphan},
    {"create/{role}", .write = create_by_role},
    {"lookup", .write = lookup},
    {"lookup-self", .read = lookup_self, .write = lookup_self},
    {"lookup-accessor", .write = lookup_accessor},
    {"renew", .write = renew},
    {"renew-self", .write = renew_self},
    {"renew-accessor", .write = renew_accessor},
    {"revoke", .write = revoke},
    {"revoke-self", .write = revoke_self},
    {"revoke-orphan", .write = revoke_orphan, .flags = ROUTE_SUDO},
    {"revoke-accessor", .write = revoke_accessor},
    {"accessors", .list = list_accessors, .flags = ROUTE_SUDO},
    {"roles", .list = role_list},
    {"roles/{role}", .read = role_read, .write = role_write, .del = role_del},
    {0},
};

const struct engine token_engine = {.type = "token", .auth = true, .routes = routes};
