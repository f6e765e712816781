/* The formats of strings: those of drafts 4 to 7 that upstream knows, checked as it does. */
#include "authz/rego/schema/mailbox.h"
#include "authz/rego/schema/schema.h"

#include "authz/rego/builtin/regex_cache.h"
#include "authz/rego/builtin/uri.h"
#include "authz/rego/syntax/layout.h"
#include "lib/base/ip.h"

static bool has_layout(struct str text, const char *const *layouts)
{
    struct instant unused;
    for (; *layouts != NULL; layouts++) {
        if (!failed(layout_parse(str_of(*layouts), text, &unused))) {
            return true;
        }
    }
    return false;
}

static bool is_date(struct arena *a, struct str s)
{
    (void)a;
    return has_layout(s, (const char *const[]){"2006-01-02", NULL});
}

static bool is_time(struct arena *a, struct str s)
{
    (void)a;
    return has_layout(s, (const char *const[]){"15:04:05Z07:00", "15:04:05", NULL});
}

static bool is_date_time(struct arena *a, struct str s)
{
    return is_time(a, s) || is_date(a, s) ||
           has_layout(s, (const char *const[]){"2006-01-02T15:04:05Z07:00", NULL});
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
}

/* Labels of at most 63 letters, digits, and hyphens between them. */
static bool is_hostname(struct arena *a, struct str s)
{
    (void)a;
    if (s.n == 0 || s.n >= 256) {
        return false;
    }
    for (struct str rest = s; rest.p != NULL;) {
        struct str label = str_split(&rest, '.');
        if (label.n == 0 || label.n > 63 || !is_alnum(label.p[0]) ||
            !is_alnum(label.p[label.n - 1])) {
            return false;
        }
        for (size_t i = 0; i < label.n; i++) {
            if (!is_alnum(label.p[i]) && label.p[i] != '-') {
                return false;
            }
        }
    }
    return true;
}

static bool is_email(struct arena *a, struct str s)
{
    (void)a;
    return mailbox_is_address(s);
}

static bool is_ip_with(struct str s, char mark)
{
    struct ip ip;
    return str_find_char(s, mark) != STR_NPOS && !failed(ip_parse(s, &ip));
}

static bool is_ipv4(struct arena *a, struct str s)
{
    (void)a;
    return is_ip_with(s, '.');
}

static bool is_ipv6(struct arena *a, struct str s)
{
    (void)a;
    return is_ip_with(s, ':');
}

static bool is_reference(struct arena *a, struct str s)
{
    struct uri u;
    struct str why;
    return uri_parse(a, s, &u, &why) && str_find_char(s, '\\') == STR_NPOS;
}

static bool is_uri(struct arena *a, struct str s)
{
    struct uri u;
    struct str why;
    return is_reference(a, s) && uri_parse(a, s, &u, &why) && u.scheme.n > 0;
}

/* Every brace that opens in the path closes there. */
static bool is_template(struct arena *a, struct str s)
{
    struct uri u;
    struct str why;
    if (!is_reference(a, s) || !uri_parse(a, s, &u, &why)) {
        return false;
    }
    for (struct str rest = u.path; rest.n > 0;) {
        size_t open = str_find_char(rest, '{');
        if (open == STR_NPOS) {
            break;
        }
        rest = str_sub(rest, open, rest.n);
        size_t close = str_find_char(rest, '}');
        if (close == STR_NPOS) {
            return false;
        }
        rest = str_sub(rest, close + 1, rest.n);
    }
    return true;
}

static bool is_uuid(struct arena *a, struct str s)
{
    (void)a;
    for (size_t i = 0; i < s.n && s.n == 36; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex =
            (s.p[i] >= '0' && s.p[i] <= '9') || ((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'f');
        if (dash ? s.p[i] != '-' : !hex) {
            return false;
        }
    }
    return s.n == 36;
}

static bool is_regex(struct arena *a, struct str s)
{
    struct regex *re;
    (void)a;
    return !failed(regex_cached(s, &re));
}

static bool is_pointer(struct arena *a, struct str s)
{
    (void)a;
    if (s.n > 0 && s.p[0] != '/') {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '~' && (i + 1 == s.n || (s.p[i + 1] != '0' && s.p[i + 1] != '1'))) {
            return false;
        }
    }
    return true;
}

static bool is_relative_pointer(struct arena *a, struct str s)
{
    size_t n = 0;
    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') {
        n++;
    }
    if (n == 0 || (n > 1 && s.p[0] == '0')) {
        return false;
    }
    struct str rest = str_sub(s, n, s.n);
    return str_is(rest, "#") || is_pointer(a, rest);
}

static const struct {
    const char *name;
    bool (*fits)(struct arena *a, struct str s);
} formats[] = {
    {"date", is_date},
    {"time", is_time},
    {"date-time", is_date_time},
    {"hostname", is_hostname},
    {"email", is_email},
    {"idn-email", is_email},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"uri", is_uri},
    {"uri-reference", is_reference},
    {"iri", is_uri},
    {"iri-reference", is_reference},
    {"uri-template", is_template},
    {"uuid", is_uuid},
    {"regex", is_regex},
    {"json-pointer", is_pointer},
    {"relative-json-pointer", is_relative_pointer},
};

bool schema_format_ok(struct arena *a, struct str format, struct str text)
{
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        if (str_is(format, formats[i].name)) {
            return formats[i].fits(a, text);
        }
    }
    return true;
}
