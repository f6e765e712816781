/*
 * denials: first packets that the policies dropped, as the kernel reports them (nfnetlink_log).
 *
 * The ruleset copies the head of a denied packet to a log group, at most 50 a second; the daemon
 * reads the group, judges the packet again to name the policy that denied it, and tells audit. A report is
 * evidence, not enforcement: when reports are lost, the packets stay dropped.
 */
#ifndef SEXTANT_NETPOL_DENIALS_H
#define SEXTANT_NETPOL_DENIALS_H

#include "lib/base/ip.h"

enum { DENIALS_GROUP = 1511, DENIALS_SNAP = 96 };

struct denial {
    struct ip src, dst;
    uint8_t proto;
    uint16_t sport, dport; /* 0 for protocols without ports */
};

/* The head of an IP packet (RFC 791, RFC 8200; extension headers are not followed). False when it is none. */
bool denial_parse(struct str packet, struct denial *out);

struct denials;

/* Listens to the group in this network namespace. ERR_IO, ERR_EXISTS when somebody listens already. */
struct err denials_open(struct denials **out);
void denials_close(struct denials *d); /* NULL ok */
int denials_fd(const struct denials *d);
/* Reads what is there without waiting. */
void denials_read(struct denials *d, void (*fn)(void *ctx, const struct denial *what), void *ctx);

#endif
