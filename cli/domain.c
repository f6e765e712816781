#include "cli/domain.h"

#include "cli/command.h"
#include "lib/json/json.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const domain_daemons[] = {"audit", "crypto",  "identity", "authz",
                                      "authn", "secrets", "netpol",   NULL};

enum { FILE_MAX = 4 << 20 };

struct err file_read(struct arena *a, const char *path, size_t max, struct str *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size < 0 || (size_t)st.st_size > max) {
        close(fd);
        FAIL(ERR_LIMIT, "%s is larger than %zu bytes", path, max);
    }
    size_t n = (size_t)st.st_size, have = 0;
    char *p = arena_alloc_raw(a, n + 1, 1);
    ssize_t got;
    while (have < n && (got = read(fd, p + have, n - have)) > 0) {
        have += (size_t)got;
    }
    close(fd);
    p[have] = '\0';
    *out = str_n(p, have);
    return OK;
}

struct err make_dir(const char *path, unsigned mode, uid_t uid)
{
    ENSURE(mkdir(path, mode) == 0 || errno == EEXIST, ERR_IO, "cannot make %s: %s", path,
           strerror(errno));
    ENSURE(chown(path, uid, uid) == 0 && chmod(path, mode) == 0, ERR_IO,
           "cannot give %s to uid %u: %s", path, (unsigned)uid, strerror(errno));
    return OK;
}

static struct err write_file(const char *path, struct str text, unsigned mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    ENSURE(fd >= 0, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    ssize_t wrote = write(fd, text.p, text.n);
    bool ok = wrote == (ssize_t)text.n && fsync(fd) == 0;
    close(fd);
    ENSURE(ok, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    return OK;
}

static const char *lookup(const char *const *pairs, struct str name)
{
    for (size_t i = 0; pairs[i] != NULL; i += 2) {
        if (str_is(name, pairs[i])) {
            return pairs[i + 1];
        }
    }
    return NULL;
}

struct err template_write(struct arena *a, const char *path, struct str text, unsigned mode,
                          bool overwrite, const char *const *pairs)
{
    if (!overwrite && access(path, F_OK) == 0) {
        return OK;
    }
    struct buf b;
    buf_init(&b, FILE_MAX);
    while (text.n > 0) {
        size_t at = str_find_char(text, '@');
        size_t end = at != STR_NPOS ? str_find_char(str_sub(text, at + 1, text.n), '@') : STR_NPOS;
        const char *value =
            end != STR_NPOS ? lookup(pairs, str_sub(text, at + 1, at + 1 + end)) : NULL;
        if (value != NULL) {
            buf_puts(&b, str_sub(text, 0, at));
            buf_puts(&b, str_of(value));
            text = str_sub(text, at + end + 2, text.n);
            continue;
        }
        size_t upto = at != STR_NPOS ? at + 1 : text.n;
        buf_puts(&b, str_sub(text, 0, upto));
        text = str_sub(text, upto, text.n);
    }
    struct str done = arena_str(a, buf_str(&b));
    struct err e = buf_check(&b);
    buf_release(&b);
    TRY(e);
    return write_file(path, done, mode);
}

struct err domain_open(struct arena *a, struct str dir, struct domain *out)
{
    struct domain d = {.dir = dir};
    d.config_file = arena_cstr(a, arena_printf(a, "%.*s/sextant.yaml", STR_FMT(dir)));
    ENSURE(access(d.config_file, F_OK) == 0, ERR_NOT_FOUND,
           "no trust domain in %.*s; make one with: sextant init --dir %.*s", STR_FMT(dir),
           STR_FMT(dir));
    TRY(config_load(d.config_file, &d.config));
    d.control_path =
        arena_cstr(a, arena_printf(a, "%.*s/supervisor.sock", STR_FMT(d.config->run_dir)));
    *out = d;
    return OK;
}

void domain_release(struct domain *d)
{
    config_free(d->config);
    d->config = NULL;
}

static uid_t daemon_uid(const struct domain *d, const char *name)
{
    uint32_t uid = 0;
    return config_uid(d->config, str_of(name), &uid) ? (uid_t)uid : 0;
}

struct err domain_prepare(struct arena *a, const struct domain *d)
{
    struct str state = d->config->state_dir, run = d->config->run_dir;
    TRY(make_dir(arena_cstr(a, state), 0711, 0));
    TRY(make_dir(arena_cstr(a, run), 0711, 0));
    TRY(make_dir(arena_cstr(a, arena_printf(a, "%.*s/log", STR_FMT(d->dir))), 0711, 0));
    for (size_t i = 0; domain_daemons[i] != NULL; i++) {
        const char *name = domain_daemons[i];
        uid_t uid = daemon_uid(d, name);
        TRY(make_dir(arena_cstr(a, arena_printf(a, "%.*s/%s", STR_FMT(state), name)), 0700, uid));
        TRY(make_dir(arena_cstr(a, arena_printf(a, "%.*s/%s", STR_FMT(run), name)), 0755, uid));
    }
    return OK;
}

struct str domain_setting(const struct domain *d, const char *name, const char *key,
                          const char *fallback)
{
    struct str value = json_str(json_get(json_get(d->config->root, name), key));
    return value.n > 0 ? value : str_of(fallback);
}

/* netpol writes nftables; identity looks at the programs of callers that run under other uids. */
static unsigned capabilities_of(const char *name)
{
    if (strcmp(name, "netpol") == 0) {
        return 1u << CAP_NET_ADMIN;
    }
    return strcmp(name, "identity") == 0 ? 1u << CAP_SYS_PTRACE : 0;
}

static struct err start_daemon(struct arena *a, const struct domain *d, struct supervisor *s,
                               const char *name)
{
    char *program = command_sister(a, arena_cstr(a, arena_printf(a, "sextant-%s", name)));
    ENSURE(access(program, X_OK) == 0, ERR_NOT_FOUND, "%s is not installed", program);
    char *argv[] = {program, arena_cstr(a, S("--config")), d->config_file, NULL};
    struct unit_spec spec = {
        .name = name,
        .argv = argv,
        .uid = daemon_uid(d, name),
        .keep_caps = capabilities_of(name),
        .address = arena_cstr(a, domain_setting(d, name, "listen", "")),
        .log_path = arena_cstr(a, arena_printf(a, "%.*s/log/%s.log", STR_FMT(d->dir), name)),
    };
    return supervisor_add(s, &spec);
}

struct err domain_start(struct arena *a, const struct domain *d, struct supervisor *s)
{
    for (size_t i = 0; domain_daemons[i] != NULL; i++) {
        if (config_has_section(d->config, domain_daemons[i])) {
            TRY(start_daemon(a, d, s, domain_daemons[i]));
        }
    }
    return OK;
}

struct err enter_user_namespace(int argc, char **argv)
{
    if (geteuid() == 0) {
        return OK;
    }
    ENSURE(getenv("SEXTANT_USERNS") == NULL, ERR_INTERNAL, "not root inside the user namespace");
    struct arena a;
    arena_init(&a, 1 << 20);
    static const char *const head[] = {"unshare", "--user", "--map-root-user", "--map-auto", "--"};
    char **args = arena_array(&a, char *, ARRAY_LEN(head) + (size_t)argc + 2);
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(head); i++) {
        args[n++] = arena_cstr(&a, str_of(head[i]));
    }
    args[n++] = command_sister(&a, "sextant");
    for (int i = 0; i < argc; i++) {
        args[n++] = argv[i];
    }
    setenv("SEXTANT_USERNS", "1", 1);
    execvp(args[0], args);
    int why = errno;
    arena_release(&a);
    FAIL(ERR_UNSUPPORTED,
         "cannot enter a user namespace (%s); install the package uidmap and give yourself "
         "subordinate uids (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME), "
         "or run as root",
         strerror(why));
}
