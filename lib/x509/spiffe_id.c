/* SPIFFE-ID, section 2, in the strict reading of go-spiffe. */
#include "spiffe_id.h"

static bool lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

struct err spiffe_trust_domain_check(struct str name)
{
    ENSURE(name.n > 0, ERR_SYNTAX, "trust domain is missing");
    ENSURE(name.n <= SPIFFE_TRUST_DOMAIN_MAX, ERR_LIMIT, "trust domain of %zu bytes; at most %d",
           name.n, SPIFFE_TRUST_DOMAIN_MAX);
    for (size_t i = 0; i < name.n; i++) {
        ENSURE(
            lower_or_digit(name.p[i]), ERR_SYNTAX,
            "trust domain characters are limited to lowercase letters, numbers, dots, dashes, and "
            "underscores");
    }
    return OK;
}

static struct err segment_check(struct str s)
{
    ENSURE(s.n > 0, ERR_SYNTAX, "path cannot contain empty segments");
    ENSURE(!str_eq(s, S(".")) && !str_eq(s, S("..")), ERR_SYNTAX,
           "path cannot contain dot segments");
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        ENSURE(lower_or_digit(c) || (c >= 'A' && c <= 'Z'), ERR_SYNTAX,
               "path segment characters are limited to letters, numbers, dots, dashes, and "
               "underscores");
    }
    return OK;
}

struct err spiffe_path_check(struct str path)
{
    if (path.n == 0) {
        return OK;
    }
    ENSURE(path.p[0] == '/', ERR_SYNTAX, "path must have a leading slash");
    ENSURE(path.p[path.n - 1] != '/', ERR_SYNTAX, "path cannot have a trailing slash");
    struct str rest = str_sub(path, 1, path.n);
    while (rest.p != NULL) {
        TRY(segment_check(str_split(&rest, '/')));
    }
    return OK;
}

struct err spiffe_id_parse(struct str text, struct spiffe_id *out)
{
    static const struct str scheme = STR_INIT("spiffe://");
    ENSURE(text.n > 0, ERR_SYNTAX, "cannot be empty: a SPIFFE ID is spiffe://trust-domain/path");
    ENSURE(text.n <= SPIFFE_ID_MAX, ERR_LIMIT, "SPIFFE ID of %zu bytes; at most %d", text.n,
           SPIFFE_ID_MAX);
    ENSURE(str_starts(text, scheme), ERR_SYNTAX, "scheme is missing or invalid");
    struct str rest = str_sub(text, scheme.n, text.n);
    size_t slash = str_find_char(rest, '/');
    struct str domain = slash == STR_NPOS ? rest : str_sub(rest, 0, slash);
    struct str path = slash == STR_NPOS ? STR_EMPTY : str_sub(rest, slash, rest.n);
    TRY(spiffe_trust_domain_check(domain));
    TRY(spiffe_path_check(path));
    *out = (struct spiffe_id){.text = text, .trust_domain = domain, .path = path};
    return OK;
}
