/* run: the API on its own, for those who start `opa run -s`. No configuration, no audit: said aloud. */
#include "cmd.h"

#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/loop/loop.h"

#include <signal.h>
#include <stdio.h>

struct lone {
    struct authz z;
    struct authz_config config;
    struct loop *loop;
    struct http_server *server;
};

static void stop_loop(void *ctx)
{
    loop_stop(ctx);
}

static void common_health(struct http_req *req, void *ctx)
{
    (void)ctx;
    http_reply_json(req, 200, S("{\"status\":\"ok\"}\n"));
}

static struct str address_of(struct arena *a, const char *text)
{
    struct str s = str_of(text);
    s = str_starts(s, S("http://")) ? str_sub(s, 7, s.n) : s;
    s = str_starts(s, S("unix://")) ? arena_printf(a, "unix:%.*s", STR_FMT(str_sub(s, 7, s.n))) : s;
    if (str_starts(s, S(":"))) {
        return arena_printf(a, "0.0.0.0%.*s", STR_FMT(s));
    }
    if (str_starts(s, S("localhost:"))) {
        return arena_printf(a, "127.0.0.1%.*s", STR_FMT(str_sub(s, 9, s.n)));
    }
    return s;
}

static struct err serve(struct lone *l, struct cmd *c)
{
    struct http_server_opts o = {.handle = router_dispatch,
                                 .ctx = &l->z.routes,
                                 .body_max = (size_t)l->config.body_max,
                                 .arena_max = (size_t)l->config.eval_memory};
    TRY(loop_new(&l->loop));
    router_init(&l->z.routes);
    data_routes(&l->z, &l->z.routes);
    policy_routes(&l->z, &l->z.routes);
    query_routes(&l->z, &l->z.routes);
    router_add(&l->z.routes, "GET", "/healthz", common_health, NULL);
    TRY(http_server_new(l->loop, &o, &l->server));
    for (size_t i = 0; i < MAX(c->n_addr, (size_t)1); i++) {
        const char *addr = c->n_addr > 0 ? c->addr[i] : "127.0.0.1:8181";
        TRY(http_server_listen(l->server, address_of(&c->a, addr), NULL, NULL));
    }
    loop_on_signal(l->loop, SIGINT, stop_loop, l->loop);
    loop_on_signal(l->loop, SIGTERM, stop_loop, l->loop);
    log_warn("serving without a configuration: decisions are not audited",
             {"listen", LOG_CSTR(http_server_address(l->server, 0))});
    loop_run(l->loop);
    http_server_free(l->server);
    router_release(&l->z.routes);
    loop_free(l->loop);
    return OK;
}

int cmd_run(struct daemon *d, int argc, char **argv)
{
    struct cmd c;
    static struct lone l;
    (void)d;
    if (!cmd_parse(&c, argc, argv)) {
        return 1;
    }
    struct str *paths = arena_array(&c.a, struct str, c.n_args + c.n_paths + 1);
    size_t n = 0;
    for (size_t i = 0; i < c.n_args; i++) {
        paths[n++] = str_of(c.args[i]);
    }
    for (size_t i = 0; i < c.n_paths; i++) {
        paths[n++] = str_of(c.paths[i]);
    }
    l.config = (struct authz_config){.default_decision = S("/system/main"),
                                     .api_writes = true,
                                     .eval_memory = INT64_C(1) << 30,
                                     .body_max = 256 << 20};
    l.z.config = &l.config;
    uuid4(l.z.id);
    store_init(&l.z.store);
    l.z.store.policy_paths = paths;
    l.z.store.n_policy_paths = n;
    l.z.store.version = cmd_version(&c);
    struct rego_errors errors = {.a = &c.a};
    int code = 1;
    if (!store_load(&l.z.store, &errors)) {
        struct buf b;
        buf_init(&b, 1 << 24);
        rego_errors_write(&b, &errors);
        fprintf(stderr, "error: %.*s\n", STR_FMT(buf_str(&b)));
        buf_release(&b);
    } else {
        struct err e = serve(&l, &c);
        if (failed(e)) {
            fprintf(stderr, "error: %s\n", err_detail());
        }
        code = failed(e);
    }
    store_release(&l.z.store);
    cmd_release(&c);
    return code;
}
