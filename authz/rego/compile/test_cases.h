/* test_cases: see the .c; used by compile.c when rego_compile_options.tests is set. */
#ifndef SEXTANT_REGO_TEST_CASES_H
#define SEXTANT_REGO_TEST_CASES_H

#include "authz/rego/compile/compile_priv.h"

/* The second rule test_x of a package becomes test_x#01, and so on. Before the tree of rules is made. */
void tests_rename(struct compiler *c);
/* The array of what stands behind the name of a test in its head; NULL when nothing does. */
struct term *test_case_name(struct compiler *c, const struct rule *r);
/* Puts internal.test_case(name) where its variables are first bound, into a body that is in order. */
void test_case_insert(struct compiler *c, struct rule *r, struct term *name);

#endif
