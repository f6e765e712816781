#include "lib/base/codec.h"
#include "lib/tls/digest.h"
#include "test/unit.h"

static void check_hex(const uint8_t *bytes, size_t n, const char *want)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    assert_str(hex_encode(&a, str_n(bytes, n)), want);
    arena_release(&a);
}

/* FIPS 180-4 examples. */
static void sha256_matches_the_standard(void **state)
{
    uint8_t out[SHA256_BYTES];
    sha256_of(STR_EMPTY, out);
    check_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, S("a"));
    sha256_add(&h, S("bc"));
    sha256_end(&h, out);
    check_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* RFC 4231 test cases 2 and 6: a short key, and one longer than the block. */
static void hmac_matches_the_standard(void **state)
{
    uint8_t out[SHA256_BYTES];
    hmac_sha256(S("Jefe"), S("what do ya want for nothing?"), out);
    check_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    char key[131];
    memset(key, 0xaa, sizeof(key));
    hmac_sha256(str_n(key, sizeof(key)),
                S("Test Using Larger Than Block-Size Key - Hash Key First"), out);
    check_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 8032 section 7.1 test 2. */
static void ed25519_matches_the_standard(void **state)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    struct str seed_bytes;
    assert_ok(hex_decode(&a, S("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
                         &seed_bytes));
    struct secret seed;
    assert_ok(secret_copy(&seed, seed_bytes));
    uint8_t pub[ED25519_KEY_BYTES], sig[ED25519_SIG_BYTES];
    assert_ok(ed25519_public(&seed, pub));
    check_hex(pub, 32, "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    assert_ok(ed25519_sign(&seed, S("\x72"), sig));
    check_hex(sig, 64,
              "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
              "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
    assert_true(ed25519_verify(pub, S("\x72"), str_n(sig, 64)));
    assert_false(ed25519_verify(pub, S("\x73"), str_n(sig, 64)));
    assert_false(ed25519_verify(pub, S("\x72"), str_n(sig, 63)));
    secret_release(&seed);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_matches_the_standard),
        cmocka_unit_test(hmac_matches_the_standard),
        cmocka_unit_test(ed25519_matches_the_standard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
