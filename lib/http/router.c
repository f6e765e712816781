#include "router.h"

#include "lib/base/codec.h"

#include <stdlib.h>

enum segment_kind { LITERAL, PARAM, REST };

struct route {
    struct str method, pattern;
    http_handler *fn;
    void *ctx;
};

void router_init(struct router *r)
{
    *r = (struct router){.routes = NULL};
    arena_init(&r->memory, 1 << 20);
}

void router_release(struct router *r)
{
    free(r->routes);
    arena_release(&r->memory);
    router_init(r);
}

void router_fallback(struct router *r, void (*fn)(struct http_req *, void *, int), void *ctx)
{
    r->fallback = fn;
    r->fallback_ctx = ctx;
}

/* The next segment of a path or pattern: "/a/b" gives "a", then "b". False at the end. */
static bool next_segment(struct str *rest, struct str *segment)
{
    if (rest->n == 0 || rest->p[0] != '/') {
        return false;
    }
    struct str after = str_sub(*rest, 1, rest->n);
    size_t slash = str_find_char(after, '/');
    *segment = str_sub(after, 0, slash == STR_NPOS ? after.n : slash);
    *rest = str_sub(after, segment->n, after.n);
    return true;
}

static enum segment_kind kind_of(struct str segment)
{
    if (segment.n < 3 || segment.p[0] != '{') {
        return LITERAL;
    }
    return str_ends(segment, S("...}")) ? REST : PARAM;
}

/*
 * Which of two patterns is more particular: at the first segment where their kinds differ, literal
 * before parameter before rest. <0: `a` comes first.
 */
static int compare_patterns(struct str a, struct str b)
{
    struct str sa, sb;
    for (;;) {
        bool more_a = next_segment(&a, &sa), more_b = next_segment(&b, &sb);
        if (!more_a || !more_b) { /* `/a` itself before what is at or below it, `/a/{rest...}` */
            bool rest = (more_a && kind_of(sa) == REST) || (more_b && kind_of(sb) == REST);
            return ((int)more_b - (int)more_a) * (rest ? -1 : 1);
        }
        int d = (int)kind_of(sa) - (int)kind_of(sb);
        if (d != 0) {
            return d;
        }
    }
}

static void check_pattern(struct str pattern)
{
    struct str rest = pattern, segment;
    size_t params = 0;
    BUG_ON(pattern.n == 0 || pattern.p[0] != '/');
    while (next_segment(&rest, &segment)) {
        enum segment_kind k = kind_of(segment);
        BUG_ON(k != LITERAL && segment.p[segment.n - 1] != '}');
        BUG_ON(k == REST && rest.n > 0);
        params += k != LITERAL;
    }
    BUG_ON(params > ROUTER_PARAMS_MAX);
}

void router_add(struct router *r, const char *method, const char *pattern, http_handler *fn,
                void *ctx)
{
    struct route route = {str_of(method), str_of(pattern), fn, ctx};
    check_pattern(route.pattern);
    if (r->n == r->cap) {
        size_t cap = r->cap == 0 ? 16 : r->cap * 2;
        struct route *grown = realloc(r->routes, cap * sizeof(*grown));
        if (grown == NULL) {
            bug_abort(__FILE__, __LINE__, "out of memory");
        }
        r->routes = grown;
        r->cap = cap;
    }
    size_t at = r->n;
    while (at > 0 && compare_patterns(route.pattern, r->routes[at - 1].pattern) < 0) {
        r->routes[at] = r->routes[at - 1];
        at--;
    }
    r->routes[at] = route;
    r->n++;
}

/* ---- matching ---- */

struct match {
    struct str names[ROUTER_PARAMS_MAX], values[ROUTER_PARAMS_MAX]; /* raw */
    size_t n;
};

static bool match_pattern(struct str pattern, struct str path, struct match *m)
{
    struct str want, got;
    m->n = 0;
    while (next_segment(&pattern, &want)) {
        enum segment_kind kind = kind_of(want);
        if (kind == REST) {
            if (path.n > 0 && path.p[0] != '/') {
                return false;
            }
            m->names[m->n] = str_sub(want, 1, want.n - 4);
            m->values[m->n++] = str_sub(path, path.n > 0 ? 1 : 0, path.n);
            return true;
        }
        if (!next_segment(&path, &got)) {
            return false;
        }
        if (kind == LITERAL ? !str_eq(want, got) : got.n == 0) {
            return false;
        }
        if (kind == PARAM) {
            m->names[m->n] = str_sub(want, 1, want.n - 1);
            m->values[m->n++] = got;
        }
    }
    return path.n == 0;
}

static bool method_fits(const struct route *route, struct str method)
{
    return str_is(route->method, "*") || str_eq(route->method, method);
}

struct found {
    const struct route *route;
    bool other_method;
    struct match match;
};

static void look_up(const struct router *r, struct str method, struct str path, struct found *f)
{
    f->route = NULL;
    f->other_method = false;
    for (size_t i = 0; i < r->n; i++) {
        const struct route *route = &r->routes[i];
        bool fits = method_fits(route, method);
        if ((!fits && f->other_method) || !match_pattern(route->pattern, path, &f->match)) {
            continue;
        }
        if (fits) {
            f->route = route;
            return;
        }
        f->other_method = true;
    }
}

/* ---- answers of the router itself ---- */

static void reply_405(const struct router *r, struct http_req *req)
{
    struct buf allow;
    struct match m;
    buf_init(&allow, 512);
    for (size_t i = 0; i < r->n; i++) {
        if (match_pattern(r->routes[i].pattern, req->path, &m)) {
            buf_puts(&allow, allow.n > 0 ? S(", ") : S(""));
            buf_puts(&allow, r->routes[i].method);
        }
    }
    struct http_header h = {S("allow"), arena_str(req->arena, buf_str(&allow))};
    buf_release(&allow);
    struct http_reply reply = {.status = 405,
                               .content_type = S("application/json"),
                               .body = S("{\"error\":\"method not allowed\"}\n"),
                               .headers = &h,
                               .n_headers = 1};
    http_reply(req, &reply);
}

static void reply_unrouted(const struct router *r, struct http_req *req, bool other_method)
{
    if (r->fallback != NULL) {
        r->fallback(req, r->fallback_ctx, other_method ? 405 : 404);
    } else if (other_method) {
        reply_405(r, req);
    } else {
        http_reply_json(req, 404, S("{\"error\":\"not found\"}\n"));
    }
}

static bool decode_params(struct http_req *req, const struct match *m)
{
    req->params = m->n > 0 ? arena_array(req->arena, struct http_param, m->n) : NULL;
    req->n_params = m->n;
    for (size_t i = 0; i < m->n; i++) {
        req->params[i].name = m->names[i];
        if (failed(percent_decode(req->arena, m->values[i], false, &req->params[i].value)) ||
            memchr(req->params[i].value.p, '\0', req->params[i].value.n) != NULL) {
            return false;
        }
    }
    return true;
}

bool router_has(const struct router *r, struct str method, struct str path)
{
    struct found f;
    look_up(r, method, path, &f);
    return f.route != NULL;
}

void router_dispatch(struct http_req *req, void *router)
{
    const struct router *r = router;
    struct found f;
    look_up(r, req->method, req->path, &f);
    if (f.route == NULL && str_is(req->method, "HEAD")) {
        look_up(r, S("GET"), req->path, &f);
    }
    if (f.route == NULL) {
        reply_unrouted(r, req, f.other_method);
        return;
    }
    if (!decode_params(req, &f.match)) {
        http_reply_json(req, 400, S("{\"error\":\"wrong percent-encoding in the path\"}\n"));
        return;
    }
    req->route_ctx = f.route->ctx;
    f.route->fn(req, f.route->ctx);
}

struct str http_param(const struct http_req *req, const char *name)
{
    for (size_t i = 0; i < req->n_params; i++) {
        if (str_is(req->params[i].name, name)) {
            return req->params[i].value;
        }
    }
    bug_abort(__FILE__, __LINE__, name);
}
