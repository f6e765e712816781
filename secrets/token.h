/*
 * token: who may ask. Service tokens: an id that only its holder knows, and here a record found by its HMAC.
 *
 * Ids are never stored. A token may have a parent, whose end is its end too, children, an entity, a number
 * of uses, a period or an end, and the leases it was given. Changes are in memory at once and durable at the
 * next storage_commit; nobody is answered before.
 */
#ifndef SEXTANT_SECRETS_TOKEN_H
#define SEXTANT_SECRETS_TOKEN_H

#include "core.h"
#include "expiry.h"

enum {
    TOKEN_ID_LEN = 28,  /* "hvs." and 24 base62 */
    TOKEN_ID_MAX = 256, /* bytes of an id that somebody sends or chooses */
    TOKEN_POLICIES_MAX = 64,
    TOKEN_META_MAX = 16 * 1024, /* bytes of metadata as JSON */
    TOKEN_DEPTH_MAX = 64,       /* parents above a token */
};

struct token {
    unsigned refs;
    bool revoked; /* out of all tables; only references keep it */
    bool orphan, renewable, root, no_default;
    char hash[HASH_TEXT]; /* key of its record */
    char accessor[ACCESSOR_TEXT];
    struct str policies;                                  /* "a,b,c", sorted */
    struct str path, display_name, meta, role, entity_id; /* meta: JSON object text; owned */
    int64_t created_s, last_renewal_s;                    /* 0: never renewed */
    int64_t ttl_s;                                    /* at creation or last renewal; 0: no end */
    int64_t period_s, explicit_max_s, expire_s;       /* expire_s 0: none */
    int64_t uses;                                     /* left; 0: any number; -1: used up */
    struct str mount_path;                            /* of the auth mount that bounds its ttl */
    struct token *parent, *first_child, *prev, *next; /* siblings */
    struct lease *first_lease;
    struct expiry_node expiry;
};

/* What a new token shall be. Slices are copied. */
struct token_spec {
    struct str id;               /* chosen by the caller; empty: drawn */
    const struct json *policies; /* array of normal names; "default" is added unless no_default */
    struct token *parent;        /* NULL: orphan */
    struct str path, display_name, role, entity_id;
    const struct json *meta; /* object of strings or NULL */
    bool no_default, not_renewable;
    int64_t ttl_s, max_ttl_s, period_s, explicit_max_s, uses;
    const struct mount *mount; /* whose ttl rules hold; NULL: auth/token/ */
};

/*
 * Makes and stores a token. *id lives in the arena: hand it to the client and forget it. Warnings about
 * ttl go to `r` when given.
 */
struct err token_create(struct core *c, struct request *r, struct arena *a,
                        const struct token_spec *s, struct token **out, struct str *id);
struct token *token_find(struct core *c, struct str id); /* NULL: unknown, expired or used up */
struct token *token_by_accessor(struct core *c, struct str accessor);
struct token *token_ref(struct token *t);
void token_unref(struct token *t); /* NULL ok */
void token_hash(const struct core *c, struct str id, char out[HASH_TEXT]);

/* Revokes it with its children, leaves first; leases are queued. With `orphans` children live on. */
void token_revoke(struct core *c, struct token *t, bool orphans);
struct err token_save(struct core *c, const struct token *t);
struct err token_renew(struct core *c, struct request *r, struct token *t, int64_t increment_s);
/* Takes one use; true when that was the last. */
struct err token_use(struct core *c, struct token *t, bool *last);

int64_t token_ttl_left(const struct token *t);
bool token_has_policy(const struct token *t, struct str name);
struct json *token_policies_json(struct arena *a, const struct token *t);
struct json *token_auth_json(struct core *c, struct arena *a, const struct token *t, struct str id);
struct json *token_lookup_json(struct core *c, struct arena *a, const struct token *t,
                               struct str id);

struct err tokens_load(struct core *c);
void tokens_unload(struct core *c);

/* Login: entity and alias are made when missing, the token carries them, r->reply.auth is set. */
struct login {
    struct str alias;     /* name within the mount: user, role id, SPIFFE id */
    struct str spiffe_id; /* when the alias is one: entities are shared by it across mounts */
    struct str display_name;
    const struct json *meta; /* object of strings */
    const struct json *policies;
    struct str role;
    bool no_default;
    int64_t ttl_s, max_ttl_s, period_s, explicit_max_s, uses;
};
struct err token_login(struct request *r, const struct login *l);

#endif
