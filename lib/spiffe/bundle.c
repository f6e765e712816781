/* Trust bundle documents: SPIFFE Trust Domain and Bundle, section 4. */
#include "spiffe.h"

#include "lib/base/codec.h"
#include "lib/x509/own.h"

#include <inttypes.h>

/* Section 4.2.2: the first certificate of x5c is the authority; an entry without one is left out. */
static struct err read_x509(struct arena *a, const struct json *jwk, struct spiffe_bundle *b)
{
    const struct json *x5c = json_get(jwk, "x5c");
    if (!json_is(x5c, JSON_ARRAY) || x5c->n == 0) {
        b->skipped++;
        return OK;
    }
    ENSURE(x5c->n == 1, ERR_INVALID, "an x509-svid entry with %u certificates; one is due", x5c->n);
    struct str der;
    TRY(base64_decode(a, json_str(x5c->items[0]), BASE64_STD, &der));
    struct x509_cert *cert;
    TRY(x509_cert_parse(der, &cert));
    struct err e = x509_anchors_add(b->x509, cert);
    x509_cert_unref(cert);
    return e;
}

static struct err read_signer(const struct json *jwk, struct jwks *set, struct spiffe_bundle *b)
{
    struct str kid = json_str(json_get(jwk, "kid"));
    ENSURE(kid.n > 0, ERR_INVALID, "an entry for tokens without a kid");
    ENSURE(jwks_find(b->jwt, kid) == NULL && jwks_find(b->wit, kid) == NULL, ERR_INVALID,
           "two entries of kid '%.*s'", STR_FMT(str_sub(kid, 0, 200)));
    struct jwk *k;
    if (failed(jwk_parse(jwk, NULL, &k))) {
        b->skipped++;
        return OK;
    }
    jwks_add(set, k);
    return OK;
}

static struct err read_entry(struct arena *a, const struct json *jwk, struct spiffe_bundle *b)
{
    ENSURE(json_is(jwk, JSON_OBJECT), ERR_SYNTAX, "a bundle's keys must be objects");
    struct str use = json_str(json_get(jwk, "use"));
    if (str_is(use, "x509-svid")) {
        return read_x509(a, jwk, b);
    }
    if (str_is(use, "jwt-svid")) {
        return read_signer(jwk, b->jwt, b);
    }
    if (str_is(use, "wit-svid")) {
        return read_signer(jwk, b->wit, b);
    }
    b->skipped++;
    return OK;
}

static struct err read_bundle(struct arena *a, struct str text, struct spiffe_bundle *b)
{
    struct json *doc;
    TRY(json_parse(a, text, NULL, &doc));
    const struct json *keys = json_get(doc, "keys"), *sequence = json_get(doc, "spiffe_sequence");
    const struct json *hint = json_get(doc, "spiffe_refresh_hint");
    ENSURE(json_is(keys, JSON_ARRAY), ERR_SYNTAX, "a bundle must have the array 'keys'");
    ENSURE(keys->n <= JWKS_KEYS_MAX, ERR_LIMIT, "a bundle of %u keys; at most %d", keys->n,
           JWKS_KEYS_MAX);
    if (sequence != NULL) {
        TRY(json_u64(sequence, &b->sequence));
        b->has_sequence = true;
    }
    uint64_t seconds = 0;
    if (hint != NULL) {
        TRY(json_u64(hint, &seconds));
    }
    b->refresh_hint_s = (int64_t)MIN(seconds, UINT64_C(1) << 31);
    for (uint32_t i = 0; i < keys->n; i++) {
        struct err e = read_entry(a, keys->items[i], b);
        if (failed(e)) {
            return err_wrap(e, "bundle entry %u", i);
        }
    }
    ENSURE(!arena_exhausted(a), ERR_LIMIT, "a bundle that is too large");
    return OK;
}

struct err spiffe_bundle_parse(struct str trust_domain, struct str text, struct spiffe_bundle *out)
{
    TRY(spiffe_trust_domain_check(trust_domain));
    ENSURE(text.n <= SPIFFE_BUNDLE_TEXT_MAX, ERR_LIMIT, "a bundle of %zu bytes; at most %d", text.n,
           SPIFFE_BUNDLE_TEXT_MAX);
    struct spiffe_bundle b = {
        .trust_domain = str_own(trust_domain), .jwt = jwks_new(), .wit = jwks_new()};
    struct arena a;
    arena_init(&a, 8 * SPIFFE_BUNDLE_TEXT_MAX);
    struct err e = x509_anchors_new(&b.x509);
    if (!failed(e)) {
        e = read_bundle(&a, text, &b);
    }
    arena_release(&a);
    if (failed(e)) {
        spiffe_bundle_release(&b);
        return err_wrap(e, "bundle of '%.*s'", STR_FMT(trust_domain));
    }
    *out = b;
    return OK;
}

void spiffe_bundle_release(struct spiffe_bundle *b)
{
    str_disown(&b->trust_domain);
    x509_anchors_unref(b->x509);
    jwks_unref(b->jwt);
    jwks_unref(b->wit);
    *b = (struct spiffe_bundle){.sequence = 0};
}

struct err spiffe_jwt_bundle_parse(struct str text, struct jwks **out)
{
    struct jwks *set;
    TRY(jwks_parse(text, NULL, &set));
    for (size_t i = 0; i < set->n; i++) {
        if (set->keys[i]->kid.n == 0) {
            jwks_unref(set);
            FAIL(ERR_INVALID, "a JWT bundle with a key that has no kid");
        }
    }
    *out = set;
    return OK;
}

static void add_x509(struct arena *a, struct json *keys, const struct x509_anchors *anchors)
{
    for (size_t i = 0; i < x509_anchors_count(anchors); i++) {
        const struct x509_cert *c = x509_anchors_at(anchors, i);
        struct key *key;
        if (failed(x509_cert_key(c, &key))) {
            continue; /* of a kind that JWK cannot say */
        }
        struct json *k = key_to_jwk_json(a, key), *x5c = json_new_array(a);
        json_push(a, x5c, json_new_string(a, base64_encode(a, c->der, BASE64_STD)));
        json_set(a, k, S("use"), json_new_string(a, S("x509-svid")));
        json_set(a, k, S("x5c"), x5c);
        json_push(a, keys, k);
    }
}

static void add_signers(struct arena *a, struct json *keys, const struct jwks *set, struct str use)
{
    for (size_t i = 0; set != NULL && i < set->n; i++) {
        struct json *k = jwk_to_json(a, set->keys[i]);
        json_set(a, k, S("use"), json_new_string(a, use));
        json_push(a, keys, k);
    }
}

struct json *spiffe_bundle_to_json(struct arena *a, const struct spiffe_bundle *b)
{
    struct json *doc = json_new_object(a), *keys = json_new_array(a);
    add_x509(a, keys, b->x509);
    add_signers(a, keys, b->jwt, S("jwt-svid"));
    add_signers(a, keys, b->wit, S("wit-svid"));
    json_set(a, doc, S("keys"), keys);
    if (b->has_sequence) {
        json_set(a, doc, S("spiffe_sequence"),
                 json_new_number_text(a, arena_printf(a, "%" PRIu64, b->sequence)));
    }
    if (b->refresh_hint_s > 0) {
        json_set(a, doc, S("spiffe_refresh_hint"), json_new_int(a, b->refresh_hint_s));
    }
    return doc;
}

struct json *spiffe_bundle_to_oidc_jwks(struct arena *a, const struct jwks *jwt)
{
    struct json *doc = json_new_object(a), *keys = json_new_array(a);
    for (size_t i = 0; i < jwt->n; i++) {
        const struct jwk *k = jwt->keys[i];
        struct json *o = jwk_to_json(a, k);
        json_set(a, o, S("use"), json_new_string(a, S("sig")));
        enum jose_alg alg =
            k->alg != JOSE_ALG_NONE ? k->alg : (enum jose_alg)key_default_alg(k->key);
        json_set(a, o, S("alg"), json_new_string(a, str_of(jose_alg_name(alg))));
        json_push(a, keys, o);
    }
    json_set(a, doc, S("keys"), keys);
    return doc;
}

/* JWT-SVID sections 2 to 5. */
struct err jwt_svid_verify(struct arena *a, struct str token, const struct str *audiences, size_t n,
                           int64_t now_s,
                           const struct jwks *(*find)(void *ctx, struct str trust_domain),
                           void *ctx, struct jwt_svid *out)
{
    static const char *const typ[] = {"JWT", "JOSE", NULL};
    static const struct jws_policy policy = {
        .algs = JOSE_ALGS_SVID, .typ = typ, .require_kid = true};
    ENSURE(n > 0, ERR_INVALID, "an audience must be expected");
    struct jwt_policy claims = {.audiences = audiences,
                                .n_audiences = n,
                                .now_s = now_s,
                                .require_exp = true,
                                .require_sub = true};
    struct jws t;
    struct jwt_svid svid;
    TRY(jws_parse(a, token, &policy, &t));
    TRY(jwt_check_text(a, t.payload, &claims, &svid.claims));
    struct err e = spiffe_id_parse(svid.claims.sub, &svid.id);
    if (failed(e)) {
        return err_wrap(e, "token subject");
    }
    ENSURE(json_get(svid.claims.claims, "aud") != NULL, ERR_INVALID,
           "the token lacks the claim 'aud'");
    const struct jwks *set = find(ctx, svid.id.trust_domain);
    ENSURE(set != NULL, ERR_DENIED, "no keys for trust domain '%.*s'",
           STR_FMT(svid.id.trust_domain));
    TRY(jws_check(&t, set, &policy));
    *out = svid;
    return OK;
}
