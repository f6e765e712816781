/*
 * why: the shortest account of what would have to be different for another answer.
 *
 *     struct rego_why_options o = {.eval = {.input = input, .data = data}};   wants anything else
 *     rego_why(t, S("data.authz.allow"), &o, arena, &w);
 *     rego_why_to_text(&out, &w);
 *
 *     data.authz.allow is false.
 *     It would be true if one thing were different:
 *       authz.rego:12  input.user.role is "guest", want "analyst"
 *
 * Rules that could give the wished value are searched, and in each body the expressions that failed;
 * those that lead to further rules are followed. Of all the ways, the ones with the fewest changes are
 * told, WHY_WAYS_MAX at most. It is an account of the rules as they are, not advice: it never proposes
 * to change data that no rule reads.
 */
#ifndef SEXTANT_REGO_WHY_H
#define SEXTANT_REGO_WHY_H

#include "authz/rego/topdown.h"

enum { WHY_WAYS_MAX = 5, WHY_DEPTH_MAX = 32 };

struct rego_why_options {
    struct rego_eval_options eval;
    struct val
        want; /* the wished value; VAL_UNDEF (or all zero): true, or if it is true, anything else */
};

/* One expression that stands in the way. */
struct rego_change {
    struct str file;
    struct loc loc;
    struct str expr; /* as written */
    struct str what; /* "input.user.role", or empty when no single value decides */
    struct val is;   /* its value; VAL_UNDEF: undefined */
    struct str
        relation; /* "==", "!=", "<", … "in", "defined", "undefined", "true": how `want` is meant */
    struct val want; /* VAL_UNDEF: anything for which the relation holds */
};

struct rego_way {
    struct str file; /* the rule that would give the value */
    struct loc loc;
    struct str rule; /* "data.authz.allow" */
    struct rego_change *changes;
    size_t n_changes;
};

struct rego_why {
    bool failed;
    struct rego_error error;
    struct str path;
    struct val value, want; /* what it is; what was wished for */
    struct str by_file;     /* the rule that gave the value, when one did */
    struct loc by_loc;
    struct rego_way *ways; /* fewest changes first */
    size_t n_ways;
};

/* `path`: a reference to a document, "data.authz.allow". Everything in `out` lives in `a`. */
void rego_why(const struct rego_topdown *t, struct str path, const struct rego_why_options *o,
              struct arena *a, struct rego_why *out);
void rego_why_to_text(struct buf *out, const struct rego_why *w);
void rego_why_to_json(struct buf *out, const struct rego_why *w);

#endif
