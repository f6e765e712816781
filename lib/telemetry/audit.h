/*
 * audit: the client by which every daemon leaves its events with the audit daemon.
 *
 * An operation that matters emits one event and releases its result only in `done`, after audit has
 * acknowledged that the event is on disk (DESIGN 1, rule 6). Events emitted while a request is on its
 * way travel together in the next one, so one acknowledgement serves many.
 *
 * Wire: POST /v1/events to audit's socket, body NDJSON, one OCSF 1.8 object a line as
 * audit_event_write() makes it; 200 once all lines are durable. What OCSF has no place for stands
 * in `unmapped.sextant`, flat, under the names of the fields below; absent fields are left out:
 *
 *     {"class_uid":6003,"category_uid":6,"activity_id":2,"activity_name":"read","type_uid":600302,
 *      "time":1769850000123,"severity_id":1,"status_id":1,"action_id":1,"message":"...",
 *      "metadata":{"version":"1.8.0","uid":"<uuid>","correlation_uid":"<trace id>",
 *                  "product":{"name":"sextant-secrets","vendor_name":"Sextant"}},
 *      "actor":{"user":{"uid":"ana","type_id":1},"app_uid":"spiffe://..."},
 *      "api":{"operation":"read"},"src_endpoint":{"ip":"10.0.0.1","port":4242},
 *      "resources":[{"type":"secret","uid":"secret/data/pay"}],
 *      "unmapped":{"sextant":{"daemon":"secrets","activity":"read","outcome":"allowed",
 *                  "trace_id":"...","span_id":"...","secret_path":"secret/data/pay",...}}}
 *
 * When audit cannot be reached, AUDIT_FAIL_CLOSED fails each event after `timeout_ms`; AUDIT_SPOOL
 * appends it to a file of its own (fsynced, at most `spool_max` bytes), calls `done` with success, and
 * delivers the file, oldest first, when audit is back. Events are kept in order and are delivered
 * at least once; audit drops repeated metadata.uid.
 */
#ifndef SEXTANT_AUDIT_CLIENT_H
#define SEXTANT_AUDIT_CLIENT_H

#include "lib/base/buf.h"
#include "lib/base/trace.h"

struct audit_client;
struct json;
struct loop;

/* OCSF 1.8 class_uid */
enum ocsf_class {
    OCSF_DETECTION_FINDING = 2004,
    OCSF_INCIDENT_FINDING = 2005,
    OCSF_COMPLIANCE_FINDING = 2003,
    OCSF_ACCOUNT_CHANGE = 3001,
    OCSF_AUTHENTICATION = 3002,
    OCSF_AUTHORIZE_SESSION = 3003,
    OCSF_ENTITY_MANAGEMENT = 3004,
    OCSF_USER_ACCESS = 3005,
    OCSF_NETWORK_ACTIVITY = 4001,
    OCSF_API_ACTIVITY = 6003,
    OCSF_DATASTORE_ACTIVITY = 6005,
    OCSF_REMEDIATION_ACTIVITY = 7001,
};

/* Slices need to live only until audit_emit returns. Empty fields are left out. */
struct audit_event {
    enum ocsf_class class_uid;
    int activity_id;      /* of the class; 99 (other) when 0 */
    const char *activity; /* what was done, in a word: "sign", "login", "decide", "lease.revoke" */
    const char *outcome;  /* "allowed", "denied" or "failed" */
    int severity;         /* OCSF severity_id; 0 means 1 (informational), denials 2 */
    struct str actor_user, actor_spiffe_id, session, token_accessor;
    struct str decision_id, policy_path, policy_rule /* file:row of the rule that decided */;
    struct str resource_type, resource_uid;
    struct str secret_path, key_name, lease_id;
    struct str source_addr; /* "10.0.0.1:4242" or "unix:" */
    struct str namespace, region;
    struct str reason; /* why it was denied or failed; never a secret */
    struct trace trace;
    const struct json *extra; /* object merged into unmapped.sextant; NULL ok */
};

enum audit_mode { AUDIT_FAIL_CLOSED, AUDIT_SPOOL };

enum {
    AUDIT_EVENT_MAX = 64 * 1024,       /* bytes of one line */
    AUDIT_QUEUE_MAX = 4 * 1024 * 1024, /* bytes waiting; over it audit_emit fails with ERR_BUSY */
    AUDIT_BATCH_MAX = 512 * 1024,      /* bytes in one request */
};

struct audit_opts {
    enum audit_mode mode;
    int timeout_ms;    /* 0: 5000 */
    const char *spool; /* AUDIT_SPOOL: file in the daemon's state folder */
    int64_t spool_max; /* 0: 64 MiB */
    const char *
        caller; /* name told to audit when several daemons share a uid; NULL: the daemon's; "": none,
                            the kernel's word about our uid is enough */
    void (*on_state)(void *ctx, bool reachable); /* readiness; NULL ok */
    void *ctx;
};

/* `address` is "unix:/run/sextant/audit/audit.sock". Begins to connect at once. */
struct err audit_client_new(struct loop *loop, struct str address, const char *daemon,
                            const struct audit_opts *opts /* NULL ok */, struct audit_client **out);
void audit_client_free(
    struct audit_client *c); /* waiting events are failed with ERR_CLOSED; NULL ok */

/*
 * `done` is called exactly once, never before audit_emit returns: with success when the event is
 * durable; with an error when it is not, and then the caller must not release its result.
 * `done` may be NULL for events that report and gate nothing.
 */
void audit_emit(struct audit_client *c, const struct audit_event *e,
                void (*done)(void *ctx, struct err), void *ctx);

bool audit_reachable(const struct audit_client *c);
size_t audit_waiting(const struct audit_client *c); /* bytes not yet acknowledged */

/* One line of NDJSON with its newline, as sent; for tests and for audit's own events. */
void audit_event_write(struct buf *out, const struct audit_event *e, const char *daemon);

#endif
