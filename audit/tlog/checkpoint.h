/*
 * checkpoint: what a log says about itself, and the proof file of one entry.
 *
 * A checkpoint (C2SP tlog-checkpoint) is the text of a signed note: origin, tree size, base64 root,
 * and perhaps extension lines. A proof file (C2SP tlog-proof, suffix .tlog-proof) is an index, the
 * hashes of an inclusion proof, and the signed checkpoint they lead to: with the entry and the
 * log's verifier key it is all that anyone needs, for ever, without the log.
 */
#ifndef SEXTANT_CHECKPOINT_H
#define SEXTANT_CHECKPOINT_H

#include "merkle.h"
#include "note.h"

struct checkpoint {
    struct str origin;
    uint64_t size;
    struct hash root;
};

/* `text` is a note's text. ERR_SYNTAX. */
struct err checkpoint_parse(struct arena *a, struct str text, struct checkpoint *out);
void checkpoint_put(struct buf *out, const struct checkpoint *c); /* the text to sign */

/*
 * A whole signed checkpoint, verified under `key`, whose name must be the origin: ERR_SIGNATURE,
 * ERR_SYNTAX.
 */
struct err checkpoint_open(struct arena *a, struct str note, const struct note_key *key,
                           struct checkpoint *out);

enum { TLOG_PROOF_MAX = 128 * 1024 };

struct tlog_proof {
    struct str extra; /* decoded; empty when absent */
    uint64_t index;
    struct merkle_proof path;
    struct str checkpoint; /* the signed note */
};

struct err tlog_proof_parse(struct arena *a, struct str text, struct tlog_proof *out);
void tlog_proof_put(struct buf *out, const struct tlog_proof *p);

/* The whole offline check: signature, then inclusion of `entry`. */
struct err tlog_proof_check(struct arena *a, const struct tlog_proof *p, struct str entry,
                            const struct note_key *key, struct checkpoint *out);

#endif
