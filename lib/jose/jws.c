/* Compact JWS: RFC 7515 sections 5.2 and 7.1, with the strictness of RFC 8725. */
#include "jws.h"

#include "lib/base/codec.h"
#include "lib/x509/digest.h"

/* ---- one signature ---- */

static struct err hmac(const struct jwk *k, enum jose_alg alg, struct str input,
                       uint8_t out[DIGEST_MAX], size_t *n)
{
    static const enum digest_alg mds[] = {DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512};
    enum digest_alg md = mds[alg - JOSE_HS256];
    ENSURE(k->key == NULL && k->oct.n >= digest_size(md), ERR_SIGNATURE,
           "an HMAC key shorter than its hash (RFC 7518 section 3.2)");
    *n = digest_hmac(md, secret_bytes(&k->oct), input, out);
    return OK;
}

/* May this key be used with this algorithm at all? */
static bool key_usable(const struct jwk *k, enum jose_alg alg)
{
    if (k->alg_name.n > 0 && k->alg != alg) {
        return false;
    }
    if (alg >= JOSE_HS256) {
        return k->key == NULL;
    }
    return k->key != NULL && key_fits(k->key, (enum sig_alg)alg);
}

struct err jose_verify(const struct jwk *k, enum jose_alg alg, struct str input,
                       struct str signature)
{
    ENSURE(k->may_verify, ERR_SIGNATURE, "the key is not meant for verifying signatures");
    ENSURE(key_usable(k, alg), ERR_SIGNATURE, "the key is not for algorithm %s",
           jose_alg_name(alg));
    if (alg < JOSE_HS256) {
        return key_verify_raw(k->key, (enum sig_alg)alg, input, signature);
    }
    uint8_t mac[DIGEST_MAX];
    size_t n;
    TRY(hmac(k, alg, input, mac, &n));
    ENSURE(str_eq_secret(str_n(mac, n), signature), ERR_SIGNATURE, "the MAC does not verify");
    return OK;
}

struct err jose_sign(const struct jwk *k, enum jose_alg alg, struct str input,
                     struct buf *signature)
{
    ENSURE(k->may_sign && key_usable(k, alg), ERR_INVALID, "the key is not for signing with %s",
           jose_alg_name(alg));
    if (alg < JOSE_HS256) {
        return key_sign_raw(k->key, (enum sig_alg)alg, input, signature);
    }
    uint8_t mac[DIGEST_MAX];
    size_t n;
    TRY(hmac(k, alg, input, mac, &n));
    buf_put(signature, mac, n);
    return buf_check(signature);
}

/* ---- reading ---- */

/* Section 4.1.9: case-insensitive, and "application/" may be left out. */
static bool typ_equal(struct str got, const char *want)
{
    struct str w = str_of(want), prefix = S("application/");
    got = str_starts_nocase(got, prefix) ? str_sub(got, prefix.n, got.n) : got;
    w = str_starts_nocase(w, prefix) ? str_sub(w, prefix.n, w.n) : w;
    return str_eq_nocase(got, w);
}

static struct err check_typ(const struct jws_policy *p, struct str typ)
{
    if (p->typ == NULL) {
        return OK;
    }
    ENSURE(typ.n > 0 || !p->typ_required, ERR_INVALID, "the token has no typ; '%s' is due",
           p->typ[0]);
    bool found = typ.n == 0;
    for (size_t i = 0; p->typ[i] != NULL; i++) {
        found |= typ_equal(typ, p->typ[i]);
    }
    ENSURE(found, ERR_INVALID, "the token is of typ '%.*s'; '%s' is due",
           STR_FMT(str_sub(typ, 0, 64)), p->typ[0]);
    return OK;
}

static struct err header_text(const struct json *h, const char *name, struct str *out)
{
    const struct json *v = json_get(h, name);
    ENSURE(v == NULL || json_is(v, JSON_STRING), ERR_SYNTAX, "token header '%s' must be a string",
           name);
    *out = json_str(v);
    return OK;
}

/* Nothing is understood as critical, so a `crit` of any form ends it; b64=false with or without it. */
static struct err check_header(const struct json *h, const struct jws_policy *p, struct jws *t)
{
    ENSURE(json_is(h, JSON_OBJECT), ERR_SYNTAX, "a token's header must be a JSON object");
    struct str alg;
    TRY(header_text(h, "alg", &alg));
    ENSURE(alg.n > 0, ERR_INVALID, "the token names no algorithm");
    TRY(jose_alg_parse(alg, &t->alg));
    unsigned allowed = p->algs != 0 ? p->algs : JOSE_ALGS_DEFAULT;
    ENSURE((allowed & JOSE_BIT(t->alg)) != 0, ERR_UNSUPPORTED, "algorithm %s is not accepted here",
           jose_alg_name(t->alg));
    ENSURE(json_get(h, "crit") == NULL, ERR_UNSUPPORTED,
           "the token has critical headers that are not understood");
    ENSURE(json_get(h, "b64") == NULL, ERR_UNSUPPORTED, "the token has an unencoded payload (b64)");
    ENSURE(json_get(h, "zip") == NULL, ERR_UNSUPPORTED, "the token is compressed");
    TRY(header_text(h, "kid", &t->kid));
    TRY(header_text(h, "typ", &t->typ));
    ENSURE(t->kid.n <= JWK_KID_MAX, ERR_LIMIT, "a kid of %zu bytes", t->kid.n);
    ENSURE(t->kid.n > 0 || !p->require_kid, ERR_INVALID, "the token has no kid");
    return check_typ(p, t->typ);
}

static struct err split3(struct str compact, struct str out[3])
{
    struct str rest = compact;
    size_t n = 0;
    while (rest.p != NULL) {
        struct str segment = str_split(&rest, '.');
        ENSURE(n < 3, ERR_SYNTAX, "a token of more than three segments");
        out[n++] = segment;
    }
    ENSURE(n == 3, ERR_SYNTAX, "a token of %zu segments; header.payload.signature is due", n);
    return OK;
}

static struct err decode(struct arena *a, struct str text, const char *what, struct str *out)
{
    struct err e = base64_decode(a, text, BASE64_URL, out);
    return failed(e) ? err_wrap(e, "token %s", what) : OK;
}

struct err jws_parse(struct arena *a, struct str compact, const struct jws_policy *policy,
                     struct jws *out)
{
    static const struct jws_policy any = {.algs = 0};
    static const struct json_limits limits = {
        .max_bytes = JWS_HEADER_MAX, .max_depth = 16, .max_values = 500};
    const struct jws_policy *p = policy != NULL ? policy : &any;
    ENSURE(compact.n > 0 && compact.n <= JWS_COMPACT_MAX, ERR_LIMIT,
           "a token of %zu bytes; 1 to %d", compact.n, JWS_COMPACT_MAX);
    struct str segment[3], header;
    struct jws t = {.alg = JOSE_ALG_NONE};
    struct json *h;
    TRY(split3(compact, segment));
    ENSURE(segment[0].n <= JWS_HEADER_MAX, ERR_LIMIT, "a token header of %zu bytes; at most %d",
           segment[0].n, JWS_HEADER_MAX);
    TRY(decode(a, segment[0], "header", &header));
    struct err e = json_parse(a, header, &limits, &h);
    if (failed(e)) {
        return err_wrap(e, "token header");
    }
    TRY(check_header(h, p, &t));
    TRY(decode(a, segment[1], "payload", &t.payload));
    TRY(decode(a, segment[2], "signature", &t.signature));
    ENSURE(!arena_exhausted(a), ERR_LIMIT, "the token needs more memory than allowed");
    t.header = h;
    t.signing_input = str_sub(compact, 0, segment[0].n + 1 + segment[1].n);
    *out = t;
    return OK;
}

struct err jws_check(struct jws *t, const struct jwks *set, const struct jws_policy *policy)
{
    unsigned tries = 0;
    bool known = false;
    struct err last = OK;
    for (size_t i = 0; i < set->n && tries < JWS_KEY_TRIES; i++) {
        const struct jwk *k = set->keys[i];
        if (t->kid.n > 0 && !str_eq(k->kid, t->kid)) {
            /* A lone key without a name may answer for any kid: there is no other it could be. */
            if (k->kid.n > 0 || set->n > 1) {
                continue;
            }
        }
        known = true;
        if (!key_usable(k, t->alg)) {
            last = err_make(ERR_SIGNATURE, "no key of this kid is for algorithm %s",
                            jose_alg_name(t->alg));
            continue;
        }
        tries++;
        last = jose_verify(k, t->alg, t->signing_input, t->signature);
        if (!failed(last)) {
            t->key = k;
            return OK;
        }
    }
    ENSURE(known, ERR_NOT_FOUND, "no key '%.*s' in the key set", STR_FMT(t->kid));
    return last;
}

struct err jws_verify(struct arena *a, struct str compact, const struct jwks *set,
                      const struct jws_policy *policy, struct jws *out)
{
    struct jws t;
    TRY(jws_parse(a, compact, policy, &t));
    TRY(jws_check(&t, set, policy));
    *out = t;
    return OK;
}

/* ---- writing ---- */

struct str jws_signing_input(struct arena *a, enum jose_alg alg, struct json *header,
                             struct str payload)
{
    BUG_ON(json_get(header, "alg") != NULL);
    struct json *h = json_new_object(a);
    json_set(a, h, S("alg"), json_new_string(a, str_of(jose_alg_name(alg))));
    for (uint32_t i = 0; i < header->n; i++) {
        json_add(a, h, header->members[i].key, header->members[i].value);
    }
    struct buf text, b;
    buf_init(&text, JWS_HEADER_MAX);
    buf_init(&b, JWS_COMPACT_MAX);
    json_write(&text, h);
    BUG_ON(!buf_ok(&text));
    base64_put(&b, buf_str(&text), BASE64_URL);
    buf_putc(&b, '.');
    base64_put(&b, payload, BASE64_URL);
    BUG_ON(!buf_ok(&b)); /* what we sign ourselves is small */
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&text);
    buf_release(&b);
    return s;
}

struct str jws_assemble(struct arena *a, struct str signing_input, struct str signature)
{
    struct str sig = base64_encode(a, signature, BASE64_URL);
    return arena_printf(a, "%.*s.%.*s", STR_FMT(signing_input), STR_FMT(sig));
}

struct err jws_sign(struct arena *a, enum jose_alg alg, struct key *key, struct json *header,
                    struct str payload, struct str *compact)
{
    ENSURE(alg >= 0 && alg <= JOSE_EDDSA && key_fits(key, (enum sig_alg)alg), ERR_INVALID,
           "the key does not fit the algorithm");
    ENSURE(payload.n <= JWT_PAYLOAD_MAX, ERR_LIMIT, "a payload of %zu bytes; at most %d", payload.n,
           JWT_PAYLOAD_MAX);
    struct str input = jws_signing_input(a, alg, header, payload);
    struct buf sig;
    buf_init(&sig, SIGNATURE_MAX);
    struct err e = key_sign_raw(key, (enum sig_alg)alg, input, &sig);
    if (!failed(e)) {
        *compact = jws_assemble(a, input, buf_str(&sig));
    }
    buf_release(&sig);
    return e;
}
