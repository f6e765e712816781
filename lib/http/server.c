/* The server as a whole: listeners, connections, deadlines, the end. */
#include "http_priv.h"

#include "lib/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEAD_MS = 15000, BODY_MS = 60000, IDLE_MS = 75000, MAX_CONNS = 10000 };

static const struct str h2_preface = STR_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/* ---- dates ---- */

struct str http_server_date(struct http_server *s)
{
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t turn = loop_now_ms(s->loop);
    if (turn == s->date_turn && s->date_s != 0) { /* the clock is read once a turn at most */
        return str_n(s->date, sizeof(s->date) - 1);
    }
    s->date_turn = turn;
    int64_t now = clock_wall_s();
    if (now != s->date_s) {
        int64_t year, day_number = now / 86400, in_day = now % 86400;
        unsigned month, day;
        civil_from_days(day_number, &year, &month, &day);
        snprintf(s->date, sizeof(s->date), "%s, %02u %s %04d %02d:%02d:%02d GMT",
                 days[(size_t)(day_number % 7)], day, months[month - 1], (int)year,
                 (int)(in_day / 3600), (int)(in_day / 60 % 60), (int)(in_day % 60));
        s->date_s = now;
    }
    return str_n(s->date, sizeof(s->date) - 1);
}

/* ---- life of server and connections ---- */

void http_server_unref(struct http_server *s)
{
    if (--s->refs > 0) {
        return;
    }
    while (s->free_exchanges != NULL) {
        struct http_exchange *x = s->free_exchanges;
        s->free_exchanges = x->next;
        arena_release(&x->arena);
        buf_release(&x->body);
        buf_release(&x->out);
        free(x);
    }
    buf_release(&s->head);
    free(s->listeners);
    free(s->listener_tls);
    free(s);
}

void http_conn_ref(struct http_conn *hc)
{
    hc->refs++;
}

void http_conn_unref(struct http_conn *hc)
{
    if (--hc->refs > 0) {
        return;
    }
    struct http_server *s = hc->server;
    buf_release(&hc->in);
    free(hc);
    http_server_unref(s);
}

void http_conn_deadline(struct http_conn *hc, int ms)
{
    hc->deadline_ms = ms > 0 ? loop_now_ms(hc->server->loop) + ms : 0;
}

static void maybe_drained(struct http_server *s)
{
    if (s->draining && s->n_conns == 0 && s->drained != NULL) {
        void (*drained)(void *) = s->drained;
        s->drained = NULL;
        drained(s->drained_ctx);
    }
}

void http_server_request_done(struct http_server *s)
{
    s->n_requests--;
}

static void unlink_conn(struct http_conn *hc)
{
    struct http_server *s = hc->server;
    if (hc->prev != NULL) {
        hc->prev->next = hc->next;
    } else {
        s->conns = hc->next;
    }
    if (hc->next != NULL) {
        hc->next->prev = hc->prev;
    }
    s->n_conns--;
}

static void on_close(struct conn *c, struct err why, void *ctx)
{
    struct http_conn *hc = ctx;
    struct http_server *s = hc->server;
    hc->gone = true;
    hc->conn = NULL;
    unlink_conn(hc);
    if (hc->h2 != NULL) {
        h2_server_free(hc);
    } else if (hc->x != NULL) {
        struct http_exchange *x = hc->x;
        hc->x = NULL;
        exchange_abort(x);
    }
    if (hc->conn_ctx != NULL && s->opts.on_conn_close != NULL) {
        s->opts.on_conn_close(hc->conn_ctx);
    }
    maybe_drained(s);
    http_conn_unref(hc);
}

/* ---- which version is it ---- */

static bool could_be_h2(const struct http_conn *hc, struct str bytes, bool *whole)
{
    size_t n = MIN(bytes.n, h2_preface.n);
    *whole = n == h2_preface.n;
    return !hc->server->opts.no_h2 && memcmp(bytes.p, h2_preface.p, n) == 0;
}

/* False while the first bytes could still become either version. */
static bool sniff(struct http_conn *hc, struct str bytes)
{
    bool whole, maybe_h2;
    if (str_is(conn_peer(hc->conn)->alpn, "h2")) {
        maybe_h2 = whole = true;
    } else {
        maybe_h2 = could_be_h2(hc, bytes, &whole);
    }
    if (maybe_h2 && !whole) {
        return false;
    }
    hc->sniffed = true;
    if (maybe_h2 && !h2_server_start(hc)) {
        conn_abort(hc->conn);
        return false;
    }
    return true;
}

static void on_data(struct conn *c, struct str bytes, void *ctx)
{
    struct http_conn *hc = ctx;
    http_conn_ref(hc);
    if (hc->sniffed) {
        if (hc->h2 != NULL) {
            h2_server_data(hc, bytes);
        } else {
            h1_conn_data(hc, bytes);
        }
    } else if (hc->in.n == 0 && sniff(hc, bytes)) {
        on_data(c, bytes, hc);
    } else if (!hc->sniffed && !hc->gone) {
        buf_puts(&hc->in, bytes);
        if (sniff(hc, buf_str(&hc->in))) {
            struct buf first = hc->in;
            buf_init(&hc->in, first.max);
            on_data(c, buf_str(&first), hc);
            buf_release(&first);
        }
    }
    http_conn_unref(hc);
}

/* The client said it will send no more: it may still wait for its answer. */
static void on_eof(struct conn *c, void *ctx)
{
    struct http_conn *hc = ctx;
    hc->saw_eof = true;
    bool waits =
        hc->h2 == NULL && hc->x != NULL && hc->x->state != X_READING && hc->x->on_abort == NULL;
    if (!waits) {
        conn_close(c);
    }
}

static void on_drain(struct conn *c, void *ctx)
{
    struct http_conn *hc = ctx;
    if (hc->h2 != NULL) {
        h2_server_flush(hc);
    } else if (hc->x != NULL && hc->x->on_drain != NULL) {
        hc->x->on_drain(hc->x->drain_ctx);
    }
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_close = on_close};

/* ---- deadlines ---- */

/* Something waits to be written, and the client has taken nothing of it for STALL_MS. */
static bool stalled(struct http_conn *hc, int64_t now)
{
    uint64_t sent = conn_sent(hc->conn);
    if (conn_pending(hc->conn) == 0 || sent != hc->sent) {
        hc->sent = sent;
        hc->stalled_since_ms = now;
    }
    return now - hc->stalled_since_ms > STALL_MS;
}

static void expire(struct http_conn *hc)
{
    hc->deadline_ms = 0;
    if (hc->h2 != NULL) {
        h2_server_expire(hc);
    } else if (hc->x != NULL || hc->in.n > 0) {
        h1_send_error(hc, 408);
    } else {
        conn_close(hc->conn);
    }
}

static void sweep(void *ctx)
{
    struct http_server *s = ctx;
    int64_t now = loop_now_ms(s->loop);
    for (struct http_conn *hc = s->conns, *next; hc != NULL; hc = next) {
        next = hc->next;
        if (stalled(hc, now)) {
            conn_abort(hc->conn);
        } else if (hc->deadline_ms != 0 && now > hc->deadline_ms) {
            expire(hc);
        }
    }
    if (s->conns == NULL) { /* nobody to watch: an idle server wakes nobody up */
        timer_stop(s->sweep);
        s->sweep = NULL;
    }
}

static struct http_conn *take_conn(struct http_server *s, struct conn *c, void *conn_ctx)
{
    struct http_conn *hc = calloc(1, sizeof(*hc));
    if (hc == NULL || s->draining || s->freed) {
        free(hc);
        conn_close(c);
        return NULL;
    }
    hc->server = s;
    hc->conn_ctx = conn_ctx;
    hc->conn = c;
    hc->refs = 1;
    hc->secure = conn_peer(c)->tls;
    hc->stalled_since_ms = loop_now_ms(s->loop);
    buf_init(&hc->in, (size_t)s->opts.head.head_max + PIPELINE_MAX + 256 * 1024);
    hc->next = s->conns;
    if (s->conns != NULL) {
        s->conns->prev = hc;
    }
    s->conns = hc;
    s->n_conns++;
    s->refs++;
    http_conn_deadline(hc, s->opts.head_ms);
    if (s->sweep == NULL) {
        s->sweep = timer_start(s->loop, SWEEP_MS, SWEEP_MS, sweep, s);
        timer_background(s->sweep);
    }
    conn_start(c, &handler, hc);
    return hc;
}

static void on_conn(void *ctx, struct conn *c)
{
    take_conn(ctx, c, NULL);
}

void http_server_adopt(struct http_server *s, struct conn *c, struct str first, void *conn_ctx)
{
    struct http_conn *hc = take_conn(s, c, conn_ctx);
    if (hc != NULL && first.n > 0) {
        on_data(c, first, hc);
    }
}

/* ---- public ---- */

struct err http_server_new(struct loop *l, const struct http_server_opts *o,
                           struct http_server **out)
{
    BUG_ON(o->handle == NULL);
    struct http_server *s = calloc(1, sizeof(*s));
    ENSURE(s != NULL, ERR_LIMIT, "out of memory for a server");
    s->loop = l;
    s->opts = *o;
    s->opts.head.head_max = o->head.head_max > 0 ? o->head.head_max : (size_t)H1_HEAD_MAX;
    s->opts.body_max = o->body_max > 0 ? o->body_max : (size_t)HTTP_BODY_MAX;
    s->opts.arena_max = o->arena_max > 0 ? o->arena_max : (size_t)HTTP_ARENA_MAX;
    s->opts.head_ms = o->head_ms > 0 ? o->head_ms : HEAD_MS;
    s->opts.body_ms = o->body_ms > 0 ? o->body_ms : BODY_MS;
    s->opts.idle_ms = o->idle_ms > 0 ? o->idle_ms : IDLE_MS;
    s->opts.max_conns = o->max_conns > 0 ? o->max_conns : MAX_CONNS;
    buf_init(&s->head, 64 * 1024);
    s->refs = 1;
    *out = s;
    return OK;
}

struct err http_server_listen(struct http_server *s, struct str address, struct tls_server *tls,
                              const struct listen_opts *lo)
{
    struct listen_opts o = lo != NULL ? *lo : (struct listen_opts){.mode = 0};
    if (o.max_conns == 0) {
        o.max_conns = s->opts.max_conns;
    }
    struct listener **grown = realloc(s->listeners, (s->n_listeners + 1) * sizeof(*grown));
    ENSURE(grown != NULL, ERR_LIMIT, "out of memory for a listener");
    s->listeners = grown;
    TRY(loop_listen(s->loop, address, tls, &o, on_conn, s, &s->listeners[s->n_listeners]));
    s->n_listeners++;
    return OK;
}

const char *http_server_address(const struct http_server *s, size_t i)
{
    return i < s->n_listeners ? listener_address(s->listeners[i]) : NULL;
}

static void stop_listening(struct http_server *s)
{
    for (size_t i = 0; i < s->n_listeners; i++) {
        listener_close(s->listeners[i]);
    }
    s->n_listeners = 0;
}

static void drained_later(void *ctx)
{
    maybe_drained(ctx);
    http_server_unref(ctx);
}

void http_server_drain(struct http_server *s, void (*done)(void *), void *ctx)
{
    stop_listening(s);
    s->draining = true;
    s->drained = done;
    s->drained_ctx = ctx;
    for (struct http_conn *hc = s->conns; hc != NULL; hc = hc->next) {
        if (hc->h2 != NULL) {
            h2_server_goaway(hc);
        } else if (hc->x == NULL) {
            conn_close(hc->conn);
        }
    }
    s->refs++;
    loop_defer(s->loop, drained_later, s);
}

void http_server_free(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    stop_listening(s);
    timer_stop(s->sweep);
    s->sweep = NULL;
    s->freed = true;
    s->drained = NULL;
    for (struct http_conn *hc = s->conns; hc != NULL; hc = hc->next) {
        conn_abort(hc->conn);
    }
    http_server_unref(s);
}
