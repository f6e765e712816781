#include "clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static int64_t frozen;

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    BUG_ON(clock_gettime(id, &t) != 0);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_wall_ns(void)
{
    return unlikely(frozen != 0) ? frozen : read_clock(CLOCK_REALTIME);
}

int64_t clock_wall_s(void)
{
    return clock_wall_ns() / NS_PER_S;
}

int64_t clock_mono_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void clock_freeze(int64_t wall_ns)
{
    frozen = wall_ns;
}

/* Eras of 400 years, each starting on the first of March: leap days then fall at the end. */
int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t yoe = year - era * 400;
    int64_t doy = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + (int64_t)day - 1;
    int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t doe = days - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153;
    *day = (unsigned)(doy - (153 * mp + 2) / 5 + 1);
    *month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);
    *year = yoe + era * 400 + (*month <= 2);
}

void clock_put_rfc3339(struct buf *out, int64_t wall_ns, int digits)
{
    BUG_ON(digits < 0 || digits > 9);
    int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;
    if (ns < 0) {
        ns += NS_PER_S, s--;
    }
    int64_t days = s / 86400, rest = s % 86400;
    if (rest < 0) {
        rest += 86400, days--;
    }
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    buf_printf(out, "%04d-%02u-%02uT%02d:%02d:%02d", (int)year, month, day, (int)(rest / 3600),
               (int)(rest / 60 % 60), (int)(rest % 60));
    if (digits > 0) {
        for (int i = digits; i < 9; i++) {
            ns /= 10;
        }
        buf_printf(out, ".%0*d", digits, (int)ns);
    }
    buf_putc(out, 'Z');
}

struct cursor {
    struct str rest;
    bool bad;
};

static int take_digits(struct cursor *c, int count)
{
    int v = 0;
    for (int i = 0; i < count; i++) {
        if (c->rest.n == 0 || c->rest.p[0] < '0' || c->rest.p[0] > '9') {
            c->bad = true;
            return 0;
        }
        v = v * 10 + (c->rest.p[0] - '0');
        c->rest = str_sub(c->rest, 1, c->rest.n);
    }
    return v;
}

static bool take_char(struct cursor *c, const char *any_of)
{
    if (c->rest.n == 0 || c->rest.p[0] == '\0' || strchr(any_of, c->rest.p[0]) == NULL) {
        return false;
    }
    c->rest = str_sub(c->rest, 1, c->rest.n);
    return true;
}

static void need_char(struct cursor *c, const char *any_of)
{
    c->bad |= !take_char(c, any_of);
}

static int64_t take_fraction(struct cursor *c)
{
    int64_t ns = 0, unit = NS_PER_S / 10;
    bool any = false;
    while (c->rest.n > 0 && c->rest.p[0] >= '0' && c->rest.p[0] <= '9') {
        ns += (c->rest.p[0] - '0') * unit;
        unit /= 10;
        any = true;
        c->rest = str_sub(c->rest, 1, c->rest.n);
    }
    c->bad |= !any;
    return ns;
}

static int64_t take_offset(struct cursor *c)
{
    if (take_char(c, "Zz")) {
        return 0;
    }
    bool minus = c->rest.n > 0 && c->rest.p[0] == '-';
    need_char(c, "+-");
    int h = take_digits(c, 2);
    need_char(c, ":");
    int m = take_digits(c, 2);
    c->bad |= h > 23 || m > 59;
    return (minus ? -1 : 1) * (h * 3600 + m * 60);
}

static bool date_exists(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
}

struct err clock_parse_rfc3339(struct str text, int64_t *wall_ns)
{
    struct cursor c = {.rest = text};
    int year = take_digits(&c, 4);
    need_char(&c, "-");
    int month = take_digits(&c, 2);
    need_char(&c, "-");
    int day = take_digits(&c, 2);
    need_char(&c, "Tt");
    int h = take_digits(&c, 2);
    need_char(&c, ":");
    int m = take_digits(&c, 2);
    need_char(&c, ":");
    int s = take_digits(&c, 2);
    int64_t ns = take_char(&c, ".") ? take_fraction(&c) : 0;
    int64_t offset = take_offset(&c);
    ENSURE(!c.bad && c.rest.n == 0 && date_exists(year, month, day) && h < 24 && m < 60 && s < 60,
           ERR_SYNTAX, "'%.*s' is not an RFC 3339 time such as 2026-01-31T09:05:00Z",
           STR_FMT(text));
    int64_t sec = days_from_civil(year, (unsigned)month, (unsigned)day) * 86400 + h * 3600 +
                  m * 60 + s - offset;
    ENSURE(sec > INT64_MIN / NS_PER_S && sec < INT64_MAX / NS_PER_S, ERR_RANGE,
           "'%.*s' is outside the years 1678 to 2261", STR_FMT(text));
    *wall_ns = sec * NS_PER_S + ns;
    return OK;
}

static int64_t take_unit(struct str *rest)
{
    static const struct {
        struct str name;
        int64_t ns;
    } units[] = {
        {STR_INIT("ns"), 1},
        {STR_INIT("us"), 1000},
        {STR_INIT("ms"), NS_PER_MS},
        {STR_INIT("s"), NS_PER_S},
        {STR_INIT("m"), 60 * NS_PER_S},
        {STR_INIT("h"), 3600 * NS_PER_S},
        {STR_INIT("d"), 86400 * NS_PER_S},
    };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (str_starts(*rest, units[i].name)) {
            *rest = str_sub(*rest, units[i].name.n, rest->n);
            return units[i].ns;
        }
    }
    return rest->n == 0 ? NS_PER_S : 0;
}

struct err duration_parse(struct str text, int64_t *ns)
{
    struct str rest = text;
    int64_t total = 0;
    ENSURE(text.n > 0, ERR_SYNTAX, "an empty duration; write one such as 90s or 1h30m");
    while (rest.n > 0) {
        size_t digits = 0;
        while (digits < rest.n && rest.p[digits] >= '0' && rest.p[digits] <= '9') {
            digits++;
        }
        uint64_t whole = 0;
        ENSURE(digits > 0 && digits < 19, ERR_SYNTAX,
               "'%.*s' is not a duration such as 90s or 1h30m", STR_FMT(text));
        for (size_t i = 0; i < digits; i++) {
            whole = whole * 10 + (uint64_t)(rest.p[i] - '0');
        }
        struct cursor c = {.rest = str_sub(rest, digits, rest.n)};
        int64_t fraction = take_char(&c, ".") ? take_fraction(&c) : 0;
        int64_t unit = take_unit(&c.rest), part;
        ENSURE(!c.bad && unit > 0, ERR_SYNTAX, "'%.*s' is not a duration such as 90s or 1h30m",
               STR_FMT(text));
        bool big =
            __builtin_mul_overflow((int64_t)whole, unit, &part) ||
            __builtin_add_overflow(part, (int64_t)((__int128)fraction * unit / NS_PER_S), &part) ||
            __builtin_add_overflow(total, part, &total);
        ENSURE(!big, ERR_RANGE, "'%.*s' is longer than 292 years", STR_FMT(text));
        rest = c.rest;
    }
    *ns = total;
    return OK;
}

/* `n` of a unit of `scale`, with as many digits of fraction as it takes. */
static void put_scaled(struct buf *out, uint64_t n, uint64_t scale, const char *unit)
{
    char fraction[24];
    int digits = snprintf(fraction, sizeof fraction, "%" PRIu64, scale + n % scale);
    while (digits > 1 && fraction[digits - 1] == '0') {
        digits--;
    }
    buf_printf(out, "%" PRIu64, n / scale);
    if (digits > 1) {
        buf_printf(out, ".%.*s", digits - 1, fraction + 1);
    }
    buf_puts(out, str_of(unit));
}

void duration_put(struct buf *out, int64_t ns)
{
    uint64_t n = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    buf_puts(out, ns < 0 ? S("-") : S(""));
    if (n == 0) {
        buf_puts(out, S("0s"));
    } else if (n < 1000) {
        put_scaled(out, n, 1, "ns");
    } else if (n < 1000000) {
        put_scaled(out, n, 1000, "µs");
    } else if (n < NS_PER_S) {
        put_scaled(out, n, 1000000, "ms");
    } else {
        uint64_t minutes = n / (60 * (uint64_t)NS_PER_S);
        if (minutes >= 60) {
            buf_printf(out, "%" PRIu64 "h", minutes / 60);
        }
        if (minutes > 0) {
            buf_printf(out, "%" PRIu64 "m", minutes % 60);
        }
        put_scaled(out, n % (60 * (uint64_t)NS_PER_S), NS_PER_S, "s");
    }
}
