/*
 * Rulesets as text for `nft -f -`.
 *
 * A forwarded packet passes as follows. Packets of known connections leave at the first rule. A
 * first packet must be one (a TCP packet without SYN belongs to a connection that was cut, and is
 * dropped); one end at least must be a pod; then the source's egress and the destination's ingress
 * are looked up, each a handful of set lookups. The class of the peer travels in the packet's
 * priority, which only first packets carry and which is cleared before the packet goes on.
 */
#include "compile.h"
#include "disjoint.h"

#include <inttypes.h>

static const char *const direction_names[] = {"ingress", "egress"};
static const char family_digit[] = {'4', '6'};

static struct str table_name(struct str table)
{
    return table.n > 0 ? table : S("sextant");
}

static bool has_class(enum netpol_shape s)
{
    return s == SHAPE_CLASS || s == SHAPE_CLASS_PORT || s == SHAPE_CLASS_RANGE;
}

static bool has_block(enum netpol_shape s)
{
    return s == SHAPE_BLOCK || s == SHAPE_BLOCK_RANGE;
}

static bool has_ports(enum netpol_shape s)
{
    return s == SHAPE_ANY_PORT || s == SHAPE_CLASS_PORT || s == SHAPE_CLASS_RANGE ||
           s == SHAPE_BLOCK_RANGE;
}

static bool is_interval(enum netpol_shape s)
{
    return s == SHAPE_CLASS_RANGE || has_block(s);
}

/* "ip saddr" and the like: the own end is the destination of ingress and the source of egress. */
static const char *own_field(int dir, int family)
{
    static const char *const fields[2][2] = {{"ip daddr", "ip6 daddr"}, {"ip saddr", "ip6 saddr"}};
    return fields[dir][family];
}

static const char *peer_field(int dir, int family)
{
    return own_field(!dir, family);
}

/* The key of a shape as an expression; the set's type is declared by the same words. */
static void put_key(struct buf *out, enum netpol_shape shape, int dir, int family)
{
    if (has_class(shape)) {
        buf_puts(out, S("meta priority . "));
    } else if (has_block(shape)) {
        buf_printf(out, "%s . ", peer_field(dir, family));
    }
    buf_puts(out, str_of(own_field(dir, family)));
    if (has_ports(shape)) {
        buf_puts(out, S(" . meta l4proto . th dport"));
    }
}

static void put_set_name(struct buf *out, enum netpol_shape shape, int dir, int family)
{
    buf_printf(out, "%s_%s%c", direction_names[dir], netpol_shape_name(shape), family_digit[family]);
}

static void put_element(struct buf *out, enum netpol_shape shape, const struct netpol_elem *e)
{
    if (has_class(shape)) {
        buf_printf(out, "0:%x . ", e->class);
    } else if (has_block(shape)) {
        ip_put(out, &e->lo);
        if (!ip_eq(&e->lo, &e->hi)) {
            buf_putc(out, '-');
            ip_put(out, &e->hi);
        }
        buf_puts(out, S(" . "));
    }
    ip_put(out, &e->own);
    if (has_ports(shape)) {
        buf_printf(out, " . %u . %u", e->proto, e->first);
        if (e->first != e->last) {
            buf_printf(out, "-%u", e->last);
        }
    }
}

static void put_set(struct buf *out, const struct netpol_ruleset *r, enum netpol_shape shape, int dir,
                    int family)
{
    const struct netpol_set *s = &r->sets[shape][dir][family];
    buf_puts(out, S("\tset "));
    put_set_name(out, shape, dir, family);
    buf_puts(out, S(" {\n\t\ttypeof "));
    put_key(out, shape, dir, family);
    buf_puts(out, is_interval(shape) ? S("\n\t\tflags interval\n") : S("\n"));
    for (size_t i = 0; i < s->n; i++) {
        buf_puts(out, i == 0 ? S("\t\telements = { ") : S(",\n\t\t\t"));
        put_element(out, shape, &s->items[i]);
    }
    buf_puts(out, s->n > 0 ? S(" }\n\t}\n") : S("\t}\n"));
}

static void put_class_map(struct buf *out, const struct netpol_ruleset *r, int family)
{
    buf_printf(out, "\tmap class%c {\n\t\ttypeof %s : meta priority\n", family_digit[family],
               own_field(NETPOL_EGRESS, family));
    for (size_t i = 0; i < r->n_classes[family]; i++) {
        buf_puts(out, i == 0 ? S("\t\telements = { ") : S(",\n\t\t\t"));
        ip_put(out, &r->classes[family][i].ip);
        buf_printf(out, " : 0:%x", r->classes[family][i].class);
    }
    buf_puts(out, r->n_classes[family] > 0 ? S(" }\n\t}\n") : S("\t}\n"));
}

/* The lookups of one direction and family; falling through all of them is a denial. */
static void put_direction_chain(struct buf *out, int dir, int family)
{
    buf_printf(out, "\tchain %s%c {\n", direction_names[dir], family_digit[family]);
    for (int shape = SHAPE_ANY; shape < SHAPE_MAX; shape++) {
        if (shape == SHAPE_CLASS) {
            buf_puts(out, S("\t\tmeta priority set none\n"));
            buf_printf(out, "\t\tmeta priority set %s map @class%c\n", peer_field(dir, family),
                       family_digit[family]);
        }
        buf_puts(out, S("\t\t"));
        put_key(out, (enum netpol_shape)shape, dir, family);
        buf_puts(out, S(" @"));
        put_set_name(out, (enum netpol_shape)shape, dir, family);
        buf_puts(out, S(" return\n"));
    }
    buf_printf(out, "\t\tcounter name denied_%s drop\n\t}\n", direction_names[dir]);
}

static void put_jumps(struct buf *out, int dir)
{
    for (int family = 0; family < FAMILY_MAX; family++) {
        buf_printf(out, "\t\t%s @", own_field(dir, family));
        put_set_name(out, SHAPE_ISOLATED, dir, family);
        buf_printf(out, " jump %s%c\n", direction_names[dir], family_digit[family]);
    }
}

static void put_forward_chain(struct buf *out, enum netpol_unrelated unrelated)
{
    const char *verdict = unrelated == UNRELATED_ACCEPT ? "accept" : "drop";
    buf_puts(out, S("\tchain forward {\n"
                    "\t\ttype filter hook forward priority -5; policy drop;\n"
                    "\t\tct state established,related accept\n"
                    "\t\tct state invalid counter name invalid drop\n"
                    "\t\ttcp flags & (fin|syn|rst|ack) != syn counter name invalid drop\n"));
    for (int family = 0; family < FAMILY_MAX; family++) {
        buf_printf(out, "\t\t%s != @pods%c %s != @pods%c counter name unrelated %s\n",
                   own_field(NETPOL_EGRESS, family), family_digit[family],
                   own_field(NETPOL_INGRESS, family), family_digit[family], verdict);
    }
    put_jumps(out, NETPOL_EGRESS);
    put_jumps(out, NETPOL_INGRESS);
    buf_puts(out, S("\t\tmeta priority set none\n\t\tcounter name allowed accept\n\t}\n"));
}

/* All pod addresses, for "neither end is a pod": the class maps cannot be asked that. */
static void put_pod_set(struct buf *out, const struct netpol_ruleset *r, int family)
{
    buf_printf(out, "\tset pods%c {\n\t\ttypeof %s\n", family_digit[family],
               own_field(NETPOL_EGRESS, family));
    for (size_t i = 0; i < r->n_classes[family]; i++) {
        buf_puts(out, i == 0 ? S("\t\telements = { ") : S(",\n\t\t\t"));
        ip_put(out, &r->classes[family][i].ip);
    }
    buf_puts(out, r->n_classes[family] > 0 ? S(" }\n\t}\n") : S("\t}\n"));
}

/* Makes the table if it is not there, so that deleting it cannot fail, and begins it anew. */
static void put_table_start(struct buf *out, struct str table, struct str comment)
{
    buf_printf(out, "table inet %.*s\ndelete table inet %.*s\ntable inet %.*s {\n", STR_FMT(table),
               STR_FMT(table), STR_FMT(table));
    if (comment.n > 0) {
        buf_printf(out, "\tcomment \"%.*s\"\n", STR_FMT(comment));
    }
    static const char *const counters[] = {"allowed", "denied_egress", "denied_ingress", "invalid",
                                           "unrelated"};
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        buf_printf(out, "\tcounter %s {\n\t}\n", counters[i]);
    }
}

struct err netpol_put_ruleset(struct buf *out, const struct netpol_ruleset *r,
                              const struct netpol_text_opts *opts)
{
    put_table_start(out, table_name(opts->table), opts->comment);
    for (int family = 0; family < FAMILY_MAX; family++) {
        put_pod_set(out, r, family);
        put_class_map(out, r, family);
        for (int dir = 0; dir < 2; dir++) {
            for (int shape = 0; shape < SHAPE_MAX; shape++) {
                put_set(out, r, (enum netpol_shape)shape, dir, family);
            }
            put_direction_chain(out, dir, family);
        }
    }
    put_forward_chain(out, opts->unrelated);
    buf_puts(out, S("}\n"));
    return buf_check(out);
}

void netpol_put_lockdown(struct buf *out, struct str table)
{
    put_table_start(out, table_name(table), S("no policies yet"));
    buf_puts(out, S("\tchain forward {\n"
                    "\t\ttype filter hook forward priority -5; policy drop;\n"
                    "\t\tcounter name unrelated drop\n\t}\n}\n"));
}

/* --- changes --------------------------------------------------------------------------------- */

/* Calls back for what is in `a` and not in `b`; both are sorted. */
static size_t only_in(const struct netpol_set *a, const struct netpol_set *b, struct buf *out,
                      enum netpol_shape shape, const char *head)
{
    size_t n = 0;
    for (size_t i = 0, k = 0; i < a->n; i++) {
        while (k < b->n && netpol_elem_cmp(&b->items[k], &a->items[i]) < 0) {
            k++;
        }
        if (k < b->n && netpol_elem_cmp(&b->items[k], &a->items[i]) == 0) {
            continue;
        }
        if (out != NULL) {
            buf_puts(out, n == 0 ? str_of(head) : S(", "));
            put_element(out, shape, &a->items[i]);
        }
        n++;
    }
    if (out != NULL && n > 0) {
        buf_puts(out, S(" }\n"));
    }
    return n;
}

static size_t class_only_in(const struct netpol_ruleset *a, const struct netpol_ruleset *b, int family,
                            struct buf *out, const char *verb, struct str table)
{
    size_t n = 0;
    for (size_t i = 0, k = 0; i < a->n_classes[family]; i++) {
        const struct netpol_class *e = &a->classes[family][i];
        while (k < b->n_classes[family] && ip_cmp(&b->classes[family][k].ip, &e->ip) < 0) {
            k++;
        }
        bool there = k < b->n_classes[family] && ip_eq(&b->classes[family][k].ip, &e->ip);
        if (there && b->classes[family][k].class == e->class) {
            continue;
        }
        n++;
        if (out == NULL) {
            continue;
        }
        buf_printf(out, "%s element inet %.*s class%c { ", verb, STR_FMT(table), family_digit[family]);
        ip_put(out, &e->ip);
        buf_printf(out, " : 0:%x }\n", e->class);
        if (!there) {
            buf_printf(out, "%s element inet %.*s pods%c { ", verb, STR_FMT(table),
                       family_digit[family]);
            ip_put(out, &e->ip);
            buf_puts(out, S(" }\n"));
        }
    }
    return n;
}

static size_t put_one_way(struct buf *out, const struct netpol_ruleset *a,
                          const struct netpol_ruleset *b, const char *verb, struct str table)
{
    size_t n = 0;
    for (int family = 0; family < FAMILY_MAX; family++) {
        n += class_only_in(a, b, family, out, verb, table);
        for (int dir = 0; dir < 2; dir++) {
            for (int shape = 0; shape < SHAPE_MAX; shape++) {
                char head[128];
                snprintf(head, sizeof(head), "%s element inet %.*s %s_%s%c { ", verb,
                         STR_FMT(table), direction_names[dir],
                         netpol_shape_name((enum netpol_shape)shape), family_digit[family]);
                n += only_in(&a->sets[shape][dir][family], &b->sets[shape][dir][family], out,
                             (enum netpol_shape)shape, head);
            }
        }
    }
    return n;
}

void netpol_put_change(struct buf *out, const struct netpol_ruleset *from,
                       const struct netpol_ruleset *to, struct str table)
{
    put_one_way(out, from, to, "delete", table_name(table));
    put_one_way(out, to, from, "add", table_name(table));
}

size_t netpol_change_size(const struct netpol_ruleset *from, const struct netpol_ruleset *to)
{
    return put_one_way(NULL, from, to, NULL, STR_EMPTY) + put_one_way(NULL, to, from, NULL, STR_EMPTY);
}
