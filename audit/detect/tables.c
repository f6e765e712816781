#include "detect_priv.h"

#include "audit/tlog/crc32c.h"

#include <stdlib.h>

/*
 * Set-associative: a key may stand in TABLE_WAYS places, and the least recently seen one there gives
 * way. An attacker who fills the table only pushes out entries that are older than his.
 */
static size_t place(uint64_t key, size_t entries)
{
    return (size_t)(key % (entries / TABLE_WAYS)) * TABLE_WAYS;
}

struct identity *identity_of(struct detector *d, uint64_t key, int64_t now_ms)
{
    struct identity *set = d->identities + place(key, DETECT_IDENTITIES), *oldest = set;
    for (size_t i = 0; i < TABLE_WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
        if (set[i].last_ms < oldest->last_ms) {
            oldest = &set[i];
        }
    }
    *oldest = (struct identity){.key = key, .first_ms = now_ms, .last_ms = now_ms};
    return oldest;
}

struct credential *credential_of(struct detector *d, uint64_t key, int64_t now_ms, bool make)
{
    struct credential *set = d->credentials + place(key, DETECT_CREDENTIALS), *oldest = set;
    for (size_t i = 0; i < TABLE_WAYS; i++) {
        if (set[i].key == key) {
            return &set[i];
        }
        if (set[i].last_ms < oldest->last_ms) {
            oldest = &set[i];
        }
    }
    if (!make) {
        return NULL;
    }
    *oldest = (struct credential){.key = key, .last_ms = now_ms};
    return oldest;
}

bool seen_has(const struct seen *set, size_t n, uint64_t key)
{
    for (size_t i = 0; i < n; i++) {
        if (set[i].key == key) {
            return true;
        }
    }
    return false;
}

size_t seen_count(const struct seen *set, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += set[i].key != 0;
    }
    return count;
}

bool seen_add(struct seen *set, size_t n, uint64_t key, int64_t now_ms, int64_t since_ms)
{
    struct seen *oldest = set;
    for (size_t i = 0; i < n; i++) {
        if (set[i].key == key) {
            bool again = set[i].last_ms < since_ms;
            set[i].last_ms = now_ms;
            return again;
        }
        if (set[i].last_ms < oldest->last_ms || (set[i].key == 0 && oldest->key != 0)) {
            oldest = &set[i];
        }
    }
    *oldest = (struct seen){key, now_ms};
    return true;
}

/*
 * P(X >= k) < 1e-6 for a negative binomial of dispersion 4 (variance m + m*m/4: what deploys and retries
 * make of hourly counts), at means 1/4, 1/2, 1, 2, 4 ... 4096; in between along the line. The test
 * computes them again.
 */
uint64_t spike_threshold(uint64_t mean256)
{
    static const uint32_t at[] = {7,   9,   13,   19,   30,   52,    95,   180,
                                  351, 693, 1376, 2743, 5475, 10941, 21873};
    uint64_t mean = 64; /* 1/4 */
    if (mean256 <= mean) {
        return at[0];
    }
    for (size_t i = 1; i < ARRAY_LEN(at); i++, mean *= 2) {
        if (mean256 <= 2 * mean) {
            return at[i - 1] + (at[i] - at[i - 1]) * (mean256 - mean) / mean;
        }
    }
    return mean256 / 256 * 6;
}

/* ---- saving ---- */

struct saved_head {
    char magic[8];
    uint64_t next;
    uint32_t identity_size, credential_size, identities, credentials;
    uint32_t crc; /* of what follows and of the head before */
    uint32_t zero;
};

static const char MAGIC[8] = {'S', 'X', 'D', 'E', 'T', 'C', '1', '\n'};

struct err detector_save(const struct detector *d, struct buf *out)
{
    struct saved_head h = {.next = d->next,
                           .identity_size = sizeof(struct identity),
                           .credential_size = sizeof(struct credential)};
    size_t start = out->n;
    memcpy(h.magic, MAGIC, sizeof(MAGIC));
    buf_put(out, &h, sizeof(h));
    for (size_t i = 0; i < DETECT_IDENTITIES; i++) {
        if (d->identities[i].key != 0) {
            buf_put(out, &d->identities[i], sizeof(struct identity));
            h.identities++;
        }
    }
    for (size_t i = 0; i < DETECT_CREDENTIALS; i++) {
        if (d->credentials[i].key != 0) {
            buf_put(out, &d->credentials[i], sizeof(struct credential));
            h.credentials++;
        }
    }
    TRY(buf_check(out));
    uint32_t crc = crc32c(0, str_n(&h, offsetof(struct saved_head, crc)));
    h.crc = crc32c(crc, str_sub(buf_str(out), start + sizeof(h), out->n));
    memcpy(out->p + start, &h, sizeof(h));
    return OK;
}

static void restore(struct detector *d, const struct saved_head *h, const char *p)
{
    for (uint32_t i = 0; i < h->identities; i++, p += sizeof(struct identity)) {
        struct identity one;
        memcpy(&one, p, sizeof(one));
        *identity_of(d, one.key, one.last_ms) = one;
    }
    for (uint32_t i = 0; i < h->credentials; i++, p += sizeof(struct credential)) {
        struct credential one;
        memcpy(&one, p, sizeof(one));
        *credential_of(d, one.key, one.last_ms, true) = one;
    }
    d->next = h->next;
}

struct err detector_load(struct detector *d, struct str bytes)
{
    struct saved_head h;
    ENSURE(bytes.n >= sizeof(h), ERR_INVALID, "the saved state of the detections is cut short");
    memcpy(&h, bytes.p, sizeof(h));
    struct str body = str_sub(bytes, sizeof(h), bytes.n);
    bool good = memcmp(h.magic, MAGIC, sizeof(MAGIC)) == 0 &&
                h.identity_size == sizeof(struct identity) &&
                h.credential_size == sizeof(struct credential) &&
                h.identities <= DETECT_IDENTITIES && h.credentials <= DETECT_CREDENTIALS &&
                body.n == (size_t)h.identities * sizeof(struct identity) +
                              (size_t)h.credentials * sizeof(struct credential);
    ENSURE(good, ERR_INVALID, "the saved state of the detections is of another version");
    uint32_t crc = crc32c(crc32c(0, str_n(&h, offsetof(struct saved_head, crc))), body);
    ENSURE(crc == h.crc, ERR_INVALID, "the saved state of the detections is damaged");
    restore(d, &h, body.p);
    return OK;
}
