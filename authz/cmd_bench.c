/* bench: a query, until it is known how long it takes. */
#include "cmd_eval.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct flag flags[] = {
    ROW_DATA,
    ROW_BUNDLES,
    {"input", 'i', FLAG_TEXT, CMD(input), "FILE", "the input document", NULL, NULL},
    ROW_STDIN_INPUT,
    {"stdin", 0, FLAG_BOOL, CMD(stdin_query), NULL, "the query comes on stdin", NULL, NULL},
    {"package", 0, FLAG_TEXT, CMD(package), "PATH", "package in which the query stands", NULL,
     NULL},
    {"import", 0, FLAG_LIST, CMD(imports), "PATH", "import of the query", NULL, NULL},
    ROW_FORMAT("pretty,json,gobench", "pretty"),
    {"count", 0, FLAG_INT, CMD(count), "N", "measurements to take", NULL, "1"},
    {"benchmem", 0, FLAG_BOOL, CMD(benchmem), NULL, "memory, too", NULL, "true"},
    {"metrics", 0, FLAG_BOOL, CMD(metrics), NULL, "steps, too", NULL, "true"},
    {"fail", 0, FLAG_BOOL, CMD(fail), NULL, "an undefined result is a failure", NULL, "true"},
    {"partial", 'p', FLAG_BOOL, CMD(partial), NULL, "measure partial evaluation", NULL, NULL},
    {"unknowns", 'u', FLAG_LIST, CMD(unknowns), "PATH", "what is unknown with --partial", NULL,
     NULL},
    {"parse-input", 0, FLAG_BOOL, CMD(flag), NULL, "read the input from its JSON each time", NULL,
     NULL},
    {"e2e", 0, FLAG_BOOL, CMD(e2e), NULL, "not offered: measure a server with its clients", NULL,
     NULL},
    {"config-file", 'c', FLAG_TEXT, CMD(config), "FILE", "of the server, with --e2e", NULL, NULL},
    ROW_SCHEMA,
    ROW_TARGET,
    ROW_IGNORE,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {"bench", "QUERY", "Measure how long a query takes.", flags};

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

struct measure {
    int64_t n, ns; /* runs, and time of all */
    int64_t *each; /* of single runs, sorted; SAMPLES_MAX at most */
    size_t n_each;
    size_t bytes; /* of the arena, one run */
};

enum { SAMPLES_MAX = 100000 };

static int by_value(const void *x, const void *y)
{
    int64_t a = *(const int64_t *)x, b = *(const int64_t *)y;
    return a < b ? -1 : a > b;
}

static void once(struct run *r, struct str input, struct arena *a)
{
    struct rego_result out;
    if (r->c->flag && input.n > 0) {
        ignore_err(val_from_json(a, input, &r->input));
    }
    run_evaluate(r, a, &out);
}

/* The whole first, in batches, so that reading the clock costs nothing; then single runs. */
static void take(struct run *r, struct str input, struct measure *m)
{
    struct arena a;
    struct val kept = r->input;
    arena_init(&a, (size_t)1 << 32);
    for (int64_t batch = 1; m->ns < NS_PER_S / 2 && m->n < INT64_C(1000000000); batch *= 2) {
        int64_t start = cpu_ns();
        for (int64_t i = 0; i < batch; i++) {
            once(r, input, &a);
            m->bytes = a.used;
            arena_reset(&a);
        }
        m->ns = cpu_ns() - start;
        m->n = batch;
    }
    m->each = arena_array(&r->c->a, int64_t, SAMPLES_MAX);
    int64_t end = clock_mono_ns() + NS_PER_S / 2;
    while (m->n_each < SAMPLES_MAX && (m->n_each == 0 || clock_mono_ns() < end)) {
        int64_t start = clock_mono_ns();
        once(r, input, &a);
        m->each[m->n_each++] = clock_mono_ns() - start;
        arena_reset(&a);
    }
    r->input = kept;
    qsort(m->each, m->n_each, sizeof *m->each, by_value);
    arena_release(&a);
}

static int64_t percentile(const struct measure *m, double p)
{
    return m->each[(size_t)(p * (double)(m->n_each - 1))];
}

static void row(struct table *t, const char *name, double value)
{
    table_add(t, str_of(name));
    table_add(t, value == (double)(int64_t)value ? arena_printf(t->a, "%lld", (long long)value)
                                                 : arena_printf(t->a, "%.1f", value));
}

static void show_pretty(struct run *r, const struct measure *m)
{
    struct table t = {.a = &r->c->a, .n_columns = 2};
    struct buf b;
    buf_init(&b, 1 << 20);
    row(&t, "samples", (double)m->n);
    row(&t, "ns/op", (double)m->ns / (double)m->n);
    if (r->c->benchmem) {
        row(&t, "B/op", (double)m->bytes);
    }
    if (r->c->metrics) {
        row(&t, "histogram_timer_rego_query_eval_ns_min", (double)m->each[0]);
        row(&t, "histogram_timer_rego_query_eval_ns_median", (double)percentile(m, 0.5));
        row(&t, "histogram_timer_rego_query_eval_ns_90%", (double)percentile(m, 0.9));
        row(&t, "histogram_timer_rego_query_eval_ns_99%", (double)percentile(m, 0.99));
        row(&t, "histogram_timer_rego_query_eval_ns_99.9%", (double)percentile(m, 0.999));
        row(&t, "histogram_timer_rego_query_eval_ns_max", (double)m->each[m->n_each - 1]);
    }
    table_print(&b, &t);
    print_buf(&b);
    buf_release(&b);
}

static void show(struct run *r, const struct measure *m)
{
    if (strcmp(r->c->format, "json") == 0) {
        printf("{\n  \"N\": %lld,\n  \"T\": %lld,\n  \"Bytes\": 0,\n  \"MemBytes\": %zu,\n"
               "  \"Extra\": {\n    \"ns_per_op\": %.1f\n  }\n}\n",
               (long long)m->n, (long long)m->ns, m->bytes * (size_t)m->n,
               (double)m->ns / (double)m->n);
    } else if (strcmp(r->c->format, "gobench") == 0) {
        printf("BenchmarkOPAEval\t%8lld\t%10.1f ns/op\t%8zu B/op\n", (long long)m->n,
               (double)m->ns / (double)m->n, m->bytes);
    } else {
        show_pretty(r, m);
    }
}

static int bench(struct run *r)
{
    struct rego_result out = {0};
    if (run_prepare(r)) {
        run_evaluate(r, &r->c->a, &out);
        if (out.failed) {
            rego_errors_add(&r->errors, out.error.code, out.error.file, out.error.loc, "%.*s",
                            STR_FMT(out.error.message));
        }
    }
    if (r->errors.n > 0) {
        print_errors(r->c, &r->errors, false);
        return 1;
    }
    if (out.n_rows == 0 && r->c->fail) {
        fputs("1 error occurred: undefined result\n", stderr);
        return 1;
    }
    struct str input = STR_EMPTY;
    if (r->c->input != NULL) {
        ignore_err(read_whole_file(&r->c->a, str_of(r->c->input), &input));
    }
    for (int64_t i = 0; i < r->c->count; i++) {
        struct measure m = {0};
        take(r, input, &m);
        show(r, &m);
    }
    return 0;
}

int cmd_bench(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct run r = {.input = VAL_UNDEF, .c = cmd_new(&fc, argc, argv, &code)};
    (void)d;
    if (r.c == NULL) {
        return code;
    }
    if ((r.c->args.n != 1) == !r.c->stdin_query) {
        code = cmd_wrong(&fc, "specify query argument or --stdin");
    } else if (r.c->e2e) {
        code = cmd_wrong(&fc, "--e2e is not offered");
    } else {
        code = bench(&r);
    }
    run_release(&r);
    cmd_free(r.c);
    return code;
}
