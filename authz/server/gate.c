/*
 * Who asks, and may he? Authentication names the caller by a bearer token or by the client certificate; authorization asks
 * a policy (by default data.system.authz.allow) about every request, diagnostics too.
 */
#include "outing.h"
#include "server.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/tls/tls.h"
#include "lib/x509/name.h"

/* "Bearer TOKEN", as written. */
static struct val bearer(struct arena *a, const struct http_req *req)
{
    struct str v = http_header_get(req, "authorization");
    if (!str_starts_nocase(v, S("Bearer "))) {
        return VAL_UNDEF;
    }
    v = str_trim(str_sub(v, 7, v.n));
    return v.n > 0 ? val_str(a, v) : VAL_UNDEF;
}

static struct val name_value(struct arena *a, struct str der)
{
    struct str text;
    return failed(x509_name_text(a, der, &text)) ? VAL_UNDEF : val_str(a, text);
}

static struct val texts(struct arena *a, const struct str *v, size_t n)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < n; i++) {
        vlist_add(&l, val_str(a, v[i]));
    }
    return n > 0 ? vlist_array(&l) : VAL_NULL;
}

static struct val time_value(struct arena *a, int64_t s)
{
    struct buf b;
    buf_init(&b, 64);
    clock_put_rfc3339(&b, s * NS_PER_S, 0);
    struct val v = val_str(a, buf_str(&b));
    buf_release(&b);
    return v;
}

/* What policies ask of a certificate, under the names that Go gives its fields. */
static struct val certificate(struct arena *a, const struct x509_cert *c)
{
    struct vlist l = {.a = a}, subject = {.a = a};
    vlist_put(&subject, "CommonName", val_str(a, c->common_name));
    vlist_put(&l, "Subject", vlist_object(&subject));
    vlist_put(&l, "SubjectText", name_value(a, c->subject));
    vlist_put(&l, "IssuerText", name_value(a, c->issuer));
    vlist_put(&l, "Raw", val_str(a, base64_encode(a, c->der, BASE64_STD)));
    vlist_put(&l, "DNSNames", texts(a, c->dns_names, c->n_dns_names));
    vlist_put(&l, "URIStrings", texts(a, c->uris, c->n_uris));
    vlist_put(&l, "NotBefore", time_value(a, c->not_before_s));
    vlist_put(&l, "NotAfter", time_value(a, c->not_after_s));
    vlist_put(&l, "IsCA", val_bool(c->is_ca));
    return vlist_object(&l);
}

static void put_identity(struct authz *z, const struct http_req *req, struct vlist *input)
{
    struct str scheme = z->config->authentication;
    if (str_is(scheme, "token")) {
        struct val token = bearer(input->a, req);
        if (!val_undef(token)) {
            vlist_put(input, "identity", token);
        }
        return;
    }
    const struct tls_session *tls = http_req_tls(req);
    const struct x509_chain *chain = tls != NULL ? tls_peer_chain(tls) : NULL;
    if (!str_is(scheme, "tls") || chain == NULL || chain->n == 0) {
        return;
    }
    struct vlist certs = {.a = input->a};
    struct val subject = name_value(input->a, chain->certs[0]->subject);
    if (!val_undef(subject)) {
        vlist_put(input, "identity", subject);
    }
    for (size_t i = 0; i < chain->n; i++) {
        vlist_add(&certs, certificate(input->a, chain->certs[i]));
    }
    vlist_put(input, "client_certificates", vlist_array(&certs));
}

/* Accept-Encoding of accept-encoding, as Go's header names are written. */
static struct str canonical(struct arena *a, struct str name)
{
    struct str c = arena_str(a, name);
    char *p = (char *)(uintptr_t)c.p;
    for (size_t i = 0; i < c.n; i++) {
        if ((i == 0 || p[i - 1] == '-') && p[i] >= 'a' && p[i] <= 'z') {
            p[i] = (char)(p[i] - 'a' + 'A');
        }
    }
    return c;
}

/* {name: [value, …]}: later values of a name join the earlier ones. */
static void add_value(struct arena *a, struct val *obj, struct str name, struct str v)
{
    struct val key = val_str(a, name), old = val_get(*obj, key);
    struct vlist l = {.a = a};
    for (uint32_t i = 0; !val_undef(old) && i < val_len(old); i++) {
        vlist_add(&l, val_nth(old, i));
    }
    vlist_add(&l, val_str(a, v));
    *obj = val_with(a, *obj, key, vlist_array(&l));
}

static struct val headers_value(struct arena *a, const struct http_req *req)
{
    struct val obj = val_empty_object();
    for (size_t i = 0; i < req->n_headers; i++) {
        if (!str_is(req->headers[i].name, "host")) {
            add_value(a, &obj, canonical(a, req->headers[i].name), req->headers[i].value);
        }
    }
    return obj;
}

static struct val params_value(struct arena *a, const struct http_req *req)
{
    struct val obj = val_empty_object();
    struct str rest = req->query, name, v;
    while (param_next(a, &rest, &name, &v)) {
        add_value(a, &obj, name, v);
    }
    return obj;
}

/* Split as the handlers split: Policies and Compile read the decoded path, all others the escaped one. */
static bool path_value(struct arena *a, const struct http_req *req, struct val *out)
{
    struct vlist l = {.a = a};
    struct str rest = str_sub(req->path, 1, req->path.n), decoded;
    if (failed(percent_decode(a, rest, false, &decoded))) {
        return false;
    }
    bool whole = str_starts(decoded, S("v1/policies/")) || str_starts(decoded, S("v1/compile/"));
    rest = whole ? decoded : rest;
    rest.p = rest.p != NULL ? rest.p : "";
    while (rest.p != NULL) {
        struct str part = str_split(&rest, '/'), text = part;
        if (!whole && failed(percent_decode(a, part, false, &text))) {
            return false;
        }
        vlist_add(&l, val_str(a, text));
    }
    *out = vlist_array(&l);
    return true;
}

/* POSTs whose body is a document that policies may look at. */
static bool expects_body(const struct http_req *req)
{
    static const char *const apis[] = {"/v0/data", "/v1/data", "/v1/compile", "/v1/query",
                                       "/v1/batch/data"};
    if (!str_is(req->method, "POST")) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(apis); i++) {
        size_t n = strlen(apis[i]);
        if (str_starts(req->path, str_of(apis[i])) && (req->path.n == n || req->path.p[n] == '/')) {
            return true;
        }
    }
    return str_is(req->path, "/");
}

static bool put_body(struct authz *z, const struct http_req *req, struct vlist *input,
                     struct str *why)
{
    struct str text = STR_EMPTY;
    struct val body = VAL_UNDEF;
    if (!expects_body(req) || req->body.n == 0) {
        return true;
    }
    if (!body_read(z, req, input->a, &text, why)) {
        if (str_starts(*why, S("could not decompress the body: "))) {
            *why = str_sub(*why, strlen("could not decompress the body: "), why->n);
        }
        return false;
    }
    if (text.n == 0) {
        return true;
    }
    bool ok = body_is_yaml(req) ? body_parse(input->a, text, true, &body, why)
                                : json_parse_whole(input->a, text, &body, why);
    if (ok && !val_undef(body)) {
        vlist_put(input, "body", body);
    }
    return ok;
}

static bool make_input(struct authz *z, const struct http_req *req, struct arena *a,
                       struct val *out, struct str *why)
{
    struct vlist l = {.a = a};
    struct val path;
    *why = S("invalid URL escape");
    if (!path_value(a, req, &path) || !put_body(z, req, &l, why)) {
        return false;
    }
    vlist_put(&l, "path", path);
    vlist_put(&l, "method", val_str(a, req->method));
    vlist_put(&l, "params", params_value(a, req));
    vlist_put(&l, "headers", headers_value(a, req));
    put_identity(z, req, &l);
    *out = vlist_object(&l);
    return true;
}

/* True, or an object that says allowed; it may carry the reason of a refusal. */
static bool judge(struct http_req *req, struct val r)
{
    struct str reason = S("request rejected by administrative policy");
    if (val_undef(r)) {
        reply_error(req, 500, "internal_error", "authorization policy missing or undefined");
        return false;
    }
    if (val_is(r, V_OBJECT)) {
        struct val allowed = val_get_str(r, "allowed"), why = val_get_str(r, "reason");
        if (val_undef(allowed)) {
            reply_error(req, 500, "internal_error", "document missing or undefined");
            return false;
        }
        reason = val_is(why, V_STRING) ? val_text(why) : reason;
        r = allowed;
    }
    if (val_is_true(r)) {
        return true;
    }
    reply_error(req, 401, "unauthorized", "%.*s", STR_FMT(reason));
    return false;
}

bool gate_pass(struct authz *z, struct http_req *req)
{
    if (!z->config->authorization) {
        return true;
    }
    struct arena a;
    struct val input, path[PATH_SEGMENTS_MAX];
    struct str why, bad;
    size_t n = 0;
    unsigned label = req->user_tag;
    arena_init(&a, (size_t)z->config->eval_memory);
    meter_label(req, HANDLER_AUTHZ);
    bool pass = make_input(z, req, &a, &input, &why);
    if (!pass) {
        reply_error(req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
    } else if (!path_values(&a, z->config->authorization_decision, path, &n, &bad)) {
        reply_error(req, 500, "internal_error", "the authorization decision is not a path");
        pass = false;
    } else {
        struct decision d = {0};
        decide(z, path, n, input, false, &a, &d);
        if (d.eval.waiting) {
            outing_wait(z);
        } else if (d.eval.failed) {
            reply_eval_error(req, &d.eval.error);
        }
        pass = !d.eval.failed && judge(req, d.result);
    }
    if (pass) {
        req->user_tag = label;
    }
    arena_release(&a);
    return pass;
}
