/*
 * secretsd: the daemon around the core: configuration, listeners, the way from HTTP to a request and back, what is
 * declared in the configuration file, and identity's deny-list.
 */
#ifndef SEXTANT_SECRETS_SECRETSD_H
#define SEXTANT_SECRETS_SECRETSD_H

#include "core.h"
#include "seal.h"

#include "lib/daemon/daemon.h"
#include "lib/http/client.h"
#include "lib/http/router.h"
#include "lib/tls/tls.h"

enum {
    API_BODY_MAX = 2 << 20,   /* bytes of a request's body */
    API_ARENA_MAX = 48 << 20, /* memory of one request, its answer included */
    API_TOKEN_MAX = 1024,     /* bytes of a token header */
    API_WRAP_MAX_S = 32 * 24 * 3600,
};

struct secrets_config {
    struct str listen, seal, seal_key, crypto, identity_admin, bundle_url, tls_cert, tls_key,
        version;
    int64_t default_ttl_ns, max_ttl_ns;
    bool root_token_on_init;
    const struct json *declare;
};

struct secretsd {
    struct daemon *d;
    const struct secrets_config *cfg;
    struct core *core;
    struct seal *seal;
    struct storage *storage;
    struct router router;
    struct http_server *server;
    struct tls_server *tls;
    struct tls_client *tls_client;
    struct http_client *http;
    struct dependency *unsealed, *declared;
    struct bans *bans;
    struct timer *declare_retry;
    int64_t declare_wait_ms;
};

extern const struct config_key secrets_keys[];
extern const struct daemon_command secrets_commands[];
const struct sandbox_profile *secrets_sandbox(struct arena *a, const struct config *c,
                                              const void *section);

/* api.c: mounts /v1/ on the router. */
void api_mount(struct secretsd *s);
/* api_sys.c: what is answered sealed, too. False: not one of these. */
bool api_sys(struct secretsd *s, struct http_req *req, struct str path);
/* Body of a request as an object; empty gives {}. ERR_SYNTAX. */
struct err api_body(struct arena *a, const struct http_req *req, struct json **out);
void api_reply(struct http_req *req, int status, struct str body);
void api_error(struct http_req *req, int status, struct str text);

/* declare.c: brings the core to what the configuration declares; done says how it went. */
void declare_apply(struct secretsd *s, void (*done)(struct secretsd *s, struct err e));
struct err declare_check(struct daemon *d);
/* Files that the declaration reads, NULL-terminated. */
const char **declare_files(struct arena *a, const struct json *tree, size_t *n);

/* denylist.c: follows identity's deny-list. */
struct err denylist_start(struct secretsd *s);
void denylist_stop(struct secretsd *s);

#endif
