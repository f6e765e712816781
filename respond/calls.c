#include "calls.h"

#include "lib/base/clock.h"
#include "lib/loop/loop.h"

struct batch {
    struct calls *c;
    struct loop *loop;
    size_t left;
};

struct in_flight {
    struct batch *b;
    struct call *call;
    int64_t began;
};

static void answer(void *ctx, struct err e, const struct http_result *res)
{
    struct in_flight *f = ctx;
    struct call *call = f->call;
    struct arena *a = f->b->c->a;
    call->ms = (clock_mono_ns() - f->began) / NS_PER_MS;
    if (failed(e)) {
        call->problem = arena_str(a, str_of(err_detail()));
    } else {
        call->answered = true;
        call->status = res->status;
        call->text = arena_str(a, res->body);
        if (res->body.n > 0 && failed(json_parse(a, call->text, NULL, &call->json))) {
            call->json = NULL;
        }
    }
    if (--f->b->left == 0) {
        loop_stop(f->b->loop);
    }
}

static void send_all(struct batch *b, struct http_client *client, struct call *list, size_t n)
{
    struct arena *a = b->c->a;
    for (size_t i = 0; i < n; i++) {
        struct in_flight *f = arena_new(a, struct in_flight);
        struct http_header h[2] = {{S("x-sextant-caller"), S("respond")},
                                   {S("x-vault-token"), list[i].token}};
        *f = (struct in_flight){b, &list[i], clock_mono_ns()};
        struct http_call call = {
            .method = str_of(list[i].method),
            .url = list[i].url,
            .headers = h,
            .n_headers = list[i].token.n > 0 ? 2 : 1,
            .body = list[i].body,
            .content_type = list[i].body.n > 0 ? S("application/json") : STR_EMPTY,
            .trace = b->c->trace,
            .done = answer,
            .ctx = f,
        };
        http_client_call(client, &call);
    }
}

void calls_run(struct calls *c, struct call *list, size_t n)
{
    struct batch b = {.c = c, .left = n};
    struct http_client *client;
    struct http_client_opts o = {.tls = c->tls,
                                 .timeout_ms = CALL_TIMEOUT_MS,
                                 .body_max = CALL_BODY_MAX,
                                 .waiting_max = CALLS_MAX};
    if (n == 0 || failed(loop_new(&b.loop))) {
        return;
    }
    if (!failed(http_client_new(b.loop, &o, &client))) {
        send_all(&b, client, list, n);
        loop_run(b.loop);
        http_client_free(client);
    }
    loop_free(b.loop);
}

bool call_good(const struct call *c)
{
    return c->answered && c->status >= 200 && c->status < 300;
}

struct str call_outcome(struct arena *a, const struct call *c)
{
    if (!c->answered) {
        return c->problem.n > 0 ? c->problem : S("no answer");
    }
    const struct json *errors = json_get(c->json, "errors");
    struct str why =
        json_is(errors, JSON_ARRAY) && errors->n > 0 ? json_str(errors->items[0]) : STR_EMPTY;
    static const char *const members[] = {"detail", "error_description", "error", "message"};
    for (size_t i = 0; i < ARRAY_LEN(members) && why.n == 0; i++) {
        why = json_str(json_get(c->json, members[i]));
    }
    return why.n > 0 ? arena_printf(a, "%d: %.*s", c->status, STR_FMT(str_sub(why, 0, 300)))
                     : arena_printf(a, "%d", c->status);
}
