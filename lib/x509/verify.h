/*
 * verify: does a chain lead to an anchor, and does an SVID belong to its trust domain?
 *
 * `struct x509_anchors` is one set of trust anchors; `struct x509_bundles` maps a SPIFFE trust
 * domain to its anchors. Both are built, then frozen and counted. A SPIFFE chain is only ever checked against the
 * bundle of the trust domain in its own leaf (X509-SVID section 5).
 */
#ifndef SEXTANT_X509_VERIFY_H
#define SEXTANT_X509_VERIFY_H

#include "cert.h"
#include "spiffe_id.h"

enum { X509_ANCHORS_MAX = 1000, X509_BUNDLES_MAX = 1000 };

struct x509_anchors;
struct err x509_anchors_new(struct x509_anchors **out);
struct err x509_anchors_add(struct x509_anchors *t, struct x509_cert *cert); /* takes a reference */
struct err x509_anchors_add_pem(struct x509_anchors *t, struct str pem);
struct err x509_anchors_add_der(struct x509_anchors *t, struct str concatenated);
struct err x509_anchors_add_file(struct x509_anchors *t,
                                 const char *path); /* PEM, e.g. the system's */
size_t x509_anchors_count(const struct x509_anchors *t);
const struct x509_cert *x509_anchors_at(const struct x509_anchors *t, size_t i);
struct x509_anchors *x509_anchors_ref(struct x509_anchors *t);
void x509_anchors_unref(struct x509_anchors *t);

enum x509_purpose { X509_FOR_SERVER /* the peer is a server */, X509_FOR_CLIENT, X509_FOR_ANY };

/* RFC 5280 section 6 at time `now_s`. ERR_EXPIRED, ERR_SIGNATURE, ERR_DENIED (no anchor), ERR_INVALID. */
struct err x509_verify(const struct x509_chain *chain, const struct x509_anchors *anchors,
                       enum x509_purpose purpose, int64_t now_s);
/*
 * A path for those who judge keys themselves: 80 bits of security, the usages (OIDs as DER content) given; one of
 * them must be allowed by all certificates that restrict usages. None given: no restriction. `path`
 * goes from the leaf to the anchor and is released by the caller.
 */
enum { X509_USAGES_MAX = 32 };
struct x509_path_opts {
    int64_t now_s;
    const struct str *usages;
    size_t n_usages;
};
struct err x509_verify_path(const struct x509_chain *chain, const struct x509_anchors *anchors,
                            const struct x509_path_opts *o, struct x509_chain *path);
/* RFC 6125: is `name` (a DNS name or an IP address) among the names of the leaf? ERR_DENIED. */
struct err x509_verify_name(const struct x509_cert *leaf, struct str name);

struct x509_bundles;
struct err x509_bundles_new(struct x509_bundles **out);
/* Replaces. `anchors` gains a reference; an empty set means that the trust domain is revoked. */
struct err x509_bundles_set(struct x509_bundles *b, struct str trust_domain,
                            struct x509_anchors *anchors);
const struct x509_anchors *x509_bundles_get(const struct x509_bundles *b, struct str trust_domain);
struct x509_bundles *x509_bundles_ref(struct x509_bundles *b);
void x509_bundles_unref(struct x509_bundles *b);

/* Chain, leaf and CA rules together; `id` points into the leaf. */
struct err x509_svid_verify(const struct x509_chain *chain, const struct x509_bundles *bundles,
                            int64_t now_s, struct spiffe_id *id);

#endif
