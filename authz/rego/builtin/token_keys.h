/* token_keys: what io.jwt.* accepts as a key, in the forms of lib/jose. */
#ifndef SEXTANT_REGO_TOKEN_KEYS_H
#define SEXTANT_REGO_TOKEN_KEYS_H

#include "authz/rego/builtin/builtin.h"

#include "lib/jose/jose.h"

struct token_keys {
    struct jwks *set;
    struct str secret; /* shared, when `set` is NULL */
};

bool token_keys_secret(struct token_keys *k, struct str secret); /* always true */
/* PEM certificate or public key, JWK, or JWKS. False after the error was recorded. */
bool token_keys_public(struct bcall *b, struct str text, struct token_keys *k);
void token_keys_release(struct token_keys *k);
/* Does one of the keys (of this kid, when some have it) verify? */
bool token_keys_verify(const struct token_keys *k, enum jose_alg alg, struct str kid,
                       struct str input, struct str signature);
/* The signature by a private JWK, as base64url. */
struct err token_sign(struct arena *a, struct str jwk, enum jose_alg alg, struct str input,
                      struct str *out);

#endif
