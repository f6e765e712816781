/* References and pointers. */
#include "authz/rego/schema/ref.h"

#include "authz/rego/builtin/uri.h"

/* The five parts as written; has_authority tells "//" from nothing. */
struct parts {
    struct str scheme, authority, path, query, fragment;
    bool has_authority, has_query;
    bool opaque; /* a scheme, and a path that is not absolute: "urn:a:b" */
};

static struct parts split(struct str ref)
{
    struct parts p = {0};
    size_t at = str_find_char(ref, '#');
    p.fragment = at == STR_NPOS ? STR_EMPTY : str_sub(ref, at + 1, ref.n);
    ref = str_sub(ref, 0, at);
    at = str_find_char(ref, '?');
    p.has_query = at != STR_NPOS;
    p.query = p.has_query ? str_sub(ref, at + 1, ref.n) : STR_EMPTY;
    ref = str_sub(ref, 0, at);
    at = str_find_char(ref, ':');
    if (at != STR_NPOS && str_find_char(str_sub(ref, 0, at), '/') == STR_NPOS) {
        p.scheme = str_sub(ref, 0, at);
        ref = str_sub(ref, at + 1, ref.n);
    }
    p.opaque = p.scheme.n > 0 && !str_starts(ref, S("/"));
    if (str_starts(ref, S("//"))) {
        p.has_authority = true;
        ref = str_sub(ref, 2, ref.n);
        at = str_find_char(ref, '/');
        p.authority = str_sub(ref, 0, at);
        ref = at == STR_NPOS ? STR_EMPTY : str_sub(ref, at, ref.n);
    }
    p.path = ref;
    return p;
}

static struct str joined(struct arena *a, const struct parts *p)
{
    return arena_printf(a, "%.*s%s%s%.*s%.*s%s%.*s%s%.*s", STR_FMT(p->scheme),
                        p->scheme.n > 0 ? ":" : "", p->has_authority ? "//" : "",
                        STR_FMT(p->authority), STR_FMT(p->path), p->has_query ? "?" : "",
                        STR_FMT(p->query), p->fragment.n > 0 ? "#" : "", STR_FMT(p->fragment));
}

/* Takes the last segment and the slash before it off the end. */
static void step_back(struct buf *out)
{
    size_t slash = str_rfind_char(buf_str(out), '/');
    out->n = slash == STR_NPOS ? 0 : slash;
}

/* Section 5.2.4: "." and ".." go; the result is absolute unless it is empty. */
static struct str without_dots(struct arena *a, struct str path)
{
    struct buf out;
    struct str segment = STR_EMPTY;
    if (path.n == 0) {
        return path;
    }
    buf_init(&out, path.n + 4);
    struct str rest = path.p[0] == '/' ? str_sub(path, 1, path.n) : path;
    for (bool more = true; more;) {
        more = str_find_char(rest, '/') != STR_NPOS;
        segment = str_split(&rest, '/');
        if (str_is(segment, "..")) {
            step_back(&out);
        } else if (!str_is(segment, ".")) {
            buf_putc(&out, '/');
            buf_puts(&out, segment);
        }
    }
    if (str_is(segment, ".") || str_is(segment, "..") || out.n == 0) {
        buf_putc(&out, '/');
    }
    struct str s = arena_str(a, buf_str(&out));
    buf_release(&out);
    return s;
}

static struct err check(struct arena *a, struct str ref)
{
    struct uri u;
    struct str why;
    ENSURE(uri_parse(a, ref, &u, &why), ERR_SYNTAX, "parse \"%.*s\": %.*s", STR_FMT(ref),
           STR_FMT(why));
    return OK;
}

struct err ref_normal(struct arena *a, struct str ref, struct str *out)
{
    TRY(check(a, ref));
    struct parts p = split(ref);
    *out = joined(a, &p);
    return OK;
}

/* Section 5.2.2. */
struct err ref_resolve(struct arena *a, struct str base, struct str ref, struct str *out)
{
    TRY(check(a, ref));
    struct parts b = split(base), r = split(ref);
    if (r.scheme.n > 0 && r.opaque) {
        *out = joined(a, &r);
        return OK;
    }
    if (r.scheme.n > 0 || r.authority.n > 0) {
        r.scheme = r.scheme.n > 0 ? r.scheme : b.scheme;
        r.path = without_dots(a, r.path);
        *out = joined(a, &r);
        return OK;
    }
    if (r.path.n == 0 && !r.has_query) {
        r.query = b.query;
        r.has_query = b.has_query;
    }
    if (r.path.n == 0) {
        r.path = b.opaque ? b.path : without_dots(a, b.path);
    } else if (r.path.p[0] != '/') {
        size_t slash = str_rfind_char(b.path, '/');
        struct str dir = slash == STR_NPOS ? STR_EMPTY : str_sub(b.path, 0, slash + 1);
        r.path = without_dots(a, arena_printf(a, "%.*s%.*s", STR_FMT(dir), STR_FMT(r.path)));
    } else {
        r.path = without_dots(a, r.path);
    }
    r.scheme = b.scheme;
    r.authority = b.authority;
    r.has_authority = b.has_authority;
    *out = joined(a, &r);
    return OK;
}

struct str ref_without_fragment(struct str ref)
{
    return str_sub(ref, 0, str_find_char(ref, '#'));
}

bool ref_is_canonical(struct str ref)
{
    struct parts p = split(ref);
    if (str_eq_nocase(p.scheme, S("file"))) {
        return str_starts(p.path, S("/"));
    }
    return p.scheme.n > 0 && p.authority.n > 0;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static struct str unescaped(struct arena *a, struct str s)
{
    char *p = arena_alloc_raw(a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            p[n++] = (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2]));
            i += 2;
        } else {
            p[n++] = s.p[i];
        }
    }
    return str_n(p, n);
}

/* "~1" is a slash, and then "~0" a tilde. */
static struct str token_key(struct arena *a, struct str token)
{
    char *p = arena_alloc_raw(a, token.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < token.n; i++) {
        bool escape = token.p[i] == '~' && i + 1 < token.n &&
                      (token.p[i + 1] == '0' || token.p[i + 1] == '1');
        p[n++] = !escape ? token.p[i] : token.p[++i] == '1' ? '/' : '~';
    }
    return str_n(p, n);
}

static struct err array_item(struct str token, struct val v, struct val *out)
{
    uint64_t i;
    ENSURE(!failed(str_to_u64(token, &i)), ERR_SYNTAX, "Invalid array index '%.*s'",
           STR_FMT(token));
    ENSURE(i < val_len(v), ERR_NOT_FOUND, "Out of bound array[0,%u] index '%llu'", val_len(v),
           (unsigned long long)i);
    *out = val_nth(v, (uint32_t)i);
    return OK;
}

struct err ref_pointed(struct arena *a, struct str ref, struct val doc, struct val *out)
{
    struct str pointer = unescaped(a, split(ref).fragment);
    if (!str_starts(pointer, S("/"))) {
        *out = doc;
        return OK;
    }
    struct str rest = str_sub(pointer, 1, pointer.n);
    struct val v = doc;
    for (bool more = true; more;) {
        more = str_find_char(rest, '/') != STR_NPOS;
        struct str token = str_split(&rest, '/');
        if (val_is(v, V_ARRAY)) {
            TRY(array_item(token, v, &v));
            continue;
        }
        ENSURE(val_is(v, V_OBJECT), ERR_NOT_FOUND, "Invalid token reference '%.*s'",
               STR_FMT(token));
        struct str key = token_key(a, token);
        v = val_get(v, val_str(a, key));
        ENSURE(!val_undef(v), ERR_NOT_FOUND, "Object has no key '%.*s'", STR_FMT(key));
    }
    *out = v;
    return OK;
}
