/* sextant-audit: the tamper-evident log of everything that Sextant's daemons decide and do. */
#include "audit_daemon.h"

#include "lib/base/log.h"
#include "lib/spiffe/svid_source.h"
#include "lib/telemetry/telemetry.h"
#include "lib/tls/tls.h"

enum { TICK_MS = 50 };

static struct metric events_taken =
    METRIC_COUNTER("sextant_audit_events_total", "Events made durable.", NULL, NULL);
static struct metric findings_made =
    METRIC_COUNTER("sextant_audit_findings_total", "Alerts raised by the detections.", NULL, NULL);
static struct metric log_size =
    METRIC_GAUGE("sextant_audit_log_size", "Events in the log.", NULL, NULL);
static struct metric checkpoint_size = METRIC_GAUGE(
    "sextant_audit_checkpoint_size", "Events under the signed checkpoint.", NULL, NULL);

static void on_committed(void *ctx, uint64_t size, unsigned findings)
{
    struct audit *a = ctx;
    metric_add(&findings_made, findings);
    metric_set(&log_size, (int64_t)size);
    events_taken.count = service_counts(a->service)->taken;
    api_committed(a, size);
}

static void tick(void *ctx)
{
    struct audit *a = ctx;
    service_tick(a->service);
    signer_step(a->signer);
    metric_set(&checkpoint_size, (int64_t)tlog_published(service_log(a->service)));
    if (a->file_export != NULL) {
        exporter_step(a->file_export);
    }
    if (a->syslog_export != NULL) {
        exporter_step(a->syslog_export);
    }
}

/* Until the first SVID is there nobody is believed, and no handshake succeeds. */
static struct err make_tls(struct audit *a)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    struct x509_bundles *nobody;
    struct tls_trust *trust = NULL;
    TRY(x509_bundles_new(&nobody));
    struct err e = tls_trust_spiffe(nobody, &trust);
    if (!failed(e)) {
        struct tls_server_opts t = {.client_cert_required = true, .alpn = alpn, .trust = trust};
        e = tls_server_new(&t, &a->tls);
        tls_trust_unref(trust);
    }
    x509_bundles_unref(nobody);
    TRY(e);
    return svid_source_attach_server(a->d->svid, a->tls);
}

static struct err start_http(struct audit *a)
{
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &a->router, .body_max = AUDIT_BODY_MAX};
    struct listen_opts everyone = {.mode = 0666}; /* the kernel tells who it is */
    router_init(&a->router);
    api_routes(a);
    TRY(http_server_new(a->d->loop, &o, &a->http));
    struct str path = arena_printf(&a->d->boot, "unix:%s/audit.sock", a->d->run_dir);
    TRY(http_server_listen(a->http, path, NULL, &everyone));
    if (a->config->listen.n == 0) {
        return OK;
    }
    TRY(make_tls(a));
    return http_server_listen(a->http, a->config->listen, a->tls, NULL);
}

static struct err start_exports(struct audit *a)
{
    if (a->config->syslog_file.n > 0) {
        TRY(exporter_file(a, a->config->syslog_file, &a->file_export));
    }
    if (a->config->syslog.n > 0) {
        TRY(exporter_syslog(a, a->config->syslog, &a->syslog_export));
    }
    return OK;
}

static struct err start(struct daemon *d)
{
    struct audit *a = arena_new(&d->boot, struct audit);
    a->d = d;
    a->config = d->section;
    a->origin = audit_origin(&d->boot, d);
    d->state = a;
    audit_expectations(d, &a->expected);
    metric_register(&events_taken);
    metric_register(&findings_made);
    struct service_opts o = {.dir = d->state_dir,
                             .origin = a->origin,
                             .expected = &a->expected,
                             .committed = on_committed,
                             .wake = audit_wake,
                             .ctx = a};
    TRY(service_open(&o, &a->service));
    TRY(signer_new(a, &a->signer));
    TRY(start_exports(a));
    TRY(start_http(a));
    a->tick = timer_start(d->loop, TICK_MS, TICK_MS, tick, a);
    log_info("log is open", {"origin", LOG_STR(a->origin)},
             {"size", LOG_INT(tlog_size(service_log(a->service)))});
    return OK;
}

static struct err reload(struct daemon *d)
{
    struct audit *a = d->state;
    a->config = d->section; /* addresses stay until a restart; readers and expectations are new */
    audit_expectations(d, &a->expected);
    return OK;
}

static void drained(void *ctx)
{
    daemon_drained(ctx);
}

static void drain(struct daemon *d)
{
    struct audit *a = d->state;
    api_release(a);
    http_server_drain(a->http, drained, d);
}

static void stop(struct daemon *d)
{
    struct audit *a = d->state;
    timer_stop(a->tick);
    api_release(a);
    exporter_free(a->file_export);
    exporter_free(a->syslog_export);
    http_server_free(a->http);
    router_release(&a->router);
    service_close(a->service);
    signer_free(a->signer);
    if (a->tls != NULL) {
        tls_server_unref(a->tls);
    }
}

static const struct daemon_spec spec = {
    .name = "audit",
    .summary = "tamper-evident log, questions and detections",
    .keys = audit_keys,
    .section_size = sizeof(struct audit_config),
    .needs = DAEMON_WANTS_SVID,
    .sandbox = audit_sandbox,
    .start = start,
    .reload = reload,
    .drain = drain,
    .stop = stop,
    .commands = audit_commands,
};

int main(int argc, char **argv)
{
    return daemon_main(argc, argv, &spec);
}
