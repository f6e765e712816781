/* pki: a trust domain for tests, with identities signed on the spot. */
#ifndef SEXTANT_TEST_PKI_H
#define SEXTANT_TEST_PKI_H

#include "test/unit.h"

#include "lib/base/clock.h"
#include "lib/tls/tls.h"
#include "lib/x509/issue.h"

struct pki {
    struct key *key;
    struct buf name, der;
    struct x509_cert *cert;
    struct x509_anchors *anchors;
    char domain[64];
};

static inline void pki_make(struct pki *d, const char *td)
{
    char uri[256];
    snprintf(uri, sizeof(uri), "spiffe://%s", td);
    snprintf(d->domain, sizeof(d->domain), "%s", td);
    struct str uris[] = {str_of(uri)};
    assert_ok(key_generate(KEY_P256, &d->key));
    buf_init(&d->name, 1024);
    buf_init(&d->der, X509_CERT_MAX);
    x509_name_put(&d->name,
                  &(struct x509_name){.organization = S("SPIFFE"), .common_name = str_of(td)});
    int64_t now = clock_wall_s();
    struct x509_spec spec = {.subject = buf_str(&d->name),
                             .issuer = buf_str(&d->name),
                             .not_before_s = now - 10,
                             .not_after_s = now + 86400,
                             .spki = key_spki(d->key),
                             .uris = uris,
                             .n_uris = 1,
                             .is_ca = true,
                             .path_len = -1,
                             .alg = SIG_ES256};
    assert_ok(x509_issue(&spec, d->key, &d->der));
    assert_ok(x509_cert_parse(buf_str(&d->der), &d->cert));
    assert_ok(x509_anchors_new(&d->anchors));
    assert_ok(x509_anchors_add(d->anchors, d->cert));
}

static inline void pki_release(struct pki *d)
{
    x509_anchors_unref(d->anchors);
    x509_cert_unref(d->cert);
    buf_release(&d->der);
    buf_release(&d->name);
    key_unref(d->key);
}

/* A leaf for `id` (whole SPIFFE id) that lives a day, as DER, with its key. */
static inline void pki_leaf(struct pki *d, const char *id, struct buf *der, struct key **k)
{
    assert_ok(key_generate(KEY_P256, k));
    struct str uri = str_of(id);
    struct str dns[] = {S("server.test"), S("localhost")};
    int64_t now = clock_wall_s();
    struct x509_spec spec = {.issuer = buf_str(&d->name),
                             .not_before_s = now - 10,
                             .not_after_s = now + 3600,
                             .spki = key_spki(*k),
                             .uris = &uri,
                             .n_uris = 1,
                             .dns_names = dns,
                             .n_dns_names = 2,
                             .issuer_key_id = d->cert->subject_key_id,
                             .alg = SIG_ES256};
    buf_init(der, X509_CERT_MAX);
    assert_ok(x509_issue(&spec, d->key, der));
}

static inline struct tls_identity *pki_identity(struct pki *d, const char *id)
{
    struct key *k;
    struct buf der;
    struct tls_identity *i;
    struct x509_chain chain;
    pki_leaf(d, id, &der, &k);
    assert_ok(x509_chain_from_der(buf_str(&der), &chain));
    assert_ok(tls_identity_new(&chain, k, &i));
    x509_chain_release(&chain);
    buf_release(&der);
    key_unref(k);
    return i;
}

static inline struct tls_trust *pki_trust(struct pki *d)
{
    struct x509_bundles *b;
    struct tls_trust *t;
    assert_ok(x509_bundles_new(&b));
    assert_ok(x509_bundles_set(b, str_of(d->domain), d->anchors));
    assert_ok(tls_trust_spiffe(b, &t));
    x509_bundles_unref(b);
    return t;
}

static inline struct tls_server *pki_server(struct pki *d, const char *id, const char *const *alpn)
{
    struct tls_server *s;
    struct tls_server_opts o = {.identity = pki_identity(d, id),
                                .trust = pki_trust(d),
                                .client_cert_required = true,
                                .alpn = alpn};
    assert_ok(tls_server_new(&o, &s));
    tls_identity_unref(o.identity);
    tls_trust_unref(o.trust);
    return s;
}

static inline struct tls_client *pki_client(struct pki *d, const char *id, const char *const *alpn)
{
    struct tls_client *c;
    struct tls_client_opts o = {
        .identity = pki_identity(d, id), .trust = pki_trust(d), .alpn = alpn};
    assert_ok(tls_client_new(&o, &c));
    tls_identity_unref(o.identity);
    tls_trust_unref(o.trust);
    return c;
}

#endif
