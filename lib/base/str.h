/*
 * str: a slice of bytes, passed by value. It owns nothing and ends nowhere: there is no NUL to rely
 * on, and NULs may be inside. Whoever made the bytes says how long they live.
 */
#ifndef SEXTANT_STR_H
#define SEXTANT_STR_H

#include "base.h"

#include <string.h>

struct str {
    const char *p;
    size_t n;
};

/* For printf: "%.*s", STR_FMT(s). Lengths over INT_MAX are cut. */
#define STR_FMT(s) ((int)MIN((s).n, (size_t)0x7fffffff)), ((s).p != NULL ? (s).p : "")

/* A literal as a slice; the empty slice; a NUL-terminated string as a slice (NULL gives empty). */
#define S(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)                                                                          \
    {                                                                                              \
        "" literal, sizeof(literal) - 1                                                            \
    }
#define STR_EMPTY ((struct str){NULL, 0})

static inline struct str str_of(const char *cstr)
{
    return cstr != NULL ? (struct str){cstr, strlen(cstr)} : STR_EMPTY;
}

static inline struct str str_n(const void *p, size_t n)
{
    return (struct str){p, n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_is(struct str a, const char *cstr)
{
    return str_eq(a, str_of(cstr));
}

/* The slice from byte `from` up to, not including, byte `to`; both are clamped to the slice. */
static inline struct str str_sub(struct str s, size_t from, size_t to)
{
    to = MIN(to, s.n);
    from = MIN(from, to);
    return s.p != NULL ? (struct str){s.p + from, to - from} : s;
}

int str_cmp(struct str a, struct str b);        /* bytewise, then by length: <0, 0, >0 */
bool str_eq_nocase(struct str a, struct str b); /* ASCII letters only, whatever the locale */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_starts_nocase(struct str s, struct str prefix);
struct str str_trim(struct str s); /* without leading and trailing space, tab, CR, LF */

#define STR_NPOS ((size_t)-1)
size_t str_find(struct str s, struct str needle); /* first position, or STR_NPOS */
size_t str_find_char(struct str s, char c);
size_t str_rfind_char(struct str s, char c);

/*
 * Splits `*rest` at the first `sep`: returns what is before it and leaves what is after it.
 * Without a `sep` the whole of `*rest` is returned and `rest->p` becomes NULL, so that
 *     for (struct str item; rest.p != NULL; ) { item = str_split(&rest, ','); ... }
 * visits every field, empty ones too.
 */
struct str str_split(struct str *rest, char sep);

/* Equal in time that depends on the lengths alone: for tokens, MACs and digests. */
bool str_eq_secret(struct str a, struct str b);

/* Decimal, no sign, no blanks, no leading zero but "0" itself. ERR_SYNTAX or ERR_RANGE. */
struct err str_to_u64(struct str s, uint64_t *out);

/* Copies `s` into `dst` with a NUL at the end. ERR_LIMIT when it does not fit, ERR_SYNTAX on a NUL. */
struct err str_to_cstr(struct str s, char *dst, size_t dst_size);

/* Is `s` well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF)? */
bool str_is_utf8(struct str s);

/* 64-bit SipHash-2-4 under a key drawn once per process: for tables that strangers fill. */
uint64_t str_hash(struct str s);
/*
 * The same for tables on the hot path: keyed too, but without SipHash's margin. Use it where a crowded
 * table costs its owner time within a budget, never where it decides anything.
 */
uint64_t str_hash_fast(struct str s);

#endif
