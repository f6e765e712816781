/*
 * syslog: an event as one RFC 5424 message, framed for TCP by octet counting (RFC 6587 section 3.4.1).
 *
 *     <PRI>1 TIME HOST sextant-audit - CLASS [sextant@32473 index="..." ...] {the event's JSON}
 */
#ifndef SEXTANT_AUDIT_SYSLOG_H
#define SEXTANT_AUDIT_SYSLOG_H

#include "event.h"

enum { SYSLOG_HOST_MAX = 255, SYSLOG_FACILITY_MAX = 23 };

/* `facility` 0..23; `host` is cut to printable ASCII of at most 255. */
void syslog_put(struct buf *out, unsigned facility, struct str host, uint64_t index,
                const struct event *e, struct str json);

#endif
