/* sextant-authz: what may you do? Puts the store, the API and the gRPC service together. */
#include "authz.h"
#include "cmd.h"

#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/grpc/grpc.h"
#include "lib/loop/loop.h"

#include <errno.h>
#include <unistd.h>

struct authz_process {
    struct authz z;
    struct http_server *rest, *grpc;
    struct timer *poll;
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
                 {"files", LOG_INT((int64_t)z->store.image->n_files)},
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
    store_init(&z.store);
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
    store_release(&z.store);
    return e;
}

static struct err listen_grpc(struct daemon *d, struct authz_process *p)
{
    const struct authz_config *c = p->z.config;
    if (c->grpc.n == 0) {
        return OK;
    }
    router_init(&p->z.grpc_routes);
    ext_authz_routes(&p->z, &p->z.grpc_routes);
    struct http_server_opts o = {
        .handle = router_dispatch, .ctx = &p->z.grpc_routes, .body_max = GRPC_MESSAGE_MAX};
    TRY(http_server_new(d->loop, &o, &p->grpc));
    return http_server_listen(p->grpc, c->grpc, NULL, NULL);
}

static struct err listen_rest(struct daemon *d, struct authz_process *p)
{
    const struct authz_config *c = p->z.config;
    struct http_server_opts o = {.handle = router_dispatch,
                                 .ctx = &p->z.routes,
                                 .body_max = (size_t)c->body_max,
                                 .arena_max = (size_t)c->eval_memory};
    struct listen_opts everyone = {.mode = 0666};
    router_init(&p->z.routes);
    data_routes(&p->z, &p->z.routes);
    policy_routes(&p->z, &p->z.routes);
    query_routes(&p->z, &p->z.routes);
    daemon_add_common_routes(d, &p->z.routes);
    TRY(http_server_new(d->loop, &o, &p->rest));
    TRY(http_server_listen(p->rest, c->listen, NULL, NULL));
    return http_server_listen(p->rest, arena_printf(&d->boot, "unix:%s/authz.sock", d->run_dir),
                              NULL, &everyone);
}

static struct err start(struct daemon *d)
{
    struct authz_process *p = arena_new(&d->boot, struct authz_process);
    d->state = p;
    p->z.daemon = d;
    p->z.audit = d->audit;
    uuid4(p->z.id);
    store_init(&p->z.store);
    apply_config(&p->z, d->section);
    ENSURE(load(&p->z, "start"), ERR_INVALID, "the policies don't compile; see the errors above");
    TRY(listen_rest(d, p));
    TRY(listen_grpc(d, p));
    if (p->z.config->poll_ns > 0) {
        int64_t ms = MAX(p->z.config->poll_ns / 1000000, INT64_C(10));
        p->poll = timer_start(d->loop, ms, ms, poll_files, p);
    }
    log_info("serving", {"listen", LOG_CSTR(http_server_address(p->rest, 0))});
    return OK;
}

static struct err reload(struct daemon *d)
{
    struct authz_process *p = d->state;
    apply_config(&p->z, d->section);
    (void)load(&p->z, "reload");
    return OK;
}

static void drained(void *ctx)
{
    struct authz_process *p = ctx;
    if (--p->draining == 0) {
        daemon_drained(p->z.daemon);
    }
}

static void drain(struct daemon *d)
{
    struct authz_process *p = d->state;
    p->draining = 2 + (p->grpc != NULL);
    http_server_drain(p->rest, drained, p);
    if (p->grpc != NULL) {
        http_server_drain(p->grpc, drained, p);
    }
    drained(p);
}

static void stop(struct daemon *d)
{
    struct authz_process *p = d->state;
    timer_stop(p->poll);
    http_server_free(p->rest);
    if (p->grpc != NULL) {
        http_server_free(p->grpc);
        router_release(&p->z.grpc_routes);
    }
    router_release(&p->z.routes);
    store_release(&p->z.store);
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
