#include "denials.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

enum { READ_BUFFER = 64 * 1024, READS_MAX = 64 /* in one turn of the loop */ };

struct denials {
    struct mnl_socket *s;
    char buf[READ_BUFFER];
};

static uint16_t be16(const char *p)
{
    return (uint16_t)((unsigned char)p[0] << 8 | (unsigned char)p[1]);
}

static bool has_ports(uint8_t proto)
{
    return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

bool denial_parse(struct str packet, struct denial *out)
{
    struct denial d = {0};
    unsigned version = packet.n > 0 ? (unsigned char)packet.p[0] >> 4 : 0;
    size_t head = version == 4 ? ((unsigned char)packet.p[0] & 15) * 4u : 40;
    if ((version != 4 && version != 6) || head < 20 || packet.n < head) {
        return false;
    }
    bool four = version == 4;
    d.src.family = d.dst.family = (uint8_t)version;
    memcpy(d.src.b, packet.p + (four ? 12 : 8), four ? 4 : 16);
    memcpy(d.dst.b, packet.p + (four ? 16 : 24), four ? 4 : 16);
    d.proto = (uint8_t)packet.p[four ? 9 : 6];
    if (has_ports(d.proto) && packet.n >= head + 4) {
        d.sport = be16(packet.p + head);
        d.dport = be16(packet.p + head + 2);
    }
    *out = d;
    return true;
}

/* Binds the group and asks for packet heads; the kernel answers with one acknowledgement. */
static struct err configure(struct denials *d)
{
    struct nfulnl_msg_config_cmd cmd = {.command = NFULNL_CFG_CMD_BIND};
    struct nfulnl_msg_config_mode mode = {.copy_range = htonl(DENIALS_SNAP),
                                          .copy_mode = NFULNL_COPY_PACKET};
    struct nlmsghdr *head = mnl_nlmsg_put_header(d->buf);
    head->nlmsg_type = NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG;
    head->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    head->nlmsg_seq = 1;
    struct nfgenmsg *nf = mnl_nlmsg_put_extra_header(head, sizeof(*nf));
    nf->nfgen_family = AF_UNSPEC;
    nf->version = NFNETLINK_V0;
    nf->res_id = htons(DENIALS_GROUP);
    mnl_attr_put(head, NFULA_CFG_CMD, sizeof(cmd), &cmd);
    mnl_attr_put(head, NFULA_CFG_MODE, sizeof(mode), &mode);
    ssize_t n = mnl_socket_sendto(d->s, head, head->nlmsg_len);
    n = n < 0 ? n : mnl_socket_recvfrom(d->s, d->buf, sizeof(d->buf));
    if (n < 0 || mnl_cb_run(d->buf, (size_t)n, 1, mnl_socket_get_portid(d->s), NULL, NULL) < 0) {
        return err_make(errno == EBUSY ? ERR_EXISTS : ERR_IO, "log group %d: %s", DENIALS_GROUP,
                        strerror(errno));
    }
    return OK;
}

struct err denials_open(struct denials **out)
{
    struct denials *d = calloc(1, sizeof(*d));
    BUG_ON(d == NULL);
    d->s = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    struct err e = d->s == NULL || mnl_socket_bind(d->s, 0, MNL_SOCKET_AUTOPID) != 0
                       ? err_make(ERR_IO, "no netlink socket: %s", strerror(errno))
                       : configure(d);
    if (failed(e)) {
        denials_close(d);
        return e;
    }
    *out = d;
    return OK;
}

void denials_close(struct denials *d)
{
    if (d != NULL && d->s != NULL) {
        mnl_socket_close(d->s);
    }
    free(d);
}

int denials_fd(const struct denials *d)
{
    return mnl_socket_get_fd(d->s);
}

static void report(const struct nlmsghdr *head, void (*fn)(void *, const struct denial *),
                   void *ctx)
{
    const struct nlattr *a;
    struct denial what;
    if ((head->nlmsg_type & 0xff) != NFULNL_MSG_PACKET ||
        mnl_nlmsg_get_payload_len(head) < sizeof(struct nfgenmsg)) {
        return;
    }
    mnl_attr_for_each(a, head, sizeof(struct nfgenmsg))
    {
        if (mnl_attr_get_type(a) == NFULA_PAYLOAD &&
            denial_parse(str_n(mnl_attr_get_payload(a), mnl_attr_get_payload_len(a)), &what)) {
            fn(ctx, &what);
        }
    }
}

void denials_read(struct denials *d, void (*fn)(void *ctx, const struct denial *what), void *ctx)
{
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = recv(denials_fd(d), d->buf, sizeof(d->buf), MSG_DONTWAIT);
        if (n <= 0) {
            return; /* nothing more, or reports were lost (ENOBUFS): the packets were dropped all the same */
        }
        int left = (int)n;
        for (struct nlmsghdr *h = (void *)d->buf; mnl_nlmsg_ok(h, left);
             h = mnl_nlmsg_next(h, &left)) {
            report(h, fn, ctx);
        }
    }
}
