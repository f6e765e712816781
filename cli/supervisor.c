#include "cli/supervisor.h"

#include "cli/process.h"
#include "lib/base/buf.h"
#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 5000,
    LIFE_THAT_FORGIVES_MS = 30000,
    STOP_GRACE_MS = 3000,
    NOTIFY_MAX = 4096,
};

struct unit {
    struct unit_spec spec; /* strings owned */
    enum unit_state state;
    pid_t pid;
    int pidfd;
    int64_t started_ns, restart_at_ns;
    int64_t ready_ms;
    int backoff_ms;
    unsigned restarts;
    int last_status;
};

struct supervisor {
    struct unit units[SUPERVISOR_MAX_UNITS];
    size_t n;
    int notify_fd, control_fd;
    char notify_path[108], control_path[108];
};

static struct err make_socket(const char *path, int type, int *out)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    ENSURE(strlen(path) < sizeof(addr.sun_path), ERR_LIMIT,
           "socket path '%s' is longer than %zu bytes; use a shorter directory", path,
           sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ENSURE(fd >= 0, ERR_IO, "socket: %s", strerror(errno));
    unlink(path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || chmod(path, 0666) != 0 ||
        (type == SOCK_STREAM && listen(fd, 16) != 0)) {
        int why = errno;
        close(fd);
        FAIL(ERR_IO, "cannot listen on %s: %s", path, strerror(why));
    }
    *out = fd;
    return OK;
}

struct err supervisor_new(const char *control_path, struct supervisor **out)
{
    struct supervisor *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    s->notify_fd = s->control_fd = -1;
    snprintf(s->control_path, sizeof(s->control_path), "%s", control_path);
    snprintf(s->notify_path, sizeof(s->notify_path), "%.100s.notify", control_path);
    struct err e = make_socket(s->notify_path, SOCK_DGRAM, &s->notify_fd);
    if (!failed(e)) {
        e = make_socket(s->control_path, SOCK_STREAM, &s->control_fd);
    }
    int on = 1;
    if (!failed(e) && setsockopt(s->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) != 0) {
        e = err_make(ERR_IO, "SO_PASSCRED: %s", strerror(errno));
    }
    if (failed(e)) {
        supervisor_free(s);
        return e;
    }
    *out = s;
    return OK;
}

static char **copy_argv(char *const *argv)
{
    size_t n = 0;
    while (argv[n] != NULL) {
        n++;
    }
    char **copy = calloc(n + 1, sizeof(*copy));
    BUG_ON(copy == NULL);
    for (size_t i = 0; i < n; i++) {
        copy[i] = strdup(argv[i]);
        BUG_ON(copy[i] == NULL);
    }
    return copy;
}

static struct err start_unit(struct supervisor *s, struct unit *u)
{
    struct process_spec p = {
        .argv = u->spec.argv,
        .uid = u->spec.uid,
        .gid = u->spec.uid,
        .netns_of = u->spec.netns_of,
        .log_path = u->spec.log_path,
        .notify_path = u->spec.no_notify ? NULL : s->notify_path,
        .keep_caps = u->spec.keep_caps,
        .die_with_parent = true,
    };
    u->started_ns = clock_mono_ns();
    u->ready_ms = u->spec.no_notify ? 0 : -1;
    u->state = u->spec.no_notify ? UNIT_READY : UNIT_STARTING;
    return process_start(&p, &u->pid, &u->pidfd);
}

struct err supervisor_add(struct supervisor *s, const struct unit_spec *spec)
{
    ENSURE(s->n < SUPERVISOR_MAX_UNITS, ERR_LIMIT, "more than %d units", SUPERVISOR_MAX_UNITS);
    struct unit *u = &s->units[s->n];
    *u = (struct unit){.spec = *spec, .pidfd = -1, .backoff_ms = BACKOFF_FIRST_MS};
    u->spec.name = strdup(spec->name);
    u->spec.argv = copy_argv(spec->argv);
    u->spec.log_path = spec->log_path != NULL ? strdup(spec->log_path) : NULL;
    u->spec.address = strdup(spec->address != NULL ? spec->address : "");
    s->n++;
    return start_unit(s, u);
}

static struct unit *find_unit(struct supervisor *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->units[i].spec.name, name) == 0) {
            return &s->units[i];
        }
    }
    return NULL;
}

/* A death: either for good, or back after a pause. */
static void reap_unit(struct unit *u)
{
    if (waitpid(u->pid, &u->last_status, WNOHANG) != u->pid) {
        return;
    }
    close(u->pidfd);
    u->pidfd = -1;
    u->pid = 0;
    if (u->spec.no_restart || u->state == UNIT_STOPPED) {
        u->state = UNIT_STOPPED;
        return;
    }
    int64_t now = clock_mono_ns();
    if (now - u->started_ns > LIFE_THAT_FORGIVES_MS * NS_PER_MS) {
        u->backoff_ms = BACKOFF_FIRST_MS;
    }
    u->restart_at_ns = now + u->backoff_ms * NS_PER_MS;
    u->backoff_ms = MIN(u->backoff_ms * 2, BACKOFF_MAX_MS);
    u->state = UNIT_BACKOFF;
    u->restarts++;
}

static void restart_due(struct supervisor *s)
{
    int64_t now = clock_mono_ns();
    for (size_t i = 0; i < s->n; i++) {
        struct unit *u = &s->units[i];
        if (u->state == UNIT_BACKOFF && u->restart_at_ns <= now && failed(start_unit(s, u))) {
            u->state = UNIT_BACKOFF;
            u->restart_at_ns = now + BACKOFF_MAX_MS * NS_PER_MS;
        }
    }
}

/* The sender's pid comes from the kernel, so a unit can only speak for itself. */
static void read_notifications(struct supervisor *s)
{
    for (;;) {
        char text[NOTIFY_MAX];
        union {
            char bytes[CMSG_SPACE(sizeof(struct ucred))];
            struct cmsghdr align;
        } control;
        struct iovec iov = {text, sizeof(text) - 1};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
        ssize_t n = recvmsg(s->notify_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0) {
            return;
        }
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        if (c == NULL || c->cmsg_type != SCM_CREDENTIALS) {
            continue;
        }
        struct ucred cred;
        memcpy(&cred, CMSG_DATA(c), sizeof(cred));
        for (size_t i = 0; i < s->n; i++) {
            struct unit *u = &s->units[i];
            if (u->pid == cred.pid && u->state == UNIT_STARTING &&
                str_find(str_n(text, (size_t)n), S("READY=1")) != STR_NPOS) {
                u->state = UNIT_READY;
                u->ready_ms = (clock_mono_ns() - u->started_ns) / NS_PER_MS;
            }
        }
    }
}

static void serve_status(struct supervisor *s)
{
    int fd;
    while ((fd = accept4(s->control_fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct unit_status st[SUPERVISOR_MAX_UNITS];
        size_t n = supervisor_status(s, st, ARRAY_LEN(st));
        struct buf b;
        buf_init(&b, 64 * 1024);
        buf_puts(&b, S("["));
        for (size_t i = 0; i < n; i++) {
            buf_printf(
                &b,
                "%s{\"name\":\"%s\",\"state\":\"%s\",\"pid\":%d,\"uid\":%u,\"address\":\"%s\","
                "\"ready_ms\":%lld,\"restarts\":%u,\"rss_kb\":%llu,\"pss_kb\":%llu}",
                i > 0 ? "," : "", st[i].name, unit_state_name(st[i].state), (int)st[i].pid,
                (unsigned)st[i].uid, st[i].address, (long long)st[i].ready_ms, st[i].restarts,
                (unsigned long long)st[i].rss_kb, (unsigned long long)st[i].pss_kb);
        }
        buf_puts(&b, S("]\n"));
        ssize_t wrote = send(fd, b.p, b.n, MSG_NOSIGNAL);
        (void)wrote; /* a reader that left is not our concern */
        buf_release(&b);
        close(fd);
    }
}

/* Milliseconds until the next restart, at most `timeout_ms`. */
static int wait_time(const struct supervisor *s, int timeout_ms)
{
    int64_t now = clock_mono_ns(), left = timeout_ms;
    for (size_t i = 0; i < s->n; i++) {
        if (s->units[i].state == UNIT_BACKOFF) {
            left = MIN(left, MAX((s->units[i].restart_at_ns - now) / NS_PER_MS + 1, (int64_t)0));
        }
    }
    return (int)left;
}

void supervisor_step(struct supervisor *s, int timeout_ms)
{
    struct pollfd fds[SUPERVISOR_MAX_UNITS + 2];
    struct unit *owner[SUPERVISOR_MAX_UNITS + 2];
    nfds_t n = 0;
    fds[n++] = (struct pollfd){s->notify_fd, POLLIN, 0};
    fds[n++] = (struct pollfd){s->control_fd, POLLIN, 0};
    for (size_t i = 0; i < s->n; i++) {
        if (s->units[i].pidfd >= 0) {
            owner[n] = &s->units[i];
            fds[n++] = (struct pollfd){s->units[i].pidfd, POLLIN, 0};
        }
    }
    if (poll(fds, n, wait_time(s, timeout_ms)) > 0) {
        read_notifications(s);
        serve_status(s);
        for (nfds_t i = 2; i < n; i++) {
            if (fds[i].revents != 0) {
                reap_unit(owner[i]);
            }
        }
    }
    restart_due(s);
}

static const struct unit *first_not_ready(const struct supervisor *s)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->units[i].state != UNIT_READY && !s->units[i].spec.no_restart) {
            return &s->units[i];
        }
    }
    return NULL;
}

struct err supervisor_wait_ready(struct supervisor *s, int timeout_ms)
{
    int64_t end = clock_mono_ns() + timeout_ms * NS_PER_MS;
    const struct unit *u;
    while ((u = first_not_ready(s)) != NULL) {
        int64_t left = (end - clock_mono_ns()) / NS_PER_MS;
        ENSURE(left > 0, ERR_TIMEOUT,
               "'%s' is not ready after %d ms (%s, %u restarts); its log is %s", u->spec.name,
               timeout_ms, unit_state_name(u->state), u->restarts,
               u->spec.log_path != NULL ? u->spec.log_path : "above");
        supervisor_step(s, (int)MIN(left, (int64_t)50));
    }
    return OK;
}

struct err supervisor_wait_unit(struct supervisor *s, const char *name, int timeout_ms)
{
    int64_t end = clock_mono_ns() + timeout_ms * NS_PER_MS;
    const struct unit *u = find_unit(s, name);
    ENSURE(u != NULL, ERR_NOT_FOUND, "no unit '%s'", name);
    while (u->state != UNIT_READY) {
        int64_t left = (end - clock_mono_ns()) / NS_PER_MS;
        ENSURE(left > 0, ERR_TIMEOUT, "'%s' is not ready after %d ms; its log is %s", name,
               timeout_ms, u->spec.log_path != NULL ? u->spec.log_path : "above");
        supervisor_step(s, (int)MIN(left, (int64_t)50));
    }
    return OK;
}

size_t supervisor_status(struct supervisor *s, struct unit_status *out, size_t cap)
{
    size_t n = MIN(s->n, cap);
    for (size_t i = 0; i < n; i++) {
        const struct unit *u = &s->units[i];
        out[i] = (struct unit_status){
            .name = u->spec.name,
            .address = u->spec.address,
            .state = u->state,
            .pid = u->pid,
            .uid = u->spec.uid,
            .ready_ms = u->ready_ms,
            .restarts = u->restarts,
            .last_status = u->last_status,
        };
        process_memory(u->pid, &out[i].rss_kb, &out[i].pss_kb);
    }
    return n;
}

const char *unit_state_name(enum unit_state state)
{
    static const char *const names[] = {"starting", "ready", "restarting", "stopped"};
    return names[state];
}

struct err supervisor_kill_unit(struct supervisor *s, const char *name, int signo)
{
    struct unit *u = find_unit(s, name);
    ENSURE(u != NULL, ERR_NOT_FOUND, "no unit '%s'", name);
    if (u->pid > 0) {
        process_signal(u->pidfd, signo);
    }
    return OK;
}

static void wait_dead(struct supervisor *s, int timeout_ms)
{
    int64_t end = clock_mono_ns() + timeout_ms * NS_PER_MS;
    for (;;) {
        bool alive = false;
        for (size_t i = 0; i < s->n; i++) {
            alive |= s->units[i].state == UNIT_STOPPED && s->units[i].pid > 0;
        }
        if (!alive || clock_mono_ns() >= end) {
            return;
        }
        supervisor_step(s, 20);
    }
}

struct err supervisor_stop_unit(struct supervisor *s, const char *name)
{
    struct unit *u = find_unit(s, name);
    ENSURE(u != NULL, ERR_NOT_FOUND, "no unit '%s'", name);
    u->state = UNIT_STOPPED;
    if (u->pid > 0) {
        process_signal(u->pidfd, SIGTERM);
        wait_dead(s, STOP_GRACE_MS);
    }
    if (u->pid > 0) {
        process_signal(u->pidfd, SIGKILL);
        wait_dead(s, STOP_GRACE_MS);
    }
    return OK;
}

static void free_unit(struct unit *u)
{
    for (char *const *arg = u->spec.argv; *arg != NULL; arg++) {
        free(*arg);
    }
    free((void *)(uintptr_t)u->spec.argv);
    free((void *)(uintptr_t)u->spec.name);
    free((void *)(uintptr_t)u->spec.log_path);
    free((void *)(uintptr_t)u->spec.address);
    if (u->pidfd >= 0) {
        close(u->pidfd);
    }
}

void supervisor_free(struct supervisor *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = s->n; i-- > 0;) {
        s->units[i].state = UNIT_STOPPED;
        if (s->units[i].pid > 0) {
            process_signal(s->units[i].pidfd, SIGTERM);
        }
    }
    if (s->n > 0) {
        wait_dead(s, STOP_GRACE_MS);
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->units[i].pid > 0) {
            process_signal(s->units[i].pidfd, SIGKILL);
            waitpid(s->units[i].pid, NULL, 0);
        }
        free_unit(&s->units[i]);
    }
    if (s->notify_fd >= 0) {
        close(s->notify_fd);
        unlink(s->notify_path);
    }
    if (s->control_fd >= 0) {
        close(s->control_fd);
        unlink(s->control_path);
    }
    free(s);
}
