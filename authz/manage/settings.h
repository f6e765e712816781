/*
 * settings: OPA's configuration file: services, bundles, decision logs, status, discovery, keys, labels.
 *
 * The text is YAML or JSON; ${VAR} is replaced when the variable is set. What --set and --set-file say comes on
 * top. The result is immutable and lives in one arena; slices point into it. Texts of refusals are OPA's.
 *
 *     struct settings s;
 *     settings_init(&s);
 *     TRY(settings_read(&s, text, sets, n_sets));         then s.bundles, s.logs …
 *     settings_release(&s);
 */
#ifndef SEXTANT_AUTHZ_SETTINGS_H
#define SEXTANT_AUTHZ_SETTINGS_H

#include "authz/bundle/bundle.h"

enum {
    SETTINGS_TEXT_MAX = 16 << 20,
    SETTINGS_SERVICES_MAX = 256,
    SETTINGS_BUNDLES_MAX = 10000,
    SETTINGS_WARNINGS_MAX = 100,
};

enum credentials { CRED_NONE, CRED_BEARER, CRED_OAUTH2, CRED_CLIENT_TLS };

struct service_settings {
    struct str name, url;
    struct val headers; /* an object, or VAL_UNDEF */
    int64_t timeout_s;  /* for the head of a reply */
    bool insecure_tls, system_ca;
    struct str ca_cert;
    enum credentials credentials;
    /* bearer */
    struct str token, token_path, scheme;
    /* oauth2 */
    struct str token_url, client_id, client_secret, grant_type, signing_key;
    struct val scopes, claims, token_headers, token_params;
    bool include_jti;
    /* client_tls */
    struct str cert, private_key;
};

enum trigger { TRIGGER_PERIODIC, TRIGGER_MANUAL, TRIGGER_IMMEDIATE };

struct polling_settings {
    int64_t min_ns, max_ns;
    int64_t long_s;       /* 0: no long polling */
    int64_t superseded_s; /* 0: replaced etags are not sent */
};

struct bundle_settings {
    struct str name, service, resource;
    struct polling_settings polling;
    enum trigger trigger;
    struct bundle_verify verify;
    bool has_verify, persist, is_file; /* resource is file://… */
    size_t size_limit;
    struct val raw; /* to tell whether it has changed */
};

struct logs_settings {
    bool on, console, event_buffer, nd_builtin_cache;
    bool persist;                             /* ours: events wait on disk, and survive a restart */
    struct str service, resource, mask, drop; /* "system/log/mask" */
    struct str plugin;
    int64_t min_ns, max_ns, upload_limit, buffer_bytes, buffer_events;
    int64_t spool_limit;
    double per_second; /* 0: no limit */
    enum trigger trigger;
    const struct str *headers; /* request_context.http.headers */
    size_t n_headers;
};

struct status_settings {
    bool on, console, prometheus;
    struct str service, resource, plugin;
    enum trigger trigger;
};

struct discovery_settings {
    bool on;
    struct bundle_settings source;
    struct str decision; /* "data.x.y" as a path; empty: the whole of data */
};

struct settings {
    struct arena arena;
    struct val whole; /* as it was read, an object */
    struct val labels;
    struct service_settings *services;
    size_t n_services;
    struct bundle_key *keys;
    size_t n_keys;
    struct bundle_settings *bundles;
    size_t n_bundles;
    struct logs_settings logs;
    struct status_settings status;
    struct discovery_settings discovery;
    struct str default_decision, default_authorization_decision, persistence_directory;
    /* server.* */
    int64_t decoding_max, decoding_gzip_max, encoding_min, encoding_level;
    struct str *warnings;
    size_t n_warnings, cap_warnings;
};

void settings_init(struct settings *s);
void settings_release(struct settings *s);

/* One "key=value" of --set, or of --set-file, whose value is the name of a file. */
struct settings_set {
    const char *text;
    bool file;
};
struct err settings_read(struct settings *s, struct str text, const struct settings_set *sets,
                         size_t n_sets);
/* The same from a value: what discovery gave, put under the boot configuration. */
struct err settings_from_value(struct settings *s, struct val whole);

/* In the steps that settings_read takes. */
struct str settings_env(struct arena *a, struct str text);
struct err settings_parse_text(struct arena *a, struct str text, struct val *out);
struct err settings_apply_set(struct arena *a, struct val *whole, const struct settings_set *set);
const struct service_settings *settings_service(const struct settings *s, struct str name);
/* Secrets taken out: what /v1/config shows. */
struct val settings_public(struct arena *a, const struct settings *s);
/* Boot configuration over what discovery gave; labels of both. */
struct val settings_overlay(struct arena *a, struct val boot, struct val found);

#endif
