/*
 * pwhash: passwords kept as Argon2id (RFC 9106) in its usual text form.
 *
 * Slow on purpose: call these on the loop's pool, never on the loop itself.
 */
#ifndef SEXTANT_PWHASH_H
#define SEXTANT_PWHASH_H

#include "err.h"

enum { PWHASH_TEXT = 128, PWHASH_PASSES = 2, PWHASH_KIB = 19 * 1024 };

/* "$argon2id$v=19$m=19456,t=2,p=1$..." and a NUL. ERR_LIMIT without the memory. */
struct err pwhash_make(struct str password, char out[PWHASH_TEXT]);
bool pwhash_check(const char *hash, struct str password);

#endif
