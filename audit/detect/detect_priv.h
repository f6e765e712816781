/* The tables behind the detections. Plain memory without pointers: it is saved as it is. */
#ifndef SEXTANT_AUDIT_DETECT_PRIV_H
#define SEXTANT_AUDIT_DETECT_PRIV_H

#include "detect.h"

enum {
    TABLE_WAYS = 8,
    RECENT_READS = 32, /* of one identity, for the windows */
    HOURS = 24,
    RULES = 4,
    REGIONS = 4,
};

enum rule { RULE_SPIKE, RULE_OUTSIDE, RULE_REVOKED, RULE_REGION };

struct seen {
    uint64_t key; /* 0: free */
    int64_t last_ms;
};

struct read {
    uint64_t secret, event;
    int64_t ms;
    bool is_new;
};

struct identity {
    uint64_t key;
    int64_t last_ms, first_ms;
    uint64_t events;
    struct seen secrets[DETECT_SECRETS];
    struct seen places[DETECT_PLACES];
    struct seen regions[REGIONS];
    struct read recent[RECENT_READS]; /* a ring */
    uint32_t recent_n;
    int64_t hour; /* being counted, hours since 1970 */
    uint32_t hour_count;
    uint32_t mean[2][HOURS]; /* reads an hour, workday and weekend, in 1/256 */
    uint16_t observed[2][HOURS];
    int64_t alerted_ms[RULES];
    uint8_t alerted_severity[RULES];
};

struct credential {
    uint64_t key;
    int64_t last_ms;
    uint64_t identity, source, region; /* of its last accepted use */
    int64_t revoked_ms;                /* 0: not */
    uint64_t revoked_at;               /* event */
    uint64_t denied_from[4];           /* sources of refused uses, and how often */
    uint32_t denied_n[4];
    int64_t denied_since_ms[4];
    uint8_t told; /* severity already reported */
};

struct detector {
    const struct expectations *expected;
    void (*found)(void *ctx, const struct finding *f);
    void *ctx;
    uint64_t next;
    struct identity *identities;    /* DETECT_IDENTITIES */
    struct credential *credentials; /* DETECT_CREDENTIALS */
};

struct identity *identity_of(struct detector *d, uint64_t key, int64_t now_ms);
struct credential *credential_of(struct detector *d, uint64_t key, int64_t now_ms, bool make);

/* Remembers `key` in a small set; true when it was not there, or not since `since_ms`. */
bool seen_add(struct seen *set, size_t n, uint64_t key, int64_t now_ms, int64_t since_ms);
bool seen_has(const struct seen *set, size_t n, uint64_t key);
size_t seen_count(const struct seen *set, size_t n);

/* The hourly count above which a mean (in 1/256) is exceeded by chance less than once in a million. */
uint64_t spike_threshold(uint64_t mean256);

#endif
