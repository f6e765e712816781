/*
 * flows: cuts connections that the policies no longer allow.
 *
 * The ruleset lets packets of known connections pass at its first rule, so a connection would
 * outlive the policy that allowed it. After each change the kernel's table of connections is read
 * (ctnetlink), each entry judged by the evaluator, and those now denied are deleted. Their next
 * packet is a first packet again: a TCP packet without SYN is dropped, anything else is judged anew.
 *
 * A connection counts with its source as it was sent and its destination as the pod sees it, that
 * is after destination NAT. Connections of the node itself, and those between addresses that are no
 * pods, are left alone.
 */
#ifndef SEXTANT_NETPOL_FLOWS_H
#define SEXTANT_NETPOL_FLOWS_H

#include "eval.h"
#include "netlink.h"

struct flows_report {
    size_t seen, cut;
};

enum { FLOWS_CUT_MAX = 1 << 20 }; /* in one pass; the next pass takes the rest */

/* Needs CAP_NET_ADMIN. ERR_IO. */
struct err flows_cut(struct netlink *nl, const struct netpol_model *m, struct flows_report *out);

#endif
