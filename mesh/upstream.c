#include "upstream.h"

#include "lib/base/map.h"
#include "lib/http/h2.h"
#include "lib/tls/tls.h"

#include <stdlib.h>

enum {
    IDLE_MAX = 64,
    IDLE_MS = 60000,
    SWEEP_MS = 5000,
    CONNECT_MS = 5000,
    KEY_MAX = 1024,
    INTERIM_MAX = 8,
    USUAL_HEAD = 1500
};

struct up_key {
    struct upstream *up;
    char *address, *expect; /* owned */
    bool mtls, h2;
    struct up_conn *idle;
    unsigned n_idle;
};

struct up_conn {
    struct up_conn *prev, *next; /* of all */
    struct up_conn *next_idle;
    struct up_key *key;
    struct conn *conn;     /* NULL while connecting, and for ever after the end */
    struct up_stream *cur; /* HTTP/1.1: the request under way */
    struct h2_client *h2;
    struct buf in;
    struct h1_scan scan;
    struct h1_head head;
    struct h1_body body;
    struct arena arena; /* of the answer's head */
    int64_t idle_since_ms;
    unsigned served, interim;
    bool have_head, answered, is_idle, dead;
};

struct up_stream {
    struct up_conn *uc;
    struct upstream *up;
    struct up_key *key;
    const struct up_handler *h;
    void *ctx;
    struct up_stream *prev, *next; /* waiting for a connection */
    struct h2_stream *h2;
    size_t h2_held;             /* bytes delivered but not acknowledged while paused */
    struct buf head;            /* HTTP/1.1 request head; kept for a second try */
    struct http_header *fields; /* HTTP/2 request head, in `arena` */
    size_t n_fields;
    struct arena arena;
    bool is_head, body, chunked, sent_end, paused, waiting, retried;
    struct str method;
    char method_text[33];
};

struct upstream {
    struct loop *loop;
    struct upstream_opts opts;
    struct map keys;
    struct up_conn *conns;
    size_t n_conns;
    struct timer *sweep;
    unsigned refs;
    bool freed;
};

static void up_unref(struct upstream *u)
{
    if (--u->refs > 0) {
        return;
    }
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&u->keys, &i)) != NULL;) {
        struct up_key *k = e->value;
        free(k->address);
        free(k->expect);
        free(k);
    }
    map_release(&u->keys);
    free(u);
}

/* ---- ends ---- */

static void stream_free(struct up_stream *s)
{
    struct upstream *u = s->up;
    buf_release(&s->head);
    arena_release(&s->arena);
    free(s);
    up_unref(u);
}

static void end_stream(struct up_stream *s, struct err why)
{
    const struct up_handler *h = s->h;
    void *ctx = s->ctx;
    if (s->uc != NULL && s->uc->cur == s) {
        s->uc->cur = NULL;
    }
    stream_free(s);
    h->on_close(ctx, why);
}

static void leave_idle(struct up_conn *uc)
{
    if (!uc->is_idle) {
        return;
    }
    struct up_conn **at = &uc->key->idle;
    while (*at != uc) {
        at = &(*at)->next_idle;
    }
    *at = uc->next_idle;
    uc->key->n_idle--;
    uc->is_idle = false;
}

static void conn_drop(struct up_conn *uc)
{
    leave_idle(uc);
    uc->dead = true;
    if (uc->conn != NULL) {
        conn_abort(uc->conn);
    }
}

static void conn_forget(struct up_conn *uc)
{
    struct upstream *u = uc->key->up;
    leave_idle(uc);
    if (uc->prev != NULL) {
        uc->prev->next = uc->next;
    } else {
        u->conns = uc->next;
    }
    if (uc->next != NULL) {
        uc->next->prev = uc->prev;
    }
    u->n_conns--;
    buf_release(&uc->in);
    arena_release(&uc->arena);
    free(uc);
    up_unref(u);
}

/* ---- HTTP/1.1: the answer ---- */

static void became_idle(struct up_conn *uc)
{
    struct up_key *k = uc->key;
    if (k->up->freed || k->n_idle >= IDLE_MAX) {
        uc->dead = true;
        conn_close(uc->conn);
        return;
    }
    arena_reset(&uc->arena);
    uc->idle_since_ms = loop_now_ms(k->up->loop);
    uc->next_idle = k->idle;
    k->idle = uc;
    k->n_idle++;
    uc->is_idle = true;
}

static void answer_complete(struct up_conn *uc, bool keep)
{
    struct up_stream *s = uc->cur;
    uc->cur = NULL;
    uc->served++;
    uc->have_head = false;
    keep = keep && (s->sent_end || !s->body);
    if (keep) {
        conn_resume(uc->conn);
        became_idle(uc);
    } else {
        uc->dead = true;
        conn_close(uc->conn);
    }
    s->uc = NULL;
    end_stream(s, OK);
}

/* Takes a head from the front of `in`; *in unchanged when it is not complete. */
static struct err take_head(struct up_conn *uc, struct str *in)
{
    static const struct h1_limits limits = {.head_max = 64 * 1024};
    struct up_stream *s = uc->cur;
    size_t n = 0;
    TRY(h1_head_end(&uc->scan, *in, &limits, &n));
    if (n == 0) {
        return OK;
    }
    arena_reset(&uc->arena);
    char *copy = arena_alloc_raw(&uc->arena, n, 1);
    memcpy(copy, in->p, n);
    TRY(h1_parse_response(&uc->arena, copy, n, &limits, s->method, &uc->head));
    *in = str_sub(*in, n, in->n);
    uc->scan = (struct h1_scan){0};
    ENSURE(uc->head.code != 101, ERR_UNSUPPORTED, "the workload switched protocols unasked");
    if (uc->head.code / 100 == 1) {
        ENSURE(++uc->interim <= INTERIM_MAX, ERR_LIMIT, "too many interim answers");
        return OK;
    }
    uc->have_head = true;
    h1_body_init(&uc->body, &uc->head, UINT64_MAX);
    s->h->on_head(s->ctx, uc->head.code, uc->head.headers, uc->head.n_headers, uc->body.done);
    return OK;
}

static struct err advance(struct up_conn *uc, struct str *in)
{
    struct up_stream *s = uc->cur;
    while (in->n > 0 && !uc->have_head && uc->cur == s) {
        size_t before = in->n;
        TRY(take_head(uc, in));
        if (in->n == before) {
            return OK;
        }
    }
    while (in->n > 0 && uc->cur == s && uc->have_head && !uc->body.done) {
        struct str piece;
        TRY(h1_body_next(&uc->body, in, &piece));
        if (piece.n > 0) {
            s->h->on_data(s->ctx, piece);
        }
    }
    return OK;
}

static void on_data(struct conn *c, struct str bytes, void *ctx)
{
    struct up_conn *uc = ctx;
    struct up_stream *s = uc->cur;
    if (uc->dead) {
        return;
    }
    if (s == NULL) {
        conn_drop(uc); /* an answer nobody asked for */
        return;
    }
    uc->answered = true;
    struct str in = bytes;
    bool buffered = uc->in.n > 0;
    if (buffered) {
        buf_puts(&uc->in, bytes);
        in = buf_str(&uc->in);
    }
    struct err e =
        buf_ok(&uc->in) ? advance(uc, &in) : err_make(ERR_LIMIT, "the answer's head is too long");
    if (failed(e)) {
        conn_drop(uc);
        if (uc->cur != NULL) {
            end_stream(uc->cur, e);
        }
        return;
    }
    if (uc->cur != s) { /* cancelled from inside */
        return;
    }
    if (buffered) {
        buf_consume(&uc->in, uc->in.n - in.n);
        if (uc->in.n == 0) {
            buf_release(&uc->in);
        }
    } else if (!uc->have_head) {
        buf_puts(&uc->in, in);
    }
    if (uc->have_head && uc->body.done) {
        answer_complete(uc, uc->head.keep_alive && in.n == 0);
    }
}

static void on_eof(struct conn *c, void *ctx)
{
    struct up_conn *uc = ctx;
    if (!uc->dead && uc->cur != NULL && uc->have_head && uc->body.framing == H1_UNTIL_CLOSE) {
        answer_complete(uc, false);
        return;
    }
    conn_close(c);
}

static void on_drain(struct conn *c, void *ctx)
{
    struct up_conn *uc = ctx;
    if (uc->cur != NULL && uc->cur->h->on_drain != NULL) {
        uc->cur->h->on_drain(uc->cur->ctx);
    }
}

static struct err begin(struct up_stream *s);

static void on_close(struct conn *c, struct err why, void *ctx)
{
    struct up_conn *uc = ctx;
    struct up_stream *s = uc->cur;
    bool again = s != NULL && uc->served > 0 && !uc->answered && !s->body && !s->retried &&
                 !uc->key->up->freed;
    uc->conn = NULL;
    uc->dead = true;
    uc->cur = NULL;
    if (s != NULL) {
        s->uc = NULL;
    }
    if (s != NULL && !again) {
        end_stream(s, failed(why) ? why
                                  : err_make(ERR_CLOSED, "the connection ended before the answer"));
    }
    conn_forget(uc);
    if (again) {
        s->retried = true;
        struct err e = begin(s);
        if (failed(e)) {
            end_stream(s, e);
        }
    }
}

static const struct conn_handler h1_conn_handler = {
    .on_data = on_data, .on_eof = on_eof, .on_drain = on_drain, .on_close = on_close};

static void send_h1(struct up_conn *uc, struct up_stream *s)
{
    uc->cur = s;
    s->uc = uc;
    uc->scan = (struct h1_scan){0};
    uc->have_head = uc->answered = false;
    uc->interim = 0;
    conn_write(uc->conn, buf_str(&s->head));
    conn_resume(uc->conn);
    s->h->on_ready(s->ctx);
}

/* ---- HTTP/2 ---- */

static void h2_head(void *ctx, int status, const struct http_header *headers, size_t n, bool end)
{
    struct up_stream *s = ctx;
    s->h->on_head(s->ctx, status, headers, n, end);
}

static void h2_data(void *ctx, struct str bytes)
{
    struct up_stream *s = ctx;
    struct h2_stream *h2 = s->h2;
    if (s->paused) {
        s->h2_held += bytes.n;
    } else {
        h2_stream_consumed(h2, bytes.n);
    }
    s->h->on_data(s->ctx, bytes);
}

static void h2_trailers(void *ctx, const struct http_header *headers, size_t n)
{
    struct up_stream *s = ctx;
    if (s->h->on_trailers != NULL) {
        s->h->on_trailers(s->ctx, headers, n);
    }
}

static void h2_drain(void *ctx)
{
    struct up_stream *s = ctx;
    if (s->h->on_drain != NULL) {
        s->h->on_drain(s->ctx);
    }
}

static void h2_closed(void *ctx, struct err why)
{
    struct up_stream *s = ctx;
    s->h2 = NULL;
    s->uc = NULL;
    end_stream(s, why);
}

static const struct h2_stream_handler h2_handler = {.on_head = h2_head,
                                                    .on_data = h2_data,
                                                    .on_trailers = h2_trailers,
                                                    .on_drain = h2_drain,
                                                    .on_close = h2_closed};

static void h2_gone(void *ctx, struct err why)
{
    struct up_conn *uc = ctx;
    uc->h2 = NULL;
    uc->conn = NULL;
    conn_forget(uc);
}

static struct err send_h2(struct up_conn *uc, struct up_stream *s)
{
    s->uc = uc;
    s->h2 = h2_request(uc->h2, s->fields, s->n_fields, !s->body, &h2_handler, s);
    ENSURE(s->h2 != NULL, ERR_BUSY, "the connection takes no more streams");
    s->h->on_ready(s->ctx);
    return OK;
}

/* ---- connections ---- */

static void on_connected(void *ctx, struct err e, struct conn *c)
{
    struct up_conn *uc = ctx;
    struct up_stream *s = uc->cur;
    struct upstream *u = uc->key->up;
    if (!failed(e) && (s == NULL || u->freed)) { /* cancelled meanwhile */
        conn_close(c);
        e = err_make(ERR_CLOSED, "no longer wanted");
    }
    if (!failed(e) && uc->key->h2) {
        struct h2_client_opts o = {.on_close = h2_gone, .ctx = uc};
        e = h2_client_new(c, &o, &uc->h2);
        uc->conn = c;
        uc->cur = NULL;
        if (!failed(e)) {
            e = send_h2(uc, s);
            if (failed(e)) {
                end_stream(s, e);
            }
            return;
        }
    }
    if (failed(e)) {
        uc->cur = NULL;
        if (s != NULL) {
            s->uc = NULL;
            end_stream(s, e);
        }
        conn_forget(uc);
        return;
    }
    uc->conn = c;
    conn_start(c, &h1_conn_handler, uc);
    send_h1(uc, s);
}

static void sweep(void *ctx)
{
    struct upstream *u = ctx;
    int64_t now = loop_now_ms(u->loop);
    for (struct up_conn *uc = u->conns; uc != NULL; uc = uc->next) {
        bool idle = uc->is_idle || (uc->h2 != NULL && h2_client_streams(uc->h2) == 0);
        if (uc->h2 != NULL && !idle) {
            uc->idle_since_ms = now;
        }
        if (idle && now - uc->idle_since_ms > IDLE_MS) {
            conn_drop(uc);
        }
    }
    if (u->conns == NULL) {
        timer_stop(u->sweep);
        u->sweep = NULL;
    }
}

static struct err new_conn(struct up_stream *s)
{
    struct up_key *k = s->key;
    struct upstream *u = k->up;
    struct up_conn *uc = calloc(1, sizeof(*uc));
    ENSURE(uc != NULL, ERR_LIMIT, "out of memory for a connection");
    struct connect_opts o = {.timeout_ms = u->opts.connect_ms > 0 ? u->opts.connect_ms : CONNECT_MS,
                             .mark = u->opts.mark,
                             .expect_spiffe = str_of(k->expect)};
    struct tls_client *tls = !k->mtls ? NULL : k->h2 ? u->opts.tls_h2 : u->opts.tls_h1;
    struct err e = loop_connect(u->loop, str_of(k->address), tls, &o, on_connected, uc);
    if (failed(e)) {
        free(uc);
        return e;
    }
    uc->key = k;
    uc->cur = s;
    s->uc = uc;
    uc->idle_since_ms = loop_now_ms(u->loop);
    buf_init(&uc->in, 128 * 1024);
    arena_init(&uc->arena, 256 * 1024);
    uc->next = u->conns;
    if (u->conns != NULL) {
        u->conns->prev = uc;
    }
    u->conns = uc;
    u->n_conns++;
    u->refs++;
    if (u->sweep == NULL) {
        u->sweep = timer_start(u->loop, SWEEP_MS, SWEEP_MS, sweep, u);
        timer_background(u->sweep);
    }
    return OK;
}

static struct up_conn *usable_h2(struct up_key *k)
{
    for (struct up_conn *uc = k->up->conns; uc != NULL; uc = uc->next) {
        if (uc->key == k && uc->h2 != NULL && !uc->dead && h2_client_usable(uc->h2)) {
            return uc;
        }
    }
    return NULL;
}

static struct err begin(struct up_stream *s)
{
    struct up_key *k = s->key;
    struct up_conn *uc = k->h2 ? usable_h2(k) : k->idle;
    if (uc == NULL || s->retried) {
        return new_conn(s);
    }
    if (k->h2) {
        return send_h2(uc, s);
    }
    leave_idle(uc);
    send_h1(uc, s);
    return OK;
}

/* ---- requests ---- */

static struct up_key *key_of(struct upstream *u, const struct up_target *t)
{
    struct buf b;
    buf_init(&b, KEY_MAX);
    buf_printf(&b, "%c%c%.*s %.*s", t->mtls ? 's' : 'p', t->h2 ? '2' : '1', STR_FMT(t->address),
               STR_FMT(t->expect));
    struct up_key *k = map_get(&u->keys, buf_str(&b));
    if (k == NULL) {
        k = calloc(1, sizeof(*k));
        if (k == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
        k->up = u;
        k->mtls = t->mtls;
        k->h2 = t->h2;
        k->address = strndup(t->address.p, t->address.n);
        k->expect = t->expect.n > 0 ? strndup(t->expect.p, t->expect.n) : NULL;
        map_set(&u->keys, buf_str(&b), k);
    }
    buf_release(&b);
    return k;
}

static void put_line(struct buf *b, struct str name, struct str value)
{
    buf_puts(b, name);
    buf_puts(b, S(": "));
    buf_puts(b, value);
    buf_puts(b, S("\r\n"));
}

static void make_h1_head(struct up_stream *s, const struct up_request *r)
{
    struct buf *b = &s->head;
    (void)buf_reserve(b, USUAL_HEAD); /* grown once, not byte by byte */
    buf_puts(b, r->method);
    buf_putc(b, ' ');
    buf_puts(b, r->path);
    buf_puts(b, S(" HTTP/1.1\r\n"));
    put_line(b, S("host"), r->authority);
    for (size_t i = 0; i < r->n_headers; i++) {
        put_line(b, r->headers[i].name, r->headers[i].value);
    }
    if (r->body && r->chunked) {
        buf_puts(b, S("transfer-encoding: chunked\r\n"));
    }
    buf_puts(b, S("\r\n"));
}

static void make_h2_fields(struct up_stream *s, const struct up_request *r)
{
    struct arena *a = &s->arena;
    struct http_header *f = arena_array(a, struct http_header, r->n_headers + 4);
    f[0] = (struct http_header){S(":method"), s->method};
    f[1] = (struct http_header){S(":scheme"), arena_str(a, r->scheme)};
    f[2] = (struct http_header){S(":authority"), arena_str(a, r->authority)};
    f[3] = (struct http_header){S(":path"), arena_str(a, r->path)};
    for (size_t i = 0; i < r->n_headers; i++) {
        f[4 + i].name = arena_str(a, r->headers[i].name);
        f[4 + i].value = arena_str(a, r->headers[i].value);
    }
    s->fields = f;
    s->n_fields = r->n_headers + 4;
}

static void fail_late(void *ctx)
{
    struct up_stream *s = ctx;
    end_stream(s, err_make(ERR_UNAVAILABLE, "%.*s", STR_FMT(buf_str(&s->head))));
}

struct up_stream *up_open(struct upstream *u, const struct up_target *t, const struct up_request *r,
                          const struct up_handler *h, void *ctx)
{
    struct up_stream *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    s->up = u;
    u->refs++;
    s->h = h;
    s->ctx = ctx;
    s->body = r->body;
    s->chunked = r->body && r->chunked;
    arena_init(&s->arena, 256 * 1024);
    buf_init(&s->head, 256 * 1024);
    s->method = str_n(s->method_text, MIN(r->method.n, sizeof(s->method_text)));
    memcpy(s->method_text, r->method.p, s->method.n);
    s->key = key_of(u, t);
    if (t->h2) {
        make_h2_fields(s, r);
    } else {
        make_h1_head(s, r);
    }
    struct err e = buf_ok(&s->head) ? begin(s) : err_make(ERR_LIMIT, "the head is too long");
    if (failed(e)) {
        buf_clear(&s->head);
        buf_puts(&s->head, str_of(err_detail()));
        s->waiting = true; /* for fail_late: cancelling then only marks it */
        loop_defer(u->loop, fail_late, s);
    }
    return s;
}

void up_send(struct up_stream *s, struct str bytes, bool end)
{
    s->sent_end |= end;
    if (s->h2 != NULL) {
        h2_stream_send(s->h2, bytes, end);
        return;
    }
    if (s->uc == NULL || s->uc->conn == NULL) {
        return;
    }
    struct conn *c = s->uc->conn;
    if (s->chunked && bytes.n > 0) {
        char size[24];
        int n = snprintf(size, sizeof(size), "%zx\r\n", bytes.n);
        conn_write(c, str_n(size, (size_t)n));
        conn_write(c, bytes);
        conn_write(c, S("\r\n"));
    } else {
        conn_write(c, bytes);
    }
    if (s->chunked && end) {
        conn_write(c, S("0\r\n\r\n"));
    }
}

size_t up_pending(const struct up_stream *s)
{
    if (s->h2 != NULL) {
        return h2_stream_pending(s->h2);
    }
    return s->uc != NULL && s->uc->conn != NULL ? conn_pending(s->uc->conn) : 0;
}

void up_pause(struct up_stream *s)
{
    s->paused = true;
    if (s->h2 == NULL && s->uc != NULL && s->uc->conn != NULL) {
        conn_pause(s->uc->conn);
    }
}

void up_resume(struct up_stream *s)
{
    if (!s->paused) {
        return;
    }
    s->paused = false;
    if (s->h2 != NULL) {
        h2_stream_consumed(s->h2, s->h2_held);
        s->h2_held = 0;
    } else if (s->uc != NULL && s->uc->conn != NULL) {
        conn_resume(s->uc->conn);
    }
}

static void quiet_close(void *ctx, struct err why)
{
}

void up_cancel(struct up_stream *s)
{
    static const struct up_handler nobody = {.on_close = quiet_close};
    if (s->waiting) { /* fail_late still holds it */
        s->h = &nobody;
        return;
    }
    struct up_conn *uc = s->uc;
    if (s->h2 != NULL) {
        h2_stream_reset(s->h2);
    } else if (uc != NULL) {
        uc->cur = NULL;
        if (uc->conn != NULL) {
            conn_drop(uc); /* half an answer is on its way: not for anyone else */
        }
    }
    stream_free(s);
}

size_t upstream_recheck(struct upstream *u, int64_t now_s)
{
    size_t cut = 0;
    for (struct up_conn *uc = u->conns; uc != NULL; uc = uc->next) {
        struct tls_session *tls = uc->conn != NULL && !uc->dead ? conn_tls(uc->conn) : NULL;
        if (tls != NULL && failed(tls_recheck(tls, now_s))) {
            conn_drop(uc);
            cut++;
        }
    }
    return cut;
}

size_t upstream_conns(const struct upstream *u)
{
    return u->n_conns;
}

struct err upstream_new(struct loop *l, const struct upstream_opts *o, struct upstream **out)
{
    struct upstream *u = calloc(1, sizeof(*u));
    ENSURE(u != NULL, ERR_LIMIT, "out of memory for upstream connections");
    u->loop = l;
    u->opts = *o;
    u->refs = 1;
    map_init(&u->keys);
    *out = u;
    return OK;
}

void upstream_free(struct upstream *u)
{
    if (u == NULL) {
        return;
    }
    u->freed = true;
    timer_stop(u->sweep);
    u->sweep = NULL;
    for (struct up_conn *uc = u->conns; uc != NULL; uc = uc->next) {
        conn_drop(uc);
    }
    up_unref(u);
}
