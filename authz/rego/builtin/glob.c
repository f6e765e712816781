/*
 * glob.match: patterns of the gobwas kind, matched by a set of positions (no backtracking). `*` stays
 * inside of what the delimiters divide, `**` does not, `?` is one character that is no delimiter,
 * [abc] [a-z] [!a] one of a class, {x,y} alternatives, \ takes the next character as it is.
 */
#include "authz/rego/builtin/glob.h"
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/value/utf8.h"

enum { GLOB_STATES_MAX = 4096, GLOB_DEPTH_MAX = 16 };

enum kind { G_CHAR, G_ANY, G_CLASS, G_STAR, G_SUPER, G_SPLIT, G_JUMP, G_END };

struct state {
    enum kind kind;
    uint32_t c;
    struct str class; /* between the brackets */
    bool negated;
    uint32_t next, other; /* G_SPLIT has two ways, G_JUMP one */
};

struct glob {
    struct arena *a;
    struct state *v;
    size_t n, cap;
    bool bad;
};

static uint32_t add(struct glob *g, struct state s)
{
    if (g->n >= GLOB_STATES_MAX) {
        g->bad = true;
        return 0;
    }
    g->v = arena_grow(g->a, g->v, g->n, g->n + 1, &g->cap, sizeof *g->v);
    g->v[g->n] = s;
    return (uint32_t)g->n++;
}

static void compile(struct glob *g, struct str p, int depth);

/* The end of a {…} that starts at `at`, with its nested ones. */
static size_t closing(struct str p, size_t at)
{
    int depth = 0;
    for (size_t i = at; i < p.n; i++) {
        if (p.p[i] == '\\') {
            i++;
        } else if (p.p[i] == '{') {
            depth++;
        } else if (p.p[i] == '}' && --depth == 0) {
            return i;
        }
    }
    return STR_NPOS;
}

/* Alternatives: a chain of splits, each branch jumping behind the last. */
static void alternatives(struct glob *g, struct str inside, int depth)
{
    uint32_t jumps[256];
    size_t n_jumps = 0, from = 0;
    int nested = 0;
    for (size_t i = 0; i <= inside.n && !g->bad; i++) {
        bool end = i == inside.n || (inside.p[i] == ',' && nested == 0);
        if (!end) {
            nested += inside.p[i] == '{';
            nested -= inside.p[i] == '}';
            i += inside.p[i] == '\\';
            continue;
        }
        uint32_t split = i < inside.n ? add(g, (struct state){.kind = G_SPLIT}) : UINT32_MAX;
        if (split != UINT32_MAX) {
            g->v[split].next = (uint32_t)g->n;
        }
        compile(g, str_sub(inside, from, i), depth + 1);
        if (n_jumps < ARRAY_LEN(jumps)) {
            jumps[n_jumps++] = add(g, (struct state){.kind = G_JUMP});
        } else {
            g->bad = true;
        }
        if (split != UINT32_MAX) {
            g->v[split].other = (uint32_t)g->n;
        }
        from = i + 1;
    }
    for (size_t i = 0; i < n_jumps && !g->bad; i++) {
        g->v[jumps[i]].next = (uint32_t)g->n;
    }
}

static size_t class_state(struct glob *g, struct str p, size_t at)
{
    struct state s = {.kind = G_CLASS};
    size_t end = at + 1;
    while (end < p.n && p.p[end] != ']') {
        end += p.p[end] == '\\' ? 2 : 1;
    }
    if (end >= p.n || end == at + 1) {
        g->bad = true;
        return p.n;
    }
    s.class = str_sub(p, at + 1, end);
    if (s.class.p[0] == '!') {
        s.negated = true;
        s.class = str_sub(s.class, 1, s.class.n);
    }
    add(g, s);
    return end + 1;
}

static void compile(struct glob *g, struct str p, int depth)
{
    g->bad |= depth > GLOB_DEPTH_MAX;
    for (size_t i = 0; i < p.n && !g->bad;) {
        char c = p.p[i];
        if (c == '*') {
            bool super = i + 1 < p.n && p.p[i + 1] == '*';
            add(g, (struct state){.kind = super ? G_SUPER : G_STAR});
            while (i < p.n && p.p[i] == '*') {
                i++;
            }
        } else if (c == '?') {
            add(g, (struct state){.kind = G_ANY});
            i++;
        } else if (c == '[') {
            i = class_state(g, p, i);
        } else if (c == '{') {
            size_t end = closing(p, i);
            if (end == STR_NPOS) {
                g->bad = true;
                return;
            }
            alternatives(g, str_sub(p, i + 1, end), depth);
            i = end + 1;
        } else {
            i += c == '\\' && i + 1 < p.n;
            add(g, (struct state){.kind = G_CHAR, .c = utf8_next(p, &i)});
        }
    }
}

static bool in_class(const struct state *s, uint32_t c)
{
    bool found = false;
    for (size_t at = 0; at < s->class.n;) {
        at += s->class.p[at] == '\\' && at + 1 < s->class.n;
        uint32_t lo = utf8_next(s->class, &at), hi = lo;
        if (at + 1 < s->class.n && s->class.p[at] == '-') {
            at++;
            hi = utf8_next(s->class, &at);
        }
        found |= c >= lo && c <= hi;
    }
    return found != s->negated;
}

struct front {
    uint8_t *on;
    uint32_t *list;
    size_t n;
};

/* Adds a state and all that is reached from it without eating a character. */
static void enter(const struct glob *g, struct front *f, uint32_t at)
{
    uint32_t todo[GLOB_STATES_MAX];
    size_t n = 0;
    todo[n++] = at;
    while (n > 0) {
        at = todo[--n];
        if (f->on[at]) {
            continue;
        }
        f->on[at] = 1;
        f->list[f->n++] = at;
        const struct state *s = &g->v[at];
        if (s->kind == G_SPLIT) {
            todo[n++] = s->next;
            todo[n++] = s->other;
        } else if (s->kind == G_JUMP) {
            todo[n++] = s->next;
        } else if (s->kind == G_STAR || s->kind == G_SUPER) {
            todo[n++] = at + 1;
        }
    }
}

static void step(const struct glob *g, const struct front *from, struct front *to, uint32_t c,
                 bool delimiter)
{
    memset(to->on, 0, g->n);
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        uint32_t at = from->list[i];
        const struct state *s = &g->v[at];
        bool eats = s->kind == G_CHAR    ? s->c == c
                    : s->kind == G_ANY   ? !delimiter
                    : s->kind == G_CLASS ? in_class(s, c)
                                         : false;
        if (eats) {
            enter(g, to, at + 1);
        } else if (s->kind == G_SUPER || (s->kind == G_STAR && !delimiter)) {
            enter(g, to, at);
        }
    }
}

static bool is_delimiter(const struct val *delimiters, uint32_t n, uint32_t c)
{
    for (uint32_t i = 0; i < n; i++) {
        struct str d = val_text(delimiters[i]);
        size_t at = 0;
        if (d.n > 0 && utf8_next(d, &at) == c) {
            return true;
        }
    }
    return false;
}

static bool matches(struct arena *a, const struct glob *g, const struct val *delimiters, uint32_t n,
                    struct str text)
{
    struct front x = {arena_alloc(a, g->n + 1), arena_array(a, uint32_t, g->n + 1), 0};
    struct front y = {arena_alloc(a, g->n + 1), arena_array(a, uint32_t, g->n + 1), 0};
    enter(g, &x, 0);
    for (size_t at = 0; at < text.n && x.n > 0;) {
        uint32_t c = utf8_next(text, &at);
        step(g, &x, &y, c, is_delimiter(delimiters, n, c));
        struct front t = x;
        x = y, y = t;
    }
    return x.on[g->n - 1] != 0;
}

/* A backslash at the end takes the meaning off nothing. */
static bool ends_in_escape(struct str p)
{
    size_t n = 0;
    while (n < p.n && p.p[p.n - 1 - n] == '\\') {
        n++;
    }
    return n % 2 == 1;
}

struct err glob_matches_text(struct arena *a, struct str pattern, struct str text, bool *out)
{
    struct glob g = {.a = a};
    compile(&g, pattern, 0);
    add(&g, (struct state){.kind = G_END});
    ENSURE(!g.bad && !ends_in_escape(pattern), ERR_SYNTAX, "unexpected end of input");
    *out = matches(a, &g, NULL, 0, text);
    return OK;
}

static enum b_status b_match(struct bcall *b)
{
    struct str pattern, text;
    struct val d = b->args[1];
    if (!b_string(b, 1, &pattern)) {
        return B_ERROR;
    }
    if (!val_is(d, V_ARRAY) && !val_is(d, V_NULL)) {
        return b_type(b, 2, "one of {array, null}");
    }
    bool array = val_is(d, V_ARRAY);
    for (uint32_t i = 0; array && i < val_len(d); i++) {
        if (!val_is(val_nth(d, i), V_STRING)) {
            return b_type_of_item(b, 2, "array of runes", val_nth(d, i));
        }
        if (utf8_count(val_text(val_nth(d, i))) != 1) {
            return b_type_of_item(b, 2, "array of runes", val_nth(d, i));
        }
    }
    if (!b_string(b, 3, &text)) {
        return B_ERROR;
    }
    struct val dot = val_str(b->a, S("."));
    const struct val *delimiters = array && val_len(d) > 0 ? val_arr(d)->v : &dot;
    uint32_t n = array ? MAX(val_len(d), 1u) : 0;
    struct glob g = {.a = b->a};
    compile(&g, pattern, 0);
    add(&g, (struct state){.kind = G_END});
    if (ends_in_escape(pattern)) {
        return b_fail(b, "glob: syntax error at %zu: trailing backslash", pattern.n);
    }
    if (g.bad) {
        return b_fail(b, "unexpected end of input");
    }
    if (b_budget(b, (uint64_t)text.n * (g.n + n) / 4)) {
        return B_ERROR;
    }
    return b_out(b, val_bool(matches(b->a, &g, delimiters, n, text)));
}

static enum b_status b_quote_meta(struct bcall *b)
{
    struct str s;
    struct buf out;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    buf_init(&out, 2 * s.n + 1);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\0' && strchr("*?\\[]{}", s.p[i]) != NULL) {
            buf_putc(&out, '\\');
        }
        buf_putc(&out, s.p[i]);
    }
    return b_buf(b, &out);
}

const struct builtin builtins_glob[] = {
    {"glob.match", 3, b_match, 0},
    {"glob.quote_meta", 1, b_quote_meta, 0},
    {0},
};
