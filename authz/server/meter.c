/*
 * Counts and times of requests under Prometheus' names of OPA, and times of one request for ?metrics. Requests
 * are told apart by handler, method and code; a combination gets its histogram when it first occurs.
 */
#include "server.h"

#include "lib/base/clock.h"

#include <stdlib.h>

enum { CELLS_MAX = 512 };

static const char *const labels[HANDLERS] = {
    [HANDLER_CATCHALL] = "catchall",
    [HANDLER_V0_DATA] = "v0/data",
    [HANDLER_V1_DATA] = "v1/data",
    [HANDLER_V1_QUERY] = "v1/query",
    [HANDLER_V1_POLICIES] = "v1/policies",
    [HANDLER_V1_COMPILE] = "v1/compile",
    [HANDLER_V1_CONFIG] = "v1/config",
    [HANDLER_V1_STATUS] = "v1/status",
    [HANDLER_INDEX] = "index",
    [HANDLER_HEALTH] = "health",
    [HANDLER_AUTHZ] = "authz",
    [HANDLER_BATCH] = "v1/batch/data",
};

/* Upper bounds, and as they are written. The last bucket is +Inf. */
static const struct {
    int64_t ns;
    const char *text;
} bounds[] = {{1000, "1e-06"},    {5000, "5e-06"},    {10000, "1e-05"},   {50000, "5e-05"},
              {100000, "0.0001"}, {500000, "0.0005"}, {1000000, "0.001"}, {10000000, "0.01"},
              {100000000, "0.1"}, {1000000000, "1"}};

enum { BUCKETS = ARRAY_LEN(bounds) + 1, METHOD_MAX = 8 };

struct cell {
    enum handler_label handler;
    int status;
    char method[METHOD_MAX]; /* lower case */
    uint64_t bucket[BUCKETS], count;
    int64_t sum_ns;
};

static struct cell *cells;
static size_t n_cells, cap_cells;
static struct cell *recent; /* most requests are like the one before */

/* What is no method of HTTP counts as "unknown", so that clients cannot fill the table. */
static const char *method_name(struct str m)
{
    static const char *const known[][2] = {
        {"GET", "get"},       {"POST", "post"}, {"PUT", "put"},         {"PATCH", "patch"},
        {"DELETE", "delete"}, {"HEAD", "head"}, {"OPTIONS", "options"}, {"TRACE", "trace"}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_is(m, known[i][0])) {
            return known[i][1];
        }
    }
    return "unknown";
}

static struct cell *find(enum handler_label h, const char *method, int status)
{
    for (size_t i = 0; i < n_cells; i++) {
        struct cell *c = &cells[i];
        if (c->handler == h && c->status == status && strcmp(c->method, method) == 0) {
            return c;
        }
    }
    if (n_cells == CELLS_MAX) {
        return NULL;
    }
    if (n_cells == cap_cells) {
        cap_cells = MAX(cap_cells * 2, (size_t)16);
        cells = realloc(cells, cap_cells * sizeof *cells);
        BUG_ON(cells == NULL);
    }
    struct cell *c = &cells[n_cells++];
    *c = (struct cell){.handler = h, .status = status};
    memcpy(c->method, method, strlen(method) + 1);
    return c;
}

void meter_observe(enum handler_label h, struct str method, int status, int64_t ns)
{
    const char *name = method_name(method);
    struct cell *c = recent;
    if (c == NULL || c->handler != h || c->status != status || strcmp(c->method, name) != 0) {
        c = find(h, name, status);
        recent = c;
    }
    if (c == NULL) {
        return;
    }
    size_t i = 0;
    while (i < ARRAY_LEN(bounds) && ns > bounds[i].ns) {
        i++;
    }
    c->bucket[i]++;
    c->count++;
    c->sum_ns += ns;
}

void meter_begin(struct http_req *req)
{
    req->user_ns = clock_mono_ns();
    req->user_tag = HANDLER_CATCHALL;
}

void meter_label(struct http_req *req, enum handler_label l)
{
    req->user_tag = l;
}

void authz_on_reply(const struct http_req *req, int status, void *ctx)
{
    (void)ctx;
    if (req->user_ns != 0) {
        meter_observe((enum handler_label)req->user_tag, req->method, status,
                      clock_mono_ns() - req->user_ns);
    }
}

static void write_cell(struct buf *out, const struct cell *c)
{
    char who[128];
    uint64_t below = 0;
    snprintf(who, sizeof who, "code=\"%d\",handler=\"%s\",method=\"%s\"", c->status,
             labels[c->handler], c->method);
    for (size_t i = 0; i < BUCKETS; i++) {
        below += c->bucket[i];
        buf_printf(out, "http_request_duration_seconds_bucket{%s,le=\"%s\"} %llu\n", who,
                   i < ARRAY_LEN(bounds) ? bounds[i].text : "+Inf", (unsigned long long)below);
    }
    buf_printf(out, "http_request_duration_seconds_sum{%s} %lld.%09lld\n", who,
               (long long)(c->sum_ns / NS_PER_S), (long long)(c->sum_ns % NS_PER_S));
    buf_printf(out, "http_request_duration_seconds_count{%s} %llu\n", who,
               (unsigned long long)c->count);
}

void meters_write(struct buf *out)
{
    if (n_cells == 0) {
        return;
    }
    buf_puts(out, S("# HELP http_request_duration_seconds A histogram of duration for requests.\n"
                    "# TYPE http_request_duration_seconds histogram\n"));
    for (size_t i = 0; i < n_cells; i++) {
        write_cell(out, &cells[i]);
    }
}

void put_metrics(struct buf *b, const struct timers *t)
{
    buf_printf(b, "{\"counter_server_query_cache_hit\":%d,\"timer_rego_external_resolve_ns\":0",
               t->cached ? 1 : 0);
    buf_printf(b, ",\"timer_rego_input_parse_ns\":%lld", (long long)t->parse_ns);
    if (!t->cached) {
        buf_printf(b, ",\"timer_rego_query_compile_ns\":%lld", (long long)t->compile_ns);
    }
    buf_printf(b, ",\"timer_rego_query_eval_ns\":%lld", (long long)t->eval_ns);
    if (!t->cached) {
        buf_printf(b, ",\"timer_rego_query_parse_ns\":%lld", (long long)t->prepare_ns);
    }
    buf_printf(b, ",\"timer_server_handler_ns\":%lld}", (long long)t->handler_ns);
}
