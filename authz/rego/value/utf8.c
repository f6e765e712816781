#include "authz/rego/value/utf8.h"

uint32_t utf8_next(struct str s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s.p + *at;
    size_t left = s.n - *at, n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (n == 1) {
        (*at)++;
        return p[0];
    }
    if (p[0] < 0xc2 || n > left || !str_is_utf8(str_n(p, n))) {
        (*at)++;
        return 0xfffd;
    }
    uint32_t c = p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        c = c << 6 | (p[i] & 0x3f);
    }
    *at += n;
    return c;
}

void utf8_put(struct buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(out, (char)c);
    } else if (c < 0x800) {
        buf_putc(out, (char)(0xc0 | c >> 6));
        buf_putc(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_putc(out, (char)(0xe0 | c >> 12));
        buf_putc(out, (char)(0x80 | (c >> 6 & 63)));
        buf_putc(out, (char)(0x80 | (c & 63)));
    } else {
        buf_putc(out, (char)(0xf0 | c >> 18));
        buf_putc(out, (char)(0x80 | (c >> 12 & 63)));
        buf_putc(out, (char)(0x80 | (c >> 6 & 63)));
        buf_putc(out, (char)(0x80 | (c & 63)));
    }
}

size_t utf8_count(struct str s)
{
    size_t n = 0;
    for (size_t at = 0; at < s.n; n++) {
        utf8_next(s, &at);
    }
    return n;
}

size_t utf8_offset(struct str s, size_t code_points)
{
    size_t at = 0;
    while (code_points-- > 0 && at < s.n) {
        utf8_next(s, &at);
    }
    return at;
}

/* Pairs of upper and lower case that stand at a fixed distance, or by turns (distance 1). */
static const struct {
    uint32_t from, to; /* upper case letters */
    uint32_t distance;
    bool turns;
} cases[] = {
    {'A', 'Z', 32, false},         {0xc0, 0xd6, 32, false},     {0xd8, 0xde, 32, false},
    {0x100, 0x12e, 1, true},       {0x132, 0x136, 1, true},     {0x139, 0x147, 1, true},
    {0x14a, 0x176, 1, true},       {0x179, 0x17d, 1, true},     {0x1cd, 0x1db, 1, true},
    {0x1de, 0x1ee, 1, true},       {0x1f8, 0x21e, 1, true},     {0x222, 0x232, 1, true},
    {0x388, 0x38a, 37, false},     {0x391, 0x3a1, 32, false},   {0x3a3, 0x3ab, 32, false},
    {0x386, 0x386, 38, false},     {0x38c, 0x38c, 64, false},   {0x38e, 0x38f, 63, false},
    {0x3d8, 0x3ee, 1, true},       {0x400, 0x40f, 80, false},   {0x410, 0x42f, 32, false},
    {0x460, 0x480, 1, true},       {0x48a, 0x4be, 1, true},     {0x4c1, 0x4cd, 1, true},
    {0x4d0, 0x52e, 1, true},       {0x531, 0x556, 48, false},   {0x1e00, 0x1e94, 1, true},
    {0x1ea0, 0x1efe, 1, true},     {0x24b6, 0x24cf, 26, false}, {0xff21, 0xff3a, 32, false},
    {0x10400, 0x10427, 40, false},
};

uint32_t utf8_upper(uint32_t c)
{
    if (c == 0xff) {
        return 0x178;
    }
    if (c == 0xb5) {
        return 0x39c;
    }
    if (c == 0x3c2) {
        return 0x3a3;
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t up = c - cases[i].distance;
        if (up >= cases[i].from && up <= cases[i].to &&
            (!cases[i].turns || (up - cases[i].from) % 2 == 0)) {
            return up;
        }
    }
    return c;
}

uint32_t utf8_lower(uint32_t c)
{
    if (c == 0x178) {
        return 0xff;
    }
    if (c == 0x130) {
        return 'i';
    }
    if (c == 0x1e9e) {
        return 0xdf;
    }
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (c >= cases[i].from && c <= cases[i].to &&
            (!cases[i].turns || (c - cases[i].from) % 2 == 0)) {
            return c + cases[i].distance;
        }
    }
    return c;
}

bool utf8_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}
