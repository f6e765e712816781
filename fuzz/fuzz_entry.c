/* deps: identity_dep json base */
/* Any bytes as a registration entry; what is accepted must be read the same after being written. */
#include "identity/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *v, *back;
    struct entry *e, *again;
    arena_init(&a, 64 << 20);
    if (!failed(json_parse(&a, str_n(data, size), NULL, &v)) &&
        !failed(entry_from_json(v, S("one.test"), &e))) {
        struct buf text;
        buf_init(&text, 16 << 20);
        json_write(&text, entry_to_json(&a, e));
        BUG_ON(failed(json_parse(&a, buf_str(&text), NULL, &back)) ||
               failed(entry_from_json(back, S("one.test"), &again)));
        BUG_ON(!strs_equal(&e->selectors, &again->selectors) ||
               !str_eq(e->spiffe_id, again->spiffe_id));
        entry_free(again);
        entry_free(e);
        buf_release(&text);
    }
    arena_release(&a);
    return 0;
}
