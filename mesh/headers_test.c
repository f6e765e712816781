#include "test/unit.h"

#include "mesh/mesh.h"

static void test_hop_by_hop_headers_stay_behind(void **state)
{
    struct arena ar;
    arena_init(&ar, 1 << 16);
    static const struct http_header in[] = {
        {STR_INIT("connection"), STR_INIT("X-Drop, content-length, keep-alive")},
        {STR_INIT("x-drop"), STR_INIT("1")},
        {STR_INIT("content-length"), STR_INIT("3")},
        {STR_INIT("te"), STR_INIT("trailers")},
        {STR_INIT("upgrade"), STR_INIT("websocket")},
        {STR_INIT("accept"), STR_INIT("*/*")}};
    struct head h;
    head_init(&h, &ar, in, ARRAY_LEN(in), 2);
    head_end_to_end(&h);
    assert_int_equal(h.n, 2);
    assert_str(h.h[0].name, "content-length");
    assert_str(h.h[1].name, "accept");
    arena_release(&ar);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hop_by_hop_headers_stay_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
