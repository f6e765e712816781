#include "store_priv.h"

#include <sys/stat.h>

struct err store_error(struct store *s, int rc, const char *doing)
{
    static const struct {
        int rc;
        enum err_code code;
    } codes[] = {
        {SQLITE_FULL, ERR_LIMIT},          {SQLITE_CONSTRAINT_UNIQUE, ERR_EXISTS},
        {SQLITE_BUSY, ERR_BUSY},           {SQLITE_CONSTRAINT_PRIMARYKEY, ERR_EXISTS},
        {SQLITE_LOCKED, ERR_BUSY},         {SQLITE_CONSTRAINT_ROWID, ERR_EXISTS},
        {SQLITE_CONSTRAINT, ERR_CONFLICT}, {SQLITE_TOOBIG, ERR_LIMIT},
        {SQLITE_NOTADB, ERR_SYNTAX},       {SQLITE_CANTOPEN, ERR_IO},
    };
    enum err_code code = ERR_IO;
    int extended = sqlite3_extended_errcode(s->db);
    if ((extended & 0xff) != (rc & 0xff)) {
        extended = rc;
    }
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (codes[i].rc == extended || (codes[i].rc == (rc & 0xff) && code == ERR_IO)) {
            code = codes[i].code;
        }
    }
    s->stats.failures++;
    return err_make(code, "%s: %s: %s", s->path, doing, sqlite3_errmsg(s->db));
}

struct err store_exec(struct store *s, const char *sql)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? OK : store_error(s, rc, "statement failed");
}

static struct err read_number(struct store *s, const char *sql, int64_t *out)
{
    sqlite3_stmt *q;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &q, NULL);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(q);
        if (rc == SQLITE_ROW) {
            *out = sqlite3_column_int64(q, 0);
        }
        sqlite3_finalize(q);
    }
    return rc == SQLITE_ROW ? OK : store_error(s, rc, sql);
}

/* One migration and its number are one transaction: a crash between the two cannot happen. */
static struct err apply_migration(struct store *s, const char *sql, size_t number)
{
    char pragma[64];
    snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu", number);
    TRY(store_begin(s));
    struct err e = store_exec(s, sql);
    if (!failed(e)) {
        e = store_exec(s, pragma);
    }
    if (failed(e)) {
        store_rollback(s);
        return err_wrap(e, "migration %zu", number);
    }
    return store_commit(s);
}

static struct err migrate(struct store *s, const char *const *migrations)
{
    int64_t have = 0;
    size_t known = 0;
    TRY(read_number(s, "PRAGMA user_version", &have));
    while (migrations[known] != NULL) {
        known++;
    }
    ENSURE(have >= 0 && (size_t)have <= known, ERR_UNSUPPORTED,
           "%s has schema %lld, made by a newer program; this one knows up to %zu", s->path,
           (long long)have, known);
    for (size_t i = (size_t)have; i < known; i++) {
        TRY(apply_migration(s, migrations[i], i + 1));
    }
    return OK;
}

/* synchronous=FULL makes a commit in WAL mode wait for its fsync; temporary files would escape the
 * state folder, so they stay in memory; trusted_schema=OFF keeps a doctored file from running code. */
static struct err configure(struct store *s)
{
    char cache[64];
    snprintf(cache, sizeof(cache), "PRAGMA cache_size = -%d", STORE_CACHE_KB);
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
    sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    TRY(store_exec(s, "PRAGMA trusted_schema = OFF; PRAGMA journal_mode = WAL;"
                      "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
                      "PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON;"
                      "PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0"));
    return store_exec(s, cache);
}

/* SQLite's page cache is sized for big databases by default; ours are small and there are many. */
static void limit_memory(void)
{
    static bool done;
    if (!done) {
        done = true;
        sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 256, 64);
    }
}

struct err store_open(const char *path, const char *const *migrations, struct store **out)
{
    limit_memory();
    struct store *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    s->path = strdup(path);
    BUG_ON(s->path == NULL);
    mode_t old = umask(0077); /* the -wal and -shm files take the mode of the database */
    int rc = sqlite3_open_v2(path, &s->db,
                             SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                                 SQLITE_OPEN_NOFOLLOW,
                             NULL);
    struct err e = rc == SQLITE_OK ? configure(s) : store_error(s, rc, "cannot open the database");
    if (!failed(e)) {
        e = migrate(s, migrations);
    }
    umask(old);
    if (failed(e)) {
        store_close(s);
        return e;
    }
    *out = s;
    return OK;
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    store_batch_abandon(s);
    while (s->stmts != NULL) {
        struct stmt *q = s->stmts;
        s->stmts = q->next;
        sqlite3_finalize(q->handle);
        free(q);
    }
    sqlite3_close(s->db);
    free(s->queue);
    free(s->path);
    free(s);
}

struct err store_begin(struct store *s)
{
    BUG_ON(s->in_transaction);
    TRY(store_exec(s, "BEGIN IMMEDIATE"));
    s->in_transaction = true;
    return OK;
}

struct err store_commit(struct store *s)
{
    BUG_ON(!s->in_transaction);
    int rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
    if (rc != SQLITE_OK) {
        struct err e = store_error(s, rc, "commit failed, nothing of it is stored");
        store_rollback(s);
        return e;
    }
    s->in_transaction = false;
    s->stats.commits++;
    return OK;
}

/* A full disk makes SQLite roll back by itself; a second ROLLBACK then has nothing to do. */
void store_rollback(struct store *s)
{
    if (sqlite3_get_autocommit(s->db) == 0) {
        sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    }
    s->in_transaction = false;
}

struct err store_backup(struct store *s, const char *path)
{
    struct stmt *q;
    TRY(store_stmt(s, "VACUUM INTO ?", &q));
    stmt_bind_str(q, 1, str_of(path));
    return stmt_run(q);
}

int64_t store_changes(const struct store *s)
{
    return sqlite3_changes64(s->db);
}

int64_t store_last_rowid(const struct store *s)
{
    return sqlite3_last_insert_rowid(s->db);
}

struct store_stats store_stats(const struct store *s)
{
    return s->stats;
}
