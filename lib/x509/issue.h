/*
 * issue: making certificates, requests and revocation lists from DER templates.
 *
 * The to-be-signed part is written directly as DER, extensions pre-encoded, so that a certificate
 * costs little more than its signature. The signature may come from a key here or from somewhere
 * else (the crypto daemon):
 *
 *     x509_tbs_put(&spec, &tbs);
 *     ... have buf_str(&tbs) signed elsewhere ...
 *     x509_assemble(buf_str(&tbs), SIG_ES256, signature, &der);
 */
#ifndef SEXTANT_X509_ISSUE_H
#define SEXTANT_X509_ISSUE_H

#include "cert.h"

/* A distinguished name in the order written; empty members are left out. */
struct x509_name {
    struct str country, organization, unit, common_name, serial_number;
};
void x509_name_put(struct buf *out, const struct x509_name *name); /* DER */

struct x509_spec {
    struct str subject, issuer;        /* DER names (x509_name_put, or of another certificate) */
    struct str serial;                 /* 1..20 bytes, positive; empty = 16 random bytes */
    int64_t not_before_s, not_after_s; /* seconds since 1970 */
    struct str spki;                   /* key_spki() of the subject */
    struct str issuer_key_id;          /* subject key id of the issuer; empty for self-signed */
    const struct str *uris, *dns_names, *ip_addresses; /* addresses: 4 or 16 bytes each */
    size_t n_uris, n_dns_names, n_ip_addresses;
    bool is_ca;       /* else a leaf for server and client use */
    int path_len;     /* CA only; negative = none */
    enum sig_alg alg; /* of the signature that will follow */
};

/* Writes the TBSCertificate. ERR_RANGE for dates, serial or names that cannot be encoded. */
struct err x509_tbs_put(const struct x509_spec *spec, struct buf *tbs);
/* Certificate, request or CRL: SEQUENCE { tbs, algorithm, BIT STRING signature }. */
void x509_assemble(struct str tbs, enum sig_alg alg, struct str signature, struct buf *out);
/* Both at once with a key at hand; spec->alg must fit it. */
struct err x509_issue(const struct x509_spec *spec, struct key *issuer, struct buf *der);
/* SHA-1 of the public key bits: RFC 5280 section 4.2.1.2 (1). */
void x509_key_id(struct str spki, uint8_t out[20]);

/* PKCS#10 (RFC 2986). */
struct x509_csr {
    struct str subject; /* DER name */
    struct str uris[8], dns_names[32];
    size_t n_uris, n_dns_names;
    struct key *key; /* owned: csr_release */
};
enum { X509_CSR_MAX = 16 * 1024 };
struct err x509_csr_make(struct key *key, struct str subject, const struct str *uris, size_t n_uris,
                         const struct str *dns_names, size_t n_dns_names, struct buf *der);
/* Reads and checks the request's own signature; slices point into `der`. */
struct err x509_csr_parse(struct str der, struct x509_csr *out);
void x509_csr_release(struct x509_csr *c);

/* A version 2 CRL (RFC 5280 section 5), signed by `issuer`. */
struct x509_revoked {
    struct str serial;
    int64_t at_s;
};
struct err x509_crl_issue(struct str issuer_name, struct str issuer_key_id, struct key *issuer,
                          uint64_t number, int64_t this_update_s, int64_t next_update_s,
                          const struct x509_revoked *revoked, size_t n, struct buf *der);

#endif
