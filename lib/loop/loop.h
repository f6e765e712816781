/*
 * loop: the one event loop of a process. Timers, signals, deferred calls, blocking work on a pool
 * of threads, and child processes. Byte streams are in conn.h.
 *
 * Everything runs on the thread that called loop_run; only the `work` half of loop_work runs
 * elsewhere. A daemon has one loop from start to end; a command may make a private one.
 *
 *     struct loop *loop;
 *     TRY(loop_new(&loop));
 *     loop_on_signal(loop, SIGTERM, stop, loop);
 *     timer_start(loop, 1000, 1000, tick, &state);
 *     loop_run(loop);
 *     loop_free(loop);
 */
#ifndef SEXTANT_LOOP_H
#define SEXTANT_LOOP_H

#include "lib/base/err.h"

#include <sys/types.h>

struct loop;

struct err loop_new(struct loop **out);
void loop_run(struct loop *l);  /* until loop_stop, or until nothing is left to wait for */
void loop_stop(struct loop *l); /* makes loop_run return after this turn */
/* Closes whatever is still open (timers, connections, listeners: their close callbacks run). */
void loop_free(struct loop *l);

int64_t loop_now_ms(const struct loop *l); /* monotonic, as of the start of this turn: free */

/* ---- timers ---- */

struct timer;

/*
 * Calls fn(ctx) after `after_ms`, then every `every_ms` (0: once). A one-shot timer is gone when it has
 * fired: do not stop it afterwards; set your pointer to NULL in fn.
 */
struct timer *timer_start(struct loop *l, int64_t after_ms, int64_t every_ms, void (*fn)(void *ctx),
                          void *ctx);
void timer_stop(struct timer *t); /* NULL is fine */
/* The loop may end although this timer is waiting (housekeeping of a library). */
void timer_background(struct timer *t);

/* ---- signals, deferred calls ---- */

void loop_on_signal(struct loop *l, int signo, void (*fn)(void *ctx), void *ctx);

/* Calls fn(ctx) once, after the callback that is running now has returned. Never fails. */
void loop_defer(struct loop *l, void (*fn)(void *ctx), void *ctx);

/* ---- blocking work ---- */

/*
 * Runs work(ctx) on a pool thread, then done(ctx, result) on the loop. `work` touches only what ctx
 * owns. The error it returns travels with its detail: err_detail() is right inside `done`.
 */
struct err loop_work(struct loop *l, struct err (*work)(void *ctx),
                     void (*done)(void *ctx, struct err result), void *ctx);

/* ---- file descriptors and files ---- */

struct watch;

/* Calls fn(ctx) whenever fd is readable. The fd stays the caller's; stop the watch before closing it. */
struct err watch_fd(struct loop *l, int fd, void (*fn)(void *ctx), void *ctx, struct watch **out);
void watch_stop(struct watch *w); /* NULL is fine */

/*
 * Calls fn(ctx) once things under a directory (not below it) or a file have changed and been quiet for
 * 50 ms. ERR_NOT_FOUND, ERR_IO.
 */
struct dir_watch;
struct err dir_watch_start(struct loop *l, const char *path, void (*fn)(void *ctx), void *ctx,
                           struct dir_watch **out);
void dir_watch_stop(struct dir_watch *w); /* NULL is fine */

/* ---- child processes ---- */

struct spawn {
    const char *file;        /* absolute path */
    const char *const *argv; /* NULL-terminated; argv[0] too */
    const char *const *envp; /* NULL-terminated; NULL: empty environment */
    const char *cwd;         /* NULL: unchanged */
    uid_t uid;               /* used when set_ids */
    gid_t gid;
    bool set_ids;
    int fds[8]; /* inherited as 0, 1, 2, ...; -1: /dev/null */
    unsigned n_fds;
    void (*on_exit)(void *ctx, pid_t pid, int status, int signal); /* exit status, or signal != 0 */
    void *ctx;
};

struct err loop_spawn(struct loop *l, const struct spawn *s, pid_t *pid);

#endif
