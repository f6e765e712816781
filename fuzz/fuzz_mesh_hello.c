/* deps: mesh_dep mesh_policy daemon base */
#include "mesh/mesh.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* More bytes never change what was known already, and headers of one connection never go on. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_n(data, size);
    enum hello all = hello_look(text), half = hello_look(str_sub(text, 0, size / 2));
    if (size > 1 && half != HELLO_PARTIAL && half != all) {
        abort();
    }
    struct arena a;
    arena_init(&a, 1 << 20);
    struct http_header in[] = {
        {S("connection"), text}, {S("keep-alive"), S("1")}, {S("x"), S("1")}};
    struct head h;
    head_init(&h, &a, in, ARRAY_LEN(in), 0);
    head_end_to_end(&h);
    if (h.n > 1) {
        abort();
    }
    arena_release(&a);
    return 0;
}
