/*
 * Tokens of GraphQL. Columns count code points from the last line break; those of strings point
 * behind the opening quotes, and those of block strings count from the line on which they end: error
 * texts carry them, so they are kept as policies know them from OPA.
 */
#include "authz/rego/builtin/graphql/lex.h"

#include "authz/rego/value/utf8.h"

enum { STRING_MAX = 64 << 20 };

void gql_lex_init(struct gql_lexer *x, struct gql *g, struct str text)
{
    *x = (struct gql_lexer){.g = g, .text = text, .line = 1};
}

const char *gql_tok_text(enum gql_tok kind)
{
    static const char *const texts[] = {
        "<Invalid>", "<EOF>", "!",     "$",      "&",           "(",       ")", "...",
        ":",         "=",     "@",     "[",      "]",           "{",       "}", "|",
        "Name",      "Int",   "Float", "String", "BlockString", "Comment",
    };
    return texts[kind];
}

static struct gql_token token_of(struct gql_lexer *x, enum gql_tok kind, struct str value)
{
    struct gql_token t = {.kind = kind, .value = value};
    t.pos = (struct gql_pos){x->line, x->start_col - x->line_start + 1, true, x->builtin};
    return t;
}

static struct gql_token plain(struct gql_lexer *x, enum gql_tok kind)
{
    return token_of(x, kind, str_sub(x->text, x->start, x->end));
}

/* The token keeps its text for the rare place that takes any token. */
static struct gql_token invalid(struct gql_lexer *x, struct str text)
{
    struct gql_token t = {.kind = GT_INVALID, .error = text};
    t.pos = (struct gql_pos){x->line, x->end_col - x->line_start + 1, true, x->builtin};
    return t;
}

static int at(const struct gql_lexer *x, size_t i)
{
    return i < x->text.n ? (unsigned char)x->text.p[i] : -1;
}

static void advance(struct gql_lexer *x, size_t bytes)
{
    x->end += bytes;
    x->end_col += (long)bytes;
}

/* A carriage return ends a line, and the line feed behind it counts as the next line's first. */
static void skip_blanks(struct gql_lexer *x)
{
    for (;;) {
        int c = at(x, x->end);
        if (c == '\t' || c == ' ' || c == ',') {
            advance(x, 1);
        } else if (c == '\n' || c == '\r') {
            advance(x, 1);
            x->line++;
            x->line_start = x->end_col;
            if (c == '\r' && at(x, x->end) == '\n') {
                advance(x, 1);
            }
        } else if (c == 0xef && at(x, x->end + 1) == 0xbb && at(x, x->end + 2) == 0xbf) {
            x->end += 3;
            x->end_col++;
        } else {
            return;
        }
    }
}

static struct gql_token comment(struct gql_lexer *x)
{
    while (x->end < x->text.n) {
        size_t next = x->end;
        uint32_t c = utf8_next(x->text, &next);
        if (c <= 0x1f && c != '\t') {
            break;
        }
        x->end = next;
        x->end_col++;
    }
    return plain(x, GT_COMMENT);
}

static size_t digits(struct gql_lexer *x)
{
    size_t from = x->end;
    while (at(x, x->end) >= '0' && at(x, x->end) <= '9') {
        advance(x, 1);
    }
    return x->end - from;
}

static struct gql_token no_digit(struct gql_lexer *x, const char *what)
{
    struct str seen = S("<EOF>");
    if (x->end < x->text.n) {
        seen = arena_printf(x->g->a, "\"%c\"", x->text.p[x->end]);
    }
    return invalid(x, arena_printf(x->g->a, "Invalid number, %s: %.*s.", what, STR_FMT(seen)));
}

static struct gql_token number(struct gql_lexer *x)
{
    bool is_float = false;
    x->end = x->start;
    x->end_col = x->start_col;
    if (at(x, x->end) == '-') {
        advance(x, 1);
    }
    if (at(x, x->end) == '0') {
        advance(x, 1);
        size_t n = digits(x);
        if (n > 0) {
            x->end -= n;
            x->end_col -= (long)n;
            return no_digit(x, "unexpected digit after 0");
        }
    } else if (digits(x) == 0) {
        return no_digit(x, "expected digit but got");
    }
    if (at(x, x->end) == '.') {
        is_float = true;
        advance(x, 1);
        if (digits(x) == 0) {
            return no_digit(x, "expected digit but got");
        }
    }
    if (at(x, x->end) == 'e' || at(x, x->end) == 'E') {
        is_float = true;
        advance(x, 1);
        if (at(x, x->end) == '-' || at(x, x->end) == '+') {
            advance(x, 1);
        }
        if (digits(x) == 0) {
            return no_digit(x, "expected digit but got");
        }
    }
    return plain(x, is_float ? GT_FLOAT : GT_INT);
}

static bool hex4(struct str s, uint32_t *out)
{
    uint32_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c >= '0' && c <= '9') {
            v = v << 4 | (uint32_t)(c - '0');
        } else if ((c | 32) >= 'a' && (c | 32) <= 'f') {
            v = v << 4 | (uint32_t)((c | 32) - 'a' + 10);
        } else {
            return false;
        }
    }
    *out = v >= 0xd800 && v < 0xe000 ? 0xfffd : v;
    return true;
}

/* False: *bad is the token to return. */
static bool escape(struct gql_lexer *x, struct buf *out, struct gql_token *bad)
{
    static const char from[] = "\"/\\bfnrt", to[] = "\"/\\\b\f\n\r\t";
    struct arena *a = x->g->a;
    int c = at(x, x->end + 1);
    const char *simple;
    uint32_t code;
    if (c < 0) {
        advance(x, 1);
        *bad = invalid(x, S("Invalid character escape sequence."));
        return false;
    }
    if (c != 'u') {
        if (c == 0 || (simple = strchr(from, c)) == NULL) {
            advance(x, 1);
            *bad = invalid(x, arena_printf(a, "Invalid character escape sequence: \\%c.", c));
            return false;
        }
        buf_putc(out, to[simple - from]);
        advance(x, 2);
        return true;
    }
    if (x->end + 6 >= x->text.n || !hex4(str_sub(x->text, x->end + 2, x->end + 6), &code)) {
        size_t to_end = x->end + 6 >= x->text.n ? x->text.n : x->end + 6;
        advance(x, 1);
        struct str seen = str_sub(x->text, x->end, to_end);
        *bad = invalid(
            x, arena_printf(a, "Invalid character escape sequence: \\%.*s.", STR_FMT(seen)));
        return false;
    }
    utf8_put(out, code);
    advance(x, 6);
    return true;
}

static struct gql_token string_body(struct gql_lexer *x, struct buf *out)
{
    struct gql_token bad;
    x->start++;
    x->start_col++;
    while (x->end < x->text.n) {
        int c = at(x, x->end);
        if (c == '\n' || c == '\r') {
            break;
        }
        if (c < 0x20 && c != '\t') {
            return invalid(x, arena_printf(x->g->a, "Invalid character within String: \"\\u%04x\".",
                                           (unsigned)c));
        }
        if (c == '"') {
            struct gql_token t = token_of(x, GT_STRING, arena_str(x->g->a, buf_str(out)));
            advance(x, 1);
            return t;
        }
        if (c == '\\') {
            if (!escape(x, out, &bad)) {
                return bad;
            }
            continue;
        }
        size_t from = x->end;
        (void)utf8_next(x->text, &x->end);
        x->end_col++;
        buf_puts(out, str_sub(x->text, from, x->end));
    }
    return invalid(x, S("Unterminated string."));
}

/* Bytes before the first that is no blank, or STR_NPOS. */
static size_t indent_of(struct str line)
{
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] != ' ' && line.p[i] != '\t') {
            return i;
        }
    }
    return STR_NPOS;
}

static size_t common_indent(struct str raw)
{
    size_t least = STR_NPOS;
    for (struct str rest = raw; rest.p != NULL;) {
        size_t indent = indent_of(str_split(&rest, '\n'));
        least = MIN(least, indent);
    }
    return least;
}

/* BlockStringValue() of the specification, but that the first line's indent counts as well. */
static struct str block_value(struct arena *a, struct str raw)
{
    struct buf out;
    size_t indent = common_indent(raw), blank = 0;
    bool first = true, some = false;
    buf_init(&out, STRING_MAX);
    for (struct str rest = raw; rest.p != NULL; first = false) {
        struct str line = str_split(&rest, '\n');
        bool empty = indent_of(line) == STR_NPOS;
        if (!first && indent != STR_NPOS) {
            line = str_sub(line, indent, line.n);
        }
        if (empty && !some) {
            continue;
        }
        /* Blank lines are held back: those at the end are dropped. */
        if (some) {
            buf_putc(&out, '\n');
        }
        some = true;
        buf_puts(&out, line);
        blank = empty ? blank : out.n;
    }
    struct str value = arena_str(a, str_sub(buf_str(&out), 0, blank));
    buf_release(&out);
    return value;
}

static struct gql_token block_body(struct gql_lexer *x, struct buf *out)
{
    static const char quotes[] = "\"\"\"";
    x->start += 3;
    x->start_col += 3;
    advance(x, 2);
    while (x->end < x->text.n) {
        int c = at(x, x->end);
        size_t run = 0;
        while (at(x, x->end + run) == '"') {
            run++;
        }
        if (run >= 3) {
            buf_put(out, x->text.p + x->end, run - 3);
            struct gql_token t = token_of(x, GT_BLOCK, block_value(x->g->a, buf_str(out)));
            advance(x, run);
            return t;
        }
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            return invalid(x, arena_printf(x->g->a, "Invalid character within String: \"\\u%04x\".",
                                           (unsigned)c));
        }
        if (c == '\\' && str_starts(str_sub(x->text, x->end + 1, x->text.n), str_of(quotes))) {
            buf_puts(out, str_of(quotes));
            advance(x, 4);
            continue;
        }
        size_t from = x->end;
        (void)utf8_next(x->text, &x->end);
        x->end_col++;
        if (c == '\r' && at(x, x->end) == '\n') {
            advance(x, 1);
        }
        if (c == '\n' || c == '\r') {
            buf_putc(out, '\n');
            x->line++;
            x->line_start = x->end_col;
        } else {
            buf_puts(out, str_sub(x->text, from, x->end));
        }
    }
    return invalid(x, S("Unterminated string."));
}

static struct gql_token string_or_block(struct gql_lexer *x)
{
    struct buf out;
    buf_init(&out, STRING_MAX);
    bool block = at(x, x->start + 1) == '"' && at(x, x->start + 2) == '"';
    struct gql_token t = block ? block_body(x, &out) : string_body(x, &out);
    buf_release(&out);
    return t;
}

static bool is_name_char(int c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_';
}

static struct gql_token unexpected(struct gql_lexer *x, int c)
{
    struct arena *a = x->g->a;
    x->end = x->start;
    x->end_col = x->start_col;
    if (c < 0x20) {
        return invalid(
            x, arena_printf(a, "Cannot contain the invalid character \"\\u%04x\"", (unsigned)c));
    }
    if (c == '\'') {
        return invalid(x, S("Unexpected single quote character ('), did you mean to use a double "
                            "quote (\")?"));
    }
    /* A byte above 127 is shown as the code point of that number. */
    char text[8] = {(char)c};
    if (c >= 0x80) {
        text[0] = (char)(0xc0 | c >> 6);
        text[1] = (char)(0x80 | (c & 0x3f));
    }
    return invalid(x, arena_printf(a, "Cannot parse the unexpected character \"%s\".", text));
}

struct gql_token gql_lex(struct gql_lexer *x)
{
    static const char marks[] = "!$&():=@[]{}|";
    static const enum gql_tok kinds[] = {GT_BANG,    GT_DOLLAR,  GT_AMP, GT_PAREN_L,   GT_PAREN_R,
                                         GT_COLON,   GT_EQUALS,  GT_AT,  GT_BRACKET_L, GT_BRACKET_R,
                                         GT_BRACE_L, GT_BRACE_R, GT_PIPE};
    skip_blanks(x);
    x->start = x->end;
    x->start_col = x->end_col;
    int c = at(x, x->start);
    if (c < 0) {
        return token_of(x, GT_EOF, STR_EMPTY);
    }
    advance(x, 1);
    const char *mark = c != 0 ? strchr(marks, c) : NULL;
    if (mark != NULL) {
        return token_of(x, kinds[mark - marks], STR_EMPTY);
    }
    if (c == '.' && at(x, x->start + 1) == '.' && at(x, x->start + 2) == '.') {
        advance(x, 2);
        return token_of(x, GT_SPREAD, STR_EMPTY);
    }
    if (c == '#') {
        return comment(x);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return number(x);
    }
    if (c == '"') {
        return string_or_block(x);
    }
    if (!is_name_char(c)) {
        return unexpected(x, c);
    }
    while (is_name_char(at(x, x->end))) {
        advance(x, 1);
    }
    return plain(x, GT_NAME);
}
