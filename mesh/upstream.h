/*
 * upstream: requests that the sidecar sends on, over pools of connections.
 *
 * A pool key is where to go, who must be there, and which version of HTTP is spoken. HTTP/1.1 connections
 * carry one request at a time and are kept when idle; HTTP/2 ones carry many. Bodies stream both ways, with
 * back-pressure in both.
 *
 * A request that found a kept connection dead before a byte of the answer came, and that had no body, is
 * sent once more on a fresh one.
 */
#ifndef SEXTANT_MESH_UPSTREAM_H
#define SEXTANT_MESH_UPSTREAM_H

#include "lib/http/h1.h"
#include "lib/loop/conn.h"

struct upstream;
struct up_stream;

struct up_target {
    struct str address; /* "ip:port" */
    bool mtls;
    struct str expect; /* with mtls: the SPIFFE id that must be there; empty: any of our trust */
    bool h2;
};

struct up_handler {
    void (*on_ready)(void *ctx); /* connected: the body may be sent. May be called within up_open */
    void (*on_head)(void *ctx, int status, const struct http_header *headers, size_t n, bool end);
    void (*on_data)(void *ctx, struct str bytes);
    void (*on_trailers)(void *ctx, const struct http_header *headers, size_t n);
    void (*on_drain)(void *ctx);
    void (*on_close)(void *ctx, struct err why); /* last; the stream is dead */
};

struct up_request {
    struct str method, path, scheme, authority;
    const struct http_header *headers; /* end-to-end ones only */
    size_t n_headers;
    bool body;    /* a body follows */
    bool chunked; /* HTTP/1.1: its length is not among the headers */
};

struct upstream_opts {
    struct tls_client *tls_h1, *tls_h2; /* borrowed */
    int connect_ms;
    uint32_t mark;
};

struct err upstream_new(struct loop *l, const struct upstream_opts *o, struct upstream **out);
void upstream_free(struct upstream *u); /* streams end with ERR_CLOSED */

struct up_stream *up_open(struct upstream *u, const struct up_target *t, const struct up_request *r,
                          const struct up_handler *h, void *ctx);
void up_send(struct up_stream *s, struct str bytes, bool end);
size_t up_pending(const struct up_stream *s);
void up_pause(struct up_stream *s); /* no on_data until up_resume */
void up_resume(struct up_stream *s);
void up_cancel(struct up_stream *s); /* on_close does not run; the pointer is dead */

/* Identity or trust changed: connections whose peer would not be accepted now are cut. Returns how many. */
size_t upstream_recheck(struct upstream *u, int64_t now_s);
size_t upstream_conns(const struct upstream *u);

#endif
