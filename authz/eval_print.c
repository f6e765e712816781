/* Results of eval in its formats. Members of objects that are not values stand in upstream's order. */
#include "cmd_eval.h"

#include <stdio.h>
#include <stdlib.h>

enum { PRINT_MAX = 1 << 30 };

/* A value as indented JSON, further lines at `indent`. */
static void put_value(struct buf *b, struct val v, const char *indent)
{
    struct buf text;
    buf_init(&text, PRINT_MAX);
    val_to_json_pretty(&text, v, "  ", true);
    for (struct str rest = buf_str(&text); rest.p != NULL;) {
        buf_puts(b, str_split(&rest, '\n'));
        if (rest.p != NULL) {
            buf_printf(b, "\n%s", indent);
        }
    }
    buf_release(&text);
}

static struct val bindings(const struct run *r, struct val row)
{
    struct vlist l = {.a = &r->c->a};
    for (size_t i = 0; i < rego_query_vars(r->q); i++) {
        struct val v = val_nth(row, (uint32_t)i);
        if (!val_undef(v)) {
            vlist_add2(&l, val_str(l.a, rego_query_var(r->q, i)), v);
        }
    }
    return vlist_object(&l);
}

static struct val expr_value(const struct rego_result *out, size_t row, size_t k)
{
    return val_nth(out->rows[row], (uint32_t)(out->n_vars + k));
}

static void put_expression(struct buf *b, const struct run *r, struct val v, size_t k)
{
    struct loc loc;
    struct str text = rego_query_expr_text(r->q, k, &loc);
    buf_puts(b, k > 0 ? S(",\n        {\n          \"value\": ")
                      : S("\n        {\n          \"value\": "));
    put_value(b, v, "          ");
    buf_puts(b, S(",\n          \"text\": "));
    val_json_string(b, text, true);
    buf_printf(b,
               ",\n          \"location\": {\n            \"row\": %u,\n            \"col\": %u\n"
               "          }\n        }",
               loc.row, loc.col);
}

static void put_rows(struct buf *b, const struct run *r, const struct rego_result *out)
{
    for (size_t i = 0; i < out->n_rows; i++) {
        buf_puts(b, i == 0 ? S("\n  \"result\": [\n    {\n      \"expressions\": [")
                           : S(",\n    {\n      \"expressions\": ["));
        for (size_t k = 0; k < out->n_exprs; k++) {
            put_expression(b, r, expr_value(out, i, k), k);
        }
        buf_puts(b, S("\n      ]"));
        struct val vars = bindings(r, out->rows[i]);
        if (val_len(vars) > 0) {
            buf_puts(b, S(",\n      \"bindings\": "));
            put_value(b, vars, "      ");
        }
        buf_puts(b, S("\n    }"));
    }
    buf_puts(b, out->n_rows > 0 ? S("\n  ]") : S(""));
}

static void list_metrics(const struct run *r, const char *names[4], int64_t values[4])
{
    names[0] = "timer_rego_load_files_ns";
    values[0] = r->load_ns;
    names[1] = "timer_rego_query_compile_ns";
    values[1] = r->compile_ns;
    names[2] = "timer_rego_query_eval_ns";
    values[2] = r->eval_ns;
    names[3] = NULL;
}

static void put_metrics(struct buf *b, const struct run *r)
{
    const char *names[4];
    int64_t values[4];
    list_metrics(r, names, values);
    buf_puts(b, S("\n  \"metrics\": {"));
    for (size_t i = 0; names[i] != NULL; i++) {
        buf_printf(b, "%s\n    \"%s\": %lld", i > 0 ? "," : "", names[i], (long long)values[i]);
    }
    buf_puts(b, S("\n  }"));
}

static bool put_explanation(struct buf *b, struct run *r, bool more)
{
    struct buf text;
    struct val v;
    buf_init(&text, PRINT_MAX);
    bool any = r->im != NULL && put_trace(r, true, &text) &&
               !failed(val_from_json(&r->c->a, arena_str(&r->c->a, buf_str(&text)), &v));
    if (any) {
        buf_puts(b, more ? S(",\n  \"explanation\": ") : S("\n  \"explanation\": "));
        put_value(b, v, "  ");
    }
    buf_release(&text);
    return any;
}

static void print_json(struct buf *b, struct run *r, const struct rego_result *out, bool discard)
{
    bool more = false;
    buf_puts(b, S("{"));
    if (r->errors.n > 0 || r->shown.n > 0) {
        buf_puts(b, S("\n  \"errors\": "));
        errors_json(b, r->errors.n > 0 ? &r->errors : &r->shown, "  ");
        more = true;
    }
    if (out != NULL && out->n_rows > 0) {
        buf_puts(b, more ? S(",") : S(""));
        if (discard) {
            buf_puts(b, S("\n  \"result\": \"discarded\""));
        } else {
            put_rows(b, r, out);
        }
        more = true;
    }
    if (r->c->metrics && out != NULL) {
        buf_puts(b, more ? S(",") : S(""));
        put_metrics(b, r);
        more = true;
    }
    if (r->errors.n == 0 || out != NULL) {
        more |= put_explanation(b, r, more);
    }
    buf_puts(b, more ? S("\n}\n") : S("}\n"));
}

static void print_bindings(struct buf *b, const struct run *r, const struct rego_result *out)
{
    for (size_t i = 0; i < out->n_rows; i++) {
        put_value(b, bindings(r, out->rows[i]), "");
        buf_putc(b, '\n');
    }
}

static void print_values(struct buf *b, const struct run *r, const struct rego_result *out)
{
    for (size_t i = 0; i < out->n_rows; i++) {
        struct val *first = val_arr(out->rows[i])->v + out->n_vars;
        put_value(b, val_array(&r->c->a, first, out->n_exprs), "");
        buf_putc(b, '\n');
    }
}

static void print_raw(struct buf *b, const struct rego_result *out)
{
    for (size_t i = 0; i < out->n_rows; i++) {
        for (size_t k = 0; k < out->n_exprs; k++) {
            struct val v = expr_value(out, i, k);
            buf_puts(b, k > 0 ? S(" ") : S(""));
            if (val_is(v, V_STRING)) {
                buf_puts(b, val_text(v));
            } else {
                val_to_json(b, v, true);
            }
        }
        buf_putc(b, '\n');
    }
}

static bool all_boolean(const struct rego_result *out)
{
    for (size_t k = 0; k < out->n_exprs; k++) {
        if (!val_is(expr_value(out, 0, k), V_BOOL)) {
            return false;
        }
    }
    return true;
}

static void add_cell(struct table *t, const struct run *r, struct val v)
{
    struct buf b;
    buf_init(&b, PRINT_MAX);
    val_to_json(&b, v, true);
    size_t limit = r->c->pretty_limit > 0 ? (size_t)r->c->pretty_limit : SIZE_MAX;
    if (b.n > limit) {
        table_add(t, arena_printf(t->a, "%.*s...", (int)limit, b.p));
    } else {
        table_add(t, buf_str(&b));
    }
    buf_release(&b);
}

/* Columns: expressions that are no plain truths, then the variables. */
static void print_solutions(struct buf *b, const struct run *r, const struct rego_result *out)
{
    struct table t = {.a = &r->c->a, .header = true};
    struct val vars = bindings(r, out->rows[0]);
    bool *shown = arena_array(t.a, bool, out->n_exprs + 1);
    for (size_t k = 0; k < out->n_exprs; k++) {
        struct loc loc;
        shown[k] = !val_is(expr_value(out, 0, k), V_BOOL) || val_len(vars) == 0;
        if (shown[k]) {
            table_add(&t, rego_query_expr_text(r->q, k, &loc));
        }
    }
    for (uint32_t i = 0; i < val_len(vars); i++) {
        table_add(&t, val_text(val_tab(vars)->v[2 * (size_t)i]));
    }
    t.n_columns = t.n_cells;
    for (size_t i = 0; i < out->n_rows; i++) {
        for (size_t k = 0; k < out->n_exprs; k++) {
            if (shown[k]) {
                add_cell(&t, r, expr_value(out, i, k));
            }
        }
        struct val row = bindings(r, out->rows[i]);
        for (uint32_t k = 0; k < val_len(vars); k++) {
            struct val v = val_get(row, val_tab(vars)->v[2 * (size_t)k]);
            add_cell(&t, r, val_undef(v) ? VAL_NULL : v);
        }
    }
    table_print(b, &t);
}

static void print_metrics_table(struct buf *b, const struct run *r)
{
    const char *names[4];
    int64_t values[4];
    struct table t = {.a = &r->c->a, .header = true, .n_columns = 2};
    list_metrics(r, names, values);
    table_add(&t, S("Metric"));
    table_add(&t, S("Value"));
    for (size_t i = 0; names[i] != NULL; i++) {
        table_add(&t, str_of(names[i]));
        table_add(&t, arena_printf(t.a, "%lld", (long long)values[i]));
    }
    table_print(b, &t);
}

static void print_pretty(struct buf *b, const struct run *r, const struct rego_result *out)
{
    if (out->n_rows == 0) {
        buf_puts(b, S("undefined\n"));
    } else if (out->n_rows == 1 && val_len(bindings(r, out->rows[0])) == 0 &&
               (out->n_exprs == 1 || all_boolean(out))) {
        put_value(b, expr_value(out, 0, 0), "");
        buf_putc(b, '\n');
    } else {
        print_solutions(b, r, out);
    }
}

static void print_failure(struct buf *b, const struct run *r)
{
    errors_text(b, r->errors.n > 0 ? &r->errors : &r->shown, false, SIZE_MAX);
    buf_putc(b, '\n');
    fwrite(b->p, 1, b->n, stderr);
    buf_clear(b);
}

void print_result(struct run *r, const struct rego_result *out)
{
    const char *format = r->c->format;
    struct buf b;
    buf_init(&b, PRINT_MAX);
    bool pretty = strcmp(format, "pretty") == 0;
    if (pretty && r->im != NULL && out != NULL) {
        (void)put_trace(r, false, &b);
        print_buf(&b);
    }
    if (strcmp(format, "json") == 0 || strcmp(format, "discard") == 0) {
        print_json(&b, r, out, format[0] == 'd');
    } else if (r->errors.n > 0 || r->shown.n > 0) {
        print_failure(&b, r);
    } else if (strcmp(format, "bindings") == 0) {
        print_bindings(&b, r, out);
    } else if (strcmp(format, "values") == 0) {
        print_values(&b, r, out);
    } else if (strcmp(format, "raw") == 0) {
        print_raw(&b, out);
    } else {
        print_pretty(&b, r, out);
    }
    if (pretty && r->c->metrics && out != NULL) {
        print_metrics_table(&b, r);
    }
    print_buf(&b);
    buf_release(&b);
}
