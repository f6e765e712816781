/* sandbox_priv: the parts that sandbox_enter() puts together. */
#ifndef SEXTANT_SANDBOX_PRIV_H
#define SEXTANT_SANDBOX_PRIV_H

#include "sandbox.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANDBOX_SANITIZED 1
#endif
#endif
#ifndef SANDBOX_SANITIZED
#define SANDBOX_SANITIZED 0
#endif

/* caps.c */
struct err caps_drop_bounding(uint64_t keep);
struct err caps_set(uint64_t keep, bool for_children);
bool caps_are(uint64_t keep); /* nothing but `keep` is permitted */

/* landlock.c */
struct err landlock_enter(const struct sandbox_profile *p, struct sandbox_report *r);

/* syscalls.c */
struct err syscalls_enter(const struct sandbox_profile *p);

#endif
