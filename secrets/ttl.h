/* ttl: how long a token or a lease may live, from everything that has a say in it. */
#ifndef SEXTANT_SECRETS_TTL_H
#define SEXTANT_SECRETS_TTL_H

#include "lib/base/err.h"

/* All in seconds; 0 means "says nothing". */
struct ttl_rules {
    int64_t system_default, system_max; /* of the mount; system_max must be set */
    int64_t increment;                  /* what the client asks for; negative: nothing */
    int64_t engine_default, engine_max;
    int64_t period; /* periodic tokens: bounded by explicit_max alone */
    int64_t explicit_max;
    int64_t start_s, now_s; /* when it was first issued, and now */
};

struct ttl_result {
    int64_t ttl_s;
    bool capped; /* asked for more than allowed: the client is warned */
    int64_t asked_s, max_s;
};

/* ERR_INVALID "past the max TTL, cannot renew". */
struct err ttl_decide(const struct ttl_rules *r, struct ttl_result *out);

#endif
