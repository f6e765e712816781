/*
 * JSON to values and back. The reader makes values directly: a detour through a tree of another
 * shape would double the cost of a decision. RFC 8259; the last of two equal keys wins.
 */
#include "authz/rego/value/pool.h"
#include "authz/rego/value/value_priv.h"

#include <stdlib.h>
#include <sys/mman.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

struct reader {
    struct arena *a;
    const char *start, *p, *end;
    struct val *stack; /* words of the containers that are still open */
    size_t n, cap;
    const char *why;
    struct val_pool *pool; /* or NULL */
    bool use_up;           /* pages in front of `start` are gone */
    unsigned line, col;    /* of `start` */
    struct val result;
};

enum { STACK_FIRST = 256 };

struct open {
    size_t from;
    bool object;
};

/* The stack is not the arena's: a large document would leave all its smaller selves behind there. */
static bool push_grow(struct reader *r)
{
    if (r->cap * 2 * sizeof(struct val) > r->a->budget) {
        r->why = "too many values for the memory allowed";
        return false;
    }
    bool first = r->cap == STACK_FIRST;
    struct val *v = realloc(first ? NULL : r->stack, r->cap * 2 * sizeof *v);
    BUG_ON(v == NULL);
    if (first) {
        memcpy(v, r->stack, r->n * sizeof *v);
    }
    r->stack = v;
    r->cap *= 2;
    return true;
}

static inline void push(struct reader *r, struct val v)
{
    if (unlikely(r->n == r->cap) && !push_grow(r)) {
        return;
    }
    r->stack[r->n++] = v;
}

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) {
            return -1;
        }
        v = v * 16 + d;
    }
    return v;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 63));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 63));
        out[2] = (char)(0x80 | (c & 63));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* \uXXXX at *p (after the u), with its low surrogate if there is one. Lone halves become U+FFFD. */
static int64_t unicode_escape(const char **p, const char *end)
{
    if (end - *p < 4) {
        return -1;
    }
    int c = hex4(*p);
    if (c < 0) {
        return -1;
    }
    *p += 4;
    if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u') {
        int low = hex4(*p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            *p += 6;
            return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        }
    }
    return c >= 0xd800 && c < 0xe000 ? 0xfffd : c;
}

static struct val escaped_string(struct reader *r, const char *from, const char *to)
{
    struct vstr *s = val_str_room(r->a, (size_t)(to - from));
    size_t n = 0;
    for (const char *p = from; p < to;) {
        if (*p != '\\') {
            s->p[n++] = *p++;
            continue;
        }
        static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
        char c = p[1];
        const char *at = c != '\0' ? strchr(names, c) : NULL;
        p += 2;
        if (at != NULL) {
            s->p[n++] = bytes[at - names];
            continue;
        }
        int64_t u = c == 'u' ? unicode_escape(&p, to) : -1;
        if (u < 0) {
            r->p = p;
            r->why = "invalid escape in string";
            return VAL_UNDEF;
        }
        n += put_utf8(s->p + n, (uint32_t)u);
    }
    s->h.n = (uint32_t)n;
    return val_str_done(s);
}

/* Bytes that are not UTF-8 become U+FFFD, one each, as Go's decoder does. */
static struct val mended_string(struct reader *r, struct str s)
{
    struct buf b;
    buf_init(&b, s.n * 3 + 1);
    for (size_t i = 0; i < s.n;) {
        size_t len = 1;
        unsigned char c = (unsigned char)s.p[i];
        size_t want = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        if (i + want <= s.n && str_is_utf8(str_sub(s, i, i + want))) {
            len = want;
            buf_put(&b, s.p + i, len);
        } else {
            buf_puts(&b, S("\xef\xbf\xbd"));
        }
        i += len;
    }
    struct val v = val_str(r->a, buf_str(&b));
    buf_release(&b);
    return v;
}

#ifdef __SSE2__
/* Sixteen bytes of ones before sixteen of zeros: a window over them masks what lies behind a string. */
static const uint8_t keep[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                 255, 255, 255, 255, 255, 255, 255, 255};

/*
 * The usual string: under 16 bytes of ASCII without escapes, found, copied and padded at one go. It may write
 * behind its end, into room of the arena that nobody has yet. VAL_UNDEF: take the long way.
 */
static inline struct val short_string(struct arena *a, const char **p, const char *end)
{
    const char *from = *p + 1;
    char *to = (char *)(((uintptr_t)a->cur + 7) & ~(uintptr_t)7);
    if (end - from < 16 || a->end - to < 32 || a->cur == NULL) {
        return VAL_UNDEF;
    }
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)from);
    __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
                                             _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))));
    unsigned at = (unsigned)__builtin_ctz((unsigned)_mm_movemask_epi8(stop) | 0x10000u);
    if (at == 16 || from[at] != '"') {
        return VAL_UNDEF;
    }
    struct vstr *s = (struct vstr *)(void *)to;
    s->h = (struct vhead){.type = V_STRING, .n = at};
    __m128i mask = _mm_loadu_si128((const __m128i *)(const void *)(keep + 16 - at));
    _mm_storeu_si128((__m128i *)(void *)s->p, _mm_and_si128(v, mask));
    a->cur = to + sizeof *s + STR_WORDS(at) * 8;
    *p = from + at + 1;
    return val_of(s);
}
#else
static inline struct val short_string(struct arena *a, const char **p, const char *end)
{
    return VAL_UNDEF;
}
#endif

/* Passes over bytes that need no look of their own, sixteen at a time. */
static inline const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= 16; p += 16) {
        __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')),
                                    _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
                                                 _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))));
        int mask = _mm_movemask_epi8(stop);
        if (mask != 0) {
            return p + __builtin_ctz((unsigned)mask);
        }
    }
#endif
    return p;
}

static struct val long_string(struct reader *r)
{
    const char *from = r->p;
    bool escapes = false, high = false;
    for (;; r->p++) {
        r->p = skip_plain(r->p, r->end);
        if (r->p >= r->end || *r->p == '"') {
            break;
        }
        if (*r->p == '\\') {
            escapes = true;
            if (++r->p >= r->end) {
                break;
            }
        } else if ((unsigned char)*r->p < 0x20) {
            r->why = "control character in string";
            return VAL_UNDEF;
        }
        high |= (unsigned char)*r->p >= 0x80;
    }
    if (r->p >= r->end) {
        r->why = "unexpected end of JSON input";
        return VAL_UNDEF;
    }
    const char *to = r->p;
    struct val v =
        escapes ? escaped_string(r, from, to) : val_str(r->a, str_n(from, (size_t)(to - from)));
    if (r->why != NULL) {
        return v;
    }
    r->p = to + 1;
    return high && !str_is_utf8(val_text(v)) ? mended_string(r, val_text(v)) : v;
}

static inline struct val string(struct reader *r)
{
    struct val v = short_string(r->a, &r->p, r->end);
    if (!val_undef(v)) {
        return v;
    }
    r->p++;
    return long_string(r);
}

static struct val number(struct reader *r)
{
    const char *from = r->p, *p = r->p;
    bool minus = *p == '-';
    p += minus;
    int64_t v = 0;
    const char *digits = p;
    while (p < r->end && *p >= '0' && *p <= '9' && p - digits < 17) {
        v = v * 10 + (*p++ - '0');
    }
    bool plain = p > digits && (p == r->end ||
                                (*p != '.' && *p != 'e' && *p != 'E' && !(*p >= '0' && *p <= '9')));
    if (plain && (digits[0] != '0' || p - digits == 1) && !(minus && v == 0)) {
        r->p = p;
        return val_int(r->a, minus ? -v : v);
    }
    while (p < r->end && ((*p >= '0' && *p <= '9') || *p == '.' || *p == 'e' || *p == 'E' ||
                          *p == '+' || *p == '-')) {
        p++;
    }
    struct num n;
    struct str text = str_n(from, (size_t)(p - from));
    struct err e = num_parse(text, &n);
    if (failed(e)) {
        r->why = e.code == ERR_RANGE ? "invalid number: number too big" : "invalid number";
        return VAL_UNDEF;
    }
    r->p = p;
    return val_num(r->a, n);
}

static bool word(struct reader *r, const char *text, size_t n)
{
    if ((size_t)(r->end - r->p) < n || memcmp(r->p, text, n) != 0) {
        r->why = "invalid character";
        return false;
    }
    r->p += n;
    return true;
}

static struct val scalar(struct reader *r)
{
    if (r->p >= r->end) {
        r->why = "unexpected end of JSON input";
        return VAL_UNDEF;
    }
    switch (*r->p) {
    case '"':
        return string(r);
    case 't':
        return word(r, "true", 4) ? VAL_TRUE : VAL_UNDEF;
    case 'f':
        return word(r, "false", 5) ? VAL_FALSE : VAL_UNDEF;
    case 'n':
        return word(r, "null", 4) ? VAL_NULL : VAL_UNDEF;
    default:
        if (*r->p == '-' || (*r->p >= '0' && *r->p <= '9')) {
            return number(r);
        }
        r->why = "invalid character";
        return VAL_UNDEF;
    }
}

static struct val pooled(struct reader *r, struct val v, struct arena_mark mark);

static struct val closed(struct reader *r, size_t from, bool object)
{
    struct arena_mark mark = arena_mark(r->a);
    struct vlist l = {.a = r->a, .v = r->stack + from, .n = r->n - from};
    struct val v = object ? vlist_object(&l) : val_array(r->a, l.v, l.n);
    return r->pool != NULL ? pooled(r, v, mark) : v;
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) {
        p++;
    }
    return p;
}

/* Most documents are written without blanks, or with one behind each comma and colon. */
#define SKIP(p, end)                                                                               \
    do {                                                                                           \
        if (unlikely((p) < (end) && (unsigned char)*(p) <= ' ')) {                                 \
            (p) = skip_blanks(p, end);                                                             \
        }                                                                                          \
    } while (0)

/* The same value of earlier on, if it is known; what was allocated for this one is given back. */
static struct val pooled(struct reader *r, struct val v, struct arena_mark mark)
{
    struct val known = val_pooled(r->pool, v);
    if (!val_same(known, v)) {
        arena_rewind(r->a, mark);
    }
    return known;
}

/* Strings and all else that is no container; `p` stands on its first byte. */
static inline struct val leaf(struct reader *r, const char **p)
{
    struct val v;
    struct arena_mark mark = arena_mark(r->a);
    if (**p == '"') {
        v = short_string(r->a, p, r->end);
        if (likely(!val_undef(v))) {
            return r->pool != NULL ? pooled(r, v, mark) : v;
        }
    }
    r->p = *p;
    v = scalar(r);
    *p = r->p;
    return r->pool != NULL ? pooled(r, v, mark) : v;
}

static const char *due(const struct reader *r, const char *p, bool object)
{
    if (p >= r->end) {
        return "unexpected end of JSON input";
    }
    return object ? "',' or '}' is due in object" : "',' or ']' is due in array";
}

/* `"key":`; false with the reason noted. */
static inline bool key(struct reader *r, const char **at)
{
    const char *p = *at;
    SKIP(p, r->end);
    if (unlikely(p >= r->end || *p != '"')) {
        r->why = p >= r->end ? "unexpected end of JSON input" : "a string is due as object key";
        r->p = p;
        return false;
    }
    struct val k = leaf(r, &p);
    SKIP(p, r->end);
    if (unlikely(r->why != NULL || p >= r->end || *p != ':')) {
        r->why = r->why != NULL ? r->why
                 : p >= r->end  ? "unexpected end of JSON input"
                                : "':' is due after object key";
        r->p = MAX(p, r->p);
        return false;
    }
    push(r, k);
    *at = p + 1;
    return true;
}

static void count_lines(struct reader *r, const char *to)
{
    for (const char *p = r->start; p < to; p++) {
        r->col = *p == '\n' ? 1 : r->col + 1;
        r->line += *p == '\n';
    }
    r->start = to;
}

enum { USE_UP_STEP = 4 << 20, PAGE = 4096 };

/* Whole pages before `p` are not looked at again. */
static void give_back(struct reader *r, const char *p)
{
    char *from = (char *)(uintptr_t)r->start;
    size_t n = (size_t)(p - r->start) & ~(size_t)(PAGE - 1);
    count_lines(r, r->start + n);
    (void)madvise(from, n, MADV_DONTNEED);
}

/* dispatch: a value, what may follow it, and the end of containers are the states of one loop without recursion */
static void document(struct reader *r)
{
    static _Thread_local struct open opened[VAL_DEPTH_MAX];
    size_t depth = 0;
    const char *p = r->p, *end = r->end;
    struct val v;
    bool object = false;
value:
    SKIP(p, end);
    if (likely(p < end && *p != '{' && *p != '[')) {
        v = leaf(r, &p);
        if (unlikely(r->why != NULL)) {
            return;
        }
        goto done;
    }
    if (p >= end || depth == VAL_DEPTH_MAX) {
        r->why = p >= end ? "unexpected end of JSON input" : "nested too deeply";
        r->p = p;
        return;
    }
    object = *p++ == '{';
    opened[depth++] = (struct open){.from = r->n, .object = object};
    SKIP(p, end);
    if (unlikely(p < end && *p == (object ? '}' : ']'))) {
        goto close;
    }
    if (object && !key(r, &p)) {
        return;
    }
    goto value;
close:
    if (unlikely(r->use_up && p - r->start >= USE_UP_STEP)) {
        give_back(r, p);
    }
    p++;
    depth--;
    v = closed(r, opened[depth].from, object);
    r->n = opened[depth].from;
    object = depth > 0 && opened[depth - 1].object;
done:
    push(r, v);
    if (unlikely(r->why != NULL)) {
        r->p = p;
        return;
    }
    SKIP(p, end);
    if (depth == 0) {
        r->result = r->stack[0];
        r->why = p < end ? "unexpected text after the value" : NULL;
        r->p = p;
        return;
    }
    if (likely(p < end && *p == ',')) {
        p++;
        if (unlikely(arena_exhausted(r->a))) {
            r->why = "more than memory is allowed for";
            return;
        }
        if (object && !key(r, &p)) {
            return;
        }
        goto value;
    }
    if (likely(p < end && *p == (object ? '}' : ']'))) {
        goto close;
    }
    r->why = due(r, p, object);
    r->p = p;
}

static struct err read_json(struct arena *a, struct str text, struct val_pool *pool, bool use_up,
                            struct val *out)
{
    static _Thread_local struct val first[STACK_FIRST];
    struct reader r = {.a = a,
                       .start = text.p,
                       .p = text.p,
                       .end = text.p + text.n,
                       .stack = first,
                       .cap = ARRAY_LEN(first),
                       .pool = pool,
                       .use_up = use_up,
                       .line = 1,
                       .col = 1};
    document(&r);
    if (r.stack != first) {
        free(r.stack);
    }
    if (r.why == NULL) {
        *out = r.result;
        return OK;
    }
    ENSURE(!arena_exhausted(a), ERR_LIMIT, "a document that needs more memory than it may");
    count_lines(&r, MIN(r.p, r.end));
    return err_make_at(ERR_SYNTAX, r.line, r.col, "%s (line %u, column %u)", r.why, r.line, r.col);
}

struct err val_from_json(struct arena *a, struct str text, struct val *out)
{
    return read_json(a, text, NULL, false, out);
}

struct err val_from_json_shared(struct arena *a, struct str text, struct val *out)
{
    struct val_pool *pool = val_pool_new(text.n);
    struct err e = read_json(a, text, pool, false, out);
    val_pool_free(pool);
    return e;
}

struct err val_from_json_used_up(struct arena *a, struct str text, struct val *out)
{
    BUG_ON(((uintptr_t)text.p & (PAGE - 1)) != 0);
    struct val_pool *pool = val_pool_new(text.n);
    struct err e = read_json(a, text, pool, true, out);
    val_pool_free(pool);
    return e;
}
