/*
 * registry: all registration entries, on disk and in memory, found by selector.
 *
 * The database is the truth; memory holds every entry, indexed by selector, so that matching a workload
 * costs as much as it has selectors. Bans and federated bundles are in the same database.
 */
#ifndef SEXTANT_IDENTITY_REGISTRY_H
#define SEXTANT_IDENTITY_REGISTRY_H

#include "entry.h"
#include "lib/base/map.h"
#include "lib/store/store.h"

enum { REGISTRY_ENTRIES_MAX = 1000000, REGISTRY_MATCH_MAX = 64 };

struct registry {
    struct store *store;
    struct str domain;      /* of the configuration */
    struct map by_id;       /* struct entry */
    struct map by_selector; /* struct posting */
    size_t hashed;          /* entries with a sha256 selector: only then is a program hashed */
    void (*drop_svid)(struct entry *e); /* gives an entry's SVID back before the entry goes */
};

struct err registry_open(struct store *s, struct str domain, void (*drop_svid)(struct entry *e),
                         struct registry *out);
void registry_close(struct registry *r);

/* Takes `e` on success. ERR_EXISTS for the same id, or the same ids and selectors. */
struct err registry_create(struct registry *r, struct entry *e);
struct err registry_add_builtin(struct registry *r, struct entry *e); /* memory alone */
void registry_drop_builtin(struct registry *r); /* before they are made anew */
/* Replaces the entry of e->id; takes `e`. ERR_NOT_FOUND, ERR_DENIED for a builtin one. */
struct err registry_update(struct registry *r, struct entry *e);
struct err registry_delete(struct registry *r, struct str id);
struct entry *registry_find(const struct registry *r, struct str id);
/* Would registry_create refuse it? */
struct err registry_check_new(const struct registry *r, const struct entry *e);

/* Entries all of whose selectors are in `have`, oldest first, not expired; at most REGISTRY_MATCH_MAX. */
size_t registry_match(struct registry *r, const struct strs *have, int64_t now_s,
                      struct entry *out[REGISTRY_MATCH_MAX]);

#endif
