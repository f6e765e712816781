/* Families, codes and refresh tokens. Sessions are in sessions.c. */
#include "grants.h"

#include "lib/base/codec.h"
#include "lib/base/secret.h"

#include <sodium.h>

#define FAMILY_COLUMNS                                                                             \
    "SELECT f.id, f.client, f.sub, f.session, f.scope, f.audience, f.auth_time, f.offline, "       \
    "f.created, f.expires, f.revoked "

static void bind_digest(struct stmt *q, int i, struct str value)
{
    uint8_t digest[SHA256_BYTES];
    sha256(value, digest);
    stmt_bind_blob(q, i, str_n(digest, sizeof(digest)));
}

static void read_family(struct stmt *q, struct arena *a, struct family *f)
{
    *f = (struct family){
        .id = stmt_col_copy(q, 0, a),
        .client = stmt_col_copy(q, 1, a),
        .sub = stmt_col_copy(q, 2, a),
        .session = stmt_col_copy(q, 3, a),
        .scopes = (unsigned)stmt_col_int(q, 4),
        .audience = stmt_col_copy(q, 5, a),
        .auth_time = stmt_col_int(q, 6),
        .offline = stmt_col_int(q, 7) != 0,
        .created = stmt_col_int(q, 8),
        .expires = stmt_col_int(q, 9),
        .revoked = stmt_col_int(q, 10) != 0,
    };
}

struct err family_insert(struct store *s, const struct family *f)
{
    struct stmt *q;
    TRY(store_stmt(s,
                   "INSERT INTO family(id, client, sub, session, scope, audience, auth_time, "
                   "offline, created, expires, revoked) "
                   "VALUES(?,?,?,?,?,?,?,?,?,?,0)",
                   &q));
    stmt_bind_str(q, 1, f->id);
    stmt_bind_str(q, 2, f->client);
    stmt_bind_str(q, 3, f->sub);
    stmt_bind_str(q, 4, f->session);
    stmt_bind_int(q, 5, f->scopes);
    stmt_bind_str(q, 6, f->audience);
    stmt_bind_int(q, 7, f->auth_time);
    stmt_bind_int(q, 8, f->offline);
    stmt_bind_int(q, 9, f->created);
    stmt_bind_int(q, 10, f->expires);
    return stmt_run(q);
}

struct err family_by_id(struct store *s, struct arena *a, struct str id, struct family *out)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(s, FAMILY_COLUMNS "FROM family f WHERE f.id = ?", &q));
    stmt_bind_str(q, 1, id);
    TRY(stmt_step(q, &row));
    ENSURE(row, ERR_NOT_FOUND, "no such grant");
    read_family(q, a, out);
    stmt_reset(q);
    return OK;
}

struct err family_revoke(struct store *s, struct str id, int64_t now_s, int64_t mark_s)
{
    struct stmt *q;
    TRY(store_stmt(s, "UPDATE family SET revoked = ? WHERE id = ? AND revoked = 0", &q));
    stmt_bind_int(q, 1, now_s);
    stmt_bind_str(q, 2, id);
    TRY(stmt_run(q));
    return store_changes(s) > 0 ? revocation_write(s, MARK_FAMILY, id, now_s, now_s + mark_s) : OK;
}

struct err code_insert(struct store *s, struct str code, struct str family,
                       const struct code_details *d)
{
    struct stmt *q;
    TRY(store_stmt(s,
                   "INSERT INTO code(hash, family, redirect_uri, challenge, nonce, expires, used) "
                   "VALUES(?,?,?,?,?,?,0)",
                   &q));
    bind_digest(q, 1, code);
    stmt_bind_str(q, 2, family);
    stmt_bind_str(q, 3, d->redirect_uri);
    stmt_bind_str(q, 4, d->challenge);
    stmt_bind_str(q, 5, d->nonce);
    stmt_bind_int(q, 6, d->expires);
    return stmt_run(q);
}

const char *redeem_reason(enum redeem_outcome o)
{
    static const char *const reasons[] = {"",
                                          "unknown or expired",
                                          "used before: everything it gave is revoked",
                                          "issued to another client",
                                          "redirect_uri or code_verifier does not match",
                                          "revoked",
                                          "more scope than was granted"};
    return reasons[o];
}

struct stored_code {
    struct str redirect_uri, challenge;
    int64_t expires, used;
};

static struct err find_code(struct store *s, struct arena *a, struct code_redeem *r,
                            struct stored_code *c, bool *found)
{
    struct stmt *q;
    TRY(store_stmt(s,
                   FAMILY_COLUMNS ", c.redirect_uri, c.challenge, c.nonce, c.expires, c.used "
                                  "FROM code c JOIN family f ON f.id = c.family WHERE c.hash = ?",
                   &q));
    bind_digest(q, 1, r->code);
    TRY(stmt_step(q, found));
    if (*found) {
        read_family(q, a, &r->family);
        c->redirect_uri = stmt_col_copy(q, 11, a);
        c->challenge = stmt_col_copy(q, 12, a);
        r->nonce = stmt_col_copy(q, 13, a);
        c->expires = stmt_col_int(q, 14);
        c->used = stmt_col_int(q, 15);
        stmt_reset(q);
    }
    return OK;
}

static enum redeem_outcome judge_code(const struct code_redeem *r, const struct stored_code *c)
{
    if (c->used != 0) {
        return REDEEM_REUSED;
    }
    if (!str_eq(r->family.client, r->client)) {
        return REDEEM_WRONG_CLIENT;
    }
    if (r->now_s >= c->expires) {
        return REDEEM_UNKNOWN;
    }
    if (r->family.revoked) {
        return REDEEM_REVOKED;
    }
    bool uri_ok = r->redirect_uri.n == 0 || str_eq(r->redirect_uri, c->redirect_uri);
    return uri_ok && pkce_verify(r->verifier, c->challenge) ? REDEEM_OK : REDEEM_MISMATCH;
}

struct err code_redeem(struct store *s, struct arena *a, struct code_redeem *r)
{
    struct stored_code c = {0};
    struct stmt *q;
    bool found;
    r->outcome = REDEEM_UNKNOWN;
    TRY(find_code(s, a, r, &c, &found));
    if (!found) {
        return OK;
    }
    r->outcome = judge_code(r, &c);
    TRY(store_stmt(s, "UPDATE code SET used = ? WHERE hash = ?", &q));
    stmt_bind_int(q, 1, r->now_s);
    bind_digest(q, 2, r->code);
    TRY(stmt_run(q));
    return r->outcome == REDEEM_REUSED ? family_revoke(s, r->family.id, r->now_s, r->mark_s) : OK;
}

/* ---- refresh tokens ---- */

struct err refresh_insert(struct store *s, struct str token, struct str family, int64_t generation,
                          int64_t expires)
{
    struct stmt *q;
    TRY(store_stmt(
        s, "INSERT INTO refresh(hash, family, generation, expires, used) VALUES(?,?,?,?,0)", &q));
    bind_digest(q, 1, token);
    stmt_bind_str(q, 2, family);
    stmt_bind_int(q, 3, generation);
    stmt_bind_int(q, 4, expires);
    return stmt_run(q);
}

enum { SEALED_BYTES = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + ONE_TIME_TEXT };

static void sealing_key(struct str token, uint8_t key[crypto_secretbox_KEYBYTES])
{
    static const unsigned char purpose[] = "sextant refresh successor";
    crypto_generichash(key, crypto_secretbox_KEYBYTES, (const unsigned char *)token.p, token.n,
                       purpose, sizeof(purpose) - 1);
}

static void seal_successor(struct str token, struct str successor, uint8_t sealed[SEALED_BYTES])
{
    uint8_t key[crypto_secretbox_KEYBYTES];
    BUG_ON(successor.n != ONE_TIME_TEXT);
    sealing_key(token, key);
    random_bytes(sealed, crypto_secretbox_NONCEBYTES);
    crypto_secretbox_easy(sealed + crypto_secretbox_NONCEBYTES, (const unsigned char *)successor.p,
                          successor.n, sealed, key);
    wipe(key, sizeof(key));
}

static struct err open_successor(struct arena *a, struct str token, struct str sealed,
                                 struct str *successor)
{
    uint8_t key[crypto_secretbox_KEYBYTES];
    ENSURE(sealed.n == SEALED_BYTES, ERR_INTERNAL, "a stored successor has a wrong length");
    unsigned char *text = arena_alloc_raw(a, ONE_TIME_TEXT, 1);
    const unsigned char *box = (const unsigned char *)sealed.p;
    sealing_key(token, key);
    int rc = crypto_secretbox_open_easy(text, box + crypto_secretbox_NONCEBYTES,
                                        SEALED_BYTES - crypto_secretbox_NONCEBYTES, box, key);
    wipe(key, sizeof(key));
    ENSURE(rc == 0, ERR_INTERNAL, "a stored successor does not open");
    *successor = str_n(text, ONE_TIME_TEXT);
    return OK;
}

struct stored_refresh {
    int64_t generation, expires, used;
    struct str sealed;
};

static struct err find_refresh(struct store *s, struct arena *a, struct str token, struct family *f,
                               struct stored_refresh *t, bool *found)
{
    struct stmt *q;
    TRY(store_stmt(s,
                   FAMILY_COLUMNS
                   ", r.generation, r.expires, r.used, r.successor "
                   "FROM refresh r JOIN family f ON f.id = r.family WHERE r.hash = ?",
                   &q));
    bind_digest(q, 1, token);
    TRY(stmt_step(q, found));
    if (*found) {
        read_family(q, a, f);
        *t = (struct stored_refresh){stmt_col_int(q, 11), stmt_col_int(q, 12), stmt_col_int(q, 13),
                                     stmt_col_copy(q, 14, a)};
        stmt_reset(q);
    }
    return OK;
}

/* Without offline_access a refresh token lives no longer than the session it came from. */
static struct err session_alive(struct store *s, const struct family *f, int64_t now_s, bool *alive)
{
    struct stmt *q;
    *alive = true;
    if (f->offline) {
        return OK;
    }
    TRY(store_stmt(s, "SELECT 1 FROM session WHERE id = ? AND expires > ?", &q));
    stmt_bind_str(q, 1, f->session);
    stmt_bind_int(q, 2, now_s);
    TRY(stmt_step(q, alive));
    stmt_reset(q);
    return OK;
}

static enum redeem_outcome judge_refresh(const struct refresh_rotate *r,
                                         const struct stored_refresh *t)
{
    if (!str_eq(r->family.client, r->client)) {
        return REDEEM_WRONG_CLIENT;
    }
    if (r->family.revoked) {
        return REDEEM_REVOKED;
    }
    if (t->used != 0 && r->now_s > t->used + r->limits.grace_s) {
        return REDEEM_REUSED;
    }
    if (r->now_s >= t->expires || r->now_s >= r->family.expires) {
        return REDEEM_UNKNOWN;
    }
    return (r->scopes & ~r->family.scopes) != 0 ? REDEEM_SCOPE : REDEEM_OK;
}

static struct err rotate(struct store *s, struct arena *a, struct refresh_rotate *r,
                         const struct stored_refresh *t)
{
    struct stmt *q;
    uint8_t sealed[SEALED_BYTES];
    r->successor = one_time_value(a);
    seal_successor(r->token, r->successor, sealed);
    TRY(store_stmt(s, "UPDATE refresh SET used = ?, successor = ? WHERE hash = ?", &q));
    stmt_bind_int(q, 1, r->now_s);
    stmt_bind_blob(q, 2, str_n(sealed, sizeof(sealed)));
    bind_digest(q, 3, r->token);
    TRY(stmt_run(q));
    int64_t expires = MIN(r->now_s + r->limits.idle_s, r->family.expires);
    return refresh_insert(s, r->successor, r->family.id, t->generation + 1, expires);
}

struct err refresh_rotate(struct store *s, struct arena *a, struct refresh_rotate *r)
{
    struct stored_refresh t = {0};
    bool found;
    r->outcome = REDEEM_UNKNOWN;
    TRY(find_refresh(s, a, r->token, &r->family, &t, &found));
    if (!found) {
        return OK;
    }
    r->outcome = judge_refresh(r, &t);
    bool alive;
    TRY(session_alive(s, &r->family, r->now_s, &alive));
    r->outcome = r->outcome == REDEEM_OK && !alive ? REDEEM_REVOKED : r->outcome;
    if (r->outcome == REDEEM_REUSED) {
        return family_revoke(s, r->family.id, r->now_s, r->mark_s);
    }
    if (r->outcome != REDEEM_OK) {
        return OK;
    }
    return t.used != 0 ? open_successor(a, r->token, t.sealed, &r->successor) : rotate(s, a, r, &t);
}

struct err refresh_family(struct store *s, struct arena *a, struct str token, struct family *out)
{
    struct stored_refresh t;
    bool found;
    TRY(find_refresh(s, a, token, out, &t, &found));
    ENSURE(found, ERR_NOT_FOUND, "no such refresh token");
    return OK;
}

struct err refresh_lookup(struct store *s, struct arena *a, struct str token, int64_t now_s,
                          struct family *out)
{
    struct stored_refresh t;
    bool found;
    TRY(find_refresh(s, a, token, out, &t, &found));
    ENSURE(found && t.used == 0 && !out->revoked && now_s < t.expires && now_s < out->expires,
           ERR_NOT_FOUND, "no such refresh token");
    return OK;
}

/* ---- assertions, consent, pruning ---- */

struct err assertion_spend(struct store *s, struct str client, struct str jti, int64_t expires)
{
    struct stmt *q;
    crypto_hash_sha256_state h;
    uint8_t id[SHA256_BYTES];
    crypto_hash_sha256_init(&h);
    crypto_hash_sha256_update(&h, (const unsigned char *)client.p, client.n);
    crypto_hash_sha256_update(&h, (const unsigned char *)"", 1);
    crypto_hash_sha256_update(&h, (const unsigned char *)jti.p, jti.n);
    crypto_hash_sha256_final(&h, id);
    TRY(store_stmt(s, "INSERT INTO assertion(id, expires) VALUES(?, ?)", &q));
    stmt_bind_blob(q, 1, str_n(id, sizeof(id)));
    stmt_bind_int(q, 2, expires);
    return stmt_run(q);
}

struct err consent_insert(struct store *s, struct str sub, struct str client, unsigned scopes,
                          int64_t now_s)
{
    struct stmt *q;
    TRY(store_stmt(s,
                   "INSERT INTO consent(sub, client, scope, at) VALUES(?1, ?2, ?3, ?4) "
                   "ON CONFLICT DO UPDATE SET scope = scope | ?3, at = ?4",
                   &q));
    stmt_bind_str(q, 1, sub);
    stmt_bind_str(q, 2, client);
    stmt_bind_int(q, 3, scopes);
    stmt_bind_int(q, 4, now_s);
    return stmt_run(q);
}

struct err consent_scopes(struct store *s, struct str sub, struct str client, unsigned *scopes)
{
    struct stmt *q;
    bool row;
    TRY(store_stmt(s, "SELECT scope FROM consent WHERE sub = ? AND client = ?", &q));
    stmt_bind_str(q, 1, sub);
    stmt_bind_str(q, 2, client);
    TRY(stmt_step(q, &row));
    *scopes = row ? (unsigned)stmt_col_int(q, 0) : 0;
    stmt_reset(q);
    return OK;
}

static struct err delete_older(struct store *s, const char *sql, int64_t now_s)
{
    struct stmt *q;
    TRY(store_stmt(s, sql, &q));
    stmt_bind_int(q, 1, now_s);
    return stmt_run(q);
}

/*
 * Keeps the store small: what is dead goes an hour later (a late replay of a code is still recognised), and
 * a spent refresh token after a day. A family without offline_access dies with its session.
 */
struct err grants_prune(struct store *s, int64_t now_s)
{
    static const char *const by_the_hour[] = {
        "DELETE FROM code WHERE expires < ?",
        "DELETE FROM family WHERE expires < ?",
        "DELETE FROM family WHERE revoked <> 0 AND revoked < ?",
        "DELETE FROM family WHERE offline = 0 AND created < ? AND NOT EXISTS(SELECT 1 FROM session "
        "WHERE session.id = family.session)",
    };
    for (size_t i = 0; i < ARRAY_LEN(by_the_hour); i++) {
        TRY(delete_older(s, by_the_hour[i], now_s - 3600));
    }
    TRY(delete_older(s,
                     "DELETE FROM refresh WHERE (used <> 0 AND used < ?) OR NOT EXISTS(SELECT 1 "
                     "FROM family WHERE family.id = refresh.family)",
                     now_s - 86400));
    TRY(delete_older(s, "DELETE FROM session WHERE expires < ?", now_s));
    return delete_older(s, "DELETE FROM assertion WHERE expires < ?", now_s);
}
