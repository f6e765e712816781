/* glob: the patterns of glob.match for those who have no query at hand. */
#ifndef SEXTANT_REGO_GLOB_H
#define SEXTANT_REGO_GLOB_H

#include "lib/base/arena.h"

/* Does the pattern match the whole text, `*` going over any character? ERR_SYNTAX for a wrong pattern. */
struct err glob_matches_text(struct arena *a, struct str pattern, struct str text, bool *out);

#endif
