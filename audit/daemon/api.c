/* What can be asked of the log: questions, events, alerts, proofs, and the tlog-tiles files themselves. */
#include "audit_daemon.h"

#include "audit/tlog/files.h"
#include "audit/tlog/tlog_read.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <inttypes.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 << 20, PAGE_BYTES = 4 << 20, ALERTS_PAGE = 256 };

static void reply_error(struct http_req *req, struct err e)
{
    struct buf body;
    struct jw w;
    buf_init(&body, 4096);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key_str(&w, S("error"), str_of(err_text(e)));
    jw_key_str(&w, S("detail"), str_of(err_detail()));
    jw_end(&w);
    http_reply_json(req, err_http_status(e), buf_str(&body));
    buf_release(&body);
}

/* ---- who may read ---- */

static bool id_may_read(const struct audit *a, struct arena *arena, struct str id)
{
    static const char *const usual[] = {"respond", "console", "audit", "assess"};
    const struct config_list *readers = &a->config->readers;
    for (size_t i = 0; i < readers->n; i++) {
        if (str_eq(readers->items[i], id)) {
            return true;
        }
    }
    for (size_t i = 0; readers->n == 0 && i < ARRAY_LEN(usual); i++) {
        if (str_eq(id, arena_printf(arena, "spiffe://%.*s/sextant/%s", STR_FMT(a->d->trust_domain),
                                    usual[i]))) {
            return true;
        }
    }
    return false;
}

/* The operator on this host is root, or whoever runs the daemon: both could read the files anyway. */
static bool is_operator(const struct http_req *req)
{
    return req->peer->kind == PEER_UNIX && (req->peer->uid == 0 || req->peer->uid == geteuid());
}

bool api_may_read(struct audit *a, struct http_req *req)
{
    struct caller who;
    if (is_operator(req)) {
        return true;
    }
    struct err e = daemon_caller(a->d, req, &who);
    if (!failed(e) && !id_may_read(a, req->arena, who.spiffe_id)) {
        e = err_make(ERR_DENIED, "'%.*s' is not among the readers of the log",
                     STR_FMT(who.spiffe_id));
    }
    if (failed(e)) {
        log_warn("reader refused", {"error", LOG_CSTR(err_detail())});
        reply_error(req, e);
        return false;
    }
    return true;
}

static void nobody_waits(void *ctx, struct err e)
{
}

/* Reading the log is itself logged. What was asked about is not a field that questions look at. */
static void log_question(struct audit *a, struct http_req *req, struct str what, struct str of)
{
    struct caller who = {.spiffe_id = S("operator"), .source = req->peer->addr};
    ignore_err(daemon_caller(a->d, req, &who));
    struct json *extra = json_new_object(req->arena);
    struct buf line;
    unsigned n;
    json_set(req->arena, extra, S("asked_about"), json_new_string(req->arena, of));
    struct audit_event e = {.class_uid = OCSF_API_ACTIVITY,
                            .activity_id = 2,
                            .activity = "ask",
                            .outcome = "allowed",
                            .reason = what,
                            .extra = extra};
    daemon_audit_caller(&e, &who, &req->trace);
    struct sender self = {S("audit"), str_of(a->d->spiffe_id)};
    buf_init(&line, EVENT_LINE_MAX);
    audit_event_write(&line, &e, "audit");
    if (failed(service_take(a->service, buf_str(&line), &self, nobody_waits, NULL, &n))) {
        log_error("a question could not be logged", {"error", LOG_CSTR(err_detail())});
    }
    buf_release(&line);
}

/* ---- questions ---- */

static struct err query_number(struct http_req *req, const char *name, uint64_t fallback,
                               uint64_t max, uint64_t *out)
{
    struct str text;
    uint64_t n = fallback;
    if (http_query_get(req, name, &text)) {
        struct err e = str_to_u64(text, &n);
        if (failed(e)) {
            return err_wrap(e, "parameter '%s'", name);
        }
    }
    ENSURE(n <= max, ERR_RANGE, "parameter '%s' is at most %" PRIu64, name, max);
    *out = n;
    return OK;
}

static struct err query_time(struct http_req *req, const char *name, int64_t *out)
{
    struct str text;
    int64_t ns = 0;
    if (http_query_get(req, name, &text)) {
        TRY(clock_parse_rfc3339(text, &ns));
    }
    *out = ns / NS_PER_MS;
    return OK;
}

static struct err read_question(struct http_req *req, struct ask *q)
{
    struct str word;
    uint64_t limit;
    ENSURE(http_query_get(req, "question", &word), ERR_INVALID, "parameter 'question' is missing");
    TRY(ask_question_parse(word, &q->question));
    ENSURE(http_query_get(req, "of", &q->of) && q->of.n > 0, ERR_INVALID,
           "parameter 'of' is missing");
    TRY(query_time(req, "since", &q->since_ms));
    TRY(query_time(req, "until", &q->until_ms));
    TRY(query_number(req, "limit", ASK_LIMIT, ASK_LIMIT_MAX, &limit));
    q->limit = (size_t)limit;
    if (!http_query_get(req, "outcome", &q->outcome)) {
        q->outcome = STR_EMPTY;
    }
    if (!http_query_get(req, "daemon", &q->daemon)) {
        q->daemon = STR_EMPTY;
    }
    return OK;
}

static void get_ask(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    struct ask q = {0};
    struct buf body;
    if (!api_may_read(a, req)) {
        return;
    }
    struct err e = read_question(req, &q);
    if (failed(e)) {
        reply_error(req, e);
        return;
    }
    struct ask_source s = service_source(a->service);
    buf_init(&body, ANSWER_MAX);
    e = ask_answer(&s, &q, &body);
    if (failed(e)) {
        reply_error(req, e);
    } else {
        struct str word;
        log_question(a, req, http_query_get(req, "question", &word) ? word : STR_EMPTY, q.of);
        http_reply_json(req, 200, buf_str(&body));
    }
    buf_release(&body);
}

/* ---- events and alerts, with long polls ---- */

struct waiter {
    struct waiter *next;
    struct audit *a;
    struct http_req *req;
    uint64_t from, limit;
    bool alerts;
    struct timer *timer;
};

static struct err put_events(struct audit *a, uint64_t from, uint64_t limit, struct buf *out,
                             uint64_t *next)
{
    uint64_t size = tlog_size(service_log(a->service)), at = from;
    for (; at < size && at - from < limit && out->n < PAGE_BYTES; at++) {
        struct arena arena;
        struct str entry;
        arena_init(&arena, 1 << 18);
        struct err e = tlog_entry(service_log(a->service), &arena, at, &entry);
        if (!failed(e)) {
            buf_puts(out, entry);
            buf_putc(out, '\n');
        }
        arena_release(&arena);
        TRY(e);
    }
    *next = MAX(at, from);
    return buf_check(out);
}

static struct err put_alerts(struct audit *a, uint64_t from, struct buf *out, uint64_t *next)
{
    uint64_t found[ALERTS_PAGE];
    size_t n;
    struct jw w;
    TRY(service_findings(a->service, from, found, ARRAY_LEN(found), &n));
    *next = n > 0 ? found[n - 1] + 1 : from;
    jw_init(&w, out);
    jw_obj(&w);
    jw_key_int(&w, S("next"), (int64_t)*next);
    jw_key(&w, S("alerts"));
    jw_arr(&w);
    for (size_t i = 0; i < n; i++) {
        struct arena arena;
        struct str entry;
        struct json *v;
        arena_init(&arena, 1 << 20);
        struct err e = tlog_entry(service_log(a->service), &arena, found[i], &entry);
        e = failed(e) ? e : json_parse(&arena, entry, NULL, &v);
        /* Any event may say "detection" of itself; only findings of this daemon count. */
        if (!failed(e) &&
            str_is(json_str(json_path(v, "metadata.product.name")), "sextant-audit")) {
            jw_json(&w, v);
        }
        arena_release(&arena);
        TRY(e);
    }
    jw_end(&w);
    jw_end(&w);
    return buf_check(out);
}

static void send_page(struct http_req *req, bool alerts, uint64_t next, struct str body)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64, next);
    struct http_header h[] = {{S("x-next"), str_of(text)}};
    http_reply(req, &(struct http_reply){.status = 200,
                                         .body = body,
                                         .headers = h,
                                         .n_headers = 1,
                                         .content_type = alerts ? S("application/json")
                                                                : S("application/x-ndjson")});
}

/* Answers when there is something to tell or `now`; false while there is nothing. */
static bool try_page(struct audit *a, struct http_req *req, const struct waiter *w, bool now)
{
    struct buf body;
    uint64_t next = w->from;
    buf_init(&body, PAGE_BYTES + (1 << 20));
    struct err e = w->alerts ? put_alerts(a, w->from, &body, &next)
                             : put_events(a, w->from, w->limit, &body, &next);
    bool answer = failed(e) || next > w->from || now;
    if (failed(e)) {
        reply_error(req, e);
    } else if (answer) {
        send_page(req, w->alerts, next, buf_str(&body));
    }
    buf_release(&body);
    return answer;
}

static void waiter_unlink(struct waiter *w)
{
    struct waiter **at = &w->a->waiters;
    while (*at != w) {
        at = &(*at)->next;
    }
    *at = w->next;
    w->a->n_waiters--;
}

static void waiter_gone(void *ctx)
{
    struct waiter *w = ctx;
    waiter_unlink(w);
    timer_stop(w->timer);
    free(w);
}

static void waiter_timeout(void *ctx)
{
    struct waiter *w = ctx;
    waiter_unlink(w);
    try_page(w->a, w->req, w, true);
    free(w);
}

void api_committed(struct audit *a, uint64_t size)
{
    for (struct waiter *w = a->waiters, *next; w != NULL; w = next) {
        next = w->next;
        if (w->from < size && try_page(a, w->req, w, false)) {
            waiter_gone(w);
        }
    }
}

void api_release(struct audit *a)
{
    while (a->waiters != NULL) {
        timer_stop(a->waiters->timer);
        waiter_timeout(a->waiters);
    }
}

static void page_or_wait(struct http_req *req, struct audit *a, bool alerts)
{
    uint64_t wait_s = 0;
    struct waiter w = {.a = a, .req = req, .alerts = alerts};
    if (!api_may_read(a, req)) {
        return;
    }
    struct err e = query_number(req, "from", 0, INT64_MAX, &w.from);
    e = failed(e) ? e : query_number(req, "limit", AUDIT_PAGE_MAX, AUDIT_PAGE_MAX, &w.limit);
    e = failed(e) ? e : query_number(req, "wait", 0, AUDIT_WAIT_MAX_S, &wait_s);
    if (!failed(e) && wait_s > 0 && a->n_waiters >= AUDIT_WAITERS_MAX) {
        e = err_make(ERR_BUSY, "%d long polls are waiting already", AUDIT_WAITERS_MAX);
    }
    if (failed(e)) {
        reply_error(req, e);
        return;
    }
    if (try_page(a, req, &w, wait_s == 0)) {
        return;
    }
    struct waiter *kept = malloc(sizeof(*kept));
    BUG_ON(kept == NULL);
    *kept = w;
    kept->next = a->waiters;
    a->waiters = kept;
    a->n_waiters++;
    kept->timer = timer_start(a->d->loop, (int64_t)wait_s * 1000, 0, waiter_timeout, kept);
    http_on_abort(req, waiter_gone, kept);
}

static void get_events(struct http_req *req, void *ctx)
{
    page_or_wait(req, ctx, false);
}

static void get_alerts(struct http_req *req, void *ctx)
{
    page_or_wait(req, ctx, true);
}

static void get_event(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    uint64_t index;
    struct str entry;
    if (!api_may_read(a, req)) {
        return;
    }
    struct err e = str_to_u64(http_param(req, "index"), &index);
    e = failed(e) ? e : tlog_entry(service_log(a->service), req->arena, index, &entry);
    if (failed(e)) {
        reply_error(req, e);
        return;
    }
    http_reply_json(req, 200, entry);
}

static void get_proof(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    uint64_t index;
    struct tlog_proof p;
    if (!api_may_read(a, req)) {
        return;
    }
    struct err e = str_to_u64(http_param(req, "index"), &index);
    e = failed(e) ? e : tlog_prove(service_log(a->service), req->arena, index, &p);
    if (failed(e)) {
        reply_error(req, e);
        return;
    }
    struct buf body;
    buf_init(&body, TLOG_PROOF_MAX);
    tlog_proof_put(&body, &p);
    http_reply_text(req, 200, buf_str(&body));
    buf_release(&body);
}

static void get_vkey(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    struct note_key key;
    if (!signer_key(a->signer, &key)) {
        http_reply_text(req, 503, S("the checkpoint key in crypto has not been seen yet\n"));
        return;
    }
    struct buf body;
    buf_init(&body, 1024);
    note_key_put(&body, &key);
    buf_putc(&body, '\n');
    http_reply_text(req, 200, buf_str(&body));
    buf_release(&body);
}

static void get_status(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    const struct service_counts *c = service_counts(a->service);
    const struct tlog *t = service_log(a->service);
    struct buf body;
    struct jw w;
    if (!api_may_read(a, req)) {
        return;
    }
    buf_init(&body, 4096);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key_str(&w, S("origin"), a->origin);
    jw_key_int(&w, S("size"), (int64_t)tlog_size(t));
    jw_key_int(&w, S("integrated"), (int64_t)tlog_integrated(t));
    jw_key_int(&w, S("checkpoint_size"), (int64_t)tlog_published(t));
    jw_key_int(&w, S("taken"), (int64_t)c->taken);
    jw_key_int(&w, S("repeated"), (int64_t)c->repeated);
    jw_key_int(&w, S("refused"), (int64_t)c->refused);
    jw_key_int(&w, S("findings"), (int64_t)c->findings);
    jw_key_int(&w, S("syncs"), (int64_t)c->commits);
    jw_key_int(&w, S("sync_us_mean"),
               c->commits > 0 ? (int64_t)(c->sync_ns / c->commits / 1000) : 0);
    jw_key_int(&w, S("sync_us_max"), (int64_t)(c->sync_max_ns / 1000));
    jw_key_bool(&w, S("disk_full"), c->disk_full);
    jw_end(&w);
    http_reply_json(req, 200, buf_str(&body));
    buf_release(&body);
}

/* ---- the log's own files: C2SP tlog-tiles, read API ---- */

static void send_file(struct http_req *req, struct err e, struct str bytes, struct str type,
                      struct str cache)
{
    if (failed(e)) {
        bool misspelt = e.code == ERR_SYNTAX || e.code == ERR_RANGE;
        reply_error(req, misspelt ? err_make(ERR_NOT_FOUND, "there is no such file") : e);
        return;
    }
    struct http_header h[] = {{S("cache-control"), cache}};
    http_reply(
        req, &(struct http_reply){
                 .status = 200, .content_type = type, .body = bytes, .headers = h, .n_headers = 1});
}

static void get_checkpoint(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    struct str text = STR_EMPTY;
    struct err e =
        file_read(req->arena, tlog_folder(service_log(a->service)), "checkpoint", NOTE_MAX, &text);
    send_file(req, e, text, S("text/plain; charset=utf-8"), S("no-cache"));
}

/* Tiles of hashes tell nothing and are for everyone; bundles are the events themselves. */
static void get_tile(struct http_req *req, void *ctx)
{
    struct audit *a = ctx;
    struct tile_name name;
    struct tlog_reader r;
    struct buf bytes;
    struct str path = arena_printf(req->arena, "tile/%.*s", STR_FMT(http_param(req, "path")));
    struct err e = tile_path_parse(path, &name);
    if (!failed(e) && name.entries && !api_may_read(a, req)) {
        return;
    }
    buf_init(&bytes, BUNDLE_MAX + (1 << 16));
    tlog_reader_init(&r, tlog_folder(service_log(a->service)), UINT64_MAX);
    e = failed(e) ? e : tlog_read_partial(&r, &name, &bytes);
    send_file(req, e, buf_str(&bytes), S("application/octet-stream"),
              S("max-age=31536000, immutable"));
    tlog_reader_release(&r);
    buf_release(&bytes);
}

void api_routes(struct audit *a)
{
    struct router *r = &a->router;
    router_add(r, "POST", "/v1/events", intake_post, a);
    router_add(r, "GET", "/v1/events", get_events, a);
    router_add(r, "GET", "/v1/events/{index}", get_event, a);
    router_add(r, "GET", "/v1/events/{index}/proof", get_proof, a);
    router_add(r, "GET", "/v1/alerts", get_alerts, a);
    router_add(r, "GET", "/v1/ask", get_ask, a);
    router_add(r, "GET", "/v1/vkey", get_vkey, a);
    router_add(r, "GET", "/v1/status", get_status, a);
    router_add(r, "GET", "/checkpoint", get_checkpoint, a);
    router_add(r, "GET", "/tile/{path...}", get_tile, a);
    daemon_add_common_routes(a->d, r);
}
