/* http_priv: what the files of the server share. */
#ifndef SEXTANT_HTTP_PRIV_H
#define SEXTANT_HTTP_PRIV_H

#include "lib/http/http.h"

enum {
    SWEEP_MS = 500,
    EXCHANGES_KEPT = 64,      /* finished exchanges kept warm for the next request */
    BODY_KEPT = 16 * 1024,    /* a body buffer bigger than this is not kept */
    PIPELINE_MAX = 64 * 1024, /* bytes read ahead of the request being handled */
    STALL_MS = 60 * 1000,     /* a client that takes nothing for so long is dropped */
    H2_STREAMS_MAX = 256,
    H2_OUT_MAX = 256 * 1024, /* bytes handed to a connection before it must drain */
    H2_FLOOD_BURST = 500,    /* resets, pings and settings forgiven at once, and then a second */
    H2_FLOOD_RATE = 100,
    H2_CONTINUATIONS_MAX = 16,
};

struct http_conn;

enum exchange_state {
    X_READING,   /* head or body still coming */
    X_HANDLING,  /* with the handler, nothing sent */
    X_STREAMING, /* http_reply_begin was called */
    X_DONE,
};

/* One request with its reply, over either version. */
struct http_exchange {
    struct http_req req; /* what the handler sees */
    struct arena arena;
    struct http_server *server;
    struct http_conn *hc;              /* NULL once the connection is gone */
    struct http_exchange *prev, *next; /* streams of an h2 connection; or the free list */
    enum exchange_state state;
    struct buf body;
    size_t body_max;
    void (*on_abort)(void *ctx);
    void *abort_ctx;
    void (*on_drain)(void *ctx);
    void *drain_ctx;
    void (*on_body)(void *ctx, struct str piece, bool end); /* streamed bodies */
    void *body_ctx;
    bool body_open, body_paused; /* more of a streamed body is to come; not now */
    bool body_ended;             /* HTTP/2: END_STREAM came while pieces were kept back */
    bool is_head, chunked, keep_alive;
    struct h1_body framing; /* HTTP/1.1 */
    /* HTTP/2 */
    int32_t stream_id;
    size_t header_cap, header_bytes;
    struct buf out; /* reply bytes not yet framed */
    size_t out_at;
    struct http_header *trailers;
    size_t n_trailers;
    bool out_end, out_waiting, has_trailers, refused, submitted;
};

struct h2_server;

struct http_conn {
    struct http_server *server;
    struct conn *conn;
    struct http_conn *prev, *next;
    unsigned refs;       /* one for the connection, one for each deferred call */
    int64_t deadline_ms; /* 0: none */
    int64_t stalled_since_ms;
    uint64_t sent; /* at the last look */
    struct buf in; /* bytes that wait for more, or for the request before them */
    struct h1_scan scan;
    struct http_exchange *x; /* HTTP/1.1: the request under way */
    struct h2_server *h2;
    unsigned requests;
    void *conn_ctx;
    bool processing, saw_eof, closing, secure, sniffed, gone, paused;
};

struct http_server {
    struct loop *loop;
    struct http_server_opts opts;
    struct listener **listeners;
    bool *listener_tls;
    size_t n_listeners;
    struct http_conn *conns; /* all of them */
    size_t n_conns, n_requests;
    struct http_exchange *free_exchanges;
    unsigned n_free;
    struct timer *sweep;
    struct buf head; /* scratch for the head of a reply */
    int64_t date_s, date_turn; /* the second that `date` is; loop time when it was looked at */
    char date[30]; /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    void (*drained)(void *ctx);
    void *drained_ctx;
    unsigned refs; /* the owner, and each connection */
    bool draining, freed;
};

/* server.c */
void http_conn_ref(struct http_conn *hc);
void http_conn_unref(struct http_conn *hc);
void http_conn_deadline(struct http_conn *hc, int ms); /* 0: none */
struct str http_server_date(struct http_server *s);
void http_server_request_done(struct http_server *s);
void http_server_unref(struct http_server *s);

/* exchange.c */
struct http_exchange *exchange_new(struct http_conn *hc);
void exchange_free(struct http_exchange *x);     /* the reply is complete, or nobody waits for it */
void exchange_dispatch(struct http_exchange *x); /* gives it to the handler */
void exchange_abort(struct http_exchange *x);    /* the client is gone */
bool exchange_headers_ok(const struct http_header *h, size_t n);
void exchange_split_target(struct http_req *req);
int exchange_check_head(struct http_exchange *x); /* asks on_head: 0 or a status to refuse with */

/* server_h1.c */
void h1_conn_data(struct http_conn *hc, struct str bytes);
void h1_send_error(struct http_conn *hc, int status);
void h1_begin(struct http_exchange *x, int status, struct str content_type,
              const struct http_header *headers, size_t n, bool whole, size_t length);
void h1_chunk(struct http_exchange *x, struct str bytes);
void h1_end(struct http_exchange *x);
void h1_finish(struct http_exchange *x);
void h1_continue(struct http_conn *hc); /* soon: goes on with what was kept back */

/* server_h2.c */
bool h2_server_start(struct http_conn *hc);
void h2_server_data(struct http_conn *hc, struct str bytes);
void h2_server_free(struct http_conn *hc);
void h2_server_flush(struct http_conn *hc);
void h2_server_goaway(struct http_conn *hc);
void h2_server_expire(struct http_conn *hc);
void h2_begin(struct http_exchange *x, int status, struct str content_type,
              const struct http_header *headers, size_t n, bool whole, size_t length);
void h2_chunk(struct http_exchange *x, struct str bytes);
void h2_end(struct http_exchange *x);
void h2_trailers(struct http_exchange *x, const struct http_header *trailers, size_t n);
void h2_abort(struct http_exchange *x);
void h2_deliver(struct http_exchange *x); /* pieces that were kept back */

#endif
