/* store_priv: what the store's files share. */
#ifndef SEXTANT_AUTHZ_STORE_PRIV_H
#define SEXTANT_AUTHZ_STORE_PRIV_H

#include "store.h"

/* Paths that the API has written: a reload from files puts them on top of what the files say. */
struct written {
    struct str *path;
    size_t n;
};

struct store_txn {
    struct authz_store *s;
    struct arena a;                 /* paths and messages of the transaction */
    struct policy_source **sources; /* owned list; counted */
    size_t n_sources, cap_sources;
    struct val data;
    struct written *writes; /* what was written, as set or removed documents */
    size_t n_writes, cap_writes;
    struct str *puts, *drops; /* ids, for the journal */
    size_t n_puts, cap_puts, n_drops, cap_drops;
    bool policies_changed, data_changed, from_disk, replaying;
};

/* store_data.c */
struct val data_set(struct arena *a, struct val v, const struct str *path, size_t n,
                    struct val leaf); /* makes objects on the way */
struct val data_without(struct arena *a, struct val v, const struct str *path, size_t n);

/* store_journal.c: one JSON object a line, appended before a commit is answered. */
void journal_close(struct authz_store *s);
struct err journal_append(struct store_journal *j, const struct store_txn *t);
/* Puts what the API wrote on top of what `t` holds: from the store as it is. */
void journal_overlay(const struct store_journal *j, struct store_txn *t);

#endif
