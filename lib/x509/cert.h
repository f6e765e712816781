/*
 * cert: X.509 certificates, read once (RFC 5280).
 *
 * A certificate is immutable and counted; the slices in it live as long as it does. Reading checks
 * the form, not the signature: see verify.h for chains. At most X509_CERT_MAX bytes each.
 */
#ifndef SEXTANT_X509_CERT_H
#define SEXTANT_X509_CERT_H

#include "key.h"
#include "lib/base/arena.h"

enum { X509_CERT_MAX = 64 * 1024, X509_CHAIN_MAX = 16, X509_NAMES_MAX = 100, X509_SERIAL_MAX = 20 };

enum x509_key_usage { /* the bits of RFC 5280 section 4.2.1.3 */
                      USAGE_DIGITAL_SIGNATURE = 1 << 0,
                      USAGE_KEY_ENCIPHERMENT = 1 << 2,
                      USAGE_KEY_AGREEMENT = 1 << 4,
                      USAGE_CERT_SIGN = 1 << 5,
                      USAGE_CRL_SIGN = 1 << 6
};

struct x509_cert {
    struct str der;
    struct str serial;                 /* big endian, as it stands in the certificate */
    struct str subject, issuer;        /* DER names */
    struct str common_name;            /* of the subject; empty when none */
    int64_t not_before_s, not_after_s; /* seconds since 1970 */
    bool is_ca;
    bool has_key_usage, key_usage_critical;
    unsigned key_usage; /* bits of enum x509_key_usage */
    bool has_eku, eku_server, eku_client;
    struct str subject_key_id, authority_key_id; /* empty when absent */
    struct str *uris, *dns_names, *ip_addresses; /* of the subject alternative name */
    size_t n_uris, n_dns_names, n_ip_addresses;
    struct str spiffe_id; /* the only URI, when it is a SPIFFE id; else empty */
    struct str spki;
    struct x509_cert_private *priv;
};

struct err x509_cert_parse(struct str der, struct x509_cert **out); /* no bytes may follow */
/* The public key, decoded at the first call; borrowed. */
struct err x509_cert_key(const struct x509_cert *c, struct key **out);
struct x509_cert *x509_cert_ref(struct x509_cert *c);
void x509_cert_unref(struct x509_cert *c); /* NULL ok */

/* A chain: leaf first. Owned array of counted certificates. */
struct x509_chain {
    struct x509_cert *certs[X509_CHAIN_MAX];
    size_t n;
};
struct err x509_chain_from_der(struct str concatenated, struct x509_chain *out); /* at least one */
struct err x509_chain_from_pem(struct str pem,
                               struct x509_chain *out); /* CERTIFICATE blocks; others skipped */
void x509_chain_release(struct x509_chain *c);
void x509_chain_der(const struct x509_chain *c, struct buf *out); /* concatenated */
void x509_chain_pem(const struct x509_chain *c, struct buf *out);

void pem_put(struct buf *out, const char *label, struct str der);
/* The first block with `label` at or after *rest, decoded; *rest moves behind it. ERR_NOT_FOUND, ERR_SYNTAX. */
struct err pem_next(struct arena *a, struct str *rest, const char *label, struct str *der);
/*
 * The next block with any label, blocks that are no PEM skipped, headers ignored (RFC 1421's). ERR_NOT_FOUND
 * when none is left; *label points into the text.
 */
struct err pem_next_any(struct str *rest, struct str *label, struct buf *der);
struct err pem_next_buf(struct str *rest, const char *label,
                        struct buf *der); /* replaces what is in `der` */

/* SPIFFE X509-SVID section 4 and 5.2: what a leaf, and what a signing certificate, must look like. */
struct err x509_spiffe_leaf_check(const struct x509_cert *c);
struct err x509_spiffe_ca_check(const struct x509_cert *c);

#endif
