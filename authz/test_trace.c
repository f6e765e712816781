/* What the test command does with the second evaluator: coverage, and where a test failed. */
#include "test_trace.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

void test_trace_init(struct test_trace *x, struct cmd *c, const struct tester *t)
{
    *x = (struct test_trace){.c = c, .t = t, .topdown = rego_topdown_new(t->policy)};
    if (c->coverage) {
        rego_cover_init(&x->cover, t->policy, &c->a);
    }
}

void test_trace_release(struct test_trace *x)
{
    rego_topdown_free(x->topdown);
}

static void ask(struct test_trace *x, const struct test *test, const struct rego_tracer *tracer,
                struct arena *a)
{
    struct rego_errors errors = {.a = a};
    struct rego_query_options qo = {.version = REGO_V1, .enable_print = true, .capture = true};
    struct rego_eval_options o = {
        .data = x->t->data, .runtime = x->t->runtime, .max_steps = UINT64_C(1) << 40};
    struct rego_topdown_query *q = NULL;
    struct rego_result r;
    struct str text = arena_printf(a, "%.*s.%.*s", STR_FMT(test->package), STR_FMT(test->name));
    if (rego_topdown_prepare(x->topdown, text, &qo, &errors, &q)) {
        rego_topdown_eval(q, &o, tracer, a, &r);
    }
    rego_topdown_query_free(q);
}

void test_cover(struct test_trace *x, const struct test *test, struct arena *a)
{
    ask(x, test, &x->cover.tracer, a);
}

/* ---- failures ---- */

static void put_indented(struct buf *b, struct str text, int indent)
{
    for (struct str rest = text; rest.n > 0;) {
        struct str line = str_split(&rest, '\n');
        buf_printf(b, "%*s%.*s\n", indent, "", STR_FMT(line));
    }
}

static enum rego_explain mode_of(const struct cmd *c)
{
    enum rego_explain mode = EXPLAIN_FAILS;
    if (flags_given("explain")) {
        (void)rego_explain_parse(str_of(c->explain), &mode);
    }
    return mode;
}

/* Where `word` stands in `text` by itself. */
static size_t find_word(struct str text, struct str word)
{
    for (size_t i = 0; i + word.n <= text.n; i++) {
        bool before = i > 0 && (isalnum((unsigned char)text.p[i - 1]) || text.p[i - 1] == '_' ||
                                text.p[i - 1] == '.');
        char next = i + word.n < text.n ? text.p[i + word.n] : ' ';
        bool after = isalnum((unsigned char)next) || next == '_';
        if (!before && !after && str_eq(str_sub(text, i, i + word.n), word)) {
            return i;
        }
    }
    return STR_NPOS;
}

struct shown {
    size_t at;
    struct str value;
};

static int by_place(const void *x, const void *y)
{
    size_t a = ((const struct shown *)x)->at, b = ((const struct shown *)y)->at;
    return a < b ? -1 : a > b;
}

enum { SHOWN_MAX = 32 };

static size_t find_values(struct arena *a, const struct rego_event *e, struct str text,
                          struct shown *v)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n_locals && n < SHOWN_MAX; i++) {
        const struct rego_local *l = &e->locals[i];
        struct str name = l->written.n > 0 ? l->written : l->name;
        size_t at = find_word(text, name);
        if (at != STR_NPOS && l->value != NULL) {
            struct buf b;
            buf_init(&b, 1 << 16);
            term_write(&b, l->value);
            v[n++] = (struct shown){at, arena_str(a, buf_str(&b))};
            buf_release(&b);
        }
    }
    qsort(v, n, sizeof *v, by_place);
    return n;
}

/* The expression at its column, and below its variables what they hold. */
static void put_values(struct buf *b, const struct shown *v, size_t n, size_t indent)
{
    for (size_t line = 0; line <= n && n > 0; line++) {
        size_t last = line == 0 ? n : n - line, column = 0;
        buf_printf(b, "%*s", (int)indent, "");
        for (size_t i = 0; i < last; i++) {
            buf_printf(b, "%*s|", (int)(v[i].at - column), "");
            column = v[i].at + 1;
        }
        if (line > 0) {
            buf_printf(b, "%*s%.*s", (int)(v[last].at - column), "", STR_FMT(v[last].value));
        }
        buf_putc(b, '\n');
    }
}

static void put_place(struct buf *b, struct arena *a, const struct rego_event *e,
                      const struct module *m, int indent)
{
    struct shown values[SHOWN_MAX];
    struct str text = str_sub(m->source, e->loc.off, e->loc.end);
    size_t line = str_find_char(text, '\n');
    text = str_trim(line == STR_NPOS ? text : str_sub(text, 0, line));
    size_t n = find_values(a, e, text, values), left = (size_t)indent + 2 + e->loc.col - 1;
    buf_printf(b, "\n%*s%.*s:%u:\n%*s%.*s\n", indent, "", STR_FMT(e->file), e->loc.row, (int)left,
               "", STR_FMT(text));
    put_values(b, values, n, left);
    buf_putc(b, '\n');
}

/* The last expression that failed is the one that decided. */
static void put_failure_line(struct buf *b, struct test_trace *x, const struct rego_trace *t,
                             int indent)
{
    for (size_t i = t->n; i-- > 0;) {
        const struct rego_event *e = &t->v[i];
        if (e->op != OP_TRACE_FAIL || e->file.n == 0 || e->kind != NODE_EXPR) {
            continue;
        }
        for (size_t k = 0; k < rego_policy_modules(x->t->policy); k++) {
            const struct module *m = rego_policy_module(x->t->policy, k);
            if (str_eq(m->file, e->file)) {
                put_place(b, t->a, e, m, indent);
                return;
            }
        }
    }
}

static void put_failed_cases(struct buf *b, const struct test_case *c, struct str above)
{
    for (size_t i = 0; i < c->n; i++) {
        struct buf names;
        buf_init(&names, 1 << 16);
        buf_puts(&names, above);
        size_t depth = 0;
        for (size_t k = 0; k < above.n; k++) {
            depth += above.p[k] == '\n';
        }
        buf_printf(&names, "%*s%.*s: FAIL\n", (int)(2 * depth), "", STR_FMT(c->cases[i].name));
        if (c->cases[i].fail && c->cases[i].n == 0) {
            put_indented(b, buf_str(&names), 2);
        } else if (c->cases[i].fail) {
            put_failed_cases(b, &c->cases[i], buf_str(&names));
        }
        buf_release(&names);
    }
}

void test_explain(struct test_trace *x, const struct test *test, const struct test_result *r,
                  struct arena *a, struct buf *out)
{
    struct cmd *c = x->c;
    struct rego_trace trace;
    struct buf text;
    buf_init(&text, TEST_OUTPUT_MAX);
    rego_trace_init(&trace, a, mode_of(c));
    trace.tracer.locals = c->var_values;
    ask(x, test, &trace.tracer, a);
    if (c->verbose) {
        rego_trace_to_text(&text, &trace, true);
        buf_putc(out, '\n');
        put_indented(out, buf_str(&text), 2);
    }
    if (r->root.n > 0) {
        buf_putc(out, '\n');
        put_failed_cases(out, &r->root, STR_EMPTY);
    }
    if (c->var_values) {
        put_failure_line(out, x, &trace, r->root.n > 0 ? 4 : 2);
    }
    buf_putc(out, '\n');
    buf_release(&text);
}

/* ---- coverage ---- */

static void put_rows(const struct val files)
{
    fputs("Lines not covered:\n", stderr);
    for (uint32_t i = 0; val_is(files, V_OBJECT) && i < val_len(files); i++) {
        struct val list = val_get_str(val_nth(files, i), "not_covered");
        int64_t last = -1;
        for (uint32_t k = 0; val_is(list, V_ARRAY) && k < val_len(list); k++) {
            struct val start = val_get_str(val_nth(list, k), "start"),
                       row = val_get_str(start, "row");
            int64_t n = 0;
            if (val_is(row, V_NUMBER) && val_to_i64(row, &n) && n != last) {
                fprintf(stderr, "\t%.*s:%lld\n",
                        STR_FMT(val_text(val_tab(files)->v[2 * (size_t)i])), (long long)n);
                last = n;
            }
        }
    }
}

int test_cover_report(struct test_trace *x)
{
    double percent = rego_cover_percent(&x->cover);
    struct buf b;
    struct val v;
    int code = 0;
    buf_init(&b, 1 << 30);
    rego_cover_to_json(&b, &x->cover);
    bool ok = !failed(val_from_json(&x->c->a, arena_str(&x->c->a, buf_str(&b)), &v));
    if (percent < x->c->threshold) {
        fprintf(stderr, "Code coverage threshold not met: got %.2f instead of %.2f\n", percent,
                x->c->threshold);
        if (x->c->verbose && ok) {
            put_rows(val_get_str(v, "files"));
        }
        code = 2;
    } else {
        print_indented(buf_str(&b));
    }
    buf_release(&b);
    return code;
}
