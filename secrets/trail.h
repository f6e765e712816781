/*
 * trail: what became of tokens and leases, told to audit as it happens; and a short memory of revoked tokens, so
 * that one who tries a revoked token again is known by name and not as a stranger.
 */
#ifndef SEXTANT_SECRETS_TRAIL_H
#define SEXTANT_SECRETS_TRAIL_H

#include "lease.h"
#include "token.h"

enum { TRAIL_REMEMBERED = 4096 /* revoked tokens */ };

struct trail;

struct trail *trail_new(void);
void trail_free(struct trail *t); /* NULL ok */

/* One event with the accessor; remembered unless it merely expired. */
void trail_token_ended(struct core *c, const struct token *t, bool expired);
/* One event with the lease id and whether it is really gone. */
void trail_lease_ended(struct core *c, const struct lease *l, bool gone);

/* Of a token that was revoked, by its hash: false when it is not (or no longer) known. */
bool trail_recall(const struct core *c, const char *hash, struct str *accessor, struct str *who);

#endif
