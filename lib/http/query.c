/* Query strings, forms and cookies, read from the front each time: requests have few of them. */
#include "http_priv.h"

#include "lib/base/codec.h"

bool http_pairs_next(struct arena *a, struct str *rest, struct str *name, struct str *value,
                     bool *bad)
{
    while (rest->p != NULL && rest->n > 0) {
        struct str pair = str_split(rest, '&');
        if (pair.n == 0) {
            continue;
        }
        size_t eq = str_find_char(pair, '=');
        struct str raw_name = str_sub(pair, 0, eq == STR_NPOS ? pair.n : eq);
        struct str raw_value = eq == STR_NPOS ? S("") : str_sub(pair, eq + 1, pair.n);
        *bad = failed(percent_decode(a, raw_name, true, name)) ||
               failed(percent_decode(a, raw_value, true, value));
        return true;
    }
    return false;
}

/* First value of `name` among the pairs of `text`; *count is how often it occurs. */
static bool find(struct arena *a, struct str text, const char *name, struct str *out, size_t *count)
{
    struct str n, v, found = STR_EMPTY;
    bool bad = false, first_bad = false;
    *count = 0;
    while (http_pairs_next(a, &text, &n, &v, &bad)) {
        if (bad || !str_is(n, name)) {
            continue;
        }
        if ((*count)++ == 0) {
            found = v;
            first_bad = bad;
        }
    }
    if (*count == 0 || first_bad) {
        return false;
    }
    *out = found;
    return true;
}

static struct str form_of(const struct http_req *req)
{
    struct str type = http_header_get(req, "content-type");
    struct str bare = str_trim(str_split(&type, ';'));
    return str_eq_nocase(bare, S("application/x-www-form-urlencoded")) ? req->body : STR_EMPTY;
}

bool http_query_get(const struct http_req *req, const char *name, struct str *out)
{
    size_t count;
    return find(req->arena, req->query, name, out, &count);
}

bool http_form_get(const struct http_req *req, const char *name, struct str *out)
{
    size_t count;
    return find(req->arena, form_of(req), name, out, &count);
}

size_t http_query_count(const struct http_req *req, const char *name)
{
    size_t count;
    struct str value;
    (void)find(req->arena, req->query, name, &value, &count);
    return count;
}

size_t http_form_count(const struct http_req *req, const char *name)
{
    size_t count;
    struct str value;
    (void)find(req->arena, form_of(req), name, &value, &count);
    return count;
}

bool http_cookie_get(const struct http_req *req, const char *name, struct str *out)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (!str_is(req->headers[i].name, "cookie")) {
            continue;
        }
        struct str rest = req->headers[i].value;
        while (rest.p != NULL) {
            struct str pair = str_trim(str_split(&rest, ';'));
            size_t eq = str_find_char(pair, '=');
            if (eq != STR_NPOS && str_is(str_sub(pair, 0, eq), name)) {
                *out = str_sub(pair, eq + 1, pair.n);
                return true;
            }
        }
    }
    return false;
}
