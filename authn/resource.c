/* What resource servers and clients ask about tokens: introspection, revocation, userinfo. */
#include "lib/base/clock.h"
#include "lib/daemon/daemon.h"

#include "client_auth.h"
#include "tokens.h"

/* ---- introspection (RFC 7662) ---- */

struct inspect {
    struct assertion assertion;
    struct str token;
    struct family family; /* revocation of a refresh token */
    struct own_token access;
    bool is_refresh, is_access;
};

static bool audience_has(const struct json *aud, const struct client *c)
{
    if (json_is(aud, JSON_STRING)) {
        return str_list_has(&c->audiences, aud->text) || str_eq(aud->text, c->id) ||
               (c->spiffe_id.n > 0 && str_eq(aud->text, c->spiffe_id));
    }
    for (uint32_t i = 0; json_is(aud, JSON_ARRAY) && i < aud->n; i++) {
        if (audience_has(aud->items[i], c)) {
            return true;
        }
    }
    return false;
}

static void put_access(struct jw *w, const struct op *op, const struct own_token *t)
{
    static const char *const copied[] = {"iss", "sub",       "aud",   "exp", "iat",
                                         "jti", "client_id", "scope", "sid", "auth_time"};
    struct user u;
    jw_key_bool(w, S("active"), true);
    jw_key_str(w, S("token_type"), S("Bearer"));
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        const struct json *v = json_get(t->claims, copied[i]);
        if (v != NULL) {
            jw_key(w, str_of(copied[i]));
            jw_json(w, v);
        }
    }
    struct arena scratch;
    arena_init(&scratch, 1 << 18);
    if (t->sid.n > 0 && !failed(user_by_sub(op->n->store, &scratch, t->sub, &u))) {
        jw_key_str(w, S("username"), u.name);
    }
    arena_release(&scratch);
}

static void put_refresh(struct jw *w, struct op *op, const struct family *f)
{
    jw_key_bool(w, S("active"), true);
    jw_key_str(w, S("token_type"), S("refresh_token"));
    jw_key_str(w, S("iss"), op->n->config->issuer);
    jw_key_str(w, S("sub"), f->sub);
    jw_key_str(w, S("client_id"), f->client);
    jw_key_str(w, S("scope"), scope_text(&op->arena, f->scopes));
    jw_key_int(w, S("exp"), f->expires);
    jw_key_int(w, S("iat"), f->created);
    jw_key_str(w, S("sid"), f->session);
}

static void inspect_token(struct op *op, struct inspect *i)
{
    struct authn *n = op->n;
    const struct client *c = op->client;
    if (!failed(access_token_read(n, &op->arena, i->token, &i->access))) {
        i->is_access = str_eq(i->access.client_id, c->id) ||
                       audience_has(json_get(i->access.claims, "aud"), c);
    } else if (!failed(
                   refresh_lookup(n->store, &op->arena, i->token, clock_wall_s(), &i->family))) {
        i->is_refresh = str_eq(i->family.client, c->id);
    }
}

static void introspect_answer(struct op *op)
{
    struct inspect *i = op->state;
    struct buf b;
    struct jw w;
    inspect_token(op, i);
    buf_init(&b, 4 * TOKEN_MAX);
    jw_init(&w, &b);
    jw_obj(&w);
    if (i->is_access) {
        put_access(&w, op, &i->access);
        op->event.token_accessor = i->access.jti;
        op->event.actor_user = i->access.sub;
    } else if (i->is_refresh) {
        put_refresh(&w, op, &i->family);
        op->event.actor_user = i->family.sub;
    } else {
        jw_key_bool(&w, S("active"), false);
    }
    jw_end(&w);
    op_json(op, 200, &b);
    buf_release(&b);
    bool active = i->is_access || i->is_refresh;
    op_end(op, "introspect", active ? "allowed" : "denied",
           active ? STR_EMPTY : S("not active, or not for this caller"));
}

static struct err spend(struct op *op)
{
    return assertion_take(op, &((struct inspect *)op->state)->assertion);
}

static bool spent(struct op *op, struct err e, const char *activity)
{
    if (e.code == ERR_EXISTS) {
        op_oauth_error(op, 401, "invalid_client", "the client assertion was used before");
        op_end(op, activity, "denied", S("client assertion replayed"));
        return false;
    }
    if (failed(e)) {
        op_fail(op, activity, e);
        return false;
    }
    return true;
}

static void introspect_spent(struct op *op, struct err e)
{
    if (spent(op, e, "introspect")) {
        introspect_answer(op);
    }
}

/* Reads an authenticated request with a token; false when the operation has been ended. */
static bool begin(struct op *op, const char *activity)
{
    struct inspect *i = arena_new(&op->arena, struct inspect);
    op->state = i;
    op->event.class_uid = OCSF_AUTHORIZE_SESSION;
    op->event.resource_type = S("token");
    if (!op->form) {
        op_oauth_error(op, 400, "invalid_request",
                       "parameters belong into the body, as application/x-www-form-urlencoded");
        op_end(op, activity, "denied", S("not a form"));
        return false;
    }
    if (failed(op_params(op, false)) || failed(client_authenticate(op, &i->assertion))) {
        op_end(op, activity, "denied", str_of(err_detail()));
        return false;
    }
    if (op->client->auth == AUTH_NONE && strcmp(activity, "introspect") == 0) {
        op_oauth_error(op, 401, "invalid_client",
                       "a public client cannot introspect: authenticate");
        op_end(op, activity, "denied", S("public client"));
        return false;
    }
    i->token = params_get(&op->params, "token");
    if (i->token.n == 0) {
        op_oauth_error(op, 400, "invalid_request", "token is missing");
        op_end(op, activity, "denied", S("no token given"));
        return false;
    }
    return true;
}

static void introspect(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    if (!begin(op, "introspect")) {
        return;
    }
    struct inspect *i = op->state;
    if (i->assertion.jti.n > 0) {
        op_store(op, spend, introspect_spent);
    } else {
        introspect_answer(op);
    }
}

/* ---- revocation (RFC 7009) ---- */

static struct err revoke_write(struct op *op)
{
    struct inspect *i = op->state;
    struct store *s = op->n->store;
    int64_t now = clock_wall_s(), mark = authn_mark_s(op->n);
    TRY(assertion_take(op, &i->assertion));
    if (i->is_refresh) {
        return family_revoke(s, i->family.id, now, mark);
    }
    return i->is_access ? revocation_write(s, MARK_JTI, i->access.jti, now, now + mark) : OK;
}

static void revoke_written(struct op *op, struct err e)
{
    struct inspect *i = op->state;
    if (!spent(op, e, "revoke")) {
        return;
    }
    authn_marks_written(op->n);
    op_answer(op, 200, STR_EMPTY, STR_EMPTY);
    bool known = i->is_access || i->is_refresh;
    op_end(op, "revoke", known ? "allowed" : "denied",
           known ? STR_EMPTY : S("unknown token, or one of another client"));
}

static void revoke(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    op_cross_origin(op);
    if (!begin(op, "revoke")) {
        return;
    }
    struct inspect *i = op->state;
    /* Only its own client may revoke a token; anything else is answered alike and changes nothing. */
    if (!failed(access_token_read(op->n, &op->arena, i->token, &i->access))) {
        i->is_access = str_eq(i->access.client_id, op->client->id);
    } else if (!failed(refresh_family(op->n->store, &op->arena, i->token, &i->family))) {
        i->is_refresh = str_eq(i->family.client, op->client->id);
    }
    op->event.token_accessor = i->is_access ? i->access.jti : STR_EMPTY;
    op->event.actor_user = i->is_access ? i->access.sub : i->is_refresh ? i->family.sub : STR_EMPTY;
    op_store(op, revoke_write, revoke_written);
}

/* ---- userinfo (OpenID Connect Core section 5.3) ---- */

static void challenge(struct op *op, int status, const char *code, struct str reason)
{
    struct str value = code == NULL
                           ? S("Bearer realm=\"sextant\"")
                           : arena_printf(&op->arena, "Bearer realm=\"sextant\", error=\"%s\"%s",
                                          code, status == 403 ? ", scope=\"openid\"" : "");
    op_header(op, "www-authenticate", value);
    if (code != NULL) {
        op_oauth_error(op, status, code, "%s", "the access token is not accepted here");
    } else {
        op_answer(op, status, STR_EMPTY, STR_EMPTY);
    }
    op_end(op, "userinfo", "denied", reason);
}

static void userinfo(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct own_token t;
    struct user u;
    op->event.class_uid = OCSF_USER_ACCESS;
    op->event.resource_type = S("userinfo");
    op_cross_origin(op);
    if (op->bearer_twice) {
        challenge(op, 400, "invalid_request", S("more than one Authorization header"));
        return;
    }
    if (op->bearer.n == 0) {
        challenge(op, 401, NULL, S("no token"));
        return;
    }
    struct err e = access_token_read(op->n, &op->arena, op->bearer, &t);
    if (failed(e)) {
        challenge(op, 401, "invalid_token", str_of(err_text(e)));
        return;
    }
    op->event.actor_user = t.sub;
    op->event.token_accessor = t.jti;
    op->event.session = t.sid;
    if ((t.scopes & SCOPE_OPENID) == 0) {
        challenge(op, 403, "insufficient_scope", S("the token is not for userinfo"));
        return;
    }
    if (failed(user_by_sub(op->n->store, &op->arena, t.sub, &u)) || u.disabled) {
        challenge(op, 401, "invalid_token", S("the account is gone or disabled"));
        return;
    }
    struct buf b;
    struct json *claims = json_new_object(&op->arena);
    json_set(&op->arena, claims, S("sub"), json_new_string(&op->arena, u.sub));
    user_claims_put(claims, &op->arena, op->n, &u, t.scopes, NULL);
    buf_init(&b, 2 * USER_ATTRIBUTES_MAX);
    json_write(&b, claims);
    op_json(op, 200, &b);
    buf_release(&b);
    op_end(op, "userinfo", "allowed", STR_EMPTY);
}

void resource_routes(struct authn *n, struct router *r)
{
    router_add(r, "POST", "/introspect", introspect, n);
    router_add(r, "POST", "/revoke", revoke, n);
    router_add(r, "GET", "/userinfo", userinfo, n);
    router_add(r, "POST", "/userinfo", userinfo, n);
    router_add(r, "OPTIONS", "/userinfo", op_preflight, n);
    router_add(r, "OPTIONS", "/revoke", op_preflight, n);
}
