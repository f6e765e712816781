/*
 * denylist: identities, certificates and tokens that are no longer to be believed, and who waits to hear of it.
 *
 * Every change raises the sequence number and answers all waiting enforcement points at once. An answer
 * is the whole list, so that a point which missed changes needs nothing more:
 *
 *     GET /v1/denylist?after=7
 *     {"sequence": 8, "entries": [{"spiffe_id": "spiffe://…", "since": 1769850000, "reason": "…"},
 *                                 {"serial": "01ab…", …}, {"jti": "…", …}]}
 */
#ifndef SEXTANT_IDENTITY_DENYLIST_H
#define SEXTANT_IDENTITY_DENYLIST_H

#include "lib/http/router.h"
#include "lib/json/json.h"
#include "lib/store/store.h"
#include "lib/x509/issue.h"

enum {
    DENYLIST_MAX = 100000,
    DENYLIST_WAITERS_MAX = 10000,
    DENYLIST_WAIT_MS = 30000,
    DENYLIST_VALUE_MAX = 2048,
    DENYLIST_REASON_MAX = 1024
};

struct ban {
    struct str kind;          /* "spiffe_id", "serial" or "jti"; a constant */
    struct str value, reason; /* owned */
    int64_t since_s;
};

struct deny_waiter;

struct denylist {
    struct store *store;
    struct loop *loop;
    struct ban *bans;
    size_t n;
    uint64_t sequence;
    struct x509_revoked *revoked; /* live certificates of banned identities, and banned serials */
    size_t n_revoked;
    struct deny_waiter *waiters;
    size_t n_waiters;
};

struct err denylist_open(struct store *s, struct loop *l, struct denylist *out);
void denylist_close(struct denylist *d);
/* ERR_INVALID for another kind or a malformed value. Banning again renews the reason. */
struct err denylist_check(struct str kind, struct str value, struct str reason);
struct err denylist_add(struct denylist *d, struct str kind, struct str value, struct str reason,
                        int64_t now_s);
struct err denylist_remove(struct denylist *d, struct str kind,
                           struct str value); /* ERR_NOT_FOUND */
bool denylist_has(const struct denylist *d, const char *kind, struct str value);
/* A certificate was handed out: remembered until it expires, for revocation lists. */
void denylist_issued(struct denylist *d, struct str spiffe_id, struct str serial,
                     int64_t not_after_s);
void denylist_prune(struct denylist *d, int64_t now_s);

struct json *denylist_to_json(struct arena *a, const struct denylist *d);
void denylist_handler(struct http_req *req, void *ctx); /* GET /v1/denylist; ctx is the list */

#endif
