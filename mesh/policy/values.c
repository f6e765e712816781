/* Values of AuthorizationPolicy fields: their syntax, their patterns, and trust domain aliases. */
#include "policy_priv.h"

enum { TEMPLATE_OPERATORS_MAX = 5 };

static struct mesh_value pattern_of(struct str text)
{
    struct mesh_value v = {.text = text};
    if (str_is(text, "*")) {
        v.kind = PATTERN_PRESENT;
        v.text = STR_EMPTY;
    } else if (text.p[0] == '*') {
        v.kind = PATTERN_SUFFIX;
        v.text = str_sub(text, 1, text.n);
    } else if (text.p[text.n - 1] == '*') {
        v.kind = PATTERN_PREFIX;
        v.text = str_sub(text, 0, text.n - 1);
    }
    return v;
}

/* --- path templates -------------------------------------------------------------------------- */

bool mesh_has_template(struct str path)
{
    return str_find(path, S("{*}")) != STR_NPOS || str_find(path, S("{**}")) != STR_NPOS;
}

/* RFC 3986 unreserved, sub-delims without '*', ':' and '@', and escapes. */
static bool is_template_literal(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c == '\0' || strchr("-._~%!$&'()+,;:@=", c) == NULL)) {
            return false;
        }
    }
    return true;
}

bool mesh_template_valid(struct str path)
{
    size_t operators = 0;
    bool any_run = false;
    if (path.n == 0 || path.p[0] != '/') {
        return false;
    }
    for (struct str rest = str_sub(path, 1, path.n); rest.p != NULL;) {
        struct str segment = str_split(&rest, '/');
        bool run = str_is(segment, "{**}"), one = str_is(segment, "{*}");
        if (run || one) {
            if (any_run || ++operators > TEMPLATE_OPERATORS_MAX) {
                return false; /* {**} must be the last operator */
            }
            any_run = run;
        } else if (!is_template_literal(segment)) {
            return false;
        }
    }
    return true;
}

/* Braces at all make a value a template, or a mistake. */
static struct err read_path(struct mesh_reader *r, const struct json *at, struct mesh_value *v)
{
    struct str text = json_str(at);
    bool braces = str_find_char(text, '{') != STR_NPOS || str_find_char(text, '}') != STR_NPOS;
    if (!braces) {
        return OK;
    }
    if (!mesh_template_valid(text)) {
        return mesh_invalid(
            at,
            "'%.*s' is not a path template: segments are literals, {*} or {**}, at most "
            "five operators, {**} the last of them",
            STR_FMT(text));
    }
    v->kind = PATTERN_TEMPLATE;
    v->text = text;
    v->envoy_template = r->all != NULL && r->all->config.envoy_path_templates;
    return OK;
}

/* --- the other syntaxes ---------------------------------------------------------------------- */

static struct err read_service_account(const struct json *at, struct str policy_ns,
                                       struct mesh_value *v)
{
    struct str text = json_str(at);
    size_t slash = str_find_char(text, '/');
    struct str ns = slash == STR_NPOS ? policy_ns : str_sub(text, 0, slash);
    struct str name = slash == STR_NPOS ? text : str_sub(text, slash + 1, text.n);
    if (text.n > 320 || ns.n == 0 || name.n == 0 || str_find_char(name, '/') != STR_NPOS ||
        str_find_char(text, '*') != STR_NPOS) {
        return mesh_invalid(
            at,
            "'%.*s' is not a service account: write NAMESPACE/NAME or NAME, without '*', "
            "at most 320 characters",
            STR_FMT(text));
    }
    *v = (struct mesh_value){.kind = PATTERN_EXACT, .text = name, .ns = ns};
    return OK;
}

static struct err check_trust_domain(const struct json *at, const struct mesh_value *v)
{
    if (str_find_char(v->text, '*') != STR_NPOS || str_find_char(v->text, '/') != STR_NPOS) {
        return mesh_invalid(at,
                            "'%.*s' is not a trust domain: no '/', and one '*' at one end at most",
                            STR_FMT(json_str(at)));
    }
    return OK;
}

static struct err read_port(const struct json *at, struct mesh_value *v)
{
    uint64_t n;
    if (failed(str_to_u64(json_str(at), &n)) || n > 65535) {
        return mesh_invalid(at, "'%.*s' is not a port; write a string such as \"8080\"",
                            STR_FMT(json_str(at)));
    }
    v->port = (uint16_t)n;
    return OK;
}

static struct err read_value(struct mesh_reader *r, enum mesh_field f, const struct json *at,
                             struct str policy_ns, struct mesh_value *out)
{
    struct str text = json_str(at);
    struct mesh_value v = pattern_of(text);
    switch (f) {
    case FIELD_SOURCE_IP:
    case FIELD_REMOTE_IP:
    case FIELD_DESTINATION_IP:
        if (failed(ip_or_block_parse(text, &v.block))) {
            return mesh_invalid(at, "'%.*s' is not an address or block such as 10.0.0.0/8",
                                STR_FMT(text));
        }
        break;
    case FIELD_PORT:
        TRY(read_port(at, &v));
        break;
    case FIELD_PATH:
        TRY(read_path(r, at, &v));
        break;
    case FIELD_SERVICE_ACCOUNT:
        TRY(read_service_account(at, policy_ns, &v));
        break;
    case FIELD_TRUST_DOMAIN:
        TRY(check_trust_domain(at, &v));
        break;
    case FIELD_NAMESPACE:
        v.text = text; /* every star means "anything", wherever it stands */
        break;
    case FIELD_METADATA:
        if (text.n > 2 && text.p[0] == '[' && text.p[text.n - 1] == ']') {
            v = pattern_of(str_sub(text, 1, text.n - 1));
            v.list = true;
        }
        break;
    default:
        break;
    }
    *out = v;
    return OK;
}

/* --- trust domain aliases -------------------------------------------------------------------- */

static bool among(const struct str *list, size_t n, struct str s)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(list[i], s)) {
            return true;
        }
    }
    return false;
}

static bool is_five_segments(struct str s)
{
    size_t slashes = 0;
    for (size_t i = 0; i < s.n; i++) {
        slashes += s.p[i] == '/';
    }
    return slashes == 4;
}

/* Is the value meant for one of our trust domains (its own may hold a star at an end)? */
static bool names_our_domain(const struct mesh_policies *all, struct str domain)
{
    if (domain.n == 0 || str_is(domain, "*")) {
        return false;
    }
    struct mesh_value v = pattern_of(domain);
    for (size_t i = 0; i < all->n_trust_domains; i++) {
        if (mesh_pattern_matches(&v, all->trust_domains[i])) {
            return true;
        }
    }
    return str_is(domain, "cluster.local");
}

struct str *mesh_expand_principals(struct arena *a, const struct mesh_policies *all,
                                   const struct str *values, size_t n, size_t *n_out)
{
    struct str *out = arena_array(a, struct str, n * (all->n_trust_domains + 1) + 1);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        size_t slash = str_find_char(values[i], '/');
        struct str domain = str_sub(values[i], 0, slash == STR_NPOS ? 0 : slash);
        if (!is_five_segments(values[i]) || !names_our_domain(all, domain)) {
            out[kept] = values[i];
            kept += !among(out, kept, values[i]);
            continue;
        }
        struct mesh_value v = pattern_of(domain);
        for (size_t t = 0; t < all->n_trust_domains; t++) {
            struct str form = mesh_pattern_matches(&v, all->trust_domains[t])
                                  ? values[i]
                                  : arena_printf(a, "%.*s%.*s", STR_FMT(all->trust_domains[t]),
                                                 STR_FMT(str_sub(values[i], slash, values[i].n)));
            out[kept] = form;
            kept += !among(out, kept, form);
        }
    }
    *n_out = kept;
    return out;
}

/* A trust domain of ours stands for all of ours. */
static struct str *expand_domains(struct arena *a, const struct mesh_policies *all,
                                  const struct str *values, size_t n, size_t *n_out)
{
    struct str *out = arena_array(a, struct str, n + n * all->n_trust_domains);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        out[kept] = values[i];
        kept += !among(out, kept, values[i]);
        for (size_t t = 0; names_our_domain(all, values[i]) && t < all->n_trust_domains; t++) {
            out[kept] = all->trust_domains[t];
            kept += !among(out, kept, out[kept]);
        }
    }
    *n_out = kept;
    return out;
}

struct err mesh_read_values(struct mesh_reader *r, enum mesh_field f, const struct json *list,
                            const char *what, struct str policy_ns, struct mesh_values *out)
{
    struct str *texts = NULL;
    size_t n;
    TRY(mesh_read_strings(r, list, what, &texts, &n));
    if (f == FIELD_SERVICE_ACCOUNT && n > 16) {
        return mesh_invalid(list, "%s takes at most 16", what);
    }
    for (size_t i = 0; i < n; i++) { /* the syntax, at the place where it stands */
        struct mesh_value checked;
        TRY(read_value(r, f, list->items[i], policy_ns, &checked));
    }
    if (r->all != NULL && n > 0 && f == FIELD_PRINCIPAL) {
        texts = mesh_expand_principals(r->arena, r->all, texts, n, &n);
    } else if (r->all != NULL && n > 0 && f == FIELD_TRUST_DOMAIN) {
        texts = expand_domains(r->arena, r->all, texts, n, &n);
    }
    out->items = arena_array(r->arena, struct mesh_value, n);
    for (size_t i = 0; i < n; i++) {
        struct json v = {.type = JSON_STRING, .text = texts[i]};
        TRY(read_value(r, f, &v, policy_ns, &out->items[i]));
    }
    out->n = n;
    return OK;
}

/* --- condition keys -------------------------------------------------------------------------- */

bool mesh_split_brackets(struct arena *a, struct str s, struct str **parts, size_t *n)
{
    if (s.n < 2 || s.p[0] != '[' || s.p[s.n - 1] != ']') {
        return false;
    }
    struct str inner = str_sub(s, 1, s.n - 1);
    struct str *out = arena_array(a, struct str, inner.n / 2 + 1);
    size_t found = 0;
    for (;;) {
        size_t at = str_find(inner, S("]["));
        out[found++] = str_sub(inner, 0, at == STR_NPOS ? inner.n : at);
        if (at == STR_NPOS) {
            break;
        }
        inner = str_sub(inner, at + 2, inner.n);
    }
    *parts = out;
    *n = found;
    return true;
}

/* PREFIX[part][part]...: the parts, none of them empty. */
static bool bracketed(struct mesh_reader *r, struct str key, struct str prefix, struct str **parts,
                      size_t *n)
{
    if (!str_starts(key, prefix) ||
        !mesh_split_brackets(r->arena, str_sub(key, prefix.n, key.n), parts, n)) {
        return false;
    }
    for (size_t i = 0; i < *n; i++) {
        if ((*parts)[i].n == 0) {
            return false;
        }
    }
    return true;
}

static bool read_metadata_key(struct mesh_reader *r, struct str key, struct mesh_cond *out)
{
    const struct str prefix = S("experimental.envoy.filters.");
    size_t open = str_find_char(key, '[');
    if (!str_starts(key, prefix) || open == STR_NPOS || open == prefix.n) {
        return false;
    }
    out->key = str_sub(key, prefix.n, open);
    out->field = FIELD_METADATA;
    return bracketed(r, str_sub(key, open, key.n), STR_EMPTY, &out->path, &out->n_path);
}

struct err mesh_read_condition_key(struct mesh_reader *r, const struct json *key,
                                   struct mesh_cond *out)
{
    static const struct {
        const char *key;
        enum mesh_field field;
    } plain[] = {{"source.ip", FIELD_SOURCE_IP},
                 {"remote.ip", FIELD_REMOTE_IP},
                 {"source.namespace", FIELD_NAMESPACE},
                 {"source.serviceAccount", FIELD_SERVICE_ACCOUNT},
                 {"source.principal", FIELD_PRINCIPAL},
                 {"source.trustDomain", FIELD_TRUST_DOMAIN},
                 {"request.auth.principal", FIELD_REQUEST_PRINCIPAL},
                 {"request.auth.audiences", FIELD_AUDIENCE},
                 {"request.auth.presenter", FIELD_PRESENTER},
                 {"destination.ip", FIELD_DESTINATION_IP},
                 {"destination.port", FIELD_PORT},
                 {"connection.sni", FIELD_SNI}};
    struct str k = json_str(key), *parts;
    size_t n;
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (str_is(k, plain[i].key)) {
            out->field = plain[i].field;
            return OK;
        }
    }
    if (bracketed(r, k, S("request.headers"), &parts, &n) && n == 1) {
        out->field = FIELD_HEADER;
        out->key = parts[0];
        return OK;
    }
    if (bracketed(r, k, S("request.auth.claims"), &out->path, &out->n_path)) {
        out->field = FIELD_CLAIM;
        return OK;
    }
    if (read_metadata_key(r, k, out)) {
        return OK;
    }
    return mesh_invalid(
        key,
        "'%.*s' is not a condition key such as request.headers[x-team], source.ip or "
        "request.auth.claims[group]",
        STR_FMT(k));
}
