/*
 * logs: decisions on their way to a service: gathered, packed into chunks of gzip on a thread of the pool, sent
 * again until the service took them.
 *
 * Events wait in memory (`size`: packed chunks, up to so many bytes; `event`: up to so many events), or, with
 * reporting.persist, in a file that outlives the process: then an event is given up only when the service has it.
 */
#ifndef SEXTANT_AUTHZ_LOGS_H
#define SEXTANT_AUTHZ_LOGS_H

#include "service.h"

enum {
    LOGS_EVENT_MAX = 64 << 20,  /* bytes of one event as JSON */
    LOGS_CHUNK_MAX = 256 << 20, /* bytes of a chunk before it is packed */
    LOGS_CHUNK_EVENTS = 100000, /* events of a chunk */
    LOGS_RETRY_MS = 100,
    LOGS_LEAST_MS = 10, /* between two looks, whatever is configured */
    LOGS_SYNC_MS = 1000,
    LOGS_FLUSH_MS = 5000, /* how long a stop waits for the last upload */
};

/* As upstream counts them; what the status and /metrics show. */
struct logs_counters {
    uint64_t uploaded, upload_failed, dropped_rate, dropped_size, dropped_bytes, encoding_failed,
        nd_dropped, over_limit;
};

struct logs;
struct logs_opts {
    const struct logs_settings *settings; /* outlives the logs */
    struct service *service;              /* NULL: console alone */
    const char *spool;                    /* file of reporting.persist; NULL: none */
    /* After every attempt: NULL, or why it failed; the status of a reply, or 0. */
    void (*attempted)(void *ctx, const char *error, int http_code);
    void *ctx;
};

struct err logs_new(struct loop *l, const struct logs_opts *o, struct logs **out);
void logs_free(struct logs *l); /* NULL is fine; what is not sent is lost, but for a spool */
/* One event as JSON, on one line. Copied. */
void logs_add(struct logs *l, struct str event);
void logs_trigger(struct logs *l); /* sends what there is now */
/* Sends what there is; then, or after LOGS_FLUSH_MS, done(ctx). */
void logs_flush(struct logs *l, void (*done)(void *ctx), void *ctx);
const struct logs_counters *logs_counters(const struct logs *l);
/* How much waits: events of the event buffer, bytes else. */
uint64_t logs_waiting(const struct logs *l);

#endif
