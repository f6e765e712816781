#include "flows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <stdlib.h>

#include <libmnl/libmnl.h>

enum { LOCAL_MAX = 1024, DUMP_BUFFER = 64 * 1024, ORIGINAL_MAX = 256 };

/* A connection to be cut: its original tuple as the kernel wrote it. */
struct doomed {
    uint8_t family;
    uint16_t length;
    char original[ORIGINAL_MAX];
};

struct pass {
    const struct netpol_model *m;
    struct ip local[LOCAL_MAX];
    size_t n_local;
    struct doomed *doomed;
    size_t n_doomed, cap_doomed;
    size_t seen;
};

static bool is_local(const struct pass *p, const struct ip *ip)
{
    for (size_t i = 0; i < p->n_local; i++) {
        if (ip_eq(&p->local[i], ip)) {
            return true;
        }
    }
    return false;
}

static void find_local(struct pass *p)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) {
        return; /* then nothing is taken for the node's own, and more is cut, not less */
    }
    for (struct ifaddrs *i = list; i != NULL && p->n_local < LOCAL_MAX; i = i->ifa_next) {
        struct ip ip = {0};
        if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET) {
            ip.family = 4;
            memcpy(ip.b, &((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, 4);
        } else if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET6) {
            ip.family = 6;
            memcpy(ip.b, &((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr, 16);
        } else {
            continue;
        }
        p->local[p->n_local++] = ip;
    }
    freeifaddrs(list);
}

/* What one direction's tuple says. */
struct tuple {
    struct ip src, dst;
    uint8_t proto;
    uint16_t sport, dport;
};

static void take_ip(const struct nlattr *a, uint8_t family, struct ip *out)
{
    size_t want = family == 4 ? 4 : 16;
    if (mnl_attr_get_payload_len(a) == want) {
        *out = (struct ip){.family = family};
        memcpy(out->b, mnl_attr_get_payload(a), want);
    }
}

static void read_addresses(const struct nlattr *nest, struct tuple *t)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        switch (mnl_attr_get_type(a)) {
        case CTA_IP_V4_SRC:
            take_ip(a, 4, &t->src);
            break;
        case CTA_IP_V4_DST:
            take_ip(a, 4, &t->dst);
            break;
        case CTA_IP_V6_SRC:
            take_ip(a, 6, &t->src);
            break;
        case CTA_IP_V6_DST:
            take_ip(a, 6, &t->dst);
            break;
        }
    }
}

static void read_protocol(const struct nlattr *nest, struct tuple *t)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        int type = mnl_attr_get_type(a);
        if (type == CTA_PROTO_NUM && mnl_attr_get_payload_len(a) == 1) {
            t->proto = mnl_attr_get_u8(a);
        } else if (type == CTA_PROTO_SRC_PORT && mnl_attr_get_payload_len(a) == 2) {
            t->sport = ntohs(mnl_attr_get_u16(a));
        } else if (type == CTA_PROTO_DST_PORT && mnl_attr_get_payload_len(a) == 2) {
            t->dport = ntohs(mnl_attr_get_u16(a));
        }
    }
}

static void read_tuple(const struct nlattr *nest, struct tuple *t)
{
    const struct nlattr *a;
    mnl_attr_for_each_nested(a, nest)
    {
        if (mnl_attr_get_type(a) == CTA_TUPLE_IP) {
            read_addresses(a, t);
        } else if (mnl_attr_get_type(a) == CTA_TUPLE_PROTO) {
            read_protocol(a, t);
        }
    }
}

/* Would a first packet of this connection be let through now? */
static bool still_allowed(const struct pass *p, const struct tuple *original,
                          const struct tuple *reply)
{
    struct netpol_end src = {netpol_model_pod_at(p->m, &original->src), original->src};
    struct netpol_end dst = {netpol_model_pod_at(p->m, &reply->src), reply->src};
    if ((src.pod == NULL && dst.pod == NULL) || is_local(p, &src.ip) || is_local(p, &dst.ip)) {
        return true;
    }
    bool ports = original->proto == NETPOL_TCP || original->proto == NETPOL_UDP ||
                 original->proto == NETPOL_SCTP;
    enum netpol_proto proto = ports ? (enum netpol_proto)original->proto : NETPOL_ICMP;
    return netpol_decide(p->m, &src, &dst, proto, ports ? reply->sport : 0).allowed;
}

static void doom(struct pass *p, const struct nlattr *original, uint8_t family)
{
    uint16_t length = mnl_attr_get_payload_len(original);
    if (length > ORIGINAL_MAX || p->n_doomed == FLOWS_CUT_MAX) {
        return;
    }
    if (p->n_doomed == p->cap_doomed) {
        size_t cap = MAX((size_t)64, p->cap_doomed * 2);
        struct doomed *more = realloc(p->doomed, cap * sizeof(*more));
        BUG_ON(more == NULL);
        p->doomed = more;
        p->cap_doomed = cap;
    }
    struct doomed *d = &p->doomed[p->n_doomed++];
    d->family = family;
    d->length = length;
    memcpy(d->original, mnl_attr_get_payload(original), length);
}

static int on_flow(const struct nlmsghdr *head, void *ctx)
{
    struct pass *p = ctx;
    const struct nlattr *a, *original = NULL;
    struct tuple there = {0}, back = {0};
    mnl_attr_for_each(a, head, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(a) == CTA_TUPLE_ORIG) {
            original = a;
            read_tuple(a, &there);
        } else if (mnl_attr_get_type(a) == CTA_TUPLE_REPLY) {
            read_tuple(a, &back);
        }
    }
    p->seen++;
    if (original != NULL && there.src.family != 0 && back.src.family != 0 &&
        !still_allowed(p, &there, &back)) {
        doom(p, original, there.src.family);
    }
    return MNL_CB_OK;
}

static struct nlmsghdr *begin(char *buf, int type, uint16_t flags, uint8_t family, unsigned seq)
{
    struct nlmsghdr *head = mnl_nlmsg_put_header(buf);
    head->nlmsg_type = (uint16_t)((NFNL_SUBSYS_CTNETLINK << 8) | type);
    head->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    head->nlmsg_seq = seq;
    struct nfgenmsg *nf = mnl_nlmsg_put_extra_header(head, sizeof(*nf));
    nf->nfgen_family = family == 4 ? AF_INET : family == 6 ? AF_INET6 : AF_UNSPEC;
    nf->version = NFNETLINK_V0;
    return head;
}

static struct err dump(struct mnl_socket *s, struct pass *p, unsigned seq)
{
    char *buf = malloc(DUMP_BUFFER);
    BUG_ON(buf == NULL);
    struct nlmsghdr *head = begin(buf, IPCTNL_MSG_CT_GET, NLM_F_DUMP, 0 /* both families */, seq);
    int rc = mnl_socket_sendto(s, head, head->nlmsg_len) < 0 ? MNL_CB_ERROR : MNL_CB_OK;
    while (rc == MNL_CB_OK) {
        ssize_t n = mnl_socket_recvfrom(s, buf, DUMP_BUFFER);
        rc = n < 0 ? MNL_CB_ERROR
                   : mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), on_flow, p);
    }
    int saved = errno;
    free(buf);
    ENSURE(rc == MNL_CB_STOP, ERR_IO, "the kernel's table of connections cannot be read: %s",
           strerror(saved));
    return OK;
}

/* Deletes one; true when it was there. That it has ended meanwhile is no error. */
static bool delete_one(struct mnl_socket *s, const struct doomed *d, unsigned seq)
{
    char buf[MNL_NLMSG_HDRLEN + 1024];
    struct nlmsghdr *head = begin(buf, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, d->family, seq);
    mnl_attr_put(head, CTA_TUPLE_ORIG | NLA_F_NESTED, d->length, d->original);
    if (mnl_socket_sendto(s, head, head->nlmsg_len) < 0) {
        return false;
    }
    ssize_t n = mnl_socket_recvfrom(s, buf, sizeof(buf));
    return n > 0 &&
           mnl_cb_run(buf, (size_t)n, seq, mnl_socket_get_portid(s), NULL, NULL) != MNL_CB_ERROR;
}

struct err flows_cut(struct netlink *nl, const struct netpol_model *m, struct flows_report *out)
{
    struct pass p = {.m = m};
    size_t cut = 0;
    find_local(&p);
    struct err e = dump(netlink_socket(nl), &p, netlink_seq(nl));
    for (size_t i = 0; i < p.n_doomed && !failed(e); i++) {
        cut += delete_one(netlink_socket(nl), &p.doomed[i], netlink_seq(nl));
    }
    free(p.doomed);
    if (failed(e)) {
        netlink_renew(nl);
        return e;
    }
    *out = (struct flows_report){.seen = p.seen, .cut = cut};
    return OK;
}
