#include "builtin.h"

#include "lib/base/ip.h"

#include <netdb.h>
#include <sys/socket.h>

/* net.*: addresses and blocks of them (lib/base/ip.h), and the one builtin that asks the resolver. */

enum { EXPAND_MAX = 1 << 20 };

static enum b_status bad_cidr(struct bcall *b, struct str text)
{
    return b_fail(b, "invalid CIDR address: %.*s", STR_FMT(text));
}

/* A block, or a lone address, which then stands for itself. */
static bool block_of(struct bcall *b, struct str text, struct ip_block *out)
{
    if (failed(ip_or_block_parse(text, out))) {
        b_fail(b, "not a valid textual representation of an IP address or CIDR: %.*s", STR_FMT(text));
        return false;
    }
    return true;
}

static enum b_status net_cidr_contains(struct bcall *b)
{
    struct str outer, inner;
    struct ip_block block, what;
    if (!b_string(b, 1, &outer) || !b_string(b, 2, &inner)) {
        return B_ERROR;
    }
    if (failed(ip_block_parse(outer, &block))) {
        return bad_cidr(b, outer);
    }
    if (!block_of(b, inner, &what)) {
        return B_ERROR;
    }
    return b_out(b, val_bool(ip_block_contains(&block, &what)));
}

static enum b_status net_cidr_intersects(struct bcall *b)
{
    struct str one, two;
    struct ip_block x, y;
    if (!b_string(b, 1, &one) || !b_string(b, 2, &two)) {
        return B_ERROR;
    }
    if (failed(ip_block_parse(one, &x))) {
        return bad_cidr(b, one);
    }
    if (failed(ip_block_parse(two, &y))) {
        return bad_cidr(b, two);
    }
    return b_out(b, val_bool(ip_block_contains(&x, &y) || ip_block_contains(&y, &x)));
}

static enum b_status net_cidr_is_valid(struct bcall *b)
{
    struct ip_block block;
    bool ok = val_is(b->args[0], V_STRING) && !failed(ip_block_parse(val_text(b->args[0]), &block));
    return b_out(b, val_bool(ok));
}

static struct val ip_text(struct arena *a, const struct ip *ip)
{
    struct buf text;
    buf_init(&text, IP_TEXT_MAX);
    ip_put(&text, ip);
    struct val v = val_str(a, buf_str(&text));
    buf_release(&text);
    return v;
}

static enum b_status net_cidr_expand(struct bcall *b)
{
    struct str text;
    struct ip_block block;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    if (failed(ip_block_parse(text, &block))) {
        return bad_cidr(b, text);
    }
    struct vlist out = {.a = b->a};
    struct ip at = ip_block_first(&block), last = ip_block_last(&block);
    for (size_t i = 0;; i++) {
        if (i >= EXPAND_MAX || b_budget(b, 4)) {
            return b_fail(b, "more than %d addresses in %.*s", EXPAND_MAX, STR_FMT(text));
        }
        vlist_add(&out, ip_text(b->a, &at));
        if (ip_eq(&at, &last) || !ip_next(&at)) {
            return b_out(b, vlist_set(&out));
        }
    }
}

/* ---- contains_matches: pairs of keys from two collections of blocks ---- */

/* The block of an element: itself a string, or the first of a non-empty array. */
static bool element_block(struct bcall *b, int pos, struct val item, struct ip_block *out)
{
    struct val text = item;
    if (val_is(item, V_ARRAY) && val_len(item) > 0) {
        text = val_nth(item, 0);
    }
    if (!val_is(text, V_STRING)) {
        b_operand(b, pos, "element must be string or non-empty array");
        return false;
    }
    return block_of(b, val_text(text), out);
}

/* What a match reports of an element: array index, object key, or the set's member itself. */
static struct val element_key(struct bcall *b, struct val of, uint32_t i)
{
    return val_is_collection(of) ? val_nth_key(b->a, of, i) : of;
}

static bool match_element(struct bcall *b, struct val key, const struct ip_block *outer,
                          struct vlist *out)
{
    struct val of = b->args[1];
    uint32_t n = val_is(of, V_STRING) ? 1 : val_len(of);
    for (uint32_t i = 0; i < n; i++) {
        struct ip_block inner;
        struct val item = val_is(of, V_STRING) ? of : val_nth(of, i);
        if (b_budget(b, 4) || !element_block(b, 2, item, &inner)) {
            return false;
        }
        if (ip_block_contains(outer, &inner)) {
            struct val pair[2] = {key, element_key(b, of, i)};
            vlist_add(out, val_array(b->a, pair, 2));
        }
    }
    return true;
}

static bool is_cidr_operand(struct bcall *b, int pos)
{
    struct val v = b->args[pos - 1];
    if (val_is(v, V_STRING) || val_is_collection(v)) {
        return true;
    }
    b_type(b, pos, "one of {string, array, set, object}");
    return false;
}

static enum b_status net_cidr_contains_matches(struct bcall *b)
{
    if (!is_cidr_operand(b, 1) || !is_cidr_operand(b, 2)) {
        return B_ERROR;
    }
    struct val of = b->args[0];
    struct vlist out = {.a = b->a};
    uint32_t n = val_is(of, V_STRING) ? 1 : val_len(of);
    for (uint32_t i = 0; i < n; i++) {
        struct ip_block outer;
        struct val item = val_is(of, V_STRING) ? of : val_nth(of, i);
        if (!element_block(b, 1, item, &outer) ||
            !match_element(b, element_key(b, of, i), &outer, &out)) {
            return B_ERROR;
        }
    }
    return b_out(b, vlist_set(&out));
}

/* ---- merge: the fewest blocks that cover the same addresses ---- */

struct range {
    struct ip first, last;
};

static int range_cmp(const void *x, const void *y)
{
    const struct range *a = x, *b = y;
    int c = ip_cmp(&a->first, &b->first);
    return c != 0 ? c : ip_cmp(&a->last, &b->last);
}

static bool range_of(struct bcall *b, struct val item, struct range *out)
{
    struct ip_block block;
    if (!val_is(item, V_STRING)) {
        b_type_of_item(b, 1, "array of strings", item);
        return false;
    }
    struct str text = val_text(item);
    if (failed(ip_or_block_parse(text, &block))) {
        b_fail(b, "invalid IP or CIDR: %.*s", STR_FMT(text));
        return false;
    }
    if (block.addr.family == 6 && str_find_char(text, '/') == STR_NPOS) {
        b_fail(b, "IPv6 invalid: needs prefix length");
        return false;
    }
    *out = (struct range){ip_block_first(&block), ip_block_last(&block)};
    return true;
}

/* Joins what overlaps or touches; `r` is sorted. Returns how many are left. */
static size_t join_ranges(struct range *r, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct ip after = kept > 0 ? r[kept - 1].last : r[i].first;
        bool follows = kept > 0 && after.family == r[i].first.family;
        bool more = follows && ip_next(&after);
        if (follows && (!more || ip_cmp(&r[i].first, &after) <= 0)) {
            if (ip_cmp(&r[i].last, &r[kept - 1].last) > 0) {
                r[kept - 1].last = r[i].last;
            }
            continue;
        }
        r[kept++] = r[i];
    }
    return kept;
}

/* The biggest block that begins at `at` and ends at or before `last`. */
static struct ip_block biggest_block(const struct ip *at, const struct ip *last)
{
    struct ip_block best = {*at, (uint8_t)ip_bits(at)};
    while (best.len > 0) {
        struct ip_block wider = {*at, (uint8_t)(best.len - 1)};
        struct ip first = ip_block_first(&wider), end = ip_block_last(&wider);
        if (!ip_eq(&first, at) || ip_cmp(&end, last) > 0) {
            break;
        }
        best = wider;
    }
    return best;
}

static void add_blocks(struct bcall *b, struct range r, struct vlist *out)
{
    for (;;) {
        struct ip_block block = biggest_block(&r.first, &r.last);
        struct buf text;
        buf_init(&text, IP_TEXT_MAX + 8);
        ip_put(&text, &block.addr);
        buf_printf(&text, "/%u", block.len);
        vlist_add(out, val_str(b->a, buf_str(&text)));
        buf_release(&text);
        struct ip end = ip_block_last(&block);
        if (ip_cmp(&end, &r.last) >= 0 || !ip_next(&end)) {
            return;
        }
        r.first = end;
    }
}

static enum b_status net_cidr_merge(struct bcall *b)
{
    struct val of = b->args[0];
    if (!val_is(of, V_ARRAY) && !val_is(of, V_SET)) {
        return b_type(b, 1, "one of {set, array}");
    }
    size_t n = val_len(of);
    struct range *ranges = arena_array(b->a, struct range, n);
    for (size_t i = 0; i < n; i++) {
        if (b_budget(b, 8) || !range_of(b, val_nth(of, (uint32_t)i), &ranges[i])) {
            return B_ERROR;
        }
    }
    qsort(ranges, n, sizeof(*ranges), range_cmp);
    n = join_ranges(ranges, n);
    struct vlist out = {.a = b->a};
    for (size_t i = 0; i < n; i++) {
        add_blocks(b, ranges[i], &out);
    }
    return b_out(b, vlist_set(&out));
}

/* ---- the resolver ---- */

static enum b_status net_lookup_ip_addr(struct bcall *b)
{
    struct str name;
    char host[256];
    if (!b_string(b, 1, &name)) {
        return B_ERROR;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (failed(str_to_cstr(name, host, sizeof(host))) || getaddrinfo(host, NULL, &hints, &list) != 0) {
        return b_fail(b, "lookup %.*s: no such host", STR_FMT(name));
    }
    struct vlist out = {.a = b->a};
    for (struct addrinfo *at = list; at != NULL; at = at->ai_next) {
        char text[64];
        if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0) {
            vlist_add(&out, val_str(b->a, str_of(text)));
        }
    }
    freeaddrinfo(list);
    return b_out(b, vlist_set(&out));
}

const struct builtin builtins_net[] = {
    {"net.cidr_contains", 2, net_cidr_contains, 0},
    {"net.cidr_contains_matches", 2, net_cidr_contains_matches, 0},
    {"net.cidr_expand", 1, net_cidr_expand, 0},
    {"net.cidr_intersects", 2, net_cidr_intersects, 0},
    {"net.cidr_is_valid", 1, net_cidr_is_valid, 0},
    {"net.cidr_merge", 1, net_cidr_merge, 0},
    {"net.cidr_overlap", 2, net_cidr_contains, BF_DEPRECATED},
    {"net.lookup_ip_addr", 1, net_lookup_ip_addr, BF_NONDET},
    {0},
};
