/*
 * tlog: a tamper-evident log on disk. Entries become durable in a journal, then become part of a Merkle
 * tree whose tiles, entry bundles and signed checkpoint are plain files in tlog-tiles layout.
 *
 *     <dir>/log/checkpoint, <dir>/log/tile/...   what anyone may read (C2SP tlog-tiles)
 *     <dir>/journal/                             what is not in synced tiles yet
 *     <dir>/promised                             size and root last given to the signer
 *
 * The order that keeps the log honest: an entry is synced before it is acknowledged; the tree that a
 * checkpoint commits to is made of synced entries only; its size and root are synced in `promised`
 * before a signature is asked for; tiles are readable before the checkpoint names them. After kill -9
 * or a power cut at any moment tlog_open makes the tree again from tiles and journal and refuses
 * to go on (ERR_INVALID) unless it contains the tree that was promised: so no two checkpoints can
 * be signed that do not fit together.
 *
 *     tlog_append(t, payload, n, &first)      durable; group commit is one call for many entries
 *     tlog_integrate(t)                       tree and tiles, to be called every second or so
 *     tlog_promise(t, &checkpoint)            what to sign now, synced
 *     tlog_publish(t, signed_note)            atomic replacement of log/checkpoint
 *
 * One process owns a log: tlog_open takes a lock on <dir>/journal.
 */
#ifndef SEXTANT_TLOG_H
#define SEXTANT_TLOG_H

#include "checkpoint.h"
#include "journal.h"
#include "tiles.h"

struct tlog;

/* Makes an empty log when there is none. `origin` is copied. ERR_BUSY when another process has it. */
struct err tlog_open(const char *dir, struct str origin, struct tlog **out);
void tlog_close(struct tlog *t); /* NULL ok */

uint64_t tlog_size(const struct tlog *t);       /* durable entries */
uint64_t tlog_integrated(const struct tlog *t); /* of these, in the tree */
uint64_t tlog_published(const struct tlog *t);  /* of these, under the checkpoint in log/ */
int tlog_folder(const struct tlog *t);          /* descriptor of <dir>/log, for readers */

/*
 * Appends `entries` entries that stand in `payload` as in an entry bundle. `*first` is the index of
 * the first. Errors as journal_append.
 */
struct err tlog_append(struct tlog *t, struct str payload, unsigned entries, uint64_t *first);

/* At most `most` entries more into the tree. ERR_UNAVAILABLE when tiles find no room: call again later. */
struct err tlog_integrate(struct tlog *t, uint64_t most);

/* The checkpoint of the integrated tree, its partial tiles written and its size promised. */
struct err tlog_promise(struct tlog *t, struct checkpoint *out);

/* `note` is the checkpoint last promised, signed. */
struct err tlog_publish(struct tlog *t, const struct checkpoint *c, struct str note);

/* Syncs finished tiles and drops the journal below them. Slow (tens of ms): call when idle, or often. */
struct err tlog_retire(struct tlog *t);

/* ---- reading, by index; entries live in the arena ---- */

struct err tlog_entry(struct tlog *t, struct arena *a, uint64_t index, struct str *out);

/* Inclusion proof in the published tree (needs one). */
struct err tlog_prove(struct tlog *t, struct arena *a, uint64_t index, struct tlog_proof *out);

#endif
