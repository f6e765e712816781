/*
 * h2: HTTP/2 sessions (nghttp2) on a conn, for both ends.
 *
 * The server side is driven by lib/http's server: requests over h2 arrive at the same handler as those
 * over HTTP/1.1. What is here is the client side, which lib/grpc and the mesh proxy use: many concurrent
 * streams on one connection, bodies in pieces both ways, trailers.
 *
 *     struct h2_client *h;                          on a conn that is connected (ALPN h2, or plain)
 *     h2_client_new(conn, &opts, &h);
 *     struct h2_stream *s = h2_request(h, headers, n, false, &handler, ctx);
 *     h2_stream_send(s, bytes, true);
 *
 * Limits against hostile peers: concurrent streams, header bytes, CONTINUATION floods, resets and PINGs
 * per second, bytes queued for a stream that does not read (docs/limits.md).
 */
#ifndef SEXTANT_H2_H
#define SEXTANT_H2_H

#include "lib/http/h1.h"
#include "lib/loop/conn.h"

struct h2_client;
struct h2_stream;

struct h2_stream_handler {
    /* Head of the answer (:status taken out; pseudo headers never among `headers`). */
    void (*on_head)(void *ctx, int status, const struct http_header *headers, size_t n, bool end);
    void (*on_data)(void *ctx, struct str bytes); /* acknowledge by h2_stream_consumed when taken */
    void (*on_trailers)(void *ctx, const struct http_header *headers, size_t n);
    void (*on_drain)(void *ctx); /* may be NULL: the peer took all that was sent */
    /* The last call: OK after a complete answer; then the stream pointer is dead. */
    void (*on_close)(void *ctx, struct err why);
};

struct h2_client_opts {
    size_t header_max; /* bytes of a header block; 0: 32 KiB */
    void (*on_close)(void *ctx,
                     struct err why); /* the connection is gone; streams were closed before */
    void (*on_idle)(void *ctx);       /* may be NULL: the last stream has ended */
    void *ctx;
};

/* Takes the conn over (calls conn_start). */
struct err h2_client_new(struct conn *c, const struct h2_client_opts *o, struct h2_client **out);
void h2_client_close(struct h2_client *h); /* GOAWAY, then close; streams end with ERR_CLOSED */
bool h2_client_usable(const struct h2_client *h); /* takes new streams */
size_t h2_client_streams(const struct h2_client *h);

/*
 * Starts a request. `headers` include the pseudo headers (:method, :scheme, :authority, :path) first.
 * `end`: no body follows. NULL when the connection takes no more streams.
 */
struct h2_stream *h2_request(struct h2_client *h, const struct http_header *headers, size_t n,
                             bool end, const struct h2_stream_handler *sh, void *ctx);
void h2_stream_send(struct h2_stream *s, struct str bytes, bool end); /* copied */
void h2_stream_consumed(struct h2_stream *s, size_t n); /* opens the peer's window again */
size_t h2_stream_pending(const struct h2_stream *s);
void h2_stream_reset(struct h2_stream *s); /* CANCEL; on_close does not run; the pointer is dead */

#endif
