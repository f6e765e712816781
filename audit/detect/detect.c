#include "detect_priv.h"

#include "audit/store/index.h"
#include "lib/base/codec.h"
#include "lib/tls/digest.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    MINUTE_MS = 60 * 1000,
    HOUR_MS = 60 * MINUTE_MS,
    DAY_MS = 24 * HOUR_MS,
    NEW_WINDOW_MS = 10 * MINUTE_MS,
    DISTINCT_WINDOW_MS = 5 * MINUTE_MS,
    DENIED_WINDOW_MS = 10 * MINUTE_MS,
    LATE_MS = 10 * MINUTE_MS, /* event times further back than this are moved up */
    AGAIN_MS =
        10 * MINUTE_MS, /* the same alert about the same identity is not repeated within this */
    SETTLE_DAYS = 14,
    BASELINE_HOURS = 3,    /* observations of an hour of the day before it counts */
    LET_THROUGH_MS = 1000, /* a use this soon after its revocation may have been under way */
};

#define REMEMBER_MS (INT64_C(30) * DAY_MS)

static const char *const rule_names[RULES] = {"secret-read-spike", "outside-expectation",
                                              "use-after-revocation", "other-region"};

/* One event on its way through the rules. */
struct feed {
    struct detector *d;
    const struct event *e;
    uint64_t index;
    int64_t now_ms; /* the event's time, within bounds */
    struct str who; /* workload if known, else person */
    uint64_t who_key, source_key;
    struct identity *id;
    bool allowed, refused;
};

struct detector *detector_new(const struct expectations *e,
                              void (*found)(void *ctx, const struct finding *f), void *ctx)
{
    struct detector *d = calloc(1, sizeof(*d));
    BUG_ON(d == NULL);
    *d = (struct detector){.expected = e, .found = found, .ctx = ctx};
    d->identities = calloc(DETECT_IDENTITIES, sizeof(*d->identities));
    d->credentials = calloc(DETECT_CREDENTIALS, sizeof(*d->credentials));
    BUG_ON(d->identities == NULL || d->credentials == NULL);
    return d;
}

void detector_free(struct detector *d)
{
    if (d != NULL) {
        free(d->identities);
        free(d->credentials);
        free(d);
    }
}

uint64_t detector_next(const struct detector *d)
{
    return d->next;
}

/* ---- telling ---- */

static void make_uid(const struct feed *f, enum rule rule, char out[33])
{
    struct sha256 h;
    uint8_t sum[SHA256_BYTES];
    struct buf hex;
    sha256_init(&h);
    sha256_add(&h, str_of(rule_names[rule]));
    sha256_add(&h, str_n(&f->who_key, sizeof(f->who_key)));
    sha256_add(&h, str_n(&f->index, sizeof(f->index)));
    sha256_end(&h, sum);
    buf_init(&hex, 64);
    hex_put(&hex, str_n(sum, 16));
    memcpy(out, hex.p, 32);
    out[32] = '\0';
    buf_release(&hex);
}

/* Quiet while the same rule has told of the same identity lately, unless this is worse. */
static bool is_repeated(const struct feed *f, enum rule rule, enum severity severity)
{
    return f->id->alerted_ms[rule] != 0 && f->now_ms - f->id->alerted_ms[rule] < AGAIN_MS &&
           f->id->alerted_severity[rule] >= (uint8_t)severity;
}

static void tell(struct feed *f, enum rule rule, enum severity severity, struct str subject,
                 struct str title, const uint64_t *events, size_t n)
{
    struct finding found = {.rule = rule_names[rule],
                            .severity = severity,
                            .title = title,
                            .identity = f->who,
                            .subject = subject,
                            .region = f->e->field[EVENT_REGION],
                            .trace = f->e->field[EVENT_TRACE],
                            .time_ms = f->now_ms};
    make_uid(f, rule, found.uid);
    for (size_t i = n > FINDING_EVENTS ? n - FINDING_EVENTS : 0; i < n; i++) {
        found.events[found.n_events++] = events[i];
    }
    f->id->alerted_ms[rule] = f->now_ms;
    f->id->alerted_severity[rule] = (uint8_t)severity;
    f->d->found(f->d->ctx, &found);
}

static void tell_one(struct feed *f, enum rule rule, enum severity severity, struct str subject,
                     struct str title)
{
    if (!is_repeated(f, rule, severity)) {
        tell(f, rule, severity, subject, title, &f->index, 1);
    }
}

/* Formats a title into `space`. */
#define TITLE(space, ...)                                                                          \
    str_n(space, (size_t)MIN(snprintf(space, sizeof(space), __VA_ARGS__), (int)sizeof(space) - 1))

/* ---- spike in secret reads ---- */

static bool is_secret_read(const struct event *e)
{
    struct str what = e->field[EVENT_ACTIVITY];
    bool reads = (e->class_uid == 6003 && e->activity_id == 2) ||
                 (e->class_uid == 6005 && e->activity_id == 1) || str_is(what, "read") ||
                 str_ends(what, S(".read")) || str_starts(what, S("read"));
    return reads && e->field[EVENT_SECRET].n > 0;
}

/* Closes hours that have passed: the mean moves by a quarter, and hours without reads count too. */
static void roll_hour(struct identity *id, int64_t now_ms)
{
    int64_t hour = now_ms / HOUR_MS, passed = id->hour == 0 ? 0 : hour - id->hour;
    for (int64_t i = 0; i < MIN(passed, (int64_t)48); i++) {
        int64_t h = id->hour + i, weekday = (h / HOURS + 4) % 7; /* 1970 began on a Thursday */
        size_t kind = weekday == 0 || weekday == 6, of_day = (size_t)(h % HOURS);
        uint32_t count = MIN(i == 0 ? id->hour_count : 0U, 1U << 20) * 256;
        uint32_t *mean = &id->mean[kind][of_day];
        if (id->observed[kind][of_day] == 0) {
            *mean = count;
        } else {
            *mean = *mean - *mean / 4 + count / 4;
        }
        id->observed[kind][of_day] += id->observed[kind][of_day] < UINT16_MAX;
    }
    if (passed != 0 || id->hour == 0) {
        id->hour_count = 0;
        id->hour = hour;
    }
}

/* Too many in this hour, by the hour's own history. An alerted hour does not teach the baseline. */
static void check_hour(struct feed *f)
{
    struct identity *id = f->id;
    int64_t weekday = (id->hour / HOURS + 4) % 7;
    size_t kind = weekday == 0 || weekday == 6, of_day = (size_t)(id->hour % HOURS);
    uint64_t limit = MAX(spike_threshold(id->mean[kind][of_day]), (uint64_t)SPIKE_COUNT_MIN);
    if (id->observed[kind][of_day] < BASELINE_HOURS || id->hour_count < limit) {
        return;
    }
    char space[256];
    tell_one(f, RULE_SPIKE, SEVERITY_MEDIUM, f->e->field[EVENT_SECRET],
             TITLE(space, "%" PRIu32 " secret reads in this hour; usual are %" PRIu32,
                   id->hour_count, id->mean[kind][of_day] / 256));
    id->hour_count = id->mean[kind][of_day] / 256;
}

struct window {
    unsigned new_secrets, distinct;
    uint64_t events[RECENT_READS];
    size_t n;
};

static void look_back(const struct feed *f, struct window *w)
{
    const struct identity *id = f->id;
    uint64_t secrets[RECENT_READS];
    size_t n_secrets = 0;
    *w = (struct window){0};
    uint32_t n = MIN(id->recent_n, (uint32_t)RECENT_READS);
    for (uint32_t back = n; back > 0; back--) {
        const struct read *r = &id->recent[(id->recent_n - back) % RECENT_READS];
        int64_t age = f->now_ms - r->ms;
        if (age > NEW_WINDOW_MS) {
            continue;
        }
        w->events[w->n++] = r->event;
        w->new_secrets += r->is_new;
        bool known = false;
        for (size_t i = 0; i < n_secrets; i++) {
            known |= secrets[i] == r->secret;
        }
        if (!known && age <= DISTINCT_WINDOW_MS) {
            secrets[n_secrets++] = r->secret;
        }
    }
    w->distinct = (unsigned)n_secrets;
}

static bool is_settled(const struct identity *id, int64_t now_ms)
{
    return id->events >= DETECT_SETTLED_EVENTS ||
           now_ms - id->first_ms >= SETTLE_DAYS * (int64_t)DAY_MS;
}

static void rule_spike(struct feed *f)
{
    struct identity *id = f->id;
    if (!f->allowed || !is_secret_read(f->e)) {
        return;
    }
    uint64_t secret = index_key(f->e->field[EVENT_SECRET]);
    bool is_new = seen_add(id->secrets, DETECT_SECRETS, secret, f->now_ms, f->now_ms - REMEMBER_MS);
    id->recent[id->recent_n++ % RECENT_READS] = (struct read){secret, f->index, f->now_ms, is_new};
    roll_hour(id, f->now_ms);
    id->hour_count++;
    struct window w;
    char space[256];
    look_back(f, &w);
    if (w.distinct >= SPIKE_DISTINCT && !is_repeated(f, RULE_SPIKE, SEVERITY_HIGH)) {
        tell(f, RULE_SPIKE, SEVERITY_HIGH, f->e->field[EVENT_SECRET],
             TITLE(space, "%u different secrets read within five minutes", w.distinct), w.events,
             w.n);
    } else if (w.new_secrets >= SPIKE_NEW && is_settled(id, f->now_ms) &&
               !is_repeated(f, RULE_SPIKE, SEVERITY_MEDIUM)) {
        tell(f, RULE_SPIKE, SEVERITY_MEDIUM, f->e->field[EVENT_SECRET],
             TITLE(space, "%u secrets read within ten minutes that it never read before",
                   w.new_secrets),
             w.events, w.n);
    }
    check_hour(f);
}

/* ---- expectations ---- */

static bool covers(const struct str *list, size_t n, struct str value, bool prefix)
{
    if (n == 0 || value.n == 0) {
        return true; /* not declared, or nothing to judge */
    }
    for (size_t i = 0; i < n; i++) {
        if (prefix ? str_starts(value, list[i]) : str_eq(value, list[i])) {
            return true;
        }
    }
    return false;
}

static bool names(struct str pattern, struct str who)
{
    bool prefix = pattern.n > 0 && pattern.p[pattern.n - 1] == '*';
    return prefix ? str_starts(who, str_sub(pattern, 0, pattern.n - 1)) : str_eq(pattern, who);
}

static const struct expectation *expectation_of(const struct feed *f)
{
    for (size_t i = 0; i < f->d->expected->n; i++) {
        if (names(f->d->expected->items[i].identity, f->who)) {
            return &f->d->expected->items[i];
        }
    }
    return NULL;
}

static void check_declared(struct feed *f, const struct expectation *x)
{
    const struct {
        const char *what;
        struct str value;
        bool ok;
    } parts[] = {
        {"secret", f->e->field[EVENT_SECRET],
         covers(x->secrets, x->n_secrets, f->e->field[EVENT_SECRET], true)},
        {"namespace", f->e->field[EVENT_NAMESPACE],
         covers(x->namespaces, x->n_namespaces, f->e->field[EVENT_NAMESPACE], false)},
        {"resource", f->e->field[EVENT_RESOURCE],
         covers(x->resources, x->n_resources, f->e->field[EVENT_RESOURCE], true)},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!parts[i].ok) {
            char space[512];
            tell_one(f, RULE_OUTSIDE, SEVERITY_HIGH, parts[i].value,
                     TITLE(space, "%s '%.*s' was reached, which is outside what is declared for it",
                           parts[i].what, (int)MIN(parts[i].value.n, 256U), parts[i].value.p));
            return;
        }
    }
}

/* Mount and two path segments, with the namespace: fine enough to be telling, coarse enough to be learnt. */
static uint64_t place_of(const struct event *e)
{
    struct str path =
        e->field[EVENT_SECRET].n > 0 ? e->field[EVENT_SECRET] : e->field[EVENT_RESOURCE];
    size_t end = 0;
    for (int segments = 0; end < path.n && segments < 3; end++) {
        segments += path.p[end] == '/';
    }
    struct sha256 h;
    uint8_t sum[SHA256_BYTES];
    uint64_t key;
    sha256_init(&h);
    sha256_add(&h, e->field[EVENT_NAMESPACE]);
    sha256_add(&h, str_n("\0", 1));
    sha256_add(&h, str_sub(path, 0, end));
    sha256_end(&h, sum);
    memcpy(&key, sum, sizeof(key));
    return key;
}

static void rule_outside(struct feed *f)
{
    const struct event *e = f->e;
    if (!f->allowed || (e->field[EVENT_SECRET].n == 0 && e->field[EVENT_NAMESPACE].n == 0)) {
        return;
    }
    const struct expectation *x = expectation_of(f);
    if (x != NULL) {
        check_declared(f, x);
        return;
    }
    bool settled = is_settled(f->id, f->now_ms);
    bool fresh =
        seen_add(f->id->places, DETECT_PLACES, place_of(e), f->now_ms, f->now_ms - REMEMBER_MS);
    if (settled && fresh) {
        char space[512];
        struct str what =
            e->field[EVENT_SECRET].n > 0 ? e->field[EVENT_SECRET] : e->field[EVENT_NAMESPACE];
        tell_one(f, RULE_OUTSIDE, SEVERITY_LOW, what,
                 TITLE(space, "'%.*s' is a place that it never went to before",
                       (int)MIN(what.n, 256U), what.p));
    }
}

/* ---- revocation ---- */

static bool is_revocation(const struct event *e)
{
    struct str a = e->field[EVENT_ACTIVITY];
    return str_find(a, S("revoke")) != STR_NPOS || str_find(a, S("revocation")) != STR_NPOS ||
           str_ends(a, S("ban")) || str_starts(a, S("ban"));
}

/* Credentials an event names: each is revoked by a revocation, used by anything else. */
static const enum event_field credential_fields[] = {EVENT_ACCESSOR, EVENT_LEASE,    EVENT_SESSION,
                                                     EVENT_RESOURCE, EVENT_IDENTITY, EVENT_USER};

/* Refused uses from one source within the window; the slot of the least recent source gives way. */
static uint32_t count_denial(struct credential *c, uint64_t source, int64_t now_ms)
{
    size_t slot = 0;
    for (size_t i = 0; i < ARRAY_LEN(c->denied_from); i++) {
        if (c->denied_from[i] == source) {
            slot = i;
            break;
        }
        if (c->denied_since_ms[i] < c->denied_since_ms[slot]) {
            slot = i;
        }
    }
    if (c->denied_from[slot] != source || now_ms - c->denied_since_ms[slot] > DENIED_WINDOW_MS) {
        c->denied_from[slot] = source;
        c->denied_since_ms[slot] = now_ms;
        c->denied_n[slot] = 0;
    }
    return ++c->denied_n[slot];
}

static void tell_revoked(struct feed *f, struct credential *c, enum severity severity,
                         struct str subject, struct str title)
{
    if (c->told < (uint8_t)severity) {
        uint64_t events[] = {c->revoked_at, f->index};
        c->told = (uint8_t)severity;
        tell(f, RULE_REVOKED, severity, subject, title, events, 2);
    }
}

static void use_of_revoked(struct feed *f, struct credential *c, struct str subject)
{
    int64_t after = f->now_ms - c->revoked_ms;
    if (f->allowed) {
        if (after > LET_THROUGH_MS) {
            tell_revoked(
                f, c, SEVERITY_CRITICAL, subject,
                S("a revoked credential was accepted: its revocation did not take effect"));
        }
        return;
    }
    if (!f->refused) {
        return;
    }
    bool known = c->source != 0;
    bool elsewhere = known && (c->source != f->source_key ||
                               (c->identity != 0 && f->who_key != 0 && c->identity != f->who_key));
    char space[160];
    if (elsewhere) {
        tell_revoked(f, c, SEVERITY_CRITICAL, subject,
                     S("a revoked credential was tried from where it was never used"));
    } else if (count_denial(c, f->source_key, f->now_ms) >= REVOKED_DENIALS) {
        tell_revoked(f, c, SEVERITY_MEDIUM, subject,
                     TITLE(space, "a revoked credential was tried %d times", REVOKED_DENIALS));
    }
}

/* A second key space in the same table: hosts from which a credential was used that is revoked now. */
static uint64_t host_key(uint64_t source)
{
    return source ^ UINT64_C(0x9e3779b97f4a7c15);
}

static void mark_host(struct feed *f, const struct credential *c)
{
    if (c->source == 0) {
        return;
    }
    struct credential *host = credential_of(f->d, host_key(c->source), f->now_ms, true);
    *host = (struct credential){.key = host_key(c->source),
                                .last_ms = f->now_ms,
                                .revoked_ms = f->now_ms,
                                .revoked_at = f->index};
}

/*
 * A daemon that has forgotten a revoked token cannot say whose it was. Refusals without any name
 * from the host where a credential was revoked are then all there is to see.
 */
static void nameless_refusal(struct feed *f)
{
    bool nameless = f->e->field[EVENT_ACCESSOR].n == 0 && f->e->field[EVENT_IDENTITY].n == 0 &&
                    f->e->field[EVENT_USER].n == 0;
    if (!f->refused || !nameless || f->source_key == 0 ||
        str_starts(f->e->field[EVENT_SOURCE], S("unix:"))) {
        return;
    }
    struct credential *host = credential_of(f->d, host_key(f->source_key), f->now_ms, false);
    if (host == NULL || host->revoked_ms == 0) {
        return;
    }
    host->last_ms = f->now_ms;
    if (count_denial(host, f->source_key, f->now_ms) >= REVOKED_DENIALS) {
        char space[200];
        tell_revoked(f, host, SEVERITY_MEDIUM, f->e->field[EVENT_SOURCE],
                     TITLE(space,
                           "%d refused tries without a valid credential from a host whose "
                           "credential was revoked",
                           REVOKED_DENIALS));
    }
}

static void rule_revoked(struct feed *f)
{
    bool revocation = is_revocation(f->e);
    nameless_refusal(f);
    for (size_t i = 0; i < ARRAY_LEN(credential_fields); i++) {
        struct str value = f->e->field[credential_fields[i]];
        bool actor = credential_fields[i] == EVENT_IDENTITY || credential_fields[i] == EVENT_USER;
        bool kept =
            !actor && credential_fields[i] != EVENT_RESOURCE; /* remembered before a revocation */
        /* A revocation names its own caller's token too: only what it is about is revoked. */
        if (value.n == 0 || (revocation && actor) ||
            (revocation && credential_fields[i] == EVENT_ACCESSOR &&
             (f->e->field[EVENT_RESOURCE].n > 0 || f->e->field[EVENT_LEASE].n > 0))) {
            continue;
        }
        uint64_t key = index_key(value);
        struct credential *c = credential_of(f->d, key, f->now_ms, kept || revocation);
        if (c == NULL) {
            continue;
        }
        c->last_ms = f->now_ms;
        if (revocation && f->allowed) {
            c->revoked_ms = f->now_ms;
            c->revoked_at = f->index;
            c->told = 0;
            mark_host(f, c);
        } else if (c->revoked_ms != 0 && !revocation) {
            use_of_revoked(f, c, value);
        } else if (!revocation && f->allowed && kept) {
            c->identity = f->who_key;
            c->source = f->source_key;
        }
    }
}

/* ---- regions ---- */

/* A workload does not travel: its credential in a second region means that somebody else has it. */
static bool credential_moved(struct feed *f, uint64_t region, struct str *which)
{
    static const enum event_field fields[] = {EVENT_ACCESSOR, EVENT_LEASE, EVENT_SESSION};
    bool moved = false;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        struct str value = f->e->field[fields[i]];
        if (value.n == 0) {
            continue;
        }
        struct credential *c = credential_of(f->d, index_key(value), f->now_ms, true);
        if (c->region != 0 && c->region != region) {
            *which = value;
            moved = true;
        }
        c->region = region;
        c->last_ms = f->now_ms;
    }
    return moved;
}

static void rule_region(struct feed *f)
{
    struct str region = f->e->field[EVENT_REGION], which = STR_EMPTY;
    if (region.n == 0) {
        return;
    }
    uint64_t key = index_key(region);
    const struct expectation *x = expectation_of(f);
    bool declared = x != NULL && x->n_regions > 0, settled = is_settled(f->id, f->now_ms);
    bool moved = credential_moved(f, key, &which);
    bool fresh =
        f->allowed && seen_add(f->id->regions, REGIONS, key, f->now_ms, f->now_ms - REMEMBER_MS);
    char space[320];
    int n = (int)MIN(region.n, 64U);
    if (declared && !covers(x->regions, x->n_regions, region, false)) {
        tell_one(f, RULE_REGION, SEVERITY_HIGH, region,
                 TITLE(space, "acts from region '%.*s', where it is not placed", n, region.p));
    } else if (moved) {
        tell_one(f, RULE_REGION, SEVERITY_HIGH, which,
                 TITLE(space, "one credential is used from a second region, '%.*s'", n, region.p));
    } else if (!declared && fresh && settled && seen_count(f->id->regions, REGIONS) > 1) {
        tell_one(f, RULE_REGION, SEVERITY_MEDIUM, region,
                 TITLE(space, "acts from region '%.*s' for the first time", n, region.p));
    }
}

/* ---- feeding ---- */

/* The host: a port changes with every connection. */
static uint64_t source_of(const struct event *e)
{
    struct str s = e->field[EVENT_SOURCE];
    size_t colon = str_rfind_char(s, ':');
    bool has_port = colon != STR_NPOS && (s.p[0] == '[' || str_find_char(s, ':') == colon);
    s = has_port ? str_sub(s, 0, colon) : s;
    return s.n > 0 ? index_key(s) : 0;
}

void detector_feed(struct detector *d, uint64_t index, const struct event *e, int64_t logged_ms)
{
    d->next = index + 1;
    if (e->class_uid >= 2000 && e->class_uid < 3000) {
        return; /* findings are not behaviour */
    }
    struct feed f = {.d = d, .e = e, .index = index};
    f.now_ms = MIN(MAX(e->time_ms, logged_ms - LATE_MS), logged_ms + MINUTE_MS);
    f.who = e->field[EVENT_IDENTITY].n > 0 ? e->field[EVENT_IDENTITY] : e->field[EVENT_USER];
    if (f.who.n == 0) {
        f.who = S("unknown");
    }
    f.who_key = index_key(f.who);
    f.source_key = source_of(e);
    f.allowed = str_is(e->field[EVENT_OUTCOME], "allowed");
    f.refused =
        str_is(e->field[EVENT_OUTCOME], "denied") || str_is(e->field[EVENT_OUTCOME], "failed");
    f.id = identity_of(d, f.who_key, f.now_ms);
    rule_spike(&f);
    rule_outside(&f);
    rule_revoked(&f);
    rule_region(&f);
    f.id->events++;
    f.id->last_ms = f.now_ms;
}
