/* RequestAuthentication documents: admission and reading in one pass. */
#include "policy_priv.h"

#include "lib/base/clock.h"

enum { JWT_TIMEOUT_MS = 5000, JWKS_MAX = 1 << 20 };

static struct str lower(struct arena *a, struct str s)
{
    char *copy = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++) {
        copy[i] = copy[i] >= 'A' && copy[i] <= 'Z' ? (char)(copy[i] + 32) : copy[i];
    }
    return str_n(copy, s.n);
}

static bool is_header_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_')) {
            return false;
        }
    }
    return s.n > 0;
}

static struct err check_jwks_uri(const struct json *v)
{
    struct str uri = json_str(v);
    struct str rest = str_starts(uri, S("https://"))  ? str_sub(uri, 8, uri.n)
                      : str_starts(uri, S("http://")) ? str_sub(uri, 7, uri.n)
                                                      : STR_EMPTY;
    struct str authority = str_split(&rest, '/');
    size_t colon = str_rfind_char(authority, ':');
    bool bracket = authority.n > 0 && authority.p[authority.n - 1] == ']';
    uint64_t port = 1;
    bool bad_port = colon != STR_NPOS && !bracket &&
                    (failed(str_to_u64(str_sub(authority, colon + 1, authority.n), &port)) ||
                     port < 1 || port > 65535);
    if (authority.n == 0 || colon == 0 || bad_port) {
        return mesh_invalid(v, "jwksUri must be http://HOST[:PORT]/... or https://HOST[:PORT]/...");
    }
    return OK;
}

/* A key set must parse; private and symmetric keys in a policy are everybody's. */
static struct err check_jwks(struct mesh_reader *r, const struct json *v)
{
    struct json_limits limits = {.max_bytes = JWKS_MAX};
    struct json *jwks;
    if (failed(json_parse(r->arena, json_str(v), &limits, &jwks)) ||
        !json_is(json_get(jwks, "keys"), JSON_ARRAY)) {
        return mesh_invalid(v, "jwks must be the text of a JSON Web Key Set");
    }
    const struct json *keys = json_get(jwks, "keys");
    for (uint32_t i = 0; i < keys->n; i++) {
        struct str kty = json_str(json_get(keys->items[i], "kty"));
        if (kty.n == 0) {
            return mesh_invalid(v, "a key of jwks has no kty");
        }
        if (json_get(keys->items[i], "d") != NULL || str_is(kty, "oct")) {
            r->warning = S(
                "jwks holds a private or symmetric key; whoever reads the policy can forge tokens");
        }
    }
    return OK;
}

static struct err read_from_headers(struct mesh_reader *r, const struct json *list,
                                    struct mesh_jwt_rule *out)
{
    static const char *const known[] = {"name", "prefix", NULL};
    size_t n = json_is(list, JSON_ARRAY) ? list->n : 0;
    out->from_headers = arena_array(r->arena, struct mesh_jwt_header, n);
    for (size_t i = 0; i < n; i++) {
        TRY(mesh_check_fields(list->items[i], "fromHeaders", known));
        struct str name = json_str(json_get(list->items[i], "name"));
        if (name.n == 0) {
            return mesh_invalid(list->items[i], "fromHeaders needs a name");
        }
        out->from_headers[out->n_from_headers++] = (struct mesh_jwt_header){
            lower(r->arena, name), json_str(json_get(list->items[i], "prefix"))};
    }
    return OK;
}

static struct err read_output_claims(struct mesh_reader *r, const struct json *list,
                                     struct mesh_jwt_rule *out)
{
    static const char *const known[] = {"header", "claim", NULL};
    size_t n = json_is(list, JSON_ARRAY) ? list->n : 0;
    out->output_claims = arena_array(r->arena, struct mesh_claim_header, n);
    for (size_t i = 0; i < n; i++) {
        TRY(mesh_check_fields(list->items[i], "outputClaimToHeaders", known));
        struct str header = json_str(json_get(list->items[i], "header"));
        struct str claim = json_str(json_get(list->items[i], "claim"));
        if (!is_header_name(header) || claim.n == 0) {
            return mesh_invalid(list->items[i],
                                "outputClaimToHeaders needs header (letters, digits, '-', '_') "
                                "and claim");
        }
        out->output_claims[out->n_output_claims++] =
            (struct mesh_claim_header){lower(r->arena, header), claim};
    }
    return OK;
}

static struct err read_timeout(const struct json *v, struct mesh_jwt_rule *out)
{
    int64_t ns;
    out->timeout_ms = JWT_TIMEOUT_MS;
    if (v == NULL) {
        return OK;
    }
    if (failed(duration_parse(json_str(v), &ns)) || ns < NS_PER_MS) {
        return mesh_invalid(v, "timeout must be a duration of at least 1ms, such as 5s");
    }
    out->timeout_ms = ns / NS_PER_MS;
    return OK;
}

static struct err read_keys(struct mesh_reader *r, const struct json *obj,
                            struct mesh_jwt_rule *out)
{
    const struct json *uri = json_get(obj, "jwksUri"), *jwks = json_get(obj, "jwks");
    out->issuer = json_str(json_get(obj, "issuer"));
    out->jwks_uri = json_str(uri);
    out->jwks = json_str(jwks);
    if (out->issuer.n == 0 && uri == NULL) {
        return mesh_invalid(obj, "a JWT rule needs an issuer, or jwksUri without one");
    }
    if (uri != NULL) {
        TRY(check_jwks_uri(uri));
    }
    if (jwks != NULL) {
        TRY(check_jwks(r, jwks));
    }
    if (uri != NULL && jwks != NULL) {
        r->warning = S("jwks and jwksUri are both set; the inline jwks is used");
        out->jwks_uri = STR_EMPTY;
    }
    return OK;
}

static struct err read_rule(struct mesh_reader *r, const struct json *obj,
                            struct mesh_jwt_rule *out)
{
    static const char *const known[] = {"issuer",
                                        "audiences",
                                        "jwksUri",
                                        "jwks",
                                        "fromHeaders",
                                        "fromParams",
                                        "fromCookies",
                                        "outputPayloadToHeader",
                                        "forwardOriginalToken",
                                        "outputClaimToHeaders",
                                        "timeout",
                                        "spaceDelimitedClaims",
                                        NULL};
    TRY(mesh_check_fields(obj, "a JWT rule", known));
    TRY(read_keys(r, obj, out));
    TRY(mesh_read_strings(r, json_get(obj, "audiences"), "audiences", &out->audiences,
                          &out->n_audiences));
    TRY(read_from_headers(r, json_get(obj, "fromHeaders"), out));
    TRY(mesh_read_strings(r, json_get(obj, "fromParams"), "fromParams", &out->from_params,
                          &out->n_from_params));
    TRY(mesh_read_strings(r, json_get(obj, "fromCookies"), "fromCookies", &out->from_cookies,
                          &out->n_from_cookies));
    TRY(mesh_read_strings(r, json_get(obj, "spaceDelimitedClaims"), "spaceDelimitedClaims",
                          &out->space_delimited, &out->n_space_delimited));
    TRY(read_output_claims(r, json_get(obj, "outputClaimToHeaders"), out));
    struct str payload = json_str(json_get(obj, "outputPayloadToHeader"));
    out->output_payload_to_header = payload.n > 0 ? lower(r->arena, payload) : STR_EMPTY;
    out->forward_original_token = json_true(json_get(obj, "forwardOriginalToken"));
    return read_timeout(json_get(obj, "timeout"), out);
}

struct err mesh_read_request_auth(struct mesh_reader *r, const struct json *doc,
                                  struct mesh_request_auth *out)
{
    static const char *const known[] = {"selector", "targetRef", "targetRefs", "jwtRules", NULL};
    const struct json *spec = json_get(doc, "spec"), *rules = json_get(spec, "jwtRules");
    if (spec != NULL && !json_is(spec, JSON_NULL)) {
        TRY(mesh_check_fields(spec, "spec", known));
    }
    TRY(mesh_read_object(r, doc, &out->object));
    if (json_get(json_path(doc, "metadata.annotations"), "istio.io/dry-run") != NULL) {
        return mesh_invalid(doc, "istio.io/dry-run is for AuthorizationPolicy only");
    }
    size_t n = json_is(rules, JSON_ARRAY) ? rules->n : 0;
    if (n > MESH_JWT_RULES_MAX) {
        return mesh_invalid(rules, "jwtRules takes at most %d", MESH_JWT_RULES_MAX);
    }
    out->rules = arena_array(r->arena, struct mesh_jwt_rule, n);
    for (size_t i = 0; i < n; i++) {
        TRY(read_rule(r, rules->items[i], &out->rules[i]));
        out->rules[i].policy_key =
            arena_printf(r->arena, "ns[%.*s]-policy[%.*s]-rule[%zu]", STR_FMT(out->object.ns),
                         STR_FMT(out->object.name), i);
        out->n_rules++;
    }
    return OK;
}
