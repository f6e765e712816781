/* The database engine: configurations and roles. What they lead to is in db_creds.c and db_conn.c. */
#include "database.h"

#include "engines.h"
#include "field.h"
#include "lease.h"

#include "lib/base/log.h"

/* ---- the servers of a mount, by name ---- */

struct servers {
    struct map by_name; /* name -> struct db */
};

static struct err load(struct mount *m)
{
    struct servers *s = calloc(1, sizeof *s);
    BUG_ON(s == NULL);
    map_init(&s->by_name);
    m->state = s;
    return OK;
}

static void unload(struct mount *m)
{
    struct servers *s = m->state;
    struct map_entry *e;
    for (size_t i = 0; s != NULL && (e = map_at(&s->by_name, &i)) != NULL;) {
        db_unref(e->value);
    }
    if (s != NULL) {
        map_release(&s->by_name);
    }
    free(s);
}

void database_forget(struct mount *m, struct str name)
{
    struct servers *s = m->state;
    db_unref(map_del(&s->by_name, name));
}

struct str database_config_path(struct arena *a, const struct mount *m, struct str name)
{
    return mount_storage(a, m, "config/%.*s", STR_FMT(name));
}

struct str database_secret_path(struct arena *a, const struct mount *m, struct str name,
                                bool pending)
{
    return mount_storage(a, m, "%s/%.*s", pending ? "pending" : "password", STR_FMT(name));
}

static struct str role_path(struct arena *a, const struct mount *m, struct str name)
{
    return mount_storage(a, m, "role/%.*s", STR_FMT(name));
}

static struct err open_in(struct mount *m, struct arena *a, struct str name, struct db **out)
{
    struct json *config;
    struct str password = STR_EMPTY, pending = STR_EMPTY;
    bool found;
    TRY(storage_get_json(m->core->st, a, database_config_path(a, m, name), &config));
    ENSURE(config != NULL, ERR_INVALID, "failed to find entry for connection with name: \"%.*s\"",
           STR_FMT(name));
    TRY(storage_get(m->core->st, a, database_secret_path(a, m, name, false), &password, &found));
    TRY(storage_get(m->core->st, a, database_secret_path(a, m, name, true), &pending, &found));
    struct err e = db_new(config, password, pending, out);
    wipe((void *)(uintptr_t)password.p, password.n);
    wipe((void *)(uintptr_t)pending.p, pending.n);
    return e;
}

struct err database_open(struct mount *m, struct str name, struct db **out)
{
    struct servers *s = m->state;
    struct db *db = map_get(&s->by_name, name);
    if (db == NULL) {
        struct arena a;
        arena_init(&a, 1 << 20);
        struct err e = open_in(m, &a, name, &db);
        arena_release(&a);
        TRY(e);
        map_set(&s->by_name, name, db);
    }
    *out = db;
    return OK;
}

/* ---- config ---- */

struct configuring {
    struct request *r;
    struct json *config;
    struct str name, password;
    struct db *db;
    bool rotate; /* the password given is to be known to nobody from now on */
};

static struct err save_config(struct configuring *cf)
{
    struct request *r = cf->r;
    TRY(storage_put_json(r->core->st, database_config_path(r->arena, r->mount, cf->name),
                         cf->config));
    TRY(storage_put(r->core->st, database_secret_path(r->arena, r->mount, cf->name, false),
                    cf->password));
    database_forget(r->mount, cf->name);
    return storage_del(r->core->st, database_secret_path(r->arena, r->mount, cf->name, true));
}

static void verified(void *ctx, struct err e)
{
    struct configuring *cf = ctx;
    if (failed(e)) {
        e = err_make(ERR_INVALID, "error creating database object: error verifying connection: %s",
                     arena_cstr(cf->r->arena, str_of(err_detail())));
    } else {
        e = save_config(cf);
    }
    db_unref(cf->db);
    if (!failed(e) && cf->rotate) {
        e = database_rotate_root(cf->r);
        if (!failed(e)) {
            return;
        }
    }
    if (failed(e)) {
        request_finish_err(cf->r, e);
    } else {
        request_finish(cf->r);
    }
}

static struct err copy_field(struct request *r, struct json *config, const char *name,
                             const char *fallback)
{
    struct str v = json_str(json_get(config, name));
    TRY(field_str(r->data, name, &v));
    json_set_str(r->arena, config, name, v.n > 0 ? v : str_of(fallback));
    return OK;
}

static struct err read_config(struct request *r, struct configuring *cf)
{
    struct arena *a = r->arena;
    struct json *allowed = NULL;
    int64_t conns = DB_CONNS_DEFAULT;
    TRY(storage_get_json(r->core->st, a, database_config_path(a, r->mount, cf->name), &cf->config));
    cf->config = cf->config != NULL ? cf->config : json_new_object(a);
    json_set_str(a, cf->config, "name", cf->name);
    TRY(copy_field(r, cf->config, "plugin_name", "postgresql-database-plugin"));
    TRY(copy_field(r, cf->config, "connection_url", ""));
    TRY(copy_field(r, cf->config, "username", ""));
    TRY(field_list(a, r->data, "allowed_roles", &allowed));
    TRY(field_int(r->data, "max_open_connections", &conns));
    json_set_int(a, cf->config, "max_open_connections", conns);
    if (allowed != NULL || json_get(cf->config, "allowed_roles") == NULL) {
        json_put(a, cf->config, "allowed_roles", allowed != NULL ? allowed : json_new_array(a));
    }
    struct str plugin = json_str(json_get(cf->config, "plugin_name"));
    ENSURE(str_is(plugin, "postgresql-database-plugin"), ERR_INVALID,
           "unknown database plugin \"%.*s\"; postgresql-database-plugin is the one there is",
           STR_FMT(plugin));
    ENSURE(json_str(json_get(cf->config, "connection_url")).n > 0, ERR_INVALID,
           "connection_url cannot be empty");
    ENSURE(!field_given(r->data, "username_template") && !field_given(r->data, "password_policy"),
           ERR_INVALID,
           "username_template and password_policy are not supported: the built-in forms are used");
    return OK;
}

static struct err config_write(struct request *r)
{
    struct configuring *cf = arena_new(r->arena, struct configuring);
    bool verify = true, found;
    cf->r = r;
    cf->name = request_param(r, "name");
    TRY(read_config(r, cf));
    TRY(field_bool(r->data, "verify_connection", &verify));
    TRY(field_bool(r->data, "rotate_root_now", &cf->rotate));
    ENSURE(verify || !cf->rotate, ERR_INVALID, "rotate_root_now needs verify_connection");
    TRY(storage_get(r->core->st, r->arena,
                    database_secret_path(r->arena, r->mount, cf->name, false), &cf->password,
                    &found));
    TRY(field_str(r->data, "password", &cf->password));
    TRY(db_new(cf->config, cf->password, STR_EMPTY, &cf->db));
    if (!verify) {
        db_unref(cf->db);
        return save_config(cf);
    }
    r->later = true;
    db_job_start(db_job_new(r->core, cf->db, db_work_ping, verified, cf));
    return OK;
}

static struct err config_read(struct request *r)
{
    struct arena *a = r->arena;
    struct json *config;
    TRY(storage_get_json(r->core->st, a,
                         database_config_path(a, r->mount, request_param(r, "name")), &config));
    if (config == NULL) {
        return reply_not_found(r);
    }
    struct json *o = json_new_object(a), *details = json_set_obj(a, o, "connection_details");
    json_put(a, o, "allowed_roles", json_copy(a, json_get(config, "allowed_roles")));
    json_put(a, details, "connection_url", json_copy(a, json_get(config, "connection_url")));
    json_put(a, details, "username", json_copy(a, json_get(config, "username")));
    json_put(a, details, "max_open_connections",
             json_copy(a, json_get(config, "max_open_connections")));
    json_set_str(a, o, "password_policy", S(""));
    json_put(a, o, "plugin_name", json_copy(a, json_get(config, "plugin_name")));
    json_set_str(a, o, "plugin_version", S(""));
    json_set_arr(a, o, "root_credentials_rotate_statements");
    return reply_data(r, o);
}

static struct err config_del(struct request *r)
{
    struct str name = request_param(r, "name");
    TRY(storage_del(r->core->st, database_config_path(r->arena, r->mount, name)));
    TRY(storage_del(r->core->st, database_secret_path(r->arena, r->mount, name, false)));
    database_forget(r->mount, name);
    return storage_del(r->core->st, database_secret_path(r->arena, r->mount, name, true));
}

static struct err list_below(struct request *r, const char *folder)
{
    struct json *keys = json_new_array(r->arena);
    TRY(storage_list(r->core->st, r->arena, mount_storage(r->arena, r->mount, "%s/", folder),
                     LIST_MAX, keys));
    return reply_list(r, keys);
}

static struct err config_list(struct request *r)
{
    return list_below(r, "config");
}

/* ---- roles ---- */

struct err database_load_role(struct mount *m, struct arena *a, struct str name, struct json **out)
{
    return storage_get_json(m->core->st, a, role_path(a, m, name), out);
}

struct err database_statements(struct arena *a, const struct json *role, const char *field,
                               struct str *out)
{
    const struct json *list = json_get(role, field);
    struct buf b;
    buf_init(&b, DB_STATEMENTS_MAX);
    for (uint32_t i = 0; list != NULL && i < list->n; i++) {
        struct str s = str_trim(json_str(list->items[i]));
        buf_puts(&b, s);
        if (s.n > 0 && !str_ends(s, S(";"))) {
            buf_putc(&b, ';');
        }
        buf_putc(&b, '\n');
    }
    struct err e = buf_check(&b);
    if (!failed(e)) {
        *out = b.n > 0 ? arena_str(a, buf_str(&b)) : STR_EMPTY;
    }
    buf_release(&b);
    return e;
}

/* Statements stay whole: a string is one, a list is several. Each is tried on made-up values. */
static struct err read_statements(struct request *r, struct json *role, const char *field)
{
    const struct json *given = json_get(r->data, field);
    struct json *list = json_new_array(r->arena);
    if (given == NULL) {
        if (json_get(role, field) == NULL) {
            json_put(r->arena, role, field, list);
        }
        return OK;
    }
    for (uint32_t i = 0; given->type == JSON_ARRAY && i < given->n; i++) {
        ENSURE(given->items[i]->type == JSON_STRING, ERR_INVALID, "%s must be a list of strings",
               field);
        json_push(r->arena, list, given->items[i]);
    }
    if (given->type == JSON_STRING && given->text.n > 0) {
        json_push(r->arena, list, json_new_string(r->arena, given->text));
    }
    struct str text;
    json_put(r->arena, role, field, list);
    TRY(database_statements(r->arena, role, field, &text));
    struct buf b;
    buf_init(&b, DB_STATEMENTS_MAX * 2);
    struct err e = db_fill(&b, text, &(struct db_values){.name = S("n"), .password = S("p")});
    buf_release(&b);
    return failed(e) ? err_wrap(e, "%s", field) : OK;
}

static struct err role_write(struct request *r)
{
    static const char *const fields[] = {"creation_statements", "revocation_statements",
                                         "renew_statements"};
    struct arena *a = r->arena;
    struct str name = request_param(r, "name"), type = S("password");
    struct json *role;
    int64_t def = 0, max = 0;
    TRY(database_load_role(r->mount, a, name, &role));
    bool fresh = role == NULL;
    role = fresh ? json_new_object(a) : role;
    struct str db = json_str(json_get(role, "db_name"));
    TRY(field_str(r->data, "db_name", &db));
    ENSURE(db.n > 0, ERR_INVALID, "empty database name attribute for role \"%.*s\"", STR_FMT(name));
    TRY(field_str(r->data, "credential_type", &type));
    ENSURE(str_is(type, "password"), ERR_INVALID,
           "credential_type \"password\" is the one there is");
    json_set_str(a, role, "db_name", db);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        TRY(read_statements(r, role, fields[i]));
    }
    ENSURE(json_get(role, "creation_statements")->n > 0, ERR_INVALID,
           "creation_statements must be supplied");
    TRY(field_seconds(role, "default_ttl", &def));
    TRY(field_seconds(role, "max_ttl", &max));
    TRY(field_seconds(r->data, "default_ttl", &def));
    TRY(field_seconds(r->data, "max_ttl", &max));
    ENSURE(def >= 0 && max >= 0 && (max == 0 || def <= max), ERR_INVALID,
           "default_ttl cannot be greater than max_ttl");
    json_set_int(a, role, "default_ttl", def);
    json_set_int(a, role, "max_ttl", max);
    return storage_put_json(r->core->st, role_path(a, r->mount, name), role);
}

static struct err role_read(struct request *r)
{
    struct json *role;
    TRY(database_load_role(r->mount, r->arena, request_param(r, "name"), &role));
    if (role == NULL) {
        return reply_not_found(r);
    }
    json_set_str(r->arena, role, "credential_type", S("password"));
    json_set_arr(r->arena, role, "rollback_statements");
    return reply_data(r, role);
}

static struct err role_del(struct request *r)
{
    return storage_del(r->core->st, role_path(r->arena, r->mount, request_param(r, "name")));
}

static struct err role_list(struct request *r)
{
    return list_below(r, "role");
}

static bool role_exists(struct request *r)
{
    struct json *role = NULL;
    return !failed(database_load_role(r->mount, r->arena, request_param(r, "name"), &role)) &&
           role != NULL;
}

static const struct route routes[] = {
    {"config", .list = config_list},
    {"config/{name}", .read = config_read, .write = config_write, .del = config_del},
    {"roles", .list = role_list},
    {"roles/{name}", .read = role_read, .write = role_write, .del = role_del,
     .exists = role_exists},
    {"creds/{name}", .read = database_creds_read},
    {"rotate-root/{name}", .write = database_rotate_root},
    {"reset/{name}", .write = database_reset},
    {0},
};

const struct engine database_engine = {.type = "database",
                                       .routes = routes,
                                       .load = load,
                                       .unload = unload,
                                       .revoke = database_revoke,
                                       .renew = database_renew};
