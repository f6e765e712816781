#include "jwk.h"

static const char *const names[JOSE_ALG_COUNT] = {
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
};

const char *jose_alg_name(enum jose_alg alg)
{
    BUG_ON(alg < 0 || alg >= JOSE_ALG_COUNT);
    return names[alg];
}

struct err jose_alg_parse(struct str name, enum jose_alg *out)
{
    for (int i = 0; i < JOSE_ALG_COUNT; i++) {
        if (str_is(name, names[i])) {
            *out = (enum jose_alg)i;
            return OK;
        }
    }
    if (str_is(name, "Ed25519")) { /* RFC 9864 */
        *out = JOSE_EDDSA;
        return OK;
    }
    FAIL(ERR_UNSUPPORTED, "algorithm '%.*s' is not supported", STR_FMT(str_sub(name, 0, 64)));
}
