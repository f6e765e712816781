/*
 * users: people, in the store. A user has a stable random subject, a login name, a password hash
 * (Argon2id, PHC string) and attributes that describe who they are.
 *
 * Names are compared in lower case. What is read lives in the arena given.
 */
#ifndef SEXTANT_AUTHN_USERS_H
#define SEXTANT_AUTHN_USERS_H

#include "lib/json/json.h"
#include "lib/store/store.h"

struct user {
    struct str sub, name, hash;
    const struct json *attributes; /* an object */
    bool disabled;
    int64_t created, changed;
};

/* A login name as stored: lower case, 1 to USERNAME_MAX of letters, digits and . _ - @ +. */
struct err user_name_normalize(struct arena *a, struct str text, struct str *out);
/* An object of attributes within limits. */
struct err user_attributes_check(const struct json *v);

/* ERR_NOT_FOUND. */
struct err user_by_name(struct store *s, struct arena *a, struct str name, struct user *out);
struct err user_by_sub(struct store *s, struct arena *a, struct str sub, struct user *out);
/* Name or subject: what administrators type. */
struct err user_find(struct store *s, struct arena *a, struct str name_or_sub, struct user *out);

/* Each inside a transaction. user_insert: ERR_EXISTS. */
struct err user_insert(struct store *s, const struct user *u);
struct err user_set_hash(struct store *s, struct str sub, struct str hash, int64_t now_s);
struct err user_set_disabled(struct store *s, struct str sub, bool disabled, int64_t now_s);
struct err user_set_attributes(struct store *s, struct str sub, const struct json *attributes,
                               int64_t now_s);
struct err user_delete(struct store *s, struct str sub);
/* A JSON array of all users, without hashes. */
struct err users_write_json(struct store *s, struct buf *out);
void user_write_json(struct jw *w, const struct user *u);

#endif
