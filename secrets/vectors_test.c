/* Known answers for the barrier, Shamir's shares, salting and ttl: ours, and the outside file vault-vectors.json. */
#include "test/unit.h"

#include "barrier.h"
#include "field.h"
#include "shamir.h"
#include "ttl.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/tls/aead.h"
#include "lib/tls/digest.h"

static struct arena arena;
static const struct json *vectors; /* NULL: not there */

static int setup(void **state)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    char path[1024];
    snprintf(path, sizeof path, "%s/vault-vectors.json",
             root != NULL ? root : SOURCE_ROOT "/../shared/conformance");
    arena_init(&arena, 16 << 20);
    FILE *f = fopen(path, "r");
    if (f != NULL) {
        static char text[1 << 20];
        size_t n = fread(text, 1, sizeof text, f);
        fclose(f);
        struct json *v;
        assert_ok(json_parse(&arena, str_n(text, n), NULL, &v));
        vectors = v;
    }
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static const struct json *need(const char *path)
{
    const struct json *v = vectors != NULL ? json_path(vectors, path) : NULL;
    if (v == NULL) {
        print_message("skipped: vault-vectors.json (%s) is not there\n", path);
        skip();
    }
    return v;
}

static struct str unhex(const struct json *v)
{
    struct str out = STR_EMPTY;
    assert_ok(hex_decode(&arena, json_str(v), &out));
    return out;
}

static int64_t number(const struct json *o, const char *key)
{
    int64_t n = 0;
    if (json_get(o, key) != NULL) {
        assert_ok(json_i64(json_get(o, key), &n));
    }
    return n;
}

static void barrier_layout(void **state)
{
    const struct json *cases = need("barrier.cases");
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *c = cases->items[i];
        struct secret key;
        struct aead *a;
        struct buf out;
        struct str blob = unhex(json_get(c, "blob"));
        bool bound = number(c, "version") == 2;
        assert_ok(secret_copy(&key, unhex(json_get(c, "key"))));
        assert_ok(aead_new(&key, &a));
        buf_init(&out, 4096);
        assert_int_equal((unsigned char)blob.p[3], number(c, "term"));
        assert_int_equal(blob.p[4], number(c, "version"));
        assert_ok(aead_open(a, bound ? json_str(json_get(c, "path")) : STR_EMPTY,
                            str_sub(blob, 5, blob.n), &out));
        assert_true(str_eq(buf_str(&out), unhex(json_get(c, "plaintext"))));
        buf_release(&out);
        aead_free(a);
        secret_release(&key);
    }
}

static void barrier_binds_place(void **state)
{
    struct barrier *b, *again;
    struct secret root, other;
    struct buf blob, plain, keyring;
    buf_init(&blob, 4096);
    buf_init(&plain, 4096);
    buf_init(&keyring, 1 << 16);
    assert_ok(secret_random(&root, 32));
    assert_ok(secret_random(&other, 32));
    assert_ok(barrier_create(&b));
    assert_ok(barrier_seal(b, S("logical/a"), S("value"), &blob));
    assert_err(barrier_open(b, S("logical/b"), buf_str(&blob), &plain), ERR_SIGNATURE);
    assert_ok(barrier_rotate(b));
    assert_int_equal(barrier_term(b), 2);
    assert_ok(barrier_export(b, &root, &keyring));
    assert_err(barrier_import(&other, buf_str(&keyring), &again), ERR_SIGNATURE);
    assert_ok(barrier_import(&root, buf_str(&keyring), &again));
    assert_ok(barrier_open(again, S("logical/a"), buf_str(&blob), &plain));
    assert_str(buf_str(&plain), "value");
    blob.p[blob.n - 1] ^= 1;
    assert_err(barrier_open(again, S("logical/a"), buf_str(&blob), &plain), ERR_SIGNATURE);
    assert_err(barrier_open(again, S("logical/a"), str_sub(buf_str(&blob), 0, 20), &plain),
               ERR_SYNTAX);
    blob.p[3] = 9;
    assert_err(barrier_open(again, S("logical/a"), buf_str(&blob), &plain), ERR_NOT_FOUND);
    barrier_free(b);
    barrier_free(again);
    secret_release(&root);
    secret_release(&other);
    buf_release(&blob);
    buf_release(&plain);
    buf_release(&keyring);
}

static void shamir_field(void **state)
{
    const struct json *mul = need("shamir.field_cases.mul"), *div = need("shamir.field_cases.div");
    for (uint32_t i = 0; i < mul->n; i++) {
        int64_t v[3];
        for (int k = 0; k < 3; k++) {
            assert_ok(json_i64(mul->items[i]->items[k], &v[k]));
        }
        assert_int_equal(gf_mul((uint8_t)v[0], (uint8_t)v[1]), v[2]);
    }
    for (uint32_t i = 0; i < div->n; i++) {
        int64_t v[3];
        for (int k = 0; k < 3; k++) {
            assert_ok(json_i64(div->items[i]->items[k], &v[k]));
        }
        assert_int_equal(gf_div((uint8_t)v[0], (uint8_t)v[1]), v[2]);
    }
}

static void shamir_known_shares(void **state)
{
    const struct json *c = need("shamir.combine")->items[0], *list = json_get(c, "shares");
    for (uint32_t skip_one = 0; skip_one + 2 < list->n; skip_one++) {
        struct secret shares[3], out;
        for (uint32_t i = 0; i < 3; i++) {
            assert_ok(secret_copy(&shares[i], unhex(list->items[skip_one + 2 - i])));
        }
        assert_ok(shamir_combine(shares, 3, &out));
        assert_true(str_eq(secret_bytes(&out), unhex(json_get(c, "secret"))));
        secret_release(&out);
        assert_err(shamir_combine(shares, 1, &out), ERR_INVALID);
        secret_release(&shares[2]);
        assert_ok(secret_copy(&shares[2], secret_bytes(&shares[0])));
        assert_err(shamir_combine(shares, 3, &out), ERR_INVALID);
        for (int i = 0; i < 3; i++) {
            secret_release(&shares[i]);
        }
    }
}

static void shamir_round_trip(void **state)
{
    struct secret key, shares[5], back;
    assert_ok(secret_random(&key, 32));
    assert_ok(shamir_split(&key, 5, 3, shares));
    struct secret some[3] = {shares[4], shares[0], shares[2]};
    assert_ok(shamir_combine(some, 3, &back));
    assert_true(secret_equal(&back, secret_bytes(&key)));
    secret_release(&back);
    assert_ok(shamir_combine(some, 2, &back));
    assert_false(secret_equal(&back, secret_bytes(&key)));
    secret_release(&back);
    assert_err(shamir_split(&key, 2, 3, shares), ERR_INVALID);
    assert_err(shamir_split(&key, 3, 1, shares), ERR_INVALID);
    for (int i = 0; i < 5; i++) {
        secret_release(&shares[i]);
    }
    secret_release(&key);
}

static void salting(void **state)
{
    const struct json *c = need("salting.cases")->items[0];
    uint8_t mac[SHA256_BYTES];
    hmac_sha256(json_str(json_get(c, "salt")), json_str(json_get(c, "id")), mac);
    assert_true(str_eq(hex_encode(&arena, str_n(mac, sizeof mac)), json_str(json_get(c, "hmac"))));
}

static void ttl_table(void **state)
{
    const struct json *t = need("ttl"), *cases = json_get(t, "cases");
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *c = cases->items[i];
        struct ttl_result r;
        assert_ok(
            ttl_decide(&(struct ttl_rules){.system_default = number(t, "system_default") * 3600,
                                           .system_max = number(t, "system_max") * 3600,
                                           .increment = number(c, "increment") * 3600,
                                           .engine_default = number(c, "backend_default") * 3600,
                                           .engine_max = number(c, "backend_max") * 3600,
                                           .period = number(c, "period") * 3600,
                                           .explicit_max = number(c, "explicit_max") * 3600,
                                           .start_s = 1000,
                                           .now_s = 1000},
                       &r));
        assert_int_equal(r.ttl_s, number(c, "expect") * 3600);
        assert_int_equal(r.capped, number(c, "warnings"));
    }
}

static void ttl_ends(void **state)
{
    struct ttl_result r;
    struct ttl_rules late = {.system_default = 60, .system_max = 100, .start_s = 0, .now_s = 90};
    assert_ok(ttl_decide(&late, &r));
    assert_int_equal(r.ttl_s, 10);
    assert_true(r.capped);
    late.now_s = 100;
    assert_err(ttl_decide(&late, &r), ERR_INVALID);
    late.period = 50; /* a periodic token lives on */
    assert_ok(ttl_decide(&late, &r));
    assert_int_equal(r.ttl_s, 50);
}

static void durations(void **state)
{
    const struct json *cases = need("durations.cases");
    for (uint32_t i = 0; i < cases->n; i++) {
        int64_t got, want = 0;
        assert_ok(seconds_parse(json_str(cases->items[i]->items[0]), &got));
        if (!failed(json_i64(cases->items[i]->items[1], &want))) {
            assert_int_equal(got, want);
        }
    }
}

static void fields(void **state)
{
    struct json *o, *list = NULL, *map = NULL;
    int64_t n = 0, s = 0;
    bool b = false;
    assert_ok(json_parse(&arena,
                         S("{\"n\":\"5\",\"t\":\"1h30m\",\"b\":\"true\",\"l\":\"a, "
                           "b,,c\",\"m\":[\"k=v\"],\"bad\":{}}"),
                         NULL, &o));
    assert_ok(field_int(o, "n", &n));
    assert_ok(field_seconds(o, "t", &s));
    assert_ok(field_bool(o, "b", &b));
    assert_ok(field_list(&arena, o, "l", &list));
    assert_ok(field_map(&arena, o, "m", &map));
    assert_int_equal(n, 5);
    assert_int_equal(s, 5400);
    assert_true(b);
    assert_int_equal(list->n, 3);
    assert_str(json_str(json_get(map, "k")), "v");
    assert_err(field_int(o, "bad", &n), ERR_INVALID);
    assert_err(field_list(&arena, o, "bad", &list), ERR_INVALID);
    assert_err(field_seconds(o, "l", &s), ERR_INVALID);
    assert_int_equal(n, 5);
    assert_str(duration_text(&arena, 5400), "1h30m0s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barrier_layout),    cmocka_unit_test(barrier_binds_place),
        cmocka_unit_test(shamir_field),      cmocka_unit_test(shamir_known_shares),
        cmocka_unit_test(shamir_round_trip), cmocka_unit_test(salting),
        cmocka_unit_test(ttl_table),         cmocka_unit_test(ttl_ends),
        cmocka_unit_test(durations),         cmocka_unit_test(fields),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
