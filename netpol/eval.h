/*
 * eval: may this connection be made, and which rule says so?
 *
 * The semantics of networking.k8s.io/v1: a pod is isolated in a direction when some policy with that
 * type selects it; an isolated pod takes (or makes) exactly the connections that some rule of those
 * policies allows; a connection needs both ends' consent. Replies belong to their connection. What
 * the kernel enforces (compile.h) is tested, and at run time verified (verify.h), against this.
 */
#ifndef SEXTANT_NETPOL_EVAL_H
#define SEXTANT_NETPOL_EVAL_H

#include "model.h"

/* One end of a connection: a pod, or an address outside (pod NULL). */
struct netpol_end {
    const struct netpol_pod *pod;
    struct ip ip;
};

struct netpol_side {
    bool isolated, allowed;
    /* The one that allows; or the first that isolates; or NULL. */
    const struct netpol_policy *policy;
    size_t rule;       /* of policy, when allowed by one; counts from 0 */
    size_t peer, port; /* of the rule; SIZE_MAX where the rule lists none */
};

struct netpol_decision {
    bool allowed;
    bool self;    /* a pod to itself: never filtered */
    bool unknown; /* neither end is a pod of the model */
    struct netpol_side egress, ingress;
};

/* `port` is the destination's; 0 with NETPOL_ICMP. The model must be sealed. */
struct netpol_decision netpol_decide(const struct netpol_model *m, const struct netpol_end *src,
                                     const struct netpol_end *dst, enum netpol_proto proto,
                                     uint16_t port);

/* Does one ports entry cover this destination? For the compiler, which resolves names with it too. */
bool netpol_port_covers(const struct netpol_port *p, const struct netpol_pod *dst,
                        enum netpol_proto proto, uint16_t port);

/* "ns/pod" (its address of `family` if it has one) or an address. ERR_NOT_FOUND, ERR_SYNTAX. */
struct err netpol_end_parse(const struct netpol_model *m, struct str text, uint8_t family,
                            struct netpol_end *out);
/* "5432", "5432/TCP", "53/udp" or a port name of `dst`. ERR_SYNTAX, ERR_NOT_FOUND. */
struct err netpol_port_parse(const struct netpol_end *dst, struct str text,
                             enum netpol_proto *proto, uint16_t *port);

/* A paragraph that names the policy, rule, peer and line which decide, for both directions. */
void netpol_explain_text(struct buf *out, const struct netpol_end *src,
                         const struct netpol_end *dst, enum netpol_proto proto, uint16_t port,
                         const struct netpol_decision *d);
void netpol_explain_json(struct buf *out, const struct netpol_end *src,
                         const struct netpol_end *dst, enum netpol_proto proto, uint16_t port,
                         const struct netpol_decision *d);
/* "ns/pod" or the address. */
void netpol_end_put(struct buf *out, const struct netpol_end *e);

#endif
