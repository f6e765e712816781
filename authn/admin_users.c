/* Administration of people: /v1/users. */
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/secret.h"

#include "admin.h"
#include "limits.h"
#include "users.h"

struct user_change {
    struct user user;
    struct str hash;
    const struct json *attributes;
    bool disable, with_password, with_attributes, remove;
    const char *activity;
};

static void put_user(struct op *op, int status, const struct user *u)
{
    struct buf b;
    struct jw w;
    buf_init(&b, 2 * USER_ATTRIBUTES_MAX);
    jw_init(&w, &b);
    user_write_json(&w, u);
    op_json(op, status, &b);
    buf_release(&b);
}

/* The password of a body, moved into a secret and wiped there. */
static struct err body_password(struct op *op, const struct json *body, struct str user_name,
                                struct secret *out)
{
    struct str text = json_str(json_get(body, "password"));
    ENSURE(text.n > 0, ERR_INVALID, "password: expected a string");
    TRY(password_check(text, user_name));
    TRY(secret_copy(out, text));
    wipe((char *)(uintptr_t)text.p, text.n);
    return OK;
}

/* ---- create ---- */

static struct err create_write(struct op *op)
{
    struct user_change *c = op->state;
    return user_insert(op->n->store, &c->user);
}

static void created(struct op *op, struct err e)
{
    struct user_change *c = op->state;
    if (e.code == ERR_EXISTS) {
        e = err_make(ERR_EXISTS, "a user '%.*s' exists already", STR_FMT(c->user.name));
    }
    if (failed(e)) {
        admin_refuse(op, c->activity, e);
        return;
    }
    put_user(op, 201, &c->user);
    admin_done(op, c->activity);
}

static void create_hashed(void *ctx, struct err e, struct str hash)
{
    struct op *op = ctx;
    struct user_change *c = op->state;
    if (failed(e)) {
        admin_refuse(op, c->activity, e);
        return;
    }
    c->user.hash = arena_str(&op->arena, hash);
    op_store(op, create_write, created);
}

static struct err read_new_user(struct op *op, struct user_change *c, struct secret *password)
{
    struct json *body;
    struct arena *a = &op->arena;
    TRY(op_body_json(op, &body));
    TRY(user_name_normalize(a, json_str(json_get(body, "name")), &c->user.name));
    const struct json *attributes = json_get(body, "attributes");
    c->user.attributes = attributes != NULL ? attributes : json_new_object(a);
    TRY(user_attributes_check(c->user.attributes));
    TRY(body_password(op, body, c->user.name, password));
    c->user.sub = random_id(a, ID_TEXT, ALPHABET_BASE62);
    c->user.created = c->user.changed = clock_wall_s();
    return OK;
}

static void create(struct http_req *req, void *ctx)
{
    struct op *op = admin_op(ctx, req, OCSF_ACCOUNT_CHANGE, "user.create");
    struct secret password = SECRET_EMPTY;
    if (op == NULL) {
        return;
    }
    struct user_change *c = arena_new(&op->arena, struct user_change);
    op->state = c;
    c->activity = "user.create";
    op->event.resource_type = S("user");
    struct err e = read_new_user(op, c, &password);
    if (!failed(e)) {
        op->event.resource_uid = c->user.name;
        e = hasher_make(op->n->hasher, &password, create_hashed, op);
    }
    if (failed(e)) {
        secret_release(&password);
        admin_refuse(op, c->activity, e);
    }
}

/* ---- change ---- */

static struct err change_write(struct op *op)
{
    struct user_change *c = op->state;
    struct store *s = op->n->store;
    int64_t now = clock_wall_s();
    if (c->with_password) {
        TRY(user_set_hash(s, c->user.sub, c->hash, now));
    } else if (c->with_attributes) {
        return user_set_attributes(s, c->user.sub, c->attributes, now);
    } else if (c->remove) {
        TRY(user_delete(s, c->user.sub));
    } else {
        TRY(user_set_disabled(s, c->user.sub, c->disable, now));
        if (!c->disable) {
            return OK;
        }
    }
    /* Whatever was open under the old credential ends with it. */
    return subject_end(s, c->user.sub, now, authn_mark_s(op->n));
}

static void changed(struct op *op, struct err e)
{
    struct user_change *c = op->state;
    if (failed(e)) {
        admin_refuse(op, c->activity, e);
        return;
    }
    authn_marks_written(op->n);
    admin_done(op, c->activity);
}

static void change_hashed(void *ctx, struct err e, struct str hash)
{
    struct op *op = ctx;
    struct user_change *c = op->state;
    if (failed(e)) {
        admin_refuse(op, c->activity, e);
        return;
    }
    c->hash = arena_str(&op->arena, hash);
    op_store(op, change_write, changed);
}

/* The user of the path, for a change; NULL when the operation has been ended. */
static struct op *begin_change(struct authn *n, struct http_req *req, const char *activity)
{
    struct op *op = admin_op(n, req, OCSF_ACCOUNT_CHANGE, activity);
    if (op == NULL) {
        return NULL;
    }
    struct user_change *c = arena_new(&op->arena, struct user_change);
    op->state = c;
    c->activity = activity;
    op->event.resource_type = S("user");
    op->event.resource_uid = arena_str(&op->arena, http_param(req, "name"));
    struct err e = user_find(n->store, &op->arena, op->event.resource_uid, &c->user);
    if (failed(e)) {
        admin_refuse(op, activity, e);
        return NULL;
    }
    op->event.resource_uid = c->user.sub;
    return op;
}

static void disable(struct http_req *req, void *ctx)
{
    struct op *op = begin_change(ctx, req, "user.disable");
    if (op != NULL) {
        ((struct user_change *)op->state)->disable = true;
        op_store(op, change_write, changed);
    }
}

static void enable(struct http_req *req, void *ctx)
{
    struct op *op = begin_change(ctx, req, "user.enable");
    if (op != NULL) {
        op_store(op, change_write, changed);
    }
}

static void remove_user(struct http_req *req, void *ctx)
{
    struct op *op = begin_change(ctx, req, "user.remove");
    if (op != NULL) {
        ((struct user_change *)op->state)->remove = true;
        op_store(op, change_write, changed);
    }
}

static void set_password(struct http_req *req, void *ctx)
{
    struct op *op = begin_change(ctx, req, "user.password");
    struct secret password = SECRET_EMPTY;
    struct json *body;
    if (op == NULL) {
        return;
    }
    struct user_change *c = op->state;
    c->with_password = true;
    struct err e = op_body_json(op, &body);
    e = failed(e) ? e : body_password(op, body, c->user.name, &password);
    e = failed(e) ? e : hasher_make(op->n->hasher, &password, change_hashed, op);
    if (failed(e)) {
        secret_release(&password);
        admin_refuse(op, c->activity, e);
    }
}

static void set_attributes(struct http_req *req, void *ctx)
{
    struct op *op = begin_change(ctx, req, "user.attributes");
    struct json *body;
    if (op == NULL) {
        return;
    }
    struct user_change *c = op->state;
    struct err e = op_body_json(op, &body);
    e = failed(e) ? e : user_attributes_check(body);
    if (failed(e)) {
        admin_refuse(op, c->activity, e);
        return;
    }
    c->with_attributes = true;
    c->attributes = body;
    op_store(op, change_write, changed);
}

/* ---- read ---- */

static void get_user(struct http_req *req, void *ctx)
{
    struct op *op = begin_change(ctx, req, "user.read");
    if (op != NULL) {
        put_user(op, 200, &((struct user_change *)op->state)->user);
        admin_done(op, "user.read");
    }
}

static void list(struct http_req *req, void *ctx)
{
    struct op *op = admin_op(ctx, req, OCSF_ACCOUNT_CHANGE, "user.list");
    struct buf b;
    if (op == NULL) {
        return;
    }
    buf_init(&b, 64 << 20);
    struct err e = users_write_json(op->n->store, &b);
    if (failed(e)) {
        buf_release(&b);
        admin_refuse(op, "user.list", e);
        return;
    }
    op_json(op, 200, &b);
    buf_release(&b);
    admin_done(op, "user.list");
}

void admin_user_routes(struct authn *n, struct router *r)
{
    router_add(r, "POST", "/v1/users", create, n);
    router_add(r, "GET", "/v1/users", list, n);
    router_add(r, "GET", "/v1/users/{name}", get_user, n);
    router_add(r, "DELETE", "/v1/users/{name}", remove_user, n);
    router_add(r, "POST", "/v1/users/{name}/disable", disable, n);
    router_add(r, "POST", "/v1/users/{name}/enable", enable, n);
    router_add(r, "PUT", "/v1/users/{name}/password", set_password, n);
    router_add(r, "PUT", "/v1/users/{name}/attributes", set_attributes, n);
}
