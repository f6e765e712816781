/* ref: URI references, resolved as RFC 3986 section 5.2 has it, and JSON pointers (RFC 6901). */
#ifndef SEXTANT_REGO_SCHEMA_REF_H
#define SEXTANT_REGO_SCHEMA_REF_H

#include "authz/rego/value/value.h"

/* `ref` seen from `base`, whose fragment does not count. ERR_SYNTAX for what is no reference. */
struct err ref_resolve(struct arena *a, struct str base, struct str ref, struct str *out);
/* The reference by itself, without an empty fragment. */
struct err ref_normal(struct arena *a, struct str ref, struct str *out);
struct str ref_without_fragment(struct str ref);
/* Does it name a place by itself: with a scheme and a host, or a file with its whole path? */
bool ref_is_canonical(struct str ref);
/* What the fragment of `ref` points at in `doc`. A fragment that is no pointer is the whole. */
struct err ref_pointed(struct arena *a, struct str ref, struct val doc, struct val *out);

#endif
