/*
 * event: one audit event, as OCSF 1.8 JSON on the wire and in the log, and as flat fields for the index,
 * the questions and the detections.
 *
 * Intake gives each line to event_accept: it is parsed, checked against its OCSF class, completed (log
 * name, sequence, logged time, attestation), its sensitive values replaced by keyed digests, and
 * written in canonical form (RFC 8785): those bytes are the leaf of the tree. event_read gives the
 * fields of such bytes, or of a foreign producer's event.
 *
 * What OCSF has no place for (leases, the rule that decided) stands in `unmapped.sextant`.
 */
#ifndef SEXTANT_AUDIT_EVENT_H
#define SEXTANT_AUDIT_EVENT_H

#include "lib/base/secret.h"
#include "lib/json/json.h"

enum {
    EVENT_LINE_MAX = 60 * 1024, /* bytes of one event; a log entry holds 65 535 */
    EVENT_ARENA = 4 << 20,      /* budget of the memory one event is taken apart in */
};

/* Fields by which events are found; each is indexed under its value. */
enum event_field {
    EVENT_USER,
    EVENT_IDENTITY, /* SPIFFE id */
    EVENT_SESSION,
    EVENT_ACCESSOR,
    EVENT_DECISION,
    EVENT_POLICY,
    EVENT_RESOURCE,
    EVENT_SECRET,
    EVENT_KEY,
    EVENT_LEASE,
    EVENT_TRACE,
    EVENT_DAEMON,
    EVENT_ACTIVITY,
    EVENT_UID,
    EVENT_INDEXED, /* fields from here on are not indexed */
    EVENT_RULE = EVENT_INDEXED,
    EVENT_RESOURCE_TYPE,
    EVENT_SOURCE,
    EVENT_NAMESPACE,
    EVENT_REGION,
    EVENT_OUTCOME,
    EVENT_REASON,
    EVENT_TITLE, /* of a finding */
    EVENT_FIELDS
};

extern const char *const event_field_names[EVENT_FIELDS];

struct event {
    struct str field[EVENT_FIELDS]; /* empty when absent */
    int64_t time_ms;                /* when it happened, by its producer */
    int64_t class_uid, activity_id, severity;
};

/* The fields of an event. Slices live as long as `v`. Never fails: what is absent is empty. */
void event_read(const struct json *v, struct event *out);

/* Checks class, required attributes and constraints of OCSF 1.8. ERR_INVALID says which and why. */
struct err event_check(const struct json *v);

/* What the log adds. */
struct event_context {
    struct str origin;   /* of the log */
    struct str producer; /* daemon the peer is; empty: do not check */
    struct str sender;   /* SPIFFE id of the peer, kept in the event; empty: the log itself */
    uint64_t sequence;   /* index the event will have */
    int64_t now_ms;
    const struct secret *hmac_key; /* for sensitive values */
};

/*
 * `line` to log bytes at the end of `out` (no newline) and fields. ERR_SYNTAX, ERR_INVALID, ERR_LIMIT,
 * and ERR_DENIED when the event names another producer than its sender. Nothing is written on failure.
 */
struct err event_accept(struct arena *a, struct str line, const struct event_context *c,
                        struct buf *out, struct event *fields);

/* Is the fingerprint inside a logged event right? ERR_SIGNATURE when not, ERR_NOT_FOUND without one. */
struct err event_check_fingerprint(struct arena *a, struct str logged);

#endif
