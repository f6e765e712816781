/*
 * conn: byte streams over TCP or unix sockets, either with TLS on top, on the event loop.
 *
 * Ownership: a conn belongs to the loop. It exists until its on_close has run, which happens exactly
 * once, after the peer closed, after an error, or after conn_close; then the pointer is dead.
 * Inside on_data the bytes belong to the loop and die when the callback returns: there is no read buffer a
 * connection, so thousands of idle ones cost little. conn_write copies what cannot leave at once.
 *
 *     static const struct conn_handler echo = {.on_data = echo_data, .on_close = echo_close};
 *     static void on_conn(void *ctx, struct conn *c) { conn_start(c, &echo, ctx); }
 *     TRY(loop_listen(loop, S("127.0.0.1:7"), NULL, NULL, on_conn, ctx, &listener));
 *
 * Addresses: "127.0.0.1:8181", "[::1]:8181", "localhost:8181" (resolved), "unix:/run/x.sock".
 */
#ifndef SEXTANT_CONN_H
#define SEXTANT_CONN_H

#include "lib/base/buf.h"
#include "lib/loop/loop.h"

struct conn;
struct listener;
struct tls_server; /* lib/tls/tls.h */
struct tls_client;
struct tls_session;

/* Who is at the other end. Valid as long as the conn. */
struct peer {
    enum peer_kind { PEER_TCP, PEER_UNIX } kind;
    struct str addr; /* "10.0.0.1:4242", "[::1]:4242", "unix:/path" or "unix:" */
    pid_t pid;       /* unix only (SO_PEERCRED); 0 otherwise */
    uid_t uid;       /* unix only; (uid_t)-1 otherwise */
    gid_t gid;
    int pidfd; /* unix only (SO_PEERPIDFD); -1 when there is none. Closed with the conn */
    bool tls;  /* the stream is encrypted */
    struct str spiffe_id; /* of the verified client or server certificate; empty without one */
    struct str alpn;      /* negotiated protocol; empty without one */
    struct str sni;       /* server name the client asked for */
};

struct conn_handler {
    /* All bytes must be taken: keep a copy of what is needed later, and pause when that is too much. */
    void (*on_data)(struct conn *c, struct str bytes, void *ctx);
    /* The peer will send no more (may be NULL: the conn is then closed). Writing is still possible. */
    void (*on_eof)(struct conn *c, void *ctx);
    /* What was written has left (conn_pending is 0 again). May be NULL. */
    void (*on_drain)(struct conn *c, void *ctx);
    /* The last call. `why` is OK after a clean end by either side. */
    void (*on_close)(struct conn *c, struct err why, void *ctx);
};

/* Sets or replaces the handler and begins to read. Without it nothing is read. */
void conn_start(struct conn *c, const struct conn_handler *h, void *ctx);

/*
 * Writes: at once when possible, the rest is kept and follows. Small writes within one callback leave
 * together. Data after conn_close or an error is dropped silently (on_close tells). When
 * conn_pending grows past what the caller allows, it waits for on_drain.
 */
void conn_write(struct conn *c, struct str bytes);
void conn_flush(struct conn *c);           /* send what small writes have gathered, now */
void conn_set_secret(struct conn *c);      /* its output buffers are wiped after use */
size_t conn_pending(const struct conn *c); /* bytes accepted but not yet given to the kernel */

uint64_t
conn_sent(const struct conn *c); /* bytes the kernel has taken, ever: does the peer still read? */

void conn_pause(struct conn *c); /* no on_data until conn_resume */
void conn_resume(struct conn *c);
void conn_shutdown(struct conn *c); /* after pending data: half-close (TLS: close_notify, too) */
void conn_close(struct conn *c); /* after pending data has left, or after 5 s; on_close follows */
/* As conn_close, but first lets the peer finish what it is sending (at most 1 s), so that it reads our last words. */
void conn_close_lingering(struct conn *c);
void conn_abort(struct conn *c); /* at once, with a TCP reset; on_close follows (deferred) */

const struct peer *conn_peer(const struct conn *c);
struct loop *conn_loop(const struct conn *c);
struct tls_session *conn_tls(const struct conn *c); /* NULL when plain */
int conn_fd(const struct conn *c);                  /* for getsockopt alone; stays the conn's */
/* Address of our end: what the client connected to, after or before interception. */
struct err conn_local_addr(const struct conn *c, char *out, size_t cap);
/* Where the client wanted to go before nft redirected it here (SO_ORIGINAL_DST), as "ip:port". */
struct err conn_original_dst(const struct conn *c, char *out, size_t cap);

/* Starts TLS on a plain conn whose first bytes have been looked at; they are given again in `first`. */
struct err conn_start_tls(struct conn *c, struct tls_server *tls, struct str first,
                          void (*on_ready)(void *ctx, struct err, struct conn *), void *ctx);

/* ---- listening ---- */

struct listen_opts {
    unsigned mode;      /* of a unix socket; 0: 0600 */
    bool reuse_port;    /* one process a core */
    bool free_bind;     /* bind an address that is not there yet */
    int backlog;        /* 0: 1024 */
    unsigned max_conns; /* 0: 10000; more are refused by waiting in the backlog */
    int handshake_ms;   /* TLS handshake must be done within; 0: 10000 */
};

/*
 * Listens on `address`; port 0 takes a free one. on_conn gets each connection when it is usable (TLS
 * handshake done); it calls conn_start or conn_close. An old unix socket that nobody serves is replaced.
 * ERR_SYNTAX (address), ERR_EXISTS (somebody listens there), ERR_IO.
 */
struct err loop_listen(struct loop *l, struct str address, struct tls_server *tls,
                       const struct listen_opts *opts /* NULL ok */,
                       void (*on_conn)(void *ctx, struct conn *c), void *ctx,
                       struct listener **out);
void listener_close(struct listener *ls);                /* NULL is fine; open connections stay */
const char *listener_address(const struct listener *ls); /* with the real port */

/* ---- connecting ---- */

struct connect_opts {
    int timeout_ms;         /* for resolution, connection and TLS handshake together; 0: 10000 */
    struct str server_name; /* TLS: SNI and, unless SPIFFE ids are expected, name to verify */
    struct str
        expect_spiffe;  /* TLS: the server must be this SPIFFE id; empty: what tls_client says */
    uint32_t mark;      /* SO_MARK; 0: none */
    struct str bind_to; /* source address; empty: any */
};

/* on_conn(ctx, OK, conn) or on_conn(ctx, error, NULL); exactly once, never before this returns. */
struct err loop_connect(struct loop *l, struct str address, struct tls_client *tls,
                        const struct connect_opts *opts /* NULL ok */,
                        void (*on_conn)(void *ctx, struct err, struct conn *c), void *ctx);

#endif
