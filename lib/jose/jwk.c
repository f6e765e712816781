/* Reading JWKs: RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2. */
#include "jwk.h"

#include "lib/base/codec.h"
#include "lib/x509/own.h"
#include "roca.h"

enum { OCT_MAX = 4096 };

/* A member that must be base64url, of at most KEY_RSA_MAX_BITS; absent gives an empty slice. */
static struct err b64_member(struct arena *a, const struct json *obj, const char *name,
                             struct str *out)
{
    *out = STR_EMPTY;
    const struct json *v = json_get(obj, name);
    if (v == NULL) {
        return OK;
    }
    ENSURE(json_is(v, JSON_STRING), ERR_SYNTAX, "JWK member '%s' must be a string", name);
    ENSURE(v->text.n <= KEY_RSA_MAX_BITS / 6 + 8, ERR_LIMIT, "JWK member '%s' of %zu characters",
           name, v->text.n);
    struct err e = base64_decode(a, v->text, BASE64_URL, out);
    return failed(e) ? err_wrap(e, "JWK member '%s'", name) : OK;
}

static struct err needed(struct arena *a, const struct json *obj, const char *name, struct str *out)
{
    TRY(b64_member(a, obj, name, out));
    ENSURE(out->n > 0, ERR_INVALID, "JWK lacks the member '%s'", name);
    return OK;
}

/* Private numbers pass through an arena of their own, which is wiped: the document's arena is not. */
struct scratch {
    struct arena arena;
    struct str parts[8];
    size_t n;
};

static struct err take(struct scratch *s, const struct json *obj, const char *name, struct str *out)
{
    TRY(b64_member(&s->arena, obj, name, out));
    s->parts[s->n++] = *out;
    return OK;
}

static void scratch_release(struct scratch *s)
{
    for (size_t i = 0; i < s->n; i++) {
        wipe((void *)(uintptr_t)s->parts[i].p, s->parts[i].n);
    }
    arena_release(&s->arena);
}

static struct err read_ec(struct arena *a, struct scratch *s, const struct json *obj,
                          struct key **out)
{
    static const enum key_type types[] = {KEY_P256, KEY_P384, KEY_P521};
    struct str crv = json_str(json_get(obj, "crv")), x, y, d;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (str_is(crv, key_type_name(types[i]))) {
            TRY(needed(a, obj, "x", &x));
            TRY(needed(a, obj, "y", &y));
            TRY(take(s, obj, "d", &d));
            return key_from_ec_parts(types[i], x, y, d, out);
        }
    }
    FAIL(ERR_UNSUPPORTED, "curve '%.*s' is not supported; use P-256, P-384 or P-521",
         STR_FMT(str_sub(crv, 0, 64)));
}

static struct err read_okp(struct arena *a, struct scratch *s, const struct json *obj,
                           struct key **out)
{
    struct str crv = json_str(json_get(obj, "crv")), x, d;
    ENSURE(str_is(crv, "Ed25519"), ERR_UNSUPPORTED, "curve '%.*s' is not supported; use Ed25519",
           STR_FMT(str_sub(crv, 0, 64)));
    TRY(needed(a, obj, "x", &x));
    TRY(take(s, obj, "d", &d));
    return key_from_ed25519_parts(x, d, out);
}

static struct err read_rsa(struct arena *a, struct scratch *s, const struct json *obj,
                           const struct jwk_opts *o, struct key **out)
{
    struct str n, e, d, p, q, dp, dq, qi;
    TRY(needed(a, obj, "n", &n));
    TRY(needed(a, obj, "e", &e));
    bool small = e.n < 3 || (e.n == 3 && (e.p[0] == 0));
    ENSURE(!small || o->allow_small_exponent, ERR_RANGE, "an RSA exponent under 65537");
    ENSURE(!roca_weak(n), ERR_RANGE, "an RSA key made by a flawed generator (ROCA)");
    ENSURE(json_get(obj, "oth") == NULL, ERR_UNSUPPORTED, "an RSA key of more than two primes");
    TRY(take(s, obj, "d", &d));
    TRY(take(s, obj, "p", &p));
    TRY(take(s, obj, "q", &q));
    TRY(take(s, obj, "dp", &dp));
    TRY(take(s, obj, "dq", &dq));
    TRY(take(s, obj, "qi", &qi));
    return key_from_rsa_parts(n, e, d, p, q, dp, dq, qi, out);
}

static struct err read_oct(const struct json *obj, const struct jwk_opts *o, struct secret *out)
{
    ENSURE(o->allow_oct, ERR_UNSUPPORTED, "a symmetric key where public keys are expected");
    struct str k = json_str(json_get(obj, "k"));
    ENSURE(k.n > 0 && k.n <= OCT_MAX, ERR_RANGE, "a symmetric key of %zu characters; 1 to %d", k.n,
           OCT_MAX);
    struct secret s;
    size_t n;
    TRY(secret_zeroed(&s, k.n));
    struct err e = base64_decode_into(k, BASE64_URL, secret_mutable(&s), s.n, &n);
    if (!failed(e)) {
        e = secret_copy(out, str_n(secret_mutable(&s), n));
    }
    secret_release(&s);
    return e;
}

static struct err read_key(struct arena *a, const struct json *obj, const struct jwk_opts *o,
                           struct jwk *k)
{
    struct str kty = json_str(json_get(obj, "kty"));
    if (str_is(kty, "oct")) {
        return read_oct(obj, o, &k->oct);
    }
    struct scratch s = {.n = 0};
    arena_init(&s.arena, 64 * 1024);
    struct err e = str_is(kty, "EC")    ? read_ec(a, &s, obj, &k->key)
                   : str_is(kty, "RSA") ? read_rsa(a, &s, obj, o, &k->key)
                   : str_is(kty, "OKP") ? read_okp(a, &s, obj, &k->key)
                                        : err_make(ERR_UNSUPPORTED, "kty '%.*s' is not supported",
                                                   STR_FMT(str_sub(kty, 0, 64)));
    scratch_release(&s);
    return e;
}

static struct err text_member(const struct json *obj, const char *name, struct str *out)
{
    const struct json *v = json_get(obj, name);
    ENSURE(v == NULL || json_is(v, JSON_STRING), ERR_SYNTAX, "JWK member '%s' must be a string",
           name);
    struct str s = json_str(v);
    ENSURE(s.n <= JWK_KID_MAX, ERR_LIMIT, "JWK member '%s' of %zu bytes; at most %d", name, s.n,
           JWK_KID_MAX);
    *out = str_own(s);
    return OK;
}

/* RFC 7517 section 4.3: no value twice; `use` and `key_ops` must agree. */
static struct err read_ops(const struct json *obj, struct jwk *k)
{
    const struct json *ops = json_get(obj, "key_ops");
    if (ops == NULL) {
        k->may_sign = k->may_verify = !str_is(k->use, "enc");
        return OK;
    }
    ENSURE(json_is(ops, JSON_ARRAY) && ops->n <= 16, ERR_SYNTAX,
           "JWK member 'key_ops' must be a short array");
    k->ops_given = true;
    for (uint32_t i = 0; i < ops->n; i++) {
        ENSURE(json_is(ops->items[i], JSON_STRING), ERR_SYNTAX,
               "JWK member 'key_ops' must hold strings");
        for (uint32_t j = 0; j < i; j++) {
            ENSURE(!str_eq(ops->items[i]->text, ops->items[j]->text), ERR_INVALID,
                   "JWK member 'key_ops' holds a value twice");
        }
        k->may_sign |= str_is(ops->items[i]->text, "sign");
        k->may_verify |= str_is(ops->items[i]->text, "verify");
    }
    if (str_is(k->use, "enc")) {
        k->may_sign = k->may_verify = false;
    }
    return OK;
}

static struct err read_x5c(struct arena *a, const struct json *obj, struct jwk *k)
{
    const struct json *x5c = json_get(obj, "x5c");
    if (!json_is(x5c, JSON_ARRAY) || x5c->n == 0) {
        return OK;
    }
    struct str der;
    TRY(base64_decode(a, json_str(x5c->items[0]), BASE64_STD, &der));
    k->x5c = str_own(der);
    return OK;
}

/* The algorithm narrows what the key is for; one that cannot be done with such a key is a mistake. */
static struct err check_alg(struct jwk *k)
{
    if (k->alg_name.n == 0 || failed(jose_alg_parse(k->alg_name, &k->alg))) {
        return OK;
    }
    bool hmac = k->alg >= JOSE_HS256;
    ENSURE(hmac == (k->key == NULL) && (hmac || key_fits(k->key, (enum sig_alg)k->alg)),
           ERR_INVALID, "JWK's alg '%.*s' does not fit its key", STR_FMT(k->alg_name));
    return OK;
}

static struct err read_jwk(struct arena *a, const struct json *obj, const struct jwk_opts *o,
                           struct jwk *k)
{
    ENSURE(json_is(obj, JSON_OBJECT), ERR_SYNTAX, "a JWK must be an object");
    TRY(text_member(obj, "kid", &k->kid));
    TRY(text_member(obj, "use", &k->use));
    TRY(text_member(obj, "alg", &k->alg_name));
    TRY(read_ops(obj, k));
    TRY(read_key(a, obj, o, k));
    TRY(read_x5c(a, obj, k));
    return check_alg(k);
}

static struct jwk *jwk_new(void)
{
    struct jwk *k = calloc(1, sizeof(*k));
    BUG_ON(k == NULL);
    k->alg = JOSE_ALG_NONE;
    return k;
}

struct err jwk_parse(const struct json *obj, const struct jwk_opts *opts, struct jwk **out)
{
    static const struct jwk_opts none = {.allow_oct = false};
    struct arena a;
    arena_init(&a, JWKS_TEXT_MAX);
    struct jwk *k = jwk_new();
    struct err e = read_jwk(&a, obj, opts != NULL ? opts : &none, k);
    if (!failed(e) && arena_exhausted(&a)) {
        e = err_make(ERR_LIMIT, "a JWK that is too large");
    }
    arena_release(&a);
    if (failed(e)) {
        jwk_free(k);
        return e;
    }
    *out = k;
    return OK;
}

struct err jwk_parse_text(struct str text, const struct jwk_opts *opts, struct jwk **out)
{
    ENSURE(text.n <= JWKS_TEXT_MAX, ERR_LIMIT, "a JWK of %zu bytes; at most %d", text.n,
           JWKS_TEXT_MAX);
    struct arena a;
    arena_init(&a, 8 * JWKS_TEXT_MAX);
    struct json *v;
    struct err e = json_parse(&a, text, NULL, &v);
    if (!failed(e)) {
        e = jwk_parse(v, opts, out);
    }
    arena_release(&a);
    return e;
}

struct jwk *jwk_from_key(struct key *key, struct str kid, enum jose_alg alg, struct str use)
{
    struct jwk *k = jwk_new();
    k->key = key_ref(key);
    k->kid = str_own(kid);
    k->use = str_own(use);
    k->alg = alg;
    k->alg_name = str_own(alg != JOSE_ALG_NONE ? str_of(jose_alg_name(alg)) : STR_EMPTY);
    k->may_sign = k->may_verify = true;
    return k;
}

void jwk_free(struct jwk *k)
{
    if (k == NULL) {
        return;
    }
    key_unref(k->key);
    secret_release(&k->oct);
    str_disown(&k->kid);
    str_disown(&k->use);
    str_disown(&k->alg_name);
    str_disown(&k->x5c);
    free(k);
}
