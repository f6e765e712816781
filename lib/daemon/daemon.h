/*
 * daemon: the skeleton of every main().
 *
 *     static const struct daemon_spec spec = {
 *         .name = "authz", .summary = "policy decisions", .keys = authz_keys,
 *         .section_size = sizeof(struct authz_config), .sandbox = authz_sandbox,
 *         .start = authz_start, .reload = authz_reload, .drain = authz_drain, .stop = authz_stop,
 *         .commands = authz_commands, .needs = DAEMON_NEEDS_AUDIT,
 *     };
 *     int main(int argc, char **argv) { return daemon_main(argc, argv, &spec); }
 *
 * Command line: `sextant-NAME --config FILE` serves; `--check` reads the configuration, says what is
 * wrong and exits; `--help`, `--help-config`, `--version`; `sextant-NAME VERB ...` runs a command.
 * Exit codes: 0 success, 1 failure, 2 wrong usage, 78 wrong configuration (EX_CONFIG).
 *
 * Order of a start: configuration read and checked; state_dir/NAME and run_dir/NAME made (0700 and
 * 0755) and given to the daemon's uid when root; uid and capabilities dropped; start() binds
 * listeners and opens stores; sandbox entered; loop runs; READY=1 is sent to NOTIFY_SOCKET
 * once every dependency (daemon_need) is there. SIGTERM and SIGINT drain. SIGHUP reads the
 * configuration again (the file itself: written in place, since the sandbox knows it by its inode); a
 * wrong one is logged and the old one stays. Older configurations stay valid until the end.
 *
 * Keys every section has beside its own: audit_mode (fail-closed or spool), audit_timeout, log_level
 * (debug, info, warn, error), log_format (text, json). Uid and gid of the sandbox profile are filled in
 * from `uids` when the profile leaves them 0.
 */
#ifndef SEXTANT_DAEMON_H
#define SEXTANT_DAEMON_H

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/config/config.h"
#include "lib/sandbox/sandbox.h"
#include "lib/telemetry/audit.h"

struct daemon;
struct dependency;
struct http_client;
struct http_req;
struct loop;
struct router;
struct svid_source;

enum daemon_needs {
    DAEMON_NEEDS_AUDIT = 1 << 0, /* d->audit is made; readiness waits for it */
    DAEMON_NEEDS_SVID = 1 << 1,  /* d->svid is made; readiness waits for the first SVID */
    DAEMON_WANTS_SVID = 1 << 2,  /* d->svid is made; readiness does not wait (crypto, audit) */
};

/* A subcommand. argv[0] is its name; the configuration is loaded when `with_config`, else NULL. */
struct daemon_command {
    const char *name, *args, *help;
    int (*run)(struct daemon *d, int argc, char **argv); /* returns the exit code */
    bool with_config;
};

struct daemon_spec {
    const char *name, *summary;
    const struct config_key
        *keys; /* of section `name`; those of every daemon are added: daemon_keys */
    size_t section_size;
    unsigned needs; /* enum daemon_needs */
    /* What the daemon may do, for this configuration; memory from the arena. */
    const struct sandbox_profile *(*sandbox)(struct arena *a, const struct config *c,
                                             const void *section);
    struct err (*check)(struct daemon *d); /* beyond types; for --check and each start; NULL ok */
    struct err (*start)(
        struct daemon *d); /* own uid, before the sandbox: listeners, stores, timers */
    struct err (*reload)(struct daemon *d); /* SIGHUP: d->config and d->section are new; NULL ok */
    void (*drain)(struct daemon *d);        /* stop taking work; NULL: stop at once */
    void (*stop)(struct daemon *d);         /* free everything; NULL ok */
    const struct daemon_command *commands;  /* ends with a zero entry; NULL ok */
};

struct daemon {
    const struct daemon_spec *spec;
    struct loop *loop;
    struct config *config;
    void *section; /* filled in from spec->keys */
    struct str trust_domain;
    const char *state_dir;      /* state_dir/NAME */
    const char *run_dir;        /* run_dir/NAME */
    const char *spiffe_id;      /* spiffe://TD/sextant/NAME */
    struct audit_client *audit; /* by `needs`; else NULL */
    struct svid_source *svid;
    struct http_client *http; /* plain and unix calls to other daemons */
    struct sandbox_report sandboxed;
    void *state;       /* the daemon's own */
    struct arena boot; /* lives as long as the process */
    struct daemon_private *priv;
};

int daemon_main(int argc, char **argv, const struct daemon_spec *spec);

/*
 * For commands that write the daemon's state: makes its folders and takes its uid, as serving does.
 */
struct err daemon_become(struct daemon *d);

/* Gives back memory that only the start needed; serving does it by itself, other roles may. */
void daemon_trim(void);

/* run_dir/OTHER/FILE as "unix:..." */
struct str daemon_socket(struct daemon *d, const char *other, const char *file);
/* The configuration file named on the command line, or the default: for commands that read it themselves. */
const char *daemon_config_path(const struct daemon *d);
/* state_dir/NAME/FILE */
const char *daemon_state_path(struct daemon *d, const char *file);

/* ---- dependencies and readiness ---- */

/* Readiness now waits for `name`, until daemon_have. /healthz lists each with what is wrong. */
struct dependency *daemon_need(struct daemon *d, const char *name);
void daemon_have(struct dependency *dep);
void daemon_lost(struct dependency *dep, const char *why);
bool daemon_ready(const struct daemon *d);

/* Calls attempt(ctx) now and, until it answers retry_done, again after 50 ms, 100 ms, ... 5 s. */
struct retry;
struct retry *daemon_retry(struct daemon *d, void (*attempt)(void *ctx, struct retry *r),
                           void *ctx);
void retry_done(struct retry *r);  /* frees it */
void retry_again(struct retry *r); /* after the back-off */

/* Drain has finished: ends the loop. Called by itself 10 s after SIGTERM. */
void daemon_drained(struct daemon *d);

/* ---- requests ---- */

/* GET /healthz (200 when ready, 503 otherwise; JSON) and GET /metrics. */
void daemon_add_common_routes(struct daemon *d, struct router *r);
/* GET /healthz alone: for those who write /metrics themselves. */
void daemon_add_health_route(struct daemon *d, struct router *r);

/*
 * Who sent this request. Over TLS: the SPIFFE id of the verified certificate. Over a unix socket: the
 * kernel's uid, translated by `uids` to spiffe://TD/sextant/NAME, or to the key itself when that is
 * a SPIFFE id. Where several names share a uid (everything run by one user) the caller
 * may say which it is by the header x-sextant-caller; a name with another uid is refused.
 * ERR_UNAUTHENTICATED when none of this gives a name.
 */
struct caller {
    struct str spiffe_id;
    struct str source; /* "10.0.0.1:4242" or "unix:" */
    pid_t pid;         /* 0 over TCP */
    uid_t uid;         /* (uid_t)-1 over TCP */
};
struct err daemon_caller(const struct daemon *d, const struct http_req *req, struct caller *out);

/* Fills actor_spiffe_id, source_addr and trace of an event. */
void daemon_audit_caller(struct audit_event *e, const struct caller *c, const struct trace *t);

#endif
