#include "cli/command.h"
#include "cli/domain.h"
#include "cli/table.h"
#include "lib/base/clock.h"
#include "lib/json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* sextant status and sextant env: what runs, and how to reach it. */

enum { STATUS_MAX = 256 * 1024, WAIT_MAX_S = 600, WAIT_STEP_US = 100 * 1000 };

struct options {
    const char *dir;
    bool as_json;
    uint64_t wait_s;
};

static const char status_usage[] =
    "[--dir DIR] [--json] [--wait SECONDS]\n\n"
    "Table of the daemons that `sextant up` watches in DIR. --wait waits until all are ready.\n"
    "Exit 0: all ready; 1: some are not; 3: nothing runs.\n";
static const char env_usage[] =
    "[--dir DIR]\n\n"
    "Prints assignments for a shell: eval \"$(sextant env)\" makes vault, opa, spiffe-helper and\n"
    "friends find this trust domain.\n";

static struct err ask_supervisor(struct arena *a, const struct domain *d, struct str *out)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    TRY(str_to_cstr(str_of(d->control_path), addr.sun_path, sizeof(addr.sun_path)));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ENSURE(fd >= 0, ERR_IO, "socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        FAIL(ERR_UNAVAILABLE, "nothing runs in %.*s; start it with: sextant up", STR_FMT(d->dir));
    }
    struct buf b;
    buf_init(&b, STATUS_MAX);
    char bytes[8192];
    ssize_t n;
    while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
        buf_put(&b, bytes, (size_t)n);
    }
    close(fd);
    *out = arena_str(a, buf_str(&b));
    struct err e = buf_check(&b);
    buf_release(&b);
    return e;
}

static enum unit_state state_of(struct str name)
{
    for (int s = UNIT_STARTING; s <= UNIT_STOPPED; s++) {
        if (str_is(name, unit_state_name((enum unit_state)s))) {
            return (enum unit_state)s;
        }
    }
    return UNIT_STOPPED;
}

static int64_t number(const struct json *unit, const char *key)
{
    int64_t v = 0;
    ignore_err(json_i64(json_get(unit, key), &v));
    return v;
}

static size_t read_units(struct arena *a, const struct json *list, struct unit_status *out,
                         size_t cap)
{
    size_t n = MIN((size_t)list->n, cap);
    for (size_t i = 0; i < n; i++) {
        const struct json *u = list->items[i];
        out[i] = (struct unit_status){
            .name = arena_cstr(a, json_str(json_get(u, "name"))),
            .address = arena_cstr(a, json_str(json_get(u, "address"))),
            .state = state_of(json_str(json_get(u, "state"))),
            .pid = (pid_t)number(u, "pid"),
            .uid = (uid_t)number(u, "uid"),
            .ready_ms = number(u, "ready_ms"),
            .restarts = (unsigned)number(u, "restarts"),
            .rss_kb = (uint64_t)number(u, "rss_kb"),
            .pss_kb = (uint64_t)number(u, "pss_kb"),
        };
    }
    return n;
}

struct snapshot {
    struct str text;
    struct unit_status units[SUPERVISOR_MAX_UNITS];
    size_t n;
};

static struct err take_snapshot(struct arena *a, const struct domain *d, struct snapshot *out)
{
    struct json *list;
    TRY(ask_supervisor(a, d, &out->text));
    TRY(json_parse(a, out->text, NULL, &list));
    out->n = read_units(a, list, out->units, ARRAY_LEN(out->units));
    return OK;
}

static bool all_ready(const struct snapshot *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->units[i].state != UNIT_READY) {
            return false;
        }
    }
    return s->n > 0;
}

static int show_status(struct arena *a, const struct domain *d, const struct options *o)
{
    struct snapshot s = {0};
    int64_t end = clock_mono_ns() + (int64_t)o->wait_s * NS_PER_S;
    struct err e = take_snapshot(a, d, &s);
    while ((failed(e) || !all_ready(&s)) && clock_mono_ns() < end) {
        usleep(WAIT_STEP_US);
        e = take_snapshot(a, d, &s);
    }
    if (failed(e)) {
        command_fail("status", e);
        return EXIT_MISSING;
    }
    if (o->as_json) {
        printf("%.*s", STR_FMT(s.text));
    } else {
        table_print_units(stdout, s.units, s.n);
    }
    return all_ready(&s) ? EXIT_OK : EXIT_FAILED;
}

static int show_env(struct arena *a, const struct domain *d)
{
    (void)a;
    struct str run = d->config->run_dir;
    struct str secrets = domain_setting(d, "secrets", "listen", "127.0.0.1:8200");
    struct str authz = domain_setting(d, "authz", "listen", "127.0.0.1:8181");
    struct str authn = domain_setting(d, "authn", "issuer", "https://localhost:9443");
    printf("export SEXTANT_DIR='%.*s'\n", STR_FMT(d->dir));
    printf("export SEXTANT_CONFIG='%s'\n", d->config_file);
    printf("export VAULT_ADDR='https://%.*s'\n", STR_FMT(secrets));
    printf("export VAULT_CACERT='%.*s/identity/bundle.pem'\n", STR_FMT(run));
    printf("export SPIFFE_ENDPOINT_SOCKET='unix://%.*s/identity/workload.sock'\n", STR_FMT(run));
    printf("export OPA_URL='http://%.*s'\n", STR_FMT(authz));
    struct str manifests = domain_setting(d, "netpol", "manifests", "/etc/sextant/manifests");
    printf("export SEXTANT_MANIFESTS='%.*s'\n", STR_FMT(manifests));
    printf("export OIDC_ISSUER='%.*s'\n", STR_FMT(authn));
    return EXIT_OK;
}

static int with_domain(const char *verb, const struct options *o)
{
    struct arena a;
    struct domain d;
    arena_init(&a, 64 << 20);
    struct err e = domain_open(&a, command_domain_dir(&a, o->dir), &d);
    int code = EXIT_MISSING;
    if (failed(e)) {
        command_fail(verb, e);
    } else {
        code = strcmp(verb, "env") == 0 ? show_env(&a, &d) : show_status(&a, &d, o);
        domain_release(&d);
    }
    arena_release(&a);
    return code;
}

static int parse_and_run(const char *verb, const char *usage, int argc, char **argv)
{
    struct options o = {0};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--help") == 0) {
            return command_usage(verb, NULL, usage);
        }
        if (strcmp(argv[i], "--json") == 0) {
            o.as_json = true;
        } else if (strcmp(argv[i], "--dir") == 0 && value != NULL) {
            o.dir = argv[++i];
        } else if (strcmp(argv[i], "--wait") == 0 && value != NULL &&
                   !failed(str_to_u64(str_of(value), &o.wait_s)) && o.wait_s <= WAIT_MAX_S) {
            i++;
        } else {
            return command_usage(verb, "unknown or incomplete argument", usage);
        }
    }
    return with_domain(verb, &o);
}

int command_status(int argc, char **argv)
{
    return parse_and_run("status", status_usage, argc, argv);
}

int command_env(int argc, char **argv)
{
    return parse_and_run("env", env_usage, argc, argv);
}
