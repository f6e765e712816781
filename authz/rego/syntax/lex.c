#include "authz/rego/syntax/lex.h"

#include "authz/rego/value/utf8.h"

const char *token_name(enum token t)
{
    static const char *const names[] = {
#define X(id, text) text,
        TOKEN_TABLE(X)
#undef X
    };
    return names[t];
}

static const struct {
    struct str name;
    enum token tok;
    unsigned bit; /* 0: a keyword always */
} keyword_table[] = {
    {STR_INIT("package"), TOK_PACKAGE, 0},
    {STR_INIT("import"), TOK_IMPORT, 0},
    {STR_INIT("as"), TOK_AS, 0},
    {STR_INIT("default"), TOK_DEFAULT, 0},
    {STR_INIT("else"), TOK_ELSE, 0},
    {STR_INIT("not"), TOK_NOT, 0},
    {STR_INIT("some"), TOK_SOME, 0},
    {STR_INIT("with"), TOK_WITH, 0},
    {STR_INIT("null"), TOK_NULL, 0},
    {STR_INIT("true"), TOK_TRUE, 0},
    {STR_INIT("false"), TOK_FALSE, 0},
    {STR_INIT("in"), TOK_IN, KW_IN},
    {STR_INIT("every"), TOK_EVERY, KW_EVERY},
    {STR_INIT("if"), TOK_IF, KW_IF},
    {STR_INIT("contains"), TOK_CONTAINS, KW_CONTAINS},
    {STR_INIT("and"), TOK_LOGICAL_AND, KW_AND},
    {STR_INIT("or"), TOK_LOGICAL_OR, KW_OR},
};

enum token keyword_token(struct str name, unsigned keywords)
{
    for (size_t i = 0; name.n > 0 && i < ARRAY_LEN(keyword_table); i++) {
        struct str word = keyword_table[i].name;
        if (name.n == word.n && name.p[0] == word.p[0] && str_eq(name, word)) {
            bool on = keyword_table[i].bit == 0 || (keywords & keyword_table[i].bit) != 0;
            on = on && (keyword_table[i].tok != TOK_NOT || (keywords & KW_PLAIN_NOT) == 0);
            return on ? keyword_table[i].tok : TOK_IDENT;
        }
    }
    return TOK_IDENT;
}

unsigned keyword_bit(struct str name)
{
    if (str_is(name, "not")) {
        return KW_NOT;
    }
    for (size_t i = 0; i < ARRAY_LEN(keyword_table); i++) {
        if (str_eq(name, keyword_table[i].name)) {
            return keyword_table[i].bit;
        }
    }
    return 0;
}

bool is_keyword_in_version(struct str name, enum rego_version v)
{
    unsigned on = v == REGO_V0 ? 0 : v == REGO_V1 ? KW_V1 : KW_V2;
    return keyword_token(name, on) != TOK_IDENT;
}

static void fault(struct lexer *x, const char *what)
{
    if (x->errors->n < LEX_ERRORS_MAX) {
        x->errors->v[x->errors->n++] = what;
    }
}

enum { BOM = 0xfeff };

/* A character outside of ASCII. Faults belong to the token at whose end they come into sight. */
static void decode(struct lexer *x)
{
    size_t at = x->pos;
    struct str rest = str_sub(x->text, 0, MIN((size_t)x->pos + 4, x->text.n));
    x->cur = (int32_t)utf8_next(rest, &at);
    x->width = (uint32_t)(at - x->pos);
    if (x->cur == 0xfffd && x->width == 1) {
        fault(x, "illegal utf-8 character");
    } else if (x->cur == BOM && x->pos > 0) {
        fault(x, "illegal byte-order mark");
    }
}

static void step(struct lexer *x)
{
    x->pos += x->width;
    if (x->pos >= x->text.n) { /* the end keeps the column of the last character */
        x->cur = -1;
        x->width = 0;
        return;
    }
    x->cur = (unsigned char)x->text.p[x->pos];
    x->width = 1;
    if (x->cur == '\n') {
        x->row++;
        x->col = 0;
        return;
    }
    x->col++;
    if (x->cur == 0) {
        fault(x, "illegal null character");
    } else if (x->cur >= 0x80) {
        decode(x);
    }
}

void lexer_init(struct lexer *x, struct str source, struct lex_errors *errors)
{
    *x = (struct lexer){.text = source, .row = 1, .errors = errors};
    step(x);
    if (x->cur == BOM) {
        step(x);
    }
}

static bool is_letter(int32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(int32_t c)
{
    return c >= '0' && c <= '9';
}

static bool digits(struct lexer *x)
{
    bool any = false;
    for (; is_digit(x->cur); any = true) {
        step(x);
    }
    return any;
}

static void scan_word(struct lexer *x)
{
    while (is_letter(x->cur) || is_digit(x->cur)) {
        step(x);
    }
}

static void scan_number(struct lexer *x)
{
    digits(x);
    if (x->cur == '.') {
        step(x);
        if (!digits(x)) {
            fault(x, "expected fraction");
        }
    }
    if (x->cur == 'e' || x->cur == 'E') {
        step(x);
        if (x->cur == '+' || x->cur == '-') {
            step(x);
        }
        if (!digits(x)) {
            fault(x, "expected exponent");
        }
    }
    if (is_letter(x->cur)) {
        fault(x, "illegal number format");
        scan_word(x);
    }
}

/* One escape, the backslash being behind us. In templates `\{` is one more. */
static void scan_escape(struct lexer *x, bool template)
{
    if (x->cur > 0 && x->cur < 0x80 &&
        (strchr("\\\"/bfnrt", x->cur) != NULL || (template && x->cur == '{'))) {
        step(x);
    } else if (x->cur == 'u') {
        for (int i = 0; i < 4; i++) {
            step(x);
        }
    } else {
        fault(x, "illegal escape sequence");
    }
}

static void scan_string(struct lexer *x)
{
    for (;;) {
        int32_t c = x->cur;
        if (c == '\n' || c < 0) {
            fault(x, "non-terminated string");
            return;
        }
        step(x);
        if (c == '"') {
            return;
        }
        if (c == '\\') {
            scan_escape(x, false);
        }
    }
}

static void scan_raw(struct lexer *x)
{
    for (;;) {
        int32_t c = x->cur;
        if (c < 0) {
            fault(x, "non-terminated string");
            return;
        }
        step(x);
        if (c == '`') {
            return;
        }
    }
}

static enum token scan_template(struct lexer *x, bool raw)
{
    for (;;) {
        int32_t c = x->cur;
        if (c < 0 || (c == '\n' && !raw)) {
            fault(x, "non-terminated string");
            return raw ? TOK_RAW_TEMPLATE_PART : TOK_TEMPLATE_PART;
        }
        step(x);
        if (c == (raw ? '`' : '"')) {
            return raw ? TOK_RAW_TEMPLATE_END : TOK_TEMPLATE_END;
        }
        if (c == '{') {
            return raw ? TOK_RAW_TEMPLATE_PART : TOK_TEMPLATE_PART;
        }
        if (c == '\\' && raw) {
            if (x->cur == '{') {
                step(x);
            }
        } else if (c == '\\') {
            scan_escape(x, true);
        }
    }
}

static struct lexeme begin(const struct lexer *x)
{
    return (struct lexeme){.loc = {.row = x->row, .col = x->col, .off = x->pos}};
}

static struct lexeme finish(const struct lexer *x, struct lexeme l, uint32_t from)
{
    l.loc.end = x->pos;
    l.lit = str_sub(x->text, from, x->pos);
    return l;
}

struct lexeme lexer_template_rest(struct lexer *x, bool raw)
{
    struct lexeme l = begin(x);
    l.tok = scan_template(x, raw);
    return finish(x, l, l.loc.off - 1); /* with the `}`: every part has a delimiter at each end */
}

static enum token either(struct lexer *x, char next, enum token with, enum token without)
{
    if (x->cur != next) {
        return without;
    }
    step(x);
    return with;
}

static enum token scan_symbol(struct lexer *x, int32_t c)
{
    static const unsigned char singles[128] = {
        ['['] = TOK_LBRACK, [']'] = TOK_RBRACK, ['{'] = TOK_LBRACE,    ['}'] = TOK_RBRACE,
        ['('] = TOK_LPAREN, [')'] = TOK_RPAREN, [','] = TOK_COMMA,     ['+'] = TOK_ADD,
        ['-'] = TOK_SUB,    ['*'] = TOK_MUL,    ['/'] = TOK_QUO,       ['%'] = TOK_REM,
        ['&'] = TOK_AND,    ['|'] = TOK_OR,     [';'] = TOK_SEMICOLON, ['.'] = TOK_DOT,
    };
    if (c > 0 && c < 128 && singles[c] != 0) {
        return (enum token)singles[c];
    }
    switch (c) {
    case ':':
        return either(x, '=', TOK_ASSIGN, TOK_COLON);
    case '=':
        return either(x, '=', TOK_EQUAL, TOK_UNIFY);
    case '>':
        return either(x, '=', TOK_GTE, TOK_GT);
    case '<':
        return either(x, '=', TOK_LTE, TOK_LT);
    case '!':
        if (x->cur != '=') {
            fault(x, "illegal ! character");
        }
        return either(x, '=', TOK_NEQ, TOK_ILLEGAL);
    case 0xa0:
        fault(x, "illegal non-breaking space character, use a regular space instead");
        return TOK_ILLEGAL;
    default:
        return TOK_ILLEGAL;
    }
}

static enum token scan_quoted(struct lexer *x, int32_t c)
{
    if (c == '"') {
        scan_string(x);
        return TOK_STRING;
    }
    if (c == '`') {
        scan_raw(x);
        return TOK_STRING;
    }
    bool raw = x->cur == '`';
    if (!raw && x->cur != '"') {
        fault(x, "illegal $ character");
        return TOK_ILLEGAL;
    }
    step(x);
    return scan_template(x, raw);
}

static enum token scan_token(struct lexer *x)
{
    int32_t c = x->cur;
    uint32_t from = x->pos;
    if (is_letter(c)) {
        scan_word(x);
        /* No keyword stands before a character outside of ASCII, which is wrong there anyway. */
        return x->cur >= 0x80 ? TOK_IDENT
                              : keyword_token(str_sub(x->text, from, x->pos), x->keywords);
    }
    if (is_digit(c)) {
        scan_number(x);
        return TOK_NUMBER;
    }
    step(x);
    switch (c) {
    case -1:
        return TOK_EOF;
    case ' ':
    case '\t':
    case '\n':
    case '\r':
        return TOK_WHITESPACE;
    case '#':
        while (x->cur >= 0 && x->cur != '\n') {
            step(x);
        }
        return TOK_COMMENT;
    case '"':
    case '`':
    case '$':
        return scan_quoted(x, c);
    default:
        return scan_symbol(x, c);
    }
}

struct lexeme lexer_next(struct lexer *x)
{
    struct lexeme l = begin(x);
    l.tok = scan_token(x);
    bool template = l.tok >= TOK_TEMPLATE_PART && l.tok <= TOK_RAW_TEMPLATE_END;
    return finish(x, l, l.loc.off + template); /* without the $ */
}
