#include "git.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS_MAX = 40, PIECE = 64 * 1024 };

static const char *const quiet[] = {"-c",
                                    "core.fsmonitor=false",
                                    "-c",
                                    "core.hooksPath=/dev/null",
                                    "-c",
                                    "safe.directory=*",
                                    "-c",
                                    "core.quotePath=false",
                                    "--no-optional-locks",
                                    "--no-replace-objects"};

static struct err find_git(const char **out)
{
    static const char *const places[] = {"/usr/bin/git", "/usr/local/bin/git", "/bin/git"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (access(places[i], X_OK) == 0) {
            *out = places[i];
            return OK;
        }
    }
    FAIL(ERR_NOT_FOUND, "git is not installed, so history cannot be read");
}

static struct err start(const char *dir, const char *const *args, pid_t *pid, int *fd)
{
    static char *const env[] = {(char *)(uintptr_t) "LC_ALL=C",
                                (char *)(uintptr_t) "GIT_CONFIG_NOSYSTEM=1",
                                (char *)(uintptr_t) "GIT_CONFIG_GLOBAL=/dev/null",
                                (char *)(uintptr_t) "GIT_TERMINAL_PROMPT=0",
                                (char *)(uintptr_t) "PATH=/usr/bin:/bin",
                                NULL};
    const char *argv[ARGS_MAX] = {"git"}, *file;
    size_t n = 1;
    int out[2];
    TRY(find_git(&file));
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++) {
        argv[n++] = quiet[i];
    }
    argv[n++] = "-C";
    argv[n++] = dir;
    for (size_t i = 0; args[i] != NULL; i++) {
        BUG_ON(n + 1 >= ARGS_MAX);
        argv[n++] = args[i];
    }
    ENSURE(pipe2(out, O_CLOEXEC) == 0, ERR_IO, "no pipe for git: %s", strerror(errno));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawn(pid, file, &actions, NULL, (char *const *)(uintptr_t)argv, env);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    if (rc != 0) {
        close(out[0]);
        FAIL(ERR_IO, "cannot start git: %s", strerror(rc));
    }
    *fd = out[0];
    return OK;
}

static struct err pump(int fd, git_output fn, void *ctx)
{
    int64_t deadline = clock_mono_ns() + GIT_TIMEOUT_MS * NS_PER_MS;
    static char piece[PIECE];
    for (;;) {
        int64_t left = (deadline - clock_mono_ns()) / NS_PER_MS;
        struct pollfd p = {fd, POLLIN, 0};
        ENSURE(left > 0, ERR_TIMEOUT, "git took longer than %d minutes", GIT_TIMEOUT_MS / 60000);
        if (poll(&p, 1, (int)left) <= 0) {
            continue;
        }
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n == 0) {
            return OK;
        }
        ENSURE(n > 0 || errno == EINTR, ERR_IO, "reading from git: %s", strerror(errno));
        if (n > 0) {
            TRY(fn(ctx, str_n(piece, (size_t)n)));
        }
    }
}

struct err git_run(const char *dir, const char *const *args, git_output fn, void *ctx)
{
    pid_t pid;
    int fd, status = 0;
    TRY(start(dir, args, &pid, &fd));
    struct err e = pump(fd, fn, ctx);
    close(fd);
    if (failed(e)) {
        kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    TRY(e);
    ENSURE(WIFEXITED(status) && WEXITSTATUS(status) == 0, ERR_IO, "git %s failed in %s", args[0],
           dir);
    return OK;
}

static struct err ignore_output(void *ctx, struct str piece)
{
    (void)ctx, (void)piece;
    return OK;
}

bool git_is_repository(const char *dir)
{
    static const char *const args[] = {"rev-parse", "--git-dir", NULL};
    return !failed(git_run(dir, args, ignore_output, NULL));
}

/* --- objects ----------------------------------------------------------------------------------- */

void git_objects_init(struct git_objects *g, size_t max,
                      void (*on_blob)(void *, struct str, struct str), void *ctx)
{
    *g = (struct git_objects){.on_blob = on_blob, .ctx = ctx, .max = max};
    buf_init(&g->head, 256);
    buf_init(&g->content, max);
}

void git_objects_release(struct git_objects *g)
{
    buf_release(&g->head);
    buf_release(&g->content);
}

/* "OID TYPE SIZE": what comes next, and whether anybody wants it. */
static struct err begin_object(struct git_objects *g)
{
    struct str rest = buf_str(&g->head), oid = str_split(&rest, ' '), type = str_split(&rest, ' ');
    uint64_t size;
    ENSURE(oid.n > 0 && oid.n <= GIT_OID_MAX && rest.p != NULL &&
               !failed(str_to_u64(rest, &size)) && size < UINT64_MAX,
           ERR_SYNTAX, "'%.*s' is no header of an object", STR_FMT(buf_str(&g->head)));
    memcpy(g->oid, oid.p, oid.n);
    g->oid[oid.n] = '\0';
    bool blob = str_is(type, "blob");
    g->wanted = blob && size <= g->max;
    g->blobs += blob;
    g->passed_over += blob && !g->wanted;
    g->left = size + 1;
    g->in_object = true;
    buf_clear(&g->content);
    buf_clear(&g->head);
    return OK;
}

static void end_object(struct git_objects *g)
{
    if (g->wanted) {
        g->on_blob(g->ctx, str_of(g->oid), buf_str(&g->content));
    }
    g->in_object = false;
}

struct err git_objects_feed(struct git_objects *g, struct str piece)
{
    while (piece.n > 0) {
        if (!g->in_object) {
            size_t end = str_find_char(piece, '\n');
            buf_puts(&g->head, str_sub(piece, 0, end == STR_NPOS ? piece.n : end));
            TRY(buf_check(&g->head));
            if (end == STR_NPOS) {
                return OK;
            }
            piece = str_sub(piece, end + 1, piece.n);
            TRY(begin_object(g));
            continue;
        }
        size_t take = (size_t)MIN((uint64_t)piece.n, g->left);
        size_t keep = take == g->left ? take - 1 : take; /* all but the newline after the object */
        if (g->wanted) {
            buf_put(&g->content, piece.p, keep);
        }
        g->left -= take;
        piece = str_sub(piece, take, piece.n);
        if (g->left == 0) {
            end_object(g);
        }
    }
    return OK;
}
