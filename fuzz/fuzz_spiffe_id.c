/* deps: x509 base */
/* Any bytes as a SPIFFE id; an accepted one is made of its parts and of nothing else. */
#include "lib/x509/spiffe_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct spiffe_id id;
    if (!failed(spiffe_id_parse(str_n(data, size), &id))) {
        BUG_ON(id.text.n != size || 9 + id.trust_domain.n + id.path.n != size);
        BUG_ON(failed(spiffe_trust_domain_check(id.trust_domain)) ||
               failed(spiffe_path_check(id.path)));
        BUG_ON(id.path.n > 0 && (id.path.p[0] != 0x2f || id.path.p[id.path.n - 1] == 0x2f));
    }
    return 0;
}
