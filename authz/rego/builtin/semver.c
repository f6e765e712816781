#include "authz/rego/builtin/builtin.h"

/* semver.*: Semantic Versioning 2.0, strictly: no leading zeros, no empty identifiers. */

struct version {
    struct str core[3];
    struct str pre; /* after '-', or no pointer */
};

static bool all_of(struct str s, bool (*test)(char))
{
    for (size_t i = 0; i < s.n; i++) {
        if (!test(s.p[i])) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_ident(char c)
{
    return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-';
}

static bool is_number(struct str s)
{
    return all_of(s, is_digit) && (s.n == 1 || s.p[0] != '0');
}

/* Dot-separated identifiers; numeric ones without leading zeros where `strict`. */
static bool valid_identifiers(struct str rest, bool strict)
{
    while (rest.p != NULL) {
        struct str id = str_split(&rest, '.');
        if (!all_of(id, is_ident) || (strict && all_of(id, is_digit) && !is_number(id))) {
            return false;
        }
    }
    return true;
}

static bool version_parse(struct str text, struct version *v)
{
    struct str build = text, rest = str_split(&build, '+');
    if (build.p != NULL && !valid_identifiers(build, false)) {
        return false;
    }
    v->pre = rest;
    struct str core = str_split(&v->pre, '-');
    if (v->pre.p != NULL && !valid_identifiers(v->pre, true)) {
        return false;
    }
    for (int i = 0; i < 3; i++) {
        v->core[i] = str_split(&core, '.');
        if (!is_number(v->core[i]) || (core.p == NULL) != (i == 2)) {
            return false;
        }
    }
    return true;
}

/* Numbers of any length: the longer is larger, since there are no leading zeros. */
static int number_cmp(struct str a, struct str b)
{
    return a.n != b.n ? (a.n < b.n ? -1 : 1) : str_cmp(a, b);
}

static int identifier_cmp(struct str a, struct str b)
{
    bool na = all_of(a, is_digit), nb = all_of(b, is_digit);
    if (na && nb) {
        return number_cmp(a, b);
    }
    return na != nb ? (na ? -1 : 1) : str_cmp(a, b);
}

static int pre_cmp(struct str a, struct str b)
{
    if (a.p == NULL || b.p == NULL) {
        return (a.p == NULL) - (b.p == NULL);
    }
    while (a.p != NULL && b.p != NULL) {
        int c = identifier_cmp(str_split(&a, '.'), str_split(&b, '.'));
        if (c != 0) {
            return c;
        }
    }
    return (a.p != NULL) - (b.p != NULL);
}

static int version_cmp(const struct version *a, const struct version *b)
{
    for (int i = 0; i < 3; i++) {
        int c = number_cmp(a->core[i], b->core[i]);
        if (c != 0) {
            return c;
        }
    }
    return pre_cmp(a->pre, b->pre);
}

static bool b_version(struct bcall *b, int pos, struct version *v)
{
    struct str text;
    if (!b_string(b, pos, &text)) {
        return false;
    }
    if (!version_parse(text, v)) {
        b_operand(b, pos, "string \"%.*s\" is not a valid SemVer", STR_FMT(text));
        return false;
    }
    return true;
}

static enum b_status semver_compare(struct bcall *b)
{
    struct version x, y;
    if (!b_version(b, 1, &x) || !b_version(b, 2, &y)) {
        return B_ERROR;
    }
    int c = version_cmp(&x, &y);
    return b_out(b, val_int(b->a, (c > 0) - (c < 0)));
}

static enum b_status semver_is_valid(struct bcall *b)
{
    struct version v;
    bool ok = val_is(b->args[0], V_STRING) && version_parse(val_text(b->args[0]), &v);
    return b_out(b, val_bool(ok));
}

const struct builtin builtins_semver[] = {
    {"semver.compare", 2, semver_compare, 0},
    {"semver.is_valid", 1, semver_is_valid, 0},
    {0},
};
