#include "nft.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NFT_ERROR_MAX = 4096 };

struct err nft_find(const char **out)
{
    static const char *const places[] = {"/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (access(places[i], X_OK) == 0) {
            *out = places[i];
            return OK;
        }
    }
    FAIL(ERR_NOT_FOUND, "the nft program is not installed; apt-get install nftables");
}

/* The three pipes of a running nft; our ends do not block. */
struct child {
    pid_t pid;
    int in, out, err;
};

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static struct err start(const char *const *argv, struct child *c)
{
    int in[2], out[2], err[2];
    const char *file;
    TRY(nft_find(&file));
    ENSURE(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0,
           ERR_IO, "no pipe for nft: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_adddup2(&actions, err[1], 2);
    static char *const env[] = {(char *)(uintptr_t) "LC_ALL=C", NULL};
    int rc = posix_spawn(&c->pid, file, &actions, NULL, (char *const *)(uintptr_t)argv, env);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    *c = (struct child){rc == 0 ? c->pid : -1, in[1], out[0], err[0]};
    fcntl(c->in, F_SETFL, O_NONBLOCK);
    if (rc != 0) {
        close_fd(&c->in);
        close_fd(&c->out);
        close_fd(&c->err);
        FAIL(ERR_IO, "cannot start %s: %s", file, strerror(rc));
    }
    return OK;
}

static void feed(struct child *c, struct str *input)
{
    ssize_t n = write(c->in, input->p, input->n);
    if (n > 0) {
        *input = str_sub(*input, (size_t)n, input->n);
    }
    if (input->n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close_fd(&c->in);
    }
}

static void drain(int *fd, struct buf *into)
{
    char piece[16384];
    ssize_t n = read(*fd, piece, sizeof(piece));
    if (n > 0) {
        buf_put(into, piece, (size_t)n);
    } else if (n == 0 || errno != EINTR) {
        close_fd(fd);
    }
}

/* Moves bytes until nft has closed both its outputs. False when time ran out. */
static bool converse(struct child *c, struct str input, struct buf *out, struct buf *err)
{
    int64_t deadline = clock_mono_ns() + NFT_TIMEOUT_MS * NS_PER_MS;
    if (input.n == 0) {
        close_fd(&c->in);
    }
    while (c->out >= 0 || c->err >= 0) {
        int64_t left = (deadline - clock_mono_ns()) / NS_PER_MS;
        struct pollfd fds[3] = {{c->in, POLLOUT, 0}, {c->out, POLLIN, 0}, {c->err, POLLIN, 0}};
        if (left <= 0) {
            return false;
        }
        if (poll(fds, 3, (int)left) < 0 && errno != EINTR) {
            return false;
        }
        if (c->in >= 0 && fds[0].revents != 0) {
            feed(c, &input);
        }
        if (c->out >= 0 && fds[1].revents != 0) {
            drain(&c->out, out);
        }
        if (c->err >= 0 && fds[2].revents != 0) {
            drain(&c->err, err);
        }
    }
    return true;
}

/* First line of what nft said, without the place in a text that nobody can see. */
static struct str complaint(const struct buf *err)
{
    struct str s = str_trim(buf_str(err)), line = str_split(&s, '\n');
    size_t at = str_find(line, S("Error: "));
    return at != STR_NPOS ? str_sub(line, at + 7, line.n) : line;
}

static struct err run(const char *const *argv, struct str input, struct buf *out)
{
    struct child c = {.in = -1, .out = -1, .err = -1};
    struct buf err;
    int status = 0;
    sigset_t pipe_signal, before;
    TRY(start(argv, &c));
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    buf_init(&err, NFT_ERROR_MAX);
    bool in_time = converse(&c, input, out, &err);
    if (!in_time) {
        kill(c.pid, SIGKILL);
    }
    close_fd(&c.in);
    close_fd(&c.out);
    close_fd(&c.err);
    while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR) {
    }
    struct timespec none = {0};
    sigtimedwait(&pipe_signal, NULL, &none); /* a broken pipe of ours must not be delivered later */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    struct err e = OK;
    if (!in_time) {
        e = err_make(ERR_TIMEOUT, "nft took longer than %d s", NFT_TIMEOUT_MS / 1000);
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        struct str said = complaint(&err);
        e = err_make(str_find(said, S("No such file")) != STR_NPOS ? ERR_NOT_FOUND : ERR_INVALID,
                     "nft refused: %.*s", STR_FMT(said));
    }
    buf_release(&err);
    return e;
}

static struct err run_quietly(const char *const *argv, struct str input)
{
    struct buf out;
    buf_init(&out, 65536);
    struct err e = run(argv, input, &out);
    buf_release(&out);
    return e;
}

struct err nft_apply(struct str text)
{
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    return run_quietly(argv, text);
}

struct err nft_check(struct str text)
{
    static const char *const argv[] = {"nft", "--check", "-f", "-", NULL};
    return run_quietly(argv, text);
}

struct err nft_list(struct str table, struct buf *out)
{
    char name[64];
    TRY(str_to_cstr(table, name, sizeof(name)));
    const char *const argv[] = {"nft", "-j", "list", "table", "inet", name, NULL};
    TRY(run(argv, STR_EMPTY, out));
    return buf_check(out);
}

struct err nft_delete(struct str table)
{
    char name[64];
    TRY(str_to_cstr(table, name, sizeof(name)));
    const char *const argv[] = {"nft", "delete", "table", "inet", name, NULL};
    struct err e = run_quietly(argv, STR_EMPTY);
    return e.code == ERR_NOT_FOUND ? OK : e;
}
