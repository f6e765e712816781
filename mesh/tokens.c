/* Tokens of people: the key sets of RequestAuthentication, and the verification of one token by one rule. */
#include "mesh.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/jose/jose.h"
#include "lib/spiffe/jwks_cache.h"

#include <stdlib.h>

enum { KEY_SETS_MAX = 256 };

/* The key set of a rule: inline, or a cache of what its URI serves. Lives as long as the process. */
struct key_set {
    struct jwks *fixed;
    struct jwks_cache *cache;
};

static struct err key_set_new(struct mesh *m, const struct mesh_jwt_rule *rule,
                              struct key_set **out)
{
    struct key_set *k = calloc(1, sizeof(*k));
    ENSURE(k != NULL, ERR_LIMIT, "out of memory for a key set");
    struct err e;
    if (rule->jwks.n > 0) {
        e = jwks_parse(rule->jwks, NULL, &k->fixed);
    } else {
        bool discover = rule->jwks_uri.n == 0; /* the issuer's discovery document names it */
        struct jwks_cache_opts o = {.client = m->web,
                                    .url = discover ? rule->issuer : rule->jwks_uri,
                                    .discover = discover};
        e = jwks_cache_new(m->loop, &o, &k->cache);
    }
    if (failed(e)) {
        free(k);
        return err_wrap(e, "%.*s", STR_FMT(rule->policy_key));
    }
    *out = k;
    return OK;
}

struct err tokens_prepare(struct mesh *m, struct epoch *epoch)
{
    size_t n;
    struct mesh_jwt_rule *rules = mesh_jwt_rules(epoch->set, &n);
    for (size_t i = 0; i < n; i++) {
        struct str key = rules[i].jwks.n > 0       ? rules[i].jwks
                         : rules[i].jwks_uri.n > 0 ? rules[i].jwks_uri
                                                   : rules[i].issuer;
        struct key_set *k = map_get(&m->key_sets, key);
        if (k == NULL) {
            ENSURE(map_len(&m->key_sets) < KEY_SETS_MAX, ERR_LIMIT, "more than %d key sets",
                   KEY_SETS_MAX);
            TRY(key_set_new(m, &rules[i], &k));
            map_set(&m->key_sets, key, k);
        }
        rules[i].user = k;
    }
    return OK;
}

void tokens_close(struct mesh *m)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&m->key_sets, &i)) != NULL;) {
        struct key_set *k = e->value;
        jwks_unref(k->fixed);
        jwks_cache_free(k->cache);
        free(k);
    }
    map_release(&m->key_sets);
}

static void refreshed(void *ctx, struct err e)
{
    if (failed(e) && e.code != ERR_BUSY) {
        log_warn("the key set cannot be fetched", {"error", LOG_CSTR(err_detail())});
    }
}

enum mesh_jwt_verdict mesh_verify_token(void *ctx, const struct mesh_jwt_rule *rule,
                                        struct str token, const struct json **claims)
{
    struct token_ctx *t = ctx;
    struct key_set *k = rule->user;
    const struct jwks *set = k->cache != NULL ? jwks_cache_get(k->cache) : k->fixed;
    if (set == NULL) {
        jwks_cache_refresh(k->cache, refreshed, NULL);
        return MESH_JWT_NO_KEYS;
    }
    struct jws_policy sig = {.algs = JOSE_ALGS_ASYMMETRIC};
    int skew = (int)(t->m->o->clock_skew_ns / NS_PER_S);
    struct jwt_policy check = {.issuer = rule->issuer, .skew_s = skew > 0 ? skew : -1};
    struct jwt jwt;
    struct err e = jwt_verify(t->arena, token, set, &sig, &check, NULL, &jwt);
    if (e.code == ERR_NOT_FOUND &&
        k->cache != NULL) { /* a key we have not seen: perhaps they rotated */
        jwks_cache_refresh(k->cache, refreshed, NULL);
    }
    if (failed(e)) {
        return MESH_JWT_INVALID;
    }
    *claims = jwt.claims;
    if (rule->n_audiences == 0) {
        return MESH_JWT_OK;
    }
    for (size_t i = 0; i < rule->n_audiences; i++) {
        if (jwt_has_audience(jwt.claims, rule->audiences[i])) {
            return MESH_JWT_OK;
        }
    }
    return MESH_JWT_AUDIENCE;
}
