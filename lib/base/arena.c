#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

struct arena_block {
    struct arena_block *older;
    size_t size; /* of the whole block, header included */
};

enum { FIRST_BLOCK = 4096, BIGGEST_STEP = 256 * 1024, ALIGN = 16 };

void arena_init(struct arena *a, size_t budget)
{
    *a = (struct arena){.budget = budget};
}

void arena_release(struct arena *a)
{
    struct arena_block *b = a->block;
    while (b != NULL) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
    *a = (struct arena){.budget = a->budget};
}

static void use_block(struct arena *a, struct arena_block *b)
{
    a->block = b;
    a->cur = (char *)b + sizeof(*b);
    a->end = (char *)b + b->size;
}

void arena_reset(struct arena *a)
{
    struct arena_block *b = a->block;
    while (b != NULL && b->older != NULL) {
        struct arena_block *older = b->older;
        free(b);
        b = older;
    }
    a->used = b != NULL ? b->size : 0;
    a->exhausted = false;
    if (b != NULL) {
        use_block(a, b);
    }
}

/* The blocks of `other` go behind the newest of `a`, which stays the one that is filled. */
void arena_join(struct arena *a, struct arena *other)
{
    if (other->block == NULL) {
        return;
    }
    if (a->block == NULL) {
        size_t budget = a->budget;
        *a = *other;
        a->budget = budget;
    } else {
        struct arena_block *oldest = other->block;
        while (oldest->older != NULL) {
            oldest = oldest->older;
        }
        oldest->older = a->block->older;
        a->block->older = other->block;
        a->used += other->used;
    }
    *other = (struct arena){.budget = other->budget};
}

/* Blocks double up to a step that wastes little; a big object gets a block of its own size. */
static size_t block_size(const struct arena *a, size_t need)
{
    size_t step = a->block != NULL ? a->block->size * 2 : FIRST_BLOCK;
    step = MIN(step, (size_t)BIGGEST_STEP);
    return MAX(step, need);
}

static void add_block(struct arena *a, size_t n, size_t align)
{
    size_t need;
    BUG_ON(size_add_overflows(n, sizeof(struct arena_block) + align, &need));
    size_t size = block_size(a, need);
    if (a->used + size > a->budget) {
        a->exhausted = true;
        size = need;
        BUG_ON(a->used + size > a->budget + MAX(a->budget, (size_t)ARENA_SLACK) + ARENA_SLACK);
    }
    struct arena_block *b = malloc(size);
    if (b == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    *b = (struct arena_block){.older = a->block, .size = size};
    a->used += size;
    use_block(a, b);
}

/* The slow half of arena_alloc_raw: the current block is full, or there is none yet. */
void *arena_alloc_block(struct arena *a, size_t n, size_t align)
{
    BUG_ON(align == 0 || (align & (align - 1)) != 0);
    add_block(a, n, align);
    char *p = a->cur + ((size_t)(-(uintptr_t)a->cur) & (align - 1));
    a->cur = p + n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    return memset(arena_alloc_raw(a, n, ALIGN), 0, n);
}

void *arena_calloc(struct arena *a, size_t count, size_t size)
{
    size_t n;
    BUG_ON(size_mul_overflows(count, size, &n));
    return arena_alloc(a, n);
}

void *arena_grow(struct arena *a, void *old, size_t have, size_t want, size_t *cap, size_t size)
{
    if (want <= *cap) {
        return old;
    }
    size_t grown = MAX(want, *cap * 2);
    grown = MAX(grown, (size_t)4);
    void *p = arena_calloc(a, grown, size);
    if (have > 0) {
        memcpy(p, old, have * size);
    }
    *cap = grown;
    return p;
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p = arena_alloc_raw(a, s.n + 1, 1);
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = '\0';
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_cstr(a, s), s.n};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    BUG_ON(n < 0);
    char *p = arena_alloc_raw(a, (size_t)n + 1, 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return (struct str){p, (size_t)n};
}
