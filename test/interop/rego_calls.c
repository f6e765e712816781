/*
 * Evaluates data.t of one module and prints what came out and what went wrong:
 *
 *     rego_calls MODULE      {"value": ..., "errors": ["FILE:ROW: code: text", ...]}
 *
 * authz-builtins.py compares this with the same module in OPA.
 */
#include "authz/rego/engine.h"

#include <stdio.h>
#include <stdlib.h>

enum { MEMORY_MAX = 1 << 30, OUTPUT_MAX = 1 << 30 };

static struct str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf b;
    char part[65536];
    size_t n;
    buf_init(&b, 1 << 28);
    while (f != NULL && (n = fread(part, 1, sizeof part, f)) > 0) {
        buf_put(&b, part, n);
    }
    if (f != NULL) {
        fclose(f);
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static void print_result(struct arena *a, const struct rego_result *out)
{
    struct buf b;
    struct vlist l = {.a = a};
    buf_init(&b, OUTPUT_MAX);
    if (out->failed) {
        vlist_put(&l, "failed", val_str(a, out->error.message));
    }
    if (out->n_rows > 0) {
        vlist_put(&l, "value", val_nth(out->rows[0], 0));
    }
    vlist_put(&l, "errors", out->builtin_errors);
    val_to_json(&b, vlist_object(&l), false);
    printf("%.*s\n", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

int main(int argc, char **argv)
{
    struct arena a;
    struct rego_policy *p;
    struct rego_query *q;
    struct rego_result out;
    arena_init(&a, MEMORY_MAX);
    struct rego_errors errors = {.a = &a};
    struct rego_source src = {.name = S("t.rego"), .version = REGO_V1};
    struct rego_query_options qo = {.version = REGO_V1};
    src.text = read_file(&a, argc > 1 ? argv[1] : "");
    if (!rego_compile(&src, 1, NULL, &errors, &p) ||
        !rego_prepare(p, S("x = data.t"), &qo, &errors, &q)) {
        struct buf b;
        buf_init(&b, OUTPUT_MAX);
        rego_errors_write(&b, &errors);
        fprintf(stderr, "%.*s\n", STR_FMT(buf_str(&b)));
        return 2;
    }
    struct rego_eval_options o = {.input = VAL_UNDEF, .data = VAL_UNDEF, .max_steps = UINT64_MAX};
    rego_eval(q, &o, &a, &out);
    print_result(&a, &out);
    rego_query_free(q);
    rego_policy_free(p);
    arena_release(&a);
    return 0;
}
