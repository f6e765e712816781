#include "authz/rego/builtin/token_keys.h"

#include "lib/base/codec.h"
#include "lib/x509/cert.h"
#include "lib/x509/digest.h"

bool token_keys_secret(struct token_keys *k, struct str secret)
{
    *k = (struct token_keys){.secret = secret};
    return true;
}

void token_keys_release(struct token_keys *k)
{
    if (k->set != NULL) {
        jwks_unref(k->set);
    }
}

static bool take_key(struct token_keys *k, struct key *key)
{
    k->set = jwks_new();
    jwks_add(k->set, jwk_from_key(key, STR_EMPTY, JOSE_ALG_NONE, STR_EMPTY));
    key_unref(key);
    return true;
}

static bool from_certificate(struct bcall *b, struct str der, struct token_keys *k)
{
    struct x509_cert *cert;
    struct key *key;
    if (failed(x509_cert_parse(der, &cert))) {
        (void)b_fail(b, "failed to parse a PEM certificate: %s", err_detail());
        return false;
    }
    struct err e = x509_cert_key(cert, &key);
    if (!failed(e)) {
        (void)key_ref(key); /* the certificate keeps its own */
    }
    x509_cert_unref(cert);
    if (failed(e)) {
        (void)b_fail(b, "failed to parse a PEM certificate: %s", err_detail());
        return false;
    }
    return take_key(k, key);
}

static bool from_pem(struct bcall *b, struct str text, struct token_keys *k)
{
    struct str rest = text, der;
    struct key *key;
    struct str first = str_sub(text, 0, str_find_char(text, '\n'));
    bool certificate = str_find(first, S("BEGIN CERTIFICATE")) != STR_NPOS;
    const char *label = certificate ? "CERTIFICATE" : "PUBLIC KEY";
    if (failed(pem_next(b->a, &rest, label, &der))) {
        (void)b_fail(b, "failed to extract a Key from the PEM certificate");
        return false;
    }
    if (str_trim(rest).n > 0) {
        (void)b_fail(b, "extra data after a PEM certificate block");
        return false;
    }
    if (certificate) {
        return from_certificate(b, der, k);
    }
    if (failed(key_from_spki(der, &key))) {
        (void)b_fail(b, "failed to parse a PEM key: %s", err_detail());
        return false;
    }
    return take_key(k, key);
}

bool token_keys_public(struct bcall *b, struct str text, struct token_keys *k)
{
    struct jwk_opts opts = {.allow_small_exponent = true};
    struct json *doc;
    *k = (struct token_keys){0};
    if (str_find(text, S("-----BEGIN")) != STR_NPOS) {
        return from_pem(b, text, k);
    }
    if (failed(json_parse(b->a, text, NULL, &doc)) || doc->type != JSON_OBJECT) {
        (void)b_fail(b, "failed to parse a JWK key (set): %s", err_detail());
        return false;
    }
    if (json_get(doc, "keys") != NULL) {
        if (failed(jwks_from_json(doc, &opts, &k->set))) {
            (void)b_fail(b, "failed to parse a JWK key (set): %s", err_detail());
            return false;
        }
        return true;
    }
    struct jwk *one;
    if (failed(jwk_parse(doc, &opts, &one))) {
        (void)b_fail(b, "failed to parse a JWK key (set): %s", err_detail());
        return false;
    }
    k->set = jwks_new();
    jwks_add(k->set, one);
    return true;
}

static bool verify_secret(struct str secret, enum jose_alg alg, struct str input,
                          struct str signature)
{
    uint8_t mac[DIGEST_MAX];
    enum digest_alg d = alg == JOSE_HS256   ? DIGEST_SHA256
                        : alg == JOSE_HS384 ? DIGEST_SHA384
                                            : DIGEST_SHA512;
    size_t n = digest_hmac(d, secret, input, mac);
    return str_eq_secret(str_n(mac, n), signature);
}

/* The key named by the token's kid counts alone; else those whose "alg" does not say otherwise. */
bool token_keys_verify(const struct token_keys *k, enum jose_alg alg, struct str kid,
                       struct str input, struct str signature)
{
    if (k->set == NULL || alg >= JOSE_HS256) {
        return k->set == NULL && alg >= JOSE_HS256 &&
               verify_secret(k->secret, alg, input, signature);
    }
    bool named = kid.n > 0 && jwks_find(k->set, kid) != NULL;
    for (size_t i = 0; i < k->set->n; i++) {
        const struct jwk *key = k->set->keys[i];
        bool meant = named ? str_eq(key->kid, kid)
                           : key->alg_name.n == 0 || str_is(key->alg_name, jose_alg_name(alg));
        /* "use" and "key_ops" were never looked at here. */
        if (meant && key->key != NULL && key_fits(key->key, (enum sig_alg)alg) &&
            !failed(key_verify_raw(key->key, (enum sig_alg)alg, input, signature))) {
            return true;
        }
    }
    return false;
}

struct err token_sign(struct arena *a, struct str text, enum jose_alg alg, struct str input,
                      struct str *out)
{
    struct jwk_opts opts = {.allow_oct = true, .allow_small_exponent = true};
    struct json *doc;
    const struct json *list;
    struct jwk *key;
    struct buf signature;
    TRY(json_parse(a, text, NULL, &doc));
    list = json_get(doc, "keys");
    if (list != NULL && list->type == JSON_ARRAY && list->n > 0) {
        doc = list->items[0];
    }
    const struct json *k = json_get(doc, "k");
    if (alg >= JOSE_HS256 && k != NULL) {
        /* Short shared secrets are the signer's own affair here. */
        uint8_t mac[DIGEST_MAX];
        struct str secret;
        TRY(base64_decode(a, json_str(k), BASE64_URL, &secret));
        enum digest_alg d = alg == JOSE_HS256   ? DIGEST_SHA256
                            : alg == JOSE_HS384 ? DIGEST_SHA384
                                                : DIGEST_SHA512;
        size_t n = digest_hmac(d, secret, input, mac);
        *out = base64_encode(a, str_n(mac, n), BASE64_URL);
        return OK;
    }
    TRY(jwk_parse(doc, &opts, &key));
    buf_init(&signature, SIGNATURE_MAX * 2);
    struct err e = jose_sign(key, alg, input, &signature);
    jwk_free(key);
    if (!failed(e)) {
        *out = base64_encode(a, buf_str(&signature), BASE64_URL);
    }
    buf_release(&signature);
    return e;
}
