/* deps: rego base */
/* Templates: any text over data of every kind ends within its bounds, twice with the same result. */
#include "authz/rego/builtin/template/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool render(struct arena *a, const struct template *t, struct val vars, struct buf *out)
{
    uint64_t steps;
    struct str why;
    bool ok = template_execute(t, vars, out, &steps, &why);
    BUG_ON(!ok && why.n == 0);
    return ok && !arena_exhausted(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct template t;
    struct str why;
    struct val vars;
    struct buf first, second;
    arena_init(&a, 64 << 20);
    BUG_ON(failed(val_from_json(&a,
                                S("{\"n\":1,\"s\":\"abc\",\"l\":[1,\"b\",null,true,[2]],"
                                  "\"o\":{\"k\":\"v\",\"b\":[1]},\"nil\":null,\"e\":[]}"),
                                &vars)));
    if (template_parse(&a, str_n(data, size), &t, &why)) {
        buf_init(&first, TEMPLATE_OUTPUT_MAX);
        buf_init(&second, TEMPLATE_OUTPUT_MAX);
        if (render(&a, &t, vars, &first) && render(&a, &t, vars, &second)) {
            BUG_ON(!str_eq(buf_str(&first), buf_str(&second)));
        }
        buf_release(&first);
        buf_release(&second);
    }
    arena_release(&a);
    return 0;
}
