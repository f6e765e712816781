/*
 * clock: what time it is, and times as text.
 *
 * Wall time is for what people and protocols see; monotonic time is for measuring and timers. Tests
 * may hold the wall clock still with clock_freeze.
 */
#ifndef SEXTANT_CLOCK_H
#define SEXTANT_CLOCK_H

#include "buf.h"

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

int64_t clock_wall_ns(void);        /* nanoseconds since 1970-01-01T00:00:00Z */
int64_t clock_wall_s(void);         /* whole seconds of the same */
int64_t clock_mono_ns(void);        /* nanoseconds since some start; never goes back */
void clock_freeze(int64_t wall_ns); /* tests only; 0 lets it run again */

/* RFC 3339 in UTC: 2026-01-31T09:05:00Z, with `digits` (0..9) digits of fraction. */
void clock_put_rfc3339(struct buf *out, int64_t wall_ns, int digits);
/* Any RFC 3339 time with any offset. ERR_SYNTAX; ERR_RANGE outside what 64-bit ns can hold. */
struct err clock_parse_rfc3339(struct str text, int64_t *wall_ns);

/* Days since 1970-01-01 of a proleptic Gregorian date, and back. Month and day count from 1. */
int64_t days_from_civil(int64_t year, unsigned month, unsigned day);
void civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);

/*
 * A duration: "90" (seconds), or numbers with units ns us ms s m h d, as "1h30m" or "1.5s".
 * ERR_SYNTAX, ERR_RANGE.
 */
struct err duration_parse(struct str text, int64_t *ns);
/* "1h2m3.5s", "12.345ms", "1.5µs", "40ns", "0s": the largest unit below the value, no zeros at the end. */
void duration_put(struct buf *out, int64_t ns);

#endif
