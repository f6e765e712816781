/*
 * mask: what must not leave in a decision log is taken out, or put something else for.
 *
 * Rules are what data.system.log.mask gives: paths like "/input/password", or {op: remove|upsert, path, value}.
 * Only /input, /result and /nd_builtin_cache may be named. Removed paths are listed in `erased`, changed ones in
 * `masked`; paths that lead nowhere are passed over.
 */
#ifndef SEXTANT_AUTHZ_MASK_H
#define SEXTANT_AUTHZ_MASK_H

#include "authz/rego/value/value.h"

enum { MASK_DEPTH_MAX = 256, MASK_RULES_MAX = 10000 };

/* The event with all rules applied. ERR_INVALID: one of them is malformed, none was applied. */
struct err mask_event(struct arena *a, struct val event, struct val rules, struct val *out);

#endif
