#include "role.h"

#include "field.h"

struct err role_put_str(struct request *r, struct json *role, const char *name,
                        const char *fallback)
{
    const struct json *have = json_get(role, name);
    struct str v = have != NULL ? json_str(have) : str_of(fallback);
    TRY(field_str(r->data, name, &v));
    json_set_str(r->arena, role, name, v);
    return OK;
}

struct err role_put_list(struct request *r, struct json *role, const char *name)
{
    struct json *list = NULL;
    TRY(field_list(r->arena, r->data, name, &list));
    if (list != NULL || json_get(role, name) == NULL) {
        json_put(r->arena, role, name, list != NULL ? list : json_new_array(r->arena));
    }
    return OK;
}

struct err role_put_bool(struct request *r, struct json *role, const char *name, bool fallback)
{
    const struct json *have = json_get(role, name);
    bool b = have != NULL ? json_true(have) : fallback;
    TRY(field_bool(r->data, name, &b));
    json_set_bool(r->arena, role, name, b);
    return OK;
}

static int64_t int_of(const struct json *o, const char *name)
{
    int64_t n = 0;
    if (json_get(o, name) != NULL) {
        ignore_err(json_i64(json_get(o, name), &n));
    }
    return n;
}

struct err role_put_seconds(struct request *r, struct json *role, const char *name)
{
    int64_t n = int_of(role, name);
    TRY(field_seconds(r->data, name, &n));
    ENSURE(n >= 0, ERR_INVALID, "%s is negative", name);
    json_set_int(r->arena, role, name, n);
    return OK;
}

static struct err refuse_unkept(struct request *r, const char *name)
{
    struct json *list = NULL;
    TRY(field_list(r->arena, r->data, name, &list));
    ENSURE(list == NULL || list->n == 0, ERR_INVALID,
           "%s is not supported: it would not be enforced; bind the role by SPIFFE id or claims "
           "instead",
           name);
    return OK;
}

struct err role_read_token_fields(struct request *r, struct json *role)
{
    struct arena *a = r->arena;
    struct json *old = NULL, *normal = json_new_array(a);
    TRY(refuse_unkept(r, "token_bound_cidrs"));
    TRY(field_list(a, r->data, "policies", &old));
    TRY(role_put_list(r, role, "token_policies"));
    const struct json *names = old != NULL && !field_given(r->data, "token_policies")
                                   ? old
                                   : json_get(role, "token_policies");
    for (uint32_t i = 0; i < names->n; i++) {
        struct str name;
        TRY(policy_name_normal(a, json_str(names->items[i]), &name));
        ENSURE(!str_is(name, "root"), ERR_INVALID, "a role cannot give the root policy");
        json_push(a, normal, json_new_string(a, name));
    }
    json_put(a, role, "token_policies", normal);
    TRY(role_put_seconds(r, role, "token_ttl"));
    TRY(role_put_seconds(r, role, "token_max_ttl"));
    TRY(role_put_seconds(r, role, "token_period"));
    TRY(role_put_seconds(r, role, "token_explicit_max_ttl"));
    TRY(role_put_seconds(r, role, "token_num_uses"));
    TRY(role_put_bool(r, role, "token_no_default_policy", false));
    json_set_arr(a, role, "token_bound_cidrs");
    json_set_str(a, role, "token_type", S("default"));
    int64_t ttl = int_of(role, "token_ttl"), max = int_of(role, "token_max_ttl");
    ENSURE(max == 0 || ttl <= max, ERR_INVALID, "token_ttl is greater than token_max_ttl");
    return OK;
}

void role_apply(struct request *r, const struct json *role, struct login *l)
{
    l->policies = json_get(role, "token_policies");
    l->ttl_s = int_of(role, "token_ttl");
    l->max_ttl_s = int_of(role, "token_max_ttl");
    l->period_s = int_of(role, "token_period");
    l->explicit_max_s = int_of(role, "token_explicit_max_ttl");
    l->uses = int_of(role, "token_num_uses");
    l->no_default = json_true(json_get(role, "token_no_default_policy"));
}

static struct str path_of(struct request *r, const char *folder, struct str name)
{
    return mount_storage(r->arena, r->mount, "%s/%.*s", folder, STR_FMT(name));
}

struct err role_load(struct request *r, const char *folder, struct str name, struct json **out)
{
    return storage_get_json(r->core->st, r->arena, path_of(r, folder, name), out);
}

struct err role_save(struct request *r, const char *folder, struct str name, const struct json *v)
{
    return storage_put_json(r->core->st, path_of(r, folder, name), v);
}

struct err role_delete(struct request *r, const char *folder, struct str name)
{
    return storage_del(r->core->st, path_of(r, folder, name));
}

struct err role_list(struct request *r, const char *folder)
{
    struct json *keys = json_new_array(r->arena);
    TRY(storage_list(r->core->st, r->arena, path_of(r, folder, S("")), LIST_MAX, keys));
    return reply_list(r, keys);
}

bool role_glob(struct str pattern, struct str text)
{
    return str_ends(pattern, S("*")) ? str_starts(text, str_sub(pattern, 0, pattern.n - 1))
                                     : str_eq(pattern, text);
}
