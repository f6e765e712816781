#include "lib/base/clock.h"
#include "test/unit.h"

#include "lib/x509/issue.h"
#include "spiffe.h"

struct fixture {
    struct arena a;
    struct key *ca, *jwt;
    struct spiffe_bundle bundle;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    arena_init(&f->a, 8 << 20);
    assert_ok(key_generate(KEY_P256, &f->ca));
    assert_ok(key_generate(KEY_P256, &f->jwt));
    struct buf name, der;
    buf_init(&name, 1024);
    buf_init(&der, X509_CERT_MAX);
    x509_name_put(&name, &(struct x509_name){.common_name = S("root")});
    struct x509_spec spec = {.subject = buf_str(&name),
                             .issuer = buf_str(&name),
                             .not_after_s = clock_wall_s() + 3600,
                             .spki = key_spki(f->ca),
                             .is_ca = true,
                             .path_len = -1,
                             .alg = SIG_ES256};
    assert_ok(x509_issue(&spec, f->ca, &der));
    f->bundle = (struct spiffe_bundle){.jwt = jwks_new(),
                                       .wit = jwks_new(),
                                       .sequence = 7,
                                       .has_sequence = true,
                                       .refresh_hint_s = 60};
    assert_ok(x509_anchors_new(&f->bundle.x509));
    assert_ok(x509_anchors_add_der(f->bundle.x509, buf_str(&der)));
    jwks_add(f->bundle.jwt, jwk_from_key(f->jwt, S("k1"), JOSE_ES256, S("jwt-svid")));
    buf_release(&name);
    buf_release(&der);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    spiffe_bundle_release(&f->bundle);
    key_unref(f->ca);
    key_unref(f->jwt);
    arena_release(&f->a);
    free(f);
    return 0;
}

static void test_round_trip(void **state)
{
    struct fixture *f = *state;
    struct buf b;
    buf_init(&b, 1 << 20);
    json_write(&b, spiffe_bundle_to_json(&f->a, &f->bundle));
    struct spiffe_bundle back;
    assert_ok(spiffe_bundle_parse(S("one.test"), buf_str(&b), &back));
    assert_int_equal(x509_anchors_count(back.x509), 1);
    assert_int_equal(back.jwt->n, 1);
    assert_int_equal(back.sequence, 7);
    assert_int_equal(back.refresh_hint_s, 60);
    assert_true(
        str_eq(x509_anchors_at(back.x509, 0)->der, x509_anchors_at(f->bundle.x509, 0)->der));
    spiffe_bundle_release(&back);
    buf_clear(&b);
    json_write(&b, spiffe_bundle_to_oidc_jwks(&f->a, f->bundle.jwt));
    assert_true(str_find(buf_str(&b), S("\"use\":\"sig\"")) != STR_NPOS);
    assert_true(str_find(buf_str(&b), S("\"alg\":\"ES256\"")) != STR_NPOS);
    buf_release(&b);
}

static void test_documents(void **state)
{
    struct spiffe_bundle b;
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"keys\":1}",
        "{\"keys\":[1]}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[],\"spiffe_sequence\":\"1\"}",
        "{\"keys\":[],\"spiffe_sequence\":-1}",
        "{\"keys\":[{\"use\":\"jwt-svid\",\"kty\":\"EC\"}]}",
        "{\"keys\":[{\"use\":\"x509-svid\",\"kty\":\"EC\",\"x5c\":[\"AAAA\"]}]}",
        "{\"keys\":[{\"use\":\"x509-svid\",\"kty\":\"EC\",\"x5c\":[\"AAAA\",\"AAAA\"]}]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (!failed(spiffe_bundle_parse(S("one.test"), str_of(bad[i]), &b))) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
    assert_err(spiffe_bundle_parse(S("One.test"), S("{\"keys\":[]}"), &b), ERR_SYNTAX);
    assert_ok(spiffe_bundle_parse(S("one.test"), S("{\"keys\":[]}"), &b)); /* everything revoked */
    assert_int_equal(x509_anchors_count(b.x509) + b.jwt->n, 0);
    spiffe_bundle_release(&b);
    assert_ok(spiffe_bundle_parse(S("one.test"),
                                  S("{\"keys\":[{\"kty\":\"new\",\"use\":\"x\"},{\"kty\":\"EC\"},{"
                                    "\"use\":\"x509-svid\",\"kty\":\"EC\"}]}"),
                                  &b));
    assert_int_equal(b.skipped, 3);
    spiffe_bundle_release(&b);
}

static const struct jwks *find(void *ctx, struct str td)
{
    struct fixture *f = ctx;
    return str_is(td, "one.test") ? f->bundle.jwt : NULL;
}

static struct str token(struct fixture *f, const char *kid, const char *claims)
{
    struct json *h = json_new_object(&f->a);
    if (kid != NULL) {
        json_set(&f->a, h, S("kid"), json_new_string(&f->a, str_of(kid)));
    }
    struct str t;
    assert_ok(jws_sign(&f->a, JOSE_ES256, f->jwt, h, str_of(claims), &t));
    return t;
}

static struct err verify(struct fixture *f, struct str t)
{
    struct str aud[] = {STR_INIT("me")};
    struct jwt_svid out;
    return jwt_svid_verify(&f->a, t, aud, 1, 1000, find, f, &out);
}

static void test_jwt_svid(void **state)
{
    struct fixture *f = *state;
    const char *good =
        "{\"sub\":\"spiffe://one.test/a\",\"aud\":[\"me\"],\"exp\":2000,\"iat\":1000}";
    assert_ok(verify(f, token(f, "k1", good)));
    assert_err(verify(f, token(f, NULL, good)), ERR_INVALID);
    assert_err(verify(f, token(f, "k2", good)), ERR_NOT_FOUND);
    assert_err(
        verify(f, token(f, "k1", "{\"sub\":\"spiffe://two.test/a\",\"aud\":\"me\",\"exp\":2000}")),
        ERR_DENIED);
    assert_err(verify(f, token(f, "k1", "{\"sub\":\"alice\",\"aud\":\"me\",\"exp\":2000}")),
               ERR_SYNTAX);
    assert_err(
        verify(f, token(f, "k1", "{\"sub\":\"spiffe://one.test/a\",\"aud\":\"you\",\"exp\":2000}")),
        ERR_DENIED);
    assert_err(verify(f, token(f, "k1", "{\"sub\":\"spiffe://one.test/a\",\"exp\":2000}")),
               ERR_DENIED);
    assert_err(verify(f, token(f, "k1", "{\"sub\":\"spiffe://one.test/a\",\"aud\":\"me\"}")),
               ERR_INVALID);
    assert_err(
        verify(f, token(f, "k1", "{\"sub\":\"spiffe://one.test/a\",\"aud\":\"me\",\"exp\":900}")),
        ERR_EXPIRED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_documents),
                                       cmocka_unit_test(test_jwt_svid)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
