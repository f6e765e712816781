/*
 * ast: a Rego module as it was written.
 *
 * Everything lives in the arena of the parse. Locations hold byte offsets into the module's text, so
 * that the formatter and error texts can quote it. Names of operators are those of the builtins they
 * call (`a + b` is a call of plus). A rule's head keeps its general reference; `key` is set for
 * members of partial sets (`p contains key`).
 */
#ifndef SEXTANT_REGO_AST_H
#define SEXTANT_REGO_AST_H

#include "authz/rego/value/value.h"

struct loc {
    uint32_t row, col; /* from 1; 0 when generated */
    uint32_t off, end; /* bytes of the module's text */
};

enum term_type {
    T_NULL,
    T_BOOL,
    T_NUMBER,
    T_STRING,
    T_TEMPLATE,
    T_VAR,
    T_REF,
    T_ARRAY,
    T_OBJECT,
    T_SET,
    T_ARRAY_COMP,
    T_SET_COMP,
    T_OBJECT_COMP,
    T_CALL,
    T_AND,
    T_OR,
    T_NOT,
    T_EXPR,
};

struct body;
struct expr;
struct rule;
struct local; /* what a variable becomes: see compile_priv.h */

struct term {
    enum term_type type;
    bool infix;     /* T_CALL written with an operator */
    bool raw;       /* T_STRING or T_TEMPLATE in backquotes */
    bool generated; /* made by the compiler */
    bool paren;     /* stood in parentheses */
    struct loc loc;
    union {
        bool boolean;
        struct num num;
        struct str str;
        struct {
            struct str name; /* wildcards are "$0", "$1", … */
            struct local *local;
        } var;
        struct
        { /* REF (head first), CALL (operator first), ARRAY, SET, OBJECT (k, v by turns), TEMPLATE */
            struct term **v;
            size_t n, cap;
        } list;
        struct {
            struct term *key, *value; /* key of object comprehensions only; value is the head */
            struct body *body;
        } comp;
        struct { /* AND, OR; NOT has lhs alone */
            struct body *lhs, *rhs;
            bool explicit_lhs, explicit_rhs;
        } logic;
        struct expr *expr; /* part of a template */
    };
};

struct with {
    struct loc loc;
    struct term *target, *value;
};

enum expr_kind { E_TERM, E_SOME, E_EVERY };

struct expr {
    enum expr_kind kind;
    bool negated;   /* the old `not`, of one expression */
    bool generated; /* made by the compiler */
    struct loc loc;
    struct loc word;       /* E_SOME, E_EVERY: of the keyword */
    struct str file;       /* of what partial evaluation leaves: where it stood */
    struct term *term;     /* E_TERM: a T_CALL for calls, `:=` (assign) and `=` (eq) too */
    struct term **symbols; /* E_SOME: variables, or one call of internal.member_2/3 */
    size_t n_symbols;
    struct { /* E_EVERY */
        struct term *key, *value, *domain;
        struct body *body;
    } every;
    struct with **with;
    size_t n_with, cap_with;
};

struct body {
    struct expr **v;
    size_t n, cap;
    struct loc loc;
};

struct head {
    struct loc loc;
    struct term *ref; /* T_REF, its first term a variable */
    struct term **args;
    size_t n_args;
    bool is_func;
    struct term *key, *value; /* key: a member of a partial set */
    struct term *map_key; /* the last part of `p[k] = v`, where the tree shows it as a key too */
    bool named;           /* the tree shows a name beside the reference */
    bool value_at_head;   /* the value was made up and stands where the head stands */
    bool assign, generated_value, uses_if, uses_contains;
};

struct rule {
    struct loc loc;
    struct head *head;
    struct body *body;
    struct rule *otherwise; /* the else branch */
    bool is_default, generated_body, is_else;
    struct module *module;
    struct annotation *annotation;
    struct rule *next_in_chain; /* `p { … } { … }`: the next body that shares the head */
    bool chained;               /* is itself such a further body */
};

struct import {
    struct loc loc;
    struct term *path; /* T_REF */
    struct str alias;
    struct loc alias_loc;
    bool used;
};

struct comment {
    struct loc loc;
    struct str text; /* behind the # */
};

/* Versions of the language; a module's own comes from options, bundle or imports. */
enum rego_version { REGO_V0, REGO_V1, REGO_V2 };

struct module {
    struct str file, source;
    enum rego_version version;   /* as asked for */
    enum rego_version effective; /* raised by imports */
    bool has_package;
    struct loc package_loc;
    struct term *package; /* T_REF data.a.b */
    struct import **imports;
    size_t n_imports, cap_imports;
    struct rule **rules;
    size_t n_rules, cap_rules;
    struct comment *comments;
    size_t n_comments;
    struct annotation **annotations; /* once annotations_read was called: see annotation.h */
    size_t n_annotations;
    bool not_bodies; /* the new `not` is on somewhere */
};

/* Errors as upstream prints them: "file:row: code: message". */
struct rego_error {
    const char *code; /* "rego_parse_error", … */
    struct str message, file;
    struct loc loc;
    struct str details; /* further lines, or empty */
    struct str line;    /* parse errors: the line of the text, and the byte in it that is meant */
    size_t line_at;
    bool has_line;
    bool whole_file; /* printed with the file and row 0 */
};

struct rego_errors {
    struct arena *a;
    struct str prefix; /* written before the list */
    struct rego_error *v;
    size_t n, cap;
};

void rego_errors_add(struct rego_errors *e, const char *code, struct str file, struct loc loc,
                     const char *fmt, ...) PRINTF_LIKE(5, 6);
/* "1 error occurred: …" or "2 errors occurred:\n…". */
void rego_errors_write(struct buf *out, const struct rego_errors *e);
/* One error as a line: "file:row: code: message" (no column, as evaluation prints it). */
void rego_error_write(struct buf *out, const struct rego_error *e);

/* Adds the line of the text and the mark below it, as parse errors have them. */
void rego_error_find_line(struct arena *a, struct rego_error *e, struct str source);

struct parse_options {
    enum rego_version version;
    bool all_future_keywords;
    bool query_keywords_v2; /* a query under `import rego.v2` */
    bool keep_equal_keys; /* objects keep all members of one key, for printing the text as it is */
    bool no_templates;    /* template strings are refused, as in v0 */
};

/* Parses a module. False with errors added. `source` must outlive the result. */
bool rego_parse_module(struct arena *a, struct str file, struct str source,
                       const struct parse_options *o, struct rego_errors *errors,
                       struct module **out);
/* Parses a query (a body of one or more expressions, `;` or newlines between). */
bool rego_parse_query(struct arena *a, struct str source, const struct parse_options *o,
                      struct rego_errors *errors, struct body **out);

/* Building. */
struct term *term_new(struct arena *a, enum term_type type, struct loc loc);
struct term *term_string(struct arena *a, struct str s, struct loc loc);
struct term *term_var(struct arena *a, struct str name, struct loc loc);
struct term *term_bool(struct arena *a, bool b, struct loc loc);
void term_push(struct arena *a, struct term *list, struct term *item);
void body_push(struct arena *a, struct body *b, struct expr *e);
struct term *term_copy(struct arena *a, const struct term *t); /* deep */
struct expr *expr_copy(struct arena *a, const struct expr *e);
struct body *body_copy(struct arena *a, const struct body *b);

static inline bool term_is_wildcard(const struct term *t)
{
    return t->type == T_VAR && t->var.name.n > 0 && t->var.name.p[0] == '$';
}
bool term_is_call_of(const struct term *t,
                     const char *name); /* also nested names: "io.jwt.decode" */
struct str term_call_name(struct arena *a, const struct term *t); /* "plus", "data.a.f" … */
/* The language's order over what is written: <0, 0, >0. Places don't count. */
int term_cmp(const struct term *a, const struct term *b);
/* Puts members in that order, each once; of equal keys the last value counts, or all stay in an object. */
void term_sort(struct arena *a, struct term *t, bool keep_equal);
bool term_is_ground(const struct term *t); /* no variables in it (heads of refs aside) */
void term_write(struct buf *out, const struct term *t); /* Rego notation, as upstream's String() */
void body_write(struct buf *out, const struct body *b);
void expr_write(struct buf *out, const struct expr *e);

#endif
