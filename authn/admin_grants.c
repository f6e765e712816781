/* Administration of what has been given out: sessions, families of tokens, and their revocation. */
#include "lib/base/clock.h"
#include "lib/daemon/daemon.h"

#include "admin.h"
#include "users.h"

struct revoke_request {
    struct str user, client, session, family, jti;
};

static void put_rows(struct jw *w, struct stmt *q, const char *const *names, const bool *numbers,
                     size_t n, struct err *e)
{
    bool row;
    for (;;) {
        *e = stmt_step(q, &row);
        if (failed(*e) || !row) {
            return;
        }
        jw_obj(w);
        for (size_t i = 0; i < n; i++) {
            if (numbers[i]) {
                jw_key_int(w, str_of(names[i]), stmt_col_int(q, (int)i));
            } else {
                jw_key_str(w, str_of(names[i]), stmt_col_str(q, (int)i));
            }
        }
        jw_end(w);
    }
}

static struct err put_sessions(struct jw *w, struct store *s, struct str sub)
{
    static const char *const names[] = {"session", "sub", "auth_time", "expires", "source"};
    static const bool numbers[] = {false, false, true, true, false};
    struct stmt *q;
    struct err e;
    TRY(store_stmt(s,
                   "SELECT id, sub, auth_time, expires, source FROM session WHERE (?1 = '' OR sub "
                   "= ?1) AND expires > ?2 ORDER BY auth_time",
                   &q));
    stmt_bind_str(q, 1, sub);
    stmt_bind_int(q, 2, clock_wall_s());
    jw_arr(w);
    put_rows(w, q, names, numbers, ARRAY_LEN(names), &e);
    jw_end(w);
    return e;
}

static struct err put_families(struct jw *w, struct store *s, struct str sub, struct str client)
{
    static const char *const names[] = {"family",   "client_id", "sub",     "session",
                                        "audience", "created",   "expires", "offline"};
    static const bool numbers[] = {false, false, false, false, false, true, true, true};
    struct stmt *q;
    struct err e;
    TRY(store_stmt(
        s,
        "SELECT id, client, sub, session, audience, created, expires, offline FROM family "
        "WHERE (?1 = '' OR sub = ?1) AND (?2 = '' OR client = ?2) AND revoked = 0 AND expires > ?3 "
        "ORDER BY created",
        &q));
    stmt_bind_str(q, 1, sub);
    stmt_bind_str(q, 2, client);
    stmt_bind_int(q, 3, clock_wall_s());
    jw_arr(w);
    put_rows(w, q, names, numbers, ARRAY_LEN(names), &e);
    jw_end(w);
    return e;
}

/* A client may be named by its SPIFFE id too: that is how a workload is known elsewhere. */
static struct str client_named(const struct authn *n, struct str name)
{
    const struct client *c =
        str_starts(name, S("spiffe://")) ? clients_find_spiffe(&n->clients, name) : NULL;
    return c != NULL ? c->id : name;
}

/* GET /v1/grants?user=NAME&client=ID: {"sessions":[…],"families":[…]} */
static void list(struct http_req *req, void *ctx)
{
    struct op *op = admin_op(ctx, req, OCSF_AUTHORIZE_SESSION, "grant.list");
    struct str user = STR_EMPTY, client = STR_EMPTY;
    struct user u = {0};
    struct buf b;
    struct jw w;
    if (op == NULL) {
        return;
    }
    http_query_get(req, "user", &user);
    http_query_get(req, "client", &client);
    client = client_named(op->n, client);
    struct err e = user.n > 0 ? user_find(op->n->store, &op->arena, user, &u) : OK;
    buf_init(&b, 16 << 20);
    jw_init(&w, &b);
    jw_obj(&w);
    if (!failed(e)) {
        jw_key(&w, S("sessions"));
        e = put_sessions(&w, op->n->store, u.sub);
    }
    if (!failed(e)) {
        jw_key(&w, S("families"));
        e = put_families(&w, op->n->store, u.sub, client);
    }
    if (failed(e)) {
        buf_release(&b);
        admin_refuse(op, "grant.list", e);
        return;
    }
    jw_end(&w);
    op_json(op, 200, &b);
    buf_release(&b);
    admin_done(op, "grant.list");
}

/* ---- revocation ---- */

static struct err revoke_write(struct op *op)
{
    const struct revoke_request *r = op->state;
    struct store *s = op->n->store;
    int64_t now = clock_wall_s(), mark = authn_mark_s(op->n);
    if (r->user.n > 0) {
        TRY(subject_end(s, r->user, now, mark));
    }
    if (r->client.n > 0) {
        TRY(client_end(s, r->client, now, mark));
    }
    if (r->session.n > 0) {
        TRY(session_end(s, r->session, now, mark));
    }
    if (r->family.n > 0) {
        TRY(family_revoke(s, r->family, now, mark));
    }
    return r->jti.n > 0 ? revocation_write(s, MARK_JTI, r->jti, now, now + mark) : OK;
}

static void revoked(struct op *op, struct err e)
{
    if (failed(e)) {
        admin_refuse(op, "grant.revoke", e);
        return;
    }
    authn_marks_written(op->n);
    admin_done(op, "grant.revoke");
}

static struct err read_revoke(struct op *op, struct revoke_request *r)
{
    struct json *body;
    TRY(op_body_json(op, &body));
    const struct {
        const char *name;
        struct str *out;
    } fields[] = {{"user", &r->user},
                  {"client", &r->client},
                  {"session", &r->session},
                  {"family", &r->family},
                  {"jti", &r->jti}};
    for (uint32_t i = 0; i < body->n; i++) {
        size_t j = 0;
        while (j < ARRAY_LEN(fields) && !str_is(body->members[i].key, fields[j].name)) {
            j++;
        }
        ENSURE(j < ARRAY_LEN(fields), ERR_INVALID,
               "'%.*s' is not one of user, client, session, family, jti",
               (int)MIN(body->members[i].key.n, (size_t)100), body->members[i].key.p);
        *fields[j].out = json_str(body->members[i].value);
        ENSURE(fields[j].out->n > 0 && fields[j].out->n <= 256, ERR_INVALID,
               "%s: expected a string of 1 to 256 characters", fields[j].name);
        op->event.resource_type = str_of(fields[j].name);
        op->event.resource_uid = *fields[j].out;
    }
    ENSURE(body->n == 1, ERR_INVALID, "name exactly one of user, client, session, family, jti");
    r->client = arena_str(&op->arena, client_named(op->n, r->client));
    if (r->user.n > 0) {
        struct user u;
        TRY(user_find(op->n->store, &op->arena, r->user, &u));
        r->user = u.sub;
    }
    return OK;
}

/* POST /v1/revoke {"user":…} or client, session, family, jti. Repeating it is harmless. */
static void revoke(struct http_req *req, void *ctx)
{
    struct op *op = admin_op(ctx, req, OCSF_AUTHORIZE_SESSION, "grant.revoke");
    if (op == NULL) {
        return;
    }
    struct revoke_request *r = arena_new(&op->arena, struct revoke_request);
    op->state = r;
    struct err e = read_revoke(op, r);
    if (failed(e)) {
        admin_refuse(op, "grant.revoke", e);
        return;
    }
    op_store(op, revoke_write, revoked);
}

void admin_grant_routes(struct authn *n, struct router *r)
{
    router_add(r, "GET", "/v1/grants", list, n);
    router_add(r, "POST", "/v1/revoke", revoke, n);
}
