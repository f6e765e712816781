/*
 * diff: what `fmt -d` shows: two texts in one, with what is gone in red and what is new in green.
 *
 * The differences are those between characters, found by Myers' algorithm from both ends at once, after
 * what the texts have in common at their ends, and a common middle of at least half of the longer one, were
 * put aside: the order of steps, and so the result, is that of the library which opa uses. Time is bounded
 * by the number of steps; beyond it the rest is shown as replaced.
 */
#ifndef SEXTANT_AUTHZ_DIFF_H
#define SEXTANT_AUTHZ_DIFF_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

/* Both texts as UTF-8. Colours are escape sequences of terminals, line by line. */
void diff_text(struct arena *a, struct str before, struct str after, struct buf *out);

#endif
