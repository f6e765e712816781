/* sextant-secrets: Vault's API over leases, policies and identities, with nothing long-lived in it. */
#include "secretsd.h"

#include "lib/base/log.h"
#include "lib/loop/loop.h"
#include "lib/spiffe/svid_source.h"

/* ---- TLS: our SVID, or files; clients may show theirs ---- */

static struct err nobody(struct tls_trust **out)
{
    struct x509_bundles *none;
    TRY(x509_bundles_new(&none));
    struct err e = tls_trust_spiffe(none, out);
    x509_bundles_unref(none);
    return e;
}

static struct err attach(struct secretsd *s)
{
    if (s->cfg->tls_cert.n > 0) {
        struct tls_identity *own;
        TRY(tls_identity_from_files(arena_cstr(&s->d->boot, s->cfg->tls_cert),
                                    arena_cstr(&s->d->boot, s->cfg->tls_key), &own));
        struct err e = tls_server_set_identity(s->tls, own);
        tls_identity_unref(own);
        return e;
    }
    return s->d->svid != NULL ? svid_source_attach_server(s->d->svid, s->tls) : OK;
}

static struct err make_tls(struct secretsd *s)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    struct tls_trust *trust;
    TRY(nobody(&trust));
    bool own_files = s->cfg->tls_cert.n > 0;
    struct err e = tls_server_new(
        &(struct tls_server_opts){.trust = own_files ? NULL : trust, .alpn = alpn}, &s->tls);
    if (!failed(e)) {
        e = tls_client_new(&(struct tls_client_opts){.trust = trust}, &s->tls_client);
    }
    tls_trust_unref(trust);
    TRY(e);
    TRY(attach(s));
    return s->d->svid != NULL ? svid_source_attach_client(s->d->svid, s->tls_client) : OK;
}

/* ---- start ---- */

enum { DECLARE_FIRST_MS = 100, DECLARE_MAX_MS = 5000 };

static void declare(void *ctx);

/* A database that is not up yet is the usual reason: once more, after a while. */
static void declared(struct secretsd *s, struct err e)
{
    if (!failed(e)) {
        s->declare_wait_ms = DECLARE_FIRST_MS;
        daemon_have(s->declared);
        return;
    }
    log_error("what the configuration declares could not be brought about",
              {"detail", LOG_CSTR(err_detail())});
    daemon_lost(s->declared, err_detail());
    if (s->declare_retry == NULL) {
        s->declare_retry = timer_start(s->d->loop, s->declare_wait_ms, 0, declare, s);
        s->declare_wait_ms = MIN(s->declare_wait_ms * 2, (int64_t)DECLARE_MAX_MS);
    }
}

static void declare(void *ctx)
{
    struct secretsd *s = ctx;
    s->declare_retry = NULL;
    if (!s->core->sealed) {
        declare_apply(s, declared);
    }
}

static void on_state(void *ctx, bool unsealed, const char *why)
{
    struct secretsd *s = ctx;
    if (!unsealed) {
        daemon_lost(s->unsealed, why);
        return;
    }
    daemon_have(s->unsealed);
    declare(s);
}

static struct err open_core(struct secretsd *s)
{
    const struct secrets_config *cfg = s->cfg;
    struct core_opts o = {
        .default_ttl_s = MIN(cfg->default_ttl_ns, cfg->max_ttl_ns) / NS_PER_S,
        .max_ttl_s = cfg->max_ttl_ns / NS_PER_S,
        .version = cfg->version,
        .cluster_name = s->d->trust_domain,
        .audit_required =
            !str_is(json_str(json_path(s->d->config->root, "secrets.audit_mode")), "spool"),
        .root_token_on_init = cfg->root_token_on_init};
    TRY(storage_open(daemon_state_path(s->d, "secrets.db"), s->d->loop, &s->storage));
    TRY(core_new(s->d->loop, s->storage, &o, &s->core));
    s->core->audit = s->d->audit;
    s->core->http = s->http;
    s->core->trust_domain = s->d->trust_domain;
    s->core->bundle_url = cfg->bundle_url;
    s->core->crypto_url =
        cfg->crypto.n > 0
            ? cfg->crypto
            : arena_printf(&s->d->boot,
                           "%.*s:", STR_FMT(daemon_socket(s->d, "crypto", "crypto.sock")));
    return seal_new(
        s->core,
        &(struct seal_opts){.shamir = str_is(cfg->seal, "shamir"),
                            .key_name = cfg->seal_key,
                            .enrolment_file = daemon_state_path(s->d, "operator-enrolment"),
                            .on_state = on_state,
                            .ctx = s},
        &s->seal);
}

static struct err listen_all(struct secretsd *s)
{
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &s->router, .body_max = API_BODY_MAX};
    struct listen_opts everyone = {.mode =
                                       0666}; /* a token, or the kernel's word, says who it is */
    router_init(&s->router);
    api_mount(s);
    TRY(http_server_new(s->d->loop, &o, &s->server));
    TRY(http_server_listen(s->server,
                           arena_printf(&s->d->boot, "unix:%s/secrets.sock", s->d->run_dir), NULL,
                           &everyone));
    return s->cfg->listen.n > 0 ? http_server_listen(s->server, s->cfg->listen, s->tls, NULL) : OK;
}

static struct err start(struct daemon *d)
{
    struct secretsd *s = arena_new(&d->boot, struct secretsd);
    struct secrets_config *cfg = d->section;
    s->d = d;
    s->cfg = cfg;
    s->declare_wait_ms = DECLARE_FIRST_MS;
    d->state = s;
    if (cfg->identity_admin.n == 0) {
        cfg->identity_admin =
            arena_printf(&d->boot, "%.*s:", STR_FMT(daemon_socket(d, "identity", "admin.sock")));
    }
    s->unsealed = daemon_need(d, "unsealed");
    s->declared = daemon_need(d, "declared");
    TRY(make_tls(s));
    TRY(http_client_new(d->loop, &(struct http_client_opts){.tls = s->tls_client}, &s->http));
    TRY(open_core(s));
    TRY(listen_all(s));
    seal_start(s->seal);
    TRY(denylist_start(s));
    return OK;
}

static void drained(void *ctx)
{
    daemon_drained(ctx);
}

static void drain(struct daemon *d)
{
    struct secretsd *s = d->state;
    denylist_stop(s);
    http_server_drain(s->server, drained, d);
}

static void stop(struct daemon *d)
{
    struct secretsd *s = d->state;
    denylist_stop(s);
    timer_stop(s->declare_retry);
    http_server_free(s->server);
    router_release(&s->router);
    http_client_free(s->http);
    seal_free(s->seal);
    core_free(s->core);
    storage_close(s->storage);
    tls_server_unref(s->tls);
    tls_client_unref(s->tls_client);
}

static struct err check(struct daemon *d)
{
    const struct secrets_config *cfg = d->section;
    ENSURE(cfg->default_ttl_ns <= cfg->max_ttl_ns || cfg->default_ttl_ns == 3600 * NS_PER_S,
           ERR_INVALID, "secrets.default_lease_ttl is longer than max_lease_ttl");
    ENSURE((cfg->tls_cert.n > 0) == (cfg->tls_key.n > 0), ERR_INVALID,
           "secrets.tls_cert and secrets.tls_key belong together");
    return declare_check(d);
}

static const struct daemon_spec spec = {
    .name = "secrets",
    .summary = "secrets, leases and database roles, by Vault's API",
    .keys = secrets_keys,
    .section_size = sizeof(struct secrets_config),
    .needs = DAEMON_NEEDS_AUDIT | DAEMON_WANTS_SVID,
    .sandbox = secrets_sandbox,
    .check = check,
    .start = start,
    .drain = drain,
    .stop = stop,
    .commands = secrets_commands,
};

int main(int argc, char **argv)
{
    return daemon_main(argc, argv, &spec);
}
