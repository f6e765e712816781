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
/* Reports of denials: enough to see an attempt, too few to be a load. */
enum { NFT_LOG_RATE = 50, NFT_LOG_BURST = 100, NFT_LOG_BYTES = 96 };

static const char *const direction_names[] = {"ingress", "egress"};
static const char family_digit[] = {'4', '6'};

static struct str table_name(struct str table)
{
    return table.n > 0 ? table : S("sextant");
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
    if (netpol_shape_has_class(shape)) {
        buf_puts(out, S("meta priority . "));
    } else if (netpol_shape_has_block(shape)) {
        buf_printf(out, "%s . ", peer_field(dir, family));
    }
    buf_puts(out, str_of(own_field(dir, family)));
    if (netpol_shape_has_ports(shape)) {
        buf_puts(out, S(" . meta l4proto . th dport"));
    }
}

static void put_set_name(struct buf *out, enum netpol_shape shape, int dir, int family)
{
    buf_printf(out, "%s_%s%c", direction_names[dir], netpol_shape_name(shape),
               family_digit[family]);
}

static void put_element(struct buf *out, enum netpol_shape shape, const struct netpol_elem *e)
{
    if (netpol_shape_has_class(shape)) {
        buf_printf(out, "0:%x . ", e->class);
    } else if (netpol_shape_has_block(shape)) {
        ip_put(out, &e->lo);
        if (!ip_eq(&e->lo, &e->hi)) {
            buf_putc(out, '-');
            ip_put(out, &e->hi);
        }
        buf_puts(out, S(" . "));
    }
    ip_put(out, &e->own);
    if (netpol_shape_has_ports(shape)) {
        buf_printf(out, " . %u . %u", e->proto, e->first);
        if (e->first != e->last) {
            buf_printf(out, "-%u", e->last);
        }
    }
}

static void put_set(struct buf *out, const struct netpol_ruleset *r, enum netpol_shape shape,
                    int dir, int family)
{
    const struct netpol_set *s = &r->sets[shape][dir][family];
    buf_puts(out, S("\tset "));
    put_set_name(out, shape, dir, family);
    buf_puts(out, S(" {\n\t\ttypeof "));
    put_key(out, shape, dir, family);
    buf_puts(out, netpol_shape_is_interval(shape) ? S("\n\t\tflags interval\n") : S("\n"));
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
static void put_direction_chain(struct buf *out, int dir, int family, unsigned log_group)
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
    if (log_group > 0) {
        buf_printf(out, "\t\tlimit rate %d/second burst %d packets log group %u snaplen %d\n",
                   NFT_LOG_RATE, NFT_LOG_BURST, log_group, NFT_LOG_BYTES);
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
            put_direction_chain(out, dir, family, opts->log_group);
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

void netpol_change_set_name(const struct netpol_change *c, char name[NETPOL_SET_NAME_MAX])
{
    static const char *const plain[] = {"", "class", "pods"};
    if (c->what == CHANGE_ELEMENT) {
        snprintf(name, NETPOL_SET_NAME_MAX, "%s_%s%c", direction_names[c->dir],
                 netpol_shape_name(c->shape), family_digit[c->family]);
    } else {
        snprintf(name, NETPOL_SET_NAME_MAX, "%s%c", plain[c->what], family_digit[c->family]);
    }
}

struct change_writer {
    struct buf *out;
    struct str table;
};

static void write_change(void *ctx, const struct netpol_change *c)
{
    struct change_writer *w = ctx;
    char name[NETPOL_SET_NAME_MAX];
    netpol_change_set_name(c, name);
    buf_printf(w->out, "%s element inet %.*s %s { ", c->add ? "add" : "delete", STR_FMT(w->table),
               name);
    if (c->what == CHANGE_ELEMENT) {
        put_element(w->out, c->shape, c->elem);
    } else {
        ip_put(w->out, &c->class->ip);
        if (c->what == CHANGE_CLASS) {
            buf_printf(w->out, " : 0:%x", c->class->class);
        }
    }
    buf_puts(w->out, S(" }\n"));
}

void netpol_put_change(struct buf *out, const struct netpol_ruleset *from,
                       const struct netpol_ruleset *to, struct str table)
{
    struct change_writer w = {out, table_name(table)};
    netpol_each_change(from, to, write_change, &w);
}
