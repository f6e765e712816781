/* Terms: references, calls, operators, collections, strings. */
#include "authz/rego/syntax/format_priv.h"

static const struct {
    const char *name, *infix, *operand;
} infixes[] = {{"plus", "+", "number"}, {"minus", "-", "any<number, set[any]>"},
               {"mul", "*", "number"},  {"div", "/", "number"},
               {"rem", "%", "number"},  {"and", "&", "set[any]"},
               {"or", "|", "set[any]"}, {"equal", "==", "any"},
               {"neq", "!=", "any"},    {"lt", "<", "any"},
               {"lte", "<=", "any"},    {"gt", ">", "any"},
               {"gte", ">=", "any"},    {"eq", "=", "any"},
               {"assign", ":=", "any"}};

const char *infix_of(const struct term *call)
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
    return term_is_call_of(t, "or");
}

bool is_member(const struct term *t)
{
    return term_is_call_of(t, "internal.member_2") || term_is_call_of(t, "internal.member_3");
}

struct loc call_loc(const struct term *t)
{
    return t->list.v[0]->loc;
}

static const char *operand_type(const struct term *t)
{
    for (size_t i = 0; i < ARRAY_LEN(infixes); i++) {
        if (term_is_call_of(t, infixes[i].name)) {
            return infixes[i].operand;
        }
    }
    return "any";
}

static const char *value_kind(const struct term *t)
{
    static const char *const names[] = {"null",
                                        "boolean",
                                        "number",
                                        "string",
                                        "templatestring",
                                        "var",
                                        "ref",
                                        "array",
                                        "object",
                                        "set",
                                        "arraycomprehension",
                                        "setcomprehension",
                                        "objectcomprehension",
                                        "call"};
    return t->type <= T_CALL ? names[t->type] : "expr";
}

void note_arity(struct writer *w, const struct term *t)
{
    struct buf b;
    size_t arity = term_is_call_of(t, "internal.member_3") ? 3 : 2;
    buf_init(&b, 1 << 20);
    buf_puts(&b, S("have: ("));
    for (size_t i = 1; i < t->list.n; i++) {
        buf_printf(&b, "%s%s", i > 1 ? "," : "", value_kind(t->list.v[i]));
    }
    buf_puts(&b, S(")\nwant: ("));
    for (size_t i = 0; i < arity; i++) {
        buf_printf(&b, "%s%s", i > 0 ? "," : "", operand_type(t));
    }
    buf_putc(&b, ')');
    struct str name = term_call_name(w->a, t);
    rego_errors_add(w->errors, "rego_type_error", w->m->file, call_loc(t), "%.*s: arity mismatch",
                    STR_FMT(name));
    w->errors->v[w->errors->n - 1].details = arena_str(w->errors->a, buf_str(&b));
    buf_release(&b);
}

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

static bool needs_brackets(const struct writer *w, const struct term *t)
{
    if (!plain_name(t->str)) {
        return true;
    }
    bool keyword = keyword_token(t->str, w->keywords) != TOK_IDENT;
    return keyword && (!w->keywords_in_refs || text_starts(w, t->loc, '"'));
}

static void write_ref_name(struct writer *w, const struct term *t)
{
    if (!needs_brackets(w, t)) {
        put(w, ".");
        put_str(w, t->str);
        return;
    }
    put(w, "[");
    term_write(w->out, t);
    put(w, "]");
}

enum written write_ref(struct writer *w, struct term *const *v, size_t n)
{
    bool parens = v[0]->type == T_CALL && text_starts(w, v[0]->loc, '(');
    WRITE(write_term_parens(w, v[0], parens));
    for (size_t i = 1; i < n; i++) {
        if (v[i]->type == T_STRING) {
            write_ref_name(w, v[i]);
            continue;
        }
        put(w, "[");
        w->in_bracket++;
        if (v[i]->type == T_VAR) {
            term_write(w->out, v[i]);
        } else if (write_term(w, v[i]) != W_OK) {
            put(w, "\n"); /* so that the bracket is no part of a comment */
        }
        w->in_bracket--;
        put(w, "]");
    }
    return W_OK;
}

/* What waits inside of the text of the term is written with it; what waited before keeps waiting. */
static void waiting_outside(struct writer *w, struct waiting *before, struct loc text)
{
    w->waiting = NULL;
    struct waiting **at = &w->waiting;
    for (struct waiting *x = before; x != NULL; x = x->next) {
        bool inside = x->comment->loc.off < text.end && x->comment->loc.off >= text.off;
        if (!inside) {
            *at = arena_new(w->a, struct waiting);
            (*at)->comment = x->comment;
            at = &(*at)->next;
        }
    }
}

static enum written write_in(struct writer *w, struct term *t, bool parens);

static enum written try_term(struct writer *w, struct term *t, bool membership)
{
    return membership ? write_in(w, t, false) : write_term_parens(w, t, false);
}

/* The term, or its text as it was where comments leave no other way. */
static enum written write_or_keep(struct writer *w, struct term *t, bool membership)
{
    if (w->next >= w->n_comments) {
        return try_term(w, t, membership);
    }
    size_t length = w->out->n, next = w->next;
    int level = w->level;
    bool inline_ = w->inline_, delay = w->delay;
    struct waiting *waiting = w->waiting, copy[4];
    size_t n = 0;
    for (const struct waiting *x = waiting; x != NULL && n < ARRAY_LEN(copy); x = x->next) {
        copy[n++] = (struct waiting){.comment = x->comment};
    }
    w->in_term++;
    enum written r = try_term(w, t, membership);
    w->in_term--;
    if (r == W_OK) {
        return W_OK;
    }
    for (size_t i = 0; i + 1 < n; i++) {
        copy[i].next = &copy[i + 1];
    }
    w->out->n = length;
    w->level = level;
    w->next = next;
    w->inline_ = inline_;
    w->delay = delay;
    struct loc text = t == w->else_value ? w->else_text : t->loc;
    waiting_outside(w, n > 0 ? copy : NULL, text);
    write_unformatted(w, text);
    return W_UNEXPECTED;
}

enum written write_term(struct writer *w, struct term *t)
{
    return write_or_keep(w, t, false);
}

enum written write_membership(struct writer *w, struct term *t)
{
    return write_or_keep(w, t, true);
}

enum written write_call_plain(struct writer *w, struct term *t)
{
    struct term *op = t->list.v[0];
    enum written r = W_OK;
    if (op->type == T_REF) {
        r = write_ref(w, op->list.v, op->list.n);
    } else {
        term_write(w->out, op);
    }
    put(w, "(");
    if (r == W_OK || w->in_term == 0) {
        enum written args = write_list(w, t->list.v + 1, t->list.n - 1, op->loc,
                                       closing_row(w, op->loc, '(', ')'), false, false);
        r = args != W_OK ? args : r;
    }
    put(w, ")");
    return r;
}

/*
 * `x in y` and `k, v in y`. Operands that are memberships themselves get parentheses, or they would be read
 * as something else; but for the first of `x in y in z`. (Here opa changes the meaning.)
 */
static enum written write_in(struct writer *w, struct term *t, bool parens)
{
    size_t n = t->list.n - 1;
    if (n != (term_is_call_of(t, "internal.member_3") ? 3u : 2u)) {
        note_arity(w, t);
        return W_OK;
    }
    bool chain = n == 2 && term_is_call_of(t->list.v[1], "internal.member_2");
    put(w, parens ? "(" : "");
    WRITE(write_term_parens(w, t->list.v[1], !chain));
    if (n == 3) {
        put(w, ", ");
        WRITE(write_term_parens(w, t->list.v[2], true));
    }
    put(w, " in ");
    WRITE(write_term_parens(w, t->list.v[n], true));
    put(w, parens ? ")" : "");
    return W_OK;
}

static enum written write_call(struct writer *w, struct term *t, bool parens)
{
    const char *infix = infix_of(t);
    if (is_member(t)) {
        return write_in(w, t, parens || t->list.n == 4);
    }
    if (infix == NULL) {
        return write_call_plain(w, t);
    }
    if (t->list.n != 3) {
        note_arity(w, t);
        return W_OK;
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

static enum written write_comprehension(struct writer *w, struct term *t)
{
    bool array = t->type == T_ARRAY_COMP;
    char open = array ? '[' : '{', close = array ? ']' : '}';
    struct term *head = t->comp.value;
    buf_putc(w->out, open);
    if (t->type == T_OBJECT_COMP) {
        bool key_parens = is_union(t->comp.key);
        put(w, key_parens ? "(" : "");
        WRITE(write_term(w, t->comp.key));
        put(w, key_parens ? "): " : ": ");
        head->loc.row = (uint32_t)row_of(t->loc); /* the value stays on the line of its key */
    } else if (row_of(head->loc) > row_of(t->loc)) {
        end_line(w);
        start_line(w);
    }
    bool parens = infix_of(head) != NULL || is_member(head); /* a head is one term */
    WRITE(write_term_parens(w, head, parens));
    put(w, " |");
    WRITE(write_closure(w, t->comp.body, row_of(head->loc), t->loc, open, close));
    buf_putc(w->out, close);
    return W_OK;
}

/* Is the text one literal, and of this string? Places of terms may be those of what they stand in. */
static bool is_literal_of(struct writer *w, struct str text, struct str value)
{
    struct val v;
    if (text.n < 2) {
        return false;
    }
    struct str inner = str_sub(text, 1, text.n - 1);
    if (text.p[0] == '`' || str_find_char(inner, '\\') == STR_NPOS) {
        return str_eq(inner, value);
    }
    return !failed(val_from_json(w->a, text, &v)) && val_is(v, V_STRING) &&
           str_eq(val_text(v), value);
}

/* Strings stay as they were written. A name that has become a string is quoted. */
static void write_string(struct writer *w, const struct term *t)
{
    struct str text = loc_text(w, t->loc);
    bool quoted = text.n >= 2 && (text.p[text.n - 1] == '"' || text.p[text.n - 1] == '`');
    if (quoted) {
        text = str_sub(text, str_find_char(text, text.p[text.n - 1]), text.n);
    }
    if (quoted && is_literal_of(w, text, t->str)) {
        put_str(w, text);
    } else {
        val_json_string(w->out, t->str, false);
    }
}

static enum written write_collection(struct writer *w, struct term *t)
{
    bool array = t->type == T_ARRAY, object = t->type == T_OBJECT;
    char open = array ? '[' : '{', close = array ? ']' : '}';
    if (t->type == T_SET && t->list.n == 0) {
        put(w, "set()");
        return insert_comments(w, closing_row(w, t->loc, '(', ')'));
    }
    buf_putc(w->out, open);
    WRITE(write_list(w, t->list.v, t->list.n, t->loc, closing_row(w, t->loc, open, close), object,
                     true));
    buf_putc(w->out, close);
    return W_OK;
}

/* Literal text of a template; `{` is escaped unless a backslash is before it already. */
static void write_template_text(struct writer *w, const struct term *t, bool raw)
{
    struct buf b;
    buf_init(&b, 16 * t->str.n + 64);
    if (raw) {
        buf_puts(&b, t->str);
    } else {
        term_write(&b, t);
    }
    struct str s = raw ? buf_str(&b) : str_sub(buf_str(&b), 1, b.n - 1);
    for (size_t i = 0; i < s.n; i++) {
        put(w, s.p[i] == '{' && (i == 0 || s.p[i - 1] != '\\') ? "\\" : "");
        buf_putc(w->out, s.p[i]);
    }
    buf_release(&b);
}

static int64_t part_row(const struct term *t)
{
    return row_of(t->type == T_EXPR ? t->expr->loc : t->loc);
}

static enum written write_template_expr(struct writer *w, const struct term *p,
                                        const struct term *following)
{
    put(w, "{");
    w->level++;
    if (w->waiting != NULL) {
        end_line(w);
        start_line(w);
    } else if (comments_before(w, part_row(p))) {
        put(w, " "); /* the first one stays on the line of the brace */
        w->inline_ = true;
        write_comments_before(w, part_row(p));
    }
    WRITE(write_expr(w, p->expr));
    if (following != NULL && comments_before(w, part_row(following))) {
        end_line(w);
        write_comments_before(w, part_row(following));
        start_line(w);
    }
    put(w, "}");
    w->level--;
    return W_OK;
}

static enum written write_template(struct writer *w, struct term *t)
{
    put(w, t->raw ? "$`" : "$\"");
    for (size_t i = 0; i < t->list.n; i++) {
        struct term *p = t->list.v[i];
        if (p->type == T_STRING) {
            write_template_text(w, p, t->raw);
        } else if (p->type != T_EXPR) {
            term_write(w->out, p);
        } else {
            WRITE(write_template_expr(w, p, i + 1 < t->list.n ? t->list.v[i + 1] : NULL));
        }
    }
    put(w, t->raw ? "`" : "\"");
    return W_OK;
}

/* As it was written: `.5` has no digit before its point. */
static void write_number(struct writer *w, const struct term *t)
{
    struct loc l = t == w->else_value ? w->else_text : t->loc;
    struct str s = l.row > 0 ? str_sub(w->m->source, l.off, w->m->source.n) : STR_EMPTY;
    while (s.n > 0 && strchr("-( \t\r\n", s.p[0]) != NULL) {
        s = str_sub(s, 1, s.n);
    }
    struct buf b;
    buf_init(&b, NUM_TEXT_MAX + 64);
    num_write(&b, t->num);
    struct str text = buf_str(&b);
    bool minus = str_starts(text, S("-"));
    if (s.n > 0 && s.p[0] == '.' && str_starts(str_sub(text, minus, text.n), S("0."))) {
        put(w, minus ? "-" : "");
        text = str_sub(text, minus + 1u, text.n);
    }
    put_str(w, text);
    buf_release(&b);
}

static enum written write_by_type(struct writer *w, struct term *t, bool parens)
{
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
    case T_NUMBER:
        write_number(w, t);
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

enum written write_term_parens(struct writer *w, struct term *t, bool parens)
{
    if (w->paren_term == t) {
        w->paren_term = NULL;
        parens = true;
    }
    WRITE(insert_comments(w, row_of(t->loc)));
    if (!w->inline_) {
        start_line(w);
    }
    WRITE(write_by_type(w, t, parens));
    if (!w->inline_) {
        start_line(w);
    }
    return W_OK;
}
