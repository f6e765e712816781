/* deps: http */
#include "lib/http/gzip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf plain;
    buf_init(&plain, 1 << 16);
    (void)gzip_unpack(str_n(data, size), &plain);
    buf_release(&plain);
    return 0;
}
