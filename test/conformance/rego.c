/*
 * The evaluation suites of Open Policy Agent, run against authz/rego.
 *
 *     rego SUITE_DIR [-v] [-f FILE] [-n N] [--floor FILE] [--engine topdown]
 *
 * Prints passed and total for each file of cases and for the whole; -v names each failure. The floor
 * file holds the least number that must pass; it only ever rises.
 */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/engine.h"
#include "authz/rego/topdown.h"
#include "authz/rego/types/signature.h"
#include "lib/base/clock.h"

#include <dirent.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The suite's own builtin: waits for a duration ("10ms") and gives null. */
static enum b_status test_sleep(struct bcall *b)
{
    int64_t ns = 0;
    if (!b_is(b, 1, V_STRING) || failed(duration_parse(val_text(b->args[0]), &ns))) {
        return b_fail(b, "not a duration");
    }
    struct timespec t = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    nanosleep(&t, NULL);
    return b_out(b, VAL_NULL);
}

static const struct builtin suite_builtins[] = {{"test.sleep", 1, test_sleep, 0}, {0}};
static const struct signature suite_signatures[] = {{"test.sleep", "string", "null", NULL, 0}, {0}};

/* Names, by the system's resolver; requests nobody sends here. */
static bool resolve(void *ctx, struct str host, struct arena *a, struct outside_addresses *out)
{
    (void)ctx;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    struct str *texts = arena_array(a, struct str, 16);
    *out = (struct outside_addresses){.texts = texts};
    if (getaddrinfo(arena_cstr(a, host), NULL, &hints, &list) != 0) {
        out->error = S("no such host");
        return true;
    }
    for (struct addrinfo *i = list; i != NULL && out->n < 16; i = i->ai_next) {
        char text[128];
        getnameinfo(i->ai_addr, i->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST);
        texts[out->n++] = arena_str(a, str_of(text));
    }
    freeaddrinfo(list);
    return true;
}

static const struct outside world = {.resolve = resolve};

static bool verbose, topdown;
static const char *only_file;
static long only_case = -1;

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

/* Sets become arrays, keys become strings: what JSON can say. */
static struct val plain(struct arena *a, struct val v, bool sort)
{
    struct vlist l = {.a = a};
    if (!val_is_collection(v)) {
        return v;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val item = plain(a, val_nth(v, i), false);
        if (!val_is(v, V_OBJECT)) {
            vlist_add(&l, item);
            continue;
        }
        struct val k = val_nth_key(a, v, i);
        if (!val_is(k, V_STRING)) {
            struct buf b;
            buf_init(&b, 1 << 20);
            val_to_json(&b, k, false);
            k = val_str(a, buf_str(&b));
            buf_release(&b);
        }
        vlist_add2(&l, k, item);
    }
    if (val_is(v, V_OBJECT)) {
        return vlist_object(&l);
    }
    if (sort) { /* a sorted list without losing duplicates */
        for (size_t i = 1; i < l.n; i++) {
            for (size_t k = i; k > 0 && val_cmp(l.v[k - 1], l.v[k]) > 0; k--) {
                struct val t = l.v[k];
                l.v[k] = l.v[k - 1], l.v[k - 1] = t;
            }
        }
    }
    return vlist_array(&l);
}

/* Names of the query's variables, in the order of a row's values. */
static struct str *var_names(struct arena *a, const struct rego_query *q,
                             const struct rego_topdown_query *tq)
{
    size_t n = tq != NULL ? rego_topdown_query_vars(tq) : rego_query_vars(q);
    struct str *names = arena_array(a, struct str, n + 1);
    for (size_t i = 0; i < n; i++) {
        names[i] = tq != NULL ? rego_topdown_query_var(tq, i) : rego_query_var(q, i);
    }
    return names;
}

static struct val got_rows(struct arena *a, const struct str *names, const struct rego_result *r,
                           bool sort)
{
    struct vlist rows = {.a = a};
    for (size_t i = 0; i < r->n_rows; i++) {
        struct vlist row = {.a = a};
        for (size_t k = 0; k < r->n_vars; k++) {
            vlist_add2(&row, val_str(a, names[k]),
                       plain(a, val_nth(r->rows[i], (uint32_t)k), sort));
        }
        vlist_add(&rows, vlist_object(&row));
    }
    return vlist_set(&rows);
}

struct outcome {
    struct str error; /* empty: none */
    const char *code;
    struct val rows;
};

static struct str error_text(struct arena *a, const struct rego_errors *e)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_errors_write(&b, e);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static bool compile_case(struct arena *a, struct val c, struct rego_policy **p, struct outcome *o)
{
    struct val modules = val_get_str(c, "modules");
    size_t n = val_undef(modules) || !val_is(modules, V_ARRAY) ? 0 : val_len(modules);
    struct rego_source *src = arena_array(a, struct rego_source, n + 1);
    bool v0 = str_is(val_text(val_get_str(c, "rego")), "v0");
    for (size_t i = 0; i < n; i++) {
        src[i] = (struct rego_source){.name = arena_printf(a, "test-%zu.rego", i),
                                      .text = val_text(val_nth(modules, (uint32_t)i)),
                                      .version = v0 ? REGO_V0 : REGO_V1};
    }
    struct rego_errors errors = {.a = a};
    if (!rego_compile(src, n, NULL, &errors, p)) {
        o->error = error_text(a, &errors);
        o->code = errors.v[0].code;
        return false;
    }
    return true;
}

static struct val input_of(struct arena *a, struct val c, const struct rego_policy *p)
{
    struct val term = val_get_str(c, "input_term");
    if (val_undef(term) || !val_is(term, V_STRING)) {
        return val_get_str(c, "input");
    }
    struct rego_errors errors = {.a = a};
    struct rego_query *q;
    struct str text = arena_printf(a, "x = %.*s", STR_FMT(val_text(term)));
    if (!rego_prepare(p, text, NULL, &errors, &q)) {
        return VAL_UNDEF;
    }
    struct rego_result r;
    struct rego_eval_options o = {.input = VAL_UNDEF};
    rego_eval(q, &o, a, &r);
    struct val v = r.n_rows > 0 ? val_copy(a, val_nth(r.rows[0], 0)) : VAL_UNDEF;
    rego_query_free(q);
    return v;
}

static void run_case(struct arena *a, struct val c, struct outcome *o)
{
    struct rego_policy *p = NULL;
    if (!compile_case(a, c, &p, o)) {
        return;
    }
    struct rego_errors errors = {.a = a};
    struct rego_query *q = NULL;
    struct rego_topdown *t = topdown ? rego_topdown_new(p) : NULL;
    struct rego_topdown_query *tq = NULL;
    bool v0 = str_is(val_text(val_get_str(c, "rego")), "v0");
    struct rego_query_options qo = {.version = v0 ? REGO_V0 : REGO_V1};
    struct str text = val_text(val_get_str(c, "query"));
    if (!(topdown ? rego_topdown_prepare(t, text, &qo, &errors, &tq)
                  : rego_prepare(p, text, &qo, &errors, &q))) {
        o->error = error_text(a, &errors);
        o->code = errors.v[0].code;
        rego_topdown_free(t);
        rego_policy_free(p);
        return;
    }
    struct val data = val_get_str(c, "data");
    struct rego_eval_options eo = {
        .input = input_of(a, c, p),
        .data = val_is(data, V_OBJECT) ? data : val_empty_object(),
        .strict_builtin_errors = val_is_true(val_get_str(c, "strict_error")),
        .outside = &world,
    };
    struct rego_result r;
    if (topdown) {
        rego_topdown_eval(tq, &eo, NULL, a, &r);
    } else {
        rego_eval(q, &eo, a, &r);
    }
    if (r.failed) {
        struct buf b;
        buf_init(&b, 1 << 20);
        rego_error_write(&b, &r.error);
        o->error = arena_str(a, buf_str(&b));
        o->code = r.error.code;
        buf_release(&b);
    } else {
        o->rows = val_copy(
            a, got_rows(a, var_names(a, q, tq), &r, val_is_true(val_get_str(c, "sort_bindings"))));
    }
    rego_query_free(q);
    rego_topdown_query_free(tq);
    rego_topdown_free(t);
    rego_policy_free(p);
}

static bool judge(struct arena *a, struct val c, const struct outcome *o)
{
    struct val code = val_get_str(c, "want_error_code"), text = val_get_str(c, "want_error");
    struct val want = val_get_str(c, "want_result");
    if (!val_undef(code) || !val_undef(text)) {
        bool ok = o->error.n > 0;
        ok = ok && (val_undef(code) || str_is(val_text(code), o->code));
        return ok && (val_undef(text) || str_find(o->error, val_text(text)) != STR_NPOS);
    }
    if (o->error.n > 0) {
        return false;
    }
    struct vlist rows = {.a = a};
    for (uint32_t i = 0; !val_undef(want) && val_is_collection(want) && i < val_len(want); i++) {
        struct val row = val_nth(want, i);
        struct vlist l = {.a = a};
        for (uint32_t k = 0; k < val_len(row); k++) {
            vlist_add2(&l, val_nth_key(a, row, k), plain(a, val_nth(row, k), false));
        }
        vlist_add(&rows, vlist_object(&l));
    }
    return val_eq(vlist_set(&rows), o->rows);
}

static void show(struct val c, const char *file, size_t i, const struct outcome *o)
{
    struct val id = val_get_str(c, "id");
    printf("FAIL %s %zu %.*s: ", file, i, STR_FMT(val_text(id)));
    if (o->error.n > 0) {
        printf("error %.*s\n", STR_FMT(str_sub(o->error, 0, 400)));
    } else {
        struct buf b;
        buf_init(&b, 1 << 16);
        val_to_json(&b, o->rows, false);
        printf("got %.*s", STR_FMT(str_sub(buf_str(&b), 0, 300)));
        buf_clear(&b);
        struct val want = val_get_str(c, "want_result");
        if (!val_undef(want)) {
            val_to_json(&b, want, false);
        }
        printf(" want %.*s", STR_FMT(str_sub(buf_str(&b), 0, 300)));
        if (!val_undef(val_get_str(c, "want_error"))) {
            printf(" want error %.*s", STR_FMT(val_text(val_get_str(c, "want_error"))));
        }
        printf("\n");
        buf_release(&b);
    }
    fflush(stdout);
}

struct count {
    size_t passed, total;
};

static struct count run_file(const char *dir, const char *name)
{
    struct arena a;
    arena_init(&a, (size_t)1 << 30);
    struct str path = arena_printf(&a, "%s/%s", dir, name);
    struct val cases;
    struct count n = {0};
    if (failed(val_from_json(&a, read_file(&a, path.p), &cases))) {
        printf("%s: %s\n", name, err_detail());
        arena_release(&a);
        return (struct count){0, 1};
    }
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i), env = val_get_str(c, "env");
        if (only_case >= 0 && (long)i != only_case) {
            continue;
        }
        for (uint32_t k = 0; val_is(env, V_OBJECT) && k < val_len(env); k++) {
            setenv(val_text(val_nth_key(&a, env, k)).p, val_text(val_nth(env, k)).p, 1);
        }
        struct arena own;
        arena_init(&own, 256 << 20);
        struct outcome o = {.rows = VAL_UNDEF, .code = ""};
        run_case(&own, c, &o);
        bool ok = judge(&own, c, &o);
        n.total++;
        n.passed += ok;
        if (!ok && verbose) {
            show(c, name, i, &o);
        }
        arena_release(&own);
    }
    arena_release(&a);
    return n;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static size_t list_files(const char *dir, char **names, size_t max)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    for (struct dirent *e; d != NULL && n < max && (e = readdir(d)) != NULL;) {
        if (strstr(e->d_name, ".json") != NULL) {
            names[n++] = strdup(e->d_name);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    qsort(names, n, sizeof *names, by_text);
    return n;
}

static size_t read_floor(const char *path)
{
    unsigned long n = 0;
    FILE *f = path != NULL ? fopen(path, "r") : NULL;
    if (f != NULL) {
        if (fscanf(f, "%lu", &n) != 1) {
            n = 0;
        }
        fclose(f);
    }
    return n;
}

int main(int argc, char **argv)
{
    static char *names[1024];
    const char *dir = argc > 1 ? argv[1] : "", *floor_file = NULL;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "-f") == 0 && i + 1 < argc) {
            only_file = argv[++i];
        } else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) {
            only_case = strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--engine") == 0 && i + 1 < argc) {
            topdown = strcmp(argv[++i], "topdown") == 0;
        } else if (strcmp(argv[i], "--floor") == 0 && i + 1 < argc) {
            floor_file = argv[++i];
        }
    }
    builtin_extend(suite_builtins);
    signature_extend(suite_signatures);
    size_t n = list_files(dir, names, ARRAY_LEN(names));
    if (n == 0) {
        printf("skipped: the Rego evaluation suite %s is not here\n", dir);
        return 77;
    }
    struct count all = {0};
    for (size_t i = 0; i < n; i++) {
        if (only_file == NULL || strcmp(only_file, names[i]) == 0) {
            struct count c = run_file(dir, names[i]);
            if (c.passed < c.total || verbose) {
                printf("%-40s %zu/%zu\n", names[i], c.passed, c.total);
            }
            all.passed += c.passed;
            all.total += c.total;
        }
        free(names[i]);
    }
    printf("total %zu/%zu\n", all.passed, all.total);
    size_t least = read_floor(floor_file);
    if (all.passed < least) {
        printf("below the floor of %zu\n", least);
        return 1;
    }
    return 0;
}
