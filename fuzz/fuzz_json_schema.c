/* deps: rego base */
/*
 * JSON Schema: two texts around a NUL, the schema and a document. Compiling and matching end, within
 * their bounds; a schema that compiles once compiles again; a document without findings has none twice.
 */
#include "authz/rego/schema/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct str rest = str_n(data, size), first = str_split(&rest, '\0'), why;
    struct val description, document;
    struct schema *s, *again;
    struct schema_result r, twice;
    arena_init(&a, 64 << 20);
    if (!failed(val_from_json(&a, first, &description)) &&
        schema_compile(&a, description, SCHEMA_PATTERNS, &s, &why)) {
        BUG_ON(!schema_compile(&a, description, 0, &again, &why) && !arena_exhausted(&a));
        if (!failed(val_from_json(&a, rest, &document)) && schema_match(&a, s, document, &r)) {
            BUG_ON(schema_match(&a, s, document, &twice) && twice.n != r.n);
        }
    }
    arena_release(&a);
    return 0;
}
