/* deps: hcl json base */
/* Any bytes through the HCL reader; what it accepts must be writable as JSON. */
#include "lib/hcl/hcl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    arena_init(&a, 16 << 20);
    struct json *v;
    if (!failed(hcl_parse(&a, str_n(data, size), &v))) {
        struct buf out;
        buf_init(&out, 16 << 20);
        json_write(&out, v);
        BUG_ON(v->type != JSON_OBJECT);
        buf_release(&out);
    }
    arena_release(&a);
    return 0;
}
