#include "tester.h"

#include "lib/base/clock.h"
#include "lib/regex/regex.h"

#include <stdlib.h>

const char *verdict_name(enum verdict v)
{
    static const char *const names[] = {"PASS", "FAIL", "ERROR", "SKIPPED"};
    return names[v];
}

/* References as they are written: a[0]-like parts by their text. */
static struct str written(struct arena *a, struct term *ref)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, ref);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str word(const struct term *t)
{
    return t->type == T_VAR ? t->var.name : t->str;
}

static void describe(struct arena *a, struct test *t, size_t n)
{
    const struct term *package = t->module->package, *ref = t->rule->head->ref;
    struct vlist path = {.a = a};
    struct term *name = term_new(a, T_REF, t->rule->loc);
    for (size_t i = 1; i < package->list.n; i++) {
        vlist_add(&path, val_str(a, package->list.v[i]->str));
    }
    for (size_t i = 0; i < n; i++) {
        vlist_add(&path, val_str(a, word(ref->list.v[i])));
        term_push(a, name, ref->list.v[i]);
    }
    t->path = vlist_array(&path);
    t->package = written(a, t->module->package);
    t->name = written(a, name);
    t->skip = str_starts(word(ref->list.v[n - 1]), S("todo_"));
    for (size_t i = n; i < ref->list.n; i++) {
        enum term_type type = ref->list.v[i]->type;
        t->cases |= type > T_STRING;
    }
}

void tester_find(struct tester *t, struct arena *a, struct regex *only)
{
    for (size_t i = 0; i < rego_policy_modules(t->policy); i++) {
        const struct module *m = rego_policy_module(t->policy, i);
        for (size_t k = 0; k < m->n_rules; k++) {
            size_t n = rego_test_name(m->rules[k]);
            struct test test = {.module = m, .rule = m->rules[k]};
            if (n == 0) {
                continue;
            }
            describe(a, &test, n);
            struct str full =
                arena_printf(a, "%.*s.%.*s", STR_FMT(test.package), STR_FMT(test.name));
            if (only != NULL && !regex_match(only, full, NULL, 0)) {
                continue;
            }
            t->tests = arena_grow(a, t->tests, t->n, t->n + 1, &t->cap, sizeof *t->tests);
            t->tests[t->n++] = test;
        }
    }
}

static struct str case_name(struct arena *a, struct val key)
{
    if (val_is(key, V_STRING)) {
        return val_text(key);
    }
    struct buf b;
    buf_init(&b, 1 << 16);
    val_to_json(&b, key, true);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct test_case *find_case(struct test_case *c, struct str name)
{
    for (size_t i = 0; i < c->n; i++) {
        if (str_eq(c->cases[i].name, name)) {
            return &c->cases[i];
        }
    }
    return NULL;
}

static struct test_case *add_case(struct arena *a, struct test_case *c, struct str name, bool fail)
{
    c->cases = arena_grow(a, c->cases, c->n, c->n + 1, &c->cap, sizeof *c->cases);
    c->cases[c->n] = (struct test_case){.name = name, .fail = fail};
    return &c->cases[c->n++];
}

/* The document of a test that holds cases: what is true passed. Depth is bounded. */
static bool cases_of_value(struct arena *a, struct test_case *c, struct val v, unsigned depth)
{
    bool fail = false;
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val x = val_nth(v, i);
        struct test_case *sub = add_case(a, c, case_name(a, val_tab(v)->v[2 * (size_t)i]), false);
        bool holds_more = val_is(x, V_OBJECT) && depth < TEST_CASE_DEPTH;
        sub->fail = holds_more ? cases_of_value(a, sub, x, depth + 1) : !val_is_true(x);
        fail |= sub->fail;
    }
    return fail;
}

/* A case that began: when the document does not hold it, it failed. */
static bool case_began(struct arena *a, struct test_case *root, struct val name)
{
    struct test_case *path[TEST_CASE_DEPTH], *at = root;
    uint32_t n = MIN(val_len(name), (uint32_t)TEST_CASE_DEPTH);
    for (uint32_t i = 0; i < n; i++) {
        struct str s = case_name(a, val_nth(name, i));
        struct test_case *next = find_case(at, s);
        at = path[i] = next != NULL ? next : add_case(a, at, s, true);
    }
    bool fail = n > 0 && path[n - 1]->fail;
    for (uint32_t i = 0; fail && i < n; i++) {
        path[i]->fail = true;
    }
    return fail;
}

static int by_name(const void *x, const void *y)
{
    return str_cmp(((const struct test_case *)x)->name, ((const struct test_case *)y)->name);
}

static void sort_cases(struct test_case *c)
{
    if (c->n > 0) {
        qsort(c->cases, c->n, sizeof *c->cases, by_name);
    }
    for (size_t i = 0; i < c->n; i++) {
        sort_cases(&c->cases[i]);
    }
}

struct watch {
    struct vlist began;
    struct buf output;
};

static void note_case(void *ctx, struct val name)
{
    struct watch *w = ctx;
    vlist_add(&w->began, name);
}

static void note_print(void *ctx, struct str line)
{
    struct watch *w = ctx;
    buf_puts(&w->output, line);
    buf_putc(&w->output, '\n');
}

static enum verdict judge(const struct test *test, struct val v, struct watch *w, struct arena *a,
                          struct test_case *root)
{
    if (!test->cases || !val_is(v, V_OBJECT)) {
        return val_is_true(v) ? TEST_PASS : TEST_FAIL;
    }
    bool fail = cases_of_value(a, root, v, 0);
    for (size_t i = 0; i < w->began.n; i++) {
        fail |= case_began(a, root, w->began.v[i]);
    }
    sort_cases(root);
    return fail ? TEST_FAIL : TEST_PASS;
}

/* A function is no document: asking for it is a mistake, and the one who asks is told. */
static void refuse_function(const struct test *test, struct arena *a, struct test_result *out)
{
    out->verdict = TEST_ERROR;
    out->error = (struct rego_error){
        .code = "rego_type_error",
        .loc = {.row = 1, .col = 1},
        .message = arena_printf(a, "function %.*s.%.*s used as reference, not called",
                                STR_FMT(test->package), STR_FMT(test->name))};
}

void tester_run(const struct tester *t, const struct test *test, struct arena *a,
                struct test_result *out)
{
    struct watch w = {.began = {.a = a}};
    struct rego_result r;
    *out = (struct test_result){.verdict = TEST_SKIP};
    if (test->skip) {
        return;
    }
    if (test->rule->head->is_func) {
        refuse_function(test, a, out);
        return;
    }
    buf_init(&w.output, TEST_OUTPUT_MAX);
    int64_t start = clock_mono_ns();
    struct rego_eval_options o = {.data = t->data,
                                  .runtime = t->runtime,
                                  .outside = t->outside,
                                  .max_steps = UINT64_C(1) << 60,
                                  .deadline_ns = start + t->timeout_ns,
                                  .print = note_print,
                                  .print_ctx = &w,
                                  .test_case = note_case,
                                  .test_case_ctx = &w};
    struct val v =
        rego_eval_path(t->policy, val_arr(test->path)->v, val_len(test->path), &o, a, &r);
    out->ns = clock_mono_ns() - start;
    out->output = arena_str(a, buf_str(&w.output));
    if (r.failed) {
        out->verdict = TEST_ERROR;
        out->error = r.error;
    } else {
        out->verdict = judge(test, v, &w, a, &out->root);
    }
    buf_release(&w.output);
}
