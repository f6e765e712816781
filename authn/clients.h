/*
 * clients: who may ask for tokens, and how. A registration is JSON with the names of RFC 7591.
 *
 *     {"client_id":"portal", "client_name":"Portal", "redirect_uris":["https://app.example/cb"],
 *      "grant_types":["authorization_code","refresh_token"], "token_endpoint_auth_method":"none"}
 *
 * Beyond RFC 7591: `audiences` (resources it may ask tokens for), `spiffe_id` (of a client that
 * authenticates with its SVID, method spiffe_x509), `id_token_claims` (declared identity claims
 * to copy into ID tokens), `require_consent`, `access_token_life` (seconds, shortens the provider's)
 * and `post_logout_redirect_uris`. A registration that
 * would put permissions in tokens is refused with the reason.
 *
 * Clients are immutable and counted: an operation keeps the one it began with.
 */
#ifndef SEXTANT_AUTHN_CLIENTS_H
#define SEXTANT_AUTHN_CLIENTS_H

#include "lib/base/map.h"
#include "lib/jose/jwk.h"
#include "lib/store/store.h"

#include "rules.h"

enum client_auth {
    AUTH_NONE,
    AUTH_SECRET_BASIC,
    AUTH_SECRET_POST,
    AUTH_PRIVATE_KEY_JWT,
    AUTH_SPIFFE
};
enum { ACCESS_LIFE_MAX_S = 86400 };
enum grant_type { GRANT_CODE = 1, GRANT_REFRESH = 2, GRANT_CLIENT_CREDENTIALS = 4 };

struct str_list {
    struct str *items;
    size_t n;
};

struct client {
    struct arena arena;
    unsigned refs;
    struct str id, name;
    const struct json *metadata; /* as registered, without secrets */
    enum client_auth auth;
    unsigned grants, scopes;
    struct str_list redirect_uris, post_logout_uris, audiences, id_token_claims;
    struct str spiffe_id;
    struct jwks *keys; /* private_key_jwt */
    bool require_consent;
    int64_t access_life_s; /* of its access tokens, where shorter than the provider's; 0: not set */
    uint8_t secrets[2][SHA256_BYTES]; /* two may be valid while one is replaced */
    unsigned n_secrets;
};

/* From its registration. ERR_INVALID, ERR_DENIED (permissions in tokens), ERR_LIMIT. */
struct err client_parse(struct str text, struct client **out);
struct client *client_ref(struct client *c);
void client_unref(struct client *c); /* NULL ok */

bool client_has_redirect(const struct client *c, struct str uri);
bool str_list_has(const struct str_list *list, struct str s);
bool client_secret_ok(const struct client *c, struct str secret); /* constant time */
const char *client_auth_name(enum client_auth a);
extern const char *const grant_type_names[3];

/* The table of all clients, in memory, backed by the store. */
struct clients {
    struct map by_id, by_spiffe_id;
    struct store *store;
};

struct err clients_load(struct clients *t, struct store *store);
void clients_release(struct clients *t);
struct client *clients_find(const struct clients *t, struct str id); /* borrowed; NULL */
struct client *clients_find_spiffe(const struct clients *t, struct str spiffe_id);
/* The two halves of a change: what is written (inside a transaction), and what is then known. */
struct err clients_write(struct clients *t, const struct client *c, int64_t now_s);
struct err clients_erase(struct clients *t, struct str id);
void clients_publish(struct clients *t, struct client *c); /* takes the reference */
void clients_forget(struct clients *t, struct str id);

#endif
