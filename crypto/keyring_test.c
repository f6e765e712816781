/* The holder of the keys, spoken to as the front does; and the published vectors of Transit. */
#include "keyring.h"

#include "test/unit.h"

#include "cipher.h"
#include "key.h"
#include "lib/base/codec.h"
#include "lib/json/json.h"
#include "seal.h"

#include <sys/stat.h>
#include <unistd.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

static const struct str admin = STR_INIT("spiffe://t/sextant/operator");
static const struct str alice = STR_INIT("spiffe://t/ns/a/sa/alice");
static const struct str bob = STR_INIT("spiffe://t/ns/b/sa/bob");

struct fixture {
    struct keyring *kr;
    struct buf request, reply;
    struct wire_reader r;
};

static struct keyring *new_keyring(void)
{
    struct secret seal;
    assert_ok(secret_copy(&seal, S("0123456789abcdef0123456789abcdef")));
    return keyring_new(&seal, &admin, 1);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->kr = new_keyring();
    buf_init(&f->request, WIRE_MAX);
    buf_init(&f->reply, WIRE_MAX);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    keyring_free(f->kr);
    buf_release(&f->request);
    buf_release(&f->reply);
    free(f);
    return 0;
}

static struct buf *begin(struct fixture *f, enum wire_op op, struct str caller, const char *name)
{
    buf_clear(&f->request);
    wire_put_u8(&f->request, op);
    wire_put_str(&f->request, caller);
    wire_put_str(&f->request, str_of(name));
    return &f->request;
}

/* The reply's status; f->r then stands behind it, or on the error's text. */
static enum err_code ask(struct fixture *f)
{
    buf_clear(&f->reply);
    keyring_handle(f->kr, buf_str(&f->request), &f->reply);
    f->r = wire_read(buf_str(&f->reply));
    return (enum err_code)wire_u8(&f->r);
}

static void load(struct fixture *f, const char *name, struct str meta, uint32_t n,
                 struct str version)
{
    wire_put_str(begin(f, WIRE_LOAD_META, STR_EMPTY, name), meta);
    assert_int_equal(ask(f), ERR_OK);
    if (version.n > 0) {
        struct buf *m = begin(f, WIRE_LOAD_VERSION, STR_EMPTY, name);
        wire_put_u32(m, n);
        wire_put_str(m, version);
        assert_int_equal(ask(f), ERR_OK);
    }
}

/* Takes meta (and version) out of the reply and loads them, as the front does after storing. */
static void load_answer(struct fixture *f, const char *name, bool with_version)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str meta = arena_str(&a, wire_str(&f->r)), version = STR_EMPTY;
    uint32_t n = 0;
    if (with_version) {
        n = wire_u32(&f->r);
        version = arena_str(&a, wire_str(&f->r));
    }
    assert_true(wire_end(&f->r));
    load(f, name, meta, n, version);
    arena_release(&a);
}

static void create(struct fixture *f, const char *name, enum key_type type, unsigned flags,
                   uint32_t ops)
{
    struct buf *m = begin(f, WIRE_CREATE, admin, name);
    wire_put_u8(m, type);
    wire_put_u8(m, flags);
    wire_put_u32(m, type == KEY_HMAC ? 32 : 0);
    buf_put_be(m, 0, 8);
    wire_put_u32(m, 1);
    wire_put_str(m, alice);
    wire_put_u32(m, ops);
    assert_int_equal(ask(f), ERR_OK);
    load_answer(f, name, true);
}

static enum err_code use(struct fixture *f, struct str caller, const char *name,
                         struct crypt_params p, struct crypt_item item)
{
    struct buf *m = begin(f, WIRE_CRYPT, caller, name);
    wire_put_params(m, &p);
    wire_put_u32(m, 1);
    wire_put_item(m, &item);
    enum err_code code = ask(f);
    if (code != ERR_OK) {
        return code;
    }
    assert_int_equal(wire_u32(&f->r), 1);
    return (enum err_code)wire_u8(&f->r);
}

/* Data of a one-item reply, copied. */
static struct str data_of(struct fixture *f, struct arena *a, uint32_t *version)
{
    *version = wire_u32(&f->r);
    return arena_str(a, wire_str(&f->r));
}

static void test_round_trips(void **state)
{
    static const enum key_type types[] = {KEY_AES128, KEY_AES256, KEY_CHACHA20, KEY_XCHACHA20,
                                          KEY_RSA2048};
    struct fixture *f = *state;
    struct arena a;
    uint32_t v;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const char *name = key_kinds[types[i]].name;
        create(f, name, types[i], 0, GRANT_ENCRYPT | GRANT_DECRYPT);
        struct crypt_params enc = {.what = CRYPT_ENCRYPT}, dec = {.what = CRYPT_DECRYPT};
        struct crypt_item item = {.input = S("attack at dawn")};
        assert_int_equal(use(f, alice, name, enc, item), ERR_OK);
        struct crypt_item back = {.input = data_of(f, &a, &v)};
        back.version = v;
        assert_int_equal(use(f, alice, name, dec, back), ERR_OK);
        assert_str(data_of(f, &a, &v), "attack at dawn");
        char *byte = (char *)(uintptr_t)(back.input.p + back.input.n - 1);
        *byte = (char)(*byte ^ 1);
        assert_int_equal(use(f, alice, name, dec, back), ERR_INVALID);
        assert_int_equal(use(f, bob, name, enc, item), ERR_DENIED);
        assert_int_equal(use(f, admin, name, enc, item), ERR_DENIED);
    }
    arena_release(&a);
}

static void test_signatures(void **state)
{
    static const enum key_type types[] = {KEY_ED25519, KEY_P256, KEY_P384, KEY_P521, KEY_RSA2048};
    struct fixture *f = *state;
    struct arena a;
    uint32_t v;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(types) * 4; i++) {
        enum key_type type = types[i / 4];
        const char *name = key_kinds[type].name;
        if (i % 4 == 0) {
            create(f, name, type, 0, GRANT_SIGN | GRANT_VERIFY);
        }
        struct crypt_params p = {.what = CRYPT_SIGN,
                                 .hash = HASH_SHA2_256,
                                 .flags = i % 4 << 1,
                                 .salt_length = SALT_AUTO};
        struct crypt_item item = {.input = S("message")};
        assert_int_equal(use(f, alice, name, p, item), ERR_OK);
        item.signature = data_of(f, &a, &v);
        item.version = v;
        p.what = CRYPT_VERIFY;
        assert_int_equal(use(f, alice, name, p, item), ERR_OK);
        assert_int_equal(data_of(f, &a, &v).p[0], 1);
        item.input = S("massage");
        assert_int_equal(use(f, alice, name, p, item), ERR_OK);
        assert_int_equal(data_of(f, &a, &v).p[0], 0);
    }
    arena_release(&a);
}

static void test_versions(void **state)
{
    struct fixture *f = *state;
    struct arena a;
    uint32_t v;
    arena_init(&a, 1 << 20);
    create(f, "k", KEY_AES256, 0, GRANT_ALL);
    struct crypt_params enc = {.what = CRYPT_ENCRYPT}, dec = {.what = CRYPT_DECRYPT};
    struct crypt_item item = {.input = S("x")}, old = {0};
    assert_int_equal(use(f, alice, "k", enc, item), ERR_OK);
    old.input = data_of(f, &a, &old.version);
    begin(f, WIRE_ROTATE, bob, "k");
    assert_int_equal(ask(f), ERR_DENIED);
    begin(f, WIRE_ROTATE, alice, "k");
    assert_int_equal(ask(f), ERR_OK);
    load_answer(f, "k", true);
    assert_int_equal(use(f, alice, "k", enc, item), ERR_OK);
    data_of(f, &a, &v);
    assert_int_equal(v, 2);
    assert_int_equal(use(f, alice, "k", dec, old), ERR_OK);
    assert_int_equal(use(f, alice, "k", (struct crypt_params){.what = CRYPT_REWRAP}, old), ERR_OK);
    data_of(f, &a, &v);
    assert_int_equal(v, 2);
    struct buf *m = begin(f, WIRE_CONFIG, alice, "k");
    wire_put_u32(m, KEYRING_MIN_DECRYPTION | KEYRING_MIN_ENCRYPTION);
    buf_put_be(m, 2, 8);
    buf_put_be(m, 2, 8);
    assert_int_equal(ask(f), ERR_OK);
    load_answer(f, "k", false);
    assert_int_equal(use(f, alice, "k", dec, old), ERR_INVALID);
    data_of(f, &a, &v);
    item.version = 3;
    assert_int_equal(use(f, alice, "k", enc, item), ERR_INVALID);
    wire_put_u32(begin(f, WIRE_TRIM, alice, "k"), 2);
    assert_int_equal(ask(f), ERR_OK);
    load_answer(f, "k", false);
    old.version = 1;
    assert_int_equal(use(f, alice, "k", dec, old), ERR_INVALID);
    arena_release(&a);
}

static void test_grants(void **state)
{
    struct fixture *f = *state;
    struct crypt_params enc = {.what = CRYPT_ENCRYPT};
    struct crypt_item item = {.input = S("x")};
    create(f, "k", KEY_AES256, 0, GRANT_DECRYPT);
    assert_int_equal(use(f, alice, "k", enc, item), ERR_DENIED);
    assert_int_equal(use(f, bob, "none", enc, item), ERR_DENIED);
    struct buf *m = begin(f, WIRE_GRANT, alice, "k");
    wire_put_str(m, alice);
    wire_put_u32(m, GRANT_ALL);
    assert_int_equal(ask(f), ERR_DENIED);
    m = begin(f, WIRE_GRANT, admin, "k");
    wire_put_str(m, S("spiffe://t/ns/b/*"));
    wire_put_u32(m, GRANT_ENCRYPT);
    assert_int_equal(ask(f), ERR_OK);
    load_answer(f, "k", false);
    assert_int_equal(use(f, bob, "k", enc, item), ERR_OK);
    assert_int_equal(use(f, S("spiffe://t/ns/bb/sa/x"), "k", enc, item), ERR_DENIED);
    assert_int_equal(use(f, S("spiffe://t/ns/b/"), "k", enc, item), ERR_DENIED);
    begin(f, WIRE_READ, bob, "k");
    assert_int_equal(ask(f), ERR_DENIED);
    begin(f, WIRE_DELETE, admin, "k");
    assert_int_equal(ask(f), ERR_INVALID);
}

/* Records open only where they were sealed, unaltered. */
static void test_sealed_records(void **state)
{
    struct fixture *f = *state;
    struct arena a;
    arena_init(&a, 1 << 20);
    struct buf *m = begin(f, WIRE_CREATE, admin, "one");
    wire_put_u8(m, KEY_AES256);
    wire_put_u8(m, 0);
    wire_put_u32(m, 0);
    buf_put_be(m, 0, 8);
    wire_put_u32(m, 0);
    assert_int_equal(ask(f), ERR_OK);
    struct str meta = arena_str(&a, wire_str(&f->r));
    uint32_t n = wire_u32(&f->r);
    struct str version = arena_str(&a, wire_str(&f->r));
    wire_put_str(begin(f, WIRE_LOAD_META, STR_EMPTY, "two"), meta);
    assert_int_equal(ask(f), ERR_SIGNATURE);
    load(f, "one", meta, n, version);
    m = begin(f, WIRE_LOAD_VERSION, STR_EMPTY, "one");
    wire_put_u32(m, n + 1);
    wire_put_str(m, version);
    assert_int_equal(ask(f), ERR_SIGNATURE);
    for (size_t i = 0; i < meta.n; i++) {
        char *p = (char *)(uintptr_t)(meta.p + i);
        *p = (char)(*p ^ 4);
        wire_put_str(begin(f, WIRE_LOAD_META, STR_EMPTY, "one"), meta);
        assert_int_not_equal(ask(f), ERR_OK);
        *p = (char)(*p ^ 4);
    }
    arena_release(&a);
}

/* Every message cut short at every place is refused and nothing more. */
static void test_cut_messages(void **state)
{
    struct fixture *f = *state;
    create(f, "k", KEY_P256, 0, GRANT_ALL);
    struct buf *m = begin(f, WIRE_CRYPT, alice, "k");
    struct crypt_params p = {.what = CRYPT_SIGN, .hash = HASH_SHA2_256};
    struct crypt_item item = {.input = S("x")};
    wire_put_params(m, &p);
    wire_put_u32(m, 1);
    wire_put_item(m, &item);
    for (size_t n = 0; n < m->n; n++) {
        buf_clear(&f->reply);
        keyring_handle(f->kr, str_n(m->p, n), &f->reply);
        assert_int_not_equal(f->reply.p[0], ERR_OK);
    }
    buf_putc(m, 0);
    assert_int_equal(ask(f), ERR_SYNTAX);
}

static void test_seal_file(void **state)
{
    char dir[] = "/tmp/seal-test-XXXXXX", path[64];
    struct secret a, b;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/key", dir);
    assert_err(seal_key_read(path, &a), ERR_NOT_FOUND);
    assert_ok(seal_key_create(path, &a));
    assert_err(seal_key_create(path, &b), ERR_EXISTS);
    assert_ok(seal_key_read(path, &b));
    assert_true(secret_equal(&a, secret_bytes(&b)));
    secret_release(&a);
    secret_release(&b);
    assert_int_equal(chmod(path, 0444), 0);
    assert_err(seal_key_read(path, &a), ERR_DENIED);
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 31), 0);
    assert_err(seal_key_read(path, &a), ERR_SYNTAX);
    unlink(path);
    rmdir(dir);
}

/* ---- published vectors ---- */

static const struct json *vectors(struct arena *a)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    char path[1024];
    struct json *v = NULL;
    snprintf(path, sizeof(path), "%s/vault-vectors.json",
             root != NULL ? root : SOURCE_ROOT "/../shared/conformance");
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        return NULL;
    }
    char *text = arena_alloc(a, 1 << 20);
    size_t n = fread(text, 1, 1 << 20, in);
    fclose(in);
    assert_ok(json_parse(a, str_n(text, n), NULL, &v));
    return v;
}

static struct str hex_of(struct arena *a, const struct json *o, const char *key)
{
    struct str out = STR_EMPTY;
    assert_ok(hex_decode(a, json_str(json_get(o, key)), &out));
    return out;
}

static struct str b64_of(struct arena *a, const struct json *o, const char *key)
{
    struct str out = STR_EMPTY;
    assert_ok(base64_decode(a, json_str(json_get(o, key)), BASE64_STD, &out));
    return out;
}

/* A version with material of our choosing, by the format of its record. */
static struct key_version *version_with(enum key_type type, struct str material, struct str hmac)
{
    struct key_version *v;
    struct buf record;
    buf_init(&record, 8192);
    wire_put_u8(&record, 1);
    wire_put_u32(&record, 1);
    buf_put_be(&record, 0, 8);
    wire_put_str(&record, material);
    wire_put_str(&record, hmac);
    assert_ok(key_version_load(type, 1, buf_str(&record), &v));
    buf_release(&record);
    return v;
}

static struct str after_prefix(struct arena *a, struct str text, bool url)
{
    struct str out = STR_EMPTY, rest = str_sub(text, 9, text.n);
    assert_ok(base64_decode(a, rest, url ? BASE64_URL : BASE64_STD, &out));
    return out;
}

static void test_vector_encrypt(void **state)
{
    struct arena a;
    arena_init(&a, 8 << 20);
    const struct json *all = json_get(vectors(&a), "transit_encrypt");
    if (all == NULL) {
        print_message("skipped: vault-vectors.json is not there\n");
        arena_release(&a);
        skip();
    }
    for (uint32_t i = 0; i < all->n; i++) {
        const struct json *c = all->items[i];
        struct buf out;
        struct ckey *k = ckey_new(S("v"));
        k->type = key_type_of(json_str(json_get(c, "type")));
        k->flags = (json_true(json_get(c, "derived")) ? KEY_DERIVED : 0u) |
                   (json_true(json_get(c, "convergent")) ? KEY_CONVERGENT : 0u);
        struct key_version *v = version_with(k->type, hex_of(&a, c, "key"), S("h"));
        struct crypt_item item = {.input =
                                      after_prefix(&a, json_str(json_get(c, "ciphertext")), false),
                                  .aad = b64_of(&a, c, "associated_data_b64"),
                                  .context = b64_of(&a, c, "context_b64"),
                                  .has_context = json_get(c, "context_b64") != NULL};
        buf_init(&out, 4096);
        assert_ok(cipher_decrypt(k, v, &item, &out));
        assert_true(str_eq(buf_str(&out), b64_of(&a, c, "plaintext_b64")));
        if ((k->flags & KEY_CONVERGENT) != 0) {
            struct str want = item.input;
            item.input = b64_of(&a, c, "plaintext_b64");
            buf_clear(&out);
            assert_ok(cipher_encrypt(k, v, &item, &out));
            assert_true(str_eq(buf_str(&out), want));
        }
        buf_release(&out);
        key_version_free(v);
        ckey_free(k);
    }
    print_message("transit_encrypt: %u cases\n", all->n);
    arena_release(&a);
}

static void test_vector_hmac(void **state)
{
    struct arena a;
    arena_init(&a, 8 << 20);
    const struct json *all = json_path(vectors(&a), "transit_hmac.cases");
    if (all == NULL) {
        arena_release(&a);
        skip();
    }
    for (uint32_t i = 0; i < all->n; i++) {
        const struct json *c = all->items[i];
        struct buf out;
        struct ckey *k = ckey_new(S("v"));
        k->type = KEY_AES256;
        struct key_version *v =
            version_with(k->type, S("0123456789abcdef0123456789abcdef"), hex_of(&a, c, "hmac_key"));
        enum hash_algorithm h = hash_of(json_str(json_get(c, "algorithm")));
        buf_init(&out, 4096);
        assert_int_not_equal(h, HASH_MAX);
        assert_ok(cipher_hmac(k, v, h, b64_of(&a, c, "input_b64"), &out));
        assert_true(str_eq(buf_str(&out), after_prefix(&a, json_str(json_get(c, "hmac")), false)));
        buf_release(&out);
        key_version_free(v);
        ckey_free(k);
    }
    print_message("transit_hmac: %u cases\n", all->n);
    arena_release(&a);
}

static void test_vector_ed25519(void **state)
{
    struct arena a;
    arena_init(&a, 8 << 20);
    const struct json *all = json_get(vectors(&a), "transit_sign_ed25519");
    if (all == NULL) {
        arena_release(&a);
        skip();
    }
    for (uint32_t i = 0; i < all->n; i++) {
        const struct json *c = all->items[i];
        struct buf out, public;
        struct ckey *k = ckey_new(S("v"));
        k->type = KEY_ED25519;
        k->flags = json_true(json_get(c, "derived")) ? KEY_DERIVED : 0;
        struct key_version *v = version_with(k->type, hex_of(&a, c, "stored_key"), S("h"));
        struct crypt_params p = {.what = CRYPT_SIGN};
        struct crypt_item item = {.input = b64_of(&a, c, "input_b64"),
                                  .context = b64_of(&a, c, "context_b64"),
                                  .has_context = json_get(c, "context_b64") != NULL};
        buf_init(&out, 4096);
        buf_init(&public, 4096);
        assert_ok(cipher_sign(k, v, &p, &item, &out, &public));
        assert_true(
            str_eq(buf_str(&out), after_prefix(&a, json_str(json_get(c, "signature")), false)));
        if (k->flags != 0) {
            assert_true(str_eq(buf_str(&public), json_str(json_get(c, "public_key_b64"))));
        }
        buf_release(&out);
        buf_release(&public);
        key_version_free(v);
        ckey_free(k);
    }
    print_message("transit_sign_ed25519: %u cases\n", all->n);
    arena_release(&a);
}

/* A key made of the vector's numbers, as PKCS#8. Numbers may come without their leading zeros. */
static struct str ec_pkcs8(struct arena *a, const struct json *c, const char *curve, size_t width)
{
    unsigned char point[1 + 2 * 66] = {4};
    static const char *const names[] = {"x", "y"};
    BIGNUM *d = NULL;
    assert_true(BN_hex2bn(&d, arena_cstr(a, json_str(json_get(c, "d")))) > 0);
    for (size_t i = 0; i < 2; i++) {
        BIGNUM *n = NULL;
        assert_true(BN_hex2bn(&n, arena_cstr(a, json_str(json_get(c, names[i])))) > 0);
        assert_true(BN_bn2binpad(n, point + 1 + i * width, (int)width) > 0);
        BN_free(n);
    }
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve, 0);
    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_PRIV_KEY, d);
    OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * width);
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_KEYPAIR, params), 1);
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    unsigned char *der = NULL;
    int n = i2d_PKCS8_PRIV_KEY_INFO(info, &der);
    struct str out = arena_str(a, str_n(der, (size_t)n));
    PKCS8_PRIV_KEY_INFO_free(info);
    OPENSSL_free(der);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    BN_free(d);
    return out;
}

static void test_vector_ecdsa(void **state)
{
    struct arena a;
    arena_init(&a, 8 << 20);
    const struct json *all = json_get(vectors(&a), "transit_verify_ecdsa");
    if (all == NULL) {
        arena_release(&a);
        skip();
    }
    for (uint32_t i = 0; i < all->n; i++) {
        const struct json *c = all->items[i];
        struct ckey *k = ckey_new(S("v"));
        k->type = key_type_of(json_str(json_get(c, "type")));
        const struct key_kind *kind = &key_kinds[k->type];
        struct key_version *v =
            version_with(k->type, ec_pkcs8(&a, c, kind->version_name, kind->bytes), S("h"));
        for (unsigned jws = 0; jws < 2; jws++) {
            bool valid = false;
            const char *field = jws ? "signature_jws_derived" : "signature_asn1";
            struct crypt_params p = {.what = CRYPT_VERIFY,
                                     .flags = jws ? CRYPT_JWS : 0,
                                     .hash = hash_of(json_str(json_get(c, "hash")))};
            struct crypt_item item = {.input = b64_of(&a, c, "input_b64"),
                                      .signature =
                                          after_prefix(&a, json_str(json_get(c, field)), jws)};
            assert_ok(cipher_verify(k, v, &p, &item, &valid));
            assert_true(valid);
            item.input = S("something else");
            assert_ok(cipher_verify(k, v, &p, &item, &valid));
            assert_false(valid);
        }
        key_version_free(v);
        ckey_free(k);
    }
    print_message("transit_verify_ecdsa: %u cases\n", all->n);
    arena_release(&a);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_round_trips),
        CASE(test_signatures),
        CASE(test_versions),
        CASE(test_grants),
        CASE(test_sealed_records),
        CASE(test_cut_messages),
        cmocka_unit_test(test_seal_file),
        cmocka_unit_test(test_vector_encrypt),
        cmocka_unit_test(test_vector_hmac),
        cmocka_unit_test(test_vector_ed25519),
        cmocka_unit_test(test_vector_ecdsa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
