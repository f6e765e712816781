#include "str.h"

#include "err.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN(a.n, b.n);
    int c = n > 0 ? memcmp(a.p, b.p, n) : 0;
    if (c != 0) {
        return c;
    }
    return (a.n > b.n) - (a.n < b.n);
}

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return (unsigned char)(u >= 'A' && u <= 'Z' ? u + ('a' - 'A') : u);
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.n == b.n && str_starts_nocase(a, b);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, s.n), suffix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    if (s.n < prefix.n) {
        return false;
    }
    for (size_t i = 0; i < prefix.n; i++) {
        if (lower(s.p[i]) != lower(prefix.p[i])) {
            return false;
        }
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s = str_sub(s, 1, s.n);
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

size_t str_find(struct str s, struct str needle)
{
    if (needle.n == 0) {
        return 0;
    }
    const char *hit = s.n > 0 ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
    return hit != NULL ? (size_t)(hit - s.p) : STR_NPOS;
}

size_t str_find_char(struct str s, char c)
{
    const char *hit = s.n > 0 ? memchr(s.p, c, s.n) : NULL;
    return hit != NULL ? (size_t)(hit - s.p) : STR_NPOS;
}

size_t str_rfind_char(struct str s, char c)
{
    const char *hit = s.n > 0 ? memrchr(s.p, c, s.n) : NULL;
    return hit != NULL ? (size_t)(hit - s.p) : STR_NPOS;
}

struct str str_split(struct str *rest, char sep)
{
    struct str all = *rest;
    size_t at = str_find_char(all, sep);
    if (at == STR_NPOS) {
        *rest = STR_EMPTY;
        return all;
    }
    *rest = str_sub(all, at + 1, all.n);
    return str_sub(all, 0, at);
}

bool str_eq_secret(struct str a, struct str b)
{
    if (a.n != b.n) {
        return false;
    }
    volatile unsigned char diff = 0;
    for (size_t i = 0; i < a.n; i++) {
        diff = (unsigned char)(diff | ((unsigned char)a.p[i] ^ (unsigned char)b.p[i]));
    }
    return diff == 0;
}

struct err str_to_u64(struct str s, uint64_t *out)
{
    ENSURE(s.n > 0 && (s.n == 1 || s.p[0] != '0'), ERR_SYNTAX, "'%.*s' is not a whole number",
           STR_FMT(s));
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        ENSURE(s.p[i] >= '0' && s.p[i] <= '9', ERR_SYNTAX, "'%.*s' is not a whole number",
               STR_FMT(s));
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        ENSURE(n <= (UINT64_MAX - digit) / 10, ERR_RANGE, "'%.*s' is larger than %" PRIu64,
               STR_FMT(s), UINT64_MAX);
        n = n * 10 + digit;
    }
    *out = n;
    return OK;
}

struct err str_to_cstr(struct str s, char *dst, size_t dst_size)
{
    ENSURE(s.n < dst_size, ERR_LIMIT, "%zu bytes where at most %zu fit", s.n, dst_size - 1);
    ENSURE(str_find_char(s, '\0') == STR_NPOS, ERR_SYNTAX, "a NUL byte inside a string");
    if (s.n > 0) {
        memcpy(dst, s.p, s.n);
    }
    dst[s.n] = '\0';
    return OK;
}

/* Length of the sequence that `c` begins, with its lowest legal code point; 0 if it begins none. */
static unsigned utf8_len(unsigned char c, uint32_t *bits, uint32_t *lowest)
{
    if (c < 0x80) {
        *bits = c, *lowest = 0;
        return 1;
    }
    if ((c & 0xe0) == 0xc0) {
        *bits = c & 0x1f, *lowest = 0x80;
        return 2;
    }
    if ((c & 0xf0) == 0xe0) {
        *bits = c & 0x0f, *lowest = 0x800;
        return 3;
    }
    if ((c & 0xf8) == 0xf0) {
        *bits = c & 0x07, *lowest = 0x10000;
        return 4;
    }
    return 0;
}

bool str_is_utf8(struct str s)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t code, lowest;
        unsigned len = utf8_len((unsigned char)s.p[i], &code, &lowest);
        if (len == 0 || s.n - i < len) {
            return false;
        }
        for (unsigned k = 1; k < len; k++) {
            unsigned char c = (unsigned char)s.p[i + k];
            if ((c & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (c & 0x3fu);
        }
        if (code < lowest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
        i += len;
    }
    return true;
}

static uint64_t rotl(uint64_t x, int b)
{
    return x << b | x >> (64 - b);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1], v[1] = rotl(v[1], 13), v[1] ^= v[0], v[0] = rotl(v[0], 32);
    v[2] += v[3], v[3] = rotl(v[3], 16), v[3] ^= v[2];
    v[0] += v[3], v[3] = rotl(v[3], 21), v[3] ^= v[0];
    v[2] += v[1], v[1] = rotl(v[1], 17), v[1] ^= v[2], v[2] = rotl(v[2], 32);
}

static uint64_t key[2];
static bool key_drawn;

static void draw_key(void)
{
    if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key)) {
        bug_abort(__FILE__, __LINE__, "getrandom failed");
    }
    key_drawn = true;
}

static inline const uint64_t *hash_key(void)
{
    if (unlikely(!key_drawn)) {
        draw_key();
    }
    return key;
}

uint64_t str_hash(struct str s)
{
    const uint64_t *k = hash_key();
    uint64_t v[4] = {k[0] ^ 0x736f6d6570736575u, k[1] ^ 0x646f72616e646f6du,
                     k[0] ^ 0x6c7967656e657261u, k[1] ^ 0x7465646279746573u};
    size_t whole = s.n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t m;
        memcpy(&m, s.p + i, 8);
        v[3] ^= m;
        sip_round(v), sip_round(v);
        v[0] ^= m;
    }
    uint64_t tail = (uint64_t)s.n << 56;
    for (size_t i = whole; i < s.n; i++) {
        tail |= (uint64_t)(unsigned char)s.p[i] << (8 * (i - whole));
    }
    v[3] ^= tail;
    sip_round(v), sip_round(v);
    v[0] ^= tail;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++) {
        sip_round(v);
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t str_hash_fast(struct str s)
{
    const char *p = s.p;
    size_t n = s.n;
    uint64_t h = hash_key()[0] ^ (n * UINT64_C(0x9e3779b97f4a7c15)), w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        unsigned __int128 m = (unsigned __int128)(h ^ w) * UINT64_C(0xa0761d6478bd642f);
        h = (uint64_t)m ^ (uint64_t)(m >> 64);
    }
    w = 0;
    if (n > 0) {
        memcpy(&w, p, n);
    }
    unsigned __int128 m = (unsigned __int128)(h ^ w ^ hash_key()[1]) * UINT64_C(0xe7037ed1a0b428db);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}
