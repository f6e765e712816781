/*
 * The daemon: watches the manifests, and brings each change into force.
 *
 * A change is told to audit before it is applied; until audit has it on disk the old policies stay.
 * Before the first policies are in force nothing is forwarded. On exit the table stays: stopping the
 * daemon must not open the network.
 */
#include "netpold.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/http/router.h"
#include "lib/loop/loop.h"
#include "lib/telemetry/telemetry.h"

#include <inttypes.h>
#include <stdlib.h>

enum { RETRY_MS = 1000, PROOF_ARENA_MAX = 1 << 30 };

struct netpold {
    struct daemon *d;
    const struct netpol_config *cfg;
    struct netpol_epoch *now, *next; /* in force; waiting for audit */
    bool again;                      /* the manifests changed while one was waiting */
    struct dir_watch *watch;
    struct netlink *nl;
    struct netpol_denied *denied;
    struct timer *retry;
    struct dependency *policies;
    struct http_server *server;
    struct router router;
};

static struct metric applied_total = METRIC_COUNTER(
    "sextant_netpol_applied_total", "Policy changes brought into force.", NULL, NULL);
static struct metric failed_total =
    METRIC_COUNTER("sextant_netpol_failed_total", "Policy changes that could not be.", NULL, NULL);
static struct metric cut_total = METRIC_COUNTER("sextant_netpol_connections_cut_total",
                                                "Live connections cut by a change.", NULL, NULL);
static struct metric pods_now =
    METRIC_GAUGE("sextant_netpol_pods", "Pods in the manifests.", NULL, NULL);
static struct metric policies_now =
    METRIC_GAUGE("sextant_netpol_policies", "NetworkPolicies in force.", NULL, NULL);
static struct metric elements_now =
    METRIC_GAUGE("sextant_netpol_elements", "Set elements in the kernel.", NULL, NULL);
static struct metric apply_time = METRIC_HISTOGRAM(
    "sextant_netpol_apply_seconds", "Time to bring a change into force.", NULL, NULL);

static void consider(void *ctx);

static void later(struct netpold *n)
{
    if (n->retry == NULL) {
        n->retry = timer_start(n->d->loop, RETRY_MS, 0, consider, n);
    }
}

static void put_event(struct netpold *n, const char *outcome, struct str reason,
                      void (*done)(void *ctx, struct err))
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct json *extra = json_new_object(&a);
    const struct netpol_epoch *e = n->next;
    json_set(&a, extra, S("policies_before"),
             json_new_string(&a, n->now != NULL ? str_of(n->now->hash) : S("none")));
    json_set(&a, extra, S("policies_after"), json_new_string(&a, str_of(e->hash)));
    json_set(&a, extra, S("pods"), json_new_int(&a, (int64_t)e->model->n_pods));
    json_set(&a, extra, S("policies"), json_new_int(&a, (int64_t)e->model->n_policies));
    struct audit_event event = {.class_uid = OCSF_ENTITY_MANAGEMENT,
                                .activity_id = 3, /* update */
                                .activity = "policy.apply",
                                .outcome = outcome,
                                .actor_spiffe_id = str_of(n->d->spiffe_id),
                                .resource_type = S("network-policy"),
                                .resource_uid = n->cfg->table,
                                .reason = reason,
                                .extra = extra};
    event.trace = trace_new();
    audit_emit(n->d->audit, &event, done, n);
    arena_release(&a);
}

static void put_in_force(struct netpold *n)
{
    struct netpol_applied done;
    struct err e = netpol_epoch_apply(n->nl, n->now, n->next, n->cfg, &done);
    if (failed(e)) {
        log_error("the policies could not be applied; the old ones stay",
                  {"error", LOG_CSTR(err_detail())});
        put_event(n, "failed", str_of(err_detail()), NULL);
        metric_add(&failed_total, 1);
        netpol_epoch_free(n->next);
        later(n);
    } else {
        log_info("policies in force", {"pods", LOG_INT(n->next->model->n_pods)},
                 {"policies", LOG_INT(n->next->model->n_policies)},
                 {"elements", LOG_INT(done.elements)}, {"changed", LOG_INT(done.changed)},
                 {"connections_cut", LOG_INT(done.flows_cut)}, {"us", LOG_INT(done.ns / 1000)},
                 {"hash", LOG_CSTR(n->next->hash)});
        metric_add(&applied_total, 1);
        metric_add(&cut_total, done.flows_cut);
        metric_observe(&apply_time, done.ns);
        metric_set(&pods_now, (int64_t)n->next->model->n_pods);
        metric_set(&policies_now, (int64_t)n->next->model->n_policies);
        metric_set(&elements_now, (int64_t)done.elements);
        netpol_epoch_free(n->now);
        n->now = n->next;
        daemon_have(n->policies);
    }
    n->next = NULL;
}

static void on_audited(void *ctx, struct err e)
{
    struct netpold *n = ctx;
    if (n->next == NULL) {
        return; /* stopping */
    }
    if (failed(e)) {
        log_warn("audit did not take the change; it waits", {"error", LOG_CSTR(err_detail())});
        netpol_epoch_free(n->next);
        n->next = NULL;
        later(n);
        return;
    }
    put_in_force(n);
    if (n->again) {
        n->again = false;
        consider(n);
    }
}

/* The manifests may have changed: reads them, and starts the way into force if they have. */
static void consider(void *ctx)
{
    struct netpold *n = ctx;
    n->retry = NULL;
    if (n->next != NULL) {
        n->again = true;
        return;
    }
    char *path = arena_cstr(&n->d->boot, n->cfg->manifests);
    if (failed(netpol_epoch_load(path, &n->next))) {
        log_error("the manifests are wrong; the old policies stay",
                  {"error", LOG_CSTR(err_detail())});
        metric_add(&failed_total, 1);
        if (n->now == NULL) {
            daemon_lost(n->policies, "the manifests are wrong or missing");
            later(n);
        }
        return;
    }
    if (n->now != NULL && strcmp(n->now->hash, n->next->hash) == 0) {
        netpol_epoch_free(n->next);
        n->next = NULL;
        return;
    }
    put_event(n, "allowed", STR_EMPTY, on_audited);
}

static void on_change(void *ctx)
{
    struct netpold *n = ctx;
    timer_stop(n->retry);
    consider(n);
}

/* --- the socket ------------------------------------------------------------------------------ */

static void get_explain(struct http_req *req, void *ctx)
{
    struct netpold *n = ctx;
    struct str src_text, dst_text, port_text;
    struct netpol_end src, dst;
    enum netpol_proto proto;
    uint16_t port;
    if (n->now == NULL) {
        http_reply_err(req, err_make(ERR_UNAVAILABLE, "no policies are in force yet"));
        return;
    }
    if (!http_query_get(req, "src", &src_text) || !http_query_get(req, "dst", &dst_text) ||
        !http_query_get(req, "port", &port_text)) {
        http_reply_json(req, 400, S("{\"error\":\"src, dst and port are needed\"}"));
        return;
    }
    struct err e = netpol_end_parse(n->now->model, src_text, 4, &src);
    e = failed(e) ? e : netpol_end_parse(n->now->model, dst_text, src.ip.family, &dst);
    e = failed(e) ? e : netpol_port_parse(&dst, port_text, &proto, &port);
    if (failed(e)) {
        http_reply_err(req, e);
        return;
    }
    struct netpol_decision d = netpol_decide(n->now->model, &src, &dst, proto, port);
    struct buf text;
    buf_init(&text, 1 << 20);
    netpol_explain_json(&text, &src, &dst, proto, port, &d);
    http_reply_json(req, 200, buf_str(&text));
    buf_release(&text);
}

static void get_status(struct http_req *req, void *ctx)
{
    struct netpold *n = ctx;
    struct buf text;
    buf_init(&text, 4096);
    buf_printf(
        &text, "{\"in_force\":%s,\"hash\":\"%s\",\"pods\":%zu,\"policies\":%zu,\"elements\":%zu}",
        n->now != NULL ? "true" : "false", n->now != NULL ? n->now->hash : "",
        n->now != NULL ? n->now->model->n_pods : 0, n->now != NULL ? n->now->model->n_policies : 0,
        n->now != NULL ? n->now->ruleset->n_elements : 0);
    http_reply_json(req, 200, buf_str(&text));
    buf_release(&text);
}

/* Proves the kernel's table against the policies in force. */
static void get_verify(struct http_req *req, void *ctx)
{
    struct netpold *n = ctx;
    struct netpol_verify_report r = {0};
    struct arena a;
    struct buf text;
    if (n->now == NULL) {
        http_reply_err(req, err_make(ERR_UNAVAILABLE, "no policies are in force yet"));
        return;
    }
    arena_init(&a, PROOF_ARENA_MAX);
    buf_init(&text, 64 * 1024);
    struct err e = netpol_epoch_verify(n->now, n->cfg, &a, &r);
    buf_printf(&text,
               "{\"proven\":%s,\"checks\":%" PRIu64 ",\"mismatches\":%" PRIu64 ",\"detail\":",
               !failed(e) && r.mismatches == 0 ? "true" : "false", r.checks, r.mismatches);
    json_write_string(&text, failed(e) ? str_of(err_detail()) : r.first);
    buf_putc(&text, '}');
    http_reply_json(req, 200, buf_str(&text));
    buf_release(&text);
    arena_release(&a);
}

static struct err start_server(struct netpold *n)
{
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &n->router, .max_conns = 64, .no_h2 = true};
    struct str address = arena_printf(&n->d->boot, "unix:%s/netpol.sock", n->d->run_dir);
    router_init(&n->router);
    daemon_add_common_routes(n->d, &n->router);
    router_add(&n->router, "GET", "/v1/explain", get_explain, n);
    router_add(&n->router, "GET", "/v1/status", get_status, n);
    router_add(&n->router, "GET", "/v1/verify", get_verify, n);
    TRY(http_server_new(n->d->loop, &o, &n->server));
    return http_server_listen(n->server, address, NULL, &(struct listen_opts){.mode = 0666});
}

static struct err netpold_start(struct daemon *d)
{
    struct netpold *n = arena_new(&d->boot, struct netpold);
    n->d = d;
    n->cfg = d->section;
    d->state = n;
    metric_register(&applied_total);
    metric_register(&failed_total);
    metric_register(&cut_total);
    TRY(netlink_open(&n->nl));
    TRY(netpol_lock_down(n->cfg));
    n->denied = n->cfg->report_denied ? netpol_denied_start(d, &n->now) : NULL;
    n->policies = daemon_need(d, "policies");
    TRY(start_server(n));
    TRY(dir_watch_start(d->loop, arena_cstr(&d->boot, n->cfg->manifests), on_change, n, &n->watch));
    loop_defer(d->loop, consider, n);
    return OK;
}

static struct err netpold_reload(struct daemon *d)
{
    struct netpold *n = d->state;
    const struct netpol_config *cfg = d->section;
    ENSURE(str_eq(cfg->table, n->cfg->table) && str_eq(cfg->manifests, n->cfg->manifests),
           ERR_INVALID, "netpol.table and netpol.manifests change by a restart only");
    n->cfg = cfg;
    on_change(n);
    return OK;
}

static void netpold_stop(struct daemon *d)
{
    struct netpold *n = d->state;
    struct netpol_epoch *next = n->next;
    n->next = NULL;
    netpol_denied_stop(n->denied);
    netpol_epoch_free(next);
    netpol_epoch_free(n->now);
    netlink_close(n->nl);
    dir_watch_stop(n->watch);
    timer_stop(n->retry);
    http_server_free(n->server);
    router_release(&n->router);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .name = "netpol",
        .summary = "Kubernetes NetworkPolicy by nftables",
        .keys = netpol_keys,
        .section_size = sizeof(struct netpol_config),
        .needs = DAEMON_NEEDS_AUDIT,
        .sandbox = netpol_sandbox,
        .start = netpold_start,
        .reload = netpold_reload,
        .stop = netpold_stop,
        .commands = netpol_commands,
    };
    return daemon_main(argc, argv, &spec);
}
