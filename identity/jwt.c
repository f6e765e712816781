/* JWT-SVIDs: ES256 by `identity-jwt` in crypto, kept for a moment by subject and audience. */
#include "identity.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/map.h"
#include "lib/x509/digest.h"
#include "lib/x509/own.h"

enum { JWT_CACHE_MAX = 4096, JWT_MINT_ARENA = 256 * 1024 };

struct cached {
    struct str token; /* owned */
    int64_t fresh_until_s;
};

struct jwt_cache {
    struct map by_name; /* subject and audiences -> struct cached */
};

struct jwt_cache *jwt_cache_new(void)
{
    struct jwt_cache *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    map_init(&c->by_name);
    return c;
}

void jwt_cache_drop(struct jwt_cache *c)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->by_name, &i)) != NULL;) {
        struct cached *k = e->value;
        wipe((void *)(uintptr_t)k->token.p, k->token.n);
        str_disown(&k->token);
        free(k);
    }
    map_release(&c->by_name);
    map_init(&c->by_name);
}

void jwt_cache_free(struct jwt_cache *c)
{
    if (c != NULL) {
        jwt_cache_drop(c);
        map_release(&c->by_name);
        free(c);
    }
}

struct mint {
    struct identity *id;
    struct arena arena;
    struct str name, input, token;
    int64_t iat_s, exp_s;
    void (*done)(void *ctx, struct err e, struct str token);
    void *ctx;
};

static void mint_end(struct mint *m, struct err e)
{
    m->done(m->ctx, e, m->token);
    arena_release(&m->arena);
    free(m);
}

static void keep(struct mint *m)
{
    struct jwt_cache *c = m->id->jwt;
    if (map_len(&c->by_name) >= JWT_CACHE_MAX) {
        jwt_cache_drop(c); /* simple, and it refills within one life */
    }
    struct cached *k = calloc(1, sizeof(*k));
    BUG_ON(k == NULL);
    *k = (struct cached){str_own(m->token), m->iat_s + (m->exp_s - m->iat_s) / 2};
    struct cached *old = map_set(&c->by_name, m->name, k);
    if (old != NULL) {
        str_disown(&old->token);
        free(old);
    }
}

/* Crypto signs in DER; a token wants r and s end to end (RFC 7518 section 3.4). */
static void on_signature(void *ctx, struct err e, struct str der, uint64_t version)
{
    struct mint *m = ctx;
    struct buf raw;
    buf_init(&raw, SIGNATURE_MAX);
    if (!failed(e) && version != m->id->ca.jwt_version) {
        e = err_make(ERR_UNAVAILABLE, "crypto has rotated its key meanwhile");
        ca_refresh(&m->id->ca);
    }
    if (!failed(e)) {
        e = ecdsa_der_to_raw(der, 32, &raw);
    }
    if (!failed(e)) {
        const struct jwk *k = jwks_find(m->id->ca.jwt, m->id->ca.jwt_kid);
        e = jose_verify(k, JOSE_ES256, m->input, buf_str(&raw));
    }
    if (!failed(e)) {
        m->token = jws_assemble(&m->arena, m->input, buf_str(&raw));
        keep(m);
    }
    buf_release(&raw);
    mint_end(m, e);
}

static struct str cache_name(struct arena *a, const struct jwt_request *r)
{
    struct buf b;
    buf_init(&b, 128 * 1024);
    buf_printf(&b, "%lld\n", (long long)r->ttl_s);
    buf_puts(&b, r->spiffe_id);
    for (size_t i = 0; i < r->n_audiences; i++) {
        buf_printf(&b, "\n%zu:", r->audiences[i].n); /* lengths keep two lists apart */
        buf_puts(&b, r->audiences[i]);
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str claims(struct mint *m, const struct jwt_request *r)
{
    struct buf b;
    struct jw w;
    buf_init(&b, JWT_PAYLOAD_MAX);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_str(&w, S("sub"), r->spiffe_id);
    jw_key(&w, S("aud"));
    jw_arr(&w);
    for (size_t i = 0; i < r->n_audiences; i++) {
        jw_str(&w, r->audiences[i]);
    }
    jw_end(&w);
    jw_key_int(&w, S("exp"), m->exp_s);
    jw_key_int(&w, S("iat"), m->iat_s);
    char jti[UUID_TEXT];
    uuid4(jti);
    jw_key_str(&w, S("jti"), str_of(jti));
    if (m->id->cfg->jwt_issuer.n > 0) {
        jw_key_str(&w, S("iss"), m->id->cfg->jwt_issuer);
    }
    jw_end(&w);
    struct str s = buf_ok(&b) ? arena_str(&m->arena, buf_str(&b)) : STR_EMPTY;
    buf_release(&b);
    return s;
}

static void deferred_end(void *ctx)
{
    mint_end(ctx, OK);
}

static void deferred_failure(void *ctx)
{
    mint_end(ctx, err_make(ERR_UNAVAILABLE, "the token cannot be made now"));
}

static bool prepare(struct mint *m, const struct jwt_request *r)
{
    struct arena *a = &m->arena;
    if (!ca_ready(&m->id->ca)) {
        return false;
    }
    struct json *header = json_new_object(a);
    json_set(a, header, S("kid"), json_new_string(a, m->id->ca.jwt_kid));
    json_set(a, header, S("typ"), json_new_string(a, S("JWT")));
    struct str payload = claims(m, r);
    if (payload.n == 0) {
        return false;
    }
    m->input = jws_signing_input(a, JOSE_ES256, header, payload);
    return !arena_exhausted(a);
}

void jwt_mint(struct identity *id, const struct jwt_request *r,
              void (*done)(void *ctx, struct err e, struct str token), void *ctx)
{
    struct mint *m = calloc(1, sizeof(*m));
    BUG_ON(m == NULL);
    *m = (struct mint){.id = id, .iat_s = clock_wall_s(), .done = done, .ctx = ctx};
    m->exp_s = m->iat_s + r->ttl_s;
    arena_init(&m->arena, JWT_MINT_ARENA);
    m->name = cache_name(&m->arena, r);
    struct cached *have = map_get(&id->jwt->by_name, m->name);
    if (have != NULL && m->iat_s < have->fresh_until_s) {
        m->token = arena_str(&m->arena, have->token);
        loop_defer(id->d->loop, deferred_end, m);
        return;
    }
    if (!prepare(m, r)) {
        loop_defer(id->d->loop, deferred_failure, m);
        return;
    }
    uint8_t sum[DIGEST_MAX];
    digest(DIGEST_SHA256, m->input, sum);
    transit_sign(&id->transit, "identity-jwt", id->ca.jwt_version, sum, r->trace, on_signature, m);
}
