/* Paths of URLs as places in the documents. */
#include "server.h"

#include "lib/base/codec.h"

struct str path_rest(const struct http_req *req, const char *prefix)
{
    struct str rest = str_sub(req->path, strlen(prefix), req->path.n);
    return str_sub(rest, str_starts(rest, S("/")), rest.n);
}

/* Digits with an optional sign, and zeros behind a decimal point. */
static bool whole_number(struct str s, int64_t *out)
{
    bool minus = s.n > 0 && s.p[0] == '-', dot = false;
    uint64_t v = 0;
    s = str_sub(s, minus || (s.n > 0 && s.p[0] == '+') ? 1 : 0, s.n);
    if (s.n == 0 || s.n > 19) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && !dot) {
            dot = true;
        } else if (s.p[i] < '0' || s.p[i] > '9' || (dot && s.p[i] != '0')) {
            return false;
        } else if (!dot) {
            v = v * 10 + (uint64_t)(s.p[i] - '0');
        }
    }
    if (v > (uint64_t)INT64_MAX) {
        return false;
    }
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

bool path_values(struct arena *a, struct str path, struct val *out, size_t *n, struct str *bad)
{
    *n = 0;
    while (path.p != NULL) {
        struct str part = str_split(&path, '/'), text;
        int64_t number;
        if (part.n == 0) {
            continue;
        }
        if (failed(percent_decode(a, part, false, &text))) {
            text = part;
        }
        if (*n == PATH_SEGMENTS_MAX || str_find_char(text, '"') != STR_NPOS) {
            *bad = text;
            return false;
        }
        out[(*n)++] = whole_number(text, &number) ? val_int(a, number) : val_str(a, text);
    }
    return true;
}

bool path_names(struct arena *a, struct str path, struct str *out, size_t *n)
{
    *n = 0;
    while (path.n > 0 && path.p[0] == '/') {
        path = str_sub(path, 1, path.n);
    }
    while (path.n > 0 && path.p[path.n - 1] == '/') {
        path.n--;
    }
    while (path.n > 0) {
        struct str part = str_split(&path, '/');
        if (*n == PATH_SEGMENTS_MAX || failed(percent_decode(a, part, false, &out[*n]))) {
            return false;
        }
        (*n)++;
    }
    return true;
}

static bool is_name(struct str t)
{
    for (size_t k = 0; k < t.n; k++) {
        char c = t.p[k];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (k > 0 && c >= '0' && c <= '9'))) {
            return false;
        }
    }
    return t.n > 0;
}

struct str path_ref(struct arena *a, const struct val *path, size_t n)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_puts(&b, S("data"));
    for (size_t i = 0; i < n; i++) {
        if (val_is(path[i], V_STRING) && is_name(val_text(path[i]))) {
            buf_putc(&b, '.');
            buf_puts(&b, val_text(path[i]));
        } else {
            buf_putc(&b, '[');
            val_to_rego(&b, path[i]);
            buf_putc(&b, ']');
        }
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}
