#include "lib/base/codec.h"
#include "test/unit.h"

#include "jose.h"
#include "roca.h"

struct fixture {
    struct arena a;
    struct key *ec, *rsa, *ed;
    struct jwks *set;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    arena_init(&f->a, 8 << 20);
    assert_ok(key_generate(KEY_P256, &f->ec));
    assert_ok(key_generate(KEY_RSA, &f->rsa));
    assert_ok(key_generate(KEY_ED25519, &f->ed));
    f->set = jwks_new();
    jwks_add(f->set, jwk_from_key(f->ec, S("ec"), JOSE_ES256, S("sig")));
    jwks_add(f->set, jwk_from_key(f->rsa, S("rsa"), JOSE_RS256, S("sig")));
    jwks_add(f->set, jwk_from_key(f->ed, S("ed"), JOSE_ALG_NONE, S("")));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    jwks_unref(f->set);
    key_unref(f->ec);
    key_unref(f->rsa);
    key_unref(f->ed);
    arena_release(&f->a);
    free(f);
    return 0;
}

static struct json *header(struct fixture *f, const char *kid, const char *typ)
{
    struct json *h = json_new_object(&f->a);
    if (kid != NULL) {
        json_set(&f->a, h, S("kid"), json_new_string(&f->a, str_of(kid)));
    }
    if (typ != NULL) {
        json_set(&f->a, h, S("typ"), json_new_string(&f->a, str_of(typ)));
    }
    return h;
}

static struct str token(struct fixture *f, struct key *k, enum jose_alg alg, const char *kid,
                        const char *typ)
{
    struct str t;
    assert_ok(jws_sign(&f->a, alg, k, header(f, kid, typ), S("{\"sub\":\"a\"}"), &t));
    return t;
}

static void test_round_trip(void **state)
{
    struct fixture *f = *state;
    struct jws j;
    assert_ok(jws_verify(&f->a, token(f, f->ec, JOSE_ES256, "ec", "JWT"), f->set, NULL, &j));
    assert_str(j.payload, "{\"sub\":\"a\"}");
    assert_str(j.kid, "ec");
    assert_true(j.key->key == f->ec);
    assert_ok(jws_verify(&f->a, token(f, f->rsa, JOSE_RS256, "rsa", NULL), f->set, NULL, &j));
    assert_ok(jws_verify(&f->a, token(f, f->ed, JOSE_EDDSA, "ed", NULL), f->set, NULL, &j));
    assert_ok(jws_verify(&f->a, token(f, f->ed, JOSE_EDDSA, NULL, NULL), f->set, NULL,
                         &j)); /* no kid: tried */
    struct str input = jws_signing_input(&f->a, JOSE_ES256, header(f, "ec", NULL), S("{}"));
    struct buf sig;
    buf_init(&sig, SIGNATURE_MAX);
    assert_ok(key_sign_raw(f->ec, SIG_ES256, input, &sig));
    assert_ok(jws_verify(&f->a, jws_assemble(&f->a, input, buf_str(&sig)), f->set, NULL, &j));
    buf_release(&sig);
}

static void test_policy(void **state)
{
    struct fixture *f = *state;
    struct jws j;
    struct str ec = token(f, f->ec, JOSE_ES256, "ec", "at+jwt"),
               none = token(f, f->ec, JOSE_ES256, NULL, NULL);
    struct jws_policy rs = {.algs = JOSE_BIT(JOSE_RS256)};
    assert_err(jws_verify(&f->a, ec, f->set, &rs, &j), ERR_UNSUPPORTED);
    /* The key says RS256: the same key under PS256 is another use. */
    struct jws_policy ps = {.algs = JOSE_BIT(JOSE_PS256)};
    assert_err(jws_verify(&f->a, token(f, f->rsa, JOSE_PS256, "rsa", NULL), f->set, &ps, &j),
               ERR_SIGNATURE);
    static const char *const at[] = {"at+jwt", NULL}, *const jwt[] = {"JWT", NULL},
                             *const app[] = {"application/AT+JWT", NULL};
    assert_ok(jws_verify(&f->a, ec, f->set, &(struct jws_policy){.typ = at}, &j));
    assert_ok(jws_verify(&f->a, ec, f->set, &(struct jws_policy){.typ = app}, &j));
    assert_err(jws_verify(&f->a, ec, f->set, &(struct jws_policy){.typ = jwt}, &j), ERR_INVALID);
    assert_ok(jws_verify(&f->a, none, f->set, &(struct jws_policy){.typ = jwt}, &j));
    assert_err(
        jws_verify(&f->a, none, f->set, &(struct jws_policy){.typ = jwt, .typ_required = true}, &j),
        ERR_INVALID);
    assert_err(jws_verify(&f->a, none, f->set, &(struct jws_policy){.require_kid = true}, &j),
               ERR_INVALID);
    assert_err(jws_verify(&f->a, token(f, f->ec, JOSE_ES256, "new", NULL), f->set, NULL, &j),
               ERR_NOT_FOUND);
    assert_err(jws_verify(&f->a, token(f, f->ec, JOSE_ES256, "ed", NULL), f->set, NULL, &j),
               ERR_SIGNATURE);
}

/* A token with this header text and a valid ES256 signature over it. */
static struct str forged(struct fixture *f, const char *header_json)
{
    struct str h = base64_encode(&f->a, str_of(header_json), BASE64_URL);
    struct str input = arena_printf(&f->a, "%.*s.e30", STR_FMT(h));
    struct buf sig;
    buf_init(&sig, SIGNATURE_MAX);
    assert_ok(key_sign_raw(f->ec, SIG_ES256, input, &sig));
    struct str t = jws_assemble(&f->a, input, buf_str(&sig));
    buf_release(&sig);
    return t;
}

static void test_headers_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"{}",
                                      "[]",
                                      "{\"alg\":\"none\"}",
                                      "{\"alg\":\"None\"}",
                                      "{\"alg\":\"\"}",
                                      "{\"alg\":1}",
                                      "{\"alg\":null}",
                                      "{\"alg\":\"HS256\",\"kid\":\"ec\"}",
                                      "{\"alg\":\"ES256\",\"alg\":\"ES256\"}",
                                      "{\"alg\":\"ES256\",\"crit\":[\"exp\"],\"exp\":1}",
                                      "{\"alg\":\"ES256\",\"crit\":[]}",
                                      "{\"alg\":\"ES256\",\"b64\":false}",
                                      "{\"alg\":\"ES256\",\"b64\":false,\"crit\":[\"b64\"]}",
                                      "{\"alg\":\"ES256\",\"zip\":\"DEF\"}",
                                      "{\"alg\":\"ES256\",\"kid\":7}",
                                      "{\"alg\":\"ES256\",\"typ\":[]}",
                                      "{\"alg\":\"es256\"}",
                                      "{\"alg\":\"ES256\"} ,",
                                      "{\"alg\":\"ES256 \"}"};
    struct jws j;
    assert_ok(jws_verify(
        &f->a, forged(f, "{\"alg\":\"ES256\",\"jku\":\"https://evil.test\",\"kid\":\"ec\"}"),
        f->set, NULL, &j));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (!failed(jws_verify(&f->a, forged(f, bad[i]), f->set, NULL, &j))) {
            fail_msg("header %s was accepted", bad[i]);
        }
    }
}

static void test_text_refused(void **state)
{
    struct fixture *f = *state;
    struct str good = token(f, f->ec, JOSE_ES256, "ec", NULL);
    struct jws j;
    assert_ok(jws_verify(&f->a, good, f->set, NULL, &j));
    /* Any byte changed, any cut, anything put in. */
    for (size_t i = 0; i < good.n; i++) {
        char *copy = arena_cstr(&f->a, good);
        copy[i] = copy[i] == 'A' ? 'B' : 'A';
        assert_true(failed(jws_verify(&f->a, str_n(copy, good.n), f->set, NULL, &j)));
        assert_true(failed(jws_verify(&f->a, str_sub(good, 0, i), f->set, NULL, &j)));
    }
    static const char *const tails[] = {"=", ".", " ", "\n", ".x"};
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        struct str t = arena_printf(&f->a, "%.*s%s", STR_FMT(good), tails[i]);
        assert_true(failed(jws_verify(&f->a, t, f->set, NULL, &j)));
    }
    assert_err(jws_verify(&f->a, STR_EMPTY, f->set, NULL, &j), ERR_LIMIT);
    char *huge = calloc(1, JWS_COMPACT_MAX + 1);
    assert_err(jws_verify(&f->a, str_n(huge, JWS_COMPACT_MAX + 1), f->set, NULL, &j), ERR_LIMIT);
    free(huge);
}

static void test_hmac_only_when_asked(void **state)
{
    struct fixture *f = *state;
    struct jwks *set;
    struct str text = S("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"s\",\"k\":"
                        "\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}]}");
    assert_ok(jwks_parse(text, NULL, &set));
    assert_int_equal(set->n, 0);
    assert_int_equal(set->skipped, 1);
    jwks_unref(set);
    assert_ok(jwks_parse(text, &(struct jwk_opts){.allow_oct = true}, &set));
    struct buf mac;
    buf_init(&mac, SIGNATURE_MAX);
    struct str input = S("eyJhbGciOiJIUzI1NiIsImtpZCI6InMifQ.e30");
    assert_ok(jose_sign(set->keys[0], JOSE_HS256, input, &mac));
    struct str t = jws_assemble(&f->a, input, buf_str(&mac));
    struct jws j;
    assert_err(jws_verify(&f->a, t, set, NULL, &j), ERR_UNSUPPORTED);
    assert_ok(jws_verify(&f->a, t, set, &(struct jws_policy){.algs = JOSE_ALGS_HMAC}, &j));
    assert_true(
        failed(jws_verify(&f->a, t, f->set, &(struct jws_policy){.algs = JOSE_ALGS_HMAC}, &j)));
    assert_err(jose_sign(set->keys[0], JOSE_HS512, input, &mac), ERR_SIGNATURE); /* key too short */
    buf_release(&mac);
    jwks_unref(set);
}

/* RFC 7638 section 3.1, RFC 8037 appendix A.3. */
static void test_thumbprints(void **state)
{
    struct jwk *k;
    char t[JWK_THUMBPRINT_TEXT];
    assert_ok(jwk_parse_text(
        S("{\"kty\":\"RSA\",\"n\":"
          "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
          "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-"
          "65YGjQR0_"
          "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"
          "bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
          "kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}"),
        NULL, &k));
    jwk_thumbprint(k->key, t);
    assert_string_equal(t, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_str(k->kid, "2011-04-29");
    jwk_free(k);
    assert_ok(jwk_parse_text(S("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
                               "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"),
                             NULL, &k));
    jwk_thumbprint(k->key, t);
    assert_string_equal(t, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    jwk_free(k);
}

static void test_jwk_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {
        "{}",
        "[]",
        "1",
        "{\"kty\":\"EC\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}",
        "{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
        "{\"kty\":\"oct\",\"k\":\"AAAA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"alg\":\"ES256\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":1}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
        "7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"key_ops\":[\"verify\",\"verify\"]}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        "\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct jwk *k;
        if (!failed(jwk_parse_text(str_of(bad[i]), NULL, &k))) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
    struct jwks *set;
    assert_err(jwks_parse(S("{}"), NULL, &set), ERR_SYNTAX);
    assert_err(jwks_parse(S("{\"keys\":{}}"), NULL, &set), ERR_SYNTAX);
    struct str one = S("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"
                       "7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"kid\":\"a\"}");
    assert_err(jwks_parse(arena_printf(&f->a, "{\"keys\":[%.*s,%.*s]}", STR_FMT(one), STR_FMT(one)),
                          NULL, &set),
               ERR_INVALID);
    assert_ok(jwks_parse(arena_printf(&f->a, "{\"keys\":[%.*s,{\"kty\":\"new\"},5]}", STR_FMT(one)),
                         NULL, &set));
    assert_int_equal(set->n, 1);
    assert_int_equal(set->skipped, 2);
    assert_non_null(jwks_find(set, S("a")));
    assert_null(jwks_find(set, S("b")));
    jwks_unref(set);
}

static void test_jwk_write(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < f->set->n; i++) {
        struct buf b;
        struct jwk *back;
        buf_init(&b, 8192);
        json_write(&b, jwk_to_json(&f->a, f->set->keys[i]));
        assert_true(str_find(buf_str(&b), S("\"d\"")) == STR_NPOS);
        assert_ok(jwk_parse_text(buf_str(&b), NULL, &back));
        assert_true(key_same_public(back->key, f->set->keys[i]->key));
        assert_false(key_is_private(back->key));
        jwk_free(back);
        buf_release(&b);
    }
}

static struct err claims(struct fixture *f, const char *text, const struct jwt_policy *p)
{
    struct jwt j;
    return jwt_check_text(&f->a, str_of(text), p, &j);
}

static void test_claims(void **state)
{
    struct fixture *f = *state;
    struct str aud[] = {STR_INIT("me"), STR_INIT("us")};
    struct jwt_policy p = {.issuer = S("https://i"),
                           .audiences = aud,
                           .n_audiences = 2,
                           .now_s = 1000,
                           .require_exp = true};
    assert_ok(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":1001}", &p));
    assert_ok(claims(f, "{\"iss\":\"https://i\",\"aud\":[\"x\",\"us\"],\"exp\":1001.9}", &p));
    assert_ok(
        claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":971}", &p)); /* within the skew */
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":970}", &p), ERR_EXPIRED);
    assert_err(claims(f, "{\"iss\":\"https://i/\",\"aud\":\"me\",\"exp\":2000}", &p), ERR_DENIED);
    assert_err(claims(f, "{\"aud\":\"me\",\"exp\":2000}", &p), ERR_INVALID);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"Me\",\"exp\":2000}", &p), ERR_DENIED);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"exp\":2000}", &p), ERR_DENIED);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":{},\"exp\":2000}", &p), ERR_SYNTAX);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\"}", &p), ERR_INVALID);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":\"2000\"}", &p),
               ERR_SYNTAX);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":2e3}", &p), ERR_SYNTAX);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":-1}", &p), ERR_RANGE);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":99999999999999999999}", &p),
               ERR_RANGE);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":2000,\"nbf\":1031}", &p),
               ERR_EXPIRED);
    assert_ok(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":2000,\"nbf\":1030}", &p));
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":2000,\"iat\":1031}", &p),
               ERR_EXPIRED);
    assert_err(
        claims(f, "{\"iss\":\"https://i\",\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":2000}", &p),
        ERR_INVALID);
    p.max_age_s = 100;
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":2000}", &p), ERR_INVALID);
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":2000,\"iat\":869}", &p),
               ERR_EXPIRED);
    p.skew_s = 3600; /* capped at a minute */
    assert_err(claims(f, "{\"iss\":\"https://i\",\"aud\":\"me\",\"exp\":940,\"iat\":900}", &p),
               ERR_EXPIRED);
    assert_err(claims(f, "[]", &p), ERR_SYNTAX);
    assert_err(claims(f, "not json", &p), ERR_SYNTAX);
}

static void test_roca(void **state)
{
    struct fixture *f = *state;
    struct key_parts p;
    key_public_parts(f->rsa, &p);
    assert_false(roca_weak(p.n));
    /* 65537^2 is a power of 65537 modulo every prime. */
    assert_true(roca_weak(S("\x01\x00\x02\x00\x01")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_policy),
        cmocka_unit_test(test_headers_refused),
        cmocka_unit_test(test_text_refused),
        cmocka_unit_test(test_hmac_only_when_asked),
        cmocka_unit_test(test_thumbprints),
        cmocka_unit_test(test_jwk_refused),
        cmocka_unit_test(test_jwk_write),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_roca),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
