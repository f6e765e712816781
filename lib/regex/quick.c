#include "quick.h"

#include <stdlib.h>

enum { PLACES_MAX = 62, ASCII = 128 };

struct quick {
    bool from_start, to_end;
    bool literal; /* `text` says it all */
    unsigned n;
    char text[PLACES_MAX + 1];
    uint64_t loop, skip;  /* places by what may repeat and what may be left out */
    uint64_t eats[ASCII]; /* for each byte: the places that take it */
};

struct atom {
    bool member[ASCII];
    bool one;  /* a single byte */
    char byte; /* … this one */
    bool loop, skip;
};

struct reader {
    const char *p, *end;
};

static void set_range(bool *member, unsigned char from, unsigned char to)
{
    for (unsigned c = from; c <= to && c < ASCII; c++) {
        member[c] = true;
    }
}

/* \d, \w, \s and their complements. */
static bool perl_class(char c, bool *member)
{
    bool own[ASCII] = {false};
    switch (c | 0x20) {
    case 'd':
        set_range(own, '0', '9');
        break;
    case 'w':
        set_range(own, '0', '9');
        set_range(own, 'a', 'z');
        set_range(own, 'A', 'Z');
        set_range(own, '_', '_');
        break;
    case 's':
        set_range(own, '\t', '\n');
        set_range(own, '\f', '\r');
        set_range(own, ' ', ' ');
        break;
    default:
        return false;
    }
    bool complement = (c & 0x20) == 0;
    for (unsigned i = 0; i < ASCII; i++) {
        member[i] |= own[i] != complement;
    }
    return true;
}

static bool is_punctuation(char c)
{
    return c > ' ' && c < 0x7f && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
           !(c >= 'A' && c <= 'Z');
}

static bool read_class(struct reader *r, struct atom *a)
{
    bool complement = r->p < r->end && *r->p == '^';
    r->p += complement;
    for (bool first = true; r->p < r->end && (*r->p != ']' || first); first = false) {
        unsigned char from = (unsigned char)*r->p++;
        if (from >= ASCII || from == '[' ||
            (from == '-' && !first && r->p < r->end && *r->p != ']')) {
            return false; /* [:alpha:] and its kind; a - that may be a range */
        }
        if (from == '\\') {
            if (r->p >= r->end) {
                return false;
            }
            from = (unsigned char)*r->p++;
            if (perl_class((char)from, a->member)) {
                continue;
            }
            if (!is_punctuation((char)from)) {
                return false;
            }
        }
        unsigned char to = from;
        if (r->end - r->p >= 2 && *r->p == '-' && r->p[1] != ']') {
            to = (unsigned char)r->p[1];
            if (to >= ASCII || to == '\\' || to == '[' || to < from) {
                return false;
            }
            r->p += 2;
        }
        set_range(a->member, from, to);
    }
    if (r->p >= r->end) {
        return false;
    }
    r->p++;
    for (unsigned i = 0; complement && i < ASCII; i++) {
        a->member[i] = !a->member[i];
    }
    return true;
}

static void single(struct atom *a, char c)
{
    a->one = true;
    a->byte = c;
    a->member[(unsigned char)c] = true;
}

static bool read_atom(struct reader *r, struct atom *a)
{
    char c = *r->p++;
    switch (c) {
    case '.':
        set_range(a->member, 0, ASCII - 1);
        a->member['\n'] = false;
        return true;
    case '[':
        return read_class(r, a);
    case '\\':
        if (r->p >= r->end) {
            return false;
        }
        c = *r->p++;
        if (perl_class(c, a->member)) {
            return true;
        }
        if (!is_punctuation(c)) {
            return false;
        }
        single(a, c);
        return true;
    case '(':
    case ')':
    case '|':
    case '*':
    case '+':
    case '?':
    case '{':
    case '}':
    case '^':
    case '$':
    case ']':
        return false;
    default:
        if ((unsigned char)c >= ASCII || c == '\0') {
            return false;
        }
        single(a, c);
        return true;
    }
}

static bool read_repeat(struct reader *r, struct atom *a)
{
    if (r->p >= r->end || (*r->p != '*' && *r->p != '+' && *r->p != '?')) {
        return true;
    }
    char c = *r->p++;
    a->loop = c != '?';
    a->skip = c != '+';
    a->one = false;
    if (r->p < r->end && *r->p == '?') {
        r->p++; /* how little is taken does not matter to whether there is a match */
    }
    return r->p >= r->end || (*r->p != '*' && *r->p != '+' && *r->p != '?' && *r->p != '{');
}

static void add_atom(struct quick *q, const struct atom *a)
{
    uint64_t bit = UINT64_C(1) << q->n;
    q->text[q->n++] = a->byte;
    q->literal &= a->one;
    q->loop |= a->loop ? bit : 0;
    q->skip |= a->skip ? bit : 0;
    for (unsigned c = 0; c < ASCII; c++) {
        q->eats[c] |= a->member[c] ? bit : 0;
    }
}

static bool compile(struct quick *q, struct reader *r)
{
    struct atom tail[PLACES_MAX];
    size_t n = 0, last;
    if (r->p < r->end && *r->p == '^') {
        q->from_start = true;
        r->p++;
    }
    while (r->p < r->end && !(*r->p == '$' && r->p + 1 == r->end)) {
        if (n == PLACES_MAX) {
            return false;
        }
        memset(&tail[n], 0, sizeof tail[n]);
        if (!read_atom(r, &tail[n]) || !read_repeat(r, &tail[n])) {
            return false;
        }
        n++;
    }
    q->to_end = r->p < r->end;
    /* What may be left out at an open end says nothing. */
    for (last = n; !q->to_end && last > 0 && tail[last - 1].skip; last--) {
    }
    for (size_t i = 0; i < last; i++) {
        add_atom(q, &tail[i]);
    }
    return true;
}

struct quick *quick_compile(struct str pattern)
{
    struct quick *q = calloc(1, sizeof *q);
    struct reader r = {.p = pattern.p, .end = pattern.p + pattern.n};
    BUG_ON(q == NULL);
    q->literal = true;
    if (pattern.n == 0 || !compile(q, &r)) {
        free(q);
        return NULL;
    }
    return q;
}

void quick_free(struct quick *q)
{
    free(q);
}

static bool is_ascii(struct str s)
{
    size_t i = 0;
    uint64_t high = 0, w;
    for (; i + 8 <= s.n; i += 8) {
        memcpy(&w, s.p + i, 8);
        high |= w;
    }
    for (; i < s.n; i++) {
        high |= (unsigned char)s.p[i];
    }
    return (high & UINT64_C(0x8080808080808080)) == 0;
}

static bool literal_match(const struct quick *q, struct str text)
{
    if (text.n < q->n || (q->from_start && q->to_end && text.n != q->n)) {
        return false;
    }
    if (q->from_start) {
        return memcmp(text.p, q->text, q->n) == 0;
    }
    if (q->to_end) {
        return memcmp(text.p + text.n - q->n, q->text, q->n) == 0;
    }
    return memmem(text.p, text.n, q->text, q->n) != NULL;
}

/* Places that are reached without a byte: over those that may be left out. */
static inline uint64_t closure(uint64_t at, uint64_t skip)
{
    for (uint64_t more = (at & skip) << 1; (more & ~at) != 0; more = (at & skip) << 1) {
        at |= more;
    }
    return at;
}

static bool run(const struct quick *q, struct str text)
{
    uint64_t start = closure(1, q->skip), at = start, end = UINT64_C(1) << q->n;
    for (size_t i = 0; i < text.n; i++) {
        if ((at & end) != 0 && !q->to_end) {
            return true;
        }
        uint64_t ate = at & q->eats[(unsigned char)text.p[i]];
        at = closure(ate << 1 | (ate & q->loop), q->skip);
        if (!q->from_start) {
            at |= start;
        } else if (at == 0) {
            return false;
        }
    }
    return (at & end) != 0;
}

enum quick_answer quick_match(const struct quick *q, struct str text)
{
    if (text.n == 0) {
        text = S("");
    }
    if (!is_ascii(text)) {
        return QUICK_UNKNOWN;
    }
    return (q->literal ? literal_match(q, text) : run(q, text)) ? QUICK_YES : QUICK_NO;
}
