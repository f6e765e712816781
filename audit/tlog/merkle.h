/*
 * merkle: the hash tree of RFC 6962 section 2 (the same in RFC 9162): roots, inclusion and
 * consistency proofs, and their verifiers.
 *
 * A leaf hashes as SHA-256(00 || data), an inner node as SHA-256(01 || left || right); n leaves split
 * at the largest power of two below n. Nothing here stores a tree: growing one needs only the roots
 * of its perfect subtrees (struct merkle_range), and proofs fetch perfect subtrees from wherever
 * the caller keeps them (merkle_source).
 *
 *     struct merkle_range r = {0};
 *     merkle_leaf(data, &h);
 *     merkle_append(&r, &h);
 *     merkle_root(&r, &root);
 */
#ifndef SEXTANT_MERKLE_H
#define SEXTANT_MERKLE_H

#include "lib/base/err.h"

enum {
    MERKLE_HASH = 32,
    MERKLE_LEVELS = 64,
    MERKLE_PROOF_MAX = 2 * MERKLE_LEVELS, /* hashes in any proof over a 64-bit tree */
};

struct hash {
    uint8_t b[MERKLE_HASH];
};

static inline struct str hash_str(const struct hash *h)
{
    return str_n(h->b, MERKLE_HASH);
}

static inline bool hash_eq(const struct hash *a, const struct hash *b)
{
    return memcmp(a->b, b->b, MERKLE_HASH) == 0;
}

struct err hash_of_bytes(struct str bytes, struct hash *out); /* ERR_SYNTAX unless 32 bytes */

void merkle_leaf(struct str data, struct hash *out);
void merkle_node(const struct hash *left, const struct hash *right, struct hash *out);
void merkle_empty(struct hash *out); /* the root of no leaves: SHA-256 of nothing */

/* The right edge of a growing tree: peaks[l] is valid where bit l of size is set. */
struct merkle_range {
    uint64_t size;
    struct hash peaks[MERKLE_LEVELS];
};

void merkle_append(struct merkle_range *r, const struct hash *leaf);
void merkle_root(const struct merkle_range *r, struct hash *out);

/* The root of `n` (1..256) adjacent leaves or nodes of one level, n a power of two or not. */
void merkle_root_of(const struct hash *nodes, size_t n, struct hash *out);

/*
 * Where proofs come from: fetch() gives the root of the perfect subtree over leaves
 * [index << level, (index + 1) << level), which is always inside the tree.
 */
struct merkle_source {
    struct err (*fetch)(void *ctx, unsigned level, uint64_t index, struct hash *out);
    void *ctx;
};

struct merkle_proof {
    struct hash path[MERKLE_PROOF_MAX];
    size_t n;
};

/* RFC 6962 section 2.1.1: the path from leaf `index` to the root of the first `size` leaves. */
struct err merkle_prove_inclusion(const struct merkle_source *s, uint64_t index, uint64_t size,
                                  struct merkle_proof *out);
/* RFC 6962 section 2.1.2; 0 < size1 <= size2. */
struct err merkle_prove_consistency(const struct merkle_source *s, uint64_t size1, uint64_t size2,
                                    struct merkle_proof *out);
/* The root over the first `size` leaves, from perfect subtrees. */
struct err merkle_root_at(const struct merkle_source *s, uint64_t size, struct hash *out);

/* ERR_RANGE for an index or size that cannot be, ERR_SIGNATURE for a proof that does not hold. */
struct err merkle_check_inclusion(uint64_t index, uint64_t size, const struct hash *leaf,
                                  const struct hash *path, size_t n, const struct hash *root);
struct err merkle_check_consistency(uint64_t size1, uint64_t size2, const struct hash *path,
                                    size_t n, const struct hash *root1, const struct hash *root2);

#endif
