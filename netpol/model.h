/*
 * model: the workloads of a cluster and the NetworkPolicies over them (networking.k8s.io/v1).
 *
 * Built once from parsed manifests (Pod, Namespace, NetworkPolicy and Lists of them; other kinds
 * are passed over), sealed, and immutable from then on: one epoch in one arena. Reading a policy
 * makes every check that the API server makes on admission, and refuses unknown fields besides,
 * since a misspelt field would widen what is allowed.
 *
 *     struct netpol_model *m = netpol_model_new(&arena);
 *     for each document: TRY(netpol_model_add(m, doc, file_name));
 *     TRY(netpol_model_seal(m));
 *
 * A namespace that is named by a pod or policy but has no manifest exists with the one label that
 * Kubernetes gives every namespace, kubernetes.io/metadata.name.
 */
#ifndef SEXTANT_NETPOL_MODEL_H
#define SEXTANT_NETPOL_MODEL_H

#include "labels.h"

#include "lib/base/ip.h"
#include "lib/base/map.h"

enum {
    NETPOL_PODS_MAX = 65535, /* also the largest class number of a ruleset */
    NETPOL_POLICIES_MAX = 16384,
    NETPOL_RULES_MAX = 512, /* of one direction of one policy */
    NETPOL_PEERS_MAX = 512, /* of one rule */
    NETPOL_PORTS_MAX = 512, /* of one rule, or of one pod */
    NETPOL_EXCEPT_MAX = 512,
    NETPOL_POD_IPS_MAX = 2,
};

enum netpol_proto { NETPOL_ICMP = 1, NETPOL_TCP = 6, NETPOL_UDP = 17, NETPOL_SCTP = 132 };
const char *netpol_proto_name(enum netpol_proto p);
struct err netpol_proto_parse(struct str s,
                              enum netpol_proto *out); /* TCP, UDP, SCTP in any case */

enum netpol_direction { NETPOL_INGRESS, NETPOL_EGRESS };

struct netpol_place {
    struct str file;
    unsigned line;
};

struct netpol_namespace {
    struct str name;
    struct labels labels;
    size_t number; /* set by seal */
};

struct netpol_container_port {
    struct str name; /* may be empty */
    uint16_t number;
    enum netpol_proto proto;
};

struct netpol_pod {
    struct str ns, name;
    struct labels labels;
    const struct netpol_namespace *in; /* set by seal */
    struct ip ips[NETPOL_POD_IPS_MAX]; /* at most one of each family */
    size_t n_ips;
    struct netpol_container_port *ports;
    size_t n_ports;
    bool host_network; /* shares its node's address: an outside address to every policy */
    size_t index;
    struct netpol_place place;
};

struct netpol_peer {
    bool is_block;
    bool any_pod_ns; /* no namespaceSelector: the policy's own namespace */
    bool has_pods;   /* podSelector given */
    struct selector pods, namespaces;
    struct ip_block block;
    struct ip_block *except;
    size_t n_except;
    uint64_t *matched; /* bit a pod, set by seal; for blocks the pods whose address lies inside */
};

struct netpol_port {
    enum netpol_proto proto;
    struct str name;      /* a named port, or empty */
    uint16_t first, last; /* 0, 0: every port of the protocol */
};

struct netpol_rule {
    struct netpol_peer *peers; /* none: any peer, inside or out */
    size_t n_peers;
    struct netpol_port *ports; /* none: any port of any protocol */
    size_t n_ports;
    unsigned line;
};

struct netpol_policy {
    struct str ns, name;
    struct selector pods;
    bool types[2]; /* by enum netpol_direction: does it isolate? */
    struct netpol_rule *rules[2];
    size_t n_rules[2];
    uint64_t *selected; /* bit a pod, set by seal */
    struct netpol_place place;
};

struct netpol_model {
    struct arena *arena;
    struct netpol_pod **pods;
    size_t n_pods, cap_pods;
    struct netpol_policy **policies;
    size_t n_policies, cap_policies;
    struct map namespaces, pod_names, pod_ips,
        policy_names; /* "ns/name" or address text to object */
    size_t words;     /* of a bitmap over pods */
    /* per pod and direction: the policies that isolate it, set by seal */
    const struct netpol_policy ***isolating[2];
    size_t *n_isolating[2];
    size_t n_ignored; /* documents of kinds that are not ours */
    bool sealed;
};

struct netpol_model *netpol_model_new(struct arena *a);
void netpol_model_release(struct netpol_model *m); /* its tables; the rest goes with the arena */

/* ERR_INVALID, ERR_LIMIT, ERR_EXISTS (same object twice, same address twice); err_line() is set. */
struct err netpol_model_add(struct netpol_model *m, const struct json *doc, struct str file);
struct err netpol_model_seal(struct netpol_model *m);

/* One NetworkPolicy document by itself: the admission check. */
struct err netpol_policy_read(struct arena *a, const struct json *doc, struct netpol_policy *out);

const struct netpol_pod *netpol_model_pod(const struct netpol_model *m, struct str ns_name);
const struct netpol_pod *netpol_model_pod_at(const struct netpol_model *m, const struct ip *ip);

static inline bool bit_get(const uint64_t *words, size_t i)
{
    return (words[i / 64] >> (i % 64)) & 1;
}

static inline void bit_set(uint64_t *words, size_t i)
{
    words[i / 64] |= UINT64_C(1) << (i % 64);
}

/* The first set bit at or after `*i`; false when there is none. */
static inline bool bit_next(const uint64_t *bits, size_t words, size_t *i)
{
    for (size_t w = *i / 64; w < words; w++) {
        uint64_t rest = w == *i / 64 ? bits[w] >> (*i % 64) << (*i % 64) : bits[w];
        if (rest != 0) {
            *i = w * 64 + (size_t)__builtin_ctzll(rest);
            return true;
        }
    }
    return false;
}

/* Is the address in a block peer's block and in none of its exceptions? */
bool netpol_peer_has_ip(const struct netpol_peer *p, const struct ip *ip);

#endif
