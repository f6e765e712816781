#include "storage.h"

#include "lib/loop/loop.h"
#include "lib/store/store.h"

static const char *const schema[] = {
    "CREATE TABLE entries(path TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;"
    "CREATE TABLE plain(path TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID, STRICT;",
    NULL,
};

struct waiter {
    void (*done)(void *ctx, struct err e);
    void *ctx;
};

struct storage {
    struct store *db;
    struct loop *loop;
    struct barrier *barrier;
    struct timer *timer; /* commits at the end of this turn; NULL when nothing is written */
    bool open, broken;   /* a transaction is open; a write of it failed */
    struct waiter *waiters;
    size_t n_waiters, cap_waiters;
    void (*on_failure)(void *ctx);
    void *failure_ctx;
    struct buf scratch; /* a record on its way in or out; wiped */
};

struct err storage_open(const char *file, struct loop *loop, struct storage **out)
{
    struct store *db;
    TRY(store_open(file, schema, &db));
    struct storage *st = calloc(1, sizeof *st);
    BUG_ON(st == NULL);
    st->db = db;
    st->loop = loop;
    buf_init_secret(&st->scratch, BARRIER_VALUE_MAX + BARRIER_OVERHEAD);
    *out = st;
    return OK;
}

static void tell_waiters(struct storage *st, struct err e)
{
    struct waiter *list = st->waiters;
    size_t n = st->n_waiters;
    st->waiters = NULL;
    st->n_waiters = st->cap_waiters = 0;
    for (size_t i = 0; i < n; i++) {
        list[i].done(list[i].ctx, e);
    }
    free(list);
}

static void commit_now(void *ctx)
{
    struct storage *st = ctx;
    st->timer = NULL;
    struct err e = OK;
    if (st->open) {
        st->open = false;
        if (st->broken) {
            store_rollback(st->db);
            e = err_make(ERR_IO, "a write failed");
        } else {
            e = store_commit(st->db);
        }
    }
    st->broken = false;
    if (failed(e) && st->on_failure != NULL) {
        st->on_failure(st->failure_ctx);
    }
    tell_waiters(st, e);
}

void storage_close(struct storage *st)
{
    if (st == NULL) {
        return;
    }
    timer_stop(st->timer);
    st->timer = NULL;
    if (st->open) {
        commit_now(st);
    }
    store_close(st->db);
    free(st->waiters);
    buf_release(&st->scratch);
    free(st);
}

void storage_set_barrier(struct storage *st, struct barrier *b)
{
    st->barrier = b;
}

struct barrier *storage_barrier(const struct storage *st)
{
    return st->barrier;
}

void storage_on_failure(struct storage *st, void (*fn)(void *ctx), void *ctx)
{
    st->on_failure = fn;
    st->failure_ctx = ctx;
}

/* Every write goes through here: a transaction is open and will be committed at the turn's end. */
static struct err begin(struct storage *st)
{
    ENSURE(!st->broken, ERR_IO, "an earlier write of this turn failed");
    if (!st->open) {
        TRY(store_begin(st->db));
        st->open = true;
    }
    if (st->loop != NULL && st->timer == NULL) {
        st->timer = timer_start(st->loop, 0, 0, commit_now, st);
    }
    return OK;
}

static struct err note_failure(struct storage *st, struct err e)
{
    st->broken |= failed(e);
    return e;
}

static struct err put_row(struct storage *st, struct stmt *q, struct str path, struct str value)
{
    stmt_bind_str(q, 1, path);
    stmt_bind_blob(q, 2, value);
    return note_failure(st, stmt_run(q));
}

struct err storage_put(struct storage *st, struct str path, struct str value)
{
    ENSURE(st->barrier != NULL, ERR_SEALED, "sealed");
    ENSURE(path.n > 0 && path.n <= STORAGE_PATH_MAX, ERR_LIMIT, "a storage path has 1 to %d bytes",
           STORAGE_PATH_MAX);
    buf_clear(&st->scratch);
    TRY(barrier_seal(st->barrier, path, value, &st->scratch));
    TRY(begin(st));
    struct stmt *q;
    TRY(store_stmt(st->db,
                   "INSERT INTO entries(path, value) VALUES(?, ?) "
                   "ON CONFLICT(path) DO UPDATE SET value = excluded.value",
                   &q));
    return put_row(st, q, path, buf_str(&st->scratch));
}

struct err storage_put_plain(struct storage *st, struct str path, struct str value)
{
    TRY(begin(st));
    struct stmt *q;
    TRY(store_stmt(st->db,
                   "INSERT INTO plain(path, value) VALUES(?, ?) "
                   "ON CONFLICT(path) DO UPDATE SET value = excluded.value",
                   &q));
    return put_row(st, q, path, value);
}

struct err storage_del(struct storage *st, struct str path)
{
    ENSURE(st->barrier != NULL, ERR_SEALED, "sealed");
    TRY(begin(st));
    struct stmt *q;
    TRY(store_stmt(st->db, "DELETE FROM entries WHERE path = ?", &q));
    stmt_bind_str(q, 1, path);
    return note_failure(st, stmt_run(q));
}

struct err storage_get(struct storage *st, struct arena *a, struct str path, struct str *value,
                       bool *found)
{
    ENSURE(st->barrier != NULL, ERR_SEALED, "sealed");
    struct stmt *q;
    TRY(store_stmt(st->db, "SELECT value FROM entries WHERE path = ?", &q));
    stmt_bind_str(q, 1, path);
    bool row;
    TRY(stmt_step(q, &row));
    struct err e = OK;
    if (row) {
        buf_clear(&st->scratch);
        e = barrier_open(st->barrier, path, stmt_col_str(q, 0), &st->scratch);
        if (!failed(e)) {
            *value = arena_str(a, buf_str(&st->scratch));
        }
    }
    stmt_reset(q);
    if (!failed(e)) {
        *found = row;
    }
    return e;
}

struct err storage_get_plain(struct storage *st, struct arena *a, struct str path,
                             struct str *value, bool *found)
{
    struct stmt *q;
    TRY(store_stmt(st->db, "SELECT value FROM plain WHERE path = ?", &q));
    stmt_bind_str(q, 1, path);
    bool row;
    TRY(stmt_step(q, &row));
    if (row) {
        *value = stmt_col_copy(q, 0, a);
    }
    stmt_reset(q);
    *found = row;
    return OK;
}

struct err storage_get_json(struct storage *st, struct arena *a, struct str path, struct json **out)
{
    struct str text;
    bool found;
    struct json *v = NULL;
    TRY(storage_get(st, a, path, &text, &found));
    if (found) {
        TRY(json_parse(a, text, NULL, &v));
    }
    *out = v;
    return OK;
}

struct err storage_put_json(struct storage *st, struct str path, const struct json *v)
{
    struct buf b;
    buf_init_secret(&b, BARRIER_VALUE_MAX);
    json_write(&b, v);
    struct err e = buf_check(&b);
    if (!failed(e)) {
        e = storage_put(st, path, buf_str(&b));
    }
    buf_release(&b);
    return e;
}

/* The first path at or after `from`, below `prefix`; an empty slice when there is none. */
static struct err next_path(struct storage *st, struct arena *a, struct str from, struct str prefix,
                            struct str *out)
{
    struct stmt *q;
    TRY(store_stmt(st->db, "SELECT path FROM entries WHERE path >= ? ORDER BY path LIMIT 1", &q));
    stmt_bind_str(q, 1, from);
    bool row;
    TRY(stmt_step(q, &row));
    struct str path = row ? stmt_col_copy(q, 0, a) : STR_EMPTY;
    stmt_reset(q);
    *out = str_starts(path, prefix) ? path : STR_EMPTY;
    return OK;
}

struct err storage_list(struct storage *st, struct arena *a, struct str prefix, size_t max,
                        struct json *names)
{
    struct str from = prefix;
    for (size_t n = 0; n < max; n++) {
        struct str path;
        TRY(next_path(st, a, from, prefix, &path));
        if (path.n == 0) {
            return OK;
        }
        struct str name = str_sub(path, prefix.n, path.n);
        size_t slash = str_find_char(name, '/');
        if (slash == STR_NPOS) {
            json_push(a, names, json_new_string(a, name));
            char *next = arena_alloc(a, path.n + 1);
            memcpy(next, path.p, path.n);
            from = str_n(next, path.n + 1); /* the path and a NUL: the smallest text behind it */
        } else {
            json_push(a, names, json_new_string(a, str_sub(name, 0, slash + 1)));
            from = arena_str(a, str_sub(path, 0, prefix.n + slash + 1));
            ((char *)(uintptr_t)
                 from.p)[from.n - 1]++; /* '0' follows '/': behind the whole folder */
        }
        ENSURE(!arena_exhausted(a), ERR_LIMIT, "the list is too long");
    }
    return OK;
}

static struct err open_row(struct storage *st, struct stmt *q, struct str prefix, bool *more,
                           struct err (*fn)(void *ctx, struct str path, struct str value),
                           void *ctx)
{
    struct str path = stmt_col_str(q, 0);
    if (!str_starts(path, prefix)) {
        *more = false;
        return OK;
    }
    struct buf plain;
    buf_init_secret(&plain, BARRIER_VALUE_MAX);
    struct err e = barrier_open(st->barrier, path, stmt_col_str(q, 1), &plain);
    if (!failed(e)) {
        e = fn(ctx, path, buf_str(&plain));
    }
    buf_release(&plain);
    return e;
}

struct err storage_each(struct storage *st, struct str prefix,
                        struct err (*fn)(void *ctx, struct str path, struct str value), void *ctx)
{
    ENSURE(st->barrier != NULL, ERR_SEALED, "sealed");
    struct stmt *q;
    TRY(store_stmt(st->db, "SELECT path, value FROM entries WHERE path >= ? ORDER BY path", &q));
    stmt_bind_str(q, 1, prefix);
    bool row = true;
    for (;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct err e = open_row(st, q, prefix, &row, fn, ctx);
        if (failed(e) || !row) {
            stmt_reset(q);
            return e;
        }
    }
}

struct err storage_del_prefix(struct storage *st, struct str prefix)
{
    BUG_ON(prefix.n > STORAGE_PATH_MAX || !str_ends(prefix, S("/")));
    TRY(begin(st));
    struct stmt *q;
    TRY(store_stmt(st->db, "DELETE FROM entries WHERE path >= ? AND path < ?", &q));
    char end[STORAGE_PATH_MAX];
    memcpy(end, prefix.p, prefix.n);
    end[prefix.n - 1]++; /* '0' follows '/': behind the whole folder */
    stmt_bind_str(q, 1, prefix);
    stmt_bind_str(q, 2, str_n(end, prefix.n));
    return note_failure(st, stmt_run(q));
}

void storage_commit(struct storage *st, void (*done)(void *ctx, struct err e), void *ctx)
{
    if (!st->open && st->timer == NULL) {
        done(ctx, OK);
        return;
    }
    if (st->n_waiters == st->cap_waiters) {
        st->cap_waiters = st->cap_waiters == 0 ? 16 : st->cap_waiters * 2;
        st->waiters = realloc(st->waiters, st->cap_waiters * sizeof *st->waiters);
        BUG_ON(st->waiters == NULL);
    }
    st->waiters[st->n_waiters++] = (struct waiter){done, ctx};
    if (st->loop == NULL) {
        commit_now(st);
    }
}

bool storage_dirty(const struct storage *st)
{
    return st->open;
}
