/* sextant-authn: the OpenID provider. Puts the parts together and serves them. */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/daemon/daemon.h"
#include "lib/loop/loop.h"
#include "lib/spiffe/svid_source.h"

#include "authn.h"
#include "commands.h"
#include "denylist.h"
#include "sandbox.h"
#include "schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PRUNE_MS = 60 * 1000, TLS_RENEW_MS = 3600 * 1000, FORM_BODY_MAX = 128 * 1024 };

struct authn_process {
    struct authn n;
    struct http_server *public, *mtls, *admin;
    struct tls_server *tls, *tls_mutual;
    struct dependency *crypto;
    struct timer *prune_timer, *tls_timer;
    unsigned draining;
};

int64_t authn_mark_s(const struct authn *n)
{
    return seconds_of(MAX(n->config->access_ns, n->config->id_ns)) + 60;
}

struct session_limits authn_session_limits(const struct authn *n)
{
    return (struct session_limits){seconds_of(n->config->session_idle_ns),
                                   seconds_of(n->config->session_max_ns)};
}

/* ---- parts ---- */

static void crypto_state(void *ctx, bool ready, const char *why)
{
    struct authn_process *p = ctx;
    if (ready) {
        daemon_have(p->crypto);
    } else {
        daemon_lost(p->crypto, why);
    }
}

static struct err open_domain(struct daemon *d, struct authn_process *p)
{
    struct authn *n = &p->n;
    const struct authn_config *c = n->config;
    struct hasher_opts hashing = {c->hash_memory, c->hash_passes, c->hash_workers};
    struct str crypto = c->crypto.n > 0 ? c->crypto : daemon_socket(d, "crypto", "crypto.sock");
    struct signer_opts signing = {
        .http = d->http,
        .base = arena_printf(&d->boot, "%.*s:", STR_FMT(crypto)),
        .names = {c->id_key, c->access_key},
        .publish_ahead_s = seconds_of(c->publish_ahead_ns),
        .on_ready = crypto_state,
        .ctx = p,
    };
    TRY(store_open(daemon_state_path(d, "authn.db"), authn_schema, &n->store));
    store_attach(n->store, d->loop);
    TRY(clients_load(&n->clients, n->store));
    TRY(revocations_load(&n->revocations, n->store, authn_mark_s(n), clock_wall_s()));
    throttle_init(&n->throttle);
    interactions_init(&n->interactions);
    TRY(hasher_new(d->loop, &hashing, &n->hasher));
    p->crypto = daemon_need(d, "crypto");
    return signer_new(d->loop, &signing, &n->signer);
}

static void prune(void *ctx)
{
    struct authn_process *p = ctx;
    int64_t now = clock_wall_s();
    struct err e = grants_prune(p->n.store, now);
    e = failed(e) ? e : revocations_prune(&p->n.revocations, now);
    if (failed(e)) {
        log_warn("pruning failed", {"reason", LOG_CSTR(err_detail())});
    }
}

/* ---- listeners ---- */

static struct str host_of(struct str issuer)
{
    struct str host = str_sub(issuer, 8, issuer.n);
    size_t colon = str_rfind_char(host, ':');
    return colon == STR_NPOS || str_ends(host, S("]")) ? host : str_sub(host, 0, colon);
}

static struct err load_identity(struct daemon *d, const struct authn_config *c,
                                struct tls_identity **out)
{
    if (c->tls_cert.n > 0) {
        return tls_identity_from_files(arena_cstr(&d->boot, c->tls_cert),
                                       arena_cstr(&d->boot, c->tls_key), out);
    }
    struct str *names = arena_array(&d->boot, struct str, c->tls_names.n + 3);
    size_t n = 0;
    names[n++] = host_of(c->issuer);
    if (!str_is(names[0], "localhost")) {
        names[n++] = S("localhost");
    }
    if (!str_is(names[0], "127.0.0.1")) {
        names[n++] = S("127.0.0.1");
    }
    for (size_t i = 0; i < c->tls_names.n; i++) {
        names[n++] = c->tls_names.items[i];
    }
    return tls_identity_local(d->state_dir, names, n, clock_wall_s(), out);
}

/* The CA of a certificate made here, where clients can read it. */
static struct err publish_ca(struct daemon *d)
{
    char text[16 * 1024];
    const char *from = daemon_state_path(d, "ca.crt");
    const char *to = arena_cstr(&d->boot, arena_printf(&d->boot, "%s/ca.crt", d->run_dir));
    int in = open(from, O_RDONLY | O_CLOEXEC);
    ENSURE(in >= 0, ERR_IO, "%s: %s", from, strerrordesc_np(errno));
    ssize_t n = read(in, text, sizeof(text));
    close(in);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ENSURE(n > 0 && out >= 0, ERR_IO, "%s: %s", to, strerrordesc_np(errno));
    bool written = write(out, text, (size_t)n) == n && fchmod(out, 0644) == 0;
    close(out);
    ENSURE(written, ERR_IO, "%s: %s", to, strerrordesc_np(errno));
    return OK;
}

static struct err renew_tls(struct daemon *d, struct authn_process *p)
{
    struct tls_identity *identity;
    TRY(load_identity(d, p->n.config, &identity));
    struct err e = tls_server_set_identity(p->tls, identity);
    tls_identity_unref(identity);
    TRY(e);
    return p->n.config->tls_cert.n == 0 ? publish_ca(d) : OK;
}

static void renew_timer(void *ctx)
{
    struct authn_process *p = ctx;
    if (failed(renew_tls(p->n.daemon, p))) {
        log_warn("the certificate cannot be renewed; the old one stays",
                 {"reason", LOG_CSTR(err_detail())});
    }
}

/* Until the first SVID is here, no bundle is known: nobody is believed, so every handshake fails. */
static struct err make_mutual(struct authn_process *p)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    struct x509_bundles *none;
    struct tls_trust *trust;
    TRY(x509_bundles_new(&none));
    struct err e = tls_trust_spiffe(none, &trust);
    x509_bundles_unref(none);
    TRY(e);
    struct tls_server_opts o = {.trust = trust, .client_cert_required = true, .alpn = alpn};
    e = tls_server_new(&o, &p->tls_mutual);
    tls_trust_unref(trust);
    return e;
}

static struct err listen_public(struct daemon *d, struct authn_process *p)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &p->n.public_routes, .body_max = FORM_BODY_MAX};
    struct listen_opts everyone = {.mode = 0666};
    const struct authn_config *c = p->n.config;
    TRY(tls_server_new(&(struct tls_server_opts){.alpn = alpn}, &p->tls));
    TRY(renew_tls(d, p));
    TRY(http_server_new(d->loop, &o, &p->public));
    TRY(http_server_listen(p->public, c->listen, p->tls, NULL));
    TRY(http_server_listen(p->public, arena_printf(&d->boot, "unix:%s/authn.sock", d->run_dir),
                           NULL, &everyone));
    if (c->listen_mtls.n == 0) {
        return OK;
    }
    TRY(make_mutual(p));
    TRY(svid_source_attach_server(d->svid, p->tls_mutual));
    TRY(http_server_new(d->loop, &o, &p->mtls));
    return http_server_listen(p->mtls, c->listen_mtls, p->tls_mutual, NULL);
}

static struct err listen_admin(struct daemon *d, struct authn_process *p)
{
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &p->n.admin_routes, .body_max = FORM_BODY_MAX};
    /* Open to connect, so that daemons named in `admins` get in; every request is judged by who sent it. */
    struct listen_opts everyone = {.mode = 0666};
    TRY(http_server_new(d->loop, &o, &p->admin));
    return http_server_listen(p->admin, arena_printf(&d->boot, "unix:%s/admin.sock", d->run_dir),
                              NULL, &everyone);
}

static void mount(struct daemon *d, struct authn *n)
{
    router_init(&n->public_routes);
    router_init(&n->admin_routes);
    discovery_routes(n, &n->public_routes);
    authorize_routes(n, &n->public_routes);
    interaction_routes(n, &n->public_routes);
    token_routes(n, &n->public_routes);
    resource_routes(n, &n->public_routes);
    logout_routes(n, &n->public_routes);
    watch_routes(n, &n->public_routes);
    daemon_add_common_routes(d, &n->public_routes);
    admin_user_routes(n, &n->admin_routes);
    admin_client_routes(n, &n->admin_routes);
    admin_grant_routes(n, &n->admin_routes);
    watch_routes(n, &n->admin_routes);
    daemon_add_common_routes(d, &n->admin_routes);
}

/* ---- life ---- */

static struct err check(struct daemon *d)
{
    return authn_config_check(d->config, d->section);
}

static struct err start(struct daemon *d)
{
    struct authn_process *p = arena_new(&d->boot, struct authn_process);
    d->state = p;
    p->n.daemon = d;
    p->n.config = d->section;
    mount(d, &p->n);
    TRY(open_domain(d, p));
    TRY(listen_public(d, p));
    TRY(listen_admin(d, p));
    struct str identity = daemon_socket(d, "identity", "admin.sock");
    p->n.denylist = denylist_start(&p->n, arena_printf(&d->boot, "%.*s:", STR_FMT(identity)));
    p->prune_timer = timer_start(d->loop, PRUNE_MS, PRUNE_MS, prune, p);
    p->tls_timer = timer_start(d->loop, TLS_RENEW_MS, TLS_RENEW_MS, renew_timer, p);
    log_info("serving", {"issuer", LOG_STR(p->n.config->issuer)},
             {"listen", LOG_CSTR(http_server_address(p->public, 0))});
    return OK;
}

/* Lives, claims and administrators change at once, and new key versions are looked for; addresses at the next start. */
static struct err reload(struct daemon *d)
{
    struct authn_process *p = d->state;
    p->n.config = d->section;
    signer_refresh(p->n.signer);
    return renew_tls(d, p);
}

static void drained(void *ctx)
{
    struct authn_process *p = ctx;
    if (--p->draining == 0) {
        store_flush(p->n.store);
        daemon_drained(p->n.daemon);
    }
}

static void drain(struct daemon *d)
{
    struct authn_process *p = d->state;
    struct http_server *servers[] = {p->public, p->mtls, p->admin};
    p->draining = 1;
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        if (servers[i] != NULL) {
            p->draining++;
            http_server_drain(servers[i], drained, p);
        }
    }
    drained(p);
}

static void stop(struct daemon *d)
{
    struct authn_process *p = d->state;
    struct authn *n = &p->n;
    timer_stop(p->prune_timer);
    timer_stop(p->tls_timer);
    http_server_free(p->public);
    if (p->mtls != NULL) {
        http_server_free(p->mtls);
        tls_server_unref(p->tls_mutual);
    }
    http_server_free(p->admin);
    tls_server_unref(p->tls);
    denylist_stop(n->denylist);
    signer_free(n->signer);
    hasher_free(n->hasher);
    interactions_release(&n->interactions);
    throttle_release(&n->throttle);
    clients_release(&n->clients);
    revocations_release(&n->revocations);
    store_close(n->store);
    router_release(&n->public_routes);
    router_release(&n->admin_routes);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .name = "authn",
        .summary = "the OpenID provider: who are you?",
        .keys = authn_keys,
        .section_size = sizeof(struct authn_config),
        .needs = DAEMON_NEEDS_AUDIT | DAEMON_WANTS_SVID,
        .sandbox = authn_sandbox,
        .check = check,
        .start = start,
        .reload = reload,
        .drain = drain,
        .stop = stop,
        .commands = authn_commands,
    };
    return daemon_main(argc, argv, &spec);
}
