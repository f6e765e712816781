/* Values as text: JSON, indented JSON, and Rego's own notation. */
#include "authz/rego/value/utf8.h"
#include "authz/rego/value/value.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#ifdef __SSE2__
/* A bit for each byte that may have to be written in another way. */
static inline unsigned suspects(__m128i v)
{
    /* As signed bytes, what is below the blank holds the controls and all of UTF-8's longer forms. */
    __m128i stop = _mm_or_si128(_mm_cmplt_epi8(v, _mm_set1_epi8(0x20)),
                                _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                             _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'))));
    __m128i html = _mm_or_si128(
        _mm_cmpeq_epi8(v, _mm_set1_epi8('&')),
        _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('<')), _mm_cmpeq_epi8(v, _mm_set1_epi8('>'))));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(stop, html));
}

/* Is the string written as it stands? `p` is padded to a multiple of 8 bytes, as values are. */
static inline bool is_plain(const char *p, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        if (suspects(_mm_loadu_si128((const __m128i *)(const void *)(p + i))) != 0) {
            return false;
        }
    }
    for (; i < n; i += 8) {
        unsigned left = n - i < 8 ? (1u << (n - i)) - 1 : 0xffu;
        if ((suspects(_mm_loadl_epi64((const __m128i *)(const void *)(p + i))) & left) != 0) {
            return false;
        }
    }
    return true;
}
#else
static inline bool is_plain(const char *p, size_t n)
{
    return false;
}
#endif

static void write_string(struct buf *out, struct val v, bool html)
{
    struct str s = val_text(v);
    char *to = is_plain(s.p, s.n) ? buf_reserve(out, s.n + 2) : NULL;
    if (to == NULL) {
        val_json_string(out, s, html);
        return;
    }
    *to++ = '"';
    memcpy(to, s.p, s.n);
    to[s.n] = '"';
    buf_commit(out, s.n + 2);
}

/* Bytes that may have to be written in another way: controls, quotes, what HTML would read, and U+2028's first. */
static const bool look_at[256] = {
    [0] = true,   [1] = true,    [2] = true,   [3] = true,    [4] = true,   [5] = true,
    [6] = true,   [7] = true,    [8] = true,   [9] = true,    [10] = true,  [11] = true,
    [12] = true,  [13] = true,   [14] = true,  [15] = true,   [16] = true,  [17] = true,
    [18] = true,  [19] = true,   [20] = true,  [21] = true,   [22] = true,  [23] = true,
    [24] = true,  [25] = true,   [26] = true,  [27] = true,   [28] = true,  [29] = true,
    [30] = true,  [31] = true,   ['"'] = true, ['\\'] = true, ['<'] = true, ['>'] = true,
    ['&'] = true, [0xe2] = true,
};

/* How many bytes at `i` are written in another way; 0 when they stand for themselves. */
static size_t special(struct str s, size_t i, bool html)
{
    unsigned char c = (unsigned char)s.p[i];
    if (c == 0xe2) {
        bool separator = i + 2 < s.n && (unsigned char)s.p[i + 1] == 0x80 &&
                         ((unsigned char)s.p[i + 2] | 1) == 0xa9;
        return separator ? 3 : 0;
    }
    return html || c < 0x20 || c == '"' || c == '\\' ? 1 : 0;
}

static void put_escape(struct buf *out, struct str s, size_t i)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    unsigned char c = (unsigned char)s.p[i];
    const char *at = c != 0 ? strchr(plain, c) : NULL;
    if (c == 0xe2) {
        buf_printf(out, "\\u202%c", (unsigned char)s.p[i + 2] == 0xa8 ? '8' : '9');
    } else if (at != NULL) {
        buf_putc(out, '\\');
        buf_putc(out, letters[at - plain]);
    } else {
        buf_printf(out, "\\u%04x", c);
    }
}

void val_json_string(struct buf *out, struct str s, bool html)
{
    buf_putc(out, '"');
    size_t from = 0, i = 0;
    while (i < s.n) {
        size_t n = look_at[(unsigned char)s.p[i]] ? special(s, i, html) : 0;
        if (likely(n == 0)) {
            i++;
            continue;
        }
        buf_puts(out, str_sub(s, from, i));
        put_escape(out, s, i);
        i += n;
        from = i;
    }
    buf_put(out, s.p + from, s.n - from);
    buf_putc(out, '"');
}

struct json_style {
    const char *indent; /* NULL writes one line */
    bool html;
};

static void newline(struct buf *out, const struct json_style *style, int level)
{
    if (style->indent == NULL) {
        return;
    }
    buf_putc(out, '\n');
    for (int i = 0; i < level; i++) {
        buf_puts(out, str_of(style->indent));
    }
}

static void write_json(struct buf *out, struct val v, const struct json_style *style, int level);

static void write_key(struct buf *out, struct val k, const struct json_style *style)
{
    if (val_is(k, V_STRING)) {
        write_string(out, k, style->html);
    } else {
        struct buf text;
        buf_init(&text, out->max);
        val_to_json(&text, k, false);
        val_json_string(out, buf_str(&text), style->html);
        buf_release(&text);
    }
    buf_putc(out, ':');
    if (style->indent != NULL) {
        buf_putc(out, ' ');
    }
}

static void write_list(struct buf *out, struct val v, const struct json_style *style, int level)
{
    bool object = val_is(v, V_OBJECT);
    buf_putc(out, object ? '{' : '[');
    uint32_t n = val_len(v);
    for (uint32_t i = 0; i < n && buf_ok(out); i++) {
        if (i > 0) {
            buf_putc(out, ',');
        }
        newline(out, style, level + 1);
        if (object) {
            write_key(out, val_tab(v)->v[2 * (size_t)i], style);
        }
        write_json(out, val_nth(v, i), style, level + 1);
    }
    if (n > 0) {
        newline(out, style, level);
    }
    buf_putc(out, object ? '}' : ']');
}

static void write_json(struct buf *out, struct val v, const struct json_style *style, int level)
{
    switch (val_type(v)) {
    case V_BOOL:
        buf_puts(out, val_is_true(v) ? S("true") : S("false"));
        break;
    case V_NUMBER:
        num_write(out, val_number(v));
        break;
    case V_STRING:
        write_string(out, v, style->html);
        break;
    case V_ARRAY:
    case V_OBJECT:
    case V_SET:
        write_list(out, v, style, level);
        break;
    default:
        buf_puts(out, S("null"));
    }
}

void val_to_json(struct buf *out, struct val v, bool html)
{
    write_json(out, v, &(struct json_style){.html = html}, 0);
}

void val_to_json_pretty(struct buf *out, struct val v, const char *indent, bool html)
{
    write_json(out, v, &(struct json_style){.indent = indent, .html = html}, 0);
}

/* As strconv.Quote of Go. */
static void write_quoted(struct buf *out, struct str s)
{
    static const char plain[] = "\"\\\a\b\f\n\r\t\v", letters[] = "\"\\abfnrtv";
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n;) {
        size_t from = i;
        uint32_t c = utf8_next(s, &i);
        const char *at = c > 0 && c < 128 ? strchr(plain, (int)c) : NULL;
        if (at != NULL) {
            buf_putc(out, '\\');
            buf_putc(out, letters[at - plain]);
        } else if (c == 0xfffd && i - from == 1) {
            buf_printf(out, "\\x%02x", (unsigned char)s.p[from]);
        } else if (utf8_is_printable(c)) {
            buf_put(out, s.p + from, i - from);
        } else {
            buf_printf(out,
                       c < 0x80      ? "\\x%02x"
                       : c < 0x10000 ? "\\u%04x"
                                     : "\\U%08x",
                       (unsigned)c);
        }
    }
    buf_putc(out, '"');
}

static void write_items(struct buf *out, struct val v)
{
    bool object = val_is(v, V_OBJECT);
    for (uint32_t i = 0; i < val_len(v) && buf_ok(out); i++) {
        buf_puts(out, i > 0 ? S(", ") : S(""));
        if (object) {
            val_to_rego(out, val_tab(v)->v[2 * (size_t)i]);
            buf_puts(out, S(": "));
        }
        val_to_rego(out, val_nth(v, i));
    }
}

void val_to_rego(struct buf *out, struct val v)
{
    switch (val_type(v)) {
    case V_STRING:
        write_quoted(out, val_text(v));
        break;
    case V_ARRAY:
        buf_putc(out, '[');
        write_items(out, v);
        buf_putc(out, ']');
        break;
    case V_SET:
        if (val_len(v) == 0) {
            buf_puts(out, S("set()"));
            break;
        }
        buf_putc(out, '{');
        write_items(out, v);
        buf_putc(out, '}');
        break;
    case V_OBJECT:
        buf_putc(out, '{');
        write_items(out, v);
        buf_putc(out, '}');
        break;
    default:
        val_to_json(out, v, false);
    }
}

enum { REGO_TEXT_MAX = 64 << 20 };

struct str val_rego_text(struct arena *a, struct val v)
{
    struct buf b;
    buf_init(&b, REGO_TEXT_MAX);
    val_to_rego(&b, v);
    struct str r = arena_str(a, buf_str(&b));
    buf_release(&b);
    return r;
}
