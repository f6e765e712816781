#include "cli/command.h"
#include "cli/domain.h"
#include "cli/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * sextant init: a directory, a configuration, and the keys of a new trust domain.
 *
 * Everything is made from the templates installed in share/sextant/domain, so an operator can read
 * beforehand what she will get.
 */

enum { FIRST_UID = 60500, TEMPLATE_MAX = 1 << 20, INIT_TIMEOUT_MS = 30000 };

static const char usage[] =
    "[--dir DIR] [--trust-domain NAME] [--first-uid N]\n\n"
    "Makes DIR with sextant.yaml, the state folders and the root key of trust domain NAME\n"
    "(default cluster.local). An existing domain is left as it is.\n";

struct init_options {
    const char *dir, *trust_domain;
    uint64_t first_uid;
};

static struct err parse_options(int argc, char **argv, struct init_options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--dir") == 0 && value != NULL) {
            o->dir = value;
        } else if (strcmp(argv[i], "--trust-domain") == 0 && value != NULL) {
            o->trust_domain = value;
        } else if (strcmp(argv[i], "--first-uid") == 0 && value != NULL) {
            TRY(str_to_u64(str_of(value), &o->first_uid));
            ENSURE(o->first_uid >= 1000 && o->first_uid < 65000, ERR_RANGE,
                   "--first-uid %s is not in 1000..64999", value);
        } else {
            FAIL(ERR_INVALID, "unknown argument '%s'", argv[i]);
        }
        i++;
    }
    return OK;
}

static struct err check_trust_domain(const char *name)
{
    size_t n = strlen(name);
    ENSURE(n >= 1 && n <= 255 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-_") == n,
           ERR_INVALID, "trust domain '%s': 1 to 255 of a-z 0-9 . - _", name);
    return OK;
}

/* One template of share/sextant/domain into the domain's directory. */
static struct err write_template(struct arena *a, struct str dir, const char *name, unsigned mode,
                                 const char *const *pairs)
{
    struct str text;
    char *from =
        arena_cstr(a, arena_printf(a, "%.*s/domain/%s", STR_FMT(command_share_dir(a)), name));
    char *to = arena_cstr(a, arena_printf(a, "%.*s/%s", STR_FMT(dir), name));
    TRY(file_read(a, from, TEMPLATE_MAX, &text));
    return template_write(a, to, text, mode, false, pairs);
}

static struct err write_files(struct arena *a, struct str dir, const struct init_options *o)
{
    char *d = arena_cstr(a, dir);
    const char *pairs[2 * 16 + 1] = {"DIR", d, "TRUST_DOMAIN", o->trust_domain};
    size_t n = 4;
    for (size_t i = 0; domain_daemons[i] != NULL; i++) {
        pairs[n++] = arena_cstr(a, arena_printf(a, "UID_%s", domain_daemons[i]));
        pairs[n++] = arena_cstr(a, arena_printf(a, "%u", (unsigned)(o->first_uid + i)));
    }
    pairs[n] = NULL;
    static const char *const dirs[] = {"", "/policies", "/manifests", "/mesh"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        TRY(make_dir(arena_cstr(a, arena_printf(a, "%s%s", d, dirs[i])), 0755, 0));
    }
    TRY(write_template(a, dir, "sextant.yaml", 0644, pairs));
    TRY(write_template(a, dir, "policies/authz.rego", 0644, pairs));
    return write_template(a, dir, "manifests/default-deny.yaml", 0644, pairs);
}

/* Keys are made by the daemon that will hold them, under its own uid. */
static struct err init_daemon(struct arena *a, const struct domain *d, const char *name)
{
    char *program = command_sister(a, arena_cstr(a, arena_printf(a, "sextant-%s", name)));
    char *argv[] = {program, arena_cstr(a, S("--config")), d->config_file, arena_cstr(a, S("init")),
                    NULL};
    uint32_t uid = 0;
    config_uid(d->config, str_of(name), &uid);
    struct process_spec spec = {.argv = argv, .uid = uid, .gid = uid};
    struct process_result result;
    struct buf out, err_out;
    buf_init(&out, 64 * 1024);
    buf_init(&err_out, 64 * 1024);
    struct err e = process_run(&spec, STR_EMPTY, INIT_TIMEOUT_MS, &out, &err_out, &result);
    if (!failed(e) && result.exit_status != 0) {
        e = err_make(ERR_INTERNAL, "%s init: exit %d: %.*s", name, result.exit_status,
                     STR_FMT(str_trim(buf_str(&err_out))));
    }
    buf_release(&out);
    buf_release(&err_out);
    return e;
}

static struct err init_domain(struct arena *a, struct str dir, const struct init_options *o)
{
    struct domain d;
    TRY(check_trust_domain(o->trust_domain));
    TRY(write_files(a, dir, o));
    TRY(domain_open(a, dir, &d));
    struct err e = domain_prepare(a, &d);
    if (!failed(e)) {
        e = init_daemon(a, &d, "crypto");
    }
    domain_release(&d);
    return e;
}

int command_init(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        return command_usage("init", NULL, usage);
    }
    struct init_options o = {.trust_domain = "cluster.local", .first_uid = FIRST_UID};
    if (failed(parse_options(argc, argv, &o))) {
        return command_usage("init", err_detail(), usage);
    }
    struct err e = enter_user_namespace(argc, argv);
    if (failed(e)) {
        return command_fail("init", e);
    }
    struct arena a;
    arena_init(&a, 8 << 20);
    struct str dir = command_domain_dir(&a, o.dir);
    e = init_domain(&a, dir, &o);
    if (failed(e)) {
        arena_release(&a);
        return command_fail("init", e);
    }
    printf("Trust domain %s is ready in %.*s.\n"
           "Next: sextant up%s%.*s\n",
           o.trust_domain, STR_FMT(dir), o.dir != NULL ? " --dir " : "",
           STR_FMT(o.dir != NULL ? dir : STR_EMPTY));
    arena_release(&a);
    return EXIT_OK;
}
