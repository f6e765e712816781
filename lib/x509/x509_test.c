#include "lib/base/codec.h"
#include "test/unit.h"

#include "der.h"
#include "digest.h"
#include "issue.h"
#include "spiffe_id.h"
#include "verify.h"

static const int64_t now = 1800000000; /* 2027-01-15 */

static void test_digests(void **state)
{
    uint8_t out[DIGEST_MAX];
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_str(hex_encode(&a, str_n(out, digest(DIGEST_SHA256, S("abc"), out))),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_str(hex_encode(&a, str_n(out, digest(DIGEST_MD5, S(""), out))),
               "d41d8cd98f00b204e9800998ecf8427e");
    /* RFC 4231 test case 2, RFC 5869 test case 1. */
    assert_str(hex_encode(&a, str_n(out, digest_hmac(DIGEST_SHA256, S("Jefe"),
                                                     S("what do ya want for nothing?"), out))),
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    struct str ikm, salt, info;
    assert_ok(hex_decode(&a, S("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"), &ikm));
    assert_ok(hex_decode(&a, S("000102030405060708090a0b0c"), &salt));
    assert_ok(hex_decode(&a, S("f0f1f2f3f4f5f6f7f8f9"), &info));
    uint8_t okm[42];
    assert_ok(digest_hkdf(DIGEST_SHA256, salt, ikm, info, okm, sizeof(okm)));
    assert_str(
        hex_encode(&a, str_n(okm, sizeof(okm))),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    assert_err(digest_hkdf(DIGEST_SHA256, salt, ikm, info, okm, 255 * 32 + 1), ERR_RANGE);
    struct digest_state *d = digest_begin(DIGEST_SHA256);
    digest_add(d, S("a"));
    digest_add(d, S("bc"));
    assert_int_equal(digest_end(d, out), 32);
    assert_int_equal(out[0], 0xba);
    arena_release(&a);
}

static void test_key_kinds(void **state)
{
    for (enum key_type t = KEY_P256; t <= KEY_RSA; t++) {
        struct key *k, *pub, *again;
        assert_ok(key_generate(t, &k));
        assert_int_equal(key_type(k), t);
        enum sig_alg alg = key_default_alg(k);
        struct buf sig;
        buf_init(&sig, SIGNATURE_MAX);
        assert_ok(key_sign(k, alg, S("message"), &sig));
        assert_ok(key_from_spki(key_spki(k), &pub));
        assert_true(key_same_public(k, pub));
        assert_ok(key_verify(pub, alg, S("message"), buf_str(&sig)));
        assert_ok(key_verify(pub, alg, S("message"), buf_str(&sig))); /* the kept context again */
        assert_err(key_verify(pub, alg, S("massage"), buf_str(&sig)), ERR_SIGNATURE);
        assert_err(key_verify(pub, alg, S("message"), STR_EMPTY), ERR_SIGNATURE);
        assert_err(key_sign(pub, alg, S("message"), &sig), ERR_INVALID);
        buf_clear(&sig);
        assert_ok(key_sign_raw(k, alg, S("raw"), &sig));
        assert_ok(key_verify_raw(pub, alg, S("raw"), buf_str(&sig)));
        assert_err(key_verify_raw(pub, alg, S("raw"), str_sub(buf_str(&sig), 1, sig.n)),
                   ERR_SIGNATURE);
        struct secret der, pem;
        assert_ok(key_to_pkcs8(k, &der));
        assert_ok(key_from_pkcs8(secret_bytes(&der), &again));
        assert_true(key_is_private(again) && key_same_public(k, again));
        key_unref(again);
        assert_ok(key_to_pkcs8_pem(k, &pem));
        assert_ok(key_from_pem(secret_bytes(&pem), &again));
        assert_true(key_same_public(k, again));
        assert_err(key_from_pkcs8(str_sub(secret_bytes(&der), 0, der.n - 1), &again), ERR_SYNTAX);
        key_unref(again);
        secret_release(&der);
        secret_release(&pem);
        buf_release(&sig);
        key_unref(pub);
        key_unref(k);
    }
}

static void test_key_refusals(void **state)
{
    struct key *k, *p256;
    assert_ok(key_generate(KEY_P256, &p256));
    struct key_parts parts;
    key_public_parts(p256, &parts);
    char off[32];
    memcpy(off, parts.y.p, 32);
    off[31] ^= 1;
    assert_err(key_from_ec_parts(KEY_P256, parts.x, str_n(off, 32), STR_EMPTY, &k), ERR_RANGE);
    assert_err(key_from_ec_parts(KEY_P384, parts.x, parts.y, STR_EMPTY, &k), ERR_RANGE);
    char d[32] = {1};
    assert_err(key_from_ec_parts(KEY_P256, parts.x, parts.y, str_n(d, 32), &k), ERR_RANGE);
    assert_err(key_from_rsa_parts(S("abc"), S("\x03"), STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY,
                                  STR_EMPTY, STR_EMPTY, &k),
               ERR_RANGE);
    assert_err(key_from_rsa_parts(S("abc"), S("\x02"), STR_EMPTY, STR_EMPTY, STR_EMPTY, STR_EMPTY,
                                  STR_EMPTY, STR_EMPTY, &k),
               ERR_RANGE);
    assert_err(key_from_spki(S("nonsense"), &k), ERR_SYNTAX);
    assert_err(key_from_spki(STR_EMPTY, &k), ERR_SYNTAX);
    assert_err(key_from_pem(S("-----BEGIN CERTIFICATE-----\n"), &k), ERR_NOT_FOUND);
    assert_err(key_from_pem(S("-----BEGIN PRIVATE KEY-----\nAAAA"), &k), ERR_SYNTAX);
    struct buf sig;
    buf_init(&sig, SIGNATURE_MAX);
    assert_err(key_sign(p256, SIG_RS256, S("m"), &sig), ERR_INVALID);
    buf_release(&sig);
    key_unref(p256);
}

struct ca {
    struct key *key;
    struct buf name, der;
    struct x509_cert *cert;
};

static void ca_make(struct ca *c, const char *uri, struct ca *parent)
{
    assert_ok(key_generate(KEY_P256, &c->key));
    buf_init(&c->name, 1024);
    buf_init(&c->der, X509_CERT_MAX);
    x509_name_put(&c->name, &(struct x509_name){.country = S("US"),
                                                .organization = S("SPIFFE"),
                                                .common_name = str_of(uri)});
    struct ca *by = parent != NULL ? parent : c;
    struct str uris[] = {str_of(uri)};
    struct x509_spec spec = {.subject = buf_str(&c->name),
                             .issuer = buf_str(&by->name),
                             .not_before_s = now - 10,
                             .not_after_s = now + 86400,
                             .spki = key_spki(c->key),
                             .uris = uris,
                             .n_uris = 1,
                             .is_ca = true,
                             .path_len = -1,
                             .alg = SIG_ES256};
    uint8_t id[20];
    x509_key_id(key_spki(by->key), id);
    spec.issuer_key_id = parent != NULL ? str_n(id, 20) : STR_EMPTY;
    assert_ok(x509_issue(&spec, by->key, &c->der));
    assert_ok(x509_cert_parse(buf_str(&c->der), &c->cert));
    assert_ok(x509_spiffe_ca_check(c->cert));
}

static void ca_release(struct ca *c)
{
    x509_cert_unref(c->cert);
    buf_release(&c->der);
    buf_release(&c->name);
    key_unref(c->key);
}

static void leaf_make(struct ca *by, const struct str *uris, size_t n, const char *dns, int64_t ttl,
                      struct x509_cert **out)
{
    struct key *k;
    assert_ok(key_generate(KEY_P256, &k));
    uint8_t id[20];
    x509_key_id(key_spki(by->key), id);
    struct str names[] = {str_of(dns)};
    struct x509_spec spec = {.issuer = buf_str(&by->name),
                             .not_before_s = now - 10,
                             .not_after_s = now + ttl,
                             .spki = key_spki(k),
                             .uris = uris,
                             .n_uris = n,
                             .dns_names = names,
                             .n_dns_names = dns != NULL,
                             .issuer_key_id = str_n(id, 20),
                             .alg = SIG_ES256};
    struct buf der;
    buf_init(&der, X509_CERT_MAX);
    assert_ok(x509_issue(&spec, by->key, &der));
    assert_ok(x509_cert_parse(buf_str(&der), out));
    buf_release(&der);
    key_unref(k);
}

static void test_issue_and_verify(void **state)
{
    struct ca root, mid, other;
    ca_make(&root, "spiffe://one.test", NULL);
    ca_make(&mid, "spiffe://one.test", &root);
    ca_make(&other, "spiffe://two.test", NULL);
    struct str id = S("spiffe://one.test/ns/a/sa/b"), foreign = S("spiffe://two.test/x");
    struct x509_chain chain = {.n = 2};
    leaf_make(&mid, &id, 1, "b.a.svc", 3600, &chain.certs[0]);
    chain.certs[1] = x509_cert_ref(mid.cert);
    struct x509_cert *leaf = chain.certs[0];
    assert_str(leaf->spiffe_id, "spiffe://one.test/ns/a/sa/b");
    assert_int_equal(leaf->not_after_s, now + 3600);
    assert_int_equal(leaf->n_dns_names, 1);
    assert_str(leaf->dns_names[0], "b.a.svc");
    assert_true(leaf->key_usage ==
                (USAGE_DIGITAL_SIGNATURE | USAGE_KEY_ENCIPHERMENT | USAGE_KEY_AGREEMENT));
    assert_true(leaf->eku_client && leaf->eku_server && !leaf->is_ca);
    assert_ok(x509_verify_name(leaf, S("b.a.svc")));
    assert_err(x509_verify_name(leaf, S("c.a.svc")), ERR_DENIED);

    struct x509_anchors *anchors, *others;
    assert_ok(x509_anchors_new(&anchors));
    assert_ok(x509_anchors_add(anchors, root.cert));
    assert_ok(x509_anchors_add(anchors, root.cert));
    assert_int_equal(x509_anchors_count(anchors), 1);
    assert_ok(x509_anchors_new(&others));
    assert_ok(x509_anchors_add(others, other.cert));
    struct x509_bundles *bundles;
    assert_ok(x509_bundles_new(&bundles));
    assert_ok(x509_bundles_set(bundles, S("one.test"), anchors));
    assert_ok(x509_bundles_set(bundles, S("two.test"), others));
    struct spiffe_id who;
    assert_ok(x509_svid_verify(&chain, bundles, now, &who));
    assert_str(who.trust_domain, "one.test");
    assert_err(x509_svid_verify(&chain, bundles, now + 3601, &who), ERR_EXPIRED);
    assert_err(x509_svid_verify(&chain, bundles, now - 11, &who), ERR_EXPIRED);
    chain.n = 1; /* without the intermediate */
    assert_err(x509_svid_verify(&chain, bundles, now, &who), ERR_DENIED);
    chain.n = 2;

    /* A domain's CA that names another domain: its own bundle does not know it. */
    struct x509_chain forged = {.n = 2};
    leaf_make(&mid, &foreign, 1, NULL, 3600, &forged.certs[0]);
    forged.certs[1] = x509_cert_ref(mid.cert);
    assert_err(x509_svid_verify(&forged, bundles, now, &who), ERR_DENIED);
    assert_ok(x509_verify(&forged, anchors, X509_FOR_CLIENT, now));
    x509_chain_release(&forged);

    /* The CA's own certificate is nobody's SVID. */
    struct x509_chain ca_chain = {.certs = {mid.cert}, .n = 1};
    assert_err(x509_svid_verify(&ca_chain, bundles, now, &who), ERR_INVALID);

    /* Revoked trust domain: an empty set. */
    struct x509_anchors *none;
    assert_ok(x509_anchors_new(&none));
    assert_ok(x509_bundles_set(bundles, S("one.test"), none));
    assert_err(x509_svid_verify(&chain, bundles, now, &who), ERR_DENIED);
    x509_anchors_unref(none);
    x509_bundles_unref(bundles);
    x509_anchors_unref(anchors);
    x509_anchors_unref(others);
    x509_chain_release(&chain);
    ca_release(&root);
    ca_release(&mid);
    ca_release(&other);
}

static void test_leaf_rules(void **state)
{
    struct ca root;
    ca_make(&root, "spiffe://one.test", NULL);
    struct str two[] = {STR_INIT("spiffe://one.test/a"), STR_INIT("spiffe://one.test/b")};
    struct str rootless = S("spiffe://one.test"), web = S("https://one.test/a");
    struct x509_cert *c;
    leaf_make(&root, two, 2, NULL, 60, &c);
    assert_err(x509_spiffe_leaf_check(c), ERR_INVALID);
    assert_int_equal(c->spiffe_id.n, 0);
    x509_cert_unref(c);
    leaf_make(&root, &rootless, 1, NULL, 60, &c);
    assert_err(x509_spiffe_leaf_check(c), ERR_INVALID);
    x509_cert_unref(c);
    leaf_make(&root, &web, 1, NULL, 60, &c);
    assert_err(x509_spiffe_leaf_check(c), ERR_SYNTAX);
    x509_cert_unref(c);
    leaf_make(&root, NULL, 0, "a.test", 60, &c);
    assert_err(x509_spiffe_leaf_check(c), ERR_INVALID);
    x509_cert_unref(c);
    ca_release(&root);
}

static void test_cert_damage(void **state)
{
    struct ca root;
    ca_make(&root, "spiffe://one.test", NULL);
    /* No cut and no flipped length byte may crash; a whole certificate with a byte behind is refused. */
    for (size_t n = 0; n < root.der.n; n++) {
        struct x509_cert *c;
        assert_true(failed(x509_cert_parse(str_sub(buf_str(&root.der), 0, n), &c)));
    }
    for (size_t i = 0; i < root.der.n; i++) {
        char *copy = malloc(root.der.n);
        memcpy(copy, root.der.p, root.der.n);
        copy[i] ^= 0x55;
        struct x509_cert *c;
        if (!failed(x509_cert_parse(str_n(copy, root.der.n), &c))) {
            struct key *k;
            ignore_err(x509_cert_key(c, &k));
            x509_cert_unref(c);
        }
        free(copy);
    }
    buf_putc(&root.der, 0);
    struct x509_cert *c;
    assert_err(x509_cert_parse(buf_str(&root.der), &c), ERR_SYNTAX);
    ca_release(&root);
}

static void test_chain_forms(void **state)
{
    struct ca root;
    ca_make(&root, "spiffe://one.test", NULL);
    struct x509_chain chain = {.certs = {root.cert, root.cert}, .n = 2}, back;
    struct buf b;
    buf_init(&b, 1 << 20);
    x509_chain_pem(&chain, &b);
    assert_ok(x509_chain_from_pem(buf_str(&b), &back));
    assert_int_equal(back.n, 2);
    assert_true(str_eq(back.certs[1]->der, root.cert->der));
    x509_chain_release(&back);
    buf_clear(&b);
    x509_chain_der(&chain, &b);
    assert_ok(x509_chain_from_der(buf_str(&b), &back));
    assert_int_equal(back.n, 2);
    x509_chain_release(&back);
    assert_err(x509_chain_from_der(STR_EMPTY, &back), ERR_SYNTAX);
    assert_err(x509_chain_from_pem(S("nothing"), &back), ERR_NOT_FOUND);
    buf_release(&b);
    ca_release(&root);
}

static void test_csr(void **state)
{
    struct key *k;
    assert_ok(key_generate(KEY_P256, &k));
    struct str uri = S("spiffe://one.test/a"), dns = S("a.test");
    struct buf der;
    buf_init(&der, X509_CSR_MAX);
    assert_ok(x509_csr_make(k, STR_EMPTY, &uri, 1, &dns, 1, &der));
    struct x509_csr c;
    assert_ok(x509_csr_parse(buf_str(&der), &c));
    assert_int_equal(c.n_uris, 1);
    assert_str(c.uris[0], "spiffe://one.test/a");
    assert_str(c.dns_names[0], "a.test");
    assert_true(key_same_public(c.key, k));
    x509_csr_release(&c);
    der.p[20] ^= 1;
    assert_true(failed(x509_csr_parse(buf_str(&der), &c)));
    der.p[20] ^= 1;
    der.p[der.n - 1] ^= 1;
    assert_err(x509_csr_parse(buf_str(&der), &c), ERR_SIGNATURE);
    buf_release(&der);
    key_unref(k);
}

static void test_crl(void **state)
{
    struct ca root;
    ca_make(&root, "spiffe://one.test", NULL);
    struct x509_revoked gone[] = {{S("\x01\x02"), now}, {S("\x81"), now}};
    struct buf der;
    buf_init(&der, X509_CERT_MAX);
    assert_ok(x509_crl_issue(buf_str(&root.name), root.cert->subject_key_id, root.key, 7, now,
                             now + 300, gone, 2, &der));
    struct der d = {buf_str(&der)}, in;
    struct str tbs;
    assert_ok(der_take(&d, DER_SEQUENCE, &in.rest));
    assert_ok(der_end(&d, "list"));
    assert_ok(der_take_whole(&in, DER_SEQUENCE, &tbs));
    assert_true(str_find(tbs, S("\x02\x02\x00\x81")) != STR_NPOS);
    buf_release(&der);
    ca_release(&root);
}

static void test_names_refused(void **state)
{
    struct ca root;
    ca_make(&root, "spiffe://one.test", NULL);
    static const char *const bad[] = {"",   "a..b", "a b", "-a",  "*",
                                      "*.", ".a",   "a.",  "a/b", "*.*.a"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct str name = str_of(bad[i]);
        struct x509_spec spec = {.issuer = buf_str(&root.name),
                                 .not_after_s = now,
                                 .spki = key_spki(root.key),
                                 .dns_names = &name,
                                 .n_dns_names = 1,
                                 .alg = SIG_ES256};
        struct buf tbs;
        buf_init(&tbs, 4096);
        assert_err(x509_tbs_put(&spec, &tbs), ERR_RANGE);
        buf_release(&tbs);
    }
    ca_release(&root);
}

/* The matrix of go-spiffe: every byte value in trust domain and path. */
static void test_spiffe_sweep(void **state)
{
    struct spiffe_id id;
    for (int c = 0; c < 256; c++) {
        char text[64];
        bool lower =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
        bool letter = lower || (c >= 'A' && c <= 'Z');
        memcpy(text, "spiffe://tXd/p", 14);
        text[10] = (char)c;
        bool slash = c == '/'; /* ends the trust domain early: t, then /d/p */
        assert_int_equal(!failed(spiffe_id_parse(str_n(text, 14), &id)), lower || slash);
        memcpy(text, "spiffe://td/pXq", 15);
        text[13] = (char)c;
        assert_int_equal(!failed(spiffe_id_parse(str_n(text, 15), &id)), letter || slash);
    }
}

static void test_spiffe_list(void **state)
{
    static const char *const good[] = {
        "spiffe://td",        "spiffe://td/a",     "spiffe://td/a/b",
        "spiffe://1.2.3.4/x", "spiffe://td/.path", "spiffe://td/..path",
        "spiffe://td/...",    "spiffe://td/a.",    "spiffe://t-_.d/A-_.z"};
    static const char *const bad[] = {"",
                                      "s",
                                      "spiffe:/",
                                      "spiffe://",
                                      "spiffe:///",
                                      "spiffe:///a",
                                      "spiffe://td/",
                                      "spiffe://td//a",
                                      "spiffe://td/a//b",
                                      "spiffe://td/a/",
                                      "spiffe://td/.",
                                      "spiffe://td/..",
                                      "spiffe://td/./a",
                                      "spiffe://td/a/..",
                                      "SPIFFE://td/a",
                                      "Spiffe://td",
                                      "spiffe://TD/a",
                                      "spiffe://td:80/a",
                                      "spiffe://u@td/a",
                                      "spiffe://td/a?q",
                                      "spiffe://td/a#f",
                                      "spiffe://td/%61",
                                      "spiffe://[::1]/a",
                                      "http://td/a",
                                      "spiffe:td",
                                      "spiffe://td?q",
                                      " spiffe://td"};
    struct spiffe_id id;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_ok(spiffe_id_parse(str_of(good[i]), &id));
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (!failed(spiffe_id_parse(str_of(bad[i]), &id))) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
    char text[SPIFFE_ID_MAX + 1];
    memset(text, 'a', sizeof(text));
    memcpy(text, "spiffe://td/", 12);
    assert_ok(spiffe_id_parse(str_n(text, SPIFFE_ID_MAX), &id));
    assert_err(spiffe_id_parse(str_n(text, SPIFFE_ID_MAX + 1), &id), ERR_LIMIT);
    assert_ok(spiffe_trust_domain_check(str_n(text + 12, 255)));
    assert_err(spiffe_trust_domain_check(str_n(text + 12, 256)), ERR_LIMIT);
}

static void test_der_strict(void **state)
{
    static const struct str bad[] = {STR_INIT(""),
                                     STR_INIT("\x30"),
                                     STR_INIT("\x30\x80\x00\x00"),
                                     STR_INIT("\x30\x81\x01\x00"),
                                     STR_INIT("\x30\x82\x00\x80"),
                                     STR_INIT("\x30\x02\x00"),
                                     STR_INIT("\x3f\x01\x00"),
                                     STR_INIT("\x30\x84\xff\xff\xff\xff")};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct der d = {bad[i]};
        unsigned tag;
        struct str c, w;
        assert_err(der_any(&d, &tag, &c, &w), ERR_SYNTAX);
    }
    struct der d = {S("\x02\x02\x00\x7f")};
    struct str n;
    assert_err(der_take_uint(&d, &n), ERR_SYNTAX);
    d.rest = S("\x02\x01\x80");
    assert_err(der_take_uint(&d, &n), ERR_RANGE);
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t len = 0; len < 70000; len = len * 3 + 41) {
        buf_clear(&b);
        size_t at = der_open(&b, DER_OCTET_STRING);
        for (size_t i = 0; i < len; i++) {
            buf_putc(&b, 'x');
        }
        der_close(&b, at);
        d.rest = buf_str(&b);
        assert_ok(der_take(&d, DER_OCTET_STRING, &n));
        assert_int_equal(n.n, len);
        assert_ok(der_end(&d, "octets"));
    }
    buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digests),      cmocka_unit_test(test_key_kinds),
        cmocka_unit_test(test_key_refusals), cmocka_unit_test(test_issue_and_verify),
        cmocka_unit_test(test_leaf_rules),   cmocka_unit_test(test_cert_damage),
        cmocka_unit_test(test_chain_forms),  cmocka_unit_test(test_csr),
        cmocka_unit_test(test_crl),          cmocka_unit_test(test_names_refused),
        cmocka_unit_test(test_spiffe_sweep), cmocka_unit_test(test_spiffe_list),
        cmocka_unit_test(test_der_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
