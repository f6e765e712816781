/*
 * What the Rego compiler says about wrong modules: rows of modules with the errors they must give.
 *
 *     rego_compile FILE... [-v] [-i ID] [--floor FILE]
 *
 * A row holds `modules`, `want_errors` (code, row, col, message, and where given file and details),
 * and may hold `rego_version`, `strict`, `print_statements`, `annotations`, `capabilities` and
 * `schemas`. All errors are compared, in their order; an empty list means that the modules compile. Then
 * `want_types`, where there, holds the types of documents: {"data.a.p": "set[number]"}.
 */
#include "authz/rego/engine.h"
#include "authz/rego/types/check.h"

#include <stdio.h>
#include <stdlib.h>

enum { MODULES_MAX = 64, MEMORY_MAX = 256 << 20 };

struct count {
    size_t passed, total;
};

static bool verbose;
static const char *only;

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

static bool flag(struct val row, const char *name)
{
    return val_is_true(val_get_str(row, name));
}

static struct str text_of(struct val row, const char *name)
{
    struct val v = val_get_str(row, name);
    return val_is(v, V_STRING) ? val_text(v) : STR_EMPTY;
}

static int64_t int_of(struct val row, const char *name)
{
    int64_t i = 0;
    return val_to_i64(val_get_str(row, name), &i) ? i : 0;
}

static struct str joined(struct arena *a, struct val lines)
{
    struct str all = STR_EMPTY;
    for (uint32_t i = 0; val_is(lines, V_ARRAY) && i < val_len(lines); i++) {
        all = arena_printf(a, "%.*s%s%.*s", STR_FMT(all), i > 0 ? "\n" : "",
                           STR_FMT(val_text(val_nth(lines, i))));
    }
    return all;
}

static bool same_error(struct arena *a, const struct rego_error *e, struct val want)
{
    struct val lines = val_get_str(want, "details");
    struct str file = text_of(want, "file");
    return str_is(text_of(want, "code"), e->code) && str_eq(text_of(want, "message"), e->message) &&
           int_of(want, "row") == e->loc.row && int_of(want, "col") == e->loc.col &&
           (file.n == 0 || str_eq(file, e->file)) &&
           (val_undef(lines) || str_eq(joined(a, lines), e->details));
}

static void print_difference(const struct rego_errors *got, struct val want, struct val id)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    val_to_json(&b, want, false);
    printf("FAIL %.*s\n  want %.*s\n", STR_FMT(val_text(id)), STR_FMT(buf_str(&b)));
    buf_release(&b);
    for (size_t i = 0; i < got->n; i++) {
        const struct rego_error *e = &got->v[i];
        printf("  got  %.*s:%u:%u: %s: %.*s | %.*s\n", STR_FMT(e->file), e->loc.row, e->loc.col,
               e->code, STR_FMT(e->message), STR_FMT(e->details));
    }
}

static bool same_errors(struct arena *a, const struct rego_errors *got, struct val want)
{
    bool ok = got->n == val_len(want);
    for (uint32_t i = 0; ok && i < got->n; i++) {
        ok = same_error(a, &got->v[i], val_nth(want, i));
    }
    return ok;
}

/* The type of "data.a.b" as text; a path with brackets is not understood. */
static bool same_type(struct arena *a, const struct rego_policy *p, struct str ref, struct str want)
{
    struct val path[MODULES_MAX];
    size_t n = 0;
    struct str rest = str_sub(ref, 5, ref.n);
    if (str_find_char(ref, '[') != STR_NPOS) {
        return true;
    }
    while (rest.p != NULL && n < MODULES_MAX) {
        path[n++] = val_str(a, str_split(&rest, '.'));
    }
    return str_eq(type_text(a, types_at(p, a, path, n)), want);
}

static bool same_types(struct arena *a, const struct rego_policy *p, struct val row)
{
    struct val want = val_get_str(row, "want_types");
    bool ok = true;
    for (uint32_t i = 0; val_is(want, V_OBJECT) && i < val_len(want); i++) {
        struct str ref = val_text(val_nth_key(a, want, i)), type = val_text(val_nth(want, i));
        if (!same_type(a, p, ref, type)) {
            ok = false;
            if (verbose) {
                printf("TYPE %.*s: %.*s is not %.*s\n", STR_FMT(text_of(row, "id")), STR_FMT(ref),
                       STR_FMT(type));
            }
        }
    }
    return ok;
}

static bool run_row(struct val row)
{
    struct arena a;
    arena_init(&a, MEMORY_MAX);
    struct rego_source sources[MODULES_MAX];
    struct val modules = val_get_str(row, "modules");
    enum rego_version version = str_is(text_of(row, "rego_version"), "v0") ? REGO_V0 : REGO_V1;
    uint32_t n = MIN(val_len(modules), (uint32_t)MODULES_MAX);
    for (uint32_t i = 0; i < n; i++) {
        sources[i] = (struct rego_source){.name = arena_printf(&a, "test-%u.rego", i),
                                          .text = val_text(val_nth(modules, i)),
                                          .version = version};
    }
    struct rego_compile_options o = {.strict = flag(row, "strict"),
                                     .enable_print = flag(row, "print_statements"),
                                     .annotations = flag(row, "annotations"),
                                     .capabilities = val_get_str(row, "capabilities"),
                                     .schemas = val_get_str(row, "schemas")};
    struct rego_errors errors = {.a = &a};
    struct rego_policy *p = NULL;
    bool typed = true;
    if (rego_compile(sources, n, &o, &errors, &p)) {
        typed = same_types(&a, p, row);
        rego_policy_free(p);
    }
    struct val want = val_get_str(row, "want_errors");
    bool ok = same_errors(&a, &errors, want) && typed;
    if (verbose && !ok) {
        print_difference(&errors, want, val_get_str(row, "id"));
    }
    arena_release(&a);
    return ok;
}

static struct count run_file(const char *path)
{
    struct count c = {0};
    struct arena a;
    arena_init(&a, MEMORY_MAX);
    struct str text = read_file(&a, path);
    struct val rows;
    if (text.n > 0 && !failed(val_from_json(&a, text, &rows)) && val_is(rows, V_ARRAY)) {
        for (uint32_t i = 0; i < val_len(rows); i++) {
            struct val row = val_nth(rows, i);
            if (only == NULL || str_is(text_of(row, "id"), only)) {
                c.total++;
                c.passed += run_row(row);
            }
        }
    }
    arena_release(&a);
    return c;
}

static size_t read_floor(const char *path)
{
    FILE *f = path != NULL ? fopen(path, "rb") : NULL;
    char line[32] = "";
    if (f != NULL) {
        if (fgets(line, sizeof line, f) == NULL) {
            line[0] = '\0';
        }
        fclose(f);
    }
    return strtoul(line, NULL, 10);
}

int main(int argc, char **argv)
{
    struct count all = {0};
    const char *floor_file = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            verbose = true;
        } else if (strcmp(argv[i], "-i") == 0 && i + 1 < argc) {
            only = argv[++i];
        } else if (strcmp(argv[i], "--floor") == 0 && i + 1 < argc) {
            floor_file = argv[++i];
        } else {
            struct count c = run_file(argv[i]);
            all.passed += c.passed;
            all.total += c.total;
        }
    }
    if (all.total == 0) {
        printf("skipped: the rows are not here\n");
        return 77;
    }
    printf("total %zu/%zu\n", all.passed, all.total);
    if (all.passed < read_floor(floor_file)) {
        printf("below the floor of %zu\n", read_floor(floor_file));
        return 1;
    }
    return 0;
}
