/*
 * http: the server. One request interface over HTTP/1.1 and HTTP/2, plain or TLS, TCP or unix socket.
 *
 * The handler gets a complete request (head and body within limits) and answers once, now or later. A
 * request stays valid until it is replied to or aborted (the client went away): with http_on_abort the
 * handler learns of the latter; after it the pointer is dead. One connection handles one HTTP/1.1
 * request at a time (pipelined ones wait); HTTP/2 streams are concurrent.
 *
 *     static void hello(struct http_req *req, void *ctx) { http_reply_text(req, 200, S("hello\n")); }
 *     struct http_server_opts o = {.handle = hello};
 *     TRY(http_server_new(loop, &o, &server));
 *     TRY(http_server_listen(server, S("127.0.0.1:8080"), NULL, NULL));
 *
 * What the server adds by itself: Date, Content-Length or chunked framing, Connection, HEAD without a
 * body, 100 Continue, and 400/408/413/414/431/501/505 for what it refuses.
 */
#ifndef SEXTANT_HTTP_H
#define SEXTANT_HTTP_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/trace.h"
#include "lib/http/h1.h"
#include "lib/loop/conn.h"

struct http_exchange; /* private: where a reply goes */
struct http_param;
struct http_server;

struct http_req {
    struct arena *arena;         /* of the request; gone after the reply */
    struct str method;           /* "GET" */
    struct str target;           /* as sent: "/a%20b?x=1" */
    struct str path;             /* raw (not decoded), before '?' */
    struct str query;            /* raw, after '?' */
    struct str scheme;           /* "http" or "https" */
    struct str authority;        /* Host or :authority */
    struct http_header *headers; /* names in lower case, order kept */
    size_t n_headers;
    struct str body;
    const struct peer *peer;
    struct trace trace;        /* the caller's context, or a new one */
    int version;               /* 10, 11 or 20 */
    void *route_ctx;           /* of the router */
    struct http_param *params; /* path parameters, set by the router */
    size_t n_params;
    int64_t user_ns; /* the handler's own, zero at first: on_reply finds them again */
    unsigned user_tag;
    struct http_exchange *x;
};

/* First value of a header (name in lower case), or an empty slice; `absent` has p == NULL. */
struct str http_header_get(const struct http_req *req, const char *lower_name);
/* Decoded value of a query parameter: false when absent or wrongly encoded. */
bool http_query_get(const struct http_req *req, const char *name, struct str *out);
/* The same in an application/x-www-form-urlencoded body; false also for other content types. */
bool http_form_get(const struct http_req *req, const char *name, struct str *out);
/* How often a parameter occurs (OAuth refuses repeated ones). */
size_t http_query_count(const struct http_req *req, const char *name);
size_t http_form_count(const struct http_req *req, const char *name);
/* Walks "a=1&b=2": next pair, decoded in `a`; false at the end. ERR via *bad. */
bool http_pairs_next(struct arena *a, struct str *rest, struct str *name, struct str *value,
                     bool *bad);
bool http_cookie_get(const struct http_req *req, const char *name, struct str *out);
struct loop *http_req_loop(const struct http_req *req);
struct tls_session *http_req_tls(const struct http_req *req); /* NULL: plain, or the client is gone */

/* ---- replies: exactly one a request ---- */

struct http_reply {
    int status;
    struct str content_type;           /* empty: no header */
    struct str body;                   /* copied before return */
    const struct http_header *headers; /* further ones; names in any case */
    size_t n_headers;
};

void http_reply(struct http_req *req, const struct http_reply *r);
void http_reply_text(struct http_req *req, int status, struct str body);
void http_reply_json(struct http_req *req, int status, struct str body);
void http_reply_status(struct http_req *req, int status); /* short text body: the reason */
/* {"error": text} with the status that ERR_TABLE gives; never shows err_detail(). */
void http_reply_err(struct http_req *req, struct err e);

/* In parts: begin, any number of chunks, end. The request (arena, peer) stays valid until end or abort. */
void http_reply_begin(struct http_req *req, int status, struct str content_type,
                      const struct http_header *headers, size_t n_headers);
/* As http_reply_begin when the length of the body is known: exactly so many bytes must follow. */
void http_reply_begin_length(struct http_req *req, int status, uint64_t length,
                             const struct http_header *headers, size_t n_headers);
void http_reply_chunk(struct http_req *req, struct str bytes); /* copied, sent soon */
/* As http_reply_chunk for bytes that must not linger: our buffers of this connection are wiped from now on. */
void http_reply_chunk_secret(struct http_req *req, struct str bytes);
void http_reply_end(struct http_req *req);
size_t http_reply_pending(const struct http_req *req); /* bytes not yet with the kernel: back off */
/* HTTP/2 only: ends the stream with trailers (gRPC). With nothing begun, a trailers-only answer. */
void http_reply_trailers(struct http_req *req, const struct http_header *trailers, size_t n);
void http_reply_abort(
    struct http_req *req); /* break the reply off: reset the stream or connection */

/* fn(ctx) when the client is gone before the reply was complete; the request is dead afterwards. */
void http_on_abort(struct http_req *req, void (*fn)(void *ctx), void *ctx);

/* fn(ctx) when all of the reply's bytes so far are with the kernel (or, HTTP/2, are framed). */
void http_on_drain(struct http_req *req, void (*fn)(void *ctx), void *ctx);

/* ---- bodies in pieces, for proxies: with http_server_opts.stream_bodies ---- */

/* More of the body is to come. The handler was called when the head was there. */
bool http_req_more(const struct http_req *req);
/* From now on fn gets the body; `end` with or after its last piece. Not called when there is no more. */
void http_req_read(struct http_req *req, void (*fn)(void *ctx, struct str piece, bool end),
                   void *ctx);
void http_req_pause(struct http_req *req);
void http_req_resume(struct http_req *req);
/* What http_server_adopt was given for this connection. */
void *http_req_conn_ctx(const struct http_req *req);

/* ---- server ---- */

struct http_server_opts {
    void (*handle)(struct http_req *req,
                   void *ctx); /* router_dispatch fits, with the router as ctx */
    void *ctx;
    struct h1_limits head; /* zero fields: defaults of h1.h */
    size_t body_max;       /* 0: HTTP_BODY_MAX */
    size_t arena_max;      /* budget of a request's arena beside its body; 0: HTTP_ARENA_MAX */
    int head_ms;           /* a request's head and body must be here within; 0: 15 s and 60 s */
    int body_ms;
    int idle_ms;        /* keep-alive; 0: 75 s */
    unsigned max_conns; /* 0: 10000 */
    bool no_h2;         /* HTTP/2 is on: by ALPN h2, or by its preface on a plain connection */
    /*
     * When set, is called as soon as a head is there, before the body: sets *body_max for this request
     * or returns a status to refuse it with (0: go on).
     */
    int (*on_head)(struct http_req *req, size_t *body_max, void *ctx);
    /* Called with ctx when the status of a reply is known, before its bytes leave. */
    void (*on_reply)(const struct http_req *req, int status, void *ctx);
    /*
     * HTTP/1.1: answers, in place of a bare 413, a request whose body is over the limit: req->body is empty then. The
     * connection ends with the answer. Of a body in chunks the announced length is not known.
     */
    void (*on_too_large)(struct http_req *req, uint64_t announced /* 0: unknown */, void *ctx);
    /* The handler is called at the end of the head; body_max does not count; see http_req_read. */
    bool stream_bodies;
    /* An adopted connection is gone; its requests were aborted before. */
    void (*on_conn_close)(void *conn_ctx);
};

enum { HTTP_BODY_MAX = 1 << 20, HTTP_ARENA_MAX = 8 << 20 };

struct err http_server_new(struct loop *l, const struct http_server_opts *o,
                           struct http_server **out);
/* May be called several times: one server on a unix socket and on TCP with TLS, say. */
struct err http_server_listen(struct http_server *s, struct str address, struct tls_server *tls,
                              const struct listen_opts *lo /* NULL ok */);
const char *http_server_address(const struct http_server *s,
                                size_t i); /* i-th listener; NULL after */
/*
 * Serves a connection that was accepted, and perhaps looked at, elsewhere; `first` is what was read of
 * it. The connection is the server's from now on.
 */
void http_server_adopt(struct http_server *s, struct conn *c, struct str first, void *conn_ctx);
/* Stops listening and closes idle connections; done(ctx) when the last request is answered. */
void http_server_drain(struct http_server *s, void (*done)(void *ctx), void *ctx);
void http_server_free(struct http_server *s); /* breaks off what is left */

#endif
