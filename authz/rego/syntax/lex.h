/* lex: the tokens of Rego. Private to the parser. */
#ifndef SEXTANT_REGO_LEX_H
#define SEXTANT_REGO_LEX_H

#include "authz/rego/syntax/ast.h"

/* token, its name in error texts */
#define TOKEN_TABLE(X)                                                                             \
    X(ILLEGAL, "illegal")                                                                          \
    X(EOF, "eof")                                                                                  \
    X(WHITESPACE, "whitespace")                                                                    \
    X(IDENT, "identifier")                                                                         \
    X(COMMENT, "comment")                                                                          \
    X(PACKAGE, "package")                                                                          \
    X(IMPORT, "import")                                                                            \
    X(AS, "as")                                                                                    \
    X(DEFAULT, "default") X(ELSE, "else") X(NOT, "not") X(SOME, "some") X(WITH, "with")            \
        X(NULL, "null") X(TRUE, "true") X(FALSE, "false") X(NUMBER, "number") X(STRING, "string")  \
            X(TEMPLATE_PART, "template-string-part") X(TEMPLATE_END, "template-string-end")        \
                X(RAW_TEMPLATE_PART, "raw-template-string-part")                                   \
                    X(RAW_TEMPLATE_END, "raw-template-string-end") X(LBRACK, "[") X(RBRACK, "]")   \
                        X(LBRACE, "{") X(RBRACE, "}") X(LPAREN, "(") X(RPAREN, ")") X(COMMA, ",")  \
                            X(COLON, ":") X(ADD, "plus") X(SUB, "minus") X(MUL, "mul")             \
                                X(QUO, "div") X(REM, "rem") X(AND, "and") X(OR, "or")              \
                                    X(UNIFY, "eq") X(EQUAL, "equal") X(ASSIGN, "assign")           \
                                        X(IN, "in") X(NEQ, "neq") X(GT, "gt") X(LT, "lt")          \
                                            X(GTE, "gte") X(LTE, "lte") X(DOT, ".")                \
                                                X(SEMICOLON, ";") X(EVERY, "every")                \
                                                    X(CONTAINS, "contains") X(IF, "if")            \
                                                        X(LOGICAL_AND, "and") X(LOGICAL_OR, "or")

enum token {
#define X(id, text) TOK_##id,
    TOKEN_TABLE(X)
#undef X
        TOK_MAX
};

/* Future keywords that are on; KW_NOT stands for bodies behind `not`. */
enum {
    KW_IN = 1,
    KW_EVERY = 2,
    KW_IF = 4,
    KW_CONTAINS = 8,
    KW_AND = 16,
    KW_OR = 32,
    KW_NOT = 64,
    KW_V1 = 15,
    KW_V2 = 127,
    KW_PLAIN_NOT = 128, /* even `not` is a mere name, as in the path of an import */
};

/* What is wrong with the token just read; one token may have several faults. */
enum { LEX_ERRORS_MAX = 64 };
struct lex_errors {
    size_t n;
    const char *v[LEX_ERRORS_MAX];
};

/* A plain value: copying one and going on from the copy is how the parser looks ahead. */
struct lexer {
    struct str text;
    uint32_t pos, width; /* the current character */
    int32_t cur;         /* its code point, -1 at the end */
    uint32_t row, col;
    unsigned keywords;
    struct lex_errors *errors; /* the parser's; filled by lexer_next */
};

struct lexeme {
    enum token tok;
    struct loc loc;
    struct str lit; /* the text as it stands */
};

const char *token_name(enum token t);
void lexer_init(struct lexer *x, struct str source, struct lex_errors *errors);
struct lexeme lexer_next(struct lexer *x);
/* The rest of a template string behind the `}` of an expression. */
struct lexeme lexer_template_rest(struct lexer *x, bool raw);
unsigned keyword_bit(struct str name);                        /* KW_… of a future keyword, or 0 */
enum token keyword_token(struct str name, unsigned keywords); /* TOK_IDENT if it is none */
/* Words that may not name things in this version, whatever is imported. */
bool is_keyword_in_version(struct str name, enum rego_version v);

#endif
