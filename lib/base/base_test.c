#include "arena.h"
#include "buf.h"
#include "clock.h"
#include "codec.h"
#include "map.h"
#include "secret.h"
#include "test/unit.h"

static void test_str(void **state)
{
    (void)state;
    struct str rest = S("a,,b");
    assert_str(str_split(&rest, ','), "a");
    assert_str(str_split(&rest, ','), "");
    assert_str(str_split(&rest, ','), "b");
    assert_null(rest.p);
    assert_int_equal(str_find(S("haystack"), S("st")), 3);
    assert_true(str_eq_nocase(S("Content-LENGTH"), S("content-length")));
    assert_false(str_eq_secret(S("abc"), S("abd")));
    assert_str(str_trim(S(" \t x \r\n")), "x");
    uint64_t n;
    assert_ok(str_to_u64(S("18446744073709551615"), &n));
    assert_true(n == UINT64_MAX);
    assert_err(str_to_u64(S("18446744073709551616"), &n), ERR_RANGE);
    assert_err(str_to_u64(S("007"), &n), ERR_SYNTAX);
    assert_true(str_is_utf8(S("gr\xc3\xbc\xc3\x9f")));
    assert_false(str_is_utf8(S("\xc0\xaf")));
    assert_false(str_is_utf8(S("\xed\xa0\x80")));
}

static void test_arena_budget(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 10000);
    assert_str(arena_printf(&a, "%d-%s", 7, "x"), "7-x");
    assert_false(arena_exhausted(&a));
    arena_alloc(&a, 20000);
    assert_true(arena_exhausted(&a));
    arena_reset(&a);
    assert_false(arena_exhausted(&a));
    size_t cap = 0;
    int *v = NULL;
    for (size_t i = 0; i < 100; i++) {
        v = arena_grow(&a, v, i, i + 1, &cap, sizeof(*v));
        v[i] = (int)i;
    }
    assert_int_equal(v[99], 99);
    arena_release(&a);
}

static void test_buf_maximum(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 8);
    buf_puts(&b, S("12345678"));
    assert_true(buf_ok(&b));
    buf_putc(&b, '9');
    assert_false(buf_ok(&b));
    assert_err(buf_check(&b), ERR_LIMIT);
    assert_str(buf_str(&b), "12345678");
    buf_clear(&b);
    buf_put_be(&b, 0x0102, 2);
    assert_memory_equal(b.p, "\x01\x02", 2);
    buf_release(&b);
}

static void test_codec(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1 << 16);
    struct str out;
    assert_str(base64_encode(&a, S("foobar"), BASE64_STD), "Zm9vYmFy");
    assert_str(base64_encode(&a, S("fo"), BASE64_STD), "Zm8=");
    assert_str(base64_encode(&a, S("\xff\xfe"), BASE64_URL), "__4");
    assert_ok(base64_decode(&a, S("Zm8="), BASE64_STD, &out));
    assert_str(out, "fo");
    assert_err(base64_decode(&a, S("Zm9="), BASE64_STD, &out), ERR_SYNTAX); /* spare bits */
    assert_err(base64_decode(&a, S("Zm8"), BASE64_STD, &out), ERR_SYNTAX);
    assert_err(base64_decode(&a, S("Zm8="), BASE64_URL, &out), ERR_SYNTAX);
    assert_ok(hex_decode(&a, S("00fF"), &out));
    assert_str(hex_encode(&a, out), "00ff");
    assert_err(hex_decode(&a, S("0g"), &out), ERR_SYNTAX);
    assert_ok(percent_decode(&a, S("a%2Fb+c"), true, &out));
    assert_str(out, "a/b c");
    assert_err(percent_decode(&a, S("a%2"), false, &out), ERR_SYNTAX);
    arena_release(&a);
}

static void test_clock(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 64);
    int64_t ns;
    assert_ok(clock_parse_rfc3339(S("2026-02-28T23:59:59.5+01:00"), &ns));
    clock_put_rfc3339(&b, ns, 3);
    assert_str(buf_str(&b), "2026-02-28T22:59:59.500Z");
    assert_err(clock_parse_rfc3339(S("2026-02-29T00:00:00Z"), &ns), ERR_SYNTAX);
    assert_err(clock_parse_rfc3339(S("3000-01-01T00:00:00Z"), &ns), ERR_RANGE);
    assert_ok(duration_parse(S("1h30m"), &ns));
    assert_true(ns == 5400 * NS_PER_S);
    assert_ok(duration_parse(S("1.5s"), &ns));
    assert_true(ns == 1500 * NS_PER_MS);
    assert_ok(duration_parse(S("90"), &ns));
    assert_true(ns == 90 * NS_PER_S);
    assert_err(duration_parse(S("5x"), &ns), ERR_SYNTAX);
    buf_release(&b);
}

static void test_map(void **state)
{
    (void)state;
    struct map m;
    map_init(&m);
    static int values[1000];
    char key[16];
    for (int i = 0; i < 1000; i++) {
        values[i] = i;
        snprintf(key, sizeof(key), "k%d", i);
        assert_null(map_set(&m, str_of(key), &values[i]));
    }
    assert_int_equal(map_len(&m), 1000);
    assert_ptr_equal(map_del(&m, S("k7")), &values[7]);
    assert_null(map_get(&m, S("k7")));
    assert_null(map_set(&m, S("k7"), &values[8]));
    assert_ptr_equal(map_get(&m, S("k7")), &values[8]);
    assert_ptr_equal(map_get(&m, S("k999")), &values[999]);
    size_t cursor = 0;
    assert_str(map_at(&m, &cursor)->key, "k0");
    map_release(&m);
}

static void test_secret(void **state)
{
    (void)state;
    struct secret s;
    assert_ok(secret_copy(&s, S("hunter2")));
    assert_true(secret_equal(&s, S("hunter2")));
    assert_false(secret_equal(&s, S("hunter3")));
    secret_release(&s);
    assert_err(secret_zeroed(&s, SECRET_MAX + 1), ERR_LIMIT);
}

static void test_err_wrap(void **state)
{
    (void)state;
    struct err e = err_wrap(err_make_at(ERR_SYNTAX, 3, 9, "no %s", "colon"), "file %s", "x.yaml");
    assert_string_equal(err_detail(), "file x.yaml: no colon");
    assert_int_equal(err_line(), 3);
    assert_int_equal(err_http_status(e), 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str),         cmocka_unit_test(test_arena_budget),
        cmocka_unit_test(test_buf_maximum), cmocka_unit_test(test_codec),
        cmocka_unit_test(test_clock),       cmocka_unit_test(test_map),
        cmocka_unit_test(test_secret),      cmocka_unit_test(test_err_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
