/*
 * verify: a whole log folder checked with nothing but one public key.
 *
 * Every leaf is hashed again from its entry, every tile made again from below and compared with the
 * file, and the root compared with the signed checkpoint. The first difference is named: an entry when
 * its bytes no longer hash to what its tile says, otherwise the tile.
 */
#ifndef SEXTANT_TLOG_VERIFY_H
#define SEXTANT_TLOG_VERIFY_H

#include "checkpoint.h"

enum { VERIFY_WHAT_MAX = 512 };

struct verify_result {
    bool good;
    struct checkpoint checkpoint; /* origin lives in the arena */
    uint64_t entry;               /* first that is wrong, when not good and has_entry */
    bool has_entry;
    char what[VERIFY_WHAT_MAX]; /* for people: what is wrong and where */
};

/*
 * `dir` is the descriptor of the folder with `checkpoint` and `tile`. An error means that the check could not
 * be made (no such folder, bad key); a log that fails it is a result. on_entry, when given, sees
 * each entry and may object by an error.
 */
struct err tlog_verify(struct arena *a, int dir, const struct note_key *key,
                       struct err (*on_entry)(void *ctx, uint64_t index, struct str entry),
                       void *ctx, struct verify_result *out);

#endif
