/* Tests of the stateless rules: PKCE, redirect URIs, scopes, identity claims, parameters, requests. */
#include "authorize.h"
#include "params.h"

#include "lib/base/buf.h"
#include "lib/json/json.h"
#include "test/unit.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 4 << 20);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static void test_pkce(void **state)
{
    /* RFC 7636 appendix B */
    struct str verifier = S("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
               challenge = S("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    assert_true(pkce_challenge_ok(challenge));
    assert_true(pkce_verify(verifier, challenge));
    assert_false(pkce_verify(challenge, challenge));
    assert_false(pkce_verify(str_sub(verifier, 0, 42), challenge));
    assert_false(pkce_verify(STR_EMPTY, challenge));
    assert_false(pkce_verify(verifier, STR_EMPTY));
    assert_false(pkce_challenge_ok(S("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c=")));
    assert_false(
        pkce_challenge_ok(S("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cN"))); /* spare bits */
    assert_false(pkce_challenge_ok(S("short")));
    struct str odd = S("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjX!");
    assert_false(pkce_verify(odd, challenge));
}

/* The pairs of the outside vectors, when they are there. */
static void test_pkce_vectors(void **state)
{
    const char *dir = getenv("SEXTANT_CONFORMANCE");
    char path[1024];
    snprintf(path, sizeof(path), "%s/oauth-vectors.json",
             dir != NULL ? dir : "../shared/conformance");
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        printf("skipped: oauth-vectors.json is not there\n");
        skip();
    }
    static char text[1 << 16];
    size_t n = fread(text, 1, sizeof(text), f);
    struct json *doc;
    fclose(f);
    assert_ok(json_parse(&arena, str_n(text, n), NULL, &doc));
    const struct json *pkce = json_get(doc, "pkce_rfc7636");
    assert_non_null(pkce);
    struct str verifier = json_str(json_get(pkce, "code_verifier")),
               challenge = json_str(json_get(pkce, "code_challenge_S256"));
    assert_true(pkce_verify(verifier, challenge));
}

static void test_redirect_registration(void **state)
{
    static const char *const good[] = {"https://app.example/cb",   "https://app.example:8443/a?b=c",
                                       "http://127.0.0.1/cb",      "http://[::1]:7000/cb",
                                       "http://localhost:3000/cb", "com.example.app:/oauth",
                                       "https://app.example"};
    static const char *const bad[] = {"",
                                      "/relative",
                                      "https://",
                                      "https://app.example/cb#f",
                                      "http://app.example/cb",
                                      "https://user@app.example/cb",
                                      "http://127.0.0.1@evil.test/",
                                      "javascript:alert(1)",
                                      "data:text/html,x",
                                      "myapp:/cb",
                                      "https://app.example/a b",
                                      "https://app.example/\\evil",
                                      "https://app.example/\"x",
                                      "http://localhost.evil.test/",
                                      "http://localhost:1@evil.test/",
                                      "HTTPS://app.example/cb",
                                      "https:app.example/cb",
                                      "https://app.example:99999999/cb"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_ok(redirect_uri_check(str_of(good[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (!failed(redirect_uri_check(str_of(bad[i])))) {
            fail_msg("'%s' was accepted", bad[i]);
        }
    }
}

static void test_redirect_match(void **state)
{
    struct str web = S("https://app.example/cb"), native = S("http://127.0.0.1/cb"),
               six = S("http://[::1]:7/cb");
    assert_true(redirect_uri_match(web, web));
    static const char *const others[] = {"https://app.example/cb/evil",
                                         "https://app.example.evil.test/cb",
                                         "https://evil.test/?https://app.example/cb",
                                         "https://app.example/cb/../evil",
                                         "https://app.example/%63b",
                                         "https://app.example/cb?x=1",
                                         "https://app.example:443/cb",
                                         "http://app.example/cb",
                                         "https://appxexample/cb",
                                         "https://app.example/cb/",
                                         "https://app.example/CB",
                                         "https://APP.example/cb"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        assert_false(redirect_uri_match(web, str_of(others[i])));
    }
    assert_true(redirect_uri_match(native, S("http://127.0.0.1:49152/cb")));
    assert_true(redirect_uri_match(six, S("http://[::1]:8/cb")));
    assert_false(redirect_uri_match(native, S("http://127.0.0.1:49152/cb2")));
    assert_false(redirect_uri_match(native, S("http://127.0.0.1:49152@evil.test/cb")));
    assert_false(redirect_uri_match(native, S("https://127.0.0.1:49152/cb")));
    assert_false(redirect_uri_match(native, S("http://127.0.0.2:49152/cb")));
    assert_false(redirect_uri_match(S("http://localhost/cb"), S("http://localhost:5/cb")));
    assert_str(redirect_uri_origin(S("https://app.example:1/cb?x")), "https://app.example:1");
    assert_str(redirect_uri_origin(S("com.example.app:/cb")), "com.example.app:");
}

static void test_scopes(void **state)
{
    unsigned s;
    assert_ok(scope_parse(S("openid offline_access"), &s));
    assert_int_equal(s, SCOPE_OPENID | SCOPE_OFFLINE);
    assert_str(scope_text(&arena, s), "openid offline_access");
    assert_ok(scope_parse(S(""), &s));
    assert_int_equal(s, 0);
    assert_err(scope_parse(S("openid  profile"), &s), ERR_INVALID);
    assert_err(scope_parse(S("openid\tprofile"), &s), ERR_INVALID);
    assert_err(scope_parse(S("OpenID"), &s), ERR_INVALID);
    assert_err(scope_parse(S("orders:write"), &s), ERR_INVALID);
    assert_err(scope_parse(S("open"), &s), ERR_INVALID);
}

static void test_identity_claims(void **state)
{
    static const char *const identity[] = {
        "team",        "department", "name",   "https://example.org/employee_number",
        "cost_center", "given_name", "locale", "manager_name",
        "canton",      "mayor"};
    static const char *const rights[] = {"roles",
                                         "role",
                                         "permissions",
                                         "groups",
                                         "entitlements",
                                         "scp",
                                         "authorities",
                                         "realm_access",
                                         "resource_access",
                                         "userRoles",
                                         "user-roles",
                                         "isAdmin",
                                         "is_admin",
                                         "admin",
                                         "https://example.org/roles",
                                         "app:permission",
                                         "can_delete",
                                         "canDelete",
                                         "allowedActions",
                                         "wids",
                                         "memberOf",
                                         "ACCESS",
                                         "privileges",
                                         "superuser",
                                         "acl"};
    for (size_t i = 0; i < ARRAY_LEN(identity); i++) {
        assert_ok(identity_claim_check(str_of(identity[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        if (identity_claim_check(str_of(rights[i])).code != ERR_DENIED) {
            fail_msg("'%s' was accepted as identity", rights[i]);
        }
    }
    assert_true(claim_is_reserved(S("sub")));
    assert_false(claim_is_reserved(S("team")));
}

static struct params form(const char *text)
{
    struct params p = {0};
    assert_ok(params_add(&p, &arena, str_of(text)));
    return p;
}

static void test_params(void **state)
{
    struct params p = form("a=1&b=x%20y+z&&c=&resource=r1&resource=r2&d");
    assert_str(params_get(&p, "b"), "x y z");
    assert_int_equal(params_get(&p, "c").n, 0);
    assert_str(params_nth(&p, "resource", 1), "r2");
    assert_int_equal(params_nth(&p, "resource", 2).n, 0);
    assert_err(params_add(&p, &arena, S("a=2")), ERR_INVALID);
    assert_err(params_add(&p, &arena, S("e=%zz")), ERR_SYNTAX);
    assert_err(params_add(&p, &arena, S("f=%ff")), ERR_SYNTAX);
    assert_err(params_add(&p, &arena, S("g=a%00b")), ERR_SYNTAX);
    struct buf many;
    buf_init(&many, 1 << 16);
    for (int i = 0; i < 100; i++) {
        buf_printf(&many, "p%d=1&", i);
    }
    struct params q = {0};
    assert_err(params_add(&q, &arena, buf_str(&many)), ERR_LIMIT);
    buf_release(&many);
    p = form("password=secret");
    assert_str(params_take(&p, "password"), "secret");
    assert_int_equal(params_get(&p, "password").n, 0);
}

#define CHALLENGE                                                                                  \
    "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
#define GOOD "client_id=portal&redirect_uri=https://app.example/cb&response_type=code&scope=openid"

static void test_auth_request(void **state)
{
    static const struct {
        const char *query, *code;
        bool by_redirect;
    } cases[] = {
        {GOOD CHALLENGE, NULL, true},
        {GOOD CHALLENGE "&prompt=none&max_age=10&response_mode=form_post&foo=bar", NULL, true},
        {"redirect_uri=https://app.example/cb", "invalid_request", false},
        {"client_id=other&redirect_uri=https://app.example/cb", "invalid_request", false},
        {"client_id=portal&redirect_uri=https://evil.test/", "invalid_request", false},
        {"client_id=portal", "invalid_request", false},
        {GOOD, "invalid_request", true},
        {GOOD "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "invalid_request",
         true},
        {GOOD
         "&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=plain",
         "invalid_request", true},
        {"client_id=portal&redirect_uri=https://app.example/cb&response_type=token" CHALLENGE,
         "unsupported_response_type", true},
        {"client_id=portal&redirect_uri=https://app.example/"
         "cb&response_type=code+id_token" CHALLENGE,
         "unsupported_response_type", true},
        {"client_id=portal&redirect_uri=https://app.example/cb" CHALLENGE, "invalid_request", true},
        {"client_id=portal&redirect_uri=https://app.example/"
         "cb&response_type=code&scope=openid+address" CHALLENGE,
         "invalid_scope", true},
        {"client_id=portal&redirect_uri=https://app.example/"
         "cb&response_type=code&scope=admin" CHALLENGE,
         "invalid_scope", true},
        {GOOD CHALLENGE "&prompt=none+login", "invalid_request", true},
        {GOOD CHALLENGE "&prompt=dance", "invalid_request", true},
        {GOOD CHALLENGE "&max_age=-1", "invalid_request", true},
        {GOOD CHALLENGE "&response_mode=fragment", "invalid_request", true},
        {GOOD CHALLENGE "&request=a.b.c", "request_not_supported", true},
        {GOOD CHALLENGE "&request_uri=https://x", "request_uri_not_supported", true},
        {GOOD CHALLENGE "&resource=https://other", "invalid_target", true},
        {GOOD CHALLENGE "&resource=https://api.example", NULL, true},
        {GOOD CHALLENGE "&resource=https://api.example&resource=https://api.example",
         "invalid_target", true},
    };
    struct clients table = {0};
    struct client *c;
    map_init(&table.by_id);
    map_init(&table.by_spiffe_id);
    assert_ok(client_parse(S("{\"client_id\":\"portal\",\"redirect_uris\":[\"https://app.example/"
                             "cb\"],\"audiences\":[\"https://api.example\"],"
                             "\"token_endpoint_auth_method\":\"none\"}"),
                           &c));
    clients_publish(&table, c);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct params p = form(cases[i].query);
        struct auth_request r;
        struct auth_problem problem;
        auth_request_read(&arena, &table, S("https://op.example"), &p, &r, &problem);
        bool same = cases[i].code == NULL
                        ? problem.code == NULL
                        : problem.code != NULL && strcmp(problem.code, cases[i].code) == 0;
        if (!same || problem.by_redirect != cases[i].by_redirect) {
            fail_msg("%s gave %s", cases[i].query,
                     problem.code != NULL ? problem.code : "no problem");
        }
    }
    clients_release(&table);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_pkce),           T(test_pkce_vectors), T(test_redirect_registration),
        T(test_redirect_match), T(test_scopes),       T(test_identity_claims),
        T(test_params),         T(test_auth_request)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
