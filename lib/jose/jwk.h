/*
 * jwk: JSON Web Keys and sets of them (RFC 7517, 7518 section 6, 8037, 7638).
 *
 * A key is decoded once, when its document is read, and belongs to one algorithm family from then
 * on. A set is counted and immutable. An entry of a set that cannot be used (unknown kty, a size
 * out of bounds, a bad point) is left out, as RFC 7517 section 5 asks, and counted in `skipped`; a
 * single key that cannot be used is an error. A set that names two keys of one kind by one kid, or
 * mixes shared secrets with public keys, is refused: which key a token means would be a guess.
 *
 *     struct jwks *set;
 *     TRY(jwks_parse(text, NULL, &set));
 *     const struct jwk *k = jwks_find(set, S("key-1"));
 *     jwks_unref(set);
 */
#ifndef SEXTANT_JOSE_JWK_H
#define SEXTANT_JOSE_JWK_H

#include "lib/json/json.h"
#include "lib/x509/key.h"

enum jose_alg {
    JOSE_RS256,
    JOSE_RS384,
    JOSE_RS512,
    JOSE_PS256,
    JOSE_PS384,
    JOSE_PS512,
    JOSE_ES256,
    JOSE_ES384,
    JOSE_ES512,
    JOSE_EDDSA,
    JOSE_HS256,
    JOSE_HS384,
    JOSE_HS512,
    JOSE_ALG_COUNT,
    JOSE_ALG_NONE = -1 /* "not given": never an algorithm */
};
enum { JWKS_TEXT_MAX = 256 * 1024, JWKS_KEYS_MAX = 1000, JWK_KID_MAX = 1024 };

#define JOSE_BIT(alg) (1u << (alg))
/* The nine of JWT-SVID section 3, and what is accepted where nothing else is said. */
#define JOSE_ALGS_SVID 0x1ffu
#define JOSE_ALGS_DEFAULT                                                                          \
    (JOSE_BIT(JOSE_RS256) | JOSE_BIT(JOSE_PS256) | JOSE_BIT(JOSE_ES256) | JOSE_BIT(JOSE_EDDSA))
#define JOSE_ALGS_ASYMMETRIC 0x3ffu
#define JOSE_ALGS_HMAC (JOSE_BIT(JOSE_HS256) | JOSE_BIT(JOSE_HS384) | JOSE_BIT(JOSE_HS512))

const char *jose_alg_name(enum jose_alg alg); /* "RS256" */
struct err jose_alg_parse(struct str name,
                          enum jose_alg *out); /* "Ed25519" is EdDSA; ERR_UNSUPPORTED */

struct jwk {
    struct str kid, use; /* empty when absent */
    struct str
        alg_name;      /* "alg" as written; a key of a name we do not sign with verifies nothing */
    enum jose_alg alg; /* of "alg"; JOSE_ALG_NONE when absent or not a signature's */
    bool ops_given, may_sign, may_verify; /* key_ops */
    struct key *key;                      /* NULL for a symmetric key */
    struct secret oct;                    /* symmetric key bytes */
    struct str x5c; /* DER of the first certificate of x5c; empty when absent */
};

struct jwk_opts {
    bool allow_oct;            /* symmetric keys: only where a shared secret is meant */
    bool allow_small_exponent; /* RSA e = 3, as some test vectors have */
};

struct err jwk_parse(const struct json *obj, const struct jwk_opts *opts, struct jwk **out);
struct err jwk_parse_text(struct str text, const struct jwk_opts *opts, struct jwk **out);
void jwk_free(struct jwk *k);
/* A JWK around a key that is there already. Takes a reference of the key; copies the text. */
struct jwk *jwk_from_key(struct key *key, struct str kid, enum jose_alg alg, struct str use);

struct jwks {
    struct jwk **keys;
    size_t n, skipped;
    unsigned refs;
};
struct err jwks_parse(struct str text, const struct jwk_opts *opts, struct jwks **out);
struct err jwks_from_json(const struct json *doc, const struct jwk_opts *opts, struct jwks **out);
struct jwks *jwks_new(void);
void jwks_add(struct jwks *set, struct jwk *k); /* takes it; before the set is shared */
struct jwks *jwks_ref(struct jwks *set);
void jwks_unref(struct jwks *set);
const struct jwk *jwks_find(const struct jwks *set,
                            struct str kid); /* first with this kid, or NULL */

/* The public half as JSON: kty, crv, x, y / n, e, and kid, alg, use when known. Never private parts. */
struct json *jwk_to_json(struct arena *a, const struct jwk *k);
struct json *key_to_jwk_json(struct arena *a, const struct key *key);
/* RFC 7638 with SHA-256, base64url: 43 characters and a NUL. */
enum { JWK_THUMBPRINT_TEXT = 44 };
void jwk_thumbprint(const struct key *key, char out[JWK_THUMBPRINT_TEXT]);

#endif
