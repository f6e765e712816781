/*
 * client: HTTP/1.1 requests to others, asynchronous, with a pool of kept-alive connections, and a
 * blocking form for commands.
 *
 * URLs: "http://host:port/path?q", "https://host/path", "unix:/run/x.sock:/v1/events" (plain HTTP over a
 * unix socket). A call is copied by http_client_call; `done` runs exactly once, never before it returned,
 * unless http_client_cancel came first. The result dies with the callback.
 *
 *     struct http_call call = {.method = S("GET"), .url = S("unix:/run/a.sock:/healthz"), .done = got};
 *     http_client_call(client, &call);
 *
 * Any status is a success of the transport: look at res->status. Requests are sent again on a fresh
 * connection only when a kept-alive one turned out dead before a byte of the answer came and the
 * method is safe to repeat (GET, HEAD, PUT, DELETE, OPTIONS).
 */
#ifndef SEXTANT_HTTP_CLIENT_H
#define SEXTANT_HTTP_CLIENT_H

#include "lib/base/trace.h"
#include "lib/http/h1.h"
#include "lib/loop/conn.h"

struct http_client;
struct http_call_state;

struct http_client_opts {
    struct tls_client *tls;  /* for https; NULL: https is refused */
    int timeout_ms;          /* of a whole call; 0: 30 s */
    int connect_ms;          /* 0: 5 s */
    int idle_ms;             /* keep-alive; 0: 30 s */
    size_t body_max;         /* of an answer; 0: 16 MiB */
    unsigned conns_per_host; /* 0: 8; further calls wait */
    unsigned waiting_max;    /* calls waiting in all; more fail with ERR_BUSY; 0: 4096 */
    struct str
        server_name; /* TLS: the name to ask for and to verify; empty: the URL's host. Copied */
};

struct http_result {
    int status;
    struct str reason;                 /* as the server wrote it: "OK" */
    const struct http_header *headers; /* names in lower case */
    size_t n_headers;
    struct str body;
    const struct peer *peer; /* who answered */
};

struct http_call {
    struct str method; /* empty: GET, or POST with a body */
    struct str url;
    const struct http_header *headers;
    size_t n_headers;
    struct str body;
    struct str content_type;
    struct trace trace; /* set: a child of it is sent as traceparent */
    int timeout_ms;     /* 0: of the client */
    size_t body_max;    /* 0: of the client */
    void (*done)(void *ctx, struct err e, const struct http_result *res /* NULL on error */);
    /* When set, pieces of a 2xx body go here as they come (long polls, streams), not to res->body. */
    void (*on_piece)(void *ctx, int status, struct str piece);
    void *ctx;
};

struct err http_client_new(struct loop *l, const struct http_client_opts *o,
                           struct http_client **out);
void http_client_free(struct http_client *c); /* pending calls end with ERR_CLOSED first */
/* The state is for http_client_cancel only, and dead once `done` has run. Errors come through `done`. */
struct http_call_state *http_client_call(struct http_client *c, const struct http_call *call);
void http_client_cancel(struct http_call_state *s); /* `done` will not run; NULL is fine */

struct str http_result_header(const struct http_result *res, const char *lower_name);

/*
 * For commands: runs a private loop until the answer is there. `done` and `ctx` of the call are not
 * used; the result lives in `a`.
 */
struct err http_call_blocking(struct arena *a, const struct http_client_opts *o,
                              const struct http_call *call, struct http_result *out);
struct err http_get_blocking(struct arena *a, const struct http_client_opts *o, struct str url,
                             struct http_result *out);

/* A URL in its parts; `address` is for loop_connect, `authority` for Host. ERR_SYNTAX. */
struct http_url {
    bool tls;
    struct str address;   /* "host:port" or "unix:/path" */
    struct str authority; /* "host" or "host:port" as written; "localhost" for unix */
    struct str host;      /* without port and brackets */
    struct str target;    /* "/path?query", at least "/" */
};
struct err http_url_parse(struct arena *a, struct str url, struct http_url *out);

#endif
