/* The token endpoint: authorization_code, refresh_token, client_credentials (RFC 6749 section 4 to 6). */
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/daemon/daemon.h"

#include "client_auth.h"
#include "tokens.h"

struct token_request {
    struct issue issue; /* first: tokens_issue finds it in op->state */
    struct assertion assertion;
    struct code_redeem code;
    struct refresh_rotate refresh;
    struct str refresh_token; /* to hand out; empty: none */
    bool spent_assertion_before;
    const char *activity;
};

static struct token_request *request_of(struct op *op)
{
    return op->state;
}

static void refuse(struct op *op, const char *code, const char *why)
{
    op_oauth_error(op, 400, code, "%s", why);
    op_end(op, request_of(op)->activity, "denied", str_of(why));
}

/* RFC 6749 section 5.1. */
static void answer(struct op *op, struct err e)
{
    struct token_request *t = request_of(op);
    struct buf b;
    struct jw w;
    if (failed(e)) {
        op_fail(op, t->activity, e);
        return;
    }
    buf_init_secret(&b, 4 * TOKEN_MAX);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_str(&w, S("access_token"), t->issue.access_token);
    jw_key_str(&w, S("token_type"), S("Bearer"));
    jw_key_int(&w, S("expires_in"), t->issue.access_life_s);
    if (t->refresh_token.n > 0) {
        jw_key_str(&w, S("refresh_token"), t->refresh_token);
    }
    if (t->issue.scopes != 0) {
        jw_key_str(&w, S("scope"), scope_text(&op->arena, t->issue.scopes));
    }
    if (t->issue.id_token.n > 0) {
        jw_key_str(&w, S("id_token"), t->issue.id_token);
    }
    jw_end(&w);
    op_json(op, 200, &b);
    op->wipe_answer = true;
    buf_release(&b);
    op->event.token_accessor = t->issue.jti;
    op->event.actor_user = t->issue.sub;
    op->event.session = t->issue.sid;
    op_end(op, t->activity, "allowed", STR_EMPTY);
}

static void issue_for_family(struct op *op, const struct family *f, unsigned scopes,
                             struct str nonce)
{
    struct token_request *t = request_of(op);
    struct user *u = arena_new(&op->arena, struct user);
    struct err e = user_by_sub(op->n->store, &op->arena, f->sub, u);
    if (failed(e) || u->disabled) {
        refuse(op, "invalid_grant", "the account is gone or disabled");
        return;
    }
    t->issue = (struct issue){
        .sub = f->sub,
        .client_id = f->client,
        .sid = f->session,
        .audience = f->audience,
        .family = f->id,
        .nonce = nonce,
        .scopes = scopes,
        .auth_time = f->auth_time,
        .want_id_token = (scopes & SCOPE_OPENID) != 0,
        .user = u,
    };
    tokens_issue(op, &t->issue, answer);
}

/* Common ends of a redemption: replayed assertion, failed store, refusal; true when all is well. */
static bool redeemed(struct op *op, struct err e, enum redeem_outcome outcome)
{
    struct token_request *t = request_of(op);
    if (e.code == ERR_EXISTS && t->assertion.jti.n > 0) {
        op_oauth_error(op, 401, "invalid_client", "the client assertion was used before");
        op_end(op, t->activity, "denied", S("client assertion replayed"));
        return false;
    }
    if (failed(e)) {
        op_fail(op, t->activity, e);
        return false;
    }
    if (outcome == REDEEM_OK) {
        return true;
    }
    if (outcome == REDEEM_REUSED) {
        op->event.severity = 4;
        authn_marks_written(op->n);
    }
    refuse(op, outcome == REDEEM_SCOPE ? "invalid_scope" : "invalid_grant", redeem_reason(outcome));
    return false;
}

/* ---- authorization_code ---- */

static struct err code_write(struct op *op)
{
    struct token_request *t = request_of(op);
    const struct authn_config *c = op->n->config;
    TRY(assertion_take(op, &t->assertion));
    TRY(code_redeem(op->n->store, &op->arena, &t->code));
    if (t->code.outcome != REDEEM_OK || (op->client->grants & GRANT_REFRESH) == 0) {
        return OK;
    }
    t->refresh_token = one_time_value(&op->arena);
    int64_t expires = MIN(t->code.now_s + seconds_of(c->refresh_idle_ns), t->code.family.expires);
    return refresh_insert(op->n->store, t->refresh_token, t->code.family.id, 1, expires);
}

static void code_written(struct op *op, struct err e)
{
    struct token_request *t = request_of(op);
    op->event.actor_user = t->code.family.sub;
    op->event.session = t->code.family.session;
    if (redeemed(op, e, t->code.outcome)) {
        issue_for_family(op, &t->code.family, t->code.family.scopes, t->code.nonce);
    }
}

static void grant_code(struct op *op)
{
    struct token_request *t = request_of(op);
    t->code = (struct code_redeem){
        .code = params_take(&op->params, "code"),
        .client = op->client->id,
        .redirect_uri = params_get(&op->params, "redirect_uri"),
        .verifier = params_get(&op->params, "code_verifier"),
        .now_s = clock_wall_s(),
        .mark_s = authn_mark_s(op->n),
    };
    if (t->code.code.n == 0) {
        refuse(op, "invalid_request", "code is missing");
        return;
    }
    op_store(op, code_write, code_written);
}

/* ---- refresh_token ---- */

static struct err refresh_write(struct op *op)
{
    struct token_request *t = request_of(op);
    TRY(assertion_take(op, &t->assertion));
    return refresh_rotate(op->n->store, &op->arena, &t->refresh);
}

static void refresh_written(struct op *op, struct err e)
{
    struct token_request *t = request_of(op);
    op->event.actor_user = t->refresh.family.sub;
    op->event.session = t->refresh.family.session;
    if (redeemed(op, e, t->refresh.outcome)) {
        t->refresh_token = t->refresh.successor;
        issue_for_family(op, &t->refresh.family,
                         t->refresh.scopes != 0 ? t->refresh.scopes : t->refresh.family.scopes,
                         STR_EMPTY);
    }
}

static void grant_refresh(struct op *op)
{
    struct token_request *t = request_of(op);
    const struct authn_config *c = op->n->config;
    t->refresh = (struct refresh_rotate){
        .token = params_take(&op->params, "refresh_token"),
        .client = op->client->id,
        .now_s = clock_wall_s(),
        .mark_s = authn_mark_s(op->n),
        .limits = {seconds_of(c->refresh_idle_ns), seconds_of(c->grace_ns)},
    };
    if (t->refresh.token.n == 0) {
        refuse(op, "invalid_request", "refresh_token is missing");
    } else if (failed(scope_parse(params_get(&op->params, "scope"), &t->refresh.scopes))) {
        refuse(op, "invalid_scope", err_detail());
    } else {
        op_store(op, refresh_write, refresh_written);
    }
}

/* ---- client_credentials ---- */

static void issue_to_client(struct op *op)
{
    struct token_request *t = request_of(op);
    const struct client *c = op->client;
    struct str wanted = params_get(&op->params, "resource"),
               scope = params_get(&op->params, "scope");
    wanted = wanted.n > 0 ? wanted : params_get(&op->params, "audience");
    if (scope.n > 0) {
        refuse(op, "invalid_scope",
               "a machine has no identity scopes, and rights are not given by tokens here; leave "
               "scope away");
        return;
    }
    if (params_nth(&op->params, "resource", 1).n > 0 ||
        (wanted.n > 0 && !str_list_has(&c->audiences, wanted))) {
        refuse(op, "invalid_target", "the client may not ask for this resource");
        return;
    }
    struct str audience = wanted.n > 0         ? wanted
                          : c->audiences.n > 0 ? c->audiences.items[0]
                                               : op->n->config->issuer;
    t->issue = (struct issue){.sub = c->id, .client_id = c->id, .audience = audience};
    tokens_issue(op, &t->issue, answer);
}

static struct err assertion_write(struct op *op)
{
    return assertion_take(op, &request_of(op)->assertion);
}

static void assertion_written(struct op *op, struct err e)
{
    if (redeemed(op, e, REDEEM_OK)) {
        issue_to_client(op);
    }
}

static void grant_client(struct op *op)
{
    if (request_of(op)->assertion.jti.n > 0) {
        op_store(op, assertion_write, assertion_written);
    } else {
        issue_to_client(op);
    }
}

/* ---- the endpoint ---- */

static const struct {
    const char *name, *activity;
    unsigned grant;
    void (*run)(struct op *op);
} grants[] = {
    {"authorization_code", "token.code", GRANT_CODE, grant_code},
    {"refresh_token", "token.refresh", GRANT_REFRESH, grant_refresh},
    {"client_credentials", "token.client", GRANT_CLIENT_CREDENTIALS, grant_client},
};

static void dispatch(struct op *op)
{
    struct str type = params_get(&op->params, "grant_type");
    struct token_request *t = request_of(op);
    for (size_t i = 0; i < ARRAY_LEN(grants); i++) {
        if (str_is(type, grants[i].name)) {
            t->activity = grants[i].activity;
            if ((op->client->grants & grants[i].grant) == 0) {
                refuse(op, "unauthorized_client",
                       "the client is not registered for this grant type");
                return;
            }
            grants[i].run(op);
            return;
        }
    }
    refuse(op, type.n > 0 ? "unsupported_grant_type" : "invalid_request",
           type.n > 0 ? "this grant type is not supported" : "grant_type is missing");
}

static void token(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct token_request *t = arena_new(&op->arena, struct token_request);
    op->state = t;
    t->activity = "token";
    op_cross_origin(op);
    op->event.class_uid = OCSF_AUTHORIZE_SESSION;
    op->event.resource_type = S("client");
    if (!op->form || req->query.n > 0) {
        refuse(op, "invalid_request",
               "parameters belong into the body, as application/x-www-form-urlencoded");
        return;
    }
    if (failed(op_params(op, false))) {
        op_end(op, t->activity, "denied", str_of(err_detail()));
        return;
    }
    op->event.resource_uid = params_get(&op->params, "client_id");
    if (failed(client_authenticate(op, &t->assertion))) {
        op_end(op, t->activity, "denied", str_of(err_detail()));
        return;
    }
    op->event.resource_uid = op->client->id;
    dispatch(op);
}

void token_routes(struct authn *n, struct router *r)
{
    router_add(r, "POST", "/token", token, n);
    router_add(r, "OPTIONS", "/token", op_preflight, n);
}
