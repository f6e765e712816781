/*
 * detect: four detections over the stream of events, with bounded state and no random part.
 *
 * secret-read-spike      an identity reads far more secrets than it does at this hour (negative binomial
 *                        tail below 1e-6 over its own history, at least SPIKE_COUNT_MIN), or SPIKE_NEW
 *                        secrets new to it within ten minutes, or SPIKE_DISTINCT different ones within five
 * outside-expectation    an allowed access that its declared expectation does not cover: at once, with
 *                        nothing to learn; without a declaration, a place new to a settled identity
 * use-after-revocation   a revoked token, lease, session or identity is used again: SPIKE_DENIED refusals from one
 *                        source, or one from a source it was never used from, or one that was let through
 * other-region           an identity acts from a region outside its declared placement, a credential is used
 *                        from a second region, or a settled identity from a region new to it
 *
 * State is tables of fixed size in which the least recently seen entry of a small set gives way; values
 * are held as 64-bit digests, never as text. detect_save and detect_load carry it over a restart; the
 * caller feeds the events since then again. A finding's uid is made from what it is about, so that
 * feeding twice gives the same uid and the caller can drop what the log already holds.
 *
 *     struct detector *d = detector_new(&expectations, on_finding, ctx);
 *     detector_feed(d, index, &event, logged_ms);
 */
#ifndef SEXTANT_AUDIT_DETECT_H
#define SEXTANT_AUDIT_DETECT_H

#include "audit/event/event.h"

enum {
    SPIKE_COUNT_MIN = 10,
    SPIKE_NEW = 5,
    SPIKE_DISTINCT = 20,
    REVOKED_DENIALS = 3,
    DETECT_IDENTITIES = 2048,   /* remembered */
    DETECT_CREDENTIALS = 16384, /* accessors, leases, sessions */
    DETECT_SECRETS = 128,       /* of one identity */
    DETECT_PLACES = 32,         /* of one identity: where it usually goes */
    DETECT_SETTLED_EVENTS = 500,
    FINDING_EVENTS = 16,
};

/* What an identity is expected to do. An empty list means: not declared, anything goes. */
struct expectation {
    struct str identity; /* exact, or a prefix that ends in * */
    struct str *secrets; /* prefixes of secret paths */
    size_t n_secrets;
    struct str *namespaces;
    size_t n_namespaces;
    struct str *resources; /* prefixes */
    size_t n_resources;
    struct str *regions;
    size_t n_regions;
};

struct expectations {
    const struct expectation *items;
    size_t n;
};

enum severity { SEVERITY_LOW = 2, SEVERITY_MEDIUM = 3, SEVERITY_HIGH = 4, SEVERITY_CRITICAL = 5 };

struct finding {
    char uid[33];     /* the same whenever the same events are fed */
    const char *rule; /* name above */
    struct str title; /* one line for people; dies with the callback */
    enum severity severity;
    struct str identity, subject, region; /* of the event that completed it */
    struct str trace;
    uint64_t events[FINDING_EVENTS]; /* the last ones that led to it */
    size_t n_events;
    int64_t time_ms;
};

/* The finding as an event of the log (one OCSF Detection Finding, no newline). */
void finding_write(struct buf *out, const struct finding *f);

struct detector;

struct detector *detector_new(const struct expectations *e,
                              void (*found)(void *ctx, const struct finding *f), void *ctx);
void detector_free(struct detector *d);

/* Event `index` of the log. `logged_ms` is when the log took it: event times far from it are bent back. */
void detector_feed(struct detector *d, uint64_t index, const struct event *e, int64_t logged_ms);

uint64_t detector_next(const struct detector *d); /* first event not fed yet */

/* The whole state as bytes, checksummed. ERR_INVALID from load leaves the detector empty. */
struct err detector_save(const struct detector *d, struct buf *out);
struct err detector_load(struct detector *d, struct str bytes);
enum { DETECT_STATE_MAX = 64 << 20 };

#endif
