/* deps: yaml json base */
/*
 * YAML: whatever reads as one document must be written and read back as the same tree.
 */
#include "lib/yaml/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml_limits lim = {.max_bytes = 1 << 16, .max_values = 10000};
    struct arena a;
    struct json *docs, *again;
    struct buf text;
    arena_init(&a, 1 << 26);
    buf_init(&text, 1 << 26);
    if (!failed(yaml_parse(&a, str_n(data, size), S("f"), &lim, &docs)) && docs->n == 1) {
        yaml_write(&text, docs->items[0]);
        BUG_ON(!buf_ok(&text));
        struct yaml_limits wide = {.max_bytes = 1 << 26, .max_depth = 128};
        BUG_ON(failed(yaml_parse(&a, buf_str(&text), S("again"), &wide, &again)));
        BUG_ON(again->n != 1 || !json_equal(docs->items[0], again->items[0]));
    }
    buf_release(&text);
    arena_release(&a);
    return 0;
}
