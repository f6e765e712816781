/*
 * schema_type: what a JSON Schema says of a value, as a type.
 *
 * Properties and items become those of the type, "anyOf" a union, "allOf" one type merged from all; a
 * schema that refers to itself becomes a recursive type. Bounds, formats and "not" say nothing.
 */
#ifndef SEXTANT_REGO_SCHEMA_TYPE_H
#define SEXTANT_REGO_SCHEMA_TYPE_H

#include "authz/rego/types/type.h"

/* NULL with *why set when the document is no schema, or one that types cannot express. */
const struct type *type_of_schema(struct arena *a, struct val document, struct str *why);

#endif
