/* deps: netpol_host base */
/* The head of a denied packet, as an intruder wrote it. */
#include "netpol/denials.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct denial d;
    if (denial_parse(str_n(data, size), &d)) {
        BUG_ON(d.src.family != d.dst.family || (d.src.family != 4 && d.src.family != 6));
    }
    return 0;
}
