/*
 * denylist: identity's list of SPIFFE ids that are no longer believed, held open by long polls.
 *
 * A banned workload cannot be a client, an administrator or an enforcement point here, and when it is
 * banned the tokens of its client end at once. An answer of identity is the whole list. While identity
 * cannot be reached the last list stands.
 */
#ifndef SEXTANT_AUTHN_DENYLIST_H
#define SEXTANT_AUTHN_DENYLIST_H

#include "lib/base/map.h"
#include "lib/base/str.h"

struct authn;
struct denylist;

/* `base` is "unix:/run/sextant/identity/admin.sock:". */
struct denylist *denylist_start(struct authn *n, struct str base);
void denylist_stop(struct denylist *d);                            /* NULL ok */
bool denylist_has(const struct denylist *d, struct str spiffe_id); /* NULL: nobody */

#endif
