/*
 * The JOSE cookbook (RFC 7520) and its companions. Left out, since what they show is never accepted here (RFC 8725):
 * 5.1 (RSA1_5), 5.3 (PBES2), 5.9 (zip), the unencoded payloads of RFC 7797, and X25519 and X448 key agreement.
 * The data of 5.13 names a content encryption "A128CBC-H256" in its input; its outputs are right.
 */
#include "vectors.h"

#include "jwe.h"
#include "jws_json.h"

static const struct jwk_opts key_opts = {.allow_oct = true};
static const struct jws_policy all_algs = {.algs = JOSE_ALGS_ASYMMETRIC | JOSE_ALGS_HMAC};

static void check(const char *file, const char *what, bool good)
{
    if (!good) {
        failures++;
        printf("%s: %s: %s\n", file, what, err_detail());
    }
}

/* ---- signatures ---- */

/* Where two keys of one example share a kid, each is a set of its own. */
static struct jwks *one_key(const struct json *key)
{
    struct jwk *k;
    if (failed(jwk_parse(key, &key_opts, &k))) {
        return NULL;
    }
    struct jwks *set = jwks_new();
    jwks_add(set, k);
    return set;
}

static bool verify_form(const struct json *form, const struct json *key, struct str detached,
                        struct str payload)
{
    struct jwks *set = one_key(key);
    if (set == NULL) {
        return false;
    }
    struct jws out;
    struct jws_json_opts opts = {.detached = detached, .allow_unprotected_alg = true};
    struct err e = json_is(form, JSON_STRING)
                       ? jws_verify(&arena, form->text, set, &all_algs, &out)
                       : jws_json_verify(&arena, form, set, &all_algs, &opts, &out);
    bool good = !failed(e) && str_eq(out.payload, payload);
    jwks_unref(set);
    return good;
}

static void run_jws(const char *file, const struct json *doc)
{
    static const char *const forms[] = {"compact", "json", "json_flat"};
    const struct json *key = json_path(doc, "input.key");
    struct str payload = json_str(json_path(doc, "input.payload")), detached = STR_EMPTY;
    bool is_detached = json_path(doc, "output.json.payload") == NULL;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        const struct json *form = json_get(json_get(doc, "output"), forms[i]);
        if (form == NULL) {
            continue;
        }
        if (is_detached) {
            detached = base64_encode(&arena, payload, BASE64_URL);
        }
        if (is_detached &&
            json_is(form, JSON_STRING)) { /* "header..signature": the caller puts the payload in */
            struct str text = form->text;
            size_t dots = str_find(text, S(".."));
            text = arena_printf(&arena, "%.*s.%.*s.%.*s", STR_FMT(str_sub(text, 0, dots)),
                                STR_FMT(detached), STR_FMT(str_sub(text, dots + 2, text.n)));
            form = json_new_string(&arena, text);
            check(file, forms[i], verify_form(form, key, STR_EMPTY, payload));
            continue;
        }
        bool several = json_is(key, JSON_ARRAY);
        for (uint32_t k = 0; k < (several ? key->n : 1); k++) {
            check(file, forms[i],
                  verify_form(form, several ? key->items[k] : key, detached, payload));
        }
    }
    /* Signatures that are the same each time: ours must be theirs. */
    struct jwk *k;
    if (json_true(json_get(doc, "reproducible")) && !failed(jwk_parse(key, &key_opts, &k))) {
        struct buf sig;
        enum jose_alg alg;
        buf_init(&sig, SIGNATURE_MAX);
        const struct json *s = json_get(doc, "signing");
        struct str want;
        bool good =
            !failed(jose_alg_parse(json_str(json_path(doc, "input.alg")), &alg)) &&
            !failed(jose_sign(k, alg, json_str(json_get(s, "sig-input")), &sig)) &&
            !failed(base64_decode(&arena, json_str(json_get(s, "sig")), BASE64_URL, &want)) &&
            str_eq(want, buf_str(&sig));
        check(file, "the same signature again", good);
        buf_release(&sig);
        jwk_free(k);
    }
}

/* ---- encryption ---- */

static bool decrypt_form(const struct json *form, const struct json *key_json, struct str want)
{
    struct jwk *key;
    if (failed(jwk_parse(key_json, &key_opts, &key))) {
        return false;
    }
    struct buf plain;
    buf_init_secret(&plain, JWE_PLAIN_MAX);
    struct err e = json_is(form, JSON_STRING) ? jwe_decrypt(&arena, form->text, key, &plain)
                                              : jwe_decrypt_json(&arena, form, key, &plain);
    bool good = !failed(e) && str_eq(buf_str(&plain), want);
    buf_release(&plain);
    jwk_free(key);
    return good;
}

static void run_jwe(const char *file, const struct json *doc)
{
    static const char *const forms[] = {"compact", "json", "json_flat"};
    const struct json *key = json_path(doc, "input.key");
    struct str plain = json_str(json_path(doc, "input.plaintext"));
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        const struct json *form = json_get(json_get(doc, "output"), forms[i]);
        if (form == NULL) {
            continue;
        }
        bool several = json_is(key, JSON_ARRAY);
        for (uint32_t k = 0; k < (several ? key->n : 1); k++) {
            const struct json *one = several ? key->items[k] : key;
            bool rsa15 = several && str_is(json_str(json_get(one, "kty")),
                                           "RSA"); /* 5.13's first recipient: RSA1_5 */
            bool good = decrypt_form(form, one, plain);
            check(file, forms[i], good != rsa15);
        }
    }
}

/* Section 6: a signed token inside an encrypted one. */
static void run_nested(const char *file, const struct json *doc)
{
    const struct json *outer = json_path(doc, "encrypt.output.compact"),
                      *inner = json_path(doc, "sign.output.compact");
    check(file, "outer",
          outer != NULL && inner != NULL &&
              decrypt_form(outer, json_path(doc, "encrypt.input.key"), json_str(inner)));
    check(file, "inner",
          inner != NULL && verify_form(inner, json_path(doc, "sign.input.key"), STR_EMPTY,
                                       json_str(json_path(doc, "sign.input.payload"))));
}

static void run_jwk(const char *file, const struct json *doc)
{
    struct jwk *k = NULL;
    bool good = !failed(jwk_parse(doc, &key_opts, &k));
    check(file, "key", good && (k->key != NULL || k->oct.n > 0));
    jwk_free(k);
}

int main(void)
{
    static const struct {
        const char *file;
        void (*run)(const char *file, const struct json *doc);
    } files[] = {
        {"jwk/3_1.ec_public_key", run_jwk},
        {"jwk/3_2.ec_private_key", run_jwk},
        {"jwk/3_3.rsa_public_key", run_jwk},
        {"jwk/3_4.rsa_private_key", run_jwk},
        {"jwk/3_5.symmetric_key_mac_computation", run_jwk},
        {"jwk/3_6.symmetric_key_encryption", run_jwk},
        {"jws/4_1.rsa_v15_signature", run_jws},
        {"jws/4_2.rsa-pss_signature", run_jws},
        {"jws/4_3.ecdsa_signature", run_jws},
        {"jws/4_4.hmac-sha2_integrity_protection", run_jws},
        {"jws/4_5.signature_with_detached_content", run_jws},
        {"jws/4_6.protecting_specific_header_fields", run_jws},
        {"jws/4_7.protecting_content_only", run_jws},
        {"jws/4_8.multiple_signatures", run_jws},
        {"curve25519/jws", run_jws},
        {"jwe/5_2.key_encryption_using_rsa-oaep_with_aes-gcm", run_jwe},
        {"jwe/5_4.key_agreement_with_key_wrapping_using_ecdh-es_and_aes-keywrap_with_aes-gcm",
         run_jwe},
        {"jwe/5_5.key_agreement_using_ecdh-es_with_aes-cbc-hmac-sha2", run_jwe},
        {"jwe/5_6.direct_encryption_using_aes-gcm", run_jwe},
        {"jwe/5_7.key_wrap_using_aes-gcm_keywrap_with_aes-cbc-hmac-sha2", run_jwe},
        {"jwe/5_8.key_wrap_using_aes-keywrap_with_aes-gcm", run_jwe},
        {"jwe/5_10.including_additional_authentication_data", run_jwe},
        {"jwe/5_11.protecting_specific_header_fields", run_jwe},
        {"jwe/5_12.protecting_content_only", run_jwe},
        {"jwe/5_13.encrypting_to_multiple_recipients", run_jwe},
        {"6.nesting_signatures_and_encryption", run_nested},
    };
    setvbuf(stdout, NULL, _IOLBF, 0);
    arena_init(&arena, (size_t)256 << 20);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char path[256];
        snprintf(path, sizeof(path), "jose-cookbook/%s.json", files[i].file);
        struct json *doc = load(path);
        if (doc == NULL) {
            printf("skipped: jose-cookbook (no file %s; set SEXTANT_CONFORMANCE)\n", path);
            return 77;
        }
        files[i].run(files[i].file, doc);
    }
    printf("jose-cookbook: %zu examples, %u failures\n", ARRAY_LEN(files), failures);
    arena_release(&arena);
    return failures > 0;
}
