/*
 * incident: one run of the runbook against one identity, as steps with what each did and how it is proven.
 *
 * Seven steps (docs/respond.md). Each is idempotent: what is gone already counts as done. The
 * order of the work is not that of the report: access is cut first, everything else follows.
 *
 *     identify     tokens, leases, SVIDs, grants
 *     revoke       the identity is banned; its tokens, leases and grants end
 *     rotate       credentials it could know are replaced, or named as the owner's task
 *     list         every action of the identity, as evidence with proofs
 *     tighten      policy denies it; its entity is disabled
 *     redeploy     a new identity for a clean instance
 *     review       what network and mesh policy let it reach
 */
#ifndef SEXTANT_RESPOND_INCIDENT_H
#define SEXTANT_RESPOND_INCIDENT_H

#include "calls.h"
#include "lib/config/config.h"

enum { STEPS = 7, PROBES_MAX = 256, INCIDENT_ARENA = 512 << 20 };

enum step_id {
    STEP_IDENTIFY,
    STEP_REVOKE,
    STEP_ROTATE,
    STEP_LIST,
    STEP_TIGHTEN,
    STEP_REDEPLOY,
    STEP_REVIEW
};

enum step_state { STEP_PLANNED, STEP_DONE, STEP_PARTIAL, STEP_FAILED };

/* A check, made after the fact through a public interface, that an access is really gone. */
struct probe {
    struct str what, detail;
    bool gone;
};

struct step {
    enum step_state state;
    struct json *details; /* object: what was found or done */
    struct probe probes[PROBES_MAX];
    size_t n_probes;
    struct json *residual;      /* array of strings: risk that is left, with its window */
    int64_t began_ms, ended_ms; /* since the start of the run */
};

struct respond_config {
    struct str secrets, secrets_login, identity, authn, authz, audit, crypto, deny_document,
        netpol_manifests;
    struct str redeploy_hook, mesh_policies;
};

struct incident {
    struct arena *a;
    struct calls calls;
    const struct respond_config *config;
    struct str trust_domain;
    struct str id;           /* of the incident, a UUID */
    struct str identity;     /* SPIFFE id, or a person's name */
    struct str new_identity; /* for step 6; empty: derived */
    bool is_workload, dry_run;
    int64_t began_ns; /* monotonic */
    int64_t began_wall_ns;
    struct step steps[STEPS];
    /* what step 1 found */
    struct str token;          /* of respond itself, at secrets */
    struct json *holdings;     /* of secrets; NULL: none */
    struct json *entries;      /* array: registration entries of the identity */
    struct json *grants;       /* of authn; NULL: none */
    const struct json *denied; /* who authz's policy data names as denied already; NULL: nobody */
    struct json *actions;      /* audit's answer: requests of the identity */
};

extern const char *const step_names[STEPS], *const step_titles[STEPS];

int64_t incident_ms(const struct incident *i); /* since the start */

void step_begin(struct incident *i, enum step_id id);
void step_end(struct incident *i, enum step_id id, bool good);
void step_note(struct incident *i, enum step_id id, const char *key, struct json *value);
void step_note_str(struct incident *i, enum step_id id, const char *key, struct str value);
void step_residual(struct incident *i, enum step_id id, const char *fmt, ...) PRINTF_LIKE(3, 4);
void step_probe(struct incident *i, enum step_id id, bool gone, struct str what, struct str detail);

/* cut.c: steps 1, 2 and 5, in the order that ends access soonest. */
struct err incident_identify(struct incident *i);
void incident_cut(struct incident *i);
void incident_probe(struct incident *i);

/* after.c: steps 3, 4, 6 and 7. */
void incident_rotate(struct incident *i);
void incident_list(struct incident *i);
void incident_redeploy(struct incident *i);
void incident_review(struct incident *i);

/* events.c: what was done, as events of the log. */
void incident_log_revoked(struct incident *i);
void incident_log_steps(struct incident *i);

/* report.c */
void report_json(const struct incident *i, struct buf *out);
void report_markdown(const struct incident *i, struct buf *out);
/* Report, events with proofs, checkpoint and a manifest of digests, in a folder. */
struct err report_bundle(struct incident *i, const char *dir);
bool incident_contained(const struct incident *i);

struct str join_url(struct incident *i, struct str base, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
