/* cmd_eval: a query on its way from the command line to a result; for eval and bench. */
#ifndef SEXTANT_AUTHZ_CMD_EVAL_H
#define SEXTANT_AUTHZ_CMD_EVAL_H

#include "authz/rego/topdown.h"
#include "cmd.h"

struct run {
    struct cmd *c;
    struct image *im;
    struct rego_query *q;
    struct rego_topdown *topdown; /* the second evaluator, for tests: --engine topdown */
    struct rego_topdown_query *tq;
    struct val input, runtime;
    struct rego_errors errors, shown; /* shown: of builtins, with --show-builtin-errors */
    struct str text;                  /* the query, once it was read */
    int64_t load_ns, compile_ns, eval_ns;
    bool defined; /* of partial evaluation: some query is left */
};

/* Loads, reads the input, compiles the query. False: r->errors. */
bool run_prepare(struct run *r);
void run_evaluate(struct run *r, struct arena *a, struct rego_result *out);
void run_release(struct run *r);
struct str run_query_text(struct run *r);
void run_query_options(struct run *r, struct rego_query_options *o);
void run_eval_options(struct run *r, struct rego_eval_options *o);

/* The result in the format that was asked for; NULL: there are r->errors instead. */
void print_result(struct run *r, const struct rego_result *out);

/* The trace that --explain asks for; false when none is wanted, or the query does not compile. */
bool put_trace(struct run *r, bool json, struct buf *out);
/* --partial: prints what remains, or adds to r->errors. */
void print_partial(struct run *r);

#endif
