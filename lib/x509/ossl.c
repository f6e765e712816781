#include "ossl.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

void ossl_init(void)
{
    static bool done;
    if (likely(done)) {
        return;
    }
    BUG_ON(OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_LOAD_CRYPTO_STRINGS,
                               NULL) != 1);
    done = true;
}

EVP_MD *ossl_md(enum digest_alg alg)
{
    static const char *const names[] = {"MD5",      "SHA1",     "SHA2-224",     "SHA2-256",
                                        "SHA2-384", "SHA2-512", "SHA2-512/224", "SHA2-512/256"};
    static EVP_MD *fetched[ARRAY_LEN(names)];
    BUG_ON(alg >= ARRAY_LEN(names));
    if (unlikely(fetched[alg] == NULL)) {
        ossl_init();
        fetched[alg] = EVP_MD_fetch(NULL, names[alg], NULL);
        BUG_ON(fetched[alg] == NULL);
    }
    return fetched[alg];
}

struct err ossl_err(enum err_code code, const char *doing)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;
    ERR_clear_error();
    if (code == ERR_OK) {
        code = ERR_CRYPTO;
    }
    return reason != NULL ? err_make(code, "%s: %s", doing, reason) : err_make(code, "%s", doing);
}
