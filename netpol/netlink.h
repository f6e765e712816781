/*
 * netlink: a few set elements changed without starting a process.
 *
 * The `nft` program costs 10 to 30 ms whatever it is asked; a transaction of the same elements over
 * netlink (nf_tables(7) in the kernel's documentation) costs a fraction of one. All of it holds, or nothing.
 */
#ifndef SEXTANT_NETPOL_NETLINK_H
#define SEXTANT_NETPOL_NETLINK_H

#include "compile.h"

enum { NETLINK_CHANGES_MAX = 1000, NETLINK_BATCH_MAX = 256 * 1024 };

/* A netfilter netlink socket. Kept open: the kernel takes milliseconds to close one. */
struct netlink;
struct mnl_socket;

struct err netlink_open(struct netlink **out);
void netlink_close(struct netlink *nl); /* NULL ok */
struct mnl_socket *netlink_socket(struct netlink *nl);
unsigned netlink_seq(struct netlink *nl); /* the next sequence number */
/* After a failure answers may still come: a new socket takes the old one's place. */
void netlink_renew(struct netlink *nl);

/*
 * Turns the kernel's table from `from` into `to`. ERR_LIMIT over NETLINK_CHANGES_MAX; ERR_CONFLICT when
 * the kernel refuses (the table is not what `from` says): replace the whole table then. Needs CAP_NET_ADMIN.
 */
struct err netlink_change(struct netlink *nl, const struct netpol_ruleset *from,
                          const struct netpol_ruleset *to, struct str table);

#endif
