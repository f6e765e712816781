/* deps: jose x509 json base */
/* Any bytes as a token; nothing but a token signed with the one key may verify, and fuzzing does not sign. */
#include "lib/jose/jose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jwks *set;
    if (set == NULL) {
        struct key *key;
        BUG_ON(failed(key_generate(KEY_P256, &key)));
        set = jwks_new();
        jwks_add(set, jwk_from_key(key, S("k"), JOSE_ES256, S("sig")));
    }
    struct arena a;
    arena_init(&a, 16 << 20);
    struct jws t;
    struct jwt claims;
    if (!failed(jws_parse(&a, str_n(data, size), &(struct jws_policy){.algs = JOSE_ALGS_ASYMMETRIC},
                          &t))) {
        ignore_err(jwt_check_text(&a, t.payload, &(struct jwt_policy){.now_s = 1000}, &claims));
    }
    BUG_ON(!failed(jwt_verify(&a, str_n(data, size), set, NULL, &(struct jwt_policy){.now_s = 1000},
                              &t, &claims)));
    arena_release(&a);
    return 0;
}
