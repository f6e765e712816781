/* sys/mounts, sys/auth, their tune, and what a user interface may know of them. */
#include "field.h"
#include "lease.h"
#include "sys_priv.h"
#include "token.h"

static struct str full_path(struct request *r, bool auth, struct str path)
{
    return arena_printf(r->arena, "%s%.*s%s", auth ? "auth/" : "", STR_FMT(path),
                        str_ends(path, S("/")) ? "" : "/");
}

static struct str shown(struct request *r, const struct mount *m)
{
    struct str p = m->engine->auth ? str_sub(m->path, 5, m->path.n) : m->path;
    return arena_str(r->arena, p);
}

static struct err list_mounts(struct request *r, bool auth)
{
    struct json *data = json_new_object(r->arena);
    for (size_t i = 0; i < r->core->n_mounts; i++) {
        const struct mount *m = r->core->mounts[i];
        if (m->engine->auth == auth) {
            json_set(r->arena, data, shown(r, m), mount_to_json(r->arena, m, false));
        }
    }
    return reply_top(r, data);
}

struct err sys_mounts_read(struct request *r)
{
    return list_mounts(r, false);
}

struct err sys_auths_read(struct request *r)
{
    return list_mounts(r, true);
}

/* Takes a final "/tune" off `*path`. */
static bool is_tune(struct str *path)
{
    if (!str_ends(*path, S("/tune"))) {
        return false;
    }
    *path = str_sub(*path, 0, path->n - 5);
    return true;
}

static struct err read_one(struct request *r, bool auth)
{
    struct str path = request_param(r, "path");
    bool tune = is_tune(&path);
    const struct mount *m = mount_at(r->core, full_path(r, auth, path));
    if (m == NULL) {
        return reply_error(r, 400,
                           tune ? "cannot fetch sysview for path \"%.*s\""
                                : "No secret engine mount at %.*s",
                           STR_FMT(full_path(r, auth, path)));
    }
    struct json *o = mount_to_json(r->arena, m, true);
    if (!tune) {
        return reply_top(r, mount_to_json(r->arena, m, false));
    }
    struct json *data = json_copy(r->arena, json_get(o, "config"));
    json_set_str(r->arena, data, "description", m->description);
    json_put(r->arena, data, "options", json_copy(r->arena, json_get(o, "options")));
    return reply_top(r, data);
}

struct err sys_mount_read(struct request *r)
{
    return read_one(r, false);
}

struct err sys_auth_read(struct request *r)
{
    return read_one(r, true);
}

static struct err tune(struct request *r, struct mount *m)
{
    int64_t def = m->default_ttl_s, max = m->max_ttl_s;
    TRY(field_seconds(r->data, "default_lease_ttl", &def));
    TRY(field_seconds(r->data, "max_lease_ttl", &max));
    ENSURE(def >= 0 && max >= 0, ERR_INVALID, "a ttl is negative");
    ENSURE(max == 0 || def <= max, ERR_INVALID,
           "given default_lease_ttl is longer than max_lease_ttl");
    struct str description = m->description, listing = m->listing;
    TRY(field_str(r->data, "description", &description));
    TRY(field_str(r->data, "listing_visibility", &listing));
    struct json *options = NULL;
    TRY(field_map(r->arena, r->data, "options", &options));
    m->default_ttl_s = def;
    m->max_ttl_s = max;
    m->description = arena_str(&m->arena, description);
    m->listing = arena_str(&m->arena, listing);
    if (options != NULL) {
        m->options = json_copy(&m->arena, options);
    }
    return mounts_save(r->core);
}

static struct err write_one(struct request *r, bool auth)
{
    struct str path = request_param(r, "path");
    if (is_tune(&path)) {
        struct mount *m = mount_at(r->core, full_path(r, auth, path));
        ENSURE(m != NULL, ERR_INVALID, "no mount at %.*s", STR_FMT(path));
        return tune(r, m);
    }
    ENSURE(auth || !str_starts(path, S("auth/")), ERR_INVALID,
           "auth methods are mounted at sys/auth");
    return mount_add(r->core, full_path(r, auth, path), r->data, NULL);
}

struct err sys_mount_write(struct request *r)
{
    return write_one(r, false);
}

struct err sys_auth_write(struct request *r)
{
    return write_one(r, true);
}

struct unmount {
    struct request *r;
    struct str path;
};

static void unmount_now(struct revocation *rv)
{
    struct unmount *u = rv->ctx;
    struct request *r = u->r;
    struct mount *m = mount_at(r->core, u->path);
    if (m != NULL && rv->failed_n == 0) {
        struct err e = mount_remove(r->core, m);
        if (failed(e)) {
            request_finish_err(r, e);
            return;
        }
    } else if (rv->failed_n > 0) {
        ignore_err(reply_error(r, 400,
                               "%u leases of this mount could not be revoked; try again, or use "
                               "sys/leases/revoke-force first",
                               rv->failed_n));
    }
    request_finish(r);
}

static struct err del_one(struct request *r, bool auth)
{
    struct str path = full_path(r, auth, request_param(r, "path"));
    struct mount *m = mount_at(r->core, path);
    if (m == NULL) {
        return reply_empty(r);
    }
    const char *type = m->engine->type;
    ENSURE(strcmp(type, "system") != 0 && strcmp(type, "cubbyhole") != 0 &&
               strcmp(type, "identity") != 0 && strcmp(type, "token") != 0,
           ERR_INVALID, "cannot unmount \"%.*s\"", STR_FMT(path));
    struct unmount *u = arena_new(r->arena, struct unmount);
    *u = (struct unmount){r, path};
    r->later = true;
    struct revocation *rv = revocation_new(unmount_now, u);
    lease_revoke_prefix(r->core, path, rv);
    revocation_ready(rv);
    return OK;
}

struct err sys_mount_del(struct request *r)
{
    return del_one(r, false);
}

struct err sys_auth_del(struct request *r)
{
    return del_one(r, true);
}

/* ---- internal/ui: open to everyone, each sees what concerns him ---- */

static struct acl *acl_of_caller(struct request *r)
{
    struct token *t = token_find(r->core, r->client_token);
    struct acl *acl = NULL;
    if (t != NULL) {
        ignore_err(core_acl(r->core, t, &acl));
    }
    return acl;
}

static bool is_open_to_all(const struct mount *m)
{
    return str_is(m->listing, "unauth");
}

struct err sys_ui_mounts(struct request *r)
{
    struct arena *a = r->arena;
    const struct acl *acl = acl_of_caller(r);
    struct json *data = json_new_object(a), *auth = json_set_obj(a, data, "auth");
    struct json *secret = json_set_obj(a, data, "secret");
    for (size_t i = 0; i < r->core->n_mounts; i++) {
        const struct mount *m = r->core->mounts[i];
        bool sees = acl != NULL && acl_sees_mount(acl, m->path);
        if (!sees && !is_open_to_all(m)) {
            continue;
        }
        struct json *o = mount_to_json(a, m, false);
        if (acl == NULL) {
            o = json_new_object(a);
            json_set_str(a, o, "type", str_of(m->engine->type));
            json_set_str(a, o, "description", m->description);
            json_put(a, o, "options",
                     m->options != NULL ? json_copy(a, m->options) : json_new_null(a));
        }
        json_set(a, m->engine->auth ? auth : secret, shown(r, m), o);
    }
    return reply_data(r, data);
}

struct err sys_ui_mount(struct request *r)
{
    struct arena *a = r->arena;
    const struct acl *acl = acl_of_caller(r);
    const struct mount *m = mount_of(r->core, request_param(r, "path"));
    bool sees = m != NULL && acl != NULL && acl_sees_mount(acl, m->path);
    if (acl == NULL && !(m != NULL && is_open_to_all(m))) {
        r->denied_because = "no valid token";
        return reply_error(r, 403, "permission denied");
    }
    if (!sees && !(m != NULL && is_open_to_all(m))) {
        r->denied_because = "nothing is granted below this mount";
        return reply_error(
            r, 403,
            "preflight capability check returned 403, please ensure client's policies "
            "grant access to path \"%.*s/\"",
            STR_FMT(request_param(r, "path")));
    }
    struct json *data = mount_to_json(a, m, false);
    json_set_str(a, data, "path", arena_str(a, m->path));
    return reply_data(r, data);
}
