/* Time: nanoseconds since 1970 as int64; what does not fit is an error. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/syntax/layout.h"

#include "lib/base/clock.h"

static bool fits(struct instant t)
{
    __int128 ns = (__int128)t.s * NS_PER_S + t.ns;
    return ns >= INT64_MIN && ns <= INT64_MAX;
}

static enum b_status instant_out(struct bcall *b, struct instant t)
{
    if (!fits(t)) {
        return b_fail(b, "time outside of valid range");
    }
    return b_out(b, val_int(b->a, (int64_t)((__int128)t.s * NS_PER_S + t.ns)));
}

static bool ns_of(struct bcall *b, struct val v, struct instant *out)
{
    int64_t ns;
    if (!val_is(v, V_NUMBER)) {
        (void)b_operand(b, 1, "must be either number (ns) or [number (ns), string (tz)] but got %s",
                        val_type_name(b->args[0]));
        return false;
    }
    if (!val_to_i64(v, &ns)) {
        (void)b_fail(b, "timestamp too big");
        return false;
    }
    out->s = ns / NS_PER_S - (ns % NS_PER_S < 0);
    out->ns = (int32_t)((ns % NS_PER_S + NS_PER_S) % NS_PER_S);
    return true;
}

static bool zone_of(struct bcall *b, struct val v, const struct zone **z)
{
    if (!val_is(v, V_STRING)) {
        (void)b_operand(b, 1, "must be either number (ns) or [number (ns), string (tz)] but got %s",
                        val_type_name(b->args[0]));
        return false;
    }
    struct str name = val_text(v);
    if (str_is(name, "Local")) {
        name = S("UTC");
    }
    struct err e = zone_find(name, z);
    if (failed(e)) {
        (void)b_fail_err(b, e);
    }
    return !failed(e);
}

/* A number, [number, zone] or [number, zone, layout]. */
static bool moment(struct bcall *b, struct val v, struct instant *t, const struct zone **z,
                   struct str *layout)
{
    struct err e = zone_find(S("UTC"), z);
    BUG_ON(failed(e));
    if (!val_is(v, V_ARRAY)) {
        return ns_of(b, v, t);
    }
    uint32_t n = val_len(v);
    if (n < 1 || !ns_of(b, val_nth(v, 0), t)) {
        return false;
    }
    if (n > 1 && !zone_of(b, val_nth(v, 1), z)) {
        return false;
    }
    if (n > 2 && layout != NULL && val_is(val_nth(v, 2), V_STRING)) {
        *layout = layout_named(val_text(val_nth(v, 2)));
    }
    return true;
}

static bool civil_operand(struct bcall *b, int pos, struct civil *c)
{
    struct instant t;
    const struct zone *z;
    if (!moment(b, b->args[pos - 1], &t, &z, NULL)) {
        return false;
    }
    *c = civil_of(t, z);
    return true;
}

static enum b_status b_now(struct bcall *b)
{
    return b_out(b, val_int(b->a, b_now_ns(b)));
}

static enum b_status triple(struct bcall *b, int64_t x, int64_t y, int64_t z)
{
    struct val v[3] = {val_int(b->a, x), val_int(b->a, y), val_int(b->a, z)};
    return b_out(b, val_array(b->a, v, 3));
}

static enum b_status b_date(struct bcall *b)
{
    struct civil c;
    return civil_operand(b, 1, &c) ? triple(b, c.year, c.month, c.day) : B_ERROR;
}

static enum b_status b_clock(struct bcall *b)
{
    struct civil c;
    return civil_operand(b, 1, &c) ? triple(b, c.hour, c.minute, c.second) : B_ERROR;
}

static enum b_status b_weekday(struct bcall *b)
{
    struct civil c;
    return civil_operand(b, 1, &c) ? b_str(b, str_of(weekday_names[civil_weekday(&c)])) : B_ERROR;
}

static enum b_status b_format(struct bcall *b)
{
    struct instant t;
    const struct zone *z;
    struct str layout = layout_named(S("RFC3339Nano"));
    if (!moment(b, b->args[0], &t, &z, &layout)) {
        return B_ERROR;
    }
    struct civil c = civil_of(t, z);
    struct buf out;
    buf_init(&out, 1 << 20);
    layout_format(&out, layout, &c);
    return b_buf(b, &out);
}

static enum b_status b_parse(struct bcall *b)
{
    struct str layout, text;
    struct instant t;
    if (!b_string(b, 1, &layout) || !b_string(b, 2, &text)) {
        return B_ERROR;
    }
    struct err e = layout_parse(layout_named(layout), text, &t);
    return failed(e) ? b_fail_err(b, e) : instant_out(b, t);
}

static enum b_status b_parse_rfc3339(struct bcall *b)
{
    struct str text;
    struct instant t;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    struct err e = layout_parse(layout_named(S("RFC3339")), text, &t);
    return failed(e) ? b_fail_err(b, e) : instant_out(b, t);
}

static const struct {
    const char *name;
    int64_t ns;
} duration_units[] = {{"ns", 1},
                      {"us", 1000},
                      {"\xc2\xb5s", 1000},
                      {"\xce\xbcs", 1000},
                      {"ms", 1000000},
                      {"s", NS_PER_S},
                      {"m", 60 * NS_PER_S},
                      {"h", 3600 * NS_PER_S},
                      {"d", 86400 * NS_PER_S},
                      {"w", 7 * 86400 * NS_PER_S},
                      {"y", 31536000 * NS_PER_S}};

/* Number and unit at the front of a duration; false when malformed. */
static bool duration_part(struct str *s, __int128 *total)
{
    __int128 v = 0, unit = 0, scale = 1, fraction = 0;
    size_t i = 0, digits = 0;
    for (; i < s->n && s->p[i] >= '0' && s->p[i] <= '9' && digits < 20; i++, digits++) {
        v = v * 10 + (s->p[i] - '0');
    }
    if (i < s->n && s->p[i] == '.') {
        for (i++; i < s->n && s->p[i] >= '0' && s->p[i] <= '9'; i++, digits++) {
            if (scale < (__int128)1000000000000000) {
                fraction = fraction * 10 + (s->p[i] - '0');
                scale *= 10;
            }
        }
    }
    *s = str_sub(*s, i, s->n);
    size_t best = 0;
    for (size_t k = 0; k < ARRAY_LEN(duration_units); k++) {
        size_t n = strlen(duration_units[k].name);
        if (n > best && str_starts(*s, str_of(duration_units[k].name))) {
            best = n;
            unit = duration_units[k].ns;
        }
    }
    *s = str_sub(*s, best, s->n);
    *total += v * unit + fraction * unit / scale;
    return digits > 0 && digits < 20 && unit > 0;
}

static enum b_status b_parse_duration(struct bcall *b)
{
    struct str s;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    struct str rest = s;
    bool minus = rest.n > 0 && rest.p[0] == '-';
    rest = str_sub(rest, minus || (rest.n > 0 && rest.p[0] == '+'), rest.n);
    if (str_is(rest, "0")) {
        return b_out(b, val_int(b->a, 0));
    }
    __int128 total = 0;
    bool ok = rest.n > 0;
    while (ok && rest.n > 0) {
        ok = duration_part(&rest, &total);
    }
    total = minus ? -total : total;
    if (!ok || total > INT64_MAX || total < INT64_MIN) {
        return b_fail(b, "time: invalid duration \"%.*s\"", STR_FMT(s));
    }
    return b_out(b, val_int(b->a, (int64_t)total));
}

static enum b_status b_add_date(struct bcall *b)
{
    struct instant t;
    const struct zone *z;
    int64_t years, months, days;
    if (!moment(b, b->args[0], &t, &z, NULL) || !b_int(b, 2, &years) || !b_int(b, 3, &months) ||
        !b_int(b, 4, &days)) {
        return B_ERROR;
    }
    int64_t limit = INT64_C(1) << 40;
    if (years > limit || years < -limit || months > limit || months < -limit || days > limit ||
        days < -limit) {
        return b_fail(b, "time outside of valid range");
    }
    struct civil c = civil_of(t, z);
    int64_t month = c.month - 1 + months, year = c.year + years + month / 12;
    month %= 12;
    if (month < 0) {
        month += 12, year--;
    }
    if (year > 100000 || year < -100000) {
        return b_fail(b, "time outside of valid range");
    }
    int64_t day = days_from_civil(year, (unsigned)month + 1, 1) + c.day - 1 + days;
    int64_t local = day * 86400 + c.hour * 3600 + c.minute * 60 + c.second;
    return instant_out(b, (struct instant){zone_to_utc(z, local), t.ns});
}

static enum b_status b_diff(struct bcall *b)
{
    struct instant x, y;
    const struct zone *zx, *zy;
    if (!moment(b, b->args[0], &x, &zx, NULL) || !moment(b, b->args[1], &y, &zy, NULL)) {
        return B_ERROR;
    }
    if (x.s > y.s || (x.s == y.s && x.ns > y.ns)) {
        struct instant t = x;
        x = y, y = t;
    }
    struct civil p = civil_of(x, zx), q = civil_of(y, zx);
    int64_t d[6] = {
        q.year - p.year,          (int64_t)q.month - p.month,   (int64_t)q.day - p.day,
        (int64_t)q.hour - p.hour, (int64_t)q.minute - p.minute, (int64_t)q.second - p.second};
    if (d[5] < 0) {
        d[5] += 60, d[4]--;
    }
    if (d[4] < 0) {
        d[4] += 60, d[3]--;
    }
    if (d[3] < 0) {
        d[3] += 24, d[2]--;
    }
    if (d[2] < 0) {
        /* Borrow the days of the month in which the earlier time lies. */
        int64_t first = days_from_civil(p.year, p.month, 1);
        int64_t next = days_from_civil(p.month == 12 ? p.year + 1 : p.year, p.month % 12 + 1, 1);
        d[2] += next - first, d[1]--;
    }
    if (d[1] < 0) {
        d[1] += 12, d[0]--;
    }
    struct val v[6];
    for (int i = 0; i < 6; i++) {
        v[i] = val_int(b->a, d[i]);
    }
    return b_out(b, val_array(b->a, v, 6));
}

const struct builtin builtins_time[] = {
    {"time.now_ns", 0, b_now, BF_NONDET},
    {"time.date", 1, b_date, 0},
    {"time.clock", 1, b_clock, 0},
    {"time.weekday", 1, b_weekday, 0},
    {"time.format", 1, b_format, 0},
    {"time.parse_ns", 2, b_parse, 0},
    {"time.parse_rfc3339_ns", 1, b_parse_rfc3339, 0},
    {"time.parse_duration_ns", 1, b_parse_duration, 0},
    {"time.add_date", 4, b_add_date, 0},
    {"time.diff", 2, b_diff, 0},
    {0},
};
