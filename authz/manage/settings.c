/* settings: the sections of the configuration, checked, with their defaults. */
#include "settings.h"

#include "known.h"

#include <inttypes.h>
#include <stdlib.h>

static const int64_t SECOND = INT64_C(1000000000);

void settings_init(struct settings *s)
{
    *s = (struct settings){.whole = val_empty_object(), .labels = VAL_UNDEF};
    arena_init(&s->arena, 256 << 20);
}

void settings_release(struct settings *s)
{
    arena_release(&s->arena);
}

const struct service_settings *settings_service(const struct settings *s, struct str name)
{
    for (size_t i = 0; i < s->n_services; i++) {
        if (str_eq(s->services[i].name, name)) {
            return &s->services[i];
        }
    }
    return NULL;
}

/* ---- reading members ---- */

static struct val member(struct val obj, const char *name)
{
    struct val v = !val_undef(obj) && val_is(obj, V_OBJECT) ? val_get_str(obj, name) : VAL_UNDEF;
    return val_is(v, V_NULL) ? VAL_UNDEF : v;
}

static struct err get_str(struct val obj, const char *where, const char *name, struct str *out)
{
    struct val v = member(obj, name);
    ENSURE(val_undef(v) || val_is(v, V_STRING), ERR_INVALID, "%s.%s should be a string", where,
           name);
    *out = val_undef(v) ? STR_EMPTY : val_text(v);
    return OK;
}

static struct err get_bool(struct val obj, const char *where, const char *name, bool *out)
{
    struct val v = member(obj, name);
    ENSURE(val_undef(v) || val_is(v, V_BOOL), ERR_INVALID, "%s.%s should be true or false", where,
           name);
    *out = val_is_true(v);
    return OK;
}

static struct err get_int(struct val obj, const char *where, const char *name, bool *there,
                          int64_t *out)
{
    struct val v = member(obj, name);
    *there = !val_undef(v);
    ENSURE(!*there || val_to_i64(v, out), ERR_INVALID, "%s.%s should be a whole number", where,
           name);
    return OK;
}

static struct err get_object(struct val obj, const char *where, const char *name, struct val *out)
{
    *out = member(obj, name);
    ENSURE(val_undef(*out) || val_is(*out, V_OBJECT), ERR_INVALID, "%s%s%s should be an object",
           where, where[0] != 0 ? "." : "", name);
    return OK;
}

static struct err get_trigger(struct val obj, enum trigger *out)
{
    struct str s;
    TRY(get_str(obj, "", "trigger", &s));
    *out = str_is(s, "manual")      ? TRIGGER_MANUAL
           : str_is(s, "immediate") ? TRIGGER_IMMEDIATE
                                    : TRIGGER_PERIODIC;
    ENSURE(s.n == 0 || *out != TRIGGER_PERIODIC || str_is(s, "periodic"), ERR_INVALID,
           "invalid trigger mode \"%.*s\" (want \"periodic\", \"manual\" or \"immediate\")",
           STR_FMT(s));
    return OK;
}

/* A reference to a document: "/a/b", "a/b" and "data.a.b" are the same. */
static struct str decision_path(struct arena *a, struct str s)
{
    struct buf b;
    bool dotted = str_is(s, "data") || str_starts(s, S("data."));
    buf_init(&b, SETTINGS_TEXT_MAX);
    s = dotted ? str_sub(s, 5, s.n) : s;
    while (!dotted && s.n > 0 && s.p[0] == '/') {
        s = str_sub(s, 1, s.n);
    }
    for (size_t i = 0; i < s.n; i++) {
        buf_putc(&b, dotted && s.p[i] == '.' ? '/' : s.p[i]);
    }
    struct str out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return out;
}

/* ---- services ---- */

static struct err read_oauth2(struct service_settings *s, struct val c)
{
    TRY(get_str(c, "oauth2", "token_url", &s->token_url));
    TRY(get_str(c, "oauth2", "client_id", &s->client_id));
    TRY(get_str(c, "oauth2", "client_secret", &s->client_secret));
    TRY(get_str(c, "oauth2", "grant_type", &s->grant_type));
    TRY(get_str(c, "oauth2", "signing_key", &s->signing_key));
    TRY(get_bool(c, "oauth2", "include_jti_claim", &s->include_jti));
    s->scopes = member(c, "scopes");
    TRY(get_object(c, "oauth2", "additional_claims", &s->claims));
    TRY(get_object(c, "oauth2", "additional_headers", &s->token_headers));
    TRY(get_object(c, "oauth2", "additional_parameters", &s->token_params));
    s->grant_type = s->grant_type.n > 0 ? s->grant_type : S("client_credentials");
    ENSURE(str_is(s->grant_type, "client_credentials") || str_is(s->grant_type, "jwt_bearer"),
           ERR_INVALID, "grant_type must be either client_credentials or jwt_bearer");
    ENSURE(!str_is(s->grant_type, "jwt_bearer") || s->signing_key.n > 0, ERR_INVALID,
           "signing_key required for grant type jwt_bearer");
    ENSURE(!str_is(s->grant_type, "client_credentials") || s->signing_key.n > 0 ||
               (s->client_id.n > 0 && s->client_secret.n > 0),
           ERR_INVALID,
           "client_id and client_secret, or signing_key, required for grant type "
           "client_credentials");
    ENSURE(str_starts(s->token_url, S("https://")), ERR_INVALID,
           "token_url required to use https scheme");
    return OK;
}

static struct err read_credentials(struct service_settings *s, struct val c)
{
    struct val bearer = member(c, "bearer"), oauth2 = member(c, "oauth2");
    struct val tls = member(c, "client_tls");
    static const char *const other[] = {"s3_signing", "gcp_metadata", "azure_managed_identity",
                                        "plugin"};
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        ENSURE(val_undef(member(c, other[i])), ERR_UNSUPPORTED,
               "service \"%.*s\": credentials of the kind %s are not supported", STR_FMT(s->name),
               other[i]);
    }
    int n = !val_undef(bearer) + !val_undef(oauth2) + !val_undef(tls);
    ENSURE(n <= 1, ERR_INVALID, "a maximum one credential method must be specified");
    if (!val_undef(bearer)) {
        s->credentials = CRED_BEARER;
        TRY(get_str(bearer, "bearer", "token", &s->token));
        TRY(get_str(bearer, "bearer", "token_path", &s->token_path));
        TRY(get_str(bearer, "bearer", "scheme", &s->scheme));
        ENSURE(s->token.n == 0 || s->token_path.n == 0, ERR_INVALID,
               "invalid config: specify a value for either the \"token\" or \"token_path\" field");
        s->scheme = s->scheme.n > 0 ? s->scheme : S("Bearer");
    }
    if (!val_undef(tls)) {
        s->credentials = CRED_CLIENT_TLS;
        TRY(get_str(tls, "client_tls", "cert", &s->cert));
        TRY(get_str(tls, "client_tls", "private_key", &s->private_key));
        ENSURE(s->cert.n > 0 && s->private_key.n > 0, ERR_INVALID,
               "client certificate and private key are needed when client TLS is enabled");
    }
    if (!val_undef(oauth2)) {
        s->credentials = CRED_OAUTH2;
        return read_oauth2(s, oauth2);
    }
    return OK;
}

static struct err read_service(struct service_settings *s, struct val v)
{
    struct val c, tls;
    struct str type;
    bool there;
    ENSURE(val_is(v, V_OBJECT), ERR_INVALID, "a service should be an object");
    if (s->name.n == 0) {
        TRY(get_str(v, "services", "name", &s->name));
    }
    s->scopes = s->claims = s->token_headers = s->token_params = VAL_UNDEF;
    s->timeout_s = 10;
    TRY(get_str(v, "services", "url", &s->url));
    TRY(get_str(v, "services", "type", &type));
    ENSURE(type.n == 0, ERR_UNSUPPORTED, "service \"%.*s\": type \"%.*s\" is not supported",
           STR_FMT(s->name), STR_FMT(type));
    TRY(get_object(v, "services", "headers", &s->headers));
    TRY(get_int(v, "services", "response_header_timeout_seconds", &there, &s->timeout_s));
    TRY(get_bool(v, "services", "allow_insecure_tls", &s->insecure_tls));
    TRY(get_object(v, "services", "tls", &tls));
    TRY(get_str(tls, "services.tls", "ca_cert", &s->ca_cert));
    TRY(get_bool(tls, "services.tls", "system_ca_required", &s->system_ca));
    TRY(get_object(v, "services", "credentials", &c));
    while (s->url.n > 0 && s->url.p[s->url.n - 1] == '/') {
        s->url.n--;
    }
    return read_credentials(s, c);
}

/* By name in an object, or a list of objects with a name each. */
static struct err read_services(struct settings *s)
{
    struct val v = member(s->whole, "services");
    bool list = val_is(v, V_ARRAY);
    if (val_undef(v)) {
        return OK;
    }
    ENSURE(list || val_is(v, V_OBJECT), ERR_INVALID, "services should be an object or an array");
    ENSURE(val_len(v) <= SETTINGS_SERVICES_MAX, ERR_LIMIT, "more than %d services",
           SETTINGS_SERVICES_MAX);
    s->services = arena_array(&s->arena, struct service_settings, val_len(v) + 1);
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct service_settings *one = &s->services[i];
        one->name = list ? STR_EMPTY : val_text(val_nth_key(&s->arena, v, i));
        TRY(read_service(one, val_nth(v, i)));
        s->n_services++;
    }
    return OK;
}

/* ---- bundles ---- */

static struct err read_polling(struct val v, struct polling_settings *p)
{
    struct val poll;
    bool has_min, has_max, has_long, has_ttl;
    int64_t min = 60, max = 120;
    *p = (struct polling_settings){0};
    TRY(get_object(v, "", "polling", &poll));
    TRY(get_int(poll, "polling", "min_delay_seconds", &has_min, &min));
    TRY(get_int(poll, "polling", "max_delay_seconds", &has_max, &max));
    TRY(get_int(poll, "polling", "long_polling_timeout_seconds", &has_long, &p->long_s));
    TRY(get_int(poll, "polling", "superseded_etag_ttl_seconds", &has_ttl, &p->superseded_s));
    ENSURE(!has_min || has_max, ERR_INVALID, "polling configuration missing 'max_delay_seconds'");
    ENSURE(!has_max || has_min, ERR_INVALID, "polling configuration missing 'min_delay_seconds'");
    ENSURE(max >= min, ERR_INVALID, "max polling delay must be >= min polling delay");
    ENSURE(min >= 0 && max <= 365 * 86400, ERR_RANGE, "polling delays are 0 to a year");
    ENSURE(!has_long || p->long_s >= 1, ERR_INVALID,
           "'long_polling_timeout_seconds' must be at least 1");
    ENSURE(p->long_s <= 86400, ERR_RANGE, "'long_polling_timeout_seconds' must be at most a day");
    ENSURE(p->superseded_s >= 0, ERR_INVALID, "'superseded_etag_ttl_seconds' must not be negative");
    p->min_ns = min * SECOND;
    p->max_ns = max * SECOND;
    return OK;
}

static bool has_key(const struct settings *s, struct str id)
{
    for (size_t i = 0; i < s->n_keys; i++) {
        if (str_eq(s->keys[i].id, id)) {
            return true;
        }
    }
    return false;
}

static struct err read_exclude(struct arena *a, struct val list, struct bundle_verify *v)
{
    ENSURE(val_undef(list) || val_is(list, V_ARRAY), ERR_INVALID,
           "signing.exclude_files should be an array");
    size_t n = val_undef(list) ? 0 : val_len(list);
    struct str *globs = arena_array(a, struct str, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct val item = val_nth(list, (uint32_t)i);
        ENSURE(val_is(item, V_STRING), ERR_INVALID, "signing.exclude_files holds strings");
        globs[i] = val_text(item);
    }
    v->exclude = globs;
    v->n_exclude = n;
    return OK;
}

/* Any `signing` block asks for a signature; keys alone make it one that is checked when it is there. */
static struct err read_signing(struct settings *s, struct val v, struct bundle_settings *b)
{
    struct val signing = val_get_str(v, "signing");
    b->verify = (struct bundle_verify){.keys = s->keys, .n_keys = s->n_keys};
    if (val_undef(signing) || val_is(signing, V_NULL)) {
        b->has_verify = s->n_keys > 0;
        b->verify.optional = true;
        return OK;
    }
    ENSURE(val_is(signing, V_OBJECT), ERR_INVALID, "signing should be an object");
    b->has_verify = true;
    TRY(get_str(signing, "signing", "keyid", &b->verify.keyid));
    TRY(get_str(signing, "signing", "scope", &b->verify.scope));
    TRY(get_bool(signing, "signing", "allow_unsigned_delta_bundles",
                 &b->verify.allow_unsigned_delta));
    TRY(read_exclude(&s->arena, member(signing, "exclude_files"), &b->verify));
    ENSURE(s->n_keys > 0 || b->verify.keyid.n > 0, ERR_INVALID, "no verification keys configured");
    ENSURE(b->verify.keyid.n == 0 || has_key(s, b->verify.keyid), ERR_INVALID,
           "key id %.*s not found", STR_FMT(b->verify.keyid));
    return OK;
}

static struct err service_of(const struct settings *s, struct str *name)
{
    if (name->n == 0 && s->n_services > 0) {
        *name = s->services[0].name;
    }
    ENSURE(settings_service(s, *name) != NULL, ERR_INVALID, "service name \"%.*s\" not found",
           STR_FMT(*name));
    return OK;
}

static struct err read_source(struct settings *s, struct val v, struct bundle_settings *b)
{
    int64_t limit = 0;
    bool there;
    ENSURE(val_is(v, V_OBJECT), ERR_INVALID, "should be an object");
    b->raw = v;
    TRY(get_str(v, "bundles", "service", &b->service));
    TRY(get_str(v, "bundles", "resource", &b->resource));
    TRY(get_bool(v, "bundles", "persist", &b->persist));
    TRY(get_int(v, "bundles", "size_limit_bytes", &there, &limit));
    if (b->resource.n == 0) {
        b->resource = arena_printf(&s->arena, "bundles/%.*s", STR_FMT(b->name));
    }
    TRY(read_signing(s, v, b));
    b->is_file = str_starts(b->resource, S("file://"));
    if (!b->is_file) {
        TRY(service_of(s, &b->service));
    }
    TRY(get_trigger(v, &b->trigger));
    ENSURE(b->trigger != TRIGGER_IMMEDIATE, ERR_INVALID,
           "invalid trigger mode \"immediate\" (want \"periodic\" or \"manual\")");
    b->size_limit = limit > 0 ? (size_t)limit : (size_t)BUNDLE_SIZE_MAX;
    return read_polling(v, &b->polling);
}

static struct err one_bundle(struct settings *s, struct str name, struct val v)
{
    struct bundle_settings *b = &s->bundles[s->n_bundles];
    b->name = name;
    ENSURE(name.n > 0, ERR_INVALID, "invalid bundle name \"\"");
    struct err e = read_source(s, v, b);
    if (failed(e)) {
        return err_wrap(e, "invalid configuration for bundle \"%.*s\"", STR_FMT(name));
    }
    s->n_bundles++;
    return OK;
}

/* The old section of one bundle: name, service, prefix. */
static struct err legacy_bundle(struct settings *s, struct val v)
{
    struct str name, prefix, path;
    bool given;
    TRY(get_str(v, "bundle", "name", &name));
    TRY(get_str(v, "bundle", "prefix", &prefix));
    given = !val_undef(member(v, "prefix"));
    path = given ? prefix : S("bundles");
    path = arena_printf(&s->arena, "%.*s/%.*s", STR_FMT(path), STR_FMT(name));
    while (path.n > 0 && path.p[0] == '/') {
        path = str_sub(path, 1, path.n);
    }
    v = val_with(&s->arena, v, val_str(&s->arena, S("resource")), val_str(&s->arena, path));
    return one_bundle(s, name, v);
}

static struct err read_bundles(struct settings *s)
{
    struct val v, old;
    TRY(get_object(s->whole, "", "bundles", &v));
    TRY(get_object(s->whole, "", "bundle", &old));
    size_t n = val_undef(v) ? 0 : val_len(v);
    ENSURE(n <= SETTINGS_BUNDLES_MAX, ERR_LIMIT, "more than %d bundles", SETTINGS_BUNDLES_MAX);
    s->bundles = arena_array(&s->arena, struct bundle_settings, n + 2);
    for (uint32_t i = 0; i < n; i++) {
        if (!val_is(val_nth(v, i), V_NULL)) {
            TRY(one_bundle(s, val_text(val_nth_key(&s->arena, v, i)), val_nth(v, i)));
        }
    }
    return val_undef(old) ? OK : legacy_bundle(s, old);
}

/* ---- decision logs ---- */

static struct err read_delays(struct val r, struct logs_settings *l)
{
    bool has_min, has_max;
    int64_t min = 300, max = 600;
    TRY(get_int(r, "reporting", "min_delay_seconds", &has_min, &min));
    TRY(get_int(r, "reporting", "max_delay_seconds", &has_max, &max));
    ENSURE(!has_min || has_max, ERR_INVALID,
           "reporting configuration missing 'max_delay_seconds' in decision_logs");
    ENSURE(!has_max || has_min, ERR_INVALID,
           "reporting configuration missing 'min_delay_seconds' in decision_logs");
    ENSURE(max >= min, ERR_INVALID,
           "max reporting delay must be >= min reporting delay in decision_logs");
    ENSURE(min >= 0 && max <= 365 * 86400, ERR_RANGE, "reporting delays are 0 to a year");
    l->min_ns = min * SECOND;
    l->max_ns = max * SECOND;
    return OK;
}

static struct err read_rate(struct val r, struct logs_settings *l)
{
    struct val v = member(r, "max_decisions_per_second");
    if (val_undef(v)) {
        return OK;
    }
    ENSURE(val_is(v, V_NUMBER), ERR_INVALID, "max_decisions_per_second should be a number");
    struct buf b;
    buf_init(&b, 1000);
    val_to_json(&b, v, false);
    buf_putc(&b, 0);
    l->per_second = buf_ok(&b) ? strtod(b.p, NULL) : 0; /* a rate, not a decision */
    buf_release(&b);
    return OK;
}

static struct err read_buffer(struct settings *s, struct val r, struct logs_settings *l)
{
    struct str type;
    bool has_bytes, has_events, there;
    TRY(get_str(r, "reporting", "buffer_type", &type));
    ENSURE(type.n == 0 || str_is(type, "event") || str_is(type, "size"), ERR_INVALID,
           "invalid buffer type \"%.*s\", expected \"event\" or \"size\"", STR_FMT(type));
    l->event_buffer = str_is(type, "event");
    l->upload_limit = 32768;
    l->buffer_events = 10000;
    TRY(get_int(r, "reporting", "buffer_size_limit_bytes", &has_bytes, &l->buffer_bytes));
    TRY(get_int(r, "reporting", "buffer_size_limit_events", &has_events, &l->buffer_events));
    TRY(get_int(r, "reporting", "upload_size_limit_bytes", &there, &l->upload_limit));
    l->upload_limit = MIN(MAX(l->upload_limit, INT64_C(90)), INT64_C(4294967296));
    ENSURE(!l->event_buffer || !has_bytes, ERR_INVALID,
           "invalid decision_log config, 'buffer_size_limit_bytes' isn't supported for the event "
           "buffer type");
    ENSURE(l->event_buffer || !has_events, ERR_INVALID,
           "invalid decision_log config, 'buffer_size_limit_events' isn't supported for the size "
           "buffer type");
    TRY(read_rate(r, l));
    ENSURE(!has_bytes || val_undef(member(r, "max_decisions_per_second")), ERR_INVALID,
           "invalid decision_log config, specify either 'buffer_size_limit_bytes' or "
           "'max_decisions_per_second'");
    ENSURE(!has_bytes || l->buffer_bytes > 0, ERR_INVALID,
           "invalid decision_log config, 'buffer_size_limit_bytes' must be higher than 0");
    ENSURE(l->buffer_events > 0, ERR_INVALID,
           "invalid decision_log config, 'buffer_size_limit_entries' must be higher than 0");
    TRY(get_bool(r, "reporting", "persist", &l->persist));
    l->spool_limit = INT64_C(1) << 30;
    TRY(get_int(r, "reporting", "persist_limit_bytes", &there, &l->spool_limit));
    ENSURE(l->spool_limit > 0, ERR_INVALID, "'persist_limit_bytes' must be higher than 0");
    return OK;
}

static struct err read_log_headers(struct settings *s, struct val v, struct logs_settings *l)
{
    struct val context, http, list;
    TRY(get_object(v, "decision_logs", "request_context", &context));
    TRY(get_object(context, "request_context", "http", &http));
    list = member(http, "headers");
    ENSURE(val_undef(list) || val_is(list, V_ARRAY), ERR_INVALID,
           "request_context.http.headers should be an array");
    l->n_headers = val_undef(list) ? 0 : val_len(list);
    struct str *names = arena_array(&s->arena, struct str, l->n_headers + 1);
    for (size_t i = 0; i < l->n_headers; i++) {
        struct val name = val_nth(list, (uint32_t)i);
        ENSURE(val_is(name, V_STRING), ERR_INVALID, "request_context.http.headers holds strings");
        names[i] = val_text(name);
    }
    l->headers = names;
    return OK;
}

static struct err read_log_service(struct settings *s, struct val v, struct logs_settings *l)
{
    TRY(get_str(v, "decision_logs", "service", &l->service));
    TRY(get_bool(v, "decision_logs", "console", &l->console));
    TRY(get_str(v, "decision_logs", "plugin", &l->plugin));
    ENSURE(l->plugin.n == 0, ERR_INVALID, "invalid plugin name \"%.*s\" in decision_logs",
           STR_FMT(l->plugin));
    if (l->service.n == 0 && !l->console && s->n_services > 0) {
        l->service = s->services[0].name;
    }
    ENSURE(l->service.n == 0 || settings_service(s, l->service) != NULL, ERR_INVALID,
           "invalid service name \"%.*s\" in decision_logs", STR_FMT(l->service));
    l->on = l->service.n > 0 || l->console;
    return OK;
}

static struct err read_logs(struct settings *s)
{
    struct logs_settings *l = &s->logs;
    struct val v, r;
    struct str partition;
    TRY(get_object(s->whole, "", "decision_logs", &v));
    if (val_undef(v)) {
        return OK;
    }
    TRY(read_log_service(s, v, l));
    if (!l->on) {
        return OK;
    }
    TRY(get_object(v, "decision_logs", "reporting", &r));
    struct err e = get_trigger(r, &l->trigger);
    if (failed(e)) {
        return err_wrap(e, "invalid decision_log config");
    }
    TRY(read_delays(r, l));
    TRY(read_buffer(s, r, l));
    TRY(read_log_headers(s, v, l));
    TRY(get_bool(v, "decision_logs", "nd_builtin_cache", &l->nd_builtin_cache));
    TRY(get_str(v, "decision_logs", "mask_decision", &l->mask));
    TRY(get_str(v, "decision_logs", "drop_decision", &l->drop));
    l->mask = decision_path(&s->arena, l->mask.n > 0 ? l->mask : S("/system/log/mask"));
    l->drop = decision_path(&s->arena, l->drop.n > 0 ? l->drop : S("/system/log/drop"));
    TRY(get_str(v, "decision_logs", "resource", &l->resource));
    TRY(get_str(v, "decision_logs", "partition_name", &partition));
    l->resource = partition.n > 0     ? arena_printf(&s->arena, "/logs/%.*s", STR_FMT(partition))
                  : l->resource.n > 0 ? l->resource
                                      : S("/logs");
    return OK;
}

/* ---- status, discovery, the rest ---- */

static struct err read_status(struct settings *s)
{
    struct status_settings *t = &s->status;
    struct val v;
    struct str partition;
    TRY(get_object(s->whole, "", "status", &v));
    if (val_undef(v)) {
        return OK;
    }
    TRY(get_str(v, "status", "service", &t->service));
    TRY(get_bool(v, "status", "console", &t->console));
    TRY(get_bool(v, "status", "prometheus", &t->prometheus));
    TRY(get_str(v, "status", "plugin", &t->plugin));
    TRY(get_str(v, "status", "partition_name", &partition));
    ENSURE(t->plugin.n == 0, ERR_INVALID, "invalid plugin name \"%.*s\" in status",
           STR_FMT(t->plugin));
    if (t->service.n == 0 && !t->console && !t->prometheus && s->n_services > 0) {
        t->service = s->services[0].name;
    }
    ENSURE(t->service.n == 0 || settings_service(s, t->service) != NULL, ERR_INVALID,
           "invalid service name \"%.*s\" in status", STR_FMT(t->service));
    struct err e = get_trigger(v, &t->trigger);
    if (failed(e)) {
        return err_wrap(e, "invalid status config");
    }
    t->resource = partition.n > 0 ? arena_printf(&s->arena, "/status/%.*s", STR_FMT(partition))
                                  : S("/status");
    t->on = t->service.n > 0 || t->console || t->prometheus;
    return OK;
}

static struct err read_discovery(struct settings *s)
{
    struct discovery_settings *d = &s->discovery;
    struct val v;
    struct str name, prefix, service;
    TRY(get_object(s->whole, "", "discovery", &v));
    if (val_undef(v)) {
        return OK;
    }
    TRY(get_str(v, "discovery", "name", &name)); /* the old way: <prefix>/<name> */
    TRY(get_str(v, "discovery", "prefix", &prefix));
    TRY(get_str(v, "discovery", "service", &service));
    d->on = true;
    d->source.name = S("discovery");
    ENSURE(service.n > 0 || s->n_services == 1, ERR_INVALID,
           "invalid configuration for discovery service: more than one service is defined");
    if (val_undef(member(v, "resource"))) {
        ENSURE(name.n > 0, ERR_INVALID, "missing required discovery.resource field");
        struct str path = arena_printf(
            &s->arena, "%.*s/%.*s", STR_FMT(prefix.n > 0 ? prefix : S("bundles")), STR_FMT(name));
        v = val_with(&s->arena, v, val_str(&s->arena, S("resource")), val_str(&s->arena, path));
    }
    struct err e = read_source(s, v, &d->source);
    if (failed(e)) {
        return err_wrap(e, "invalid configuration for discovery");
    }
    TRY(get_str(v, "discovery", "decision", &d->decision));
    d->decision = decision_path(&s->arena, d->decision.n > 0 ? d->decision : name);
    return OK;
}

static struct err positive(struct val obj, const char *where, const char *name, int64_t *out)
{
    struct val v = val_undef(obj) ? VAL_UNDEF : val_get_str(obj, name);
    ENSURE(val_undef(v) || (val_is(v, V_NUMBER) && val_to_i64(v, out) && *out > 0), ERR_INVALID,
           "invalid value for %s.%s field, should be a positive number", where, name);
    return OK;
}

static struct err section(struct val obj, const char *where, const char *name, struct val *out)
{
    *out = val_undef(obj) ? VAL_UNDEF : val_get_str(obj, name);
    ENSURE(val_undef(*out) || val_is(*out, V_OBJECT), ERR_INVALID,
           "invalid value for %s.%s field, should be an object", where, name);
    return OK;
}

static struct err read_server(struct settings *s)
{
    struct val server, encoding, decoding, gzip, level;
    s->decoding_max = 268435456;
    s->decoding_gzip_max = 536870912;
    s->encoding_min = 1024;
    s->encoding_level = 9;
    TRY(get_object(s->whole, "", "server", &server));
    TRY(section(server, "server", "decoding", &decoding));
    TRY(positive(decoding, "server.decoding", "max_length", &s->decoding_max));
    TRY(section(decoding, "server.decoding", "gzip", &gzip));
    TRY(positive(gzip, "server.decoding.gzip", "max_length", &s->decoding_gzip_max));
    TRY(section(server, "server", "encoding", &encoding));
    TRY(section(encoding, "server.encoding", "gzip", &gzip));
    TRY(positive(gzip, "server.encoding.gzip", "min_length", &s->encoding_min));
    level = val_undef(gzip) ? VAL_UNDEF : val_get_str(gzip, "compression_level");
    bool fits = val_undef(level) ||
                (val_to_i64(level, &s->encoding_level) &&
                 (s->encoding_level == 0 || s->encoding_level == 1 || s->encoding_level == 9));
    ENSURE(fits, ERR_INVALID,
           "invalid value for server.encoding.gzip.compression_level field, accepted values are "
           "0, 1 or 9");
    return OK;
}

static struct err read_keys(struct settings *s)
{
    struct val keys = member(s->whole, "keys");
    return val_undef(keys) ? OK : bundle_keys_parse(&s->arena, keys, &s->keys, &s->n_keys);
}

static struct err read_rest(struct settings *s)
{
    TRY(get_object(s->whole, "", "labels", &s->labels));
    for (uint32_t i = 0; !val_undef(s->labels) && i < val_len(s->labels); i++) {
        ENSURE(val_is(val_nth(s->labels, i), V_STRING), ERR_INVALID, "labels should be strings");
    }
    TRY(get_str(s->whole, "", "default_decision", &s->default_decision));
    TRY(get_str(s->whole, "", "default_authorization_decision",
                &s->default_authorization_decision));
    TRY(get_str(s->whole, "", "persistence_directory", &s->persistence_directory));
    s->default_decision = s->default_decision.n > 0 ? s->default_decision : S("/system/main");
    if (s->default_authorization_decision.n == 0) {
        s->default_authorization_decision = S("/system/authz/allow");
    }
    if (s->persistence_directory.n == 0) {
        s->persistence_directory = S(".opa");
    }
    return OK;
}

struct err settings_from_value(struct settings *s, struct val whole)
{
    ENSURE(val_is(whole, V_OBJECT), ERR_INVALID, "the configuration is no object");
    s->whole = val_copy(&s->arena, whole);
    settings_find_unknown(s);
    TRY(read_rest(s));
    TRY(read_keys(s));
    TRY(read_services(s));
    TRY(read_bundles(s));
    TRY(read_logs(s));
    TRY(read_status(s));
    TRY(read_discovery(s));
    TRY(read_server(s));
    ENSURE(!arena_exhausted(&s->arena), ERR_LIMIT, "the configuration takes too much memory");
    return OK;
}

struct err settings_read(struct settings *s, struct str text, const struct settings_set *sets,
                         size_t n_sets)
{
    struct val whole;
    ENSURE(text.n <= SETTINGS_TEXT_MAX, ERR_LIMIT, "a configuration of more than %d bytes",
           SETTINGS_TEXT_MAX);
    TRY(settings_parse_text(&s->arena, settings_env(&s->arena, text), &whole));
    for (size_t i = 0; i < n_sets; i++) {
        TRY(settings_apply_set(&s->arena, &whole, &sets[i]));
    }
    return settings_from_value(s, whole);
}
