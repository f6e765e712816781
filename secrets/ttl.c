#include "ttl.h"

static int64_t lower(int64_t max, int64_t limit)
{
    return limit > 0 ? MIN(max, limit) : max;
}

struct err ttl_decide(const struct ttl_rules *r, struct ttl_result *out)
{
    BUG_ON(r->system_max <= 0);
    int64_t max = lower(lower(r->system_max, r->engine_max), r->explicit_max);
    struct ttl_result res = {.max_s = max};
    int64_t last = 0; /* the end that no renewal passes; 0: none */
    if (r->period > 0) {
        res.asked_s = r->period;
        res.capped = r->period > max;
        res.ttl_s = MIN(r->period, max);
        last = r->explicit_max > 0 ? r->start_s + r->explicit_max : 0;
    } else {
        res.asked_s = r->increment > 0        ? r->increment
                      : r->engine_default > 0 ? r->engine_default
                                              : r->system_default;
        res.ttl_s = res.asked_s;
        last = r->start_s + max;
    }
    if (last != 0) {
        ENSURE(last > r->now_s, ERR_INVALID, "past the max TTL, cannot renew");
        if (last - r->now_s < res.ttl_s) {
            res.ttl_s = last - r->now_s;
            res.capped = true;
        }
    }
    *out = res;
    return OK;
}
