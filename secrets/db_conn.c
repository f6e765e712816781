/* Servers, their connections, and the jobs that visit them on pool threads. */
#include "database.h"

#include "field.h"

#include "lib/loop/loop.h"

#include <inttypes.h>

enum { DB_ARENA_MAX = 1 << 20, SQL_MAX = 64 * 1024 };

/* ---- connection strings ---- */

static struct err decode(struct arena *a, struct str text, struct str *out)
{
    return percent_decode(a, text, false, out);
}

static struct err query_option(struct arena *a, struct str pair, struct pg_params *out)
{
    size_t eq = str_find_char(pair, '=');
    ENSURE(eq != STR_NPOS, ERR_INVALID, "connection_url: '%.*s' is not name=value", STR_FMT(pair));
    struct str key = str_sub(pair, 0, eq), value;
    TRY(decode(a, str_sub(pair, eq + 1, pair.n), &value));
    uint64_t n;
    if (str_is(key, "sslmode")) {
        out->sslmode = value;
    } else if (str_is(key, "sslrootcert")) {
        out->sslrootcert = value;
    } else if (str_is(key, "host")) {
        out->host = value;
    } else if (str_is(key, "port")) {
        ENSURE(!failed(str_to_u64(value, &n)) && n > 0 && n < 65536, ERR_INVALID,
               "connection_url: port is not in 1..65535");
        out->port = (uint16_t)n;
    } else if (str_is(key, "dbname")) {
        out->dbname = value;
    } else if (!str_is(key, "user") && !str_is(key, "password") &&
               !str_is(key, "connect_timeout") && !str_is(key, "application_name")) {
        FAIL(ERR_INVALID,
             "connection_url: unknown option '%.*s'; known are sslmode, sslrootcert, host, port, "
             "dbname",
             STR_FMT(key));
    }
    return OK;
}

static struct err options(struct arena *a, struct str text, char sep, struct pg_params *out)
{
    while (text.n > 0) {
        struct str pair = str_trim(str_split(&text, sep));
        if (pair.n > 0) {
            TRY(query_option(a, pair, out));
        }
    }
    return OK;
}

static struct err authority(struct arena *a, struct str text, struct pg_params *out)
{
    size_t at = str_rfind_char(text, '@');
    text = at != STR_NPOS ? str_sub(text, at + 1, text.n) : text;
    size_t colon = str_rfind_char(text, ':');
    bool v6 = str_starts(text, S("["));
    if (colon != STR_NPOS && (!v6 || (colon > 0 && text.p[colon - 1] == ']'))) {
        uint64_t port;
        ENSURE(!failed(str_to_u64(str_sub(text, colon + 1, text.n), &port)) && port > 0 &&
                   port < 65536,
               ERR_INVALID, "connection_url: port is not in 1..65535");
        out->port = (uint16_t)port;
        text = str_sub(text, 0, colon);
    }
    text = v6 && text.n > 2 ? str_sub(text, 1, text.n - 1) : text;
    return text.n > 0 ? decode(a, text, &out->host) : OK;
}

struct err db_url_parse(struct arena *a, struct str url, struct pg_params *out)
{
    *out = (struct pg_params){0};
    bool full = str_starts(url, S("postgresql://"));
    if (!full && !str_starts(url, S("postgres://"))) {
        return options(a, url, ' ', out);
    }
    struct str rest = str_sub(url, full ? 13 : 11, url.n);
    struct str query = rest, before = str_split(&query, '?');
    struct str db = before, host = str_split(&db, '/');
    TRY(authority(a, host, out));
    if (db.n > 0) {
        TRY(decode(a, db, &out->dbname));
    }
    return query.p != NULL ? options(a, query, '&', out) : OK;
}

/* ---- servers ---- */

struct err db_new(const struct json *config, struct str password, struct str pending,
                  struct db **out)
{
    struct db *db = calloc(1, sizeof *db);
    BUG_ON(db == NULL);
    db->refs = 1;
    arena_init(&db->arena, DB_ARENA_MAX);
    db->name = arena_str(&db->arena, json_str(json_get(config, "name")));
    db->username = arena_str(&db->arena, json_str(json_get(config, "username")));
    struct str url = arena_str(&db->arena, json_str(json_get(config, "connection_url")));
    struct err e = db_url_parse(&db->arena, url, &db->params);
    int64_t conns = DB_CONNS_DEFAULT;
    ignore_err(field_int(config, "max_open_connections", &conns));
    db->max_conns = conns > 0 ? (unsigned)MIN(conns, (int64_t)DB_CONNS_MAX) : DB_CONNS_DEFAULT;
    if (!failed(e) && password.n > 0) {
        e = secret_copy(&db->password, password);
    }
    if (!failed(e) && pending.n > 0) {
        e = secret_copy(&db->pending, pending);
    }
    if (failed(e)) {
        db_unref(db);
        return e;
    }
    db->params.user = db->username;
    db->params.password = db->password.n > 0 ? &db->password : NULL;
    *out = db;
    return OK;
}

struct db *db_ref(struct db *db)
{
    db->refs++;
    return db;
}

void db_unref(struct db *db)
{
    if (db == NULL || --db->refs > 0) {
        return;
    }
    for (unsigned i = 0; i < db->n_idle; i++) {
        pg_close(db->idle[i]);
    }
    secret_release(&db->password);
    secret_release(&db->pending);
    arena_release(&db->arena);
    free(db);
}

/* ---- jobs ---- */

struct db_job *db_job_new(struct core *c, struct db *db, struct err (*work)(struct db_job *j),
                          revoked_fn *done, void *ctx)
{
    struct db_job *j = calloc(1, sizeof *j);
    BUG_ON(j == NULL);
    j->core = c;
    j->db = db_ref(db);
    j->work = work;
    j->done = done;
    j->ctx = ctx;
    buf_init_secret(&j->sql, SQL_MAX);
    buf_init_secret(&j->custom, SQL_MAX);
    return j;
}

void db_job_free(struct db_job *j)
{
    if (j == NULL) {
        return;
    }
    buf_release(&j->sql);
    buf_release(&j->custom);
    db_unref(j->db);
    free(j);
}

static struct err connect_to(struct db_job *j)
{
    const struct db *db = j->db;
    struct err e = pg_connect(&db->params, &j->pg);
    if (e.code == ERR_UNAUTHENTICATED && db->pending.n > 0) {
        struct pg_params p = db->params;
        p.password = &db->pending;
        e = pg_connect(&p, &j->pg);
    }
    return e;
}

/* On a pool thread. A connection that was kept may have died: the work is then tried on a new one. */
static struct err visit(void *ctx)
{
    struct db_job *j = ctx;
    bool kept = j->pg != NULL;
    if (!kept) {
        TRY(connect_to(j));
    }
    struct err e = j->work(j);
    if (failed(e) && (e.code == ERR_UNAVAILABLE || e.code == ERR_CLOSED || e.code == ERR_TIMEOUT)) {
        pg_close(j->pg);
        j->pg = NULL;
        if (kept) {
            TRY(connect_to(j));
            e = j->work(j);
        }
    }
    return e;
}

static void start_next(struct db *db);

static void visited(void *ctx, struct err e)
{
    struct db_job *j = ctx;
    struct db *db = j->db;
    if (j->pg != NULL) {
        db->idle[db->n_idle++] = j->pg;
    } else {
        db->open_conns--;
    }
    j->pg = NULL;
    j->done(j->ctx, e);
    start_next(db);
    db_job_free(j);
}

static void run(struct db_job *j)
{
    struct db *db = j->db;
    if (db->n_idle > 0) {
        j->pg = db->idle[--db->n_idle];
    } else {
        db->open_conns++;
    }
    struct err e = loop_work(j->core->loop, visit, visited, j);
    if (failed(e)) {
        visited(j, e);
    }
}

static void start_next(struct db *db)
{
    struct db_job *j = db->waiting_head;
    if (j == NULL || (db->n_idle == 0 && db->open_conns >= db->max_conns)) {
        return;
    }
    db->waiting_head = j->next;
    db->waiting_tail = j->next == NULL ? NULL : db->waiting_tail;
    run(j);
}

void db_job_start(struct db_job *j)
{
    struct db *db = j->db;
    if (db->n_idle > 0 || db->open_conns < db->max_conns) {
        run(j);
        return;
    }
    if (db->waiting_tail != NULL) {
        db->waiting_tail->next = j;
    } else {
        db->waiting_head = j;
    }
    db->waiting_tail = j;
}

/* ---- works ---- */

struct err db_work_exec(struct db_job *j)
{
    return pg_exec(j->pg, buf_str(&j->sql));
}

struct err db_work_ping(struct db_job *j)
{
    return pg_exec(j->pg, S("SELECT 1"));
}

/* A statement of ours about j->role; role names are made of letters that need no quoting. */
static struct err run_ours(struct db_job *j, struct str statements)
{
    struct buf sql;
    buf_init(&sql, SQL_MAX);
    struct err e = db_fill(&sql, statements, &(struct db_values){.name = str_of(j->role)});
    if (!failed(e)) {
        e = pg_exec(j->pg, buf_str(&sql));
    }
    buf_release(&sql);
    return e;
}

static struct err cut_sessions(struct db_job *j, struct arena *a, struct str oid)
{
    struct pg_rows rows;
    return pg_query(j->pg, a,
                    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
                    "WHERE usesysid = $1::oid AND pid <> pg_backend_pid()",
                    &oid, 1, &rows);
}

/*
 * No more logins first, and committed, so that a session cut afterwards cannot come back; then the
 * sessions; then the role; then once more the sessions of its oid, for a login that was half done.
 */
static struct err end_role(struct db_job *j, struct arena *a)
{
    struct str role = str_of(j->role);
    struct pg_rows rows;
    TRY(pg_query(j->pg, a, "SELECT oid FROM pg_roles WHERE rolname = $1", &role, 1, &rows));
    if (rows.rows == 0) {
        return OK;
    }
    struct str oid = rows.values[0];
    TRY(run_ours(j, S("ALTER ROLE \"{{name}}\" NOLOGIN; GRANT \"{{name}}\" TO CURRENT_USER")));
    TRY(cut_sessions(j, a, oid));
    if (j->custom.n > 0) {
        TRY(pg_exec(j->pg, buf_str(&j->custom)));
    } else {
        TRY(run_ours(
            j, S("REASSIGN OWNED BY \"{{name}}\" TO CURRENT_USER; DROP OWNED BY \"{{name}}\"; "
                 "DROP ROLE IF EXISTS \"{{name}}\"")));
    }
    return cut_sessions(j, a, oid);
}

struct err db_work_end_role(struct db_job *j)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct err e = end_role(j, &a);
    arena_release(&a);
    return e;
}

/* ---- statements and names ---- */

static void put_expiration(struct buf *out, int64_t s)
{
    int64_t year, days = s / 86400, rest = s % 86400;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    buf_printf(out, "%04" PRId64 "-%02u-%02u %02" PRId64 ":%02" PRId64 ":%02" PRId64 "+0000", year,
               month, day, rest / 3600, rest / 60 % 60, rest % 60);
}

struct err db_fill(struct buf *out, struct str statements, const struct db_values *v)
{
    size_t at;
    while ((at = str_find(statements, S("{{"))) != STR_NPOS) {
        buf_puts(out, str_sub(statements, 0, at));
        struct str rest = str_sub(statements, at + 2, statements.n);
        size_t end = str_find(rest, S("}}"));
        ENSURE(end != STR_NPOS, ERR_INVALID, "statement: '{{' without '}}'");
        struct str word = str_trim(str_sub(rest, 0, end));
        if (str_is(word, "name") || str_is(word, "username")) {
            buf_puts(out, v->name);
        } else if (str_is(word, "password")) {
            buf_puts(out, v->password);
        } else if (str_is(word, "expiration")) {
            put_expiration(out, v->expire_s + DB_GRACE_S);
        } else {
            FAIL(ERR_INVALID,
                 "statement: unknown {{%.*s}}; known are name, username, password, expiration",
                 STR_FMT(word));
        }
        statements = str_sub(rest, end + 2, rest.n);
    }
    buf_puts(out, statements);
    return buf_check(out);
}

static void put_safe(struct buf *b, struct str s, size_t max)
{
    for (size_t i = 0; i < MIN(s.n, max); i++) {
        char c = s.p[i];
        bool ok =
            (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        buf_putc(b, ok ? c : '-');
    }
}

void db_username(struct arena *a, struct str display, struct str role, int64_t now_s,
                 struct str *out)
{
    struct buf b;
    buf_init(&b, 256);
    buf_puts(&b, S("v-"));
    put_safe(&b, display, 8);
    buf_putc(&b, '-');
    put_safe(&b, role, 8);
    buf_putc(&b, '-');
    buf_puts(&b, core_random_id(a, 20));
    buf_printf(&b, "-%" PRId64, now_s);
    *out = arena_str(a, str_sub(buf_str(&b), 0, DB_NAME_MAX));
    buf_release(&b);
}

static bool has_class(const char *s, char lo, char hi)
{
    for (; *s != '\0'; s++) {
        if (*s >= lo && *s <= hi) {
            return true;
        }
    }
    return false;
}

void db_password(char out[DB_PASSWORD_LEN + 1])
{
    static const char alphabet[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    _Static_assert(sizeof alphabet - 1 == 64, "one letter for each six random bits");
    do {
        random_bytes(out, DB_PASSWORD_LEN);
        for (int i = 0; i < DB_PASSWORD_LEN; i++) {
            out[i] = alphabet[(unsigned char)out[i] & 63];
        }
        out[DB_PASSWORD_LEN] = '\0';
    } while (!has_class(out, 'a', 'z') || !has_class(out, 'A', 'Z') || !has_class(out, '0', '9') ||
             !has_class(out, '-', '-'));
}
