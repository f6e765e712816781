#include "authz/rego/builtin/zone.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { ZONE_FILE_MAX = 256 << 10, ZONE_NAME_MAX = 64, ZONES_MAX = 700, RULE_MAX = 64 };

struct kind {
    int32_t offset;
    uint8_t abbreviation;
};

/* When summer time begins or ends by the rule at the end of the file (POSIX TZ). */
struct change {
    char form; /* 'J', 'N' (0-based day) or 'M' */
    int month, week, day;
    int32_t at;
};

struct zone {
    char name[ZONE_NAME_MAX];
    int64_t *times;
    uint8_t *kinds_of;
    uint32_t n_times, n_kinds, n_text;
    struct kind *kinds;
    char *text;
    bool has_rule, has_summer;
    char std_name[8], dst_name[8];
    int32_t std_offset, dst_offset;
    struct change begin, end;
};

static struct zone *zones[ZONES_MAX];
static size_t n_zones;

static int64_t be(const unsigned char *p, int n)
{
    uint64_t v = (p[0] & 0x80) != 0 && n == 4 ? ~UINT64_C(0) : 0;
    for (int i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return (int64_t)v;
}

struct counts {
    uint32_t isut, isstd, leap, times, types, chars;
};

static struct counts read_counts(const unsigned char *p)
{
    return (struct counts){(uint32_t)be(p + 20, 4), (uint32_t)be(p + 24, 4),
                           (uint32_t)be(p + 28, 4), (uint32_t)be(p + 32, 4),
                           (uint32_t)be(p + 36, 4), (uint32_t)be(p + 40, 4)};
}

static size_t block_size(const struct counts *c, size_t word)
{
    return c->times * (word + 1) + c->types * 6 + c->chars + c->leap * (word + 4) + c->isstd +
           c->isut;
}

static bool rule_name(const char **p, char *out, size_t size)
{
    size_t n = 0;
    bool quoted = **p == '<';
    *p += quoted;
    while (**p != '\0' && (quoted ? **p != '>' : (**p | 32) >= 'a' && (**p | 32) <= 'z')) {
        if (n + 1 < size) {
            out[n++] = **p;
        }
        (*p)++;
    }
    *p += quoted && **p == '>';
    out[n] = '\0';
    return n > 0;
}

static int32_t rule_time(const char **p)
{
    int sign = **p == '-' ? -1 : 1;
    *p += **p == '-' || **p == '+';
    int32_t v = 0, unit = 3600;
    for (int i = 0; i < 3; i++, unit /= 60) {
        char *end;
        v += (int32_t)strtol(*p, &end, 10) * unit;
        *p = end;
        if (**p != ':') {
            break;
        }
        (*p)++;
    }
    return sign * v;
}

static void rule_change(const char **p, struct change *c)
{
    char *end;
    *p += **p == ',';
    *c = (struct change){.form = 'N', .at = 7200};
    if (**p == 'M' || **p == 'J') {
        c->form = **p;
        (*p)++;
    }
    c->day = (int)strtol(*p, &end, 10);
    if (c->form == 'M') {
        c->month = c->day;
        c->week = *end == '.' ? (int)strtol(end + 1, &end, 10) : 1;
        c->day = *end == '.' ? (int)strtol(end + 1, &end, 10) : 0;
    }
    *p = end;
    if (**p == '/') {
        (*p)++;
        c->at = rule_time(p);
    }
}

static void parse_rule(struct zone *z, const char *p)
{
    z->has_rule = rule_name(&p, z->std_name, sizeof z->std_name);
    if (!z->has_rule) {
        return;
    }
    z->std_offset = -rule_time(&p);
    z->has_summer = rule_name(&p, z->dst_name, sizeof z->dst_name);
    if (!z->has_summer) {
        return;
    }
    z->dst_offset = *p != ',' ? -rule_time(&p) : z->std_offset + 3600;
    rule_change(&p, &z->begin);
    rule_change(&p, &z->end);
}

static bool parse_block(struct zone *z, const unsigned char *p, const struct counts *c)
{
    z->times = calloc(c->times + 1, sizeof *z->times);
    z->kinds_of = calloc(c->times + 1, 1);
    z->kinds = calloc(c->types + 1, sizeof *z->kinds);
    z->text = calloc(c->chars + 1, 1);
    BUG_ON(z->times == NULL || z->kinds_of == NULL || z->kinds == NULL || z->text == NULL);
    z->n_times = c->times, z->n_kinds = c->types, z->n_text = c->chars;
    for (uint32_t i = 0; i < c->times; i++) {
        z->times[i] = be(p + 8 * (size_t)i, 8);
    }
    p += 8 * (size_t)c->times;
    memcpy(z->kinds_of, p, c->times);
    p += c->times;
    for (uint32_t i = 0; i < c->types; i++, p += 6) {
        z->kinds[i] = (struct kind){(int32_t)be(p, 4), p[5]};
        if (p[5] >= c->chars) {
            return false;
        }
    }
    memcpy(z->text, p, c->chars);
    for (uint32_t i = 0; i < c->times; i++) {
        if (z->kinds_of[i] >= c->types) {
            return false;
        }
    }
    return c->types > 0;
}

static bool parse_file(struct zone *z, const unsigned char *p, size_t n)
{
    if (n < 44 || memcmp(p, "TZif", 4) != 0 || p[4] < '2') {
        return false;
    }
    struct counts c = read_counts(p);
    size_t first = 44 + block_size(&c, 4);
    if (first + 44 > n || memcmp(p + first, "TZif", 4) != 0) {
        return false;
    }
    p += first, n -= first;
    c = read_counts(p);
    size_t size = 44 + block_size(&c, 8);
    if (c.times > 10000 || c.types > 256 || c.chars > 4096 || size > n) {
        return false;
    }
    if (!parse_block(z, p + 44, &c)) {
        return false;
    }
    char rule[RULE_MAX] = "";
    for (size_t i = size + 1, k = 0; i < n && p[i] != '\n' && k + 1 < sizeof rule; i++, k++) {
        rule[k] = (char)p[i];
    }
    parse_rule(z, rule);
    return true;
}

static bool name_is_fine(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-' || c == '+' || (c == '/' && i > 0);
        if (!ok) {
            return false;
        }
    }
    return name.n > 0 && name.n < ZONE_NAME_MAX;
}

struct err zone_find(struct str name, const struct zone **out)
{
    static const struct zone utc = {.name = "UTC", .has_rule = true, .std_name = "UTC"};
    if (name.n == 0 || str_is(name, "UTC")) {
        *out = &utc;
        return OK;
    }
    for (size_t i = 0; i < n_zones; i++) {
        if (str_is(name, zones[i]->name)) {
            *out = zones[i];
            return OK;
        }
    }
    char path[128];
    unsigned char bytes[ZONE_FILE_MAX / 16];
    ENSURE(name_is_fine(name) && n_zones < ZONES_MAX, ERR_NOT_FOUND, "unknown time zone %.*s",
           STR_FMT(name));
    snprintf(path, sizeof path, "/usr/share/zoneinfo/%.*s", STR_FMT(name));
    FILE *f = fopen(path, "rbe");
    ENSURE(f != NULL, ERR_NOT_FOUND, "unknown time zone %.*s", STR_FMT(name));
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    struct zone *z = calloc(1, sizeof *z);
    BUG_ON(z == NULL);
    snprintf(z->name, sizeof z->name, "%.*s", STR_FMT(name));
    if (!parse_file(z, bytes, n)) {
        free(z);
        FAIL(ERR_NOT_FOUND, "unknown time zone %.*s", STR_FMT(name));
    }
    zones[n_zones++] = z;
    *out = z;
    return OK;
}

static int64_t change_at(const struct change *c, int64_t year, int32_t offset)
{
    int64_t first = days_from_civil(year, 1, 1), day;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (c->form == 'J') {
        day = first + c->day - 1 + (leap && c->day >= 60);
    } else if (c->form == 'N') {
        day = first + c->day;
    } else {
        day = days_from_civil(year, (unsigned)c->month, 1);
        int64_t weekday = ((day + 4) % 7 + 7) % 7;
        day += (c->day - weekday + 7) % 7 + 7 * (c->week - 1);
        int64_t y;
        unsigned m, d;
        for (civil_from_days(day, &y, &m, &d); (int)m != c->month;
             civil_from_days(day, &y, &m, &d)) {
            day -= 7;
        }
    }
    return day * 86400 + c->at - offset;
}

static int64_t rule_offset(const struct zone *z, int64_t s, const char **abbreviation)
{
    *abbreviation = z->std_name;
    if (!z->has_summer) {
        return z->std_offset;
    }
    int64_t year;
    unsigned m, d;
    int64_t days = (s + z->std_offset) / 86400 - ((s + z->std_offset) % 86400 < 0);
    civil_from_days(days, &year, &m, &d);
    int64_t on = change_at(&z->begin, year, z->std_offset),
            off = change_at(&z->end, year, z->dst_offset);
    bool summer = on < off ? s >= on && s < off : s >= on || s < off;
    *abbreviation = summer ? z->dst_name : z->std_name;
    return summer ? z->dst_offset : z->std_offset;
}

int64_t zone_offset(const struct zone *z, int64_t s, const char **abbreviation)
{
    if (z->n_times == 0 || s >= z->times[z->n_times - 1]) {
        if (z->has_rule) {
            return rule_offset(z, s, abbreviation);
        }
    }
    uint32_t lo = 0, hi = z->n_times;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (z->times[mid] <= s) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    const struct kind *k = lo == 0 ? &z->kinds[0] : &z->kinds[z->kinds_of[lo - 1]];
    *abbreviation = z->text + k->abbreviation;
    return k->offset;
}

int64_t zone_to_utc(const struct zone *z, int64_t local_s)
{
    const char *unused;
    int64_t guess = local_s - zone_offset(z, local_s, &unused);
    int64_t again = local_s - zone_offset(z, guess, &unused);
    return guess == again ? guess : local_s - zone_offset(z, again, &unused);
}
