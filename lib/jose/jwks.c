/* Sets of keys (RFC 7517 section 5), and keys as JSON. */
#include "jwk.h"

#include "lib/base/codec.h"
#include "lib/x509/digest.h"

struct jwks *jwks_new(void)
{
    struct jwks *set = calloc(1, sizeof(*set));
    BUG_ON(set == NULL);
    set->refs = 1;
    return set;
}

void jwks_add(struct jwks *set, struct jwk *k)
{
    struct jwk **grown = realloc(set->keys, (set->n + 1) * sizeof(struct jwk *));
    BUG_ON(grown == NULL);
    set->keys = grown;
    set->keys[set->n++] = k;
}

struct jwks *jwks_ref(struct jwks *set)
{
    if (set != NULL) {
        set->refs++;
    }
    return set;
}

void jwks_unref(struct jwks *set)
{
    if (set == NULL || --set->refs > 0) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        jwk_free(set->keys[i]);
    }
    free(set->keys);
    free(set);
}

const struct jwk *jwks_find(const struct jwks *set, struct str kid)
{
    for (size_t i = 0; i < set->n; i++) {
        if (str_eq(set->keys[i]->kid, kid)) {
            return set->keys[i];
        }
    }
    return NULL;
}

/* Also among entries that will be left out: their sender meant them as keys. */
static struct err check_names(const struct json *keys)
{
    for (uint32_t i = 1; i < keys->n; i++) {
        struct str kid = json_str(json_get(keys->items[i], "kid"));
        struct str kty = json_str(json_get(keys->items[i], "kty"));
        for (uint32_t j = 0; kid.n > 0 && j < i; j++) {
            ENSURE(!str_eq(kid, json_str(json_get(keys->items[j], "kid"))) ||
                       !str_eq(kty, json_str(json_get(keys->items[j], "kty"))),
                   ERR_INVALID, "a key set with two keys of kid '%.*s'",
                   STR_FMT(str_sub(kid, 0, 200)));
        }
    }
    return OK;
}

static struct err check_kind(const struct jwks *set, const struct jwk *k)
{
    ENSURE(set->n == 0 || (set->keys[0]->key == NULL) == (k->key == NULL), ERR_INVALID,
           "a key set that mixes shared secrets with public keys");
    return OK;
}

static struct err read_set(const struct json *doc, const struct jwk_opts *opts, struct jwks *set)
{
    const struct json *keys = json_get(doc, "keys");
    ENSURE(json_is(keys, JSON_ARRAY), ERR_SYNTAX, "a key set must have the array 'keys'");
    ENSURE(keys->n <= JWKS_KEYS_MAX, ERR_LIMIT, "a key set of %u keys; at most %d", keys->n,
           JWKS_KEYS_MAX);
    TRY(check_names(keys));
    for (uint32_t i = 0; i < keys->n; i++) {
        struct jwk *k;
        if (failed(jwk_parse(keys->items[i], opts, &k))) {
            set->skipped++;
            continue;
        }
        struct err e = check_kind(set, k);
        if (failed(e)) {
            jwk_free(k);
            return e;
        }
        jwks_add(set, k);
    }
    return OK;
}

struct err jwks_from_json(const struct json *doc, const struct jwk_opts *opts, struct jwks **out)
{
    struct jwks *set = jwks_new();
    struct err e = read_set(doc, opts, set);
    if (failed(e)) {
        jwks_unref(set);
        return e;
    }
    *out = set;
    return OK;
}

struct err jwks_parse(struct str text, const struct jwk_opts *opts, struct jwks **out)
{
    ENSURE(text.n <= JWKS_TEXT_MAX, ERR_LIMIT, "a key set of %zu bytes; at most %d", text.n,
           JWKS_TEXT_MAX);
    struct arena a;
    arena_init(&a, 8 * JWKS_TEXT_MAX);
    struct json *v;
    struct err e = json_parse(&a, text, NULL, &v);
    if (!failed(e)) {
        e = jwks_from_json(v, opts, out);
    }
    arena_release(&a);
    return e;
}

/* ---- writing ---- */

static void set_b64(struct arena *a, struct json *obj, const char *name, struct str bytes)
{
    json_set(a, obj, str_of(name), json_new_string(a, base64_encode(a, bytes, BASE64_URL)));
}

static void set_text(struct arena *a, struct json *obj, const char *name, struct str text)
{
    json_set(a, obj, str_of(name), json_new_string(a, text));
}

/* Only the members that a thumbprint needs, in its order (RFC 7638 section 3.2). */
struct json *key_to_jwk_json(struct arena *a, const struct key *key)
{
    struct key_parts p;
    key_public_parts(key, &p);
    struct json *obj = json_new_object(a);
    if (key_type(key) == KEY_RSA) {
        set_b64(a, obj, "e", p.e);
        set_text(a, obj, "kty", S("RSA"));
        set_b64(a, obj, "n", p.n);
        return obj;
    }
    set_text(a, obj, "crv", str_of(key_type_name(key_type(key))));
    set_text(a, obj, "kty", key_type(key) == KEY_ED25519 ? S("OKP") : S("EC"));
    set_b64(a, obj, "x", p.x);
    if (p.y.n > 0) {
        set_b64(a, obj, "y", p.y);
    }
    return obj;
}

struct json *jwk_to_json(struct arena *a, const struct jwk *k)
{
    BUG_ON(k->key == NULL); /* shared secrets are never written */
    struct json *obj = key_to_jwk_json(a, k->key);
    if (k->kid.n > 0) {
        set_text(a, obj, "kid", arena_str(a, k->kid));
    }
    if (k->use.n > 0) {
        set_text(a, obj, "use", arena_str(a, k->use));
    }
    if (k->alg_name.n > 0) {
        set_text(a, obj, "alg", arena_str(a, k->alg_name));
    }
    return obj;
}

void jwk_thumbprint(const struct key *key, char out[JWK_THUMBPRINT_TEXT])
{
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct buf b;
    buf_init(&b, 16 * 1024);
    json_write_canonical(&b, key_to_jwk_json(&a, key));
    uint8_t sum[DIGEST_MAX];
    struct str s = str_n(sum, digest(DIGEST_SHA256, buf_str(&b), sum));
    BUG_ON(failed(str_to_cstr(base64_encode(&a, s, BASE64_URL), out, JWK_THUMBPRINT_TEXT)));
    buf_release(&b);
    arena_release(&a);
}
