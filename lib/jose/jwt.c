/* Claims: RFC 7519 section 4.1. */
#include "jwt.h"

#include "lib/base/clock.h"

/* A NumericDate is any JSON number; the fraction is dropped, and exponents are not sent by anyone sane. */
struct err jwt_time(const struct json *v, int64_t *seconds)
{
    ENSURE(json_is(v, JSON_NUMBER), ERR_SYNTAX, "a time must be a number of seconds");
    struct str s = v->text;
    ENSURE(str_find_char(s, 'e') == STR_NPOS && str_find_char(s, 'E') == STR_NPOS, ERR_SYNTAX,
           "a time must be written without an exponent");
    size_t dot = str_find_char(s, '.');
    uint64_t n;
    ENSURE(s.n > 0 && s.p[0] != '-', ERR_RANGE, "a time before 1970");
    TRY(str_to_u64(dot == STR_NPOS ? s : str_sub(s, 0, dot), &n));
    ENSURE(n < UINT64_C(1) << 53, ERR_RANGE, "a time out of range");
    *seconds = (int64_t)n;
    return OK;
}

static struct err time_claim(const struct json *claims, const char *name, bool required,
                             int64_t *out)
{
    const struct json *v = json_get(claims, name);
    *out = 0;
    ENSURE(v != NULL || !required, ERR_INVALID, "the token lacks the claim '%s'", name);
    if (v == NULL) {
        return OK;
    }
    struct err e = jwt_time(v, out);
    return failed(e) ? err_wrap(e, "claim '%s'", name) : OK;
}

static struct err text_claim(const struct json *claims, const char *name, bool required,
                             struct str *out)
{
    const struct json *v = json_get(claims, name);
    ENSURE(v == NULL || json_is(v, JSON_STRING), ERR_SYNTAX, "claim '%s' must be a string", name);
    *out = json_str(v);
    ENSURE(out->n > 0 || !required, ERR_INVALID, "the token lacks the claim '%s'", name);
    return OK;
}

bool jwt_has_audience(const struct json *claims, struct str audience)
{
    const struct json *aud = json_get(claims, "aud");
    if (json_is(aud, JSON_STRING)) {
        return str_eq(aud->text, audience);
    }
    for (uint32_t i = 0; json_is(aud, JSON_ARRAY) && i < aud->n; i++) {
        if (json_is(aud->items[i], JSON_STRING) && str_eq(aud->items[i]->text, audience)) {
            return true;
        }
    }
    return false;
}

static struct err check_audience(const struct json *claims, const struct jwt_policy *p)
{
    const struct json *aud = json_get(claims, "aud");
    ENSURE(aud == NULL || json_is(aud, JSON_STRING) ||
               (json_is(aud, JSON_ARRAY) && aud->n <= JWT_AUDIENCES_MAX),
           ERR_SYNTAX, "claim 'aud' must be a string or a short array");
    if (p->n_audiences == 0) {
        return OK;
    }
    for (size_t i = 0; i < p->n_audiences; i++) {
        if (jwt_has_audience(claims, p->audiences[i])) {
            return OK;
        }
    }
    FAIL(ERR_DENIED, "the token is not for audience '%.*s'", STR_FMT(p->audiences[0]));
}

static struct err check_times(const struct jwt_policy *p, const struct json *claims,
                              const struct jwt *j)
{
    int64_t now = p->now_s != 0 ? p->now_s : clock_wall_s();
    int64_t skew = p->skew_s < 0 ? 0 : p->skew_s == 0 ? JWT_SKEW_S : MIN(p->skew_s, JWT_SKEW_MAX_S);
    bool has_exp = json_get(claims, "exp") != NULL;
    ENSURE(!has_exp || now - skew < j->exp_s, ERR_EXPIRED, "the token expired %lld s ago",
           (long long)(now - j->exp_s));
    ENSURE(now + skew >= j->nbf_s, ERR_EXPIRED, "the token is not valid for another %lld s",
           (long long)(j->nbf_s - now));
    ENSURE(now + skew >= j->iat_s, ERR_EXPIRED, "the token was issued %lld s in the future",
           (long long)(j->iat_s - now));
    ENSURE(p->max_age_s == 0 || now - j->iat_s <= p->max_age_s + skew, ERR_EXPIRED,
           "the token is older than %lld s", (long long)p->max_age_s);
    return OK;
}

struct err jwt_check(const struct json *claims, const struct jwt_policy *p, struct jwt *out)
{
    ENSURE(json_is(claims, JSON_OBJECT), ERR_SYNTAX, "a token's claims must be a JSON object");
    struct jwt j = {.claims = claims};
    TRY(text_claim(claims, "iss", p->issuer.n > 0, &j.iss));
    TRY(text_claim(claims, "sub", p->require_sub, &j.sub));
    TRY(text_claim(claims, "jti", p->require_jti, &j.jti));
    TRY(time_claim(claims, "exp", p->require_exp, &j.exp_s));
    TRY(time_claim(claims, "nbf", false, &j.nbf_s));
    TRY(time_claim(claims, "iat", p->require_iat || p->max_age_s > 0, &j.iat_s));
    ENSURE(p->issuer.n == 0 || str_eq(j.iss, p->issuer), ERR_DENIED,
           "the token is from issuer '%.*s'", STR_FMT(str_sub(j.iss, 0, 200)));
    TRY(check_times(p, claims, &j));
    TRY(check_audience(claims, p));
    *out = j;
    return OK;
}

struct err jwt_check_text(struct arena *a, struct str payload, const struct jwt_policy *p,
                          struct jwt *out)
{
    static const struct json_limits limits = {
        .max_bytes = JWS_COMPACT_MAX, .max_depth = 32, .max_values = 10000};
    struct json *claims;
    struct err e = json_parse(a, payload, &limits, &claims);
    if (failed(e)) {
        return err_wrap(e, "token claims");
    }
    return jwt_check(claims, p, out);
}

struct err jwt_verify(struct arena *a, struct str compact, const struct jwks *set,
                      const struct jws_policy *sig, const struct jwt_policy *claims,
                      struct jws *token, struct jwt *out)
{
    struct jws t;
    TRY(jws_verify(a, compact, set, sig, &t));
    TRY(jwt_check_text(a, t.payload, claims, out));
    if (token != NULL) {
        *token = t;
    }
    return OK;
}
