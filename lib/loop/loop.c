#include "loop_priv.h"

#include <signal.h>
#include <stdlib.h>

struct err uv_err(int rc, const char *what)
{
    enum err_code code = ERR_IO;
    switch (rc) {
    case UV_ECONNREFUSED:
    case UV_EHOSTUNREACH:
    case UV_ENETUNREACH:
    case UV_EAI_NONAME:
    case UV_EAI_AGAIN:
    case UV_EAI_NODATA:
        code = ERR_UNAVAILABLE;
        break;
    case UV_ENOENT:
        code = ERR_NOT_FOUND;
        break;
    case UV_ETIMEDOUT:
        code = ERR_TIMEOUT;
        break;
    case UV_EADDRINUSE:
        code = ERR_EXISTS;
        break;
    case UV_EACCES:
    case UV_EPERM:
        code = ERR_DENIED;
        break;
    case UV_EOF:
    case UV_ECONNRESET:
    case UV_EPIPE:
    case UV_ECANCELED:
        code = ERR_CLOSED;
        break;
    default:
        break;
    }
    return err_make(code, "%s: %s", what, uv_strerror(rc));
}

/*
 * Runs what was deferred and sends what was written, until neither adds to the other. Called before
 * and after each poll, so that neither ever waits for an event.
 */
static void settle(struct loop *l)
{
    while (l->first < l->last || l->dirty != NULL) {
        while (l->first < l->last) {
            struct deferred d = l->deferred[l->first++];
            d.fn(d.ctx);
        }
        l->first = l->last = 0;
        while (l->dirty != NULL) {
            struct conn *c = l->dirty;
            l->dirty = c->next_dirty;
            c->next_dirty = NULL;
            c->dirty = false;
            conn_flush_now(c);
        }
    }
}

static void on_before_poll(uv_prepare_t *h)
{
    settle(container_of(h, struct loop, before_poll));
}

static void on_after_poll(uv_check_t *h)
{
    settle(container_of(h, struct loop, after_poll));
}

struct err loop_new(struct loop **out)
{
    struct loop *l = calloc(1, sizeof(*l));
    ENSURE(l != NULL, ERR_LIMIT, "out of memory for an event loop");
    int rc = uv_loop_init(&l->uv);
    l->read_buf = malloc(READ_BUFFER);
    if (rc != 0 || l->read_buf == NULL) {
        free(l->read_buf);
        free(l);
        return rc != 0 ? uv_err(rc, "event loop") : err_make(ERR_LIMIT, "out of memory");
    }
    signal(SIGPIPE, SIG_IGN); /* a peer that left is an error of write(2), not the end of us */
    buf_init(&l->plain, 4 << 20);
    uv_prepare_init(&l->uv, &l->before_poll);
    uv_check_init(&l->uv, &l->after_poll);
    uv_prepare_start(&l->before_poll, on_before_poll);
    uv_check_start(&l->after_poll, on_after_poll);
    uv_unref((uv_handle_t *)&l->before_poll);
    uv_unref((uv_handle_t *)&l->after_poll);
    *out = l;
    return OK;
}

void loop_run(struct loop *l)
{
    l->stopping = false;
    do {
        settle(l);
        uv_run(&l->uv, UV_RUN_DEFAULT);
    } while (!l->stopping && (l->first < l->last || l->dirty != NULL));
}

void loop_stop(struct loop *l)
{
    l->stopping = true;
    uv_stop(&l->uv);
}

static void close_handle(uv_handle_t *h, void *timers_too)
{
    if (uv_is_closing(h) || (timers_too == NULL && h->type == UV_TIMER)) {
        return;
    }
    struct owned *o = h->data;
    if (o != NULL) {
        o->close(o);
    } else {
        uv_close(h, NULL);
    }
}

/*
 * Timers go last: they belong to others (a connection being made, a client's pool), which stop them when
 * they themselves are closed in the first passes.
 */
void loop_free(struct loop *l)
{
    if (l == NULL) {
        return;
    }
    for (int pass = 0; pass < 6 && uv_loop_close(&l->uv) == UV_EBUSY; pass++) {
        bool last = pass >= 3;
        uv_walk(&l->uv, close_handle, last ? l : NULL);
        settle(l);
        uv_run(&l->uv, last ? UV_RUN_DEFAULT : UV_RUN_NOWAIT);
        settle(l);
    }
    for (unsigned i = 0; i < l->n_spare; i++) {
        buf_release(&l->spare[i]);
    }
    buf_release(&l->plain);
    free(l->deferred);
    free(l->read_buf);
    free(l);
}

int64_t loop_now_ms(const struct loop *l)
{
    return (int64_t)uv_now(&l->uv);
}

void loop_defer(struct loop *l, void (*fn)(void *), void *ctx)
{
    if (l->last == l->cap) {
        size_t cap = l->cap == 0 ? 32 : l->cap * 2;
        struct deferred *grown = realloc(l->deferred, cap * sizeof(*grown));
        if (grown == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
        l->deferred = grown;
        l->cap = cap;
    }
    l->deferred[l->last++] = (struct deferred){fn, ctx};
}

void loop_buf_take(struct loop *l, struct buf *b)
{
    if (l->n_spare > 0) {
        *b = l->spare[--l->n_spare];
        return;
    }
    buf_init(b, (size_t)256 << 20);
}

void loop_buf_return(struct loop *l, struct buf *b)
{
    if (b->p != NULL && !b->wipe && b->cap <= SPARE_BUFFER_MAX && l->n_spare < SPARE_BUFFERS) {
        buf_clear(b);
        l->spare[l->n_spare++] = *b;
    } else {
        buf_release(b);
    }
    *b = (struct buf){.p = NULL};
}

/* ---- timers ---- */

static void timer_closed(uv_handle_t *h)
{
    free(container_of((uv_timer_t *)h, struct timer, uv));
}

static void timer_close(struct owned *o)
{
    struct timer *t = container_of(o, struct timer, owned);
    uv_close((uv_handle_t *)&t->uv, timer_closed);
}

static void timer_fired(uv_timer_t *h)
{
    struct timer *t = container_of(h, struct timer, uv);
    if (uv_timer_get_repeat(h) == 0) {
        timer_close(&t->owned);
    }
    t->fn(t->ctx);
}

struct timer *timer_start(struct loop *l, int64_t after_ms, int64_t every_ms, void (*fn)(void *),
                          void *ctx)
{
    struct timer *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    t->owned.close = timer_close;
    t->fn = fn;
    t->ctx = ctx;
    uv_timer_init(&l->uv, &t->uv);
    t->uv.data = &t->owned;
    uv_update_time(&l->uv);
    uv_timer_start(&t->uv, timer_fired, (uint64_t)MAX(after_ms, 0), (uint64_t)MAX(every_ms, 0));
    return t;
}

void timer_stop(struct timer *t)
{
    if (t != NULL && !uv_is_closing((uv_handle_t *)&t->uv)) {
        timer_close(&t->owned);
    }
}

void timer_background(struct timer *t)
{
    uv_unref((uv_handle_t *)&t->uv);
}

/* ---- signals ---- */

struct signal_watch {
    struct owned owned;
    uv_signal_t uv;
    void (*fn)(void *ctx);
    void *ctx;
};

static void signal_closed(uv_handle_t *h)
{
    free(container_of((uv_signal_t *)h, struct signal_watch, uv));
}

static void signal_close(struct owned *o)
{
    struct signal_watch *s = container_of(o, struct signal_watch, owned);
    uv_close((uv_handle_t *)&s->uv, signal_closed);
}

static void signal_fired(uv_signal_t *h, int signo)
{
    struct signal_watch *s = container_of(h, struct signal_watch, uv);
    s->fn(s->ctx);
}

void loop_on_signal(struct loop *l, int signo, void (*fn)(void *), void *ctx)
{
    struct signal_watch *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    s->owned.close = signal_close;
    s->fn = fn;
    s->ctx = ctx;
    uv_signal_init(&l->uv, &s->uv);
    s->uv.data = &s->owned;
    BUG_ON(uv_signal_start(&s->uv, signal_fired, signo) != 0);
    uv_unref((uv_handle_t *)&s->uv);
}
