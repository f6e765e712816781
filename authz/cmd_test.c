/* test: rules named test_… are true, or they fail. */
#include "cmd.h"

#include "lib/base/clock.h"
#include "lib/regex/regex.h"

#include <stdio.h>

enum verdict { PASS, FAIL_TEST, ERROR_TEST, SKIP };

struct tally {
    size_t pass, fail, error, skip, total;
};

static void print_line(void *ctx, struct str line)
{
    struct buf *b = ctx;
    buf_puts(b, S("  "));
    buf_puts(b, line);
    buf_putc(b, '\n');
}

static enum verdict run_one(const struct image *im, const struct val *path, size_t n, int64_t limit,
                            struct buf *printed, struct str *why, struct arena *a)
{
    struct rego_result r;
    struct rego_eval_options o = {.data = im->data,
                                  .print = print_line,
                                  .print_ctx = printed,
                                  .max_steps = UINT64_C(1) << 60,
                                  .deadline_ns = clock_mono_ns() + limit};
    struct val v = rego_eval_path(im->policy, path, n, &o, a, &r);
    if (r.failed) {
        struct buf b;
        buf_init(&b, 1 << 20);
        rego_error_write(&b, &r.error);
        *why = arena_str(a, buf_str(&b));
        buf_release(&b);
        return ERROR_TEST;
    }
    return val_is_true(v) || (!val_undef(v) && !val_is(v, V_BOOL)) ? PASS : FAIL_TEST;
}

static void put_time(char *out, size_t size, int64_t ns)
{
    if (ns < 1000000) {
        snprintf(out, size, "%.3fµs", (double)ns / 1e3);
    } else if (ns < NS_PER_S) {
        snprintf(out, size, "%.6fms", (double)ns / 1e6);
    } else {
        snprintf(out, size, "%.9fs", (double)ns / 1e9);
    }
}

static bool seen_before(const struct module *m, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (str_eq(m->rules[k]->head->ref->list.v[0]->var.name,
                   m->rules[i]->head->ref->list.v[0]->var.name)) {
            return true;
        }
    }
    return false;
}

static size_t test_path(struct arena *a, const struct module *m, const struct rule *r,
                        struct val *path, size_t max, struct str *shown)
{
    size_t n = 0;
    *shown = S("data");
    for (size_t i = 1; i < m->package->list.n && n < max; i++) {
        path[n++] = val_str(a, m->package->list.v[i]->str);
        *shown = arena_printf(a, "%.*s.%.*s", STR_FMT(*shown), STR_FMT(m->package->list.v[i]->str));
    }
    struct str name = r->head->ref->list.v[0]->var.name;
    path[n++] = val_str(a, name);
    *shown = arena_printf(a, "%.*s.%.*s", STR_FMT(*shown), STR_FMT(name));
    return n;
}

static void run_rule(struct cmd *c, const struct image *im, const struct module *m,
                     const struct rule *r, struct tally *t, bool *file_shown)
{
    static const char *const words[] = {"PASS", "FAIL", "ERROR", "SKIPPED"};
    struct val path[300];
    struct str shown, why = STR_EMPTY;
    struct arena a;
    struct buf printed;
    char took[64];
    arena_init(&a, (size_t)4 << 30);
    buf_init(&printed, 1 << 24);
    size_t n = test_path(&a, m, r, path, 298, &shown);
    struct str name = r->head->ref->list.v[0]->var.name;
    enum verdict v = SKIP;
    int64_t start = clock_mono_ns();
    if (!str_starts(name, S("todo_"))) {
        v = run_one(im, path, n, c->timeout_ns > 0 ? c->timeout_ns : 5 * NS_PER_S, &printed, &why,
                    &a);
    }
    put_time(took, sizeof took, clock_mono_ns() - start);
    t->total++;
    t->pass += v == PASS;
    t->fail += v == FAIL_TEST;
    t->error += v == ERROR_TEST;
    t->skip += v == SKIP;
    if (c->verbose || v != PASS) {
        if (!*file_shown) {
            printf("%.*s:\n", STR_FMT(m->file));
            *file_shown = true;
        }
        if (v == SKIP) {
            printf("%.*s: SKIPPED\n", STR_FMT(shown));
        } else {
            printf("%.*s: %s (%s)\n", STR_FMT(shown), words[v], took);
        }
        if (v == ERROR_TEST) {
            printf("  %.*s\n", STR_FMT(why));
        }
        if (printed.n > 0) {
            printf("\n%.*s\n", STR_FMT(buf_str(&printed)));
        }
    }
    buf_release(&printed);
    arena_release(&a);
}

static void run_all(struct cmd *c, const struct image *im, struct regex *only, struct tally *t)
{
    for (size_t i = 0; i < rego_policy_modules(im->policy); i++) {
        const struct module *m = rego_policy_module(im->policy, i);
        bool shown = false;
        for (size_t k = 0; k < m->n_rules; k++) {
            struct str name = m->rules[k]->head->ref->list.v[0]->var.name;
            bool test = str_starts(name, S("test_")) || str_starts(name, S("todo_test_"));
            struct val path[300];
            struct str full;
            if (!test || m->rules[k]->head->is_func || seen_before(m, k)) {
                continue;
            }
            (void)test_path(&c->a, m, m->rules[k], path, 298, &full);
            if (only == NULL || regex_match(only, full, NULL, 0)) {
                run_rule(c, im, m, m->rules[k], t, &shown);
            }
        }
    }
}

static void summary(const struct tally *t, bool verbose)
{
    if (verbose || t->pass < t->total) {
        puts("--------------------------------------------------------------------------------");
    }
    if (t->pass > 0 || t->total == 0) {
        printf("PASS: %zu/%zu\n", t->pass, t->total);
    }
    if (t->fail > 0) {
        printf("FAIL: %zu/%zu\n", t->fail, t->total);
    }
    if (t->skip > 0) {
        printf("SKIPPED: %zu/%zu\n", t->skip, t->total);
    }
    if (t->error > 0) {
        printf("ERROR: %zu/%zu\n", t->error, t->total);
    }
}

int cmd_test(struct daemon *d, int argc, char **argv)
{
    struct cmd c;
    (void)d;
    if (!cmd_parse(&c, argc, argv)) {
        return 1;
    }
    for (size_t i = 0; i < c.n_args && c.n_paths < CMD_PATHS_MAX; i++) {
        c.paths[c.n_paths++] = c.args[i];
    }
    struct rego_errors errors = {.a = &c.a};
    struct rego_compile_options o = {.enable_print = true};
    struct regex *only = NULL;
    if (c.run != NULL && failed(regex_compile(str_of(c.run), 0, &only))) {
        fprintf(stderr, "error: -r: %s\n", err_detail());
        return 1;
    }
    struct image *im = cmd_load(&c, &o, &errors);
    if (im == NULL) {
        struct buf b;
        buf_init(&b, 1 << 24);
        rego_errors_write(&b, &errors);
        fprintf(stderr, "%.*s\n", STR_FMT(buf_str(&b)));
        buf_release(&b);
        return 1;
    }
    struct tally t = {0};
    run_all(&c, im, only, &t);
    summary(&t, c.verbose);
    image_free(im);
    regex_free(only);
    cmd_release(&c);
    return t.fail + t.error > 0 || (c.fail_on_empty && t.total == 0) ? 2 : 0;
}
