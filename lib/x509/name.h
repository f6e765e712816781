/* name: distinguished names as text. */
#ifndef SEXTANT_X509_NAME_H
#define SEXTANT_X509_NAME_H

#include "lib/base/arena.h"

/*
 * A DER Name in the order of RFC 2253, the most particular part first: "CN=a,OU=b+OU=c,O=d". Types without a short name
 * are written as their numbers with the value's DER in hexadecimal. ERR_SYNTAX.
 */
struct err x509_name_text(struct arena *a, struct str der, struct str *out);

#endif
