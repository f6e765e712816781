/* lex: the tokens of GraphQL (section 2.1 of its specification). */
#ifndef SEXTANT_REGO_GRAPHQL_LEX_H
#define SEXTANT_REGO_GRAPHQL_LEX_H

#include "authz/rego/builtin/graphql/ast.h"

enum gql_tok {
    GT_INVALID,
    GT_EOF,
    GT_BANG,
    GT_DOLLAR,
    GT_AMP,
    GT_PAREN_L,
    GT_PAREN_R,
    GT_SPREAD,
    GT_COLON,
    GT_EQUALS,
    GT_AT,
    GT_BRACKET_L,
    GT_BRACKET_R,
    GT_BRACE_L,
    GT_BRACE_R,
    GT_PIPE,
    GT_NAME,
    GT_INT,
    GT_FLOAT,
    GT_STRING,
    GT_BLOCK,
    GT_COMMENT,
};

struct gql_token {
    enum gql_tok kind;
    struct str value; /* empty for punctuation */
    struct gql_pos pos;
    struct str error; /* of GT_INVALID */
};

struct gql_lexer {
    struct gql *g;
    struct str text;
    size_t start, end;       /* bytes */
    long start_col, end_col; /* code points from the beginning of the text */
    long line, line_start;
    bool builtin;
};

void gql_lex_init(struct gql_lexer *x, struct gql *g, struct str text);
struct gql_token gql_lex(struct gql_lexer *x);
const char *gql_tok_text(enum gql_tok kind); /* as error texts name it */

#endif
