/* Networks: CIDR arithmetic and host names. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/eval/eval_priv.h"

#include "lib/base/ip.h"

#include <stdlib.h>

enum { EXPAND_MAX = 1 << 20 };

static struct str ip_text(struct arena *a, const struct ip *ip)
{
    struct buf b;
    buf_init(&b, IP_TEXT_MAX + 1);
    ip_put(&b, ip);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* A version 4 address in version 6 clothes counts as version 4, and so does a block of such. */
static void unmap(struct ip_block *x)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    if (x->addr.family == 6 && x->len >= 96 && memcmp(x->addr.b, prefix, sizeof prefix) == 0) {
        memmove(x->addr.b, x->addr.b + 12, 4);
        memset(x->addr.b + 4, 0, 12);
        x->addr.family = 4;
        x->len -= 96;
    }
}

/* ADDRESS/LENGTH, with zeros before the length if it likes. */
static bool block_of(struct arena *a, struct str s, struct ip_block *out)
{
    size_t slash = str_find_char(s, '/');
    if (str_find_char(s, '\0') != STR_NPOS) {
        return false; /* printing would end there */
    }
    if (slash != STR_NPOS) {
        struct str length = str_sub(s, slash + 1, s.n);
        while (length.n > 1 && length.p[0] == '0') {
            length = str_sub(length, 1, length.n);
        }
        s = arena_printf(a, "%.*s/%.*s", STR_FMT(str_sub(s, 0, slash)), STR_FMT(length));
    }
    if (failed(ip_block_parse(s, out))) {
        return false;
    }
    unmap(out);
    return true;
}

static bool block_or_ip(struct arena *a, struct str s, struct ip_block *out)
{
    if (block_of(a, s, out)) {
        return true;
    }
    if (failed(ip_parse(s, &out->addr))) {
        return false;
    }
    out->len = (uint8_t)ip_bits(&out->addr);
    unmap(out);
    return true;
}

static bool cidr(struct bcall *b, struct str s, struct ip_block *out)
{
    if (!block_of(b->a, s, out)) {
        (void)b_fail(b, "invalid CIDR address: %.*s", STR_FMT(s));
        return false;
    }
    out->addr = ip_block_first(out);
    return true;
}

static bool cidr_or_ip(struct bcall *b, struct str s, struct ip_block *out)
{
    if (!block_or_ip(b->a, s, out)) {
        (void)b_fail(b, "not a valid textual representation of an IP address or CIDR: %.*s",
                     STR_FMT(s));
        return false;
    }
    out->addr = ip_block_first(out);
    return true;
}

static enum b_status b_contains(struct bcall *b)
{
    struct str x, y;
    struct ip_block outer, inner;
    if (!b_string(b, 1, &x) || !b_string(b, 2, &y) || !cidr(b, x, &outer) ||
        !cidr_or_ip(b, y, &inner)) {
        return B_ERROR;
    }
    return b_out(b, val_bool(ip_block_contains(&outer, &inner)));
}

static enum b_status b_intersects(struct bcall *b)
{
    struct str x, y;
    struct ip_block p, q;
    if (!b_string(b, 1, &x) || !b_string(b, 2, &y) || !cidr(b, x, &p) || !cidr(b, y, &q)) {
        return B_ERROR;
    }
    return b_out(b, val_bool(ip_block_contains(&p, &q) || ip_block_contains(&q, &p)));
}

static enum b_status b_is_valid(struct bcall *b)
{
    struct ip_block block;
    bool ok = val_is(b->args[0], V_STRING) && block_of(b->a, val_text(b->args[0]), &block);
    return b_out(b, val_bool(ok));
}

static enum b_status b_expand(struct bcall *b)
{
    struct str s;
    struct ip_block block;
    struct vlist l = {.a = b->a};
    if (!b_string(b, 1, &s) || !cidr(b, s, &block)) {
        return B_ERROR;
    }
    struct ip at = ip_block_first(&block), last = ip_block_last(&block);
    for (;;) {
        vlist_add(&l, val_str(b->a, ip_text(b->a, &at)));
        if (ip_eq(&at, &last) || !ip_next(&at)) {
            break;
        }
        if (l.n > EXPAND_MAX || b_budget(b, 1)) {
            return b_fail(b, "a block of more than %d addresses", EXPAND_MAX);
        }
    }
    return b_out(b, vlist_set(&l));
}

/* ---- contains_matches ---- */

/* The text of an element: the first of an array counts. */
static bool element(struct bcall *b, int pos, struct val v, struct val *out)
{
    *out = val_is(v, V_ARRAY) && val_len(v) > 0 ? val_nth(v, 0) : v;
    if (val_is(v, V_STRING) || (val_is(v, V_ARRAY) && val_len(v) > 0)) {
        return true;
    }
    (void)b_fail(b, "operand %d: element must be string or non-empty array", pos);
    return false;
}

struct side {
    struct val *keys, *items;
    size_t n;
};

/* What is no collection has no elements. */
static void side_of(struct bcall *b, struct val v, struct side *s)
{
    struct vlist k = {.a = b->a}, x = {.a = b->a};
    if (val_is(v, V_STRING)) {
        vlist_add(&k, v);
        vlist_add(&x, v);
    }
    for (uint32_t i = 0; val_is_collection(v) && i < val_len(v); i++) {
        vlist_add(&k, val_nth_key(b->a, v, i));
        vlist_add(&x, val_nth(v, i));
    }
    *s = (struct side){k.v, x.v, k.n};
}

/* Elements are only looked at when they are compared. */
static enum b_status one_match(struct bcall *b, struct val x, struct val y, bool *match)
{
    struct ip_block outer, inner;
    if (!val_is(x, V_STRING) || !val_is(y, V_STRING)) {
        return b_operand(b, 1, "must be string but got %s",
                         val_type_name(val_is(x, V_STRING) ? y : x));
    }
    if (!cidr(b, val_text(x), &outer) || !cidr_or_ip(b, val_text(y), &inner)) {
        return B_ERROR;
    }
    *match = ip_block_contains(&outer, &inner);
    return B_OK;
}

static enum b_status b_contains_matches(struct bcall *b)
{
    struct side x, y;
    struct vlist l = {.a = b->a};
    side_of(b, b->args[0], &x);
    side_of(b, b->args[1], &y);
    for (size_t i = 0; i < x.n; i++) {
        struct val outer, inner;
        bool match;
        if (!element(b, 1, x.items[i], &outer)) {
            return B_ERROR;
        }
        for (size_t k = 0; k < y.n; k++) {
            if (!element(b, 2, y.items[k], &inner) || one_match(b, outer, inner, &match) != B_OK) {
                return B_ERROR;
            }
            if (match) {
                vlist_add(&l, val_array(b->a, (struct val[]){x.keys[i], y.keys[k]}, 2));
            }
        }
        if (b_budget(b, y.n)) {
            return B_ERROR;
        }
    }
    return b_out(b, vlist_set(&l));
}

/* ---- merge ---- */

/* `lone`: an address that stands for its network, and is shown itself unless it is merged. */
struct span {
    struct ip first, last, address;
    uint8_t len;
    bool lone;
};

static int by_first(const void *a, const void *b)
{
    return ip_cmp(&((const struct span *)a)->first, &((const struct span *)b)->first);
}

/* The largest block that starts at `first` and ends at or before `last`. */
static struct ip_block largest(const struct ip *first, const struct ip *last)
{
    struct ip_block best = {.addr = *first, .len = (uint8_t)ip_bits(first)};
    while (best.len > 0) {
        struct ip_block wider = {.addr = *first, .len = (uint8_t)(best.len - 1)};
        struct ip lo = ip_block_first(&wider), hi = ip_block_last(&wider);
        if (!ip_eq(&lo, first) || ip_cmp(&hi, last) > 0) {
            break;
        }
        best = wider;
    }
    return best;
}

static void emit_span(struct bcall *b, struct vlist *l, struct span s)
{
    if (s.lone) {
        vlist_add(l, val_str(b->a, arena_printf(b->a, "%.*s/%u", STR_FMT(ip_text(b->a, &s.address)),
                                                s.len)));
        return;
    }
    for (;;) {
        struct ip_block block = largest(&s.first, &s.last);
        struct ip end = ip_block_last(&block);
        vlist_add(l, val_str(b->a, arena_printf(b->a, "%.*s/%u",
                                                STR_FMT(ip_text(b->a, &block.addr)), block.len)));
        if (ip_eq(&end, &s.last) || !ip_next(&end)) {
            return;
        }
        s.first = end;
    }
}

static bool merge_operand(struct bcall *b, struct val v, struct span *out)
{
    struct ip_block block;
    if (!val_is(v, V_STRING)) {
        (void)b_type_of_item(
            b, 1, val_is(b->args[0], V_ARRAY) ? "array of strings" : "set of strings", v);
        return false;
    }
    struct str s = val_text(v);
    bool lone = str_find_char(s, '/') == STR_NPOS;
    if (lone && !block_or_ip(b->a, s, &block)) {
        (void)b_fail(b, "invalid CIDR address: %.*s", STR_FMT(s));
        return false;
    }
    if (lone && block.addr.family != 4) {
        (void)b_fail(b, "IPv6 invalid: needs prefix length");
        return false;
    }
    if (!lone && !cidr(b, s, &block)) {
        return false;
    }
    if (lone) {
        /* It stands for its network of old: class A, B or C. */
        block.len = block.addr.b[0] < 128   ? 8
                    : block.addr.b[0] < 192 ? 16
                    : block.addr.b[0] < 224 ? 24
                                            : 32;
    }
    *out =
        (struct span){ip_block_first(&block), ip_block_last(&block), block.addr, block.len, lone};
    return true;
}

static enum b_status b_merge(struct bcall *b)
{
    struct val v = b->args[0];
    struct vlist l = {.a = b->a};
    if (!val_is(v, V_ARRAY) && !val_is(v, V_SET)) {
        return b_type(b, 1, "an array");
    }
    size_t n = val_len(v), kept = 0;
    struct span *spans = arena_array(b->a, struct span, n + 1);
    for (size_t i = 0; i < n; i++) {
        if (!merge_operand(b, val_nth(v, (uint32_t)i), &spans[i])) {
            return B_ERROR;
        }
    }
    if (n > 1) {
        qsort(spans, n, sizeof *spans, by_first);
    }
    for (size_t i = 0; i < n; i++) {
        struct ip after = kept > 0 ? spans[kept - 1].last : (struct ip){0};
        bool touches = kept > 0 && after.family == spans[i].first.family &&
                       (!ip_next(&after) || ip_cmp(&spans[i].first, &after) <= 0);
        if (!touches) {
            spans[kept++] = spans[i];
            continue;
        }
        spans[kept - 1].lone = false;
        if (ip_cmp(&spans[i].last, &spans[kept - 1].last) > 0) {
            spans[kept - 1].last = spans[i].last;
        }
    }
    for (size_t i = 0; i < kept; i++) {
        emit_span(b, &l, spans[i]);
    }
    return b_out(b, vlist_set(&l));
}

/* A literal stands for itself; names are the embedder's to resolve. */
static enum b_status b_lookup(struct bcall *b)
{
    const struct outside *o = b->ev->o->outside;
    struct outside_addresses w = {.n = 0};
    struct vlist l = {.a = b->a};
    struct str name;
    struct ip ip;
    if (!b_string(b, 1, &name)) {
        return B_ERROR;
    }
    if (o != NULL && !outside_allows(o, name)) {
        return b_fail(b, "disallowed host: %.*s", STR_FMT(name));
    }
    if (!failed(ip_parse(name, &ip))) {
        struct val v = val_str(b->a, ip_text(b->a, &ip));
        return b_out(b, val_set(b->a, &v, 1));
    }
    if (o == NULL || o->resolve == NULL) {
        return b_fail(b, "this evaluation may not look names up");
    }
    if (b_budget(b, 2000)) {
        return B_ERROR;
    }
    if (!o->resolve(o->ctx, name, b->a, &w)) {
        eval_wait(b->ev);
        return B_ERROR;
    }
    if (w.error.n > 0) {
        return b_fail(b, "%.*s", STR_FMT(w.error));
    }
    for (size_t i = 0; i < w.n; i++) {
        vlist_add(&l, val_str(b->a, w.texts[i]));
    }
    return b_out(b, vlist_set(&l));
}

const struct builtin builtins_net[] = {
    {"net.cidr_contains", 2, b_contains, 0},
    {"net.cidr_overlap", 2, b_contains, BF_DEPRECATED},
    {"net.cidr_intersects", 2, b_intersects, 0},
    {"net.cidr_is_valid", 1, b_is_valid, 0},
    {"net.cidr_expand", 1, b_expand, 0},
    {"net.cidr_contains_matches", 2, b_contains_matches, 0},
    {"net.cidr_merge", 1, b_merge, 0},
    {"net.lookup_ip_addr", 1, b_lookup, BF_NONDET | BF_OUTSIDE},
    {0},
};
