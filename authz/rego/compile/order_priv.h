/* order_priv: which variables an expression needs, gives, and encloses. */
#ifndef SEXTANT_REGO_ORDER_PRIV_H
#define SEXTANT_REGO_ORDER_PRIV_H

#include "authz/rego/compile/compile_priv.h"

void direct_vars(const struct term *t, struct varset *out); /* outside of closures */
void needed_vars(const struct expr *e, struct varset *out);
void closure_vars(const struct expr *e, struct varset *out);
/* What `e` binds, given that `safe` is bound. */
void expr_outputs(struct compiler *c, const struct expr *e, const struct varset *safe,
                  struct varset *out);
/* Orders the bodies inside of `e`; `seen` is bound around it. */
bool order_closures_of(struct compiler *c, struct expr *e, const struct varset *seen);

/* Notes variables as unsafe in a term at `loc`. */
void order_note_term(struct compiler *c, const struct varset *unsafe, struct loc loc);

#endif
