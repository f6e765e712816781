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

/*
 * Turns the kernel's table from `from` into `to`. ERR_LIMIT over NETLINK_CHANGES_MAX; ERR_CONFLICT when
 * the kernel refuses (the table is not what `from` says): replace the whole table then. Needs CAP_NET_ADMIN.
 */
struct err netlink_change(const struct netpol_ruleset *from, const struct netpol_ruleset *to, struct str table);

#endif
