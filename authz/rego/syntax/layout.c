#include "authz/rego/syntax/layout.h"

#include "lib/base/clock.h"

const char *const weekday_names[7] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                      "Thursday", "Friday", "Saturday"};
static const char *const month_names[12] = {"January",   "February", "March",    "April",
                                            "May",       "June",     "July",     "August",
                                            "September", "October",  "November", "December"};

struct civil civil_of(struct instant t, const struct zone *z)
{
    struct civil c = {.ns = t.ns};
    c.offset = zone_offset(z, t.s, &c.abbreviation);
    int64_t local = t.s + c.offset;
    c.days = local / 86400 - (local % 86400 < 0);
    int64_t rest = local - c.days * 86400;
    civil_from_days(c.days, &c.year, &c.month, &c.day);
    c.hour = (unsigned)(rest / 3600);
    c.minute = (unsigned)(rest / 60 % 60);
    c.second = (unsigned)(rest % 60);
    return c;
}

unsigned civil_weekday(const struct civil *c)
{
    return (unsigned)(((c->days + 4) % 7 + 7) % 7);
}

struct str layout_named(struct str name)
{
    static const struct {
        const char *name, *layout;
    } known[] = {
        {"ANSIC", "Mon Jan _2 15:04:05 2006"},
        {"UnixDate", "Mon Jan _2 15:04:05 MST 2006"},
        {"RubyDate", "Mon Jan 02 15:04:05 -0700 2006"},
        {"RFC822", "02 Jan 06 15:04 MST"},
        {"RFC822Z", "02 Jan 06 15:04 -0700"},
        {"RFC850", "Monday, 02-Jan-06 15:04:05 MST"},
        {"RFC1123", "Mon, 02 Jan 2006 15:04:05 MST"},
        {"RFC1123Z", "Mon, 02 Jan 2006 15:04:05 -0700"},
        {"RFC3339", "2006-01-02T15:04:05Z07:00"},
        {"RFC3339Nano", "2006-01-02T15:04:05.999999999Z07:00"},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_is(name, known[i].name)) {
            return str_of(known[i].layout);
        }
    }
    return name;
}

enum piece {
    P_LITERAL,
    P_YEAR,
    P_YEAR2,
    P_MONTH,
    P_MONTH2,
    P_MONTH_NAME,
    P_MONTH_SHORT,
    P_DAY,
    P_DAY2,
    P_DAY_PAD,
    P_YEARDAY,
    P_WEEKDAY,
    P_WEEKDAY_SHORT,
    P_HOUR24,
    P_HOUR12,
    P_HOUR12_2,
    P_MINUTE,
    P_MINUTE2,
    P_SECOND,
    P_SECOND2,
    P_PM,
    P_PM_LOWER,
    P_ZONE_NAME,
    P_ZONE,
    P_FRACTION,
};

struct token {
    enum piece piece;
    struct str text;
};

static const struct {
    const char *text;
    enum piece piece;
} pieces[] = {
    {"January", P_MONTH_NAME},
    {"Jan", P_MONTH_SHORT},
    {"Monday", P_WEEKDAY},
    {"Mon", P_WEEKDAY_SHORT},
    {"MST", P_ZONE_NAME},
    {"2006", P_YEAR},
    {"002", P_YEARDAY},
    {"01", P_MONTH2},
    {"02", P_DAY2},
    {"03", P_HOUR12_2},
    {"04", P_MINUTE2},
    {"05", P_SECOND2},
    {"06", P_YEAR2},
    {"15", P_HOUR24},
    {"_2", P_DAY_PAD},
    {"PM", P_PM},
    {"pm", P_PM_LOWER},
    {"Z07:00:00", P_ZONE},
    {"Z070000", P_ZONE},
    {"Z07:00", P_ZONE},
    {"Z0700", P_ZONE},
    {"Z07", P_ZONE},
    {"-07:00:00", P_ZONE},
    {"-070000", P_ZONE},
    {"-07:00", P_ZONE},
    {"-0700", P_ZONE},
    {"-07", P_ZONE},
    {"1", P_MONTH},
    {"2", P_DAY},
    {"3", P_HOUR12},
    {"4", P_MINUTE},
    {"5", P_SECOND},
};

/* `.000` or `,999` behind seconds, not followed by another digit. */
static size_t fraction_length(struct str s)
{
    if (s.n < 2 || (s.p[0] != '.' && s.p[0] != ',') || (s.p[1] != '0' && s.p[1] != '9')) {
        return 0;
    }
    size_t n = 1;
    while (n < s.n && s.p[n] == s.p[1]) {
        n++;
    }
    return n < s.n && s.p[n] >= '0' && s.p[n] <= '9' ? 0 : n;
}

static struct token next_token(struct str *rest)
{
    size_t fraction = fraction_length(*rest);
    struct token t = {P_LITERAL, str_sub(*rest, 0, 1)};
    if (fraction > 0) {
        t = (struct token){P_FRACTION, str_sub(*rest, 0, fraction)};
    } else if (str_starts(*rest, S("_2006"))) {
        t.text = str_sub(*rest, 0, 1);
    } else {
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
            if (str_starts(*rest, str_of(pieces[i].text))) {
                /* "Janet" holds no month: a letter may not follow the short names. */
                size_t n = strlen(pieces[i].text);
                bool name = pieces[i].piece == P_MONTH_SHORT || pieces[i].piece == P_WEEKDAY_SHORT;
                if (name && n < rest->n && rest->p[n] >= 'a' && rest->p[n] <= 'z') {
                    continue;
                }
                t = (struct token){pieces[i].piece, str_sub(*rest, 0, n)};
                break;
            }
        }
    }
    *rest = str_sub(*rest, t.text.n, rest->n);
    return t;
}

static void put_zone(struct buf *out, struct str form, int64_t offset)
{
    if (form.p[0] == 'Z' && offset == 0) {
        buf_putc(out, 'Z');
        return;
    }
    bool colon = str_find_char(form, ':') != STR_NPOS;
    int64_t o = offset < 0 ? -offset : offset;
    size_t digits = form.n - 1 - (colon ? (form.n > 6 ? 2 : 1) : 0);
    buf_printf(out, "%c%02d", offset < 0 ? '-' : '+', (int)(o / 3600));
    if (digits >= 4) {
        buf_printf(out, "%s%02d", colon ? ":" : "", (int)(o / 60 % 60));
    }
    if (digits >= 6) {
        buf_printf(out, "%s%02d", colon ? ":" : "", (int)(o % 60));
    }
}

static void put_fraction(struct buf *out, struct str form, int32_t ns)
{
    char digits[16];
    snprintf(digits, sizeof digits, "%09d", ns);
    size_t n = MIN(form.n - 1, (size_t)9);
    if (form.p[1] == '9') {
        while (n > 0 && digits[n - 1] == '0') {
            n--;
        }
        if (n == 0) {
            return;
        }
    }
    buf_putc(out, form.p[0]);
    buf_put(out, digits, n);
}

static void put_piece(struct buf *out, struct token t, const struct civil *c)
{
    unsigned hour12 = c->hour % 12 == 0 ? 12 : c->hour % 12;
    switch (t.piece) {
    case P_LITERAL:
        buf_puts(out, t.text);
        break;
    case P_YEAR:
        buf_printf(out, "%04lld", (long long)c->year);
        break;
    case P_YEAR2:
        buf_printf(out, "%02lld", (long long)(c->year % 100));
        break;
    case P_MONTH:
        buf_printf(out, "%u", c->month);
        break;
    case P_MONTH2:
        buf_printf(out, "%02u", c->month);
        break;
    case P_MONTH_NAME:
        buf_puts(out, str_of(month_names[c->month - 1]));
        break;
    case P_MONTH_SHORT:
        buf_put(out, month_names[c->month - 1], 3);
        break;
    case P_DAY:
        buf_printf(out, "%u", c->day);
        break;
    case P_DAY2:
        buf_printf(out, "%02u", c->day);
        break;
    case P_DAY_PAD:
        buf_printf(out, "%2u", c->day);
        break;
    case P_YEARDAY:
        buf_printf(out, "%03lld", (long long)(c->days - days_from_civil(c->year, 1, 1) + 1));
        break;
    case P_WEEKDAY:
        buf_puts(out, str_of(weekday_names[civil_weekday(c)]));
        break;
    case P_WEEKDAY_SHORT:
        buf_put(out, weekday_names[civil_weekday(c)], 3);
        break;
    case P_HOUR24:
        buf_printf(out, "%02u", c->hour);
        break;
    case P_HOUR12:
        buf_printf(out, "%u", hour12);
        break;
    case P_HOUR12_2:
        buf_printf(out, "%02u", hour12);
        break;
    case P_MINUTE:
        buf_printf(out, "%u", c->minute);
        break;
    case P_MINUTE2:
        buf_printf(out, "%02u", c->minute);
        break;
    case P_SECOND:
        buf_printf(out, "%u", c->second);
        break;
    case P_SECOND2:
        buf_printf(out, "%02u", c->second);
        break;
    case P_PM:
        buf_puts(out, c->hour >= 12 ? S("PM") : S("AM"));
        break;
    case P_PM_LOWER:
        buf_puts(out, c->hour >= 12 ? S("pm") : S("am"));
        break;
    case P_ZONE_NAME:
        buf_puts(out, str_of(c->abbreviation));
        break;
    case P_ZONE:
        put_zone(out, t.text, c->offset);
        break;
    case P_FRACTION:
        put_fraction(out, t.text, c->ns);
        break;
    }
}

void layout_format(struct buf *out, struct str layout, const struct civil *c)
{
    while (layout.n > 0) {
        put_piece(out, next_token(&layout), c);
    }
}

struct reading {
    struct str rest;
    bool bad, pm, am, has_yearday;
    int64_t year;
    unsigned month, day, hour, minute, second, yearday;
    int32_t ns;
    int64_t offset;
};

static unsigned digits(struct reading *r, size_t least, size_t most)
{
    unsigned v = 0;
    size_t n = 0;
    while (n < most && n < r->rest.n && r->rest.p[n] >= '0' && r->rest.p[n] <= '9') {
        v = v * 10 + (unsigned)(r->rest.p[n++] - '0');
    }
    r->bad |= n < least;
    r->rest = str_sub(r->rest, n, r->rest.n);
    return v;
}

static unsigned name(struct reading *r, const char *const *names, unsigned n, bool shorter)
{
    for (unsigned i = 0; i < n; i++) {
        struct str full = shorter ? str_n(names[i], 3) : str_of(names[i]);
        if (str_starts_nocase(r->rest, full)) {
            r->rest = str_sub(r->rest, full.n, r->rest.n);
            return i;
        }
    }
    r->bad = true;
    return 0;
}

static void read_zone(struct reading *r, struct str form)
{
    if (form.p[0] == 'Z' && str_starts(r->rest, S("Z"))) {
        r->rest = str_sub(r->rest, 1, r->rest.n);
        return;
    }
    bool minus = str_starts(r->rest, S("-")), colon = str_find_char(form, ':') != STR_NPOS;
    r->bad |= !minus && !str_starts(r->rest, S("+"));
    r->rest = str_sub(r->rest, 1, r->rest.n);
    size_t parts = form.n <= 3 ? 1 : form.n <= 6 ? 2 : 3;
    int64_t offset = 0, unit = 3600;
    for (size_t i = 0; i < parts; i++, unit /= 60) {
        if (i > 0 && colon) {
            r->bad |= !str_starts(r->rest, S(":"));
            r->rest = str_sub(r->rest, 1, r->rest.n);
        }
        unsigned v = digits(r, 2, 2);
        r->bad |= v > (i == 0 ? 24 : 60);
        offset += v * unit;
    }
    r->offset = minus ? -offset : offset;
}

static void read_fraction(struct reading *r, size_t exact)
{
    if (r->rest.n < 2 || (r->rest.p[0] != '.' && r->rest.p[0] != ',')) {
        r->bad |= exact > 0;
        return;
    }
    r->rest = str_sub(r->rest, 1, r->rest.n);
    size_t n = 0;
    int32_t unit = 100000000;
    r->ns = 0; /* a layout may have several; the last one counts, as in Go */
    while (n < r->rest.n && r->rest.p[n] >= '0' && r->rest.p[n] <= '9') {
        r->ns += (r->rest.p[n] - '0') * unit;
        unit /= 10;
        n++;
    }
    r->bad |= n == 0 || (exact > 0 && n != exact);
    r->rest = str_sub(r->rest, n, r->rest.n);
}

/* Three or four capitals; GMT+3 is a name with an offset. Unknown ones count as UTC. */
static void read_zone_name(struct reading *r)
{
    size_t n = 0;
    while (n < r->rest.n && n < 5 && r->rest.p[n] >= 'A' && r->rest.p[n] <= 'Z') {
        n++;
    }
    r->bad |= n < 3;
    r->rest = str_sub(r->rest, n, r->rest.n);
}

static void seconds_then_fraction(struct reading *r, struct str layout)
{
    /* Go takes a fraction behind seconds even if the layout has none. */
    bool follows = r->rest.n > 1 && (r->rest.p[0] == '.' || r->rest.p[0] == ',') &&
                   r->rest.p[1] >= '0' && r->rest.p[1] <= '9';
    if (follows && fraction_length(layout) == 0) {
        read_fraction(r, 0);
    }
}

static void read_piece(struct reading *r, struct token t, struct str layout)
{
    switch (t.piece) {
    case P_LITERAL:
        if (t.text.p[0] == ' ' && !str_starts(r->rest, S(" "))) {
            r->bad |= r->rest.n > 0;
            return;
        }
        r->bad |= !str_starts(r->rest, t.text);
        r->rest = str_sub(r->rest, t.text.n, r->rest.n);
        return;
    case P_YEAR:
        r->year = digits(r, 4, 4);
        return;
    case P_YEAR2:
        r->year = digits(r, 2, 2);
        r->year += r->year >= 69 ? 1900 : 2000;
        return;
    case P_MONTH:
    case P_MONTH2:
        r->month = digits(r, t.piece == P_MONTH2 ? 2 : 1, 2);
        return;
    case P_MONTH_NAME:
    case P_MONTH_SHORT:
        r->month = name(r, month_names, 12, t.piece == P_MONTH_SHORT) + 1;
        return;
    case P_DAY_PAD:
        r->rest = str_sub(r->rest, str_starts(r->rest, S(" ")), r->rest.n);
        r->day = digits(r, 1, 2);
        return;
    case P_DAY:
    case P_DAY2:
        r->day = digits(r, t.piece == P_DAY2 ? 2 : 1, 2);
        return;
    case P_YEARDAY:
        r->yearday = digits(r, 3, 3);
        r->has_yearday = true;
        return;
    case P_WEEKDAY:
    case P_WEEKDAY_SHORT:
        (void)name(r, weekday_names, 7, t.piece == P_WEEKDAY_SHORT);
        return;
    case P_HOUR24:
        r->hour = digits(r, 2, 2);
        return;
    case P_HOUR12:
    case P_HOUR12_2:
        r->hour = digits(r, t.piece == P_HOUR12_2 ? 2 : 1, 2);
        r->bad |= r->hour > 12;
        return;
    case P_MINUTE:
    case P_MINUTE2:
        r->minute = digits(r, t.piece == P_MINUTE2 ? 2 : 1, 2);
        return;
    case P_SECOND:
    case P_SECOND2:
        r->second = digits(r, t.piece == P_SECOND2 ? 2 : 1, 2);
        seconds_then_fraction(r, layout);
        return;
    case P_PM:
    case P_PM_LOWER: {
        bool upper = t.piece == P_PM;
        r->pm = str_starts(r->rest, upper ? S("PM") : S("pm"));
        r->am = str_starts(r->rest, upper ? S("AM") : S("am"));
        r->bad |= !r->pm && !r->am;
        r->rest = str_sub(r->rest, 2, r->rest.n);
        return;
    }
    case P_ZONE_NAME:
        read_zone_name(r);
        return;
    case P_ZONE:
        read_zone(r, t.text);
        return;
    case P_FRACTION:
        read_fraction(r, t.text.p[1] == '0' ? t.text.n - 1 : 0);
        return;
    }
}

static unsigned month_length(int64_t year, unsigned month)
{
    return (unsigned)(days_from_civil(month == 12 ? year + 1 : year, month % 12 + 1, 1) -
                      days_from_civil(year, month, 1));
}

struct err layout_parse(struct str layout, struct str text, struct instant *out)
{
    struct reading r = {.rest = text, .month = 1, .day = 1};
    struct str rest = layout;
    while (rest.n > 0 && !r.bad) {
        struct token t = next_token(&rest);
        read_piece(&r, t, rest);
    }
    ENSURE(!r.bad, ERR_SYNTAX, "parsing time \"%.*s\" as \"%.*s\": cannot parse", STR_FMT(text),
           STR_FMT(layout));
    ENSURE(r.rest.n == 0, ERR_SYNTAX, "parsing time \"%.*s\": extra text: \"%.*s\"", STR_FMT(text),
           STR_FMT(r.rest));
    bool range = r.month >= 1 && r.month <= 12 && r.hour < 24 && r.minute < 60 && r.second < 60;
    ENSURE(range, ERR_SYNTAX, "parsing time \"%.*s\": out of range", STR_FMT(text));
    ENSURE(r.day >= 1 && r.day <= month_length(r.year, r.month), ERR_SYNTAX,
           "parsing time \"%.*s\": day out of range", STR_FMT(text));
    if (r.pm && r.hour < 12) {
        r.hour += 12;
    } else if (r.am && r.hour == 12) {
        r.hour = 0;
    }
    int64_t days = r.has_yearday ? days_from_civil(r.year, 1, 1) + r.yearday - 1
                                 : days_from_civil(r.year, r.month, r.day);
    out->s = days * 86400 + r.hour * 3600 + r.minute * 60 + r.second - r.offset;
    out->ns = r.ns;
    return OK;
}
