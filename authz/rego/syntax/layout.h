/* layout: times as text in Go's notation ("2006-01-02T15:04:05Z07:00"). */
#ifndef SEXTANT_REGO_LAYOUT_H
#define SEXTANT_REGO_LAYOUT_H

#include "authz/rego/builtin/zone.h"
#include "lib/base/buf.h"

/* Seconds since 1970 and nanoseconds: wider than int64 nanoseconds. */
struct instant {
    int64_t s;
    int32_t ns;
};

struct civil {
    int64_t year, days; /* days since 1970 */
    unsigned month, day, hour, minute, second;
    int32_t ns;
    int64_t offset;
    const char *abbreviation;
};

struct civil civil_of(struct instant t, const struct zone *z);
unsigned civil_weekday(const struct civil *c); /* 0 is Sunday */
extern const char *const weekday_names[7];

/* The layout behind a name such as RFC3339, or the text itself. */
struct str layout_named(struct str name);
void layout_format(struct buf *out, struct str layout, const struct civil *c);
/* ERR_SYNTAX with Go's kind of words. */
struct err layout_parse(struct str layout, struct str text, struct instant *out);

#endif
