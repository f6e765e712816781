/* parse_priv: the parser's state, shared by the parse_*.c files. */
#ifndef SEXTANT_REGO_PARSE_PRIV_H
#define SEXTANT_REGO_PARSE_PRIV_H

#include "authz/rego/syntax/lex.h"

enum { PARSE_DEPTH_MAX = 400, PARSE_HINTS_MAX = 4, PARSE_ERRORS_MAX = 1000 };

/* What is saved and restored when the parser tries one reading and falls back on another. */
struct parse_state {
    struct lexer lex;
    struct lexeme cur;
    uint32_t tok_end, last_end; /* ends of the current token and of the one before (no blanks) */
    bool skipped_nl;
    size_t n_errors, n_comments;
    unsigned wildcard;
    int n_hints;
    struct str hints[PARSE_HINTS_MAX];
};

struct parsed_term {
    uint32_t off;
    unsigned keywords;
    enum token first;
    struct term *term;
    struct parse_state after;
    struct parsed_term *next;
};

enum { PARSE_CACHE_SLOTS = 256 };

struct parser {
    struct arena *a;
    struct str file, source;
    struct parse_options o;
    struct parse_state s;
    struct rego_errors errors;
    struct comment *comments;
    size_t cap_comments;
    unsigned allowed; /* keywords that imports may turn on */
    bool not_bodies;
    int depth;
    struct parsed_term *cache[PARSE_CACHE_SLOTS];
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
struct rule *rule_from_body(struct parser *p, struct body *b);
void check_v1_rule(struct parser *p, const struct rule *r);
struct body *true_body(struct parser *p, struct loc loc);

#endif
