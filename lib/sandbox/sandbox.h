/*
 * sandbox: what a daemon gives up before it reads its first byte from a stranger.
 *
 * sandbox_enter() takes, in this order: the uid and gid of the daemon (when started as root), every
 * capability but those kept, no_new_privs, Landlock (files, TCP ports, signals and abstract
 * sockets, as far as the running kernel knows them), resource limits, and a seccomp allow-list. It is
 * called once, after listeners are bound and files that root owns are open, and is irrevocable.
 *
 * Unlisted system calls give EPERM, so that libraries which probe go on; calls that only an
 * attacker makes (ptrace, bpf, kexec, process_vm_writev, module loading, mount, ...) kill the process.
 *
 * Each daemon's profile is data in <daemon>/sandbox.c, so that the separation test can put an
 * attacker inside exactly what the daemon runs in:
 *
 *     static const char *rw[] = {"/var/lib/sextant/audit", NULL};
 *     struct sandbox_profile p = {.daemon = "audit", .uid = 70106, .gid = 70106, .paths_rw = rw,
 *                                 .flags = SANDBOX_UNIX_LISTEN | SANDBOX_INET_LISTEN};
 *     TRY(sandbox_enter(&p, &report));
 *
 * Sanitized builds (ASan) are relaxed in two places, named in docs/threat-model.md: the runtime may
 * read its own /proc/self, and the leak checker, which must ptrace, is switched off.
 */
#ifndef SEXTANT_SANDBOX_H
#define SEXTANT_SANDBOX_H

#include "lib/base/err.h"

#include <sys/types.h>

enum sandbox_flag {
    SANDBOX_INET_LISTEN = 1 << 0,  /* accept TCP connections; bind only to `bind_ports` */
    SANDBOX_INET_CONNECT = 1 << 1, /* open TCP connections, to `connect_ports` only when given */
    SANDBOX_INET_DGRAM = 1 << 2,   /* UDP: DNS lookups, syslog over UDP */
    SANDBOX_UNIX_LISTEN = 1 << 3,  /* make and serve unix sockets below paths_rw */
    SANDBOX_UNIX_CONNECT = 1 << 4, /* connect to unix sockets (pathnames; abstract only own) */
    SANDBOX_NETLINK = 1 << 5,      /* netfilter netlink (netpol) */
    SANDBOX_EXEC = 1 << 6,         /* fork and exec of files below paths_exec */
    SANDBOX_STDIO = 1 << 7, /* nothing but inherited descriptors: no file, no socket, no thread */
    SANDBOX_TRANSPARENT = 1 << 8, /* getsockopt(SO_ORIGINAL_DST), IP_TRANSPARENT (mesh) */
    SANDBOX_ATTEST = 1 << 9,      /* pidfd_open, and /proc/PID/exe of callers (identity). Landlock
                                      forbids the latter by its nature, so it is not entered: own
                                      uid, capabilities and seccomp hold alone */
};

enum { SANDBOX_EXTRA_MAX = 16, SANDBOX_PATHS_MAX = 64, SANDBOX_PORTS_MAX = 64 };

struct sandbox_profile {
    const char *daemon;            /* for messages */
    uid_t uid;                     /* become this uid; 0, or not started as root: stay */
    gid_t gid;                     /* with that gid and no other group */
    const char *const *paths_rw;   /* NULL-terminated; folders or files; missing ones are errors */
    const char *const *paths_ro;   /* readable; missing ones are skipped */
    const char *const *paths_exec; /* readable and executable */
    const uint16_t *bind_ports;    /* 0-terminated TCP ports, or NULL: none */
    const uint16_t *connect_ports; /* 0-terminated, or NULL: any when SANDBOX_INET_CONNECT */
    unsigned flags;                /* enum sandbox_flag */
    uint64_t keep_caps;            /* bit mask of 1 << CAP_x that stay permitted and effective */
    int extra_syscalls[SANDBOX_EXTRA_MAX]; /* __NR_x beyond what flags imply; 0 ends */
    uint64_t max_open_files;               /* RLIMIT_NOFILE; 0 = leave */
    uint64_t max_file_size;                /* RLIMIT_FSIZE in bytes; 0 = leave */
};

/* What the kernel really enforced, for the log, `sextant doctor` and the separation table. */
struct sandbox_report {
    int landlock_abi;              /* 0: kernel without Landlock */
    bool files, tcp_ports, scoped; /* enforced by Landlock */
    bool seccomp, no_caps, own_uid;
    bool sanitized; /* an ASan build: relaxed as said above */
};

/*
 * The first half alone: uid, groups and capabilities. A daemon calls it before it makes files and
 * sockets, so that they are its own; sandbox_enter repeats it harmlessly.
 */
struct err sandbox_become(const struct sandbox_profile *p);

/*
 * Enters the sandbox; `report` may be NULL. Any failure leaves the process unfit to serve: the
 * caller must exit. A kernel without Landlock is reported, not an error (uid and seccomp hold).
 */
struct err sandbox_enter(const struct sandbox_profile *p, struct sandbox_report *report);

/* Landlock ABI of the running kernel, 0 when it has none. */
int sandbox_landlock_abi(void);

#endif
