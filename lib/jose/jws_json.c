#include "jws_json.h"

#include "lib/base/codec.h"

static struct err read_protected(struct arena *a, struct str encoded, struct json **out)
{
    static const struct json_limits limits = {
        .max_bytes = JWS_HEADER_MAX, .max_depth = 16, .max_values = 500};
    struct str text;
    TRY(base64_decode(a, encoded, BASE64_URL, &text));
    TRY(json_parse(a, text, &limits, out));
    ENSURE(json_is(*out, JSON_OBJECT), ERR_SYNTAX, "a header must be an object");
    return OK;
}

static struct err check_disjoint(const struct json *protected, const struct json *open)
{
    ENSURE(open == NULL || json_is(open, JSON_OBJECT), ERR_SYNTAX, "a header must be an object");
    for (uint32_t i = 0; open != NULL && protected != NULL && i < open->n; i++) {
        ENSURE(json_get_str(protected, open->members[i].key) == NULL, ERR_SYNTAX,
               "header '%.*s' twice", STR_FMT(str_sub(open->members[i].key, 0, 64)));
    }
    return OK;
}

static struct err read_headers(struct arena *a, const struct json *s, const struct jws_json_opts *o,
                               struct jws *t)
{
    struct json *protected = NULL;
    const struct json *open = json_get(s, "header");
    struct str encoded = json_str(json_get(s, "protected"));
    if (encoded.n > 0) {
        TRY(read_protected(a, encoded, &protected));
    }
    TRY(check_disjoint(protected, open));
    ENSURE(json_get(protected, "crit") == NULL && json_get(open, "crit") == NULL &&
               json_get(protected, "b64") == NULL,
           ERR_UNSUPPORTED, "critical headers that are not understood");
    const struct json *alg = json_get(protected, "alg");
    alg = alg == NULL && o->allow_unprotected_alg ? json_get(open, "alg") : alg;
    ENSURE(json_is(alg, JSON_STRING), ERR_INVALID,
           "the signature names no algorithm in its protected header");
    TRY(jose_alg_parse(alg->text, &t->alg));
    const struct json *kid = json_get(protected, "kid");
    t->kid = json_str(kid != NULL ? kid : json_get(open, "kid"));
    t->header = protected;
    return OK;
}

static struct err verify_one(struct arena *a, const struct json *s, struct str payload,
                             const struct jwks *set, const struct jws_policy *policy,
                             const struct jws_json_opts *o, struct jws *out)
{
    struct jws t = {.alg = JOSE_ALG_NONE};
    TRY(read_headers(a, s, o, &t));
    unsigned allowed = policy->algs != 0 ? policy->algs : JOSE_ALGS_DEFAULT;
    ENSURE((allowed & JOSE_BIT(t.alg)) != 0, ERR_UNSUPPORTED, "algorithm %s is not accepted here",
           jose_alg_name(t.alg));
    TRY(base64_decode(a, json_str(json_get(s, "signature")), BASE64_URL, &t.signature));
    TRY(base64_decode(a, payload, BASE64_URL, &t.payload));
    t.signing_input =
        arena_printf(a, "%.*s.%.*s", STR_FMT(json_str(json_get(s, "protected"))), STR_FMT(payload));
    TRY(jws_check(&t, set, policy));
    *out = t;
    return OK;
}

struct err jws_json_verify(struct arena *a, const struct json *doc, const struct jwks *set,
                           const struct jws_policy *policy, const struct jws_json_opts *opts,
                           struct jws *out)
{
    static const struct jws_json_opts none = {.allow_unprotected_alg = false};
    const struct jws_json_opts *o = opts != NULL ? opts : &none;
    ENSURE(json_is(doc, JSON_OBJECT), ERR_SYNTAX, "a signed document must be an object");
    const struct json *payload = json_get(doc, "payload"), *list = json_get(doc, "signatures");
    struct str text = payload != NULL ? json_str(payload) : o->detached;
    ENSURE(payload == NULL || o->detached.n == 0, ERR_SYNTAX,
           "detached content for a document that has its own");
    if (list == NULL) {
        return verify_one(a, doc, text, set, policy, o, out);
    }
    ENSURE(json_is(list, JSON_ARRAY) && list->n > 0 && list->n <= JWS_SIGNATURES_MAX, ERR_SYNTAX,
           "1 to %d signatures", JWS_SIGNATURES_MAX);
    struct err e = OK;
    for (uint32_t i = 0; i < list->n; i++) {
        e = verify_one(a, list->items[i], text, set, policy, o, out);
        if (!failed(e)) {
            return OK;
        }
    }
    return e;
}
