/* The core schema: which plain scalars are null, booleans and numbers (YAML 1.2.2 section 10.3.2). */
#include "yaml_priv.h"

#include <inttypes.h>

static bool one_of(struct str s, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (str_is(s, *words)) {
            return true;
        }
    }
    return false;
}

static size_t count_digits(struct str s, size_t from)
{
    size_t i = from;
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') {
        i++;
    }
    return i - from;
}

static int digit_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 99;
}

/* 0x1f and 0o17: unsigned, at most 64 bits. `*is` tells whether the text has this form at all. */
static struct err take_prefixed(struct arena *a, struct str s, bool *is, struct str *number)
{
    unsigned base = str_starts(s, S("0x")) ? 16 : str_starts(s, S("0o")) ? 8 : 0;
    *is = base != 0 && s.n > 2;
    for (size_t i = 2; i < s.n && *is; i++) {
        *is = digit_value(s.p[i]) < (int)base;
    }
    if (!*is) {
        return OK;
    }
    uint64_t v = 0;
    for (size_t i = 2; i < s.n; i++) {
        ENSURE(v <= UINT64_MAX / base, ERR_RANGE, "%.*s does not fit 64 bits",
               (int)MIN(s.n, (size_t)60), s.p);
        v = v * base + (uint64_t)digit_value(s.p[i]);
    }
    *number = arena_printf(a, "%" PRIu64, v);
    return OK;
}

/* The three parts of a decimal number; false when the text is not one. */
static bool split_decimal(struct str s, struct str *whole, struct str *fraction,
                          struct str *exponent)
{
    size_t at = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'), n = count_digits(s, at);
    *whole = str_sub(s, at, at + n);
    *fraction = *exponent = STR_EMPTY;
    at += n;
    if (at < s.n && s.p[at] == '.') {
        n = count_digits(s, at + 1);
        *fraction = str_sub(s, at + 1, at + 1 + n);
        at += 1 + n;
    }
    if (whole->n == 0 && fraction->n == 0) {
        return false;
    }
    if (at < s.n && (s.p[at] == 'e' || s.p[at] == 'E')) {
        size_t sign = at + 1 < s.n && (s.p[at + 1] == '-' || s.p[at + 1] == '+');
        n = count_digits(s, at + 1 + sign);
        *exponent = str_sub(s, at, at + 1 + sign + n);
        at += 1 + sign + n;
        if (n == 0) {
            return false;
        }
    }
    return at == s.n;
}

/* JSON's grammar wants one digit before the point and after it, no plus and no leading zero. */
static struct str decimal_text(struct arena *a, struct str s, struct str whole, struct str fraction,
                               struct str exponent)
{
    struct str digits = whole;
    while (digits.n > 1 && digits.p[0] == '0') {
        digits = str_sub(digits, 1, digits.n);
    }
    bool point = str_find_char(s, '.') != STR_NPOS;
    if (s.p[0] != '+' && digits.n == whole.n && whole.n > 0 && (!point || fraction.n > 0)) {
        return s;
    }
    return arena_printf(a, "%s%.*s%s%.*s%.*s", s.p[0] == '-' ? "-" : "",
                        STR_FMT(digits.n > 0 ? digits : S("0")), point ? "." : "",
                        STR_FMT(point && fraction.n == 0 ? S("0") : fraction), STR_FMT(exponent));
}

struct err yaml_resolve_plain(struct arena *a, struct str text, enum json_type *type,
                              struct str *number)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
    static const char *const trues[] = {"true", "True", "TRUE", NULL};
    static const char *const falses[] = {"false", "False", "FALSE", NULL};
    static const char *const not_json[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                           "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                           ".NaN",  ".NAN",  NULL};
    struct str whole, fraction, exponent;
    bool prefixed;
    if (one_of(text, nulls)) {
        *type = JSON_NULL;
        return OK;
    }
    if (one_of(text, trues) || one_of(text, falses)) {
        *type = one_of(text, trues) ? JSON_TRUE : JSON_FALSE;
        return OK;
    }
    ENSURE(!one_of(text, not_json), ERR_RANGE,
           "%.*s has no place in JSON; quote it if it is meant as text", STR_FMT(text));
    TRY(take_prefixed(a, text, &prefixed, number));
    if (prefixed) {
        *type = JSON_NUMBER;
    } else if (split_decimal(text, &whole, &fraction, &exponent)) {
        *type = JSON_NUMBER;
        *number = decimal_text(a, text, whole, fraction, exponent);
    } else {
        *type = JSON_STRING;
    }
    return OK;
}
