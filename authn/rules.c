#include "rules.h"

#include "lib/base/codec.h"
#include "lib/base/secret.h"

#include <sodium.h>

void sha256(struct str bytes, uint8_t out[SHA256_BYTES])
{
    crypto_hash_sha256(out, (const unsigned char *)(bytes.p != NULL ? bytes.p : ""), bytes.n);
}

struct str one_time_value(struct arena *a)
{
    char bytes[ONE_TIME_BYTES];
    random_bytes(bytes, sizeof(bytes));
    struct str text = base64_encode(a, str_n(bytes, sizeof(bytes)), BASE64_URL);
    wipe(bytes, sizeof(bytes));
    return text;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- PKCE (RFC 7636) ---- */

bool pkce_challenge_ok(struct str challenge)
{
    unsigned char digest[SHA256_BYTES];
    size_t n;
    return challenge.n == ONE_TIME_TEXT &&
           !failed(base64_decode_into(challenge, BASE64_URL, digest, sizeof(digest), &n)) &&
           n == sizeof(digest);
}

bool pkce_verify(struct str verifier, struct str challenge)
{
    if (verifier.n < 43 || verifier.n > 128) {
        return false;
    }
    for (size_t i = 0; i < verifier.n; i++) {
        char c = verifier.p[i];
        if (!is_letter(c) && !is_digit(c) && strchr("-._~", c) == NULL) {
            return false;
        }
    }
    uint8_t digest[SHA256_BYTES], wanted[SHA256_BYTES];
    size_t n;
    if (failed(base64_decode_into(challenge, BASE64_URL, wanted, sizeof(wanted), &n)) ||
        n != sizeof(wanted)) {
        return false;
    }
    sha256(verifier, digest);
    return str_eq_secret(str_n(digest, sizeof(digest)), str_n(wanted, sizeof(wanted)));
}

/* ---- redirect URIs (RFC 9700 section 4.1, RFC 8252 section 7) ---- */

struct uri {
    struct str scheme, authority, host, port, rest; /* rest: path and query */
    bool hierarchical;                              /* has "//" */
};

static bool split_host(struct str authority, struct str *host, struct str *port)
{
    size_t end;
    if (str_starts(authority, S("["))) {
        end = str_find_char(authority, ']');
        if (end == STR_NPOS) {
            return false;
        }
        end++;
    } else {
        end = str_find_char(authority, ':');
        end = end == STR_NPOS ? authority.n : end;
    }
    *host = str_sub(authority, 0, end);
    *port = str_sub(authority, end, authority.n);
    if (port->n == 0) {
        return true;
    }
    *port = str_sub(*port, 1, port->n);
    for (size_t i = 0; i < port->n; i++) {
        if (!is_digit(port->p[i])) {
            return false;
        }
    }
    return authority.p[end] == ':' && port->n >= 1 && port->n <= 5;
}

static bool split_uri(struct str text, struct uri *u)
{
    *u = (struct uri){0};
    size_t colon = str_find_char(text, ':');
    if (colon == STR_NPOS || colon == 0 || !is_letter(text.p[0])) {
        return false;
    }
    u->scheme = str_sub(text, 0, colon);
    for (size_t i = 0; i < colon; i++) {
        char c = text.p[i];
        bool lower = c >= 'a' && c <= 'z';
        if (!lower && !is_digit(c) && c != '+' && c != '-' && c != '.') {
            return false;
        }
    }
    struct str rest = str_sub(text, colon + 1, text.n);
    u->hierarchical = str_starts(rest, S("//"));
    if (!u->hierarchical) {
        u->rest = rest;
        return true;
    }
    rest = str_sub(rest, 2, rest.n);
    size_t end = 0;
    while (end < rest.n && rest.p[end] != '/' && rest.p[end] != '?') {
        end++;
    }
    u->authority = str_sub(rest, 0, end);
    u->rest = str_sub(rest, end, rest.n);
    return split_host(u->authority, &u->host, &u->port);
}

static bool is_loopback_address(struct str host)
{
    return str_is(host, "127.0.0.1") || str_is(host, "[::1]");
}

static bool host_ok(struct str host)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        if (!is_letter(c) && !is_digit(c) && strchr("-._[]:", c) == NULL) {
            return false;
        }
    }
    return host.n > 0 && host.n <= 255;
}

struct err redirect_uri_check(struct str uri)
{
    struct uri u;
    ENSURE(uri.n > 0 && uri.n <= 2048, ERR_INVALID,
           "a redirect URI must have 1 to 2048 characters");
    for (size_t i = 0; i < uri.n; i++) {
        ENSURE(uri.p[i] > 0x20 && uri.p[i] < 0x7f && strchr("\\\"<>^`{|}", uri.p[i]) == NULL,
               ERR_INVALID,
               "the redirect URI holds a blank or another character that must be percent-encoded");
    }
    ENSURE(str_find_char(uri, '#') == STR_NPOS, ERR_INVALID,
           "a redirect URI must not have a fragment");
    ENSURE(split_uri(uri, &u), ERR_INVALID,
           "'%.*s' is not an absolute URI such as https://app.example/callback", STR_FMT(uri));
    ENSURE(str_find_char(u.authority, '@') == STR_NPOS, ERR_INVALID,
           "a redirect URI must not have user information before its host");
    if (str_is(u.scheme, "https") || str_is(u.scheme, "http")) {
        ENSURE(u.hierarchical && host_ok(u.host), ERR_INVALID, "the redirect URI has no host");
        bool loopback = is_loopback_address(u.host) || str_is(u.host, "localhost");
        ENSURE(str_is(u.scheme, "https") || loopback, ERR_INVALID,
               "http is for 127.0.0.1, [::1] and localhost only; use https");
        return OK;
    }
    ENSURE(str_find_char(u.scheme, '.') != STR_NPOS, ERR_INVALID,
           "the private-use scheme '%.*s' has no dot; name it after a domain, as com.example.app",
           STR_FMT(u.scheme));
    return OK;
}

bool redirect_uri_match(struct str registered, struct str asked)
{
    if (str_eq(registered, asked)) {
        return true;
    }
    struct uri r, a;
    if (!split_uri(registered, &r) || !split_uri(asked, &a) || failed(redirect_uri_check(asked))) {
        return false;
    }
    return str_is(r.scheme, "http") && str_is(a.scheme, "http") && is_loopback_address(r.host) &&
           str_eq(r.host, a.host) && str_eq(r.rest, a.rest);
}

struct str redirect_uri_origin(struct str uri)
{
    struct uri u;
    BUG_ON(!split_uri(uri, &u));
    if (!u.hierarchical || (!str_is(u.scheme, "https") && !str_is(u.scheme, "http"))) {
        return str_sub(uri, 0, u.scheme.n + 1);
    }
    return str_sub(uri, 0, u.scheme.n + 3 + u.authority.n);
}

/* ---- scopes ---- */

static const struct str scope_names[SCOPE_COUNT] = {STR_INIT("openid"), STR_INIT("profile"),
                                                    STR_INIT("email"),  STR_INIT("address"),
                                                    STR_INIT("phone"),  STR_INIT("offline_access")};

struct err scope_parse(struct str text, unsigned *out)
{
    unsigned scopes = 0;
    for (struct str rest = text; rest.p != NULL && text.n > 0;) {
        struct str item = str_split(&rest, ' ');
        size_t i = 0;
        while (i < SCOPE_COUNT && !str_eq(item, scope_names[i])) {
            i++;
        }
        ENSURE(i < SCOPE_COUNT, ERR_INVALID,
               "the scope '%.*s' is not one of openid, profile, email, address, phone, "
               "offline_access; "
               "tokens of this provider say who somebody is, and what they may do is asked of the "
               "authorization service at request time",
               (int)MIN(item.n, (size_t)100), item.p);
        scopes |= 1u << i;
    }
    *out = scopes;
    return OK;
}

void scope_put(struct buf *out, unsigned scopes)
{
    bool first = true;
    for (size_t i = 0; i < SCOPE_COUNT; i++) {
        if ((scopes & 1u << i) != 0) {
            buf_puts(out, first ? STR_EMPTY : S(" "));
            buf_puts(out, scope_names[i]);
            first = false;
        }
    }
}

struct str scope_text(struct arena *a, unsigned scopes)
{
    struct buf b;
    buf_init(&b, 256);
    scope_put(&b, scopes);
    struct str text = arena_str(a, buf_str(&b));
    buf_release(&b);
    return text;
}

/* ---- identity, not permissions ---- */

/* Words of which one alone makes a claim a statement about rights. */
static const char *const right_words[] = {
    "role",          "roles",
    "permission",    "permissions",
    "perm",          "perms",
    "entitlement",   "entitlements",
    "authority",     "authorities",
    "privilege",     "privileges",
    "right",         "rights",
    "grant",         "grants",
    "group",         "groups",
    "scope",         "scopes",
    "scp",           "acl",
    "acls",          "access",
    "capability",    "capabilities",
    "policy",        "policies",
    "admin",         "admins",
    "administrator", "superuser",
    "root",          "sudo",
    "allow",         "allowed",
    "allows",        "deny",
    "denied",        "can",
    "may",           "wids",
    "memberof",      "isadmin",
    "authorization", "authorizations",
    "clearance",
};

enum { MAX_CLAIM_NAME = 200 };

/* The next word of a name: letters and digits up to a change to upper case or any other character. */
static struct str next_word(struct str *rest)
{
    size_t from = 0;
    while (from < rest->n && !is_letter(rest->p[from]) && !is_digit(rest->p[from])) {
        from++;
    }
    size_t to = from;
    while (to < rest->n && (is_letter(rest->p[to]) || is_digit(rest->p[to]))) {
        bool hump = to > from && rest->p[to] >= 'A' && rest->p[to] <= 'Z' &&
                    rest->p[to - 1] >= 'a' && rest->p[to - 1] <= 'z';
        if (hump) {
            break;
        }
        to++;
    }
    struct str word = str_sub(*rest, from, to);
    *rest = str_sub(*rest, to, rest->n);
    return word;
}

static const char *right_in(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(right_words); i++) {
        if (str_eq_nocase(word, str_of(right_words[i]))) {
            return right_words[i];
        }
    }
    return NULL;
}

/* A word of the name, or all its letters run together ("memberOf"), that speaks of rights; or NULL. */
static const char *right_named_by(struct str name)
{
    char whole[MAX_CLAIM_NAME];
    size_t n = 0;
    for (struct str rest = name, word; (word = next_word(&rest)).n > 0;) {
        const char *right = right_in(word);
        if (right != NULL) {
            return right;
        }
        memcpy(whole + n, word.p, word.n);
        n += word.n;
    }
    return right_in(str_n(whole, n));
}

struct err identity_claim_check(struct str name)
{
    ENSURE(name.n > 0 && name.n <= MAX_CLAIM_NAME, ERR_INVALID,
           "a claim name must have 1 to %d characters", MAX_CLAIM_NAME);
    const char *right = right_named_by(name);
    ENSURE(right == NULL, ERR_DENIED,
           "the claim '%.*s' would put permissions ('%s') in a token. A token issued here carries "
           "identity only: "
           "rights in tokens outlive their withdrawal and grow without bound. Keep them in the "
           "authorization "
           "service's data, where they are looked up at each request",
           STR_FMT(name), right);
    return OK;
}

bool claim_is_reserved(struct str name)
{
    static const char *const reserved[] = {
        "iss",    "sub",       "aud",       "exp",       "iat", "nbf",     "jti",
        "nonce",  "auth_time", "acr",       "amr",       "azp", "at_hash", "c_hash",
        "s_hash", "sid",       "cnf",       "client_id", "act", "scope",   "may_act",
        "events", "typ",       "token_use", "client_id", "txn"};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (str_is(name, reserved[i])) {
            return true;
        }
    }
    return false;
}
