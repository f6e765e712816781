/* deps: base rego zlib */
/*
 * JSON bytes in, decision as JSON bytes out, over a file of policies such as peers.json of the conformance data:
 * an array of {name, rego_version, query, modules, data | data_file, input}. Prints NAME, nanoseconds of CPU per
 * decision (minimum and median of the rounds) and the decision itself, for the script to compare with a peer's.
 *
 *     bench_rego FILE [--only NAME] [--rounds N] [--ms N] [--ops N]
 *
 * --ops decides that many times and measures nothing: what a counter of instructions is put around.
 */
#include "authz/rego/engine.h"
#include "bench/bench.h"

#include <zlib.h>

enum { ROUNDS_MAX = 50, FILE_MAX = 64 << 20 };

struct subject {
    struct arena a, query;
    struct rego_policy *policy;
    struct val path[16], data;
    size_t n_path;
    struct str input;
    struct buf out;
};

static struct str slurp(struct arena *a, const char *dir, struct str file)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%.*s", dir, STR_FMT(file));
    gzFile f = gzopen(path, "rb"); /* reads plain files as they are */
    BUG_ON(f == NULL);
    char *p = arena_alloc_raw(a, FILE_MAX, 8);
    int n = gzread(f, p, FILE_MAX);
    BUG_ON(n < 0);
    gzclose(f);
    return str_n(p, (size_t)n);
}

static void set_up(struct subject *s, const char *dir, struct val c)
{
    struct val modules = val_get_str(c, "modules"), data = val_get_str(c, "data"),
               file = val_get_str(c, "data_file");
    struct rego_source sources[16];
    struct buf text;
    bool v0 = str_eq(val_text(val_get_str(c, "rego_version")), S("v0"));
    for (uint32_t i = 0; i < val_len(modules); i++) {
        sources[i] = (struct rego_source){.name = val_text(val_nth_key(&s->a, modules, i)),
                                          .text = val_text(val_nth(modules, i)),
                                          .version = v0 ? REGO_V0 : REGO_V1};
    }
    if (val_is(file, V_STRING)) {
        BUG_ON(failed(val_from_json(&s->a, slurp(&s->a, dir, val_text(file)), &data)));
    }
    s->data = val_undef(data) ? val_empty_object() : data;
    struct rego_errors errors = {.a = &s->a};
    struct rego_compile_options o = {.data = &s->data};
    if (!rego_compile(sources, val_len(modules), &o, &errors, &s->policy)) {
        struct buf b;
        buf_init(&b, 1 << 16);
        rego_errors_write(&b, &errors);
        fprintf(stderr, "%.*s\n", STR_FMT(buf_str(&b)));
        exit(1);
    }
    struct str rest = val_text(val_get_str(c, "query"));
    (void)str_split(&rest, '.'); /* "data" */
    while (rest.p != NULL) {
        s->path[s->n_path++] = val_str(&s->a, str_split(&rest, '.'));
    }
    buf_init(&text, 1 << 24);
    val_to_json(&text, val_get_str(c, "input"), false);
    s->input = arena_str(&s->a, buf_str(&text));
    buf_release(&text);
}

static void decide(struct subject *s)
{
    struct rego_eval_options o = {.data = s->data};
    struct rego_result r;
    arena_reset(&s->query);
    buf_clear(&s->out);
    BUG_ON(failed(val_from_json(&s->query, s->input, &o.input)));
    struct val v = rego_eval_path(s->policy, s->path, s->n_path, &o, &s->query, &r);
    if (!val_undef(v)) {
        val_to_json(&s->out, v, false);
    }
}

static double round_ns(struct subject *s, unsigned n)
{
    double start = bench_cpu_ns();
    for (unsigned i = 0; i < n; i++) {
        decide(s);
    }
    return (bench_cpu_ns() - start) / n;
}

static void measure(const char *dir, struct val c, int rounds, double ms, unsigned ops)
{
    struct subject s = {0};
    double ns[ROUNDS_MAX];
    arena_init(&s.a, SIZE_MAX / 4);
    arena_init(&s.query, 64 << 20);
    buf_init(&s.out, 1 << 24);
    set_up(&s, dir, c);
    if (ops > 0) {
        (void)round_ns(&s, ops);
        return;
    }
    double one = round_ns(&s, 3);
    unsigned n = (unsigned)(ms * 1e6 / one) + 1;
    (void)round_ns(&s, n / 4 + 1);
    for (int i = 0; i < rounds; i++) {
        ns[i] = round_ns(&s, n);
    }
    qsort(ns, (size_t)rounds, sizeof *ns, bench_order);
    struct str name = val_text(val_get_str(c, "name"));
    printf("%.*s\t%.0f\t%.0f\t%.*s\n", STR_FMT(name), ns[0], ns[rounds / 2],
           STR_FMT(buf_str(&s.out)));
    fflush(stdout);
    rego_policy_free(s.policy);
    buf_release(&s.out);
    arena_release(&s.query);
    arena_release(&s.a);
}

int main(int argc, char **argv)
{
    const char *only = NULL;
    int rounds = 5;
    double ms = 20;
    unsigned ops = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_rego FILE [--only NAME] [--rounds N] [--ms N]\n");
        return 2;
    }
    for (int i = 2; i + 1 < argc; i += 2) {
        only = strcmp(argv[i], "--only") == 0 ? argv[i + 1] : only;
        rounds = strcmp(argv[i], "--rounds") == 0 ? MIN(atoi(argv[i + 1]), ROUNDS_MAX) : rounds;
        ops = strcmp(argv[i], "--ops") == 0 ? (unsigned)atoi(argv[i + 1]) : ops;
        ms = strcmp(argv[i], "--ms") == 0 ? atof(argv[i + 1]) : ms;
    }
    struct arena a;
    struct val all;
    char *slash = strrchr(argv[1], '/');
    char *dir = slash != NULL ? strndup(argv[1], (size_t)(slash - argv[1])) : strdup(".");
    arena_init(&a, SIZE_MAX / 4);
    BUG_ON(failed(
        val_from_json(&a, slurp(&a, dir, str_of(slash != NULL ? slash + 1 : argv[1])), &all)));
    for (uint32_t i = 0; i < val_len(all); i++) {
        struct val c = val_nth(all, i);
        if (only == NULL || str_eq(val_text(val_get_str(c, "name")), str_of(only))) {
            measure(dir, c, rounds, ms, ops);
        }
    }
    arena_release(&a);
    free(dir);
    return 0;
}
