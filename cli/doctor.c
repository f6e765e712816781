#include "cli/command.h"
#include "cli/domain.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * sextant doctor: looks for what would stop Sextant on this machine and says what to do about it. Each
 * check is one function; none changes anything.
 */

enum verdict { FINE, WEAK, BROKEN };

struct finding {
    enum verdict verdict;
    char text[256], advice[256];
};

static void say(struct finding *f, enum verdict v, const char *text, const char *advice)
{
    f->verdict = v;
    snprintf(f->text, sizeof(f->text), "%s", text);
    snprintf(f->advice, sizeof(f->advice), "%s", advice);
}

static void check_landlock(struct finding *f)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    char text[64];
    snprintf(text, sizeof(text), "Landlock ABI %ld", abi);
    if (abi <= 0) {
        say(f, WEAK, "the kernel has no Landlock",
            "daemons stay contained by uid and seccomp alone; boot with lsm=landlock,…");
    } else if (abi < 4) {
        say(f, WEAK, text, "TCP ports are limited from ABI 4 (Linux 6.7) on");
    } else {
        say(f, FINE, text, "");
    }
}

static void check_seccomp(struct finding *f)
{
    bool ok = prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
    say(f, ok ? FINE : BROKEN, ok ? "seccomp filters" : "the kernel has no seccomp",
        ok ? "" : "use a kernel with CONFIG_SECCOMP_FILTER");
}

static void check_pidfd(struct finding *f)
{
    int pair[2], fd = -1;
    socklen_t n = sizeof(fd);
    bool ok = false;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        ok = getsockopt(pair[0], SOL_SOCKET, 77 /* SO_PEERPIDFD */, &fd, &n) == 0;
        close(pair[0]);
        close(pair[1]);
    }
    if (fd >= 0) {
        close(fd);
    }
    say(f, ok ? FINE : WEAK,
        ok ? "SO_PEERPIDFD: callers cannot hide behind a reused pid"
           : "no SO_PEERPIDFD (before Linux 6.5)",
        ok ? "" : "workloads are then known by pid and start time");
}

static void check_memlock(struct finding *f)
{
    struct rlimit r;
    bool ok = getrlimit(RLIMIT_MEMLOCK, &r) == 0 && r.rlim_cur >= (rlim_t)1024 * 1024;
    say(f, ok ? FINE : BROKEN,
        ok ? "locked memory for secrets" : "less than 1 MiB of lockable memory",
        ok ? "" : "raise it: ulimit -l 8192, or LimitMEMLOCK= in the unit");
}

static void check_nft(struct finding *f)
{
    static const char *const places[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (access(places[i], X_OK) == 0) {
            say(f, FINE, "nft is installed", "");
            return;
        }
    }
    say(f, BROKEN, "nft is not installed", "apt-get install nftables");
}

static void check_uids(struct finding *f)
{
    if (geteuid() == 0) {
        say(f, FINE, "root: each daemon gets a uid of its own", "");
        return;
    }
    bool tool = access("/usr/bin/newuidmap", X_OK) == 0;
    say(f, tool ? FINE : BROKEN,
        tool ? "newuidmap: daemons run under your subordinate uids"
             : "not root, and newuidmap is not installed",
        tool ? "" : "apt-get install uidmap, or run as root");
}

static void check_programs(struct finding *f)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; domain_daemons[i] != NULL; i++) {
        char *path =
            command_sister(&a, arena_cstr(&a, arena_printf(&a, "sextant-%s", domain_daemons[i])));
        if (access(path, X_OK) != 0) {
            char text[200];
            snprintf(text, sizeof(text), "%.180s is missing", path);
            say(f, BROKEN, text, "install Sextant again: ./run install");
            arena_release(&a);
            return;
        }
    }
    arena_release(&a);
    say(f, FINE, "all programs are installed", "");
}

static void check_domain(struct finding *f)
{
    struct arena a;
    struct domain d;
    arena_init(&a, 8 << 20);
    struct err e = domain_open(&a, command_domain_dir(&a, NULL), &d);
    if (failed(e)) {
        say(f, e.code == ERR_NOT_FOUND ? WEAK : BROKEN, err_detail(), "");
    } else {
        say(f, FINE, "the configuration reads well", "");
        domain_release(&d);
    }
    arena_release(&a);
}

int command_doctor(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        return command_usage("doctor",
                             strcmp(argv[1], "--help") == 0 ? NULL : "no arguments are taken",
                             "\n\nExit 0: nothing stands in the way; 1: something does.\n");
    }
    static void (*const checks[])(struct finding *) = {
        check_programs, check_uids,    check_landlock, check_seccomp,
        check_pidfd,    check_memlock, check_nft,      check_domain,
    };
    static const char *const marks[] = {"ok  ", "weak", "FAIL"};
    bool broken = false;
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        struct finding f = {FINE, "", ""};
        checks[i](&f);
        printf("%s  %s\n", marks[f.verdict], f.text);
        if (f.advice[0] != '\0') {
            printf("      %s\n", f.advice);
        }
        broken |= f.verdict == BROKEN;
    }
    return broken ? EXIT_FAILED : EXIT_OK;
}
