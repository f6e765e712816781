/*
 * check: the type checker, as the compiler's stages see it.
 *
 * Rules are checked in an order in which what is read comes first; what a rule gives is kept in the
 * policy, so that queries can be checked against it. Errors are "rego_type_error" with detail lines.
 */
#ifndef SEXTANT_REGO_CHECK_H
#define SEXTANT_REGO_CHECK_H

#include "authz/rego/compile/compile_priv.h"
#include "authz/rego/types/type.h"

/* A query whose body was resolved and ordered. */
void types_check_query(struct compiler *c, struct body *b);
/* "count: arity mismatch" for a call of a builtin; `inner`: its result is used by others. */
void types_arity_error(struct compiler *c, struct term *call, const struct builtin *b, bool inner,
                       struct loc loc);
/* The type of the document at a path of keys below data; NULL if nothing is known. */
const struct type *types_at(const struct rego_policy *p, struct arena *a, const struct val *path,
                            size_t n);

#endif
