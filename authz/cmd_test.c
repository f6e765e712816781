/* test: runs the tests of policies and reports. */
#include "cmd.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/regex/regex.h"
#include "test_trace.h"

#include <stdio.h>
#include <stdlib.h>

static const struct flag flags[] = {
    {"verbose", 'v', FLAG_BOOL, CMD(verbose), NULL, "report every test", NULL, NULL},
    {"run", 'r', FLAG_TEXT, CMD(run), "REGEX", "only tests whose full name matches", NULL, NULL},
    {"timeout", 0, FLAG_TIME, CMD(timeout_ns), "TIME",
     "limit of one test; else 5s, 30s with --bench", NULL, NULL},
    {"coverage", 'c', FLAG_BOOL, CMD(coverage), NULL, "report which lines ran, as JSON", NULL,
     NULL},
    {"coverage-runs", 0, FLAG_WORDS, CMD(coverage_runs), "KINDS",
     "why lines did not run: index_excluded, early_exit; implies --coverage", NULL, NULL},
    {"threshold", 0, FLAG_FLOAT, CMD(threshold), "PERCENT", "fail when less than this ran", NULL,
     NULL},
    {"bench", 0, FLAG_BOOL, CMD(bench), NULL, "taken; tests are not measured yet", NULL, NULL},
    {"benchmem", 0, FLAG_BOOL, CMD(benchmem), NULL, "memory, too, with --bench", NULL, "true"},
    {"exit-zero-on-skipped", 'z', FLAG_BOOL, CMD(exit_zero_on_skipped), NULL,
     "skipped tests are no failure", NULL, NULL},
    {"fail-on-empty", 0, FLAG_BOOL, CMD(fail_on_empty), NULL, "fail when there is no test", NULL,
     NULL},
    {"var-values", 0, FLAG_BOOL, CMD(var_values), NULL, "show where a test failed, and on what",
     NULL, NULL},
    {"explain", 0, FLAG_CHOICE, CMD(explain), "MODE",
     "what of the trace to show; implies --verbose", "fails,full,notes,debug", NULL},
    {"parallel", 'p', FLAG_INT, CMD(parallel), "N", "taken; tests run one by one", NULL, "0"},
    {"sort", 0, FLAG_CHOICE, CMD(sort), "ORDER", "order of JSON output", "none,duration", "none"},
    {"watch", 'w', FLAG_BOOL, CMD(watch), NULL, "taken; tests run once", NULL, NULL},
    ROW_FORMAT("pretty,json,gobench", "pretty"),
    ROW_COUNT("times to run each test"),
    ROW_BUNDLE_MODE,
    ROW_IGNORE,
    ROW_MAX_ERRORS,
    ROW_CAPABILITIES,
    ROW_SCHEMA,
    ROW_TARGET,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {"test", "PATH...",
                                       "Run the tests below the paths: rules named test_… pass "
                                       "when they are true, todo_test_… are skipped.",
                                       flags};

struct tally {
    size_t pass, fail, error, skip, runs;
    bool dirty, failed; /* something was printed; the exit code is not 0 */
    struct str last_file;
};

static void count_cases(struct tally *t, const struct test_case *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->cases[i].n > 0) {
            count_cases(t, &c->cases[i]);
        } else {
            t->fail += c->cases[i].fail;
            t->pass += !c->cases[i].fail;
        }
    }
}

static void count(struct tally *t, const struct test_result *r)
{
    t->skip += r->verdict == TEST_SKIP;
    t->error += r->verdict == TEST_ERROR;
    if (r->root.n > 0) {
        count_cases(t, &r->root);
    } else {
        t->pass += r->verdict == TEST_PASS;
        t->fail += r->verdict == TEST_FAIL;
    }
    t->runs++;
}

static void put_head(struct buf *b, const struct test *test, const struct test_result *r)
{
    buf_printf(b, "%.*s.%.*s: %s", STR_FMT(test->package), STR_FMT(test->name),
               verdict_name(r->verdict));
    if (r->verdict != TEST_SKIP) {
        buf_puts(b, S(" ("));
        duration_put(b, r->ns);
        buf_puts(b, S(")"));
    }
    buf_putc(b, '\n');
}

static void put_cases(struct buf *b, const struct test_case *c, unsigned depth, bool all)
{
    for (size_t i = 0; i < c->n; i++) {
        if (all || c->cases[i].fail) {
            buf_printf(b, "%*s%.*s: %s\n", (int)(2 * depth + 2), "", STR_FMT(c->cases[i].name),
                       c->cases[i].fail ? "FAIL" : "PASS");
        }
        put_cases(b, &c->cases[i], depth + 1, all);
    }
}

static void put_output(struct buf *b, struct str output)
{
    struct str rest = str_trim(output);
    buf_putc(b, '\n');
    while (rest.p != NULL) {
        struct str line = str_split(&rest, '\n');
        buf_printf(b, "  %.*s\n", STR_FMT(line));
    }
    buf_putc(b, '\n');
}

static void put_result(struct buf *b, const struct cmd *c, struct tally *t, const struct test *test,
                       const struct test_result *r)
{
    struct str file = test->module->file;
    if (c->verbose || r->verdict != TEST_PASS) {
        buf_puts(b, t->last_file.n > 0 && !str_eq(t->last_file, file) ? S("\n") : S(""));
        buf_printf(b, "%.*s:%u:\n", STR_FMT(file), test->rule->loc.row);
        t->last_file = file;
        t->dirty = true;
        put_head(b, test, r);
        put_cases(b, &r->root, 0, c->verbose);
        if (r->output.n > 0) {
            put_output(b, r->output);
        }
    }
    if (r->verdict == TEST_ERROR) {
        buf_puts(b, S("  "));
        if (r->error.loc.row == 1 && r->error.file.n == 0) {
            buf_puts(b, S("1 error occurred: "));
        }
        rego_error_write(b, &r->error);
        buf_putc(b, '\n');
    }
}

static void put_rule(struct buf *b)
{
    for (int i = 0; i < 80; i++) {
        buf_putc(b, '-');
    }
    buf_putc(b, '\n');
}

static void put_summary(struct buf *b, const struct tally *t)
{
    size_t total = t->pass + t->fail + t->skip + t->error;
    const struct {
        const char *name;
        size_t n;
    } lines[] = {{"PASS", t->pass}, {"FAIL", t->fail}, {"SKIPPED", t->skip}, {"ERROR", t->error}};
    if (t->dirty) {
        put_rule(b);
    }
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        if (lines[i].n > 0) {
            buf_printf(b, "%s: %zu/%zu\n", lines[i].name, lines[i].n, total);
        }
    }
}

/* ---- JSON ---- */

static struct val cases_json(struct arena *a, const struct test_case *c)
{
    struct vlist all = {.a = a};
    for (size_t i = 0; i < c->n; i++) {
        const struct test_case *x = &c->cases[i];
        struct vlist o = {.a = a};
        vlist_put(&o, "name", val_str(a, x->name));
        if (x->fail) {
            vlist_put(&o, "fail", VAL_TRUE);
        }
        if (x->n > 0) {
            vlist_put(&o, "sub_results", cases_json(a, x));
        }
        vlist_add2(&all, val_str(a, x->name), vlist_object(&o));
    }
    return vlist_object(&all);
}

static void put_indented(struct buf *b, struct val v, const char *indent)
{
    struct buf text;
    buf_init(&text, TEST_OUTPUT_MAX);
    val_to_json_pretty(&text, v, "  ", true);
    for (struct str rest = buf_str(&text); rest.p != NULL;) {
        buf_puts(b, str_split(&rest, '\n'));
        if (rest.p != NULL) {
            buf_printf(b, "\n%s", indent);
        }
    }
    buf_release(&text);
}

static void put_place(struct buf *b, struct str file, struct loc loc, const char *indent)
{
    buf_printf(b, "{\n%s  \"file\": ", indent);
    val_json_string(b, file, true);
    buf_printf(b, ",\n%s  \"row\": %u,\n%s  \"col\": %u\n%s}", indent, loc.row, indent, loc.col,
               indent);
}

static void put_error(struct buf *b, const struct rego_error *e)
{
    buf_printf(b, ",\n    \"error\": {\n      \"code\": \"%s\",\n      \"message\": ", e->code);
    val_json_string(b, e->message, true);
    if (e->loc.row > 0) {
        buf_puts(b, S(",\n      \"location\": "));
        put_place(b, e->file, e->loc, "      ");
    }
    buf_puts(b, S("\n    }"));
}

/* Members stand in upstream's order, not sorted. */
static void put_json(struct buf *b, struct arena *a, const struct test *test,
                     const struct test_result *r)
{
    buf_puts(b, S("  {\n    \"location\": "));
    put_place(b, test->module->file, test->rule->loc, "    ");
    buf_puts(b, S(",\n    \"package\": "));
    val_json_string(b, test->package, true);
    buf_puts(b, S(",\n    \"name\": "));
    val_json_string(b, test->name, true);
    buf_puts(b, r->verdict == TEST_FAIL ? S(",\n    \"fail\": true") : S(""));
    if (r->verdict == TEST_ERROR) {
        put_error(b, &r->error);
    }
    buf_puts(b, r->verdict == TEST_SKIP ? S(",\n    \"skip\": true") : S(""));
    buf_printf(b, ",\n    \"duration\": %lld", (long long)r->ns);
    if (r->output.n > 0) {
        struct buf text;
        buf_init(&text, 2 * (size_t)TEST_OUTPUT_MAX);
        base64_put(&text, r->output, BASE64_STD);
        buf_printf(b, ",\n    \"output\": \"%.*s\"", STR_FMT(buf_str(&text)));
        buf_release(&text);
    }
    if (r->root.n > 0) {
        buf_puts(b, S(",\n    \"sub_results\": "));
        put_indented(b, cases_json(a, &r->root), "    ");
    }
    buf_puts(b, S("\n  }"));
}

/* ---- running ---- */

struct json_item {
    int64_t ns;
    struct str text;
};

static int by_duration(const void *x, const void *y)
{
    const struct json_item *a = x, *b = y;
    return a->ns < b->ns ? 1 : a->ns > b->ns ? -1 : 0;
}

static void print_json(struct json_item *items, size_t n, const char *sort)
{
    if (strcmp(sort, "duration") == 0 && n > 0) {
        qsort(items, n, sizeof *items, by_duration);
    }
    fputs("[", stdout);
    for (size_t i = 0; i < n; i++) {
        printf("%s\n%.*s", i > 0 ? "," : "", STR_FMT(items[i].text));
    }
    puts(n > 0 ? "\n]" : "]");
}

static void judge_exit(struct tally *t, const struct cmd *c, const struct test_result *r)
{
    t->failed |= r->verdict == TEST_FAIL || r->verdict == TEST_ERROR ||
                 (r->verdict == TEST_SKIP && !c->exit_zero_on_skipped);
}

/* One run over all tests. */
struct pass {
    struct cmd *c;
    const struct tester *tester;
    struct test_trace trace;
    struct tally t;
    struct buf out, failures;
    struct json_item *items;
    bool json;
};

static void one_test(struct pass *x, size_t i, struct arena *a)
{
    struct cmd *c = x->c;
    const struct test *test = &x->tester->tests[i];
    struct test_result r;
    tester_run(x->tester, test, a, &r);
    judge_exit(&x->t, c, &r);
    count(&x->t, &r);
    bool failed_test = r.verdict == TEST_FAIL;
    if (c->coverage) {
        test_cover(&x->trace, test, a);
    }
    if (x->json) {
        put_json(&x->out, a, test, &r);
        x->items[i] = (struct json_item){r.ns, arena_str(&c->a, buf_str(&x->out))};
        buf_clear(&x->out);
        return;
    }
    if (!c->coverage || r.verdict == TEST_FAIL || r.verdict == TEST_ERROR) {
        put_result(&x->out, c, &x->t, test, &r);
        print_buf(&x->out);
    }
    if (failed_test && (c->verbose || c->var_values)) {
        put_head(&x->failures, test, &r);
        test_explain(&x->trace, test, &r, a, &x->failures);
    }
}

static void report(struct pass *x)
{
    if (x->json) {
        print_json(x->items, x->tester->n, x->c->sort);
        return;
    }
    if (x->failures.n > 0) {
        put_rule(&x->out);
        buf_puts(&x->out, S("FAILURES\n"));
        put_rule(&x->out);
        buf_puts(&x->out, buf_str(&x->failures));
    }
    if (!x->c->coverage || x->t.fail + x->t.error > 0) {
        put_summary(&x->out, &x->t);
    }
    print_buf(&x->out);
}

static int exit_code(struct pass *x)
{
    if (x->t.runs == 0 && x->c->fail_on_empty) {
        fputs("no tests were run\n", stderr);
        return 1;
    }
    if (x->c->coverage) {
        return x->t.fail + x->t.error > 0 ? 1 : test_cover_report(&x->trace);
    }
    return x->t.failed ? 2 : 0;
}

/* All tests once. Memory of one test is gone before the next. */
static int run_all(struct cmd *c, const struct tester *tester)
{
    struct pass x = {
        .c = c, .tester = tester, .json = strcmp(c->format, "json") == 0 && !c->coverage};
    struct arena a;
    x.items = arena_array(&c->a, struct json_item, tester->n + 1);
    arena_init(&a, (size_t)8 << 30);
    buf_init(&x.out, (size_t)1 << 30);
    buf_init(&x.failures, (size_t)1 << 30);
    bool traced = c->coverage || c->verbose || c->var_values;
    if (traced) {
        test_trace_init(&x.trace, c, tester);
    }
    for (size_t i = 0; i < tester->n; i++) {
        one_test(&x, i, &a);
        arena_reset(&a);
    }
    report(&x);
    int code = exit_code(&x);
    if (traced) {
        test_trace_release(&x.trace);
    }
    buf_release(&x.out);
    buf_release(&x.failures);
    arena_release(&a);
    return code;
}

static int check_flags(struct cmd *c)
{
    if (c->args.n == 0) {
        return cmd_wrong(&fc, "specify at least one file");
    }
    if (c->threshold < 0 || c->threshold > 100) {
        fputs("Code coverage threshold must be between 0 and 100\n", stderr);
        return 1;
    }
    c->coverage |= c->coverage_runs.set || c->threshold > 0;
    c->verbose |= flags_given("explain");
    return 0;
}

static int run_tests(struct cmd *c)
{
    struct rego_errors errors = {.a = &c->a};
    struct rego_compile_options o = {.enable_print = !c->bench, .tests = true};
    struct regex *only = NULL;
    bool loading;
    if (c->run != NULL && failed(regex_compile(str_of(c->run), 0, &only))) {
        fprintf(stderr, "error parsing regexp: %s\n", err_detail());
        return 1;
    }
    struct image *im = cmd_load(c, LOAD_ARGS, &o, &errors, &loading);
    if (im == NULL) {
        print_errors(c, &errors, loading);
        regex_free(only);
        return 1;
    }
    struct tester t = {.policy = im->policy,
                       .data = im->data,
                       .runtime = cmd_runtime(&c->a),
                       .outside = cmd_outside(c),
                       .timeout_ns = c->timeout_ns > 0 ? c->timeout_ns : 5 * NS_PER_S};
    tester_find(&t, &c->a, only);
    int code = 0;
    for (int64_t i = 0; i < c->count && code == 0; i++) {
        code = run_all(c, &t);
    }
    image_free(im);
    regex_free(only);
    return code;
}

int cmd_test(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    if (strcmp(c->format, "gobench") == 0 && !c->bench) {
        fputs("cannot use output format gobench without running benchmarks (--bench)\n", stderr);
    } else {
        code = check_flags(c);
        code = code != 0 ? code : run_tests(c);
    }
    cmd_free(c);
    return code;
}
