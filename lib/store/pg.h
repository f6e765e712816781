/*
 * pg: a connection to PostgreSQL, through libpq.
 *
 * Calls block: make them on the loop's pool (loop_work), one thread at a time for each connection. Errors
 * carry the server's message and SQLSTATE, never a password. Values travel as parameters, apart from
 * the statement; pg_quote_ident and pg_quote_literal are for statements that take none (CREATE ROLE).
 *
 *     TRY(pg_connect(&(struct pg_params){.host = S("10.0.0.5"), .user = S("app"), .password = &pw,
 *                                        .dbname = S("records")}, &pg));
 *     TRY(pg_query(pg, &arena, "SELECT id FROM payment WHERE team = $1", &team, 1, &rows));
 *     pg_close(pg);
 */
#ifndef SEXTANT_PG_H
#define SEXTANT_PG_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/secret.h"

enum { PG_PARAMS_MAX = 32, PG_ROWS_MAX = 100000 };

struct pg;

struct pg_params {
    struct str host; /* name, address, or directory of a unix socket */
    uint16_t port;   /* 0: 5432 */
    struct str user, dbname;
    const struct secret *password; /* NULL: none */
    struct str sslmode;            /* empty: "prefer" */
    struct str sslrootcert;        /* file of the CA; may be empty */
    int timeout_s;                 /* of connecting and of each statement; 0: 10 */
};

/* A result: values of row r, column c at [r * columns + c]; NULL values have p == NULL. */
struct pg_rows {
    size_t rows, columns;
    struct str *values;
    struct str tag; /* "INSERT 0 1" */
};

/* ERR_UNAVAILABLE: nobody there; ERR_UNAUTHENTICATED: role or password refused; ERR_INVALID otherwise. */
struct err pg_connect(const struct pg_params *p, struct pg **out);
void pg_close(struct pg *pg); /* NULL ok */

/* Statements without parameters, several separated by ';' in one implicit transaction. */
struct err pg_exec(struct pg *pg, struct str sql);
/* One statement with $1..$n as text. ERR_LIMIT over PG_ROWS_MAX rows or the arena's budget. */
struct err pg_query(struct pg *pg, struct arena *a, const char *sql, const struct str *params,
                    size_t n, struct pg_rows *out);
/* SQLSTATE of the connection's latest error, "" when it had none. */
const char *pg_sqlstate(const struct pg *pg);

/* `"name"` and `'text'` with everything inside escaped. ERR_SYNTAX on a NUL byte. */
struct err pg_quote_ident(struct arena *a, struct str name, struct str *out);
struct err pg_quote_literal(struct arena *a, struct str text, struct str *out);

#endif
