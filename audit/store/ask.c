#include "ask.h"

#include "lib/base/clock.h"
#include "lib/base/map.h"

#include <stdlib.h>

static const char *const question_names[] = {
    [ASK_WHO] = "who",       [ASK_WHEN] = "when",         [ASK_POLICY] = "policy",
    [ASK_SECRET] = "secret", [ASK_IDENTITY] = "identity",
};

/* What a request is told by, apart from its times. */
enum value_kind {
    VALUE_USER,
    VALUE_IDENTITY,
    VALUE_POLICY,
    VALUE_RULE,
    VALUE_SECRET,
    VALUE_LEASE,
    VALUE_KEY,
    VALUE_RESOURCE,
    VALUE_ACTION,
    VALUE_SOURCE,
    VALUE_KINDS
};

static const struct {
    const char *name, *plural;
    int field; /* of the event; -1: made from several */
} kinds[VALUE_KINDS] = {
    [VALUE_USER] = {"person", "persons", EVENT_USER},
    [VALUE_IDENTITY] = {"identity", "identities", EVENT_IDENTITY},
    [VALUE_POLICY] = {"policy", "policies", EVENT_POLICY},
    [VALUE_RULE] = {"rule", "rules", EVENT_RULE},
    [VALUE_SECRET] = {"secret", "secrets", EVENT_SECRET},
    [VALUE_LEASE] = {"lease", "leases", EVENT_LEASE},
    [VALUE_KEY] = {"key", "keys", EVENT_KEY},
    [VALUE_RESOURCE] = {"resource", "resources", EVENT_RESOURCE},
    [VALUE_ACTION] = {"action", "actions", -1},
    [VALUE_SOURCE] = {"source", "sources", EVENT_SOURCE},
};

struct values {
    struct str v[ASK_VALUES];
    unsigned n;
};

struct request {
    struct str trace; /* empty: a single event */
    uint64_t first;   /* event */
    int64_t first_ms, last_ms;
    struct values values[VALUE_KINDS];
    uint64_t *events;
    size_t n_events, cap_events;
    bool denied, failed;
};

struct work {
    const struct ask_source *s;
    const struct ask *q;
    struct arena *keep;   /* rows and their values */
    struct arena scratch; /* one event */
    struct request **requests;
    size_t n, cap;
    struct map by_trace;
    uint64_t looked_at;
};

struct err ask_question_parse(struct str word, enum ask_question *out)
{
    for (size_t i = 0; i < ARRAY_LEN(question_names); i++) {
        if (str_is(word, question_names[i])) {
            *out = (enum ask_question)i;
            return OK;
        }
    }
    FAIL(ERR_INVALID, "'%.*s' is not a question; ask who, when, policy, secret or identity",
         STR_FMT(word));
}

/* ---- matching ---- */

static bool value_matches(struct str asked, struct str value)
{
    if (asked.n > 0 && asked.p[asked.n - 1] == '*') {
        return value.n > 0 && str_starts(value, str_sub(asked, 0, asked.n - 1));
    }
    return str_eq(asked, value);
}

static bool is_finding(const struct event *e)
{
    return e->class_uid >= 2000 && e->class_uid < 3000;
}

static bool event_matches(const struct ask *q, const struct event *e)
{
    bool holds = false;
    for (int f = 0; f < EVENT_INDEXED; f++) {
        holds |= value_matches(q->of, e->field[f]);
    }
    return holds && !is_finding(e) && (q->since_ms == 0 || e->time_ms >= q->since_ms) &&
           (q->until_ms == 0 || e->time_ms <= q->until_ms) &&
           (q->daemon.n == 0 || str_eq(q->daemon, e->field[EVENT_DAEMON]));
}

static struct err load(struct work *w, uint64_t index, struct event *out)
{
    struct str line;
    struct json *v;
    arena_reset(&w->scratch);
    TRY(w->s->entry(w->s->ctx, &w->scratch, index, &line));
    TRY(json_parse(&w->scratch, line, NULL, &v));
    event_read(v, out);
    w->looked_at++;
    return OK;
}

/* ---- rows ---- */

static void values_add(struct work *w, struct values *set, struct str v)
{
    for (unsigned i = 0; i < set->n; i++) {
        if (str_eq(set->v[i], v)) {
            return;
        }
    }
    if (v.n > 0 && set->n < ASK_VALUES) {
        set->v[set->n++] = arena_str(w->keep, v);
    }
}

static bool request_has(const struct request *r, uint64_t index)
{
    for (size_t i = 0; i < r->n_events; i++) {
        if (r->events[i] == index) {
            return true;
        }
    }
    return false;
}

/* Findings speak about requests; they are asked for as alerts. */
static void request_add(struct work *w, struct request *r, uint64_t index, const struct event *e)
{
    if (is_finding(e) || request_has(r, index)) {
        return;
    }
    r->events = arena_grow(w->keep, r->events, r->n_events, r->n_events + 1, &r->cap_events,
                           sizeof(*r->events));
    r->events[r->n_events++] = index;
    for (int k = 0; k < VALUE_KINDS; k++) {
        if (kinds[k].field >= 0) {
            values_add(w, &r->values[k], e->field[kinds[k].field]);
        }
    }
    struct str action = arena_printf(&w->scratch, "%.*s %.*s", STR_FMT(e->field[EVENT_DAEMON]),
                                     STR_FMT(e->field[EVENT_ACTIVITY]));
    values_add(w, &r->values[VALUE_ACTION], action);
    r->first_ms = MIN(r->first_ms, e->time_ms);
    r->last_ms = MAX(r->last_ms, e->time_ms);
    r->denied |= str_is(e->field[EVENT_OUTCOME], "denied");
    r->failed |= str_is(e->field[EVENT_OUTCOME], "failed");
}

static struct request *request_new(struct work *w, struct str trace, uint64_t first)
{
    struct request *r = arena_new(w->keep, struct request);
    r->trace = arena_str(w->keep, trace);
    r->first = first;
    r->first_ms = INT64_MAX;
    w->requests = arena_grow(w->keep, w->requests, w->n, w->n + 1, &w->cap, sizeof(*w->requests));
    w->requests[w->n++] = r;
    if (trace.n > 0) {
        map_set(&w->by_trace, r->trace, r);
    }
    return r;
}

/* An event that holds the value: begins a request, or belongs to one that is there. */
static struct err add_match(struct work *w, uint64_t index, const struct event *e)
{
    struct str trace = e->field[EVENT_TRACE];
    struct request *r = trace.n > 0 ? map_get(&w->by_trace, trace) : NULL;
    r = r != NULL ? r : request_new(w, trace, index);
    request_add(w, r, index, e);
    ENSURE(!arena_exhausted(w->keep), ERR_LIMIT,
           "the answer needs more than %d MB; ask for a shorter time", ASK_ARENA >> 20);
    return OK;
}

/* The rest of a request: events of other daemons with the same trace id. */
static struct err complete_request(struct work *w, struct request *r)
{
    uint64_t found[ASK_TRACE_EVENTS];
    size_t n;
    if (r->trace.n == 0 || w->s->index == NULL) {
        return OK;
    }
    TRY(index_find(w->s->index, index_key(r->trace), 0, INT64_MIN, INT64_MAX, found,
                   ARRAY_LEN(found), &n));
    for (size_t i = 0; i < n; i++) {
        struct event e;
        if (request_has(r, found[i])) {
            continue;
        }
        TRY(load(w, found[i], &e));
        if (str_eq(e.field[EVENT_TRACE], r->trace)) {
            request_add(w, r, found[i], &e);
        }
    }
    return OK;
}

static bool outcome_wanted(const struct ask *q, const struct request *r)
{
    const char *is = r->denied ? "denied" : r->failed ? "failed" : "allowed";
    return q->outcome.n == 0 || str_is(q->outcome, is);
}

/* ---- finding ---- */

static struct err match_indexed(struct work *w, size_t limit)
{
    size_t cap = limit * 4 + 4096, n = 0;
    uint64_t *found = calloc(cap, sizeof(*found)), from = 0;
    BUG_ON(found == NULL);
    int64_t until = w->q->until_ms != 0 ? w->q->until_ms : INT64_MAX;
    struct err e = OK;
    for (bool more = true; more && !failed(e);) { /* the newest `cap` of all */
        e = index_find(w->s->index, index_key(w->q->of), from, w->q->since_ms, until, found, cap,
                       &n);
        more = !failed(e) && n == cap;
        from = more ? found[n / 2] : from;
    }
    for (size_t i = 0; i < n && !failed(e); i++) {
        struct event ev;
        e = load(w, found[i], &ev);
        if (!failed(e) && event_matches(w->q, &ev)) {
            e = add_match(w, found[i], &ev);
        }
    }
    free(found);
    return e;
}

/* Reads everything; without an index the second pass finds the rest of the requests. */
static struct err match_by_reading(struct work *w)
{
    for (uint64_t i = 0; i < w->s->size; i++) {
        struct event e;
        TRY(load(w, i, &e));
        if (event_matches(w->q, &e)) {
            TRY(add_match(w, i, &e));
        }
    }
    for (uint64_t i = 0; w->s->index == NULL && i < w->s->size; i++) {
        struct event e;
        TRY(load(w, i, &e));
        struct request *r = map_get(&w->by_trace, e.field[EVENT_TRACE]);
        if (r != NULL) {
            request_add(w, r, i, &e);
        }
    }
    return OK;
}

/* ---- writing ---- */

static void put_time(struct jw *w, struct str key, int64_t ms)
{
    struct buf b;
    buf_init(&b, 64);
    clock_put_rfc3339(&b, ms * NS_PER_MS, 3);
    jw_key_str(w, key, buf_str(&b));
    buf_release(&b);
}

static void put_values(struct jw *j, struct str key, const struct values *set)
{
    if (set->n == 0) {
        return;
    }
    jw_key(j, key);
    jw_arr(j);
    for (unsigned i = 0; i < set->n; i++) {
        jw_str(j, set->v[i]);
    }
    jw_end(j);
}

static const char *outcome_of(const struct request *r)
{
    return r->denied ? "denied" : r->failed ? "failed" : "allowed";
}

static void put_request(struct jw *j, const struct request *r)
{
    jw_obj(j);
    put_time(j, S("time"), r->first_ms);
    jw_key_int(j, S("ms"), r->last_ms - r->first_ms);
    jw_key_str(j, S("outcome"), str_of(outcome_of(r)));
    if (r->trace.n > 0) {
        jw_key_str(j, S("trace_id"), r->trace);
    }
    for (int k = 0; k < VALUE_KINDS; k++) {
        put_values(j, str_of(kinds[k].plural), &r->values[k]);
    }
    jw_key(j, S("events"));
    jw_arr(j);
    for (size_t i = 0; i < r->n_events; i++) {
        jw_int(j, (int64_t)r->events[i]);
    }
    jw_end(j);
    jw_end(j);
}

struct sum {
    int kind;
    struct str value;
    uint64_t requests, allowed, denied;
    int64_t first_ms, last_ms;
};

struct sums {
    struct sum *v;
    size_t n, cap;
    struct map by_value;
};

static void sum_add(struct work *w, struct sums *all, int kind, struct str value,
                    const struct request *r)
{
    struct str key = arena_printf(&w->scratch, "%d %.*s", kind, STR_FMT(value));
    uintptr_t at = (uintptr_t)map_get(&all->by_value, key);
    if (at == 0) {
        all->v = arena_grow(w->keep, all->v, all->n, all->n + 1, &all->cap, sizeof(*all->v));
        all->v[all->n] = (struct sum){kind, value, 0, 0, 0, INT64_MAX, INT64_MIN};
        at = ++all->n;
        map_set(&all->by_value, key, (void *)at);
    }
    struct sum *s = &all->v[at - 1];
    s->requests++;
    s->denied += r->denied;
    s->allowed += !r->denied && !r->failed;
    s->first_ms = MIN(s->first_ms, r->first_ms);
    s->last_ms = MAX(s->last_ms, r->last_ms);
}

/* Which values answer the question, for one request. */
static void sum_request(struct work *w, struct sums *all, const struct request *r)
{
    static const int answers[][3] = {
        [ASK_WHO] = {VALUE_USER, VALUE_IDENTITY, -1},
        [ASK_WHEN] = {-1, -1, -1},
        [ASK_POLICY] = {VALUE_POLICY, VALUE_RULE, -1},
        [ASK_SECRET] = {VALUE_SECRET, VALUE_LEASE, VALUE_KEY},
        [ASK_IDENTITY] = {VALUE_IDENTITY, -1, -1},
    };
    for (int i = 0; i < 3; i++) {
        int kind = answers[w->q->question][i];
        if (kind < 0) {
            return;
        }
        for (unsigned v = 0; v < r->values[kind].n; v++) {
            sum_add(w, all, kind, r->values[kind].v[v], r);
        }
    }
}

static void put_sums(struct jw *j, const struct sums *all)
{
    jw_key(j, S("answers"));
    jw_arr(j);
    for (size_t i = 0; i < all->n; i++) {
        const struct sum *s = &all->v[i];
        jw_obj(j);
        jw_key_str(j, S("kind"), str_of(kinds[s->kind].name));
        jw_key_str(j, S("value"), s->value);
        jw_key_int(j, S("requests"), (int64_t)s->requests);
        jw_key_int(j, S("allowed"), (int64_t)s->allowed);
        jw_key_int(j, S("denied"), (int64_t)s->denied);
        put_time(j, S("first"), s->first_ms);
        put_time(j, S("last"), s->last_ms);
        jw_end(j);
    }
    jw_end(j);
}

/* The answer in a line for people. */
static void put_sentence(const struct work *w, struct jw *j, const struct sums *all, size_t wanted)
{
    static const char *const nothing[] = {"nobody", "never", "no policy", "no secret",
                                          "no identity"};
    enum { SENTENCE_MAX = 2048, SHOWN = 8 };
    struct buf b;
    buf_init(&b, SENTENCE_MAX);
    if (w->q->question == ASK_WHEN && wanted > 0) {
        size_t shown = 0;
        for (size_t i = 0; i < w->n && shown < SHOWN; i++) {
            if (outcome_wanted(w->q, w->requests[i])) {
                buf_puts(&b, shown++ > 0 ? S(", ") : STR_EMPTY);
                clock_put_rfc3339(&b, w->requests[i]->first_ms * NS_PER_MS, 3);
            }
        }
        if (wanted > shown) {
            buf_printf(&b, " and %zu times more", wanted - shown);
        }
    }
    for (size_t i = 0; i < MIN(all->n, (size_t)SHOWN); i++) {
        const struct sum *s = &all->v[i];
        buf_printf(&b, "%s%.*s (%s)", i > 0 ? ", " : "", (int)MIN(s->value.n, 200U), s->value.p,
                   kinds[s->kind].name);
    }
    if (b.n == 0) {
        buf_puts(&b, str_of(nothing[w->q->question]));
    }
    jw_key_str(j, S("answer"), buf_str(&b));
    buf_release(&b);
}

static void put_answer(struct work *w, size_t limit, struct buf *out)
{
    struct sums all = {NULL, 0, 0, {0}};
    struct jw j;
    size_t wanted = 0, skip, shown = 0;
    map_init(&all.by_value);
    for (size_t i = 0; i < w->n; i++) {
        wanted += outcome_wanted(w->q, w->requests[i]);
    }
    skip = wanted > limit ? wanted - limit : 0;
    jw_init(&j, out);
    jw_obj(&j);
    jw_key_str(&j, S("question"), str_of(question_names[w->q->question]));
    jw_key_str(&j, S("of"), w->q->of);
    jw_key_int(&j, S("tree_size"), (int64_t)w->s->size);
    jw_key_int(&j, S("found"), (int64_t)wanted);
    jw_key_int(&j, S("left_out"), (int64_t)skip);
    jw_key(&j, S("requests"));
    jw_arr(&j);
    for (size_t i = 0; i < w->n; i++) {
        const struct request *r = w->requests[i];
        if (!outcome_wanted(w->q, r)) {
            continue;
        }
        sum_request(w, &all, r);
        arena_reset(&w->scratch);
        if (shown++ >= skip) {
            put_request(&j, r);
        }
    }
    jw_end(&j);
    put_sums(&j, &all);
    put_sentence(w, &j, &all, wanted);
    jw_end(&j);
    map_release(&all.by_value);
}

struct err ask_answer(const struct ask_source *s, const struct ask *q, struct buf *out)
{
    struct arena keep;
    ENSURE(q->of.n > 0, ERR_INVALID,
           "a question needs a value to ask about, such as a secret's path");
    ENSURE(q->limit <= ASK_LIMIT_MAX, ERR_RANGE, "at most %d requests are told", ASK_LIMIT_MAX);
    size_t limit = q->limit > 0 ? q->limit : ASK_LIMIT;
    struct work w = {.s = s, .q = q, .keep = &keep};
    arena_init(&keep, ASK_ARENA);
    arena_init(&w.scratch, EVENT_ARENA);
    map_init(&w.by_trace);
    bool by_reading = s->index == NULL || q->of.p[q->of.n - 1] == '*';
    struct err e = by_reading ? match_by_reading(&w) : match_indexed(&w, limit);
    for (size_t i = 0; i < w.n && !failed(e); i++) {
        e = complete_request(&w, w.requests[i]);
    }
    if (!failed(e)) {
        put_answer(&w, limit, out);
        e = buf_check(out);
    }
    map_release(&w.by_trace);
    arena_release(&w.scratch);
    arena_release(&keep);
    return e;
}
