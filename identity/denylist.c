#include "denylist.h"

#include "lib/base/codec.h"
#include "lib/loop/loop.h"
#include "lib/x509/own.h"
#include "lib/x509/spiffe_id.h"

static const struct str kinds[] = {STR_INIT("spiffe_id"), STR_INIT("serial"), STR_INIT("jti")};

struct deny_waiter {
    struct deny_waiter *next, **link;
    struct denylist *list;
    struct http_req *req;
    struct timer *timer;
};

/* ---- what is banned ---- */

static struct err kind_of(struct str kind, struct str *out)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (str_eq(kind, kinds[i])) {
            *out = kinds[i];
            return OK;
        }
    }
    FAIL(ERR_INVALID, "one of spiffe_id, serial and jti can be banned");
}

struct err denylist_check(struct str kind, struct str value, struct str reason)
{
    struct str known;
    TRY(kind_of(kind, &known));
    ENSURE(value.n > 0 && value.n <= DENYLIST_VALUE_MAX && str_is_utf8(value), ERR_INVALID,
           "%.*s must have 1 to %d bytes", STR_FMT(kind), DENYLIST_VALUE_MAX);
    ENSURE(reason.n <= DENYLIST_REASON_MAX && str_is_utf8(reason), ERR_LIMIT,
           "a reason of %zu bytes; at most %d", reason.n, DENYLIST_REASON_MAX);
    struct spiffe_id id;
    if (str_is(kind, "spiffe_id")) {
        struct err e = spiffe_id_parse(value, &id);
        return failed(e) ? err_wrap(e, "spiffe_id") : OK;
    }
    for (size_t i = 0; str_is(kind, "serial") && i < value.n; i++) {
        char c = value.p[i];
        ENSURE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'), ERR_INVALID,
               "serial must be written in lower-case hexadecimal digits");
    }
    return OK;
}

static struct ban *find(const struct denylist *d, struct str kind, struct str value)
{
    for (size_t i = 0; i < d->n; i++) {
        if (str_eq(d->bans[i].kind, kind) && str_eq(d->bans[i].value, value)) {
            return &d->bans[i];
        }
    }
    return NULL;
}

bool denylist_has(const struct denylist *d, const char *kind, struct str value)
{
    return d->n > 0 && find(d, str_of(kind), value) != NULL;
}

static void remember(struct denylist *d, struct str kind, struct str value, struct str reason,
                     int64_t since_s)
{
    struct ban *b = find(d, kind, value);
    if (b != NULL) {
        str_disown(&b->reason);
        b->reason = str_own(reason);
        return;
    }
    d->bans = realloc(d->bans, (d->n + 1) * sizeof(*d->bans));
    BUG_ON(d->bans == NULL);
    d->bans[d->n++] = (struct ban){
        .kind = kind, .value = str_own(value), .reason = str_own(reason), .since_s = since_s};
}

/* ---- certificates that are still valid, of those who are banned ---- */

static void forget_revoked(struct denylist *d)
{
    for (size_t i = 0; i < d->n_revoked; i++) {
        str_disown(&d->revoked[i].serial);
    }
    free(d->revoked);
    d->revoked = NULL;
    d->n_revoked = 0;
}

static struct err add_revoked(struct denylist *d, struct str hex, int64_t at_s)
{
    struct arena a;
    arena_init(&a, 4096);
    struct str serial;
    struct err e = hex_decode(&a, hex, &serial);
    if (!failed(e) && serial.n > 0 && serial.n <= X509_SERIAL_MAX) {
        d->revoked = realloc(d->revoked, (d->n_revoked + 1) * sizeof(*d->revoked));
        BUG_ON(d->revoked == NULL);
        d->revoked[d->n_revoked++] = (struct x509_revoked){str_own(serial), at_s};
    }
    arena_release(&a);
    return e;
}

static struct err reload_revoked(struct denylist *d)
{
    struct stmt *q;
    forget_revoked(d);
    TRY(store_stmt(d->store,
                   "SELECT i.serial, b.since FROM issued i JOIN ban b ON (b.kind = 'spiffe_id' AND "
                   "b.value = i.spiffe_id) "
                   "OR (b.kind = 'serial' AND b.value = i.serial) GROUP BY i.serial LIMIT 10000",
                   &q));
    for (bool row = true;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct err e = add_revoked(d, stmt_col_str(q, 0), stmt_col_int(q, 1));
        if (failed(e)) {
            stmt_reset(q);
            return e;
        }
    }
}

struct issued {
    struct denylist *list;
    struct str id, serial; /* owned */
    int64_t not_after_s;
};

static struct err write_issued(void *ctx)
{
    struct issued *i = ctx;
    struct stmt *q;
    TRY(store_stmt(i->list->store,
                   "INSERT OR IGNORE INTO issued(serial, spiffe_id, not_after) VALUES(?, ?, ?)",
                   &q));
    stmt_bind_str(q, 1, i->serial);
    stmt_bind_str(q, 2, i->id);
    stmt_bind_int(q, 3, i->not_after_s);
    return stmt_run(q);
}

static void wrote_issued(void *ctx, struct err e)
{
    struct issued *i = ctx;
    str_disown(&i->id);
    str_disown(&i->serial);
    free(i);
}

void denylist_issued(struct denylist *d, struct str spiffe_id, struct str serial,
                     int64_t not_after_s)
{
    struct issued *i = calloc(1, sizeof(*i));
    BUG_ON(i == NULL);
    struct buf hex;
    buf_init(&hex, 64);
    hex_put(&hex, serial);
    *i = (struct issued){d, str_own(spiffe_id), str_own(buf_str(&hex)), not_after_s};
    buf_release(&hex);
    store_batch(d->store, write_issued, wrote_issued, i);
}

void denylist_prune(struct denylist *d, int64_t now_s)
{
    struct stmt *q;
    if (!failed(store_stmt(d->store, "DELETE FROM issued WHERE not_after < ?", &q))) {
        stmt_bind_int(q, 1, now_s);
        ignore_err(stmt_run(q)); /* tried again the next hour */
        ignore_err(reload_revoked(d));
    }
}

/* ---- the database ---- */

static struct err read_bans(struct denylist *d)
{
    struct stmt *q;
    TRY(store_stmt(d->store, "SELECT kind, value, reason, since FROM ban ORDER BY since, rowid",
                   &q));
    for (bool row = true;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct str kind;
        struct err e = kind_of(stmt_col_str(q, 0), &kind);
        if (failed(e)) {
            stmt_reset(q);
            return e;
        }
        remember(d, kind, stmt_col_str(q, 1), stmt_col_str(q, 2), stmt_col_int(q, 3));
    }
}

static struct err read_sequence(struct denylist *d)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(d->store, "SELECT value FROM number WHERE name = 'denylist'", &q));
    TRY(stmt_step(q, &row));
    d->sequence = row ? (uint64_t)stmt_col_int(q, 0) : 1;
    stmt_reset(q);
    return OK;
}

struct err denylist_open(struct store *s, struct loop *l, struct denylist *out)
{
    *out = (struct denylist){.store = s, .loop = l};
    TRY(read_bans(out));
    TRY(read_sequence(out));
    return reload_revoked(out);
}

static struct err write_change(struct denylist *d, struct stmt *change)
{
    struct stmt *q;
    TRY(stmt_run(change));
    TRY(store_stmt(d->store,
                   "INSERT INTO number(name, value) VALUES('denylist', ?1) "
                   "ON CONFLICT(name) DO UPDATE SET value = ?1",
                   &q));
    stmt_bind_int(q, 1, (int64_t)d->sequence + 1);
    return stmt_run(q);
}

/* The change and the number that announces it are one transaction. */
static struct err commit_change(struct denylist *d, struct stmt *change)
{
    TRY(store_begin(d->store));
    struct err e = write_change(d, change);
    if (failed(e)) {
        store_rollback(d->store);
        return e;
    }
    return store_commit(d->store);
}

static void answer_all(struct denylist *d);

struct err denylist_add(struct denylist *d, struct str kind, struct str value, struct str reason,
                        int64_t now_s)
{
    struct str known;
    struct stmt *q;
    TRY(denylist_check(kind, value, reason));
    TRY(kind_of(kind, &known));
    ENSURE(d->n < DENYLIST_MAX, ERR_LIMIT, "over %d bans", DENYLIST_MAX);
    store_flush(d->store);
    TRY(store_stmt(d->store,
                   "INSERT INTO ban(kind, value, reason, since) VALUES(?1, ?2, ?3, ?4) "
                   "ON CONFLICT(kind, value) DO UPDATE SET reason = ?3",
                   &q));
    stmt_bind_str(q, 1, known);
    stmt_bind_str(q, 2, value);
    stmt_bind_str(q, 3, reason);
    stmt_bind_int(q, 4, now_s);
    TRY(commit_change(d, q));
    remember(d, known, value, reason, now_s);
    d->sequence++;
    TRY(reload_revoked(d));
    answer_all(d);
    return OK;
}

struct err denylist_remove(struct denylist *d, struct str kind, struct str value)
{
    struct ban *b = find(d, kind, value);
    struct stmt *q;
    ENSURE(b != NULL, ERR_NOT_FOUND, "%.*s '%.*s' is not banned", STR_FMT(str_sub(kind, 0, 32)),
           STR_FMT(str_sub(value, 0, 200)));
    store_flush(d->store);
    TRY(store_stmt(d->store, "DELETE FROM ban WHERE kind = ? AND value = ?", &q));
    stmt_bind_str(q, 1, kind);
    stmt_bind_str(q, 2, value);
    TRY(commit_change(d, q));
    str_disown(&b->value);
    str_disown(&b->reason);
    *b = d->bans[--d->n];
    d->sequence++;
    TRY(reload_revoked(d));
    answer_all(d);
    return OK;
}

/* ---- those who wait ---- */

struct json *denylist_to_json(struct arena *a, const struct denylist *d)
{
    struct json *o = json_new_object(a), *list = json_new_array(a);
    json_set(a, o, S("sequence"), json_new_int(a, (int64_t)d->sequence));
    for (size_t i = 0; i < d->n; i++) {
        struct json *b = json_new_object(a);
        json_set(a, b, d->bans[i].kind, json_new_string(a, d->bans[i].value));
        json_set(a, b, S("since"), json_new_int(a, d->bans[i].since_s));
        json_set(a, b, S("reason"), json_new_string(a, d->bans[i].reason));
        json_push(a, list, b);
    }
    json_set(a, o, S("entries"), list);
    return o;
}

static void answer(struct denylist *d, struct http_req *req)
{
    struct buf b;
    buf_init(&b, 512 * 1024 * 1024);
    struct arena a;
    arena_init(&a, (size_t)1 << 30);
    json_write(&b, denylist_to_json(&a, d));
    arena_release(&a);
    http_reply_json(req, 200, buf_str(&b));
    buf_release(&b);
}

static void waiter_free(struct deny_waiter *w)
{
    *w->link = w->next;
    if (w->next != NULL) {
        w->next->link = w->link;
    }
    w->list->n_waiters--;
    timer_stop(w->timer);
    free(w);
}

static void answer_waiter(struct deny_waiter *w)
{
    struct denylist *d = w->list;
    struct http_req *req = w->req;
    waiter_free(w);
    answer(d, req);
}

static void answer_all(struct denylist *d)
{
    while (d->waiters != NULL) {
        answer_waiter(d->waiters);
    }
}

static void waited_long(void *ctx)
{
    struct deny_waiter *w = ctx;
    w->timer = NULL;
    answer_waiter(w);
}

static void left(void *ctx)
{
    waiter_free(ctx);
}

void denylist_handler(struct http_req *req, void *ctx)
{
    struct denylist *d = ctx;
    struct str text;
    uint64_t after = 0;
    if (http_query_get(req, "after", &text) && failed(str_to_u64(text, &after))) {
        http_reply_text(req, 400, S("after must be a number\n"));
        return;
    }
    if (after < d->sequence || after > d->sequence || d->n_waiters >= DENYLIST_WAITERS_MAX) {
        answer(d, req); /* a number from the future is of another installation: start over */
        return;
    }
    struct deny_waiter *w = calloc(1, sizeof(*w));
    BUG_ON(w == NULL);
    *w = (struct deny_waiter){.next = d->waiters, .link = &d->waiters, .list = d, .req = req};
    if (w->next != NULL) {
        w->next->link = &w->next;
    }
    d->waiters = w;
    d->n_waiters++;
    w->timer = timer_start(d->loop, DENYLIST_WAIT_MS, 0, waited_long, w);
    http_on_abort(req, left, w);
}

void denylist_close(struct denylist *d)
{
    while (d->waiters != NULL) {
        struct http_req *req = d->waiters->req;
        waiter_free(d->waiters);
        http_reply_abort(req);
    }
    for (size_t i = 0; i < d->n; i++) {
        str_disown(&d->bans[i].value);
        str_disown(&d->bans[i].reason);
    }
    free(d->bans);
    forget_revoked(d);
}
