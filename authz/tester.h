/*
 * tester: the tests of policies. A rule whose name begins with test_ is one; it passes when it is
 * true. Rules named todo_test_… are skipped. Behind the name a rule may hold cases (`test_x[note]`): each is
 * a result of its own below the test's.
 *
 *     struct tester t = {.policy = p, .data = data, .timeout_ns = 5 * NS_PER_S};
 *     tester_find(&t, arena, NULL);
 *     for (size_t i = 0; i < t.n; i++) { tester_run(&t, i, arena, &result); … }
 */
#ifndef SEXTANT_AUTHZ_TESTER_H
#define SEXTANT_AUTHZ_TESTER_H

#include "authz/rego/engine.h"

struct regex;

struct test {
    const struct module *module;
    const struct rule *rule;
    struct str package, name; /* "data.a.b", "test_x" */
    struct val path;          /* array: below data */
    bool skip, cases;
};

struct tester {
    const struct rego_policy *policy;
    struct val data, runtime;
    const struct outside *outside; /* NULL: tests may not ask the world */
    int64_t timeout_ns;            /* of one test */
    struct test *tests;
    size_t n, cap;
};

enum verdict { TEST_PASS, TEST_FAIL, TEST_ERROR, TEST_SKIP };

/* Cases, sorted by name; those that hold others fail when one of them does. */
struct test_case {
    struct str name;
    bool fail;
    struct test_case *cases;
    size_t n, cap;
};

struct test_result {
    enum verdict verdict;
    int64_t ns;
    struct rego_error error; /* TEST_ERROR */
    struct str output;       /* what print() wrote, a line each */
    struct test_case root;
};

enum { TEST_CASE_DEPTH = 32, TEST_OUTPUT_MAX = 16 << 20 };

/* Fills in t->tests: in the order of modules and of rules in them; of those that match, if given. */
void tester_find(struct tester *t, struct arena *a, struct regex *only);
/* Everything in `out` lives in `a`. */
void tester_run(const struct tester *t, const struct test *test, struct arena *a,
                struct test_result *out);
const char *verdict_name(enum verdict v);

#endif
