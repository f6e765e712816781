#include "diff.h"

#include "authz/rego/value/utf8.h"

enum op { SAME, GONE, NEW };

/* Characters: a slice that owns nothing. */
struct text {
    const uint32_t *p;
    size_t n;
};

struct piece {
    enum op op;
    struct text t;
};

struct pieces {
    struct arena *a;
    struct piece *v;
    size_t n, cap;
};

struct diff {
    struct arena *a;
    uint64_t steps; /* left */
};

enum { DIFF_STEPS = 100 * 1000 * 1000 };

static struct text part(struct text t, size_t from, size_t to)
{
    return (struct text){t.p + from, to - from};
}

static bool same_text(struct text a, struct text b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n * sizeof *a.p) == 0);
}

static struct text joined(struct arena *a, struct text x, struct text y)
{
    uint32_t *p = arena_alloc_raw(a, (x.n + y.n) * sizeof *p + 1, sizeof *p);
    if (x.n > 0) {
        memcpy(p, x.p, x.n * sizeof *p);
    }
    if (y.n > 0) {
        memcpy(p + x.n, y.p, y.n * sizeof *p);
    }
    return (struct text){p, x.n + y.n};
}

static size_t common_start(struct text a, struct text b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) {
        n++;
    }
    return n;
}

static size_t common_end(struct text a, struct text b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[a.n - 1 - n] == b.p[b.n - 1 - n]) {
        n++;
    }
    return n;
}

static size_t find(struct text in, struct text what, size_t from)
{
    for (size_t i = from; i + what.n <= in.n; i++) {
        if (same_text(part(in, i, i + what.n), what)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Replaces `gone` pieces at `at` by `n` others. */
static void splice(struct pieces *l, size_t at, size_t gone, const struct piece *v, size_t n)
{
    l->v = arena_grow(l->a, l->v, l->n, l->n + n + 1, &l->cap, sizeof *l->v);
    memmove(l->v + at + n, l->v + at + gone, (l->n - at - gone) * sizeof *l->v);
    if (n > 0) {
        memcpy(l->v + at, v, n * sizeof *v);
    }
    l->n = l->n + n - gone;
}

static void add(struct pieces *l, enum op op, struct text t)
{
    struct piece x = {op, t};
    splice(l, l->n, 0, &x, 1);
}

static void add_all(struct pieces *l, const struct pieces *more)
{
    for (size_t i = 0; i < more->n; i++) {
        add(l, more->v[i].op, more->v[i].t);
    }
}

/* A run of changes that ends before piece `at`: one deletion and one insertion are left of it. */
static size_t merge_run(struct pieces *l, size_t at, size_t gone, size_t fresh)
{
    struct text del = {0}, ins = {0};
    size_t first = at - gone - fresh;
    for (size_t i = first; i < at; i++) {
        struct text *t = l->v[i].op == GONE ? &del : &ins;
        *t = joined(l->a, *t, l->v[i].t);
    }
    if (gone > 0 && fresh > 0) {
        size_t n = common_start(ins, del);
        if (n > 0 && first > 0 && l->v[first - 1].op == SAME) {
            l->v[first - 1].t = joined(l->a, l->v[first - 1].t, part(ins, 0, n));
        } else if (n > 0) {
            struct piece x = {SAME, part(ins, 0, n)};
            splice(l, 0, 0, &x, 1);
            at++;
            first++;
        }
        ins = part(ins, n, ins.n);
        del = part(del, n, del.n);
        n = common_end(ins, del);
        l->v[at].t = joined(l->a, part(ins, ins.n - n, ins.n), l->v[at].t);
        ins = part(ins, 0, ins.n - n);
        del = part(del, 0, del.n - n);
    }
    struct piece both[2] = {{GONE, del}, {NEW, ins}};
    splice(l, first, gone + fresh, both + (gone == 0), (size_t)(gone > 0) + (fresh > 0));
    return first + 1 + (gone > 0) + (fresh > 0);
}

static void merge_runs(struct pieces *l)
{
    size_t gone = 0, fresh = 0;
    add(l, SAME, (struct text){0});
    for (size_t i = 0; i < l->n;) {
        if (l->v[i].op != SAME) {
            gone += l->v[i].op == GONE;
            fresh += l->v[i].op == NEW;
            i++;
            continue;
        }
        if (gone + fresh > 1) {
            i = merge_run(l, i, gone, fresh);
        } else if (i > 0 && l->v[i - 1].op == SAME) {
            l->v[i - 1].t = joined(l->a, l->v[i - 1].t, l->v[i].t);
            splice(l, i, 1, NULL, 0);
        } else {
            i++;
        }
        gone = fresh = 0;
    }
    l->n -= l->v[l->n - 1].t.n == 0;
}

static bool ends_with(struct text t, struct text end)
{
    return t.n >= end.n && same_text(part(t, t.n - end.n, t.n), end);
}

static bool starts_with(struct text t, struct text start)
{
    return t.n >= start.n && same_text(part(t, 0, start.n), start);
}

/* A change between two equal parts may be shifted so that one of them goes. */
static bool shift_edits(struct pieces *l)
{
    bool changed = false;
    for (size_t i = 1; i + 1 < l->n; i++) {
        struct piece *x = &l->v[i - 1], *y = &l->v[i], *z = &l->v[i + 1];
        if (x->op != SAME || z->op != SAME) {
            continue;
        }
        if (ends_with(y->t, x->t)) {
            y->t = joined(l->a, x->t, part(y->t, 0, y->t.n - x->t.n));
            z->t = joined(l->a, x->t, z->t);
            splice(l, i - 1, 1, NULL, 0);
            changed = true;
        } else if (starts_with(y->t, z->t)) {
            x->t = joined(l->a, x->t, z->t);
            y->t = joined(l->a, part(y->t, z->t.n, y->t.n), z->t);
            splice(l, i + 1, 1, NULL, 0);
            changed = true;
        }
    }
    return changed;
}

static void clean_up(struct pieces *l)
{
    do {
        merge_runs(l);
    } while (shift_edits(l));
}

static struct pieces differences(struct diff *d, struct text a, struct text b);

struct halves {
    struct text long_a, long_b, short_a, short_b, common;
};

/* A common part around `at` of the longer text that is at least half of it. */
static bool half_at(struct text l, struct text s, size_t at, struct halves *h)
{
    struct text seed = part(l, at, at + l.n / 4);
    size_t best = 0;
    for (size_t j = find(s, seed, 0); j != SIZE_MAX; j = find(s, seed, j + 1)) {
        size_t after = common_start(part(l, at, l.n), part(s, j, s.n));
        size_t before = common_end(part(l, 0, at), part(s, 0, j));
        if (before + after > best) {
            best = before + after;
            *h = (struct halves){part(l, 0, at - before), part(l, at + after, l.n),
                                 part(s, 0, j - before), part(s, j + after, s.n),
                                 part(s, j - before, j + after)};
        }
    }
    return best * 2 >= l.n && best > 0;
}

static bool half_match(struct text l, struct text s, struct halves *h)
{
    struct halves second, third;
    if (l.n < 4 || s.n * 2 < l.n) {
        return false;
    }
    bool one = half_at(l, s, (l.n + 3) / 4, &second), two = half_at(l, s, (l.n + 1) / 2, &third);
    *h = one && (!two || second.common.n > third.common.n) ? second : third;
    return one || two;
}

static struct pieces split(struct diff *d, struct text a, struct text b, size_t x, size_t y)
{
    struct pieces l = differences(d, part(a, 0, x), part(b, 0, y));
    struct pieces r = differences(d, part(a, x, a.n), part(b, y, b.n));
    add_all(&l, &r);
    return l;
}

/* One of the two paths of Myers' algorithm: furthest points by diagonal. */
struct path {
    long *v;
    long start, end; /* diagonals that left the grid are not walked any more */
};

static uint32_t char_at(struct text t, long i, bool reverse)
{
    return t.p[reverse ? (long)t.n - i - 1 : i];
}

/* Walks diagonal k in step n. True when the paths meet; *x and *y are the point. */
static bool walk(struct text a, struct text b, struct path *own, const struct path *other, long n,
                 long k, long offset, bool reverse, long *x, long *y)
{
    long delta = (long)a.n - (long)b.n, at = offset + k;
    bool down = k == -n || (k != n && own->v[at - 1] < own->v[at + 1]);
    *x = down ? own->v[at + 1] : own->v[at - 1] + 1;
    *y = *x - k;
    while (*x < (long)a.n && *y < (long)b.n && char_at(a, *x, reverse) == char_at(b, *y, reverse)) {
        (*x)++;
        (*y)++;
    }
    own->v[at] = *x;
    if (*x > (long)a.n) {
        own->end += 2;
    } else if (*y > (long)b.n) {
        own->start += 2;
    } else if ((delta % 2 != 0) != reverse) {
        long mirror = offset + delta - k;
        if (mirror < 0 || mirror >= 2 * offset || other->v[mirror] == -1) {
            return false;
        }
        long x1 = reverse ? other->v[mirror] : *x,
             x2 = (long)a.n - (reverse ? *x : other->v[mirror]);
        if (x1 >= x2) {
            *y = reverse ? offset + x1 - mirror : *y;
            *x = x1;
            return true;
        }
    }
    return false;
}

static struct pieces bisect(struct diff *d, struct text a, struct text b)
{
    long max = (long)((a.n + b.n + 1) / 2), x, y;
    struct path paths[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        paths[i].v = arena_alloc_raw(d->a, (2 * (size_t)max + 2) * sizeof(long), sizeof(long));
        memset(paths[i].v, 0xff, (2 * (size_t)max + 2) * sizeof(long));
        paths[i].v[max + 1] = 0;
    }
    for (long n = 0; n < max; n++) {
        for (int r = 0; r < 2; r++) {
            for (long k = -n + paths[r].start; k <= n - paths[r].end; k += 2) {
                if (d->steps == 0) {
                    goto all;
                }
                d->steps--;
                if (walk(a, b, &paths[r], &paths[!r], n, k, max, r == 1, &x, &y)) {
                    return split(d, a, b, (size_t)x, (size_t)y);
                }
            }
        }
    }
all:;
    struct pieces l = {.a = d->a};
    add(&l, GONE, a);
    add(&l, NEW, b);
    return l;
}

/* Texts that begin and end differently. */
static struct pieces middle(struct diff *d, struct text a, struct text b)
{
    struct pieces l = {.a = d->a};
    struct text longer = a.n > b.n ? a : b, shorter = a.n > b.n ? b : a;
    struct halves h;
    if (a.n == 0 || b.n == 0) {
        add(&l, a.n == 0 ? NEW : GONE, longer);
        return l;
    }
    size_t at = find(longer, shorter, 0);
    if (at != SIZE_MAX) {
        enum op op = a.n > b.n ? GONE : NEW;
        add(&l, op, part(longer, 0, at));
        add(&l, SAME, shorter);
        add(&l, op, part(longer, at + shorter.n, longer.n));
        return l;
    }
    if (shorter.n == 1) {
        add(&l, GONE, a);
        add(&l, NEW, b);
        return l;
    }
    if (!half_match(longer, shorter, &h)) {
        return bisect(d, a, b);
    }
    bool swapped = a.n <= b.n;
    l = differences(d, swapped ? h.short_a : h.long_a, swapped ? h.long_a : h.short_a);
    add(&l, SAME, h.common);
    struct pieces r =
        differences(d, swapped ? h.short_b : h.long_b, swapped ? h.long_b : h.short_b);
    add_all(&l, &r);
    return l;
}

static struct pieces differences(struct diff *d, struct text a, struct text b)
{
    struct pieces l = {.a = d->a};
    if (same_text(a, b)) {
        if (a.n > 0) {
            add(&l, SAME, a);
        }
        return l;
    }
    size_t start = common_start(a, b);
    struct text front = part(a, 0, start);
    a = part(a, start, a.n);
    b = part(b, start, b.n);
    size_t end = common_end(a, b);
    struct text back = part(a, a.n - end, a.n);
    struct pieces m = middle(d, part(a, 0, a.n - end), part(b, 0, b.n - end));
    if (front.n > 0) {
        add(&l, SAME, front);
    }
    add_all(&l, &m);
    if (back.n > 0) {
        add(&l, SAME, back);
    }
    clean_up(&l);
    return l;
}

static struct text characters(struct arena *a, struct str s)
{
    uint32_t *p = arena_alloc_raw(a, s.n * sizeof *p + 1, sizeof *p);
    size_t n = 0;
    for (size_t at = 0; at < s.n; n++) {
        p[n] = utf8_next(s, &at);
    }
    return (struct text){p, n};
}

static void put_piece(struct buf *out, const struct piece *x)
{
    static const char *const colours[] = {"", "\x1b[31m", "\x1b[32m"};
    buf_puts(out, str_of(colours[x->op]));
    for (size_t i = 0; i < x->t.n; i++) {
        bool breaks = x->t.p[i] == '\n' && x->op != SAME;
        buf_puts(out, breaks ? S("\x1b[0m") : S(""));
        utf8_put(out, x->t.p[i]);
        buf_puts(out, breaks ? str_of(colours[x->op]) : S(""));
    }
    buf_puts(out, x->op != SAME ? S("\x1b[0m") : S(""));
}

void diff_text(struct arena *a, struct str before, struct str after, struct buf *out)
{
    struct diff d = {.a = a, .steps = DIFF_STEPS};
    struct pieces l = differences(&d, characters(a, before), characters(a, after));
    for (size_t i = 0; i < l.n; i++) {
        put_piece(out, &l.v[i]);
    }
}
