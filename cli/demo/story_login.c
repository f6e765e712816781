#include "cli/demo/demo.h"

#include "lib/base/codec.h"
#include "lib/x509/digest.h"

/*
 * Alice logs in: authorization code with PKCE through the pages a browser would see, followed by hand with
 * curl; and the ways in which it must not work.
 */

#define ISSUER "https://10.77.0.1:9443"
#define CLIENT_ID "portal"
#define CALLBACK "http://127.0.0.1:7777/callback"
#define AUDIENCE "https://reports.prod"

static const char alice_password[] = "correct horse battery staple";

enum { FORM_FIELDS_MAX = 16 };

struct form {
    struct str action;
    struct str fields[FORM_FIELDS_MAX]; /* "name=value", percent-encoded */
    size_t n;
};

static char *ca_file(struct demo *d)
{
    return demo_path(d, "alice/ca.crt");
}

/* Value of attribute `name` inside one tag. */
static struct str attribute(struct str tag, const char *name)
{
    char key[32];
    snprintf(key, sizeof(key), " %s=\"", name);
    size_t at = str_find(tag, str_of(key));
    if (at == STR_NPOS) {
        return STR_EMPTY;
    }
    struct str rest = str_sub(tag, at + strlen(key), tag.n);
    return str_split(&rest, '"');
}

static struct str unescape(struct demo *d, struct str s)
{
    struct buf b;
    buf_init(&b, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        static const struct {
            struct str from;
            char to;
        } entities[] = {{STR_INIT("&amp;"), '&'},
                        {STR_INIT("&quot;"), '"'},
                        {STR_INIT("&#39;"), '\''},
                        {STR_INIT("&lt;"), '<'},
                        {STR_INIT("&gt;"), '>'}};
        char c = s.p[i];
        for (size_t k = 0; k < ARRAY_LEN(entities); k++) {
            if (str_starts(str_sub(s, i, s.n), entities[k].from)) {
                c = entities[k].to;
                i += entities[k].from.n - 1;
                break;
            }
        }
        buf_putc(&b, c);
    }
    struct str out = arena_str(&d->arena, buf_str(&b));
    buf_release(&b);
    return out;
}

static void add_field(struct demo *d, struct form *f, struct str name, struct str value)
{
    struct buf b;
    buf_init(&b, 16 * 1024);
    percent_put(&b, name);
    buf_putc(&b, '=');
    percent_put(&b, value);
    if (f->n < FORM_FIELDS_MAX) {
        f->fields[f->n++] = arena_str(&d->arena, buf_str(&b));
    }
    buf_release(&b);
}

/* The first form of a page with its hidden fields: all that a browser without scripts would need. */
static bool read_form(struct demo *d, struct str page, struct form *f)
{
    *f = (struct form){0};
    size_t at = str_find(page, S("<form"));
    if (at == STR_NPOS) {
        return false;
    }
    struct str rest = str_sub(page, at, page.n);
    size_t end = str_find(rest, S("</form>"));
    rest = str_sub(rest, 0, end);
    struct str head = rest;
    f->action = unescape(d, attribute(str_split(&head, '>'), "action"));
    for (size_t in; (in = str_find(rest, S("<input"))) != STR_NPOS;) {
        rest = str_sub(rest, in + 6, rest.n);
        struct str copy = rest, tag = str_split(&copy, '>');
        if (str_is(attribute(tag, "type"), "hidden")) {
            add_field(d, f, attribute(tag, "name"), unescape(d, attribute(tag, "value")));
        }
    }
    return true;
}

static struct err browse(struct demo *d, struct str url, const struct form *post,
                         struct answer *out)
{
    char *jar = demo_path(d, "alice/cookies");
    char *where = str_starts(url, S("/"))
                      ? arena_cstr(&d->arena, arena_printf(&d->arena, ISSUER "%.*s", STR_FMT(url)))
                      : arena_cstr(&d->arena, url);
    const char *args[2 * FORM_FIELDS_MAX + 16];
    size_t n = 0;
    args[n++] = "--cacert", args[n++] = ca_file(d);
    args[n++] = "--cookie", args[n++] = jar;
    args[n++] = "--cookie-jar", args[n++] = jar;
    for (size_t i = 0; post != NULL && i < post->n; i++) {
        args[n++] = "--data", args[n++] = arena_cstr(&d->arena, post->fields[i]);
    }
    if (post != NULL) {
        args[n++] = "--header", args[n++] = "Origin: " ISSUER;
    }
    args[n++] = where;
    args[n] = NULL;
    return client_curl(d, &actor_alice, args, out);
}

static struct str challenge_of(struct demo *d, struct str verifier)
{
    uint8_t hash[DIGEST_MAX];
    size_t n = digest(DIGEST_SHA256, verifier, hash);
    return base64_encode(&d->arena, str_n(hash, n), BASE64_URL);
}

static struct str authorize_url(struct demo *d, const char *redirect_uri)
{
    struct buf b;
    buf_init(&b, 4096);
    d->code_verifier = random_id(&d->arena, 64, ALPHABET_BASE62);
    buf_puts(&b, S("/authorize?response_type=code&client_id=" CLIENT_ID
                   "&scope=openid%20profile&redirect_uri="));
    percent_put(&b, str_of(redirect_uri));
    buf_puts(&b, S("&resource="));
    percent_put(&b, S(AUDIENCE));
    buf_puts(&b, S("&state=xyz&nonce=n-0S6&code_challenge_method=S256&code_challenge="));
    buf_puts(&b, challenge_of(d, d->code_verifier));
    struct str url = arena_str(&d->arena, buf_str(&b));
    buf_release(&b);
    return url;
}

/* Value of `name` in a redirect's query; empty when it is not there. */
static struct str query_value(struct str url, const char *name)
{
    size_t at = str_find_char(url, '?');
    struct str rest = at != STR_NPOS ? str_sub(url, at + 1, url.n) : STR_EMPTY;
    while (rest.p != NULL) {
        struct str pair = str_split(&rest, '&'), key = str_split(&pair, '=');
        if (str_is(key, name)) {
            return pair;
        }
    }
    return STR_EMPTY;
}

/*
 * From the authorization request to the code: follows pages and redirects, filling in `password` where a
 * password is asked for and agreeing where consent is. Ends at the client's callback, or at a page it
 * does not know: then d->code stays empty and `last` is that page.
 */
static struct err walk_to_code(struct demo *d, const char *password, struct answer *last)
{
    struct str url = authorize_url(d, CALLBACK);
    struct form form = {0};
    bool post = false, password_given = false;
    d->code = STR_EMPTY;
    for (int hop = 0; hop < 8; hop++) {
        TRY(browse(d, url, post ? &form : NULL, last));
        post = false;
        if (str_starts(last->redirect, S(CALLBACK))) {
            d->code = query_value(last->redirect, "code");
            return OK;
        }
        if (last->redirect.n > 0) {
            url = last->redirect;
            continue;
        }
        if (!read_form(d, last->body, &form)) {
            return OK;
        }
        bool asks_password = str_find(last->body, S("type=\"password\"")) != STR_NPOS;
        if (asks_password && password_given) {
            return OK; /* asked again: the password was wrong */
        }
        if (asks_password) {
            add_field(d, &form, S("username"), S("alice"));
            add_field(d, &form, S("password"), str_of(password));
            password_given = true;
        } else {
            add_field(d, &form, S("decision"), S("allow"));
        }
        url = form.action.n > 0 ? form.action : url;
        post = true;
    }
    FAIL(ERR_LIMIT, "no end of redirects at the login");
}

static struct err exchange(struct demo *d, struct str code, struct str verifier, struct answer *out)
{
    const char *args[] = {
        "--cacert",
        ca_file(d),
        "--data",
        "grant_type=authorization_code",
        "--data",
        "client_id=" CLIENT_ID,
        "--data",
        "redirect_uri=" CALLBACK,
        "--data",
        arena_cstr(&d->arena, arena_printf(&d->arena, "code=%.*s", STR_FMT(code))),
        "--data",
        arena_cstr(&d->arena, arena_printf(&d->arena, "code_verifier=%.*s", STR_FMT(verifier))),
        ISSUER "/token",
        NULL};
    return client_curl(d, &actor_alice, args, out);
}

static struct err take_tokens(struct demo *d, const struct answer *a)
{
    struct json *v;
    TRY(json_parse(&d->arena, a->body, NULL, &v));
    d->access_token = json_str(json_get(v, "access_token"));
    d->id_token = json_str(json_get(v, "id_token"));
    d->refresh_token = json_str(json_get(v, "refresh_token"));
    ENSURE(d->access_token.n > 0, ERR_INVALID, "no access_token in %.*s", STR_FMT(a->body));
    return OK;
}

/* ---- steps ---- */

static struct err discover(struct demo *d, struct result *r)
{
    struct answer a;
    const char *args[] = {"--cacert", ca_file(d), ISSUER "/.well-known/openid-configuration", NULL};
    TRY(client_curl(d, &actor_alice, args, &a));
    *r = answer_result(d, &a);
    struct json *doc;
    TRY(json_parse(&d->arena, a.body, NULL, &doc));
    ENSURE(str_is(json_str(json_get(doc, "issuer")), ISSUER), ERR_INVALID, "issuer is %.*s",
           STR_FMT(json_str(json_get(doc, "issuer"))));
    r->got = S("200 discovery document of " ISSUER);
    return OK;
}

static struct err redirect_uri(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(browse(d, authorize_url(d, "https://evil.example/callback"), NULL, &a));
    *r = answer_result(d, &a);
    return OK;
}

static struct err wrong_password(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(walk_to_code(d, "password123", &a));
    *r = answer_result(d, &a);
    if (d->code.n == 0 && a.status < 500) {
        r->outcome = OUTCOME_DENIED;
        r->got = arena_printf(&d->arena, "%d the login page again, no code", a.status);
    }
    return OK;
}

static struct err wrong_verifier(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(walk_to_code(d, alice_password, &a));
    ENSURE(d->code.n > 0, ERR_INVALID, "no code: %.*s", STR_FMT(answer_text(d, &a)));
    TRY(exchange(d, d->code, random_id(&d->arena, 64, ALPHABET_BASE62), &a));
    *r = answer_result(d, &a);
    return OK;
}

static struct err code_reuse(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(walk_to_code(d, alice_password, &a));
    TRY(exchange(d, d->code, d->code_verifier, &a));
    ENSURE(a.status == 200, ERR_INVALID, "first use: %.*s", STR_FMT(answer_text(d, &a)));
    TRY(exchange(d, d->code, d->code_verifier, &a));
    *r = answer_result(d, &a);
    return OK;
}

static struct err log_in(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(walk_to_code(d, alice_password, &a));
    ENSURE(d->code.n > 0, ERR_INVALID, "no code: %.*s", STR_FMT(answer_text(d, &a)));
    TRY(exchange(d, d->code, d->code_verifier, &a));
    *r = answer_result(d, &a);
    if (a.status == 200) {
        TRY(take_tokens(d, &a));
        r->got = S("200 access token (ES256), ID token (RS256), refresh token");
    }
    return OK;
}

/* Reads the claims without verifying: the point is what is not in there. */
static struct err identity_only(struct demo *d, struct result *r)
{
    struct str rest = d->access_token, claims;
    str_split(&rest, '.');
    TRY(base64_decode(&d->arena, str_split(&rest, '.'), BASE64_URL, &claims));
    struct json *v;
    TRY(json_parse(&d->arena, claims, NULL, &v));
    static const char *const rights[] = {"roles", "role", "permissions", "groups", "entitlements"};
    for (size_t i = 0; i < ARRAY_LEN(rights); i++) {
        ENSURE(json_get(v, rights[i]) == NULL, ERR_INVALID, "the token carries '%s'", rights[i]);
    }
    r->outcome = OUTCOME_ALLOWED;
    r->got =
        arena_printf(&d->arena, "sub, iss, aud, exp and no rights in %zu bytes", d->access_token.n);
    return OK;
}

const struct step login_steps[] = {
    {"discovery", "authentication", "Alice's browser finds the OpenID provider", EXPECT_ALLOW,
     discover},
    {"deny-redirect-uri", "authentication", "a redirect to an unregistered address is refused",
     EXPECT_DENY, redirect_uri},
    {"deny-wrong-password", "authentication", "a wrong password gives no code", EXPECT_DENY,
     wrong_password},
    {"deny-pkce", "authentication", "a stolen code without the PKCE verifier is worthless",
     EXPECT_DENY, wrong_verifier},
    {"deny-code-reuse", "authentication", "a code works once", EXPECT_DENY, code_reuse},
    {"login", "authentication", "Alice logs in with code and PKCE", EXPECT_ALLOW, log_in},
    {"identity-only", "authentication", "her token says who she is, not what she may do",
     EXPECT_ALLOW, identity_only},
};
const size_t n_login_steps = ARRAY_LEN(login_steps);
