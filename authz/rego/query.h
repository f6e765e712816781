/* query: a compiled query. Private to the engine. */
#ifndef SEXTANT_REGO_QUERY_H
#define SEXTANT_REGO_QUERY_H

#include "authz/rego/compile/code.h"

enum { QUERY_MEMORY_MAX = 64 << 20 };

struct rego_query {
    struct arena a;
    const struct rego_policy *policy;
    struct code *code;
    struct local **vars; /* sorted by name */
    size_t n_vars, n_exprs;
    bool asks;
    struct loc *exprs; /* as written, in their order */
    struct str text;
};

void mark_top_locals(struct body *b);
/* The front half of preparing, shared by both evaluators. `c->query_globals` is the caller's. */
bool query_parse(struct compiler *c, struct str text, const struct rego_query_options *o,
                 struct body **out);
/* Names become what they mean, and the body is put in an order that is safe. */
bool query_resolve(struct compiler *c, struct body *b);

#endif
