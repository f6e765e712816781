/*
 * verify: does the ruleset that the kernel holds enforce the model?
 *
 * The proof does not trust the compiler. It takes the kernel's own listing (`nft -j list table`),
 * interprets its chains, sets and maps packet by packet as the kernel would, and compares each
 * verdict with the evaluator's (eval.h): for every ordered pair of pods, every port that a policy or
 * a container names and the ports beside it, all protocols, and addresses at the edges of every
 * block. A rule, set or flag that the interpreter does not know is a finding, never passed over.
 */
#ifndef SEXTANT_NETPOL_VERIFY_H
#define SEXTANT_NETPOL_VERIFY_H

#include "eval.h"

/* A parsed listing. */
struct nft_table;

struct nft_packet {
    struct ip src, dst;
    uint8_t proto;
    uint16_t dport;
    bool established; /* of a connection that conntrack knows */
    bool syn;         /* TCP: the first packet of a handshake */
};

/* `listing` is the JSON of `nft -j list table inet NAME`. ERR_UNSUPPORTED names what is unknown. */
struct err nft_table_read(struct arena *a, const struct json *listing, struct nft_table **out);
void nft_table_release(struct nft_table *t);
/* What the forward chain does with the packet. ERR_INVALID on a loop or a jump to nowhere. */
struct err nft_table_judge(const struct nft_table *t, const struct nft_packet *p, bool *accept);

struct netpol_verify_report {
    uint64_t checks, mismatches;
    struct str first; /* the first mismatch, explained */
};

/* Compares for all pairs; stops early after 100 mismatches. */
struct err netpol_verify(struct arena *a, const struct netpol_model *m, const struct nft_table *t,
                         bool unrelated_accepted, struct netpol_verify_report *out);

#endif
