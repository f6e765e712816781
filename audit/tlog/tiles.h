/*
 * tiles: names and contents of the files of a tlog-tiles log (C2SP tlog-tiles).
 *
 * A tile holds up to 256 hashes of one tree level; an entry bundle holds up to 256 entries, each as
 * two bytes of length and the bytes. Their paths below the log's prefix are
 *     tile/<L>/<N>[.p/<W>]    and    tile/entries/<N>[.p/<W>]
 * with N in groups of three digits, all but the last prefixed by x: 1234067 is x001/x234/067.
 */
#ifndef SEXTANT_TILES_H
#define SEXTANT_TILES_H

#include "lib/base/buf.h"
#include "merkle.h"

enum {
    TILE_WIDTH = 256,
    TILE_BYTES = TILE_WIDTH * MERKLE_HASH,
    TILE_LEVELS = 8, /* 256^8 entries fill 64 bits */
    TILE_PATH_MAX = 64,
    ENTRY_MAX = 65535, /* bytes of one entry: its length is 16 bits */
    BUNDLE_MAX = TILE_WIDTH * (2 + ENTRY_MAX),
};

struct tile_name {
    bool entries;   /* an entry bundle; `level` is then 0 */
    unsigned level; /* 0..63 */
    uint64_t n;
    unsigned width; /* 1..256; 256 is a full tile */
};

/* Writes the path with a NUL at its end. */
void tile_path(const struct tile_name *name, char out[TILE_PATH_MAX]);
/* The reverse, strictly: any other spelling of the same tile is ERR_SYNTAX. */
struct err tile_path_parse(struct str path, struct tile_name *out);

/* How many nodes level `level` (in tiles, so of 256^level leaves each) has at a tree size. */
static inline uint64_t tile_level_size(unsigned level, uint64_t size)
{
    return level < TILE_LEVELS ? size >> (8 * level) : 0;
}

/* Visits the entries of a bundle: ERR_SYNTAX when it is cut short or has more than 256. */
struct bundle_reader {
    struct str rest;
    unsigned read;
};

static inline struct bundle_reader bundle_open(struct str bytes)
{
    return (struct bundle_reader){bytes, 0};
}

/* The next entry; `*end` is set, and nothing read, after the last. */
struct err bundle_next(struct bundle_reader *b, struct str *entry, bool *end);

void bundle_put(struct buf *out, struct str entry); /* the entry is at most ENTRY_MAX bytes */

#endif
