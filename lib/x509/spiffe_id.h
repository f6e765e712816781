/*
 * spiffe_id: the name of a workload, spiffe://<trust-domain>/<path> (SPIFFE-ID, section 2).
 *
 * The reading is the strict one of go-spiffe: lower case in scheme and trust domain, no percent
 * sign, no empty or dot segments, no slash at the end. A parsed id is two slices of the text given.
 *
 *     struct spiffe_id id;
 *     TRY(spiffe_id_parse(S("spiffe://cluster.local/ns/shop/sa/cart"), &id));
 */
#ifndef SEXTANT_X509_SPIFFE_ID_H
#define SEXTANT_X509_SPIFFE_ID_H

#include "lib/base/err.h"
#include "lib/base/str.h"

enum { SPIFFE_ID_MAX = 2048, SPIFFE_TRUST_DOMAIN_MAX = 255 };

struct spiffe_id {
    struct str text;         /* the whole URI */
    struct str trust_domain; /* "cluster.local" */
    struct str path;         /* "/ns/shop/sa/cart", or empty for the trust domain itself */
};

/* ERR_SYNTAX with go-spiffe's words for what is wrong, ERR_LIMIT over 2048 bytes. */
struct err spiffe_id_parse(struct str text, struct spiffe_id *out);
/* A bare trust domain name, "cluster.local". */
struct err spiffe_trust_domain_check(struct str name);
/* A path as it may follow the trust domain: empty, or "/a/b". */
struct err spiffe_path_check(struct str path);

#endif
