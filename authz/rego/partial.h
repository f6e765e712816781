/*
 * partial: evaluation of a query while parts of the documents are unknown. What is known is evaluated;
 * the rest remains as conditions on the unknowns.
 *
 *     struct str unknown[] = {S("input.document")};
 *     struct rego_partial_options o = {.eval = {.input = input, .data = data},
 *                                      .unknowns = unknown, .n_unknowns = 1};
 *     struct rego_partial_result r;
 *     rego_partial(q, &o, NULL, arena, &r);
 *
 * The answer is a list of queries, any one of which makes the asked one true: none means never, one that
 * is empty means always. They may call rules of `support`, modules under the package data.partial, which
 * must be there when the queries are evaluated.
 */
#ifndef SEXTANT_REGO_PARTIAL_H
#define SEXTANT_REGO_PARTIAL_H

#include "authz/rego/topdown.h"

struct rego_partial_options {
    struct rego_eval_options eval;
    const struct str *unknowns; /* references in Rego's notation; none given: "input" */
    size_t n_unknowns;
    const struct str *disable_inlining; /* references whose rules stay rules (in `support`) */
    size_t n_disable_inlining;
    bool shallow; /* no rule is inlined, none of the results is simplified */
    bool
        nondeterministic; /* call builtins that depend on the world, too, once arguments are known */
    bool skip_namespace;  /* support rules keep their package */
    bool keep_equal;      /* `==` of the query stays a test; without, it unifies as `=` does */
    struct str name_space; /* package of the support rules below data; empty: "partial" */
    struct str var_prefix; /* of variables that are made up; empty by default */
};

struct rego_partial_result {
    bool failed;
    struct rego_error
        error;             /* when failed, or "partial_error" for an unknown that is no reference */
    struct body **queries; /* in the order in which they were found */
    size_t n_queries;
    struct module **support; /* sorted by package; each rule with body, head, `is_default` */
    size_t n_support;
    struct val builtin_errors;
    uint64_t steps;
};

/* Never fails but through out->failed. Everything in `out` lives in `a`. `tracer` may be NULL. */
void rego_partial(const struct rego_topdown_query *q, const struct rego_partial_options *o,
                  const struct rego_tracer *tracer, struct arena *a,
                  struct rego_partial_result *out);

/* {"queries": […], MODULES: […]}, keys without content left out. The Compile API calls the modules
 * "support", the command line "modules". */
void rego_partial_to_json(struct buf *out, const struct rego_partial_result *r,
                          const char *modules);
/* "# Query 1\n…\n\n# Module 1\n…", as `eval --partial --format source` prints it. */
void rego_partial_to_source(struct buf *out, const struct rego_partial_result *r);
/* One query, a line an expression; and one module. */
void rego_partial_query_source(struct buf *out, const struct body *b);
void rego_partial_module_source(struct buf *out, const struct module *m);

#endif
