/*
 * ip: Internet addresses and blocks of them, as values.
 *
 * Version 4 and version 6 never compare equal; an IPv4-mapped IPv6 address is IPv6. Parsing takes
 * the forms of RFC 4291 section 2.2 and dotted decimal without leading zeros; no zones, no ports.
 *
 *     struct ip_block b;
 *     TRY(ip_block_parse(S("10.0.0.0/8"), &b));
 *     if (ip_in_block(&addr, &b)) ...
 */
#ifndef SEXTANT_IP_H
#define SEXTANT_IP_H

#include "buf.h"

struct ip {
    uint8_t family; /* 4, 6, or 0 for no address */
    uint8_t b[16];  /* network order; version 4 uses the first four, the rest is zero */
};

struct ip_block {
    struct ip addr; /* as written: host bits may be set */
    uint8_t len;    /* prefix length in bits */
};

/* ERR_SYNTAX unless the whole of `text` is one address. */
struct err ip_parse(struct str text, struct ip *out);
/* ADDRESS/LENGTH. ERR_SYNTAX without a slash or with a length the family does not have. */
struct err ip_block_parse(struct str text, struct ip_block *out);
/* As ip_block_parse, and a lone address stands for itself. */
struct err ip_or_block_parse(struct str text, struct ip_block *out);

bool ip_eq(const struct ip *a, const struct ip *b);
int ip_cmp(const struct ip *a, const struct ip *b); /* by family, then numerically */
bool ip_in_block(const struct ip *a, const struct ip_block *block);
/* Is every address of `inner` in `outer`? Equal blocks contain each other. */
bool ip_block_contains(const struct ip_block *outer, const struct ip_block *inner);

struct ip ip_block_first(const struct ip_block *b);
struct ip ip_block_last(const struct ip_block *b);
/* The next or previous address; false (and `*a` untouched) at the end of the family's space. */
bool ip_next(struct ip *a);
bool ip_prev(struct ip *a);

enum { IP_TEXT_MAX = 46 };
void ip_put(struct buf *out, const struct ip *a); /* RFC 5952 form; nothing for family 0 */

static inline unsigned ip_bits(const struct ip *a)
{
    return a->family == 4 ? 32 : 128;
}

#endif
