/*
 * Machines by role id and secret id, for those that have no SVID. Secret ids are kept as HMACs; one text answers
 * every kind of failure.
 */
#include "engines.h"
#include "field.h"
#include "role.h"

enum { ID_MAX = 4096 };

static struct err wrong(struct request *r, const char *why)
{
    r->denied_because = why;
    FAIL(ERR_INVALID, "invalid role or secret ID");
}

static struct str new_uuid(struct arena *a)
{
    char *id = arena_alloc(a, UUID_TEXT);
    uuid4(id);
    return str_of(id);
}

static struct str hash_of(struct request *r, struct str role, struct str secret_id)
{
    char hash[HASH_TEXT];
    token_hash(r->core,
               arena_printf(r->arena, "approle:%s:%.*s:%.*s", r->mount->uuid, STR_FMT(role),
                            STR_FMT(secret_id)),
               hash);
    return arena_str(r->arena, str_of(hash));
}

static struct str in_role(struct request *r, struct str role, struct str name)
{
    return arena_printf(r->arena, "%.*s/%.*s", STR_FMT(role), STR_FMT(name));
}

/* ---- roles ---- */

static struct err fill_role(struct request *r, struct json *role, struct str name)
{
    json_set_str(r->arena, role, "name", name);
    TRY(role_put_str(r, role, "role_id", ""));
    TRY(role_put_bool(r, role, "bind_secret_id", true));
    TRY(role_put_seconds(r, role, "secret_id_ttl"));
    TRY(role_put_seconds(r, role, "secret_id_num_uses"));
    TRY(role_read_token_fields(r, role));
    struct json *cidrs = NULL;
    TRY(field_list(r->arena, r->data, "secret_id_bound_cidrs", &cidrs));
    ENSURE(cidrs == NULL || cidrs->n == 0, ERR_INVALID,
           "secret_id_bound_cidrs is not supported: it would not be enforced");
    ENSURE(json_true(json_get(role, "bind_secret_id")), ERR_INVALID,
           "a role without bind_secret_id would have no secret at all");
    return OK;
}

static struct err role_write(struct request *r)
{
    struct str name = request_param(r, "role");
    struct json *role;
    TRY(role_load(r, "role", name, &role));
    struct str old = role != NULL ? json_str(json_get(role, "role_id")) : STR_EMPTY;
    role = role != NULL ? role : json_new_object(r->arena);
    TRY(fill_role(r, role, name));
    struct str id = json_str(json_get(role, "role_id"));
    if (id.n == 0) {
        id = new_uuid(r->arena);
        json_set_str(r->arena, role, "role_id", id);
    }
    ENSURE(id.n <= 256 && str_find_char(id, '/') == STR_NPOS, ERR_INVALID,
           "a role ID has at most 256 bytes and no '/'");
    if (!str_eq(old, id)) {
        struct json *other, *index = json_new_object(r->arena);
        TRY(role_load(r, "role-id", id, &other));
        ENSURE(other == NULL, ERR_INVALID, "role ID is already in use");
        json_set_str(r->arena, index, "role", name);
        TRY(role_save(r, "role-id", id, index));
        if (old.n > 0) {
            TRY(role_delete(r, "role-id", old));
        }
    }
    return role_save(r, "role", name, role);
}

static struct err need_role(struct request *r, struct str *name, struct json **role)
{
    *name = request_param(r, "role");
    return role_load(r, "role", *name, role);
}

static struct err role_read(struct request *r)
{
    struct str name;
    struct json *role;
    TRY(need_role(r, &name, &role));
    if (role == NULL) {
        return reply_not_found(r);
    }
    json_remove(role, S("role_id"));
    json_remove(role, S("name"));
    return reply_data(r, role);
}

static struct err role_del(struct request *r)
{
    struct str name;
    struct json *role;
    TRY(need_role(r, &name, &role));
    if (role == NULL) {
        return reply_empty(r);
    }
    TRY(role_delete(r, "role-id", json_str(json_get(role, "role_id"))));
    TRY(storage_del_prefix(r->core->st,
                           mount_storage(r->arena, r->mount, "secret/%.*s/", STR_FMT(name))));
    TRY(storage_del_prefix(r->core->st,
                           mount_storage(r->arena, r->mount, "accessor/%.*s/", STR_FMT(name))));
    return role_delete(r, "role", name);
}

static struct err roles(struct request *r)
{
    return role_list(r, "role");
}

static bool role_exists(struct request *r)
{
    struct str name;
    struct json *role = NULL;
    return !failed(need_role(r, &name, &role)) && role != NULL;
}

/* role/:r/<field>: one field of a role, with '-' for '_'. */
static struct err field_read(struct request *r)
{
    struct str name, field = request_param(r, "field");
    struct json *role, *o = json_new_object(r->arena);
    TRY(need_role(r, &name, &role));
    char *wanted = arena_cstr(r->arena, field);
    for (char *p = wanted; *p != '\0'; p++) {
        *p = *p == '-' ? '_' : *p;
    }
    const struct json *v =
        json_get(role, strcmp(wanted, "policies") == 0 ? "token_policies" : wanted);
    if (v == NULL) {
        return reply_not_found(r);
    }
    json_put(r->arena, o, wanted, json_copy(r->arena, v));
    return reply_data(r, o);
}

/* ---- secret ids ---- */

static int64_t int_of(const struct json *o, const char *name)
{
    int64_t n = 0;
    if (json_get(o, name) != NULL) {
        ignore_err(json_i64(json_get(o, name), &n));
    }
    return n;
}

static struct err issue(struct request *r, struct str secret_id)
{
    struct arena *a = r->arena;
    struct str name, meta_text = STR_EMPTY;
    struct json *role, *meta = NULL, *record = json_new_object(a), *index = json_new_object(a);
    TRY(need_role(r, &name, &role));
    ENSURE(role != NULL, ERR_INVALID, "role %.*s does not exist", STR_FMT(name));
    int64_t ttl = int_of(role, "secret_id_ttl"), uses = int_of(role, "secret_id_num_uses");
    TRY(field_seconds(r->data, "ttl", &ttl));
    TRY(field_int(r->data, "num_uses", &uses));
    TRY(field_str(r->data, "metadata", &meta_text));
    if (meta_text.n > 0) {
        ENSURE(!failed(json_parse(a, meta_text, NULL, &meta)) && meta->type == JSON_OBJECT,
               ERR_INVALID, "metadata must be a JSON object as a string");
    }
    struct str accessor = new_uuid(a), hash = hash_of(r, name, secret_id);
    json_set_str(a, record, "accessor", accessor);
    json_put(a, record, "metadata", meta != NULL ? meta : json_new_object(a));
    json_set_int(a, record, "created", clock_wall_s());
    json_set_int(a, record, "ttl", ttl);
    json_set_int(a, record, "expire", ttl > 0 ? clock_wall_s() + ttl : 0);
    json_set_int(a, record, "uses", uses);
    json_set_str(a, index, "hash", hash);
    TRY(role_save(r, "secret", in_role(r, name, hash), record));
    TRY(role_save(r, "accessor", in_role(r, name, accessor), index));
    struct json *o = json_new_object(a);
    json_set_str(a, o, "secret_id", secret_id);
    json_set_str(a, o, "secret_id_accessor", accessor);
    json_set_int(a, o, "secret_id_num_uses", uses);
    json_set_int(a, o, "secret_id_ttl", ttl);
    return reply_data(r, o);
}

static struct err secret_new(struct request *r)
{
    return issue(r, new_uuid(r->arena));
}

static struct err secret_custom(struct request *r)
{
    struct str id = STR_EMPTY;
    TRY(field_str(r->data, "secret_id", &id));
    ENSURE(id.n > 0 && id.n <= ID_MAX, ERR_INVALID, "a secret ID has 1 to %d bytes", ID_MAX);
    return issue(r, id);
}

static struct err secret_list(struct request *r)
{
    struct str name = request_param(r, "role");
    return role_list(r,
                     arena_cstr(r->arena, arena_printf(r->arena, "accessor/%.*s", STR_FMT(name))));
}

static struct err drop_secret(struct request *r, struct str role, struct str hash,
                              const struct json *record)
{
    TRY(role_delete(r, "accessor", in_role(r, role, json_str(json_get(record, "accessor")))));
    return role_delete(r, "secret", in_role(r, role, hash));
}

/* By secret_id or secret_id_accessor of the request; *record NULL when there is none. */
static struct err find_secret(struct request *r, struct str role, struct str *hash,
                              struct json **record)
{
    struct str id = STR_EMPTY, accessor = STR_EMPTY;
    struct json *index = NULL;
    TRY(field_str(r->data, "secret_id", &id));
    TRY(field_str(r->data, "secret_id_accessor", &accessor));
    *record = NULL;
    if (id.n > 0) {
        ENSURE(id.n <= ID_MAX, ERR_INVALID, "a secret ID has at most %d bytes", ID_MAX);
        *hash = hash_of(r, role, id);
    } else {
        ENSURE(accessor.n > 0, ERR_INVALID, "missing secret_id or secret_id_accessor");
        TRY(role_load(r, "accessor", in_role(r, role, accessor), &index));
        if (index == NULL) {
            return OK;
        }
        *hash = json_str(json_get(index, "hash"));
    }
    TRY(role_load(r, "secret", in_role(r, role, *hash), record));
    if (*record != NULL && int_of(*record, "expire") > 0 &&
        int_of(*record, "expire") <= clock_wall_s()) {
        TRY(drop_secret(r, role, *hash, *record));
        *record = NULL;
    }
    return OK;
}

static struct err secret_lookup(struct request *r)
{
    struct arena *a = r->arena;
    struct str hash;
    struct json *rec;
    TRY(find_secret(r, request_param(r, "role"), &hash, &rec));
    if (rec == NULL) {
        return reply_empty(r);
    }
    struct json *o = json_new_object(a);
    json_set_arr(a, o, "cidr_list");
    json_put(a, o, "creation_time", json_time(a, int_of(rec, "created") * NS_PER_S));
    json_put(a, o, "expiration_time", json_time(a, int_of(rec, "expire") * NS_PER_S));
    json_put(a, o, "metadata", json_copy(a, json_get(rec, "metadata")));
    json_put(a, o, "secret_id_accessor", json_copy(a, json_get(rec, "accessor")));
    json_set_int(a, o, "secret_id_num_uses", int_of(rec, "uses"));
    json_set_int(a, o, "secret_id_ttl", int_of(rec, "ttl"));
    json_set_arr(a, o, "token_bound_cidrs");
    return reply_data(r, o);
}

static struct err secret_destroy(struct request *r)
{
    struct str hash, role = request_param(r, "role");
    struct json *rec;
    TRY(find_secret(r, role, &hash, &rec));
    return rec != NULL ? drop_secret(r, role, hash, rec) : reply_empty(r);
}

/* ---- login ---- */

static struct err use_secret(struct request *r, struct str name, struct json **meta)
{
    struct str hash;
    struct json *rec;
    TRY(find_secret(r, name, &hash, &rec));
    if (rec == NULL) {
        return wrong(r, "unknown or expired secret id");
    }
    *meta = json_copy(r->arena, json_get(rec, "metadata"));
    int64_t uses = int_of(rec, "uses");
    if (uses == 1) {
        return drop_secret(r, name, hash, rec);
    }
    if (uses > 1) {
        json_set_int(r->arena, rec, "uses", uses - 1);
        return role_save(r, "secret", in_role(r, name, hash), rec);
    }
    return OK;
}

static struct err login(struct request *r)
{
    struct str role_id = STR_EMPTY, secret_id = STR_EMPTY;
    struct json *index = NULL, *role = NULL, *meta;
    TRY(field_str(r->data, "role_id", &role_id));
    TRY(field_str(r->data, "secret_id", &secret_id));
    ENSURE(role_id.n > 0, ERR_INVALID, "missing role_id");
    ENSURE(secret_id.n > 0, ERR_INVALID, "missing secret_id");
    if (role_id.n <= 256 && str_find_char(role_id, '/') == STR_NPOS) {
        TRY(role_load(r, "role-id", role_id, &index));
    }
    struct str name = json_str(json_get(index, "role"));
    if (name.n > 0) {
        TRY(role_load(r, "role", name, &role));
    }
    if (role == NULL) {
        return wrong(r, "unknown role id");
    }
    TRY(use_secret(r, name, &meta));
    json_set_str(r->arena, meta, "role_name", name);
    struct login l = {.alias = role_id, .meta = meta, .role = name};
    role_apply(r, role, &l);
    return token_login(r, &l);
}

static const struct route routes[] = {
    {"login", .write = login, .flags = ROUTE_UNAUTH},
    {"role", .list = roles},
    {"role/{role}", .read = role_read, .write = role_write, .del = role_del, .exists = role_exists},
    {"role/{role}/secret-id", .write = secret_new, .list = secret_list},
    {"role/{role}/custom-secret-id", .write = secret_custom},
    {"role/{role}/secret-id/lookup", .write = secret_lookup},
    {"role/{role}/secret-id/destroy", .write = secret_destroy, .del = secret_destroy},
    {"role/{role}/secret-id-accessor/lookup", .write = secret_lookup},
    {"role/{role}/secret-id-accessor/destroy", .write = secret_destroy, .del = secret_destroy},
    {"role/{role}/{field}", .read = field_read, .write = role_write},
    {0},
};

const struct engine approle_engine = {.type = "approle", .auth = true, .routes = routes};
