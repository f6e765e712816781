/*
 * process: starting one program under a given uid, in a given network namespace, and looking at it.
 *
 * Used by the supervisor for daemons and by the demo for the clients it plays. A child gets a clean
 * environment, no descriptor but 0, 1 and 2, and dies with its parent when asked to.
 */
#ifndef SEXTANT_CLI_PROCESS_H
#define SEXTANT_CLI_PROCESS_H

#include "lib/base/buf.h"
#include "lib/base/err.h"

#include <sys/types.h>

struct process_spec {
    char *const *argv;      /* argv[0]: path, or a name looked up in PATH */
    char *const *extra_env; /* "NAME=value"…, NULL-terminated; may be NULL */
    uid_t uid;              /* uid and gid to run under; 0 stays as we are */
    gid_t gid;
    pid_t netns_of;          /* join this process's network namespace first; 0 = ours */
    const char *log_path;    /* stdout and stderr are appended here; NULL leaves them */
    const char *notify_path; /* NOTIFY_SOCKET for the child; NULL for none */
    const char *work_dir;    /* NULL is "/" */
    bool die_with_parent;
    unsigned
        keep_caps; /* mask of 1 << CAP_x that survive the change of uid, as ambient capabilities */
};

/* Starts it; `*pidfd` is to be closed by the caller. ERR_IO names the call that failed. */
struct err process_start(const struct process_spec *spec, pid_t *pid, int *pidfd);

struct process_result {
    int exit_status; /* 0..255; 128 + signal when killed; 124 when out of time */
    int64_t wall_ns;
};

/*
 * Runs it to its end with `input` on its standard input and its output in `out` (up to out's
 * maximum; the rest is dropped). `err_out` may be NULL (discarded). Killed after `timeout_ms`.
 */
struct err process_run(const struct process_spec *spec, struct str input, int timeout_ms,
                       struct buf *out, struct buf *err_out, struct process_result *result);

void process_signal(int pidfd, int signo);
/* Resident and proportional set size in KiB, children included; 0 where the kernel refuses or it is gone. */
void process_memory(pid_t pid, uint64_t *rss_kb, uint64_t *pss_kb);

#endif
