/* deps: json base */
/*
 * JSON: whatever parses must be written and read back as the same tree, compactly, indented and in
 * canonical order.
 */
#include "lib/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round(struct arena *a, const struct json *v, const struct json_limits *lim,
                        void (*write)(struct buf *, const struct json *))
{
    struct buf text;
    struct json *again;
    buf_init(&text, 1 << 24);
    write(&text, v);
    BUG_ON(!buf_ok(&text));
    BUG_ON(failed(json_parse(a, buf_str(&text), lim, &again)));
    BUG_ON(!json_equal(v, again));
    buf_release(&text);
}

static void write_indented(struct buf *out, const struct json *v)
{
    json_write_pretty(out, v, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_limits lim = {.duplicate_keys_last_wins = size > 0 && (data[0] & 1) != 0,
                              .max_bytes = 1 << 24};
    struct arena a;
    arena_init(&a, 1 << 26);
    struct json *v;
    if (!failed(json_parse(&a, str_n(data, size), &lim, &v))) {
        check_round(&a, v, &lim, json_write);
        check_round(&a, v, &lim, write_indented);
        check_round(&a, v, &lim, json_write_canonical);
        BUG_ON(!json_equal(v, json_copy(&a, v)));
    }
    arena_release(&a);
    return 0;
}
