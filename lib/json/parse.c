/*
 * The parser: RFC 8259 in one pass over a private copy of the text, with a stack of open arrays and
 * objects instead of recursion. The copy ends in PAD zero bytes, so that looking ahead needs no
 * bounds checks, and strings with escapes shrink in place.
 */
#include "json_priv.h"

#include <endian.h>
#include <stdlib.h>

enum { PAD = 8, FIRST_FRAMES = 24, FIRST_PENDING = 48, NODES_AT_ONCE = 64, LINEAR_KEYS = 12 };

enum state { WANT_VALUE, WANT_FIRST_ITEM, WANT_FIRST_KEY, WANT_KEY, AFTER_VALUE, DONE };

struct frame {
    struct json *node;
    size_t base; /* where its members begin among the pending ones */
};

struct parser {
    struct arena *arena;
    struct json_limits lim;
    char *p, *end, *line_start;
    unsigned line;
    size_t values;
    struct json *nodes; /* allocated ahead */
    unsigned n_nodes, next_chunk;
    struct frame *frames; /* open arrays and objects */
    size_t depth, cap_frames;
    struct json_member *pending; /* complete members of open arrays and objects */
    size_t n_pending, cap_pending;
    struct json *root;
    struct frame first_frames[FIRST_FRAMES];
    struct json_member first_pending[FIRST_PENDING];
};

static unsigned col_of(const struct parser *p, const char *at)
{
    return (unsigned)(at - p->line_start) + 1;
}

static __attribute__((cold)) struct err unexpected(const struct parser *p, const char *wanted)
{
    unsigned char c = (unsigned char)*p->p;
    unsigned col = col_of(p, p->p);
    if (p->p == p->end) {
        return err_make_at(ERR_SYNTAX, p->line, col, "expected %s, found the end of input", wanted);
    }
    if (c < 0x20 || c >= 0x7f) {
        return err_make_at(ERR_SYNTAX, p->line, col, "expected %s, found byte 0x%02x", wanted, c);
    }
    return err_make_at(ERR_SYNTAX, p->line, col, "expected %s, found '%c'", wanted, c);
}

static __attribute__((cold)) struct err over_limit(const struct parser *p, const char *what,
                                                   size_t limit)
{
    return err_make_at(ERR_LIMIT, p->line, col_of(p, p->p), "more than %zu %s", limit, what);
}

/* May the arena give `n` bytes more? Asked before anything whose size the input decides. */
static bool arena_has_room(const struct arena *a, size_t n)
{
    size_t in_block = a->cur != NULL ? (size_t)(a->end - a->cur) : 0;
    size_t left = a->budget > a->used ? a->budget - a->used : 0;
    return !arena_exhausted(a) && (n + 64 <= in_block || n + 64 <= left);
}

static struct err ensure_room(const struct parser *p, size_t n)
{
    if (unlikely(!arena_has_room(p->arena, n))) {
        return over_limit(p, "bytes of memory for this document", p->arena->budget);
    }
    return OK;
}

static struct err add_nodes(struct parser *p)
{
    size_t bytes = p->next_chunk * sizeof(struct json);
    TRY(ensure_room(p, bytes));
    p->nodes = arena_alloc_raw(p->arena, bytes, _Alignof(struct json));
    p->n_nodes = p->next_chunk;
    p->next_chunk = MIN(p->next_chunk * 2, (unsigned)NODES_AT_ONCE);
    return OK;
}

static inline struct err new_node(struct parser *p, enum json_type type, struct json **out)
{
    if (unlikely(p->n_nodes == 0)) {
        TRY(add_nodes(p));
    }
    if (unlikely(++p->values > p->lim.max_values)) {
        return over_limit(p, "values", p->lim.max_values);
    }
    p->n_nodes--;
    struct json *v = p->nodes++;
    *v = (struct json){.type = type, .line = p->line, .col = col_of(p, p->p)};
    *out = v;
    return OK;
}

static void *grown(void *old, const void *inside, size_t used, size_t cap, size_t size)
{
    void *p = realloc(old == inside ? NULL : old, cap * size);
    if (p == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    if (old == inside) {
        memcpy(p, inside, used * size);
    }
    return p;
}

static inline struct json_member *push_pending(struct parser *p)
{
    if (unlikely(p->n_pending == p->cap_pending)) {
        p->cap_pending *= 2;
        p->pending = grown(p->pending, p->first_pending, p->n_pending, p->cap_pending,
                           sizeof(struct json_member));
    }
    return &p->pending[p->n_pending++];
}

static struct err open_frame(struct parser *p, enum json_type type, enum state *next)
{
    if (unlikely(p->depth >= p->lim.max_depth)) {
        return over_limit(p, "levels of arrays and objects", p->lim.max_depth);
    }
    if (unlikely(p->depth == p->cap_frames)) {
        p->cap_frames *= 2;
        p->frames =
            grown(p->frames, p->first_frames, p->depth, p->cap_frames, sizeof(struct frame));
    }
    struct json *node;
    TRY(new_node(p, type, &node));
    p->frames[p->depth++] = (struct frame){node, p->n_pending};
    p->p++;
    *next = type == JSON_OBJECT ? WANT_FIRST_KEY : WANT_FIRST_ITEM;
    return OK;
}

static inline void skip_blanks(struct parser *p)
{
    for (;; p->p++) {
        char c = *p->p;
        if (likely((unsigned char)c > ' ')) {
            return;
        }
        if (c == '\n') {
            p->line++;
            p->line_start = p->p + 1;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

/* Skips ordinary ASCII eight bytes at a time; stops at '"', '\\', a control byte or a byte >= 0x80. */
static inline char *skip_plain(char *s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    for (;; s += 8) {
        uint64_t w;
        memcpy(&w, s, sizeof(w));
        w = le64toh(w);
        uint64_t quote = w ^ (ones * '"'), back = w ^ (ones * '\\');
        uint64_t hit =
            ((quote - ones) & ~quote) | ((back - ones) & ~back) | ((w - ones * 0x20) & ~w) | w;
        hit &= tops;
        if (hit != 0) {
            return s + __builtin_ctzll(hit) / 8;
        }
    }
}

static bool take_hex4(const char *s, uint32_t *out)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = s[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 16;
        if (digit == 16) {
            return false;
        }
        v = v << 4 | digit;
    }
    *out = v;
    return true;
}

static char *put_utf8(char *dst, uint32_t c)
{
    if (c < 0x80) {
        *dst++ = (char)c;
    } else if (c < 0x800) {
        *dst++ = (char)(0xc0 | c >> 6);
        *dst++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *dst++ = (char)(0xe0 | c >> 12);
        *dst++ = (char)(0x80 | (c >> 6 & 0x3f));
        *dst++ = (char)(0x80 | (c & 0x3f));
    } else {
        *dst++ = (char)(0xf0 | c >> 18);
        *dst++ = (char)(0x80 | (c >> 12 & 0x3f));
        *dst++ = (char)(0x80 | (c >> 6 & 0x3f));
        *dst++ = (char)(0x80 | (c & 0x3f));
    }
    return dst;
}

/* p->p stands on 'u'. Surrogates must come in pairs: half of one is not a character. */
static struct err take_unicode_escape(struct parser *p, char **dst)
{
    uint32_t c, low;
    if (!take_hex4(p->p + 1, &c)) {
        return unexpected(p, "four hexadecimal digits after \\u");
    }
    if ((c & 0xfc00) == 0xdc00) {
        return unexpected(p, "no low surrogate without a high one before it");
    }
    p->p += 5;
    if ((c & 0xfc00) == 0xd800) {
        if (p->p[0] != '\\' || p->p[1] != 'u' || !take_hex4(p->p + 2, &low) ||
            (low & 0xfc00) != 0xdc00) {
            return unexpected(p, "a low surrogate (\\udc00 to \\udfff)");
        }
        c = 0x10000 + ((c & 0x3ff) << 10 | (low & 0x3ff));
        p->p += 6;
    }
    *dst = put_utf8(*dst, c);
    return OK;
}

static struct err take_escape(struct parser *p, char **dst)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    p->p++;
    if (*p->p == 'u') {
        return take_unicode_escape(p, dst);
    }
    const char *hit = *p->p != '\0' ? strchr(from, *p->p) : NULL;
    if (hit == NULL) {
        return unexpected(p, "one of \" \\ / b f n r t u after a backslash");
    }
    *(*dst)++ = to[hit - from];
    p->p++;
    return OK;
}

/* The rest of a string that needs more than skipping; decodes towards the front of the copy. */
static struct err take_string_slowly(struct parser *p, char *start, struct str *out)
{
    char *dst = p->p;
    while (*p->p != '"') {
        unsigned char c = (unsigned char)*p->p;
        if (c == '\\') {
            TRY(take_escape(p, &dst));
        } else if (c >= 0x80) {
            unsigned n = json_utf8_sequence(p->p, PAD);
            if (n == 0) {
                return unexpected(p, "UTF-8");
            }
            memmove(dst, p->p, n);
            dst += n, p->p += n;
        } else if (c < 0x20) {
            return unexpected(p, p->p == p->end
                                     ? "'\"' at the end of a string"
                                     : "no control character inside a string (escape it)");
        }
        char *stop = skip_plain(p->p);
        if (dst != p->p) {
            memmove(dst, p->p, (size_t)(stop - p->p));
        }
        dst += stop - p->p;
        p->p = stop;
    }
    p->p++;
    *out = (struct str){start, (size_t)(dst - start)};
    return OK;
}

static inline struct err take_string(struct parser *p, struct str *out)
{
    char *start = p->p + 1;
    p->p = skip_plain(start);
    if (likely(*p->p == '"')) {
        *out = (struct str){start, (size_t)(p->p - start)};
        p->p++;
        return OK;
    }
    return take_string_slowly(p, start, out);
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline struct err skip_digits(struct parser *p)
{
    if (unlikely(!is_digit(*p->p))) {
        return unexpected(p, "a digit");
    }
    while (is_digit(*p->p)) {
        p->p++;
    }
    return OK;
}

/* RFC 8259 section 6. */
static inline struct err take_number(struct parser *p, struct str *out)
{
    char *start = p->p;
    p->p += *p->p == '-';
    if (*p->p == '0') {
        p->p++;
        if (unlikely(is_digit(*p->p))) {
            return unexpected(p, "no digit after a leading 0");
        }
    } else {
        TRY(skip_digits(p));
    }
    if (*p->p == '.') {
        p->p++;
        TRY(skip_digits(p));
    }
    if (*p->p == 'e' || *p->p == 'E') {
        p->p++;
        p->p += *p->p == '+' || *p->p == '-';
        TRY(skip_digits(p));
    }
    *out = (struct str){start, (size_t)(p->p - start)};
    return OK;
}

/* Gives a complete value to whatever it is part of. */
static inline enum state deliver(struct parser *p, struct json *v)
{
    if (p->depth == 0) {
        p->root = v;
        return DONE;
    }
    if (p->frames[p->depth - 1].node->type == JSON_OBJECT) {
        p->pending[p->n_pending - 1].value = v;
    } else {
        push_pending(p)->value = v;
    }
    return AFTER_VALUE;
}

static struct err take_literal(struct parser *p, enum state *next)
{
    static const struct {
        struct str text;
        enum json_type type;
    } literals[] = {{STR_INIT("true"), JSON_TRUE},
                    {STR_INIT("false"), JSON_FALSE},
                    {STR_INIT("null"), JSON_NULL}};
    for (size_t i = 0; i < ARRAY_LEN(literals); i++) {
        struct str text = literals[i].text;
        if (memcmp(p->p, text.p, text.n) == 0) {
            struct json *v;
            TRY(new_node(p, literals[i].type, &v));
            p->p += text.n;
            *next = deliver(p, v);
            return OK;
        }
    }
    return unexpected(p, "a value");
}

static inline struct err take_value(struct parser *p, enum state *next)
{
    struct json *v = NULL;
    char c = *p->p;
    if (c == '"') {
        TRY(new_node(p, JSON_STRING, &v));
        TRY(take_string(p, &v->text));
    } else if (c == '{') {
        return open_frame(p, JSON_OBJECT, next);
    } else if (c == '[') {
        return open_frame(p, JSON_ARRAY, next);
    } else if (is_digit(c) || c == '-') {
        TRY(new_node(p, JSON_NUMBER, &v));
        TRY(take_number(p, &v->text));
    } else {
        return take_literal(p, next);
    }
    *next = deliver(p, v);
    return OK;
}

static inline struct err take_key(struct parser *p, enum state *next)
{
    if (unlikely(*p->p != '"')) {
        return unexpected(p, *next == WANT_KEY ? "a key in double quotes"
                                               : "a key in double quotes or '}'");
    }
    struct json_member *m = push_pending(p);
    m->line = p->line;
    m->col = col_of(p, p->p);
    TRY(take_string(p, &m->key));
    skip_blanks(p);
    if (unlikely(*p->p != ':')) {
        return unexpected(p, "':' after a key");
    }
    p->p++;
    *next = WANT_VALUE;
    return OK;
}

static __attribute__((cold)) struct err duplicate_key(const struct json_member *m)
{
    return err_make_at(ERR_INVALID, m->line, m->col, "the key \"%.*s\" stands twice in one object",
                       (int)MIN(m->key.n, (size_t)100), m->key.p);
}

/* The later of two equal keys lends its value to the earlier one's place and goes. */
static struct err settle_duplicate(const struct parser *p, struct json_member *earlier,
                                   const struct json_member *later)
{
    if (!p->lim.duplicate_keys_last_wins) {
        return duplicate_key(later);
    }
    earlier->value = later->value;
    return OK;
}

static struct err unique_keys_linear(struct parser *p, struct json_member *m, size_t *n)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        size_t j = 0;
        while (j < kept && !str_eq(m[j].key, m[i].key)) {
            j++;
        }
        if (unlikely(j < kept)) {
            TRY(settle_duplicate(p, &m[j], &m[i]));
        } else {
            m[kept++] = m[i];
        }
    }
    *n = kept;
    return OK;
}

static struct err unique_keys_hashed(struct parser *p, struct json_member *m, size_t *n,
                                     uint32_t *slots, size_t mask)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        size_t at = str_hash(m[i].key) & mask;
        while (slots[at] != 0 && !str_eq(m[slots[at] - 1].key, m[i].key)) {
            at = (at + 1) & mask;
        }
        if (unlikely(slots[at] != 0)) {
            TRY(settle_duplicate(p, &m[slots[at] - 1], &m[i]));
        } else {
            m[kept++] = m[i];
            slots[at] = (uint32_t)kept;
        }
    }
    *n = kept;
    return OK;
}

/* Small objects compare every pair; larger ones use a keyed hash, since strangers choose the keys. */
static struct err unique_keys(struct parser *p, struct json_member *m, size_t *n)
{
    if (likely(*n <= LINEAR_KEYS)) {
        return unique_keys_linear(p, m, n);
    }
    size_t slots = 32;
    while (slots < *n * 2) {
        slots *= 2;
    }
    uint32_t *table = calloc(slots, sizeof(*table));
    if (table == NULL) {
        return over_limit(p, "keys fit in memory", *n);
    }
    struct err e = unique_keys_hashed(p, m, n, table, slots - 1);
    free(table);
    return e;
}

static struct err close_object(struct parser *p, struct json *v, struct json_member *m, size_t n)
{
    TRY(unique_keys(p, m, &n));
    TRY(ensure_room(p, n * sizeof(*m)));
    v->members = arena_alloc_raw(p->arena, n * sizeof(*m), _Alignof(struct json_member));
    memcpy(v->members, m, n * sizeof(*m));
    v->n = (uint32_t)n;
    return OK;
}

static struct err close_array(struct parser *p, struct json *v, const struct json_member *m,
                              size_t n)
{
    TRY(ensure_room(p, n * sizeof(struct json *)));
    v->items = arena_alloc_raw(p->arena, n * sizeof(struct json *), _Alignof(struct json *));
    for (size_t i = 0; i < n; i++) {
        v->items[i] = m[i].value;
    }
    v->n = (uint32_t)n;
    return OK;
}

static struct err close_frame(struct parser *p, enum state *next)
{
    struct frame f = p->frames[--p->depth];
    size_t n = p->n_pending - f.base;
    if (n > 0) {
        struct json_member *m = &p->pending[f.base];
        TRY(f.node->type == JSON_OBJECT ? close_object(p, f.node, m, n)
                                        : close_array(p, f.node, m, n));
    }
    p->n_pending = f.base;
    p->p++;
    *next = deliver(p, f.node);
    return OK;
}

static inline struct err after_value(struct parser *p, enum state *next)
{
    bool object = p->frames[p->depth - 1].node->type == JSON_OBJECT;
    if (*p->p == ',') {
        p->p++;
        *next = object ? WANT_KEY : WANT_VALUE;
        return OK;
    }
    if (*p->p == (object ? '}' : ']')) {
        return close_frame(p, next);
    }
    return unexpected(p, object ? "',' or '}' after a member" : "',' or ']' after an element");
}

static struct err step(struct parser *p, enum state *state)
{
    skip_blanks(p);
    switch (*state) {
    case WANT_FIRST_ITEM:
        if (*p->p == ']') {
            return close_frame(p, state);
        }
        return take_value(p, state);
    case WANT_VALUE:
        return take_value(p, state);
    case WANT_FIRST_KEY:
        if (*p->p == '}') {
            return close_frame(p, state);
        }
        return take_key(p, state);
    case WANT_KEY:
        return take_key(p, state);
    case AFTER_VALUE:
        return after_value(p, state);
    case DONE:
        break;
    }
    bug_abort(__FILE__, __LINE__, "step after the end");
}

static struct err run(struct parser *p)
{
    enum state state = WANT_VALUE;
    if (str_starts(str_n(p->p, (size_t)(p->end - p->p)), S("\xef\xbb\xbf"))) {
        return unexpected(p, "JSON without a byte order mark");
    }
    while (state != DONE) {
        TRY(step(p, &state));
    }
    skip_blanks(p);
    if (p->p != p->end) {
        return unexpected(p, "nothing after the value");
    }
    return OK;
}

static struct json_limits with_defaults(const struct json_limits *limits)
{
    struct json_limits lim = limits != NULL ? *limits : (struct json_limits){0};
    lim.max_bytes = lim.max_bytes != 0 ? lim.max_bytes : JSON_MAX_BYTES;
    lim.max_depth = lim.max_depth != 0 ? lim.max_depth : JSON_MAX_DEPTH;
    lim.max_values = lim.max_values != 0 ? lim.max_values : JSON_MAX_VALUES;
    lim.max_values = MIN(lim.max_values, (size_t)UINT32_MAX);
    return lim;
}

struct err json_parse(struct arena *a, struct str text, const struct json_limits *limits,
                      struct json **out)
{
    struct json_limits lim = with_defaults(limits);
    if (text.n > lim.max_bytes) {
        return err_make_at(ERR_LIMIT, 0, 0, "%zu bytes of JSON where at most %zu are taken", text.n,
                           lim.max_bytes);
    }
    if (!arena_has_room(a, text.n + PAD)) {
        return err_make_at(ERR_LIMIT, 0, 0, "%zu bytes of JSON do not fit the memory budget",
                           text.n);
    }
    char *copy = arena_alloc_raw(a, text.n + PAD, 1);
    if (text.n > 0) {
        memcpy(copy, text.p, text.n);
    }
    memset(copy + text.n, 0, PAD);
    struct parser p __attribute__((uninitialized)); /* its stacks are large; all else is set here */
    p.arena = a, p.lim = lim;
    p.p = p.line_start = copy, p.end = copy + text.n;
    p.line = 1, p.values = 0, p.root = NULL;
    p.nodes = NULL, p.n_nodes = 0, p.next_chunk = 4;
    p.frames = p.first_frames, p.depth = 0, p.cap_frames = FIRST_FRAMES;
    p.pending = p.first_pending, p.n_pending = 0, p.cap_pending = FIRST_PENDING;
    struct err e = run(&p);
    if (p.frames != p.first_frames) {
        free(p.frames);
    }
    if (p.pending != p.first_pending) {
        free(p.pending);
    }
    TRY(e);
    *out = p.root;
    return OK;
}
