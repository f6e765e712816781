#include "lib/store/pg.h"

#include <libpq-fe.h>
#include <stdlib.h>

enum { DEFAULT_TIMEOUT_S = 10, PASSWORD_MAX = 1024 };

struct pg {
    PGconn *conn;
    char sqlstate[6];
};

/* The server's text ends in a newline and may hold several lines; one line is enough. */
static struct str first_line(const char *message)
{
    struct str text = str_trim(str_of(message));
    return str_split(&text, '\n');
}

static struct err connect_error(PGconn *conn)
{
    struct str text = first_line(PQerrorMessage(conn));
    bool refused = str_find(text, S("authentication failed")) != STR_NPOS ||
                   str_find(text, S("no password supplied")) != STR_NPOS ||
                   str_find(text, S("is not permitted to log in")) != STR_NPOS;
    return err_make(refused ? ERR_UNAUTHENTICATED : ERR_UNAVAILABLE, "PostgreSQL: %.*s",
                    STR_FMT(text));
}

static struct err set_timeout(struct pg *pg, int seconds)
{
    char sql[64];
    snprintf(sql, sizeof(sql), "SET statement_timeout = %d", seconds * 1000);
    return pg_exec(pg, str_of(sql));
}

struct err pg_connect(const struct pg_params *p, struct pg **out)
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    char password[PASSWORD_MAX] = "";
    int timeout = p->timeout_s > 0 ? p->timeout_s : DEFAULT_TIMEOUT_S;
    struct str port = arena_printf(&a, "%u", p->port != 0 ? (unsigned)p->port : 5432u);
    struct str seconds = arena_printf(&a, "%d", timeout);
    struct err e = p->password != NULL
                       ? str_to_cstr(secret_bytes(p->password), password, sizeof(password))
                       : OK;
    const char *keys[] = {"host",
                          "port",
                          "user",
                          "dbname",
                          "password",
                          "sslmode",
                          "sslrootcert",
                          "connect_timeout",
                          "application_name",
                          NULL};
    const char *values[] = {arena_cstr(&a, p->host),
                            port.p,
                            arena_cstr(&a, p->user),
                            arena_cstr(&a, p->dbname),
                            password,
                            p->sslmode.n > 0 ? arena_cstr(&a, p->sslmode) : "prefer",
                            arena_cstr(&a, p->sslrootcert),
                            seconds.p,
                            "sextant",
                            NULL};
    PGconn *conn = failed(e) ? NULL : PQconnectdbParams(keys, values, 0);
    wipe(password, sizeof(password));
    arena_release(&a);
    TRY(e);
    if (PQstatus(conn) != CONNECTION_OK) {
        e = connect_error(conn);
        PQfinish(conn);
        return e;
    }
    struct pg *pg = calloc(1, sizeof(*pg));
    BUG_ON(pg == NULL);
    pg->conn = conn;
    e = set_timeout(pg, timeout);
    if (failed(e)) {
        pg_close(pg);
        return e;
    }
    *out = pg;
    return OK;
}

void pg_close(struct pg *pg)
{
    if (pg != NULL) {
        PQfinish(pg->conn);
        free(pg);
    }
}

const char *pg_sqlstate(const struct pg *pg)
{
    return pg->sqlstate;
}

/* Takes over `res`: keeps what is needed of an error and frees it. */
static struct err result_error(struct pg *pg, PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    snprintf(pg->sqlstate, sizeof(pg->sqlstate), "%s", state != NULL ? state : "");
    struct str text =
        first_line(res != NULL ? PQresultErrorMessage(res) : PQerrorMessage(pg->conn));
    bool lost = PQstatus(pg->conn) != CONNECTION_OK;
    struct err e = err_make(lost ? ERR_UNAVAILABLE : ERR_INVALID, "PostgreSQL: %.*s (SQLSTATE %s)",
                            STR_FMT(text), pg->sqlstate);
    PQclear(res);
    return e;
}

static bool succeeded(const PGresult *res)
{
    ExecStatusType s = PQresultStatus(res);
    return s == PGRES_COMMAND_OK || s == PGRES_TUPLES_OK || s == PGRES_EMPTY_QUERY;
}

struct err pg_exec(struct pg *pg, struct str sql)
{
    ENSURE(str_find_char(sql, '\0') == STR_NPOS, ERR_SYNTAX, "a NUL byte inside a statement");
    char *text = strndup(sql.p != NULL ? sql.p : "", sql.n);
    BUG_ON(text == NULL);
    PGresult *res = PQexec(pg->conn, text);
    wipe(text, sql.n); /* CREATE ROLE carries a password */
    free(text);
    if (!succeeded(res)) {
        return result_error(pg, res);
    }
    PQclear(res);
    return OK;
}

static struct err copy_rows(struct arena *a, const PGresult *res, struct pg_rows *out)
{
    size_t rows = (size_t)PQntuples(res), columns = (size_t)PQnfields(res);
    ENSURE(rows <= PG_ROWS_MAX, ERR_LIMIT, "%zu rows where at most %d are accepted", rows,
           PG_ROWS_MAX);
    struct pg_rows r = {.rows = rows, .columns = columns};
    r.values = arena_array(a, struct str, rows * columns);
    for (size_t i = 0; i < rows * columns; i++) {
        int row = (int)(i / columns), column = (int)(i % columns);
        if (!PQgetisnull(res, row, column)) {
            r.values[i] = arena_str(
                a, str_n(PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column)));
        }
        ENSURE(!arena_exhausted(a), ERR_LIMIT, "a result larger than its memory budget");
    }
    r.tag = arena_str(a, str_of(PQcmdStatus((PGresult *)(uintptr_t)res)));
    *out = r;
    return OK;
}

struct err pg_query(struct pg *pg, struct arena *a, const char *sql, const struct str *params,
                    size_t n, struct pg_rows *out)
{
    const char *values[PG_PARAMS_MAX];
    ENSURE(n <= PG_PARAMS_MAX, ERR_LIMIT, "%zu parameters; at most %d", n, PG_PARAMS_MAX);
    for (size_t i = 0; i < n; i++) {
        ENSURE(str_find_char(params[i], '\0') == STR_NPOS, ERR_SYNTAX, "a NUL byte inside a value");
        values[i] = params[i].p != NULL ? arena_cstr(a, params[i]) : NULL;
    }
    PGresult *res = PQexecParams(pg->conn, sql, (int)n, NULL, values, NULL, NULL, 0);
    if (!succeeded(res)) {
        return result_error(pg, res);
    }
    struct err e = copy_rows(a, res, out);
    PQclear(res);
    return e;
}

static struct err quote(struct arena *a, struct str text, char mark, struct str *out)
{
    struct buf b;
    ENSURE(str_find_char(text, '\0') == STR_NPOS, ERR_SYNTAX,
           "a NUL byte inside an SQL name or text");
    buf_init_secret(&b, text.n * 2 + 8);
    bool backslash = mark == '\'' && str_find_char(text, '\\') != STR_NPOS;
    buf_puts(&b, backslash ? S(" E") : S("")); /* right under either standard_conforming_strings */
    buf_putc(&b, mark);
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == mark || (backslash && text.p[i] == '\\')) {
            buf_putc(&b, text.p[i]);
        }
        buf_putc(&b, text.p[i]);
    }
    buf_putc(&b, mark);
    *out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return OK;
}

struct err pg_quote_ident(struct arena *a, struct str name, struct str *out)
{
    return quote(a, name, '"', out);
}

struct err pg_quote_literal(struct arena *a, struct str text, struct str *out)
{
    return quote(a, text, '\'', out);
}
