/*
 * revocations: marks that end tokens before they expire, kept in the store, indexed in memory, and
 * pushed to enforcement points.
 *
 * A mark has a kind and a value; a token is dead when
 *   jti      its jti is the value,
 *   family   its jti begins with the value and a dot (everything one login gave one client),
 *   session  its sid is the value,
 *   sub      its sub is the value and it was issued at or before `before`,
 *   client   its client_id is the value and it was issued at or before `before`.
 * Marks live as long as the longest-lived token they can concern.
 */
#ifndef SEXTANT_AUTHN_REVOCATIONS_H
#define SEXTANT_AUTHN_REVOCATIONS_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/store/store.h"

enum mark_kind { MARK_JTI, MARK_FAMILY, MARK_SESSION, MARK_SUBJECT, MARK_CLIENT };

struct revocations {
    struct store *store;
    struct map marks; /* "kind:value" -> struct mark */
    int64_t life_s;   /* how long a mark is kept */
    int64_t latest;   /* highest sequence number published */
};

struct token_facts {
    struct str jti, sid, sub, client_id;
    int64_t iat;
};

struct err revocations_load(struct revocations *r, struct store *store, int64_t life_s,
                            int64_t now_s);
void revocations_release(struct revocations *r);

/* Writes a mark; call inside a transaction, then revocations_refresh once it is durable. */
struct err revocation_write(struct store *store, enum mark_kind kind, struct str value,
                            int64_t now_s, int64_t expires_s);
/* Takes what was written since into the index; true when there was anything. */
struct err revocations_refresh(struct revocations *r, bool *any);
bool revocations_hit(const struct revocations *r, const struct token_facts *t);
/*
 * The earliest iat that a token for this subject and client may carry so that marks already set do not
 * hit it: later than now only in the second in which a mark was made.
 */
int64_t revocations_earliest_iat(const struct revocations *r, struct str sub, struct str client_id,
                                 int64_t now_s);
struct err revocations_prune(struct revocations *r, int64_t now_s);

/* {"next":N,"revocations":[{"seq","kind","value","before"}]}: those after `after`, oldest first. */
struct err revocations_write_json(struct revocations *r, int64_t after, struct buf *out, bool *any);

#endif
