/*
 * regex.globs_match: do two glob-like patterns have a text in common? A pattern is a row of pieces, each a
 * character, `.` or a class in brackets, repeated by * or +. The two are walked side by side over pairs of
 * positions, so the work is their product and nothing more.
 */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/value/utf8.h"

enum { PIECES_MAX = 2048, RANGES_MAX = 64 };

struct range {
    uint32_t lo, hi;
};

struct piece {
    struct range *ranges; /* sorted by nothing; any of them */
    size_t n;
    bool any, star;
};

struct pattern {
    struct piece *v;
    size_t n;
};

static bool bad(struct bcall *b, struct str text, size_t pos, const char *why)
{
    (void)b_fail(b, "input:%.*s, pos:%zu, %s: the input provided is invalid", STR_FMT(text), pos,
                 why);
    return false;
}

static uint32_t letter(struct str s, size_t *at)
{
    *at += s.p[*at] == '\\' && *at + 1 < s.n;
    return utf8_next(s, at);
}

static bool take_class(struct bcall *b, struct str s, size_t *at, struct piece *p)
{
    p->ranges = arena_array(b->a, struct range, RANGES_MAX);
    for ((*at)++; *at < s.n && s.p[*at] != ']';) {
        uint32_t lo = letter(s, at), hi = lo;
        if (*at + 1 < s.n && s.p[*at] == '-' && s.p[*at + 1] != ']') {
            (*at)++;
            hi = letter(s, at);
        }
        if (p->n == RANGES_MAX || hi < lo) {
            return bad(b, s, *at, "range not valid");
        }
        p->ranges[p->n++] = (struct range){lo, hi};
    }
    if (*at >= s.n || p->n == 0) {
        return bad(b, s, *at, "set-open '[' with no following ']'");
    }
    (*at)++;
    return true;
}

static bool take_piece(struct bcall *b, struct str s, size_t *at, struct piece *p)
{
    char c = s.p[*at];
    *p = (struct piece){0};
    if (c == '[') {
        return take_class(b, s, at, p);
    }
    if (c == ']') {
        return bad(b, s, *at + 1, "set-close ']' with no preceding '['");
    }
    if (c == '*' || c == '+') {
        return bad(b, s, *at + 1,
                   c == '*' ? "flag '*' must be preceded by a non-flag"
                            : "flag '+' must be preceded by a non-flag");
    }
    p->any = c == '.';
    p->ranges = arena_new(b->a, struct range);
    uint32_t x = letter(s, at);
    p->ranges[0] = (struct range){x, x};
    p->n = 1;
    return true;
}

static bool parse(struct bcall *b, struct str s, struct pattern *out)
{
    out->v = arena_array(b->a, struct piece, 2 * MIN(s.n, (size_t)PIECES_MAX) + 2);
    out->n = 0;
    for (size_t at = 0; at < s.n;) {
        if (out->n >= PIECES_MAX) {
            return bad(b, s, at, "pattern too long");
        }
        struct piece *p = &out->v[out->n++];
        if (!take_piece(b, s, &at, p)) {
            return false;
        }
        char flag = at < s.n ? s.p[at] : '\0';
        at += flag == '*' || flag == '+';
        if (flag == '+') {
            out->v[out->n++] = *p;
        }
        out->v[out->n - 1].star = flag == '*' || flag == '+';
    }
    return true;
}

static bool overlap(const struct piece *x, const struct piece *y)
{
    if (x->any || y->any) {
        return true;
    }
    for (size_t i = 0; i < x->n; i++) {
        for (size_t k = 0; k < y->n; k++) {
            if (x->ranges[i].lo <= y->ranges[k].hi && y->ranges[k].lo <= x->ranges[i].hi) {
                return true;
            }
        }
    }
    return false;
}

struct search {
    uint8_t *seen;
    uint32_t *todo;
    size_t n, width;
};

static void visit(struct search *s, size_t i, size_t k)
{
    size_t at = i * s->width + k;
    if (!s->seen[at]) {
        s->seen[at] = 1;
        s->todo[s->n++] = (uint32_t)at;
    }
}

static bool meet(struct bcall *b, const struct pattern *x, const struct pattern *y)
{
    struct search s = {.width = y->n + 1};
    size_t total = (x->n + 1) * s.width;
    s.seen = arena_array(b->a, uint8_t, total);
    s.todo = arena_array(b->a, uint32_t, total);
    visit(&s, 0, 0);
    while (s.n > 0) {
        size_t at = s.todo[--s.n], i = at / s.width, k = at % s.width;
        if (i == x->n && k == y->n) {
            return true;
        }
        const struct piece *p = i < x->n ? &x->v[i] : NULL, *q = k < y->n ? &y->v[k] : NULL;
        if (p != NULL && p->star) {
            visit(&s, i + 1, k);
        }
        if (q != NULL && q->star) {
            visit(&s, i, k + 1);
        }
        if (p != NULL && q != NULL && overlap(p, q)) {
            visit(&s, p->star ? i : i + 1, q->star ? k : k + 1);
        }
    }
    return false;
}

static enum b_status b_globs_match(struct bcall *b)
{
    struct str s, t;
    struct pattern x, y;
    if (!b_string(b, 1, &s) || !b_string(b, 2, &t) || !parse(b, s, &x) || !parse(b, t, &y)) {
        return B_ERROR;
    }
    if (b_budget(b, (x.n + 1) * (y.n + 1) / 64)) {
        return B_ERROR;
    }
    return b_out(b, val_bool(meet(b, &x, &y)));
}

const struct builtin builtins_globs[] = {
    {"regex.globs_match", 2, b_globs_match, 0},
    {0},
};
