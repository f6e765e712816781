/*
 * arena: memory that is freed all at once, with a byte budget.
 *
 * One request, one connection or one loaded configuration has one arena. Allocation never returns
 * NULL: when the budget is used up the arena is marked as exhausted and hands out memory from its
 * last block until ARENA_SLACK more bytes are used; callers check arena_exhausted() where work
 * is bounded by input (parsers after each value, evaluators each step), and turn it into ERR_LIMIT.
 * A program that runs past the slack without checking is wrong and aborts.
 *
 *     struct arena a;
 *     arena_init(&a, 1 << 20);
 *     struct str copy = arena_str(&a, name);
 *     arena_release(&a);
 *
 * Secrets never live in an arena: see secret.h.
 */
#ifndef SEXTANT_ARENA_H
#define SEXTANT_ARENA_H

#include "err.h"

struct arena_block;

struct arena {
    char *cur, *end;           /* free part of the current block */
    struct arena_block *block; /* newest block, linked to older ones */
    size_t used, budget;       /* bytes taken from the system; most that may be taken */
    bool exhausted;
};

enum { ARENA_SLACK = 1 << 20 };

void arena_init(struct arena *a, size_t budget);
void arena_release(struct arena *a);
void arena_reset(struct arena *a); /* frees all but the first block; pointers into it die */

/* `n` zeroed bytes aligned for any object. Never NULL. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull, alloc_size(2)));
void *arena_alloc_block(struct arena *a, size_t n, size_t align) __attribute__((returns_nonnull));

/* `n` bytes, not zeroed, aligned to `align` (a power of two). */
static inline __attribute__((returns_nonnull)) void *arena_alloc_raw(struct arena *a, size_t n,
                                                                     size_t align)
{
    uintptr_t at = ((uintptr_t)a->cur + align - 1) & ~(uintptr_t)(align - 1);
    uintptr_t end = (uintptr_t)a->end;
    if (likely(at != 0 && at <= end && end - at >= n)) {
        a->cur = a->cur + (at - (uintptr_t)a->cur) + n;
        return a->cur - n;
    }
    return arena_alloc_block(a, n, align);
}

/*
 * A place to go back to: what was allocated since dies. Only as long as the arena has not taken another block
 * meanwhile; else arena_rewind does nothing.
 */
struct arena_mark {
    char *cur;
    struct arena_block *block;
};
static inline struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){a->cur, a->block};
}
static inline void arena_rewind(struct arena *a, struct arena_mark m)
{
    if (likely(a->block == m.block && m.block != NULL)) {
        a->cur = m.cur;
    }
}

/* Makes all that `other` holds part of `a`; `other` is empty then. */
void arena_join(struct arena *a, struct arena *other);

#define arena_new(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define arena_array(a, type, count) ((type *)arena_calloc((a), (count), sizeof(type)))
void *arena_calloc(struct arena *a, size_t count, size_t size) __attribute__((returns_nonnull));

/*
 * Grows an array kept in the arena: returns room for at least `want` elements, with the first `have`
 * copied. `*cap` is the current capacity and is updated.
 */
void *arena_grow(struct arena *a, void *old, size_t have, size_t want, size_t *cap, size_t size);

struct str arena_str(struct arena *a, struct str s); /* a copy, NUL after its end */
char *arena_cstr(struct arena *a, struct str s);     /* the same as a C string */
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline bool arena_exhausted(const struct arena *a)
{
    return unlikely(a->exhausted);
}

#endif
