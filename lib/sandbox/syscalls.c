/*
 * The seccomp allow-list (seccomp(2), by libseccomp). A system call is refused with EPERM unless a row
 * here, or the profile's own list, lets it through; some rows look at arguments. What only an intruder
 * calls ends the process.
 */
#include "sandbox_priv.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Memory, time, waiting, and descriptors that are already open: all that SANDBOX_STDIO leaves. */
static const int calls_stdio[] = {
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(readv),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(brk),
    SCMP_SYS(mlock),
    SCMP_SYS(mlock2),
    SCMP_SYS(munlock),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(getrandom),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(recvfrom),
    SCMP_SYS(sendto),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(uname),
    SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(membarrier),
    SCMP_SYS(sched_getaffinity),
};

/* Files (which ones, Landlock and the uid decide), the event loop, and its threads. */
static const int calls_daemon[] = {
    SCMP_SYS(openat),
    SCMP_SYS(open),
    SCMP_SYS(creat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(statx),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getdents64),
    SCMP_SYS(getcwd),
    SCMP_SYS(fcntl),
    SCMP_SYS(flock),
    SCMP_SYS(fsync),
    SCMP_SYS(fdatasync),
    SCMP_SYS(sync_file_range),
    SCMP_SYS(ftruncate),
    SCMP_SYS(truncate),
    SCMP_SYS(fallocate),
    SCMP_SYS(fadvise64),
    SCMP_SYS(rename),
    SCMP_SYS(renameat),
    SCMP_SYS(renameat2),
    SCMP_SYS(unlink),
    SCMP_SYS(unlinkat),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir),
    SCMP_SYS(link),
    SCMP_SYS(linkat),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(umask),
    SCMP_SYS(statfs),
    SCMP_SYS(fstatfs),
    SCMP_SYS(utimensat),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(preadv),
    SCMP_SYS(pwritev),
    SCMP_SYS(copy_file_range),
    SCMP_SYS(sendfile),
    SCMP_SYS(dup),
    SCMP_SYS(dup2),
    SCMP_SYS(dup3),
    SCMP_SYS(pipe),
    SCMP_SYS(pipe2),
    SCMP_SYS(eventfd2),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(inotify_init1),
    SCMP_SYS(inotify_add_watch),
    SCMP_SYS(inotify_rm_watch),
    SCMP_SYS(accept),
    SCMP_SYS(accept4),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(set_tid_address),
    SCMP_SYS(sched_getparam),
    SCMP_SYS(sched_getscheduler),
    SCMP_SYS(sched_get_priority_max),
    SCMP_SYS(sched_get_priority_min),
    SCMP_SYS(getgroups),
    SCMP_SYS(getresuid),
    SCMP_SYS(getresgid),
    SCMP_SYS(capget),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getpgrp),
    SCMP_SYS(getpgid),
    SCMP_SYS(getsid),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
};

static const int calls_exec[] = {
    SCMP_SYS(execve),  SCMP_SYS(fork),        SCMP_SYS(vfork),
    SCMP_SYS(wait4),   SCMP_SYS(waitid),      SCMP_SYS(kill),
    SCMP_SYS(tgkill),  SCMP_SYS(pidfd_open),  SCMP_SYS(pidfd_send_signal),
    SCMP_SYS(setpgid), SCMP_SYS(setsid),      SCMP_SYS(chdir),
    SCMP_SYS(fchdir),  SCMP_SYS(arch_prctl),  SCMP_SYS(prlimit64),
    SCMP_SYS(prctl),   SCMP_SYS(close_range),
};

static const int calls_attest[] = {SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal)};

/* The sanitizers' runtime, while it reports; see sandbox.h. */
static const int calls_sanitizer[] = {
    SCMP_SYS(openat), SCMP_SYS(readlink),    SCMP_SYS(readlinkat), SCMP_SYS(newfstatat),
    SCMP_SYS(prctl),  SCMP_SYS(personality), SCMP_SYS(getcwd),     SCMP_SYS(tgkill),
};

static const int calls_fatal[] = {
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(fsconfig),
    SCMP_SYS(fspick),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(acct),
    SCMP_SYS(settimeofday),
    SCMP_SYS(clock_settime),
    SCMP_SYS(adjtimex),
    SCMP_SYS(clock_adjtime),
    SCMP_SYS(iopl),
    SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(keyctl),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(quotactl),
};

/* The first failure stays; rows are added one after the other and checked once at the end. */
struct rules {
    scmp_filter_ctx ctx;
    int rc;
};

static void add(struct rules *r, uint32_t action, int call, unsigned n,
                const struct scmp_arg_cmp *args)
{
    if (r->rc == 0) {
        int rc = seccomp_rule_add_array(r->ctx, action, call, n, args);
        r->rc =
            rc == -EDOM || rc == -EEXIST ? 0 : rc; /* not a call of this machine; there already */
    }
}

static void allow(struct rules *r, int call)
{
    add(r, SCMP_ACT_ALLOW, call, 0, NULL);
}

static void allow_list(struct rules *r, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        allow(r, calls[i]);
    }
}

/* Executable code was mapped before the sandbox; programs that are executed map theirs, not writable. */
static void allow_memory(struct rules *r, bool exec)
{
    const struct scmp_arg_cmp no_exec[] = {SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)};
    const struct scmp_arg_cmp no_write[] = {SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_WRITE, 0)};
    add(r, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_exec);
    add(r, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_exec);
    if (exec) {
        add(r, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_write);
    }
}

static void allow_socket(struct rules *r, uint64_t domain, uint64_t type)
{
    const struct scmp_arg_cmp args[] = {
        SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)domain),
        SCMP_A1_32(SCMP_CMP_MASKED_EQ, 0xf, (uint32_t)type),
    };
    add(r, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, args);
}

static void allow_network(struct rules *r, const struct sandbox_profile *p)
{
    unsigned f = p->flags;
    /* Landlock keeps a late listener to its ports; where it is not entered, listeners come early */
    bool late_bind =
        (f & SANDBOX_INET_LISTEN) != 0 && p->bind_ports != NULL && (f & SANDBOX_ATTEST) == 0;
    if ((f & SANDBOX_INET_CONNECT) != 0 || late_bind) {
        allow_socket(r, AF_INET, SOCK_STREAM);
        allow_socket(r, AF_INET6, SOCK_STREAM);
    }
    if ((f & SANDBOX_INET_DGRAM) != 0) {
        allow_socket(r, AF_INET, SOCK_DGRAM);
        allow_socket(r, AF_INET6, SOCK_DGRAM);
    }
    if ((f & (SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT)) != 0) {
        allow_socket(r, AF_UNIX, SOCK_STREAM);
        allow_socket(r, AF_UNIX, SOCK_DGRAM);
    }
    if ((f & SANDBOX_NETLINK) != 0) {
        const struct scmp_arg_cmp netfilter[] = {
            SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK),
            SCMP_A2_32(SCMP_CMP_EQ, NETLINK_NETFILTER),
        };
        const struct scmp_arg_cmp route[] = {
            SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK),
            SCMP_A2_32(SCMP_CMP_EQ, NETLINK_ROUTE),
        };
        add(r, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, netfilter);
        add(r, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2, route);
    }
    if ((f & (SANDBOX_INET_CONNECT | SANDBOX_INET_DGRAM | SANDBOX_UNIX_CONNECT |
              SANDBOX_NETLINK)) != 0) {
        allow(r, SCMP_SYS(connect));
    }
    if (late_bind || (f & (SANDBOX_INET_DGRAM | SANDBOX_UNIX_LISTEN | SANDBOX_NETLINK)) != 0) {
        allow(r, SCMP_SYS(bind));
        allow(r, SCMP_SYS(listen));
    }
}

/* Threads, but no process: clone3 hides its flags behind a pointer, so libc is sent back to clone. */
static void allow_threads(struct rules *r, const struct sandbox_profile *p)
{
    const struct scmp_arg_cmp thread[] = {
        SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)};
    const uint64_t spaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC |
                            CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
    const struct scmp_arg_cmp process[] = {SCMP_A0_64(SCMP_CMP_MASKED_EQ, spaces, 0)};
    bool exec = (p->flags & SANDBOX_EXEC) != 0;
    add(r, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, exec ? process : thread);
    add(r, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);
    add(r, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0, NULL);
}

static void allow_by_argument(struct rules *r, const struct sandbox_profile *p)
{
    static const unsigned long ioctls[] = {FIONREAD, FIONBIO,    FIOCLEX,
                                           FIONCLEX, TIOCGWINSZ, 0x5401};
    for (size_t i = 0; i < ARRAY_LEN(ioctls); i++) {
        const struct scmp_arg_cmp request[] = {SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)ioctls[i])};
        add(r, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1, request);
    }
    const struct scmp_arg_cmp name[] = {SCMP_A0_32(SCMP_CMP_EQ, PR_SET_NAME)};
    const struct scmp_arg_cmp read_limit[] = {SCMP_A2_64(SCMP_CMP_EQ, 0)};
    const struct scmp_arg_cmp pair[] = {SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX)};
    if ((p->flags & SANDBOX_EXEC) == 0) {
        add(r, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, name);
        add(r, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1, read_limit);
    }
    add(r, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, pair);
}

/* abort() and raise(): a signal to nobody but this process. */
static void allow_abort(struct rules *r)
{
    const struct scmp_arg_cmp self[] = {SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)getpid())};
    add(r, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self);
}

static void add_rules(struct rules *r, const struct sandbox_profile *p)
{
    for (size_t i = 0; i < ARRAY_LEN(calls_fatal); i++) {
        add(r, SCMP_ACT_KILL_PROCESS, calls_fatal[i], 0, NULL);
    }
    allow_list(r, calls_stdio, ARRAY_LEN(calls_stdio));
    allow_memory(r, (p->flags & SANDBOX_EXEC) != 0);
    if ((p->flags & SANDBOX_EXEC) != 0) {
        allow_list(r, calls_exec, ARRAY_LEN(calls_exec));
    } else {
        allow_abort(r);
    }
    if (SANDBOX_SANITIZED) {
        allow_list(r, calls_sanitizer, ARRAY_LEN(calls_sanitizer));
    }
    if ((p->flags & SANDBOX_ATTEST) != 0) {
        allow_list(r, calls_attest, ARRAY_LEN(calls_attest));
    }
    if ((p->flags & SANDBOX_STDIO) != 0) {
        return;
    }
    allow_list(r, calls_daemon, ARRAY_LEN(calls_daemon));
    allow_by_argument(r, p);
    allow_threads(r, p);
    allow_network(r, p);
    for (size_t i = 0; i < SANDBOX_EXTRA_MAX && p->extra_syscalls[i] != 0; i++) {
        allow(r, p->extra_syscalls[i]);
    }
}

struct err syscalls_enter(const struct sandbox_profile *p)
{
    struct rules r = {.ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM))};
    ENSURE(r.ctx != NULL, ERR_IO, "sandbox: seccomp_init failed");
    r.rc = seccomp_attr_set(r.ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r.rc == 0) {
        r.rc = seccomp_attr_set(r.ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* binary search */
    }
    if (r.rc == 0) {
        r.rc = seccomp_attr_set(r.ctx, SCMP_FLTATR_CTL_TSYNC, 1); /* threads of libraries too */
    }
    add_rules(&r, p);
    if (r.rc == 0) {
        r.rc = seccomp_load(r.ctx);
    }
    seccomp_release(r.ctx);
    ENSURE(r.rc == 0, ERR_IO, "sandbox: seccomp filter: %s", strerror(-r.rc));
    return OK;
}
