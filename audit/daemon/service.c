#include "service.h"

#include "uids.h"

#include "audit/tlog/files.h"
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/base/map.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BATCH_ARENA = 64 << 20,
    HMAC_KEY_BYTES = 32,
    SAVE_EVERY_MS = 60 * 1000,
    PATH_LONG = 512,
};

struct taker {
    void (*told)(void *ctx, struct err e);
    void *ctx;
};

struct batch {
    struct arena arena; /* what the events' fields point into */
    struct buf payload; /* entries as in a bundle */
    struct event *events;
    unsigned n, cap;
    struct taker *takers;
    size_t n_takers, cap_takers;
    unsigned findings;
};

struct service {
    struct service_opts opts;
    char *dir, *origin;
    struct tlog *log;
    struct index *index;
    struct detector *detector;
    struct secret hmac_key;
    struct batch batch;
    struct uids uids;
    struct map replayed; /* findings fired while replaying, by uid; the value is their line */
    bool replaying;
    int64_t saved_ms;
    uint64_t saved_next;
    struct service_counts counts;
};

struct tlog *service_log(struct service *s)
{
    return s->log;
}

struct index *service_index(struct service *s)
{
    return s->index;
}

const struct service_counts *service_counts(const struct service *s)
{
    return &s->counts;
}

/* ---- the batch ---- */

static void batch_init(struct batch *b)
{
    arena_init(&b->arena, BATCH_ARENA);
    buf_init(&b->payload, JOURNAL_BATCH_MAX);
}

static void batch_clear(struct batch *b)
{
    arena_reset(&b->arena);
    buf_clear(&b->payload);
    b->n = 0;
    b->n_takers = 0;
    b->findings = 0;
    if (b->payload.cap > 1 << 20) { /* do not keep a burst's memory */
        buf_release(&b->payload);
        buf_init(&b->payload, JOURNAL_BATCH_MAX);
    }
}

static void batch_release(struct batch *b)
{
    arena_release(&b->arena);
    buf_release(&b->payload);
    free(b->events);
    free(b->takers);
}

static struct event *batch_slot(struct batch *b)
{
    if (b->n == b->cap) {
        b->cap = b->cap * 2 + 16;
        b->events = realloc(b->events, b->cap * sizeof(*b->events));
        BUG_ON(b->events == NULL);
    }
    return &b->events[b->n];
}

static struct err take_line(struct service *s, struct str line, const struct sender *from)
{
    struct batch *b = &s->batch;
    struct event_context c = {.origin = str_of(s->origin),
                              .producer = from->producer,
                              .sender = from->spiffe_id,
                              .sequence = tlog_size(s->log) + b->n,
                              .now_ms = clock_wall_ns() / NS_PER_MS,
                              .hmac_key = &s->hmac_key};
    struct buf entry;
    struct event *slot = batch_slot(b);
    ENSURE(b->n < SERVICE_BATCH_EVENTS && !arena_exhausted(&b->arena), ERR_BUSY,
           "too many events wait for the disk");
    buf_init(&entry, ENTRY_MAX);
    struct err e = event_accept(&b->arena, line, &c, &entry, slot);
    if (!failed(e) && b->payload.n + entry.n + 2 > JOURNAL_BATCH_MAX) {
        e = err_make(ERR_BUSY, "too many events wait for the disk");
    }
    if (!failed(e) && !uids_add(&s->uids, index_key(slot->field[EVENT_UID]))) {
        s->counts.repeated++; /* it is in this batch or durable already */
    } else if (!failed(e)) {
        bundle_put(&b->payload, buf_str(&entry));
        b->n++;
    }
    buf_release(&entry);
    return e;
}

/* Takes back what a request with a bad line has put into the batch. */
static void roll_back(struct service *s, unsigned n, size_t bytes)
{
    struct batch *b = &s->batch;
    for (unsigned i = n; i < b->n; i++) {
        uids_undo(&s->uids, index_key(b->events[i].field[EVENT_UID]));
    }
    b->n = n;
    b->payload.n = bytes;
}

static void add_taker(struct batch *b, void (*told)(void *, struct err), void *ctx)
{
    if (b->n_takers == b->cap_takers) {
        b->cap_takers = b->cap_takers * 2 + 8;
        b->takers = realloc(b->takers, b->cap_takers * sizeof(*b->takers));
        BUG_ON(b->takers == NULL);
    }
    b->takers[b->n_takers++] = (struct taker){told, ctx};
}

struct err service_take(struct service *s, struct str ndjson, const struct sender *from,
                        void (*told)(void *ctx, struct err e), void *ctx, unsigned *n)
{
    struct batch *b = &s->batch;
    unsigned before = b->n, lines = 0, number = 0;
    size_t bytes = b->payload.n;
    for (struct str rest = ndjson; rest.p != NULL;) {
        struct str line = str_trim(str_split(&rest, '\n'));
        number++;
        if (line.n == 0) {
            continue;
        }
        struct err e = lines < SERVICE_EVENTS_PER_TAKE
                           ? take_line(s, line, from)
                           : err_make(ERR_LIMIT, "more than %d events in one request",
                                      SERVICE_EVENTS_PER_TAKE);
        if (failed(e)) {
            e = err_wrap(e, "line %u", number);
            roll_back(s, before, bytes);
            s->counts.refused++;
            return e;
        }
        lines++;
    }
    ENSURE(lines > 0, ERR_INVALID, "no event: send one JSON object a line");
    add_taker(b, told, ctx);
    *n = lines;
    s->opts.wake(s->opts.ctx);
    return OK;
}

void service_forget(struct service *s, void *ctx)
{
    for (size_t i = 0; i < s->batch.n_takers; i++) {
        if (s->batch.takers[i].ctx == ctx) {
            s->batch.takers[i].told = NULL;
        }
    }
}

/* ---- what follows a commit ---- */

static void index_event(struct service *s, const struct event *e)
{
    uint64_t keys[EVENT_INDEXED];
    size_t n = 0;
    for (int f = 0; f < EVENT_INDEXED; f++) {
        if (e->field[f].n > 0 && f != EVENT_UID) {
            keys[n++] = index_key(e->field[f]);
        }
    }
    struct err err = index_add(s->index, e->time_ms, keys, n);
    if (failed(err)) { /* made again from the log once there is room: see service_tick */
        log_warn("the index waits for room on the disk", {"error", LOG_CSTR(err_detail())});
    }
}

/* After a failed index_add later events must wait too: they are read back from the log in order. */
static void absorb(struct service *s, uint64_t at, const struct event *e)
{
    if (index_next(s->index) == at) {
        index_event(s, e);
    }
    detector_feed(s->detector, at, e, clock_wall_ns() / NS_PER_MS);
}

static void tell_takers(struct service *s, struct taker *takers, size_t n, struct err e)
{
    char detail[256];
    snprintf(detail, sizeof(detail), "%s", failed(e) ? err_detail() : "");
    for (size_t i = 0; i < n; i++) {
        if (takers[i].told != NULL) {
            takers[i].told(takers[i].ctx, failed(e) ? err_make(e.code, "%s", detail) : OK);
        }
    }
}

static struct err write_batch(struct service *s, struct batch *b, uint64_t *first)
{
    int64_t began = clock_mono_ns();
    *first = tlog_size(s->log);
    if (b->n == 0) {
        return OK; /* repeated deliveries only */
    }
    struct err e = tlog_append(s->log, buf_str(&b->payload), b->n, first);
    uint64_t took = (uint64_t)(clock_mono_ns() - began);
    s->counts.sync_ns += took;
    s->counts.sync_max_ns = MAX(s->counts.sync_max_ns, took);
    s->counts.commits++;
    s->counts.disk_full = e.code == ERR_UNAVAILABLE;
    return e;
}

void service_commit(struct service *s)
{
    struct batch b = s->batch; /* findings and answers that cause new events go to the next one */
    uint64_t first;
    if (b.n == 0 && b.n_takers == 0) {
        return;
    }
    memset(&s->batch, 0, sizeof(s->batch));
    batch_init(&s->batch);
    struct err e = write_batch(s, &b, &first);
    if (failed(e)) {
        log_error("events refused", {"count", LOG_INT(b.n)}, {"error", LOG_CSTR(err_detail())});
        tell_takers(s, b.takers, b.n_takers, e);
        for (unsigned i = 0; i < b.n; i++) { /* they may be delivered again */
            uids_remove(&s->uids, index_key(b.events[i].field[EVENT_UID]));
        }
        batch_release(&b);
        return;
    }
    for (unsigned i = 0; i < b.n; i++) {
        absorb(s, first + i, &b.events[i]);
    }
    s->counts.taken += b.n;
    tell_takers(s, b.takers, b.n_takers, OK);
    if (s->opts.committed != NULL && b.n > 0) {
        s->opts.committed(s->opts.ctx, first + b.n, b.findings);
    }
    if (s->batch.n == 0 && s->batch.n_takers == 0) { /* keep the old one's memory for the next */
        struct batch fresh = s->batch;
        batch_clear(&b);
        s->batch = b;
        b = fresh;
    }
    batch_release(&b);
}

/* ---- findings ---- */

static const struct sender itself = {{NULL, 0}, {NULL, 0}};

static void on_finding(void *ctx, const struct finding *f)
{
    struct service *s = ctx;
    struct buf line;
    buf_init(&line, EVENT_LINE_MAX);
    finding_write(&line, f);
    if (s->replaying) {
        char *copy = strndup(line.p, line.n);
        BUG_ON(copy == NULL);
        free(map_set(&s->replayed, str_of(f->uid), copy));
    } else {
        struct err e = take_line(s, buf_str(&line), &itself);
        if (failed(e)) {
            log_error("a finding could not be logged", {"error", LOG_CSTR(err_detail())});
        }
        s->batch.findings += !failed(e);
        s->counts.findings++;
        s->opts.wake(s->opts.ctx);
    }
    log_warn("finding", {"rule", LOG_CSTR(f->rule)}, {"identity", LOG_STR(f->identity)},
             {"title", LOG_STR(f->title)}, {"severity", LOG_INT(f->severity)});
    buf_release(&line);
}

struct err service_findings(struct service *s, uint64_t from, uint64_t *out, size_t cap, size_t *n)
{
    return index_find(s->index, index_key(S("detection")), from, INT64_MIN, INT64_MAX, out, cap, n);
}

/* ---- opening ---- */

static const char *in_dir(const struct service *s, const char *name, char path[PATH_LONG])
{
    BUG_ON(snprintf(path, PATH_LONG, "%s/%s", s->dir, name) >= PATH_LONG);
    return path;
}

static struct err load_hmac_key(struct service *s)
{
    char path[PATH_LONG];
    uint8_t bytes[HMAC_KEY_BYTES];
    struct arena a;
    struct str text;
    in_dir(s, "hmac.key", path);
    arena_init(&a, 1 << 16);
    struct err e = file_read(&a, AT_FDCWD, path, HMAC_KEY_BYTES, &text);
    if (e.code == ERR_NOT_FOUND) {
        random_bytes(bytes, sizeof(bytes));
        e = file_replace(AT_FDCWD, path, str_n(bytes, sizeof(bytes)), true);
        text = str_n(bytes, sizeof(bytes));
    }
    if (!failed(e) && text.n != HMAC_KEY_BYTES) {
        e = err_make(ERR_INVALID, "%s should hold %d bytes", path, HMAC_KEY_BYTES);
    }
    if (!failed(e)) {
        e = secret_copy(&s->hmac_key, text);
        wipe((void *)(uintptr_t)text.p, text.n);
    }
    wipe(bytes, sizeof(bytes));
    arena_release(&a);
    return e;
}

static void load_detector(struct service *s)
{
    char path[PATH_LONG];
    struct arena a;
    struct str bytes;
    arena_init(&a, DETECT_STATE_MAX + (1 << 16));
    struct err e =
        file_read(&a, AT_FDCWD, in_dir(s, "detect.state", path), DETECT_STATE_MAX, &bytes);
    if (!failed(e)) {
        e = detector_load(s->detector, bytes);
    }
    if (failed(e) && e.code != ERR_NOT_FOUND) {
        log_warn("the detections start anew", {"why", LOG_CSTR(err_detail())});
    }
    if (detector_next(s->detector) > tlog_size(s->log)) { /* state of another log */
        detector_free(s->detector);
        s->detector = detector_new(s->opts.expected, on_finding, s);
    }
    arena_release(&a);
}

static struct err replay_one(struct service *s, struct arena *a, uint64_t at)
{
    struct str line;
    struct json *v;
    struct event e;
    int64_t logged = 0;
    arena_reset(a);
    TRY(tlog_entry(s->log, a, at, &line));
    TRY(json_parse(a, line, NULL, &v));
    event_read(v, &e);
    ignore_err(json_i64(json_path(v, "metadata.logged_time"), &logged));
    uids_add(&s->uids, index_key(e.field[EVENT_UID]));
    if (index_next(s->index) == at) {
        index_event(s, &e);
    }
    if (detector_next(s->detector) == at) {
        detector_feed(s->detector, at, &e, logged);
    }
    free(map_del(&s->replayed, e.field[EVENT_UID]));
    return OK;
}

/* Brings index and detections up to the log, and remembers the newest uids. */
static struct err replay(struct service *s)
{
    uint64_t size = tlog_size(s->log);
    index_limit(s->index, size);
    uint64_t from = MIN(index_next(s->index), detector_next(s->detector));
    from = MIN(from, size > UIDS_KEPT / 8 ? size - UIDS_KEPT / 8 : 0);
    struct arena a;
    struct err e = OK;
    arena_init(&a, EVENT_ARENA);
    s->replaying = true;
    for (uint64_t at = from; at < size && !failed(e); at++) {
        e = replay_one(s, &a, at);
    }
    s->replaying = false;
    arena_release(&a);
    return e;
}

/* Findings that a crash kept from being logged. */
static void log_replayed(struct service *s)
{
    size_t cursor = 0;
    for (struct map_entry *m; (m = map_at(&s->replayed, &cursor)) != NULL;) {
        ignore_err(take_line(s, str_of(m->value), &itself));
        s->batch.findings++;
        free(m->value);
    }
    map_release(&s->replayed);
    map_init(&s->replayed);
}

static struct err open_parts(struct service *s)
{
    char path[PATH_LONG];
    TRY(load_hmac_key(s));
    TRY(tlog_open(s->dir, str_of(s->origin), &s->log));
    TRY(tlog_integrate(s->log, UINT64_MAX));
    TRY(index_open(in_dir(s, "index", path), &s->index));
    s->detector = detector_new(s->opts.expected, on_finding, s);
    load_detector(s);
    TRY(replay(s));
    log_replayed(s);
    service_commit(s);
    return OK;
}

struct err service_open(const struct service_opts *o, struct service **out)
{
    struct service *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    s->opts = *o;
    s->dir = strdup(o->dir);
    s->origin = strndup(o->origin.p, o->origin.n);
    BUG_ON(s->dir == NULL || s->origin == NULL);
    uids_init(&s->uids);
    map_init(&s->replayed);
    batch_init(&s->batch);
    struct err e = open_parts(s);
    if (failed(e)) {
        service_close(s);
        return e;
    }
    *out = s;
    return OK;
}

static void save_detector(struct service *s)
{
    char path[PATH_LONG];
    struct buf b;
    if (s->detector == NULL || detector_next(s->detector) == s->saved_next) {
        return;
    }
    buf_init(&b, DETECT_STATE_MAX);
    struct err e = detector_save(s->detector, &b);
    if (!failed(e)) {
        e = file_replace(AT_FDCWD, in_dir(s, "detect.state", path), buf_str(&b), false);
    }
    if (failed(e)) {
        log_warn("the detections' state was not saved", {"error", LOG_CSTR(err_detail())});
    } else {
        s->saved_next = detector_next(s->detector);
    }
    buf_release(&b);
}

void service_close(struct service *s)
{
    if (s == NULL) {
        return;
    }
    if (s->log != NULL) {
        service_commit(s);
        save_detector(s);
    }
    size_t cursor = 0;
    for (struct map_entry *m; (m = map_at(&s->replayed, &cursor)) != NULL;) {
        free(m->value);
    }
    map_release(&s->replayed);
    batch_release(&s->batch);
    detector_free(s->detector);
    index_close(s->index);
    tlog_close(s->log);
    secret_release(&s->hmac_key);
    uids_release(&s->uids);
    free(s->origin);
    free(s->dir);
    free(s);
}

/* ---- housekeeping ---- */

/* Events that the index could not take while the disk was full. */
static void catch_up_index(struct service *s)
{
    struct arena a;
    arena_init(&a, EVENT_ARENA);
    for (uint64_t at; (at = index_next(s->index)) < tlog_size(s->log);) {
        struct str line;
        struct json *v;
        struct event e;
        arena_reset(&a);
        if (failed(tlog_entry(s->log, &a, at, &line)) || failed(json_parse(&a, line, NULL, &v))) {
            break;
        }
        event_read(v, &e);
        index_event(s, &e);
        if (index_next(s->index) == at) {
            break;
        }
    }
    arena_release(&a);
}

bool service_tick(struct service *s)
{
    struct err e = tlog_integrate(s->log, SERVICE_INTEGRATE);
    if (!failed(e)) {
        e = tlog_retire(s->log);
    }
    if (failed(e)) {
        log_warn("the tree waits", {"error", LOG_CSTR(err_detail())});
        return false;
    }
    if (index_next(s->index) < tlog_size(s->log)) {
        catch_up_index(s);
    }
    int64_t now = clock_mono_ns() / NS_PER_MS;
    if (now - s->saved_ms >= SAVE_EVERY_MS) {
        s->saved_ms = now;
        save_detector(s);
    }
    return tlog_integrated(s->log) < tlog_size(s->log);
}

bool service_wants_checkpoint(const struct service *s)
{
    return tlog_integrated(s->log) > tlog_published(s->log) || tlog_published(s->log) == 0;
}

struct err service_promise(struct service *s, struct checkpoint *c)
{
    return tlog_promise(s->log, c);
}

struct err service_publish(struct service *s, const struct checkpoint *c,
                           const struct note_key *key, struct str signature)
{
    struct buf b;
    struct arena a;
    struct checkpoint back;
    buf_init(&b, NOTE_MAX);
    arena_init(&a, 1 << 18);
    checkpoint_put(&b, c);
    buf_putc(&b, '\n');
    note_put_sig(&b, key, signature);
    struct err e = checkpoint_open(&a, buf_str(&b), key, &back);
    if (!failed(e)) {
        e = tlog_publish(s->log, c, buf_str(&b));
    }
    arena_release(&a);
    buf_release(&b);
    return e;
}

static struct err source_entry(void *ctx, struct arena *a, uint64_t index, struct str *out)
{
    struct service *s = ctx;
    return tlog_entry(s->log, a, index, out);
}

struct ask_source service_source(struct service *s)
{
    return (struct ask_source){source_entry, s, tlog_size(s->log), s->index};
}
