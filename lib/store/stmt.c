#include "store_priv.h"

#include <limits.h>

struct err store_stmt(struct store *s, const char *sql, struct stmt **out)
{
    for (struct stmt *q = s->stmts; q != NULL; q = q->next) {
        if (q->sql == sql || strcmp(q->sql, sql) == 0) {
            stmt_reset(q);
            *out = q;
            return OK;
        }
    }
    sqlite3_stmt *handle;
    int rc = sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, NULL);
    if (rc != SQLITE_OK) {
        return store_error(s, rc, sql);
    }
    struct stmt *q = calloc(1, sizeof(*q));
    BUG_ON(q == NULL);
    *q = (struct stmt){.store = s, .handle = handle, .sql = sql, .next = s->stmts};
    s->stmts = q;
    *out = q;
    return OK;
}

static void note_bind(struct stmt *q, int rc)
{
    BUG_ON(rc == SQLITE_RANGE || rc == SQLITE_MISUSE);
    if (rc != SQLITE_OK && q->bind_error == SQLITE_OK) {
        q->bind_error = rc;
    }
}

/* An empty slice has no address to bind; SQLite would take a NULL pointer for NULL. */
static const char *bytes_of(struct str s)
{
    return s.p != NULL ? s.p : "";
}

void stmt_bind_str(struct stmt *q, int i, struct str text)
{
    note_bind(q, sqlite3_bind_text64(q->handle, i, bytes_of(text), text.n, SQLITE_TRANSIENT,
                                     SQLITE_UTF8));
}

void stmt_bind_blob(struct stmt *q, int i, struct str bytes)
{
    note_bind(q, sqlite3_bind_blob64(q->handle, i, bytes_of(bytes), bytes.n, SQLITE_TRANSIENT));
}

void stmt_bind_int(struct stmt *q, int i, int64_t v)
{
    note_bind(q, sqlite3_bind_int64(q->handle, i, v));
}

void stmt_bind_null(struct stmt *q, int i)
{
    note_bind(q, sqlite3_bind_null(q->handle, i));
}

struct err stmt_step(struct stmt *q, bool *row)
{
    int rc = q->bind_error != SQLITE_OK ? q->bind_error : sqlite3_step(q->handle);
    if (rc == SQLITE_ROW) {
        *row = true;
        return OK;
    }
    if (rc == SQLITE_DONE) {
        stmt_reset(q);
        *row = false;
        return OK;
    }
    struct err e = store_error(q->store, rc, q->sql);
    stmt_reset(q);
    return e;
}

struct err stmt_run(struct stmt *q)
{
    bool row;
    do {
        TRY(stmt_step(q, &row));
    } while (row);
    return OK;
}

void stmt_reset(struct stmt *q)
{
    sqlite3_reset(q->handle);
    sqlite3_clear_bindings(q->handle);
    q->bind_error = SQLITE_OK;
}

struct str stmt_col_str(struct stmt *q, int i)
{
    const void *p = sqlite3_column_blob(q->handle, i);
    return p != NULL ? str_n(p, (size_t)sqlite3_column_bytes(q->handle, i)) : STR_EMPTY;
}

int64_t stmt_col_int(struct stmt *q, int i)
{
    return sqlite3_column_int64(q->handle, i);
}

bool stmt_col_is_null(struct stmt *q, int i)
{
    return sqlite3_column_type(q->handle, i) == SQLITE_NULL;
}

struct str stmt_col_copy(struct stmt *q, int i, struct arena *a)
{
    return arena_str(a, stmt_col_str(q, i));
}
