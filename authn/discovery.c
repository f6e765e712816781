/* Discovery (OpenID Connect Discovery 1.0, RFC 8414), the key set, and the style sheet. */
#include "lib/base/clock.h"
#include "lib/daemon/daemon.h"

#include "pages.h"

static void put_list(struct jw *w, struct str key, const char *const *items)
{
    jw_key(w, key);
    jw_arr(w);
    for (; *items != NULL; items++) {
        jw_str(w, str_of(*items));
    }
    jw_end(w);
}

static void put_endpoint(struct jw *w, struct arena *a, struct str issuer, const char *key,
                         const char *path)
{
    jw_key_str(w, str_of(key), arena_printf(a, "%.*s%s", STR_FMT(issuer), path));
}

static void put_endpoints(struct jw *w, struct arena *a, struct str issuer)
{
    static const char *const endpoints[][2] = {
        {"authorization_endpoint", "/authorize"},  {"token_endpoint", "/token"},
        {"userinfo_endpoint", "/userinfo"},        {"jwks_uri", "/jwks"},
        {"introspection_endpoint", "/introspect"}, {"revocation_endpoint", "/revoke"},
        {"end_session_endpoint", "/logout"},
    };
    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        put_endpoint(w, a, issuer, endpoints[i][0], endpoints[i][1]);
    }
}

static void put_abilities(struct jw *w)
{
    static const char *const scopes[] = {"openid", "profile",        "email", "address",
                                         "phone",  "offline_access", NULL};
    static const char *const code[] = {"code", NULL}, *const modes[] = {"query", "form_post", NULL},
                             *const public[] = {"public", NULL};
    static const char *const grants[] = {"authorization_code", "refresh_token",
                                         "client_credentials", NULL};
    static const char *const rs256[] = {"RS256", NULL}, *const s256[] = {"S256", NULL},
                             *const normal[] = {"normal", NULL};
    static const char *const auth[] = {"client_secret_basic",
                                       "client_secret_post",
                                       "private_key_jwt",
                                       "spiffe_x509",
                                       "none",
                                       NULL};
    static const char *const confidential[] = {"client_secret_basic", "client_secret_post",
                                               "private_key_jwt", "spiffe_x509", NULL};
    static const char *const algs[] = {"RS256", "PS256", "ES256", "EdDSA", NULL};
    static const char *const prompts[] = {"none", "login", "consent", "select_account", NULL};
    put_list(w, S("scopes_supported"), scopes);
    put_list(w, S("response_types_supported"), code);
    put_list(w, S("response_modes_supported"), modes);
    put_list(w, S("grant_types_supported"), grants);
    put_list(w, S("subject_types_supported"), public);
    put_list(w, S("id_token_signing_alg_values_supported"), rs256);
    put_list(w, S("token_endpoint_auth_methods_supported"), auth);
    put_list(w, S("token_endpoint_auth_signing_alg_values_supported"), algs);
    put_list(w, S("introspection_endpoint_auth_methods_supported"), confidential);
    put_list(w, S("introspection_endpoint_auth_signing_alg_values_supported"), algs);
    put_list(w, S("revocation_endpoint_auth_methods_supported"), auth);
    put_list(w, S("revocation_endpoint_auth_signing_alg_values_supported"), algs);
    put_list(w, S("code_challenge_methods_supported"), s256);
    put_list(w, S("claim_types_supported"), normal);
    put_list(w, S("prompt_values_supported"), prompts);
    jw_key_bool(w, S("claims_parameter_supported"), false);
    jw_key_bool(w, S("request_parameter_supported"), false);
    jw_key_bool(w, S("request_uri_parameter_supported"), false);
    jw_key_bool(w, S("authorization_response_iss_parameter_supported"), true);
}

static void put_claims(struct jw *w, const struct authn_config *c)
{
    static const char *const standard[] = {"sub",
                                           "iss",
                                           "aud",
                                           "exp",
                                           "iat",
                                           "auth_time",
                                           "nonce",
                                           "sid",
                                           "amr",
                                           "name",
                                           "given_name",
                                           "family_name",
                                           "preferred_username",
                                           "picture",
                                           "locale",
                                           "zoneinfo",
                                           "updated_at",
                                           "email",
                                           "email_verified",
                                           "address",
                                           "phone_number",
                                           "phone_number_verified"};
    const struct claim_config *declared = c->claims.items;
    jw_key(w, S("claims_supported"));
    jw_arr(w);
    for (size_t i = 0; i < ARRAY_LEN(standard); i++) {
        jw_str(w, str_of(standard[i]));
    }
    for (size_t i = 0; i < c->claims.n; i++) {
        jw_str(w, declared[i].name);
    }
    jw_end(w);
}

static void put_aliases(struct jw *w, struct arena *a, const struct authn_config *c)
{
    struct str base = arena_printf(a, "https://%.*s", STR_FMT(c->listen_mtls));
    if (c->listen_mtls.n == 0) {
        return;
    }
    jw_key(w, S("mtls_endpoint_aliases"));
    jw_obj(w);
    put_endpoint(w, a, base, "token_endpoint", "/token");
    put_endpoint(w, a, base, "introspection_endpoint", "/introspect");
    put_endpoint(w, a, base, "revocation_endpoint", "/revoke");
    jw_end(w);
}

static void discovery(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    const struct authn_config *c = op->n->config;
    struct buf b;
    struct jw w;
    buf_init(&b, 32 * 1024);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_str(&w, S("issuer"), c->issuer);
    put_endpoints(&w, &op->arena, c->issuer);
    put_abilities(&w);
    put_claims(&w, c);
    put_aliases(&w, &op->arena, c);
    jw_end(&w);
    op_json(op, 200, &b);
    buf_release(&b);
    op_header(op, "cache-control", S("public, max-age=300"));
    op_cross_origin(op);
    op_send(op);
}

static void jwks(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    struct jwks *set = signer_jwks(op->n->signer);
    struct arena *a = &op->arena;
    struct json *doc = json_new_object(a), *keys = json_new_array(a);
    struct buf b;
    if (!signer_ready(op->n->signer)) {
        op_header(op, "retry-after", S("1"));
        op_oauth_error(op, 503, "temporarily_unavailable", "the signing keys are not known yet");
        op_send(op);
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        json_push(a, keys, jwk_to_json(a, set->keys[i]));
    }
    json_add(a, doc, S("keys"), keys);
    buf_init(&b, JWKS_TEXT_MAX);
    json_write(&b, doc);
    op_json(op, 200, &b);
    buf_release(&b);
    op_header(op, "cache-control", S("public, max-age=300"));
    op_cross_origin(op);
    op_send(op);
}

static void style(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    op_header(op, "cache-control", S("public, max-age=3600"));
    op_answer(op, 200, S("text/css; charset=utf-8"), str_of(style_sheet));
    op_send(op);
}

static void front(struct http_req *req, void *ctx)
{
    struct op *op = op_new(ctx, req);
    page_error(op, 200, "Sextant sign-in",
               S("This is the identity provider of this installation. You arrive here from an "
                 "application when you sign in."));
    op_send(op);
}

void discovery_routes(struct authn *n, struct router *r)
{
    router_add(r, "GET", "/", front, n);
    router_add(r, "GET", "/.well-known/openid-configuration", discovery, n);
    router_add(r, "GET", "/.well-known/oauth-authorization-server", discovery, n);
    router_add(r, "GET", "/jwks", jwks, n);
    router_add(r, "GET", "/assets/authn.css", style, n);
}
