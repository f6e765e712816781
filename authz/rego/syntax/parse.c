/* The parser's core: tokens, errors, the statements of a module. */
#include "authz/rego/syntax/parse_priv.h"
#include "authz/rego/value/utf8.h"

#include <stdarg.h>

static void add_comment(struct parser *p)
{
    p->comments = arena_grow(p->a, p->comments, p->s.n_comments, p->s.n_comments + 1,
                             &p->cap_comments, sizeof *p->comments);
    struct str text = str_sub(lit(p), 1, lit(p).n);
    while (text.n > 1 && text.p[text.n - 1] == '\r') {
        text.n--;
    }
    if (str_is(text, "\r") && lit(p).n == 2) {
        text = STR_EMPTY;
    }
    p->comments[p->s.n_comments++] = (struct comment){.loc = here(p), .text = text};
}

static void note_token(struct parser *p)
{
    p->s.tok_end = p->s.cur.loc.end;
    if (p->lex_errors.n == 0) {
        return;
    }
    for (size_t i = 0; i < p->lex_errors.n; i++) {
        parser_error(p, here(p), "%s", p->lex_errors.v[i]);
    }
    p->lex_errors.n = 0;
    p->s.cur.tok = TOK_ILLEGAL;
}

/* Text in which nearly every place can be read in two ways must not cost without bound. */
static void next_token(struct parser *p)
{
    if (p->tokens++ == p->tokens_max) {
        parser_error(p, here(p), "max parsing effort exceeded");
    }
    if (p->tokens > p->tokens_max || arena_exhausted(p->a)) {
        p->s.cur.tok = TOK_EOF;
        p->s.cur.lit = STR_EMPTY;
        return;
    }
    p->s.cur = lexer_next(&p->s.lex);
    note_token(p);
}

static void scan(struct parser *p, bool skip_blanks)
{
    if (tok(p) != TOK_WHITESPACE) {
        p->s.last_end = p->s.tok_end;
        p->s.skipped_nl = false;
    }
    for (;;) {
        next_token(p);
        if (tok(p) == TOK_WHITESPACE) {
            p->s.skipped_nl |= lit(p).p[0] == '\n';
            if (skip_blanks) {
                continue;
            }
        }
        if (tok(p) != TOK_COMMENT) {
            return;
        }
        add_comment(p);
    }
}

void parser_scan(struct parser *p)
{
    scan(p, true);
}

void parser_scan_ws(struct parser *p)
{
    scan(p, false);
}

void parser_template_rest(struct parser *p, bool raw)
{
    p->s.last_end = p->s.tok_end;
    p->s.skipped_nl = false;
    /* The lexer stands behind the `}` unless it has looked ahead, which it never does here. */
    p->s.cur = lexer_template_rest(&p->s.lex, raw);
    note_token(p);
}

void parser_restore(struct parser *p, const struct parse_state *s)
{
    p->s = *s;
}

bool parser_enter(struct parser *p)
{
    if (p->depth >= PARSE_DEPTH_MAX || arena_exhausted(p->a)) {
        parser_error(p, here(p), "max parsing recursion depth exceeded");
        return false;
    }
    p->depth++;
    return true;
}

static struct str format_text(struct parser *p, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    n = MAX(n, 0);
    char *text = arena_alloc_raw(p->a, (size_t)n + 1, 1);
    vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return str_n(text, (size_t)n);
}

static struct str with_hints(struct parser *p, struct str s)
{
    for (int i = 0; i < p->s.n_hints; i++) {
        const char *open = i > 0 ? ", " : p->s.n_hints > 1 ? " (hints: " : " (hint: ";
        s = arena_printf(p->a, "%.*s%s%.*s", STR_FMT(s), open, STR_FMT(p->s.hints[i]));
    }
    if (p->s.n_hints > 0) {
        s = arena_printf(p->a, "%.*s)", STR_FMT(s));
    }
    p->s.n_hints = 0;
    return s;
}

/* The byte that row and column name. A line feed stands at column 0 of the row behind it. */
static size_t offset_of(struct str s, struct loc loc)
{
    size_t at = 0;
    for (uint32_t row = 1; row < loc.row && at < s.n; at++) {
        row += s.p[at] == '\n';
    }
    for (uint32_t col = 1; col < loc.col && at < s.n; col++) {
        (void)utf8_next(s, &at);
    }
    return loc.col == 0 && at > 0 ? at - 1 : at;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

/* The line that the error is about, and which byte of it: blanks belong to what is before them. */
static void add_line(struct rego_error *e, struct str s)
{
    size_t at = offset_of(s, e->loc);
    e->has_line = true;
    if (s.n == 0) {
        return;
    }
    at = MIN(at, s.n - 1);
    while (at > 0 && is_blank(s.p[at])) {
        at--;
    }
    size_t begin = at, end = at;
    while (begin > 0 && !is_line_end(s.p[begin])) {
        begin--;
    }
    begin += is_line_end(s.p[begin]);
    while (end < s.n && !is_line_end(s.p[end])) {
        end++;
    }
    begin = MIN(begin, end);
    e->line = str_sub(s, begin, end);
    e->line_at = at > begin ? at - begin : 0;
}

static struct str line_and_caret(struct arena *a, const struct rego_error *e)
{
    struct str line = e->line;
    size_t tabs = 0;
    while (tabs < line.n && line.p[tabs] == '\t') {
        tabs++;
    }
    size_t indent = e->line_at > tabs ? e->line_at - tabs : 0;
    line = str_sub(line, tabs, line.n);
    char *text = arena_alloc_raw(a, line.n + indent + 2, 1);
    memcpy(text, line.n > 0 ? line.p : "", line.n);
    text[line.n] = '\n';
    memset(text + line.n + 1, ' ', indent);
    text[line.n + 1 + indent] = '^';
    return str_n(text, line.n + indent + 2);
}

void rego_error_find_line(struct arena *a, struct rego_error *e, struct str source)
{
    add_line(e, source);
    e->details = line_and_caret(a, e);
}

static void add_error(struct parser *p, struct loc loc, struct str message)
{
    message = with_hints(p, message);
    if (p->s.n_errors >= PARSE_ERRORS_MAX) {
        return;
    }
    struct parse_error *x = arena_new(p->a, struct parse_error);
    x->e = (struct rego_error){
        .code = "rego_parse_error", .file = p->file, .loc = loc, .message = message};
    x->before = p->s.last_error;
    p->s.last_error = x;
    p->s.n_errors++;
}

void parser_error(struct parser *p, struct loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str s = format_text(p, fmt, ap);
    va_end(ap);
    add_error(p, loc, s);
}

void parser_hint(struct parser *p, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (p->s.n_hints < PARSE_HINTS_MAX) {
        p->s.hints[p->s.n_hints++] = format_text(p, fmt, ap);
    }
    va_end(ap);
}

void parser_illegal(struct parser *p, const char *note, ...)
{
    if (tok(p) == TOK_ILLEGAL) {
        parser_error(p, here(p), "illegal token");
        return;
    }
    enum token t = tok(p);
    bool keyword = (t >= TOK_PACKAGE && t <= TOK_FALSE) || t == TOK_IN || t >= TOK_EVERY;
    const char *kind = keyword ? "keyword" : "token";
    if (note == NULL) {
        parser_error(p, here(p), "unexpected %s %s", token_name(t), kind);
        return;
    }
    va_list ap;
    va_start(ap, note);
    struct str text = format_text(p, note, ap);
    va_end(ap);
    parser_error(p, here(p), "unexpected %s %s: %.*s", token_name(t), kind, STR_FMT(text));
}

const char *term_kind(const struct term *t)
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
                                        "call",
                                        "and",
                                        "or",
                                        "not",
                                        "expr"};
    return names[t->type];
}

bool ref_keyword(const struct parser *p)
{
    if (tok(p) < TOK_PACKAGE) {
        return false;
    }
    struct str word = lit(p);
    if (word.n == 0 || !((word.p[0] >= 'a' && word.p[0] <= 'z'))) {
        return false;
    }
    return is_keyword_in_version(word, p->o.version) ||
           keyword_token(word, p->s.lex.keywords) != TOK_IDENT;
}

bool scan_ahead_ref(struct parser *p)
{
    if (!ref_keyword(p)) {
        return false;
    }
    struct parse_state before = p->s;
    parser_scan_ws(p);
    enum token next = tok(p);
    parser_restore(p, &before);
    if (next != TOK_DOT && next != TOK_LBRACK) {
        return false;
    }
    p->s.cur.tok = TOK_IDENT;
    return true;
}

static struct statement *add_statement(struct parser *p, enum statement_kind kind, struct loc loc)
{
    p->statements = arena_grow(p->a, p->statements, p->n_statements, p->n_statements + 1,
                               &p->cap_statements, sizeof *p->statements);
    struct statement *s = &p->statements[p->n_statements++];
    *s = (struct statement){.kind = kind, .loc = loc};
    return s;
}

static bool path_statement(struct parser *p, bool package)
{
    struct loc loc = here(p);
    struct term *path = NULL;
    struct import *imp = NULL;
    if (package ? (path = parse_package(p)) == NULL : (imp = parse_import(p)) == NULL) {
        return false;
    }
    if (tok(p) == TOK_SUB) { /* it would be read as the sign of what follows */
        parser_illegal(p, NULL);
        return false;
    }
    struct statement *s = add_statement(p, package ? ST_PACKAGE : ST_IMPORT, loc);
    if (package) {
        s->package = path;
    } else {
        s->import = imp;
        apply_import(p, imp);
    }
    return true;
}

/* One statement: false when nothing more can be read. */
static bool statement(struct parser *p, bool rules)
{
    if (rules && keyword_as_name(p, false)) {
        return false;
    }
    struct parse_state before = p->s;
    if (tok(p) == TOK_PACKAGE || tok(p) == TOK_IMPORT) {
        if (path_statement(p, tok(p) == TOK_PACKAGE)) {
            return true;
        }
        if (p->s.n_errors > 0) {
            return false;
        }
        parser_restore(p, &before);
    }
    struct rule *r = rules ? parse_rules(p) : NULL;
    for (struct rule *x = r; x != NULL; x = x->next_in_chain) {
        add_statement(p, ST_RULE, x->loc)->rule = x;
    }
    if (r != NULL) {
        return true;
    }
    if (rules && p->s.n_errors > 0) {
        return false;
    }
    parser_restore(p, &before);
    struct body *b = parse_query(p, true, TOK_EOF);
    if (b != NULL) {
        add_statement(p, ST_BODY, b->v[0]->loc)->body = b;
    }
    return b != NULL;
}

static void read_statements(struct parser *p, bool rules)
{
    parser_scan(p);
    while (tok(p) != TOK_EOF && statement(p, rules)) {
        arena_reset(&p->scratch);
        p->cache = NULL;
    }
    if (arena_exhausted(p->a) && p->s.n_errors == 0) {
        parser_error(p, here(p), "the module needs more memory than a parse may take");
    }
    p->errors.v = arena_array(p->a, struct rego_error, p->s.n_errors + 1);
    p->errors.n = p->errors.cap = p->s.n_errors;
    size_t i = p->errors.n;
    for (const struct parse_error *x = p->s.last_error; x != NULL; x = x->before) {
        p->errors.v[--i] = x->e; /* those that are told; most were of trials */
        rego_error_find_line(p->a, &p->errors.v[i], p->source);
    }
    arena_release(&p->scratch);
}

enum { PARSE_SCRATCH_MAX = 256 << 20 };

static void parser_init(struct parser *p, struct arena *a, struct str file, struct str source,
                        const struct parse_options *o)
{
    *p = (struct parser){.a = a, .file = file, .source = source, .o = *o, .errors = {.a = a}};
    arena_init(&p->scratch, PARSE_SCRATCH_MAX);
    p->tokens_max = PARSE_TOKENS_BASE + source.n * PARSE_TOKENS_PER_BYTE;
    lexer_init(&p->s.lex, source, &p->lex_errors);
    p->allowed = KW_V2;
    unsigned on = o->version == REGO_V0 ? 0 : o->version == REGO_V1 ? KW_V1 : KW_V2;
    on |= o->all_future_keywords || o->query_keywords_v2 ? KW_V2 : 0;
    p->s.lex.keywords = on;
    p->not_bodies = (on & KW_NOT) != 0;
    p->s.cur.tok = TOK_WHITESPACE;
}

static void hand_over(struct parser *p, struct rego_errors *errors)
{
    for (size_t i = 0; i < p->errors.n; i++) {
        const struct rego_error *e = &p->errors.v[i];
        rego_errors_add(errors, e->code, e->file, e->loc, "%.*s", STR_FMT(e->message));
        struct rego_error *copy = &errors->v[errors->n - 1];
        copy->details = arena_str(errors->a, e->details); /* the parser's memory may go first */
        copy->line = arena_str(errors->a, e->line);
        copy->line_at = e->line_at;
        copy->has_line = e->has_line;
        copy->whole_file = e->whole_file;
    }
}

bool rego_parse_module(struct arena *a, struct str file, struct str source,
                       const struct parse_options *o, struct rego_errors *errors,
                       struct module **out)
{
    struct parser *p = arena_new(a, struct parser);
    struct module *m = arena_new(a, struct module);
    parser_init(p, a, file, source, o);
    m->file = file;
    m->source = source;
    m->version = m->effective = o->version;
    read_statements(p, true);
    m->comments = p->comments;
    m->n_comments = p->s.n_comments;
    m->not_bodies = p->not_bodies;
    bool ok = p->errors.n == 0 && assemble_module(p, m);
    hand_over(p, errors);
    *out = ok ? m : *out;
    return ok;
}

bool rego_parse_query(struct arena *a, struct str source, const struct parse_options *o,
                      struct rego_errors *errors, struct body **out)
{
    struct parser *p = arena_new(a, struct parser);
    struct body *b = arena_new(a, struct body);
    parser_init(p, a, STR_EMPTY, source, o);
    read_statements(p, false);
    for (size_t i = 0; i < p->n_statements; i++) {
        const struct statement *s = &p->statements[i];
        if (s->kind != ST_BODY) {
            rego_errors_add(&p->errors, "rego_parse_error", STR_EMPTY, s->loc,
                            "expected body but got *ast.%s",
                            s->kind == ST_PACKAGE ? "Package" : "Import");
            break;
        }
        for (size_t k = 0; k < s->body->n; k++) {
            body_push(a, b, s->body->v[k]);
        }
    }
    if (p->errors.n == 0 && b->n == 0) {
        rego_errors_add(&p->errors, "rego_parse_error", STR_EMPTY, (struct loc){.row = 1, .col = 1},
                        "empty query");
    }
    hand_over(p, errors);
    *out = b;
    return p->errors.n == 0;
}
