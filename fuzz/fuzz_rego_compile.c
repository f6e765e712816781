/* deps: rego base */
/*
 * The compiler under all its checks: types, annotations, schemas, strict mode. The input is a policy of any
 * version (by its first byte), perhaps followed by a line "# schema" and a JSON Schema of the input, and by
 * "# capabilities" and JSON. Whatever it holds, there are errors or a policy.
 */
#include "authz/rego/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 16, MEMORY_MAX = 64 << 20 };

static struct val document(struct arena *a, struct str text, const char *mark)
{
    size_t at = str_find(text, str_of(mark));
    struct val v;
    if (at == STR_NPOS) {
        return VAL_UNDEF;
    }
    struct str rest = str_sub(text, at + strlen(mark), text.n);
    return failed(val_from_json(a, str_split(&rest, '\n'), &v)) ? VAL_UNDEF : v;
}

static struct val input_schema(struct arena *a, struct val schema)
{
    struct vlist l = {.a = a};
    if (val_undef(schema)) {
        return VAL_UNDEF;
    }
    vlist_put(&l, "schema", schema);
    return vlist_object(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > INPUT_MAX) {
        return 0;
    }
    struct arena a;
    arena_init(&a, MEMORY_MAX);
    struct str text = str_n(data + 1, size - 1);
    struct rego_source src = {
        .name = S("fuzz.rego"), .text = text, .version = (enum rego_version)(data[0] % 3)};
    struct rego_compile_options o = {.strict = (data[0] & 4) != 0,
                                     .enable_print = (data[0] & 8) != 0,
                                     .annotations = (data[0] & 16) != 0,
                                     .schemas = input_schema(&a, document(&a, text, "# schema")),
                                     .capabilities = document(&a, text, "# capabilities")};
    struct rego_errors errors = {.a = &a};
    struct rego_policy *p = NULL;
    bool ok = rego_compile(&src, 1, &o, &errors, &p);
    BUG_ON(ok == (errors.n > 0));
    struct buf out;
    buf_init(&out, 1 << 20);
    rego_errors_write(&out, &errors);
    buf_release(&out);
    rego_policy_free(p);
    arena_release(&a);
    return 0;
}
