/*
 * Permissions in tokens: sample tokens that carry them, and code or configuration that puts them in.
 *
 * A scope of OpenID Connect (openid, profile, ...) is about identity and is no permission.
 */
#include "assess.h"

#include "lib/base/codec.h"

#include <stdlib.h>

enum {
    TOKENS_PER_FILE = 50,
    TOKEN_BYTES_MAX = 16384,
    MANY = 20,
    LONG_TTL_S = 3600,
    BIG_TOKEN = 4096
};

static bool is_permission_claim(struct str key)
{
    static const char *const names[] = {"permissions",    "perms",
                                        "roles",          "role",
                                        "groups",         "authorities",
                                        "entitlements",   "privileges",
                                        "cognito:groups", "https://hasura.io/jwt/claims"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(key, names[i])) {
            return true;
        }
    }
    return str_starts(key, S("http")) &&
           (str_ends(key, S("/roles")) || str_ends(key, S("/permissions")) ||
            str_ends(key, S("/groups")) || str_ends(key, S("/claims/role")));
}

static bool is_identity_scope(struct str word)
{
    static const char *const names[] = {"openid",  "profile", "email",
                                        "address", "phone",   "offline_access"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(word, names[i])) {
            return true;
        }
    }
    return word.n == 0;
}

static size_t count_value(const struct json *v)
{
    if (json_is(v, JSON_ARRAY)) {
        return v->n;
    }
    return json_is(v, JSON_STRING) && v->text.n > 0 ? 1 : json_is(v, JSON_OBJECT) ? v->n : 0;
}

static size_t count_scopes(const struct json *v)
{
    size_t n = 0;
    for (struct str rest = json_str(v); rest.p != NULL;) {
        n += !is_identity_scope(str_split(&rest, ' '));
    }
    for (uint32_t i = 0; json_is(v, JSON_ARRAY) && i < v->n; i++) {
        n += !is_identity_scope(json_str(v->items[i]));
    }
    return n;
}

/* realm_access.roles, and resource_access.CLIENT.roles */
static size_t count_keycloak(const struct json *claims)
{
    const struct json *resources = json_get(claims, "resource_access");
    size_t n = count_value(json_path(claims, "realm_access.roles"));
    for (uint32_t i = 0; json_is(resources, JSON_OBJECT) && i < resources->n; i++) {
        n += count_value(json_get(resources->members[i].value, "roles"));
    }
    return n;
}

/* How many permissions the claims list; `*where` names the first claim that does. */
static size_t count_permissions(const struct json *claims, struct str *where)
{
    size_t n = count_keycloak(claims);
    *where = n > 0 ? S("realm_access.roles") : STR_EMPTY;
    for (uint32_t i = 0; json_is(claims, JSON_OBJECT) && i < claims->n; i++) {
        struct str key = claims->members[i].key;
        bool scope = str_is(key, "scope") || str_is(key, "scp");
        size_t these = scope                      ? count_scopes(claims->members[i].value)
                       : is_permission_claim(key) ? count_value(claims->members[i].value)
                                                  : 0;
        *where = these > 0 && where->n == 0 ? key : *where;
        n += these;
    }
    return n;
}

static void report(struct assess *a, const struct origin *o, unsigned line, struct str value,
                   const char *rule, struct str text)
{
    struct finding f = {.kind = ANTI_JWT_PERMISSIONS,
                        .rule = str_of(rule),
                        .path = o->path,
                        .line = line,
                        .text = text,
                        .in_tree = true};
    assess_fingerprint(a, value, f.fingerprint);
    assess_find(a, &f);
}

static void judge_claims(struct assess *a, const struct origin *o, unsigned line,
                         const struct json *claims, size_t token_bytes, struct str value)
{
    struct str where;
    size_t n = count_permissions(claims, &where);
    int64_t iat = 0, exp = 0;
    if (n == 0) {
        return;
    }
    bool dated = !failed(json_i64(json_get(claims, "iat"), &iat)) &&
                 !failed(json_i64(json_get(claims, "exp"), &exp));
    report(a, o, line, value, token_bytes > 0 ? "jwt-sample" : "claims-sample",
           arena_printf(&a->arena, "a token carries %zu permission%s (claim %.*s)%s%s%s", n,
                        n == 1 ? "" : "s", STR_FMT(where), n > MANY ? ", more than 20 of them" : "",
                        dated && exp - iat > LONG_TTL_S ? ", for longer than an hour" : "",
                        token_bytes > BIG_TOKEN ? ", and is bigger than 4 KiB" : ""));
}

static bool is_base64url(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* HEADER.PAYLOAD.SIGNATURE from `at`; 0 when it is none, else its length. */
static size_t token_at(struct str text, size_t at, struct str *payload)
{
    size_t i = at, dots = 0, start = 0;
    while (i < text.n && i - at < TOKEN_BYTES_MAX &&
           (is_base64url(text.p[i]) || (text.p[i] == '.' && dots < 2))) {
        if (text.p[i] == '.') {
            *payload = dots == 1 ? str_sub(text, start, i) : *payload;
            dots++;
            start = i + 1;
        }
        i++;
    }
    return dots == 2 ? i - at : 0;
}

static void scan_samples(struct assess *a, const struct origin *o, struct str text)
{
    size_t found = 0;
    for (size_t at = 0; at + 20 < text.n && found < TOKENS_PER_FILE; at++) {
        const char *p = memmem(text.p + at, text.n - at, "eyJ", 3);
        struct str payload = STR_EMPTY, raw;
        struct json *claims;
        if (p == NULL) {
            return;
        }
        at = (size_t)(p - text.p);
        size_t n = at > 0 && is_base64url(text.p[at - 1]) ? 0 : token_at(text, at, &payload);
        if (n == 0 || failed(base64_decode(&a->arena, payload, BASE64_URL, &raw)) ||
            failed(json_parse(&a->arena, raw, NULL, &claims))) {
            continue;
        }
        found++;
        judge_claims(a, o, line_of(text, at), claims, n, str_sub(text, at, at + n));
        at += n;
    }
}

/* A JSON file that shows decoded claims: it has an issuer, a subject and a lifetime. */
static void scan_decoded(struct assess *a, const struct origin *o, struct str text)
{
    struct json *v;
    if (!str_ends(o->path, S(".json")) || failed(json_parse(&a->arena, text, NULL, &v))) {
        return;
    }
    const struct json *payload = json_get(v, "payload") != NULL ? json_get(v, "payload") : v;
    if (json_get(payload, "iss") != NULL && json_get(payload, "sub") != NULL &&
        json_get(payload, "exp") != NULL) {
        judge_claims(a, o, payload->line, payload, 0, text);
    }
}

/* Words that together say "this line puts permissions into a token". */
struct mapping {
    const char *first, *second; /* both in one line, lower case */
    const char *rule, *text;
};

static const struct mapping mappings[] = {
    {"jwt.sign(", "permissions", "token-code", "code signs permissions into a token"},
    {"jwt.sign(", "roles", "token-code", "code signs roles into a token"},
    {"jwt.encode(", "permissions", "token-code", "code signs permissions into a token"},
    {"jwt.encode(", "roles", "token-code", "code signs roles into a token"},
    {".claim(\"permissions\"", "", "token-code", "code puts a permissions claim into a token"},
    {".claim(\"roles\"", "", "token-code", "code puts a roles claim into a token"},
    {".claim(\"authorities\"", "", "token-code", "code puts an authorities claim into a token"},
    {".withclaim(\"permissions\"", "", "token-code", "code puts a permissions claim into a token"},
    {".witharrayclaim(\"roles\"", "", "token-code", "code puts a roles claim into a token"},
    {"setcustomclaim", "permissions", "token-code", "code puts permissions into a token"},
    {"setcustomclaim", "roles", "token-code", "code puts roles into a token"},
    {"oidc-usermodel-realm-role-mapper", "", "claim-mapping",
     "Keycloak maps realm roles into tokens"},
    {"oidc-usermodel-client-role-mapper", "", "claim-mapping",
     "Keycloak maps client roles into tokens"},
    {"oidc-group-membership-mapper", "", "claim-mapping", "Keycloak maps groups into tokens"},
    {"\"claim.name\"", "permissions", "claim-mapping",
     "a claim mapping puts permissions into tokens"},
    {"\"claim.name\"", "roles", "claim-mapping", "a claim mapping puts roles into tokens"},
    {"rbac_permissions_in_token", "", "claim-mapping",
     "Auth0 puts RBAC permissions into access tokens"},
    {"access_token_authz", "", "claim-mapping", "Auth0 puts RBAC permissions into access tokens"},
    {"groupmembershipclaims", "all", "claim-mapping", "Entra ID puts all groups into tokens"},
    {"token.payload.permissions", "", "policy-on-token",
     "a policy decides by permissions of the token"},
    {"claims.permissions", "", "policy-on-token",
     "a decision is taken by permissions of the token"},
    {"payload.permissions", "", "policy-on-token",
     "a decision is taken by permissions of the token"},
    {"request.auth.claims[permissions]", "", "policy-on-token",
     "a mesh policy decides by permissions of the token"},
    {"request.auth.claims[roles]", "", "policy-on-token",
     "a mesh policy decides by roles of the token"},
};

static bool holds(struct str text, const char *word)
{
    struct str w = str_of(word);
    return w.n == 0 || (text.n > 0 && memmem(text.p, text.n, w.p, w.n) != NULL);
}

/* Prose about the anti-pattern is not the anti-pattern, nor are languages in which nobody mints tokens so. */
static bool mints_no_tokens(struct str path)
{
    static const char *const ends[] = {".md", ".rst", ".txt", ".adoc", ".html",
                                       ".c",  ".h",   ".svg", ".1",    ".dict"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (str_ends(path, str_of(ends[i]))) {
            return true;
        }
    }
    return false;
}

static void scan_mapping(struct assess *a, const struct origin *o, struct str lower,
                         const struct mapping *m)
{
    unsigned number = 0;
    for (struct str rest = lower; rest.p != NULL;) {
        struct str line = str_split(&rest, '\n');
        number++;
        if (line.n < 2000 && holds(line, m->first) && holds(line, m->second)) {
            report(a, o, number, line, m->rule, str_of(m->text));
        }
    }
}

static void scan_mappings(struct assess *a, const struct origin *o, struct str text)
{
    char *lower = assess_lower(text);
    for (size_t i = 0; i < ARRAY_LEN(mappings); i++) {
        if (holds(str_n(lower, text.n), mappings[i].first)) {
            scan_mapping(a, o, str_n(lower, text.n), &mappings[i]);
        }
    }
    free(lower);
}

void scan_tokens(struct assess *a, const struct origin *o, struct str text)
{
    scan_samples(a, o, text);
    scan_decoded(a, o, text);
    if (!mints_no_tokens(o->path)) {
        scan_mappings(a, o, text);
    }
}
