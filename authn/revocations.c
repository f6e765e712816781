#include "revocations.h"

#include "lib/json/json.h"
#include "limits.h"

#include <inttypes.h>
#include <stdlib.h>

static const char *const kind_names[] = {"jti", "family", "session", "sub", "client"};

struct mark {
    int64_t before, expires;
};

static struct err remember(struct revocations *r, struct str kind, struct str value, int64_t before,
                           int64_t expires)
{
    char key[600];
    int n = snprintf(key, sizeof(key), "%.*s:%.*s", STR_FMT(kind), STR_FMT(value));
    ENSURE(n > 0 && (size_t)n < sizeof(key), ERR_LIMIT, "a revoked value is longer than %zu bytes",
           sizeof(key));
    struct mark *m = map_get(&r->marks, str_n(key, (size_t)n));
    if (m == NULL) {
        m = calloc(1, sizeof(*m));
        ENSURE(m != NULL, ERR_LIMIT, "out of memory");
        map_set(&r->marks, str_n(key, (size_t)n), m);
    }
    m->before = MAX(m->before, before);
    m->expires = MAX(m->expires, expires);
    return OK;
}

struct err revocations_refresh(struct revocations *r, bool *any)
{
    struct stmt *q;
    bool row;
    *any = false;
    TRY(store_stmt(
        r->store,
        "SELECT seq, kind, value, before, expires FROM revocation WHERE seq > ? ORDER BY seq", &q));
    stmt_bind_int(q, 1, r->latest);
    for (;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct err e = remember(r, stmt_col_str(q, 1), stmt_col_str(q, 2), stmt_col_int(q, 3),
                                stmt_col_int(q, 4));
        if (failed(e)) {
            stmt_reset(q);
            return e;
        }
        r->latest = stmt_col_int(q, 0);
        *any = true;
    }
}

struct err revocations_load(struct revocations *r, struct store *store, int64_t life_s,
                            int64_t now_s)
{
    bool any;
    *r = (struct revocations){.store = store, .life_s = life_s};
    map_init(&r->marks);
    TRY(revocations_prune(r, now_s));
    return revocations_refresh(r, &any);
}

void revocations_release(struct revocations *r)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&r->marks, &i)) != NULL;) {
        free(e->value);
    }
    map_release(&r->marks);
}

struct err revocation_write(struct store *store, enum mark_kind kind, struct str value,
                            int64_t now_s, int64_t expires_s)
{
    struct stmt *q;
    TRY(store_stmt(store, "INSERT INTO revocation(kind, value, before, expires) VALUES(?, ?, ?, ?)",
                   &q));
    stmt_bind_str(q, 1, str_of(kind_names[kind]));
    stmt_bind_str(q, 2, value);
    stmt_bind_int(q, 3, now_s);
    stmt_bind_int(q, 4, expires_s);
    return stmt_run(q);
}

static const struct mark *find_mark(const struct revocations *r, enum mark_kind kind,
                                    struct str value)
{
    char key[600];
    int n = snprintf(key, sizeof(key), "%s:%.*s", kind_names[kind], STR_FMT(value));
    return value.n > 0 && n > 0 && (size_t)n < sizeof(key)
               ? map_get(&r->marks, str_n(key, (size_t)n))
               : NULL;
}

bool revocations_hit(const struct revocations *r, const struct token_facts *t)
{
    size_t dot = str_find_char(t->jti, '.');
    struct str family = dot == STR_NPOS ? STR_EMPTY : str_sub(t->jti, 0, dot);
    if (find_mark(r, MARK_JTI, t->jti) != NULL || find_mark(r, MARK_FAMILY, family) != NULL ||
        find_mark(r, MARK_SESSION, t->sid) != NULL) {
        return true;
    }
    const struct mark *sub = find_mark(r, MARK_SUBJECT, t->sub),
                      *client = find_mark(r, MARK_CLIENT, t->client_id);
    return (sub != NULL && t->iat <= sub->before) || (client != NULL && t->iat <= client->before);
}

int64_t revocations_earliest_iat(const struct revocations *r, struct str sub, struct str client_id,
                                 int64_t now_s)
{
    const struct mark *s = find_mark(r, MARK_SUBJECT, sub),
                      *c = find_mark(r, MARK_CLIENT, client_id);
    int64_t earliest = now_s;
    earliest = s != NULL ? MAX(earliest, s->before + 1) : earliest;
    return c != NULL ? MAX(earliest, c->before + 1) : earliest;
}

struct err revocations_prune(struct revocations *r, int64_t now_s)
{
    struct stmt *q;
    struct map_entry *e;
    TRY(store_stmt(r->store, "DELETE FROM revocation WHERE expires < ?", &q));
    stmt_bind_int(q, 1, now_s);
    TRY(stmt_run(q));
    for (size_t i = 0; (e = map_at(&r->marks, &i)) != NULL;) {
        struct mark *m = e->value;
        if (m->expires < now_s) {
            map_del(&r->marks, e->key);
            free(m);
        }
    }
    return OK;
}

struct err revocations_write_json(struct revocations *r, int64_t after, struct buf *out, bool *any)
{
    struct stmt *q;
    struct jw w;
    bool row;
    int64_t next = MIN(after, r->latest);
    TRY(store_stmt(
        r->store,
        "SELECT seq, kind, value, before FROM revocation WHERE seq > ? ORDER BY seq LIMIT ?", &q));
    stmt_bind_int(q, 1, next);
    stmt_bind_int(q, 2, REVOCATION_PAGE);
    jw_init(&w, out);
    jw_obj(&w);
    jw_key(&w, S("revocations"));
    jw_arr(&w);
    *any = false;
    for (;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            break;
        }
        *any = true;
        next = stmt_col_int(q, 0);
        jw_obj(&w);
        jw_key_int(&w, S("seq"), next);
        jw_key_str(&w, S("kind"), stmt_col_str(q, 1));
        jw_key_str(&w, S("value"), stmt_col_str(q, 2));
        jw_key_int(&w, S("before"), stmt_col_int(q, 3));
        jw_end(&w);
    }
    jw_end(&w);
    jw_key_int(&w, S("next"), next);
    jw_end(&w);
    return buf_check(out);
}
