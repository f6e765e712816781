/* A token as clients see one. */
#include "token.h"

#include "field.h"
#include "identity.h"

int64_t token_ttl_left(const struct token *t)
{
    return t->expire_s > 0 ? MAX(0, t->expire_s - clock_wall_s()) : 0;
}

bool token_has_policy(const struct token *t, struct str name)
{
    for (struct str rest = t->policies; rest.p != NULL && t->policies.n > 0;) {
        if (str_eq(str_split(&rest, ','), name)) {
            return true;
        }
    }
    return false;
}

struct json *token_policies_json(struct arena *a, const struct token *t)
{
    struct json *list = json_new_array(a);
    for (struct str rest = t->policies; rest.p != NULL && t->policies.n > 0;) {
        json_push(a, list, json_new_string(a, arena_str(a, str_split(&rest, ','))));
    }
    return list;
}

static struct json *meta_of(struct arena *a, const struct token *t)
{
    struct json *meta = NULL;
    return t->meta.n > 0 && !failed(json_parse(a, t->meta, NULL, &meta)) ? meta : json_new_null(a);
}

static struct json *identity_policies(struct core *c, struct arena *a, const struct token *t)
{
    const struct entity *e = t->entity_id.n > 0 ? entity_by_id(c, t->entity_id) : NULL;
    return e != NULL && e->policies != NULL && e->policies->n > 0 ? json_copy(a, e->policies)
                                                                  : NULL;
}

static struct json *all_policies(struct arena *a, const struct json *own, const struct json *more)
{
    struct json *all = json_copy(a, own);
    for (uint32_t i = 0; more != NULL && i < more->n; i++) {
        if (!list_has(all, json_str(more->items[i]))) {
            json_push(a, all, more->items[i]);
        }
    }
    return all;
}

struct json *token_auth_json(struct core *c, struct arena *a, const struct token *t, struct str id)
{
    struct json *o = json_new_object(a), *own = token_policies_json(a, t);
    struct json *ident = identity_policies(c, a, t);
    json_set_str(a, o, "client_token", id);
    json_set_str(a, o, "accessor", arena_str(a, str_of(t->accessor)));
    json_put(a, o, "policies", all_policies(a, own, ident));
    json_put(a, o, "token_policies", own);
    if (ident != NULL) {
        json_put(a, o, "identity_policies", ident);
    }
    json_put(a, o, "metadata", meta_of(a, t));
    json_set_int(a, o, "lease_duration", token_ttl_left(t));
    json_set_bool(a, o, "renewable", t->renewable);
    json_set_str(a, o, "entity_id", arena_str(a, t->entity_id));
    json_set_str(a, o, "token_type", S("service"));
    json_set_bool(a, o, "orphan", t->orphan);
    json_put(a, o, "mfa_requirement", json_new_null(a));
    json_set_int(a, o, "num_uses", MAX(0, t->uses));
    return o;
}

struct json *token_lookup_json(struct core *c, struct arena *a, const struct token *t,
                               struct str id)
{
    struct json *o = json_new_object(a), *ident = identity_policies(c, a, t);
    json_set_str(a, o, "accessor", arena_str(a, str_of(t->accessor)));
    json_set_int(a, o, "creation_time", t->created_s);
    json_set_int(a, o, "creation_ttl", t->ttl_s);
    json_set_str(a, o, "display_name", arena_str(a, t->display_name));
    json_set_str(a, o, "entity_id", arena_str(a, t->entity_id));
    json_put(a, o, "expire_time",
             t->expire_s > 0 ? json_time(a, t->expire_s * NS_PER_S) : json_new_null(a));
    json_set_int(a, o, "explicit_max_ttl", t->explicit_max_s);
    json_set_str(a, o, "id", id);
    if (ident != NULL) {
        json_put(a, o, "identity_policies", ident);
    }
    json_put(a, o, "issue_time", json_time(a, t->created_s * NS_PER_S));
    if (t->last_renewal_s > 0) {
        json_put(a, o, "last_renewal", json_time(a, t->last_renewal_s * NS_PER_S));
        json_set_int(a, o, "last_renewal_time", t->last_renewal_s);
    }
    json_put(a, o, "meta", meta_of(a, t));
    json_set_int(a, o, "num_uses", MAX(0, t->uses));
    json_set_bool(a, o, "orphan", t->orphan);
    json_set_str(a, o, "path", arena_str(a, t->path));
    if (t->period_s > 0) {
        json_set_int(a, o, "period", t->period_s);
    }
    json_put(a, o, "policies", token_policies_json(a, t));
    json_set_bool(a, o, "renewable", t->renewable);
    if (t->role.n > 0) {
        json_set_str(a, o, "role", arena_str(a, t->role));
    }
    json_set_int(a, o, "ttl", token_ttl_left(t));
    json_set_str(a, o, "type", S("service"));
    return o;
}
