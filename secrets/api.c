/* From HTTP to a request of the core, and from its answer to HTTP (reference: Vault's HTTP API). */
#include "secretsd.h"

#include "field.h"

struct call {
    struct secretsd *s;
    struct http_req *http; /* NULL once the client is gone */
    struct arena arena;
    struct request r;
};

void api_reply(struct http_req *req, int status, struct str body)
{
    static const struct http_header no_store[] = {
        {STR_INIT("Cache-Control"), STR_INIT("no-store")}};
    http_reply(
        req, &(struct http_reply){.status = status,
                                  .body = body,
                                  .headers = no_store,
                                  .n_headers = 1,
                                  .content_type = body.n > 0 ? S("application/json") : STR_EMPTY});
}

void api_error(struct http_req *req, int status, struct str text)
{
    struct buf b;
    buf_init(&b, 64 * 1024);
    buf_puts(&b, S("{\"errors\":["));
    if (text.n > 0) {
        json_write_string(&b, text);
    }
    buf_puts(&b, S("]}\n"));
    api_reply(req, status, buf_str(&b));
    buf_release(&b);
}

/* ---- the body ---- */

static struct err form_body(struct arena *a, struct str body, struct json **out)
{
    struct json *o = json_new_object(a);
    struct str rest = body, name, value;
    bool bad = false;
    while (http_pairs_next(a, &rest, &name, &value, &bad)) {
        json_set(a, o, name, json_new_string(a, value));
    }
    ENSURE(!bad, ERR_SYNTAX, "error parsing form data");
    *out = o;
    return OK;
}

struct err api_body(struct arena *a, const struct http_req *req, struct json **out)
{
    struct str body = str_trim(req->body);
    if (body.n == 0) {
        *out = json_new_object(a);
        return OK;
    }
    bool form = str_starts_nocase(http_header_get(req, "content-type"),
                                  S("application/x-www-form-urlencoded"));
    if (form && body.p[0] != '{' && body.p[0] != '[') {
        return form_body(a, body, out);
    }
    struct json_limits lim = {.max_bytes = API_BODY_MAX,
                              .max_depth = 64,
                              .max_values = 200000,
                              .duplicate_keys_last_wins = true};
    struct err e = json_parse(a, body, &lim, out);
    ENSURE(!failed(e), ERR_SYNTAX, "failed to parse JSON input: %s",
           arena_cstr(a, str_of(err_detail())));
    if ((*out)->type == JSON_NULL) {
        *out = json_new_object(a); /* what `bao write -f` sends */
    }
    ENSURE((*out)->type == JSON_OBJECT, ERR_SYNTAX,
           "failed to parse JSON input: an object is expected");
    return OK;
}

static struct err query_data(struct arena *a, const struct http_req *req, struct json **out)
{
    struct json *o = json_new_object(a);
    struct str rest = req->query, name, value;
    bool bad = false;
    while (http_pairs_next(a, &rest, &name, &value, &bad)) {
        if (json_get_str(o, name) == NULL && !str_is(name, "list")) {
            json_add(a, o, name, json_new_string(a, value));
        }
    }
    ENSURE(!bad, ERR_SYNTAX, "error parsing query parameters");
    *out = o;
    return OK;
}

/* ---- path and method ---- */

static struct err check_path(struct str path)
{
    ENSURE(path.n > 0 && path.n <= REQUEST_PATH_MAX, ERR_SYNTAX, "a path has 1 to %d bytes",
           REQUEST_PATH_MAX);
    ENSURE(str_is_utf8(path), ERR_SYNTAX, "path is not UTF-8");
    for (size_t i = 0; i < path.n; i++) {
        unsigned char c = (unsigned char)path.p[i];
        ENSURE(c >= 0x20 && c != 0x7f, ERR_SYNTAX, "path cannot contain non-printable characters");
    }
    for (struct str rest = path; rest.p != NULL;) {
        struct str part = str_split(&rest, '/');
        ENSURE(!str_is(part, ".") && !str_is(part, ".."), ERR_SYNTAX,
               "path cannot contain relative segments");
    }
    return OK;
}

static struct err read_op(const struct http_req *req, enum acl_op *op)
{
    struct str m = req->method, list;
    *op = ACL_READ;
    if (str_is(m, "GET") || str_is(m, "HEAD")) {
        if (http_query_get(req, "list", &list)) {
            bool yes = false;
            struct arena a;
            arena_init(&a, 64 * 1024);
            struct json *o = json_new_object(&a);
            json_set(&a, o, S("list"), json_new_string(&a, list));
            struct err e = field_bool(o, "list", &yes);
            arena_release(&a);
            ENSURE(!failed(e), ERR_SYNTAX, "list is not a boolean");
            *op = yes ? ACL_LIST : ACL_READ;
        }
        return OK;
    }
    if (str_is(m, "LIST")) {
        *op = ACL_LIST;
    } else if (str_is(m, "POST") || str_is(m, "PUT")) {
        *op = ACL_UPDATE;
    } else if (str_is(m, "DELETE")) {
        *op = ACL_DELETE;
    } else if (str_is(m, "PATCH")) {
        *op = ACL_PATCH;
    } else {
        FAIL(ERR_UNSUPPORTED, "unsupported method");
    }
    return OK;
}

static struct err read_path(struct call *c, struct str path)
{
    struct request *r = &c->r;
    TRY(percent_decode(r->arena, path, false, &r->path));
    TRY(check_path(r->path));
    bool slash = str_ends(r->path, S("/"));
    if (r->op == ACL_LIST && !slash) {
        r->path = arena_printf(r->arena, "%.*s/", STR_FMT(r->path));
    } else if (slash && (r->op == ACL_UPDATE || r->op == ACL_PATCH)) {
        FAIL(ERR_SYNTAX, "cannot write to a path ending in '/'");
    }
    return OK;
}

static struct err read_data(struct call *c)
{
    const struct http_req *req = c->http;
    struct request *r = &c->r;
    if (r->op == ACL_PATCH) {
        struct str type = http_header_get(req, "content-type");
        size_t semi = str_find_char(type, ';');
        ENSURE(str_eq_nocase(str_trim(str_sub(type, 0, semi)), S("application/merge-patch+json")),
               ERR_LIMIT,
               "PATCH requires Content-Type of application/merge-patch+json, provided %.*s",
               STR_FMT(type));
    }
    if (r->op == ACL_UPDATE || r->op == ACL_PATCH || req->body.n > 0) {
        return api_body(r->arena, req, &r->data);
    }
    return query_data(r->arena, req, &r->data);
}

/* ---- headers ---- */

static struct err read_token(struct call *c)
{
    const struct http_req *req = c->http;
    struct str token = http_header_get(req, "x-vault-token"),
               bearer = http_header_get(req, "authorization");
    if (token.n == 0 && str_starts_nocase(bearer, S("Bearer "))) {
        token = str_trim(str_sub(bearer, 7, bearer.n));
    }
    ENSURE(token.n <= API_TOKEN_MAX, ERR_SYNTAX, "a token has at most %d bytes", API_TOKEN_MAX);
    c->r.client_token = arena_str(c->r.arena, token);
    return OK;
}

static struct err read_wrap(struct call *c)
{
    struct str ttl = str_trim(http_header_get(c->http, "x-vault-wrap-ttl"));
    int64_t s = 0;
    if (ttl.n == 0) {
        return OK;
    }
    ENSURE(!failed(seconds_parse(ttl, &s)) && s >= 0 && s <= API_WRAP_MAX_S, ERR_SYNTAX,
           "error parsing X-Vault-Wrap-TTL header: give seconds or a duration, at most %d seconds",
           API_WRAP_MAX_S);
    ENSURE(!str_is(http_header_get(c->http, "x-vault-wrap-format"), "jwt"), ERR_SYNTAX,
           "wrapping tokens in JWT form are not supported");
    c->r.wrap = s > 0;
    c->r.wrap_ttl_s = s;
    return OK;
}

static struct err read_headers(struct call *c)
{
    struct str ns = http_header_get(c->http, "x-vault-namespace");
    while (ns.n > 0 && ns.p[ns.n - 1] == '/') {
        ns.n--;
    }
    ENSURE(ns.n == 0 || str_is(ns, "root"), ERR_SYNTAX, "namespaces are not supported");
    TRY(read_token(c));
    return read_wrap(c);
}

static void read_peer(struct call *c)
{
    struct request *r = &c->r;
    struct caller who;
    r->source = arena_str(r->arena, c->http->peer->addr);
    r->trace = c->http->trace;
    if (!failed(daemon_caller(c->s->d, c->http, &who))) {
        r->peer_spiffe_id = arena_str(r->arena, who.spiffe_id);
    }
}

/* ---- the way through ---- */

static void call_free(struct call *c)
{
    buf_release(&c->r.body);
    arena_release(&c->arena);
    free(c);
}

static void done(struct request *r)
{
    struct call *c = r->ctx;
    if (c->http != NULL) {
        http_on_abort(c->http, NULL, NULL);
        api_reply(c->http, r->status, r->status == 204 ? STR_EMPTY : buf_str(&r->body));
    }
    call_free(c);
}

static void gone(void *ctx)
{
    ((struct call *)ctx)->http = NULL;
}

static struct err prepare(struct call *c, struct str path)
{
    TRY(read_op(c->http, &c->r.op));
    TRY(read_path(c, path));
    TRY(read_data(c));
    TRY(read_headers(c));
    read_peer(c);
    return OK;
}

static void vault(struct http_req *req, void *ctx)
{
    struct secretsd *s = ctx;
    struct str path = str_sub(req->path, 4, req->path.n); /* behind /v1/ */
    if (api_sys(s, req, path)) {
        return;
    }
    struct call *c = calloc(1, sizeof *c);
    BUG_ON(c == NULL);
    c->s = s;
    c->http = req;
    arena_init(&c->arena, API_ARENA_MAX);
    c->r = (struct request){.core = s->core, .arena = &c->arena, .done = done, .ctx = c};
    struct err e = prepare(c, path);
    if (failed(e)) {
        int status = e.code == ERR_UNSUPPORTED ? 405 : e.code == ERR_LIMIT ? 415 : 400;
        api_error(req, status, str_of(err_detail()));
        call_free(c);
        return;
    }
    http_on_abort(req, gone, c);
    request_start(&c->r);
}

void api_mount(struct secretsd *s)
{
    router_add(&s->router, "*", "/v1/{path...}", vault, s);
    daemon_add_common_routes(s->d, &s->router);
}
