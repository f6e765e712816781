#include "identity.h"

#include "bootstrap.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/loop/loop.h"
#include "lib/telemetry/telemetry.h"
#include "schema.h"

#include <sys/stat.h>

enum {
    TICK_MS = 500,
    PUSH_EVERY_S = 10,
    PRUNE_EVERY_S = 3600,
    CRYPTO_RETRY_MS = 500,
    /* Streams are few bytes each; the arenas of calls are what costs. */
    CALL_ARENA_MAX = 16 << 20
};

static const char *const pidfd_choices[] = {"required", "preferred", NULL};

static const struct config_key keys[] = {
    {"listen", CONFIG_STR, offsetof(struct identity_config, listen), .fallback = "127.0.0.1:8081",
     .help = "address of the bundle endpoint (https)"},
    {"ca_ttl", CONFIG_DURATION, offsetof(struct identity_config, ca_ttl_ns), .fallback = "24h",
     .min = 10 * NS_PER_S, .max = 365 * 86400 * NS_PER_S,
     .help = "life of the intermediate that signs X.509-SVIDs"},
    {"x509_svid_ttl", CONFIG_DURATION, offsetof(struct identity_config, x509_ttl_ns),
     .fallback = "1h", .min = 2 * NS_PER_S, .max = 90 * 86400 * NS_PER_S,
     .help = "life of an X.509-SVID whose entry says nothing"},
    {"jwt_svid_ttl", CONFIG_DURATION, offsetof(struct identity_config, jwt_ttl_ns),
     .fallback = "5m", .min = 2 * NS_PER_S, .max = 86400 * NS_PER_S,
     .help = "life of a JWT-SVID whose entry says nothing"},
    {"refresh_hint", CONFIG_DURATION, offsetof(struct identity_config, refresh_hint_ns),
     .fallback = "5m", .min = 60 * NS_PER_S, .max = 86400 * NS_PER_S,
     .help = "how often others should fetch our bundle"},
    {"jwt_issuer", CONFIG_STR, offsetof(struct identity_config, jwt_issuer),
     .help = "`iss` of JWT-SVIDs and of the discovery document"},
    {"daemon_names", CONFIG_LIST, offsetof(struct identity_config, daemon_names),
     .max = ENTRY_NAMES_MAX,
     .help = "names and addresses in the daemons' certificates (default: all of this machine)"},
    {"peer_pidfd", CONFIG_STR, offsetof(struct identity_config, peer_pidfd), .fallback = "required",
     .choices = pidfd_choices,
     .help = "preferred: go by pid and start time where the kernel lacks SO_PEERPIDFD"},
    {0},
};

struct audit_event identity_event(enum ocsf_class cls, const char *activity, const char *outcome)
{
    static struct metric allowed = METRIC_COUNTER(
        "sextant_identity_decisions_total", "Issues and changes by outcome.", "outcome", "allowed");
    static struct metric denied = METRIC_COUNTER(
        "sextant_identity_decisions_total", "Issues and changes by outcome.", "outcome", "denied");
    metric_add(strcmp(outcome, "allowed") == 0 ? &allowed : &denied, 1);
    return (struct audit_event){.class_uid = cls, .activity = activity, .outcome = outcome};
}

/* ---- authorities ---- */

static void on_authority(void *ctx, struct err e)
{
    struct identity *id = ctx;
    if (!failed(e)) {
        e = web_update(id);
    }
    if (failed(e)) {
        log_warn("no authority", {"error", LOG_CSTR(err_detail())});
        id->retry_at_ns = clock_mono_ns() + CRYPTO_RETRY_MS * NS_PER_MS;
        if (!ca_ready(&id->ca)) {
            daemon_lost(id->crypto_dep, err_detail());
        }
        return;
    }
    log_info("authority ready", {"trust_domain", LOG_STR(id->ca.domain)},
             {"until", LOG_INT(id->ca.now.cert->not_after_s)});
    jwt_cache_drop(id->jwt);
    daemon_have(id->crypto_dep);
    streams_push(id);
}

static void on_tick(void *ctx)
{
    struct identity *id = ctx;
    static struct metric streams =
        METRIC_GAUGE("sextant_identity_streams", "Open streams of the Workload API.", NULL, NULL);
    static struct metric entries =
        METRIC_GAUGE("sextant_identity_entries", "Registration entries.", NULL, NULL);
    static struct metric banned =
        METRIC_GAUGE("sextant_identity_bans", "Entries of the deny-list.", NULL, NULL);
    int64_t now = clock_wall_s(), mono = clock_mono_ns();
    metric_set(&streams, (int64_t)id->n_streams);
    metric_set(&entries, (int64_t)map_len(&id->registry.by_id));
    metric_set(&banned, (int64_t)id->deny.n);
    if (ca_due(&id->ca, now) && mono >= id->retry_at_ns) {
        ca_refresh(&id->ca);
    }
    if (id->own != NULL && now >= id->own->renew_s && failed(web_update(id))) {
        log_warn("own SVID not renewed", {"error", LOG_CSTR(err_detail())});
    }
    if (now >= id->renew_due_s || mono - id->pushed_ns > PUSH_EVERY_S * NS_PER_S) {
        id->renew_due_s = INT64_MAX; /* found again while the streams are looked at */
        id->pushed_ns = mono;
        streams_push(id);
    }
    if (mono - id->pruned_ns > PRUNE_EVERY_S * NS_PER_S) {
        id->pruned_ns = mono;
        denylist_prune(&id->deny, now);
    }
}

/* ---- start ---- */

static struct err open_state(struct identity *id)
{
    struct daemon *d = id->d;
    TRY(store_open(daemon_state_path(d, "identity.db"), identity_schema, &id->store));
    store_attach(id->store, d->loop);
    TRY(registry_open(id->store, d->trust_domain, view_drop_svid, &id->registry));
    TRY(denylist_open(id->store, d->loop, &id->deny));
    TRY(federation_open(id->store, d->trust_domain, &id->federation));
    for (size_t i = 0; i < id->cfg->daemon_names.n; i++) {
        TRY(strs_add(&id->names, id->cfg->daemon_names.items[i], ENTRY_NAMES_MAX));
    }
    if (id->names.n == 0) {
        TRY(bootstrap_machine_names(&id->names));
    }
    struct bootstrap b = {.config = d->config, .domain = d->trust_domain, .names = &id->names};
    return bootstrap_entries(&b, &id->registry);
}

static bool uid_is_shared(const struct config *c)
{
    uint32_t mine, other;
    bool shared = false;
    if (!config_uid(c, S("identity"), &mine)) {
        return false;
    }
    for (size_t i = 0; i < c->uids.n; i++) {
        shared |= !str_is(c->uids.items[i].key, "identity") &&
                  config_uid(c, c->uids.items[i].key, &other) && other == mine;
    }
    return shared;
}

static void open_authority(struct identity *id)
{
    struct daemon *d = id->d;
    id->transit =
        (struct transit){.http = d->http,
                         .name_self = uid_is_shared(d->config),
                         .socket = arena_cstr(&d->boot, daemon_socket(d, "crypto", "crypto.sock"))};
    id->ca = (struct ca){.transit = &id->transit,
                         .store = id->store,
                         .domain = d->trust_domain,
                         .life_s = id->cfg->ca_ttl_ns / NS_PER_S,
                         .on_change = on_authority,
                         .ctx = id};
    id->jwt = jwt_cache_new();
    id->renew_due_s = INT64_MAX;
}

static struct err listen_on(struct identity *id, struct router *r, struct str address,
                            struct tls_server *tls, unsigned mode, struct http_server **out)
{
    struct http_server_opts o = {.handle = router_dispatch,
                                 .ctx = r,
                                 .arena_max = CALL_ARENA_MAX,
                                 .body_max = SPIFFE_BUNDLE_TEXT_MAX};
    TRY(http_server_new(id->d->loop, &o, out));
    return http_server_listen(*out, address, tls, &(struct listen_opts){.mode = mode});
}

static struct err open_servers(struct identity *id)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    struct daemon *d = id->d;
    struct x509_bundles *none;
    struct tls_trust *trust;
    TRY(x509_bundles_new(&none));
    struct err e = tls_trust_spiffe(none, &trust);
    x509_bundles_unref(none);
    TRY(e);
    struct tls_server_opts o = {.trust = trust, .alpn = alpn};
    e = tls_server_new(&o, &id->tls);
    tls_trust_unref(trust);
    TRY(e);
    struct router *const routers[] = {&id->workload_router, &id->admin_router, &id->web_router};
    for (size_t i = 0; i < ARRAY_LEN(routers); i++) {
        router_init(routers[i]);
    }
    workload_mount(id);
    admin_mount(id);
    web_mount(id);
    TRY(listen_on(id, &id->workload_router, daemon_socket(d, "identity", "workload.sock"), NULL,
                  0666, &id->workload));
    TRY(listen_on(id, &id->admin_router, daemon_socket(d, "identity", "admin.sock"), NULL, 0666,
                  &id->admin));
    return listen_on(id, &id->web_router, id->cfg->listen, id->tls, 0, &id->web);
}

static struct err identity_start(struct daemon *d)
{
    /* As long as the process: answers may still come in while it is being taken down. */
    static struct identity the_one;
    struct identity *id = &the_one;
    d->state = id;
    id->d = d;
    id->cfg = d->section;
    id->crypto_dep = daemon_need(d, "crypto");
    TRY(open_state(id));
    open_authority(id);
    TRY(open_servers(id));
    id->tick = timer_start(d->loop, TICK_MS, TICK_MS, on_tick, id);
    ca_refresh(&id->ca);
    return OK;
}

/* Lives and names of daemons follow the new configuration; listeners stay where they are. */
static struct err identity_reload(struct daemon *d)
{
    struct identity *id = d->state;
    struct bootstrap b = {.config = d->config, .domain = id->ca.domain, .names = &id->names};
    ENSURE(str_eq(d->trust_domain, id->ca.domain), ERR_INVALID,
           "trust_domain can be changed only by a new `sextant init`");
    id->cfg = d->section;
    id->ca.life_s = id->cfg->ca_ttl_ns / NS_PER_S;
    registry_drop_builtin(&id->registry);
    TRY(bootstrap_entries(&b, &id->registry));
    jwt_cache_drop(id->jwt);
    streams_push(id);
    return OK;
}

/* ---- end ---- */

static void identity_drain(struct daemon *d)
{
    struct identity *id = d->state;
    id->stopping = true;
    streams_close(id);
    store_flush(id->store);
    daemon_drained(d);
}

static void identity_stop(struct daemon *d)
{
    struct identity *id = d->state;
    if (id == NULL) {
        return;
    }
    timer_stop(id->tick);
    http_server_free(id->workload);
    http_server_free(id->admin);
    http_server_free(id->web);
    router_release(&id->workload_router);
    router_release(&id->admin_router);
    router_release(&id->web_router);
    tls_server_unref(id->tls);
    svid_unref(id->own);
    jwt_cache_free(id->jwt);
    ca_release(&id->ca);
    denylist_close(&id->deny);
    federation_close(&id->federation);
    registry_close(&id->registry);
    strs_release(&id->names);
    store_close(id->store);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .name = "identity",
        .summary = "workload identity: SPIFFE Workload API, X.509- and JWT-SVIDs",
        .keys = keys,
        .section_size = sizeof(struct identity_config),
        .needs = DAEMON_NEEDS_AUDIT,
        .sandbox = identity_sandbox,
        .start = identity_start,
        .reload = identity_reload,
        .drain = identity_drain,
        .stop = identity_stop,
        .commands = identity_commands,
    };
    return daemon_main(argc, argv, &spec);
}
