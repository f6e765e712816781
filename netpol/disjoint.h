/* disjoint: sorts a ruleset's elements, drops doubles, and cuts intervals so that none overlap. */
#ifndef SEXTANT_NETPOL_DISJOINT_H
#define SEXTANT_NETPOL_DISJOINT_H

#include "compile.h"

void netpol_make_disjoint(struct arena *a, struct netpol_ruleset *r);
int netpol_elem_cmp(const struct netpol_elem *a, const struct netpol_elem *b);

#endif
