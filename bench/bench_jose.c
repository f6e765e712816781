/* deps: base json x509 jose openssl */
/* Verification of a whole token against the bare signature check of OpenSSL on a kept context. */
#include "bench/bench.h"
#include "lib/base/codec.h"
#include "lib/jose/jose.h"
#include "lib/x509/digest.h"
#include "lib/x509/ossl.h"

#include <openssl/rsa.h>

struct token {
    enum jose_alg alg;
    struct key *key;
    struct jwks *set;
    struct arena arena, scratch;
    struct str compact, input;
    struct buf der; /* the signature as OpenSSL takes it */
    EVP_PKEY_CTX *raw;
    uint8_t sum[DIGEST_MAX];
};

static void make(struct token *t, enum jose_alg alg, enum key_type type)
{
    *t = (struct token){.alg = alg};
    arena_init(&t->arena, 1 << 20);
    arena_init(&t->scratch, 1 << 20);
    BUG_ON(failed(key_generate(type, &t->key)));
    t->set = jwks_new();
    jwks_add(t->set, jwk_from_key(t->key, S("key-1"), alg, S("sig")));
    struct json *h = json_new_object(&t->arena);
    json_set(&t->arena, h, S("kid"), json_new_string(&t->arena, S("key-1")));
    json_set(&t->arena, h, S("typ"), json_new_string(&t->arena, S("JWT")));
    struct str claims = S(
        "{\"iss\":\"https://issuer.example\",\"sub\":\"spiffe://cluster.local/ns/shop/sa/"
        "cart\",\"aud\":[\"secrets\"],"
        "\"exp\":4000000000,\"iat\":1700000000,\"jti\":\"0b0f4c9a-8f0a-4c4f-9d3c-0f6a6f2a1c11\"}");
    BUG_ON(failed(jws_sign(&t->arena, alg, t->key, h, claims, &t->compact)));
    struct jws parsed;
    BUG_ON(failed(jws_verify(&t->arena, t->compact, t->set,
                             &(struct jws_policy){.algs = JOSE_BIT(alg)}, &parsed)));
    t->input = parsed.signing_input;
    buf_init(&t->der, 1024);
    if (type == KEY_P256) {
        BUG_ON(failed(ecdsa_raw_to_der(parsed.signature, 32, &t->der)));
    } else {
        buf_puts(&t->der, parsed.signature);
    }
    digest(DIGEST_SHA256, t->input, t->sum);
    if (type != KEY_ED25519) {
        t->raw = EVP_PKEY_CTX_new_from_pkey(NULL, key_evp(t->key), NULL);
        BUG_ON(EVP_PKEY_verify_init(t->raw) != 1 ||
               EVP_PKEY_CTX_set_signature_md(t->raw, EVP_sha256()) != 1);
        BUG_ON(type == KEY_RSA && EVP_PKEY_CTX_set_rsa_padding(t->raw, RSA_PKCS1_PADDING) != 1);
    }
}

static void ours(void *ctx, unsigned n)
{
    struct token *t = ctx;
    struct str aud = S("secrets");
    for (unsigned i = 0; i < n; i++) {
        struct jwt claims;
        struct jws_policy sig = {.algs = JOSE_BIT(t->alg), .require_kid = true};
        struct jwt_policy policy = {.issuer = S("https://issuer.example"),
                                    .audiences = &aud,
                                    .n_audiences = 1,
                                    .now_s = 1800000000,
                                    .require_exp = true};
        BUG_ON(failed(jwt_verify(&t->scratch, t->compact, t->set, &sig, &policy, NULL, &claims)));
        arena_reset(&t->scratch);
    }
}

static void bare(void *ctx, unsigned n)
{
    struct token *t = ctx;
    for (unsigned i = 0; i < n; i++) {
        if (t->raw == NULL) {
            EVP_MD_CTX *c = EVP_MD_CTX_new();
            BUG_ON(EVP_DigestVerifyInit(c, NULL, NULL, NULL, key_evp(t->key)) != 1 ||
                   EVP_DigestVerify(c, (const unsigned char *)t->der.p, t->der.n,
                                    (const unsigned char *)t->input.p, t->input.n) != 1);
            EVP_MD_CTX_free(c);
        } else {
            BUG_ON(EVP_PKEY_verify(t->raw, (const unsigned char *)t->der.p, t->der.n, t->sum, 32) !=
                   1);
        }
    }
}

int main(void)
{
    static struct token es, rs, ed;
    make(&es, JOSE_ES256, KEY_P256);
    make(&rs, JOSE_RS256, KEY_RSA);
    make(&ed, JOSE_EDDSA, KEY_ED25519);
    struct bench_case cases[] = {
        {"ES256 signature check (OpenSSL)", bare, &es, 2000},
        {"ES256 token: parse, verify, check claims", ours, &es, 2000},
        {"RS256 signature check (OpenSSL)", bare, &rs, 6000},
        {"RS256 token: parse, verify, check claims", ours, &rs, 6000},
        {"EdDSA signature check (OpenSSL)", bare, &ed, 1500},
        {"EdDSA token: parse, verify, check claims", ours, &ed, 1500},
    };
    bench_all(cases, ARRAY_LEN(cases));
    for (size_t i = 0; i < ARRAY_LEN(cases); i += 2) {
        printf("%.5s: a whole token costs %.2f x the bare signature check\n", cases[i].name,
               bench_median(&cases[i + 1]) / bench_median(&cases[i]));
    }
    return 0;
}
