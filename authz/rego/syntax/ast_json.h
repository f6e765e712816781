/* ast_json: the tree of a module in the form that `opa parse` and the Policy API give it. */
#ifndef SEXTANT_REGO_AST_JSON_H
#define SEXTANT_REGO_AST_JSON_H

#include "authz/rego/syntax/ast.h"

struct ast_json_options {
    bool locations, comments;
};

/* One line of JSON. `o` may be NULL. */
void ast_to_json(struct buf *out, const struct module *m, const struct ast_json_options *o);
/* Bytes in base64, in quotes; null when there are none. */
void ast_json_bytes(struct buf *out, struct str s);
/* The tree as an indented list of the kinds of its nodes. */
void ast_to_pretty(struct buf *out, const struct module *m, bool comments);

/* Parts of a module alone, without locations. `index` is the expression's place in its body. */
void ast_term_to_json(struct buf *out, const struct term *t);
void ast_expr_to_json(struct buf *out, const struct expr *e, size_t index);
void ast_body_to_json(struct buf *out, const struct body *b);
void ast_rule_to_json(struct buf *out, const struct rule *r);

#endif
