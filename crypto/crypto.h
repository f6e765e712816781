/*
 * crypto: what the files of the front share. The front speaks HTTP and owns the database; it holds no
 * key. The key process (keyproc.c) holds the keys and owns nothing else.
 */
#ifndef SEXTANT_CRYPTO_CRYPTO_H
#define SEXTANT_CRYPTO_CRYPTO_H

#include "lib/config/config.h"
#include "lib/daemon/daemon.h"
#include "lib/http/router.h"

struct channel;
struct registry;
struct tls_server;

struct crypto_config {
    struct str listen;         /* HTTPS with mTLS; empty: only the unix socket */
    struct config_list admins; /* SPIFFE ids beside sextant/operator */
    struct str exempt_key;     /* signing with it by audit is not an event: it would never end */
};
extern const struct config_key crypto_keys[];

enum {
    CRYPTO_BODY_MAX = 32 * 1024 * 1024, /* bytes of a request, as Vault's */
    CRYPTO_RANDOM_MAX = 128 * 1024,     /* bytes of one /random */
};

struct crypto {
    struct daemon *d;
    struct crypto_config *config;
    struct channel *channel;
    struct registry *registry;
    struct http_server *server;
    struct tls_server *tls;
    struct router routes;
    struct dependency *keys_dep;
    struct bans *bans; /* identity's deny-list */
};

/* Paths below the state folder: the front may touch only the first. */
#define CRYPTO_DB_FOLDER "db"
#define CRYPTO_SEAL_FOLDER "seal"
#define CRYPTO_SEAL_FILE "seal/seal.key"

/* `spiffe://TD/sextant/operator` and those of the configuration; memory from `a`. */
size_t crypto_admins(struct arena *a, const struct config *c, const struct crypto_config *own,
                     struct str **out);
struct str crypto_operator(struct arena *a, struct str trust_domain);

const struct sandbox_profile *crypto_sandbox(struct arena *a, const struct config *c,
                                             const void *section);
extern const struct sandbox_profile crypto_keys_sandbox; /* of the key process */

/* front.c */
struct err crypto_start(struct daemon *d);
void crypto_drain(struct daemon *d);
void crypto_stop(struct daemon *d);

/* keyproc.c: the command that the front starts as its other half; not for people. */
int crypto_keys_command(struct daemon *d, int argc, char **argv);

/* commands.c */
int crypto_init_command(struct daemon *d, int argc, char **argv);
int crypto_key_command(struct daemon *d, int argc, char **argv);

#endif
