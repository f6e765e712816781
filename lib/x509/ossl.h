/*
 * ossl: what lib/x509, lib/jose, lib/tls and crypto/ share of OpenSSL: algorithms fetched once, and
 * its error queue turned into ours.
 *
 * Included only by folders that may include <openssl/...>.
 */
#ifndef SEXTANT_X509_OSSL_H
#define SEXTANT_X509_OSSL_H

#include "digest.h"
#include "key.h"

#include "cert.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/* Starts libcrypto without its configuration file, which could load code. Called by all others here. */
void ossl_init(void);

EVP_MD *ossl_md(enum digest_alg alg); /* fetched at first use, kept for the process */

/* ERR_CRYPTO, or `code` when it is not ERR_OK, with "doing: reason" from OpenSSL's queue, which is emptied. */
struct err ossl_err(enum err_code code, const char *doing);

/* Takes `pkey` over, also on failure. Checks kind and size; fills in the SPKI. */
struct err key_adopt(EVP_PKEY *pkey, bool is_private, struct key **out);
EVP_PKEY *key_evp(const struct key *k); /* borrowed */

/* OpenSSL's view of the same bytes, decoded at the first call. Borrowed. */
struct err x509_cert_openssl(const struct x509_cert *c, X509 **out);
/* Ours of a certificate that OpenSSL has decoded already; takes a reference. */
struct err x509_cert_from_openssl(X509 *x, struct x509_cert **out);

#endif
