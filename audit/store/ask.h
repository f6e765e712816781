/*
 * ask: the five questions. Who accessed this, when, which policy allowed it, which secret or lease was
 * used, which workload identity made the call.
 *
 * `of` is any value that stands in an event: a resource, secret path, key name, lease, person, SPIFFE
 * id, token accessor, trace id, policy ... Events that hold it are found, and for each the whole request
 * it was part of: all events with its trace id, from every daemon. So the person who logged in at
 * authn, the rule that authz applied and the lease that secrets gave stand in one row, although no
 * daemon knows all three. A question picks which part of the rows is summed up.
 *
 * A value ending in * asks for all that begin with what is before it; that reads the log, as does an
 * offline folder without index.
 */
#ifndef SEXTANT_AUDIT_ASK_H
#define SEXTANT_AUDIT_ASK_H

#include "audit/event/event.h"
#include "index.h"

enum ask_question { ASK_WHO, ASK_WHEN, ASK_POLICY, ASK_SECRET, ASK_IDENTITY };

enum {
    ASK_LIMIT = 1000, /* requests in an answer unless told */
    ASK_LIMIT_MAX = 100000,
    ASK_TRACE_EVENTS = 512, /* events of one request that are looked at */
    ASK_VALUES = 8,         /* different values of one kind shown for a request */
    ASK_ARENA = 256 << 20,
};

struct ask {
    enum ask_question question;
    struct str of;
    int64_t since_ms, until_ms; /* 0: no bound */
    struct str outcome;         /* empty: any; "allowed", "denied", "failed" */
    struct str daemon;          /* empty: any; of the event that holds the value */
    size_t limit;               /* 0: ASK_LIMIT; the newest are kept */
};

/* Where events come from. `index` may be NULL: then the log is read. */
struct ask_source {
    struct err (*entry)(void *ctx, struct arena *a, uint64_t index, struct str *out);
    void *ctx;
    uint64_t size;
    struct index *index;
};

struct err ask_question_parse(struct str word, enum ask_question *out);

/* Writes the answer as one JSON object (docs/audit.md). ERR_INVALID for an empty `of`. */
struct err ask_answer(const struct ask_source *s, const struct ask *q, struct buf *out);

#endif
