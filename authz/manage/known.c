#include "known.h"

/*
 * Paths of options: one star is any name, two are anything below, a plus is an option of polling or signing. Ours beside OPA's:
 * decision_logs.reporting.persist and persist_limit_bytes.
 */
static const char *const known[] = {
    "services/*/name",
    "services/*/url",
    "services/*/headers/**",
    "services/*/type",
    "services/*/response_header_timeout_seconds",
    "services/*/allow_insecure_tls",
    "services/*/tls/ca_cert",
    "services/*/tls/system_ca_required",
    "services/*/credentials/**",
    "labels/**",
    "keys/**",
    "default_decision",
    "default_authorization_decision",
    "persistence_directory",
    "nd_builtin_cache",
    "plugins/**",
    "caching/**",
    "distributed_tracing/**",
    "metrics_export/**",
    "storage/**",
    "bundle/name",
    "bundle/service",
    "bundle/prefix",
    "bundle/trigger",
    "bundle/polling/+",
    "bundles/*/service",
    "bundles/*/resource",
    "bundles/*/persist",
    "bundles/*/trigger",
    "bundles/*/size_limit_bytes",
    "bundles/*/polling/+",
    "bundles/*/signing/+",
    "discovery/name",
    "discovery/prefix",
    "discovery/service",
    "discovery/resource",
    "discovery/decision",
    "discovery/persist",
    "discovery/trigger",
    "discovery/polling/+",
    "discovery/signing/+",
    "decision_logs/service",
    "decision_logs/resource",
    "decision_logs/partition_name",
    "decision_logs/console",
    "decision_logs/plugin",
    "decision_logs/mask_decision",
    "decision_logs/drop_decision",
    "decision_logs/nd_builtin_cache",
    "decision_logs/request_context/http/headers",
    "decision_logs/reporting/buffer_type",
    "decision_logs/reporting/buffer_size_limit_bytes",
    "decision_logs/reporting/buffer_size_limit_events",
    "decision_logs/reporting/upload_size_limit_bytes",
    "decision_logs/reporting/min_delay_seconds",
    "decision_logs/reporting/max_delay_seconds",
    "decision_logs/reporting/max_decisions_per_second",
    "decision_logs/reporting/trigger",
    "decision_logs/reporting/persist",
    "decision_logs/reporting/persist_limit_bytes",
    "status/service",
    "status/partition_name",
    "status/console",
    "status/prometheus",
    "status/plugin",
    "status/trigger",
    "status/prometheus_config/**",
    "server/decoding/max_length",
    "server/decoding/gzip/max_length",
    "server/encoding/gzip/min_length",
    "server/encoding/gzip/compression_level",
    "server/metrics/**",
    "server/logger_plugin",
};

/* What `+` at the end stands for. */
static const char *const polling_or_signing[] = {
    "min_delay_seconds",
    "max_delay_seconds",
    "long_polling_timeout_seconds",
    "superseded_etag_ttl_seconds",
    "keyid",
    "scope",
    "exclude_files",
    "allow_unsigned_delta_bundles",
};

enum match { NO, INSIDE, YES };

static bool in_group(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(polling_or_signing); i++) {
        if (str_is(name, polling_or_signing[i])) {
            return true;
        }
    }
    return false;
}

/* Is the path an option, or on the way to one? */
static enum match matches(const char *pattern, const struct str *path, size_t n)
{
    struct str rest = str_of(pattern);
    for (size_t i = 0; i < n; i++) {
        if (rest.p == NULL) {
            return NO;
        }
        struct str part = str_split(&rest, '/');
        if (str_is(part, "**")) {
            return YES;
        }
        bool fits =
            str_is(part, "*") || str_eq(part, path[i]) || (str_is(part, "+") && in_group(path[i]));
        if (!fits) {
            return NO;
        }
    }
    return rest.p == NULL || str_is(rest, "**") ? YES : INSIDE;
}

static enum match lookup(const struct str *path, size_t n)
{
    enum match best = NO;
    for (size_t i = 0; i < ARRAY_LEN(known) && best != YES; i++) {
        best = MAX(best, matches(known[i], path, n));
    }
    return best;
}

static void warn(struct settings *s, const struct str *path, size_t n)
{
    struct str text = path[0];
    if (s->n_warnings >= SETTINGS_WARNINGS_MAX) {
        return;
    }
    for (size_t i = 1; i < n; i++) {
        text = arena_printf(&s->arena, "%.*s.%.*s", STR_FMT(text), STR_FMT(path[i]));
    }
    s->warnings = arena_grow(&s->arena, s->warnings, s->n_warnings, s->n_warnings + 1,
                             &s->cap_warnings, sizeof *s->warnings);
    s->warnings[s->n_warnings++] =
        arena_printf(&s->arena, "unknown configuration option \"%.*s\" encountered", STR_FMT(text));
}

/* Options are at most six deep, so this goes no deeper. */
static void look(struct settings *s, struct val v, struct str *path, size_t n)
{
    for (uint32_t i = 0; val_is(v, V_OBJECT) && n < 8 && i < val_len(v); i++) {
        path[n] = val_text(val_nth_key(&s->arena, v, i));
        enum match m = lookup(path, n + 1);
        if (m == NO) {
            warn(s, path, n + 1);
        } else if (m == INSIDE) {
            look(s, val_nth(v, i), path, n + 1);
        }
    }
}

void settings_find_unknown(struct settings *s)
{
    struct str path[8];
    look(s, s->whole, path, 0);
}

/* ---- what may be shown ---- */

static struct val without(struct arena *a, struct val obj, const char *const *names, size_t n)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(obj); i++) {
        struct val k = val_nth_key(a, obj, i);
        bool hide = false;
        for (size_t x = 0; x < n; x++) {
            hide |= str_is(val_text(k), names[x]);
        }
        if (!hide) {
            vlist_add2(&l, k, val_nth(obj, i));
        }
    }
    return vlist_object(&l);
}

static struct val each_without(struct arena *a, struct val v, const char *const *names, size_t n)
{
    struct vlist l = {.a = a};
    bool list = val_is(v, V_ARRAY);
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val one = val_nth(v, i);
        one = val_is(one, V_OBJECT) ? without(a, one, names, n) : one;
        if (list) {
            vlist_add(&l, one);
        } else {
            vlist_add2(&l, val_nth_key(a, v, i), one);
        }
    }
    return list ? vlist_array(&l) : vlist_object(&l);
}

struct val settings_public(struct arena *a, const struct settings *s)
{
    static const char *const of_services[] = {"credentials"}, *const of_keys[] = {"key",
                                                                                  "private_key"};
    struct val v = s->whole, services = val_get_str(v, "services"), keys = val_get_str(v, "keys");
    if (!val_undef(services) && val_is_collection(services)) {
        v = val_with(a, v, val_str(a, S("services")), each_without(a, services, of_services, 1));
    }
    if (!val_undef(keys) && val_is(keys, V_OBJECT)) {
        v = val_with(a, v, val_str(a, S("keys")), each_without(a, keys, of_keys, 2));
    }
    return v;
}

/* ---- discovery ---- */

struct val settings_overlay(struct arena *a, struct val boot, struct val found)
{
    struct val labels = val_get_str(boot, "labels"), more = val_get_str(found, "labels");
    struct val out = val_merge(a, found, boot, NULL);
    if (!val_undef(more) && val_is(more, V_OBJECT)) {
        labels = val_undef(labels) ? more : val_merge(a, more, labels, NULL);
        out = val_with(a, out, val_str(a, S("labels")), labels);
    }
    return out;
}
