/*
 * Landlock: files, TCP ports, and the reach of signals and abstract sockets (landlock(7)).
 *
 * The packaged kernel headers end at ABI 2, so the structures and the newer bits are defined here
 * and masked by the ABI of the running kernel: 1 files, 2 refer, 3 truncate, 4 TCP ports,
 * 5 device ioctl, 6 scopes.
 */
#include "sandbox_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

struct ll_ruleset {
    uint64_t fs, net, scoped;
};

struct ll_path {
    uint64_t allowed;
    int32_t fd;
} __attribute__((packed));

struct ll_port {
    uint64_t allowed, port;
};

enum { LL_RULE_PATH = 1, LL_RULE_PORT = 2, LL_CREATE_VERSION = 1 };
enum { LL_BIND_TCP = 1, LL_CONNECT_TCP = 2 };
enum { LL_SCOPE_ABSTRACT = 1, LL_SCOPE_SIGNAL = 2 };

#define LL_EXECUTE (UINT64_C(1) << 0)
#define LL_WRITE_FILE (UINT64_C(1) << 1)
#define LL_READ_FILE (UINT64_C(1) << 2)
#define LL_READ_DIR (UINT64_C(1) << 3)
#define LL_REMOVE_DIR (UINT64_C(1) << 4)
#define LL_REMOVE_FILE (UINT64_C(1) << 5)
#define LL_MAKE_DIR (UINT64_C(1) << 7)
#define LL_MAKE_REG (UINT64_C(1) << 8)
#define LL_MAKE_SOCK (UINT64_C(1) << 9)
#define LL_REFER (UINT64_C(1) << 13)
#define LL_TRUNCATE (UINT64_C(1) << 14)

#define LL_RO (LL_READ_FILE | LL_READ_DIR)
#define LL_RW                                                                                      \
    (LL_RO | LL_WRITE_FILE | LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_DIR | LL_MAKE_REG |          \
     LL_MAKE_SOCK | LL_REFER | LL_TRUNCATE)
#define LL_ON_FILE (LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE)

int sandbox_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LL_CREATE_VERSION);
    return abi > 0 ? (int)abi : 0;
}

/* All file rights this kernel knows are handled: what no rule names is refused. */
static uint64_t fs_rights(int abi)
{
    static const unsigned bits[] = {0, 13, 14, 15, 15, 16};
    unsigned n = abi < (int)ARRAY_LEN(bits) ? bits[abi] : 16;
    return (UINT64_C(1) << n) - 1;
}

static uint64_t net_rights(const struct sandbox_profile *p, int abi)
{
    bool any_port = (p->flags & SANDBOX_INET_CONNECT) != 0 && p->connect_ports == NULL;
    if (abi < 4) {
        return 0;
    }
    return LL_BIND_TCP | (any_port ? 0 : LL_CONNECT_TCP);
}

static struct err allow_path(int ruleset, const char *path, uint64_t rights, bool must_exist)
{
    struct stat st;
    struct ll_path rule = {.allowed = rights, .fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.fd < 0 && errno == ENOENT && !must_exist) {
        return OK;
    }
    ENSURE(rule.fd >= 0, ERR_NOT_FOUND, "sandbox: %s: %s", path, strerror(errno));
    if (fstat(rule.fd, &st) == 0 && !S_ISDIR(st.st_mode)) {
        rule.allowed &= LL_ON_FILE;
    }
    long rc = syscall(SYS_landlock_add_rule, ruleset, LL_RULE_PATH, &rule, 0);
    int saved = errno;
    close(rule.fd);
    ENSURE(rc == 0, ERR_IO, "sandbox: landlock rule for %s: %s", path, strerror(saved));
    return OK;
}

static struct err allow_paths(int ruleset, const char *const *paths, uint64_t rights,
                              bool must_exist)
{
    for (size_t i = 0; paths != NULL && paths[i] != NULL; i++) {
        ENSURE(i < SANDBOX_PATHS_MAX, ERR_LIMIT, "sandbox: over %d paths", SANDBOX_PATHS_MAX);
        TRY(allow_path(ruleset, paths[i], rights, must_exist));
    }
    return OK;
}

/* What libc opens behind every program's back; none of it is anybody's secret. */
static struct err allow_common(int ruleset, uint64_t handled)
{
    static const char *const read_only[] = {"/dev/urandom",
                                            "/etc/localtime",
                                            "/usr/share/zoneinfo",
                                            "/etc/ssl/openssl.cnf",
                                            "/etc/resolv.conf",
                                            "/etc/hosts",
                                            "/etc/nsswitch.conf",
                                            "/etc/gai.conf",
                                            "/etc/host.conf",
                                            "/proc/sys/vm/overcommit_memory",
                                            NULL};
    static const char *const read_write[] = {"/dev/null", NULL};
    static const char *const sanitizer[] = {"/proc/self", "/proc/cpuinfo", NULL};
    TRY(allow_paths(ruleset, read_only, LL_RO & handled, false));
    TRY(allow_paths(ruleset, read_write, (LL_READ_FILE | LL_WRITE_FILE) & handled, false));
    return allow_paths(ruleset, SANDBOX_SANITIZED ? sanitizer : NULL, LL_RO & handled, false);
}

static struct err allow_ports(int ruleset, const uint16_t *ports, uint64_t right)
{
    for (size_t i = 0; ports != NULL && ports[i] != 0; i++) {
        ENSURE(i < SANDBOX_PORTS_MAX, ERR_LIMIT, "sandbox: over %d ports", SANDBOX_PORTS_MAX);
        struct ll_port rule = {.allowed = right, .port = ports[i]};
        ENSURE(syscall(SYS_landlock_add_rule, ruleset, LL_RULE_PORT, &rule, 0) == 0, ERR_IO,
               "sandbox: landlock rule for port %u: %s", ports[i], strerror(errno));
    }
    return OK;
}

static struct err add_rules(int ruleset, const struct sandbox_profile *p,
                            const struct ll_ruleset *handled)
{
    if ((p->flags & SANDBOX_STDIO) == 0) {
        TRY(allow_common(ruleset, handled->fs));
    }
    TRY(allow_paths(ruleset, p->paths_rw, LL_RW & handled->fs, true));
    TRY(allow_paths(ruleset, p->paths_ro, LL_RO & handled->fs, false));
    if ((p->flags & SANDBOX_EXEC) != 0) {
        TRY(allow_paths(ruleset, p->paths_exec, (LL_RO | LL_EXECUTE) & handled->fs, false));
    }
    if ((handled->net & LL_BIND_TCP) != 0) {
        TRY(allow_ports(ruleset, p->bind_ports, LL_BIND_TCP));
    }
    if ((handled->net & LL_CONNECT_TCP) != 0 && (p->flags & SANDBOX_INET_CONNECT) != 0) {
        TRY(allow_ports(ruleset, p->connect_ports, LL_CONNECT_TCP));
    }
    return OK;
}

struct err landlock_enter(const struct sandbox_profile *p, struct sandbox_report *r)
{
    int abi = sandbox_landlock_abi();
    r->landlock_abi = abi;
    if (abi == 0 || (p->flags & SANDBOX_ATTEST) != 0) {
        return OK;
    }
    struct ll_ruleset handled = {
        .fs = fs_rights(abi),
        .net = net_rights(p, abi),
        .scoped = abi >= 6 ? LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL : 0,
    };
    size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
    int fd = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
    ENSURE(fd >= 0, ERR_IO, "sandbox: landlock ruleset: %s", strerror(errno));
    struct err e = add_rules(fd, p, &handled);
    if (!failed(e) && syscall(SYS_landlock_restrict_self, fd, 0) != 0) {
        e = err_make(ERR_IO, "sandbox: landlock: %s", strerror(errno));
    }
    close(fd);
    TRY(e);
    r->files = true;
    r->tcp_ports = handled.net != 0;
    r->scoped = handled.scoped != 0;
    return OK;
}
