/*
 * visit: walking a piece of syntax from the outside in.
 *
 *     static bool count_call(struct visitor *v, struct term *t)
 *     {
 *         *(size_t *)v->ctx += t->type == T_CALL;
 *         return true;                                  go on inside
 *     }
 *     struct visitor v = {.term = count_call, .ctx = &n};
 *     visit_rule(&v, r);
 *
 * A callback that returns false keeps the walk out of what it was given. Either may be NULL. Depth is
 * bounded by the parser.
 */
#ifndef SEXTANT_REGO_VISIT_H
#define SEXTANT_REGO_VISIT_H

#include "authz/rego/syntax/ast.h"

struct visitor {
    bool (*term)(struct visitor *v, struct term *t);
    bool (*expr)(struct visitor *v, struct expr *e);
    void *ctx;
};

void visit_term(struct visitor *v, struct term *t); /* NULL is fine, as for the others */
void visit_expr(struct visitor *v, struct expr *e);
void visit_body(struct visitor *v, struct body *b);
void visit_head(struct visitor *v,
                struct head *h); /* reference behind its name, arguments, key, value */
void visit_rule(struct visitor *v, struct rule *r); /* head and body; not its else branch */

/* Does it hold a reference or a comprehension, whose value must be computed first? */
bool term_requires_evaluation(struct term *t);

#endif
