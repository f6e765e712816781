/*
 * lease: what was handed out, to whom, until when, and how it is taken back.
 *
 * A lease is durable before its secret leaves: the engine registers it first and then makes what it
 * stands for, so a crash between the two leaves nothing that is not known here. Revocation goes through
 * a queue with LEASE_WORKERS at once, is tried again with growing pauses, and after LEASE_ATTEMPTS is
 * kept and listed as irrevocable.
 */
#ifndef SEXTANT_SECRETS_LEASE_H
#define SEXTANT_SECRETS_LEASE_H

#include "core.h"
#include "expiry.h"

enum {
    LEASE_WORKERS = 16,
    LEASE_ATTEMPTS = 6,
    LEASE_BACKOFF_MS = 500,    /* doubled at each attempt */
    LEASE_DATA_MAX = 8 * 1024, /* bytes of what the engine keeps with a lease */
    LEASES_MAX = 2000000,
};

enum lease_state {
    LEASE_ACTIVE,
    LEASE_MAKING,
    LEASE_QUEUED,
    LEASE_REVOKING,
    LEASE_WAITING,
    LEASE_IRREVOCABLE
};

/* One revocation that somebody waits for, of one lease or of many. */
struct revocation {
    unsigned pending, revoked, failed_n;
    void (*done)(struct revocation *rv);
    void *ctx;
};

struct lease_waiter;

struct lease {
    enum lease_state state;
    bool renewable;
    bool asked;         /* its end was asked for; it did not just run out */
    bool revoke_wanted; /* while it was being made */
    uint8_t attempts;
    struct str id;    /* owned */
    struct str data;  /* the engine's own, JSON object text; owned */
    struct str error; /* of the last failed revocation; owned */
    struct core *core;
    char mount_uuid[UUID_TEXT];
    char
        entity_id[UUID_TEXT]; /* whose token, or whose parent's, it was given to; empty: nobody's */
    char token_hash[HASH_TEXT]; /* of the token it was given to; empty: none */
    int64_t issue_s, expire_s, last_renewal_s;
    int64_t max_ttl_s; /* of the role; 0: of the mount */
    int64_t default_ttl_s;
    struct token *token;       /* NULL once the token is gone */
    struct lease *prev, *next; /* of the same token */
    struct lease *queue_next;
    struct lease_waiter *waiters;
    struct expiry_node expiry;
};

/*
 * Registers a lease for the answer to `r`, whose path it bears, and puts it into r->reply. `data` is an
 * object of the engine's own. The engine calls storage_commit before it makes what is leased.
 */
struct err lease_register(struct request *r, const struct json *data, int64_t ttl_s,
                          int64_t max_ttl_s, bool renewable, struct lease **out);
/*
 * Between lease_hold and lease_release the engine makes what is leased: a revocation waits, so that it
 * cannot come before what it revokes. False: it was revoked meanwhile, and must not be handed out.
 */
void lease_hold(struct lease *l);
bool lease_release(struct core *c, struct lease *l);
/* Forgets a lease whose secret was never made. */
void lease_drop(struct core *c, struct lease *l);

struct lease *lease_find(struct core *c, struct str id);
struct mount *lease_mount(const struct lease *l); /* NULL when unmounted */

/* Begins (or joins) the revocation. `rv` may be NULL; else it is told. */
void lease_revoke(struct core *c, struct lease *l, struct revocation *rv);
/* Leases and login tokens below a prefix ("database/creds/", "auth/jwt/login"). */
void lease_revoke_prefix(struct core *c, struct str prefix, struct revocation *rv);
/* Everything of an entity: its tokens with their children, and all their leases. */
void lease_revoke_entity(struct core *c, struct str entity_id, struct revocation *rv,
                         unsigned *tokens);
void lease_forget_force(struct core *c, struct str prefix); /* without asking the engine */
/* A revocation begins with one pending unit, so that it cannot end while it is being filled. */
struct revocation *revocation_new(void (*done)(struct revocation *), void *ctx);
void revocation_ready(struct revocation *rv); /* all are in; frees itself after done */

struct err leases_load(struct core *c);
void leases_unload(struct core *c);

/* Another `increment_s` from now, within what role and mount allow; tells the engine, then done. */
struct err lease_extend(struct request *r, struct lease *l, int64_t increment_s, revoked_fn *done,
                        void *ctx);

#endif
