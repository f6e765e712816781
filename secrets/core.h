/*
 * core: the words that all of secrets shares: the core itself, mounts and their engines, routes, and
 * requests on their way through them.
 *
 * Ownership: the core owns everything that was loaded at unseal and drops it at seal. A request owns
 * nothing but its arena; it holds a reference to its token and keeps the core from sealing while it runs.
 *
 * A request goes: route, token, create or update, policy, disabled entity, use count, audit reachable,
 * handler, lease or wrapping, durable, audited, answered. Handlers come back with an error (its detail is
 * the client's text), or have filled in r->reply, or have set r->later and call request_finish() when
 * they know.
 */
#ifndef SEXTANT_SECRETS_CORE_H
#define SEXTANT_SECRETS_CORE_H

#include "policy/policy.h"
#include "storage.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/map.h"
#include "lib/base/trace.h"

struct audit_client;
struct core;
struct http_client;
struct entity;
struct expiry_heap;
struct lease;
struct loop;
struct mount;
struct request;
struct seal;
struct timer;
struct token;
struct trail;

enum {
    REQUEST_PATH_MAX = 1024,
    ROUTE_PARAMS_MAX = 4,
    LIST_MAX = 100000,  /* names in one list */
    HASH_TEXT = 65,     /* hex of HMAC-SHA256 and a NUL */
    ACCESSOR_TEXT = 25, /* 24 letters and a NUL */
};

/* ---- the core ---- */

struct core_opts {
    int64_t default_ttl_s, max_ttl_s;
    struct str version; /* what health and seal-status say: "1.14.8" */
    struct str cluster_name;
    bool audit_required;     /* false only where there is no audit daemon (tests) */
    bool root_token_on_init; /* for foreign suites that need one */
};

struct core {
    struct loop *loop;
    struct storage *st;
    struct seal *seal;
    struct core_opts opts;
    struct audit_client *audit;
    struct http_client *http; /* fetches key sets; NULL: none are fetched */
    struct str crypto_url;    /* "unix:/run/sextant/crypto/crypto.sock:", for transit/ */
    struct str bundle_url;    /* keys of JWT-SVIDs */
    struct str trust_domain;  /* whose SPIFFE ids log in */
    bool initialized, sealed, sealing;
    bool reload;             /* sealing only to read everything from disk again */
    unsigned inflight;       /* requests between start and finish */
    struct secret salt;      /* 32 bytes: hashes token ids */
    struct secret audit_key; /* 32 bytes: HMACs values in audit events */
    char cluster_id[UUID_TEXT];

    struct map policies;     /* name -> struct policy */
    struct map acls;         /* compiled, by policies and entity; emptied at every change */
    struct map tokens;       /* hash -> struct token */
    struct map accessors;    /* accessor -> struct token */
    struct map leases;       /* id -> struct lease */
    struct map entities;     /* id -> struct entity */
    struct map entity_names; /* name -> struct entity */
    struct map aliases;      /* "mount accessor/name" -> struct entity_alias */
    struct map spiffe;       /* SPIFFE id -> struct entity */
    struct map banned;       /* SPIFFE id -> itself: no login, no token */
    struct mount **mounts;   /* longest path first */
    size_t n_mounts;

    struct trail *trail; /* of revoked tokens */
    struct expiry_heap *expiry;
    struct lease *revoke_head, *revoke_tail; /* waiting for a revocation worker */
    unsigned revoking;
    bool queue_running;
    void (*on_sealed)(void *ctx), (*on_unsealed)(void *ctx);
    void *state_ctx;
};

struct err core_new(struct loop *loop, struct storage *st, const struct core_opts *o,
                    struct core **out);
void core_free(struct core *c); /* NULL ok */
/* Makes keyring, salts and first mounts under `root_key`. The storage must be empty. */
struct err core_init(struct core *c, const struct secret *root_key);
struct err core_unseal(struct core *c, const struct secret *root_key); /* loads everything */
/* Drops keys and all that was loaded, at once when nothing is on its way, else after it. */
void core_seal(struct core *c);

/* The compiled policies of a token, valid until the next change of any policy or entity. */
struct err core_acl(struct core *c, const struct token *t, struct acl **out);
void core_forget_acls(struct core *c);

/* HMAC-SHA256 under the audit key as "hmac-sha256:<hex>". */
struct str core_hmac(struct core *c, struct arena *a, struct str value);

/* ---- mounts and engines ---- */

typedef struct err handler(struct request *r);
typedef void revoked_fn(void *ctx, struct err e);

enum { ROUTE_UNAUTH = 1 << 0, ROUTE_SUDO = 1 << 1, ROUTE_SEALED_TOO = 1 << 2 };

/*
 * Pattern: literal segments, {name} for one segment, a last {name...} for the rest (maybe empty).
 * First match in the table wins.
 */
struct route {
    const char *pattern;
    handler *read, *write, *patch, *del, *list;
    unsigned flags;
    bool (*exists)(struct request *r); /* given: writing what is not there is `create` */
};

struct engine {
    const char *type;
    bool auth;
    const struct route *routes;          /* ends with a zero entry */
    struct err (*load)(struct mount *m); /* at unseal and when mounted; NULL ok */
    void (*unload)(struct mount *m);     /* NULL ok */
    /* Ends what a lease stands for. done(ctx, e) once, now or later. NULL: nothing to end. */
    void (*revoke)(struct lease *l, revoked_fn *done, void *ctx);
    /* Tells the outside of a new end. */
    void (*renew)(struct lease *l, int64_t expire_s, revoked_fn *done, void *ctx);
};

struct mount {
    struct core *core;
    const struct engine *engine;
    struct str path; /* "secret/", "auth/jwt/" */
    struct str description, accessor;
    char uuid[UUID_TEXT];
    int64_t default_ttl_s, max_ttl_s; /* 0: the system's */
    struct json *options;             /* object or NULL */
    struct str listing;               /* listing_visibility: "", "hidden" or "unauth" */
    struct arena arena;               /* of all the above */
    void *state;                      /* the engine's own */
    unsigned refs;                    /* the table, and each request on its way through it */
};

struct mount *mount_ref(struct mount *m);
void mount_unref(struct mount *m); /* NULL ok */

struct err mounts_load(struct core *c);
void mounts_unload(struct core *c);
struct err mounts_defaults(struct core *c); /* at init */
/* The mount that serves `path`, or NULL. */
struct mount *mount_of(struct core *c, struct str path);
struct mount *mount_at(struct core *c, struct str path); /* exactly; with final '/' */
struct mount *mount_by_accessor(struct core *c, struct str accessor);
struct err mount_add(struct core *c, struct str path, const struct json *spec, struct mount **out);
struct err mount_remove(struct core *c, struct mount *m);
struct err mounts_save(struct core *c);
struct json *mount_to_json(struct arena *a, const struct mount *m, bool effective_ttl);
/* logical/<uuid>/ or auth/<uuid>/ joined with what the format makes. */
struct str mount_storage(struct arena *a, const struct mount *m, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
int64_t mount_default_ttl(const struct mount *m);
int64_t mount_max_ttl(const struct mount *m);
const struct engine *engine_find(struct str type, bool auth);

/* ---- requests ---- */

enum reply_form { FORM_ENVELOPE, FORM_TOP /* data copied to the top level too */, FORM_RAW };

struct reply {
    int status; /* 0: 200 with content, else 204 */
    enum reply_form form;
    struct json *data; /* object; NULL: none */
    struct json *auth, *wrap_info;
    struct json *errors; /* array of strings; given: an error */
    struct json *warnings;
    struct str raw; /* a finished body instead of all this (unwrap) */
    struct str lease_id;
    bool renewable;
    int64_t lease_s;
    struct lease *lease;   /* made by this request */
    struct token *token;   /* made by this request: revoked when it cannot be answered */
    struct str auth_token; /* its id, for wrapping */
};

struct param {
    struct str name, value;
};

struct request {
    struct core *core;
    struct arena *arena;
    char id[UUID_TEXT];
    enum acl_op op;
    struct str path;         /* without /v1/; lists end in '/' */
    struct json *data;       /* object, never NULL */
    struct str client_token; /* as sent; empty without */
    bool wrap;
    int64_t wrap_ttl_s;
    struct str source;         /* "10.0.0.1:4242" */
    struct str peer_spiffe_id; /* of mTLS or of the unix socket; empty without */
    struct trace trace;
    bool internal; /* by the daemon itself (declared configuration): root, still audited */

    struct mount *mount;
    const struct route *route;
    struct str rel; /* path below the mount, without a list's final '/' */
    struct param params[ROUTE_PARAMS_MAX];
    size_t n_params;
    struct token *token;   /* held; NULL when unauthenticated */
    struct entity *entity; /* of the token */
    bool root, sudo;
    struct str policy_name; /* that allowed or denied */
    unsigned policy_line;
    const char *denied_because; /* for audit; NULL when not denied */
    struct str actor;           /* who it is, when no token says so: a login, a revoked token */
    struct str actor_accessor;  /* of a revoked token */

    bool in_handler; /* private */
    bool later;      /* the handler calls request_finish itself */
    struct reply reply;
    int status;                      /* final */
    struct buf body;                 /* final; wiped */
    void (*done)(struct request *r); /* status and body are final; frees the request */
    void *ctx;
};

/* Runs `r`; r->done is called exactly once, now or later. */
void request_start(struct request *r);
void request_finish(struct request *r);                   /* r->reply says what */
void request_finish_err(struct request *r, struct err e); /* its detail is the text */

struct str request_param(const struct request *r, const char *name);

/* Replies; all return OK so that handlers may `return reply_...`. */
struct err reply_data(struct request *r, struct json *data);
struct err reply_top(struct request *r, struct json *data);
struct err reply_raw(struct request *r, int status, struct json *v);
struct err reply_empty(struct request *r);
struct err reply_not_found(struct request *r); /* 404 {"errors":[]} */
struct err reply_error(struct request *r, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
struct err reply_list(struct request *r, struct json *keys); /* 404 when empty */
void reply_warn(struct request *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* ---- small helpers ---- */

struct str str_dup(struct str s); /* malloc'ed, NUL after its end; never NULL */
void str_drop(struct str *s);     /* frees what str_dup made; harmless on an empty one */
struct str core_random_id(struct arena *a, size_t n); /* base62 */
void json_set_str(struct arena *a, struct json *o, const char *key, struct str v);
void json_set_int(struct arena *a, struct json *o, const char *key, int64_t v);
void json_set_bool(struct arena *a, struct json *o, const char *key, bool v);
struct json *json_set_obj(struct arena *a, struct json *o, const char *key); /* a new object */
struct json *json_set_arr(struct arena *a, struct json *o, const char *key);
void json_put(struct arena *a, struct json *o, const char *key, struct json *v);
struct str json_text(struct arena *a, const struct json *v);
struct json *json_time(struct arena *a, int64_t wall_ns); /* RFC 3339 with nanoseconds */

#endif
