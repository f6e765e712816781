/*
 * demo: the reference story, played on a whole Sextant in a place of its own.
 *
 * `sextant demo` runs as root of private network and mount namespaces (tools/demo makes them). It builds
 * the world (a node, five pods, PostgreSQL, the daemons, two services with their sidecars), then plays
 * steps. A step acts as one client would, from that client's uid and network namespace, with curl and
 * psql, and compares what came back on the wire with what must. The record of all steps is
 * printed as an account and written as JSON.
 *
 * Order of the files: world (who exists) -> client (how they act) -> story_* (what they do) -> record.
 */
#ifndef SEXTANT_DEMO_H
#define SEXTANT_DEMO_H

#include "cli/domain.h"
#include "cli/process.h"
#include "lib/base/clock.h"
#include "lib/base/trace.h"
#include "lib/json/json.h"

enum expect { EXPECT_ALLOW, EXPECT_DENY, EXPECT_DETECT };

/* What a step found. `got` is said in the words of the wire: "403 RBAC: access denied". */
enum outcome { OUTCOME_ALLOWED, OUTCOME_DENIED, OUTCOME_DETECTED, OUTCOME_BROKEN };

struct result {
    enum outcome outcome;
    struct str got;
};

struct demo;

struct step {
    const char *id, *job, *title;
    enum expect expect;
    /* Acts and reports. An error means that the step could not be played at all. */
    struct err (*play)(struct demo *d, struct result *r);
};

struct played {
    const struct step *step;
    struct result result;
    bool ok;
    int64_t ms;
    char trace[33];
};

/* A pod: a network namespace held open by a process that sleeps. */
enum pod_name { POD_A, POD_B, POD_C, POD_DB, POD_CLIENT, POD_MAX };

struct pod {
    const char *name, *labels; /* "app: service-a"; NULL for what is no pod of the cluster */
    const char *ip, *gateway;
    pid_t holder;
    int pidfd;
};

/* Someone who acts: a name for the account, a uid, a place in the network. */
struct actor {
    const char *name;
    uid_t uid;
    enum pod_name pod;
    bool on_node; /* in the node's namespace instead of a pod */
};

enum sabotage {
    SABOTAGE_NONE,
    SABOTAGE_POLICY,
    SABOTAGE_MESH,
    SABOTAGE_NETPOL,
    SABOTAGE_LEASE,
    SABOTAGE_AUDIT
};

enum { DEMO_STEPS_MAX = 128, DEMO_QUESTIONS = 5 };

struct demo {
    struct arena arena;
    struct str dir; /* everything of this run is below it */
    const char *json_file;
    bool keep, chaos;
    enum sabotage sabotage;

    struct domain domain;
    struct supervisor *supervisor;
    struct pod pods[POD_MAX];
    pid_t postgres;
    int postgres_fd;
    int64_t started_ns, story_ns; /* monotonic */

    struct played played[DEMO_STEPS_MAX];
    size_t n_played;
    struct trace trace; /* of the step that is playing */

    /* What the clients hold as the story goes on. Throw-away credentials of a throw-away world. */
    struct str code, code_verifier, access_token, id_token, refresh_token;
    struct str stolen_secrets_token, stolen_db_user, stolen_db_password, stolen_lease;
    struct str
        saboteur; /* password of the database's second administrator; --sabotage lease only */
    struct str request_trace; /* of the request that the five questions are about */

    int64_t contained_ms; /* -1 until measured */
    const struct json *questions, *assessment, *audit;
};

/* ---- world ---- */
struct err world_build(struct demo *d); /* pods, PostgreSQL, daemons, sidecars, services */
void world_tear_down(struct demo *d);
extern const struct actor actor_alice, actor_mallory, actor_service_a, actor_service_b,
    actor_service_c, actor_operator;
/* Path below the demo's directory, as a C string of the arena. */
char *demo_path(struct demo *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- client ---- */
struct answer {
    int status; /* HTTP status; 0 when there was no answer */
    int curl;   /* curl's exit code: 7 refused, 28 timed out, 35/56 TLS refused */
    struct str body, redirect, headers;
};
/*
 * Runs curl as `who` with these arguments (NULL-terminated), following no redirect; sends the step's
 * traceparent. Fails only when curl cannot be run.
 */
struct err client_curl(struct demo *d, const struct actor *who, const char *const *args,
                       struct answer *out);
struct err client_run(struct demo *d, const struct actor *who, const char *const *argv,
                      struct str input, int timeout_ms, int *exit_status, struct str *out,
                      struct str *err_out);
/* SQL through psql as `who`, with a role and password, at the database pod. */
struct err client_psql(struct demo *d, const struct actor *who, struct str user,
                       struct str password, const char *sql, int *exit_status, struct str *out);
/* A sister program, e.g. "sextant-audit", with arguments; its standard output. */
struct err client_sextant(struct demo *d, const char *program, const char *const *args,
                          int *exit_status, struct str *out);
/* "403 access denied" and the like, short and on one line. */
struct str answer_text(struct demo *d, const struct answer *a);
/* 2xx is allowed, 4xx or a refused connection is denied, the rest is broken. */
struct result answer_result(struct demo *d, const struct answer *a);

/* ---- credentials, as a workload gets them ---- */
/* JWT-SVID of `who` for one audience, from the Workload API. */
struct err client_jwt_svid(struct demo *d, const struct actor *who, const char *audience,
                           struct str *out);
/* X.509-SVID of `who`, written to files below `dir` of the demo: svid.0.pem, svid.0.key, bundle.0.pem. */
struct err client_x509_svid(struct demo *d, const struct actor *who, const char *dir,
                            int *exit_status, struct str *said);
/* Logs in to secrets by JWT-SVID; the Vault token. */
struct err client_secrets_login(struct demo *d, const struct actor *who, const char *role,
                                struct str *token);
/* One call to secrets with a token; `body` NULL is a GET. */
struct err client_secrets(struct demo *d, const struct actor *who, struct str token,
                          const char *method, const char *path, const char *body,
                          struct answer *out);
/* A bearer request to service A's door. */
struct err client_report(struct demo *d, struct str token, const char *path, struct answer *out);

/* ---- record ---- */
void record_play(struct demo *d, const struct step *steps, size_t n);
void record_heading(struct demo *d, const char *title);
bool record_ok(const struct demo *d);
struct err record_write(struct demo *d); /* the JSON file and the closing account */

/* ---- the story ---- */
extern const struct step login_steps[], request_steps[], person_denials[], deny_steps[],
    respond_steps[], proof_steps[];
extern const size_t n_login_steps, n_request_steps, n_person_denials, n_deny_steps, n_respond_steps,
    n_proof_steps;

#endif
