/* suite: what the runners of outside suites share: files of cases, counting, the floor. */
#ifndef SEXTANT_TEST_SUITE_H
#define SEXTANT_TEST_SUITE_H

#include "authz/rego/value/value.h"

#include <stdio.h>

struct suite_count {
    size_t passed, total;
};

static inline struct str suite_read(struct arena *a, const char *path)
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

/* The array in a file; VAL_UNDEF when there is no such file or it holds something else. */
static inline struct val suite_cases(struct arena *a, const char *path)
{
    struct str text = suite_read(a, path);
    struct val v;
    bool ok = text.n > 0 && !failed(val_from_json(a, text, &v)) && val_is(v, V_ARRAY);
    return ok ? v : VAL_UNDEF;
}

static inline struct str suite_text(struct val row, const char *name)
{
    struct val v = val_get_str(row, name);
    return val_is(v, V_STRING) ? val_text(v) : STR_EMPTY;
}

/* 0, or 1 with a line that says so when fewer passed than the file of the floor holds. */
static inline int suite_finish(struct suite_count n, const char *floor_file)
{
    unsigned long least = 0;
    FILE *f = floor_file != NULL ? fopen(floor_file, "re") : NULL;
    if (f != NULL) {
        least = fscanf(f, "%lu", &least) == 1 ? least : 0;
        fclose(f);
    }
    printf("total %zu/%zu\n", n.passed, n.total);
    if (n.passed < least) {
        printf("below the floor of %lu\n", least);
        return 1;
    }
    return 0;
}

#endif
