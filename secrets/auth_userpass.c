/*
 * People by name and password. Passwords are Argon2id; hashing runs on the pool; an unknown name costs as much as
 * a wrong password; five failures lock a name for a quarter of an hour.
 */
#include "engines.h"
#include "field.h"
#include "role.h"

#include "lib/base/pwhash.h"
#include "lib/loop/loop.h"

enum {
    LOCK_FAILURES = 5,
    LOCK_S = 15 * 60,
    LOCKS_MAX = 10000,
    PASSWORD_MAX = 1024,
    NAME_MAX_BYTES = 128
};

struct lock {
    unsigned failures;
    int64_t until_s; /* counts again from zero after this */
};

struct users {
    struct map locks; /* name -> struct lock */
};

static struct err load(struct mount *m)
{
    struct users *u = calloc(1, sizeof *u);
    BUG_ON(u == NULL);
    map_init(&u->locks);
    m->state = u;
    return OK;
}

static void drop_locks(struct users *u)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&u->locks, &i)) != NULL;) {
        free(e->value);
    }
    map_release(&u->locks);
    map_init(&u->locks);
}

static void unload(struct mount *m)
{
    if (m->state != NULL) {
        drop_locks(m->state);
        map_release(&((struct users *)m->state)->locks);
        free(m->state);
    }
}

static bool is_locked(struct users *u, struct str name)
{
    const struct lock *l = map_get(&u->locks, name);
    return l != NULL && l->failures >= LOCK_FAILURES && l->until_s > clock_wall_s();
}

static void count_failure(struct users *u, struct str name)
{
    struct lock *l = map_get(&u->locks, name);
    if (l == NULL) {
        if (map_len(&u->locks) >= LOCKS_MAX) {
            drop_locks(u);
        }
        l = calloc(1, sizeof *l);
        BUG_ON(l == NULL);
        map_set(&u->locks, name, l);
    }
    if (l->until_s <= clock_wall_s()) {
        l->failures = 0;
    }
    l->failures++;
    l->until_s = clock_wall_s() + LOCK_S;
}

static struct str user_name(struct request *r)
{
    struct str s = arena_str(r->arena, request_param(r, "name"));
    for (size_t i = 0; i < s.n; i++) {
        char *p = (char *)(uintptr_t)&s.p[i];
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    }
    return s;
}

/* ---- hashing, off the loop ---- */

struct hashing {
    struct request *r;
    struct json *user; /* NULL: unknown name */
    struct str name;
    struct secret password;
    char hash[PWHASH_TEXT];
    bool match;
};

static struct err check_work(void *ctx)
{
    struct hashing *h = ctx;
    if (h->user == NULL) {
        return pwhash_make(secret_bytes(&h->password), h->hash);
    }
    h->match = pwhash_check(h->hash, secret_bytes(&h->password));
    return OK;
}

static struct err log_in(struct hashing *h)
{
    struct request *r = h->r;
    struct users *u = r->mount->state;
    if (h->user == NULL || !h->match) {
        count_failure(u, h->name);
        r->denied_because = h->user == NULL ? "unknown user" : "wrong password";
        FAIL(ERR_INVALID, "invalid username or password");
    }
    free(map_del(&u->locks, h->name));
    struct json *meta = json_new_object(r->arena);
    json_set_str(r->arena, meta, "username", h->name);
    struct login l = {.alias = h->name, .display_name = h->name, .meta = meta};
    role_apply(r, h->user, &l);
    return token_login(r, &l);
}

static void checked(void *ctx, struct err e)
{
    struct hashing *h = ctx;
    secret_release(&h->password);
    if (!failed(e)) {
        e = log_in(h);
    }
    if (failed(e)) {
        request_finish_err(h->r, e);
    } else {
        request_finish(h->r);
    }
}

static struct err start(struct request *r, struct hashing *h, struct err (*work)(void *),
                        void (*done)(void *, struct err))
{
    struct str password = STR_EMPTY;
    TRY(field_str(r->data, "password", &password));
    ENSURE(password.n > 0, ERR_INVALID, "missing password");
    ENSURE(password.n <= PASSWORD_MAX, ERR_INVALID, "a password has at most %d bytes",
           PASSWORD_MAX);
    TRY(secret_copy(&h->password, password));
    r->later = true;
    struct err e = loop_work(r->core->loop, work, done, h);
    if (failed(e)) {
        r->later = false;
        secret_release(&h->password);
    }
    return e;
}

static struct err login(struct request *r)
{
    struct hashing *h = arena_new(r->arena, struct hashing);
    h->r = r;
    h->name = user_name(r);
    r->actor = h->name;
    if (is_locked(r->mount->state, h->name)) {
        r->denied_because = "the name is locked after too many failures";
        FAIL(ERR_DENIED, "permission denied");
    }
    TRY(role_load(r, "user", h->name, &h->user));
    if (h->user != NULL) {
        TRY(str_to_cstr(json_str(json_get(h->user, "hash")), h->hash, sizeof h->hash));
    }
    return start(r, h, check_work, checked);
}

/* ---- users ---- */

static struct err make_work(void *ctx)
{
    struct hashing *h = ctx;
    return pwhash_make(secret_bytes(&h->password), h->hash);
}

static void hashed(void *ctx, struct err e)
{
    struct hashing *h = ctx;
    struct request *r = h->r;
    secret_release(&h->password);
    if (!failed(e)) {
        json_set_str(r->arena, h->user, "hash", str_of(h->hash));
        e = role_save(r, "user", h->name, h->user);
    }
    if (failed(e)) {
        request_finish_err(r, e);
    } else {
        request_finish(r);
    }
}

static struct err user_write(struct request *r)
{
    struct hashing *h = arena_new(r->arena, struct hashing);
    h->r = r;
    h->name = user_name(r);
    ENSURE(h->name.n <= NAME_MAX_BYTES, ERR_INVALID, "a user name has at most %d bytes",
           NAME_MAX_BYTES);
    TRY(role_load(r, "user", h->name, &h->user));
    bool fresh = h->user == NULL;
    h->user = fresh ? json_new_object(r->arena) : h->user;
    TRY(role_read_token_fields(r, h->user));
    if (!fresh && !field_given(r->data, "password")) {
        return role_save(r, "user", h->name, h->user);
    }
    return start(r, h, make_work, hashed);
}

static struct err user_read(struct request *r)
{
    struct json *user;
    TRY(role_load(r, "user", user_name(r), &user));
    if (user == NULL) {
        return reply_not_found(r);
    }
    json_remove(user, S("hash"));
    return reply_data(r, user);
}

static struct err user_del(struct request *r)
{
    return role_delete(r, "user", user_name(r));
}

static struct err user_list(struct request *r)
{
    return role_list(r, "user");
}

static bool user_exists(struct request *r)
{
    struct json *user = NULL;
    return !failed(role_load(r, "user", user_name(r), &user)) && user != NULL;
}

static const struct route routes[] = {
    {"login/{name}", .write = login, .flags = ROUTE_UNAUTH},
    {"users", .list = user_list},
    {"users/{name}", .read = user_read, .write = user_write, .del = user_del,
     .exists = user_exists},
    {"users/{name}/password", .write = user_write},
    {"users/{name}/policies", .write = user_write},
    {0},
};

const struct engine userpass_engine = {
    .type = "userpass", .auth = true, .routes = routes, .load = load, .unload = unload};
