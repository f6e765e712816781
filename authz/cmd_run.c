/* run: the API on its own, for those who start `opa run -s`. No configuration, no audit: said aloud. */
#include "cmd.h"
#include "listen.h"
#include "manage/manage.h"
#include "repl.h"
#include "server/outing.h"

#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/loop/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

struct lone {
    struct authz z;
    struct authz_config config;
    struct loop *loop;
    struct authz_listener *server;
    struct manage *manage; /* NULL: no configuration file */
    bool manage_flushing;
};

/* Whoever runs it by hand may let policies ask anyone. */
static struct str everywhere[] = {STR_INIT("*")};

/* The configuration that flags make. */
static void configure(struct authz_config *z, const struct cmd *c)
{
    *z = (struct authz_config){
        .default_decision = S("/system/main"),
        .authorization_decision = S("/system/authz/allow"),
        .authentication = str_of(c->authentication),
        .authorization = strcmp(c->authorization, "basic") == 0,
        .api_writes = true,
        .eval_memory = INT64_C(1) << 30,
        .body_max = 256 << 20,
        .gzip_body_max = 512 << 20,
        .gzip_min = 1024,
        .gzip_level = 9,
        .outbound = {.items = everywhere, .n = 1},
        .outbound_ns = 600 * INT64_C(1000000000),
        .outbound_body_max = 64 << 20,
        .outbound_cache = 64 << 20,
        .outbound_insecure = true,
        .tls_cert = str_of(c->tls_cert),
        .tls_key = str_of(c->tls_key),
        .tls_ca = str_of(c->tls_ca),
        .tls_refresh_ns = c->tls_refresh_ns,
    };
}

static void flushed(void *ctx)
{
    struct lone *l = ctx;
    loop_stop(l->loop);
}

/* The last decision logs leave before the loop ends; a second signal does not wait. */
static void stop_loop(void *ctx)
{
    struct lone *l = ctx;
    struct manage *m = l->manage;
    l->manage_flushing = m != NULL && !l->manage_flushing;
    if (l->manage_flushing) {
        manage_flush(m, flushed, l);
    } else {
        loop_stop(l->loop);
    }
}

/* --config-file, --set and --set-file; NULL when there are none of them. */
static struct err read_settings(struct cmd *c, struct settings **out)
{
    struct str text = STR_EMPTY;
    size_t n = 0;
    *out = NULL;
    if (c->config == NULL && c->set.n == 0 && c->set_file.n == 0) {
        return OK;
    }
    struct settings_set *sets =
        arena_array(&c->a, struct settings_set, c->set.n + c->set_file.n + 1);
    for (size_t i = 0; i < c->set.n; i++) {
        sets[n++] = (struct settings_set){c->set.v[i], false};
    }
    for (size_t i = 0; i < c->set_file.n; i++) {
        sets[n++] = (struct settings_set){c->set_file.v[i], true};
    }
    if (c->config != NULL) {
        TRY(bundle_read_file(&c->a, str_of(c->config), &text));
    }
    struct settings *s = calloc(1, sizeof *s);
    BUG_ON(s == NULL);
    settings_init(s);
    struct err e = settings_read(s, text, sets, n);
    if (failed(e)) {
        settings_release(s);
        free(s);
        return e;
    }
    *out = s;
    return OK;
}

static struct err start_manage(struct lone *l, struct cmd *c)
{
    struct settings *s;
    struct manage_opts o = {.skip_verify = c->skip_verify};
    TRY(read_settings(c, &s));
    return s == NULL ? OK : manage_new(l->loop, &l->z, s, &o, &l->manage);
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

/* What was given, or the one by default. */
static const struct str *addresses_of(struct arena *a, const struct flag_list *given,
                                      const char *def, size_t *n)
{
    *n = given->n > 0 ? given->n : def != NULL;
    struct str *v = arena_array(a, struct str, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        v[i] = address_of(a, given->n > 0 ? given->v[i] : def);
    }
    return v;
}

static struct err serve(struct lone *l, struct cmd *c)
{
    struct authz_listen_opts o = {
        .unix_mode = c->unix_perm != NULL ? (unsigned)strtoul(c->unix_perm, NULL, 8) : 0,
        .no_h2c = !c->h2c,
    };
    o.addresses = addresses_of(&c->a, &c->addr, "localhost:8181", &o.n_addresses);
    o.diagnostic = addresses_of(&c->a, &c->diagnostic_addr, NULL, &o.n_diagnostic);
    TRY(loop_new(&l->loop));
    authz_routes(&l->z);
    router_add(&l->z.routes, "GET", "/healthz", common_health, NULL);
    TRY(start_manage(l, c));
    TRY(authz_listen(&l->z, l->loop, &o, &l->server));
    loop_on_signal(l->loop, SIGINT, stop_loop, l);
    loop_on_signal(l->loop, SIGTERM, stop_loop, l);
    log_warn("serving without a configuration: decisions are not audited",
             {"listen", LOG_CSTR(authz_listener_address(l->server))});
    loop_run(l->loop);
    authz_listener_free(l->server);
    manage_free(l->manage);
    outings_release(&l->z);
    loop_free(l->loop);
    return OK;
}

static const struct flag flags[] = {
    {"server", 's', FLAG_BOOL, CMD(server), NULL, "serve the REST API", NULL, NULL},
    {"addr", 'a', FLAG_WORDS, CMD(addr), "ADDRS",
     "where to listen: [HOST]:PORT or unix://PATH; else localhost:8181", NULL, NULL},
    {"diagnostic-addr", 0, FLAG_WORDS, CMD(diagnostic_addr), "ADDRS",
     "where to serve health and metrics alone", NULL, NULL},
    {"authentication", 0, FLAG_CHOICE, CMD(authentication), "SCHEME", "who asks", "token,tls,off",
     "off"},
    {"authorization", 0, FLAG_CHOICE, CMD(authorization), "SCHEME",
     "basic: ask data.system.authz.allow about every request", "basic,off", "off"},
    {"tls-cert-file", 0, FLAG_TEXT, CMD(tls_cert), "FILE", "certificate chain of the server", NULL,
     NULL},
    {"tls-private-key-file", 0, FLAG_TEXT, CMD(tls_key), "FILE", "its private key", NULL, NULL},
    {"tls-ca-cert-file", 0, FLAG_TEXT, CMD(tls_ca), "FILE", "CA certificates of clients", NULL,
     NULL},
    {"tls-cert-refresh-period", 0, FLAG_TIME, CMD(tls_refresh_ns), "TIME",
     "how often these files are looked at", NULL, "5s"},
    {"min-tls-version", 0, FLAG_CHOICE, CMD(tls_min), "VERSION", "1.2 at least, in any case",
     "1.0,1.1,1.2,1.3", "1.2"},
    {"unix-socket-perm", 0, FLAG_TEXT, CMD(unix_perm), "MODE", "permissions of unix sockets", NULL,
     "755"},
    {"h2c", 0, FLAG_BOOL, CMD(h2c), NULL, "HTTP/2 without TLS", NULL, NULL},
    {"persist", 0, FLAG_TEXT, CMD(persist), "FILE",
     "keep what is written over the API in this file, across restarts", NULL, NULL},
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
    configure(&l.config, c);
    authz_init(&l.z, &l.config);
    uuid4(l.z.id);
    l.z.store.policy_paths = all_paths(c, &l.z.store.n_policy_paths);
    l.z.store.version = cmd_version(c);
    struct rego_errors errors = {.a = &c->a};
    int code = 1;
    bool loaded = store_load(&l.z.store, &errors);
    struct err kept = loaded ? store_keep(&l.z.store, c->persist, &errors) : OK;
    if (failed(kept) && errors.n == 0) {
        fprintf(stderr, "error: %s\n", err_detail());
    } else if (!loaded || failed(kept)) {
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
    authz_release(&l.z);
    return code;
}

static void set_log(const struct cmd *c)
{
    bool text = strcmp(c->log_format, "text") == 0;
    enum log_level least = strcmp(c->log_level, "debug") == 0   ? LOG_DEBUG
                           : strcmp(c->log_level, "error") == 0 ? LOG_ERROR
                                                                : LOG_INFO;
    log_setup("authz", least, text ? LOG_TEXT : LOG_JSON);
}

int cmd_run(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    bool shell = !c->server && !c->addr.set && c->config == NULL && c->set.n + c->set_file.n == 0;
    if (!shell) {
        set_log(c);
    }
    code = shell ? repl_run(c) : run_server(c);
    cmd_free(c);
    return code;
}
