#include "examples/services/service.h"

#include "lib/base/log.h"
#include "lib/http/client.h"
#include "lib/http/router.h"

/*
 * reports: service A of the reference system. Answers GET /reports/{team}?environment=E with what service B
 * says about that team. It knows nothing about tokens, certificates or policy: its sidecar does.
 *
 *     reports --listen 127.0.0.1:8080 --upstream http://10.77.2.2:8080
 */

struct reports {
    struct http_client *client;
    const char *upstream;
};

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct http_req *req = ctx;
    if (failed(e)) {
        log_warn("upstream failed", {"detail", LOG_CSTR(err_detail())});
        http_reply_text(req, 502, S("service B cannot be reached\n"));
        return;
    }
    http_reply_json(req, res->status, res->body);
}

static void report(struct http_req *req, void *ctx)
{
    struct reports *r = ctx;
    struct str environment = S("");
    http_query_get(req, "environment", &environment);
    struct buf url;
    buf_init(&url, 4096);
    buf_printf(&url, "%s/payments/", r->upstream);
    percent_put(&url, http_param(req, "team"));
    buf_puts(&url, S("?environment="));
    percent_put(&url, environment);
    struct http_call call = {.method = req->method,
                             .url = arena_str(req->arena, buf_str(&url)),
                             .trace = req->trace,
                             .done = answered,
                             .ctx = req};
    buf_release(&url);
    http_client_call(r->client, &call);
}

static void healthy(struct http_req *req, void *ctx)
{
    (void)ctx;
    http_reply_text(req, 200, S("ok\n"));
}

int main(int argc, char **argv)
{
    struct service s;
    struct reports r = {0};
    service_init(&s, "reports", argc, argv);
    r.upstream = service_option(&s, "--upstream");
    struct http_client_opts opts = {.timeout_ms = 5000};
    service_must(http_client_new(s.loop, &opts, &r.client));
    router_add(&s.router, "GET", "/healthz", healthy, NULL);
    router_add(&s.router, "GET", "/reports/{team}", report, &r);
    router_add(&s.router, "POST", "/reports/{team}", report, &r);
    return service_run(&s);
}
