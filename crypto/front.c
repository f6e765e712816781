/* The front: starts the key process, loads what the database holds into it, and listens. */
#include "crypto.h"

#include "channel.h"
#include "lib/base/log.h"
#include "lib/daemon/bans.h"
#include "lib/http/http.h"
#include "lib/loop/loop.h"
#include "lib/spiffe/svid_source.h"
#include "lib/tls/tls.h"
#include "op.h"
#include "registry.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void on_keys_lost(void *ctx)
{
    struct crypto *c = ctx;
    log_error("the key process is gone: stopping, to be started again");
    daemon_lost(c->keys_dep, "the key process is gone");
    daemon_drained(c->d);
}

static void on_keys_exit(void *ctx, pid_t pid, int status, int sig)
{
    log_info("the key process has ended", {"pid", LOG_INT(pid)}, {"status", LOG_INT(status)},
             {"signal", LOG_INT(sig)});
}

/* The same program again with its other end of the socket, so that it shares no memory with us. */
static struct err start_keys(struct crypto *c, int *fd)
{
    int pair[2];
    pid_t pid;
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, ERR_IO, "no socket pair");
    const char *config = arena_cstr(&c->d->boot, c->d->config->file);
    const char *argv[] = {"sextant-crypto", "--config", config, "keys", NULL};
    /* By its link: the path may lead through folders that this uid cannot enter. */
    struct spawn s = {.file = "/proc/self/exe",
                      .argv = argv,
                      .fds = {-1, -1, 2, pair[1]},
                      .n_fds = 4,
                      .on_exit = on_keys_exit,
                      .ctx = c};
    struct err e = loop_spawn(c->d->loop, &s, &pid);
    close(pair[1]);
    if (failed(e)) {
        close(pair[0]);
        return e;
    }
    *fd = pair[0];
    return OK;
}

/* ---- loading ---- */

static void on_load_failed(struct crypto *c)
{
    log_error("a key does not load", {"error", LOG_CSTR(err_detail())});
    daemon_lost(c->keys_dep, err_detail());
}

static void on_loaded(void *ctx, struct err e, struct wire_reader *reply)
{
    if (failed(e)) {
        on_load_failed(ctx);
    }
}

/* The answer to a question asked after the last record: everything before it has been answered. */
static void on_all_loaded(void *ctx, struct err e, struct wire_reader *reply)
{
    struct crypto *c = ctx;
    size_t n = 0;
    while (!failed(e) && !reply->bad && reply->n > 0) {
        wire_str(reply);
        n++;
    }
    log_info("keys loaded", {"keys", LOG_INT(n)});
    if (!failed(e)) {
        daemon_have(c->keys_dep);
    }
}

static struct err load_meta(void *ctx, struct str name, struct str sealed)
{
    struct crypto *c = ctx;
    wire_put_str(channel_begin(c->channel, WIRE_LOAD_META, STR_EMPTY, name), sealed);
    return channel_send(c->channel, on_loaded, c);
}

static struct err load_version(void *ctx, struct str name, uint32_t n, struct str sealed)
{
    struct crypto *c = ctx;
    struct buf *m = channel_begin(c->channel, WIRE_LOAD_VERSION, STR_EMPTY, name);
    wire_put_u32(m, n);
    wire_put_str(m, sealed);
    return channel_send(c->channel, on_loaded, c);
}

static struct err load_all(struct crypto *c)
{
    struct registry_reader reader = {load_meta, load_version, c};
    TRY(registry_read(c->registry, &reader));
    struct str operator= crypto_operator(&c->d->boot, c->d->trust_domain);
    channel_begin(c->channel, WIRE_LIST, operator, STR_EMPTY);
    return channel_send(c->channel, on_all_loaded, c);
}

/* ---- listening ---- */

static void not_routed(struct http_req *req, void *ctx, int status)
{
    http_reply_json(req, status,
                    status == 405 ? S("{\"errors\":[\"unsupported operation\"]}")
                                  : S("{\"errors\":[\"unsupported path\"]}"));
}

static struct err listen_tls(struct crypto *c)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    if (c->config->listen.n == 0 || c->d->svid == NULL) {
        return OK;
    }
    /* nobody is trusted, and we have no name, until identity has come up and sent both */
    struct x509_bundles *none;
    struct tls_trust *trust;
    TRY(x509_bundles_new(&none));
    struct err e = tls_trust_spiffe(none, &trust);
    x509_bundles_unref(none);
    TRY(e);
    struct tls_server_opts o = {.trust = trust, .client_cert_required = true, .alpn = alpn};
    e = tls_server_new(&o, &c->tls);
    tls_trust_unref(trust);
    TRY(e);
    TRY(svid_source_attach_server(c->d->svid, c->tls));
    return http_server_listen(c->server, c->config->listen, c->tls, NULL);
}

static struct err listen_all(struct crypto *c)
{
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &c->routes, .body_max = CRYPTO_BODY_MAX};
    struct listen_opts anyone = {.mode = 0666}; /* the kernel names the caller, grants decide */
    router_init(&c->routes);
    router_fallback(&c->routes, not_routed, c);
    daemon_add_common_routes(c->d, &c->routes);
    transit_add_crypt_routes(c);
    transit_add_key_routes(c);
    transit_add_misc_routes(c);
    TRY(http_server_new(c->d->loop, &o, &c->server));
    TRY(http_server_listen(c->server, daemon_socket(c->d, "crypto", "crypto.sock"), NULL, &anyone));
    return listen_tls(c);
}

struct err crypto_start(struct daemon *d)
{
    struct crypto *c = arena_new(&d->boot, struct crypto);
    int fd;
    c->d = d;
    c->config = d->section;
    d->state = c;
    c->keys_dep = daemon_need(d, "keys");
    struct stat st;
    ENSURE(stat(daemon_state_path(d, CRYPTO_SEAL_FILE), &st) == 0, ERR_NOT_FOUND,
           "not initialised: run `sextant-crypto --config %.*s init` first",
           STR_FMT(d->config->file));
    TRY(start_keys(c, &fd));
    struct err e = channel_new(d->loop, fd, on_keys_lost, c, &c->channel);
    if (failed(e)) {
        close(fd);
        return e;
    }
    TRY(registry_open(daemon_state_path(d, CRYPTO_DB_FOLDER "/crypto.db"), d->loop, &c->registry));
    TRY(load_all(c));
    TRY(bans_follow(d, STR_EMPTY, NULL, NULL, &c->bans));
    return listen_all(c);
}

static void drained(void *ctx)
{
    struct crypto *c = ctx;
    daemon_drained(c->d);
}

void crypto_drain(struct daemon *d)
{
    struct crypto *c = d->state;
    http_server_drain(c->server, drained, c);
}

void crypto_stop(struct daemon *d)
{
    struct crypto *c = d->state;
    http_server_free(c->server);
    bans_free(c->bans);
    channel_free(c->channel);
    registry_close(c->registry);
    if (c->tls != NULL) {
        tls_server_unref(c->tls);
    }
    router_release(&c->routes);
}
