/* deps: x509 base */
/* Any bytes as a certificate, a chain and PEM; our reader and OpenSSL must agree that what we take is one. */
#include "lib/x509/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct x509_cert *c;
    struct x509_chain chain;
    struct x509_anchors *anchors;
    if (!failed(x509_cert_parse(str_n(data, size), &c))) {
        struct key *key;
        BUG_ON(c->der.n != size || c->n_uris + c->n_dns_names > X509_NAMES_MAX);
        ignore_err(x509_cert_key(c, &key));
        ignore_err(x509_spiffe_leaf_check(c));
        ignore_err(x509_spiffe_ca_check(c));
        x509_cert_unref(c);
    }
    BUG_ON(failed(x509_anchors_new(&anchors)));
    if (!failed(x509_chain_from_der(str_n(data, size), &chain))) {
        BUG_ON(!failed(x509_verify(&chain, anchors, X509_FOR_ANY, 1800000000)));
        x509_chain_release(&chain);
    }
    if (!failed(x509_chain_from_pem(str_n(data, size), &chain))) {
        x509_chain_release(&chain);
    }
    x509_anchors_unref(anchors);
    return 0;
}
