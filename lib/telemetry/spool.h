/*
 * spool: the file that takes an audit client's lines while audit is away (AUDIT_SPOOL).
 *
 * Lines are appended and synced before they count as kept; they are read back oldest first, and the
 * file is emptied when all of it has been delivered. A crash between delivery and emptying
 * delivers some lines twice; audit drops those by their metadata.uid.
 */
#ifndef SEXTANT_SPOOL_H
#define SEXTANT_SPOOL_H

#include "lib/base/buf.h"

struct spool {
    int fd; /* -1: none */
    int64_t size, sent, max;
};

struct err spool_open(struct spool *s, const char *path, int64_t max);
void spool_close(struct spool *s);
struct err spool_append(struct spool *s, struct str line); /* not yet synced; ERR_LIMIT when full */
struct err spool_sync(struct spool *s);
/* Whole lines not yet delivered, at most `max` bytes of them, appended to `out`. */
struct err spool_peek(struct spool *s, struct buf *out, size_t max);
struct err spool_delivered(struct spool *s, size_t n); /* the first n bytes peeked are with audit */

static inline bool spool_is_empty(const struct spool *s)
{
    return s->fd < 0 || s->sent == s->size;
}

#endif
