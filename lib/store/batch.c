/*
 * Group commit. The first writer of a turn arms a timer of zero length, which the loop runs after all
 * input of the turn has been handled: by then everyone who wants to write stands in the queue.
 */
#include "store_priv.h"

#include "lib/base/clock.h"
#include "lib/loop/loop.h"

void store_attach(struct store *s, struct loop *loop)
{
    s->loop = loop;
}

static void keep_result(struct batch_entry *b, struct err e)
{
    b->result = e;
    if (failed(e)) {
        free(b->detail);
        b->detail = strdup(err_detail());
    }
}

/* A writer that fails leaves the others' work alone: each runs in a savepoint of its own. */
static bool run_writer(struct store *s, struct batch_entry *b)
{
    struct err e = store_exec(s, "SAVEPOINT writer");
    if (!failed(e)) {
        e = b->write(b->ctx);
        if (failed(e)) {
            keep_result(b, e);
            if (sqlite3_get_autocommit(s->db) != 0) {
                return false; /* SQLite gave the whole transaction up (disk full) */
            }
            ignore_err(store_exec(s, "ROLLBACK TO writer"));
        }
        struct err released = store_exec(s, "RELEASE writer");
        e = failed(e) ? e : released;
    }
    keep_result(b, e);
    return true;
}

static void tell(struct batch_entry *b)
{
    struct err e = b->result;
    if (failed(e)) {
        e = err_make(e.code, "%s", b->detail != NULL ? b->detail : "write failed");
    }
    free(b->detail);
    if (b->done != NULL) {
        b->done(b->ctx, e);
    }
}

static void fail_all(struct batch_entry *b, size_t n, struct err e)
{
    for (size_t i = 0; i < n; i++) {
        if (!failed(b[i].result)) {
            keep_result(&b[i], e);
        }
    }
}

static void commit_entries(struct store *s, struct batch_entry *b, size_t n)
{
    int64_t start = clock_mono_ns();
    struct err e = store_begin(s);
    bool whole = !failed(e);
    for (size_t i = 0; whole && i < n; i++) {
        whole = run_writer(s, &b[i]);
    }
    if (!failed(e) && !whole) {
        store_rollback(s);
        e = err_make(ERR_LIMIT, "%s: the disk is full, nothing of this batch is stored", s->path);
    } else if (!failed(e)) {
        e = store_commit(s);
    }
    if (failed(e)) {
        fail_all(b, n, e);
    }
    s->stats.batched_writes += n;
    s->stats.last_commit_ns = clock_mono_ns() - start;
}

/* `done` may queue more: the entries at work are taken out of the queue first. */
void store_flush(struct store *s)
{
    if (s->flushing || s->n_queue == 0) {
        return;
    }
    struct batch_entry *work = s->queue;
    size_t n = s->n_queue;
    s->queue = NULL;
    s->n_queue = s->cap_queue = 0;
    timer_stop(s->flush_timer);
    s->flush_timer = NULL;
    s->flushing = true;
    commit_entries(s, work, n);
    s->flushing = false;
    for (size_t i = 0; i < n; i++) {
        tell(&work[i]);
    }
    free(work);
}

static void on_turn_end(void *ctx)
{
    struct store *s = ctx;
    s->flush_timer = NULL; /* it has fired: a one-shot timer is gone */
    store_flush(s);
}

static void enqueue(struct store *s, struct batch_entry entry)
{
    if (s->n_queue == s->cap_queue) {
        s->cap_queue = MAX(s->cap_queue * 2, (size_t)16);
        s->queue = realloc(s->queue, s->cap_queue * sizeof(*s->queue));
        BUG_ON(s->queue == NULL);
    }
    s->queue[s->n_queue++] = entry;
}

void store_batch(struct store *s, struct err (*write)(void *ctx),
                 void (*done)(void *ctx, struct err), void *ctx)
{
    enqueue(s, (struct batch_entry){.write = write, .done = done, .ctx = ctx});
    if (s->loop == NULL || s->n_queue >= STORE_BATCH_MAX) {
        store_flush(s);
        return;
    }
    if (s->flush_timer == NULL) {
        s->flush_timer = timer_start(s->loop, 0, 0, on_turn_end, s);
    }
}

void store_batch_abandon(struct store *s)
{
    timer_stop(s->flush_timer);
    s->flush_timer = NULL;
    struct batch_entry *work = s->queue;
    size_t n = s->n_queue;
    s->queue = NULL;
    s->n_queue = s->cap_queue = 0;
    if (n > 0) {
        fail_all(work, n, err_make(ERR_CLOSED, "%s was closed before this write", s->path));
    }
    for (size_t i = 0; i < n; i++) {
        tell(&work[i]);
    }
    free(work);
}
