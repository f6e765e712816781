/*
 * compile: a model as the elements of a fixed number of nftables sets.
 *
 * The ruleset has the same few chains and sets whatever the number of pods and policies: never a
 * chain, a set or a rule per pod. Pods that every selector of every policy treats alike share a
 * *class*; a peer selector then is a short list of classes, and an allowed connection one element
 * `class of the peer . own address . protocol . port`. Blocks of addresses are elements of interval
 * sets, cut so that no two of them overlap (the kernel refuses overlaps).
 *
 * For each direction and family the sets are, from cheap to dear:
 *
 *     isolated    own                                   must some rule allow it?
 *     any         own                                   from anywhere, on any port
 *     any_port    own . protocol . port                 from anywhere
 *     class       class . own                           from these pods, on any port
 *     class_port  class . own . protocol . port
 *     class_range class . own . protocol . ports        intervals
 *     block       peer addresses . own                  intervals
 *     block_range peer addresses . own . protocol . ports   intervals
 */
#ifndef SEXTANT_NETPOL_COMPILE_H
#define SEXTANT_NETPOL_COMPILE_H

#include "eval.h"

enum netpol_shape {
    SHAPE_ISOLATED,
    SHAPE_ANY,
    SHAPE_ANY_PORT,
    SHAPE_CLASS,
    SHAPE_CLASS_PORT,
    SHAPE_CLASS_RANGE,
    SHAPE_BLOCK,
    SHAPE_BLOCK_RANGE,
    SHAPE_MAX
};

enum netpol_family { FAMILY_4, FAMILY_6, FAMILY_MAX };

struct netpol_elem {
    struct ip own;    /* the isolated pod: destination of ingress, source of egress */
    struct ip lo, hi; /* peer addresses, for the block shapes */
    uint32_t class;   /* peer class, for the class shapes */
    uint8_t proto;    /* 0 for shapes without ports */
    uint16_t first, last;
};

struct netpol_set {
    struct netpol_elem *items; /* sorted, no two alike, intervals disjoint */
    size_t n, cap;
};

struct netpol_class {
    struct ip ip;
    uint32_t class; /* from 1 */
};

enum { NETPOL_ELEMENTS_MAX = 4 << 20 };

struct netpol_ruleset {
    struct netpol_set sets[SHAPE_MAX][2][FAMILY_MAX]; /* [shape][enum netpol_direction][family] */
    struct netpol_class *classes[FAMILY_MAX];         /* every pod address, sorted */
    size_t n_classes[FAMILY_MAX];
    size_t n_elements;
};

/* The ruleset lives in `a`. ERR_LIMIT over NETPOL_ELEMENTS_MAX or the arena's budget. */
struct err netpol_compile(struct arena *a, const struct netpol_model *m,
                          struct netpol_ruleset **out);

/* What happens to forwarded packets neither of whose ends is a pod of the model. */
enum netpol_unrelated { UNRELATED_DROP, UNRELATED_ACCEPT };

struct netpol_text_opts {
    enum netpol_unrelated unrelated;
    struct str table;   /* empty means "sextant"; letters, digits, '_' */
    struct str comment; /* on the table */
    unsigned log_group; /* denied first packets are copied to this nflog group; 0: to none */
};

/*
 * The whole table as text for `nft -f -`: replaces what the table held, in one transaction, and
 * touches no other table. ERR_LIMIT when it does not fit the buffer.
 */
struct err netpol_put_ruleset(struct buf *out, const struct netpol_ruleset *r,
                              const struct netpol_text_opts *opts);
/* The table that drops everything: what holds before the first policies are read. */
void netpol_put_lockdown(struct buf *out, struct str table);
/* One element that differs between two rulesets. */
struct netpol_change {
    bool add;
    enum { CHANGE_ELEMENT, CHANGE_CLASS, CHANGE_POD } what;
    enum netpol_shape shape; /* CHANGE_ELEMENT, as dir and elem */
    int dir;
    enum netpol_family family;
    const struct netpol_elem *elem;
    const struct netpol_class *class; /* CHANGE_CLASS and CHANGE_POD */
};

/* Visits first what only `from` has, to be deleted, then what only `to` has. Returns how many there are. */
size_t netpol_each_change(const struct netpol_ruleset *from, const struct netpol_ruleset *to,
                          void (*fn)(void *ctx,
                                     const struct netpol_change *c) /* NULL: only counts */,
                          void *ctx);
/* The same as deletions and additions for one `nft -f -`. Writes nothing when they are equal. */
void netpol_put_change(struct buf *out, const struct netpol_ruleset *from,
                       const struct netpol_ruleset *to, struct str table);
static inline size_t netpol_change_size(const struct netpol_ruleset *from,
                                        const struct netpol_ruleset *to)
{
    return netpol_each_change(from, to, NULL, NULL);
}

/* What the shape's key is made of, in this order, around the own address. */
static inline bool netpol_shape_has_class(enum netpol_shape s)
{
    return s == SHAPE_CLASS || s == SHAPE_CLASS_PORT || s == SHAPE_CLASS_RANGE;
}
static inline bool netpol_shape_has_block(enum netpol_shape s)
{
    return s == SHAPE_BLOCK || s == SHAPE_BLOCK_RANGE;
}
static inline bool netpol_shape_has_ports(enum netpol_shape s)
{
    return s == SHAPE_ANY_PORT || s == SHAPE_CLASS_PORT || s == SHAPE_CLASS_RANGE ||
           s == SHAPE_BLOCK_RANGE;
}
static inline bool netpol_shape_is_interval(enum netpol_shape s)
{
    return s == SHAPE_CLASS_RANGE || netpol_shape_has_block(s);
}

/* "ingress_class_port4", "class6", "pods4": what the change's set is called. */
enum { NETPOL_SET_NAME_MAX = 32 };
void netpol_change_set_name(const struct netpol_change *c, char name[NETPOL_SET_NAME_MAX]);

const char *netpol_shape_name(enum netpol_shape s);

#endif
