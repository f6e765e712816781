/* Tokens of templates: text until "{{", then words until "}}", with "{{- " and " -}}" taking blanks. */
#include "authz/rego/builtin/template/priv.h"

#include "authz/rego/value/utf8.h"

void tlex_init(struct tlexer *x, struct arena *a, struct str text)
{
    *x = (struct tlexer){.a = a, .s = text, .line = 1, .start_line = 1};
}

static int at(const struct tlexer *x, size_t i)
{
    return i < x->s.n ? (unsigned char)x->s.p[i] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static unsigned lines(struct str s)
{
    unsigned n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += s.p[i] == '\n';
    }
    return n;
}

static struct ttoken emit(struct tlexer *x, enum ttok kind)
{
    struct str text = str_sub(x->s, x->start, x->pos);
    struct ttoken t = {kind, x->start, text, x->start_line};
    x->line = x->start_line + lines(text);
    x->start = x->pos;
    x->start_line = x->line;
    return t;
}

static void ignore(struct tlexer *x)
{
    (void)emit(x, TT_TEXT);
}

/* Nothing is read behind an error. */
static struct ttoken error(struct tlexer *x, struct str text)
{
    struct ttoken t = {TT_ERROR, x->start, text, x->start_line};
    x->dead = true;
    return t;
}

/* As %#U: the number of a character and what it looks like. */
static struct ttoken bad_character(struct tlexer *x, const char *what)
{
    size_t behind = x->pos;
    uint32_t c = utf8_next(x->s, &behind);
    struct str seen = str_sub(x->s, x->pos, behind);
    if (c < 0x20 || c == 0x7f) {
        return error(x, arena_printf(x->a, "%s U+%04X", what, (unsigned)c));
    }
    return error(x, arena_printf(x->a, "%s U+%04X '%.*s'", what, (unsigned)c, STR_FMT(seen)));
}

static bool at_right_delim(const struct tlexer *x, bool *trim)
{
    *trim = is_space(at(x, x->pos)) && at(x, x->pos + 1) == '-' && at(x, x->pos + 2) == '}' &&
            at(x, x->pos + 3) == '}';
    return *trim || (at(x, x->pos) == '}' && at(x, x->pos + 1) == '}');
}

static void skip_spaces(struct tlexer *x)
{
    while (is_space(at(x, x->pos))) {
        x->pos++;
    }
    ignore(x);
}

/* False: *t is the error. */
static bool comment(struct tlexer *x, struct ttoken *t)
{
    bool trim;
    size_t end = str_find(str_sub(x->s, x->pos + 2, x->s.n), S("*/"));
    if (end == STR_NPOS) {
        *t = error(x, S("unclosed comment"));
        return false;
    }
    x->pos += 2 + end + 2;
    if (!at_right_delim(x, &trim)) {
        *t = error(x, S("comment ends before closing delimiter"));
        return false;
    }
    x->pos += trim ? 4 : 2;
    ignore(x);
    if (trim) {
        skip_spaces(x);
    }
    return true;
}

static struct ttoken text(struct tlexer *x)
{
    for (;;) {
        struct ttoken t;
        size_t open = str_find(str_sub(x->s, x->pos, x->s.n), S("{{"));
        if (open == STR_NPOS) {
            x->pos = x->s.n;
            return emit(x, x->pos > x->start ? TT_TEXT : TT_EOF);
        }
        size_t delim = x->pos + open, end = delim;
        bool trim = at(x, delim + 2) == '-' && is_space(at(x, delim + 3));
        while (trim && end > x->start && is_space(at(x, end - 1))) {
            end--;
        }
        x->pos = end;
        t = emit(x, TT_TEXT);
        x->pos = delim;
        ignore(x);
        if (t.text.n > 0) {
            return t;
        }
        size_t behind = delim + (trim ? 4 : 2);
        if (at(x, behind) != '/' || at(x, behind + 1) != '*') {
            x->pos += 2;
            t = emit(x, TT_LEFT_DELIM);
            x->pos = behind;
            ignore(x);
            x->inside = true;
            x->parens = 0;
            return t;
        }
        x->pos = behind;
        ignore(x);
        if (!comment(x, &t)) {
            return t;
        }
    }
}

static struct ttoken right_delim(struct tlexer *x, bool trim)
{
    if (trim) {
        x->pos += 2;
        ignore(x);
    }
    x->pos += 2;
    struct ttoken t = emit(x, TT_RIGHT_DELIM);
    if (trim) {
        skip_spaces(x);
    }
    x->inside = false;
    return t;
}

static struct ttoken spaces(struct tlexer *x)
{
    bool trim;
    while (is_space(at(x, x->pos)) && !(at_right_delim(x, &trim) && trim)) {
        x->pos++;
    }
    return x->pos > x->start ? emit(x, TT_SPACE) : right_delim(x, true);
}

static bool is_alphanumeric(int c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' || c >= 0x80;
}

static bool at_terminator(const struct tlexer *x)
{
    int c = at(x, x->pos);
    return c < 0 || is_space(c) || strchr(".,|:)(", c) != NULL ||
           (c == '}' && at(x, x->pos + 1) == '}');
}

static void alphanumerics(struct tlexer *x)
{
    while (is_alphanumeric(at(x, x->pos))) {
        x->pos++;
    }
}

static enum ttok word_kind(struct str word)
{
    static const struct {
        const char *word;
        enum ttok kind;
    } words[] = {{"block", TT_BLOCK},   {"break", TT_BREAK},       {"continue", TT_CONTINUE},
                 {"define", TT_DEFINE}, {"else", TT_ELSE},         {"end", TT_END},
                 {"if", TT_IF},         {"nil", TT_NIL},           {"range", TT_RANGE},
                 {"true", TT_BOOL},     {"template", TT_TEMPLATE}, {"with", TT_WITH},
                 {"false", TT_BOOL}};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (str_is(word, words[i].word)) {
            return words[i].kind;
        }
    }
    return TT_IDENTIFIER;
}

static struct ttoken field_or_variable(struct tlexer *x, enum ttok kind)
{
    if (at_terminator(x)) {
        return emit(x, kind == TT_VARIABLE ? TT_VARIABLE : TT_DOT);
    }
    alphanumerics(x);
    return at_terminator(x) ? emit(x, kind) : bad_character(x, "bad character");
}

static struct ttoken quoted(struct tlexer *x, char quote, enum ttok kind, const char *unterminated)
{
    for (;;) {
        int c = at(x, x->pos);
        x->pos += c >= 0;
        if (c == '\\' && at(x, x->pos) >= 0 && at(x, x->pos) != '\n') {
            x->pos++;
        } else if (c < 0 || c == '\n' || c == '\\') {
            return error(x, str_of(unterminated));
        } else if (c == quote) {
            return emit(x, kind);
        }
    }
}

static struct ttoken raw_quoted(struct tlexer *x)
{
    size_t end = str_find_char(str_sub(x->s, x->pos, x->s.n), '`');
    if (end == STR_NPOS) {
        return error(x, S("unterminated raw quoted string"));
    }
    x->pos += end + 1;
    return emit(x, TT_RAW_STRING);
}

static bool accept(struct tlexer *x, const char *set)
{
    int c = at(x, x->pos);
    bool there = c > 0 && strchr(set, c) != NULL;
    x->pos += there;
    return there;
}

static struct ttoken number(struct tlexer *x)
{
    const char *digits = "0123456789_";
    (void)accept(x, "+-");
    if (accept(x, "0")) {
        digits = accept(x, "xX")   ? "0123456789abcdefABCDEF_"
                 : accept(x, "oO") ? "01234567_"
                 : accept(x, "bB") ? "01_"
                                   : digits;
    }
    while (accept(x, digits)) {
    }
    if (accept(x, ".")) {
        while (accept(x, digits)) {
        }
    }
    size_t n = strlen(digits);
    if ((n == 11 && accept(x, "eE")) || (n == 23 && accept(x, "pP"))) {
        (void)accept(x, "+-");
        while (accept(x, "0123456789_")) {
        }
    }
    (void)accept(x, "i");
    if (is_alphanumeric(at(x, x->pos)) || at(x, x->pos) == '+' || at(x, x->pos) == '-') {
        (void)utf8_next(x->s, &x->pos);
        struct buf b;
        buf_init(&b, 1 << 20);
        gofmt_quoted(&b, str_sub(x->s, x->start, x->pos));
        struct str seen = arena_str(x->a, buf_str(&b));
        buf_release(&b);
        return error(x, arena_printf(x->a, "bad number syntax: %.*s", STR_FMT(seen)));
    }
    return emit(x, TT_NUMBER);
}

/* What begins with a mark of its own. */
static struct ttoken marked(struct tlexer *x, int c)
{
    x->pos++;
    switch (c) {
    case '=':
        return emit(x, TT_ASSIGN);
    case ':':
        if (at(x, x->pos) != '=') {
            return error(x, S("expected :="));
        }
        x->pos++;
        return emit(x, TT_DECLARE);
    case '|':
        return emit(x, TT_PIPE);
    case '"':
        return quoted(x, '"', TT_STRING, "unterminated quoted string");
    case '\'':
        return quoted(x, '\'', TT_CHAR_CONSTANT, "unterminated character constant");
    case '`':
        return raw_quoted(x);
    case '$':
        return field_or_variable(x, TT_VARIABLE);
    case '.':
        return field_or_variable(x, TT_FIELD);
    case '(':
        x->parens++;
        return emit(x, TT_LEFT_PAREN);
    case ')':
        return --x->parens < 0 ? error(x, S("unexpected right paren")) : emit(x, TT_RIGHT_PAREN);
    default:
        if (c > 0x20 && c < 0x7f) {
            return emit(x, TT_CHAR);
        }
        x->pos--;
        return bad_character(x, "unrecognized character in action:");
    }
}

static struct ttoken action(struct tlexer *x)
{
    bool trim;
    if (at_right_delim(x, &trim)) {
        return x->parens > 0 ? error(x, S("unclosed left paren")) : right_delim(x, trim);
    }
    int c = at(x, x->pos), next = at(x, x->pos + 1);
    if (c < 0) {
        return error(x, S("unclosed action"));
    }
    if (is_space(c)) {
        return spaces(x);
    }
    if (c == '+' || c == '-' || (c >= '0' && c <= '9') ||
        (c == '.' && (next < 0 || (next >= '0' && next <= '9')))) {
        return number(x);
    }
    if (!is_alphanumeric(c)) {
        return marked(x, c);
    }
    alphanumerics(x);
    if (!at_terminator(x)) {
        return bad_character(x, "bad character");
    }
    return emit(x, word_kind(str_sub(x->s, x->start, x->pos)));
}

struct ttoken tlex(struct tlexer *x)
{
    if (x->dead) {
        return (struct ttoken){TT_EOF, x->start, S("EOF"), x->start_line};
    }
    return x->inside ? action(x) : text(x);
}
