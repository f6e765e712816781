/* Private keys (PKCS#1, PKCS#8, SEC 1), as Go shows them and as JSON Web Keys. */
#include "authz/rego/builtin/x509/go.h"

#include "lib/base/codec.h"
#include "lib/x509/key.h"

#define OID_RSA "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
#define OID_EC "\x2a\x86\x48\xce\x3d\x02\x01"

static struct val url_bytes(struct arena *a, struct str bytes)
{
    return val_str(a, base64_encode(a, bytes, BASE64_URL));
}

/* ---- RSA ---- */

enum { RSA_N, RSA_E, RSA_D, RSA_P, RSA_Q, RSA_DP, RSA_DQ, RSA_QI, RSA_PARTS };

static struct err take_rsa(struct str der, struct str part[RSA_PARTS])
{
    struct der d = {der}, in;
    int64_t version;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    ENSURE(d.rest.n == 0, ERR_SYNTAX, "trailing data");
    TRY(go_take_small(&in, DER_INTEGER, INT64_MAX, &version));
    for (size_t i = 0; i < RSA_PARTS; i++) {
        struct err e = der_take_uint(&in, &part[i]);
        bool zero = !failed(e) && part[i].n == 1 && part[i].p[0] == 0;
        ENSURE(e.code != ERR_RANGE && !zero, ERR_RANGE,
               "x509: private key contains zero or negative value");
        TRY(e);
    }
    ENSURE(version == 0, ERR_UNSUPPORTED, "x509: unsupported private key version");
    return OK;
}

static struct err rsa_spki(struct arena *a, const struct str part[RSA_PARTS], struct str *out)
{
    struct buf b;
    buf_init(&b, KEY_DER_MAX + 256);
    size_t seq = der_open(&b, DER_SEQUENCE), alg = der_open(&b, DER_SEQUENCE);
    buf_puts(&b, S("\x06\x09" OID_RSA "\x05\x00"));
    der_close(&b, alg);
    size_t bits = der_open(&b, DER_BIT_STRING), key;
    buf_putc(&b, 0);
    key = der_open(&b, DER_SEQUENCE);
    der_put_uint(&b, part[RSA_N]);
    der_put_uint(&b, part[RSA_E]);
    der_close(&b, key);
    der_close(&b, bits);
    der_close(&b, seq);
    *out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return OK;
}

static struct val rsa_shown(struct arena *a, const struct str p[RSA_PARTS])
{
    struct vlist l = {.a = a}, pre = {.a = a};
    struct val primes[2] = {go_uint(a, p[RSA_P]), go_uint(a, p[RSA_Q])};
    vlist_put(&pre, "Dp", go_uint(a, p[RSA_DP]));
    vlist_put(&pre, "Dq", go_uint(a, p[RSA_DQ]));
    vlist_put(&pre, "Qinv", go_uint(a, p[RSA_QI]));
    vlist_put(&pre, "CRTValues", val_empty_array());
    vlist_put(&l, "N", go_uint(a, p[RSA_N]));
    vlist_put(&l, "E", go_uint(a, p[RSA_E]));
    vlist_put(&l, "D", go_uint(a, p[RSA_D]));
    vlist_put(&l, "Primes", val_array(a, primes, 2));
    vlist_put(&l, "Precomputed", vlist_object(&pre));
    return vlist_object(&l);
}

static struct val rsa_jwk(struct arena *a, const struct str p[RSA_PARTS])
{
    static const char *const names[RSA_PARTS] = {"n", "e", "d", "p", "q", "dp", "dq", "qi"};
    struct vlist l = {.a = a};
    for (size_t i = 0; i < RSA_PARTS; i++) {
        vlist_put(&l, names[i], url_bytes(a, p[i]));
    }
    vlist_put(&l, "kty", val_str(a, S("RSA")));
    return vlist_object(&l);
}

static struct err rsa_private(struct arena *a, struct str der, struct val *shown, struct val *jwk,
                              struct str *spki)
{
    struct str part[RSA_PARTS];
    TRY(take_rsa(der, part));
    TRY(rsa_numbers_check(part[RSA_N], part[RSA_E], part[RSA_D], part[RSA_P], part[RSA_Q],
                          part[RSA_DP], part[RSA_DQ], part[RSA_QI]));
    if (shown != NULL) {
        *shown = rsa_shown(a, part);
    }
    if (jwk != NULL) {
        *jwk = rsa_jwk(a, part);
    }
    return rsa_spki(a, part, spki);
}

/* ---- elliptic curves ---- */

struct curve {
    struct str oid;
    size_t width;
    const char *name;
};

static const struct curve *curve_of(struct str oid)
{
    static const struct curve curves[] = {
        {STR_INIT("\x2a\x86\x48\xce\x3d\x03\x01\x07"), 32, "P-256"},
        {STR_INIT("\x2b\x81\x04\x00\x22"), 48, "P-384"},
        {STR_INIT("\x2b\x81\x04\x00\x23"), 66, "P-521"},
    };
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        if (str_eq(curves[i].oid, oid)) {
            return &curves[i];
        }
    }
    return NULL;
}

/* ECPrivateKey (SEC 1): version 1, the scalar, [0] the curve, [1] the point; both may be missing. */
static struct err take_ec(struct str der, struct str *scalar, struct str *oid)
{
    struct der d = {der}, in, params;
    int64_t version;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    TRY(go_take_small(&in, DER_INTEGER, INT64_MAX, &version));
    TRY(der_take(&in, DER_OCTET_STRING, scalar));
    if (der_peek(&in, DER_CONTEXT_CONS(0))) {
        struct str named;
        TRY(der_take(&in, DER_CONTEXT_CONS(0), &params.rest));
        TRY(go_take_oid(&params, &named));
        *oid = oid->n > 0 ? *oid : named;
    }
    ENSURE(version == 1, ERR_UNSUPPORTED, "x509: unknown EC private key version %lld",
           (long long)version);
    return OK;
}

/* SEC 1 in PKCS#8, as the key decoder takes it: it works the point out. */
static struct err ec_point(const struct curve *c, struct str scalar, struct str *spki,
                           struct arena *a)
{
    struct buf b;
    struct key *key;
    buf_init_secret(&b, 512);
    size_t seq = der_open(&b, DER_SEQUENCE);
    buf_puts(&b, S("\x02\x01\x00"));
    size_t alg = der_open(&b, DER_SEQUENCE);
    buf_puts(&b, S("\x06\x07" OID_EC));
    der_put(&b, DER_OID, c->oid);
    der_close(&b, alg);
    size_t octets = der_open(&b, DER_OCTET_STRING), in = der_open(&b, DER_SEQUENCE);
    buf_puts(&b, S("\x02\x01\x01"));
    der_put(&b, DER_OCTET_STRING, scalar);
    der_close(&b, in);
    der_close(&b, octets);
    der_close(&b, seq);
    struct err e = key_from_pkcs8(buf_str(&b), &key);
    buf_release(&b);
    if (failed(e)) {
        FAIL(ERR_RANGE, "ecdsa: invalid private key");
    }
    *spki = arena_str(a, key_spki(key));
    key_unref(key);
    return OK;
}

static struct err ec_private(struct arena *a, struct str der, struct str oid, struct val *shown,
                             struct val *jwk, struct str *spki)
{
    struct str scalar = STR_EMPTY;
    struct err e = take_ec(der, &scalar, &oid);
    if (failed(e)) {
        bool told = str_starts(str_of(err_detail()), S("x509: "));
        return told ? e : err_wrap(e, "x509: failed to parse EC private key");
    }
    const struct curve *c = curve_of(oid);
    ENSURE(c != NULL, ERR_UNSUPPORTED, "x509: unknown elliptic curve");
    while (scalar.n > c->width) {
        ENSURE(scalar.p[0] == 0, ERR_RANGE, "x509: invalid private key length");
        scalar = str_sub(scalar, 1, scalar.n);
    }
    char *p = arena_alloc(a, c->width);
    memcpy(p + c->width - scalar.n, scalar.p, scalar.n);
    scalar = str_n(p, c->width);
    TRY(ec_point(c, scalar, spki, a));
    struct str y = str_sub(*spki, spki->n - c->width, spki->n);
    struct str x = str_sub(*spki, spki->n - 2 * c->width, spki->n - c->width);
    struct vlist l = {.a = a};
    if (shown != NULL) {
        vlist_put(&l, "Curve", val_empty_object());
        vlist_put(&l, "X", go_uint(a, x));
        vlist_put(&l, "Y", go_uint(a, y));
        vlist_put(&l, "D", go_uint(a, scalar));
        *shown = vlist_object(&l);
    }
    if (jwk != NULL) {
        l = (struct vlist){.a = a};
        vlist_put(&l, "kty", val_str(a, S("EC")));
        vlist_put(&l, "crv", val_str(a, str_of(c->name)));
        vlist_put(&l, "x", url_bytes(a, x));
        vlist_put(&l, "y", url_bytes(a, y));
        vlist_put(&l, "d", url_bytes(a, scalar));
        *jwk = vlist_object(&l);
    }
    return OK;
}

/* ---- Ed25519 ---- */

static struct err ed25519_private(struct arena *a, struct str octets, struct val *shown,
                                  struct val *jwk, struct str *spki)
{
    struct der d = {octets};
    struct str seed;
    struct key *key;
    ENSURE(!failed(der_take(&d, DER_OCTET_STRING, &seed)), ERR_SYNTAX,
           "x509: invalid Ed25519 private key: asn1: structure error: tags don't match");
    ENSURE(seed.n == 32, ERR_RANGE, "x509: invalid Ed25519 private key length: %zu", seed.n);
    TRY(key_from_ed25519_parts(STR_EMPTY, seed, &key));
    *spki = arena_str(a, key_spki(key));
    key_unref(key);
    struct str x = str_sub(*spki, spki->n - 32, spki->n);
    if (shown != NULL) {
        char both[64];
        memcpy(both, seed.p, 32);
        memcpy(both + 32, x.p, 32);
        *shown = go_bytes(a, str_n(both, 64));
    }
    if (jwk != NULL) {
        struct vlist l = {.a = a};
        vlist_put(&l, "kty", val_str(a, S("OKP")));
        vlist_put(&l, "crv", val_str(a, S("Ed25519")));
        vlist_put(&l, "x", url_bytes(a, x));
        vlist_put(&l, "d", url_bytes(a, seed));
        *jwk = vlist_object(&l);
    }
    return OK;
}

/* ---- any ---- */

static struct err pkcs8_private(struct arena *a, struct str der, struct val *shown, struct val *jwk,
                                struct str *spki)
{
    struct der d = {der}, in;
    struct str octets, oid = STR_EMPTY;
    struct go_algorithm g;
    int64_t version;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    TRY(go_take_small(&in, DER_INTEGER, INT64_MAX, &version));
    TRY(go_take_algorithm(&in, &g));
    TRY(der_take(&in, DER_OCTET_STRING, &octets));
    if (str_eq(g.oid, S(OID_RSA))) {
        struct err e = rsa_private(a, octets, shown, jwk, spki);
        return failed(e) ? err_wrap(e, "x509: failed to parse RSA private key embedded in PKCS#8")
                         : OK;
    }
    if (str_eq(g.oid, S(OID_EC))) {
        struct der params = {g.params};
        ignore_err(go_take_oid(&params, &oid));
        struct err e = ec_private(a, octets, oid, shown, jwk, spki);
        return failed(e) ? err_wrap(e, "x509: failed to parse EC private key embedded in PKCS#8")
                         : OK;
    }
    if (str_eq(g.oid, S("\x2b\x65\x70"))) {
        ENSURE(g.params.n == 0, ERR_SYNTAX, "x509: invalid Ed25519 private key parameters");
        return ed25519_private(a, octets, shown, jwk, spki);
    }
    FAIL(ERR_UNSUPPORTED,
         "x509: PKCS#8 wrapping contained private key with unknown algorithm: %.*s",
         STR_FMT(val_text(go_oid_text(a, g.oid))));
}

/* Which decoder would have taken the shape of this key; NULL: none. */
static const char *better_form(struct str der, enum go_key_form form)
{
    struct der d = {der}, in, alg;
    struct str unused, part[RSA_PARTS], oid = STR_EMPTY;
    int64_t version;
    if (form != GO_KEY_SEC1 && !failed(take_ec(der, &unused, &oid))) {
        return "ParseECPrivateKey";
    }
    if (form != GO_KEY_PKCS8 && !failed(der_take(&d, DER_SEQUENCE, &in.rest)) &&
        !failed(go_take_small(&in, DER_INTEGER, INT64_MAX, &version)) &&
        !failed(der_take(&in, DER_SEQUENCE, &alg.rest)) &&
        !failed(der_take(&in, DER_OCTET_STRING, &unused))) {
        return "ParsePKCS8PrivateKey";
    }
    return form != GO_KEY_PKCS1 && !failed(take_rsa(der, part)) ? "ParsePKCS1PrivateKey" : NULL;
}

struct err go_private_key(struct arena *a, struct str der, enum go_key_form form, struct val *shown,
                          struct val *jwk, struct str *spki)
{
    ENSURE(der.n <= KEY_DER_MAX, ERR_LIMIT, "private key of %zu bytes; at most %d", der.n,
           KEY_DER_MAX);
    struct err e = form == GO_KEY_PKCS1   ? rsa_private(a, der, shown, jwk, spki)
                   : form == GO_KEY_PKCS8 ? pkcs8_private(a, der, shown, jwk, spki)
                                          : ec_private(a, der, STR_EMPTY, shown, jwk, spki);
    if (!failed(e)) {
        return e;
    }
    struct str why = arena_str(a, str_of(err_detail()));
    bool told = (str_starts(why, S("x509: ")) && !str_starts(why, S("x509: malformed"))) ||
                str_starts(why, S("ecdsa: ")) || str_starts(why, S("crypto/rsa: "));
    const char *better = told && e.code != ERR_SYNTAX ? NULL : better_form(der, form);
    if (better != NULL) {
        FAIL(ERR_SYNTAX, "x509: failed to parse private key (use %s instead for this key format)",
             better);
    }
    e = err_make(ERR_SYNTAX, "%.*s", STR_FMT(why));
    return told ? e : err_wrap(e, "asn1: structure error");
}
