#include "expiry.h"

#include "lib/base/clock.h"
#include "lib/loop/loop.h"

#include <stdlib.h>

enum { WAIT_MAX_MS = 60 * 60 * 1000 /* look again hourly, should the wall clock be set */ };

struct expiry_heap {
    struct expiry_node **nodes;
    size_t n, cap;
    struct loop *loop;
    struct timer *timer;
    int64_t timer_at_ns;
    void *ctx;
};

struct expiry_heap *expiry_new(struct loop *loop, void *ctx)
{
    struct expiry_heap *h = calloc(1, sizeof *h);
    BUG_ON(h == NULL);
    h->loop = loop;
    h->ctx = ctx;
    return h;
}

void expiry_free(struct expiry_heap *h)
{
    if (h != NULL) {
        timer_stop(h->timer);
        free(h->nodes);
        free(h);
    }
}

size_t expiry_len(const struct expiry_heap *h)
{
    return h->n;
}

static void place(struct expiry_heap *h, size_t i, struct expiry_node *n)
{
    h->nodes[i] = n;
    n->slot = i + 1;
}

static void sift_up(struct expiry_heap *h, size_t i)
{
    struct expiry_node *n = h->nodes[i];
    while (i > 0 && h->nodes[(i - 1) / 2]->at_ns > n->at_ns) {
        place(h, i, h->nodes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    place(h, i, n);
}

static void sift_down(struct expiry_heap *h, size_t i)
{
    struct expiry_node *n = h->nodes[i];
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && h->nodes[child + 1]->at_ns < h->nodes[child]->at_ns) {
            child++;
        }
        if (h->nodes[child]->at_ns >= n->at_ns) {
            break;
        }
        place(h, i, h->nodes[child]);
    }
    place(h, i, n);
}

static void on_timer(void *ctx);

static void arm(struct expiry_heap *h)
{
    if (h->loop == NULL) {
        return;
    }
    if (h->n == 0) {
        timer_stop(h->timer);
        h->timer = NULL;
        return;
    }
    if (h->timer != NULL && h->timer_at_ns == h->nodes[0]->at_ns) {
        return;
    }
    timer_stop(h->timer);
    int64_t wait = (h->nodes[0]->at_ns - clock_wall_ns() + NS_PER_MS - 1) / NS_PER_MS;
    h->timer_at_ns = h->nodes[0]->at_ns;
    h->timer = timer_start(h->loop, MAX(0, MIN(wait, (int64_t)WAIT_MAX_MS)), 0, on_timer, h);
    timer_background(h->timer);
}

static void on_timer(void *ctx)
{
    struct expiry_heap *h = ctx;
    h->timer = NULL;
    expiry_run(h, clock_wall_ns());
    arm(h);
}

static void take_out(struct expiry_heap *h, struct expiry_node *n)
{
    size_t i = n->slot - 1;
    struct expiry_node *last = h->nodes[--h->n];
    n->slot = 0;
    if (last != n) {
        place(h, i, last);
        sift_up(h, i);
        sift_down(h, last->slot - 1);
    }
}

void expiry_set(struct expiry_heap *h, struct expiry_node *n, int64_t at_ns)
{
    if (n->slot != 0) {
        take_out(h, n);
    }
    if (h->n == h->cap) {
        h->cap = h->cap == 0 ? 64 : h->cap * 2;
        h->nodes = realloc(h->nodes, h->cap * sizeof(struct expiry_node *));
        BUG_ON(h->nodes == NULL);
    }
    n->at_ns = at_ns;
    place(h, h->n++, n);
    sift_up(h, h->n - 1);
    arm(h);
}

void expiry_clear(struct expiry_heap *h, struct expiry_node *n)
{
    if (n->slot != 0) {
        take_out(h, n);
        arm(h);
    }
}

void expiry_run(struct expiry_heap *h, int64_t now_ns)
{
    for (int i = 0; i < EXPIRY_BURST && h->n > 0 && h->nodes[0]->at_ns <= now_ns; i++) {
        struct expiry_node *n = h->nodes[0];
        take_out(h, n);
        n->fire(n, h->ctx);
    }
}
