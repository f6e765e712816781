/*
 * supervisor: starts the daemons of one trust domain, watches them, starts them again.
 *
 * Each unit is one process: a daemon under its own uid, its output in its own log file. A unit tells
 * that it is ready through NOTIFY_SOCKET (sd_notify's protocol); one that dies is started again after
 * a back-off that grows from 50 ms to 5 s and is forgotten after 30 s of life. The supervisor never
 * shares memory or a descriptor with a unit; when it dies, its units are killed by the kernel.
 *
 *     struct supervisor *s;
 *     TRY(supervisor_new("/run/sextant/supervisor.sock", &s));
 *     TRY(supervisor_add(s, &(struct unit_spec){.name = "audit", .argv = argv, .uid = 70101}));
 *     TRY(supervisor_wait_ready(s, 2000));
 *     while (!stopping) supervisor_step(s, 100);
 *     supervisor_free(s);                       stops all units, newest first
 */
#ifndef SEXTANT_CLI_SUPERVISOR_H
#define SEXTANT_CLI_SUPERVISOR_H

#include "lib/base/err.h"

#include <sys/types.h>

enum { SUPERVISOR_MAX_UNITS = 32 };

struct unit_spec {
    const char *name;     /* unique; copied */
    char *const *argv;    /* argv[0] is the program's path; copied */
    const char *log_path; /* appended to; NULL leaves stderr alone */
    const char *address;  /* shown in tables only; may be NULL */
    uid_t uid;            /* the process runs under this uid and gid; 0 stays root */
    pid_t netns_of;       /* joins the network namespace of this process first; 0 = ours */
    unsigned keep_caps;   /* see process.h */
    bool no_restart;      /* a dead unit stays dead (tools, one-shot helpers) */
    bool no_notify;       /* ready as soon as it runs */
};

enum unit_state { UNIT_STARTING, UNIT_READY, UNIT_BACKOFF, UNIT_STOPPED };

struct unit_status {
    const char *name, *address;
    enum unit_state state;
    pid_t pid;
    uid_t uid;
    int64_t ready_ms; /* from start to readiness; -1 while starting */
    unsigned restarts;
    int last_status;         /* wait(2) status of the last death */
    uint64_t rss_kb, pss_kb; /* 0 when the kernel does not tell */
};

struct supervisor;

/* `control_path`: unix socket on which status is served as JSON; NULL for none. */
struct err supervisor_new(const char *control_path, struct supervisor **out);
void supervisor_free(struct supervisor *s); /* SIGTERM, then SIGKILL after 3 s; NULL ok */

struct err supervisor_add(struct supervisor *s, const struct unit_spec *spec);
struct err supervisor_stop_unit(struct supervisor *s, const char *name);
struct err supervisor_kill_unit(struct supervisor *s, const char *name, int signo);

/* Handles what happened within `timeout_ms`: deaths, readiness, restarts, status requests. */
void supervisor_step(struct supervisor *s, int timeout_ms);
/* Until every unit is ready. ERR_TIMEOUT names those that are not and where their log is. */
struct err supervisor_wait_ready(struct supervisor *s, int timeout_ms);

/* The same for one unit. ERR_NOT_FOUND, ERR_TIMEOUT. */
struct err supervisor_wait_unit(struct supervisor *s, const char *name, int timeout_ms);

size_t supervisor_status(struct supervisor *s, struct unit_status *out, size_t cap);
const char *unit_state_name(enum unit_state state);

#endif
