/* cert_priv: what a certificate keeps for lib/x509 itself. */
#ifndef SEXTANT_X509_CERT_PRIV_H
#define SEXTANT_X509_CERT_PRIV_H

#include "cert.h"

#include <openssl/x509.h>

struct x509_cert_private {
    unsigned refs;
    struct key *key; /* decoded when first asked for */
    X509 *x509;      /* the same */
    struct arena arena;
};

#endif
