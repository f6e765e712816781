/* loop_priv: what the files of lib/loop share. <uv.h> is included here and nowhere else. */
#ifndef SEXTANT_LOOP_PRIV_H
#define SEXTANT_LOOP_PRIV_H

#include "lib/loop/conn.h"
#include "lib/loop/loop.h"

#include <uv.h>

enum { READ_BUFFER = 64 * 1024, SPARE_BUFFERS = 32, SPARE_BUFFER_MAX = 32 * 1024 };

/* Every uv handle's `data` points to one of these at the head of our object; loop_free closes by it. */
struct owned {
    void (*close)(struct owned *o);
};

struct deferred {
    void (*fn)(void *ctx);
    void *ctx;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    struct deferred *deferred; /* owned; a queue from `first` to `last` */
    size_t first, last, cap;
    struct conn *dirty;              /* connections with bytes to flush this turn */
    char *read_buf;                  /* READ_BUFFER bytes, shared by all connections */
    struct buf plain;                /* decrypted bytes on their way to a handler */
    struct buf spare[SPARE_BUFFERS]; /* output buffers between uses */
    unsigned n_spare;
    bool stopping;
};

/* What a libuv call returned, as an error with `what` before it. */
struct err uv_err(int rc, const char *what);

struct timer {
    struct owned owned;
    uv_timer_t uv;
    void (*fn)(void *ctx);
    void *ctx;
};

void loop_buf_take(struct loop *l, struct buf *b);   /* an empty output buffer, maybe warm */
void loop_buf_return(struct loop *l, struct buf *b); /* leaves *b released */

/* ---- addresses ---- */

struct address {
    bool is_unix;
    struct str path; /* unix */
    char host[256];  /* tcp, without brackets */
    uint16_t port;
};

struct err address_parse(struct str text, struct address *out);
/* True when `host` is a literal (or localhost) that needs no resolver. */
bool address_literal(const struct address *a, struct sockaddr_storage *out);
size_t address_format(const struct sockaddr_storage *sa, char *out, size_t cap);

/* ---- connections ---- */

enum conn_state { CONN_SETUP, CONN_OPEN, CONN_CLOSING, CONN_CLOSED };

/* Alive only while a connection is being made: resolution, connect, TLS handshake. */
struct conn_setup {
    void (*on_conn)(void *ctx, struct err e,
                    struct conn *c);              /* connecting, or TLS on an open conn */
    void (*on_accept)(void *ctx, struct conn *c); /* accepted */
    void *ctx;
    struct timer *timeout;
    uv_connect_t connect;
    uv_getaddrinfo_t resolve;
    struct addrinfo *found, *next; /* addresses still to try */
    struct address to;
    char *path; /* owned copy of a unix path */
    struct tls_client *tls;
    char *server_name, *expect_spiffe; /* owned */
    uint32_t mark;
    struct sockaddr_storage bind_to;
    bool has_bind, resolving;
};

struct conn_write {
    uv_write_t req;
    struct conn *conn;
    struct buf data;
};

struct conn {
    struct owned owned;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
    struct loop *loop;
    const struct conn_handler *handler;
    void *ctx;
    struct conn_setup *setup;
    struct listener *listener;
    struct conn *next_dirty;
    struct buf out;             /* accepted, not yet handed to the kernel */
    struct conn_write *writing; /* handed to libuv, waiting for room in the socket */
    struct tls_session *tls;
    struct timer *linger;
    struct peer peer;
    char *addr;     /* owned; text behind peer.addr */
    uint64_t taken; /* bytes the kernel has taken, but for those of `writing` */
    size_t writing_total;
    enum conn_state state;
    struct err why; /* for on_close */
    char *why_text; /* owned; detail of it */
    bool is_unix, peer_known, reading, paused, dirty, saw_eof, want_shutdown, sent_shutdown,
        handle_open, lingering, wrote, tls_ready, secret;
};

struct conn *conn_new(struct loop *l, bool is_unix);
struct err conn_handle_init(struct conn *c, unsigned family);
void conn_read_on(struct conn *c);
void conn_peer_eof(struct conn *c);
void conn_fail(struct conn *c, struct err e); /* closes with `e` as the reason */
void conn_mark_dirty(struct conn *c);
void conn_flush_now(struct conn *c);
void conn_setup_free(struct conn *c);
void conn_setup_done(struct conn *c); /* the conn is usable: hands it to its maker */
void conn_setup_failed(struct conn *c, struct err e);
void conn_gone(struct conn *c); /* the last step: on_close has run */
void listener_conn_gone(struct listener *ls);

/* conn_tls.c */
struct err conn_tls_accept(struct conn *c, struct tls_server *tls);
struct err conn_tls_connect(struct conn *c, struct tls_client *tls, struct str server_name,
                            struct str expect_spiffe);
void conn_tls_input(struct conn *c, struct str ciphertext);
void conn_tls_write(struct conn *c, struct str plain);
void conn_tls_shutdown(struct conn *c);
void conn_tls_free(struct conn *c);

#endif
