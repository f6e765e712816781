/* deps: rego base */
/* JSON to values and back: what was read is written, and reads again as the same value. */
#include "authz/rego/value/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct val v, again;
    arena_init(&a, 256 << 20);
    if (!failed(val_from_json(&a, str_n(data, size), &v))) {
        struct buf b;
        buf_init(&b, 64 << 20);
        val_to_json(&b, v, false);
        BUG_ON(!buf_ok(&b) || failed(val_from_json(&a, buf_str(&b), &again)));
        BUG_ON(!val_eq(v, again) || val_cmp(v, again) != 0 || val_hash(v) != val_hash(again));
        buf_release(&b);
    }
    arena_release(&a);
    return 0;
}
