/*
 * engine: policies compiled once, evaluated many times.
 *
 *     struct rego_policy *p;
 *     struct rego_source src = {.name = S("authz.rego"), .text = text, .version = REGO_V1};
 *     if (!rego_compile(&src, 1, NULL, &errors, &p)) … rego_errors_write(…)
 *     struct rego_eval_options o = {.input = input, .data = data};
 *     struct rego_query *q;                     rego_prepare(p, S("data.authz.allow = x"), …, &q)
 *     rego_eval(q, &o, arena, &result);
 *     rego_policy_free(p);
 *
 * A policy is immutable after it was compiled. Evaluation never recurses on the size of data, and is
 * bounded by a budget of steps, the arena's memory, and a deadline.
 */
#ifndef SEXTANT_REGO_ENGINE_H
#define SEXTANT_REGO_ENGINE_H

#include "authz/rego/outside.h"
#include "authz/rego/syntax/ast.h"

struct rego_policy;
struct rego_query;

struct rego_source {
    struct str name, text;
    enum rego_version version;
};

struct rego_compile_options {
    bool strict;       /* unused variables, arguments and imports are errors */
    bool enable_print; /* keep calls of print() */
    bool keep_annotations;
    bool tests; /* rules test_… of one name are told apart; cases call the hook below */
    const char *const *unsafe_builtins; /* refused by name; ends with NULL; NULL: none */
    const struct val *data;             /* to find rules that collide with data; may be NULL */
    bool annotations;        /* read `# METADATA` blocks; their errors are errors of the module */
    struct val capabilities; /* as `opa capabilities` prints them; VAL_UNDEF or zero: all of ours */
    struct val schemas;      /* {"schema.name": JSON Schema}; VAL_UNDEF or zero: none */
    int max_errors;          /* 0: REGO_ERRORS_MAX; below 0: no limit */
};

enum { REGO_ERRORS_MAX = 10 };

/* All modules or none. False: `errors` tells why. Text of sources is copied. */
bool rego_compile(const struct rego_source *sources, size_t n, const struct rego_compile_options *o,
                  struct rego_errors *errors, struct rego_policy **out);
void rego_policy_free(struct rego_policy *p); /* NULL is fine */
/* May one of its rules ask the world (http.send, net.lookup_ip_addr)? */
bool rego_policy_asks(const struct rego_policy *p);
size_t rego_policy_modules(const struct rego_policy *p);
const struct module *rego_policy_module(const struct rego_policy *p, size_t i);

struct rego_query_options {
    enum rego_version version;
    bool v2_keywords;
    struct str package;        /* "data.a.b": names resolve there; may be empty */
    const struct str *imports; /* "data.x", "input.y as z" */
    size_t n_imports;
    bool strict, enable_print;
    const char *const *unsafe_builtins; /* refused by name; ends with NULL; NULL: none */
    bool capture; /* expressions give their value, false too, instead of having to hold */
};

/* Compiles a query against a policy. The query keeps a reference to nothing but `p`. */
bool rego_prepare(const struct rego_policy *p, struct str text, const struct rego_query_options *o,
                  struct rego_errors *errors, struct rego_query **out);
void rego_query_free(struct rego_query *q);
bool rego_query_asks(const struct rego_query *q); /* or the rules that it may use */
size_t rego_query_exprs(const struct rego_query *q);
struct str rego_query_expr_text(const struct rego_query *q, size_t i, struct loc *loc);
size_t rego_query_vars(const struct rego_query *q);              /* variables that are bound */
struct str rego_query_var(const struct rego_query *q, size_t i); /* their names, sorted */

enum { REGO_STEPS_DEFAULT = 50 * 1000 * 1000 };

struct rego_eval_options {
    struct val input; /* VAL_UNDEF: none */
    struct val data;  /* base documents; an object or VAL_UNDEF */
    bool strict_builtin_errors;
    uint64_t max_steps;            /* 0: REGO_STEPS_DEFAULT */
    int64_t deadline_ns;           /* monotonic; 0: none */
    const struct outside *outside; /* http.send and names; NULL: neither */
    struct rego_memory *memory;    /* for evaluations that are run again; NULL: none */
    struct val runtime;            /* what opa.runtime() returns; VAL_UNDEF: {} */
    int64_t now_ns;                /* time.now_ns(); 0: the clock */
    void (*print)(void *ctx, struct str line);
    /* Instead of `print`: with the place of the call. */
    void (*print_at)(void *ctx, struct str file, struct loc loc, struct str line);
    void *print_ctx;
    /* A case of a test has begun: the array of what names it (rego_compile_options.tests). */
    void (*test_case)(void *ctx, struct val name);
    void *test_case_ctx;
};

struct rego_result {
    /* One array per solution: values of the query's variables in order, then of its expressions. */
    struct val *rows;
    size_t n_rows, n_vars, n_exprs;
    bool failed;
    bool waiting;              /* failed because `outside` has no answer yet */
    struct rego_error error;   /* when failed: "eval_conflict_error", … */
    struct val builtin_errors; /* messages that were turned into undefined */
    struct str rule_file;      /* the rule whose body gave the value of a single-document query */
    unsigned rule_row;
    uint64_t steps;
};

void rego_eval(const struct rego_query *q, const struct rego_eval_options *o, struct arena *a,
               struct rego_result *out);

/* How many terms of the rule's reference name a test (`a.test_b[c]`: 2); 0: it is none. */
size_t rego_test_name(const struct rule *r);

/* The value of the document at `path` (without "data"), the way the Data API asks. VAL_UNDEF if none. */
struct val rego_eval_path(const struct rego_policy *p, const struct val *path, size_t n,
                          const struct rego_eval_options *o, struct arena *a,
                          struct rego_result *out);
/*
 * Adds an error for each rule that base data at `path` (below "data") would hide: rules on the way to it, and rules
 * in the place of what `v` holds. The cost goes with the path and with what rules and `v` have in common.
 */
void rego_data_conflicts(const struct rego_policy *p, const struct str *path, size_t n,
                         struct val v, struct rego_errors *errors);
/* Is there a rule or package at this path? */
bool rego_path_has_rules(const struct rego_policy *p, const struct val *path, size_t n);

#endif
