#include "ip.h"

#include <arpa/inet.h>

struct err ip_parse(struct str text, struct ip *out)
{
    char copy[IP_TEXT_MAX];
    struct ip ip = {0};
    ENSURE(text.n > 0 && !failed(str_to_cstr(text, copy, sizeof(copy))), ERR_SYNTAX,
           "'%.*s' is not an IP address", STR_FMT(text));
    if (str_find_char(text, ':') != STR_NPOS) {
        ip.family = 6;
        ENSURE(inet_pton(AF_INET6, copy, ip.b) == 1, ERR_SYNTAX, "'%.*s' is not an IPv6 address",
               STR_FMT(text));
    } else {
        ip.family = 4;
        ENSURE(inet_pton(AF_INET, copy, ip.b) == 1, ERR_SYNTAX, "'%.*s' is not an IPv4 address",
               STR_FMT(text));
    }
    *out = ip;
    return OK;
}

struct err ip_block_parse(struct str text, struct ip_block *out)
{
    size_t slash = str_rfind_char(text, '/');
    ENSURE(slash != STR_NPOS, ERR_SYNTAX, "'%.*s' is not a block such as 10.0.0.0/8 or fd00::/48",
           STR_FMT(text));
    struct ip_block block;
    uint64_t len;
    TRY(ip_parse(str_sub(text, 0, slash), &block.addr));
    ENSURE(
        !failed(str_to_u64(str_sub(text, slash + 1, text.n), &len)) && len <= ip_bits(&block.addr),
        ERR_SYNTAX, "'%.*s': the prefix length must be 0..%u", STR_FMT(text), ip_bits(&block.addr));
    block.len = (uint8_t)len;
    *out = block;
    return OK;
}

struct err ip_or_block_parse(struct str text, struct ip_block *out)
{
    if (str_find_char(text, '/') != STR_NPOS) {
        return ip_block_parse(text, out);
    }
    struct ip ip;
    TRY(ip_parse(text, &ip));
    *out = (struct ip_block){ip, (uint8_t)ip_bits(&ip)};
    return OK;
}

int ip_cmp(const struct ip *a, const struct ip *b)
{
    if (a->family != b->family) {
        return a->family < b->family ? -1 : 1;
    }
    return memcmp(a->b, b->b, sizeof(a->b));
}

bool ip_eq(const struct ip *a, const struct ip *b)
{
    return ip_cmp(a, b) == 0;
}

bool ip_in_block(const struct ip *a, const struct ip_block *block)
{
    if (a->family != block->addr.family || a->family == 0) {
        return false;
    }
    size_t whole = block->len / 8;
    unsigned rest = block->len % 8;
    if (memcmp(a->b, block->addr.b, whole) != 0) {
        return false;
    }
    uint8_t mask = (uint8_t)(0xff00 >> rest);
    return rest == 0 || ((a->b[whole] ^ block->addr.b[whole]) & mask) == 0;
}

bool ip_block_contains(const struct ip_block *outer, const struct ip_block *inner)
{
    return inner->len >= outer->len && ip_in_block(&inner->addr, outer);
}

/* The block's address with its host bits all `ones` or all zero. */
static struct ip fill_host_bits(const struct ip_block *b, bool ones)
{
    struct ip ip = b->addr;
    for (unsigned bit = b->len; bit < ip_bits(&ip); bit++) {
        uint8_t mask = (uint8_t)(0x80 >> (bit % 8));
        if (ones) {
            ip.b[bit / 8] |= mask;
        } else {
            ip.b[bit / 8] &= (uint8_t)~mask;
        }
    }
    return ip;
}

struct ip ip_block_first(const struct ip_block *b)
{
    return fill_host_bits(b, false);
}

struct ip ip_block_last(const struct ip_block *b)
{
    return fill_host_bits(b, true);
}

bool ip_next(struct ip *a)
{
    struct ip next = *a;
    for (unsigned i = ip_bits(a) / 8; i-- > 0;) {
        if (++next.b[i] != 0) {
            *a = next;
            return true;
        }
    }
    return false;
}

bool ip_prev(struct ip *a)
{
    struct ip prev = *a;
    for (unsigned i = ip_bits(a) / 8; i-- > 0;) {
        if (prev.b[i]-- != 0) {
            *a = prev;
            return true;
        }
    }
    return false;
}

void ip_put(struct buf *out, const struct ip *a)
{
    char text[INET6_ADDRSTRLEN];
    if (a->family != 0 &&
        inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, text, sizeof(text))) {
        buf_puts(out, str_of(text));
    }
}
