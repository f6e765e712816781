/*
 * topdown: the second evaluator, slow and plain. It walks the rules as they were written, unifies terms
 * and binds variables, one solution after the other; nothing is compiled to instructions.
 *
 * It is there for what the fast evaluator cannot do: to be compared with it, to evaluate with parts
 * unknown (partial.h), to tell step by step what happened (trace.h), and to explain a decision (why.h).
 *
 *     struct rego_topdown *t = rego_topdown_new(policy);
 *     struct rego_topdown_query *q;
 *     if (!rego_topdown_prepare(t, S("data.authz.allow"), NULL, &errors, &q)) … rego_errors_write(…)
 *     rego_topdown_eval(q, &(struct rego_eval_options){.input = input, .data = data}, NULL, arena, &r);
 *     rego_topdown_query_free(q);
 *     rego_topdown_free(t);
 *
 * `t` reads the policy as long as it lives, is immutable, and is worth keeping with it. Evaluation is
 * bounded by the same budgets as the fast evaluator's, and by the depth of nesting
 * (TOPDOWN_STACK_MAX): past it the query fails with eval_internal_error.
 */
#ifndef SEXTANT_REGO_TOPDOWN_H
#define SEXTANT_REGO_TOPDOWN_H

#include "authz/rego/engine.h"

struct rego_topdown;
struct rego_topdown_query;
struct rego_tracer;

enum { TOPDOWN_STACK_MAX = 4 << 20 };

struct rego_topdown *rego_topdown_new(const struct rego_policy *p);
void rego_topdown_free(struct rego_topdown *t); /* NULL is fine */

/* As rego_prepare. The query reads `t` as long as it lives. */
bool rego_topdown_prepare(const struct rego_topdown *t, struct str text,
                          const struct rego_query_options *o, struct rego_errors *errors,
                          struct rego_topdown_query **out);
void rego_topdown_query_free(struct rego_topdown_query *q); /* NULL is fine */
size_t rego_topdown_query_vars(const struct rego_topdown_query *q);
struct str rego_topdown_query_var(const struct rego_topdown_query *q,
                                  size_t i); /* sorted by name */

/* As rego_eval: rows hold the values of the variables in order, then of the expressions (with
 * `capture`). `tracer` may be NULL. */
void rego_topdown_eval(const struct rego_topdown_query *q, const struct rego_eval_options *o,
                       const struct rego_tracer *tracer, struct arena *a, struct rego_result *out);

#endif
