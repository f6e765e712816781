#include "lib/num/num.h"
#include "test/unit.h"

static struct arena arena;

static struct num n(const char *text)
{
    struct num r;
    assert_ok(num_parse(str_of(text), &r));
    return r;
}

static void check(struct err e, struct num got, const char *want)
{
    assert_ok(e);
    struct str text = num_text(&arena, got);
    assert_str(text, want);
}

#define OP(fn, x, y, want)                                                                         \
    do {                                                                                           \
        struct num r_ = num_int(0);                                                                \
        struct err e_ = fn(&arena, n(x), n(y), &r_);                                               \
        check(e_, r_, want);                                                                       \
    } while (0)

static void test_arithmetic(void **state)
{
    (void)state;
    OP(num_add, "1", "2", "3");
    OP(num_add, "9223372036854775807", "1", "9223372036854775808");
    OP(num_mul, "99999999999999999999", "99999999999999999999",
       "9999999999999999999800000000000000000001");
    OP(num_sub, "9223372036854775808", "1", "9223372036854775807");
    OP(num_div, "1", "3", "0.33333333333333333334");
    OP(num_div, "18446744073709551617", "2", "9223372036854775808");
    OP(num_div, "0", "-5", "-0");
    OP(num_div, "10", "4", "2.5");
    OP(num_mul, "0.1", "3", "0.3");
    OP(num_mul53, "0.1", "3", "0.30000000000000004");
    OP(num_add, "1234567", "0.5", "1.2345675e+06");
    OP(num_add, "0.1", "0.2", "0.3");
    OP(num_div, "1", "100000", "1e-05");
    OP(num_sub, "1.5", "0.5", "1");
    OP(num_rem, "-7", "3", "-1");
    OP(num_rem, "4.0", "3", "1");
    struct num r;
    assert_err(num_div(&arena, n("1"), n("0.0"), &r), ERR_RANGE);
    assert_err(num_rem(&arena, n("1.5"), n("2"), &r), ERR_RANGE);
    assert_err(num_rem(&arena, n("1"), n("0"), &r), ERR_RANGE);
}

static void test_compare(void **state)
{
    (void)state;
    assert_int_equal(num_cmp(n("1"), n("1.0")), 0);
    assert_int_equal(num_cmp(n("1e2"), n("100")), 0);
    assert_int_equal(num_cmp(n("-0"), n("0")), 0);
    assert_true(num_cmp(n("0.1"), n("0.10000000000000000000000001")) < 0);
    assert_true(num_cmp(n("-3"), n("-2.5")) < 0);
    assert_true(num_cmp(n("9007199254740993"), n("9007199254740992")) > 0);
    assert_true(num_hash(n("1.0")) == num_hash(n("1")));
    assert_true(num_hash(n("1e30")) == num_hash(n("1000000000000000000000000000000")));
}

static void test_rounding(void **state)
{
    (void)state;
    check(OK, num_round(&arena, n("2.5")), "3");
    check(OK, num_round(&arena, n("-2.5")), "-3");
    check(OK, num_ceil(&arena, n("1.01")), "2");
    check(OK, num_ceil(&arena, n("-1.01")), "-1");
    check(OK, num_floor(&arena, n("-1.01")), "-2");
    check(OK, num_abs(&arena, n("-1.50")), "1.50");
}

static void test_bad_text(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "-",  "01",  "1.", ".5", "1e",
                                      "1e+", "+1", "0x1", "1 ", "NaN"};
    struct num r;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_err(num_parse(str_of(bad[i]), &r), ERR_SYNTAX);
    }
    assert_err(num_parse(S("1e1000000000000"), &r), ERR_RANGE);
}

static void test_bits(void **state)
{
    (void)state;
    struct num r = num_int(0);
    check(num_bits(&arena, NUM_SHL, n("1"), n("70"), &r), r, "1180591620717411303424");
    check(num_bits(&arena, NUM_NOT, n("0"), n("0"), &r), r, "-1");
    check(num_bits(&arena, NUM_SHR, n("-8"), n("1"), &r), r, "-4");
    struct str hex = num_in_base(&arena, n("-255"), 16);
    assert_str(hex, "-ff");
}

int main(void)
{
    arena_init(&arena, 1 << 20);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic), cmocka_unit_test(test_compare),
        cmocka_unit_test(test_rounding),   cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_bits),
    };
    int r = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return r;
}
