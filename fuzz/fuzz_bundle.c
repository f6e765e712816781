/* deps: spiffe jose x509 json base */
/* Any bytes as a trust bundle; what is accepted must be read the same after being written. */
#include "lib/spiffe/spiffe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spiffe_bundle b, again;
    if (failed(spiffe_bundle_parse(S("one.test"), str_n(data, size), &b))) {
        return 0;
    }
    struct arena a;
    struct buf text;
    arena_init(&a, 64 << 20);
    buf_init(&text, 16 << 20);
    json_write(&text, spiffe_bundle_to_json(&a, &b));
    BUG_ON(failed(spiffe_bundle_parse(S("one.test"), buf_str(&text), &again)));
    BUG_ON(again.jwt->n != b.jwt->n);
    spiffe_bundle_release(&again);
    spiffe_bundle_release(&b);
    buf_release(&text);
    arena_release(&a);
    return 0;
}
