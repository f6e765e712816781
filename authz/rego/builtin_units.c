#include "builtin.h"

/* units.*: amounts with a unit, "10Mi" or "1.5KB", as exact numbers. */

enum { EXPONENT_MAX = 400, TEXT_MAX = 256 };

struct unit {
    const char *name;
    int base, power; /* 10^power or 2^power */
};

/* units.parse tells m (milli) from M (mega); the rest is read in either case. */
static const struct unit parse_units[] = {
    {"m", 10, -3}, {"k", 10, 3},  {"g", 10, 9},  {"t", 10, 12}, {"p", 10, 15}, {"e", 10, 18},
    {"ki", 2, 10}, {"mi", 2, 20}, {"gi", 2, 30}, {"ti", 2, 40}, {"pi", 2, 50}, {"ei", 2, 60},
};

static const struct unit byte_units[] = {
    {"b", 10, 0},   {"k", 10, 3},   {"kb", 10, 3},  {"m", 10, 6},   {"mb", 10, 6},  {"g", 10, 9},
    {"gb", 10, 9},  {"t", 10, 12},  {"tb", 10, 12}, {"p", 10, 15},  {"pb", 10, 15}, {"e", 10, 18},
    {"eb", 10, 18}, {"ki", 2, 10},  {"kib", 2, 10}, {"mi", 2, 20},  {"mib", 2, 20}, {"gi", 2, 30},
    {"gib", 2, 30}, {"ti", 2, 40},  {"tib", 2, 40}, {"pi", 2, 50},  {"pib", 2, 50}, {"ei", 2, 60},
    {"eib", 2, 60},
};

static bool find_unit(const struct unit *units, size_t n, struct str name, struct unit *out)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq_nocase(name, str_of(units[i].name))) {
            *out = units[i];
            return true;
        }
    }
    return false;
}

/* How many bytes of `s` are the amount: digits, point, sign, and an exponent that digits follow. */
static size_t amount_length(struct str s)
{
    size_t i = 0;
    while (i < s.n) {
        char c = s.p[i];
        bool digit = (c >= '0' && c <= '9') || c == '.';
        bool sign = (c == '-' || c == '+') && (i == 0 || s.p[i - 1] == 'e' || s.p[i - 1] == 'E');
        bool exponent = (c == 'e' || c == 'E') && i + 1 < s.n && i > 0 &&
                        ((s.p[i + 1] >= '0' && s.p[i + 1] <= '9') || s.p[i + 1] == '-' || s.p[i + 1] == '+');
        if (!digit && !sign && !exponent) {
            break;
        }
        i++;
    }
    return i;
}

static bool too_large(struct str amount)
{
    size_t e = MIN(str_find_char(amount, 'e'), str_find_char(amount, 'E'));
    if (e == STR_NPOS) {
        return false;
    }
    int64_t n = 0;
    for (size_t i = e + 1; i < amount.n; i++) {
        if (amount.p[i] >= '0' && amount.p[i] <= '9') {
            n = MIN(n * 10 + (amount.p[i] - '0'), (int64_t)1000000);
        }
    }
    return n > EXPONENT_MAX;
}

/* The amount as JSON would write it: no plus, a digit before the point and behind it. */
static bool amount_number(struct bcall *b, struct str amount, struct num *out)
{
    struct buf text;
    buf_init(&text, TEXT_MAX + 8);
    bool point_seen = false, digit_before = false;
    for (size_t i = 0; i < amount.n; i++) {
        char c = amount.p[i];
        if (c == '.') {
            if (!digit_before) {
                buf_putc(&text, '0');
            }
            point_seen = true;
            bool more = i + 1 < amount.n && amount.p[i + 1] >= '0' && amount.p[i + 1] <= '9';
            buf_puts(&text, more ? S(".") : STR_EMPTY);
        } else if (c != '+' || i > 0) {
            buf_putc(&text, c);
        }
        digit_before |= c >= '0' && c <= '9';
    }
    struct str s = arena_str(b->a, buf_str(&text));
    buf_release(&text);
    while (s.n > 1 && s.p[0] == '0' && s.p[1] >= '0' && s.p[1] <= '9') {
        s = str_sub(s, 1, s.n); /* leading zeros are fine here */
    }
    (void)point_seen;
    return digit_before && !failed(num_parse(s, out));
}

static struct err power_of(struct arena *a, int base, int power, struct num *out)
{
    struct num n = num_int(1);
    for (int i = 0; i < power; i++) {
        TRY(num_mul(a, n, num_int(base), &n));
    }
    *out = n;
    return OK;
}

static enum b_status scaled(struct bcall *b, struct num amount, struct unit u, bool whole)
{
    struct num factor, result;
    struct err e = power_of(b->a, u.base, u.power < 0 ? -u.power : u.power, &factor);
    if (!failed(e)) {
        e = u.power < 0 ? num_div(b->a, amount, factor, &result) : num_mul(b->a, amount, factor, &result);
    }
    if (failed(e)) {
        return b_fail_err(b, e);
    }
    int64_t small;
    if (num_to_i64(result, &small)) {
        result = num_int(small);
    } else if (whole) {
        result = num_sign(result) < 0 ? num_ceil(b->a, result) : num_floor(b->a, result);
    }
    return b_out(b, val_num(b->a, result));
}

struct words {
    const char *none, *not_number, *unknown;
};

static enum b_status parse_amount(struct bcall *b, const struct unit *units, size_t n, bool whole,
                                  const struct words *words)
{
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    struct str s = text;
    if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"') {
        s = str_sub(s, 1, s.n - 1);
    }
    if (str_find_char(s, ' ') != STR_NPOS) {
        return b_fail(b, "spaces not allowed in resource strings");
    }
    size_t len = amount_length(s);
    struct str amount = str_sub(s, 0, len), name = str_sub(s, len, s.n);
    struct unit u = {"", 10, 0};
    struct num number;
    if (len == 0 || len > TEXT_MAX) {
        return b_fail(b, "%s", words->none);
    }
    /* A capital M alone is mega where a small one is milli. */
    if (str_is(name, "M") && !whole) {
        u = (struct unit){"M", 10, 6};
    } else if (name.n > 0 && !find_unit(units, n, name, &u)) {
        return b_fail(b, "%s %.*s not recognized", words->unknown, STR_FMT(name));
    }
    if (too_large(amount)) {
        return b_fail(b, "exponent too large");
    }
    if (!amount_number(b, amount, &number)) {
        return b_fail(b, "%s", words->not_number);
    }
    return scaled(b, number, u, whole);
}

static enum b_status units_parse(struct bcall *b)
{
    static const struct words words = {"no amount provided", "could not parse amount to a number", "unit"};
    return parse_amount(b, parse_units, ARRAY_LEN(parse_units), false, &words);
}

static enum b_status units_parse_bytes(struct bcall *b)
{
    static const struct words words = {"no byte amount provided",
                                       "could not parse byte amount to a number", "byte unit"};
    return parse_amount(b, byte_units, ARRAY_LEN(byte_units), true, &words);
}

const struct builtin builtins_units[] = {
    {"units.parse", 1, units_parse, 0},
    {"units.parse_bytes", 1, units_parse_bytes, 0},
    {0},
};
