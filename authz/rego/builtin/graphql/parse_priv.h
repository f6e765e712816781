/*
 * parse: what the parsers of both kinds of documents share.
 *
 * One token of look-ahead. After the first error every look at the input gives the last token read,
 * so that functions need no checks of their own and all loops end.
 */
#ifndef SEXTANT_REGO_GRAPHQL_PARSE_PRIV_H
#define SEXTANT_REGO_GRAPHQL_PARSE_PRIV_H

#include "authz/rego/builtin/graphql/lex.h"

struct gql_parser {
    struct gql *g;
    struct gql_lexer lex;
    struct gql_token ahead, prev;
    struct gql_comments *comment; /* the lines of comments before the token ahead */
    bool peeked, in_comment;
    unsigned depth;
};

void gqlp_init(struct gql_parser *p, struct gql *g, struct str text);
struct gql_token gqlp_peek(struct gql_parser *p);
struct gql_token gqlp_next(struct gql_parser *p);
bool gqlp_skip(struct gql_parser *p, enum gql_tok kind);
struct gql_comments *gqlp_expect(struct gql_parser *p, enum gql_tok kind, struct gql_token *out);
struct gql_comments *gqlp_keyword(struct gql_parser *p, const char *word);
bool gqlp_is_name(struct gql_parser *p, const char *name);
struct str gqlp_name(struct gql_parser *p);
void gqlp_unexpected(struct gql_parser *p, struct gql_token t);
void gqlp_error(struct gql_parser *p, struct gql_token t, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* One nesting more, to be followed by a `p->depth--`; false: too deep, an error. */
bool gqlp_enter(struct gql_parser *p);

typedef void *gqlp_item(struct gql_parser *p);
/* Nothing, or `open` item … `close` with one item at least. The comment before `close`, or NULL. */
struct gql_comments *gqlp_some(struct gql_parser *p, enum gql_tok open, enum gql_tok close,
                               gqlp_item *item, struct gql_list *out);
/* The same without a least number. */
void gqlp_many(struct gql_parser *p, enum gql_tok open, enum gql_tok close, gqlp_item *item,
               struct gql_list *out);

struct gql_value *gqlp_value(struct gql_parser *p, bool constant);
void gqlp_arguments(struct gql_parser *p, bool constant, struct gql_list *out);
void gqlp_directives(struct gql_parser *p, bool constant, struct gql_list *out);
struct gql_type *gqlp_type(struct gql_parser *p);

#endif
