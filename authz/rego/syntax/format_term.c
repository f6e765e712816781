/* Terms, lists over several lines, expressions and bodies. */
#include "authz/rego/syntax/format_priv.h"

static const struct {
    const char *name, *infix;
} infixes[] = {{"plus", "+"}, {"minus", "-"}, {"mul", "*"},    {"div", "/"},  {"rem", "%"},
               {"and", "&"},  {"or", "|"},    {"equal", "=="}, {"neq", "!="}, {"lt", "<"},
               {"lte", "<="}, {"gt", ">"},    {"gte", ">="},   {"eq", "="},   {"assign", ":="}};

static const char *infix_of(const struct term *call)
{
    for (size_t i = 0; i < ARRAY_LEN(infixes); i++) {
        if (term_is_call_of(call, infixes[i].name)) {
            return infixes[i].infix;
        }
    }
    return NULL;
}

bool is_union(const struct term *t)
{
    return t->type == T_CALL && t->list.n == 3 && term_is_call_of(t, "or");
}

static bool led_by_paren(const struct writer *w, const struct term *t)
{
    struct str s = loc_text(w, t->loc);
    return s.n > 0 && s.p[0] == '(';
}

#define WRITE(call)                                                                                \
    do {                                                                                           \
        if ((call) != W_OK) {                                                                      \
            return W_UNEXPECTED;                                                                   \
        }                                                                                          \
    } while (0)

static bool plain_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return s.n > 0;
}

static const char *const keywords[] = {"package", "import", "as",       "default", "else",  "not",
                                       "some",    "with",   "null",     "true",    "false", "in",
                                       "every",   "if",     "contains", "and",     "or"};

static bool is_keyword(const struct writer *w, struct str s)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
        if (str_is(s, keywords[i])) {
            return i < 11 || w->v1 || w->ifs;
        }
    }
    return false;
}

static bool needs_brackets(const struct writer *w, const struct term *t)
{
    struct str text = loc_text(w, t->loc);
    return !plain_name(t->str) || (is_keyword(w, t->str) && text.n > 0 && text.p[0] == '"');
}

enum written write_ref(struct writer *w, struct term *const *v, size_t n)
{
    bool parens = v[0]->type == T_CALL && led_by_paren(w, v[0]);
    WRITE(write_term_parens(w, v[0], parens));
    for (size_t i = 1; i < n; i++) {
        if (v[i]->type == T_STRING && !needs_brackets(w, v[i])) {
            buf_putc(w->out, '.');
            buf_puts(w->out, v[i]->str);
        } else if (v[i]->type == T_STRING || v[i]->type == T_VAR) {
            buf_putc(w->out, '[');
            term_write(w->out, v[i]);
            buf_putc(w->out, ']');
        } else {
            buf_putc(w->out, '[');
            if (write_term(w, v[i]) != W_OK) {
                buf_putc(w->out, '\n');
            }
            buf_putc(w->out, ']');
        }
    }
    return W_OK;
}

enum written write_term(struct writer *w, struct term *t)
{
    if (w->next >= w->n_comments && w->before_end == NULL) {
        return write_term_parens(w, t, false);
    }
    size_t length = w->out->n, next = w->next;
    int level = w->level;
    if (write_term_parens(w, t, false) == W_OK) {
        return W_OK;
    }
    w->out->n = length;
    w->level = level;
    w->next = next;
    if (w->before_end != NULL && w->before_end->loc.row >= t->loc.row &&
        (int64_t)w->before_end->loc.row <= end_row(w, t->loc)) {
        w->before_end = NULL;
    }
    return write_unformatted(w, t->loc);
}

static enum written write_item(struct writer *w, struct term *t, bool paren_unions)
{
    bool parens = is_union(t) && (paren_unions || led_by_paren(w, t));
    put(w, parens ? "(" : "");
    enum written e = write_term(w, t);
    put(w, parens ? ")" : "");
    return e;
}

static enum written write_line(struct writer *w, struct term **v, size_t n, bool pairs, bool unions)
{
    for (size_t i = 0; i < n; i += pairs ? 2 : 1) {
        put(w, i > 0 ? ", " : "");
        WRITE(write_item(w, v[i], pairs || unions));
        if (pairs) {
            put(w, ": ");
            WRITE(write_item(w, v[i + 1], true));
        }
    }
    return W_OK;
}

/* How many words of the list stand on the first line of the rest. */
static size_t line_length(struct term **v, size_t n, bool pairs, int64_t row, bool first)
{
    size_t step = pairs ? 2 : 1, i = 0;
    for (; i < n; i += step) {
        if ((int64_t)v[i]->loc.row > row && (i > 0 || !first)) {
            break;
        }
        row = v[i]->loc.row;
    }
    return i;
}

static bool newline_before(struct writer *w, struct loc last, const struct term *first)
{
    struct str text = loc_text(w, last), item = loc_text(w, first->loc);
    size_t at = item.n > 0 ? str_find(text, item) : STR_NPOS;
    return at != STR_NPOS && at > 0 && str_find_char(str_sub(text, 1, at), '\n') != STR_NPOS;
}

enum written write_list(struct writer *w, struct term **v, size_t n, struct loc last, int64_t close,
                        bool pairs, bool paren_unions)
{
    if (n == 0) {
        return W_OK;
    }
    size_t first = line_length(v, n, pairs, last.row, true);
    bool one = first == n, before = false;
    if (one) {
        for (size_t i = w->next; i < w->n_comments; i++) {
            int64_t row = w->comments[i].loc.row;
            if (row > (int64_t)last.row && row < close) {
                return W_UNEXPECTED;
            }
        }
        before = newline_before(w, last, v[0]);
    }
    if (one && !before) {
        return write_line(w, v, n, pairs, paren_unions);
    }
    w->delay = true;
    end_line(w);
    w->level++;
    start_line(w);
    for (size_t from = 0, count = first; from < n;) {
        WRITE(write_line(w, v + from, count, pairs, paren_unions));
        put(w, ",");
        from += count;
        if (from < n) {
            end_line(w);
            start_line(w);
            count = MAX(line_length(v + from, n - from, pairs, v[from]->loc.row, false),
                        pairs ? 2u : 1u);
        }
    }
    end_line(w);
    WRITE(insert_comments(w, close));
    w->level--;
    start_line(w);
    return W_OK;
}

static enum written write_call_plain(struct writer *w, struct term *t)
{
    struct term *op = t->list.v[0];
    if (op->type == T_REF) {
        WRITE(write_ref(w, op->list.v, op->list.n));
    } else {
        term_write(w->out, op);
    }
    buf_putc(w->out, '(');
    enum written e = write_list(w, t->list.v + 1, t->list.n - 1, op->loc, -1, false, false);
    buf_putc(w->out, ')');
    return e;
}

static enum written write_in(struct writer *w, struct term *t, bool parens)
{
    bool pair = t->list.n == 4;
    parens = parens && pair;
    put(w, parens ? "(" : "");
    WRITE(write_term_parens(w, t->list.v[1], true));
    if (pair) {
        put(w, ", ");
        WRITE(write_term_parens(w, t->list.v[2], true));
    }
    put(w, " in ");
    WRITE(write_term_parens(w, t->list.v[t->list.n - 1], true));
    put(w, parens ? ")" : "");
    return W_OK;
}

static bool is_in(const struct term *t)
{
    return (term_is_call_of(t, "internal.member_2") && t->list.n == 3) ||
           (term_is_call_of(t, "internal.member_3") && t->list.n == 4);
}

static enum written write_call(struct writer *w, struct term *t, bool parens)
{
    const char *infix = infix_of(t);
    if (is_in(t)) {
        return write_in(w, t, true);
    }
    if (infix == NULL || t->list.n != 3) {
        return write_call_plain(w, t);
    }
    put(w, parens ? "(" : "");
    WRITE(write_term_parens(w, t->list.v[1], true));
    put(w, " ");
    put(w, infix);
    put(w, " ");
    WRITE(write_term_parens(w, t->list.v[2], true));
    put(w, parens ? ")" : "");
    return W_OK;
}

/* A body in brackets, behind `|` or an opening brace. `row` is where what precedes it stands. */
enum written write_closure(struct writer *w, struct body *b, int64_t row, struct loc around,
                           char open, char close)
{
    bool lines = (int64_t)b->v[0]->loc.row > row;
    for (size_t i = 1; i < b->n; i++) {
        lines |= b->v[i]->loc.row > b->v[i - 1]->loc.row;
    }
    if (lines) {
        end_line(w);
        w->level++;
        enum written e = write_body(w, b);
        if (e == W_OK) {
            e = insert_comments(w, closing_row(w, around, 0, 0, open, close));
        }
        w->level--;
        start_line(w);
        return e;
    }
    put(w, " ");
    for (size_t i = 0; i < b->n; i++) {
        put(w, i > 0 ? "; " : "");
        WRITE(write_expr(w, b->v[i]));
    }
    return insert_comments(w, closing_row(w, around, 0, 0, open, close));
}

static enum written write_comprehension(struct writer *w, struct term *t)
{
    bool array = t->type == T_ARRAY_COMP;
    struct term *head = t->comp.value;
    int64_t row = head->loc.row;
    put(w, array ? "[" : "{");
    if (t->type == T_OBJECT_COMP) {
        bool parens = is_union(t->comp.key);
        put(w, parens ? "(" : "");
        WRITE(write_term(w, t->comp.key));
        put(w, parens ? "): " : ": ");
        row = t->loc.row;
        head->loc.row = t->loc.row;
    } else if (row > (int64_t)t->loc.row) {
        end_line(w);
        start_line(w);
    }
    bool parens = head->type == T_CALL && (is_union(head) || led_by_paren(w, head));
    WRITE(write_term_parens(w, head, parens));
    put(w, " |");
    WRITE(write_closure(w, t->comp.body, row, t->loc, array ? '[' : '{', array ? ']' : '}'));
    put(w, array ? "]" : "}");
    return W_OK;
}

static void write_string(struct writer *w, const struct term *t)
{
    struct str text = loc_text(w, t->loc);
    bool quoted = text.n >= 2 && (text.p[text.n - 1] == '"' || text.p[text.n - 1] == '`');
    if (!quoted) {
        term_write(w->out, t);
        return;
    }
    char quote = text.p[text.n - 1];
    size_t at = str_find_char(text, quote);
    buf_puts(w->out, str_sub(text, at, text.n));
}

static enum written write_collection(struct writer *w, struct term *t)
{
    bool array = t->type == T_ARRAY, object = t->type == T_OBJECT;
    if (t->type == T_SET && t->list.n == 0) {
        put(w, "set()");
        return insert_comments(w, closing_row(w, t->loc, 0, 0, '(', ')'));
    }
    put(w, array ? "[" : "{");
    WRITE(write_list(w, t->list.v, t->list.n, t->loc,
                     closing_row(w, t->loc, 0, 0, array ? '[' : '{', array ? ']' : '}'), object,
                     true));
    put(w, array ? "]" : "}");
    return W_OK;
}

static void put_template_text(struct writer *w, struct str s, bool raw)
{
    struct buf b;
    buf_init(&b, 16 * s.n + 64);
    if (raw) {
        buf_puts(&b, s);
    } else {
        val_to_rego(&b, val_str(w->a, s));
    }
    struct str text = raw ? buf_str(&b) : str_sub(buf_str(&b), 1, b.n - 1);
    for (size_t i = 0; i < text.n; i++) {
        put(w, text.p[i] == '{' ? "\\" : "");
        buf_putc(w->out, text.p[i]);
    }
    buf_release(&b);
}

static enum written write_template(struct writer *w, struct term *t)
{
    put(w, t->raw ? "$`" : "$\"");
    for (size_t i = 0; i < t->list.n; i++) {
        struct term *p = t->list.v[i];
        if (p->type == T_STRING) {
            put_template_text(w, p->str, t->raw);
        } else if (p->type != T_EXPR) {
            term_write(w->out, p);
        } else {
            put(w, "{");
            WRITE(write_expr(w, p->expr));
            put(w, "}");
        }
    }
    put(w, t->raw ? "`" : "\"");
    return W_OK;
}

enum written write_term_parens(struct writer *w, struct term *t, bool parens)
{
    WRITE(insert_comments(w, t->loc.row));
    if (!w->inline_) {
        start_line(w);
    }
    switch (t->type) {
    case T_REF:
        return write_ref(w, t->list.v, t->list.n);
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        return write_collection(w, t);
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return write_comprehension(w, t);
    case T_STRING:
        write_string(w, t);
        return W_OK;
    case T_CALL:
        return write_call(w, t, parens);
    case T_TEMPLATE:
        return write_template(w, t);
    default:
        term_write(w->out, t);
        return W_OK;
    }
}

static enum written write_some(struct writer *w, struct expr *e)
{
    uint32_t row = e->loc.row;
    WRITE(insert_comments(w, row));
    put(w, "some ");
    for (size_t i = 0; i < e->n_symbols; i++) {
        struct term *t = e->symbols[i];
        if (t->type == T_CALL) {
            return write_in(w, t, false);
        }
        if (t->loc.row > row) {
            end_line(w);
            start_line(w);
            put(w, "\t");
            row = t->loc.row;
        } else if (i > 0) {
            put(w, " ");
        }
        WRITE(write_term(w, t));
        put(w, i + 1 < e->n_symbols ? "," : "");
    }
    return W_OK;
}

static enum written write_every(struct writer *w, struct expr *e)
{
    put(w, "every ");
    if (e->every.key != NULL) {
        WRITE(write_term(w, e->every.key));
        put(w, ", ");
    }
    WRITE(write_term(w, e->every.value));
    put(w, " in ");
    WRITE(write_term(w, e->every.domain));
    put(w, " {");
    struct loc domain = e->every.domain->loc, around = e->loc;
    around.off = domain.end;
    around.row = (uint32_t)end_row(w, domain);
    enum written r = write_closure(w, e->every.body, e->loc.row, around, '{', '}');
    if (e->every.body->n == 1 && e->every.body->v[0]->loc.row == e->loc.row) {
        put(w, " ");
    }
    put(w, "}");
    return r;
}

/* Would the text of the term begin with a brace, and so be read as a body? */
static bool brace_led(const struct term *t)
{
    switch (t->type) {
    case T_SET:
        return t->list.n > 0;
    case T_OBJECT:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return true;
    case T_REF:
        return brace_led(t->list.v[0]);
    case T_CALL:
        return infix_of(t) != NULL && t->list.n >= 3 &&
               brace_led(t->list.n == 4 ? t->list.v[3] : t->list.v[1]);
    default:
        return false;
    }
}

/* Parentheses keep what the tree says: a group, a `with` of its own, a value in braces. */
static bool operand_parens(const struct expr *e, enum term_type parent, bool right)
{
    if (e->n_with > 0) {
        return true;
    }
    if (e->kind != E_TERM) {
        return false;
    }
    if (parent == T_NOT) {
        return e->term->type >= T_AND || brace_led(e->term);
    }
    if (e->term->type == T_OR) {
        return parent == T_AND || right;
    }
    if (e->term->type == T_AND) {
        return parent == T_AND && right;
    }
    return e->term->type < T_AND && brace_led(e->term);
}

static enum written write_operand(struct writer *w, struct body *b, bool explicit,
                                  struct loc around, enum term_type parent, bool right)
{
    if (!explicit) {
        bool parens = operand_parens(b->v[0], parent, right);
        put(w, parens ? "(" : "");
        enum written e = write_expr(w, b->v[0]);
        put(w, parens ? ")" : "");
        return e;
    }
    put(w, "{");
    enum written e = write_closure(w, b, around.row, around, '{', '}');
    put(w, b->v[b->n - 1]->loc.row == around.row ? " }" : "}");
    return e;
}

static enum written write_logic(struct writer *w, struct expr *e)
{
    struct term *t = e->term;
    if (t->type == T_NOT) {
        put(w, "not ");
        return write_operand(w, t->logic.lhs, t->logic.explicit_lhs, e->loc, T_NOT, false);
    }
    WRITE(write_operand(w, t->logic.lhs, t->logic.explicit_lhs, e->loc, t->type, false));
    put(w, t->type == T_AND ? " and" : " or");
    struct loc left = t->logic.lhs->v[t->logic.lhs->n - 1]->loc, right = t->logic.rhs->v[0]->loc;
    bool breaks = (int64_t)right.row > end_row(w, left) && !t->logic.explicit_rhs;
    if (breaks) {
        w->level++;
        end_line(w);
        start_line(w);
    } else {
        put(w, " ");
    }
    enum written r = write_operand(w, t->logic.rhs, t->logic.explicit_rhs, right, t->type, true);
    w->level -= breaks;
    return r;
}

static enum written write_call_expr(struct writer *w, struct term *t)
{
    const char *infix = infix_of(t);
    bool lead = w->union_lead;
    w->union_lead = false;
    if (is_in(t)) {
        return write_in(w, t, false);
    }
    if (infix == NULL || t->list.n < 3 || t->list.n > 4) {
        return write_call_plain(w, t);
    }
    if (t->list.n == 4) {
        WRITE(write_term(w, t->list.v[3]));
        put(w, " = ");
    }
    lead = lead && t->list.n == 3 && is_union(t->list.v[1]);
    put(w, lead ? "(" : "");
    WRITE(write_term(w, t->list.v[1]));
    put(w, lead ? ") " : " ");
    put(w, infix);
    put(w, " ");
    return write_term(w, t->list.v[2]);
}

static enum written write_withs(struct writer *w, struct expr *e)
{
    struct loc terms = e->loc;
    terms.end = e->with[0]->loc.off;
    struct str text = loc_text(w, terms);
    while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t' ||
                          text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) {
        text.n--;
    }
    terms.end = terms.off + (uint32_t)text.n;
    int64_t row = end_row(w, terms);
    int level = w->level;
    for (size_t i = 0; i < e->n_with; i++) {
        struct with *x = e->with[i];
        bool own_line = (int64_t)x->loc.row > row;
        if (own_line) {
            w->level = level + 1;
            end_line(w);
            start_line(w);
            row = x->loc.row;
        }
        WRITE(insert_comments(w, x->loc.row));
        put(w, own_line ? "with " : " with ");
        WRITE(write_term(w, x->target));
        put(w, " as ");
        (void)write_term(w, x->value);
    }
    w->level = level;
    return W_OK;
}

enum written write_expr(struct writer *w, struct expr *e)
{
    bool parens = w->paren_expr == e;
    w->paren_expr = parens ? NULL : w->paren_expr;
    WRITE(insert_comments(w, e->loc.row));
    if (!w->inline_) {
        start_line(w);
    }
    put(w, e->negated ? "not " : "");
    put(w, parens ? "(" : "");
    enum written r;
    if (e->kind == E_SOME) {
        r = write_some(w, e);
    } else if (e->kind == E_EVERY) {
        r = write_every(w, e);
    } else if (e->term->type >= T_AND) {
        r = write_logic(w, e);
    } else if (e->term->type == T_CALL) {
        r = write_call_expr(w, e->term);
    } else {
        r = write_term(w, e->term);
    }
    put(w, parens ? ")" : "");
    return r == W_OK && e->n_with > 0 ? write_withs(w, e) : r;
}

enum written write_body(struct writer *w, struct body *b)
{
    WRITE(insert_comments(w, b->v[0]->loc.row));
    for (size_t i = 0; i < b->n; i++) {
        if (i > 0 && (int64_t)b->v[i]->loc.row > end_row(w, b->v[i - 1]->loc) + 1) {
            blank_line(w);
        }
        start_line(w);
        (void)write_expr(w, b->v[i]);
        end_line(w);
    }
    return W_OK;
}
