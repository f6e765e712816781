/* Blocking work, watched descriptors and directories, child processes. */
#include "loop_priv.h"

#include <stdlib.h>
#include <string.h>

/* ---- pool work ---- */

struct work {
    uv_work_t req;
    struct err (*work)(void *ctx);
    void (*done)(void *ctx, struct err result);
    void *ctx;
    struct err result;
    char *detail; /* owned; of a failure, copied from the pool thread */
};

static void run_work(uv_work_t *req)
{
    struct work *w = container_of(req, struct work, req);
    w->result = w->work(w->ctx);
    if (failed(w->result)) {
        w->detail = strdup(err_detail());
    }
}

static void work_done(uv_work_t *req, int status)
{
    struct work *w = container_of(req, struct work, req);
    struct err result = w->result;
    if (status != 0) {
        result = uv_err(status, "work on the pool");
    } else if (failed(result)) {
        result = err_make(result.code, "%s", w->detail != NULL ? w->detail : "");
    }
    void (*done)(void *, struct err) = w->done;
    void *ctx = w->ctx;
    free(w->detail);
    free(w);
    done(ctx, result);
}

struct err loop_work(struct loop *l, struct err (*work)(void *), void (*done)(void *, struct err),
                     void *ctx)
{
    struct work *w = calloc(1, sizeof(*w));
    ENSURE(w != NULL, ERR_LIMIT, "out of memory for work");
    w->work = work;
    w->done = done;
    w->ctx = ctx;
    int rc = uv_queue_work(&l->uv, &w->req, run_work, work_done);
    if (rc != 0) {
        free(w);
        return uv_err(rc, "thread pool");
    }
    return OK;
}

/* ---- descriptors ---- */

struct watch {
    struct owned owned;
    uv_poll_t uv;
    void (*fn)(void *ctx);
    void *ctx;
};

static void watch_closed(uv_handle_t *h)
{
    free(container_of((uv_poll_t *)h, struct watch, uv));
}

static void watch_close(struct owned *o)
{
    struct watch *w = container_of(o, struct watch, owned);
    uv_close((uv_handle_t *)&w->uv, watch_closed);
}

static void watch_fired(uv_poll_t *h, int status, int events)
{
    struct watch *w = container_of(h, struct watch, uv);
    w->fn(w->ctx);
}

struct err watch_fd(struct loop *l, int fd, void (*fn)(void *), void *ctx, struct watch **out)
{
    struct watch *w = calloc(1, sizeof(*w));
    ENSURE(w != NULL, ERR_LIMIT, "out of memory for a watch");
    w->owned.close = watch_close;
    w->fn = fn;
    w->ctx = ctx;
    int rc = uv_poll_init(&l->uv, &w->uv, fd);
    if (rc != 0) {
        free(w);
        return uv_err(rc, "watch of a descriptor");
    }
    w->uv.data = &w->owned;
    uv_poll_start(&w->uv, UV_READABLE | UV_DISCONNECT, watch_fired);
    *out = w;
    return OK;
}

void watch_stop(struct watch *w)
{
    if (w != NULL && !uv_is_closing((uv_handle_t *)&w->uv)) {
        watch_close(&w->owned);
    }
}

/* ---- directories ---- */

enum { DIR_QUIET_MS = 50 };

struct dir_watch {
    struct owned owned;
    uv_fs_event_t uv;
    struct loop *loop;
    struct timer *quiet;
    void (*fn)(void *ctx);
    void *ctx;
};

static void dir_closed(uv_handle_t *h)
{
    free(container_of((uv_fs_event_t *)h, struct dir_watch, uv));
}

static void dir_close(struct owned *o)
{
    struct dir_watch *w = container_of(o, struct dir_watch, owned);
    timer_stop(w->quiet);
    w->quiet = NULL;
    uv_close((uv_handle_t *)&w->uv, dir_closed);
}

static void dir_settled(void *ctx)
{
    struct dir_watch *w = ctx;
    w->quiet = NULL;
    w->fn(w->ctx);
}

/* Editors and renames make several events of one change; the reader wants the last. */
static void dir_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct dir_watch *w = container_of(h, struct dir_watch, uv);
    timer_stop(w->quiet);
    w->quiet = timer_start(w->loop, DIR_QUIET_MS, 0, dir_settled, w);
}

struct err dir_watch_start(struct loop *l, const char *path, void (*fn)(void *), void *ctx,
                           struct dir_watch **out)
{
    struct dir_watch *w = calloc(1, sizeof(*w));
    ENSURE(w != NULL, ERR_LIMIT, "out of memory for a directory watch");
    w->owned.close = dir_close;
    w->loop = l;
    w->fn = fn;
    w->ctx = ctx;
    uv_fs_event_init(&l->uv, &w->uv);
    w->uv.data = &w->owned;
    int rc = uv_fs_event_start(&w->uv, dir_event, path, 0);
    if (rc != 0) {
        struct err e = uv_err(rc, path);
        dir_close(&w->owned);
        return e;
    }
    *out = w;
    return OK;
}

void dir_watch_stop(struct dir_watch *w)
{
    if (w != NULL && !uv_is_closing((uv_handle_t *)&w->uv)) {
        dir_close(&w->owned);
    }
}

/* ---- child processes ---- */

struct child {
    struct owned owned;
    uv_process_t uv;
    void (*on_exit)(void *ctx, pid_t pid, int status, int signal);
    void *ctx;
};

static void child_closed(uv_handle_t *h)
{
    free(container_of((uv_process_t *)h, struct child, uv));
}

static void child_close(struct owned *o)
{
    struct child *c = container_of(o, struct child, owned);
    uv_close((uv_handle_t *)&c->uv, child_closed);
}

static void child_exited(uv_process_t *h, int64_t status, int signal)
{
    struct child *c = container_of(h, struct child, uv);
    pid_t pid = h->pid;
    child_close(&c->owned);
    if (c->on_exit != NULL) {
        c->on_exit(c->ctx, pid, (int)status, signal);
    }
}

struct err loop_spawn(struct loop *l, const struct spawn *s, pid_t *pid)
{
    BUG_ON(s->n_fds > ARRAY_LEN(s->fds));
    struct child *c = calloc(1, sizeof(*c));
    ENSURE(c != NULL, ERR_LIMIT, "out of memory for a child process");
    c->owned.close = child_close;
    c->on_exit = s->on_exit;
    c->ctx = s->ctx;
    uv_stdio_container_t stdio[ARRAY_LEN(s->fds)];
    for (unsigned i = 0; i < s->n_fds; i++) {
        stdio[i].flags = s->fds[i] < 0 ? UV_IGNORE : UV_INHERIT_FD;
        stdio[i].data.fd = s->fds[i];
    }
    static const char *const nothing[] = {NULL};
    uv_process_options_t o = {
        .file = s->file,
        .args = (char **)(uintptr_t)s->argv,
        .env = (char **)(uintptr_t)(s->envp != NULL ? s->envp : nothing),
        .cwd = s->cwd,
        .flags = s->set_ids ? UV_PROCESS_SETUID | UV_PROCESS_SETGID : 0,
        .uid = s->uid,
        .gid = s->gid,
        .stdio_count = (int)s->n_fds,
        .stdio = stdio,
        .exit_cb = child_exited,
    };
    int rc = uv_spawn(&l->uv, &c->uv, &o);
    c->uv.data = &c->owned;
    if (rc != 0) {
        struct err e = uv_err(rc, s->file);
        child_close(&c->owned);
        return e;
    }
    *pid = c->uv.pid;
    return OK;
}
