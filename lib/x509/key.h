/*
 * key: an asymmetric key, decoded once, that signs or verifies many times.
 *
 * A key is immutable and counted. It keeps prepared contexts for its algorithms, since preparing
 * one costs more than using it; so one key belongs to one thread. Its SPKI (SubjectPublicKeyInfo)
 * and, for JOSE, its algorithm family are known from birth.
 *
 *     struct key *key;
 *     TRY(key_generate(KEY_P256, &key));
 *     TRY(key_sign(key, SIG_ES256, S("message"), &signature));       DER for ECDSA, as in X.509
 *     TRY(key_verify(key, SIG_ES256, S("message"), buf_str(&signature)));
 *     key_unref(key);
 *
 * Sizes are bounded: RSA 2048 to 8192 bits with an odd exponent of 3 or more; the curves P-256,
 * P-384, P-521 and Ed25519, points checked to be on the curve.
 */
#ifndef SEXTANT_X509_KEY_H
#define SEXTANT_X509_KEY_H

#include "lib/base/buf.h"
#include "lib/base/secret.h"

enum key_type { KEY_P256, KEY_P384, KEY_P521, KEY_ED25519, KEY_RSA };
enum {
    KEY_RSA_MIN_BITS = 2048,
    KEY_RSA_MAX_BITS = 8192,
    KEY_DER_MAX = 16 * 1024,
    SIGNATURE_MAX = 1024
};

/* RSASSA-PKCS1-v1_5, RSASSA-PSS (salt as long as the digest), ECDSA, EdDSA on Ed25519. */
enum sig_alg {
    SIG_RS256,
    SIG_RS384,
    SIG_RS512,
    SIG_PS256,
    SIG_PS384,
    SIG_PS512,
    SIG_ES256,
    SIG_ES384,
    SIG_ES512,
    SIG_EDDSA,
    SIG_ALG_COUNT
};

struct key;

struct err key_generate(enum key_type type, struct key **out); /* RSA: 2048 bits */
struct err key_generate_rsa(unsigned bits, struct key **out);  /* 2048, 3072, 4096 */
struct key *key_ref(struct key *k);
void key_unref(struct key *k); /* NULL ok */

enum key_type key_type(const struct key *k);
bool key_is_private(const struct key *k);
unsigned key_bits(const struct key *k);   /* modulus bits, or 256, 384, 521 */
struct str key_spki(const struct key *k); /* DER; lives as long as the key */
bool key_same_public(const struct key *a, const struct key *b);
const char *key_type_name(enum key_type t);           /* "P-256", "RSA", ... */
bool key_fits(const struct key *k, enum sig_alg alg); /* may this key be used with `alg`? */
enum sig_alg key_default_alg(const struct key *k);    /* ES256/384/512, EdDSA or RS256 */

/* Decoders. ERR_SYNTAX (not a key), ERR_UNSUPPORTED (another kind), ERR_RANGE (size, bad point). */
struct err key_from_pkcs8(struct str der, struct key **out);
struct err key_from_spki(struct str der, struct key **out);
/* Does an SPKI of whatever kind and size decode, points on their curves? For showing, not for use. */
bool key_spki_is_sound(struct str spki);
/* Do the numbers of a private RSA key, big endian, belong together? ERR_RANGE, ERR_LIMIT. */
struct err rsa_numbers_check(struct str n, struct str e, struct str d, struct str p, struct str q,
                             struct str dp, struct str dq, struct str qi);
/* One PEM block: PRIVATE KEY, EC PRIVATE KEY, RSA PRIVATE KEY (none encrypted), or PUBLIC KEY. */
struct err key_from_pem(struct str pem, struct key **out);

/* The encoder of private keys writes into guarded memory only. ERR_INVALID for a public key. */
struct err key_to_pkcs8(const struct key *k, struct secret *out);
struct err key_to_pkcs8_pem(const struct key *k, struct secret *out);
void key_spki_pem(const struct key *k, struct buf *out);

/* Raw public parts, as JWK names them; slices of `storage`, big endian, leading zeros kept for EC. */
struct key_parts {
    struct str x, y; /* EC; x alone for Ed25519 */
    struct str n, e; /* RSA */
    uint8_t storage[KEY_RSA_MAX_BITS / 8 + 16];
};
void key_public_parts(const struct key *k, struct key_parts *out);
/* `d` empty gives a public key. ERR_RANGE: wrong lengths, point off the curve, d does not fit x, y. */
struct err key_from_ec_parts(enum key_type type, struct str x, struct str y, struct str d,
                             struct key **out);
struct err key_from_ed25519_parts(struct str x, struct str d, struct key **out);
struct err key_from_rsa_parts(struct str n, struct str e, struct str d, struct str p, struct str q,
                              struct str dp, struct str dq, struct str qi, struct key **out);

/*
 * Signs the message (not its digest). ECDSA gives DER. ERR_INVALID when the key has no private half
 * or does not fit `alg`.
 */
struct err key_sign(struct key *k, enum sig_alg alg, struct str message, struct buf *out);
/* ERR_SIGNATURE when it does not verify; DER must be the only possible encoding of r and s. */
struct err key_verify(struct key *k, enum sig_alg alg, struct str message, struct str signature);
/* The same with ECDSA signatures as r and s laid end to end (JOSE, P1363): 64, 96 or 132 bytes. */
struct err key_sign_raw(struct key *k, enum sig_alg alg, struct str message, struct buf *out);
struct err key_verify_raw(struct key *k, enum sig_alg alg, struct str message,
                          struct str signature);

/* ECDSA signatures from one form to the other, strictly. `width` is 32, 48 or 66 bytes. */
struct err ecdsa_der_to_raw(struct str der, size_t width, struct buf *out);
struct err ecdsa_raw_to_der(struct str raw, size_t width, struct buf *out);

/* The DER AlgorithmIdentifier of a signature algorithm, and back. ERR_UNSUPPORTED. */
struct str sig_alg_der(enum sig_alg alg);
struct err sig_alg_from_der(struct str der, enum sig_alg *out);

#endif
