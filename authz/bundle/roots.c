/* roots: which parts of data a bundle owns, and whether two bundles claim the same one. */
#include "bundle_priv.h"

#include <stdlib.h>

/* Is `root` the path itself or above it? Compared segment by segment, as texts between slashes. */
static bool root_above(struct str root, struct str path)
{
    if (root.n == 0) {
        return true;
    }
    return str_starts(path, root) && (path.n == root.n || path.p[root.n] == '/');
}

bool bundle_roots_overlap(struct str x, struct str y)
{
    return root_above(x, y) || root_above(y, x);
}

bool bundle_roots_contain(const struct str *roots, size_t n, struct str path)
{
    for (size_t i = 0; i < n; i++) {
        if (root_above(roots[i], path)) {
            return true;
        }
    }
    return false;
}

static bool root_above_path(struct str root, const struct str *path, size_t n)
{
    if (root.n == 0) {
        return true;
    }
    size_t i = 0;
    while (root.p != NULL) {
        struct str part = str_split(&root, '/');
        if (i >= n || !str_eq(part, path[i++])) {
            return false;
        }
    }
    return true;
}

bool bundle_roots_contain_path(const struct str *roots, size_t n, const struct str *path,
                               size_t n_path)
{
    for (size_t i = 0; i < n; i++) {
        if (root_above_path(roots[i], path, n_path)) {
            return true;
        }
    }
    return false;
}

/* ---- several bundles ---- */

struct entry {
    struct str root, bundle;
};

struct claims {
    struct arena a;
    struct entry *v;
    size_t n;
    struct str *names, *empty, *texts; /* of those who collide; with an empty root; what collides */
    size_t n_names, n_empty, n_texts, cap_names, cap_empty, cap_texts;
};

/* By segments: what lies below a root comes directly behind it. */
static int by_root(const void *x, const void *y)
{
    const struct entry *a = x, *b = y;
    size_t n = MIN(a->root.n, b->root.n);
    for (size_t i = 0; i < n; i++) {
        int p = a->root.p[i] == '/' ? 0 : (unsigned char)a->root.p[i];
        int q = b->root.p[i] == '/' ? 0 : (unsigned char)b->root.p[i];
        if (p != q) {
            return p - q;
        }
    }
    if (a->root.n != b->root.n) {
        return a->root.n < b->root.n ? -1 : 1;
    }
    return str_cmp(a->bundle, b->bundle);
}

static int by_str(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static void add_text(struct arena *a, struct str **v, size_t *n, size_t *cap, struct str s)
{
    *v = arena_grow(a, *v, *n, *n + 1, cap, sizeof **v);
    (*v)[(*n)++] = s;
}

static void add_name(struct claims *c, struct str s)
{
    add_text(&c->a, &c->names, &c->n_names, &c->cap_names, s);
}

/* Sorted, each once, with ", " between. */
static struct str joined(struct arena *a, struct str *v, size_t n)
{
    struct buf b;
    struct str out;
    size_t written = 0;
    buf_init(&b, ERR_DETAIL_MAX);
    if (n > 1) {
        qsort(v, n, sizeof *v, by_str);
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || !str_eq(v[i], v[i - 1])) {
            buf_puts(&b, written++ > 0 ? S(", ") : STR_EMPTY);
            buf_puts(&b, v[i]);
        }
    }
    out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

static void collect(struct claims *c, const struct bundle *const *v, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += v[i]->manifest.n_roots;
    }
    c->v = arena_array(&c->a, struct entry, total + 1);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < v[i]->manifest.n_roots; k++) {
            struct str root = v[i]->manifest.roots[k];
            c->v[c->n++] = (struct entry){root, v[i]->name};
            if (root.n == 0) {
                add_text(&c->a, &c->empty, &c->n_empty, &c->cap_empty, v[i]->name);
            }
        }
    }
    if (c->n > 1) {
        qsort(c->v, c->n, sizeof *c->v, by_root);
    }
}

/* Entries from..to name one root: does more than one bundle? */
static void same_root(struct claims *c, size_t from, size_t to)
{
    if (str_eq(c->v[from].bundle, c->v[to - 1].bundle)) {
        return; /* sorted by name: the first and the last differ when any two do */
    }
    for (size_t i = from; i < to; i++) {
        add_name(c, c->v[i].bundle);
    }
    add_text(&c->a, &c->texts, &c->n_texts, &c->cap_texts,
             arena_printf(&c->a, "root %.*s is in multiple bundles", STR_FMT(c->v[from].root)));
}

static void below_root(struct claims *c, size_t from, size_t to, size_t at)
{
    bool crossed = false;
    for (size_t i = from; i < to; i++) {
        if (!str_eq(c->v[i].bundle, c->v[at].bundle)) {
            add_name(c, c->v[i].bundle);
            crossed = true;
        }
    }
    if (!crossed) {
        return;
    }
    struct str x = c->v[from].root, y = c->v[at].root;
    bool swap = str_cmp(x, y) > 0;
    add_name(c, c->v[at].bundle);
    add_text(
        &c->a, &c->texts, &c->n_texts, &c->cap_texts,
        arena_printf(&c->a, "%.*s overlaps %.*s", STR_FMT(swap ? y : x), STR_FMT(swap ? x : y)));
}

static void scan(struct claims *c)
{
    enum { COLLISIONS_MAX = 1000 }; /* enough for a text */
    for (size_t from = 0; from < c->n && c->n_texts < COLLISIONS_MAX;) {
        size_t to = from + 1;
        while (to < c->n && str_eq(c->v[to].root, c->v[from].root)) {
            to++;
        }
        same_root(c, from, to);
        for (size_t at = to;
             at < c->n && c->n_texts < COLLISIONS_MAX && root_above(c->v[from].root, c->v[at].root);
             at++) {
            below_root(c, from, to, at);
        }
        from = to;
    }
}

struct err bundle_roots_check(const struct bundle *const *v, size_t n)
{
    struct claims c = {0};
    struct err e = OK;
    arena_init(&c.a, 256 << 20);
    collect(&c, v, n);
    scan(&c);
    if (c.n_names > 0 && c.n_empty > 0) {
        e = err_make(
            ERR_CONFLICT,
            "bundles [%.*s] have overlapping roots and cannot be activated simultaneously "
            "because bundle(s) [%.*s] specify empty root paths ('') which overlap with any "
            "other bundle root",
            STR_FMT(joined(&c.a, c.names, c.n_names)), STR_FMT(joined(&c.a, c.empty, c.n_empty)));
    } else if (c.n_names > 0) {
        e = err_make(ERR_CONFLICT,
                     "detected overlapping roots in manifests for these bundles: [%.*s] (%.*s)",
                     STR_FMT(joined(&c.a, c.names, c.n_names)),
                     STR_FMT(joined(&c.a, c.texts, c.n_texts)));
    }
    arena_release(&c.a);
    return e;
}
