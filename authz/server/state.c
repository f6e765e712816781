/* What the server says of itself: /, /v1/config, /v1/status, /metrics. */
#include "server.h"

#include "lib/telemetry/telemetry.h"

#include <malloc.h>

static void pretty_value(struct authz *z, struct http_req *req, struct buf *b)
{
    struct params p;
    params_read(req, &p);
    reply_value(z, req, 200, b, p.pretty);
}

static void config(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct buf b;
    meter_label(req, HANDLER_V1_CONFIG);
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":"));
    if (z->write_config != NULL) {
        z->write_config(z->write_config_ctx, &b);
    } else {
        buf_puts(&b, S("{\"default_authorization_decision\":"));
        val_json_string(&b, z->config->authorization_decision, true);
        buf_puts(&b, S(",\"default_decision\":"));
        val_json_string(&b, z->config->default_decision, true);
        buf_puts(&b, S(",\"labels\":"));
        put_labels(z, &b);
        buf_putc(&b, '}');
    }
    buf_putc(&b, '}');
    pretty_value(z, req, &b);
}

static void status(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct buf b;
    meter_label(req, HANDLER_V1_STATUS);
    if (z->write_status == NULL) {
        reply_error(req, 500, "internal_error", "status plugin not enabled");
        return;
    }
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":"));
    z->write_status(z->write_status_ctx, &b);
    buf_putc(&b, '}');
    pretty_value(z, req, &b);
}

static void banner(struct http_req *req, void *ctx)
{
    (void)ctx;
    meter_label(req, HANDLER_INDEX);
    http_reply(req, &(struct http_reply){
                        .status = 200,
                        .content_type = S("text/html; charset=utf-8"),
                        .body = S("<html><body><pre>sextant-authz: policy decisions as Open Policy "
                                  "Agent makes them. POST /v1/data/PATH with {\"input\": …}; see "
                                  "docs/authz.md.</pre>\nVersion: 1.22.2<br>\n</body></html>\n")});
}

static void metrics(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct buf b;
    meter_label(req, HANDLER_CATCHALL);
    buf_init(&b, REPLY_MAX);
    meters_write(&b);
    metrics_write(&b);
    if (z->write_metrics != NULL) {
        z->write_metrics(z->write_metrics_ctx, &b);
    }
    http_reply(req, &(struct http_reply){.status = 200,
                                         .content_type = S("text/plain; version=0.0.4; "
                                                           "charset=utf-8; escaping=underscores"),
                                         .body = buf_str(&b)});
    buf_release(&b);
}

static void alloc_bytes(struct http_req *req, void *ctx)
{
    static const char *const units[] = {"", "K", "M", "G", "T"};
    (void)ctx;
    struct mallinfo2 m = mallinfo2();
    struct str v;
    double bytes = (double)(m.uordblks + m.hblkhd);
    bool pretty = http_query_get(req, "pretty", &v) && str_is(v, "true");
    size_t unit = 0;
    for (; pretty && bytes >= 1000.0 && unit + 1 < ARRAY_LEN(units); unit++) {
        bytes /= 1000.0;
    }
    http_reply_text(req, 200,
                    pretty ? arena_printf(req->arena, "%3.1f%sB\n", bytes, units[unit])
                           : arena_printf(req->arena, "%zu\n", m.uordblks + m.hblkhd));
}

void state_routes(struct authz *z, struct router *r)
{
    router_add(r, "GET", "/v1/config", config, z);
    router_add(r, "GET", "/v1/status", status, z);
    router_add(r, "GET", "/", banner, z);
    router_add(r, "GET", "/metrics", metrics, z);
    router_add(r, "GET", "/metrics/alloc_bytes", alloc_bytes, z);
    router_add(&z->diagnostic_routes, "GET", "/metrics", metrics, z);
    router_add(&z->diagnostic_routes, "GET", "/metrics/alloc_bytes", alloc_bytes, z);
}
