/* format_priv: the writer, shared by the format*.c files. */
#ifndef SEXTANT_REGO_FORMAT_PRIV_H
#define SEXTANT_REGO_FORMAT_PRIV_H

#include "authz/rego/syntax/format.h"

enum written {
    W_OK,
    W_UNEXPECTED
}; /* a comment stands where none can be kept: text is left as it was */

struct writer {
    struct arena *a;
    const struct module *m;
    const struct format_options *o;
    struct buf *out;
    struct comment *comments; /* by row */
    size_t n_comments, next;  /* those before `next` are written */
    int level;
    bool inline_, delay, comment_on_last_line;
    const struct comment *before_end; /* goes to the end of the current line */
    bool v1, ifs, contains, ref_heads;
    const struct expr *paren_expr;
    bool union_lead; /* the next expression opens a body: a union in front needs parentheses */
};

struct str loc_text(const struct writer *w, struct loc l);
int64_t end_row(const struct writer *w, struct loc l); /* of the text of the location */
/* The row of the bracket that closes the first `open` in the text; -1 when there is none. */
int64_t closing_row(const struct writer *w, struct loc l, char skip_open, char skip_close,
                    char open, char close);
void put(struct writer *w, const char *text);
void start_line(struct writer *w);
void end_line(struct writer *w);
void blank_line(struct writer *w);
enum written insert_comments(struct writer *w, int64_t row);
void write_comments_until(struct writer *w, int64_t row);

enum written write_term(struct writer *w, struct term *t);
enum written write_term_parens(struct writer *w, struct term *t, bool parens);
enum written write_ref(struct writer *w, struct term *const *v, size_t n);
enum written write_list(struct writer *w, struct term **v, size_t n, struct loc last, int64_t close,
                        bool pairs, bool paren_unions);
enum written write_body(struct writer *w, struct body *b);
enum written write_expr(struct writer *w, struct expr *e);
enum written write_closure(struct writer *w, struct body *b, int64_t row, struct loc around,
                           char open, char close);
enum written write_unformatted(struct writer *w, struct loc l);
bool is_union(const struct term *t);

#endif
