/* Amounts with units, and semantic versions. */
#include "authz/rego/builtin/builtin.h"

struct unit {
    const char *name;
    int base, exp; /* base^exp */
};

static const struct unit byte_units[] = {
    {"", 10, 0},    {"k", 10, 3},   {"kb", 10, 3},  {"m", 10, 6},   {"mb", 10, 6},
    {"g", 10, 9},   {"gb", 10, 9},  {"t", 10, 12},  {"tb", 10, 12}, {"p", 10, 15},
    {"pb", 10, 15}, {"e", 10, 18},  {"eb", 10, 18}, {"ki", 2, 10},  {"kib", 2, 10},
    {"mi", 2, 20},  {"mib", 2, 20}, {"gi", 2, 30},  {"gib", 2, 30}, {"ti", 2, 40},
    {"tib", 2, 40}, {"pi", 2, 50},  {"pib", 2, 50}, {"ei", 2, 60},  {"eib", 2, 60}};

static const struct unit units[] = {{"", 10, 0},   {"m", 10, -3}, {"k", 10, 3},  {"K", 10, 3},
                                    {"M", 10, 6},  {"g", 10, 9},  {"G", 10, 9},  {"t", 10, 12},
                                    {"T", 10, 12}, {"p", 10, 15}, {"P", 10, 15}, {"e", 10, 18},
                                    {"E", 10, 18}, {"ki", 2, 10}, {"mi", 2, 20}, {"gi", 2, 30},
                                    {"ti", 2, 40}, {"pi", 2, 50}, {"ei", 2, 60}};

static struct str lower(struct arena *a, struct str s)
{
    struct vstr *r = val_str_room(a, s.n);
    for (size_t i = 0; i < s.n; i++) {
        r->p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
    }
    return val_text(val_str_done(r));
}

/* Number and unit of a text such as 1.5Gi; an exponent belongs to the number only with digits. */
static void split_amount(struct str s, struct str *number, struct str *unit)
{
    size_t i = 0;
    i += i < s.n && (s.p[i] == '-' || s.p[i] == '+');
    for (; i < s.n; i++) {
        char c = s.p[i];
        bool digit = (c >= '0' && c <= '9') || c == '.';
        if (!digit && (c == 'e' || c == 'E') && i + 1 < s.n) {
            size_t k = i + 1 + (s.p[i + 1] == '-' || s.p[i + 1] == '+');
            digit = k < s.n && s.p[k] >= '0' && s.p[k] <= '9';
            i = digit ? k : i;
        }
        if (!digit) {
            break;
        }
    }
    *number = str_sub(s, 0, i);
    *unit = str_sub(s, i, s.n);
}

static bool amount_number(struct bcall *b, struct str text, struct num *out)
{
    struct str s = text;
    bool plus = s.n > 0 && s.p[0] == '+';
    s = str_sub(s, plus, s.n);
    bool minus = s.n > 0 && s.p[0] == '-';
    s = str_sub(s, minus, s.n);
    while (s.n > 1 && s.p[0] == '0' && s.p[1] >= '0' && s.p[1] <= '9') {
        s = str_sub(s, 1, s.n);
    }
    size_t point = str_find_char(s, '.'), e = str_find_char(s, 'e');
    e = e == STR_NPOS ? str_find_char(s, 'E') : e;
    struct str mantissa = str_sub(s, 0, e == STR_NPOS ? s.n : e);
    struct str exp = e == STR_NPOS ? STR_EMPTY : str_sub(s, e, s.n);
    if (point == mantissa.n - 1) {
        mantissa.n--;
    }
    text = arena_printf(b->a, "%s%s%.*s%.*s", minus ? "-" : "", point == 0 ? "0" : "",
                        STR_FMT(mantissa), STR_FMT(exp));
    return !failed(num_parse(text, out));
}

static struct num power(struct bcall *b, const struct unit *u)
{
    struct num r = num_int(1);
    int n = u->exp < 0 ? -u->exp : u->exp;
    for (int i = 0; i < n; i++) {
        ignore_err(num_mul(b->a, r, num_int(u->base), &r));
    }
    return r;
}

static bool exponent_too_large(struct str number)
{
    size_t e = str_find_char(number, 'e');
    e = e == STR_NPOS ? str_find_char(number, 'E') : e;
    if (e == STR_NPOS) {
        return false;
    }
    struct str digits = str_sub(number, e + 1, number.n);
    digits = str_sub(digits, digits.n > 0 && (digits.p[0] == '-' || digits.p[0] == '+'), digits.n);
    while (digits.n > 1 && digits.p[0] == '0') {
        digits = str_sub(digits, 1, digits.n);
    }
    return digits.n > 3;
}

/* The float64 next to 0.001, which is what upstream multiplies with: thousands of it are not whole. */
#define MILLI "0.001000000000000000020816681711721685132943093776702880859375"

/* Fractions are written with ten digits behind the point, half a unit rounded away from zero. */
static struct num ten_places(struct arena *a, struct num r)
{
    struct num places, scaled, out = r;
    struct str text = num_text(a, r);
    size_t point = str_find_char(text, '.');
    ignore_err(num_parse(S("10000000000"), &places));
    if (point == STR_NPOS || failed(num_mul_exact(a, r, places, &scaled))) {
        return r;
    }
    text = num_text(a, scaled);
    point = str_find_char(text, '.');
    bool up = point != STR_NPOS && point + 1 < text.n && text.p[point + 1] >= '5';
    bool minus = str_starts(text, S("-"));
    struct num whole;
    text = str_sub(text, minus, point);
    if (failed(num_parse(text, &whole)) || failed(num_add(a, whole, num_int(up), &whole))) {
        return r;
    }
    struct str digits = num_text(a, whole);
    digits = arena_printf(a, "%.*s%.*s", digits.n < 11 ? (int)(11 - digits.n) : 0, "00000000000",
                          STR_FMT(digits));
    text =
        arena_printf(a, "%s%.*s.%.*s", minus ? "-" : "", STR_FMT(str_sub(digits, 0, digits.n - 10)),
                     STR_FMT(str_sub(digits, digits.n - 10, digits.n)));
    return failed(num_parse(text, &out)) ? r : out;
}

static enum b_status parse_units(struct bcall *b, const struct unit *table, size_t n, bool bytes)
{
    struct str s, number, unit;
    const char *noun = bytes ? "byte amount" : "amount";
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    if (str_find_char(s, ' ') != STR_NPOS) {
        return b_fail(b, "spaces not allowed in resource strings");
    }
    struct buf text;
    buf_init(&text, s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '"') {
            buf_putc(&text, s.p[i]);
        }
    }
    s = arena_str(b->a, buf_str(&text));
    buf_release(&text);
    split_amount(bytes ? lower(b->a, s) : s, &number, &unit);
    if (number.n == 0) {
        return b_fail(b, "no %s provided", noun);
    }
    if (exponent_too_large(number)) {
        return b_fail(b, "exponent too large");
    }
    struct str folded = unit.n > 1 && !bytes ? lower(b->a, unit) : unit;
    const struct unit *u = NULL;
    for (size_t i = 0; i < n; i++) {
        u = str_is(folded, table[i].name) ? &table[i] : u;
    }
    struct num x, r = num_int(0);
    if (u == NULL) {
        return b_fail(b, "%s %.*s not recognized", bytes ? "byte unit" : "unit", STR_FMT(unit));
    }
    if (!amount_number(b, number, &x)) {
        return b_fail(b, "could not parse %s to a number", noun);
    }
    struct num factor = power(b, u);
    if (u->exp < 0) {
        ignore_err(num_parse(S(MILLI), &factor)); /* milli is the only one */
    }
    struct err e = num_mul_exact(b->a, x, factor, &r);
    if (failed(e)) {
        return b_fail_err(b, e);
    }
    if (bytes) {
        struct num whole = num_sign(r) < 0 ? num_ceil(b->a, r) : num_floor(b->a, r);
        return b_out(b, val_num(b->a, whole));
    }
    return b_out(b, val_num(b->a, num_is_integral(r) ? num_round(b->a, r) : ten_places(b->a, r)));
}

static enum b_status b_parse_bytes(struct bcall *b)
{
    return parse_units(b, byte_units, ARRAY_LEN(byte_units), true);
}

static enum b_status b_parse(struct bcall *b)
{
    return parse_units(b, units, ARRAY_LEN(units), false);
}

struct version {
    struct str core[3], pre;
};

static bool digits_only(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n > 0;
}

/* Identifiers between dots, of letters, digits and '-'; in a pre-release no leading zeros. */
static bool identifiers(struct str s, bool pre)
{
    for (struct str rest = s; rest.p != NULL;) {
        struct str id = str_split(&rest, '.');
        for (size_t i = 0; i < id.n; i++) {
            char c = id.p[i];
            bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      c == '-';
            if (!ok) {
                return false;
            }
        }
        if (id.n == 0 || (pre && digits_only(id) && id.n > 1 && id.p[0] == '0')) {
            return false;
        }
    }
    return true;
}

static bool version_parse(struct str s, struct version *v)
{
    s = str_starts(s, S("v")) ? str_sub(s, 1, s.n) : s;
    size_t plus = str_find_char(s, '+');
    if (plus != STR_NPOS) {
        if (!identifiers(str_sub(s, plus + 1, s.n), false) || plus + 1 == s.n) {
            return false;
        }
        s = str_sub(s, 0, plus);
    }
    size_t dash = str_find_char(s, '-');
    v->pre = STR_EMPTY;
    if (dash != STR_NPOS) {
        v->pre = str_sub(s, dash + 1, s.n);
        if (v->pre.n == 0 || !identifiers(v->pre, true)) {
            return false;
        }
        s = str_sub(s, 0, dash);
    }
    for (int i = 0; i < 3; i++) {
        if (s.p == NULL) {
            return false;
        }
        v->core[i] = str_split(&s, '.');
        uint64_t n;
        if (!digits_only(v->core[i]) || (v->core[i].n > 1 && v->core[i].p[0] == '0') ||
            failed(str_to_u64(v->core[i], &n)) || n > INT64_MAX) {
            return false;
        }
    }
    return s.p == NULL;
}

static int cmp_digits(struct str x, struct str y)
{
    return x.n != y.n ? (x.n < y.n ? -1 : 1) : str_cmp(x, y);
}

static int cmp_pre(struct str x, struct str y)
{
    if (x.n == 0 || y.n == 0) {
        return x.n == y.n ? 0 : x.n == 0 ? 1 : -1;
    }
    while (x.p != NULL && y.p != NULL) {
        struct str a = str_split(&x, '.'), c = str_split(&y, '.');
        bool p = digits_only(a), q = digits_only(c);
        int r = p && q ? cmp_digits(a, c) : p != q ? (p ? -1 : 1) : str_cmp(a, c);
        if (r != 0) {
            return r;
        }
    }
    return x.p == NULL ? (y.p == NULL ? 0 : -1) : 1;
}

static enum b_status b_semver_compare(struct bcall *b)
{
    struct str s[2];
    struct version v[2];
    if (!b_string(b, 1, &s[0]) || !b_string(b, 2, &s[1])) {
        return B_ERROR;
    }
    for (int i = 0; i < 2; i++) {
        if (!version_parse(s[i], &v[i])) {
            return b_fail(b, "operand %d: string \"%.*s\" is not a valid SemVer", i + 1,
                          STR_FMT(s[i]));
        }
    }
    int r = 0;
    for (int i = 0; i < 3 && r == 0; i++) {
        r = cmp_digits(v[0].core[i], v[1].core[i]);
    }
    r = r == 0 ? cmp_pre(v[0].pre, v[1].pre) : r;
    return b_out(b, val_int(b->a, r < 0 ? -1 : r > 0));
}

static enum b_status b_semver_is_valid(struct bcall *b)
{
    struct version v;
    bool ok = val_is(b->args[0], V_STRING) && version_parse(val_text(b->args[0]), &v);
    return b_out(b, val_bool(ok));
}

const struct builtin builtins_units[] = {
    {"units.parse", 1, b_parse, 0},
    {"units.parse_bytes", 1, b_parse_bytes, 0},
    {"semver.compare", 2, b_semver_compare, 0},
    {"semver.is_valid", 1, b_semver_is_valid, 0},
    {0},
};
