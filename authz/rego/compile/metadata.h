/*
 * metadata: the annotations of all modules together, and what rego.metadata.rule() and chain() give.
 *
 * A rule's chain goes from the block next to it outwards: its own blocks, that of its document, of its
 * package, and of the packages around that one.
 */
#ifndef SEXTANT_REGO_METADATA_H
#define SEXTANT_REGO_METADATA_H

#include "authz/rego/compile/compile_priv.h"
#include "authz/rego/syntax/annotation.h"

/* Blocks that say something of one rule, innermost first. The list lives in `a`. */
struct annotation **metadata_chain(struct arena *a, const struct crule *cr, size_t *n);
/* The constant that a call of rego.metadata.* stands for in the rule at work; NULL: it is no such call. */
struct term *metadata_of_call(struct compiler *c, const struct term *call);

#endif
