/* value_priv: shared by the files that make values. */
#ifndef SEXTANT_REGO_VALUE_PRIV_H
#define SEXTANT_REGO_VALUE_PRIV_H

#include "authz/rego/value/value.h"

/* Words that the bytes of a string take, with its NUL and the zeros behind it. */
#define STR_WORDS(n) (((size_t)(n) + 8) / 8)

/* The order of two strings: of their bytes. The first eight settle most pairs. */
static inline int val_str_cmp(struct val a, struct val b)
{
    uint64_t x = __builtin_bswap64(str_word(val_head(a), 0)),
             y = __builtin_bswap64(str_word(val_head(b), 0));
    if (x != y) {
        return x < y ? -1 : 1;
    }
    return str_cmp(val_text(a), val_text(b));
}

/* A set or object from words that are sorted and free of duplicates. */
struct val val_table(struct arena *a, enum vtype type, const struct val *v, size_t n);

#endif
