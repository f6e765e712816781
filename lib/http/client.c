/*
 * The HTTP client: calls, and a pool of connections for each address.
 *
 * A call waits in its host's queue, is given a connection (an idle one, or a new one while there are fewer than
 * conns_per_host), and leaves it when the answer is complete. Connections hold the client, so that
 * freeing the client is safe at any time.
 */
#include "client.h"

#include "lib/base/map.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TIMEOUT_MS = 30000,
    CONNECT_MS = 5000,
    IDLE_MS = 30000,
    ANSWER_MAX = 16 << 20,
    CONNS_PER_HOST = 8,
    WAITING_MAX = 4096,
    CALL_ARENA_MAX = 4 << 20,
    SWEEP_MS = 2000,
    INTERIM_MAX = 8, /* 1xx answers before the real one */
};

struct host {
    struct http_client *client;
    char *address, *server_name;
    bool tls;
    struct client_conn *conns; /* all of them */
    unsigned n_conns;
    struct http_call_state *first, *last; /* waiting calls */
};

struct client_conn {
    struct client_conn *next;
    struct host *host;
    struct conn *conn; /* NULL while connecting */
    struct http_call_state *call;
    struct buf in;
    struct h1_scan scan;
    struct h1_head head;
    struct h1_body body;
    int64_t idle_since_ms;
    unsigned served, interim;
    bool have_head, dead, answered; /* answered: a byte of this answer has come */
};

struct http_client {
    struct loop *loop;
    struct http_client_opts opts;
    char *server_name; /* of opts */
    struct map hosts;
    struct http_call_state *calls; /* all, waiting or running */
    struct timer *sweep;
    struct buf head;
    unsigned refs, waiting;
    bool freed;
};

struct http_call_state {
    struct http_client *client;
    struct http_call_state *prev, *next; /* of the client */
    struct http_call_state *next_waiting;
    struct arena arena;
    struct http_call call; /* copied into the arena */
    struct http_url url;
    struct host *host;
    struct client_conn *cc;
    struct timer *timer;
    struct buf body;
    struct err error; /* of a call that could not start */
    char *error_text;
    bool waiting, retried, ended;
};

/* ---- ends of things ---- */

static void client_unref(struct http_client *c)
{
    if (--c->refs > 0) {
        return;
    }
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->hosts, &i)) != NULL;) {
        struct host *h = e->value;
        free(h->address);
        free(h->server_name);
        free(h);
    }
    map_release(&c->hosts);
    buf_release(&c->head);
    free(c->server_name);
    free(c);
}

static void unlink_waiting(struct http_call_state *s)
{
    struct host *h = s->host;
    struct http_call_state **at = &h->first, *before = NULL;
    while (*at != s) {
        before = *at;
        at = &(*at)->next_waiting;
    }
    *at = s->next_waiting;
    if (h->last == s) {
        h->last = before;
    }
    s->waiting = false;
    s->client->waiting--;
}

/* Takes the call out of everything that knows it. */
static void detach(struct http_call_state *s)
{
    if (s->waiting) {
        unlink_waiting(s);
    }
    if (s->cc != NULL) {
        s->cc->call = NULL;
        s->cc = NULL;
    }
    timer_stop(s->timer);
    s->timer = NULL;
    if (s->prev != NULL) {
        s->prev->next = s->next;
    } else if (s->client->calls == s) {
        s->client->calls = s->next;
    }
    if (s->next != NULL) {
        s->next->prev = s->prev;
    }
    s->prev = s->next = NULL;
}

static void state_free(struct http_call_state *s)
{
    struct http_client *c = s->client;
    buf_release(&s->body);
    arena_release(&s->arena);
    free(s->error_text);
    free(s);
    client_unref(c);
}

static void finish(struct http_call_state *s, struct err e, const struct http_result *res)
{
    s->ended = true;
    detach(s);
    s->call.done(s->call.ctx, e, res);
    state_free(s);
}

/* A connection that must not be used again; its call, if any, was detached before. */
static void drop_conn(struct client_conn *cc)
{
    cc->dead = true;
    if (cc->conn != NULL) {
        conn_abort(cc->conn);
    }
}

/* ---- sending ---- */

static bool needs_length(struct str method)
{
    return str_is(method, "POST") || str_is(method, "PUT") || str_is(method, "PATCH");
}

static void put_header(struct buf *b, struct str name, struct str value)
{
    buf_puts(b, name);
    buf_puts(b, S(": "));
    buf_puts(b, value);
    buf_puts(b, S("\r\n"));
}

static void put_request_head(struct buf *b, const struct http_call_state *s)
{
    const struct http_call *call = &s->call;
    bool has_host = false;
    buf_puts(b, call->method);
    buf_putc(b, ' ');
    buf_puts(b, s->url.target);
    buf_puts(b, S(" HTTP/1.1\r\n"));
    for (size_t i = 0; i < call->n_headers; i++) {
        has_host |= str_eq_nocase(call->headers[i].name, S("host"));
        put_header(b, call->headers[i].name, call->headers[i].value);
    }
    if (!has_host) {
        put_header(b, S("host"), s->url.authority);
    }
    if (call->content_type.n > 0) {
        put_header(b, S("content-type"), call->content_type);
    }
    if (call->body.n > 0 || needs_length(call->method)) {
        buf_printf(b, "content-length: %zu\r\n", call->body.n);
    }
    if (trace_is_set(&call->trace)) {
        struct trace child = trace_child(&call->trace);
        buf_puts(b, S("traceparent: "));
        trace_put(b, &child);
        buf_puts(b, S("\r\n"));
    }
    buf_puts(b, S("\r\n"));
}

static void send_request(struct client_conn *cc)
{
    struct http_call_state *s = cc->call;
    struct buf *b = &s->client->head;
    buf_clear(b);
    put_request_head(b, s);
    cc->scan = (struct h1_scan){0};
    cc->have_head = cc->answered = false;
    cc->interim = 0;
    if (!buf_ok(b)) {
        finish(s, err_make(ERR_LIMIT, "the request's headers are too long"), NULL);
        return;
    }
    conn_write(cc->conn, buf_str(b));
    conn_write(cc->conn, s->call.body);
    if (cc->conn != NULL) {
        conn_resume(cc->conn);
    }
}

static void give_work(struct host *h);

/* The connection is free again, or was never used: the next waiting call gets it. */
static void became_idle(struct client_conn *cc)
{
    cc->idle_since_ms = loop_now_ms(cc->host->client->loop);
    give_work(cc->host);
}

/* ---- receiving ---- */

static struct err want_body(struct client_conn *cc)
{
    struct http_call_state *s = cc->call;
    size_t max = s->call.body_max > 0 ? s->call.body_max : s->client->opts.body_max;
    bool streamed = s->call.on_piece != NULL;
    h1_body_init(&cc->body, &cc->head, streamed ? UINT64_MAX : max);
    s->body.max = max;
    ENSURE(streamed || cc->head.framing != H1_LENGTH || cc->head.content_length <= max, ERR_LIMIT,
           "the answer is longer than %zu bytes", max);
    return OK;
}

static struct err take_head(struct client_conn *cc, struct str *in)
{
    static const struct h1_limits limits = {.head_max = 64 * 1024};
    struct http_call_state *s = cc->call;
    size_t n = 0;
    TRY(h1_head_end(&cc->scan, *in, &limits, &n));
    if (n == 0) {
        return OK;
    }
    char *copy = arena_alloc_raw(&s->arena, n, 1);
    memcpy(copy, in->p, n);
    TRY(h1_parse_response(&s->arena, copy, n, &limits, s->call.method, &cc->head));
    *in = str_sub(*in, n, in->n);
    cc->scan = (struct h1_scan){0};
    ENSURE(cc->head.code != 101, ERR_UNSUPPORTED, "the server switched protocols unasked");
    if (cc->head.code / 100 == 1) {
        ENSURE(++cc->interim <= INTERIM_MAX, ERR_LIMIT, "too many interim answers");
        return OK;
    }
    cc->have_head = true;
    return want_body(cc);
}

static struct err take_body(struct client_conn *cc, struct str *in)
{
    struct http_call_state *s = cc->call;
    while (in->n > 0 && !cc->body.done) {
        struct str piece;
        TRY(h1_body_next(&cc->body, in, &piece));
        if (piece.n == 0) {
            continue;
        }
        if (s->call.on_piece != NULL && cc->head.code / 100 == 2) {
            s->call.on_piece(s->call.ctx, cc->head.code, piece);
            if (cc->call != s) { /* cancelled from inside */
                return OK;
            }
        } else {
            buf_puts(&s->body, piece);
        }
    }
    return buf_check(&s->body);
}

static void answer_complete(struct client_conn *cc, bool reusable)
{
    struct http_call_state *s = cc->call;
    struct http_result res = {.status = cc->head.code,
                              .reason = cc->head.reason,
                              .headers = cc->head.headers,
                              .n_headers = cc->head.n_headers,
                              .body = buf_str(&s->body),
                              .peer = conn_peer(cc->conn)};
    cc->served++;
    cc->have_head = false;
    s->cc = NULL;
    cc->call = NULL;
    struct host *h = cc->host;
    struct http_client *c = h->client;
    c->refs++;
    if (!reusable || c->freed) {
        cc->dead = true;
        conn_close(cc->conn);
    }
    finish(s, OK, &res);
    if (cc->dead) {
        give_work(h);
    } else if (cc->call == NULL) {
        became_idle(cc);
    }
    client_unref(c);
}

static void fail_call(struct client_conn *cc, struct err e)
{
    struct http_call_state *s = cc->call;
    drop_conn(cc);
    if (s != NULL) {
        finish(s, e, NULL);
    }
}

/* Returns an error of the peer's making; *rest is what it left over. */
static struct err advance(struct client_conn *cc, struct str *in)
{
    while (in->n > 0 && !cc->have_head) {
        size_t before = in->n;
        TRY(take_head(cc, in));
        if (in->n == before) {
            return OK;
        }
    }
    return cc->have_head ? take_body(cc, in) : OK;
}

static void on_data(struct conn *c, struct str bytes, void *ctx)
{
    struct client_conn *cc = ctx;
    if (cc->dead) {
        return;
    }
    if (cc->call == NULL) { /* an answer that nobody asked for */
        drop_conn(cc);
        return;
    }
    cc->answered = true;
    struct str in = bytes;
    bool buffered = cc->in.n > 0;
    if (buffered) {
        buf_puts(&cc->in, bytes);
        in = buf_str(&cc->in);
    }
    struct err e =
        buf_ok(&cc->in) ? advance(cc, &in) : err_make(ERR_LIMIT, "the answer's head is too long");
    if (failed(e)) {
        fail_call(cc, e);
        return;
    }
    if (cc->call == NULL) { /* cancelled by its own on_piece */
        drop_conn(cc);
        return;
    }
    bool complete = cc->have_head && cc->body.done;
    if (!complete && !buffered) {
        buf_puts(&cc->in, in);
    } else if (buffered) {
        buf_consume(&cc->in, cc->in.n - in.n);
    }
    if (complete) {
        bool reusable = cc->head.keep_alive && in.n == 0;
        buf_release(&cc->in);
        answer_complete(cc, reusable);
    }
}

static void on_eof(struct conn *c, void *ctx)
{
    struct client_conn *cc = ctx;
    if (!cc->dead && cc->call != NULL && cc->have_head && cc->body.framing == H1_UNTIL_CLOSE) {
        answer_complete(cc, false);
        return;
    }
    conn_close(c);
}

static bool repeatable(struct str method)
{
    return str_is(method, "GET") || str_is(method, "HEAD") || str_is(method, "PUT") ||
           str_is(method, "DELETE") || str_is(method, "OPTIONS");
}

static void enqueue(struct http_call_state *s)
{
    struct host *h = s->host;
    s->next_waiting = NULL;
    if (h->last != NULL) {
        h->last->next_waiting = s;
    } else {
        h->first = s;
    }
    h->last = s;
    s->waiting = true;
    s->client->waiting++;
}

static void forget_conn(struct client_conn *cc)
{
    struct host *h = cc->host;
    struct client_conn **at = &h->conns;
    while (*at != cc) {
        at = &(*at)->next;
    }
    *at = cc->next;
    h->n_conns--;
    buf_release(&cc->in);
    free(cc);
    client_unref(h->client);
}

static void on_close(struct conn *c, struct err why, void *ctx)
{
    struct client_conn *cc = ctx;
    struct host *h = cc->host;
    struct http_client *client = h->client;
    struct http_call_state *s = cc->call;
    client->refs++;
    cc->dead = true;
    cc->conn = NULL;
    bool again = s != NULL && cc->served > 0 && !cc->answered && !s->retried &&
                 repeatable(s->call.method) && !client->freed;
    if (again) {
        s->retried = true;
        s->cc = NULL;
        cc->call = NULL;
        enqueue(s);
    } else if (s != NULL) {
        finish(s,
               failed(why) ? why
                           : err_make(ERR_CLOSED,
                                      "%s closed the connection before its answer "
                                      "was complete",
                                      h->address),
               NULL);
    }
    forget_conn(cc);
    give_work(h);
    client_unref(client);
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_eof = on_eof, .on_close = on_close};

/* ---- connections ---- */

static void on_connected(void *ctx, struct err e, struct conn *c)
{
    struct client_conn *cc = ctx;
    struct host *h = cc->host;
    if (failed(e)) {
        struct http_client *client = h->client;
        struct http_call_state *s = cc->call;
        client->refs++;
        forget_conn(cc);
        if (s != NULL) {
            s->cc = NULL;
            finish(s, e, NULL);
        }
        give_work(h);
        client_unref(client);
        return;
    }
    cc->conn = c;
    conn_start(c, &handler, cc);
    if (h->client->freed) {
        drop_conn(cc);
    } else if (cc->call != NULL) {
        send_request(cc);
    } else {
        became_idle(cc);
    }
}

static void sweep(void *ctx)
{
    struct http_client *c = ctx;
    int64_t now = loop_now_ms(c->loop);
    bool any = false;
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->hosts, &i)) != NULL;) {
        struct host *h = e->value;
        for (struct client_conn *cc = h->conns; cc != NULL; cc = cc->next) {
            any = true;
            if (cc->call == NULL && cc->conn != NULL && !cc->dead &&
                now - cc->idle_since_ms > c->opts.idle_ms) {
                cc->dead = true;
                conn_close(cc->conn);
            }
        }
    }
    if (!any) {
        timer_stop(c->sweep);
        c->sweep = NULL;
    }
}

static struct err new_conn(struct host *h, struct http_call_state *s)
{
    struct http_client *c = h->client;
    struct client_conn *cc = calloc(1, sizeof(*cc));
    ENSURE(cc != NULL, ERR_LIMIT, "out of memory for a connection");
    struct connect_opts o = {.timeout_ms = c->opts.connect_ms,
                             .server_name = h->tls ? str_of(h->server_name) : STR_EMPTY};
    struct err e = loop_connect(c->loop, str_of(h->address), h->tls ? c->opts.tls : NULL, &o,
                                on_connected, cc);
    if (failed(e)) {
        free(cc);
        return e;
    }
    buf_init(&cc->in, 128 * 1024);
    cc->host = h;
    cc->call = s;
    s->cc = cc;
    cc->next = h->conns;
    h->conns = cc;
    h->n_conns++;
    c->refs++;
    if (c->sweep == NULL) {
        c->sweep = timer_start(c->loop, SWEEP_MS, SWEEP_MS, sweep, c);
        timer_background(c->sweep);
    }
    return OK;
}

static struct client_conn *idle_conn(struct host *h)
{
    for (struct client_conn *cc = h->conns; cc != NULL; cc = cc->next) {
        if (cc->call == NULL && cc->conn != NULL && !cc->dead) {
            return cc;
        }
    }
    return NULL;
}

static void give_work(struct host *h)
{
    while (h->first != NULL && !h->client->freed) {
        struct http_call_state *s = h->first;
        struct client_conn *cc = idle_conn(h);
        if (cc == NULL && h->n_conns >= h->client->opts.conns_per_host) {
            return;
        }
        unlink_waiting(s);
        if (cc != NULL) {
            cc->call = s;
            s->cc = cc;
            send_request(cc);
            continue;
        }
        struct err e = new_conn(h, s);
        if (failed(e)) {
            finish(s, e, NULL);
        }
    }
}

/* ---- calls ---- */

static struct host *host_of(struct http_client *c, const struct http_url *u)
{
    struct buf key;
    buf_init(&key, 2048);
    buf_putc(&key, u->tls ? 's' : 'p');
    buf_puts(&key, u->address);
    struct host *h = map_get(&c->hosts, buf_str(&key));
    if (h == NULL) {
        h = calloc(1, sizeof(*h));
        if (h == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
        h->client = c;
        h->address = strndup(u->address.p, u->address.n);
        struct str name = c->opts.server_name.n > 0 ? c->opts.server_name : u->host;
        h->server_name = strndup(name.p, name.n);
        h->tls = u->tls;
        map_set(&c->hosts, buf_str(&key), h);
    }
    buf_release(&key);
    return h;
}

static void copy_call(struct http_call_state *s, const struct http_call *call)
{
    struct arena *a = &s->arena;
    s->call = *call;
    s->call.url = arena_str(a, call->url);
    s->call.body = arena_str(a, call->body);
    s->call.content_type = arena_str(a, call->content_type);
    s->call.method = call->method.n > 0 ? arena_str(a, call->method)
                     : call->body.n > 0 ? S("POST")
                                        : S("GET");
    struct http_header *h = arena_array(a, struct http_header, call->n_headers);
    for (size_t i = 0; i < call->n_headers; i++) {
        h[i].name = arena_str(a, call->headers[i].name);
        h[i].value = arena_str(a, call->headers[i].value);
    }
    s->call.headers = h;
}

static struct err check_call(struct http_call_state *s)
{
    const struct http_call *call = &s->call;
    TRY(http_url_parse(&s->arena, call->url, &s->url));
    ENSURE(!s->url.tls || s->client->opts.tls != NULL, ERR_UNSUPPORTED,
           "'%.*s': this client has no TLS", STR_FMT(call->url));
    ENSURE(h1_is_token(call->method) && h1_is_value(call->content_type), ERR_INVALID,
           "a method or content type with characters HTTP cannot carry");
    for (size_t i = 0; i < call->n_headers; i++) {
        ENSURE(h1_is_token(call->headers[i].name) && h1_is_value(call->headers[i].value),
               ERR_INVALID, "a header with characters HTTP cannot carry");
    }
    ENSURE(s->client->waiting < s->client->opts.waiting_max, ERR_BUSY,
           "too many calls are waiting");
    return OK;
}

static void timed_out(void *ctx)
{
    struct http_call_state *s = ctx;
    s->timer = NULL;
    struct client_conn *cc = s->cc;
    if (cc != NULL) {
        cc->call = NULL;
        s->cc = NULL;
        drop_conn(cc);
    }
    finish(s, err_make(ERR_TIMEOUT, "no answer from %.*s in time", STR_FMT(s->call.url)), NULL);
}

static void fail_late(void *ctx)
{
    struct http_call_state *s = ctx;
    finish(s, err_make(s->error.code, "%s", s->error_text != NULL ? s->error_text : ""), NULL);
}

/* From a timer of no delay, so that `done` never runs before http_client_call has returned. */
static void start_late(void *ctx)
{
    struct http_call_state *s = ctx;
    s->timer = NULL;
    fail_late(s);
}

struct http_call_state *http_client_call(struct http_client *c, const struct http_call *call)
{
    BUG_ON(call->done == NULL || c->freed);
    struct http_call_state *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    s->client = c;
    c->refs++;
    arena_init(&s->arena, CALL_ARENA_MAX + call->body.n);
    buf_init(&s->body, ANSWER_MAX);
    copy_call(s, call);
    s->next = c->calls;
    if (c->calls != NULL) {
        c->calls->prev = s;
    }
    c->calls = s;
    struct err e = check_call(s);
    if (!failed(e)) {
        s->host = host_of(c, &s->url);
        int ms = call->timeout_ms > 0 ? call->timeout_ms : c->opts.timeout_ms;
        s->timer = timer_start(c->loop, ms, 0, timed_out, s);
        struct client_conn *cc = idle_conn(s->host);
        if (cc != NULL && s->host->first == NULL) {
            cc->call = s;
            s->cc = cc;
            send_request(cc);
            return s;
        }
        if (s->host->n_conns >= c->opts.conns_per_host) {
            enqueue(s);
            return s;
        }
        e = new_conn(s->host, s);
    }
    if (failed(e)) {
        s->error = e;
        s->error_text = strdup(err_detail());
        timer_stop(s->timer);
        s->timer = timer_start(c->loop, 0, 0, start_late, s);
    }
    return s;
}

void http_client_cancel(struct http_call_state *s)
{
    if (s == NULL || s->ended) {
        return;
    }
    struct client_conn *cc = s->cc;
    detach(s);
    if (cc != NULL && cc->conn != NULL) {
        drop_conn(cc);
    }
    state_free(s);
}

struct err http_client_new(struct loop *l, const struct http_client_opts *o,
                           struct http_client **out)
{
    struct http_client *c = calloc(1, sizeof(*c));
    ENSURE(c != NULL, ERR_LIMIT, "out of memory for an HTTP client");
    c->loop = l;
    c->opts = *o;
    c->server_name = strndup(o->server_name.n > 0 ? o->server_name.p : "", o->server_name.n);
    c->opts.server_name = str_of(c->server_name);
    c->opts.timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    c->opts.connect_ms = o->connect_ms > 0 ? o->connect_ms : CONNECT_MS;
    c->opts.idle_ms = o->idle_ms > 0 ? o->idle_ms : IDLE_MS;
    c->opts.body_max = o->body_max > 0 ? o->body_max : (size_t)ANSWER_MAX;
    c->opts.conns_per_host = o->conns_per_host > 0 ? o->conns_per_host : CONNS_PER_HOST;
    c->opts.waiting_max = o->waiting_max > 0 ? o->waiting_max : WAITING_MAX;
    map_init(&c->hosts);
    buf_init(&c->head, 256 * 1024);
    c->refs = 1;
    *out = c;
    return OK;
}

void http_client_free(struct http_client *c)
{
    if (c == NULL) {
        return;
    }
    c->freed = true;
    timer_stop(c->sweep);
    c->sweep = NULL;
    while (c->calls != NULL) {
        struct http_call_state *s = c->calls;
        if (s->cc != NULL) {
            struct client_conn *cc = s->cc;
            cc->call = NULL;
            s->cc = NULL;
        }
        finish(s, err_make(ERR_CLOSED, "the client is going away"), NULL);
    }
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->hosts, &i)) != NULL;) {
        struct host *h = e->value;
        for (struct client_conn *cc = h->conns; cc != NULL; cc = cc->next) {
            drop_conn(cc);
        }
    }
    client_unref(c);
}

struct str http_result_header(const struct http_result *res, const char *lower_name)
{
    for (size_t i = 0; i < res->n_headers; i++) {
        if (str_is(res->headers[i].name, lower_name)) {
            return res->headers[i].value;
        }
    }
    return STR_EMPTY;
}
