#include "disjoint.h"

/* Orders by group first (class, own, protocol), then by where the intervals begin. */
int netpol_elem_cmp(const struct netpol_elem *a, const struct netpol_elem *b)
{
    int c = ip_cmp(&a->own, &b->own);
    if (c != 0 || a->class != b->class) {
        return c != 0 ? c : a->class < b->class ? -1 : 1;
    }
    if (a->proto != b->proto) {
        return a->proto < b->proto ? -1 : 1;
    }
    c = ip_cmp(&a->lo, &b->lo);
    c = c != 0 ? c : ip_cmp(&a->hi, &b->hi);
    if (c != 0 || a->first != b->first) {
        return c != 0 ? c : a->first < b->first ? -1 : 1;
    }
    return a->last == b->last ? 0 : a->last < b->last ? -1 : 1;
}

static int compare(const void *a, const void *b)
{
    return netpol_elem_cmp(a, b);
}

static void sort_unique(struct netpol_set *s)
{
    size_t kept = 0;
    if (s->n == 0) {
        return;
    }
    qsort(s->items, s->n, sizeof(*s->items), compare);
    for (size_t i = 1; i < s->n; i++) {
        if (netpol_elem_cmp(&s->items[kept], &s->items[i]) != 0) {
            s->items[++kept] = s->items[i];
        }
    }
    s->n = kept + 1;
}

static bool same_group(const struct netpol_elem *a, const struct netpol_elem *b)
{
    return a->class == b->class && a->proto == b->proto && ip_eq(&a->own, &b->own);
}

/* Sorted port ranges of one group and one span of addresses: joins those that touch. */
static void merge_ports(struct netpol_set *s)
{
    size_t kept = 0;
    for (size_t i = 1; i < s->n; i++) {
        struct netpol_elem *last = &s->items[kept], *e = &s->items[i];
        if (same_group(last, e) && ip_eq(&last->lo, &e->lo) && ip_eq(&last->hi, &e->hi) &&
            e->first <= (uint32_t)last->last + 1) {
            last->last = MAX(last->last, e->last);
        } else {
            s->items[++kept] = *e;
        }
    }
    s->n = s->n > 0 ? kept + 1 : 0;
}

/* Does `next` begin at or before the address after `hi`? */
static bool touches(struct ip hi, const struct ip *next)
{
    return !ip_next(&hi) || ip_cmp(next, &hi) <= 0;
}

/* Sorted spans of addresses without ports: joins those that touch. */
static void merge_spans(struct netpol_set *s)
{
    size_t kept = 0;
    for (size_t i = 1; i < s->n; i++) {
        struct netpol_elem *last = &s->items[kept], *e = &s->items[i];
        if (same_group(last, e) && touches(last->hi, &e->lo)) {
            last->hi = ip_cmp(&e->hi, &last->hi) > 0 ? e->hi : last->hi;
        } else {
            s->items[++kept] = *e;
        }
    }
    s->n = s->n > 0 ? kept + 1 : 0;
}

static int compare_ips(const void *a, const void *b)
{
    return ip_cmp(a, b);
}

/* Every address at which some rectangle of the group begins or has just ended. */
static size_t group_cuts(struct arena *a, const struct netpol_elem *g, size_t n, struct ip **out)
{
    struct ip *cuts = arena_array(a, struct ip, 2 * n);
    size_t n_cuts = 0, kept = 0;
    for (size_t i = 0; i < n; i++) {
        struct ip after = g[i].hi;
        cuts[n_cuts++] = g[i].lo;
        if (ip_next(&after)) {
            cuts[n_cuts++] = after;
        }
    }
    qsort(cuts, n_cuts, sizeof(*cuts), compare_ips);
    for (size_t i = 1; i < n_cuts; i++) {
        if (!ip_eq(&cuts[kept], &cuts[i])) {
            cuts[++kept] = cuts[i];
        }
    }
    *out = cuts;
    return n_cuts > 0 ? kept + 1 : 0;
}

/* Cuts one rectangle at every cut inside it. */
static void cut_into(struct arena *a, const struct netpol_elem *e, const struct ip *cuts, size_t n,
                     struct netpol_set *out)
{
    struct netpol_elem piece = *e;
    for (size_t i = 0; i < n; i++) {
        if (ip_cmp(&cuts[i], &piece.lo) <= 0 || ip_cmp(&cuts[i], &e->hi) > 0) {
            continue;
        }
        piece.hi = cuts[i];
        ip_prev(&piece.hi);
        out->items = arena_grow(a, out->items, out->n, out->n + 1, &out->cap, sizeof(piece));
        out->items[out->n++] = piece;
        piece.lo = cuts[i];
    }
    piece.hi = e->hi;
    out->items = arena_grow(a, out->items, out->n, out->n + 1, &out->cap, sizeof(piece));
    out->items[out->n++] = piece;
}

/*
 * Rectangles (addresses x ports) of each group: after cutting all of them at all cuts of their
 * group, two pieces have either the same span of addresses or none in common, and ports can be
 * joined span by span.
 */
static void cut_rectangles(struct arena *a, struct netpol_set *s)
{
    struct netpol_set out = {0};
    for (size_t i = 0, end; i < s->n; i = end) {
        struct ip *cuts;
        for (end = i + 1; end < s->n && same_group(&s->items[i], &s->items[end]); end++) {
        }
        size_t n = group_cuts(a, &s->items[i], end - i, &cuts);
        for (size_t k = i; k < end && !arena_exhausted(a); k++) {
            cut_into(a, &s->items[k], cuts, n, &out);
        }
    }
    *s = out;
    sort_unique(s);
    merge_ports(s);
}

void netpol_make_disjoint(struct arena *a, struct netpol_ruleset *r)
{
    r->n_elements = r->n_classes[FAMILY_4] + r->n_classes[FAMILY_6];
    for (int shape = 0; shape < SHAPE_MAX; shape++) {
        for (int dir = 0; dir < 2; dir++) {
            for (int f = 0; f < FAMILY_MAX; f++) {
                struct netpol_set *s = &r->sets[shape][dir][f];
                sort_unique(s);
                if (shape == SHAPE_CLASS_RANGE) {
                    merge_ports(s);
                } else if (shape == SHAPE_BLOCK) {
                    merge_spans(s);
                } else if (shape == SHAPE_BLOCK_RANGE) {
                    cut_rectangles(a, s);
                }
                r->n_elements += s->n;
            }
        }
    }
}
