/*
 * database: short-lived roles in a PostgreSQL server, one a lease.
 *
 * A role is made by the statements of its vault role, and ends by theirs or by ours: it may not log in
 * any more, its sessions are cut, what it owns goes to the administrator, and it is dropped. All of
 * that happens on pool threads over a few kept connections a server.
 */
#ifndef SEXTANT_SECRETS_DATABASE_H
#define SEXTANT_SECRETS_DATABASE_H

#include "core.h"

#include "lib/store/pg.h"

enum {
    DB_CONNS_DEFAULT = 4, /* open connections a server */
    DB_CONNS_MAX = 32,
    DB_NAME_MAX = 63, /* bytes of a role name in PostgreSQL */
    DB_PASSWORD_LEN = 20,
    DB_STATEMENTS_MAX = 32 * 1024,
    DB_GRACE_S = 5, /* VALID UNTIL is this much after the lease */
};

/* One configured server. Immutable but for its idle connections; a new configuration is a new one. */
struct db {
    unsigned refs;
    struct arena arena;
    struct str name, username;
    struct pg_params params;
    struct secret password, pending; /* pending: a rotation that may or may not have happened */
    unsigned max_conns, open_conns;
    struct pg *idle[DB_CONNS_MAX];
    unsigned n_idle;
    struct db_job *waiting_head, *waiting_tail;
};

/* `config` as stored, with its password apart. */
struct err db_new(const struct json *config, struct str password, struct str pending,
                  struct db **out);
struct db *db_ref(struct db *db);
void db_unref(struct db *db); /* NULL ok */

/* One visit to the server, on a pool thread: `work` may use pg, sql and role. */
struct db_job {
    struct core *core;
    struct db *db; /* held */
    struct pg *pg;
    struct err (*work)(struct db_job *j);
    struct buf sql; /* wiped */
    char role[DB_NAME_MAX + 1];
    struct buf custom; /* statements of the role for its end; may be empty */
    revoked_fn *done;
    void *ctx;
    struct db_job *next;
};

struct db_job *db_job_new(struct core *c, struct db *db, struct err (*work)(struct db_job *j),
                          revoked_fn *done, void *ctx);
void db_job_start(struct db_job *j); /* done(ctx, e) on the loop, then the job frees itself */
void db_job_free(struct db_job *j);  /* one that was never started; NULL ok */

/* Works. */
struct err db_work_exec(struct db_job *j);     /* runs j->sql in one transaction */
struct err db_work_end_role(struct db_job *j); /* ends j->role */
struct err db_work_ping(struct db_job *j);

/* Statement templates: {{name}}, {{username}}, {{password}}, {{expiration}}. */
struct db_values {
    struct str name, password;
    int64_t expire_s;
};
struct err db_fill(struct buf *out, struct str statements, const struct db_values *v);
/* `v-<display>-<role>-<20 random>-<unix>`, at most 63 bytes of letters, digits, '-' and '_'. */
void db_username(struct arena *a, struct str display, struct str role, int64_t now_s,
                 struct str *out);
/* 20 characters, at least one of each class; safe between single quotes. */
void db_password(char out[DB_PASSWORD_LEN + 1]);
/* "postgresql://user:{{password}}@host:port/db?sslmode=..." or "host=... dbname=..." */
struct err db_url_parse(struct arena *a, struct str url, struct pg_params *out);

/* The db of a mount by name, loaded when it is not yet; NULL when there is no such configuration. */
struct err database_open(struct mount *m, struct str name, struct db **out);

handler database_creds_read, database_rotate_root, database_reset;
void database_revoke(struct lease *l, revoked_fn *done, void *ctx);
void database_renew(struct lease *l, int64_t expire_s, revoked_fn *done, void *ctx);
struct err database_load_role(struct mount *m, struct arena *a, struct str name, struct json **out);
struct str database_config_path(struct arena *a, const struct mount *m, struct str name);
struct str database_secret_path(struct arena *a, const struct mount *m, struct str name,
                                bool pending);
/* A role's statements as one text: an array or a string. */
struct err database_statements(struct arena *a, const struct json *role, const char *field,
                               struct str *out);
void database_forget(struct mount *m,
                     struct str name); /* the next use reads the configuration anew */

#endif
