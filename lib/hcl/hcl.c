/*
 * HashiCorp Configuration Language 1 as its own documentation describes it; there is no formal
 * standard. Bodies and lists under construction stand on an explicit stack, so depth of input costs
 * no depth of calls.
 */
#include "hcl.h"

#include "lib/base/buf.h"

#include <inttypes.h>

struct scanner {
    struct arena *a;
    struct str text;
    size_t at;
    unsigned line;
    size_t line_start;
};

struct frame {
    struct json *value; /* the object or array that is being filled */
    char closer;        /* '}', ']' or NUL for the whole file */
};

struct parser {
    struct scanner s;
    struct frame stack[HCL_DEPTH_MAX];
    unsigned depth;
};

static unsigned column(const struct scanner *s)
{
    return (unsigned)(s->at - s->line_start) + 1;
}

#define FAIL_HERE(s, ...) return err_make_at(ERR_SYNTAX, (s)->line, column(s), __VA_ARGS__)

static int peek(const struct scanner *s)
{
    return s->at < s->text.n ? (unsigned char)s->text.p[s->at] : -1;
}

static int peek2(const struct scanner *s)
{
    return s->at + 1 < s->text.n ? (unsigned char)s->text.p[s->at + 1] : -1;
}

static void advance(struct scanner *s)
{
    if (s->text.p[s->at] == '\n') {
        s->line++;
        s->line_start = s->at + 1;
    }
    s->at++;
}

static void skip_line(struct scanner *s)
{
    while (peek(s) >= 0 && peek(s) != '\n') {
        advance(s);
    }
}

static struct err skip_comment(struct scanner *s)
{
    unsigned line = s->line, col = column(s);
    advance(s);
    advance(s);
    while (peek(s) >= 0) {
        if (peek(s) == '*' && peek2(s) == '/') {
            advance(s);
            advance(s);
            return OK;
        }
        advance(s);
    }
    return err_make_at(ERR_SYNTAX, line, col, "this comment has no end; close it with */");
}

/* Blanks, line ends and comments; and commas where they may part attributes. */
static struct err skip_space(struct scanner *s, bool commas)
{
    for (;;) {
        int c = peek(s);
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n' || (commas && c == ',')) {
            advance(s);
        } else if (c == '#' || (c == '/' && peek2(s) == '/')) {
            skip_line(s);
        } else if (c == '/' && peek2(s) == '*') {
            TRY(skip_comment(s));
        } else {
            return OK;
        }
    }
}

static bool is_word_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_word(int c)
{
    return is_word_start(c) || (c >= '0' && c <= '9') || c == '-' || c == '.';
}

static struct str take_word(struct scanner *s)
{
    size_t from = s->at;
    while (is_word(peek(s))) {
        advance(s);
    }
    return str_sub(s->text, from, s->at);
}

static void put_utf8(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(b, (char)c);
    } else if (c < 0x800) {
        buf_putc(b, (char)(0xc0 | c >> 6));
        buf_putc(b, (char)(0x80 | (c & 0x3f)));
    } else if (c < 0x10000) {
        buf_putc(b, (char)(0xe0 | c >> 12));
        buf_putc(b, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(b, (char)(0x80 | (c & 0x3f)));
    } else {
        buf_putc(b, (char)(0xf0 | c >> 18));
        buf_putc(b, (char)(0x80 | (c >> 12 & 0x3f)));
        buf_putc(b, (char)(0x80 | (c >> 6 & 0x3f)));
        buf_putc(b, (char)(0x80 | (c & 0x3f)));
    }
}

static int hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static struct err take_unicode(struct scanner *s, struct buf *b, unsigned digits)
{
    uint32_t c = 0;
    for (unsigned i = 0; i < digits; i++) {
        int d = hex_digit(peek(s));
        if (d < 0) {
            FAIL_HERE(s, "\\%c needs %u hexadecimal digits", digits == 4 ? 'u' : 'U', digits);
        }
        c = c << 4 | (uint32_t)d;
        advance(s);
    }
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
        FAIL_HERE(s, "U+%04" PRIX32 " is not a character", c);
    }
    put_utf8(b, c);
    return OK;
}

static struct err take_escape(struct scanner *s, struct buf *b)
{
    static const char from[] = "nrtbf\"\\/", to[] = "\n\r\t\b\f\"\\/";
    advance(s);
    int c = peek(s);
    const char *hit = c > 0 ? strchr(from, c) : NULL;
    if (hit != NULL) {
        buf_putc(b, to[hit - from]);
        advance(s);
        return OK;
    }
    if (c == 'u' || c == 'U') {
        advance(s);
        return take_unicode(s, b, c == 'u' ? 4 : 8);
    }
    FAIL_HERE(s, "unknown escape in a string; known are \\n \\r \\t \\b \\f \\\" \\\\ \\uXXXX");
}

static struct err take_quoted_into(struct scanner *s, struct buf *b)
{
    unsigned line = s->line, col = column(s);
    advance(s);
    for (;;) {
        int c = peek(s);
        if (c < 0 || c == '\n') {
            return err_make_at(ERR_SYNTAX, line, col,
                               "this string has no closing quote on its line");
        }
        if (c == '"') {
            advance(s);
            return OK;
        }
        if (c == '\\') {
            TRY(take_escape(s, b));
            continue;
        }
        if (c < 0x20 && c != '\t') {
            FAIL_HERE(s, "control character 0x%02x in a string; write it as an escape",
                      (unsigned)c);
        }
        buf_putc(b, (char)c);
        advance(s);
    }
}

static struct err take_quoted(struct scanner *s, struct str *out)
{
    struct buf b;
    buf_init(&b, HCL_BYTES_MAX);
    struct err e = take_quoted_into(s, &b);
    if (!failed(e)) {
        *out = arena_str(s->a, buf_str(&b));
    }
    buf_release(&b);
    return e;
}

/* The line at the cursor without its end; the cursor moves behind the end. */
static struct str take_line(struct scanner *s)
{
    size_t from = s->at;
    skip_line(s);
    struct str line = str_sub(s->text, from, s->at);
    if (peek(s) == '\n') {
        advance(s);
    }
    return str_ends(line, S("\r")) ? str_sub(line, 0, line.n - 1) : line;
}

static size_t leading_blanks(struct str line)
{
    size_t n = 0;
    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t')) {
        n++;
    }
    return n;
}

/* The lines of a heredoc, each without its first `cut` blanks. */
static struct str heredoc_text(struct arena *a, struct str body, size_t cut)
{
    struct buf b;
    buf_init(&b, HCL_BYTES_MAX);
    while (body.n > 0) {
        size_t end = str_find_char(body, '\n');
        struct str line = str_sub(body, 0, end + 1);
        buf_puts(&b, str_sub(line, MIN(cut, leading_blanks(line)), line.n));
        body = str_sub(body, line.n, body.n);
    }
    struct str text = arena_str(a, buf_str(&b));
    buf_release(&b);
    return text;
}

static struct err take_heredoc(struct scanner *s, struct str *out)
{
    unsigned line = s->line, col = column(s);
    advance(s);
    advance(s);
    bool indented = peek(s) == '-';
    if (indented) {
        advance(s);
    }
    struct str marker = str_trim(take_line(s));
    if (marker.n == 0) {
        return err_make_at(ERR_SYNTAX, line, col, "a heredoc needs a word after <<, such as <<EOT");
    }
    size_t from = s->at, cut = SIZE_MAX;
    while (peek(s) >= 0) {
        size_t end = s->at;
        struct str text = take_line(s);
        if (str_eq(str_trim(text), marker)) {
            *out = heredoc_text(s->a, str_sub(s->text, from, end), indented ? cut : 0);
            return OK;
        }
        if (str_trim(text).n > 0) {
            cut = MIN(cut, leading_blanks(text));
        }
    }
    return err_make_at(ERR_SYNTAX, line, col, "this heredoc has no line '%.*s' at its end",
                       STR_FMT(marker));
}

static bool digits_only(struct str s, int base)
{
    for (size_t i = 0; i < s.n; i++) {
        int d = hex_digit(s.p[i]);
        if (d < 0 || d >= base) {
            return false;
        }
    }
    return s.n > 0;
}

/* JSON's number grammar without its ban on leading zeros; hexadecimal is turned into decimal. */
static bool number_is_sound(struct str t)
{
    if (str_starts(t, S("-"))) {
        t = str_sub(t, 1, t.n);
    }
    size_t exp = 0;
    while (exp < t.n && t.p[exp] != 'e' && t.p[exp] != 'E') {
        exp++;
    }
    if (exp < t.n) {
        struct str e = str_sub(t, exp + 1, t.n);
        e = str_starts(e, S("-")) || str_starts(e, S("+")) ? str_sub(e, 1, e.n) : e;
        if (!digits_only(e, 10)) {
            return false;
        }
        t = str_sub(t, 0, exp);
    }
    size_t dot = str_find_char(t, '.');
    if (dot == STR_NPOS) {
        return digits_only(t, 10) && (t.n == 1 || t.p[0] != '0');
    }
    return digits_only(str_sub(t, 0, dot), 10) && digits_only(str_sub(t, dot + 1, t.n), 10);
}

static struct err take_number(struct scanner *s, struct json **out)
{
    unsigned line = s->line, col = column(s);
    size_t from = s->at;
    while (is_word(peek(s)) || peek(s) == '+') {
        advance(s);
    }
    struct str text = str_sub(s->text, from, s->at);
    if (str_starts_nocase(text, S("0x")) && text.n <= 17 &&
        digits_only(str_sub(text, 2, text.n), 16)) {
        uint64_t v = 0;
        for (size_t i = 2; i < text.n; i++) {
            v = v << 4 | (uint64_t)hex_digit(text.p[i]);
        }
        text = arena_printf(s->a, "%" PRIu64, v);
    } else if (!number_is_sound(text)) {
        return err_make_at(ERR_SYNTAX, line, col, "'%.*s' is not a number", STR_FMT(text));
    }
    *out = json_new_number_text(s->a, text);
    return OK;
}

static struct err take_word_value(struct scanner *s, struct json **out)
{
    unsigned line = s->line, col = column(s);
    struct str word = take_word(s);
    if (str_is(word, "true") || str_is(word, "false")) {
        *out = json_new_bool(s->a, str_is(word, "true"));
        return OK;
    }
    return err_make_at(ERR_SYNTAX, line, col,
                       "'%.*s' is not a value; strings stand in double quotes", STR_FMT(word));
}

static struct err take_scalar(struct scanner *s, struct json **out)
{
    int c = peek(s);
    struct str text;
    if (c == '"') {
        TRY(take_quoted(s, &text));
        *out = json_new_string(s->a, text);
        return OK;
    }
    if (c == '<' && peek2(s) == '<') {
        TRY(take_heredoc(s, &text));
        *out = json_new_string(s->a, text);
        return OK;
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        return take_number(s, out);
    }
    if (is_word_start(c)) {
        return take_word_value(s, out);
    }
    if (c < 0) {
        FAIL_HERE(s, "the text ends where a value should stand");
    }
    FAIL_HERE(s, "a value should stand here: a string, a number, true, false, [ or {");
}

static struct err push(struct parser *p, struct json *value, char closer)
{
    if (p->depth == HCL_DEPTH_MAX) {
        return err_make_at(ERR_LIMIT, p->s.line, column(&p->s),
                           "bodies and lists nest deeper than %d", HCL_DEPTH_MAX);
    }
    p->stack[p->depth++] = (struct frame){value, closer};
    return OK;
}

/* One value at the cursor. A list or an object is opened: its content follows on the stack. */
static struct err take_value(struct parser *p, struct json **out)
{
    struct scanner *s = &p->s;
    unsigned line = s->line, col = column(s);
    int c = peek(s);
    struct json *v;
    if (c == '[' || c == '{') {
        v = c == '[' ? json_new_array(s->a) : json_new_object(s->a);
        TRY(push(p, v, c == '[' ? ']' : '}'));
        advance(s);
    } else {
        TRY(take_scalar(s, &v));
    }
    v->line = line;
    v->col = col;
    *out = v;
    return OK;
}

static struct err take_key(struct scanner *s, struct str *out)
{
    if (peek(s) == '"') {
        return take_quoted(s, out);
    }
    if (is_word_start(peek(s))) {
        *out = take_word(s);
        return OK;
    }
    FAIL_HERE(s, "a name should stand here");
}

/* Where blocks named `key` are collected: an array made at the first of them. */
static struct err block_list(struct scanner *s, struct json *body, struct str key,
                             struct json **out)
{
    struct json *found = NULL;
    for (uint32_t i = 0; i < body->n; i++) {
        if (str_eq(body->members[i].key, key)) {
            found = body->members[i].value;
        }
    }
    if (found == NULL) {
        found = json_new_array(s->a);
        found->line = s->line;
        found->col = column(s);
        json_set(s->a, body, key, found);
    } else if (found->type != JSON_ARRAY) {
        FAIL_HERE(s, "'%.*s' is both an attribute and a block", STR_FMT(key));
    }
    *out = found;
    return OK;
}

/* `key "label"... {`: the cursor stands at the brace. */
static struct err open_block(struct parser *p, struct json *body, struct str key,
                             const struct str *labels, unsigned n_labels, unsigned line)
{
    struct scanner *s = &p->s;
    struct json *list, *inner = json_new_object(s->a);
    TRY(block_list(s, body, key, &list));
    TRY(push(p, inner, '}'));
    inner->line = line;
    inner->col = 1;
    struct json *outer = inner;
    for (unsigned i = n_labels; i > 0; i--) {
        struct json *wrap = json_new_object(s->a);
        wrap->line = line;
        wrap->col = 1;
        json_set(s->a, wrap, labels[i - 1], outer);
        outer = wrap;
    }
    json_push(s->a, list, outer);
    advance(s);
    return OK;
}

static struct err take_attribute(struct parser *p, struct json *body, struct str key)
{
    struct scanner *s = &p->s;
    for (uint32_t i = 0; i < body->n; i++) {
        if (str_eq(body->members[i].key, key)) {
            FAIL_HERE(s, "'%.*s' is given twice", STR_FMT(key));
        }
    }
    struct json *value;
    advance(s);
    TRY(skip_space(s, false));
    TRY(take_value(p, &value));
    json_set(s->a, body, key, value);
    return OK;
}

/* One attribute or the head of one block. */
static struct err take_item(struct parser *p, struct json *body)
{
    struct scanner *s = &p->s;
    struct str key, labels[HCL_LABELS_MAX];
    unsigned n = 0, line = s->line;
    if (body->n == HCL_MEMBERS_MAX) {
        return err_make_at(ERR_LIMIT, s->line, column(s), "a body has more than %d names",
                           HCL_MEMBERS_MAX);
    }
    TRY(take_key(s, &key));
    for (;;) {
        TRY(skip_space(s, false));
        int c = peek(s);
        if ((c == '=' || c == ':') && n == 0) {
            return take_attribute(p, body, key);
        }
        if (c == '{') {
            return open_block(p, body, key, labels, n, line);
        }
        if (c != '"' && !is_word_start(c)) {
            FAIL_HERE(s, "after '%.*s' should stand '=', a label or '{'", STR_FMT(key));
        }
        if (n == HCL_LABELS_MAX) {
            FAIL_HERE(s, "a block has at most %d labels", HCL_LABELS_MAX);
        }
        TRY(take_key(s, &labels[n++]));
    }
}

static struct err take_element(struct parser *p, struct json *list)
{
    struct scanner *s = &p->s;
    if (list->n > 0) {
        if (peek(s) != ',') {
            FAIL_HERE(s, "',' or ']' should stand here");
        }
        advance(s);
        TRY(skip_space(s, false));
        if (peek(s) == ']') {
            return OK;
        }
    }
    struct json *value;
    TRY(take_value(p, &value));
    json_push(s->a, list, value);
    return OK;
}

static struct err parse_loop(struct parser *p)
{
    struct scanner *s = &p->s;
    while (p->depth > 0) {
        struct frame f = p->stack[p->depth - 1];
        bool list = f.closer == ']';
        ENSURE(!arena_exhausted(s->a), ERR_LIMIT, "the text needs too much memory");
        TRY(skip_space(s, !list));
        int c = peek(s);
        if (f.closer != '\0' ? c == f.closer : c < 0) {
            if (c >= 0) {
                advance(s);
            }
            p->depth--;
        } else if (c < 0) {
            FAIL_HERE(s, "the text ends before the '%c' that closes line %u", f.closer,
                      f.value->line);
        } else if (list) {
            TRY(take_element(p, f.value));
        } else {
            TRY(take_item(p, f.value));
        }
    }
    return OK;
}

struct err hcl_parse(struct arena *a, struct str text, struct json **out)
{
    ENSURE(text.n <= HCL_BYTES_MAX, ERR_LIMIT, "the text is longer than %d bytes", HCL_BYTES_MAX);
    ENSURE(str_is_utf8(text), ERR_SYNTAX, "the text is not UTF-8");
    if (str_starts(str_trim(text), S("{"))) {
        return json_parse(
            a, text, &(struct json_limits){.max_bytes = HCL_BYTES_MAX, .max_depth = HCL_DEPTH_MAX},
            out);
    }
    struct parser p = {.s = {.a = a, .text = arena_str(a, text), .line = 1}};
    struct json *top = json_new_object(a);
    TRY(push(&p, top, '\0'));
    TRY(parse_loop(&p));
    *out = top;
    return OK;
}
