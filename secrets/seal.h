/*
 * seal: who gives the root key back after a start.
 *
 * transit: the root key lies encrypted by a key of the crypto daemon (`secrets-unseal`), which decrypts it for
 * the SPIFFE id of secrets alone; initialising and unsealing need nobody. shamir: shares that operators
 * keep, for an installation without crypto. In both, what is on disk here opens nothing by itself.
 *
 * After an operator's seal only a restart (transit) or the shares (shamir) open it again.
 */
#ifndef SEXTANT_SECRETS_SEAL_H
#define SEXTANT_SECRETS_SEAL_H

#include "core.h"

#include "lib/http/client.h"

struct seal;

struct seal_opts {
    bool shamir;
    struct str key_name; /* transit */
    const char
        *enrolment_file; /* where the first operator's one-time token is put, 0600; NULL: nowhere */
    void (*on_state)(void *ctx, bool unsealed, const char *why); /* readiness */
    void *ctx;
};

enum { SEAL_SHARE_MAX = 512 /* bytes of one share as text */, ENROLMENT_TTL_S = 24 * 3600 };

struct err seal_new(struct core *c, const struct seal_opts *o, struct seal **out);
void seal_free(struct seal *s); /* NULL ok */
/* transit: initialises when there is nothing yet, unseals, and again after a failure of storage. */
void seal_start(struct seal *s);
void seal_by_operator(struct seal *s); /* seals as soon as the running requests are done */
struct err seal_rotate_barrier(struct seal *s);

/* sys/seal-status, sys/init, sys/unseal: `data` is the body. Results are raw JSON. */
struct json *seal_status(struct seal *s, struct arena *a);
struct err seal_init(struct seal *s, struct arena *a, const struct json *data,
                     struct json **out);                         /* shamir */
struct err seal_unseal(struct seal *s, const struct json *data); /* shamir */
bool seal_is_shamir(const struct seal *s);

/* A token of policy "operator" inside a one-time wrapping token (wrapping.c). */
struct err wrap_operator_token(struct core *c, struct arena *a, int64_t ttl_s,
                               struct str *wrapping_id);

#endif
