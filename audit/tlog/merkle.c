#include "merkle.h"

#include "lib/tls/digest.h"

#include <inttypes.h>

_Static_assert((int)MERKLE_HASH == (int)SHA256_BYTES, "the tree hashes with SHA-256");

struct err hash_of_bytes(struct str bytes, struct hash *out)
{
    ENSURE(bytes.n == MERKLE_HASH, ERR_SYNTAX, "a hash has %d bytes, not %zu", MERKLE_HASH,
           bytes.n);
    memcpy(out->b, bytes.p, MERKLE_HASH);
    return OK;
}

void merkle_leaf(struct str data, struct hash *out)
{
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, str_n("\x00", 1));
    sha256_add(&h, data);
    sha256_end(&h, out->b);
}

void merkle_node(const struct hash *left, const struct hash *right, struct hash *out)
{
    uint8_t block[1 + 2 * MERKLE_HASH];
    block[0] = 1;
    memcpy(block + 1, left->b, MERKLE_HASH);
    memcpy(block + 1 + MERKLE_HASH, right->b, MERKLE_HASH);
    sha256_of(str_n(block, sizeof(block)), out->b);
}

void merkle_empty(struct hash *out)
{
    sha256_of(STR_EMPTY, out->b);
}

void merkle_append(struct merkle_range *r, const struct hash *leaf)
{
    struct hash carry = *leaf;
    unsigned level = 0;
    for (; (r->size >> level) & 1; level++) {
        merkle_node(&r->peaks[level], &carry, &carry);
    }
    r->peaks[level] = carry;
    r->size++;
}

void merkle_root(const struct merkle_range *r, struct hash *out)
{
    if (r->size == 0) {
        merkle_empty(out);
        return;
    }
    unsigned level = (unsigned)__builtin_ctzll(r->size);
    struct hash root = r->peaks[level];
    for (level++; level < MERKLE_LEVELS; level++) {
        if ((r->size >> level) & 1) {
            merkle_node(&r->peaks[level], &root, &root);
        }
    }
    *out = root;
}

void merkle_root_of(const struct hash *nodes, size_t n, struct hash *out)
{
    struct merkle_range r;
    r.size = 0;
    for (size_t i = 0; i < n; i++) {
        merkle_append(&r, &nodes[i]);
    }
    merkle_root(&r, out);
}

static unsigned log2_floor(uint64_t n)
{
    return 63U - (unsigned)__builtin_clzll(n);
}

/* The largest power of two below n, for n >= 2. */
static uint64_t split(uint64_t n)
{
    return UINT64_C(1) << log2_floor(n - 1);
}

/* The root over leaves [start, end), where start is a multiple of a power of two >= end - start. */
static struct err range_root(const struct merkle_source *s, uint64_t start, uint64_t end,
                             struct hash *out)
{
    struct hash parts[MERKLE_LEVELS];
    size_t n = 0;
    while (start < end) {
        unsigned level = log2_floor(end - start);
        TRY(s->fetch(s->ctx, level, start >> level, &parts[n++]));
        start += UINT64_C(1) << level;
    }
    struct hash root = parts[n - 1];
    for (size_t i = n - 1; i-- > 0;) {
        merkle_node(&parts[i], &root, &root);
    }
    *out = root;
    return OK;
}

struct err merkle_root_at(const struct merkle_source *s, uint64_t size, struct hash *out)
{
    if (size == 0) {
        merkle_empty(out);
        return OK;
    }
    return range_root(s, 0, size, out);
}

/* Proofs are found from the root down and told from the leaf up. */
static void reverse(struct merkle_proof *p)
{
    for (size_t i = 0; i < p->n / 2; i++) {
        struct hash t = p->path[i];
        p->path[i] = p->path[p->n - 1 - i];
        p->path[p->n - 1 - i] = t;
    }
}

struct err merkle_prove_inclusion(const struct merkle_source *s, uint64_t index, uint64_t size,
                                  struct merkle_proof *out)
{
    ENSURE(index < size, ERR_RANGE, "index %" PRIu64 " is not below the tree size %" PRIu64, index,
           size);
    struct merkle_proof p = {.n = 0};
    uint64_t start = 0, end = size;
    while (end - start > 1) {
        uint64_t mid = start + split(end - start);
        if (index < mid) {
            TRY(range_root(s, mid, end, &p.path[p.n++]));
            end = mid;
        } else {
            TRY(range_root(s, start, mid, &p.path[p.n++]));
            start = mid;
        }
    }
    reverse(&p);
    *out = p;
    return OK;
}

struct err merkle_prove_consistency(const struct merkle_source *s, uint64_t size1, uint64_t size2,
                                    struct merkle_proof *out)
{
    ENSURE(size1 > 0 && size1 <= size2, ERR_RANGE,
           "no consistency proof from size %" PRIu64 " to %" PRIu64, size1, size2);
    struct merkle_proof p = {.n = 0};
    uint64_t start = 0, end = size2;
    while (size1 < end) {
        uint64_t mid = start + split(end - start);
        if (size1 <= mid) {
            TRY(range_root(s, mid, end, &p.path[p.n++]));
            end = mid;
        } else {
            TRY(range_root(s, start, mid, &p.path[p.n++]));
            start = mid;
        }
    }
    if (start > 0) { /* else the old tree is a perfect subtree, and the verifier knows its root */
        TRY(range_root(s, start, end, &p.path[p.n++]));
    }
    reverse(&p);
    *out = p;
    return OK;
}

/* RFC 9162 section 2.1.3.2. */
struct err merkle_check_inclusion(uint64_t index, uint64_t size, const struct hash *leaf,
                                  const struct hash *path, size_t n, const struct hash *root)
{
    ENSURE(index < size, ERR_RANGE, "index %" PRIu64 " is not below the tree size %" PRIu64, index,
           size);
    uint64_t at = index, last = size - 1;
    struct hash r = *leaf;
    for (size_t i = 0; i < n; i++) {
        ENSURE(last > 0, ERR_SIGNATURE, "the inclusion proof has %zu hashes too many", n - i);
        if ((at & 1) || at == last) {
            merkle_node(&path[i], &r, &r);
            while (!(at & 1) && at != 0) {
                at >>= 1;
                last >>= 1;
            }
        } else {
            merkle_node(&r, &path[i], &r);
        }
        at >>= 1;
        last >>= 1;
    }
    ENSURE(last == 0, ERR_SIGNATURE, "the inclusion proof is too short: it has %zu hashes", n);
    ENSURE(hash_eq(&r, root), ERR_SIGNATURE,
           "the inclusion proof of entry %" PRIu64 " leads to another root than the tree's", index);
    return OK;
}

static struct err check_same_size(uint64_t size, size_t n, const struct hash *root1,
                                  const struct hash *root2)
{
    ENSURE(n == 0, ERR_SIGNATURE, "a proof between equal sizes must be empty");
    ENSURE(hash_eq(root1, root2), ERR_SIGNATURE, "two different roots for size %" PRIu64, size);
    return OK;
}

/* RFC 9162 section 2.1.4.2. */
struct err merkle_check_consistency(uint64_t size1, uint64_t size2, const struct hash *path,
                                    size_t n, const struct hash *root1, const struct hash *root2)
{
    ENSURE(size1 > 0 && size1 <= size2, ERR_RANGE,
           "no consistency proof leads from size %" PRIu64 " to %" PRIu64, size1, size2);
    if (size1 == size2) {
        return check_same_size(size1, n, root1, root2);
    }
    bool perfect = (size1 & (size1 - 1)) == 0;
    ENSURE(n > 0, ERR_SIGNATURE, "the consistency proof is empty");
    uint64_t at = size1 - 1, last = size2 - 1;
    while (at & 1) {
        at >>= 1;
        last >>= 1;
    }
    struct hash old = perfect ? *root1 : path[0], new = old;
    for (size_t i = perfect ? 0 : 1; i < n; i++) {
        ENSURE(last > 0, ERR_SIGNATURE, "the consistency proof has %zu hashes too many", n - i);
        if ((at & 1) || at == last) {
            merkle_node(&path[i], &old, &old);
            merkle_node(&path[i], &new, &new);
            while (!(at & 1) && at != 0) {
                at >>= 1;
                last >>= 1;
            }
        } else {
            merkle_node(&new, &path[i], &new);
        }
        at >>= 1;
        last >>= 1;
    }
    ENSURE(last == 0, ERR_SIGNATURE, "the consistency proof is too short: it has %zu hashes", n);
    ENSURE(hash_eq(&old, root1) && hash_eq(&new, root2), ERR_SIGNATURE,
           "the consistency proof does not join size %" PRIu64 " to size %" PRIu64, size1, size2);
    return OK;
}
