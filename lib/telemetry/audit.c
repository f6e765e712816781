/*
 * The audit client. Events stand in one queue, oldest first; at most one request is on its way and
 * carries the first `n_sent` of them. The answer frees them, a failure leaves them for the next try.
 */
#include "audit.h"

#include "lib/base/clock.h"
#include "lib/http/client.h"
#include "lib/loop/loop.h"
#include "spool.h"

enum {
    AUDIT_TIMEOUT_MS = 5000,
    AUDIT_LOOK_MS = 100,        /* how often waiting events are looked at */
    AUDIT_SPOOL_AFTER_MS = 300, /* how long an event may wait before the spool takes it */
    AUDIT_BACKOFF_MIN_MS = 20,
    AUDIT_BACKOFF_MAX_MS = 1000,
};

#define AUDIT_SPOOL_MAX (INT64_C(64) << 20)

struct entry {
    struct entry *next;
    void (*done)(void *ctx, struct err e);
    void *ctx;
    int64_t deadline_ms;
    size_t n;
    char line[];
};

struct audit_client {
    struct loop *loop;
    struct http_client *http;
    struct audit_opts opts;
    char *daemon, *url, *health_url, *caller;
    struct entry *head, **tail;
    size_t queued;     /* bytes of all entries */
    size_t n_sent;     /* entries (or, of the spool, bytes) on their way */
    size_t one_by_one; /* audit refused a batch: so many entries go alone, to find the bad one */
    bool busy, sending_spool, reachable, closing;
    struct timer *send_timer, *expiry_timer;
    int backoff_ms;
    struct spool spool;
};

struct late_failure {
    void (*done)(void *ctx, struct err e);
    void *ctx;
    struct err e;
    char detail[160];
};

static void send_next(void *ctx);

static void set_reachable(struct audit_client *c, bool yes)
{
    if (c->reachable != yes) {
        c->reachable = yes;
        if (c->opts.on_state != NULL && !c->closing) {
            c->opts.on_state(c->opts.ctx, yes);
        }
    }
}

static void schedule(struct audit_client *c, int after_ms)
{
    if (c->send_timer == NULL && !c->busy && !c->closing) {
        c->send_timer = timer_start(c->loop, after_ms, 0, send_next, c);
        timer_background(c->send_timer);
    }
}

static struct entry *pop(struct audit_client *c)
{
    struct entry *e = c->head;
    c->head = e->next;
    if (c->head == NULL) {
        c->tail = &c->head;
    }
    c->queued -= e->n;
    return e;
}

static void finish(struct entry *e, struct err result)
{
    if (e->done != NULL) {
        e->done(e->ctx, result);
    }
    free(e);
}

/* Answers of 200 to the first n; a `done` may emit again, so each is popped before it is told. */
static void finish_first(struct audit_client *c, size_t n)
{
    while (n-- > 0 && c->head != NULL) {
        finish(pop(c), OK);
    }
}

static void back_off(struct audit_client *c)
{
    set_reachable(c, false);
    schedule(c, c->backoff_ms);
    c->backoff_ms = MIN(c->backoff_ms * 2, AUDIT_BACKOFF_MAX_MS);
}

/* Audit is there but will not take this: find the event it means, and fail that one alone. */
static void refused(struct audit_client *c, int status)
{
    set_reachable(c, true);
    if (c->sending_spool) {
        back_off(c);
        return;
    }
    if (c->n_sent > 1) {
        c->one_by_one = c->n_sent;
    } else if (c->n_sent == 1) {
        finish(pop(c), err_make(ERR_INVALID, "audit refused an event with status %d", status));
        c->one_by_one -= c->one_by_one > 0;
    }
    schedule(c, 0);
}

static void on_answer(void *ctx, struct err e, const struct http_result *res)
{
    struct audit_client *c = ctx;
    if (c->closing) {
        return;
    }
    c->busy = false;
    if (failed(e) || res->status >= 500 || res->status == 429) {
        back_off(c);
        return;
    }
    if (res->status != 200) {
        refused(c, res->status);
        return;
    }
    set_reachable(c, true);
    c->backoff_ms = AUDIT_BACKOFF_MIN_MS;
    if (c->sending_spool) {
        ignore_err(spool_delivered(&c->spool, c->n_sent));
    } else {
        c->one_by_one -= c->one_by_one > 0;
        finish_first(c, c->n_sent);
    }
    if (c->head != NULL || !spool_is_empty(&c->spool)) {
        schedule(c, 0);
    }
}

static void on_health(void *ctx, struct err e, const struct http_result *res)
{
    struct audit_client *c = ctx;
    if (c->closing) {
        return;
    }
    c->busy = false;
    if (failed(e)) {
        back_off(c);
        return;
    }
    set_reachable(c, true);
    c->backoff_ms = AUDIT_BACKOFF_MIN_MS;
    if (c->head != NULL) {
        schedule(c, 0);
    }
}

static void call(struct audit_client *c, const char *url, struct str body,
                 void (*done)(void *, struct err, const struct http_result *))
{
    struct http_header as[] = {{S("x-sextant-caller"), str_of(c->caller)}};
    struct http_call request = {
        .method = body.n > 0 ? S("POST") : S("GET"),
        .url = str_of(url),
        .headers = as,
        .n_headers = c->caller[0] != '\0',
        .body = body,
        .content_type = body.n > 0 ? S("application/x-ndjson") : STR_EMPTY,
        .timeout_ms = c->opts.timeout_ms,
        .done = done,
        .ctx = c,
    };
    c->busy = true;
    http_client_call(c->http, &request);
}

static void gather(struct audit_client *c, struct buf *body)
{
    size_t most = c->one_by_one > 0 ? 1 : SIZE_MAX;
    c->n_sent = 0;
    for (struct entry *e = c->head; e != NULL && c->n_sent < most; e = e->next) {
        if (c->n_sent > 0 && body->n + e->n > AUDIT_BATCH_MAX) {
            break;
        }
        buf_put(body, e->line, e->n);
        c->n_sent++;
    }
}

/* The spool is older than the queue, so it goes first; with neither, this is a look whether audit is up. */
static void send_next(void *ctx)
{
    struct audit_client *c = ctx;
    struct buf body;
    c->send_timer = NULL;
    if (c->busy || c->closing) {
        return;
    }
    buf_init(&body, AUDIT_BATCH_MAX + AUDIT_EVENT_MAX);
    c->sending_spool = !spool_is_empty(&c->spool);
    if (c->sending_spool) {
        if (failed(spool_peek(&c->spool, &body, AUDIT_BATCH_MAX))) {
            back_off(c);
        }
        c->n_sent = body.n;
    } else {
        gather(c, &body);
    }
    if (body.n > 0) {
        call(c, c->url, buf_str(&body), on_answer);
    } else if (!c->reachable) {
        call(c, c->health_url, STR_EMPTY, on_health);
    }
    buf_release(&body);
}

/* Everything that has waited goes to the spool, is synced once, and counts as kept. */
static void spool_queue(struct audit_client *c)
{
    struct err e = OK;
    size_t n = 0;
    for (struct entry *it = c->head; it != NULL && !failed(e); it = it->next) {
        e = spool_append(&c->spool, str_n(it->line, it->n));
        n += !failed(e);
    }
    struct err synced = n > 0 ? spool_sync(&c->spool) : OK;
    if (failed(synced)) {
        return;
    }
    if (c->busy && !c->sending_spool) {
        c->n_sent -=
            MIN(c->n_sent, n); /* should audit answer after all, it frees only the others */
    }
    finish_first(c, n);
}

static void expire(struct audit_client *c, int64_t now)
{
    while (c->head != NULL && c->head->deadline_ms <= now) {
        if (c->busy && !c->sending_spool && c->n_sent > 0) {
            c->n_sent--; /* its answer, should it come, is for the others */
        }
        finish(pop(c), err_make(ERR_UNAVAILABLE, "audit did not acknowledge the event within %d ms",
                                c->opts.timeout_ms));
    }
}

/* A try has failed and none has succeeded since: with a spool there is nothing to wait for. */
static bool is_away(const struct audit_client *c)
{
    return !c->reachable && c->backoff_ms > AUDIT_BACKOFF_MIN_MS;
}

static void on_expiry(void *ctx)
{
    struct audit_client *c = ctx;
    int64_t now = clock_mono_ns() / NS_PER_MS;
    if (c->opts.mode == AUDIT_SPOOL && c->head != NULL) {
        int64_t waited = now - c->head->deadline_ms + c->opts.timeout_ms;
        bool give_up = !c->reachable && !c->busy && waited >= AUDIT_SPOOL_AFTER_MS;
        if (is_away(c) || give_up || waited >= c->opts.timeout_ms) {
            spool_queue(c);
        }
    }
    expire(c, now);
    if (c->head == NULL) {
        timer_stop(c->expiry_timer);
        c->expiry_timer = NULL;
    }
}

static void tell_late(void *ctx)
{
    struct late_failure *f = ctx;
    f->done(f->ctx, err_make(f->e.code, "%s", f->detail));
    free(f);
}

/* `done` may not run before audit_emit returns: the caller is not ready for it. */
static void fail_later(struct audit_client *c, struct err e, void (*done)(void *, struct err),
                       void *ctx)
{
    if (done == NULL) {
        return;
    }
    struct late_failure *f = calloc(1, sizeof(*f));
    BUG_ON(f == NULL);
    *f = (struct late_failure){.done = done, .ctx = ctx, .e = e};
    snprintf(f->detail, sizeof(f->detail), "%s", err_detail());
    loop_defer(c->loop, tell_late, f);
}

static void enqueue(struct audit_client *c, struct str line, void (*done)(void *, struct err),
                    void *ctx)
{
    struct entry *e = malloc(sizeof(*e) + line.n);
    BUG_ON(e == NULL);
    *e = (struct entry){.done = done,
                        .ctx = ctx,
                        .n = line.n,
                        .deadline_ms = clock_mono_ns() / NS_PER_MS + c->opts.timeout_ms};
    memcpy(e->line, line.p, line.n);
    *c->tail = e;
    c->tail = &e->next;
    c->queued += line.n;
    if (c->expiry_timer == NULL) {
        int first = c->opts.mode == AUDIT_SPOOL && is_away(c) ? 0 : AUDIT_LOOK_MS;
        c->expiry_timer = timer_start(c->loop, first, AUDIT_LOOK_MS, on_expiry, c);
    }
    schedule(c, 0);
}

void audit_emit(struct audit_client *c, const struct audit_event *e,
                void (*done)(void *ctx, struct err), void *ctx)
{
    struct buf line;
    buf_init(&line, AUDIT_EVENT_MAX);
    audit_event_write(&line, e, c->daemon);
    struct err bad = buf_check(&line);
    if (!failed(bad) && c->queued + line.n > AUDIT_QUEUE_MAX) {
        bad = err_make(ERR_BUSY, "%zu bytes of audit events are waiting already", c->queued);
    }
    if (failed(bad)) {
        fail_later(c, bad, done, ctx);
    } else {
        enqueue(c, buf_str(&line), done, ctx);
    }
    buf_release(&line);
}

static char *text_of(const char *before, struct str middle, const char *after)
{
    size_t n = strlen(before) + middle.n + strlen(after) + 1;
    char *text = malloc(n);
    BUG_ON(text == NULL);
    snprintf(text, n, "%s%.*s%s", before, STR_FMT(middle), after);
    return text;
}

static struct err start(struct audit_client *c)
{
    struct http_client_opts o = {.timeout_ms = c->opts.timeout_ms,
                                 .connect_ms = 1000,
                                 .conns_per_host = 1,
                                 .body_max = 64 * 1024};
    TRY(http_client_new(c->loop, &o, &c->http));
    if (c->opts.mode == AUDIT_SPOOL) {
        ENSURE(c->opts.spool != NULL, ERR_INVALID, "an audit spool needs a file");
        TRY(spool_open(&c->spool, c->opts.spool, c->opts.spool_max));
    }
    schedule(c, 0);
    return OK;
}

struct err audit_client_new(struct loop *loop, struct str address, const char *daemon,
                            const struct audit_opts *opts, struct audit_client **out)
{
    struct audit_client *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    c->loop = loop;
    c->opts = opts != NULL ? *opts : (struct audit_opts){.mode = AUDIT_FAIL_CLOSED};
    c->opts.timeout_ms = c->opts.timeout_ms > 0 ? c->opts.timeout_ms : AUDIT_TIMEOUT_MS;
    c->opts.spool_max = c->opts.spool_max > 0 ? c->opts.spool_max : AUDIT_SPOOL_MAX;
    c->daemon = text_of("", str_of(daemon), "");
    c->caller = text_of("", str_of(c->opts.caller != NULL ? c->opts.caller : daemon), "");
    bool unix_socket = str_starts(address, S("unix:"));
    c->url = text_of("", address, unix_socket ? ":/v1/events" : "/v1/events");
    c->health_url = text_of("", address, unix_socket ? ":/healthz" : "/healthz");
    c->tail = &c->head;
    c->backoff_ms = AUDIT_BACKOFF_MIN_MS;
    c->spool.fd = -1;
    struct err e = start(c);
    if (failed(e)) {
        audit_client_free(c);
        return e;
    }
    *out = c;
    return OK;
}

void audit_client_free(struct audit_client *c)
{
    if (c == NULL) {
        return;
    }
    c->closing = true;
    timer_stop(c->send_timer);
    timer_stop(c->expiry_timer);
    if (c->http != NULL) {
        http_client_free(c->http);
    }
    if (c->opts.mode == AUDIT_SPOOL && c->spool.fd >= 0) {
        spool_queue(c);
    }
    while (c->head != NULL) {
        finish(pop(c), err_make(ERR_CLOSED, "the daemon stops before audit has acknowledged"));
    }
    spool_close(&c->spool);
    free(c->daemon);
    free(c->caller);
    free(c->url);
    free(c->health_url);
    free(c);
}

bool audit_reachable(const struct audit_client *c)
{
    return c->reachable;
}

size_t audit_waiting(const struct audit_client *c)
{
    return c->queued;
}
