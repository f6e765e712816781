/* eval and bench. */
#include "cmd.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct run {
    struct cmd c;
    struct image *im;
    struct rego_query *q;
    struct val input;
    struct rego_errors errors;
};

static void print_line(void *ctx, struct str line)
{
    (void)ctx;
    fprintf(stderr, "%.*s\n", STR_FMT(line));
}

static bool prepare(struct run *r)
{
    struct cmd *c = &r->c;
    struct rego_compile_options o = {.strict = c->strict, .enable_print = true};
    struct str imports[16];
    r->im = cmd_load(c, &o, &r->errors);
    if (r->im == NULL) {
        return false;
    }
    r->input = VAL_UNDEF;
    struct err e = cmd_input(c, &r->input);
    if (failed(e)) {
        rego_errors_add(&r->errors, "input_error", STR_EMPTY, (struct loc){0}, "%s", err_detail());
        return false;
    }
    struct rego_query_options qo = {.version = cmd_version(c),
                                    .enable_print = true,
                                    .capture = true,
                                    .imports = imports,
                                    .n_imports = c->n_imports};
    for (size_t i = 0; i < c->n_imports; i++) {
        imports[i] = str_of(c->imports[i]);
        qo.v2_keywords |= strcmp(c->imports[i], "rego.v2") == 0;
    }
    if (c->package != NULL) {
        qo.package = arena_printf(&c->a, "%s%s",
                                  strncmp(c->package, "data.", 5) == 0 ? "" : "data.", c->package);
    }
    struct str text = c->stdin_query ? stdin_text(&c->a) : str_of(c->n_args > 0 ? c->args[0] : "");
    return rego_prepare(r->im->policy, text, &qo, &r->errors, &r->q);
}

static struct val binding_object(struct arena *a, const struct run *r, struct val row)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < rego_query_vars(r->q); i++) {
        struct val v = val_nth(row, (uint32_t)i);
        if (!val_undef(v)) {
            vlist_add2(&l, val_str(a, rego_query_var(r->q, i)), v);
        }
    }
    return vlist_object(&l);
}

/* Members stand in upstream's order, not sorted: written by hand. */
static void put_json(struct buf *b, const struct run *r, const struct rego_result *out)
{
    struct arena *a = (struct arena *)(uintptr_t)&r->c.a;
    buf_puts(b, S("{"));
    for (size_t i = 0; i < out->n_rows; i++) {
        buf_puts(b, i == 0 ? S("\n  \"result\": [\n    {\n      \"expressions\": [")
                           : S(",\n    {\n      \"expressions\": ["));
        for (size_t k = 0; k < out->n_exprs; k++) {
            struct loc loc;
            struct str text = rego_query_expr_text(r->q, k, &loc);
            struct buf v;
            buf_init(&v, 1 << 28);
            val_to_json_pretty(&v, val_nth(out->rows[i], (uint32_t)(out->n_vars + k)), "  ", false);
            buf_puts(b, k > 0 ? S(",\n        {\n          \"value\": ")
                              : S("\n        {\n          \"value\": "));
            for (struct str rest = buf_str(&v); rest.p != NULL;) {
                buf_puts(b, str_split(&rest, '\n'));
                buf_puts(b, rest.p != NULL ? S("\n          ") : S(""));
            }
            buf_release(&v);
            buf_puts(b, S(",\n          \"text\": "));
            val_json_string(b, text, false);
            buf_printf(
                b,
                ",\n          \"location\": {\n            \"row\": %u,\n            \"col\": %u\n"
                "          }\n        }",
                loc.row, loc.col);
        }
        buf_puts(b, S("\n      ]"));
        struct val bindings = binding_object(a, r, out->rows[i]);
        if (val_len(bindings) > 0) {
            struct buf v;
            buf_init(&v, 1 << 28);
            val_to_json_pretty(&v, bindings, "  ", false);
            buf_puts(b, S(",\n      \"bindings\": "));
            for (struct str rest = buf_str(&v); rest.p != NULL;) {
                buf_puts(b, str_split(&rest, '\n'));
                buf_puts(b, rest.p != NULL ? S("\n      ") : S(""));
            }
            buf_release(&v);
        }
        buf_puts(b, S("\n    }"));
    }
    buf_puts(b, out->n_rows > 0 ? S("\n  ]\n}\n") : S("}\n"));
}

static void put_errors_json(struct buf *b, struct arena *a, const struct rego_errors *errors)
{
    struct val v;
    if (failed(val_from_json(a, error_body(a, "x", STR_EMPTY, errors), &v))) {
        return;
    }
    struct val list = val_get_str(v, "errors");
    struct vlist l = {.a = a};
    for (uint32_t i = 0; val_is(list, V_ARRAY) && i < val_len(list); i++) {
        vlist_add(&l, val_nth(list, i));
    }
    struct vlist o = {.a = a};
    vlist_put(&o, "errors", vlist_array(&l));
    val_to_json_pretty(b, vlist_object(&o), "  ", true);
    buf_putc(b, '\n');
}

static void put_rows(struct buf *b, const struct run *r, const struct rego_result *out,
                     const char *format)
{
    struct arena *a = (struct arena *)(uintptr_t)&r->c.a;
    for (size_t i = 0; i < out->n_rows; i++) {
        struct val row = out->rows[i];
        if (strcmp(format, "bindings") == 0) {
            val_to_json_pretty(b, binding_object(a, r, row), "  ", false);
            buf_putc(b, '\n');
            continue;
        }
        if (strcmp(format, "values") == 0) {
            val_to_json_pretty(b, val_array(a, val_arr(row)->v + out->n_vars, out->n_exprs), "  ",
                               false);
            buf_putc(b, '\n');
            continue;
        }
        for (size_t k = 0; k < out->n_exprs; k++) {
            struct val v = val_nth(row, (uint32_t)(out->n_vars + k));
            buf_puts(b, k > 0 ? S(" ") : S(""));
            if (val_is(v, V_STRING)) {
                buf_puts(b, val_text(v));
            } else if (strcmp(format, "raw") == 0) {
                val_to_json(b, v, false);
            } else {
                val_to_json_pretty(b, v, "  ", false);
            }
        }
        buf_putc(b, '\n');
    }
    if (out->n_rows == 0 && strcmp(format, "pretty") == 0) {
        buf_puts(b, S("undefined\n"));
    }
}

static int report_failure(struct run *r, const char *format)
{
    struct buf b;
    buf_init(&b, 1 << 26);
    bool json = strcmp(format, "json") == 0;
    if (json) {
        put_errors_json(&b, &r->c.a, &r->errors);
    } else {
        rego_errors_write(&b, &r->errors);
        buf_putc(&b, '\n');
    }
    fwrite(b.p, 1, b.n, json || strcmp(format, "pretty") == 0 ? stdout : stderr);
    buf_release(&b);
    return 2;
}

static void evaluate(struct run *r, struct arena *a, struct rego_result *out)
{
    struct rego_eval_options o = {
        .input = r->input,
        .data = r->im->data,
        .strict_builtin_errors = r->c.strict_errors,
        .print = print_line,
        .max_steps = UINT64_C(1) << 60,
        .deadline_ns = r->c.timeout_ns > 0 ? clock_mono_ns() + r->c.timeout_ns : 0,
    };
    rego_eval(r->q, &o, a, out);
}

static int show(struct run *r, const char *format)
{
    struct rego_result out;
    struct buf b;
    evaluate(r, &r->c.a, &out);
    if (out.failed) {
        rego_errors_add(&r->errors, out.error.code, out.error.file, out.error.loc, "%.*s",
                        STR_FMT(out.error.message));
        return report_failure(r, format);
    }
    buf_init(&b, (size_t)1 << 32);
    if (strcmp(format, "json") == 0) {
        put_json(&b, r, &out);
    } else if (strcmp(format, "discard") != 0) {
        put_rows(&b, r, &out, format);
    }
    print_buf(&b);
    buf_release(&b);
    bool defined = out.n_rows > 0;
    return (r->c.fail && !defined) || (r->c.fail_defined && defined) ? 1 : 0;
}

int cmd_eval(struct daemon *d, int argc, char **argv)
{
    struct run r = {0};
    (void)d;
    if (!cmd_parse(&r.c, argc, argv)) {
        return 2;
    }
    const char *format = r.c.format != NULL ? r.c.format : "json";
    r.errors.a = &r.c.a;
    int code = prepare(&r) ? show(&r, format) : report_failure(&r, format);
    rego_query_free(r.q);
    image_free(r.im);
    cmd_release(&r.c);
    return code;
}

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

/* Input as JSON bytes in, decision out, over and over. */
static void measure(struct run *r, struct str input_text, int64_t n, bool parse)
{
    struct arena a;
    struct rego_result out;
    struct val kept = r->input;
    arena_init(&a, (size_t)1 << 32);
    int64_t start = cpu_ns();
    for (int64_t i = 0; i < n; i++) {
        if (parse && input_text.n > 0) {
            ignore_err(val_from_json(&a, input_text, &r->input));
        }
        evaluate(r, &a, &out);
        arena_reset(&a);
    }
    printf("%-22s %10lld runs %12.1f ns/op\n", parse ? "JSON to decision" : "evaluation alone",
           (long long)n, (double)(cpu_ns() - start) / (double)n);
    r->input = kept;
    arena_release(&a);
}

int cmd_bench(struct daemon *d, int argc, char **argv)
{
    struct run r = {0};
    struct str text = STR_EMPTY;
    (void)d;
    if (!cmd_parse(&r.c, argc, argv)) {
        return 2;
    }
    r.errors.a = &r.c.a;
    if (!prepare(&r)) {
        return report_failure(&r, "pretty");
    }
    if (r.c.input != NULL) {
        ignore_err(read_whole_file(&r.c.a, str_of(r.c.input), &text));
    }
    int64_t n = 1;
    for (int64_t spent = 0; spent < 100 * NS_PER_MS && n < 10000000; n *= 2) {
        int64_t start = cpu_ns();
        struct arena a;
        struct rego_result out;
        arena_init(&a, (size_t)1 << 32);
        for (int64_t i = 0; i < n; i++) {
            evaluate(&r, &a, &out);
            arena_reset(&a);
        }
        arena_release(&a);
        spent = cpu_ns() - start;
    }
    n = r.c.count > 0 ? r.c.count : n;
    measure(&r, text, n, false);
    measure(&r, text, n, true);
    rego_query_free(r.q);
    image_free(r.im);
    cmd_release(&r.c);
    return 0;
}
