/*
 * The writers: trees through an explicit stack, and the streaming `struct jw`.
 */
#include "json_priv.h"

#include <inttypes.h>
#include <stdlib.h>

/* The common case of buf_putc and buf_put, in line: what fits the memory that is there already. */
static inline void put_char(struct buf *b, char c)
{
    if (likely(b->n < b->cap && !b->overflow)) {
        b->p[b->n++] = c;
    } else {
        buf_putc(b, c);
    }
}

static inline void put_bytes(struct buf *b, const char *p, size_t n)
{
    if (likely(n > 0 && n <= b->cap - b->n && !b->overflow)) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    } else {
        buf_put(b, p, n);
    }
}

static inline void put_str(struct buf *b, struct str s)
{
    put_bytes(b, s.p, s.n);
}

/* Bytes of `s` from `from` that stand for themselves: ASCII but control, '"' and '\\'. */
static size_t plain_run(struct str s, size_t from)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    size_t i = from;
    for (; i + 8 <= s.n; i += 8) {
        uint64_t w;
        memcpy(&w, s.p + i, sizeof(w));
        uint64_t quote = w ^ (ones * '"'), back = w ^ (ones * '\\');
        uint64_t hit =
            ((quote - ones) & ~quote) | ((back - ones) & ~back) | ((w - ones * 0x20) & ~w) | w;
        if ((hit & tops) != 0) {
            break;
        }
    }
    for (; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x20 || c >= 0x80 || c == '"' || c == '\\') {
            break;
        }
    }
    return i - from;
}

static void put_escape(struct buf *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *hit = c != 0 ? strchr(from, c) : NULL;
    if (hit != NULL) {
        put_char(out, '\\');
        put_char(out, to[hit - from]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

void json_write_string(struct buf *out, struct str s)
{
    put_char(out, '"');
    for (size_t i = 0; i < s.n;) {
        size_t run = plain_run(s, i);
        put_bytes(out, s.p + i, run);
        i += run;
        if (i == s.n) {
            break;
        }
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x80) {
            put_escape(out, c);
            i++;
            continue;
        }
        unsigned n = json_utf8_sequence(s.p + i, s.n - i);
        if (n != 0) {
            put_bytes(out, s.p + i, n);
        } else {
            put_str(out, S("\xef\xbf\xbd"));
        }
        i += MAX(n, 1u);
    }
    put_char(out, '"');
}

struct level {
    const struct json *v;
    uint32_t next;                      /* the child to write next */
    const struct json_member **ordered; /* canonical form: members by key; owned */
};

enum { FIRST_LEVELS = 32 };

struct writer {
    struct buf *out;
    int indent; /* < 0: compact */
    bool canonical;
    struct level *levels;
    size_t n, cap;
    struct level first[FIRST_LEVELS];
};

/* Decodes one character of well-formed UTF-8; a stray byte counts as itself. */
static uint32_t take_char(struct str *s)
{
    unsigned char c = (unsigned char)s->p[0];
    unsigned n = c >= 0x80 ? json_utf8_sequence(s->p, s->n) : 1;
    uint32_t v = n == 2 ? c & 0x1fu : n == 3 ? c & 0xfu : n == 4 ? c & 7u : c;
    for (unsigned i = 1; i < n; i++) {
        v = v << 6 | ((unsigned char)s->p[i] & 0x3fu);
    }
    *s = str_sub(*s, MAX(n, 1u), s->n);
    return v;
}

/* In UTF-16, what lies above U+FFFF begins with a surrogate, so sorts below U+E000 to U+FFFF. */
static uint32_t utf16_rank(uint32_t c)
{
    return c > 0xffff ? 0xd800 + ((c - 0x10000) >> 10) : c;
}

static int compare_utf16(struct str a, struct str b)
{
    while (a.n > 0 && b.n > 0) {
        uint32_t x = take_char(&a), y = take_char(&b);
        if (x != y) {
            uint32_t rx = utf16_rank(x), ry = utf16_rank(y);
            return rx != ry ? (rx < ry ? -1 : 1) : (x < y ? -1 : 1);
        }
    }
    return (a.n > 0) - (b.n > 0);
}

static int compare_members(const void *a, const void *b)
{
    const struct json_member *const *x = a, *const *y = b;
    return compare_utf16((*x)->key, (*y)->key);
}

static const struct json_member **sorted_members(const struct json *v)
{
    const struct json_member **m = calloc(v->n, sizeof(*m));
    if (m == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    for (uint32_t i = 0; i < v->n; i++) {
        m[i] = &v->members[i];
    }
    qsort(m, v->n, sizeof(*m), compare_members);
    return m;
}

static void push_level(struct writer *w, const struct json *v)
{
    if (w->n == w->cap) {
        struct level *p =
            reallocarray(w->levels == w->first ? NULL : w->levels, w->cap * 2, sizeof(*p));
        if (p == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
        if (w->levels == w->first) {
            memcpy(p, w->first, sizeof(w->first));
        }
        w->levels = p;
        w->cap *= 2;
    }
    bool order = w->canonical && v->type == JSON_OBJECT && v->n > 1;
    w->levels[w->n++] = (struct level){v, 0, order ? sorted_members(v) : NULL};
}

static void new_line(struct writer *w)
{
    if (w->indent < 0) {
        return;
    }
    put_char(w->out, '\n');
    for (size_t i = 0; i < w->n * (size_t)w->indent; i++) {
        put_char(w->out, ' ');
    }
}

/* Scalars and empty containers are written at once; others become a level. */
static void begin_value(struct writer *w, const struct json *v)
{
    static const struct str words[] = {STR_INIT("null"), STR_INIT("false"), STR_INIT("true")};
    switch (v->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
        put_str(w->out, words[v->type]);
        return;
    case JSON_NUMBER:
        put_str(w->out, v->text);
        return;
    case JSON_STRING:
        json_write_string(w->out, v->text);
        return;
    case JSON_ARRAY:
    case JSON_OBJECT:
        if (v->n == 0) {
            put_str(w->out, v->type == JSON_ARRAY ? S("[]") : S("{}"));
            return;
        }
        put_char(w->out, v->type == JSON_ARRAY ? '[' : '{');
        push_level(w, v);
        return;
    }
}

static void write_next(struct writer *w)
{
    struct level *l = &w->levels[w->n - 1];
    const struct json *v = l->v;
    if (l->next == v->n) {
        free((void *)l->ordered);
        w->n--;
        new_line(w);
        put_char(w->out, v->type == JSON_ARRAY ? ']' : '}');
        return;
    }
    if (l->next > 0) {
        put_char(w->out, ',');
    }
    new_line(w);
    uint32_t i = l->next++;
    if (v->type == JSON_ARRAY) {
        begin_value(w, v->items[i]);
        return;
    }
    const struct json_member *m = l->ordered != NULL ? l->ordered[i] : &v->members[i];
    json_write_string(w->out, m->key);
    put_str(w->out, w->indent < 0 ? S(":") : S(": "));
    begin_value(w, m->value);
}

static void write_tree(struct buf *out, const struct json *v, int indent, bool canonical)
{
    struct writer w;
    w.out = out, w.indent = indent, w.canonical = canonical;
    w.levels = w.first, w.n = 0, w.cap = FIRST_LEVELS;
    begin_value(&w, v);
    while (w.n > 0) {
        write_next(&w);
    }
    if (w.levels != w.first) {
        free(w.levels);
    }
}

void json_write(struct buf *out, const struct json *v)
{
    write_tree(out, v, -1, false);
}

void json_write_pretty(struct buf *out, const struct json *v, int indent)
{
    write_tree(out, v, indent, false);
}

void json_write_canonical(struct buf *out, const struct json *v)
{
    write_tree(out, v, -1, true);
}

void jw_init(struct jw *w, struct buf *out)
{
    *w = (struct jw){.out = out};
}

static void before_value(struct jw *w)
{
    if (w->comma) {
        put_char(w->out, ',');
    }
    w->comma = true;
}

static void open_level(struct jw *w, bool object)
{
    BUG_ON(w->depth == JW_MAX_DEPTH);
    before_value(w);
    put_char(w->out, object ? '{' : '[');
    uint64_t bit = UINT64_C(1) << (w->depth % 64), *word = &w->is_obj[w->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    w->depth++;
    w->comma = false;
}

void jw_obj(struct jw *w)
{
    open_level(w, true);
}

void jw_arr(struct jw *w)
{
    open_level(w, false);
}

void jw_end(struct jw *w)
{
    BUG_ON(w->depth == 0);
    w->depth--;
    put_char(w->out, w->is_obj[w->depth / 64] >> (w->depth % 64) & 1 ? '}' : ']');
    w->comma = true;
}

void jw_key(struct jw *w, struct str key)
{
    before_value(w);
    json_write_string(w->out, key);
    put_char(w->out, ':');
    w->comma = false;
}

void jw_str(struct jw *w, struct str s)
{
    before_value(w);
    json_write_string(w->out, s);
}

void jw_int(struct jw *w, int64_t n)
{
    char digits[24], *p = digits + sizeof(digits);
    uint64_t size = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do {
        *--p = (char)('0' + size % 10);
        size /= 10;
    } while (size > 0);
    if (n < 0) {
        *--p = '-';
    }
    before_value(w);
    put_bytes(w->out, p, (size_t)(digits + sizeof(digits) - p));
}

void jw_bool(struct jw *w, bool b)
{
    jw_raw(w, b ? S("true") : S("false"));
}

void jw_null(struct jw *w)
{
    jw_raw(w, S("null"));
}

void jw_raw(struct jw *w, struct str json_text)
{
    before_value(w);
    put_str(w->out, json_text);
}

void jw_json(struct jw *w, const struct json *v)
{
    before_value(w);
    json_write(w->out, v);
}

void jw_key_str(struct jw *w, struct str key, struct str s)
{
    jw_key(w, key);
    jw_str(w, s);
}

void jw_key_int(struct jw *w, struct str key, int64_t n)
{
    jw_key(w, key);
    jw_int(w, n);
}

void jw_key_bool(struct jw *w, struct str key, bool b)
{
    jw_key(w, key);
    jw_bool(w, b);
}
