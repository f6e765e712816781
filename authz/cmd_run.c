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
    for (size_t i = 0; i < MAX(c->addr.n, (size_t)1); i++) {
        const char *addr = c->addr.n > 0 ? c->addr.v[i] : "127.0.0.1:8181";
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

static const struct flag flags[] = {
    {"server", 's', FLAG_BOOL, CMD(server), NULL, "serve the REST API", NULL, NULL},
    {"addr", 'a', FLAG_WORDS, CMD(addr), "ADDRS",
     "where to listen: [HOST]:PORT or unix://PATH; else localhost:8181", NULL, NULL},
    {"config-file", 'c', FLAG_TEXT, CMD(config), "FILE", "configuration", NULL, NULL},
    {"format", 'f', FLAG_TEXT, CMD(format), "FORMAT", "form of the shell's output", NULL, "pretty"},
    {"watch", 'w', FLAG_BOOL, CMD(watch), NULL, "take over files that change", NULL, NULL},
    ROW_BUNDLE_MODE,
    ROW_IGNORE,
    ROW_MAX_ERRORS,
    {"set", 0, FLAG_LIST, CMD(set), "KEY=VALUE", "a value of the configuration", NULL, NULL},
    {"set-file", 0, FLAG_LIST, CMD(set_file), "KEY=FILE",
     "a value of the configuration, from a file", NULL, NULL},
    {"log-level", 'l', FLAG_CHOICE, CMD(log_level), "LEVEL", "what to log", "debug,info,error",
     "info"},
    {"log-format", 0, FLAG_CHOICE, CMD(log_format), "FORMAT", "form of the log",
     "text,json,json-pretty", "json"},
    {"history", 'H', FLAG_TEXT, CMD(history), "FILE", "file that remembers the shell's lines", NULL,
     NULL},
    {"skip-version-check", 0, FLAG_BOOL, CMD(flag), NULL, NULL, NULL, NULL},
    {"disable-telemetry", 0, FLAG_BOOL, CMD(flag), NULL, NULL, NULL, NULL},
    {"optimize-store-for-read-speed", 0, FLAG_BOOL, CMD(flag), NULL, NULL, NULL, NULL},
    {"skip-known-schema-check", 0, FLAG_BOOL, CMD(flag), NULL, NULL, NULL, NULL},
    {"skip-verify", 0, FLAG_BOOL, CMD(skip_verify), NULL,
     "take bundles without verifying signatures", NULL, NULL},
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {
    "run", "[FILE...]", "Answer the REST API (-s), or start a shell for queries.", flags};

static struct str *all_paths(struct cmd *c, size_t *n)
{
    struct str *paths = arena_array(&c->a, struct str, c->args.n + 1);
    for (*n = 0; *n < c->args.n; (*n)++) {
        paths[*n] = str_of(c->args.v[*n]);
    }
    return paths;
}

static int run_server(struct cmd *c)
{
    static struct lone l;
    l.config = (struct authz_config){.default_decision = S("/system/main"),
                                     .api_writes = true,
                                     .eval_memory = INT64_C(1) << 30,
                                     .body_max = 256 << 20};
    l.z.config = &l.config;
    uuid4(l.z.id);
    store_init(&l.z.store);
    l.z.store.policy_paths = all_paths(c, &l.z.store.n_policy_paths);
    l.z.store.version = cmd_version(c);
    struct rego_errors errors = {.a = &c->a};
    int code = 1;
    if (!store_load(&l.z.store, &errors)) {
        struct buf b;
        buf_init(&b, 1 << 24);
        rego_errors_write(&b, &errors);
        fprintf(stderr, "error: %.*s\n", STR_FMT(buf_str(&b)));
        buf_release(&b);
    } else {
        struct err e = serve(&l, c);
        if (failed(e)) {
            fprintf(stderr, "error: %s\n", err_detail());
        }
        code = failed(e);
    }
    store_release(&l.z.store);
    return code;
}

int cmd_run(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    code = run_server(c);
    cmd_free(c);
    return code;
}
