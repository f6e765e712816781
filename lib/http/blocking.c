/* The client for commands: one call on a loop of its own. */
#include "client.h"

#include <stdlib.h>
#include <string.h>

struct waiting {
    struct loop *loop;
    struct arena *arena;
    struct http_result *out;
    struct err error;
    char *detail;
};

static void copy_result(struct arena *a, const struct http_result *res, struct http_result *out)
{
    struct http_header *h = arena_array(a, struct http_header, res->n_headers);
    for (size_t i = 0; i < res->n_headers; i++) {
        h[i].name = arena_str(a, res->headers[i].name);
        h[i].value = arena_str(a, res->headers[i].value);
    }
    *out = (struct http_result){.status = res->status,
                                .reason = arena_str(a, res->reason),
                                .headers = h,
                                .n_headers = res->n_headers,
                                .body = arena_str(a, res->body)};
}

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct waiting *w = ctx;
    w->error = e;
    if (failed(e)) {
        w->detail = strdup(err_detail());
    } else {
        copy_result(w->arena, res, w->out);
    }
    loop_stop(w->loop);
}

struct err http_call_blocking(struct arena *a, const struct http_client_opts *o,
                              const struct http_call *call, struct http_result *out)
{
    struct waiting w = {.arena = a, .out = out};
    struct http_client *client;
    TRY(loop_new(&w.loop));
    struct err e = http_client_new(w.loop, o, &client);
    if (!failed(e)) {
        struct http_call mine = *call;
        mine.done = answered;
        mine.ctx = &w;
        http_client_call(client, &mine);
        loop_run(w.loop);
        e = w.error;
        http_client_free(client);
    }
    loop_free(w.loop);
    if (failed(e)) {
        e = err_make(e.code, "%s", w.detail != NULL ? w.detail : "");
        free(w.detail);
    }
    return e;
}

struct err http_get_blocking(struct arena *a, const struct http_client_opts *o, struct str url,
                             struct http_result *out)
{
    struct http_call call = {.method = S("GET"), .url = url};
    return http_call_blocking(a, o, &call, out);
}
