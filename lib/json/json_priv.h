/* json_priv: what the parser and the writer share. */
#ifndef SEXTANT_JSON_PRIV_H
#define SEXTANT_JSON_PRIV_H

#include "json.h"

/*
 * Length of the well-formed UTF-8 sequence (RFC 3629) of two to four bytes at the start of `n` bytes;
 * 0 when there is none.
 */
static inline unsigned json_utf8_sequence(const char *s, size_t n)
{
    const unsigned char *u = (const unsigned char *)s;
    unsigned len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (u[0] < 0xc2 || u[0] > 0xf4 || n < len) {
        return 0;
    }
    unsigned char low = u[0] == 0xe0 ? 0xa0 : u[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = u[0] == 0xed ? 0x9f : u[0] == 0xf4 ? 0x8f : 0xbf;
    if (u[1] < low || u[1] > high) {
        return 0;
    }
    for (unsigned i = 2; i < len; i++) {
        if ((u[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return len;
}

#endif
