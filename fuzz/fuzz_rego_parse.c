/* deps: rego base */
/* Lexer, parser and compiler: any text is refused with an error or becomes a policy, in each version. */
#include "authz/rego/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    if (size > 64 * 1024) {
        return 0;
    }
    arena_init(&a, 64 << 20);
    for (int v = REGO_V0; v <= REGO_V2; v++) {
        struct rego_errors errors = {.a = &a};
        struct rego_source src = {S("fuzz.rego"), str_n(data, size), (enum rego_version)v};
        struct rego_policy *p = NULL;
        bool ok = rego_compile(&src, 1, NULL, &errors, &p);
        BUG_ON(ok != (errors.n == 0));
        rego_policy_free(p);
    }
    arena_release(&a);
    return 0;
}
