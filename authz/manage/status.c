/* status: how bundles, discovery and decision logs fare: to a service, the console, and /metrics. */
#include "manage_priv.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/telemetry/telemetry.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

struct str time_text(struct arena *a, int64_t wall_ns)
{
    struct tm tm;
    time_t s = (time_t)(wall_ns / 1000000000);
    char text[64], fraction[16];
    if (wall_ns == 0) {
        return S("0001-01-01T00:00:00Z");
    }
    gmtime_r(&s, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    int m = snprintf(fraction, sizeof fraction, ".%09d", (int)(wall_ns % 1000000000));
    while (m > 0 && fraction[m - 1] == '0') { /* as Go writes it: no zeros at the end */
        fraction[--m] = 0;
    }
    return arena_printf(a, "%.*s%sZ", (int)n, text, m > 1 ? fraction : "");
}

void console_line(struct arena *a, struct val fields, const char *message, const char *type)
{
    struct vlist l = {.a = a};
    struct buf b;
    for (uint32_t i = 0; i < val_len(fields); i++) {
        vlist_add2(&l, val_nth_key(a, fields, i), val_nth(fields, i));
    }
    vlist_put(&l, "level", val_str(a, S("info")));
    vlist_put(&l, "msg", val_str(a, str_of(message)));
    vlist_put(&l, "time", val_str(a, time_text(a, clock_wall_ns() / 1000000000 * 1000000000)));
    vlist_put(&l, "type", val_str(a, str_of(type)));
    buf_init(&b, EVENT_MEMORY_MAX);
    val_to_json(&b, vlist_object(&l), true);
    buf_putc(&b, '\n');
    (void)fwrite(b.p, 1, b.n, stderr);
    buf_release(&b);
}

/* ---- the document ---- */

static void put_number(struct vlist *l, const char *name, int64_t v)
{
    if (v > 0) {
        vlist_put(l, name, val_int(l->a, v));
    }
}

static struct val metrics_of(struct arena *a, const struct source_status *t)
{
    struct vlist l = {.a = a};
    put_number(&l, "timer_bundle_request_ns", t->request_took_ns);
    put_number(&l, "timer_rego_load_bundles_ns", t->load_took_ns);
    put_number(&l, "timer_rego_module_compile_ns", t->compile_took_ns);
    return vlist_object(&l);
}

static void put_failure(struct vlist *l, const struct source_status *t)
{
    struct val errors;
    if (!t->failed) {
        return;
    }
    vlist_put(l, "code", val_str(l->a, S("bundle_error")));
    vlist_put(l, "message", val_str(l->a, str_of(t->message)));
    put_number(l, "http_code", t->http_code);
    if (t->errors.n > 0 && !failed(val_from_json(l->a, buf_str(&t->errors), &errors))) {
        vlist_put(l, "errors", errors);
    }
}

static struct val source_value(struct arena *a, const struct source *s)
{
    const struct source_status *t = &s->status;
    struct vlist l = {.a = a};
    vlist_put(&l, "name", val_str(a, s->settings->name));
    if (t->revision[0] != 0) {
        vlist_put(&l, "active_revision", val_str(a, str_of(t->revision)));
    }
    if (t->type != NULL) {
        vlist_put(&l, "type", val_str(a, str_of(t->type)));
    }
    put_number(&l, "size", (int64_t)t->size);
    vlist_put(&l, "last_successful_activation", val_str(a, time_text(a, t->activated_ns)));
    vlist_put(&l, "last_successful_download", val_str(a, time_text(a, t->downloaded_ns)));
    vlist_put(&l, "last_successful_request", val_str(a, time_text(a, t->ok_request_ns)));
    vlist_put(&l, "last_request", val_str(a, time_text(a, t->requested_ns)));
    put_failure(&l, t);
    if (t->requested_ns != 0) {
        vlist_put(&l, "metrics", metrics_of(a, t));
    }
    return vlist_object(&l);
}

static struct val logs_value(struct arena *a, const struct manage *m)
{
    const struct logs_counters *c = logs_counters(m->logs);
    struct vlist l = {.a = a}, n = {.a = a};
    if (m->logs_failed) {
        vlist_put(&l, "code", val_str(a, S("decision_log_error")));
        vlist_put(&l, "message", val_str(a, str_of(m->logs_error)));
        put_number(&l, "http_code", m->logs_code);
    }
    put_number(&n, "counter_decision_logs_chunks_uploaded", (int64_t)c->uploaded);
    put_number(&n, "counter_decision_logs_chunks_upload_failed", (int64_t)c->upload_failed);
    put_number(&n, "counter_decision_logs_dropped_rate_limit_exceeded", (int64_t)c->dropped_rate);
    put_number(&n, "counter_decision_logs_dropped_buffer_size_limit_exceeded",
               (int64_t)c->dropped_size);
    put_number(&n, "counter_decision_logs_dropped_buffer_size_limit_bytes_exceeded",
               (int64_t)c->dropped_bytes);
    put_number(&n, "counter_decision_logs_encoding_failure", (int64_t)c->encoding_failed);
    put_number(&n, "counter_decision_logs_nd_builtin_cache_dropped", (int64_t)c->nd_dropped);
    put_number(&n, "counter_enc_log_exceeded_upload_size_limit_bytes", (int64_t)c->over_limit);
    if (n.n > 0) {
        vlist_put(&l, "metrics", vlist_object(&n));
    }
    return vlist_object(&l);
}

static struct val plugins_value(struct arena *a, const struct manage *m)
{
    static const char *const states[] = {"OK", "NOT_READY", "WARN", "ERROR"};
    struct vlist l = {.a = a};
    for (const struct authz_plugin *p = m->z->plugins; p != NULL; p = p->next) {
        struct vlist one = {.a = a};
        vlist_put(&one, "state", val_str(a, str_of(states[p->state])));
        vlist_put(&l, p->name, vlist_object(&one));
    }
    return vlist_object(&l);
}

static struct val status_value(struct arena *a, const struct manage *m)
{
    struct vlist l = {.a = a}, bundles = {.a = a};
    vlist_put(&l, "labels", m->labels);
    for (const struct source *s = m->sources; s != NULL; s = s->next) {
        vlist_add2(&bundles, val_str(a, s->settings->name), source_value(a, s));
    }
    if (bundles.n > 0) {
        vlist_put(&l, "bundles", vlist_object(&bundles));
    }
    if (m->discovery != NULL) {
        vlist_put(&l, "discovery", source_value(a, m->discovery));
    }
    if (m->logs != NULL && m->logs_tried) {
        vlist_put(&l, "decision_logs", logs_value(a, m));
    }
    vlist_put(&l, "plugins", plugins_value(a, m));
    return vlist_object(&l);
}

void status_write(void *ctx, struct buf *out)
{
    struct arena a;
    arena_init(&a, EVENT_MEMORY_MAX);
    val_to_json(out, status_value(&a, ctx), true);
    arena_release(&a);
}

/* ---- sending ---- */

static void status_due(void *ctx);

static void status_sent(void *ctx, const char *error, const struct service_result *res)
{
    struct manage *m = ctx;
    m->status_request = NULL;
    if (error != NULL) {
        log_error("the status was not taken", {"reason", LOG_CSTR(error)});
    } else if (res->status < 200 || res->status >= 300) {
        log_error("the status was not taken", {"http", LOG_INT(res->status)});
    }
    if (m->status_again) {
        m->status_again = false;
        status_changed(m);
    }
}

static void send_status(struct manage *m, struct service *service)
{
    struct buf b;
    if (m->status_request != NULL) {
        m->status_again = true;
        return;
    }
    buf_init(&b, EVENT_MEMORY_MAX);
    status_write(m, &b);
    buf_putc(&b, '\n');
    struct service_call c = {.method = "POST",
                             .path = m->now->status.resource,
                             .body = buf_str(&b),
                             .content_type = S("application/json"),
                             .done = status_sent,
                             .ctx = m};
    m->status_request = service_send(service, &c);
    buf_release(&b);
}

static void status_due(void *ctx)
{
    struct manage *m = ctx;
    struct arena a;
    m->status_timer = NULL;
    if (m->now->status.console) {
        arena_init(&a, EVENT_MEMORY_MAX);
        console_line(&a, status_value(&a, m), "Status Log", "openpolicyagent.org/status");
        arena_release(&a);
    }
    struct service *service =
        m->now->status.service.n > 0 ? manage_service(m, m->now->status.service) : NULL;
    if (service != NULL && m->now->status.trigger != TRIGGER_MANUAL) {
        send_status(m, service);
    }
}

void status_changed(struct manage *m)
{
    if (m->now->status.on && m->status_timer == NULL) {
        m->status_timer = timer_start(m->loop, STATUS_QUIET_MS, 0, status_due, m);
    }
}

/* ---- Prometheus ---- */

static void label(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\') {
            buf_putc(out, '\\');
        }
        buf_printf(out, s.p[i] == '\n' ? "\\n" : "%c", s.p[i]);
    }
}

static void head(struct buf *out, const char *name, const char *help, const char *kind)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind);
}

static void per_bundle(struct buf *out, const struct manage *m, const char *name, const char *help,
                       int64_t (*value)(const struct source_status *))
{
    head(out, name, help, "gauge");
    for (const struct source *s = m->sources; s != NULL; s = s->next) {
        buf_printf(out, "%s{name=\"", name);
        label(out, s->settings->name);
        buf_printf(out, "\"} %" PRId64 "\n", value(&s->status));
    }
}

static int64_t requested(const struct source_status *t)
{
    return t->requested_ns;
}

static int64_t downloaded(const struct source_status *t)
{
    return t->downloaded_ns;
}

static int64_t ok_request(const struct source_status *t)
{
    return t->ok_request_ns;
}

static void activations(struct buf *out, const struct manage *m)
{
    static const char name[] = "last_success_bundle_activation";
    head(out, name, "Gauge for the last success bundle activation.", "gauge");
    for (const struct source *s = m->sources; s != NULL; s = s->next) {
        if (s->status.activated_ns != 0) {
            buf_printf(out, "%s{active_revision=\"", name);
            label(out, str_of(s->status.revision));
            buf_puts(out, S("\",name=\""));
            label(out, s->settings->name);
            buf_printf(out, "\"} %" PRId64 "\n", s->status.activated_ns);
        }
    }
}

static void loads(struct buf *out, const struct manage *m)
{
    head(out, "bundle_loaded_counter", "Counter for the bundle loaded.", "counter");
    for (const struct source *s = m->sources; s != NULL; s = s->next) {
        buf_puts(out, S("bundle_loaded_counter{name=\""));
        label(out, s->settings->name);
        buf_printf(out, "\"} %" PRIu64 "\n", s->status.loads);
    }
    head(out, "bundle_failed_load_counter", "Counter for the failed bundle load.", "counter");
    for (const struct source *s = m->sources; s != NULL; s = s->next) {
        if (s->status.failures > 0) {
            buf_puts(out, S("bundle_failed_load_counter{code=\"bundle_error\",message=\""));
            label(out, str_of(s->status.message));
            buf_puts(out, S("\",name=\""));
            label(out, s->settings->name);
            buf_printf(out, "\"} %" PRIu64 "\n", s->status.failures);
        }
    }
}

static void log_counters(struct buf *out, const struct manage *m)
{
    const struct logs_counters *c = logs_counters(m->logs);
    const struct {
        const char *name;
        uint64_t v;
    } rows[] = {
        {"decision_logs_chunks_uploaded_total", c->uploaded},
        {"decision_logs_chunks_upload_failed_total", c->upload_failed},
        {"decision_logs_dropped_rate_limit_exceeded_total", c->dropped_rate},
        {"decision_logs_dropped_buffer_size_limit_exceeded_total", c->dropped_size},
        {"decision_logs_dropped_buffer_size_limit_bytes_exceeded_total", c->dropped_bytes},
        {"decision_logs_encoding_failure_total", c->encoding_failed},
        {"decision_logs_nd_builtin_cache_dropped_total", c->nd_dropped},
        {"enc_log_exceeded_upload_size_limit_bytes_total", c->over_limit},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        head(out, rows[i].name, "Decision logs.", "counter");
        buf_printf(out, "%s %" PRIu64 "\n", rows[i].name, rows[i].v);
    }
    const char *size = m->now->logs.event_buffer ? "decision_logs_buffer_size_events"
                                                 : "decision_logs_buffer_size_bytes";
    head(out, size, "What waits to be uploaded.", "gauge");
    buf_printf(out, "%s %" PRIu64 "\n", size, logs_waiting(m->logs));
}

void status_metrics(void *ctx, struct buf *out)
{
    static const char *const states[] = {"OK", "NOT_READY", "WARN", "ERROR"};
    const struct manage *m = ctx;
    head(out, "opa_info", "Information about the OPA environment.", "gauge");
    buf_puts(out, S("opa_info{version=\"1.22.2\"} 1\n"));
    head(out, "plugin_status_gauge", "Gauge for the plugin by status.", "gauge");
    for (const struct authz_plugin *p = m->z->plugins; p != NULL; p = p->next) {
        buf_printf(out, "plugin_status_gauge{name=\"%s\",status=\"%s\"} 1\n", p->name,
                   states[p->state]);
    }
    loads(out, m);
    per_bundle(out, m, "last_bundle_request", "Gauge for the last bundle request.", requested);
    activations(out, m);
    per_bundle(out, m, "last_success_bundle_download",
               "Gauge for the last success bundle download.", downloaded);
    per_bundle(out, m, "last_success_bundle_request", "Gauge for the last success bundle request.",
               ok_request);
    if (m->logs != NULL) {
        log_counters(out, m);
        head(out, "decision_logs_status_gauge", "Gauge for the last decision log upload by status.",
             "gauge");
        buf_printf(out, "decision_logs_status_gauge{code=\"%s\",http_code=\"",
                   m->logs_failed ? "decision_log_error" : "");
        if (m->logs_code != 0) {
            buf_printf(out, "%d", m->logs_code);
        }
        buf_puts(out, S("\"} 1\n"));
    }
    head(out, "sextant_authz_activation_hold_ns",
         "Longest time that requests waited for bundles being put in force.", "gauge");
    buf_printf(out, "sextant_authz_activation_hold_ns %" PRId64 "\n", manage_longest_ns(m));
}
