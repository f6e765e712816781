/*
 * signer: signatures by the crypto daemon, and the public keys that go with them. No signing key is ever
 * in this process.
 *
 * It speaks Vault's Transit API over crypto's unix socket: GET /v1/transit/keys/NAME for the public
 * halves of all versions, POST /v1/transit/sign/NAME/sha2-256 with a digest for a signature.
 * Requests that come while one is under way travel together in the next one (batch_input).
 *
 * A new version of a key is published as soon as it is seen, and signs only when it has been published for
 * `publish_ahead_s`, so that consumers with a cached key set do not meet an unknown kid.
 */
#ifndef SEXTANT_AUTHN_SIGNER_H
#define SEXTANT_AUTHN_SIGNER_H

#include "lib/jose/jwk.h"

struct http_client;
struct loop;
struct signer;

enum signing_key { KEY_ID_TOKEN, KEY_ACCESS_TOKEN, SIGNING_KEYS };

struct signer_opts {
    struct http_client *http;
    struct str base; /* "unix:/run/sextant/crypto/crypto.sock:" or "https://host:port" */
    struct str names[SIGNING_KEYS]; /* RS256 for ID tokens, ES256 for access tokens */
    int64_t publish_ahead_s;
    void (*on_ready)(void *ctx, bool ready, const char *why); /* keys are known, or were lost */
    void *ctx;
};

struct err signer_new(struct loop *loop, const struct signer_opts *o, struct signer **out);
void signer_free(struct signer *s); /* what waits fails with ERR_CLOSED first */

void signer_refresh(struct signer *s); /* looks for new key versions now, not only once a minute */
bool signer_ready(const struct signer *s);
/* The kid to name in the header of the next token. Empty before the keys are known. */
struct str signer_kid(const struct signer *s, enum signing_key k);
/* Public keys of all versions of both keys: for /jwks and for checking our own tokens. */
struct jwks *signer_jwks(const struct signer *s); /* borrowed */

/* Takes what GET /v1/transit/keys/NAME answered; for tests and for the answer itself. */
struct err signer_take_keys(struct signer *s, enum signing_key k, struct str body);

/*
 * Signs `input` (the JWS signing input whose header names signer_kid). `done` runs exactly once, later;
 * the raw signature dies with the callback.
 */
void signer_sign(struct signer *s, enum signing_key k, struct str input,
                 void (*done)(void *ctx, struct err e, struct str signature), void *ctx);

#endif
