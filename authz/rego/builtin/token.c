/* JSON Web Tokens. Keys arrive as certificates, public keys, JWKs, sets of them, or shared secrets. */
#include "authz/rego/builtin/base64.h"
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/builtin/token_keys.h"

#include "lib/base/clock.h"

struct token {
    struct str parts[3], raw[3]; /* encoded and decoded: header, payload, signature */
    struct val header;
};

static const char *const part_names[] = {"header", "payload", "signature"};

static bool split_token(struct bcall *b, struct str text, struct token *t)
{
    size_t n = 0;
    if (str_find_char(text, '.') == STR_NPOS) {
        (void)b_fail(b, "encoded JWT had no period separators");
        return false;
    }
    for (struct str rest = text; rest.p != NULL; n++) {
        struct str part = str_split(&rest, '.');
        if (n < 3) {
            t->parts[n] = part;
        }
    }
    if (n != 3) {
        (void)b_fail(b, "encoded JWT must have 3 sections, found %zu", n);
        return false;
    }
    return true;
}

static bool decode_part(struct bcall *b, struct token *t, int i)
{
    struct str s = t->parts[i];
    while (s.n > 0 && s.p[s.n - 1] == '=') {
        s.n--;
    }
    if (!base64_lenient(b, s, BASE64_URL, &t->raw[i])) {
        (void)b_fail(b, "JWT %s had invalid encoding: illegal base64 data at input byte %zu",
                     part_names[i], base64_bad_byte(s, true));
        return false;
    }
    return true;
}

static bool json_part(struct bcall *b, struct token *t, int i, struct val *out)
{
    struct err e = val_from_json(b->a, t->raw[i], out);
    if (failed(e)) {
        (void)b_fail_err(b, e);
    }
    return !failed(e);
}

static bool token_parse(struct bcall *b, struct str text, struct token *t)
{
    return split_token(b, text, t) && decode_part(b, t, 0) && decode_part(b, t, 1) &&
           decode_part(b, t, 2);
}

static bool is_nested(struct val header)
{
    struct val cty = val_get_str(header, "cty");
    return val_is(cty, V_STRING) && str_eq_nocase(val_text(cty), S("JWT"));
}

static struct str unquoted(struct bcall *b, struct str payload)
{
    struct val v;
    bool text = payload.n > 0 && payload.p[0] == '"' && !failed(val_from_json(b->a, payload, &v)) &&
                val_is(v, V_STRING);
    return text ? val_text(v) : payload;
}

enum { NESTED_MAX = 16 };

static enum b_status b_decode(struct bcall *b)
{
    struct str text;
    struct token t;
    struct val payload;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    for (int depth = 0; depth < NESTED_MAX; depth++) {
        if (!split_token(b, text, &t) || !decode_part(b, &t, 0) ||
            !json_part(b, &t, 0, &t.header)) {
            return B_ERROR;
        }
        if (!val_undef(val_get_str(t.header, "enc"))) {
            return b_fail(b, "JWT is a JWE object, which is not supported");
        }
        if (!decode_part(b, &t, 1) || !decode_part(b, &t, 2)) {
            return B_ERROR;
        }
        if (is_nested(t.header)) {
            text = unquoted(b, t.raw[1]);
            continue;
        }
        if (!json_part(b, &t, 1, &payload)) {
            return B_ERROR;
        }
        struct val v[3] = {t.header, payload, val_str(b->a, hex_encode(b->a, t.raw[2]))};
        return b_out(b, val_array(b->a, v, 3));
    }
    return b_fail(b, "nested too deeply");
}

static struct str signing_input(const struct token *t)
{
    return str_n(t->parts[0].p, (size_t)(t->parts[1].p + t->parts[1].n - t->parts[0].p));
}

static enum b_status verify_with(struct bcall *b, enum jose_alg alg)
{
    struct str text, key;
    struct token t;
    struct token_keys keys;
    if (!b_string(b, 1, &text) || !b_string(b, 2, &key) || !token_parse(b, text, &t)) {
        return B_ERROR;
    }
    if (!json_part(b, &t, 0, &t.header)) {
        return B_ERROR;
    }
    bool shared = alg >= JOSE_HS256;
    if (!(shared ? token_keys_secret(&keys, key) : token_keys_public(b, key, &keys))) {
        return B_ERROR;
    }
    struct val kid = val_get_str(t.header, "kid");
    bool ok = token_keys_verify(&keys, alg, val_is(kid, V_STRING) ? val_text(kid) : STR_EMPTY,
                                signing_input(&t), t.raw[2]);
    token_keys_release(&keys);
    return b_out(b, val_bool(ok));
}

#define VERIFY(name, alg)                                                                          \
    static enum b_status b_verify_##name(struct bcall *b)                                          \
    {                                                                                              \
        return verify_with(b, alg);                                                                \
    }
VERIFY(rs256, JOSE_RS256)
VERIFY(rs384, JOSE_RS384)
VERIFY(rs512, JOSE_RS512)
VERIFY(ps256, JOSE_PS256)
VERIFY(ps384, JOSE_PS384)
VERIFY(ps512, JOSE_PS512)
VERIFY(es256, JOSE_ES256)
VERIFY(es384, JOSE_ES384)
VERIFY(es512, JOSE_ES512)
VERIFY(eddsa, JOSE_EDDSA)
VERIFY(hs256, JOSE_HS256)
VERIFY(hs384, JOSE_HS384)
VERIFY(hs512, JOSE_HS512)

/* ---- decode_verify ---- */

struct constraints {
    struct str cert, secret, alg, iss, aud;
    bool has_cert, has_secret, has_alg, has_iss, has_aud;
    struct num time;
};

static bool text_constraint(struct bcall *b, struct str name, struct val v, struct str *out,
                            bool *has)
{
    if (!val_is(v, V_STRING)) {
        (void)b_fail(b, "%.*s constraint must be a string", STR_FMT(name));
        return false;
    }
    *out = val_text(v);
    *has = true;
    return true;
}

static bool read_constraints(struct bcall *b, struct constraints *c)
{
    struct val o = b->args[1];
    *c = (struct constraints){.time = num_int(b_now_ns(b))};
    if (!b_is(b, 2, V_OBJECT)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(o); i++) {
        struct val k = val_nth_key(b->a, o, i), v = val_nth(o, i);
        struct str name = val_is(k, V_STRING) ? val_text(k) : STR_EMPTY;
        bool ok = true;
        if (str_is(name, "cert")) {
            ok = text_constraint(b, name, v, &c->cert, &c->has_cert);
        } else if (str_is(name, "secret")) {
            ok = text_constraint(b, name, v, &c->secret, &c->has_secret);
        } else if (str_is(name, "alg")) {
            ok = text_constraint(b, name, v, &c->alg, &c->has_alg);
        } else if (str_is(name, "iss")) {
            ok = text_constraint(b, name, v, &c->iss, &c->has_iss);
        } else if (str_is(name, "aud")) {
            ok = text_constraint(b, name, v, &c->aud, &c->has_aud);
        } else if (str_is(name, "time")) {
            ok = val_is(v, V_NUMBER);
            c->time = ok ? val_number(v) : c->time;
            if (!ok) {
                (void)b_fail(b, "token time constraint: must be a number");
            }
        } else {
            (void)b_fail(b, "unknown token validation constraint: %.*s", STR_FMT(name));
            ok = false;
        }
        if (!ok) {
            return false;
        }
    }
    if (c->has_cert + c->has_secret != 1) {
        (void)b_fail(b, c->has_cert ? "duplicate key constraints" : "no key constraint");
        return false;
    }
    return true;
}

static enum b_status refused(struct bcall *b)
{
    struct val v[3] = {VAL_FALSE, val_empty_object(), val_empty_object()};
    return b_out(b, val_array(b->a, v, 3));
}

static bool audience_fits(const struct constraints *c, struct val payload)
{
    struct val aud = val_get_str(payload, "aud");
    if (val_undef(aud)) {
        return !c->has_aud;
    }
    if (!c->has_aud) {
        return false;
    }
    if (val_is(aud, V_STRING)) {
        return str_eq(val_text(aud), c->aud);
    }
    for (uint32_t i = 0; val_is(aud, V_ARRAY) && i < val_len(aud); i++) {
        struct val v = val_nth(aud, i);
        if (val_is(v, V_STRING) && str_eq(val_text(v), c->aud)) {
            return true;
        }
    }
    return false;
}

/* A time claim in seconds against the time given in nanoseconds: <0, 0, >0; false if no number. */
static bool time_claim(struct bcall *b, const struct constraints *c, struct val v, const char *name,
                       int *cmp)
{
    if (!val_is(v, V_NUMBER)) {
        (void)b_fail(b, "%s value must be a number", name);
        return false;
    }
    struct num ns = num_int(0);
    if (failed(num_mul(b->a, val_number(v), num_int(NS_PER_S), &ns))) {
        return false;
    }
    *cmp = num_cmp(c->time, num_is_integral(ns) ? ns : num_floor(b->a, ns));
    return true;
}

enum claims { CLAIMS_FIT, CLAIMS_REFUSED, CLAIMS_ERROR };

static enum claims check_claims(struct bcall *b, const struct constraints *c, struct val payload)
{
    struct val iss = val_get_str(payload, "iss"), exp = val_get_str(payload, "exp"),
               nbf = val_get_str(payload, "nbf");
    int cmp = 0;
    if (c->has_iss && (!val_is(iss, V_STRING) || !str_eq(val_text(iss), c->iss))) {
        return CLAIMS_REFUSED;
    }
    if (!audience_fits(c, payload)) {
        return CLAIMS_REFUSED;
    }
    if (!val_undef(exp)) {
        if (!time_claim(b, c, exp, "exp", &cmp)) {
            return CLAIMS_ERROR;
        }
        if (cmp >= 0) {
            return CLAIMS_REFUSED;
        }
    }
    if (!val_undef(nbf)) {
        if (!time_claim(b, c, nbf, "nbf", &cmp)) {
            return CLAIMS_ERROR;
        }
        if (cmp < 0) {
            return CLAIMS_REFUSED;
        }
    }
    return CLAIMS_FIT;
}

static bool signature_fits(const struct constraints *c, const struct token *t,
                           const struct token_keys *keys, bool *known)
{
    struct val alg = val_get_str(t->header, "alg"), kid = val_get_str(t->header, "kid");
    enum jose_alg a;
    *known = val_is(alg, V_STRING) && !failed(jose_alg_parse(val_text(alg), &a));
    if (!*known || !val_undef(val_get_str(t->header, "crit"))) {
        return false;
    }
    if ((c->has_alg && !str_eq(c->alg, val_text(alg))) || (a >= JOSE_HS256) != c->has_secret) {
        return false;
    }
    return token_keys_verify(keys, a, val_is(kid, V_STRING) ? val_text(kid) : STR_EMPTY,
                             signing_input(t), t->raw[2]);
}

static enum b_status verified(struct bcall *b, const struct constraints *c,
                              const struct token_keys *keys, struct str text)
{
    struct token t;
    struct val payload;
    for (int depth = 0; depth < NESTED_MAX; depth++) {
        bool known;
        if (!token_parse(b, text, &t) || !json_part(b, &t, 0, &t.header)) {
            return B_ERROR;
        }
        if (!val_is(val_get_str(t.header, "alg"), V_STRING)) {
            return refused(b);
        }
        if (!signature_fits(c, &t, keys, &known)) {
            return refused(b);
        }
        if (is_nested(t.header)) {
            text = unquoted(b, t.raw[1]);
            continue;
        }
        if (!json_part(b, &t, 1, &payload)) {
            return B_ERROR;
        }
        enum claims fit = check_claims(b, c, payload);
        if (fit != CLAIMS_FIT) {
            return fit == CLAIMS_ERROR ? B_ERROR : refused(b);
        }
        struct val v[3] = {VAL_TRUE, t.header, payload};
        return b_out(b, val_array(b->a, v, 3));
    }
    return refused(b);
}

static enum b_status b_decode_verify(struct bcall *b)
{
    struct str text;
    struct constraints c;
    struct token_keys keys;
    if (!b_string(b, 1, &text) || !read_constraints(b, &c)) {
        return B_ERROR;
    }
    if (!(c.has_secret ? token_keys_secret(&keys, c.secret)
                       : token_keys_public(b, c.cert, &keys))) {
        return B_ERROR;
    }
    enum b_status r = verified(b, &c, &keys, text);
    token_keys_release(&keys);
    return r;
}

/* ---- signing ---- */

static enum b_status sign(struct bcall *b, struct str header, struct str payload, struct str key)
{
    struct val h;
    enum jose_alg alg;
    if (header.n == 0) {
        return b_fail(
            b, "missing or invalid 'alg' header: cannot parse JSON: cannot parse empty string");
    }
    if (failed(val_from_json(b->a, header, &h))) {
        if (header.p[0] != '{') {
            return b_fail(b, "missing or invalid 'alg' header: jwsbb: header \"alg\" not found");
        }
        return b_fail(b, "missing or invalid 'alg' header: cannot parse JSON");
    }
    struct val name = val_get_str(h, "alg"), typ = val_get_str(h, "typ"), unused;
    if (!val_is(name, V_STRING)) {
        return b_fail(b, "missing or invalid 'alg' header: jwsbb: header \"alg\" not found");
    }
    if (failed(jose_alg_parse(val_text(name), &alg))) {
        return b_fail(b, "unknown JWS algorithm: %.*s", STR_FMT(val_text(name)));
    }
    if ((val_undef(typ) || (val_is(typ, V_STRING) && str_is(val_text(typ), "JWT"))) &&
        failed(val_from_json(b->a, payload, &unused))) {
        return b_fail(b, "type is JWT but payload is not JSON");
    }
    struct str input =
                   arena_printf(b->a, "%.*s.%.*s", STR_FMT(base64_encode(b->a, header, BASE64_URL)),
                                STR_FMT(base64_encode(b->a, payload, BASE64_URL))),
               text;
    struct err e = token_sign(b->a, key, alg, input, &text);
    return failed(e) ? b_fail_err(b, e)
                     : b_str(b, arena_printf(b->a, "%.*s.%.*s", STR_FMT(input), STR_FMT(text)));
}

static struct str json_text(struct bcall *b, struct val v)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    val_to_json(&out, v, true);
    struct str s = arena_str(b->a, buf_str(&out));
    buf_release(&out);
    return s;
}

static enum b_status b_encode_sign(struct bcall *b)
{
    if (!b_is(b, 1, V_OBJECT) || !b_is(b, 2, V_OBJECT) || !b_is(b, 3, V_OBJECT)) {
        return B_ERROR;
    }
    return sign(b, json_text(b, b->args[0]), json_text(b, b->args[1]), json_text(b, b->args[2]));
}

static enum b_status b_encode_sign_raw(struct bcall *b)
{
    struct str header, payload, key;
    if (!b_string(b, 1, &header) || !b_string(b, 2, &payload) || !b_string(b, 3, &key)) {
        return B_ERROR;
    }
    return sign(b, header, payload, key);
}

const struct builtin builtins_token[] = {
    {"io.jwt.decode", 1, b_decode, 0},
    {"io.jwt.decode_verify", 2, b_decode_verify, BF_NONDET},
    {"io.jwt.verify_rs256", 2, b_verify_rs256, 0},
    {"io.jwt.verify_rs384", 2, b_verify_rs384, 0},
    {"io.jwt.verify_rs512", 2, b_verify_rs512, 0},
    {"io.jwt.verify_ps256", 2, b_verify_ps256, 0},
    {"io.jwt.verify_ps384", 2, b_verify_ps384, 0},
    {"io.jwt.verify_ps512", 2, b_verify_ps512, 0},
    {"io.jwt.verify_es256", 2, b_verify_es256, 0},
    {"io.jwt.verify_es384", 2, b_verify_es384, 0},
    {"io.jwt.verify_es512", 2, b_verify_es512, 0},
    {"io.jwt.verify_eddsa", 2, b_verify_eddsa, 0},
    {"io.jwt.verify_hs256", 2, b_verify_hs256, 0},
    {"io.jwt.verify_hs384", 2, b_verify_hs384, 0},
    {"io.jwt.verify_hs512", 2, b_verify_hs512, 0},
    {"io.jwt.encode_sign", 3, b_encode_sign, BF_NONDET},
    {"io.jwt.encode_sign_raw", 3, b_encode_sign_raw, BF_NONDET},
    {0},
};
