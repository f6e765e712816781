#include "test/unit.h"

#include "gzip.h"

static struct buf packed, plain;

static int set_up(void **state)
{
    buf_init(&packed, 1 << 20);
    buf_init(&plain, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    buf_release(&packed);
    buf_release(&plain);
    return 0;
}

static void pack(const char *text)
{
    assert_ok(gzip_pack(str_of(text), 9, &packed));
}

static void assert_refused(struct str bytes, enum err_code code, const char *why)
{
    struct err e = gzip_unpack(bytes, &plain);
    assert_int_equal(e.code, code);
    assert_string_equal(err_detail(), why);
}

static void test_round_trip(void **state)
{
    pack("{\"input\":{\"user\":\"alice\"}}");
    assert_ok(gzip_unpack(buf_str(&packed), &plain));
    assert_true(str_is(buf_str(&plain), "{\"input\":{\"user\":\"alice\"}}"));
}

static void test_members_in_a_row(void **state)
{
    pack("one ");
    pack("two");
    assert_ok(gzip_unpack(buf_str(&packed), &plain));
    assert_true(str_is(buf_str(&plain), "one two"));
}

static void test_nothing_packed(void **state)
{
    pack("");
    assert_ok(gzip_unpack(buf_str(&packed), &plain));
    assert_int_equal(plain.n, 0);
}

static void test_what_is_broken(void **state)
{
    pack("some text that is long enough");
    assert_refused(STR_EMPTY, ERR_SYNTAX, "EOF");
    assert_refused(S("short"), ERR_SYNTAX, "unexpected EOF");
    assert_refused(S("plain text"), ERR_SYNTAX, "gzip: invalid header");
    assert_refused(str_sub(buf_str(&packed), 0, packed.n - 3), ERR_SYNTAX, "unexpected EOF");
    packed.p[packed.n - 1] ^= 1; /* the size in the trailer */
    assert_refused(buf_str(&packed), ERR_SYNTAX, "gzip: invalid checksum");
    packed.p[packed.n - 1] ^= 1;
    packed.p[packed.n - 6] ^= 1; /* the sum in the trailer */
    assert_refused(buf_str(&packed), ERR_SYNTAX, "gzip: invalid checksum");
    packed.p[packed.n - 6] ^= 1;
    buf_puts(&packed, S("trailing bytes"));
    assert_refused(buf_str(&packed), ERR_SYNTAX, "gzip: invalid header");
}

/* A small body that unpacks to much must stop at the limit, and exactly the limit is let through. */
static void test_bomb(void **state)
{
    static char zeros[1 << 20];
    memset(zeros, '0', sizeof zeros);
    assert_ok(gzip_pack(str_n(zeros, sizeof zeros), 9, &packed));
    plain.max = sizeof zeros;
    assert_ok(gzip_unpack(buf_str(&packed), &plain));
    assert_int_equal(plain.n, sizeof zeros);
    buf_clear(&plain);
    plain.max = sizeof zeros - 1;
    assert_int_equal(gzip_unpack(buf_str(&packed), &plain).code, ERR_LIMIT);
    assert_true(plain.n < sizeof zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_members_in_a_row, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_packed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_broken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bomb, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
