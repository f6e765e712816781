#include "manage_priv.h"

#include "lib/base/log.h"

#include <stdlib.h>

/* ---- services ---- */

struct service *manage_service(struct manage *m, struct str name)
{
    for (size_t i = 0; i < m->n_services; i++) {
        if (str_eq(service_name(m->services[i]), name)) {
            return m->services[i];
        }
    }
    return NULL;
}

static struct val service_raw(const struct settings *s, struct str name)
{
    struct val all = val_get_str(s->whole, "services");
    for (uint32_t i = 0; !val_undef(all) && val_is_collection(all) && i < val_len(all); i++) {
        struct val v = val_nth(all, i), n = VAL_UNDEF;
        if (val_is(all, V_ARRAY)) {
            n = val_is(v, V_OBJECT) ? val_get_str(v, "name") : VAL_UNDEF;
        } else {
            n = val_tab(all)->v[2 * (size_t)i];
        }
        if (val_is(n, V_STRING) && str_eq(val_text(n), name)) {
            return v;
        }
    }
    return VAL_UNDEF;
}

static bool same_value(struct val x, struct val y)
{
    return val_undef(x) || val_undef(y) ? val_undef(x) && val_undef(y) : val_eq(x, y);
}

/* Services that stay as they were are kept with their connections and tokens. */
static struct err make_services(struct manage *m, const struct settings *next, struct service **out)
{
    for (size_t i = 0; i < next->n_services; i++) {
        struct str name = next->services[i].name;
        struct service *old = m->now != NULL ? manage_service(m, name) : NULL;
        bool same = old != NULL && same_value(service_raw(m->now, name), service_raw(next, name));
        if (same) {
            out[i] = old;
        } else {
            TRY(service_new(m->loop, &next->services[i], &out[i]));
        }
    }
    return OK;
}

static bool has_service(struct service *const *v, size_t n, const struct service *s)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i] == s) {
            return true;
        }
    }
    return false;
}

static void free_services(struct service **v, size_t n, struct service *const *but, size_t n_but)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i] != NULL && !has_service(but, n_but, v[i])) {
            service_free(v[i]);
        }
    }
    free(v);
}

/* ---- sources ---- */

static struct source *source_named(struct manage *m, struct str name)
{
    for (struct source *s = m->sources; s != NULL; s = s->next) {
        if (str_eq(s->settings->name, name)) {
            return s;
        }
    }
    return NULL;
}

static bool keeps(const struct source *s, const struct bundle_settings *next,
                  struct service *const *services, size_t n)
{
    return val_eq(s->settings->raw, next->raw) && str_eq(s->settings->service, next->service) &&
           str_eq(s->settings->resource, next->resource) &&
           (s->service == NULL || has_service(services, n, s->service));
}

static struct source *take(struct manage *m, struct str name)
{
    for (struct source **at = &m->sources; *at != NULL; at = &(*at)->next) {
        if (str_eq((*at)->settings->name, name)) {
            struct source *s = *at;
            *at = s->next;
            return s;
        }
    }
    return NULL;
}

/* Sources whose settings did not change go on; of the others, the bundles in force stay until new ones come. */
static struct source *kept_sources(struct manage *m, const struct settings *next,
                                   struct service *const *services, size_t n)
{
    struct source *kept = NULL;
    bool same_keys = m->now != NULL && same_value(val_get_str(m->now->whole, "keys"),
                                                  val_get_str(next->whole, "keys"));
    for (size_t i = 0; i < next->n_bundles; i++) {
        struct source *s = source_named(m, next->bundles[i].name);
        if (s != NULL && same_keys && keeps(s, &next->bundles[i], services, n)) {
            s = take(m, next->bundles[i].name);
            s->next = kept;
            kept = s;
        }
    }
    while (m->sources != NULL) {
        struct source *s = m->sources;
        m->sources = s->next;
        source_free(s);
    }
    return kept;
}

static void retain_bundles(struct manage *m)
{
    struct str *names = calloc(m->now->n_bundles + 1, sizeof *names);
    BUG_ON(names == NULL);
    for (size_t i = 0; i < m->now->n_bundles; i++) {
        names[i] = m->now->bundles[i].name;
    }
    activator_retain(m->activator, names, m->now->n_bundles);
    free(names);
}

static void start_sources(struct manage *m)
{
    for (size_t i = 0; i < m->now->n_bundles; i++) {
        if (source_named(m, m->now->bundles[i].name) == NULL) {
            struct source *s = source_new(m, &m->now->bundles[i], false);
            s->next = m->sources;
            m->sources = s;
            source_start(s);
        }
    }
}

/* ---- readiness ---- */

void manage_ready(struct manage *m)
{
    bool ready = true;
    buf_clear(&m->not_activated);
    for (size_t i = 0; i < m->now->n_bundles; i++) {
        const struct source *s = source_named(m, m->now->bundles[i].name);
        bool up = s != NULL && s->status.activated_ns != 0;
        if (!up) {
            buf_printf(&m->not_activated, "%s%.*s", ready ? "" : ", ",
                       STR_FMT(m->now->bundles[i].name));
        }
        ready &= up;
    }
    buf_putc(&m->not_activated, 0);
    m->bundle_plugin.state = ready ? PLUGIN_OK : PLUGIN_NOT_READY;
    m->bundle_plugin.not_activated = ready ? NULL : m->not_activated.p;
    bool found = m->discovery == NULL || m->discovery->status.activated_ns != 0;
    m->discovery_plugin.state = found ? PLUGIN_OK : PLUGIN_NOT_READY;
}

static void add_plugins(struct manage *m)
{
    m->bundle_plugin.name = "bundle";
    m->discovery_plugin.name = "discovery";
    m->logs_plugin.name = "decision_logs";
    m->status_plugin.name = "status";
    if (m->now->n_bundles > 0) {
        authz_add_plugin(m->z, &m->bundle_plugin);
    }
    authz_add_plugin(m->z, &m->discovery_plugin);
    if (m->now->logs.on) {
        authz_add_plugin(m->z, &m->logs_plugin);
    }
    if (m->now->status.on) {
        authz_add_plugin(m->z, &m->status_plugin);
    }
    manage_ready(m);
}

/* ---- labels, configuration ---- */

static void set_labels(struct manage *m)
{
    arena_release(&m->label_memory);
    arena_init(&m->label_memory, 16 << 20);
    struct arena *a = &m->label_memory;
    struct val extra = val_undef(m->now->labels) ? VAL_UNDEF : val_copy(a, m->now->labels);
    struct vlist l = {.a = a};
    for (uint32_t i = 0; !val_undef(extra) && i < val_len(extra); i++) {
        vlist_add2(&l, val_nth_key(a, extra, i), val_nth(extra, i));
    }
    vlist_put(&l, "id", val_str(a, str_of(m->z->id)));
    vlist_put(&l, "version", val_str(a, S("1.22.2")));
    m->labels = vlist_object(&l);
    m->z->labels = extra;
}

static void write_config(void *ctx, struct buf *out)
{
    struct manage *m = ctx;
    struct arena a;
    arena_init(&a, 256 << 20);
    struct val v = settings_public(&a, m->now);
    v = val_with(&a, v, val_str(&a, S("labels")), m->labels);
    v = val_with(&a, v, val_str(&a, S("default_decision")), val_str(&a, m->now->default_decision));
    v = val_with(&a, v, val_str(&a, S("default_authorization_decision")),
                 val_str(&a, m->now->default_authorization_decision));
    val_to_json(out, v, true);
    arena_release(&a);
}

/* ---- decision logs ---- */

static void logs_attempted(void *ctx, const char *error, int code)
{
    struct manage *m = ctx;
    bool changed = !m->logs_tried || m->logs_failed != (error != NULL) || m->logs_code != code;
    m->logs_tried = true;
    m->logs_failed = error != NULL;
    m->logs_code = code;
    snprintf(m->logs_error, sizeof m->logs_error, "%s", error != NULL ? error : "");
    if (changed) {
        status_changed(m);
    }
}

static struct err start_logs(struct manage *m)
{
    char path[1200];
    const struct logs_settings *s = &m->now->logs;
    struct logs_opts o = {.settings = s,
                          .service = s->service.n > 0 ? manage_service(m, s->service) : NULL,
                          .attempted = logs_attempted,
                          .ctx = m};
    if (s->persist) {
        snprintf(path, sizeof path, "%s/decision_logs.ndjson", m->directory);
        o.spool = path;
        source_make_folders(m->directory);
    }
    m->logs_service = o.service;
    m->z->log = (struct decision_log){.log = event_log, .ctx = m};
    return logs_new(m->loop, &o, &m->logs);
}

/* Logs go on as they were when neither their section nor their service has changed. */
static bool logs_stay(struct manage *m, const struct settings *next,
                      struct service *const *services, size_t n)
{
    return m->logs != NULL &&
           same_value(val_get_str(m->now->whole, "decision_logs"),
                      val_get_str(next->whole, "decision_logs")) &&
           (m->logs_service == NULL || has_service(services, n, m->logs_service));
}

static void stop_logs(struct manage *m)
{
    m->z->log = (struct decision_log){0};
    logs_free(m->logs);
    m->logs = NULL;
}

/* ---- applying ---- */

static void keep_settings(struct manage *m, struct settings *s)
{
    m->all = realloc(m->all, (m->n_all + 1) * sizeof(struct settings *));
    BUG_ON(m->all == NULL);
    m->all[m->n_all++] = s;
    for (size_t i = 0; i < s->n_warnings; i++) {
        log_warn("configuration", {"warning", LOG_STR(s->warnings[i])});
    }
}

static void apply_server(struct manage *m)
{
    struct authz_config *c = (struct authz_config *)(uintptr_t)m->z->config;
    const struct settings *s = m->now;
    if (!val_undef(val_get_str(s->whole, "default_decision"))) {
        c->default_decision = s->default_decision;
    }
    if (!val_undef(val_get_str(s->whole, "default_authorization_decision"))) {
        c->authorization_decision = s->default_authorization_decision;
    }
    if (!val_undef(val_get_str(s->whole, "server"))) {
        c->body_max = s->decoding_max;
        c->gzip_body_max = s->decoding_gzip_max;
        c->gzip_min = s->encoding_min;
        c->gzip_level = s->encoding_level;
    }
}

void manage_reloaded(struct manage *m)
{
    apply_server(m);
}

struct err manage_apply(struct manage *m, struct settings *next)
{
    struct service **services = calloc(next->n_services + 1, sizeof *services);
    BUG_ON(services == NULL);
    struct err e = make_services(m, next, services);
    if (failed(e)) {
        free_services(services, next->n_services, m->services, m->n_services);
        return e;
    }
    bool logs_kept = logs_stay(m, next, services, next->n_services);
    struct source *kept = kept_sources(m, next, services, next->n_services);
    if (!logs_kept) {
        stop_logs(m);
    }
    service_cancel(m->status_request);
    m->status_request = NULL;
    free_services(m->services, m->n_services, services, next->n_services);
    m->services = services;
    m->n_services = next->n_services;
    m->now = next;
    m->sources = kept;
    set_labels(m);
    apply_server(m);
    retain_bundles(m);
    if (!logs_kept && next->logs.on) {
        TRY(start_logs(m));
    }
    start_sources(m);
    add_plugins(m);
    m->z->write_status = next->status.on ? status_write : NULL;
    m->z->write_status_ctx = m;
    m->z->write_metrics = next->status.prometheus ? status_metrics : NULL;
    m->z->write_metrics_ctx = m;
    status_changed(m);
    return OK;
}

/* ---- life ---- */

static void set_directory(struct manage *m)
{
    struct str d = m->o.directory != NULL ? str_of(m->o.directory) : m->now->persistence_directory;
    snprintf(m->directory, sizeof m->directory, "%.*s", STR_FMT(d));
}

struct err manage_new(struct loop *l, struct authz *z, struct settings *s,
                      const struct manage_opts *o, struct manage **out)
{
    struct manage *m = calloc(1, sizeof *m);
    BUG_ON(m == NULL);
    m->loop = l;
    m->z = z;
    m->o = o != NULL ? *o : (struct manage_opts){0};
    m->now = m->boot = s;
    buf_init(&m->not_activated, 1 << 20);
    arena_init(&m->label_memory, 16 << 20);
    set_directory(m);
    m->now = NULL;
    keep_settings(m, s);
    m->activator = activator_new(l, &z->store);
    z->write_config = write_config;
    z->write_config_ctx = m;
    struct err e = manage_apply(m, s);
    if (failed(e)) {
        manage_free(m);
        return e;
    }
    if (s->discovery.on) {
        m->discovery = source_new(m, &s->discovery.source, true);
        manage_ready(m);
        source_start(m->discovery);
    }
    *out = m;
    return OK;
}

struct err manage_rediscover(struct manage *m, struct settings *s)
{
    keep_settings(m, s);
    return manage_apply(m, s);
}

void manage_flush(struct manage *m, void (*done)(void *ctx), void *ctx)
{
    if (m->logs == NULL) {
        done(ctx);
        return;
    }
    logs_flush(m->logs, done, ctx);
}

int64_t manage_longest_ns(const struct manage *m)
{
    return activator_longest_ns(m->activator);
}

void manage_free(struct manage *m)
{
    if (m == NULL) {
        return;
    }
    stop_logs(m);
    service_cancel(m->status_request);
    timer_stop(m->status_timer);
    source_free(m->discovery);
    while (m->sources != NULL) {
        struct source *s = m->sources;
        m->sources = s->next;
        source_free(s);
    }
    activator_free(m->activator);
    free_services(m->services, m->n_services, NULL, 0);
    m->z->plugins = NULL;
    m->z->write_config = NULL;
    m->z->write_status = NULL;
    m->z->write_metrics = NULL;
    m->z->labels = VAL_UNDEF;
    for (size_t i = 0; i < m->n_all; i++) {
        settings_release(m->all[i]);
        free(m->all[i]);
    }
    free(m->all);
    buf_release(&m->not_activated);
    arena_release(&m->label_memory);
    free(m);
}
