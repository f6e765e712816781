/* deps: rego base */
/* Evaluation under a small budget: a policy that compiles gives a value or an error, and ends. */
#include "authz/rego/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "package fuzz\n";
    struct arena a;
    if (size > 16 * 1024) {
        return 0;
    }
    arena_init(&a, 128 << 20);
    struct str text = arena_printf(&a, "%s%.*s", head, (int)size, (const char *)data);
    struct rego_errors errors = {.a = &a};
    struct rego_source src = {S("fuzz.rego"), text, REGO_V1};
    struct rego_policy *p = NULL;
    if (rego_compile(&src, 1, NULL, &errors, &p)) {
        struct rego_result r;
        struct val input;
        struct rego_eval_options o = {.max_steps = 20000, .data = val_empty_object()};
        ignore_err(
            val_from_json(&a, S("{\"a\":[1,2.5,{\"b\":null}],\"s\":\"text\",\"t\":true}"), &input));
        o.input = input;
        struct val path = val_str(&a, S("fuzz"));
        (void)rego_eval_path(p, &path, 1, &o, &a, &r);
        BUG_ON(r.failed && r.error.message.n == 0);
        rego_policy_free(p);
    }
    arena_release(&a);
    return 0;
}
