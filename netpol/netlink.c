#include "netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>

#include <libmnl/libmnl.h>

enum { KEY_MAX = 64, MESSAGE_ROOM = 1024 };

struct netlink {
    struct mnl_socket *s;
    unsigned seq;
};

struct batch {
    struct netlink *nl;
    char *buf;
    size_t n, changes;
    char table[64];
    bool full;
};

/* A key as the kernel keeps it: each part in registers of four bytes. */
struct key {
    uint8_t b[KEY_MAX];
    size_t n;
};

static void key_add(struct key *k, const void *p, size_t n)
{
    BUG_ON(k->n + n + 3 > KEY_MAX);
    memcpy(k->b + k->n, p, n);
    k->n += (n + 3) & ~(size_t)3;
}

static void key_add_ip(struct key *k, const struct ip *ip)
{
    key_add(k, ip->b, ip_bits(ip) / 8);
}

/* `end`: the upper end of an interval element. A class is in host order, as the packet's priority is. */
static struct key element_key(enum netpol_shape shape, const struct netpol_elem *e, bool end)
{
    struct key k = {.n = 0};
    uint16_t port = htons(end ? e->last : e->first);
    if (netpol_shape_has_class(shape)) {
        key_add(&k, &e->class, sizeof(e->class));
    } else if (netpol_shape_has_block(shape)) {
        key_add_ip(&k, end ? &e->hi : &e->lo);
    }
    key_add_ip(&k, &e->own);
    if (netpol_shape_has_ports(shape)) {
        key_add(&k, &e->proto, 1);
        key_add(&k, &port, sizeof(port));
    }
    return k;
}

static void put_data(struct nlmsghdr *head, uint16_t type, const void *p, size_t n)
{
    struct nlattr *nest = mnl_attr_nest_start(head, type);
    mnl_attr_put(head, NFTA_DATA_VALUE, n, p);
    mnl_attr_nest_end(head, nest);
}

static void put_element(struct nlmsghdr *head, const struct netpol_change *c)
{
    struct nlattr *item = mnl_attr_nest_start(head, NFTA_LIST_ELEM);
    if (c->what == CHANGE_ELEMENT) {
        struct key k = element_key(c->shape, c->elem, false);
        put_data(head, NFTA_SET_ELEM_KEY, k.b, k.n);
        if (netpol_shape_is_interval(c->shape)) {
            struct key end = element_key(c->shape, c->elem, true);
            put_data(head, NFTA_SET_ELEM_KEY_END, end.b, end.n);
        }
    } else {
        put_data(head, NFTA_SET_ELEM_KEY, c->class->ip.b, ip_bits(&c->class->ip) / 8);
        if (c->what == CHANGE_CLASS) {
            put_data(head, NFTA_SET_ELEM_DATA, &c->class->class, sizeof(c->class->class));
        }
    }
    mnl_attr_nest_end(head, item);
}

static struct nlmsghdr *begin(struct batch *b, uint16_t type, uint16_t flags, uint8_t family,
                              uint16_t resource)
{
    struct nlmsghdr *head = mnl_nlmsg_put_header(b->buf + b->n);
    head->nlmsg_type = type;
    head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    head->nlmsg_seq = netlink_seq(b->nl);
    struct nfgenmsg *nf = mnl_nlmsg_put_extra_header(head, sizeof(*nf));
    nf->nfgen_family = family;
    nf->version = NFNETLINK_V0;
    nf->res_id = htons(resource);
    return head;
}

/* Every message asks to be acknowledged, so that the first refusal is heard, and the last acceptance. */
static void put_change(void *ctx, const struct netpol_change *c)
{
    struct batch *b = ctx;
    char set[NETPOL_SET_NAME_MAX];
    if (++b->changes > NETLINK_CHANGES_MAX || b->n + MESSAGE_ROOM > NETLINK_BATCH_MAX) {
        b->full = true;
        return;
    }
    netpol_change_set_name(c, set);
    uint16_t type =
        (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | (c->add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM));
    struct nlmsghdr *head =
        begin(b, type, (uint16_t)(NLM_F_ACK | (c->add ? NLM_F_CREATE : 0)), NFPROTO_INET, 0);
    mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_TABLE, b->table);
    mnl_attr_put_strz(head, NFTA_SET_ELEM_LIST_SET, set);
    struct nlattr *list = mnl_attr_nest_start(head, NFTA_SET_ELEM_LIST_ELEMENTS);
    put_element(head, c);
    mnl_attr_nest_end(head, list);
    b->n += NLMSG_ALIGN(head->nlmsg_len);
}

static void put_mark(struct batch *b, uint16_t type)
{
    struct nlmsghdr *head = begin(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
    b->n += NLMSG_ALIGN(head->nlmsg_len);
}

/* One answer for each change; the first error says why nothing was done. */
static struct err hear(struct mnl_socket *s, size_t answers)
{
    char buf[16384];
    while (answers > 0) {
        ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));
        ENSURE(n > 0, ERR_IO, "no answer from nf_tables: %s", strerror(errno));
        int left = (int)n;
        for (struct nlmsghdr *h = (void *)buf; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);
            ENSURE(h->nlmsg_type != NLMSG_ERROR || e->error == 0, ERR_CONFLICT,
                   "nf_tables refused a change: %s", strerror(-e->error));
            answers -= answers > 0 && h->nlmsg_type == NLMSG_ERROR;
        }
    }
    return OK;
}

static struct err open_socket(struct mnl_socket **out)
{
    struct timeval patience = {.tv_sec = 5};
    int size = NETLINK_BATCH_MAX * 8;
    struct mnl_socket *s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    ENSURE(s != NULL, ERR_IO, "no netlink socket: %s", strerror(errno));
    int fd = mnl_socket_get_fd(s);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    /* Without these the usual sizes still carry the usual change. */
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
    if (mnl_socket_bind(s, 0, MNL_SOCKET_AUTOPID) != 0) {
        mnl_socket_close(s);
        FAIL(ERR_IO, "no netlink socket: %s", strerror(errno));
    }
    *out = s;
    return OK;
}

struct err netlink_open(struct netlink **out)
{
    struct mnl_socket *s;
    TRY(open_socket(&s));
    struct netlink *nl = calloc(1, sizeof(*nl));
    BUG_ON(nl == NULL);
    nl->s = s;
    *out = nl;
    return OK;
}

void netlink_close(struct netlink *nl)
{
    if (nl != NULL) {
        mnl_socket_close(nl->s);
        free(nl);
    }
}

struct mnl_socket *netlink_socket(struct netlink *nl)
{
    return nl->s;
}

unsigned netlink_seq(struct netlink *nl)
{
    return ++nl->seq;
}

void netlink_renew(struct netlink *nl)
{
    struct mnl_socket *s;
    if (!failed(open_socket(&s))) {
        mnl_socket_close(nl->s);
        nl->s = s;
    }
}

static struct err send_batch(const struct batch *b)
{
    ENSURE(mnl_socket_sendto(b->nl->s, b->buf, b->n) >= 0, ERR_IO,
           "nf_tables cannot be reached: %s", strerror(errno));
    return hear(b->nl->s, b->changes);
}

struct err netlink_change(struct netlink *nl, const struct netpol_ruleset *from,
                          const struct netpol_ruleset *to, struct str table)
{
    struct batch b = {.nl = nl};
    TRY(str_to_cstr(table, b.table, sizeof(b.table)));
    b.buf = calloc(1, NETLINK_BATCH_MAX + MESSAGE_ROOM);
    BUG_ON(b.buf == NULL);
    put_mark(&b, NFNL_MSG_BATCH_BEGIN);
    netpol_each_change(from, to, put_change, &b);
    put_mark(&b, NFNL_MSG_BATCH_END);
    struct err e = OK;
    if (b.full) {
        e = err_make(ERR_LIMIT, "%zu changes do not fit one batch", b.changes);
    } else if (b.changes > 0) {
        e = send_batch(&b);
    }
    free(b.buf);
    if (failed(e) && !b.full) {
        netlink_renew(nl);
    }
    return e;
}
