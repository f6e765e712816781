/*
 * bans: identity's deny-list, followed. Enforcement points refuse whoever is on it, within milliseconds of the
 * ban, by holding a long poll open: GET /v1/denylist?after=N, whose answer is the whole list.
 *
 *     TRY(bans_follow(d, STR_EMPTY, changed, ctx, &bans));
 *     ENSURE(!bans_has(bans, caller), ERR_DENIED, "permission denied");
 *
 * Until the first answer the list is unknown: callers that only a list could refuse must then be refused.
 */
#ifndef SEXTANT_DAEMON_BANS_H
#define SEXTANT_DAEMON_BANS_H

#include "lib/daemon/daemon.h"

enum { BANS_BODY_MAX = 16 << 20 };

struct bans;

/*
 * `url`: base URL of identity; empty: its admin socket in run_dir. `on_change` (NULL ok) is called for each id that is
 * banned anew or allowed again.
 */
struct err bans_follow(struct daemon *d, struct str url,
                       void (*on_change)(void *ctx, struct str spiffe_id, bool banned), void *ctx,
                       struct bans **out);
void bans_free(struct bans *b); /* NULL ok */

bool bans_known(const struct bans *b); /* has an answer come yet? */
bool bans_has(const struct bans *b, struct str spiffe_id);

#endif
