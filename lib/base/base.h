/*
 * base: the few words every file of Sextant uses.
 *
 * Programming errors abort (BUG_ON); hostile input returns an error (err.h) and never aborts.
 * Nothing here allocates.
 */
#ifndef SEXTANT_BASE_H
#define SEXTANT_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn, cold))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The object that holds `member` at `ptr`; the usual way from an embedded node to its owner. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

NORETURN void bug_abort(const char *file, int line, const char *what);

/* A condition that only a mistake in this program can make true. Always compiled in. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (unlikely(cond)) {                                                                      \
            bug_abort(__FILE__, __LINE__, #cond);                                                  \
        }                                                                                          \
    } while (0)

/* Size arithmetic that cannot wrap: true (and *out untouched) on overflow. */
static inline bool size_add_overflows(size_t a, size_t b, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return true;
    }
    *out = sum;
    return false;
}

static inline bool size_mul_overflows(size_t a, size_t b, size_t *out)
{
    size_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return true;
    }
    *out = product;
    return false;
}

#endif
