/*
 * Logins by signed token: a JWT-SVID of our own trust domain, or any other issuer's JWT. Keys come from PEM in the
 * configuration or from a URL (a JWK set, or a SPIFFE bundle), are kept, and are fetched anew when a key id is
 * not among them.
 */
#include "engines.h"
#include "field.h"
#include "role.h"

#include "lib/base/log.h"
#include "lib/http/client.h"
#include "lib/jose/jose.h"
#include "lib/spiffe/spiffe.h"

enum { REFETCH_MS = 2000, JWT_MAX = 16 * 1024, PEM_KEYS_MAX = 16 };

struct waiting {
    struct request *r;
    struct json *config, *role;
    struct str role_name, token;
    struct waiting *next;
};

struct keys {
    struct jwks *set;        /* NULL: not here yet */
    int64_t fetched_mono_ns; /* the last attempt */
    struct waiting *queue;   /* logins that wait for a fetch under way */
    bool fetching;
    struct mount *mount; /* held while fetching */
};

static struct err load(struct mount *m)
{
    m->state = calloc(1, sizeof(struct keys));
    BUG_ON(m->state == NULL);
    return OK;
}

static void unload(struct mount *m)
{
    struct keys *k = m->state;
    if (k != NULL) {
        jwks_unref(k->set);
        free(k);
    }
}

/* ---- configuration ---- */

static struct err config_load(struct request *r, struct json **out)
{
    TRY(storage_get_json(r->core->st, r->arena, mount_storage(r->arena, r->mount, "config"), out));
    return OK;
}

static struct err pem_keys(const struct json *list, struct jwks **out)
{
    struct jwks *set = jwks_new();
    for (uint32_t i = 0; i < list->n && i < PEM_KEYS_MAX; i++) {
        struct key *key;
        struct err e = key_from_pem(json_str(list->items[i]), &key);
        if (failed(e)) {
            jwks_unref(set);
            return err_wrap(e, "jwt_validation_pubkeys");
        }
        jwks_add(set, jwk_from_key(key, STR_EMPTY, JOSE_ALG_NONE, STR_EMPTY));
        key_unref(key);
    }
    *out = set;
    return OK;
}

static struct err config_write(struct request *r)
{
    struct json *c;
    TRY(config_load(r, &c));
    c = c != NULL ? c : json_new_object(r->arena);
    TRY(role_put_str(r, c, "jwks_url", ""));
    TRY(role_put_str(r, c, "bound_issuer", ""));
    TRY(role_put_str(r, c, "default_role", ""));
    TRY(role_put_str(r, c, "spiffe_trust_domain", ""));
    ENSURE(!field_given(r->data, "oidc_discovery_url"), ERR_INVALID,
           "oidc_discovery_url is not supported; give jwks_url and bound_issuer");
    const struct json *pem = json_get(r->data, "jwt_validation_pubkeys");
    struct json *one = json_new_array(r->arena);
    if (pem != NULL && pem->type == JSON_STRING && pem->text.n > 0) {
        json_push(r->arena, one, json_new_string(r->arena, pem->text));
    } else if (pem != NULL && pem->type == JSON_ARRAY) {
        one = json_copy(r->arena, pem);
    }
    if (pem != NULL || json_get(c, "jwt_validation_pubkeys") == NULL) {
        json_put(r->arena, c, "jwt_validation_pubkeys", one);
    }
    bool has_pem = json_get(c, "jwt_validation_pubkeys")->n > 0,
         has_url = json_str(json_get(c, "jwks_url")).n > 0;
    bool own_domain = json_str(json_get(c, "spiffe_trust_domain")).n > 0;
    ENSURE(has_pem + has_url == 1 || (own_domain && !has_pem && !has_url), ERR_INVALID,
           "exactly one of jwt_validation_pubkeys and jwks_url must be set, or spiffe_trust_domain "
           "alone");
    struct jwks *set = NULL;
    if (has_pem) {
        TRY(pem_keys(json_get(c, "jwt_validation_pubkeys"), &set));
    }
    struct keys *k = r->mount->state;
    jwks_unref(k->set);
    k->set = set;
    k->fetched_mono_ns = 0;
    return storage_put_json(r->core->st, mount_storage(r->arena, r->mount, "config"), c);
}

static struct err config_read(struct request *r)
{
    struct json *c;
    TRY(config_load(r, &c));
    return c != NULL ? reply_data(r, c) : reply_not_found(r);
}

/* ---- roles ---- */

static struct err role_write(struct request *r)
{
    struct str name = request_param(r, "name");
    struct json *role;
    TRY(role_load(r, "role", name, &role));
    role = role != NULL ? role : json_new_object(r->arena);
    TRY(role_put_str(r, role, "role_type", "jwt"));
    TRY(role_put_str(r, role, "user_claim", "sub"));
    TRY(role_put_str(r, role, "bound_subject", ""));
    TRY(role_put_str(r, role, "bound_claims_type", "string"));
    TRY(role_put_list(r, role, "bound_audiences"));
    TRY(role_read_token_fields(r, role));
    static const char *const maps[] = {"bound_claims", "claim_mappings"};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        const struct json *v = json_get(r->data, maps[i]);
        ENSURE(v == NULL || v->type == JSON_OBJECT || v->type == JSON_NULL, ERR_INVALID,
               "%s must be a map", maps[i]);
        if (json_is(v, JSON_OBJECT)) {
            json_put(r->arena, role, maps[i], json_copy(r->arena, v));
        }
    }
    struct str type = json_str(json_get(role, "bound_claims_type")),
               kind = json_str(json_get(role, "role_type"));
    ENSURE(str_is(type, "string") || str_is(type, "glob"), ERR_INVALID,
           "bound_claims_type is \"string\" or \"glob\"");
    ENSURE(str_is(kind, "jwt"), ERR_INVALID,
           "role_type \"jwt\" is the one there is; people log in at authn");
    const struct json *claims = json_get(role, "bound_claims");
    ENSURE(json_get(role, "bound_audiences")->n > 0 ||
               json_str(json_get(role, "bound_subject")).n > 0 || (claims != NULL && claims->n > 0),
           ERR_INVALID, "must have at least one bound constraint when creating/updating a role");
    return role_save(r, "role", name, role);
}

static struct err role_read(struct request *r)
{
    struct json *role;
    TRY(role_load(r, "role", request_param(r, "name"), &role));
    return role != NULL ? reply_data(r, role) : reply_not_found(r);
}

static struct err role_del(struct request *r)
{
    return role_delete(r, "role", request_param(r, "name"));
}

static struct err roles(struct request *r)
{
    return role_list(r, "role");
}

static bool role_exists(struct request *r)
{
    struct json *role = NULL;
    return !failed(role_load(r, "role", request_param(r, "name"), &role)) && role != NULL;
}

/* ---- claims against the role ---- */

static bool claim_matches(const struct json *have, struct str want, bool glob)
{
    if (have->type == JSON_STRING || have->type == JSON_NUMBER) {
        return glob ? role_glob(want, have->text) : str_eq(want, have->text);
    }
    return (have->type == JSON_TRUE && str_is(want, "true")) ||
           (have->type == JSON_FALSE && str_is(want, "false"));
}

/* Any of the wanted values equals the claim, or any of its elements. */
static bool any_matches(const struct json *have, const struct json *want, bool glob)
{
    uint32_t nw = want->type == JSON_ARRAY ? want->n : 1,
             nh = have->type == JSON_ARRAY ? have->n : 1;
    for (uint32_t w = 0; w < nw; w++) {
        const struct json *wv = want->type == JSON_ARRAY ? want->items[w] : want;
        for (uint32_t h = 0; h < nh; h++) {
            const struct json *hv = have->type == JSON_ARRAY ? have->items[h] : have;
            if ((wv->type == JSON_STRING || wv->type == JSON_NUMBER) &&
                claim_matches(hv, wv->text, glob)) {
                return true;
            }
            if (wv->type != JSON_STRING && json_equal(wv, hv)) {
                return true;
            }
        }
    }
    return false;
}

static struct err check_claims(struct request *r, const struct json *role, const struct jwt *jwt)
{
    struct str subject = json_str(json_get(role, "bound_subject"));
    const struct json *bound = json_get(role, "bound_claims"),
                      *auds = json_get(role, "bound_audiences");
    bool glob = str_is(json_str(json_get(role, "bound_claims_type")), "glob");
    bool aud_ok = auds->n == 0;
    for (uint32_t i = 0; i < auds->n; i++) {
        aud_ok |= jwt_has_audience(jwt->claims, json_str(auds->items[i]));
    }
    r->denied_because = "the token's audience is not the role's";
    ENSURE(auds->n > 0 || json_get(jwt->claims, "aud") == NULL, ERR_INVALID,
           "audience claim found in JWT but no audiences bound to the role");
    ENSURE(aud_ok, ERR_INVALID,
           "error validating token: aud claim does not match any bound audience");
    r->denied_because = "the token's claims are not the role's";
    ENSURE(subject.n == 0 || str_eq(subject, jwt->sub), ERR_INVALID,
           "error validating token: sub claim does not match bound subject");
    for (uint32_t i = 0; bound != NULL && i < bound->n; i++) {
        const struct json *have = json_get_str(jwt->claims, bound->members[i].key);
        ENSURE(have != NULL && any_matches(have, bound->members[i].value, glob), ERR_INVALID,
               "error validating claims: claim \"%.*s\" does not match any associated bound claim "
               "values",
               STR_FMT(bound->members[i].key));
    }
    r->denied_because = NULL;
    return OK;
}

static struct json *metadata_of(struct request *r, const struct waiting *w, const struct jwt *jwt)
{
    struct json *meta = json_new_object(r->arena);
    const struct json *map = json_get(w->role, "claim_mappings");
    json_set_str(r->arena, meta, "role", w->role_name);
    for (uint32_t i = 0; map != NULL && i < map->n; i++) {
        struct str v = json_str(json_get_str(jwt->claims, map->members[i].key));
        if (v.n > 0) {
            json_set(r->arena, meta, json_str(map->members[i].value), json_new_string(r->arena, v));
        }
    }
    return meta;
}

static struct err log_in(const struct waiting *w, const struct jwt *jwt)
{
    struct request *r = w->r;
    struct str claim = json_str(json_get(w->role, "user_claim"));
    struct str user = json_str(json_get_str(jwt->claims, claim));
    struct str domain = json_str(json_get(w->config, "spiffe_trust_domain"));
    ENSURE(user.n > 0 && user.n <= 512, ERR_INVALID, "claim \"%.*s\" not found in token",
           STR_FMT(claim));
    r->actor = user;
    struct str spiffe = STR_EMPTY;
    if (domain.n > 0) {
        ENSURE(str_starts(user, arena_printf(r->arena, "spiffe://%.*s/", STR_FMT(domain))),
               ERR_INVALID, "the token is not of trust domain %.*s", STR_FMT(domain));
        spiffe = user;
    }
    TRY(check_claims(r, w->role, jwt));
    struct login l = {.alias = user,
                      .spiffe_id = spiffe,
                      .display_name = w->role_name,
                      .meta = metadata_of(r, w, jwt),
                      .role = w->role_name};
    role_apply(r, w->role, &l);
    return token_login(r, &l);
}

static struct err verify(const struct waiting *w, const struct jwks *set, struct jwt *jwt)
{
    struct jws_policy sig = {.algs = JOSE_ALGS_ASYMMETRIC};
    struct jwt_policy claims = {.issuer = json_str(json_get(w->config, "bound_issuer")),
                                .require_exp = true,
                                .require_sub = true};
    return jwt_verify(w->r->arena, w->token, set, &sig, &claims, NULL, jwt);
}

/* ---- keys ---- */

static void settle(const struct waiting *w, const struct jwks *set)
{
    struct request *r = w->r;
    struct jwt jwt;
    struct err e = set != NULL ? verify(w, set, &jwt) : err_make(ERR_UNAVAILABLE, "no keys");
    if (!failed(e)) {
        e = log_in(w, &jwt);
    } else {
        r->denied_because = arena_cstr(r->arena, str_of(err_detail()));
        e = e.code == ERR_UNAVAILABLE
                ? err_make(ERR_UNAVAILABLE, "the issuer's keys could not be fetched")
                : err_make(ERR_INVALID, "error validating token: %s",
                           arena_cstr(r->arena, str_of(err_text(e))));
    }
    if (failed(e)) {
        request_finish_err(r, e);
    } else {
        request_finish(r);
    }
}

static struct err read_keys(struct keys *k, struct str body)
{
    struct jwks *set = NULL;
    struct spiffe_bundle bundle;
    struct str domain = k->mount->core->trust_domain;
    if (str_find(body, S("\"x509-svid\"")) != STR_NPOS ||
        str_find(body, S("\"jwt-svid\"")) != STR_NPOS) {
        TRY(spiffe_bundle_parse(domain, body, &bundle));
        set = jwks_ref(bundle.jwt);
        spiffe_bundle_release(&bundle);
    } else {
        TRY(jwks_parse(body, NULL, &set));
    }
    jwks_unref(k->set);
    k->set = set;
    return OK;
}

static void fetched(void *ctx, struct err e, const struct http_result *res)
{
    struct keys *k = ctx;
    if (!failed(e) && res->status != 200) {
        e = err_make(ERR_UNAVAILABLE, "status %d", res->status);
    }
    if (!failed(e)) {
        e = read_keys(k, res->body);
    }
    if (failed(e)) {
        log_warn("keys of an issuer could not be fetched", {"mount", LOG_STR(k->mount->path)},
                 {"detail", LOG_CSTR(err_detail())});
    }
    k->fetching = false;
    struct mount *m = k->mount;
    struct waiting *w = k->queue;
    k->queue = NULL;
    for (struct waiting *next; w != NULL; w = next) {
        next = w->next;
        settle(w, k->set);
    }
    mount_unref(m);
}

static void fetch(struct keys *k, struct mount *m, struct str url)
{
    k->fetched_mono_ns = clock_mono_ns();
    k->fetching = true;
    k->mount = mount_ref(m);
    http_client_call(
        m->core->http,
        &(struct http_call){
            .method = S("GET"), .url = url, .timeout_ms = 5000, .done = fetched, .ctx = k});
}

static bool knows_key(struct request *r, const struct keys *k, struct str token)
{
    struct jws jws;
    struct jws_policy sig = {.algs = JOSE_ALGS_ASYMMETRIC};
    return k->set != NULL && (failed(jws_parse(r->arena, token, &sig, &jws)) || jws.kid.n == 0 ||
                              jwks_find(k->set, jws.kid) != NULL);
}

static struct err prepare(struct request *r, struct waiting *w)
{
    TRY(config_load(r, &w->config));
    ENSURE(w->config != NULL, ERR_INVALID, "could not load configuration");
    w->role_name = json_str(json_get(w->config, "default_role"));
    TRY(field_str(r->data, "role", &w->role_name));
    TRY(field_str(r->data, "jwt", &w->token));
    w->token = str_trim(w->token); /* `jwt=@FILE` brings the file's last newline along */
    ENSURE(w->role_name.n > 0, ERR_INVALID, "missing role");
    ENSURE(w->token.n > 0, ERR_INVALID, "missing token");
    ENSURE(w->token.n <= JWT_MAX, ERR_INVALID, "a token has at most %d bytes", JWT_MAX);
    ENSURE(str_find_char(w->role_name, '/') == STR_NPOS, ERR_INVALID,
           "role \"%.*s\" could not be found", STR_FMT(w->role_name));
    TRY(role_load(r, "role", w->role_name, &w->role));
    ENSURE(w->role != NULL, ERR_INVALID, "role \"%.*s\" could not be found", STR_FMT(w->role_name));
    return OK;
}

static struct err login(struct request *r)
{
    struct waiting *w = arena_new(r->arena, struct waiting);
    struct keys *k = r->mount->state;
    w->r = r;
    TRY(prepare(r, w));
    struct str url = json_str(json_get(w->config, "jwks_url"));
    if (url.n == 0 && json_get(w->config, "jwt_validation_pubkeys")->n == 0) {
        url = r->core->bundle_url;
    }
    if (url.n == 0 && k->set == NULL) {
        TRY(pem_keys(json_get(w->config, "jwt_validation_pubkeys"), &k->set));
    }
    r->later = true;
    bool may_fetch =
        url.n > 0 && r->core->http != NULL &&
        (k->fetched_mono_ns == 0 || clock_mono_ns() - k->fetched_mono_ns > REFETCH_MS * NS_PER_MS);
    if (!k->fetching && (knows_key(r, k, w->token) || !may_fetch)) {
        settle(w, k->set);
        return OK;
    }
    w->next = k->queue;
    k->queue = w;
    if (!k->fetching) {
        fetch(k, r->mount, url);
    }
    return OK;
}

static const struct route routes[] = {
    {"login", .write = login, .flags = ROUTE_UNAUTH},
    {"config", .read = config_read, .write = config_write},
    {"role", .list = roles},
    {"role/{name}", .read = role_read, .write = role_write, .del = role_del, .exists = role_exists},
    {0},
};

const struct engine jwt_engine = {
    .type = "jwt", .auth = true, .routes = routes, .load = load, .unload = unload};
