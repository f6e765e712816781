/* deps: jose x509 json base */
/* Any bytes as a JWK and as a key set; what is accepted must have a thumbprint and be written without private parts. */
#include "lib/jose/jose.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct jwk_opts opts = {.allow_oct = true, .allow_small_exponent = true};
    struct jwk *k;
    struct jwks *set;
    struct arena a;
    arena_init(&a, 16 << 20);
    if (!failed(jwk_parse_text(str_n(data, size), &opts, &k))) {
        if (k->key != NULL) {
            char thumbprint[JWK_THUMBPRINT_TEXT];
            jwk_thumbprint(k->key, thumbprint);
            BUG_ON(json_get(jwk_to_json(&a, k), "d") != NULL);
        }
        jwk_free(k);
    }
    if (!failed(jwks_parse(str_n(data, size), NULL, &set))) {
        for (size_t i = 0; i < set->n; i++) {
            BUG_ON(set->keys[i]->key == NULL);
        }
        jwks_unref(set);
    }
    arena_release(&a);
    return 0;
}
