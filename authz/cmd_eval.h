/* cmd_eval: a query on its way from the command line to a result; for eval and bench. */
#ifndef SEXTANT_AUTHZ_CMD_EVAL_H
#define SEXTANT_AUTHZ_CMD_EVAL_H

#include "cmd.h"

struct run {
    struct cmd *c;
    struct image *im;
    struct rego_query *q;
    struct val input, runtime;
    struct rego_errors errors, shown; /* shown: of builtins, with --show-builtin-errors */
    int64_t load_ns, compile_ns, eval_ns;
};

/* Loads, reads the input, compiles the query. False: r->errors. */
bool run_prepare(struct run *r);
void run_evaluate(struct run *r, struct arena *a, struct rego_result *out);
void run_release(struct run *r);

/* The result in the format that was asked for; NULL: there are r->errors instead. */
void eval_print(struct run *r, const struct rego_result *out);

#endif
