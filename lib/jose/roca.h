/* roca: does an RSA modulus carry the mark of the flawed generator of CVE-2017-15361? */
#ifndef SEXTANT_JOSE_ROCA_H
#define SEXTANT_JOSE_ROCA_H

#include "lib/base/str.h"

bool roca_weak(struct str modulus); /* big endian */

#endif
