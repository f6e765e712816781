/*
 * service: the log with everything that hangs on it, without any network: intake with group commit,
 * repeated deliveries, index, detections, alerts, checkpoints.
 *
 * Events of all requests that arrive in one turn of the loop share one sync. service_take puts a
 * request's events into the batch; service_commit makes the batch durable, then indexes it,
 * runs the detections and tells each taker. Findings of the detections become events of the next batch.
 */
#ifndef SEXTANT_AUDIT_SERVICE_H
#define SEXTANT_AUDIT_SERVICE_H

#include "audit/detect/detect.h"
#include "audit/store/ask.h"
#include "audit/tlog/tlog.h"

enum {
    SERVICE_BATCH_EVENTS = 8192, /* more wait for the next sync: takers get ERR_BUSY */
    SERVICE_INTEGRATE = 20000,   /* entries put into the tree at a time */
    SERVICE_EVENTS_PER_TAKE = 4096,
};

struct service;

/* Who delivers: the daemon whose name its events must bear, and the SPIFFE id that is kept in them. */
struct sender {
    struct str producer, spiffe_id;
};

struct service_opts {
    const char *dir; /* state folder */
    struct str origin;
    const struct expectations *expected;
    /* A commit has made events durable, up to `size`; `findings` of them are alerts. NULL ok. */
    void (*committed)(void *ctx, uint64_t size, unsigned findings);
    void (*wake)(void *ctx); /* there is something to commit: call service_commit soon */
    void *ctx;
};

/* Opens or makes the log, replays what index and detections have not seen. */
struct err service_open(const struct service_opts *o, struct service **out);
void service_close(struct service *s); /* saves what makes the next start fast; NULL ok */

/*
 * NDJSON of one sender. All lines are taken, or none: the error's detail begins with the line's number.
 * told(ctx, ...) runs inside a later service_commit, exactly once, unless taken back by
 * service_forget. *n counts the lines.
 */
struct err service_take(struct service *s, struct str ndjson, const struct sender *from,
                        void (*told)(void *ctx, struct err e), void *ctx, unsigned *n);
void service_forget(struct service *s, void *ctx); /* the taker is gone; its events stay */
void service_commit(struct service *s);

/* One step of housekeeping: tree, tiles, saved state. True when there is more to do at once. */
bool service_tick(struct service *s);

/* ---- checkpoints ---- */
bool service_wants_checkpoint(const struct service *s);
/* The text to be signed. */
struct err service_promise(struct service *s, struct checkpoint *c);
struct err service_publish(struct service *s, const struct checkpoint *c,
                           const struct note_key *key, struct str signature);

struct tlog *service_log(struct service *s);
struct index *service_index(struct service *s);
struct ask_source service_source(struct service *s);

/* Indexes of findings after event `after`, at most `cap`. */
struct err service_findings(struct service *s, uint64_t from, uint64_t *out, size_t cap, size_t *n);

struct service_counts {
    uint64_t taken, repeated, refused, commits, findings, sync_ns, sync_max_ns;
    bool disk_full;
};
const struct service_counts *service_counts(const struct service *s);

#endif
