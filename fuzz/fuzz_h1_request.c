/* deps: http loop base */
#include "lib/base/buf.h"
#include "lib/http/h1.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a request comes to: 0 incomplete, its status when refused, or 1; with its body and what is left. */
static int read_request(struct str text, size_t cut, struct arena *a, struct buf *body,
                        size_t *left)
{
    static const struct h1_limits limits = {.head_max = 4096, .headers_max = 32};
    struct h1_scan scan = {0};
    struct h1_head h;
    size_t n = 0;
    if (failed(h1_head_end(&scan, str_sub(text, 0, cut), &limits, &n)) ||
        (n == 0 && failed(h1_head_end(&scan, text, &limits, &n)))) {
        return scan.status;
    }
    if (n == 0) {
        return 0;
    }
    char *copy = arena_cstr(a, text);
    if (failed(h1_parse_request(a, copy, n, &limits, &h))) {
        return h.status;
    }
    struct h1_body b;
    h1_body_init(&b, &h, 10000);
    struct str parts[2] = {str_sub(text, n, MAX(n, cut)), str_sub(text, MAX(n, cut), text.n)};
    *left = 0;
    for (int i = 0; i < 2; i++) {
        while (parts[i].n > 0 && !b.done) {
            struct str piece;
            if (failed(h1_body_next(&b, &parts[i], &piece))) {
                return b.status;
            }
            buf_puts(body, piece);
        }
        *left += parts[i].n;
    }
    return b.done ? 1 : 0;
}

/* However the bytes are cut on their way, they mean the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct str text = str_n(data + 1, size - 1);
    struct arena a, b;
    struct buf whole, split;
    size_t left_whole = 0, left_split = 0;
    arena_init(&a, 1 << 20);
    arena_init(&b, 1 << 20);
    buf_init(&whole, 1 << 20);
    buf_init(&split, 1 << 20);
    int one = read_request(text, text.n, &a, &whole, &left_whole);
    int two = read_request(text, text.n * data[0] / 256, &b, &split, &left_split);
    if (one != two ||
        (one == 1 && (left_whole != left_split || !str_eq(buf_str(&whole), buf_str(&split))))) {
        abort();
    }
    buf_release(&whole);
    buf_release(&split);
    arena_release(&a);
    arena_release(&b);
    return 0;
}
