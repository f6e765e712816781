/* Does a request satisfy one field's test? The matching rules of Istio's AuthorizationPolicy. */
#include "policy_priv.h"

bool mesh_field_needs_http(enum mesh_field f)
{
    switch (f) {
    case FIELD_REQUEST_PRINCIPAL:
    case FIELD_HOST:
    case FIELD_METHOD:
    case FIELD_PATH:
    case FIELD_HEADER:
    case FIELD_AUDIENCE:
    case FIELD_PRESENTER:
    case FIELD_CLAIM:
        return true;
    default:
        return false;
    }
}

bool mesh_field_is_identity(enum mesh_field f)
{
    return f <= FIELD_TRUST_DOMAIN;
}

bool mesh_field_is_token(enum mesh_field f)
{
    return f == FIELD_REQUEST_PRINCIPAL || f == FIELD_AUDIENCE || f == FIELD_PRESENTER ||
           f == FIELD_CLAIM;
}

bool mesh_pattern_matches(const struct mesh_value *v, struct str s)
{
    switch (v->kind) {
    case PATTERN_EXACT:
        return str_eq(v->text, s);
    case PATTERN_PREFIX:
        return str_starts(s, v->text);
    case PATTERN_SUFFIX:
        return str_ends(s, v->text);
    case PATTERN_PRESENT:
        return s.n > 0;
    case PATTERN_TEMPLATE:
        return mesh_template_matches(v, s);
    }
    return false;
}

/* --- path templates -------------------------------------------------------------------------- */

/* The characters that Envoy's template operators take; in our own reading they take all. */
static bool operator_takes(const struct mesh_value *v, char c)
{
    if (!v->envoy_template) {
        return true;
    }
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~%!$&'()+,;:@", c) != NULL);
}

static bool run_is_taken(const struct mesh_value *v, struct str run, bool slashes)
{
    for (size_t i = 0; i < run.n; i++) {
        if (run.p[i] == '/' ? !slashes : !operator_takes(v, run.p[i])) {
            return false;
        }
    }
    return true;
}

/* {*} is one non-empty segment; {**}, the last operator, is anything up to the literal tail. */
bool mesh_template_matches(const struct mesh_value *v, struct str path)
{
    struct str t = v->text;
    while (t.n > 0) {
        if (str_starts(t, S("{**}"))) {
            struct str tail = str_sub(t, 4, t.n);
            return str_ends(path, tail) && run_is_taken(v, str_sub(path, 0, path.n - tail.n), true);
        }
        if (str_starts(t, S("{*}"))) {
            size_t end = str_find_char(path, '/');
            end = end == STR_NPOS ? path.n : end;
            if (end == 0 || !run_is_taken(v, str_sub(path, 0, end), false)) {
                return false;
            }
            t = str_sub(t, 3, t.n);
            path = str_sub(path, end, path.n);
            continue;
        }
        if (path.n == 0 || path.p[0] != t.p[0]) {
            return false;
        }
        t = str_sub(t, 1, t.n);
        path = str_sub(path, 1, path.n);
    }
    return path.n == 0;
}

/* --- identities ------------------------------------------------------------------------------ */

/* Glob with '*' for any run, without recursion: on a mismatch the last star takes one more. */
static bool glob(struct str pattern, struct str s)
{
    size_t p = 0, i = 0, star = STR_NPOS, mark = 0;
    while (i < s.n) {
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            mark = i;
        } else if (p < pattern.n && pattern.p[p] == s.p[i]) {
            p++;
            i++;
        } else if (star != STR_NPOS) {
            p = star + 1;
            i = ++mark;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*') {
        p++;
    }
    return p == pattern.n;
}

/* Somewhere in the id stands /ns/PATTERN/. */
bool mesh_namespace_matches(struct str pattern, struct str id)
{
    char full[512];
    if (pattern.n + 7 > sizeof(full)) {
        return false;
    }
    int n = snprintf(full, sizeof(full), "*/ns/%.*s/*", STR_FMT(pattern));
    return glob(str_n(full, (size_t)n), id);
}

/* `rest` stands after "/ns/NS/": (.+/|)sa/NAME(/.+)? to the end. */
static bool account_follows(struct str rest, struct str name)
{
    for (size_t at = 0; at + 3 + name.n <= rest.n; at++) {
        bool starts = at == 0 || (at > 1 && rest.p[at - 1] == '/');
        struct str tail = str_sub(rest, at, rest.n);
        if (!starts || !str_starts(tail, S("sa/")) || !str_starts(str_sub(tail, 3, tail.n), name)) {
            continue;
        }
        struct str after = str_sub(tail, 3 + name.n, tail.n);
        if (after.n == 0 || (after.n > 1 && after.p[0] == '/')) {
            return true;
        }
    }
    return false;
}

/* spiffe://.+/ns/NS/(.+/|)sa/NAME(/.+)? with literal NS and NAME. */
bool mesh_service_account_matches(struct str ns, struct str name, struct str id)
{
    const struct str scheme = S("spiffe://");
    if (!str_starts(id, scheme)) {
        return false;
    }
    struct str rest = str_sub(id, scheme.n, id.n);
    for (size_t at = 1; at + 5 + ns.n <= rest.n; at++) {
        struct str tail = str_sub(rest, at, rest.n);
        if (!str_starts(tail, S("/ns/")) || !str_starts(str_sub(tail, 4, tail.n), ns) ||
            tail.p[4 + ns.n] != '/') {
            continue;
        }
        if (account_follows(str_sub(tail, 5 + ns.n, tail.n), name)) {
            return true;
        }
    }
    return false;
}

bool mesh_trust_domain_matches(const struct mesh_value *v, struct str id)
{
    const struct str scheme = S("spiffe://");
    if (!str_starts(id, scheme)) {
        return false;
    }
    struct str rest = str_sub(id, scheme.n, id.n);
    size_t slash = str_find_char(rest, '/');
    if (v->kind == PATTERN_PRESENT) {
        return true;
    }
    return slash != STR_NPOS && mesh_pattern_matches(v, str_sub(rest, 0, slash));
}

/* A principal is the id without its scheme; the suffix form reaches back over anything. */
static bool principal_matches(const struct mesh_value *v, struct str id)
{
    const struct str scheme = S("spiffe://");
    return str_starts(id, scheme) && mesh_pattern_matches(v, str_sub(id, scheme.n, id.n));
}

/* --- tokens ---------------------------------------------------------------------------------- */

/* ISSUER/SUBJECT, split at the last slash, with a star at either end of the whole. */
static bool request_principal_matches(const struct mesh_value *v, const struct json *claims)
{
    struct str iss = json_str(json_get(claims, "iss")), sub = json_str(json_get(claims, "sub"));
    size_t slash = str_rfind_char(v->text, '/');
    struct str left = slash != STR_NPOS ? str_sub(v->text, 0, slash) : v->text;
    struct str right = slash != STR_NPOS ? str_sub(v->text, slash + 1, v->text.n) : STR_EMPTY;
    if (iss.n == 0 || sub.n == 0) {
        return false;
    }
    switch (v->kind) {
    case PATTERN_EXACT:
        return slash != STR_NPOS && str_eq(iss, left) && str_eq(sub, right);
    case PATTERN_PREFIX:
        return slash == STR_NPOS ? str_starts(iss, left)
                                 : str_eq(iss, left) && str_starts(sub, right);
    case PATTERN_SUFFIX:
        return slash == STR_NPOS ? str_ends(sub, left) : str_ends(iss, left) && str_eq(sub, right);
    default:
        return v->kind == PATTERN_PRESENT;
    }
}

/* Does this issuer's rule say that the claim is a list written with blanks? */
static bool is_space_delimited(const struct mesh_set *set, const struct json *claims,
                               struct str claim)
{
    if (str_is(claim, "scope") || str_is(claim, "permission")) {
        return true;
    }
    struct str iss = json_str(json_get(claims, "iss"));
    for (size_t i = 0; i < set->n_jwt; i++) {
        const struct mesh_jwt_rule *r = &set->jwt[i];
        for (size_t k = 0; str_eq(r->issuer, iss) && k < r->n_space_delimited; k++) {
            if (str_eq(r->space_delimited[k], claim)) {
                return true;
            }
        }
    }
    return false;
}

static bool text_claim_matches(const struct mesh_value *v, struct str text, bool split)
{
    if (!split) {
        return mesh_pattern_matches(v, text);
    }
    for (struct str rest = text; rest.p != NULL;) {
        struct str word = str_split(&rest, ' ');
        if (word.n > 0 && mesh_pattern_matches(v, word)) {
            return true;
        }
    }
    return false;
}

static bool claim_matches(const struct mesh_value *v, const struct json *claim, bool split)
{
    if (json_is(claim, JSON_STRING)) {
        return text_claim_matches(v, claim->text, split);
    }
    for (uint32_t i = 0; json_is(claim, JSON_ARRAY) && i < claim->n; i++) {
        if (json_is(claim->items[i], JSON_STRING) &&
            mesh_pattern_matches(v, claim->items[i]->text)) {
            return true;
        }
    }
    return false;
}

static bool named_claim_matches(const struct mesh_cond *c, const struct mesh_value *v,
                                const struct mesh_set *set, const struct json *claims)
{
    const struct json *at = claims;
    for (size_t i = 0; i < c->n_path; i++) {
        at = json_get_str(at, c->path[i]);
    }
    bool split = c->n_path == 1 && is_space_delimited(set, claims, c->path[0]);
    return claim_matches(v, at, split);
}

/* --- the rest -------------------------------------------------------------------------------- */

static bool host_matches(const struct mesh_value *v, struct str host)
{
    switch (v->kind) {
    case PATTERN_EXACT:
        return str_eq_nocase(v->text, host);
    case PATTERN_PREFIX:
        return str_starts_nocase(host, v->text);
    case PATTERN_SUFFIX:
        return host.n >= v->text.n &&
               str_eq_nocase(str_sub(host, host.n - v->text.n, host.n), v->text);
    default:
        return host.n > 0;
    }
}

/* Policies see a path without its query, whoever calls. */
static struct str path_only(struct str path)
{
    size_t end = str_find_char(path, '?');
    return end == STR_NPOS ? path : str_sub(path, 0, end);
}

/* A header that comes several times is one value joined by commas (RFC 9110 section 5.3). */
static bool header_matches(const struct mesh_value *v, const struct mesh_request *req,
                           struct str name)
{
    char joined[8192];
    size_t n = 0, found = 0;
    struct str value = STR_EMPTY;
    if (str_is(name, ":authority") || str_is(name, "host")) {
        return mesh_pattern_matches(v, req->host);
    }
    if (str_is(name, ":method") || str_is(name, ":path")) {
        return mesh_pattern_matches(v, str_is(name, ":path") ? req->path : req->method);
    }
    for (size_t i = 0; i < req->n_headers; i++) {
        struct str part = req->headers[i].value;
        if (!str_eq_nocase(req->headers[i].name, name)) {
            continue;
        }
        value = part;
        if (found++ > 0 && n < sizeof(joined)) {
            joined[n++] = ',';
        }
        if (n + part.n > sizeof(joined)) {
            return false; /* longer than any value a policy could name */
        }
        memcpy(joined + n, part.p != NULL ? part.p : "", part.n);
        n += part.n;
    }
    if (v->kind == PATTERN_PRESENT) {
        return found > 0;
    }
    return found > 0 && mesh_pattern_matches(v, found == 1 ? value : str_n(joined, n));
}

static bool metadata_matches(const struct mesh_cond *c, const struct mesh_value *v,
                             const struct json *metadata)
{
    const struct json *at = json_get_str(metadata, c->key);
    for (size_t i = 0; i < c->n_path; i++) {
        at = json_get_str(at, c->path[i]);
    }
    if (v->list) {
        return json_is(at, JSON_ARRAY) && claim_matches(v, at, false);
    }
    return json_is(at, JSON_STRING) && mesh_pattern_matches(v, at->text);
}

static bool value_matches(const struct mesh_cond *c, const struct mesh_value *v,
                          const struct mesh_set *set, const struct mesh_request *req)
{
    const struct ip *remote = req->remote_ip.family != 0 ? &req->remote_ip : &req->source_ip;
    switch (c->field) {
    case FIELD_PRINCIPAL:
        return principal_matches(v, req->peer_id);
    case FIELD_NAMESPACE:
        return mesh_namespace_matches(v->text, req->peer_id);
    case FIELD_SERVICE_ACCOUNT:
        return mesh_service_account_matches(v->ns, v->text, req->peer_id);
    case FIELD_TRUST_DOMAIN:
        return mesh_trust_domain_matches(v, req->peer_id);
    case FIELD_REQUEST_PRINCIPAL:
        return request_principal_matches(v, req->claims);
    case FIELD_SOURCE_IP:
        return ip_in_block(&req->source_ip, &v->block);
    case FIELD_REMOTE_IP:
        return ip_in_block(remote, &v->block);
    case FIELD_DESTINATION_IP:
        return ip_in_block(&req->destination_ip, &v->block);
    case FIELD_HOST:
        return host_matches(v, req->host);
    case FIELD_PORT:
        return v->port == req->destination_port;
    case FIELD_METHOD:
        return mesh_pattern_matches(v, req->method);
    case FIELD_PATH:
        return mesh_pattern_matches(v, path_only(req->path));
    case FIELD_HEADER:
        return header_matches(v, req, c->key);
    case FIELD_AUDIENCE:
        return claim_matches(v, json_get(req->claims, "aud"), false);
    case FIELD_PRESENTER:
        return claim_matches(v, json_get(req->claims, "azp"), false);
    case FIELD_CLAIM:
        return named_claim_matches(c, v, set, req->claims);
    case FIELD_SNI:
        return mesh_pattern_matches(v, req->sni);
    case FIELD_METADATA:
        return metadata_matches(c, v, req->metadata);
    }
    return false;
}

bool mesh_cond_holds(const struct mesh_cond *c, const struct mesh_set *set,
                     const struct mesh_request *req)
{
    bool some = c->any.n == 0;
    for (size_t i = 0; i < c->any.n && !some; i++) {
        some = value_matches(c, &c->any.items[i], set, req);
    }
    for (size_t i = 0; i < c->none.n && some; i++) {
        some = !value_matches(c, &c->none.items[i], set, req);
    }
    return some;
}
