/*
 * throttle: limits on guessing. Failures are counted for an account, for a source address, and for the
 * pair of both; each counter that passes its allowance blocks for a time that doubles with every
 * further failure, up to a quarter of an hour. Nothing locks for good.
 *
 * The allowance of a pair is small, that of an account larger: an attacker elsewhere slows himself
 * long before he slows the account's owner. Unknown accounts count like known ones. The table is
 * bounded, in memory, and runs on monotonic time.
 */
#ifndef SEXTANT_AUTHN_THROTTLE_H
#define SEXTANT_AUTHN_THROTTLE_H

#include "lib/base/map.h"

struct throttle {
    struct map counters;
    int64_t swept_ns;
};

void throttle_init(struct throttle *t);
void throttle_release(struct throttle *t);

/* Seconds until another try is allowed; 0: now. `source` is an address without port. */
int64_t throttle_wait_s(const struct throttle *t, struct str account, struct str source,
                        int64_t mono_ns);
void throttle_failed(struct throttle *t, struct str account, struct str source, int64_t mono_ns);
void throttle_succeeded(struct throttle *t, struct str account, struct str source);

/* "10.0.0.1:4242" or "[::1]:4242" without its port; the /64 of an IPv6 address. */
struct str throttle_source(struct str addr, char *storage, size_t size);

#endif
