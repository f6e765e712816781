/*
 * tlog_read: entries, hashes and proofs out of a tlog-tiles folder, by whoever can read its files.
 *
 * Everything read is hostile until checked: bundles and tiles are bounded and must have exactly the
 * width their name says. The last tile read of each kind is kept, since neighbours are read together.
 */
#ifndef SEXTANT_TLOG_READ_H
#define SEXTANT_TLOG_READ_H

#include "lib/base/arena.h"
#include "tiles.h"

struct tlog_reader {
    int dir;       /* of the folder that holds `checkpoint` and `tile`; not owned */
    uint64_t size; /* tree size whose tiles are read */
    struct hash tile[TILE_WIDTH];
    struct tile_name tile_name; /* width 0: nothing kept */
    struct buf bundle;
    struct tile_name bundle_name;
};

void tlog_reader_init(struct tlog_reader *r, int dir, uint64_t size);
void tlog_reader_release(struct tlog_reader *r);

/* The tile of this level and number at the reader's size, as name and contents. */
struct err tlog_read_tile(struct tlog_reader *r, unsigned level, uint64_t n);
struct err tlog_read_bundle(struct tlog_reader *r, uint64_t n);
/* One entry, valid until the next bundle is read. */
struct err tlog_read_entry(struct tlog_reader *r, uint64_t index, struct str *out);

/* For merkle_prove_*: hashes of perfect subtrees, out of tiles. */
struct merkle_source tlog_source(struct tlog_reader *r);

/* Reads a file of log/ as it is: of a tile, also when only a wider partial or the full one is there. */
struct err tlog_read_partial(struct tlog_reader *r, const struct tile_name *name, struct buf *out);

#endif
