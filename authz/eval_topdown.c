/* What eval does with the second evaluator: --partial and --explain. */
#include "cmd_eval.h"

#include "authz/rego/partial.h"
#include "authz/rego/trace.h"
#include "lib/base/clock.h"

#include <stdio.h>

enum { TEXT_MAX = 1 << 30 };

static bool prepare(struct run *r, struct rego_topdown **t, struct rego_topdown_query **q)
{
    struct rego_query_options qo;
    struct str text = run_query_text(r);
    run_query_options(r, &qo);
    *t = rego_topdown_new(r->im->policy);
    return rego_topdown_prepare(*t, text, &qo, &r->errors, q);
}

static void take_error(struct run *r, const struct rego_error *e)
{
    rego_errors_add(&r->errors, e->code, e->file, e->loc, "%.*s", STR_FMT(e->message));
}

bool put_trace(struct run *r, bool json, struct buf *out)
{
    struct rego_topdown *t = NULL;
    struct rego_topdown_query *q = NULL;
    enum rego_explain mode;
    struct rego_trace trace;
    struct rego_result result;
    if (!rego_explain_parse(str_of(r->c->explain), &mode) || mode == EXPLAIN_OFF) {
        return false;
    }
    bool ok = prepare(r, &t, &q);
    if (ok) {
        struct rego_eval_options o;
        run_eval_options(r, &o);
        o.print = NULL; /* the evaluation proper has printed it */
        rego_trace_init(&trace, &r->c->a, mode);
        trace.tracer.locals |= r->c->var_values;
        rego_topdown_eval(q, &o, &trace.tracer, &r->c->a, &result);
        if (json) {
            rego_trace_to_json(out, &trace, false);
        } else {
            rego_trace_to_text(out, &trace, true);
        }
    }
    rego_topdown_query_free(q);
    rego_topdown_free(t);
    return ok;
}

static void put_cell(struct table *t, struct buf *text)
{
    struct buf plain;
    buf_init(&plain, TEXT_MAX);
    for (size_t i = 0; i < text->n; i++) {
        buf_puts(&plain, text->p[i] == '\t' ? S("  ") : str_n(&text->p[i], 1));
    }
    struct str s = buf_str(&plain);
    while (s.n > 0 && s.p[s.n - 1] == '\n') {
        s.n--;
    }
    table_add(t, s);
    buf_release(&plain);
    buf_clear(text);
}

static void print_table(struct buf *out, struct arena *a, const struct rego_partial_result *p)
{
    struct table t = {.a = a, .n_columns = 2, .separated = true};
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < p->n_queries; i++) {
        table_add(&t, arena_printf(a, "Query %zu", i + 1));
        rego_partial_query_source(&text, p->queries[i]);
        put_cell(&t, &text);
    }
    for (size_t i = 0; i < p->n_support; i++) {
        table_add(&t, arena_printf(a, "Support %zu", i + 1));
        rego_partial_module_source(&text, p->support[i]);
        put_cell(&t, &text);
    }
    table_print(out, &t);
    buf_release(&text);
}

static void print_json(struct buf *out, struct arena *a, const struct rego_partial_result *p)
{
    struct buf text;
    struct val v;
    buf_init(&text, TEXT_MAX);
    rego_partial_to_json(&text, p, "modules");
    if (p->n_queries + p->n_support > 0 &&
        !failed(val_from_json(a, arena_str(a, buf_str(&text)), &v))) {
        struct val all = val_object2(a, (struct val[]){val_str(a, S("partial")), v}, 1);
        val_to_json_pretty(out, all, "  ", true);
    } else {
        buf_puts(out, S("{\n  \"partial\": {}\n}"));
    }
    buf_putc(out, '\n');
    buf_release(&text);
}

static struct str *strings(struct arena *a, const struct flag_list *l)
{
    struct str *v = arena_array(a, struct str, l->n + 1);
    for (size_t i = 0; i < l->n; i++) {
        v[i] = str_of(l->v[i]);
    }
    return v;
}

static void run_partial(struct run *r, const struct rego_topdown_query *q, struct buf *out)
{
    struct cmd *c = r->c;
    struct rego_partial_result p;
    struct rego_partial_options o = {.unknowns = strings(&c->a, &c->unknowns),
                                     .n_unknowns = c->unknowns.n,
                                     .disable_inlining = strings(&c->a, &c->disable_inlining),
                                     .n_disable_inlining = c->disable_inlining.n,
                                     .shallow = c->shallow,
                                     .nondeterministic = c->nondeterministic};
    run_eval_options(r, &o.eval);
    int64_t start = clock_mono_ns();
    rego_partial(q, &o, NULL, &c->a, &p);
    r->eval_ns = clock_mono_ns() - start;
    r->defined = !p.failed && p.n_queries > 0;
    if (p.failed) {
        take_error(r, &p.error);
    } else if (strcmp(c->format, "source") == 0) {
        rego_partial_to_source(out, &p);
    } else if (strcmp(c->format, "json") == 0) {
        print_json(out, &c->a, &p);
    } else if (p.n_queries == 0) {
        buf_puts(out, S("undefined\n"));
    } else {
        print_table(out, &c->a, &p);
    }
}

void print_partial(struct run *r)
{
    struct rego_topdown *t = NULL;
    struct rego_topdown_query *q = NULL;
    struct buf out;
    buf_init(&out, TEXT_MAX);
    if (prepare(r, &t, &q)) {
        run_partial(r, q, &out);
    }
    print_buf(&out);
    buf_release(&out);
    rego_topdown_query_free(q);
    rego_topdown_free(t);
}
