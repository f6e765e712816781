/* utf8: code points of strings, for the builtins that count and cut by them. */
#ifndef SEXTANT_REGO_UTF8_H
#define SEXTANT_REGO_UTF8_H

#include "lib/base/buf.h"
#include "lib/base/str.h"

/* The code point at byte *at, which moves behind it; a stray byte is U+FFFD, one byte long. */
uint32_t utf8_next(struct str s, size_t *at);
void utf8_put(struct buf *out, uint32_t c);
size_t utf8_count(struct str s);
size_t utf8_offset(struct str s, size_t code_points); /* bytes of the first so many */
/* Simple case mapping of the common alphabets (Latin, Greek, Cyrillic, Armenian). */
uint32_t utf8_upper(uint32_t c);
uint32_t utf8_lower(uint32_t c);
bool utf8_is_space(uint32_t c); /* Unicode White_Space */
/* Can it be shown as it is? Of all spaces only U+0020. */
bool utf8_is_printable(uint32_t c);

#endif
