/*
 * jwks_cache: the key set behind a URL, kept fresh without a request ever waiting for it twice.
 *
 * Either the URL is that of a key set, or, with `discover`, of an issuer whose discovery document
 * (OpenID Connect Discovery section 4) names it; the document must repeat the issuer byte for byte and the
 * keys must be on the same host. The set is fetched at once, then again in the background when
 * its max-age (held within 10 minutes and 24 hours) is over. An unknown kid may force one fetch a minute; callers
 * of the same moment share it, callers before the minute is over are refused at once. When fetching fails the last
 * good set serves for 24 hours.
 *
 *     const struct jwks *set = jwks_cache_get(cache);
 *     struct err e = set != NULL ? jws_verify(...) : ...;
 *     if (e.code == ERR_NOT_FOUND) jwks_cache_refresh(cache, again, request);
 */
#ifndef SEXTANT_SPIFFE_JWKS_CACHE_H
#define SEXTANT_SPIFFE_JWKS_CACHE_H

#include "lib/http/client.h"
#include "lib/jose/jwk.h"

enum {
    JWKS_CACHE_MIN_S = 600,
    JWKS_CACHE_MAX_S = 86400,
    JWKS_CACHE_RETRY_S = 60,
    JWKS_CACHE_FORCE_S = 60,
    JWKS_CACHE_STALE_S = 86400,
    JWKS_CACHE_TIMEOUT_MS = 5000,
    JWKS_CACHE_WAITING_MAX = 1000
};

struct jwks_cache;

struct jwks_cache_opts {
    struct http_client *client; /* outlives the cache; its TLS says whom to believe */
    struct str url;             /* of the key set, or of the issuer; copied */
    bool discover;
    void (*on_change)(void *ctx, const struct jwks *set); /* a new set came; NULL ok */
    void *ctx;
};

struct err jwks_cache_new(struct loop *l, const struct jwks_cache_opts *o, struct jwks_cache **out);
void jwks_cache_free(
    struct jwks_cache *c); /* waiting refreshes end with ERR_CLOSED first; NULL ok */

/* Borrowed until the next turn of the loop; NULL while there has been none for 24 hours. */
const struct jwks *jwks_cache_get(const struct jwks_cache *c);
/* `done` is called once, never before this returns: OK when a fetch succeeded, ERR_BUSY within the minute. */
void jwks_cache_refresh(struct jwks_cache *c, void (*done)(void *ctx, struct err e), void *ctx);

#endif
