/* Answers kept between queries: a table by the text of the request, and the order in which they came. */
#include "authz/rego/builtin/http/http.h"

#include "lib/base/map.h"

#include <stdlib.h>

struct entry {
    struct entry *older, *newer;
    struct arena a; /* of everything in it */
    struct str key;
    struct send_cached v;
    size_t size;
};

struct outside_cache {
    struct map by_key;
    struct entry *oldest, *newest;
    size_t used, max;
};

enum { ENTRY_OVERHEAD = 512, KEY_MAX = 1 << 20 };

struct outside_cache *outside_cache_new(size_t max)
{
    struct outside_cache *c = calloc(1, sizeof *c);
    BUG_ON(c == NULL);
    map_init(&c->by_key);
    c->max = max;
    return c;
}

static void drop(struct outside_cache *c, struct entry *e)
{
    struct entry **older = e->older != NULL ? &e->older->newer : &c->oldest;
    struct entry **newer = e->newer != NULL ? &e->newer->older : &c->newest;
    *older = e->newer;
    *newer = e->older;
    (void)map_del(&c->by_key, e->key);
    c->used -= e->size;
    arena_release(&e->a);
    free(e);
}

void outside_cache_free(struct outside_cache *c)
{
    while (c != NULL && c->oldest != NULL) {
        drop(c, c->oldest);
    }
    if (c != NULL) {
        map_release(&c->by_key);
        free(c);
    }
}

size_t outside_cache_entries(const struct outside_cache *c)
{
    return map_len(&c->by_key);
}

/* The key's text: two requests are one when they read the same. Empty: too long to keep. */
static struct str key_text(struct buf *b, struct val key)
{
    buf_init(b, KEY_MAX);
    val_to_rego(b, key);
    return buf_ok(b) ? buf_str(b) : STR_EMPTY;
}

static struct entry *find(struct outside_cache *c, struct val key)
{
    struct buf b;
    struct str text = key_text(&b, key);
    struct entry *e = text.n > 0 ? map_get(&c->by_key, text) : NULL;
    buf_release(&b);
    return e;
}

bool send_cache_get(struct outside_cache *c, struct arena *a, struct val key,
                    struct send_cached *out)
{
    struct entry *e = find(c, key);
    if (e != NULL) {
        out->expires_ns = e->v.expires_ns;
        outside_answer_copy(a, &e->v.answer, &out->answer);
    }
    return e != NULL;
}

void send_cache_drop(struct outside_cache *c, struct val key)
{
    struct entry *e = find(c, key);
    if (e != NULL) {
        drop(c, e);
    }
}

static size_t size_of(struct str key, const struct outside_answer *w)
{
    size_t n = ENTRY_OVERHEAD + key.n + w->body.n + w->reason.n;
    for (size_t i = 0; i < w->n_headers; i++) {
        n += w->headers[i].name.n + w->headers[i].value.n + sizeof w->headers[i];
    }
    return n;
}

/* Makes room: stale ones first, then the oldest. */
static void make_room(struct outside_cache *c, size_t size, int64_t now_ns)
{
    for (struct entry *e = c->oldest, *next; e != NULL && c->used + size > c->max; e = next) {
        next = e->newer;
        if (e->v.expires_ns <= now_ns) {
            drop(c, e);
        }
    }
    while (c->oldest != NULL &&
           (c->used + size > c->max || map_len(&c->by_key) >= OUTSIDE_CACHE_ENTRIES)) {
        drop(c, c->oldest);
    }
}

void send_cache_put(struct outside_cache *c, struct val key, const struct outside_answer *w,
                    int64_t expires_ns, int64_t now_ns)
{
    struct buf b;
    struct str text = key_text(&b, key);
    size_t size = size_of(text, w);
    send_cache_drop(c, key);
    if (text.n > 0 && size <= c->max) {
        make_room(c, size, now_ns);
        struct entry *e = calloc(1, sizeof *e);
        BUG_ON(e == NULL);
        arena_init(&e->a, 2 * size + (1 << 16));
        e->key = arena_str(&e->a, text);
        e->size = size;
        e->v.expires_ns = expires_ns;
        outside_answer_copy(&e->a, w, &e->v.answer);
        e->older = c->newest;
        if (c->newest != NULL) {
            c->newest->newer = e;
        } else {
            c->oldest = e;
        }
        c->newest = e;
        c->used += size;
        map_set(&c->by_key, e->key, e);
    }
    buf_release(&b);
}
