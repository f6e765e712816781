/* ast_json_priv: the writer of the tree's JSON, shared by the ast_json*.c files. */
#ifndef SEXTANT_REGO_AST_JSON_PRIV_H
#define SEXTANT_REGO_AST_JSON_PRIV_H

#include "authz/rego/syntax/ast_json.h"

struct annotation;

struct json_writer {
    struct buf *out;
    const struct ast_json_options *o;
    const struct module *m;
};

bool json_wants_loc(const struct json_writer *w, struct loc l);
void json_put_list(struct json_writer *w, struct term *const *v, size_t n);

/* ast_json_annotation.c */
void json_put_annotation(struct json_writer *w, const struct annotation *n);
/* "annotations":[…], of those that belong to the rule; nothing when none do. */
void json_put_rule_annotations(struct json_writer *w, const struct rule *r);
/* The place of a block, whose text is that of its comments. */
void json_put_block_place(struct json_writer *w, const struct annotation *n);

#endif
