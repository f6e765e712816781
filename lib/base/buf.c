#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_init_secret(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max, .wipe = true};
}

void buf_release(struct buf *b)
{
    if (b->wipe && b->p != NULL) {
        explicit_bzero(b->p, b->cap);
    }
    free(b->p);
    *b = (struct buf){.max = b->max, .wipe = b->wipe};
}

void buf_clear(struct buf *b)
{
    if (b->wipe && b->p != NULL) {
        explicit_bzero(b->p, b->n);
    }
    b->n = 0;
    b->overflow = false;
}

/* realloc may leave the old bytes behind, so a wiping buffer moves by hand. */
static char *grow(struct buf *b, size_t cap)
{
    if (!b->wipe) {
        return realloc(b->p, cap);
    }
    char *p = malloc(cap);
    if (p != NULL && b->p != NULL) {
        memcpy(p, b->p, b->n);
        explicit_bzero(b->p, b->cap);
        free(b->p);
    }
    return p;
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t need;
    if (b->overflow || size_add_overflows(b->n, n, &need) || need > b->max) {
        b->overflow = true;
        return NULL;
    }
    if (need > b->cap) {
        size_t cap = MAX(need, MIN(b->cap * 2, b->max));
        cap = MAX(cap, MIN((size_t)64, b->max));
        char *p = grow(b, cap);
        if (p == NULL) {
            b->overflow = true;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_commit(struct buf *b, size_t n)
{
    BUG_ON(n > b->cap - b->n);
    b->n += n;
}

void buf_consume(struct buf *b, size_t n)
{
    BUG_ON(n > b->n);
    b->n -= n;
    if (b->n > 0 && n > 0) {
        memmove(b->p, b->p + n, b->n);
    }
}

void buf_put_slow(struct buf *b, const void *p, size_t n)
{
    if (n == 0) {
        return;
    }
    char *dst = buf_reserve(b, n);
    if (dst != NULL) {
        memcpy(dst, p, n);
        b->n += n;
    }
}

void buf_put_be(struct buf *b, uint64_t v, size_t bytes)
{
    BUG_ON(bytes == 0 || bytes > 8);
    unsigned char out[8];
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (unsigned char)(v >> (8 * (bytes - 1 - i)));
    }
    buf_put(b, out, bytes);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    BUG_ON(n < 0);
    char *dst = buf_reserve(b, (size_t)n + 1);
    if (dst != NULL) {
        vsnprintf(dst, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

struct err buf_check(const struct buf *b)
{
    ENSURE(!b->overflow, ERR_LIMIT, "more than %zu bytes", b->max);
    return OK;
}
