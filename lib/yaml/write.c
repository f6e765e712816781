/* Block-style YAML from a tree, with a stack of open collections instead of recursion. */
#include "yaml_priv.h"

#include <stdlib.h>

struct level {
    const struct json *v;
    uint32_t next;
    unsigned indent;
    bool inline_first; /* its first child continues the line of a "- " */
};

struct writer {
    struct buf *out;
    struct level *levels;
    size_t n, cap;
};

static void push_level(struct writer *w, const struct json *v, unsigned indent, bool inline_first)
{
    if (w->n == w->cap) {
        w->cap = MAX(w->cap * 2, (size_t)32);
        w->levels = reallocarray(w->levels, w->cap, sizeof(*w->levels));
        if (w->levels == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
    }
    w->levels[w->n++] = (struct level){v, 0, indent, inline_first};
}

/* Characters that libyaml would refuse, or fold as line breaks, when they stand raw in quotes. */
static bool must_escape(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 || c == 0xfeff ||
           c == 0xfffe || c == 0xffff;
}

/* One character of UTF-8 and its length; a byte that is not UTF-8 counts as U+FFFD. */
static unsigned decode_utf8(struct str s, uint32_t *c)
{
    const unsigned char *u = (const unsigned char *)s.p;
    unsigned n = u[0] < 0x80 ? 1 : u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
    if (n > s.n || !str_is_utf8(str_sub(s, 0, n))) {
        *c = 0xfffd;
        return 1;
    }
    *c = n == 1 ? u[0] : n == 2 ? u[0] & 0x1fu : n == 3 ? u[0] & 0xfu : u[0] & 7u;
    for (unsigned i = 1; i < n; i++) {
        *c = *c << 6 | (u[i] & 0x3fu);
    }
    return n;
}

static void put_quoted(struct buf *out, struct str s)
{
    buf_putc(out, '"');
    while (s.n > 0) {
        uint32_t c;
        unsigned n = decode_utf8(s, &c);
        if (c == '"' || c == '\\') {
            buf_putc(out, '\\');
            buf_putc(out, (char)c);
        } else if (c == '\n') {
            buf_puts(out, S("\\n"));
        } else if (must_escape(c)) {
            buf_printf(out, "\\u%04x", c);
        } else if (c == 0xfffd) {
            buf_puts(out, S("\xef\xbf\xbd"));
        } else {
            buf_put(out, s.p, n);
        }
        s = str_sub(s, n, s.n);
    }
    buf_putc(out, '"');
}

/* Plain only where no YAML reader could take it for anything else: words, paths, addresses. */
static bool may_be_plain(struct str s)
{
    static const char *const old_booleans[] = {"y", "n", "yes", "no", "on", "off"};
    if (s.n == 0 || s.n > 128 || s.p[s.n - 1] == ':' || s.p[s.n - 1] == ' ') {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '/';
        bool inside = (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '@' || c == '+';
        bool between = c == ' ' || (c == ':' && s.p[i + 1] != ' ');
        if (!letter && !(i > 0 && (inside || between))) {
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(old_booleans); i++) {
        if (str_eq_nocase(s, str_of(old_booleans[i]))) {
            return false;
        }
    }
    struct arena scratch;
    enum json_type type;
    struct str number;
    arena_init(&scratch, 4096);
    bool string = !failed(yaml_resolve_plain(&scratch, s, &type, &number)) && type == JSON_STRING;
    arena_release(&scratch);
    return string;
}

static void put_string(struct buf *out, struct str s)
{
    if (may_be_plain(s)) {
        buf_puts(out, s);
    } else {
        put_quoted(out, s);
    }
}

static bool is_block(const struct json *v)
{
    return (v->type == JSON_ARRAY || v->type == JSON_OBJECT) && v->n > 0;
}

static void put_leaf(struct buf *out, const struct json *v)
{
    if (v->type == JSON_STRING) {
        put_string(out, v->text);
    } else {
        json_write(out, v);
    }
    buf_putc(out, '\n');
}

static void put_indent(struct buf *out, unsigned n)
{
    while (n-- > 0) {
        buf_putc(out, ' ');
    }
}

/* A key of the short form ends within 1024 characters (YAML 1.2.2 section 7.4.2), escapes included. */
enum { SHORT_KEY = 1024 / 6 - 2 };

static void put_key(struct buf *out, struct str key, unsigned indent)
{
    if (key.n > SHORT_KEY) {
        buf_puts(out, S("? "));
        put_string(out, key);
        buf_putc(out, '\n');
        put_indent(out, indent);
    } else {
        put_string(out, key);
    }
    buf_putc(out, ':');
}

static void write_next(struct writer *w)
{
    struct level *l = &w->levels[w->n - 1];
    if (l->next == l->v->n) {
        w->n--;
        return;
    }
    if (l->next > 0 || !l->inline_first) {
        put_indent(w->out, l->indent);
    }
    uint32_t i = l->next++;
    bool list = l->v->type == JSON_ARRAY;
    const struct json *child = list ? l->v->items[i] : l->v->members[i].value;
    if (list) {
        buf_putc(w->out, '-');
    } else {
        put_key(w->out, l->v->members[i].key, l->indent);
    }
    if (!is_block(child)) {
        buf_putc(w->out, ' ');
        put_leaf(w->out, child);
        return;
    }
    buf_putc(w->out, list ? ' ' : '\n');
    push_level(w, child, l->indent + 2, list);
}

void yaml_write(struct buf *out, const struct json *v)
{
    struct writer w = {.out = out};
    if (!is_block(v)) {
        put_leaf(out, v);
        return;
    }
    push_level(&w, v, 0, false);
    while (w.n > 0) {
        write_next(&w);
    }
    free(w.levels);
}
