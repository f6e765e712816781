#include "pwhash.h"

#include <sodium.h>

_Static_assert(PWHASH_TEXT >= crypto_pwhash_STRBYTES, "a hash fits its buffer");

struct err pwhash_make(struct str password, char out[PWHASH_TEXT])
{
    int rc =
        crypto_pwhash_str_alg(out, password.p != NULL ? password.p : "", password.n, PWHASH_PASSES,
                              (size_t)PWHASH_KIB * 1024, crypto_pwhash_ALG_ARGON2ID13);
    ENSURE(rc == 0, ERR_LIMIT, "not enough memory to hash a password");
    return OK;
}

bool pwhash_check(const char *hash, struct str password)
{
    return crypto_pwhash_str_verify(hash, password.p != NULL ? password.p : "", password.n) == 0;
}
