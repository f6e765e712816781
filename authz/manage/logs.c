#include "logs.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/http/gzip.h"
#include "lib/loop/loop.h"
#include "lib/telemetry/spool.h"

#include <stdlib.h>
#include <unistd.h>

/* Events as "[a,b,c", and where each begins. */
struct raw_chunk {
    struct raw_chunk *next;
    struct buf text;
    size_t *starts;
    size_t n, cap;
    size_t spooled; /* bytes of the spool that are in it */
};

struct packed_chunk {
    struct packed_chunk *next;
    struct buf gz;
    size_t spooled; /* of the spool, to be given up when it has been sent */
};

/* On the pool: one raw chunk becomes packed ones, none over the limit. Owns what it touches. */
struct pack_job {
    struct logs *logs; /* NULL: nobody waits */
    struct raw_chunk *raw;
    struct packed_chunk *out, **tail;
    size_t limit, first_size; /* of all events together */
    struct logs_counters counters;
};

struct logs {
    struct loop *loop;
    struct logs_opts o;
    struct raw_chunk *open; /* being filled */
    struct raw_chunk *raws, **raws_tail;
    struct packed_chunk *ready, **ready_tail;
    size_t ready_bytes, soft_limit;
    struct pack_job *job;
    struct service_request *upload;
    struct packed_chunk *sending;
    struct timer *timer, *sync, *deadline;
    unsigned retry;
    bool sending_all; /* go on until nothing is left */
    bool dirty;
    struct logs_counters counters;
    struct spool spool;
    double tokens;
    int64_t tokens_at_ns;
    int64_t last_error_ns;
    void (*flushed)(void *ctx);
    void *flushed_ctx;
    uint64_t events_waiting;
};

static void pump(struct logs *l);

/* ---- chunks ---- */

static struct raw_chunk *raw_new(void)
{
    struct raw_chunk *c = calloc(1, sizeof *c);
    BUG_ON(c == NULL);
    buf_init(&c->text, LOGS_CHUNK_MAX + LOGS_EVENT_MAX);
    return c;
}

static void raw_free(struct raw_chunk *c)
{
    if (c != NULL) {
        buf_release(&c->text);
        free(c->starts);
        free(c);
    }
}

static void raw_add(struct raw_chunk *c, struct str event)
{
    if (c->n == c->cap) {
        c->cap = c->cap > 0 ? 2 * c->cap : 64;
        c->starts = realloc(c->starts, c->cap * sizeof *c->starts);
        BUG_ON(c->starts == NULL);
    }
    buf_putc(&c->text, c->n == 0 ? '[' : ',');
    c->starts[c->n++] = c->text.n;
    buf_puts(&c->text, event);
}

static struct str raw_event(const struct raw_chunk *c, size_t i)
{
    size_t end = i + 1 < c->n ? c->starts[i + 1] - 1 : c->text.n;
    return str_sub(buf_str(&c->text), c->starts[i], end);
}

static void packed_free(struct packed_chunk *p)
{
    if (p != NULL) {
        buf_release(&p->gz);
        free(p);
    }
}

/* Events from..to as one packed array; NULL when they can't be packed. */
static struct packed_chunk *pack(const struct raw_chunk *c, size_t from, size_t to)
{
    struct packed_chunk *p = calloc(1, sizeof *p);
    struct buf text;
    BUG_ON(p == NULL);
    size_t end = to < c->n ? c->starts[to] - 1 : c->text.n;
    struct str inside = str_sub(buf_str(&c->text), c->starts[from], end);
    buf_init(&text, inside.n + 2);
    buf_putc(&text, '[');
    buf_puts(&text, inside);
    buf_putc(&text, ']');
    buf_init(&p->gz, LOGS_CHUNK_MAX + LOGS_EVENT_MAX);
    struct err e = gzip_pack(buf_str(&text), 6, &p->gz);
    buf_release(&text);
    if (failed(e)) {
        packed_free(p);
        return NULL;
    }
    return p;
}

/* The event without its cache of builtins; false when it has none. */
static bool without_cache(struct str event, struct buf *out)
{
    struct arena a;
    struct val v;
    arena_init(&a, (size_t)8 * LOGS_EVENT_MAX);
    bool has = !failed(val_from_json(&a, event, &v)) && val_is(v, V_OBJECT) &&
               !val_undef(val_get_str(v, "nd_builtin_cache"));
    if (has) {
        struct vlist l = {.a = &a};
        for (uint32_t i = 0; i < val_len(v); i++) {
            struct val k = val_nth_key(&a, v, i);
            if (!str_is(val_text(k), "nd_builtin_cache")) {
                vlist_add2(&l, k, val_nth(v, i));
            }
        }
        val_to_json(out, vlist_object(&l), true);
    }
    arena_release(&a);
    return has && buf_ok(out);
}

static void job_keep(struct pack_job *j, struct packed_chunk *p)
{
    *j->tail = p;
    j->tail = &p->next;
}

/* One event is over the limit alone: without its cache it may fit, else it is given up. */
static void pack_single(struct pack_job *j, size_t i)
{
    struct raw_chunk *one = raw_new();
    struct buf less;
    buf_init(&less, LOGS_EVENT_MAX);
    j->counters.over_limit++;
    struct packed_chunk *p = NULL;
    if (without_cache(raw_event(j->raw, i), &less)) {
        raw_add(one, buf_str(&less));
        p = pack(one, 0, 1);
    }
    if (p != NULL && p->gz.n <= j->limit) {
        j->counters.nd_dropped++;
        job_keep(j, p);
    } else {
        j->counters.encoding_failed++;
        packed_free(p);
    }
    buf_release(&less);
    raw_free(one);
}

static struct err pack_work(void *ctx)
{
    struct pack_job *j = ctx;
    struct range {
        size_t from, to;
    } stack[64]; /* halves of halves: as deep as the number of events has bits */
    size_t depth = 0;
    stack[depth++] = (struct range){0, j->raw->n};
    while (depth > 0) {
        struct range r = stack[--depth];
        struct packed_chunk *p = pack(j->raw, r.from, r.to);
        if (p != NULL && r.to - r.from == j->raw->n) {
            j->first_size = p->gz.n;
        }
        if (p != NULL && p->gz.n <= j->limit) {
            job_keep(j, p);
            continue;
        }
        packed_free(p);
        if (r.to - r.from == 1) {
            pack_single(j, r.from);
            continue;
        }
        size_t mid = r.from + (r.to - r.from) / 2;
        stack[depth++] = (struct range){mid, r.to};
        stack[depth++] = (struct range){r.from, mid};
    }
    return OK;
}

/* ---- packing ---- */

static void drop_oldest(struct logs *l)
{
    int64_t limit = l->o.settings->buffer_bytes;
    unsigned dropped = 0;
    while (limit > 0 && l->ready_bytes > (size_t)limit && l->ready != NULL) {
        struct packed_chunk *p = l->ready;
        l->ready = p->next;
        if (l->ready == NULL) {
            l->ready_tail = &l->ready;
        }
        l->ready_bytes -= p->gz.n;
        packed_free(p);
        dropped++;
    }
    if (dropped > 0) {
        l->counters.dropped_size++;
        l->counters.dropped_bytes++;
        log_error("chunks of decision logs were dropped: the buffer is full",
                  {"chunks", LOG_INT(dropped)});
    }
}

static void enqueue(struct logs *l, struct packed_chunk *p)
{
    p->next = NULL;
    *l->ready_tail = p;
    l->ready_tail = &p->next;
    l->ready_bytes += p->gz.n;
    if (l->spool.fd < 0) {
        drop_oldest(l);
    }
}

/* Below nine tenths of what may be sent: more events next time. Over it: fewer. */
static void adapt(struct logs *l, const struct pack_job *j)
{
    size_t limit = (size_t)l->o.settings->upload_limit;
    if (j->first_size > limit) {
        l->soft_limit = MAX(l->soft_limit / 2, limit);
    } else if (j->first_size < limit / 10 * 9 && j->raw->text.n >= l->soft_limit / 2) {
        l->soft_limit = MIN(2 * l->soft_limit, (size_t)LOGS_CHUNK_MAX);
    }
}

static void add_counters(struct logs_counters *to, const struct logs_counters *from)
{
    to->encoding_failed += from->encoding_failed;
    to->nd_dropped += from->nd_dropped;
    to->over_limit += from->over_limit;
}

static void job_free(struct pack_job *j)
{
    while (j->out != NULL) {
        struct packed_chunk *p = j->out;
        j->out = p->next;
        packed_free(p);
    }
    raw_free(j->raw);
    free(j);
}

static void pack_done(void *ctx, struct err e)
{
    struct pack_job *j = ctx;
    struct logs *l = j->logs;
    ignore_err(e);
    if (l == NULL) {
        job_free(j);
        return;
    }
    l->job = NULL;
    l->events_waiting -= MIN(l->events_waiting, (uint64_t)j->raw->n);
    adapt(l, j);
    add_counters(&l->counters, &j->counters);
    size_t spooled = j->raw->spooled;
    if (j->out == NULL && spooled > 0) { /* all of it was given up */
        ignore_err(spool_delivered(&l->spool, spooled));
    }
    while (j->out != NULL) {
        struct packed_chunk *p = j->out;
        j->out = p->next;
        p->spooled = j->out == NULL ? spooled : 0; /* the last one stands for all */
        enqueue(l, p);
    }
    job_free(j);
    pump(l);
}

static void pack_next(struct logs *l)
{
    struct raw_chunk *c = l->raws;
    if (c == NULL || l->job != NULL) {
        return;
    }
    l->raws = c->next;
    if (l->raws == NULL) {
        l->raws_tail = &l->raws;
    }
    struct pack_job *j = calloc(1, sizeof *j);
    BUG_ON(j == NULL);
    j->logs = l;
    j->raw = c;
    j->tail = &j->out;
    j->limit = (size_t)l->o.settings->upload_limit;
    l->job = j;
    if (failed(loop_work(l->loop, pack_work, pack_done, j))) {
        l->job = NULL;
        l->counters.encoding_failed += c->n;
        job_free(j);
    }
}

static void close_chunk(struct logs *l)
{
    struct raw_chunk *c = l->open;
    if (c == NULL || c->n == 0) {
        return;
    }
    l->open = NULL;
    *l->raws_tail = c;
    l->raws_tail = &c->next;
    pack_next(l);
}

/* ---- the spool ---- */

/* Lines of the spool as the next chunk, once those before it are with the service. */
static void take_spool(struct logs *l)
{
    struct buf lines;
    if (l->spool.fd < 0 || spool_is_empty(&l->spool) || l->job != NULL || l->ready != NULL ||
        l->raws != NULL || l->sending != NULL) {
        return;
    }
    buf_init(&lines, LOGS_CHUNK_MAX);
    struct err e = spool_peek(&l->spool, &lines, MAX(l->soft_limit, (size_t)1 << 20));
    if (!failed(e) && lines.n == 0) { /* one event is longer than that */
        e = spool_peek(&l->spool, &lines, LOGS_EVENT_MAX + 1);
    }
    if (failed(e)) {
        log_error("decision logs on disk cannot be read", {"reason", LOG_CSTR(err_detail())});
    }
    struct raw_chunk *c = raw_new();
    struct str rest = buf_str(&lines);
    while (rest.n > 0) {
        struct str line = str_split(&rest, '\n');
        if (line.n > 0) {
            raw_add(c, line);
        }
        rest = rest.p == NULL ? STR_EMPTY : rest;
    }
    c->spooled = lines.n;
    buf_release(&lines);
    if (c->n == 0) {
        raw_free(c);
        return;
    }
    *l->raws_tail = c;
    l->raws_tail = &c->next;
    pack_next(l);
}

static struct err sync_work(void *ctx)
{
    int fd = (int)(intptr_t)ctx;
    return fdatasync(fd) == 0 ? OK : err_make(ERR_IO, "fdatasync");
}

static void sync_done(void *ctx, struct err e)
{
    if (failed(e)) {
        log_error("decision logs on disk are not synced", {"reason", LOG_CSTR(err_detail())});
    }
}

static void sync_tick(void *ctx)
{
    struct logs *l = ctx;
    if (l->dirty) {
        l->dirty = false;
        ignore_err(loop_work(l->loop, sync_work, sync_done, (void *)(intptr_t)l->spool.fd));
    }
}

static void spool_event(struct logs *l, struct str event)
{
    struct buf line;
    buf_init(&line, LOGS_EVENT_MAX + 1);
    buf_puts(&line, event);
    buf_putc(&line, '\n');
    struct err e = spool_append(&l->spool, buf_str(&line));
    buf_release(&line);
    l->dirty = true;
    if (failed(e)) {
        l->counters.dropped_size++;
        l->counters.dropped_bytes++;
        int64_t now = clock_mono_ns();
        if (now - l->last_error_ns > INT64_C(1000000000) || l->last_error_ns == 0) {
            l->last_error_ns = now;
            log_error("a decision log was dropped: it cannot be kept on disk",
                      {"reason", LOG_CSTR(err_detail())});
        }
    }
}

/* ---- sending ---- */

static double uniform(void)
{
    uint32_t r;
    random_bytes(&r, sizeof r);
    return (double)r / 4294967296.0;
}

static void tick(void *ctx);

static void schedule(struct logs *l, bool ok)
{
    double min = (double)l->o.settings->min_ns / 1e6, max = (double)l->o.settings->max_ns / 1e6;
    double ms = (max - min) * uniform() + min;
    timer_stop(l->timer);
    l->timer = NULL;
    if (!ok) {
        ms = LOGS_RETRY_MS;
        for (unsigned i = 0; i < l->retry && ms < max; i++) {
            ms *= 1.6;
        }
        ms = MIN(ms, MAX(max, (double)LOGS_RETRY_MS)) * (1 - 0.2 * uniform());
        l->retry++;
    } else {
        l->retry = 0;
    }
    if (l->o.settings->trigger != TRIGGER_MANUAL || !ok) {
        /* Never at once: a delay of 0 would keep the loop from everything else. */
        l->timer = timer_start(l->loop, MAX((int64_t)ms, (int64_t)LOGS_LEAST_MS), 0, tick, l);
    }
}

static void finish_flush(struct logs *l)
{
    void (*flushed)(void *) = l->flushed;
    if (flushed != NULL) {
        l->flushed = NULL;
        timer_stop(l->deadline);
        l->deadline = NULL;
        flushed(l->flushed_ctx);
    }
}

static void attempt_over(struct logs *l, const char *error, int code)
{
    l->sending_all = false;
    if (l->o.attempted != NULL) {
        l->o.attempted(l->o.ctx, error, code);
    }
    schedule(l, error == NULL);
    if (error == NULL) {
        finish_flush(l);
    }
}

static void sent(void *ctx, const char *error, const struct service_result *res)
{
    struct logs *l = ctx;
    struct packed_chunk *p = l->sending;
    char why[600];
    l->upload = NULL;
    l->sending = NULL;
    if (error == NULL && res->status >= 200 && res->status < 300) {
        l->counters.uploaded++;
        if (p->spooled > 0) {
            ignore_err(spool_delivered(&l->spool, p->spooled));
        }
        packed_free(p);
        pump(l);
        return;
    }
    l->counters.upload_failed++;
    int code = error == NULL ? res->status : 0;
    snprintf(why, sizeof why, "log upload failed%s%s",
             error != NULL ? ": " : ", server replied with HTTP ", error != NULL ? error : "");
    if (error == NULL) {
        snprintf(why, sizeof why, "log upload failed, server replied with HTTP %d %s", code,
                 http_reason(code));
    }
    p->next = l->ready; /* the first again */
    l->ready = p;
    if (p->next == NULL) {
        l->ready_tail = &p->next;
    }
    l->ready_bytes += p->gz.n;
    log_error("decision logs were not uploaded", {"reason", LOG_CSTR(why)});
    attempt_over(l, why, code);
}

static void send_first(struct logs *l)
{
    struct packed_chunk *p = l->ready;
    struct http_header h = {S("content-encoding"), S("gzip")};
    l->ready = p->next;
    if (l->ready == NULL) {
        l->ready_tail = &l->ready;
    }
    l->ready_bytes -= p->gz.n;
    l->sending = p;
    struct service_call c = {.method = "POST",
                             .path = l->o.settings->resource,
                             .headers = &h,
                             .n_headers = 1,
                             .body = buf_str(&p->gz),
                             .content_type = S("application/json"),
                             .done = sent,
                             .ctx = l};
    l->upload = service_send(l->o.service, &c);
}

/* Goes on with whatever can be done now. */
static void pump(struct logs *l)
{
    pack_next(l);
    bool at_once = l->o.settings->trigger == TRIGGER_IMMEDIATE && l->retry == 0;
    if (l->upload != NULL || !(l->sending_all || at_once)) {
        return;
    }
    if (l->ready != NULL) {
        send_first(l);
        return;
    }
    if (l->sending_all) {
        take_spool(l);
    }
    if (l->sending_all && l->job == NULL && l->raws == NULL && l->ready == NULL) {
        attempt_over(l, NULL, 0);
    }
}

static void tick(void *ctx)
{
    struct logs *l = ctx;
    l->timer = NULL;
    if (l->upload != NULL) {
        return; /* its end schedules the next one */
    }
    l->sending_all = true;
    close_chunk(l);
    pump(l);
}

/* ---- public ---- */

static bool within_rate(struct logs *l)
{
    double rate = l->o.settings->per_second, burst = MAX(rate, 1.0);
    int64_t now = clock_mono_ns();
    if (rate <= 0) {
        return true;
    }
    l->tokens = MIN(burst, l->tokens + (double)(now - l->tokens_at_ns) / 1e9 * rate);
    l->tokens_at_ns = now;
    if (l->tokens < 1) {
        l->counters.dropped_rate++;
        return false;
    }
    l->tokens -= 1;
    return true;
}

/* The event buffer is full: the oldest events go. */
static void shift_events(struct logs *l)
{
    size_t max = (size_t)l->o.settings->buffer_events, keep = max - max / 10 - (max < 10);
    struct raw_chunk *c = l->open, *fresh = raw_new();
    size_t from = c->n - MIN(keep, c->n);
    for (size_t i = from; i < c->n; i++) {
        raw_add(fresh, raw_event(c, i));
    }
    l->counters.dropped_size += from;
    l->events_waiting -= from;
    log_error("decision logs were dropped: the buffer is full", {"events", LOG_INT((int64_t)from)});
    l->open = fresh;
    raw_free(c);
}

static void buffer_event(struct logs *l, struct str event)
{
    const struct logs_settings *s = l->o.settings;
    if (l->open != NULL) {
        bool full = s->event_buffer ? l->open->n >= (size_t)s->buffer_events
                                    : l->open->text.n + event.n + 1 > l->soft_limit ||
                                          l->open->n >= LOGS_CHUNK_EVENTS;
        if (full && s->event_buffer) {
            shift_events(l);
        } else if (full) {
            close_chunk(l);
        }
    }
    if (l->open == NULL) {
        l->open = raw_new();
    }
    raw_add(l->open, event);
    l->events_waiting++;
}

void logs_add(struct logs *l, struct str event)
{
    if (l->o.service == NULL || !within_rate(l)) {
        return;
    }
    if (event.n > LOGS_EVENT_MAX) {
        l->counters.encoding_failed++;
        return;
    }
    if (l->spool.fd >= 0) {
        spool_event(l, event);
    } else {
        buffer_event(l, event);
    }
    if (l->o.settings->trigger == TRIGGER_IMMEDIATE) {
        pump(l);
    }
}

void logs_trigger(struct logs *l)
{
    if (l->o.service != NULL) {
        timer_stop(l->timer);
        l->timer = NULL;
        tick(l);
    }
}

static void flush_late(void *ctx)
{
    struct logs *l = ctx;
    l->deadline = NULL;
    log_error("decision logs may be lost: they were not uploaded in time");
    finish_flush(l);
}

void logs_flush(struct logs *l, void (*done)(void *ctx), void *ctx)
{
    if (l->o.service == NULL) {
        done(ctx);
        return;
    }
    l->flushed = done;
    l->flushed_ctx = ctx;
    l->deadline = timer_start(l->loop, LOGS_FLUSH_MS, 0, flush_late, l);
    logs_trigger(l);
}

const struct logs_counters *logs_counters(const struct logs *l)
{
    return &l->counters;
}

uint64_t logs_waiting(const struct logs *l)
{
    return l->spool.fd >= 0              ? (uint64_t)(l->spool.size - l->spool.sent)
           : l->o.settings->event_buffer ? l->events_waiting
                                         : l->ready_bytes;
}

struct err logs_new(struct loop *loop, const struct logs_opts *o, struct logs **out)
{
    struct logs *l = calloc(1, sizeof *l);
    BUG_ON(l == NULL);
    l->loop = loop;
    l->o = *o;
    l->raws_tail = &l->raws;
    l->ready_tail = &l->ready;
    l->soft_limit = (size_t)MIN(o->settings->upload_limit, (int64_t)LOGS_CHUNK_MAX);
    l->tokens = MAX(o->settings->per_second, 1.0);
    l->tokens_at_ns = clock_mono_ns();
    l->spool.fd = -1;
    if (o->spool != NULL) {
        struct err e = spool_open(&l->spool, o->spool, o->settings->spool_limit);
        if (failed(e)) {
            free(l);
            return e;
        }
        l->sync = timer_start(loop, LOGS_SYNC_MS, LOGS_SYNC_MS, sync_tick, l);
    }
    if (o->service != NULL && o->settings->trigger != TRIGGER_MANUAL) {
        l->timer = timer_start(loop, 0, 0, tick, l);
    }
    *out = l;
    return OK;
}

void logs_free(struct logs *l)
{
    if (l == NULL) {
        return;
    }
    service_cancel(l->upload);
    timer_stop(l->timer);
    timer_stop(l->sync);
    timer_stop(l->deadline);
    if (l->job != NULL) {
        l->job->logs = NULL;
    }
    packed_free(l->sending);
    while (l->ready != NULL) {
        struct packed_chunk *p = l->ready;
        l->ready = p->next;
        packed_free(p);
    }
    while (l->raws != NULL) {
        struct raw_chunk *c = l->raws;
        l->raws = c->next;
        raw_free(c);
    }
    raw_free(l->open);
    if (l->spool.fd >= 0) {
        ignore_err(spool_sync(&l->spool));
        spool_close(&l->spool);
    }
    free(l);
}
