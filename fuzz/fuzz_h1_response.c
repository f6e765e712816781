/* deps: http loop base */
#include "lib/http/h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct h1_limits limits = {.head_max = 4096, .headers_max = 32};
    static const struct str methods[] = {STR_INIT("GET"), STR_INIT("HEAD"), STR_INIT("CONNECT")};
    if (size < 1) {
        return 0;
    }
    struct str text = str_n(data + 1, size - 1);
    struct h1_scan scan = {0};
    struct h1_head h;
    size_t n = 0;
    struct arena a;
    arena_init(&a, 1 << 20);
    if (!failed(h1_head_end(&scan, text, &limits, &n)) && n > 0) {
        char *copy = arena_cstr(&a, text);
        if (!failed(h1_parse_response(&a, copy, n, &limits, methods[data[0] % 3], &h))) {
            struct h1_body b;
            struct str in = str_sub(text, n, text.n), piece;
            h1_body_init(&b, &h, 10000);
            while (in.n > 0 && !b.done && !failed(h1_body_next(&b, &in, &piece))) {
                BUG_ON(piece.n > text.n);
            }
        }
    }
    arena_release(&a);
    return 0;
}
