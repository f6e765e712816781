/* value_priv: shared by the files that make values. */
#ifndef SEXTANT_REGO_VALUE_PRIV_H
#define SEXTANT_REGO_VALUE_PRIV_H

#include "authz/rego/value/value.h"

/* A set or object from words that are sorted and free of duplicates. */
struct val val_table(struct arena *a, enum vtype type, const struct val *v, size_t n);

#endif
