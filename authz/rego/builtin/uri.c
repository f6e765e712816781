/* URIs, taken apart as Go's net/url does it. */
#include "authz/rego/builtin/uri.h"
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/builtin/x509/go.h"

#include "lib/base/codec.h"

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Where a broken or (in hosts) forbidden escape stands, or STR_NPOS. */
static size_t bad_escape(struct str s, bool host)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '%') {
            continue;
        }
        int hi = i + 1 < s.n ? hex(s.p[i + 1]) : -1;
        int lo = i + 2 < s.n ? hex(s.p[i + 2]) : -1;
        if (hi < 0 || lo < 0) {
            return i;
        }
        if (host && hi < 8) {
            return i;
        }
        i += 2;
    }
    return STR_NPOS;
}

static bool decode(struct arena *a, struct str s, struct str *out)
{
    return !failed(percent_decode(a, s, false, out));
}

static struct str escape_error(struct arena *a, struct str s, size_t at)
{
    return arena_printf(a, "invalid URL escape \"%.*s\"", STR_FMT(str_sub(s, at, at + 3)));
}

static bool take_scheme(struct str *rest, struct str *scheme, struct arena *a, struct str *why)
{
    for (size_t i = 0; i < rest->n; i++) {
        char c = rest->p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (c == ':') {
            if (i == 0) {
                *why = S("missing protocol scheme");
                return false;
            }
            struct vstr *s = val_str_room(a, i);
            for (size_t k = 0; k < i; k++) {
                char x = rest->p[k];
                s->p[k] = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
            }
            *scheme = val_text(val_str_done(s));
            *rest = str_sub(*rest, i + 1, rest->n);
            return true;
        }
        if (!letter && (!other || i == 0)) {
            break;
        }
    }
    return true;
}

static bool fine_userinfo(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c != '\0' && strchr("-._:~!$&'()*+,;=%@", c) != NULL);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool fine_port(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool fine_host(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ' || s.p[i] == '<' || s.p[i] == '>' || s.p[i] == '"' || s.p[i] == '\\' ||
            s.p[i] == '^' || s.p[i] == '`' || s.p[i] == '{' || s.p[i] == '|' || s.p[i] == '}') {
            return s.p[i] == '"' || s.p[i] == '<' || s.p[i] == '>';
        }
    }
    return true;
}

static bool split_port(struct arena *a, struct uri *u, struct str host, size_t from,
                       struct str *why)
{
    struct str tail = str_sub(host, from, host.n);
    size_t colon = from > 0 ? str_rfind_char(tail, ':') : str_find_char(tail, ':');
    if (colon == STR_NPOS) {
        if (from > 0 && tail.n > 0) {
            *why = arena_printf(a, "invalid port \"%.*s\" after host", STR_FMT(tail));
            return false;
        }
        u->host = host;
        return true;
    }
    struct str port = str_sub(tail, colon, tail.n);
    if (!fine_port(str_sub(port, 1, port.n)) || (from > 0 && colon > 0)) {
        *why = arena_printf(a, "invalid port \"%.*s\" after host", STR_FMT(from > 0 ? tail : port));
        return false;
    }
    u->host = str_sub(host, 0, from + colon);
    u->port = str_sub(port, 1, port.n);
    return true;
}

static bool take_authority(struct arena *a, struct uri *u, struct str authority, struct str *why)
{
    size_t at = str_rfind_char(authority, '@');
    struct str host = at == STR_NPOS ? authority : str_sub(authority, at + 1, authority.n);
    u->has_authority = true;
    u->has_user = at != STR_NPOS;
    if (!decode(a, host, &u->host_port)) {
        u->host_port = host;
    }
    if (at != STR_NPOS) {
        u->user = str_sub(authority, 0, at);
        if (!fine_userinfo(u->user)) {
            *why = S("net/url: invalid userinfo");
            return false;
        }
        size_t bad = bad_escape(u->user, false);
        if (bad != STR_NPOS) {
            *why = escape_error(a, u->user, bad);
            return false;
        }
    }
    if (str_starts(host, S("["))) {
        size_t end = str_rfind_char(host, ']');
        if (end == STR_NPOS) {
            *why = S("missing ']' in host");
            return false;
        }
        if (!split_port(a, u, host, end + 1, why)) {
            return false;
        }
        size_t zone = str_find(u->host, S("%25"));
        struct str inside = str_sub(u->host, 1, u->host.n - 1), name;
        if (zone != STR_NPOS && decode(a, inside, &name)) {
            u->host = name;
            return true;
        }
        size_t bad = bad_escape(u->host, true);
        if (bad != STR_NPOS) {
            *why = escape_error(a, u->host, bad);
            return false;
        }
        u->host = inside;
        return true;
    }
    if (!split_port(a, u, host, 0, why)) {
        return false;
    }
    size_t bad = bad_escape(u->host, true);
    if (bad != STR_NPOS) {
        *why = escape_error(a, u->host, bad);
        return false;
    }
    if (!fine_host(u->host)) {
        *why = S("invalid character in host name");
        return false;
    }
    return decode(a, u->host, &u->host);
}

static bool control_characters(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

bool uri_parse(struct arena *a, struct str text, struct uri *u, struct str *why)
{
    struct str rest = text;
    *u = (struct uri){0};
    if (control_characters(str_sub(text, 0, str_find_char(text, '#')))) {
        *why = S("net/url: invalid control character in URL");
        return false;
    }
    size_t hash = str_find_char(rest, '#');
    if (hash != STR_NPOS) {
        u->fragment = str_sub(rest, hash + 1, rest.n);
        rest = str_sub(rest, 0, hash);
        size_t bad = bad_escape(u->fragment, false);
        if (bad != STR_NPOS) {
            *why = escape_error(a, u->fragment, bad);
            return false;
        }
    }
    if (!take_scheme(&rest, &u->scheme, a, why)) {
        return false;
    }
    size_t mark = str_find_char(rest, '?');
    if (mark != STR_NPOS) {
        u->query = str_sub(rest, mark + 1, rest.n);
        u->has_query = true;
        rest = str_sub(rest, 0, mark);
    }
    if (!str_starts(rest, S("/")) && u->scheme.n > 0) {
        u->opaque = true;
        u->opaque_text = rest;
        return true;
    }
    if (!str_starts(rest, S("/")) && u->scheme.n == 0) {
        size_t colon = str_find_char(str_sub(rest, 0, str_find_char(rest, '/')), ':');
        if (colon != STR_NPOS) {
            *why = S("first path segment in URL cannot contain colon");
            return false;
        }
    }
    if (str_starts(rest, S("//"))) {
        struct str after = str_sub(rest, 2, rest.n);
        size_t slash = str_find_char(after, '/');
        if (!take_authority(a, u, str_sub(after, 0, slash), why)) {
            return false;
        }
        rest = slash == STR_NPOS ? STR_EMPTY : str_sub(after, slash, after.n);
    }
    u->path = rest;
    size_t bad = bad_escape(rest, false);
    if (bad != STR_NPOS) {
        *why = escape_error(a, rest, bad);
        return false;
    }
    return true;
}

static void put(struct vlist *l, const char *name, struct str s)
{
    if (s.n > 0) {
        vlist_put(l, name, val_str(l->a, s));
    }
}

/* Characters that need no escape in a path, and in a fragment. */
static const char path_plain[] = "-_.~$&+,/:;=@", fragment_plain[] = "-_.~$&+,/:;=?@!()*";

static bool is_plain(unsigned char c, const char *plain)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr(plain, c) != NULL);
}

static struct str escape(struct arena *a, struct str decoded, const char *plain)
{
    struct buf b;
    buf_init(&b, 3 * decoded.n + 1);
    for (size_t i = 0; i < decoded.n; i++) {
        unsigned char c = (unsigned char)decoded.p[i];
        if (is_plain(c, plain)) {
            buf_putc(&b, (char)c);
        } else {
            buf_printf(&b, "%%%02X", c);
        }
    }
    struct str r = arena_str(a, buf_str(&b));
    buf_release(&b);
    return r;
}

/* The path as written, unless writing it anew gives the same: then as decoded. */
static struct str raw_path(struct arena *a, struct str written, struct str decoded)
{
    return str_eq(escape(a, decoded, path_plain), written) ? decoded : written;
}

static enum b_status b_parse(struct bcall *b)
{
    struct str text, why = STR_EMPTY, path = STR_EMPTY, fragment = STR_EMPTY;
    struct uri u;
    struct vlist l = {.a = b->a};
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    if (!uri_parse(b->a, text, &u, &why)) {
        return b_fail(b, "parse \"%.*s\": %.*s", STR_FMT(text), STR_FMT(why));
    }
    put(&l, "scheme", u.scheme);
    put(&l, "hostname", u.host);
    put(&l, "port", u.port);
    put(&l, "path", decode(b->a, u.path, &path) ? path : u.path);
    put(&l, "raw_path", raw_path(b->a, u.path, path));
    put(&l, "raw_query", u.query);
    put(&l, "fragment", decode(b->a, u.fragment, &fragment) ? fragment : u.fragment);
    return b_out(b, vlist_object(&l));
}

static enum b_status b_is_valid(struct bcall *b)
{
    struct str why;
    struct uri u;
    bool ok = val_is(b->args[0], V_STRING) && val_len(b->args[0]) > 0 &&
              uri_parse(b->a, val_text(b->args[0]), &u, &why);
    return b_out(b, val_bool(ok));
}

/* ---- url.URL ---- */

/* As written where that is well-formed; else written anew. */
static struct str printed_part(struct arena *a, struct str written, struct str decoded,
                               const char *plain)
{
    for (size_t i = 0; i < written.n; i++) {
        if (!is_plain((unsigned char)written.p[i], plain) &&
            (written.p[i] == '\0' || strchr("!$&'()*+,;=:@[]%", written.p[i]) == NULL)) {
            return escape(a, decoded, plain);
        }
    }
    return written;
}

static struct val print_url(struct arena *a, const struct uri *u, struct str path,
                            struct str fragment)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    if (u->scheme.n > 0) {
        buf_puts(&b, u->scheme);
        buf_putc(&b, ':');
    }
    if (u->opaque) {
        buf_puts(&b, u->opaque_text);
    } else {
        if (u->has_authority && (u->host_port.n > 0 || u->path.n > 0 || u->has_user)) {
            buf_puts(&b, S("//"));
            buf_puts(&b, u->user);
            buf_puts(&b, u->has_user ? S("@") : S(""));
            buf_puts(&b, u->host_port);
        }
        buf_puts(&b, printed_part(a, u->path, path, path_plain));
    }
    if (u->has_query) {
        buf_putc(&b, '?');
        buf_puts(&b, u->query);
    }
    if (u->fragment.n > 0) {
        buf_putc(&b, '#');
        buf_puts(&b, printed_part(a, u->fragment, fragment, fragment_plain));
    }
    struct val v = val_str(a, buf_str(&b));
    buf_release(&b);
    return v;
}

struct err go_url(struct arena *a, struct str text, struct val *out, struct val *printed)
{
    struct uri u;
    struct str why = STR_EMPTY, path = STR_EMPTY, fragment = STR_EMPTY;
    struct vlist l = {.a = a};
    if (!uri_parse(a, text, &u, &why)) {
        FAIL(ERR_SYNTAX, "parse \"%.*s\": %.*s", STR_FMT(str_sub(text, 0, 400)),
             STR_FMT(str_sub(why, 0, 400)));
    }
    path = decode(a, u.path, &path) ? path : u.path;
    fragment = decode(a, u.fragment, &fragment) ? fragment : u.fragment;
    bool same_path = str_eq(escape(a, path, path_plain), u.path);
    bool same_fragment = str_eq(escape(a, fragment, fragment_plain), u.fragment);
    bool rooted = u.scheme.n > 0 && !u.opaque && !u.has_authority;
    vlist_put(&l, "Scheme", val_str(a, u.scheme));
    vlist_put(&l, "Opaque", val_str(a, u.opaque_text));
    vlist_put(&l, "User", u.has_user ? val_empty_object() : VAL_NULL);
    vlist_put(&l, "Host", val_str(a, u.host_port));
    vlist_put(&l, "Path", go_text(a, path));
    vlist_put(&l, "RawPath", val_str(a, same_path ? S("") : u.path));
    vlist_put(&l, "OmitHost", val_bool(rooted));
    vlist_put(&l, "ForceQuery", val_bool(u.has_query && u.query.n == 0));
    vlist_put(&l, "RawQuery", val_str(a, u.query));
    vlist_put(&l, "Fragment", go_text(a, fragment));
    vlist_put(&l, "RawFragment", val_str(a, same_fragment ? S("") : u.fragment));
    *out = vlist_object(&l);
    *printed = print_url(a, &u, path, fragment);
    return OK;
}

const struct builtin builtins_uri[] = {
    {"uri.parse", 1, b_parse, 0},
    {"uri.is_valid", 1, b_is_valid, 0},
    {0},
};
