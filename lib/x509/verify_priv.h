/* verify_priv: the steps that verify.c and path.c share. */
#ifndef SEXTANT_X509_VERIFY_PRIV_H
#define SEXTANT_X509_VERIFY_PRIV_H

#include "verify.h"

#include <openssl/x509_vfy.h>

/* Sets `ctx` up for the chain: its leaf, the rest into `others`, time and depth. */
struct err x509_verify_begin(X509_STORE_CTX *ctx, const struct x509_chain *chain,
                             STACK_OF(X509) * others, const struct x509_anchors *anchors,
                             int64_t now_s);
struct err x509_verify_run(X509_STORE_CTX *ctx); /* with our own names for what failed */

#endif
