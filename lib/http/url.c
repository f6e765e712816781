#include "client.h"

#include <stdlib.h>

/* Where the path begins: the first '/', '?' or '#' after the authority. */
static size_t authority_end(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '/' || s.p[i] == '?' || s.p[i] == '#') {
            return i;
        }
    }
    return s.n;
}

static struct err parse_unix(struct arena *a, struct str url, struct http_url *out)
{
    size_t colon = str_find_char(str_sub(url, 5, url.n), ':');
    size_t path_end = colon == STR_NPOS ? url.n : 5 + colon;
    *out = (struct http_url){.address = arena_str(a, str_sub(url, 0, path_end)),
                             .authority = S("localhost"),
                             .host = S("localhost"),
                             .target = S("/")};
    if (path_end + 1 < url.n) {
        out->target = arena_str(a, str_sub(url, path_end + 1, url.n));
    }
    ENSURE(out->address.n > 5 && out->target.p[0] == '/', ERR_SYNTAX,
           "'%.*s' is not unix:/socket/path:/request/path", STR_FMT(url));
    return OK;
}

/* What goes into a request line unchanged must be visible ASCII. */
static bool clean(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f) {
            return false;
        }
    }
    return true;
}

static struct err split_authority(struct arena *a, struct str url, struct http_url *u)
{
    struct str auth = u->authority;
    size_t close = str_rfind_char(auth, ']');
    size_t colon = str_rfind_char(auth, ':');
    bool v6 = auth.n > 0 && auth.p[0] == '[' && close != STR_NPOS;
    if (colon != STR_NPOS && v6 && colon < close) {
        colon = STR_NPOS;
    }
    struct str host = str_sub(auth, 0, colon == STR_NPOS ? auth.n : colon);
    ENSURE(host.n > 0 && str_find_char(auth, '@') == STR_NPOS, ERR_SYNTAX,
           "'%.*s' is not a URL such as https://host:port/path", STR_FMT(url));
    u->host = v6 ? str_sub(host, 1, host.n - 1) : host;
    u->address = colon == STR_NPOS ? arena_printf(a, "%.*s:%d", STR_FMT(host), u->tls ? 443 : 80)
                                   : arena_str(a, auth);
    return OK;
}

struct err http_url_parse(struct arena *a, struct str url, struct http_url *out)
{
    struct http_url u = {.tls = str_starts_nocase(url, S("https://"))};
    ENSURE(clean(url), ERR_SYNTAX, "a URL with blanks or characters that must be percent-encoded");
    if (str_starts(url, S("unix:"))) {
        return parse_unix(a, url, out);
    }
    ENSURE(u.tls || str_starts_nocase(url, S("http://")), ERR_SYNTAX,
           "'%.*s' begins with none of http://, https://, unix:", STR_FMT(url));
    struct str rest = str_sub(url, u.tls ? 8 : 7, url.n);
    size_t end = authority_end(rest);
    u.authority = arena_str(a, str_sub(rest, 0, end));
    TRY(split_authority(a, url, &u));
    struct str target = str_sub(rest, end, rest.n);
    size_t fragment = str_find_char(target, '#');
    target = str_sub(target, 0, fragment == STR_NPOS ? target.n : fragment);
    u.target = target.n > 0 && target.p[0] == '/' ? arena_str(a, target)
                                                  : arena_printf(a, "/%.*s", STR_FMT(target));
    *out = u;
    return OK;
}
