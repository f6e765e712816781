#include "ip.h"
#include "test/unit.h"

static struct ip addr(const char *text)
{
    struct ip ip;
    assert_ok(ip_parse(str_of(text), &ip));
    return ip;
}

static struct ip_block block(const char *text)
{
    struct ip_block b;
    assert_ok(ip_block_parse(str_of(text), &b));
    return b;
}

static void assert_text(struct ip ip, const char *want)
{
    struct buf b;
    buf_init(&b, IP_TEXT_MAX);
    ip_put(&b, &ip);
    assert_str(buf_str(&b), want);
    buf_release(&b);
}

static void test_parse(void **state)
{
    (void)state;
    struct ip ip;
    struct ip_block b;
    static const char *const bad[] = {"",          "1.2.3", "01.2.3.4",     "1.2.3.4 ",
                                      "1.2.3.256", "::1::", "fe80::1%eth0", "1.2.3.4:80",
                                      "[::1]"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_err(ip_parse(str_of(bad[i]), &ip), ERR_SYNTAX);
    }
    assert_err(ip_block_parse(S("10.0.0.1"), &b), ERR_SYNTAX);
    assert_err(ip_block_parse(S("10.0.0.1/33"), &b), ERR_SYNTAX);
    assert_err(ip_block_parse(S("10.0.0.1/08"), &b), ERR_SYNTAX);
    assert_ok(ip_block_parse(S("::/128"), &b));
    assert_ok(ip_or_block_parse(S("10.0.0.1"), &b));
    assert_int_equal(b.len, 32);
    assert_text(addr("2001:DB8:0:0:0:0:0:1"), "2001:db8::1");
}

static void test_blocks(void **state)
{
    (void)state;
    struct ip_block b = block("10.1.2.3/20"), inner = block("10.1.8.0/24"), v6 = block("::/0");
    struct ip in = addr("10.1.15.255"), out = addr("10.1.16.0");
    assert_true(ip_in_block(&in, &b));
    assert_false(ip_in_block(&out, &b));
    assert_false(ip_in_block(&in, &v6));
    assert_true(ip_block_contains(&b, &inner));
    assert_false(ip_block_contains(&inner, &b));
    assert_text(ip_block_first(&b), "10.1.0.0");
    assert_text(ip_block_last(&b), "10.1.15.255");
}

static void test_steps(void **state)
{
    (void)state;
    struct ip ip = addr("10.0.255.255"), top = addr("255.255.255.255"), zero = addr("::");
    assert_true(ip_next(&ip));
    assert_text(ip, "10.1.0.0");
    assert_true(ip_prev(&ip));
    assert_text(ip, "10.0.255.255");
    assert_false(ip_next(&top));
    assert_false(ip_prev(&zero));
    assert_text(zero, "::");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests_name("ip", tests, NULL, NULL);
}
