/*
 * Both evaluators on the whole package of every policy of the suites: same value, or same error.
 *
 *     rego_differential SUITE_DIR… [-v]
 */
#include "authz/rego/topdown.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static bool verbose;

struct count {
    size_t same, different;
};

static struct str read_file(struct arena *a, const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return STR_EMPTY;
    }
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    rewind(f);
    char *p = arena_alloc_raw(a, (size_t)n + 1, 1);
    size_t got = fread(p, 1, (size_t)n, f);
    fclose(f);
    return str_n(p, got);
}

static struct str answer(struct arena *a, const struct rego_result *r)
{
    if (r->failed) {
        return str_of(r->error.code);
    }
    return r->n_rows == 0 ? S("undefined") : val_rego_text(a, val_nth(r->rows[0], 0));
}

/* Answers of what changes from call to call, or runs out of a budget, are not compared. */
static bool comparable(struct str text, const struct rego_result *x, const struct rego_result *y)
{
    static const char *const changing[] = {"time.now_ns", "rand.intn", "uuid.rfc4122",
                                           "opa.runtime", "http.send", "io.jwt.encode_sign"};
    for (size_t i = 0; i < ARRAY_LEN(changing); i++) {
        if (str_find(text, str_of(changing[i])) != STR_NPOS) {
            return false;
        }
    }
    const struct rego_result *r[] = {x, y};
    for (size_t i = 0; i < 2; i++) {
        if (r[i]->failed && strcmp(r[i]->error.code, "eval_cancel_error") == 0) {
            return false;
        }
    }
    return true;
}

static void compare(struct arena *a, const struct rego_policy *p, size_t module, struct val c,
                    const char *file, struct count *n)
{
    const struct module *m = rego_policy_module(p, module);
    struct rego_errors errors = {.a = a};
    struct rego_query *q = NULL;
    struct rego_topdown_query *tq = NULL;
    struct buf text;
    buf_init(&text, 1 << 16);
    buf_puts(&text, S("x = "));
    term_write(&text, m->package);
    struct rego_topdown *t = rego_topdown_new(p);
    if (rego_prepare(p, buf_str(&text), NULL, &errors, &q) &&
        rego_topdown_prepare(t, buf_str(&text), NULL, &errors, &tq)) {
        struct val data = val_get_str(c, "data");
        struct rego_eval_options o = {
            .input = val_get_str(c, "input"),
            .data = val_is(data, V_OBJECT) ? data : val_empty_object(),
            .strict_builtin_errors = val_is_true(val_get_str(c, "strict_error")),
            .now_ns = 1700000000000000000,
        };
        struct rego_result fast, slow;
        rego_eval(q, &o, a, &fast);
        rego_topdown_eval(tq, &o, NULL, a, &slow);
        struct str x = answer(a, &fast), y = answer(a, &slow);
        bool same = str_eq(x, y) || !comparable(m->source, &fast, &slow);
        n->same += same;
        n->different += !same;
        if (!same && verbose) {
            printf("DIFFERENT %s %.*s: fast %.*s slow %.*s\n", file,
                   STR_FMT(val_text(val_get_str(c, "id"))), STR_FMT(str_sub(x, 0, 300)),
                   STR_FMT(str_sub(y, 0, 300)));
        }
    }
    buf_release(&text);
    rego_query_free(q);
    rego_topdown_query_free(tq);
    rego_topdown_free(t);
}

static void run_case(struct val c, const char *file, struct count *n)
{
    struct arena a;
    arena_init(&a, 256 << 20);
    struct val modules = val_get_str(c, "modules");
    size_t count = val_is(modules, V_ARRAY) ? val_len(modules) : 0;
    struct rego_source *src = arena_array(&a, struct rego_source, count + 1);
    bool v0 = str_is(val_text(val_get_str(c, "rego")), "v0");
    for (size_t i = 0; i < count; i++) {
        src[i] = (struct rego_source){.name = arena_printf(&a, "test-%zu.rego", i),
                                      .text = val_text(val_nth(modules, (uint32_t)i)),
                                      .version = v0 ? REGO_V0 : REGO_V1};
    }
    struct rego_errors errors = {.a = &a};
    struct rego_policy *p;
    if (rego_compile(src, count, NULL, &errors, &p)) {
        for (size_t i = 0; i < rego_policy_modules(p); i++) {
            compare(&a, p, i, c, file, n);
        }
        rego_policy_free(p);
    }
    arena_release(&a);
}

static void run_file(const char *dir, const char *name, struct count *n)
{
    struct arena a;
    struct val cases;
    arena_init(&a, (size_t)1 << 30);
    struct str path = arena_printf(&a, "%s/%s", dir, name);
    if (failed(val_from_json(&a, read_file(&a, path.p), &cases))) {
        printf("%s: %s\n", name, err_detail());
        n->different++;
    } else {
        for (uint32_t i = 0; i < val_len(cases); i++) {
            run_case(val_nth(cases, i), name, n);
        }
    }
    arena_release(&a);
}

int main(int argc, char **argv)
{
    struct count n = {0};
    bool found = false;
    for (int i = 1; i < argc; i++) {
        verbose |= strcmp(argv[i], "-v") == 0;
    }
    for (int i = 1; i < argc; i++) {
        DIR *d = argv[i][0] != '-' ? opendir(argv[i]) : NULL;
        for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
            if (str_ends(str_of(e->d_name), S(".json"))) {
                found = true;
                run_file(argv[i], e->d_name, &n);
            }
        }
        if (d != NULL) {
            closedir(d);
        }
    }
    if (!found) {
        printf("skipped: the Rego evaluation suites are not here\n");
        return 77;
    }
    printf("same %zu, different %zu\n", n.same, n.different);
    return n.different > 0;
}
