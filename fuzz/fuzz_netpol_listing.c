/* deps: netpol json base */
/* The kernel's listing: whatever is accepted must be judgeable without running away. */
#include "netpol/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *v;
    struct nft_table *t;
    arena_init(&a, 64 << 20);
    if (!failed(json_parse(&a, str_n(data, size), NULL, &v)) &&
        !failed(nft_table_read(&a, v, &t))) {
        struct nft_packet p = {
            .src = {4, {10, 0, 0, 1}}, .dst = {4, {10, 0, 0, 2}}, .proto = NETPOL_TCP, .dport = 80};
        bool accept;
        for (int i = 0; i < 4; i++) {
            p.syn = (i & 1) != 0;
            p.established = (i & 2) != 0;
            ignore_err(nft_table_judge(t, &p, &accept));
        }
        nft_table_release(t);
    }
    arena_release(&a);
    return 0;
}
