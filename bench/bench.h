/* bench: CPU time of this process, interleaved rounds, minimum and median. */
#ifndef SEXTANT_BENCH_H
#define SEXTANT_BENCH_H

#include "lib/base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { BENCH_ROUNDS = 7, BENCH_CASES_MAX = 16 };

struct bench_case {
    const char *name;
    void (*run)(void *ctx, unsigned n); /* does the thing n times */
    void *ctx;
    unsigned n;
    double ns[BENCH_ROUNDS]; /* of CPU, each operation */
};

static inline double bench_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int bench_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Every case once a round, so that a noisy moment hits all of them alike. */
static inline void bench_all(struct bench_case *c, size_t n_cases)
{
    for (size_t i = 0; i < n_cases; i++) {
        c[i].run(c[i].ctx, c[i].n / 10 + 1); /* warm */
    }
    for (int round = 0; round < BENCH_ROUNDS; round++) {
        for (size_t i = 0; i < n_cases; i++) {
            double start = bench_cpu_ns();
            c[i].run(c[i].ctx, c[i].n);
            c[i].ns[round] = (bench_cpu_ns() - start) / c[i].n;
        }
    }
    printf("%-44s %12s %12s %14s\n", "", "min us", "median us", "per CPU-s");
    for (size_t i = 0; i < n_cases; i++) {
        qsort(c[i].ns, BENCH_ROUNDS, sizeof(double), bench_order);
        printf("%-44s %12.2f %12.2f %14.0f\n", c[i].name, c[i].ns[0] / 1e3,
               c[i].ns[BENCH_ROUNDS / 2] / 1e3, 1e9 / c[i].ns[BENCH_ROUNDS / 2]);
    }
}

static inline double bench_median(const struct bench_case *c)
{
    return c->ns[BENCH_ROUNDS / 2];
}

#endif
