/* zone: time zones from the system's TZif files (RFC 8536), each read once and kept. */
#ifndef SEXTANT_REGO_ZONE_H
#define SEXTANT_REGO_ZONE_H

#include "lib/base/err.h"

struct zone;

/* "UTC", "Europe/Paris", … ERR_NOT_FOUND. Kept for the life of the process. */
struct err zone_find(struct str name, const struct zone **out);
/* Offset from UTC in seconds at this second, and the abbreviation in force. */
int64_t zone_offset(const struct zone *z, int64_t unix_s, const char **abbreviation);
/* The second at which a clock on the wall there shows this local time (the earlier one of two). */
int64_t zone_to_utc(const struct zone *z, int64_t local_s);

#endif
