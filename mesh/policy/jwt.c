/* RequestAuthentication at work: where tokens stand, what verifies them, what goes upstream. */
#include "policy_priv.h"

#include "lib/base/codec.h"

enum { TOKENS_MAX = 8, TOKEN_MAX = 64 * 1024 };

struct token {
    struct str text;
    struct str header; /* it stood in, or */
    struct str param;
};

struct tokens {
    struct token items[TOKENS_MAX];
    size_t n;
};

static void add_token(struct tokens *t, struct str text, struct str header, struct str param)
{
    if (text.n > 0 && text.n <= TOKEN_MAX && t->n < TOKENS_MAX) {
        t->items[t->n++] = (struct token){text, header, param};
    }
}

static void from_header(const struct mesh_http *req, struct str name, struct str prefix,
                        struct tokens *t)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        struct str value = req->headers[i].value;
        if (str_eq_nocase(req->headers[i].name, name) && str_starts(value, prefix)) {
            add_token(t, str_trim(str_sub(value, prefix.n, value.n)), name, STR_EMPTY);
        }
    }
}

static void from_param(struct arena *a, const struct mesh_http *req, struct str name,
                       struct tokens *t)
{
    for (struct str rest = req->query; rest.p != NULL;) {
        struct str value = str_split(&rest, '&'), key = str_split(&value, '='), k, v;
        if (value.p != NULL && !failed(percent_decode(a, key, true, &k)) && str_eq(k, name) &&
            !failed(percent_decode(a, value, true, &v))) {
            add_token(t, v, STR_EMPTY, name);
        }
    }
}

static void from_cookie(const struct mesh_http *req, struct str name, struct tokens *t)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (!str_eq_nocase(req->headers[i].name, S("cookie"))) {
            continue;
        }
        for (struct str rest = req->headers[i].value; rest.p != NULL;) {
            struct str value = str_split(&rest, ';'), key = str_trim(str_split(&value, '='));
            if (value.p != NULL && str_eq(key, name)) {
                add_token(t, str_trim(value), STR_EMPTY, STR_EMPTY);
            }
        }
    }
}

/* Places of its own replace the usual two. */
static void find_tokens(struct arena *a, const struct mesh_jwt_rule *r, const struct mesh_http *req,
                        struct tokens *t)
{
    if (r->n_from_headers + r->n_from_params + r->n_from_cookies == 0) {
        from_header(req, S("authorization"), S("Bearer "), t);
        from_param(a, req, S("access_token"), t);
        return;
    }
    for (size_t i = 0; i < r->n_from_headers; i++) {
        from_header(req, r->from_headers[i].name, r->from_headers[i].prefix, t);
    }
    for (size_t i = 0; i < r->n_from_params; i++) {
        from_param(a, req, r->from_params[i], t);
    }
    for (size_t i = 0; i < r->n_from_cookies; i++) {
        from_cookie(req, r->from_cookies[i], t);
    }
}

/* All tokens of a rule's places must verify: a good one must not hide a bad one. */
static enum mesh_jwt_verdict verify_all(const struct mesh_jwt_rule *r, const struct tokens *t,
                                        mesh_jwt_verify_fn verify, void *ctx,
                                        const struct json **claims)
{
    const struct json *first = NULL;
    for (size_t i = 0; i < t->n; i++) {
        const struct json *these = NULL;
        enum mesh_jwt_verdict v = verify(ctx, r, t->items[i].text, &these);
        if (v != MESH_JWT_OK) {
            return v;
        }
        first = first != NULL ? first : these;
    }
    *claims = first;
    return MESH_JWT_OK;
}

static bool has_header(const struct mesh_http *req, const char *name)
{
    for (size_t i = 0; i < req->n_headers; i++) {
        if (str_eq_nocase(req->headers[i].name, str_of(name))) {
            return true;
        }
    }
    return false;
}

static bool is_preflight(const struct mesh_http *req)
{
    return str_is(req->method, "OPTIONS") && has_header(req, "origin") &&
           has_header(req, "access-control-request-method");
}

/* Whatever rules would write is first taken out, so that no client can write it. */
static void plan_removals(struct arena *a, const struct mesh_set *set, struct mesh_jwt_outcome *out)
{
    size_t cap = 1;
    for (size_t i = 0; i < set->n_jwt; i++) {
        cap += 1 + set->jwt[i].n_output_claims;
    }
    out->remove_headers = arena_array(a, struct str, cap);
    for (size_t i = 0; i < set->n_jwt; i++) {
        const struct mesh_jwt_rule *r = &set->jwt[i];
        if (r->output_payload_to_header.n > 0) {
            out->remove_headers[out->n_remove_headers++] = r->output_payload_to_header;
        }
        for (size_t k = 0; k < r->n_output_claims; k++) {
            out->remove_headers[out->n_remove_headers++] = r->output_claims[k].header;
        }
    }
}

/* A string, whole number or boolean at a dotted path, as header text; empty otherwise. */
static struct str claim_text(struct arena *a, const struct json *claims, struct str path)
{
    const struct json *v = json_get_str(claims, path); /* a claim may have a dot in its own name */
    if (v == NULL) {
        v = claims;
        for (struct str rest = path; rest.p != NULL && v != NULL;) {
            v = json_get_str(v, str_split(&rest, '.'));
        }
    }
    if (json_is(v, JSON_STRING)) {
        for (size_t i = 0; i < v->text.n; i++) {
            if ((unsigned char)v->text.p[i] < 0x20 || v->text.p[i] == 0x7f) {
                return STR_EMPTY; /* would break out of its header */
            }
        }
        return v->text;
    }
    int64_t n;
    if (json_is(v, JSON_NUMBER) && !failed(json_i64(v, &n))) {
        return arena_str(a, v->text);
    }
    return json_is(v, JSON_TRUE) ? S("true") : json_is(v, JSON_FALSE) ? S("false") : STR_EMPTY;
}

static void plan_accepted(struct arena *a, const struct mesh_jwt_rule *r, const struct token *t,
                          struct mesh_jwt_outcome *out)
{
    out->set_headers = arena_array(a, struct mesh_header, r->n_output_claims + 1);
    if (r->output_payload_to_header.n > 0) {
        struct str rest = t->text;
        str_split(&rest, '.');
        out->set_headers[out->n_set_headers++] =
            (struct mesh_header){r->output_payload_to_header, str_split(&rest, '.')};
    }
    for (size_t i = 0; i < r->n_output_claims; i++) {
        struct str text = claim_text(a, out->claims, r->output_claims[i].claim);
        if (text.n > 0) {
            out->set_headers[out->n_set_headers++] =
                (struct mesh_header){r->output_claims[i].header, text};
        }
    }
    if (!r->forward_original_token && t->header.n > 0) {
        out->remove_headers[out->n_remove_headers++] = t->header;
    }
    if (!r->forward_original_token) {
        out->remove_param = t->param;
    }
}

void mesh_jwt_check(struct arena *a, const struct mesh_set *set, const struct mesh_http *req,
                    mesh_jwt_verify_fn verify, void *ctx, struct mesh_jwt_outcome *out)
{
    bool seen = false;
    enum mesh_jwt_verdict worst = MESH_JWT_INVALID;
    *out = (struct mesh_jwt_outcome){.status = 200, .reason = "no token"};
    plan_removals(a, set, out);
    if (is_preflight(req)) {
        out->reason = "CORS preflight";
        return;
    }
    for (size_t i = 0; i < set->n_jwt; i++) {
        const struct mesh_jwt_rule *r = &set->jwt[i];
        struct tokens t = {.n = 0};
        const struct json *claims = NULL;
        find_tokens(a, r, req, &t);
        if (t.n == 0) {
            continue;
        }
        enum mesh_jwt_verdict v = verify_all(r, &t, verify, ctx, &claims);
        if (v == MESH_JWT_OK) {
            out->reason = "token accepted";
            out->claims = claims;
            out->rule = r;
            plan_accepted(a, r, &t.items[0], out);
            return;
        }
        seen = true;
        worst = v == MESH_JWT_AUDIENCE || worst == MESH_JWT_INVALID ? v : worst;
    }
    if (seen) {
        out->status = worst == MESH_JWT_AUDIENCE ? 403 : 401;
        out->reason = worst == MESH_JWT_AUDIENCE  ? "token is for another audience"
                      : worst == MESH_JWT_NO_KEYS ? "the issuer's keys cannot be had"
                                                  : "token is not valid";
    }
}
