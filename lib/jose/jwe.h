/*
 * jwe: encrypted tokens, read (RFC 7516). Compact, general and flattened forms.
 *
 * Key management: RSA-OAEP, RSA-OAEP-256, A*KW, A*GCMKW, dir, ECDH-ES with and without A*KW on the NIST curves.
 * Content: A*GCM, A*CBC-HS*. Never RSA1_5, PBES2 or zip (RFC 8725). The key's own `alg` must be that of the
 * token; its private half, or its bytes, must be there.
 *
 *     buf_init_secret(&plain, JWE_PLAIN_MAX);
 *     TRY(jwe_decrypt(arena, compact, key, &plain));
 */
#ifndef SEXTANT_JOSE_JWE_H
#define SEXTANT_JOSE_JWE_H

#include "jwk.h"

enum { JWE_TEXT_MAX = 256 * 1024, JWE_PLAIN_MAX = 256 * 1024, JWE_RECIPIENTS_MAX = 16 };

/* ERR_SYNTAX, ERR_UNSUPPORTED (alg, enc, zip, crit), ERR_SIGNATURE (anything cryptographic, without detail). */
struct err jwe_decrypt(struct arena *a, struct str compact, const struct jwk *key,
                       struct buf *plain);
/* The JSON forms: the first recipient that the key opens. */
struct err jwe_decrypt_json(struct arena *a, const struct json *doc, const struct jwk *key,
                            struct buf *plain);

#endif
