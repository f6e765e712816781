/*
 * signature: what the builtins take and give, as types.
 *
 * The table is text, one line a builtin, in the notation of error messages: parameters are separated by
 * ", ", each with a name and ": " before its type where it has one; `|` separates alternatives; `...`
 * behind the last one lets it repeat. A signature becomes a type when it is first asked for.
 */
#ifndef SEXTANT_REGO_SIGNATURE_H
#define SEXTANT_REGO_SIGNATURE_H

#include "authz/rego/types/type.h"

struct signature {
    const char *name, *params, *result; /* result NULL: none */
    const char *infix;                  /* the operator, or NULL */
    unsigned flags;                     /* BF_... of builtin.h */
};

extern const struct signature signatures[]; /* sorted by name */
extern const size_t n_signatures;

const struct signature *signature_find(struct str name); /* NULL: no such builtin */
/* Those of builtin_extend's functions, ended by {0}; kept, not copied. Before the first policy. */
void signature_extend(const struct signature *list);
/* The type of a builtin: always a function. */
const struct type *signature_type(struct arena *a, const struct signature *s);
/* One type of the notation above; NULL if `text` is none. */
const struct type *type_parse(struct arena *a, struct str text);

#endif
