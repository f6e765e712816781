#include "users.h"

#include "lib/base/clock.h"
#include "limits.h"

#define USER_COLUMNS "SELECT sub, name, hash, attributes, disabled, created, changed FROM user "

struct err user_name_normalize(struct arena *a, struct str text, struct str *out)
{
    ENSURE(text.n > 0 && text.n <= USERNAME_MAX, ERR_INVALID, "a user name has 1 to %d characters",
           USERNAME_MAX);
    char *name = arena_cstr(a, text);
    for (size_t i = 0; i < text.n; i++) {
        char c = name[i];
        if (c >= 'A' && c <= 'Z') {
            name[i] = (char)(c + ('a' - 'A'));
            continue;
        }
        bool fine = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    (c != '\0' && strchr("._-@+", c) != NULL);
        ENSURE(fine, ERR_INVALID, "a user name is made of letters, digits and . _ - @ +");
    }
    *out = str_n(name, text.n);
    return OK;
}

struct err user_attributes_check(const struct json *v)
{
    struct buf text;
    ENSURE(v->type == JSON_OBJECT, ERR_INVALID, "attributes: expected an object");
    buf_init(&text, USER_ATTRIBUTES_MAX);
    json_write(&text, v);
    bool fits = buf_ok(&text);
    buf_release(&text);
    ENSURE(fits, ERR_LIMIT, "attributes: more than %d bytes", USER_ATTRIBUTES_MAX);
    return OK;
}

static struct err read_row(struct stmt *q, struct arena *a, struct user *out)
{
    struct json *attributes;
    struct str text = stmt_col_str(q, 3);
    TRY(json_parse(a, text, NULL, &attributes));
    *out = (struct user){
        .sub = stmt_col_copy(q, 0, a),
        .name = stmt_col_copy(q, 1, a),
        .hash = stmt_col_copy(q, 2, a),
        .attributes = attributes,
        .disabled = stmt_col_int(q, 4) != 0,
        .created = stmt_col_int(q, 5),
        .changed = stmt_col_int(q, 6),
    };
    return OK;
}

static struct err read_one(struct stmt *q, struct arena *a, struct str key, struct user *out)
{
    bool row;
    stmt_bind_str(q, 1, key);
    TRY(stmt_step(q, &row));
    ENSURE(row, ERR_NOT_FOUND, "no user '%.*s'", (int)MIN(key.n, (size_t)USERNAME_MAX), key.p);
    struct err e = read_row(q, a, out);
    stmt_reset(q);
    return e;
}

struct err user_by_name(struct store *s, struct arena *a, struct str name, struct user *out)
{
    struct stmt *q;
    TRY(store_stmt(s, USER_COLUMNS "WHERE name = ?", &q));
    return read_one(q, a, name, out);
}

struct err user_by_sub(struct store *s, struct arena *a, struct str sub, struct user *out)
{
    struct stmt *q;
    TRY(store_stmt(s, USER_COLUMNS "WHERE sub = ?", &q));
    return read_one(q, a, sub, out);
}

struct err user_find(struct store *s, struct arena *a, struct str name_or_sub, struct user *out)
{
    struct str name;
    if (!failed(user_name_normalize(a, name_or_sub, &name)) &&
        !failed(user_by_name(s, a, name, out))) {
        return OK;
    }
    return user_by_sub(s, a, name_or_sub, out);
}

static struct err bind_attributes(struct stmt *q, int i, const struct json *attributes)
{
    struct buf text;
    buf_init(&text, USER_ATTRIBUTES_MAX);
    json_write(&text, attributes);
    struct err e = buf_check(&text);
    stmt_bind_str(q, i, buf_str(&text));
    buf_release(&text);
    return e;
}

struct err user_insert(struct store *s, const struct user *u)
{
    struct stmt *q;
    TRY(store_stmt(s,
                   "INSERT INTO user(sub, name, hash, attributes, disabled, created, changed) "
                   "VALUES(?,?,?,?,?,?,?)",
                   &q));
    stmt_bind_str(q, 1, u->sub);
    stmt_bind_str(q, 2, u->name);
    stmt_bind_str(q, 3, u->hash);
    TRY(bind_attributes(q, 4, u->attributes));
    stmt_bind_int(q, 5, u->disabled);
    stmt_bind_int(q, 6, u->created);
    stmt_bind_int(q, 7, u->changed);
    return stmt_run(q);
}

struct err user_set_hash(struct store *s, struct str sub, struct str hash, int64_t now_s)
{
    struct stmt *q;
    TRY(store_stmt(s, "UPDATE user SET hash = ?, changed = ? WHERE sub = ?", &q));
    stmt_bind_str(q, 1, hash);
    stmt_bind_int(q, 2, now_s);
    stmt_bind_str(q, 3, sub);
    return stmt_run(q);
}

struct err user_set_disabled(struct store *s, struct str sub, bool disabled, int64_t now_s)
{
    struct stmt *q;
    TRY(store_stmt(s, "UPDATE user SET disabled = ?, changed = ? WHERE sub = ?", &q));
    stmt_bind_int(q, 1, disabled);
    stmt_bind_int(q, 2, now_s);
    stmt_bind_str(q, 3, sub);
    return stmt_run(q);
}

struct err user_set_attributes(struct store *s, struct str sub, const struct json *attributes,
                               int64_t now_s)
{
    struct stmt *q;
    TRY(store_stmt(s, "UPDATE user SET attributes = ?, changed = ? WHERE sub = ?", &q));
    TRY(bind_attributes(q, 1, attributes));
    stmt_bind_int(q, 2, now_s);
    stmt_bind_str(q, 3, sub);
    return stmt_run(q);
}

struct err user_delete(struct store *s, struct str sub)
{
    struct stmt *q;
    TRY(store_stmt(s, "DELETE FROM user WHERE sub = ?", &q));
    stmt_bind_str(q, 1, sub);
    return stmt_run(q);
}

static void key_time(struct jw *w, struct str key, int64_t seconds)
{
    struct buf text;
    buf_init(&text, 64);
    clock_put_rfc3339(&text, seconds * NS_PER_S, 0);
    jw_key_str(w, key, buf_str(&text));
    buf_release(&text);
}

void user_write_json(struct jw *w, const struct user *u)
{
    jw_obj(w);
    jw_key_str(w, S("sub"), u->sub);
    jw_key_str(w, S("name"), u->name);
    jw_key_bool(w, S("disabled"), u->disabled);
    key_time(w, S("created"), u->created);
    key_time(w, S("changed"), u->changed);
    jw_key(w, S("attributes"));
    jw_json(w, u->attributes);
    jw_end(w);
}

struct err users_write_json(struct store *s, struct buf *out)
{
    struct stmt *q;
    struct arena a;
    struct jw w;
    struct err e;
    bool row;
    TRY(store_stmt(s, USER_COLUMNS "ORDER BY name", &q));
    arena_init(&a, 1 << 20);
    jw_init(&w, out);
    jw_arr(&w);
    for (;;) {
        struct user u;
        e = stmt_step(q, &row);
        if (failed(e) || !row) {
            break;
        }
        e = read_row(q, &a, &u);
        if (failed(e)) {
            stmt_reset(q);
            break;
        }
        user_write_json(&w, &u);
        arena_reset(&a);
    }
    jw_end(&w);
    arena_release(&a);
    TRY(e);
    return buf_check(out);
}
