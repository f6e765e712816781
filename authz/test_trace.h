/*
 * test_trace: what the test command asks of the second evaluator, which is slow and tells all: coverage of
 * every test, and of those that failed, where and with what values.
 */
#ifndef SEXTANT_AUTHZ_TEST_TRACE_H
#define SEXTANT_AUTHZ_TEST_TRACE_H

#include "authz/rego/trace.h"
#include "cmd.h"
#include "tester.h"

struct test_trace {
    struct cmd *c;
    const struct tester *t;
    struct rego_topdown *topdown;
    struct rego_cover cover;
};

void test_trace_init(struct test_trace *x, struct cmd *c, const struct tester *t);
void test_trace_release(struct test_trace *x);
/* Runs the test once more for --coverage. */
void test_cover(struct test_trace *x, const struct test *test, struct arena *a);
/* Prints the report, or what is missing from --threshold. Returns the exit code. */
int test_cover_report(struct test_trace *x);
/* For --verbose and --var-values: why the test failed. */
void test_explain(struct test_trace *x, const struct test *test, const struct test_result *r,
                  struct arena *a, struct buf *out);

#endif
