#include "daemon_priv.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/http/client.h"
#include "lib/loop/loop.h"
#include "lib/telemetry/telemetry.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DRAIN_MAX_MS = 10000, TRIM_AFTER_MS = 1000, BOOT_ARENA_MAX = 16 << 20 };

#define DEFAULT_CONFIG "/etc/sextant/sextant.yaml"

struct options {
    const char *config;
    bool check, help, help_config, version;
    int first; /* index of the verb, or argc */
};

struct str daemon_socket(struct daemon *d, const char *other, const char *file)
{
    return arena_printf(&d->boot, "unix:%.*s/%s/%s", STR_FMT(d->config->run_dir), other, file);
}

const char *daemon_config_path(const struct daemon *d)
{
    return d->priv->config_path;
}

const char *daemon_state_path(struct daemon *d, const char *file)
{
    return arena_cstr(&d->boot, arena_printf(&d->boot, "%s/%s", d->state_dir, file));
}

/* ---- command line ---- */

static void usage(const struct daemon_spec *s, FILE *to)
{
    fprintf(to,
            "sextant-%s: %s\n\nUsage:\n  sextant-%s [--config FILE] [run]     serve\n"
            "  sextant-%s [--config FILE] --check   check the configuration and exit\n",
            s->name, s->summary, s->name, s->name);
    for (const struct daemon_command *c = s->commands; c != NULL && c->name != NULL; c++) {
        fprintf(to, "  sextant-%s %s %s\n      %s\n", s->name, c->name,
                c->args != NULL ? c->args : "", c->help);
    }
    fprintf(to, "\nOptions: --config FILE (default $SEXTANT_CONFIG or " DEFAULT_CONFIG
                "), --check, --help,\n--help-config (the section's keys), --version\n");
}

static bool parse_options(int argc, char **argv, struct options *o)
{
    const char *env = getenv("SEXTANT_CONFIG");
    *o = (struct options){.config = env != NULL && env[0] != '\0' ? env : DEFAULT_CONFIG};
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            o->config = argv[++i];
        } else if (strncmp(argv[i], "--config=", 9) == 0) {
            o->config = argv[i] + 9;
        } else if (strcmp(argv[i], "--check") == 0) {
            o->check = true;
        } else if (strcmp(argv[i], "--help") == 0) {
            o->help = true;
        } else if (strcmp(argv[i], "--help-config") == 0) {
            o->help_config = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            o->version = true;
        } else {
            return false;
        }
    }
    o->first = i;
    return true;
}

static const struct daemon_command *find_command(const struct daemon_spec *s, const char *name)
{
    for (const struct daemon_command *c = s->commands; c != NULL && c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

static int wrong_config(const struct daemon *d)
{
    fprintf(stderr, "sextant-%s: %s\n", d->spec->name, err_detail());
    return EXIT_CONFIG;
}

static int run_command(struct daemon *d, int argc, char **argv)
{
    const struct daemon_command *c = find_command(d->spec, argv[0]);
    if (c == NULL) {
        fprintf(stderr, "sextant-%s: no command '%s'; try --help\n", d->spec->name, argv[0]);
        return EXIT_USAGE;
    }
    if (c->with_config && failed(daemon_read_config(d))) {
        return wrong_config(d);
    }
    return c->run(d, argc, argv);
}

/* ---- serving ---- */

static void on_audit_state(void *ctx, bool reachable)
{
    struct daemon *d = ctx;
    if (d->priv->audit_dep == NULL) {
        return;
    }
    if (reachable) {
        daemon_have(d->priv->audit_dep);
    } else {
        daemon_lost(d->priv->audit_dep, "audit cannot be reached");
    }
}

/* One of several of its kind goes by the name that `uids` gives its uid: mesh-a, mesh-b. */
static const char *audit_name(struct daemon *d)
{
    uint32_t uid;
    if (config_uid(d->config, str_of(d->spec->name), &uid) && uid == geteuid()) {
        return d->spec->name;
    }
    struct str name = config_uid_name(d->config, geteuid());
    return str_starts(name, str_of(d->spec->name)) ? arena_cstr(&d->boot, name) : d->spec->name;
}

static struct err start_audit(struct daemon *d)
{
    const struct daemon_common *c = d->priv->common;
    if ((d->spec->needs & DAEMON_NEEDS_AUDIT) == 0) {
        return OK;
    }
    /* A name is claimed where the configuration gives it to us; a sidecar is known by its workload's uid alone. */
    uint32_t uid;
    bool named = config_uid(d->config, str_of(d->spec->name), &uid);
    struct audit_opts o = {
        .caller = named ? d->spec->name : "",
        .mode = str_is(c->audit_mode, "spool") ? AUDIT_SPOOL : AUDIT_FAIL_CLOSED,
        .timeout_ms = (int)(c->audit_timeout_ns / NS_PER_MS),
        .spool = daemon_state_path(d, "audit.spool"),
        .on_state = on_audit_state,
        .ctx = d,
    };
    d->priv->audit_dep = daemon_need(d, "audit");
    return audit_client_new(d->loop, daemon_socket(d, "audit", "audit.sock"), audit_name(d), &o,
                            &d->audit);
}

void daemon_drained(struct daemon *d)
{
    loop_stop(d->loop);
}

static void drain_took_too_long(void *ctx)
{
    log_warn("drain took too long; what is left is broken off");
    daemon_drained(ctx);
}

static void on_stop_signal(void *ctx)
{
    struct daemon *d = ctx;
    if (d->priv->draining) {
        daemon_drained(d); /* asked twice: at once */
        return;
    }
    d->priv->draining = true;
    log_info("draining");
    notify_send(d, "STOPPING=1\n");
    if (d->spec->drain == NULL) {
        daemon_drained(d);
        return;
    }
    timer_background(timer_start(d->loop, DRAIN_MAX_MS, 0, drain_took_too_long, d));
    d->spec->drain(d);
}

static void on_reload_signal(void *ctx)
{
    struct daemon *d = ctx;
    struct err e = daemon_read_config(d);
    if (!failed(e) && d->spec->reload != NULL) {
        e = d->spec->reload(d);
    }
    if (failed(e)) {
        log_error("reload failed; the old configuration stays", {"error", LOG_CSTR(err_detail())});
    } else {
        log_info("configuration reloaded");
    }
}

static void log_sandbox(const struct sandbox_report *r)
{
    log_info("sandboxed", {"landlock_abi", LOG_INT(r->landlock_abi)}, {"files", LOG_INT(r->files)},
             {"tcp_ports", LOG_INT(r->tcp_ports)}, {"own_uid", LOG_INT(r->own_uid)},
             {"no_capabilities", LOG_INT(r->no_caps)});
    if (r->landlock_abi == 0) {
        log_warn("this kernel has no Landlock: files are guarded by the uid alone");
    }
}

static struct err become(struct daemon *d, const struct sandbox_profile *p)
{
    bool change = geteuid() == 0 && p->uid != 0;
    umask(0077);
    TRY(daemon_make_folders(d, change ? p->uid : geteuid(),
                            change ? (p->gid != 0 ? p->gid : (gid_t)p->uid) : getegid()));
    notify_open(d);
    return sandbox_become(p);
}

struct err daemon_become(struct daemon *d)
{
    return become(d, daemon_profile(d));
}

static struct err prepare(struct daemon *d)
{
    const struct sandbox_profile *p = daemon_profile(d);
    signal(SIGPIPE, SIG_IGN);
    TRY(become(d, p));
    metrics_init();
    TRY(loop_new(&d->loop));
    loop_on_signal(d->loop, SIGTERM, on_stop_signal, d);
    loop_on_signal(d->loop, SIGINT, on_stop_signal, d);
    loop_on_signal(d->loop, SIGHUP, on_reload_signal, d);
    TRY(http_client_new(d->loop, &(struct http_client_opts){0}, &d->http));
    TRY(start_audit(d));
    TRY(daemon_start_svid(d));
    TRY(d->spec->start(d));
    TRY(sandbox_enter(p, &d->sandboxed));
    log_sandbox(&d->sandboxed);
    return OK;
}

static void finish(struct daemon *d)
{
    if (d->spec->stop != NULL) {
        d->spec->stop(d);
    }
    audit_client_free(d->audit);
    daemon_stop_svid(d);
    http_client_free(d->http);
    loop_free(d->loop);
}

static void trim(void *ctx)
{
    daemon_trim();
}

static int serve(struct daemon *d)
{
    if (failed(daemon_read_config(d))) {
        return wrong_config(d);
    }
    if (failed(prepare(d))) {
        log_error("cannot start", {"error", LOG_CSTR(err_detail())});
        fflush(NULL);
        _exit(1); /* half made things are not worth taking apart */
    }
    d->priv->started = true;
    timer_background(timer_start(d->loop, TRIM_AFTER_MS, 0, trim, NULL));
    daemon_check_ready(d);
    loop_run(d->loop);
    finish(d);
    log_info("stopped");
    return 0;
}

static int check_only(struct daemon *d)
{
    if (failed(daemon_read_config(d))) {
        return wrong_config(d);
    }
    printf("%s: section '%s' is right\n", d->priv->config_path, d->spec->name);
    return 0;
}

static int help_config(struct daemon *d)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    daemon_describe(d, &text);
    fwrite(text.p, 1, text.n, stdout);
    buf_release(&text);
    return 0;
}

/* `run` alone serves; with arguments it is the daemon's own command of that name, if it has one. */
static bool is_command(const struct daemon_spec *s, int argc, char **argv)
{
    bool run = argc > 0 && strcmp(argv[0], "run") == 0;
    return argc > 0 && (!run || (argc > 1 && find_command(s, "run") != NULL));
}

static int dispatch(struct daemon *d, const struct options *o, int argc, char **argv)
{
    if (o->help) {
        usage(d->spec, stdout);
        return 0;
    }
    if (o->version) {
        printf("sextant-%s " SEXTANT_VERSION "\n", d->spec->name);
        return 0;
    }
    if (o->help_config) {
        return help_config(d);
    }
    if (is_command(d->spec, argc - o->first, argv + o->first)) {
        return run_command(d, argc - o->first, argv + o->first);
    }
    return o->check ? check_only(d) : serve(d);
}

int daemon_main(int argc, char **argv, const struct daemon_spec *spec)
{
    struct options o;
    struct daemon_private priv = {.notify_fd = -1};
    struct daemon d = {.spec = spec, .priv = &priv};
    if (!parse_options(argc, argv, &o)) {
        usage(spec, stderr);
        return EXIT_USAGE;
    }
    arena_init(&d.boot, BOOT_ARENA_MAX);
    priv.config_path = o.config;
    int code = dispatch(&d, &o, argc, argv);
    config_free(d.config);
    arena_release(&d.boot);
    return code;
}
