/* Sessions of browsers, and the ways in which sessions, subjects and clients end. */
#include "grants.h"

static void bind_digest(struct stmt *q, int i, struct str value)
{
    uint8_t digest[SHA256_BYTES];
    sha256(value, digest);
    stmt_bind_blob(q, i, str_n(digest, sizeof(digest)));
}

struct err session_insert(struct store *s, const struct session *n, struct str cookie,
                          struct str source)
{
    struct stmt *q;
    TRY(store_stmt(s,
                   "INSERT INTO session(id, cookie, sub, auth_time, seen, expires, source) "
                   "VALUES(?,?,?,?,?,?,?)",
                   &q));
    stmt_bind_str(q, 1, n->id);
    bind_digest(q, 2, cookie);
    stmt_bind_str(q, 3, n->sub);
    stmt_bind_int(q, 4, n->auth_time);
    stmt_bind_int(q, 5, n->seen);
    stmt_bind_int(q, 6, n->expires);
    stmt_bind_str(q, 7, source);
    return stmt_run(q);
}

struct err session_by_cookie(struct store *s, struct arena *a, struct str cookie,
                             const struct session_limits *lim, int64_t now_s, struct session *out)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(s,
                   "SELECT id, sub, auth_time, seen, expires FROM session WHERE cookie = ? AND "
                   "expires > ? AND seen > ?",
                   &q));
    bind_digest(q, 1, cookie);
    stmt_bind_int(q, 2, now_s);
    stmt_bind_int(q, 3, now_s - lim->idle_s);
    TRY(stmt_step(q, &row));
    ENSURE(row, ERR_NOT_FOUND, "no such session");
    *out = (struct session){stmt_col_copy(q, 0, a), stmt_col_copy(q, 1, a), stmt_col_int(q, 2),
                            stmt_col_int(q, 3), stmt_col_int(q, 4)};
    stmt_reset(q);
    return OK;
}

static struct err run_with(struct store *s, const char *sql, struct str value)
{
    struct stmt *q;
    TRY(store_stmt(s, sql, &q));
    stmt_bind_str(q, 1, value);
    return stmt_run(q);
}

static struct err revoke_families(struct store *s, const char *sql, struct str value, int64_t now_s)
{
    struct stmt *q;
    TRY(store_stmt(s, sql, &q));
    stmt_bind_int(q, 1, now_s);
    stmt_bind_str(q, 2, value);
    return stmt_run(q);
}

struct err session_touch(struct store *s, struct str id, int64_t now_s)
{
    struct stmt *q;
    TRY(store_stmt(s, "UPDATE session SET seen = ? WHERE id = ?", &q));
    stmt_bind_int(q, 1, now_s);
    stmt_bind_str(q, 2, id);
    return stmt_run(q);
}

struct err session_end_others(struct store *s, struct str cookie)
{
    struct stmt *q;
    TRY(store_stmt(s, "DELETE FROM session WHERE cookie = ?", &q));
    bind_digest(q, 1, cookie);
    return stmt_run(q);
}

struct err session_end(struct store *s, struct str id, int64_t now_s, int64_t mark_s)
{
    TRY(run_with(s, "DELETE FROM session WHERE id = ?", id));
    TRY(revoke_families(
        s, "UPDATE family SET revoked = ? WHERE session = ? AND revoked = 0 AND offline = 0", id,
        now_s));
    return revocation_write(s, MARK_SESSION, id, now_s, now_s + mark_s);
}

struct err subject_end(struct store *s, struct str sub, int64_t now_s, int64_t mark_s)
{
    TRY(run_with(s, "DELETE FROM session WHERE sub = ?", sub));
    TRY(revoke_families(s, "UPDATE family SET revoked = ? WHERE sub = ? AND revoked = 0", sub,
                        now_s));
    return revocation_write(s, MARK_SUBJECT, sub, now_s, now_s + mark_s);
}

struct err client_end(struct store *s, struct str client, int64_t now_s, int64_t mark_s)
{
    TRY(revoke_families(s, "UPDATE family SET revoked = ? WHERE client = ? AND revoked = 0", client,
                        now_s));
    return revocation_write(s, MARK_CLIENT, client, now_s, now_s + mark_s);
}
