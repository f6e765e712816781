/*
 * index: from a value that stands in events to the events, for questions that must not read the log.
 *
 * Events are cut into segments of INDEX_SEGMENT. The newest segment is in memory; a full one is
 * written to a file of sorted keys with their postings. A key is the first 8 bytes of SHA-256
 * of the value; readers look at each event found, so a collision costs a read, never a wrong
 * answer. An index is derived: when files are missing or spoilt they are dropped with all later ones, and
 * the caller feeds the events again from index_next() on.
 */
#ifndef SEXTANT_AUDIT_INDEX_H
#define SEXTANT_AUDIT_INDEX_H

#include "lib/base/buf.h"

enum {
    INDEX_SEGMENT = 16384,     /* events */
    INDEX_KEYS_PER_EVENT = 24, /* more values of one event are not indexed */
};

struct index;

struct err index_open(const char *dir, struct index **out); /* makes the folder */
void index_close(struct index *x);                          /* NULL ok */

/* The first event that is not indexed yet. */
uint64_t index_next(const struct index *x);
/* Forgets events from `size` on: the log does not have them (a restored copy). */
void index_limit(struct index *x, uint64_t size);

uint64_t index_key(struct str value);

/*
 * Adds event index_next(). `time_ms` bounds searches by time. A full segment that cannot be written stays
 * in memory and the error (ERR_UNAVAILABLE) is returned; the event is not added then: call again.
 */
struct err index_add(struct index *x, int64_t time_ms, const uint64_t *keys, size_t n);

/*
 * Events that may hold the value of `key`, in rising order from `from` on, as far as `cap` allows; only of
 * segments with events in [since_ms, until_ms]. *n is the count.
 */
struct err index_find(struct index *x, uint64_t key, uint64_t from, int64_t since_ms,
                      int64_t until_ms, uint64_t *out, size_t cap, size_t *n);

#endif
