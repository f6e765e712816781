/*
 * Project Wycheproof's vectors for what the key process does itself: AES-GCM, HMAC-SHA-256, RSA-OAEP. Signatures are
 * held to them in lib/jose. Read from SEXTANT_CONFORMANCE; skipped by name when not there.
 */
#include "cipher.h"

#include "test/unit.h"

#include "lib/base/codec.h"
#include "lib/json/json.h"

enum { FILE_MAX = 16 << 20, SKIPPED = 77 };

static struct arena arena;

static const struct json *suite(const char *name)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    char path[1024];
    struct json *v = NULL;
    snprintf(path, sizeof(path), "%s/wycheproof/%s.json",
             root != NULL ? root : SOURCE_ROOT "/../shared/conformance", name);
    FILE *in = fopen(path, "r");
    if (in == NULL) {
        return NULL;
    }
    char *text = arena_alloc(&arena, FILE_MAX);
    size_t n = fread(text, 1, FILE_MAX, in);
    fclose(in);
    assert_ok(json_parse(&arena, str_n(text, n), NULL, &v));
    return json_get(v, "testGroups");
}

static struct str hex_of(const struct json *o, const char *key)
{
    struct str out = STR_EMPTY;
    assert_ok(hex_decode(&arena, json_str(json_get(o, key)), &out));
    return out;
}

static uint64_t number_of(const struct json *o, const char *key)
{
    uint64_t n = 0;
    assert_ok(json_u64(json_get(o, key), &n));
    return n;
}

static bool is_valid(const struct json *test)
{
    return str_is(json_str(json_get(test, "result")), "valid");
}

/* False when the key is refused, as an RSA key of a wrong form may be. */
static bool load(enum key_type type, struct str material, struct str hmac, struct ckey **k,
                 struct key_version **v)
{
    struct buf record;
    buf_init(&record, 1 << 16);
    wire_put_u8(&record, 1);
    wire_put_u32(&record, 1);
    buf_put_be(&record, 0, 8);
    wire_put_str(&record, material);
    wire_put_str(&record, hmac);
    bool good = !failed(key_version_load(type, 1, buf_str(&record), v));
    buf_release(&record);
    if (good) {
        *k = ckey_new(S("w"));
        (*k)->type = type;
    }
    return good;
}

static struct str join(struct str a, struct str b, struct str c)
{
    struct buf all;
    buf_init(&all, 1 << 20);
    buf_puts(&all, a);
    buf_puts(&all, b);
    buf_puts(&all, c);
    struct str s = arena_str(&arena, buf_str(&all));
    buf_release(&all);
    return s;
}

static void gcm_case(enum key_type type, const struct json *t)
{
    struct ckey *k;
    struct key_version *v;
    struct buf out;
    struct crypt_item item = {.input = join(hex_of(t, "iv"), hex_of(t, "ct"), hex_of(t, "tag")),
                              .aad = hex_of(t, "aad")};
    buf_init(&out, 1 << 20);
    assert_true(load(type, hex_of(t, "key"), S("h"), &k, &v));
    bool good = !failed(cipher_decrypt(k, v, &item, &out));
    if (good != is_valid(t) || (good && !str_eq(buf_str(&out), hex_of(t, "msg")))) {
        fail_msg("AES-GCM case %d", (int)number_of(t, "tcId"));
    }
    buf_release(&out);
    key_version_free(v);
    ckey_free(k);
}

static void test_gcm(void **state)
{
    const struct json *groups = suite("aes_gcm_test");
    size_t n = 0;
    if (groups == NULL) {
        skip();
    }
    for (uint32_t g = 0; g < groups->n; g++) {
        const struct json *group = groups->items[g], *tests = json_get(group, "tests");
        uint64_t key = number_of(group, "keySize");
        /* Transit has nonces of 96 and tags of 128 bits, and no 192-bit keys */
        if (number_of(group, "ivSize") != 96 || number_of(group, "tagSize") != 128 || key == 192) {
            continue;
        }
        for (uint32_t i = 0; i < tests->n; i++, n++) {
            gcm_case(key == 128 ? KEY_AES128 : KEY_AES256, tests->items[i]);
        }
    }
    assert_true(n > 50);
    print_message("aes_gcm: %zu cases\n", n);
}

static void test_hmac(void **state)
{
    const struct json *groups = suite("hmac_sha256_test");
    size_t n = 0;
    if (groups == NULL) {
        skip();
    }
    for (uint32_t g = 0; g < groups->n; g++) {
        const struct json *tests = json_get(groups->items[g], "tests");
        for (uint32_t i = 0; number_of(groups->items[g], "tagSize") == 256 && i < tests->n;
             i++, n++) {
            const struct json *t = tests->items[i];
            struct ckey *k;
            struct key_version *v;
            struct buf out;
            buf_init(&out, 4096);
            assert_true(load(KEY_HMAC, hex_of(t, "key"), S("h"), &k, &v));
            assert_ok(cipher_hmac(k, v, HASH_SHA2_256, hex_of(t, "msg"), &out));
            assert_int_equal(str_eq_secret(buf_str(&out), hex_of(t, "tag")), is_valid(t));
            buf_release(&out);
            key_version_free(v);
            ckey_free(k);
        }
    }
    assert_true(n > 50);
    print_message("hmac_sha256: %zu cases\n", n);
}

static void test_oaep(void **state)
{
    const struct json *groups = suite("rsa_oaep_2048_sha256_mgf1sha256_test");
    size_t n = 0;
    if (groups == NULL) {
        skip();
    }
    for (uint32_t g = 0; g < groups->n; g++) {
        const struct json *tests = json_get(groups->items[g], "tests");
        struct ckey *k;
        struct key_version *v;
        assert_true(load(KEY_RSA2048, hex_of(groups->items[g], "privateKeyPkcs8"), S("h"), &k, &v));
        for (uint32_t i = 0; i < tests->n; i++) {
            const struct json *t = tests->items[i];
            struct crypt_item item = {.input = hex_of(t, "ct")};
            struct buf out;
            if (hex_of(t, "label").n > 0) {
                continue; /* Transit has no labels */
            }
            buf_init(&out, 4096);
            bool good = !failed(cipher_decrypt(k, v, &item, &out));
            bool same = good && str_eq(buf_str(&out), hex_of(t, "msg"));
            if (str_is(json_str(json_get(t, "result")), "valid") ? !same : good && !same) {
                fail_msg("RSA-OAEP case %d", (int)number_of(t, "tcId"));
            }
            buf_release(&out);
            n++;
        }
        key_version_free(v);
        ckey_free(k);
    }
    assert_true(n > 20);
    print_message("rsa_oaep_2048_sha256: %zu cases\n", n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gcm),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_oaep),
    };
    arena_init(&arena, 256 << 20);
    if (suite("aes_gcm_test") == NULL) {
        printf("skipped: wycheproof is not there\n");
        return SKIPPED;
    }
    int rc = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return rc;
}
