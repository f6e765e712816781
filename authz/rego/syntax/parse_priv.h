/* parse_priv: the parser's state, shared by the parse_*.c files. */
#ifndef SEXTANT_REGO_PARSE_PRIV_H
#define SEXTANT_REGO_PARSE_PRIV_H

#include "authz/rego/syntax/lex.h"

enum {
    PARSE_DEPTH_MAX = 400,
    PARSE_HINTS_MAX = 4,
    PARSE_ERRORS_MAX = 1000,
    PARSE_TOKENS_PER_BYTE = 200, /* tokens read at most: so many a byte, and a constant */
    PARSE_TOKENS_BASE = 1 << 16,
};

/* Errors hang together backwards, so that going back to an earlier state forgets the later ones. */
struct parse_error {
    struct rego_error e;
    struct parse_error *before;
};

/* What is saved and restored when the parser tries one reading and falls back on another. */
struct parse_state {
    struct lexer lex;
    struct lexeme cur;
    uint32_t tok_end, last_end; /* ends of the current token and of the one before (no blanks) */
    bool skipped_nl;
    struct parse_error *last_error;
    size_t n_errors, n_comments;
    unsigned wildcard;
    int n_hints;
    struct str hints[PARSE_HINTS_MAX];
};

/* A term that was read at an offset, also when it failed; newest first, offsets descending. */
struct parsed_term {
    uint32_t off;
    struct term *term;
    struct parse_state after;
    struct parsed_term *next;
};

enum statement_kind { ST_PACKAGE, ST_IMPORT, ST_RULE, ST_BODY };

struct statement {
    enum statement_kind kind;
    struct loc loc;
    union {
        struct term *package;
        struct import *import;
        struct rule *rule;
        struct body *body;
    };
};

struct parser {
    struct arena *a;
    struct arena scratch; /* of the statement being read: what was tried */
    struct str file, source;
    struct parse_options o;
    struct parse_state s;
    struct lex_errors lex_errors;
    struct rego_errors errors;
    struct comment *comments;
    size_t cap_comments;
    struct statement *statements;
    size_t n_statements, cap_statements;
    unsigned allowed; /* keywords that imports may turn on */
    bool not_bodies;
    int depth;
    size_t tokens, tokens_max; /* read again and again in ambiguous places: bounded */
    struct parsed_term *cache;
};

static inline enum token tok(const struct parser *p)
{
    return p->s.cur.tok;
}
static inline struct str lit(const struct parser *p)
{
    return p->s.cur.lit;
}
static inline struct loc here(const struct parser *p)
{
    return p->s.cur.loc;
}
static inline struct loc span(struct loc from, uint32_t end)
{
    from.end = end;
    return from;
}

void parser_scan(struct parser *p);    /* to the next token that is not blank */
void parser_scan_ws(struct parser *p); /* to the next token, blanks included */
void parser_template_rest(struct parser *p, bool raw);
void parser_restore(struct parser *p, const struct parse_state *s);
bool parser_enter(struct parser *p); /* false, with an error, when nested too deeply */
static inline void parser_leave(struct parser *p)
{
    p->depth--;
}

void parser_error(struct parser *p, struct loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* "unexpected X token: note" about the current token; note may be NULL. */
void parser_illegal(struct parser *p, const char *note, ...) PRINTF_LIKE(2, 3);
void parser_hint(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
const char *term_kind(const struct term *t); /* "array", "setcomprehension", … */

bool ref_keyword(const struct parser *p); /* may the current token be part of a reference? */
bool scan_ahead_ref(struct parser *p);    /* a keyword before `.` or `[` becomes a name */

/* parse_term.c */
struct term *parse_term(struct parser *p);
struct term *parse_infix(struct parser *p);
struct term *parse_infix_in_list(struct parser *p);
struct term *parse_var(struct parser *p);
struct term *parse_ref_tail(struct parser *p, struct term *head, uint32_t offset);
struct term *parse_operator(struct parser *p, const enum token *any_of, size_t n);
struct str wildcard_name(struct parser *p);

/* parse_list.c */
struct term *parse_array(struct parser *p);
struct term *parse_braces(struct parser *p);
bool parse_term_list(struct parser *p, enum token end, struct term *list);
struct term *parse_template(struct parser *p, bool raw);

/* parse_expr.c, parse_logic.c */
struct body *parse_body(struct parser *p, enum token end);
struct body *parse_query(struct parser *p, bool one, enum token end);
struct expr *parse_literal(struct parser *p);
struct expr *parse_plain_expr(struct parser *p);
bool parse_with(struct parser *p, struct expr *e);
struct expr *expr_of(struct parser *p, struct term *t, struct loc loc);
bool logic_active(const struct parser *p);
bool is_negated(struct parser *p);
struct expr *parse_not_body(struct parser *p, struct loc not_loc);
struct expr *logic_chain(struct parser *p, struct body *lhs, bool explicit, struct loc loc);
struct expr *logic_tail(struct parser *p, struct body *lhs, bool explicit, struct loc loc);
bool ambiguous_union(const struct parser *p, const struct body *b);
void error_ambiguous_union(struct parser *p, struct loc loc, const struct body *b,
                           const char *prefix);
void error_brace_led(struct parser *p, struct loc loc, struct str operand, const char *op);
/* A parenthesised group of operands. *committed tells whether it was one (then NULL is an error). */
struct body *logic_group(struct parser *p, bool operand, const char *prefix, bool *explicit,
                         struct loc *loc, bool *committed);
struct body *body_of(struct parser *p, struct expr *e);

/* parse_rule.c */
struct rule *parse_rules(struct parser *p); /* a chain through next_in_chain, or NULL */
struct body *true_body(struct parser *p, struct loc loc);
bool keyword_as_name(struct parser *p, bool is_default); /* reports `every := 1` and the like */
struct term *single_ref(struct parser *p, struct term *t);

/* parse_bare.c: statements that are rules without saying so */
struct rule *rule_from_body(struct parser *p, const struct body *b, const char **why);

/* parse_import.c */
struct term *parse_package(struct parser *p); /* its path below data, or NULL */
struct import *parse_import(struct parser *p);
void apply_import(struct parser *p, const struct import *imp);

/* parse_module.c: what a whole module must fulfil */
bool assemble_module(struct parser *p, struct module *m);

void loc_set_deep(struct body *b, struct loc loc); /* everything in it stands there */
void loc_set_head(struct head *h, struct loc loc);

#endif
