/* sextant-authz: what may you do? Puts the store, the API and the gRPC service together. */
#include "cmd.h"
#include "listen.h"
#include "manage/manage.h"

#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/grpc/grpc.h"
#include "lib/loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct authz_process {
    struct authz z;
    struct authz_listener *rest;
    struct http_server *grpc;
    struct timer *poll;
    struct manage *manage; /* NULL: no opa_config */
    unsigned draining;
};

static void log_errors(const char *what, const struct rego_errors *errors)
{
    for (size_t i = 0; i < errors->n && i < 10; i++) {
        struct buf b;
        buf_init(&b, 1 << 16);
        rego_error_write(&b, &errors->v[i]);
        log_error(what, {"reason", LOG_STR(buf_str(&b))});
        buf_release(&b);
    }
}

static void apply_config(struct authz *z, const struct authz_config *c)
{
    z->config = c;
    z->store.policy_paths = c->policies.items;
    z->store.n_policy_paths = c->policies.n;
    z->store.data_paths = c->data.items;
    z->store.n_data_paths = c->data.n;
    z->store.version = c->v0_compatible ? REGO_V0 : REGO_V1;
}

static bool load(struct authz *z, const char *when)
{
    struct arena a;
    arena_init(&a, 16 << 20);
    struct rego_errors errors = {.a = &a};
    bool ok = store_load(&z->store, &errors);
    if (!ok) {
        log_errors("policies were not taken over; the ones before stay in force", &errors);
    } else {
        log_info("policies in force", {"when", LOG_CSTR(when)},
                 {"files", LOG_INT((int64_t)z->store.n_sources)},
                 {"revision", LOG_INT((int64_t)z->store.revision)});
    }
    arena_release(&a);
    return ok;
}

static void poll_files(void *ctx)
{
    struct authz_process *p = ctx;
    if (store_stale(&p->z.store)) {
        (void)load(&p->z, "a file changed");
    }
}

/* Reads everything as a start would, for --check. */
static struct err check(struct daemon *d)
{
    struct authz z = {0};
    struct arena a;
    authz_init(&z, d->section);
    apply_config(&z, d->section);
    arena_init(&a, 16 << 20);
    struct rego_errors errors = {.a = &a};
    struct err e = OK;
    if (!store_load(&z.store, &errors)) {
        struct buf b;
        buf_init(&b, 1 << 20);
        rego_errors_write(&b, &errors);
        e = err_make(ERR_INVALID, "%.*s", STR_FMT(buf_str(&b)));
        buf_release(&b);
    }
    arena_release(&a);
    authz_release(&z);
    return e;
}

static struct err listen_grpc(struct daemon *d, struct authz_process *p)
{
    const struct authz_config *c = p->z.config;
    if (c->grpc.n == 0) {
        return OK;
    }
    ext_authz_routes(&p->z, &p->z.grpc_routes);
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &p->z.grpc_routes, .body_max = GRPC_MESSAGE_MAX};
    TRY(http_server_new(d->loop, &o, &p->grpc));
    return http_server_listen(p->grpc, c->grpc, NULL, NULL);
}

static struct err listen_rest(struct daemon *d, struct authz_process *p)
{
    const struct authz_config *c = p->z.config;
    struct str addresses[2] = {c->listen, arena_printf(&d->boot, "unix:%s/authz.sock", d->run_dir)};
    struct authz_listen_opts o = {.addresses = addresses,
                                  .n_addresses = 2,
                                  .diagnostic = &c->diagnostic,
                                  .n_diagnostic = c->diagnostic.n > 0,
                                  .unix_mode = 0666};
    authz_routes(&p->z);
    daemon_add_health_route(d, &p->z.routes);
    return authz_listen(&p->z, d->loop, &o, &p->rest);
}

/* What comes over the API outlives reloads; with `persist` it outlives the process, too. */
static struct err keep_writes(struct daemon *d, struct authz_process *p)
{
    struct arena a;
    arena_init(&a, 16 << 20);
    struct rego_errors errors = {.a = &a};
    struct err e = store_keep(
        &p->z.store, p->z.config->persist ? daemon_state_path(d, "writes.ndjson") : NULL, &errors);
    if (errors.n > 0) {
        log_errors("what was written over the API is not taken over", &errors);
    }
    arena_release(&a);
    return e;
}

/* Bundles, discovery, decision logs and status, beside the audit trail. What persists is in the state folder. */
static struct err start_manage(struct daemon *d, struct authz_process *p)
{
    struct str path = p->z.config->opa_config, text;
    if (path.n == 0) {
        return OK;
    }
    TRY(bundle_read_file(&d->boot, path, &text));
    struct settings *s = calloc(1, sizeof *s);
    BUG_ON(s == NULL);
    settings_init(s);
    struct err e = settings_read(s, text, NULL, 0);
    if (failed(e)) {
        settings_release(s);
        free(s);
        return err_wrap(e, "%.*s", STR_FMT(path));
    }
    struct manage_opts o = {.directory = daemon_state_path(d, "opa")};
    return manage_new(d->loop, &p->z, s, &o, &p->manage);
}

static struct err start(struct daemon *d)
{
    struct authz_process *p = arena_new(&d->boot, struct authz_process);
    d->state = p;
    p->z.daemon = d;
    p->z.audit = d->audit;
    uuid4(p->z.id);
    authz_init(&p->z, d->section);
    apply_config(&p->z, d->section);
    ENSURE(load(&p->z, "start"), ERR_INVALID, "the policies don't compile; see the errors above");
    TRY(keep_writes(d, p));
    TRY(start_manage(d, p));
    TRY(listen_rest(d, p));
    TRY(listen_grpc(d, p));
    if (p->z.config->poll_ns > 0) {
        int64_t ms = MAX(p->z.config->poll_ns / 1000000, INT64_C(10));
        p->poll = timer_start(d->loop, ms, ms, poll_files, p);
    }
    log_info("serving", {"listen", LOG_CSTR(authz_listener_address(p->rest))});
    return OK;
}

static struct err reload(struct daemon *d)
{
    struct authz_process *p = d->state;
    apply_config(&p->z, d->section);
    if (p->manage != NULL) {
        manage_reloaded(p->manage);
    }
    (void)load(&p->z, "reload");
    return OK;
}

static void flushed(void *ctx)
{
    struct authz_process *p = ctx;
    daemon_drained(p->z.daemon);
}

/* The last request is answered: now the last decision logs leave. */
static void drained(void *ctx)
{
    struct authz_process *p = ctx;
    if (--p->draining > 0) {
        return;
    }
    if (p->manage != NULL) {
        manage_flush(p->manage, flushed, p);
    } else {
        flushed(p);
    }
}

static void drain(struct daemon *d)
{
    struct authz_process *p = d->state;
    p->draining = 2 + (p->grpc != NULL);
    authz_listener_drain(p->rest, drained, p);
    if (p->grpc != NULL) {
        http_server_drain(p->grpc, drained, p);
    }
    drained(p);
}

static void stop(struct daemon *d)
{
    struct authz_process *p = d->state;
    timer_stop(p->poll);
    authz_listener_free(p->rest);
    http_server_free(p->grpc);
    manage_free(p->manage);
    authz_release(&p->z);
}

int main(int argc, char **argv)
{
    static const struct daemon_spec spec = {
        .name = "authz",
        .summary = "policy decisions: what may you do?",
        .keys = authz_keys,
        .section_size = sizeof(struct authz_config),
        .needs = DAEMON_NEEDS_AUDIT,
        .sandbox = authz_sandbox,
        .check = check,
        .start = start,
        .reload = reload,
        .drain = drain,
        .stop = stop,
        .commands = authz_commands,
    };
    if (is_opa_name(argv[0])) {
        return opa_main(argc, argv);
    }
    return daemon_main(argc, argv, &spec);
}
