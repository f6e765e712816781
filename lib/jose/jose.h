/* jose: all of JOSE that services need. JWE and the JSON forms are apart, in jwe.h and jws_json.h. */
#ifndef SEXTANT_JOSE_H
#define SEXTANT_JOSE_H

#include "jwk.h"
#include "jws.h"
#include "jwt.h"

#endif
