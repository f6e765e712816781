#include "tokens.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/jose/jwt.h"

/* ---- claims of a person (OpenID Connect Core section 5.1 and 5.4) ---- */

static const struct {
    const char *claim;
    unsigned scope;
} standard_claims[] = {
    {"name", SCOPE_PROFILE},
    {"given_name", SCOPE_PROFILE},
    {"family_name", SCOPE_PROFILE},
    {"middle_name", SCOPE_PROFILE},
    {"nickname", SCOPE_PROFILE},
    {"profile", SCOPE_PROFILE},
    {"picture", SCOPE_PROFILE},
    {"website", SCOPE_PROFILE},
    {"gender", SCOPE_PROFILE},
    {"birthdate", SCOPE_PROFILE},
    {"zoneinfo", SCOPE_PROFILE},
    {"locale", SCOPE_PROFILE},
    {"email", SCOPE_EMAIL},
    {"email_verified", SCOPE_EMAIL},
    {"address", SCOPE_ADDRESS},
    {"phone_number", SCOPE_PHONE},
    {"phone_number_verified", SCOPE_PHONE},
};

static void copy_claim(struct json *out, struct arena *a, const struct user *u, struct str claim,
                       struct str attribute, const struct str_list *only)
{
    const struct json *v = json_get_str(u->attributes, attribute);
    if (v != NULL && (only == NULL || str_list_has(only, claim))) {
        json_set(a, out, arena_str(a, claim), json_copy(a, v));
    }
}

void user_claims_put(struct json *out, struct arena *a, const struct authn *n, const struct user *u,
                     unsigned scopes, const struct str_list *only)
{
    const struct claim_config *declared = n->config->claims.items;
    if ((scopes & SCOPE_PROFILE) != 0 &&
        (only == NULL || str_list_has(only, S("preferred_username")))) {
        json_set(a, out, S("preferred_username"), json_new_string(a, u->name));
    }
    if ((scopes & SCOPE_PROFILE) != 0 && only == NULL) {
        json_set(a, out, S("updated_at"), json_new_int(a, u->changed));
    }
    for (size_t i = 0; i < ARRAY_LEN(standard_claims); i++) {
        if ((scopes & standard_claims[i].scope) != 0) {
            struct str name = str_of(standard_claims[i].claim);
            copy_claim(out, a, u, name, name, only);
        }
    }
    for (size_t i = 0; i < n->config->claims.n; i++) {
        unsigned scope = 0;
        ignore_err(scope_parse(declared[i].scope, &scope));
        if ((scopes & scope) != 0) {
            struct str attribute =
                declared[i].attribute.n > 0 ? declared[i].attribute : declared[i].name;
            copy_claim(out, a, u, declared[i].name, attribute, only);
        }
    }
}

/* ---- issuing ---- */

static void set_str(struct arena *a, struct json *o, struct str key, struct str value)
{
    if (value.n > 0) {
        json_add(a, o, key, json_new_string(a, value));
    }
}

/* With openid the token also opens userinfo, which is at the issuer. */
static struct json *audience_json(struct arena *a, const struct authn *n, const struct issue *i)
{
    bool ours = (i->scopes & SCOPE_OPENID) != 0 && !str_eq(i->audience, n->config->issuer);
    if (!ours) {
        return json_new_string(a, i->audience);
    }
    struct json *list = json_new_array(a);
    json_push(a, list, json_new_string(a, i->audience));
    json_push(a, list, json_new_string(a, n->config->issuer));
    return list;
}

/* RFC 9068 section 2.2. */
static struct json *access_claims(struct op *op, struct issue *i, int64_t now)
{
    struct arena *a = &op->arena;
    struct json *c = json_new_object(a);
    struct str tail = random_id(a, ID_TEXT, ALPHABET_BASE62);
    i->jti =
        i->family.n > 0 ? arena_printf(a, "%.*s.%.*s", STR_FMT(i->family), STR_FMT(tail)) : tail;
    i->access_life_s = seconds_of(op->n->config->access_ns);
    if (op->client != NULL && op->client->access_life_s > 0) {
        i->access_life_s = MIN(i->access_life_s, op->client->access_life_s);
    }
    set_str(a, c, S("iss"), op->n->config->issuer);
    set_str(a, c, S("sub"), i->sub);
    json_add(a, c, S("aud"), audience_json(a, op->n, i));
    json_add(a, c, S("exp"), json_new_int(a, now + i->access_life_s));
    json_add(a, c, S("iat"), json_new_int(a, now));
    set_str(a, c, S("jti"), i->jti);
    set_str(a, c, S("client_id"), i->client_id);
    if (i->auth_time != 0) {
        json_add(a, c, S("auth_time"), json_new_int(a, i->auth_time));
    }
    set_str(a, c, S("sid"), i->sid);
    set_str(a, c, S("scope"), scope_text(a, i->scopes));
    return c;
}

static struct json *id_claims(struct op *op, const struct issue *i, int64_t now)
{
    struct arena *a = &op->arena;
    struct json *c = json_new_object(a), *amr = json_new_array(a);
    set_str(a, c, S("iss"), op->n->config->issuer);
    set_str(a, c, S("sub"), i->sub);
    set_str(a, c, S("aud"), i->client_id);
    json_add(a, c, S("exp"), json_new_int(a, now + seconds_of(op->n->config->id_ns)));
    json_add(a, c, S("iat"), json_new_int(a, now));
    json_add(a, c, S("auth_time"), json_new_int(a, i->auth_time));
    set_str(a, c, S("nonce"), i->nonce);
    set_str(a, c, S("sid"), i->sid);
    json_push(a, amr, json_new_string(a, S("pwd")));
    json_add(a, c, S("amr"), amr);
    if (i->user != NULL && op->client->id_token_claims.n > 0) {
        user_claims_put(c, a, op->n, i->user, i->scopes, &op->client->id_token_claims);
    }
    return c;
}

static struct str signing_input(struct op *op, enum signing_key k, const struct json *claims)
{
    struct arena *a = &op->arena;
    struct json *header = json_new_object(a);
    struct buf payload;
    json_add(a, header, S("typ"),
             json_new_string(a, k == KEY_ACCESS_TOKEN ? S("at+jwt") : S("JWT")));
    json_add(a, header, S("kid"), json_new_string(a, signer_kid(op->n->signer, k)));
    buf_init(&payload, TOKEN_MAX);
    json_write(&payload, claims);
    struct str input = STR_EMPTY;
    if (buf_ok(&payload)) {
        input = jws_signing_input(a, k == KEY_ACCESS_TOKEN ? JOSE_ES256 : JOSE_RS256, header,
                                  buf_str(&payload));
    }
    buf_release(&payload);
    return input;
}

static struct issue *issue_of(struct op *op)
{
    return op->state;
}

static void one_signed(struct op *op, enum signing_key k, struct err e, struct str signature)
{
    struct issue *i = issue_of(op);
    i->broken |= failed(e);
    if (!failed(e)) {
        struct str token = jws_assemble(&op->arena, i->inputs[k], signature);
        *(k == KEY_ACCESS_TOKEN ? &i->access_token : &i->id_token) = token;
    }
    if (--i->pending > 0) {
        return;
    }
    i->then(op, i->broken ? err_make(ERR_UNAVAILABLE, "no signature from the crypto service") : OK);
}

static void access_signed(void *ctx, struct err e, struct str signature)
{
    one_signed(ctx, KEY_ACCESS_TOKEN, e, signature);
}

static void id_signed(void *ctx, struct err e, struct str signature)
{
    one_signed(ctx, KEY_ID_TOKEN, e, signature);
}

void tokens_issue(struct op *op, struct issue *i, void (*then)(struct op *op, struct err e))
{
    int64_t now =
        revocations_earliest_iat(&op->n->revocations, i->sub, i->client_id, clock_wall_s());
    op->state = i;
    i->then = then;
    i->inputs[KEY_ACCESS_TOKEN] = signing_input(op, KEY_ACCESS_TOKEN, access_claims(op, i, now));
    if (i->want_id_token) {
        i->inputs[KEY_ID_TOKEN] = signing_input(op, KEY_ID_TOKEN, id_claims(op, i, now));
    }
    if (i->inputs[KEY_ACCESS_TOKEN].n == 0 ||
        (i->want_id_token && i->inputs[KEY_ID_TOKEN].n == 0)) {
        then(op, err_make(ERR_LIMIT, "the token would be larger than %d bytes", TOKEN_MAX));
        return;
    }
    i->pending = i->want_id_token ? 2 : 1;
    signer_sign(op->n->signer, KEY_ACCESS_TOKEN, i->inputs[KEY_ACCESS_TOKEN], access_signed, op);
    if (i->want_id_token) {
        signer_sign(op->n->signer, KEY_ID_TOKEN, i->inputs[KEY_ID_TOKEN], id_signed, op);
    }
}

/* ---- reading back ---- */

static struct err read_claims(struct authn *n, struct arena *a, const struct jws *t,
                              struct own_token *out)
{
    struct json *doc;
    struct json_limits lim = {.max_bytes = BEARER_MAX, .max_depth = 16};
    TRY(json_parse(a, t->payload, &lim, &doc));
    ENSURE(str_eq(json_str(json_get(doc, "iss")), n->config->issuer), ERR_DENIED,
           "the token is of another issuer");
    *out = (struct own_token){
        .claims = doc,
        .jti = json_str(json_get(doc, "jti")),
        .sub = json_str(json_get(doc, "sub")),
        .client_id = json_str(json_get(doc, "client_id")),
        .sid = json_str(json_get(doc, "sid")),
        .scope = json_str(json_get(doc, "scope")),
    };
    TRY(json_i64(json_get(doc, "exp"), &out->exp));
    TRY(json_i64(json_get(doc, "iat"), &out->iat));
    if (json_get(doc, "auth_time") != NULL) {
        TRY(json_i64(json_get(doc, "auth_time"), &out->auth_time));
    }
    return scope_parse(out->scope, &out->scopes);
}

struct err access_token_read(struct authn *n, struct arena *a, struct str text,
                             struct own_token *out)
{
    static const char *const typ[] = {"at+jwt", NULL};
    struct jws_policy policy = {
        .algs = JOSE_BIT(JOSE_ES256), .typ = typ, .typ_required = true, .require_kid = true};
    struct jws t;
    ENSURE(text.n <= BEARER_MAX, ERR_LIMIT, "a token has at most %d bytes", BEARER_MAX);
    TRY(jws_verify(a, text, signer_jwks(n->signer), &policy, &t));
    TRY(read_claims(n, a, &t, out));
    ENSURE(clock_wall_s() < out->exp, ERR_EXPIRED, "the token has expired");
    struct token_facts facts = {out->jti, out->sid, out->sub, out->client_id, out->iat};
    ENSURE(!revocations_hit(&n->revocations, &facts), ERR_REVOKED, "the token has been revoked");
    return OK;
}

struct err id_token_read(struct authn *n, struct arena *a, struct str text, struct own_token *out)
{
    static const char *const typ[] = {"JWT", NULL};
    struct jws_policy policy = {
        .algs = JOSE_BIT(JOSE_RS256), .typ = typ, .typ_required = true, .require_kid = true};
    struct jws t;
    TRY(jws_verify(a, text, signer_jwks(n->signer), &policy, &t));
    TRY(read_claims(n, a, &t, out));
    out->client_id = json_str(json_get(out->claims, "aud"));
    return OK;
}
