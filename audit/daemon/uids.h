/*
 * uids: digests of the newest events' uids, to know repeated deliveries: a ring that forgets the oldest, and a
 * table to look them up.
 */
#ifndef SEXTANT_AUDIT_UIDS_H
#define SEXTANT_AUDIT_UIDS_H

#include "lib/base/base.h"

enum { UIDS_KEPT = 32768 };

struct uids {
    uint64_t *ring, *table;
    uint64_t n; /* added ever */
};

void uids_init(struct uids *u);
void uids_release(struct uids *u);

bool uids_add(struct uids *u, uint64_t key);    /* false when it was there */
void uids_remove(struct uids *u, uint64_t key); /* it may be delivered again */
void uids_undo(struct uids *u, uint64_t key);   /* takes the newest addition back */

#endif
