/* Bodies and their expressions. */
#include "authz/rego/syntax/format_priv.h"

static enum written both(enum written a, enum written b)
{
    return a != W_OK ? a : b;
}

static enum written write_some(struct writer *w, struct expr *e)
{
    int64_t row = row_of(e->word);
    enum written r = insert_comments(w, row);
    put(w, "some ");
    for (size_t i = 0; i < e->n_symbols; i++) {
        struct term *t = e->symbols[i];
        if (t->type == T_CALL) {
            return both(write_membership(w, t), r);
        }
        if (row_of(t->loc) > row) {
            end_line(w);
            start_line(w);
            put(w, "\t");
            row = row_of(t->loc);
        } else if (i > 0) {
            put(w, " ");
        }
        r = both(r, write_term(w, t));
        put(w, i + 1 < e->n_symbols ? "," : "");
    }
    return r;
}

static enum written write_every(struct writer *w, struct expr *e)
{
    enum written r = insert_comments(w, row_of(e->loc));
    put(w, "every ");
    if (e->every.key != NULL) {
        r = both(r, write_term(w, e->every.key));
        put(w, ", ");
    }
    r = both(r, write_term(w, e->every.value));
    put(w, " in ");
    r = both(r, write_term(w, e->every.domain));
    put(w, " {");
    struct body *b = e->every.body;
    int in_term = w->in_term;
    w->in_term = 0; /* nothing of the body may be given up */
    (void)write_closure(w, b, row_of(e->loc), e->loc, '{', '}');
    w->in_term = in_term;
    if (b->n == 1 && row_of(b->v[0]->loc) == row_of(e->word)) {
        put(w, " ");
    }
    put(w, "}");
    return r;
}

/* How tightly an operator binds: from memberships over relations to products. 0: it is none. */
static int binding(const struct term *t)
{
    static const char *const levels[] = {"in", "== != < > <= >=", "|", "&", "+ -", "* / %"};
    const char *infix = is_member(t) && t->list.n == 3 ? "in" : infix_of(t);
    for (size_t i = 0; infix != NULL && t->list.n == 3 && i < ARRAY_LEN(levels); i++) {
        struct str rest = str_of(levels[i]);
        while (rest.p != NULL) {
            if (str_is(str_split(&rest, ' '), infix)) {
                return (int)i + 1;
            }
        }
    }
    return 0;
}

/* An operand whose operator binds less would otherwise be torn apart. (Here opa changes the meaning.) */
static enum written write_operand(struct writer *w, struct term *t, int around, bool right)
{
    int own = binding(t);
    bool parens = around > 0 && own > 0 && (right ? own <= around : own < around);
    put(w, parens ? "(" : "");
    enum written r = write_term(w, t);
    put(w, parens ? ")" : "");
    return r;
}

static enum written write_equation(struct writer *w, struct term *t, const char *infix)
{
    enum written r = W_OK;
    int around = binding(t);
    if (t->list.n == 4) {
        r = write_term(w, t->list.v[3]);
        put(w, " = ");
    }
    r = both(r, write_operand(w, t->list.v[1], around, false));
    put(w, " ");
    put(w, infix);
    put(w, " ");
    return both(r, write_operand(w, t->list.v[2], around, true));
}

static enum written write_call_expr(struct writer *w, struct term *t)
{
    const char *infix = infix_of(t);
    if (is_member(t)) {
        return write_membership(w, t);
    }
    if (infix == NULL) {
        return write_call_plain(w, t);
    }
    if (t->list.n == 3 || t->list.n == 4) {
        return write_equation(w, t, infix);
    }
    note_arity(w, t);
    return write_call_plain(w, t);
}

static enum written write_with(struct writer *w, struct with *x, bool own_line)
{
    enum written r = insert_comments(w, row_of(x->loc));
    put(w, own_line ? "with " : " with ");
    r = both(r, write_term(w, x->target));
    put(w, " as ");
    (void)write_term(w, x->value);
    return r;
}

/* The row on which the expression ends, but for its `with`s. */
static int64_t terms_end(const struct writer *w, const struct expr *e)
{
    struct loc terms = e->loc;
    if (e->with[0]->loc.off > terms.off && e->with[0]->loc.off < terms.end) {
        terms.end = e->with[0]->loc.off;
    }
    struct str text = loc_text(w, terms);
    while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t' ||
                          text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) {
        text.n--;
    }
    return row_of(e->loc) + count_lines(text);
}

static enum written write_withs(struct writer *w, struct expr *e)
{
    int64_t row = terms_end(w, e);
    enum written r = W_OK;
    bool indented = false;
    size_t i = 0;
    if (row_of(e->with[0]->loc) == row) {
        r = write_with(w, e->with[i++], false);
    }
    for (; i < e->n_with; i++) {
        bool own_line = row_of(e->with[i]->loc) > row;
        if (own_line) {
            w->level += !indented;
            indented = true;
            end_line(w);
            start_line(w);
            row = row_of(e->with[i]->loc);
        }
        r = both(r, write_with(w, e->with[i], own_line));
    }
    w->level -= indented;
    return r;
}

static enum written write_terms(struct writer *w, struct expr *e)
{
    if (e->kind == E_SOME) {
        return write_some(w, e);
    }
    if (e->kind == E_EVERY) {
        return write_every(w, e);
    }
    if (e->term->type >= T_AND && e->term->type <= T_NOT) {
        return write_logic(w, e);
    }
    return e->term->type == T_CALL ? write_call_expr(w, e->term) : write_term(w, e->term);
}

enum written write_expr(struct writer *w, struct expr *e)
{
    bool parens = w->paren_expr == e;
    w->paren_expr = parens ? NULL : w->paren_expr;
    enum written r = insert_comments(w, row_of(e->loc));
    if (r != W_OK && w->in_term > 0) {
        return r;
    }
    if (!w->inline_) {
        start_line(w);
    }
    /* In v2 `not {x}` negates a body: a value stays one in parentheses. */
    bool group = e->negated && (is_logic(e) || (w->v2 && brace_led(e)));
    put(w, e->negated ? "not " : "");
    put(w, group ? "(" : "");
    put(w, parens ? "(" : "");
    r = both(r, write_terms(w, e));
    put(w, parens ? ")" : "");
    put(w, group ? ")" : "");
    return e->n_with > 0 ? both(r, write_withs(w, e)) : r;
}

/* Could an operator follow the expression? */
static bool may_go_on(const struct expr *e)
{
    bool braced = e->kind == E_EVERY ||
                  (e->kind == E_TERM && e->term->type == T_NOT && e->term->logic.explicit_lhs);
    bool names = e->kind == E_SOME && e->symbols[0]->type != T_CALL;
    return e->n_with > 0 || (!braced && !names);
}

/* A line that begins with a minus would be read as going on from the one before. */
static void guard_minus(struct writer *w, const struct expr *e, size_t from)
{
    if (e->n_with > 0 || from >= w->out->n || w->out->p[from] != '-') {
        return;
    }
    put(w, ")");
    buf_putc(w->out, ' '); /* room */
    if (buf_ok(w->out)) {
        memmove(w->out->p + from + 1, w->out->p + from, w->out->n - from - 1);
        w->out->p[from] = '(';
    }
}

void write_body(struct writer *w, struct body *b)
{
    (void)insert_comments(w, row_of(b->v[0]->loc));
    int in_term = w->in_term;
    w->in_term = 0; /* here lines end: whatever waits has a place */
    for (size_t i = 0; i < b->n; i++) {
        if (i > 0 && row_of(b->v[i]->loc) > end_row(w, b->v[i - 1]->loc) + 1) {
            blank_line(w);
        }
        start_line(w);
        size_t from = w->out->n;
        (void)write_expr(w, b->v[i]);
        if (i > 0 && may_go_on(b->v[i - 1])) {
            guard_minus(w, b->v[i], from);
        }
        end_line(w);
    }
    w->in_term = in_term;
}
