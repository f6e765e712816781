/* Credentials on demand: made, renewed and ended; and the administrator's own password, rotated. */
#include "database.h"
#include "field.h"
#include "lease.h"
#include "token.h"
#include "ttl.h"

#include "lib/base/log.h"

/* ---- making ---- */

struct making {
    struct request *r;
    struct lease *lease;
    struct db_job *job;
    struct str username, role;
};

static void made(void *ctx, struct err e)
{
    struct making *mk = ctx;
    struct request *r = mk->r;
    bool wanted = lease_release(r->core, mk->lease);
    if (failed(e)) {
        log_error("a database role could not be made", {"role", LOG_STR(mk->role)},
                  {"detail", LOG_CSTR(err_detail())});
        request_finish_err(r, err_make(e.code == ERR_UNAVAILABLE ? ERR_UNAVAILABLE : ERR_INVALID,
                                       "the database refused the role; the daemon's log says why"));
    } else if (!wanted) {
        r->reply.lease = NULL;
        request_finish_err(r, err_make(ERR_DENIED, "permission denied"));
    } else {
        request_finish(r);
    }
}

/* The lease is on disk: now the role may come to be. */
static void make_role(void *ctx, struct err e)
{
    struct making *mk = ctx;
    if (failed(e)) {
        db_job_free(mk->job);
        lease_release(mk->r->core, mk->lease);
        request_finish_err(mk->r, e);
        return;
    }
    db_job_start(mk->job);
}

static struct err check_allowed(struct request *r, const struct json *config, struct str role)
{
    const struct json *allowed = json_get(config, "allowed_roles");
    for (uint32_t i = 0; allowed != NULL && i < allowed->n; i++) {
        struct str pattern = json_str(allowed->items[i]);
        bool tail = str_ends(pattern, S("*"));
        if (tail ? str_starts(role, str_sub(pattern, 0, pattern.n - 1)) : str_eq(role, pattern)) {
            return OK;
        }
    }
    r->denied_because = "the role is not among the allowed ones of its database";
    FAIL(ERR_INVALID, "\"%.*s\" is not an allowed role", STR_FMT(role));
}

static struct err decide_ttl(struct request *r, const struct json *role, struct ttl_result *ttl,
                             int64_t *max)
{
    int64_t def = 0, now = clock_wall_s();
    *max = 0;
    TRY(field_seconds(role, "default_ttl", &def));
    TRY(field_seconds(role, "max_ttl", max));
    return ttl_decide(&(struct ttl_rules){.system_default = mount_default_ttl(r->mount),
                                          .system_max = mount_max_ttl(r->mount),
                                          .engine_default = def,
                                          .engine_max = *max,
                                          .start_s = now,
                                          .now_s = now},
                      ttl);
}

static struct err lease_it(struct request *r, struct making *mk, const struct db *db,
                           const struct ttl_result *ttl, int64_t max)
{
    struct json *data = json_new_object(r->arena);
    json_set_str(r->arena, data, "db", db->name);
    json_set_str(r->arena, data, "username", mk->username);
    json_set_str(r->arena, data, "role", mk->role);
    return lease_register(r, data, ttl->ttl_s, max, true, &mk->lease);
}

static struct err make(struct request *r, struct making *mk, struct db *db, const struct json *role)
{
    struct arena *a = r->arena;
    struct ttl_result ttl;
    struct str statements, display = r->token != NULL ? r->token->display_name : S("token");
    char password[DB_PASSWORD_LEN + 1];
    int64_t max;
    TRY(decide_ttl(r, role, &ttl, &max));
    TRY(database_statements(a, role, "creation_statements", &statements));
    db_username(a, display, mk->role, clock_wall_s(), &mk->username);
    db_password(password);
    mk->job = db_job_new(r->core, db, db_work_exec, made, mk);
    struct err e =
        db_fill(&mk->job->sql, statements,
                &(struct db_values){mk->username, str_of(password), clock_wall_s() + ttl.ttl_s});
    if (!failed(e)) {
        e = lease_it(r, mk, db, &ttl, max);
    }
    struct json *data = json_new_object(a);
    json_set_str(a, data, "password", arena_str(a, str_of(password)));
    json_set_str(a, data, "username", mk->username);
    wipe(password, sizeof password);
    ignore_err(reply_data(r, data));
    if (failed(e)) {
        db_job_free(mk->job);
    }
    return e;
}

struct err database_creds_read(struct request *r)
{
    struct making *mk = arena_new(r->arena, struct making);
    struct json *role, *config;
    struct db *db;
    mk->r = r;
    mk->role = request_param(r, "name");
    TRY(database_load_role(r->mount, r->arena, mk->role, &role));
    ENSURE(role != NULL, ERR_INVALID, "unknown role: %.*s", STR_FMT(mk->role));
    struct str db_name = json_str(json_get(role, "db_name"));
    TRY(storage_get_json(r->core->st, r->arena, database_config_path(r->arena, r->mount, db_name),
                         &config));
    ENSURE(config != NULL, ERR_INVALID, "failed to find entry for connection with name: \"%.*s\"",
           STR_FMT(db_name));
    TRY(check_allowed(r, config, mk->role));
    TRY(database_open(r->mount, db_name, &db));
    TRY(make(r, mk, db, role));
    r->later = true;
    lease_hold(mk->lease);
    storage_commit(r->core->st, make_role, mk);
    return OK;
}

/* ---- ending and renewing ---- */

static struct err start_or_free(struct db_job *j, struct err e)
{
    if (failed(e)) {
        db_job_free(j);
        return e;
    }
    db_job_start(j);
    return OK;
}

static struct err lease_db(struct lease *l, struct arena *a, struct json **data, struct db **db)
{
    struct mount *m = lease_mount(l);
    ENSURE(m != NULL, ERR_NOT_FOUND, "the mount of this lease is gone");
    TRY(json_parse(a, l->data, NULL, data));
    TRY(database_open(m, json_str(json_get(*data, "db")), db));
    return OK;
}

static struct err start_end(struct lease *l, struct arena *a, revoked_fn *done, void *ctx)
{
    struct json *data, *role;
    struct db *db;
    struct str statements = STR_EMPTY;
    TRY(lease_db(l, a, &data, &db));
    TRY(database_load_role(lease_mount(l), a, json_str(json_get(data, "role")), &role));
    if (role != NULL) {
        TRY(database_statements(a, role, "revocation_statements", &statements));
    }
    struct str username = json_str(json_get(data, "username"));
    struct db_job *j = db_job_new(l->core, db, db_work_end_role, done, ctx);
    struct err e = str_to_cstr(username, j->role, sizeof j->role);
    if (!failed(e) && statements.n > 0) {
        e = db_fill(&j->custom, statements, &(struct db_values){.name = username});
    }
    return start_or_free(j, e);
}

void database_revoke(struct lease *l, revoked_fn *done, void *ctx)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct err e = start_end(l, &a, done, ctx);
    arena_release(&a);
    if (failed(e)) {
        done(ctx, e);
    }
}

static struct err start_renew(struct lease *l, struct arena *a, int64_t expire_s, revoked_fn *done,
                              void *ctx)
{
    struct json *data, *role;
    struct db *db;
    struct str statements = STR_EMPTY;
    TRY(lease_db(l, a, &data, &db));
    TRY(database_load_role(lease_mount(l), a, json_str(json_get(data, "role")), &role));
    ENSURE(role != NULL, ERR_INVALID, "the role of this lease is gone: it cannot be renewed");
    TRY(database_statements(a, role, "renew_statements", &statements));
    struct db_job *j = db_job_new(l->core, db, db_work_exec, done, ctx);
    return start_or_free(
        j, db_fill(&j->sql,
                   statements.n > 0 ? statements
                                    : S("ALTER ROLE \"{{name}}\" VALID UNTIL '{{expiration}}'"),
                   &(struct db_values){.name = json_str(json_get(data, "username")),
                                       .expire_s = expire_s}));
}

void database_renew(struct lease *l, int64_t expire_s, revoked_fn *done, void *ctx)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct err e = start_renew(l, &a, expire_s, done, ctx);
    arena_release(&a);
    if (failed(e)) {
        done(ctx, e);
    }
}

/* ---- the administrator's password ---- */

struct rotation {
    struct request *r;
    struct str name;
    struct db_job *job;
    char password[DB_PASSWORD_LEN + 1];
};

static struct err keep_new_password(struct rotation *rot)
{
    struct request *r = rot->r;
    TRY(storage_put(r->core->st, database_secret_path(r->arena, r->mount, rot->name, false),
                    str_of(rot->password)));
    return storage_del(r->core->st, database_secret_path(r->arena, r->mount, rot->name, true));
}

static void rotated(void *ctx, struct err e)
{
    struct rotation *rot = ctx;
    struct request *r = rot->r;
    if (!failed(e)) {
        e = keep_new_password(rot);
    }
    wipe(rot->password, sizeof rot->password);
    database_forget(r->mount, rot->name);
    if (failed(e)) {
        log_error("an administrator's password could not be rotated",
                  {"detail", LOG_CSTR(err_detail())});
        request_finish_err(r,
                           err_make(ERR_UNAVAILABLE, "the database did not take the new password"));
    } else {
        request_finish(r);
    }
}

/* The new password is on disk as pending: whether or not the server took it, one of the two works. */
static void rotate(void *ctx, struct err e)
{
    struct rotation *rot = ctx;
    if (failed(e)) {
        db_job_free(rot->job);
        request_finish_err(rot->r, e);
        return;
    }
    db_job_start(rot->job);
}

struct err database_rotate_root(struct request *r)
{
    struct rotation *rot = arena_new(r->arena, struct rotation);
    struct db *db;
    struct str ident;
    rot->r = r;
    rot->name = request_param(r, "name");
    TRY(database_open(r->mount, rot->name, &db));
    TRY(pg_quote_ident(r->arena, db->username, &ident));
    db_password(rot->password);
    rot->job = db_job_new(r->core, db, db_work_exec, rotated, rot);
    buf_printf(&rot->job->sql, "ALTER ROLE %.*s WITH PASSWORD '%s'", STR_FMT(ident), rot->password);
    struct err e =
        storage_put(r->core->st, database_secret_path(r->arena, r->mount, rot->name, true),
                    str_of(rot->password));
    if (failed(e)) {
        db_job_free(rot->job);
        return e;
    }
    r->later = true;
    storage_commit(r->core->st, rotate, rot);
    return OK;
}

struct err database_reset(struct request *r)
{
    database_forget(r->mount, request_param(r, "name"));
    return reply_empty(r);
}
