#include "registry.h"

#include "lib/store/store.h"

static const char *const schema[] = {
    "CREATE TABLE keys(name TEXT PRIMARY KEY, rules BLOB NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE versions(name TEXT NOT NULL REFERENCES keys(name) ON DELETE CASCADE,"
    " n INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY(name, n)) STRICT, WITHOUT ROWID",
    NULL};

struct registry {
    struct store *db;
};

struct err registry_open(const char *path, struct loop *loop, struct registry **out)
{
    struct registry *r = calloc(1, sizeof(*r));
    BUG_ON(r == NULL);
    struct err e = store_open(path, schema, &r->db);
    if (failed(e)) {
        free(r);
        return e;
    }
    if (loop != NULL) {
        store_attach(r->db, loop);
    }
    *out = r;
    return OK;
}

void registry_close(struct registry *r)
{
    if (r != NULL) {
        store_close(r->db);
        free(r);
    }
}

struct change {
    struct store *db;
    const struct registry_change *c;
    void (*done)(void *ctx, struct err e);
    void *ctx;
};

static struct err run_named(struct store *db, const char *sql, struct str name, struct str blob)
{
    struct stmt *q;
    TRY(store_stmt(db, sql, &q));
    stmt_bind_str(q, 1, name);
    if (blob.p != NULL) {
        stmt_bind_blob(q, 2, blob);
    }
    return stmt_run(q);
}

static struct err write_meta(struct store *db, const struct registry_change *c)
{
    if (c->is_new) {
        return run_named(db, "INSERT INTO keys(name, rules) VALUES(?1, ?2)", c->name, c->meta);
    }
    TRY(run_named(db, "UPDATE keys SET rules = ?2 WHERE name = ?1", c->name, c->meta));
    ENSURE(store_changes(db) == 1, ERR_NOT_FOUND, "no key %.*s", STR_FMT(c->name));
    return OK;
}

static struct err write_version(struct store *db, const struct registry_change *c)
{
    struct stmt *q;
    TRY(store_stmt(db, "INSERT INTO versions(name, n, sealed) VALUES(?, ?, ?)", &q));
    stmt_bind_str(q, 1, c->name);
    stmt_bind_int(q, 2, c->version);
    stmt_bind_blob(q, 3, c->material);
    return stmt_run(q);
}

static struct err trim(struct store *db, const struct registry_change *c)
{
    struct stmt *q;
    TRY(store_stmt(db, "DELETE FROM versions WHERE name = ? AND n < ?", &q));
    stmt_bind_str(q, 1, c->name);
    stmt_bind_int(q, 2, c->trim_below);
    return stmt_run(q);
}

static struct err write_change(void *ctx)
{
    const struct change *w = ctx;
    const struct registry_change *c = w->c;
    if (c->remove) {
        return run_named(w->db, "DELETE FROM keys WHERE name = ?1", c->name, STR_EMPTY);
    }
    if (c->meta.n > 0) {
        TRY(write_meta(w->db, c));
    }
    if (c->material.n > 0) {
        TRY(write_version(w->db, c));
    }
    return c->trim_below > 0 ? trim(w->db, c) : OK;
}

static void change_done(void *ctx, struct err e)
{
    struct change *w = ctx;
    w->done(w->ctx, e);
    free(w);
}

void registry_apply(struct registry *r, const struct registry_change *c,
                    void (*done)(void *ctx, struct err e), void *ctx)
{
    struct change *w = calloc(1, sizeof(*w));
    BUG_ON(w == NULL);
    *w = (struct change){r->db, c, done, ctx};
    store_batch(r->db, write_change, change_done, w);
}

static struct err read_versions(struct registry *r, struct str name,
                                const struct registry_reader *reader)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(r->db, "SELECT n, sealed FROM versions WHERE name = ? ORDER BY n", &q));
    stmt_bind_str(q, 1, name);
    for (;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct err e =
            reader->version(reader->ctx, name, (uint32_t)stmt_col_int(q, 0), stmt_col_str(q, 1));
        if (failed(e)) {
            stmt_reset(q);
            return e;
        }
    }
}

struct err registry_read(struct registry *r, const struct registry_reader *reader)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(r->db, "SELECT name, rules FROM keys ORDER BY name", &q));
    for (;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct str name = stmt_col_str(q, 0);
        struct err e = reader->meta(reader->ctx, name, stmt_col_str(q, 1));
        if (!failed(e)) {
            e = read_versions(r, name, reader);
        }
        if (failed(e)) {
            stmt_reset(q);
            return e;
        }
    }
}

struct err registry_has(struct registry *r, struct str name, bool *out)
{
    struct stmt *q;
    TRY(store_stmt(r->db, "SELECT 1 FROM keys WHERE name = ?", &q));
    stmt_bind_str(q, 1, name);
    TRY(stmt_step(q, out));
    stmt_reset(q);
    return OK;
}
