#include "authz/rego/syntax/lex.h"

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
    const char *name;
    enum token tok;
    unsigned bit; /* 0: a keyword always */
} keyword_table[] = {
    {"package", TOK_PACKAGE, 0},
    {"import", TOK_IMPORT, 0},
    {"as", TOK_AS, 0},
    {"default", TOK_DEFAULT, 0},
    {"else", TOK_ELSE, 0},
    {"not", TOK_NOT, 0},
    {"some", TOK_SOME, 0},
    {"with", TOK_WITH, 0},
    {"null", TOK_NULL, 0},
    {"true", TOK_TRUE, 0},
    {"false", TOK_FALSE, 0},
    {"in", TOK_IN, KW_IN},
    {"every", TOK_EVERY, KW_EVERY},
    {"if", TOK_IF, KW_IF},
    {"contains", TOK_CONTAINS, KW_CONTAINS},
    {"and", TOK_LOGICAL_AND, KW_AND},
    {"or", TOK_LOGICAL_OR, KW_OR},
};

enum token keyword_token(struct str name, unsigned keywords)
{
    for (size_t i = 0; i < ARRAY_LEN(keyword_table); i++) {
        if (str_is(name, keyword_table[i].name)) {
            bool on = keyword_table[i].bit == 0 || (keywords & keyword_table[i].bit) != 0;
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
        if (str_is(name, keyword_table[i].name)) {
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

void lexer_init(struct lexer *x, struct str source)
{
    *x = (struct lexer){.p = source.p, .end = source.p + source.n, .row = 1, .col = 1};
    if (source.n >= 3 && memcmp(source.p, "\xef\xbb\xbf", 3) == 0) {
        x->p += 3;
        x->off = 3;
    }
}

static int peek(const struct lexer *x)
{
    return x->p < x->end ? (unsigned char)*x->p : -1;
}

/* Length of the UTF-8 sequence at `p`, or 0 when it is malformed. */
static size_t sequence(const char *p, const char *end)
{
    unsigned char c = (unsigned char)*p;
    size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    return n <= (size_t)(end - p) && str_is_utf8(str_n(p, n)) ? n : 0;
}

static void step(struct lexer *x, const char **error)
{
    if (x->p >= x->end) {
        return;
    }
    size_t n = 1;
    if (*x->p == '\n') {
        x->row++;
        x->col = 0;
    } else if (*x->p == '\0' && error != NULL) {
        *error = "illegal null character";
    } else if ((unsigned char)*x->p >= 0x80) {
        n = sequence(x->p, x->end);
        if (n == 0) {
            n = 1;
            if (error != NULL) {
                *error = "illegal utf-8 character";
            }
        }
    }
    x->p += n;
    x->off += (uint32_t)n;
    x->col++;
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool digits(struct lexer *x)
{
    bool any = false;
    for (; is_digit(peek(x)); any = true) {
        step(x, NULL);
    }
    return any;
}

static const char *scan_number(struct lexer *x)
{
    const char *error = NULL;
    digits(x);
    if (peek(x) == '.') {
        step(x, NULL);
        error = digits(x) ? error : "expected fraction";
    }
    if (peek(x) == 'e' || peek(x) == 'E') {
        step(x, NULL);
        if (peek(x) == '+' || peek(x) == '-') {
            step(x, NULL);
        }
        error = digits(x) ? error : "expected exponent";
    }
    if (is_letter(peek(x))) {
        error = "illegal number format";
        while (is_letter(peek(x)) || is_digit(peek(x))) {
            step(x, NULL);
        }
    }
    return error;
}

/* One escape, the backslash being behind us. In templates `\{` is one more. */
static const char *scan_escape(struct lexer *x, bool template)
{
    int c = peek(x);
    if (c > 0 && (strchr("\\\"/bfnrt", c) != NULL || (template && c == '{'))) {
        step(x, NULL);
        return NULL;
    }
    if (c == 'u') {
        for (int i = 0; i < 4; i++) {
            step(x, NULL);
        }
        return NULL;
    }
    return "illegal escape sequence";
}

static const char *scan_string(struct lexer *x)
{
    const char *error = NULL;
    for (;;) {
        int c = peek(x);
        if (c == '\n' || c < 0) {
            return "non-terminated string";
        }
        step(x, &error);
        if (c == '"') {
            return error;
        }
        if (c == '\\') {
            const char *e = scan_escape(x, false);
            error = e != NULL ? e : error;
        }
    }
}

static const char *scan_raw(struct lexer *x)
{
    const char *error = NULL;
    for (;;) {
        int c = peek(x);
        if (c < 0) {
            return "non-terminated string";
        }
        step(x, &error);
        if (c == '`') {
            return error;
        }
    }
}

static enum token scan_template(struct lexer *x, bool raw, const char **error)
{
    for (;;) {
        int c = peek(x);
        if (c < 0 || (c == '\n' && !raw)) {
            *error = "non-terminated string";
            return TOK_ILLEGAL;
        }
        step(x, error);
        if (c == (raw ? '`' : '"')) {
            return raw ? TOK_RAW_TEMPLATE_END : TOK_TEMPLATE_END;
        }
        if (c == '{') {
            return raw ? TOK_RAW_TEMPLATE_PART : TOK_TEMPLATE_PART;
        }
        if (c == '\\' && raw) {
            if (peek(x) == '{') {
                step(x, NULL);
            }
        } else if (c == '\\') {
            const char *e = scan_escape(x, true);
            *error = e != NULL ? e : *error;
        }
    }
}

static struct lexeme finish(struct lexer *x, struct lexeme l, const char *from)
{
    l.loc.end = x->off;
    l.lit = str_n(from, (size_t)(x->p - from));
    if (l.error != NULL) {
        l.tok = TOK_ILLEGAL;
    }
    return l;
}

struct lexeme lexer_template_rest(struct lexer *x, bool raw)
{
    struct lexeme l = {.loc = {.row = x->row, .col = x->col, .off = x->off}};
    const char *from = x->p - 1; /* the `}`, so that every part has one delimiter at each end */
    l.tok = scan_template(x, raw, &l.error);
    return finish(x, l, from);
}

static enum token either(struct lexer *x, char next, enum token with, enum token without)
{
    if (peek(x) != next) {
        return without;
    }
    step(x, NULL);
    return with;
}

static enum token scan_symbol(struct lexer *x, int c, const char **error)
{
    static const struct {
        char c;
        enum token tok;
    } singles[] = {{'[', TOK_LBRACK}, {']', TOK_RBRACK}, {'{', TOK_LBRACE},    {'}', TOK_RBRACE},
                   {'(', TOK_LPAREN}, {')', TOK_RPAREN}, {',', TOK_COMMA},     {'+', TOK_ADD},
                   {'-', TOK_SUB},    {'*', TOK_MUL},    {'/', TOK_QUO},       {'%', TOK_REM},
                   {'&', TOK_AND},    {'|', TOK_OR},     {';', TOK_SEMICOLON}, {'.', TOK_DOT}};
    for (size_t i = 0; i < ARRAY_LEN(singles); i++) {
        if (singles[i].c == c) {
            return singles[i].tok;
        }
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
        if (peek(x) != '=') {
            *error = "illegal ! character";
        }
        return either(x, '=', TOK_NEQ, TOK_ILLEGAL);
    default:
        return TOK_ILLEGAL;
    }
}

static enum token scan_quoted(struct lexer *x, int c, const char **error)
{
    if (c == '"') {
        *error = scan_string(x);
        return TOK_STRING;
    }
    if (c == '`') {
        *error = scan_raw(x);
        return TOK_STRING;
    }
    bool raw = peek(x) == '`';
    if (!raw && peek(x) != '"') {
        *error = "illegal $ character";
        return TOK_ILLEGAL;
    }
    step(x, NULL);
    return scan_template(x, raw, error);
}

static enum token scan_token(struct lexer *x, const char *from, const char **error)
{
    int c = peek(x);
    if (is_letter(c)) {
        while (is_letter(peek(x)) || is_digit(peek(x))) {
            step(x, NULL);
        }
        return keyword_token(str_n(from, (size_t)(x->p - from)), x->keywords);
    }
    if (is_digit(c)) {
        *error = scan_number(x);
        return TOK_NUMBER;
    }
    step(x, error);
    switch (c) {
    case -1:
        return TOK_EOF;
    case ' ':
    case '\t':
    case '\n':
    case '\r':
        return TOK_WHITESPACE;
    case '#':
        while (peek(x) >= 0 && peek(x) != '\n') {
            step(x, error);
        }
        return TOK_COMMENT;
    case '"':
    case '`':
    case '$':
        return scan_quoted(x, c, error);
    default:
        break;
    }
    if (c == 0xc2 && (unsigned char)from[1] == 0xa0) {
        *error = "illegal non-breaking space character, use a regular space instead";
    }
    return scan_symbol(x, c, error);
}

struct lexeme lexer_next(struct lexer *x)
{
    struct lexeme l = {.loc = {.row = x->row, .col = x->col, .off = x->off}};
    const char *from = x->p;
    l.tok = scan_token(x, from, &l.error);
    if ((l.tok == TOK_TEMPLATE_PART || l.tok == TOK_TEMPLATE_END ||
         l.tok == TOK_RAW_TEMPLATE_PART || l.tok == TOK_RAW_TEMPLATE_END)) {
        from++; /* the $ */
    }
    return finish(x, l, from);
}
