/* ast_json: the tree of a module in the form that `opa parse` and the Policy API give it. */
#ifndef SEXTANT_REGO_AST_JSON_H
#define SEXTANT_REGO_AST_JSON_H

#include "authz/rego/syntax/ast.h"

struct ast_json_options {
    bool locations, comments;
};

/* One line of JSON. `o` may be NULL. */
void ast_to_json(struct buf *out, const struct module *m, const struct ast_json_options *o);

#endif
