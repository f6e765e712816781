/*
 * lower: a body in the form in which types are inferred.
 *
 * Every call stands alone with a variable for its result, references and comprehensions among operands
 * are variables that an equation before binds, `==` is `=`, templates and prints are calls. The body
 * that is lowered stays as it is; the new one shares what did not change.
 */
#ifndef SEXTANT_REGO_LOWER_H
#define SEXTANT_REGO_LOWER_H

#include "authz/rego/compile/compile_priv.h"

struct lower {
    struct compiler *c;
    struct arena *a;
    uint32_t next; /* id of the next variable that is made up */
    bool query;    /* `==` stays */
};

struct body *lowered_body(struct lower *l, const struct body *b);
/* A term as operand; what it needs is added to `out`. */
struct term *lowered_term(struct lower *l, struct term *t, struct body *out);

/* A copy of a call with a new variable for its result as last operand. */
struct term *lowered_result(struct lower *l, const struct term *call);

#endif
