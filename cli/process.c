#include "cli/process.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_CANNOT_START = 127, EXIT_TIMEOUT = 124, MAX_ENV = 32 };

static const char safe_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* In the child: complain on what is now standard error and leave. */
NORETURN static void give_up(const char *what)
{
    dprintf(STDERR_FILENO, "cannot start: %s: %s\n", what, strerror(errno));
    _exit(EXIT_CANNOT_START);
}

static void join_netns(pid_t of)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)of);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) {
        give_up("joining a network namespace");
    }
    close(fd);
}

/* Leaves these capabilities, and nothing else, to a process that is no longer root and will exec. */
static void keep_capabilities(unsigned caps)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    data[0].effective = data[0].permitted = data[0].inheritable = caps;
    if (syscall(SYS_capset, &head, data) != 0) {
        give_up("keeping capabilities");
    }
    for (unsigned cap = 0; cap < 32; cap++) {
        if ((caps & 1u << cap) != 0 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0) {
            give_up("keeping capabilities");
        }
    }
}

static void become(uid_t uid, gid_t gid, unsigned caps)
{
    if (uid == 0 && gid == 0) {
        return;
    }
    if (caps != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) {
        give_up("keeping capabilities");
    }
    if (setgroups(0, NULL) != 0 && errno != EPERM) {
        give_up("dropping groups");
    }
    if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) {
        give_up("changing uid");
    }
    if (caps != 0) {
        keep_capabilities(caps);
    }
}

static void redirect_log(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0) {
        give_up(path);
    }
}

static void fill_env(const struct process_spec *spec, char *notify, size_t notify_size, char **env,
                     char *path)
{
    size_t n = 0;
    env[n++] = path;
    if (spec->notify_path != NULL) {
        snprintf(notify, notify_size, "NOTIFY_SOCKET=%s", spec->notify_path);
        env[n++] = notify;
    }
    for (size_t i = 0; spec->extra_env != NULL && spec->extra_env[i] != NULL && n < MAX_ENV; i++) {
        env[n++] = spec->extra_env[i];
    }
    env[n] = NULL;
}

/*
 * Opened before the uid changes: the program may lie below a home directory that other uids cannot
 * enter. Scripts need their path again, so they are found by name as usual.
 */
static int open_program(const char *path)
{
    int fd = strchr(path, '/') != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char magic[4];
    if (fd >= 0 && (read(fd, magic, 4) != 4 || memcmp(magic,
                                                      "\x7f"
                                                      "ELF",
                                                      4) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

NORETURN static void child(const struct process_spec *spec, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (spec->log_path != NULL) {
        redirect_log(spec->log_path); /* while still allowed to */
    }
    int program = open_program(spec->argv[0]);
    if (spec->netns_of != 0) {
        join_netns(spec->netns_of);
    }
    become(spec->uid, spec->gid, spec->keep_caps);
    /* After the change of uid, which would forget it. */
    if (spec->die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) {
        _exit(EXIT_CANNOT_START);
    }
    if (chdir(spec->work_dir != NULL ? spec->work_dir : "/") != 0) {
        give_up("changing directory");
    }
    char notify[160], path[sizeof("PATH=") + sizeof(safe_path)];
    char *env[MAX_ENV + 1];
    snprintf(path, sizeof(path), "PATH=%s", safe_path);
    fill_env(spec, notify, sizeof(notify), env, path);
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    if (program >= 0) {
        syscall(SYS_execveat, program, "", spec->argv, env, AT_EMPTY_PATH);
    }
    execvpe(spec->argv[0], spec->argv, env);
    give_up(spec->argv[0]);
}

struct err process_start(const struct process_spec *spec, pid_t *pid, int *pidfd)
{
    pid_t parent = getpid();
    pid_t p = fork();
    ENSURE(p >= 0, ERR_IO, "fork: %s", strerror(errno));
    if (p == 0) {
        int null = open("/dev/null", O_RDONLY);
        if (null < 0 || dup2(null, STDIN_FILENO) < 0) {
            give_up("/dev/null");
        }
        child(spec, parent);
    }
    int fd = (int)syscall(SYS_pidfd_open, p, 0);
    ENSURE(fd >= 0, ERR_IO, "pidfd_open: %s", strerror(errno));
    *pid = p;
    *pidfd = fd;
    return OK;
}

/* The three ends of a running child's pipes that are ours. */
struct pipes {
    int in, out, err;
    struct str input;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void feed(struct pipes *p)
{
    ssize_t n = p->input.n > 0 ? write(p->in, p->input.p, p->input.n) : 0;
    if (n > 0) {
        p->input = str_sub(p->input, (size_t)n, p->input.n);
    }
    if (p->input.n == 0 || (n < 0 && errno != EAGAIN)) {
        close_fd(&p->in);
    }
}

static void drain(int *fd, struct buf *into)
{
    char bytes[16384];
    ssize_t n = read(*fd, bytes, sizeof(bytes));
    if (n <= 0) {
        close_fd(fd);
        return;
    }
    if (into != NULL && !into->overflow) {
        buf_put(into, bytes, MIN((size_t)n, into->max - into->n));
    }
}

/* Until both outputs are closed, or out of time: false. */
static bool pump(struct pipes *p, struct buf *out, struct buf *err_out, int64_t end_ns)
{
    while (p->out >= 0 || p->err >= 0) {
        struct pollfd fds[3] = {{p->in, POLLOUT, 0}, {p->out, POLLIN, 0}, {p->err, POLLIN, 0}};
        int64_t left = (end_ns - clock_mono_ns()) / NS_PER_MS;
        if (left <= 0) {
            return false;
        }
        if (poll(fds, 3, (int)MIN(left, (int64_t)1000)) <= 0) {
            continue;
        }
        if (fds[0].revents != 0) {
            feed(p);
        }
        if (fds[1].revents != 0) {
            drain(&p->out, out);
        }
        if (fds[2].revents != 0) {
            drain(&p->err, err_out);
        }
    }
    return true;
}

static int exit_status_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct err process_run(const struct process_spec *spec, struct str input, int timeout_ms,
                       struct buf *out, struct buf *err_out, struct process_result *result)
{
    int in[2], o[2], e[2];
    ENSURE(pipe2(in, O_CLOEXEC) == 0 && pipe2(o, O_CLOEXEC) == 0 && pipe2(e, O_CLOEXEC) == 0,
           ERR_IO, "pipe: %s", strerror(errno));
    int64_t start = clock_mono_ns();
    pid_t parent = getpid(), pid = fork();
    ENSURE(pid >= 0, ERR_IO, "fork: %s", strerror(errno));
    if (pid == 0) {
        if (dup2(in[0], 0) < 0 || dup2(o[1], 1) < 0 || dup2(e[1], 2) < 0) {
            _exit(EXIT_CANNOT_START);
        }
        child(spec, parent);
    }
    close(in[0]), close(o[1]), close(e[1]);
    struct pipes p = {in[1], o[0], e[0], input};
    fcntl(p.in, F_SETFL, O_NONBLOCK);
    bool in_time = pump(&p, out, err_out, start + timeout_ms * NS_PER_MS);
    close_fd(&p.in), close_fd(&p.out), close_fd(&p.err);
    if (!in_time) {
        kill(pid, SIGKILL);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    *result = (struct process_result){in_time ? exit_status_of(status) : EXIT_TIMEOUT,
                                      clock_mono_ns() - start};
    return OK;
}

void process_signal(int pidfd, int signo)
{
    syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

static uint64_t field_kb(struct str text, struct str name)
{
    size_t at = str_find(text, name);
    if (at == STR_NPOS) {
        return 0;
    }
    struct str rest = str_trim(str_sub(text, at + name.n, text.n));
    uint64_t kb = 0;
    struct str number = str_split(&rest, ' ');
    ignore_err(str_to_u64(number, &kb));
    return kb;
}

static struct str read_proc(const char *path, char *text, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, cap) : -1;
    if (fd >= 0) {
        close(fd);
    }
    return n > 0 ? str_n(text, (size_t)n) : STR_EMPTY;
}

static void add_memory(uint64_t pid, uint64_t *rss_kb, uint64_t *pss_kb)
{
    char path[64], text[4096];
    snprintf(path, sizeof(path), "/proc/%u/smaps_rollup", (unsigned)pid);
    struct str rollup = read_proc(path, text, sizeof(text));
    *rss_kb += field_kb(rollup, S("\nRss:"));
    *pss_kb += field_kb(rollup, S("\nPss:"));
}

void process_memory(pid_t pid, uint64_t *rss_kb, uint64_t *pss_kb)
{
    char path[64], text[4096];
    *rss_kb = *pss_kb = 0;
    if (pid <= 0) {
        return;
    }
    add_memory((uint64_t)pid, rss_kb, pss_kb);
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    struct str children = str_trim(read_proc(path, text, sizeof(text)));
    while (children.n > 0) {
        uint64_t child;
        if (failed(str_to_u64(str_split(&children, ' '), &child))) {
            return;
        }
        add_memory(child, rss_kb, pss_kb);
    }
}
