/*
 * journal: where an event becomes durable. Append-only segment files of batches; one fdatasync a
 * batch; everything else in the log (tiles, indexes, detections) can be made again from here.
 *
 * A segment is named by the index of its first entry (20 digits) and is preallocated, so that a
 * batch that has room can never meet a full disk half-way. A batch is
 *     magic u32 | entries u32 | bytes u32 | crc32c of the payload u32 | first index u64 |
 *     crc32c of the above u32        (little endian)
 *     payload: each entry as in an entry bundle (u16 big endian length, bytes)
 * The magic is not UTF-8, so no event can look like a batch.
 *
 * After a crash only the last batch can be torn, because each was synced before the next was
 * begun. journal_open drops a torn last batch (it was never acknowledged) and refuses to start when
 * an intact batch follows a broken one, for then something else has changed the file.
 */
#ifndef SEXTANT_JOURNAL_H
#define SEXTANT_JOURNAL_H

#include "lib/base/buf.h"

enum {
    JOURNAL_SEGMENT = 16 << 20,  /* bytes of a segment */
    JOURNAL_BATCH_MAX = 4 << 20, /* bytes of a batch's payload */
    JOURNAL_BATCH_HEAD = 28,
};

struct journal {
    int dir;           /* not owned */
    int fd;            /* newest segment; -1 before the first append */
    uint64_t segment;  /* its first index */
    uint64_t at, room; /* where the next batch goes; bytes allocated */
    uint64_t next;     /* index of the next entry: all below it are durable */
    uint64_t first;    /* index of the oldest entry still here */
    bool broken;       /* a sync failed: only a new start may go on */
};

/* `dir` is the folder's descriptor. ERR_INVALID when the journal was changed or has a gap. */
struct err journal_open(struct journal *j, int dir);
void journal_close(struct journal *j);

/*
 * Writes `entries` entries, encoded one after the other in `payload`, and syncs. On return without an
 * error they are durable. ERR_UNAVAILABLE: the disk is full and nothing has changed. ERR_IO: the
 * journal is broken and refuses everything until opened anew.
 */
struct err journal_append(struct journal *j, struct str payload, unsigned entries);

/* Reads on from a place that is kept in the cursor: zero it and set `index` to begin. */
struct journal_cursor {
    uint64_t index; /* of the next entry */
    int fd;         /* open segment, with `opened` */
    bool opened;
    uint64_t at;
    struct buf batch; /* payload being read */
    struct str rest;
};

void journal_cursor_init(struct journal_cursor *c, uint64_t index);
void journal_cursor_release(struct journal_cursor *c);
/* The next entry, valid until the next call; `*end` when all durable entries are read. */
struct err journal_next(struct journal *j, struct journal_cursor *c, struct str *entry, bool *end);

/* Removes segments all of whose entries are below `index`; the newest always stays. */
struct err journal_drop_below(struct journal *j, uint64_t index);

#endif
