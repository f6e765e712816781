/* deps: jose x509 json base */
/* Any bytes as an encrypted token and as its JSON forms: nothing may open, since nobody has sealed with these keys. */
#include "lib/jose/jwe.h"
#include "lib/jose/jws_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct jwk *shared_key(void)
{
    struct jwk *k;
    BUG_ON(failed(jwk_parse_text(S("{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODw\"}"),
                                 &(struct jwk_opts){.allow_oct = true}, &k)));
    return k;
}

static struct jwk *curve_key(void)
{
    struct key *key;
    BUG_ON(failed(key_generate(KEY_P256, &key)));
    struct jwk *k = jwk_from_key(key, S("k"), JOSE_ALG_NONE, S(""));
    key_unref(key);
    return k;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jwk *keys[2];
    static struct jwks *set;
    if (keys[0] == NULL) {
        keys[0] = shared_key();
        keys[1] = curve_key();
        set = jwks_new();
        jwks_add(set, curve_key());
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct arena a;
        struct buf plain;
        struct json *doc;
        struct jws out;
        arena_init(&a, 16 << 20);
        buf_init_secret(&plain, JWE_PLAIN_MAX);
        BUG_ON(i == 1 && !failed(jwe_decrypt(&a, str_n(data, size), keys[i], &plain)));
        ignore_err(jwe_decrypt(&a, str_n(data, size), keys[i], &plain));
        if (!failed(json_parse(&a, str_n(data, size), NULL, &doc))) {
            ignore_err(jwe_decrypt_json(&a, doc, keys[i], &plain));
            BUG_ON(!failed(jws_json_verify(
                &a, doc, set, &(struct jws_policy){.algs = JOSE_ALGS_ASYMMETRIC}, NULL, &out)));
        }
        buf_release(&plain);
        arena_release(&a);
    }
    return 0;
}
