/* From a request to its handler. */
#include "answer.h"
#include "outing.h"

#include "authz/rego/topdown.h"

void authz_init(struct authz *z, const struct authz_config *c)
{
    z->config = c;
    z->labels = VAL_UNDEF;
    store_init(&z->store);
    router_init(&z->routes);
    router_init(&z->diagnostic_routes);
    router_init(&z->grpc_routes);
}

void authz_release(struct authz *z)
{
    outings_release(z);
    answers_release(z);
    rego_topdown_free(z->topdown);
    router_release(&z->routes);
    router_release(&z->diagnostic_routes);
    router_release(&z->grpc_routes);
    store_release(&z->store);
}

void authz_add_plugin(struct authz *z, struct authz_plugin *p)
{
    struct authz_plugin **at = &z->plugins;
    while (*at != NULL && *at != p) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        p->next = NULL;
        *at = p;
    }
}

static void empty_405(struct http_req *req)
{
    bool varies = str_is(req->method, "GET") && str_starts(req->path, S("/v0/data"));
    struct http_header h = {S("vary"), S("Accept-Encoding")};
    http_reply(req, &(struct http_reply){.status = 405, .headers = &h, .n_headers = varies});
}

/* The method is none of the path's: the APIs of documents say so with an empty body, the others as a server does. */
static void fallback(struct http_req *req, void *ctx, int code)
{
    struct authz *z = ctx;
    struct str p = req->path;
    if (code != 405) {
        http_reply_text(req, 404, S("404 page not found\n"));
        return;
    }
    if (str_is(req->method, "HEAD") || str_starts(p, S("/v1/data")) ||
        str_starts(p, S("/v1/query")) || str_starts(p, S("/v0/data")) ||
        str_starts(p, S("/v1/policies"))) {
        empty_405(req);
        return;
    }
    static const char *const methods[] = {"GET", "POST", "PUT"};
    struct str allow = STR_EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (router_has(&z->routes, str_of(methods[i]), p)) {
            allow = arena_printf(req->arena, "%.*s%s%s%s", STR_FMT(allow), allow.n > 0 ? ", " : "",
                                 methods[i], i == 0 ? ", HEAD" : "");
        }
    }
    struct http_header h = {S("allow"), allow};
    http_reply(req, &(struct http_reply){.status = 405,
                                         .content_type = S("text/plain; charset=utf-8"),
                                         .body = S("Method Not Allowed\n"),
                                         .headers = &h,
                                         .n_headers = 1});
}

/* ---- paths that another path stands for ---- */

static bool below(struct str path, const char *prefix, size_t n)
{
    return path.n >= n && memcmp(path.p, prefix, n) == 0 && (path.n == n || path.p[n] == '/');
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Every percent sign begins a code of two hexadecimal digits. */
static bool well_escaped(struct str p)
{
    for (size_t at = str_find_char(p, '%'); at != STR_NPOS;) {
        if (at + 2 >= p.n || !is_hex(p.p[at + 1]) || !is_hex(p.p[at + 2])) {
            return false;
        }
        p = str_sub(p, at + 3, p.n);
        at = str_find_char(p, '%');
    }
    return true;
}

static bool is_clean(struct str p)
{
    for (size_t i = 0; i + 1 < p.n; i++) {
        if (p.p[i] == '/' && (p.p[i + 1] == '/' || p.p[i + 1] == '.')) {
            return false;
        }
    }
    return p.n == 1 || p.p[p.n - 1] != '/';
}

/* Without empty segments, "." and "..". */
static struct str clean(struct arena *a, struct str p)
{
    struct str parts[PATH_SEGMENTS_MAX], rest = p, out = STR_EMPTY;
    size_t n = 0;
    while (rest.p != NULL) {
        struct str part = str_split(&rest, '/');
        if (str_is(part, "..")) {
            n -= n > 0;
        } else if (part.n > 0 && !str_is(part, ".") && n < PATH_SEGMENTS_MAX) {
            parts[n++] = part;
        }
    }
    for (size_t i = 0; i < n; i++) {
        out = arena_printf(a, "%.*s/%.*s", STR_FMT(out), STR_FMT(parts[i]));
    }
    bool slash = p.n > 1 && p.p[p.n - 1] == '/';
    return arena_printf(a, "%.*s%s", STR_FMT(out), slash || n == 0 ? "/" : "");
}

static bool redirect(struct http_req *req, int status, struct str to, bool html)
{
    struct http_header h[] = {{S("location"), to}, {S("vary"), S("Accept-Encoding")}};
    bool data = str_starts(req->path, S("/v1/data")) || str_starts(req->path, S("/v0/data"));
    bool varies = data && (str_is(req->method, "GET") || str_is(req->method, "POST"));
    struct http_reply r = {.status = status, .headers = h, .n_headers = varies ? 2 : 1};
    if (html) {
        r.content_type = S("text/html; charset=utf-8");
        r.body = arena_printf(req->arena, "<a href=\"%.*s\">%s</a>.\n\n", STR_FMT(to),
                              http_reason(status));
    }
    http_reply(req, &r);
    return true;
}

/* The same path written otherwise: clients are sent to the plain one. */
static bool redirected(const struct router *r, bool documents, struct http_req *req)
{
    if (is_clean(req->path)) {
        return false;
    }
    bool get = str_is(req->method, "GET") || str_is(req->method, "HEAD");
    struct str plain = clean(req->arena, req->path), query = STR_EMPTY;
    if (req->query.n > 0) {
        query = arena_printf(req->arena, "?%.*s", STR_FMT(req->query));
    }
    if (!str_eq(plain, req->path)) {
        return redirect(req, 307,
                        arena_printf(req->arena, "%.*s%.*s", STR_FMT(plain), STR_FMT(query)), get);
    }
    bool known =
        (documents && (below(req->path, "/v1/data", 8) || below(req->path, "/v0/data", 8))) ||
        router_has(r, req->method, req->path);
    if (plain.n == 1 || !known || str_is(req->method, "HEAD")) {
        return false;
    }
    return redirect(req, 301, str_sub(plain, 0, plain.n - 1), get);
}

/* ---- dispatch ---- */

/* The Data API, without a look at the table: true when the request is its business. */
static bool serve_data(struct authz *z, struct http_req *req)
{
    struct str m = req->method;
    bool post = str_is(m, "POST");
    if (below(req->path, "/v1/data", 8)) {
        meter_label(req, HANDLER_V1_DATA);
        if (post || str_is(m, "GET")) {
            data_read(req, z);
        } else if (str_is(m, "PUT") || str_is(m, "PATCH") ||
                   (str_is(m, "DELETE") && req->path.n > 9)) {
            data_write(req, z);
        } else {
            meter_label(req, HANDLER_CATCHALL);
            empty_405(req);
        }
        return true;
    }
    if (below(req->path, "/v0/data", 8)) {
        meter_label(req, post ? HANDLER_V0_DATA : HANDLER_CATCHALL);
        if (post) {
            data_v0(req, z);
        } else {
            empty_405(req);
        }
        return true;
    }
    return false;
}

static void serve(struct authz *z, struct http_req *req)
{
    if (!well_escaped(req->path)) {
        http_reply(req, &(struct http_reply){.status = 400,
                                             .content_type = S("text/plain; charset=utf-8"),
                                             .body = S("400 Bad Request")});
        return;
    }
    if (!gate_pass(z, req) || redirected(&z->routes, true, req) || serve_data(z, req)) {
        return;
    }
    if (str_is(req->method, "HEAD") && router_has(&z->routes, S("GET"), req->path)) {
        empty_405(req);
        return;
    }
    router_dispatch(req, &z->routes);
}

/* ---- requests that are handled again ---- */

static void client_gone(void *ctx)
{
    outing_cancel(ctx);
}

static void serve_again(void *ctx, struct outing *o);

static void serve_in_scope(struct authz *z, struct http_req *req, struct outing *o)
{
    outing_begin(z, o, http_req_loop(req), serve_again, req);
    serve(z, req);
    o = outing_end(z);
    if (o != NULL) {
        http_on_abort(req, client_gone, o);
    }
}

static void serve_again(void *ctx, struct outing *o)
{
    struct http_req *req = ctx;
    http_on_abort(req, NULL, NULL);
    serve_in_scope(outing_server(o), req, o);
}

void authz_serve(struct http_req *req, void *ctx)
{
    meter_begin(req);
    serve_in_scope(ctx, req, NULL);
}

void authz_serve_diagnostic(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    meter_begin(req);
    if (gate_pass(z, req) && !redirected(&z->diagnostic_routes, false, req)) {
        router_dispatch(req, &z->diagnostic_routes);
    }
}

static struct str size_text(struct arena *a, uint64_t n)
{
    static const char units[] = "KMGTPE";
    if (n < 1024) {
        return arena_printf(a, " %llu bytes", (unsigned long long)n);
    }
    uint64_t div = 1024;
    size_t unit = 0;
    for (uint64_t m = n / 1024; m >= 1024; m /= 1024) {
        div *= 1024;
        unit++;
    }
    struct str s = arena_printf(a, " %.1f", (double)n / (double)div);
    s = str_ends(s, S(".0")) ? str_sub(s, 0, s.n - 2) : s;
    return arena_printf(a, "%.*s %ciB", STR_FMT(s), units[unit]);
}

void authz_too_large(struct http_req *req, uint64_t announced, void *ctx)
{
    struct authz *z = ctx;
    bool whole = announced > 0;
    meter_begin(req);
    if (!whole && str_starts(req->path, S("/v1/data")) && !str_is(req->method, "POST")) {
        reply_error(req, 400, "invalid_parameter", "http: request body too large");
        return;
    }
    reply_error(req, 400, "invalid_parameter",
                "request body too large:%.*s exceeds limit of %lld bytes "
                "(server.decoding.max_length)",
                STR_FMT(whole ? size_text(req->arena, announced) : STR_EMPTY),
                (long long)z->config->body_max);
}

static void default_decision(struct http_req *req, void *ctx)
{
    meter_label(req, HANDLER_INDEX);
    data_default(req, ctx);
}

static void query_405(struct http_req *req, void *ctx)
{
    (void)ctx;
    empty_405(req);
}

void authz_routes(struct authz *z)
{
    struct router *r = &z->routes, *diag = &z->diagnostic_routes;
    router_add(r, "POST", "/", default_decision, z);
    router_add(r, "POST", "/v1/batch/data/{path...}", data_batch, z);
    router_add(r, "*", "/v1/query/{path...}", query_405, z);
    policy_routes(z, r);
    query_routes(z, r);
    compile_routes(z, r);
    health_routes(z, r);
    health_routes(z, diag);
    state_routes(z, r);
    router_fallback(r, fallback, z);
    router_fallback(diag, fallback, z);
}
