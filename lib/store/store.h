/*
 * store: one SQLite database, owned by one daemon.
 *
 * Durable: WAL with synchronous=FULL, so what store_commit() (or the `done` of store_batch())
 * has acknowledged survives a power cut. Inspectable: an ordinary database file that the sqlite3
 * command opens. One thread uses a store; statements are prepared once and kept.
 *
 * The schema is a list of migrations, each a string of SQL, applied in order inside one
 * transaction each; the number applied is kept in PRAGMA user_version. A database made by a newer
 * program is refused.
 *
 *     static const char *const schema[] = {"CREATE TABLE kv(k BLOB PRIMARY KEY, v BLOB) STRICT", NULL};
 *     struct store *db;
 *     TRY(store_open("/var/lib/x/x.db", schema, &db));
 *     struct stmt *q;
 *     TRY(store_stmt(db, "SELECT v FROM kv WHERE k = ?", &q));
 *     stmt_bind_str(q, 1, key);
 *     bool row;
 *     TRY(stmt_step(q, &row));
 *     if (row) use(stmt_col_str(q, 0));       dies at the next step or reset
 *     stmt_reset(q);
 *
 * Errors: ERR_EXISTS on a broken UNIQUE constraint, ERR_CONFLICT on any other constraint,
 * ERR_LIMIT when the disk (or the quota) is full, ERR_BUSY when another process holds the file,
 * ERR_IO for everything else. After ERR_LIMIT nothing of the failed transaction is stored, all
 * that was acknowledged before it is, and the store goes on as soon as there is room.
 */
#ifndef SEXTANT_STORE_H
#define SEXTANT_STORE_H

#include "lib/base/arena.h"
#include "lib/base/err.h"

struct store;
struct stmt;
struct loop;

enum {
    STORE_BUSY_MS = 2000,   /* how long a writer waits for another process's lock */
    STORE_CACHE_KB = 512,   /* page cache; the kernel's cache does the rest */
    STORE_BATCH_MAX = 1024, /* writers in one group commit */
};

/*
 * Opens or creates the database (mode 0600; its folder must exist) and brings its schema up to
 * date. `migrations` is NULL-terminated and must outlive the call only.
 */
struct err store_open(const char *path, const char *const *migrations, struct store **out);
void store_close(
    struct store *s); /* NULL ok; writers still waiting in a batch are told ERR_CLOSED */

/* A statement, prepared on first use and cached by its text: `sql` must be a literal. */
struct err store_stmt(struct store *s, const char *sql, struct stmt **out);

/* Parameters count from 1. A wrong index is a bug and aborts; out of memory shows at the step. */
void stmt_bind_str(struct stmt *q, int i, struct str text); /* TEXT; bytes are copied */
void stmt_bind_blob(struct stmt *q, int i, struct str bytes);
void stmt_bind_int(struct stmt *q, int i, int64_t v);
void stmt_bind_null(struct stmt *q, int i);

/* *row tells whether a row is there to read. After the last row, and after a failure, the
 * statement is reset by itself. */
struct err stmt_step(struct stmt *q, bool *row);
/* Runs a statement to its end, dropping rows: for INSERT, UPDATE and DELETE. */
struct err stmt_run(struct stmt *q);
void stmt_reset(struct stmt *q); /* ends a SELECT early, forgets the parameters */

/* Columns count from 0. Slices live until the next step or reset; NULL reads as empty or 0. */
struct str stmt_col_str(struct stmt *q, int i);
int64_t stmt_col_int(struct stmt *q, int i);
bool stmt_col_is_null(struct stmt *q, int i);
struct str stmt_col_copy(struct stmt *q, int i, struct arena *a);

struct err store_exec(struct store *s, const char *sql); /* any number of statements, no rows */
int64_t store_changes(const struct store *s);            /* rows changed by the latest statement */
int64_t store_last_rowid(const struct store *s);

/* One transaction. store_commit rolls back by itself when it fails. They do not nest. */
struct err store_begin(struct store *s);
struct err store_commit(struct store *s);
void store_rollback(struct store *s);

/*
 * Group commit. `write` is called later in this turn of the loop, inside a transaction shared with
 * every other writer of the turn, so that all of them wait for one fsync instead of one each;
 * then `done` is called with success once the data is durable, or with what failed. A `write`
 * that fails is undone alone and does not disturb the others. `done` may queue the next batch.
 *
 * Without store_attach() (commands, tests) the write and its commit happen at once.
 */
void store_attach(struct store *s, struct loop *loop);
void store_batch(struct store *s, struct err (*write)(void *ctx),
                 void (*done)(void *ctx, struct err), void *ctx);
void store_flush(struct store *s); /* commits what is queued, now: before a process ends */

/* Copies the live database, consistently, into a new file (SQL: VACUUM INTO). */
struct err store_backup(struct store *s, const char *path);

/* Counters for /metrics. */
struct store_stats {
    uint64_t commits, batched_writes, failures;
    int64_t last_commit_ns;
};
struct store_stats store_stats(const struct store *s);

#endif
