/*
 * format_priv: the writer, shared by the format_*.c files.
 *
 * The writer goes through the tree and takes comments along by their rows: before something is written,
 * the comments above its row are; the one on its row waits for the end of the line. Inside of a term that
 * has no room for a second waiting comment, writing gives up (W_UNEXPECTED), and the next write_term
 * around puts the text of the term as it was. Outside of terms both comments wait.
 */
#ifndef SEXTANT_REGO_FORMAT_PRIV_H
#define SEXTANT_REGO_FORMAT_PRIV_H

#include "authz/rego/syntax/format.h"
#include "authz/rego/syntax/lex.h"

enum written { W_OK, W_UNEXPECTED };

struct waiting {
    const struct comment *comment;
    struct waiting *next;
};

struct writer {
    struct arena *a;
    const struct module *m;
    const struct format_options *o;
    struct rego_errors *errors;
    struct buf *out;
    struct comment *comments; /* by row */
    size_t n_comments, next;  /* those before `next` are written */
    int level, in_term,
        in_bracket; /* depth of terms that can be put back, and of reference brackets */
    bool inline_, delay, last_row_comment;
    struct waiting *waiting; /* comments for the end of the current line */
    bool v1, v2, ifs, contains, ref_heads;
    unsigned keywords;             /* KW_… that references write in brackets */
    bool keywords_in_refs;         /* … unless they may stand as they are */
    const struct expr *paren_expr; /* gets parentheses: its union would open a comprehension */
    const struct term *paren_term;
    const struct term *else_value; /* its place is that of its head; its own text is here: */
    struct loc else_text;
};

/* Whatever fails inside a term goes up to the write_term around it. */
#define WRITE(call)                                                                                \
    do {                                                                                           \
        if ((call) != W_OK) {                                                                      \
            return W_UNEXPECTED;                                                                   \
        }                                                                                          \
    } while (0)

/* format_out.c */
struct str loc_text(const struct writer *w, struct loc l);
int64_t row_of(struct loc l); /* things made up stand on row 1 */
int64_t end_row(const struct writer *w, struct loc l);
bool text_starts(const struct writer *w, struct loc l, char c);
int64_t count_lines(struct str s); /* line feeds in it */
/* The row of the bracket that closes the first `open` of the text; -1 when there is none. */
int64_t closing_row(const struct writer *w, struct loc l, char open, char close);
/* The same behind a pair of other brackets, which is skipped first. */
int64_t closing_row_behind(const struct writer *w, struct loc l, char skip_open, char skip_close,
                           char open, char close);
void put(struct writer *w, const char *text);
void put_str(struct writer *w, struct str s);
void start_line(struct writer *w);
void end_line(struct writer *w);
void blank_line(struct writer *w);
void put_comment(struct writer *w, const struct comment *c);
void write_comment_line(struct writer *w, const struct comment *c);
bool comments_before(const struct writer *w, int64_t row);
void write_comments_before(struct writer *w, int64_t row);
enum written insert_comments(struct writer *w, int64_t row);
/* The text as it stands, with the comments that are in it. */
void write_unformatted(struct writer *w, struct loc l);

/* format_term.c */
const char *infix_of(const struct term *call); /* NULL when it is no operator */
bool is_union(const struct term *t);
bool is_member(const struct term *t);
enum written write_term(struct writer *w, struct term *t);
enum written write_term_parens(struct writer *w, struct term *t, bool parens);
enum written write_ref(struct writer *w, struct term *const *v, size_t n);
enum written write_call_plain(struct writer *w, struct term *t);
/* `x in y` as an expression: left as it was when it cannot be laid out. */
enum written write_membership(struct writer *w, struct term *t);
/* An operator with a wrong number of operands: noted as an error of the module. */
void note_arity(struct writer *w, const struct term *t);
struct loc call_loc(const struct term *t); /* of the operator */

/* format_list.c */
enum written write_list(struct writer *w, struct term **v, size_t n, struct loc last, int64_t close,
                        bool pairs, bool paren_unions);
/* A body in brackets behind something that ends on row `row`; `around` is the text with the brackets. */
enum written write_closure(struct writer *w, struct body *b, int64_t row, struct loc around,
                           char open, char close);

/* format_expr.c, format_logic.c */
void write_body(struct writer *w, struct body *b);
enum written write_expr(struct writer *w, struct expr *e);
enum written write_logic(struct writer *w, struct expr *e);
bool is_logic(const struct expr *e);  /* `and`, `or` */
bool brace_led(const struct expr *e); /* would its text begin with a brace? */
bool is_union_expr(const struct expr *e);
void mark_union_lead(struct writer *w, const struct expr *e);

/* format_rule.c, format_import.c */
void write_rules(struct writer *w, struct rule **v, size_t n);
void write_imports(struct writer *w, struct import **v, size_t n);
size_t final_imports(struct writer *w, struct import **out); /* room for all and four more */

/* format_check.c: what keeps a module from being moved to a later version */
void check_target_version(const struct module *m, enum rego_version to, struct rego_errors *errors);

#endif
