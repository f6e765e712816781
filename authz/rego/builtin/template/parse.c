/* Templates parsed: three tokens of look-ahead, because blanks are tokens. */
#include "authz/rego/builtin/template/priv.h"

#include "authz/rego/value/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct parser {
    struct template *t;
    struct arena *a;
    struct tlexer lex;
    struct ttoken token[3];
    int peeked;
    unsigned action_line, ranges, depth;
    struct str *vars;
    size_t n_vars, cap_vars;
    struct str error; /* the first; everything read behind it is the end of the text */
};

static void fail(struct parser *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fail(struct parser *p, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (p->error.n == 0) {
        p->error = arena_printf(p->a, "template: template:%u: %s", p->token[0].line, text);
    }
    p->lex.dead = true;
    p->peeked = 0;
}

static struct ttoken next(struct parser *p)
{
    if (p->error.n == 0 && arena_exhausted(p->a)) {
        fail(p, "template is too large");
    }
    if (p->peeked > 0) {
        p->peeked--;
    } else {
        p->token[0] = tlex(&p->lex);
    }
    return p->token[p->peeked];
}

static void backup(struct parser *p)
{
    p->peeked++;
}

static struct ttoken peek(struct parser *p)
{
    if (p->peeked == 0) {
        p->peeked = 1;
        p->token[0] = tlex(&p->lex);
    }
    return p->token[p->peeked - 1];
}

static struct ttoken next_word(struct parser *p)
{
    struct ttoken t = next(p);
    while (t.kind == TT_SPACE) {
        t = next(p);
    }
    return t;
}

static struct ttoken peek_word(struct parser *p)
{
    struct ttoken t = next_word(p);
    backup(p);
    return t;
}

/* A token in quotes, cut at ten characters. */
static struct str shown(struct parser *p, struct ttoken t)
{
    struct buf b;
    struct str text = t.text;
    if (t.kind == TT_EOF) {
        return S("EOF");
    }
    if (t.kind == TT_ERROR) {
        return text;
    }
    if (t.kind > TT_KEYWORD) {
        return arena_printf(p->a, "<%.*s>", STR_FMT(text));
    }
    bool cut = text.n > 10;
    buf_init(&b, 1024);
    gofmt_quoted(&b, cut ? str_sub(text, 0, utf8_offset(text, 10)) : text);
    buf_puts(&b, cut ? S("...") : STR_EMPTY);
    struct str s = arena_str(p->a, buf_str(&b));
    buf_release(&b);
    return s;
}

static void unexpected(struct parser *p, struct ttoken t, const char *context)
{
    if (t.kind != TT_ERROR) {
        fail(p, "unexpected %.*s in %s", STR_FMT(shown(p, t)), context);
        return;
    }
    struct str extra = STR_EMPTY;
    if (p->action_line != 0 && p->action_line != t.line) {
        bool action = str_ends(t.text, S(" action"));
        extra = arena_printf(p->a, "%s started at template:%u", action ? "" : " in action",
                             p->action_line);
    }
    fail(p, "%.*s%.*s", STR_FMT(t.text), STR_FMT(extra));
}

static struct tnode *node(struct parser *p, enum tkind kind, size_t pos, struct str text)
{
    struct tnode *n = arena_new(p->a, struct tnode);
    n->kind = kind;
    n->pos = pos;
    n->text = text;
    return n;
}

static void push(struct parser *p, struct tnodes *l, struct tnode *n)
{
    if (l->n == l->cap) {
        l->v = arena_grow(p->a, l->v, l->n, l->n + 1, &l->cap, sizeof *l->v);
    }
    l->v[l->n++] = n;
}

static void push_var(struct parser *p, struct str name)
{
    if (p->n_vars == p->cap_vars) {
        p->vars =
            arena_grow(p->a, p->vars, p->n_vars, p->n_vars + 1, &p->cap_vars, sizeof *p->vars);
    }
    p->vars[p->n_vars++] = name;
}

static bool enter(struct parser *p)
{
    if (p->depth == TEMPLATE_DEPTH_MAX) {
        fail(p, "max expression depth exceeded");
        return false;
    }
    p->depth++;
    return true;
}

/* ".a.b" or "$x.a" into its names. */
static void split_idents(struct parser *p, struct tnode *n, struct str text)
{
    struct str rest = str_starts(text, S(".")) ? str_sub(text, 1, text.n) : text;
    size_t cap = n->n_idents;
    while (rest.p != NULL) {
        struct str ident = str_split(&rest, '.');
        n->idents =
            arena_grow(p->a, n->idents, n->n_idents, n->n_idents + 1, &cap, sizeof *n->idents);
        n->idents[n->n_idents++] = ident;
    }
}

/* Numbers. */

static struct str without_marks(struct parser *p, struct str s)
{
    char *text = arena_alloc_raw(p->a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '_') {
            text[n++] = s.p[i];
        }
    }
    text[n] = '\0';
    return str_n(text, n);
}

/* An integer in the notation of Go: 12, 0x1f, 0o17, 017, 0b11, with a sign. */
static bool integer(struct str s, int64_t *out, bool *overflow)
{
    bool minus = s.n > 0 && s.p[0] == '-', sign = minus || (s.n > 0 && s.p[0] == '+');
    struct str d = str_sub(s, sign, s.n);
    unsigned base = 10;
    if (d.n > 1 && d.p[0] == '0') {
        char c = (char)(d.p[1] | 32);
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        d = str_sub(d, c == 'x' || c == 'b' || c == 'o' ? 2 : 1, d.n);
    }
    uint64_t v = 0, most = (uint64_t)INT64_MAX + minus;
    *overflow = false;
    for (size_t i = 0; i < d.n; i++) {
        char c = d.p[i];
        unsigned digit =
            c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 32) - 'a' + 10);
        if (digit >= base) {
            return false;
        }
        *overflow = *overflow || v > (most - digit) / base;
        v = v * base + digit;
    }
    *out = (int64_t)(minus ? 0 - v : v);
    return d.n > 0;
}

static struct tnode *bad_number(struct parser *p, const char *what, struct str text)
{
    fail(p, "%s: %.*s", what, STR_FMT(shown(p, (struct ttoken){TT_NUMBER, 0, text, 0})));
    return node(p, T_NIL, 0, text);
}

static struct tnode *number(struct parser *p, struct ttoken t)
{
    struct tnode *n = node(p, T_NUMBER, t.pos, t.text);
    struct str plain = without_marks(p, t.text);
    bool overflow, pointed = false;
    for (size_t i = 0; i < plain.n; i++) {
        pointed = pointed || strchr(".eEpP", plain.p[i]) != NULL;
    }
    if (integer(plain, &n->i, &overflow)) {
        n->is_int = !overflow;
        if (overflow) {
            return bad_number(p, "integer overflow", t.text);
        }
        return n;
    }
    char *end;
    n->f = strtod(plain.p, &end);
    if (plain.n == 0 || *end != '\0' || !pointed) {
        return bad_number(p, "illegal number syntax", t.text);
    }
    n->is_float = true;
    return n;
}

static struct tnode *character(struct parser *p, struct ttoken t)
{
    struct tnode *n = node(p, T_NUMBER, t.pos, t.text);
    struct str s;
    size_t at = 0;
    if (!tunquote(p->a, t.text, &s) || s.n == 0) {
        fail(p, "malformed character constant: %.*s", STR_FMT(t.text));
        return n;
    }
    n->i = (int64_t)utf8_next(s, &at);
    n->is_int = true;
    if (at != s.n) {
        fail(p, "malformed character constant: %.*s", STR_FMT(t.text));
    }
    return n;
}

/* Operands and commands. */

static struct tnode *pipeline(struct parser *p, const char *context, enum ttok end);

static struct tnode *variable(struct parser *p, struct ttoken t, bool declare)
{
    struct tnode *n = node(p, T_VARIABLE, t.pos, t.text);
    split_idents(p, n, t.text);
    if (declare) {
        push_var(p, t.text);
        return n;
    }
    for (size_t i = 0; i < p->n_vars; i++) {
        if (str_eq(p->vars[i], n->idents[0])) {
            return n;
        }
    }
    fail(p, "undefined variable %.*s",
         STR_FMT(shown(p, (struct ttoken){TT_VARIABLE, 0, n->idents[0], 0})));
    return n;
}

static struct tnode *string(struct parser *p, struct ttoken t)
{
    struct tnode *n = node(p, T_STRING, t.pos, t.text);
    if (!tunquote(p->a, t.text, &n->value)) {
        fail(p, "invalid syntax");
    }
    return n;
}

static struct tnode *identifier(struct parser *p, struct ttoken t)
{
    if (tfunc_find(t.text) == NULL) {
        struct buf b;
        buf_init(&b, 1024);
        gofmt_quoted(&b, t.text);
        fail(p, "function %.*s not defined", STR_FMT(buf_str(&b)));
        buf_release(&b);
    }
    return node(p, T_IDENTIFIER, t.pos, t.text);
}

/* NULL: what is ahead is no operand. */
static struct tnode *term(struct parser *p)
{
    struct ttoken t = next_word(p);
    struct tnode *n;
    switch (t.kind) {
    case TT_IDENTIFIER:
        return identifier(p, t);
    case TT_DOT:
        return node(p, T_DOT, t.pos, t.text);
    case TT_NIL:
        return node(p, T_NIL, t.pos, t.text);
    case TT_VARIABLE:
        return variable(p, t, false);
    case TT_FIELD:
        n = node(p, T_FIELD, t.pos, t.text);
        split_idents(p, n, t.text);
        return n;
    case TT_BOOL:
        n = node(p, T_BOOL, t.pos, t.text);
        n->truth = str_is(t.text, "true");
        return n;
    case TT_NUMBER:
        return number(p, t);
    case TT_CHAR_CONSTANT:
        return character(p, t);
    case TT_STRING:
    case TT_RAW_STRING:
        return string(p, t);
    case TT_LEFT_PAREN:
        if (!enter(p)) {
            return NULL;
        }
        n = pipeline(p, "parenthesized pipeline", TT_RIGHT_PAREN);
        p->depth--;
        return n;
    default:
        backup(p);
        return NULL;
    }
}

static struct tnode *operand(struct parser *p)
{
    struct tnode *n = term(p);
    if (n == NULL || peek(p).kind != TT_FIELD) {
        return n;
    }
    struct tnode *chain = n;
    size_t pos = peek(p).pos;
    if (n->kind == T_FIELD || n->kind == T_VARIABLE) {
        n->pos = pos;
    } else {
        chain = node(p, T_CHAIN, pos, STR_EMPTY);
        chain->pipe = n;
    }
    while (peek(p).kind == TT_FIELD) {
        split_idents(p, chain, next(p).text);
    }
    if (n->kind == T_BOOL || n->kind == T_STRING || n->kind == T_NUMBER || n->kind == T_NIL ||
        n->kind == T_DOT) {
        struct buf b;
        buf_init(&b, 4096);
        gofmt_quoted(&b, n->text);
        fail(p, "unexpected . after term %.*s", STR_FMT(buf_str(&b)));
        buf_release(&b);
    }
    return chain;
}

static struct tnode *command(struct parser *p)
{
    struct tnode *c = node(p, T_COMMAND, peek_word(p).pos, STR_EMPTY);
    for (;;) {
        (void)peek_word(p);
        struct tnode *n = operand(p);
        if (n != NULL) {
            push(p, &c->items, n);
        }
        struct ttoken t = next(p);
        if (t.kind == TT_SPACE) {
            continue;
        }
        if (t.kind == TT_RIGHT_DELIM || t.kind == TT_RIGHT_PAREN) {
            backup(p);
        } else if (t.kind != TT_PIPE) {
            unexpected(p, t, "operand");
        }
        break;
    }
    if (c->items.n == 0) {
        fail(p, "empty command");
    }
    return c;
}

/* Pipelines. */

enum declared { NOT_DECLARED, DECLARED, DECLARED_MORE };

/* A variable that is set, if that is what is ahead. */
static enum declared declaration(struct parser *p, const char *context, struct tnode *pipe)
{
    struct ttoken v = peek_word(p);
    if (v.kind != TT_VARIABLE) {
        return NOT_DECLARED;
    }
    (void)next(p);
    struct ttoken after = peek(p), follows = peek_word(p);
    bool comma = follows.kind == TT_CHAR && str_is(follows.text, ",");
    if (follows.kind == TT_ASSIGN || follows.kind == TT_DECLARE || comma) {
        (void)next_word(p);
        pipe->assign = follows.kind == TT_ASSIGN;
        push(p, &pipe->decls, variable(p, v, true));
    }
    if (comma) {
        enum ttok k = peek_word(p).kind;
        if (strcmp(context, "range") != 0 || pipe->decls.n >= 2) {
            fail(p, "too many declarations in %s", context);
        } else if (k == TT_VARIABLE || k == TT_RIGHT_DELIM || k == TT_RIGHT_PAREN) {
            return DECLARED_MORE;
        } else {
            fail(p, "range can only initialize variables");
        }
        return DECLARED;
    }
    if (follows.kind == TT_ASSIGN || follows.kind == TT_DECLARE) {
        return DECLARED;
    }
    if (after.kind == TT_SPACE) {
        p->token[1] = after;
        p->token[2] = v;
        p->peeked = 3;
    } else {
        p->token[1] = v;
        p->peeked = 2;
    }
    return NOT_DECLARED;
}

static void check_pipeline(struct parser *p, const struct tnode *pipe, const char *context)
{
    if (pipe->items.n == 0) {
        fail(p, "missing value for %s", context);
    }
    for (size_t i = 1; i < pipe->items.n; i++) {
        const struct tnode *c = pipe->items.v[i];
        enum tkind k = c->items.n > 0 ? c->items.v[0]->kind : T_IDENTIFIER;
        if (k == T_BOOL || k == T_DOT || k == T_NIL || k == T_NUMBER || k == T_STRING) {
            fail(p, "non executable command in pipeline stage %zu", i + 1);
        }
    }
}

static bool starts_operand(enum ttok k)
{
    return k == TT_BOOL || k == TT_CHAR_CONSTANT || k == TT_DOT || k == TT_FIELD ||
           k == TT_IDENTIFIER || k == TT_NUMBER || k == TT_NIL || k == TT_RAW_STRING ||
           k == TT_STRING || k == TT_VARIABLE || k == TT_LEFT_PAREN;
}

static struct tnode *pipeline(struct parser *p, const char *context, enum ttok end)
{
    struct tnode *pipe = node(p, T_PIPE, peek_word(p).pos, STR_EMPTY);
    while (declaration(p, context, pipe) == DECLARED_MORE && p->error.n == 0) {
    }
    while (p->error.n == 0) {
        struct ttoken t = next_word(p);
        if (t.kind == end) {
            check_pipeline(p, pipe, context);
            break;
        }
        if (!starts_operand(t.kind)) {
            unexpected(p, t, context);
            break;
        }
        backup(p);
        push(p, &pipe->items, command(p));
    }
    return pipe;
}

/* Actions. */

static struct tnode *text_or_action(struct parser *p);

static struct tnode *item_list(struct parser *p, struct tnode **end)
{
    struct tnode *list = node(p, T_LIST, peek_word(p).pos, STR_EMPTY);
    *end = NULL;
    while (p->error.n == 0 && peek_word(p).kind != TT_EOF) {
        struct tnode *n = text_or_action(p);
        if (n->kind == T_END || n->kind == T_ELSE) {
            *end = n;
            return list;
        }
        push(p, &list->items, n);
    }
    fail(p, "unexpected EOF");
    return list;
}

static struct tnode *control(struct parser *p, enum tkind kind, const char *context);

static struct tnode *else_list(struct parser *p, enum tkind kind, size_t pos)
{
    enum ttok k = peek(p).kind;
    struct tnode *end, *list;
    if ((kind == T_IF && k == TT_IF) || (kind == T_WITH && k == TT_WITH)) {
        (void)next(p);
        list = node(p, T_LIST, pos, STR_EMPTY);
        push(p, &list->items, control(p, kind, kind == T_IF ? "if" : "with"));
        return list;
    }
    list = item_list(p, &end);
    if (end != NULL && end->kind != T_END) {
        fail(p, "expected end; found {{else}}");
    }
    return list;
}

static struct tnode *control(struct parser *p, enum tkind kind, const char *context)
{
    struct tnode *n = node(p, kind, 0, STR_EMPTY), *end;
    size_t vars = p->n_vars;
    if (!enter(p)) {
        return n;
    }
    n->pipe = pipeline(p, context, TT_RIGHT_DELIM);
    n->pos = n->pipe->pos;
    p->ranges += kind == T_RANGE;
    n->list = item_list(p, &end);
    p->ranges -= kind == T_RANGE;
    if (end != NULL && end->kind == T_ELSE) {
        n->otherwise = else_list(p, kind, end->pos);
    }
    p->n_vars = MIN(vars, p->n_vars);
    p->depth--;
    return n;
}

static void expect_close(struct parser *p, const char *context)
{
    struct ttoken t = next_word(p);
    if (t.kind != TT_RIGHT_DELIM) {
        unexpected(p, t, context);
    }
}

static struct tnode *jump(struct parser *p, struct ttoken t, enum tkind kind)
{
    const char *word = kind == T_BREAK ? "{{break}}" : "{{continue}}";
    expect_close(p, word);
    if (p->ranges == 0) {
        fail(p, "%s outside {{range}}", word);
    }
    return node(p, kind, t.pos, STR_EMPTY);
}

static struct tnode *else_or_end(struct parser *p, enum tkind kind)
{
    struct ttoken t = peek_word(p);
    if (kind == T_ELSE && (t.kind == TT_IF || t.kind == TT_WITH)) {
        return node(p, T_ELSE, t.pos, STR_EMPTY);
    }
    expect_close(p, kind == T_ELSE ? "else" : "end");
    return node(p, kind, t.pos, STR_EMPTY);
}

static struct str template_name(struct parser *p, struct ttoken t, const char *context)
{
    struct str name = STR_EMPTY;
    if (t.kind != TT_STRING && t.kind != TT_RAW_STRING) {
        unexpected(p, t, context);
    } else if (!tunquote(p->a, t.text, &name)) {
        fail(p, "invalid syntax");
    }
    return name;
}

static bool is_blank(const struct tnode *list)
{
    for (size_t i = 0; i < list->items.n; i++) {
        if (list->items.v[i]->kind != T_TEXT || str_trim(list->items.v[i]->text).n > 0) {
            return false;
        }
    }
    return true;
}

static void define(struct parser *p, struct str name, struct tnode *root)
{
    struct template *t = p->t;
    for (size_t i = 0; i < t->n_defs; i++) {
        if (!str_eq(t->defs[i].name, name)) {
            continue;
        }
        if (is_blank(t->defs[i].root)) {
            t->defs[i].root = root;
        } else if (!is_blank(root)) {
            fail(p, "template: multiple definition of template %.*s",
                 STR_FMT(shown(p, (struct ttoken){TT_STRING, 0, name, 0})));
        }
        return;
    }
    t->defs = arena_grow(p->a, t->defs, t->n_defs, t->n_defs + 1, &t->cap_defs, sizeof *t->defs);
    t->defs[t->n_defs++] = (struct tdef){name, root};
}

/* The body of a definition, which knows nothing of the variables around it. */
static void body(struct parser *p, struct str name, const char *context)
{
    struct tnode *end;
    size_t vars = p->n_vars, ranges = p->ranges;
    struct str *kept = p->vars;
    size_t cap = p->cap_vars;
    if (!enter(p)) {
        return;
    }
    p->vars = NULL;
    p->n_vars = p->cap_vars = 0;
    p->ranges = 0;
    push_var(p, S("$"));
    struct tnode *root = item_list(p, &end);
    if (end != NULL && end->kind != T_END) {
        fail(p, "unexpected {{else}} in %s", context);
    }
    define(p, name, root);
    p->vars = kept;
    p->n_vars = vars;
    p->cap_vars = cap;
    p->ranges = (unsigned)ranges;
    p->depth--;
}

static struct tnode *block(struct parser *p)
{
    struct ttoken t = next_word(p);
    struct tnode *n = node(p, T_TEMPLATE, t.pos, STR_EMPTY);
    n->text = template_name(p, t, "block clause");
    n->pipe = pipeline(p, "block clause", TT_RIGHT_DELIM);
    body(p, n->text, "block clause");
    return n;
}

static struct tnode *call(struct parser *p)
{
    struct ttoken t = next_word(p);
    struct tnode *n = node(p, T_TEMPLATE, t.pos, STR_EMPTY);
    n->text = template_name(p, t, "template clause");
    if (next_word(p).kind != TT_RIGHT_DELIM) {
        backup(p);
        n->pipe = pipeline(p, "template clause", TT_RIGHT_DELIM);
    }
    return n;
}

static struct tnode *action(struct parser *p)
{
    struct ttoken t = next_word(p);
    switch (t.kind) {
    case TT_BLOCK:
        return block(p);
    case TT_BREAK:
        return jump(p, t, T_BREAK);
    case TT_CONTINUE:
        return jump(p, t, T_CONTINUE);
    case TT_ELSE:
        return else_or_end(p, T_ELSE);
    case TT_END:
        return else_or_end(p, T_END);
    case TT_IF:
        return control(p, T_IF, "if");
    case TT_RANGE:
        return control(p, T_RANGE, "range");
    case TT_TEMPLATE:
        return call(p);
    case TT_WITH:
        return control(p, T_WITH, "with");
    default:
        break;
    }
    backup(p);
    struct tnode *n = node(p, T_ACTION, peek(p).pos, STR_EMPTY);
    n->pipe = pipeline(p, "command", TT_RIGHT_DELIM);
    return n;
}

static struct tnode *text_or_action(struct parser *p)
{
    struct ttoken t = next_word(p);
    if (t.kind == TT_TEXT) {
        return node(p, T_TEXT, t.pos, t.text);
    }
    if (t.kind != TT_LEFT_DELIM) {
        unexpected(p, t, "input");
        return node(p, T_TEXT, t.pos, STR_EMPTY);
    }
    p->action_line = t.line;
    struct tnode *n = action(p);
    p->action_line = 0;
    return n;
}

static void definition(struct parser *p)
{
    struct str name = template_name(p, next_word(p), "define clause");
    expect_close(p, "define clause");
    body(p, name, "define clause");
}

static struct tnode *document(struct parser *p)
{
    struct tnode *root = node(p, T_LIST, 0, STR_EMPTY);
    while (p->error.n == 0 && peek(p).kind != TT_EOF) {
        if (peek(p).kind == TT_LEFT_DELIM) {
            struct ttoken delim = next(p);
            if (next_word(p).kind == TT_DEFINE) {
                definition(p);
                continue;
            }
            p->token[1] = delim;
            p->peeked = 2;
        }
        struct tnode *n = text_or_action(p);
        if (n->kind == T_END || n->kind == T_ELSE) {
            fail(p, "unexpected %s", n->kind == T_END ? "{{end}}" : "{{else}}");
        }
        push(p, &root->items, n);
    }
    return root;
}

bool template_parse(struct arena *a, struct str text, struct template *out, struct str *why)
{
    struct template t = {.a = a, .text = text};
    struct parser p = {.t = &t, .a = a};
    tlex_init(&p.lex, a, text);
    push_var(&p, S("$"));
    struct tnode *root = document(&p);
    if (p.error.n == 0) {
        define(&p, S("template"), root);
    }
    *why = p.error;
    *out = t;
    return p.error.n == 0;
}
