/*
 * buf: bytes that grow up to a maximum given at birth.
 *
 * Appending past the maximum, or out of memory, sets `overflow` and drops the rest: write a whole
 * message, then ask buf_ok() once. A buf is embedded and released; it is never copied.
 *
 *     struct buf b;
 *     buf_init(&b, HTTP_HEAD_MAX);
 *     buf_puts(&b, S("HTTP/1.1 "));
 *     buf_printf(&b, "%d", status);
 *     TRY(buf_check(&b));           ERR_LIMIT if it did not fit
 *     buf_release(&b);
 */
#ifndef SEXTANT_BUF_H
#define SEXTANT_BUF_H

#include "err.h"

struct buf {
    char *p; /* owned; NULL until the first byte */
    size_t n, cap, max;
    bool overflow;
    bool wipe; /* zero the memory before it is freed or moved */
};

void buf_init(struct buf *b, size_t max);
void buf_init_secret(struct buf *b, size_t max); /* as buf_init, wiped on release and growth */
void buf_release(struct buf *b);
void buf_clear(struct buf *b); /* empty again, memory kept, overflow forgotten */

void buf_put_slow(struct buf *b, const void *p, size_t n);
static inline void buf_put(struct buf *b, const void *p, size_t n)
{
    if (likely(!b->overflow && n > 0 && n <= b->cap - b->n)) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
        return;
    }
    buf_put_slow(b, p, n);
}
static inline void buf_putc(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_put_be(struct buf *b, uint64_t v, size_t bytes); /* big endian, 1..8 bytes */

static inline void buf_puts(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

/* Room for `n` more bytes at the end, or NULL on overflow; then buf_commit what was written. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n); /* drops `n` bytes from the front */

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->p, b->n};
}

static inline bool buf_ok(const struct buf *b)
{
    return !b->overflow;
}

struct err buf_check(const struct buf *b);

#endif
