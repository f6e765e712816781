#include "client_auth.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/secret.h"
#include "lib/jose/jwt.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

struct offer {
    bool basic, post, assertion, svid;
    struct str id, secret;
};

/* RFC 6749 section 2.3.1: both halves are form-encoded before base64. */
static struct err read_basic(struct op *op, struct offer *o)
{
    struct str pair;
    TRY(base64_decode(&op->arena, op->basic, BASE64_STD, &pair));
    size_t colon = str_find_char(pair, ':');
    ENSURE(colon != STR_NPOS, ERR_SYNTAX, "Basic credentials without a colon");
    TRY(percent_decode(&op->arena, str_sub(pair, 0, colon), true, &o->id));
    return percent_decode(&op->arena, str_sub(pair, colon + 1, pair.n), true, &o->secret);
}

static struct err read_offer(struct op *op, struct offer *o)
{
    struct str form_id = params_get(&op->params, "client_id"),
               form_secret = params_take(&op->params, "client_secret");
    o->basic = op->basic.n > 0;
    o->post = form_secret.n > 0;
    o->assertion = params_get(&op->params, "client_assertion").n > 0 ||
                   params_get(&op->params, "client_assertion_type").n > 0;
    ENSURE(o->basic + o->post + o->assertion <= 1, ERR_INVALID,
           "more than one way of client authentication in one request");
    o->id = form_id;
    if (o->basic) {
        TRY(read_basic(op, o));
        ENSURE(form_id.n == 0 || str_eq(form_id, o->id), ERR_INVALID,
               "client_id differs from the Authorization header");
    } else if (o->post) {
        o->secret = form_secret;
    }
    return OK;
}

/* RFC 7523 section 3; the audience is the issuer alone, as one string. */
static struct err check_assertion(struct op *op, const struct client *c, struct assertion *out)
{
    struct str text = params_get(&op->params, "client_assertion");
    ENSURE(str_is(params_get(&op->params, "client_assertion_type"), ASSERTION_TYPE), ERR_INVALID,
           "client_assertion_type must be " ASSERTION_TYPE);
    ENSURE(c->auth == AUTH_PRIVATE_KEY_JWT, ERR_UNAUTHENTICATED,
           "the client is not registered for private_key_jwt");
    struct jws_policy sig = {.algs = JOSE_ALGS_DEFAULT};
    struct jwt_policy claims = {.issuer = c->id,
                                .skew_s = ASSERTION_AHEAD_S,
                                .require_exp = true,
                                .require_sub = true,
                                .require_jti = true};
    struct jws t;
    struct json *doc;
    struct jwt jwt;
    int64_t now = clock_wall_s();
    TRY(jws_verify(&op->arena, text, c->keys, &sig, &t));
    TRY(json_parse(&op->arena, t.payload, NULL, &doc));
    TRY(jwt_check(doc, &claims, &jwt));
    ENSURE(str_eq(jwt.sub, c->id), ERR_UNAUTHENTICATED, "sub of the assertion is not the client");
    ENSURE(str_eq(json_str(json_get(doc, "aud")), op->n->config->issuer), ERR_UNAUTHENTICATED,
           "aud of the assertion must be the issuer as one string");
    ENSURE(jwt.exp_s > now && jwt.exp_s <= now + ASSERTION_LIFE_MAX_S, ERR_UNAUTHENTICATED,
           "the assertion has expired or lives longer than %d s", ASSERTION_LIFE_MAX_S);
    *out = (struct assertion){jwt.jti, jwt.exp_s};
    return OK;
}

/* The latest failure's words under another code. */
static struct err reword(enum err_code code)
{
    char detail[ERR_DETAIL_MAX];
    snprintf(detail, sizeof(detail), "%s", err_detail());
    return err_make(code, "%s", detail);
}

static struct err check_offer(struct op *op, const struct client *c, const struct offer *o,
                              struct assertion *assertion)
{
    /* The same work for a client that does not exist. */
    static const struct client nobody = {.auth = AUTH_SECRET_BASIC};
    bool secret_ok = o->secret.n > 0 && client_secret_ok(c != NULL ? c : &nobody, o->secret);
    ENSURE(c != NULL, ERR_UNAUTHENTICATED, "unknown client");
    if (o->assertion) {
        struct err e = check_assertion(op, c, assertion);
        /* Whatever is wrong with an assertion, it is the client that is not believed. */
        return failed(e) ? reword(ERR_UNAUTHENTICATED) : e;
    }
    switch (c->auth) {
    case AUTH_SECRET_BASIC:
        ENSURE(o->basic && secret_ok, ERR_UNAUTHENTICATED, "%s",
               o->basic ? "wrong client secret"
                        : "the client is registered for client_secret_basic");
        return OK;
    case AUTH_SECRET_POST:
        ENSURE(o->post && secret_ok, ERR_UNAUTHENTICATED, "%s",
               o->post ? "wrong client secret" : "the client is registered for client_secret_post");
        return OK;
    case AUTH_SPIFFE:
        ENSURE(!o->basic && !o->post && str_eq(op->peer_id, c->spiffe_id), ERR_UNAUTHENTICATED,
               "the connection does not show the client's SPIFFE id");
        return OK;
    case AUTH_NONE:
        ENSURE(!o->basic && !o->post, ERR_UNAUTHENTICATED,
               "the client is public: it has no secret");
        return OK;
    case AUTH_PRIVATE_KEY_JWT:
        break;
    }
    FAIL(ERR_UNAUTHENTICATED, "the client must authenticate by private_key_jwt");
}

static struct err refuse(struct op *op, struct err e, bool basic)
{
    struct str why = arena_str(&op->arena, str_of(err_detail()));
    if (e.code == ERR_INVALID || e.code == ERR_SYNTAX) {
        op_oauth_error(op, e.code == ERR_INVALID ? 400 : 401,
                       e.code == ERR_INVALID ? "invalid_request" : "invalid_client", "%.*s",
                       STR_FMT(why));
    } else {
        op_oauth_error(op, 401, "invalid_client", "client authentication failed");
    }
    if (basic && op->status == 401) {
        op_header(op, "www-authenticate", S("Basic realm=\"sextant\""));
    }
    return err_make((enum err_code)e.code, "%.*s", STR_FMT(why));
}

struct err client_authenticate(struct op *op, struct assertion *assertion)
{
    struct offer o = {0};
    char storage[64];
    *assertion = (struct assertion){0};
    struct err e = read_offer(op, &o);
    if (failed(e)) {
        return refuse(op, e, o.basic);
    }
    struct str source = throttle_source(op->source, storage, sizeof(storage));
    int64_t now = clock_mono_ns(), wait = throttle_wait_s(&op->n->throttle, o.id, source, now);
    if (wait > 0 && (o.basic || o.post)) {
        op_header(op, "retry-after", arena_printf(&op->arena, "%lld", (long long)wait));
        op_oauth_error(op, 429, "invalid_client", "too many failed tries; wait %lld s",
                       (long long)wait);
        return err_make(ERR_BUSY, "too many failed tries");
    }
    /* A workload on an SVID need not name its client: the connection does. */
    struct client *c = o.id.n > 0 ? clients_find(&op->n->clients, o.id)
                                  : clients_find_spiffe(&op->n->clients, op->peer_id);
    e = check_offer(op, c, &o, assertion);
    wipe((char *)(uintptr_t)o.secret.p, o.secret.n);
    if (failed(e)) {
        struct err kept = refuse(op, e, o.basic);
        throttle_failed(&op->n->throttle, o.id, source, now);
        return kept;
    }
    if (o.basic || o.post) {
        throttle_succeeded(&op->n->throttle, o.id, source);
    }
    op->client = client_ref(c);
    return OK;
}

struct err assertion_take(struct op *op, const struct assertion *assertion)
{
    if (assertion->jti.n == 0) {
        return OK;
    }
    return assertion_spend(op->n->store, op->client->id, assertion->jti,
                           assertion->expires + ASSERTION_AHEAD_S);
}
