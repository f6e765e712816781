/* What stands between brackets: lists over one line or several, and bodies. */
#include "authz/rego/syntax/format_priv.h"

#include <stdlib.h>

static bool made_up_body(const struct body *b);

static bool made_up_list(struct term *const *v, size_t n);

/* Terms that the compiler made have no place of their own, so their rows say nothing. */
static bool made_up(const struct term *t)
{
    if (t->loc.row == 0) {
        return true;
    }
    switch (t->type) {
    case T_VAR:
        return str_starts(t->var.name, S("__local"));
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        return made_up_list(t->list.v, t->list.n);
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return (t->comp.key != NULL && made_up(t->comp.key)) || made_up(t->comp.value) ||
               made_up_body(t->comp.body);
    default:
        return false;
    }
}

static bool made_up_list(struct term *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct term *t = v[i];
        if (t->type == T_EXPR) {
            struct body b = {.v = (struct expr *[]){t->expr}, .n = 1};
            if (made_up_body(&b)) {
                return true;
            }
        } else if (made_up(t)) {
            return true;
        }
    }
    return false;
}

static bool made_up_expr(const struct expr *e)
{
    for (size_t i = 0; i < e->n_with; i++) {
        if (made_up(e->with[i]->target) || made_up(e->with[i]->value)) {
            return true;
        }
    }
    if (e->kind == E_SOME) {
        return made_up_list(e->symbols, e->n_symbols);
    }
    if (e->kind == E_EVERY) {
        return (e->every.key != NULL && made_up(e->every.key)) || made_up(e->every.value) ||
               made_up(e->every.domain) || made_up_body(e->every.body);
    }
    if (e->term->type >= T_AND && e->term->type <= T_NOT) {
        const struct term *t = e->term;
        return made_up_body(t->logic.lhs) || (t->type != T_NOT && made_up_body(t->logic.rhs));
    }
    /* An expression's own call is a list of terms; the call itself is none. */
    return e->term->type == T_CALL ? made_up_list(e->term->list.v, e->term->list.n)
                                   : made_up(e->term);
}

static bool made_up_body(const struct body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (made_up_expr(b->v[i])) {
            return true;
        }
    }
    return false;
}

struct entry {
    struct term *key, *value;
    size_t at;
};

static int by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int64_t c = row_of(x->key->loc) - row_of(y->key->loc);
    c = c != 0 ? c : (int64_t)x->key->loc.col - (int64_t)y->key->loc.col;
    c = c != 0 ? c : (int64_t)x->at - (int64_t)y->at;
    return (c > 0) - (c < 0);
}

/* The entries in the order of the text. */
static struct entry *entries_of(struct writer *w, struct term **v, size_t n, bool pairs,
                                bool *one_line)
{
    size_t step = pairs ? 2 : 1;
    struct entry *e = arena_array(w->a, struct entry, n / step + 1);
    for (size_t i = 0; i < n / step; i++) {
        e[i] = (struct entry){v[i * step], pairs ? v[i * step + 1] : NULL, i};
    }
    *one_line = !pairs && made_up_list(v, n);
    if (!*one_line) {
        qsort(e, n / step, sizeof *e, by_place);
    }
    return e;
}

static enum written write_entry(struct writer *w, const struct entry *e, bool paren_unions)
{
    bool pair = e->value != NULL;
    bool parens = is_union(e->key) && (pair || paren_unions || text_starts(w, e->key->loc, '('));
    put(w, parens ? "(" : "");
    WRITE(write_term(w, e->key));
    put(w, parens ? ")" : "");
    if (!pair) {
        return W_OK;
    }
    put(w, ": ");
    parens = is_union(e->value);
    put(w, parens ? "(" : "");
    WRITE(write_term(w, e->value));
    put(w, parens ? ")" : "");
    return W_OK;
}

static enum written write_line(struct writer *w, const struct entry *e, size_t n, bool paren_unions)
{
    enum written r = W_OK;
    for (size_t i = 0; i < n; i++) {
        put(w, i > 0 ? ", " : "");
        r = write_entry(w, &e[i], paren_unions) != W_OK ? W_UNEXPECTED : r;
        if (r != W_OK && w->in_term > 0) {
            return r;
        }
    }
    return r;
}

/* How many entries of the rest stand on its first line, which follows row `row`. */
static size_t line_length(const struct entry *e, size_t n, int64_t row, bool first)
{
    size_t i = 0;
    for (; i < n; i++) {
        int64_t own = row_of(e[i].key->loc);
        if (own > row && (i > 0 || !first)) {
            break;
        }
        row = own;
    }
    return MAX(i, (size_t)1);
}

/* Does a line feed stand between the opening bracket and the first entry? */
static bool breaks_before(const struct writer *w, struct loc last, const struct term *first)
{
    struct str text = loc_text(w, last), item = loc_text(w, first->loc);
    size_t at = item.n > 0 ? str_find(text, item) : STR_NPOS;
    return at != STR_NPOS && at > 0 && str_find_char(str_sub(text, 1, at), '\n') != STR_NPOS;
}

static bool comment_between(const struct writer *w, int64_t after, int64_t before)
{
    for (size_t i = w->next; i < w->n_comments; i++) {
        int64_t row = row_of(w->comments[i].loc);
        if (row > after && row < before) {
            return true;
        }
    }
    return false;
}

static enum written write_lines(struct writer *w, const struct entry *e, size_t n, size_t count,
                                bool paren_unions)
{
    enum written r = W_OK;
    for (size_t from = 0; from < n;) {
        if (write_line(w, e + from, count, paren_unions) != W_OK) {
            r = W_UNEXPECTED;
            if (w->in_term > 0) {
                return r;
            }
        }
        put(w, ",");
        from += count;
        if (from < n) {
            end_line(w);
            start_line(w);
            count = line_length(e + from, n - from, row_of(e[from].key->loc), false);
        }
    }
    return r;
}

enum written write_list(struct writer *w, struct term **v, size_t n, struct loc last, int64_t close,
                        bool pairs, bool paren_unions)
{
    if (n == 0) {
        return comment_between(w, row_of(last), close) ? W_UNEXPECTED : W_OK;
    }
    bool one_line;
    const struct entry *e = entries_of(w, v, n, pairs, &one_line);
    n = pairs ? n / 2 : n;
    size_t first = one_line ? n : line_length(e, n, row_of(last), true);
    if (first == n && comment_between(w, row_of(last), close) && w->in_term > 0) {
        return W_UNEXPECTED;
    }
    if (first == n && !breaks_before(w, last, e[0].key)) {
        return write_line(w, e, n, paren_unions);
    }
    w->delay = true;
    end_line(w);
    w->level++;
    start_line(w);
    enum written r = write_lines(w, e, n, first, paren_unions);
    if (r != W_OK && w->in_term > 0) {
        return r;
    }
    end_line(w);
    r = insert_comments(w, close) != W_OK ? W_UNEXPECTED : r;
    w->level--;
    start_line(w);
    return r;
}

static bool over_lines(const struct body *b, int64_t row)
{
    if (row_of(b->v[0]->loc) > row) {
        return true;
    }
    if (made_up_body(b)) {
        return false;
    }
    for (size_t i = 1; i < b->n; i++) {
        if (row_of(b->v[i]->loc) > row_of(b->v[i - 1]->loc)) {
            return true;
        }
    }
    return false;
}

enum written write_closure(struct writer *w, struct body *b, int64_t row, struct loc around,
                           char open, char close)
{
    int64_t last = closing_row(w, around, open, close);
    enum written r = W_OK;
    if (over_lines(b, row)) {
        end_line(w);
        w->level++;
        write_body(w, b);
        r = insert_comments(w, last);
        w->level--;
        start_line(w);
        return r;
    }
    put(w, " ");
    for (size_t i = 0; i < b->n; i++) {
        put(w, i > 0 ? "; " : "");
        if (write_expr(w, b->v[i]) != W_OK) {
            r = W_UNEXPECTED;
            if (w->in_term > 0) {
                return r;
            }
        }
    }
    return insert_comments(w, last) != W_OK ? W_UNEXPECTED : r;
}
