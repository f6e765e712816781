#include "service.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/json/json.h"
#include "lib/loop/loop.h"
#include "lib/tls/tls.h"

#include <stdlib.h>

struct service {
    const struct service_settings *settings;
    struct loop *loop;
    struct http_client *client;
    struct tls_client *tls;
    struct service_request *requests; /* all of them */
    /* oauth2 */
    struct buf token;
    int64_t token_until_ns;
    bool token_asked;
    struct http_call_state *token_call;
};

struct service_request {
    struct service *service;
    struct service_request *next, **link;
    struct arena arena;
    struct service_call call; /* copied */
    struct http_call_state *state;
    struct timer *head;
    struct buf body;
    bool waits_for_token;
    const char *error;
};

struct str service_name(const struct service *s)
{
    return s->settings->name;
}

struct str service_header(const struct service_result *res, const char *lower_name)
{
    for (size_t i = 0; i < res->n_headers; i++) {
        if (str_is(res->headers[i].name, lower_name)) {
            return res->headers[i].value;
        }
    }
    return STR_EMPTY;
}

/* ---- requests ---- */

static void unlink_request(struct service_request *r)
{
    *r->link = r->next;
    if (r->next != NULL) {
        r->next->link = r->link;
    }
    timer_stop(r->head);
    r->head = NULL;
}

static void request_free(struct service_request *r)
{
    buf_release(&r->body);
    arena_release(&r->arena);
    free(r);
}

void service_cancel(struct service_request *r)
{
    if (r != NULL) {
        http_client_cancel(r->state);
        unlink_request(r);
        request_free(r);
    }
}

static void finish(struct service_request *r, const char *error, const struct service_result *res)
{
    void (*done)(void *, const char *, const struct service_result *) = r->call.done;
    void *ctx = r->call.ctx;
    r->state = NULL;
    unlink_request(r); /* `done` may free the service, and must not meet this one there */
    done(ctx, error, res);
    request_free(r);
}

static void head_too_late(void *ctx)
{
    struct service_request *r = ctx;
    r->head = NULL;
    http_client_cancel(r->state);
    finish(r, "request failed: timeout awaiting response headers", NULL);
}

static void got_piece(void *ctx, int status, struct str piece)
{
    struct service_request *r = ctx;
    timer_stop(r->head);
    r->head = NULL;
    buf_puts(&r->body, piece);
}

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct service_request *r = ctx;
    if (failed(e)) {
        finish(r, arena_printf(&r->arena, "request failed: %s", err_detail()).p, NULL);
        return;
    }
    if (!buf_ok(&r->body)) {
        finish(r, "request failed: the reply is too large", NULL);
        return;
    }
    bool own = r->body.n > 0;
    struct service_result out = {res->status, res->headers, res->n_headers,
                                 own ? buf_str(&r->body) : res->body, own ? &r->body : NULL};
    finish(r, NULL, &out);
}

struct headers {
    struct http_header v[SERVICE_HEADERS_MAX];
    size_t n;
};

static void add_header(struct headers *h, struct str name, struct str value)
{
    if (h->n < SERVICE_HEADERS_MAX) {
        h->v[h->n++] = (struct http_header){name, value};
    }
}

static struct str lower(struct arena *a, struct str s)
{
    char *c = arena_cstr(a, s);
    for (size_t i = 0; i < s.n; i++) {
        c[i] = (char)(c[i] >= 'A' && c[i] <= 'Z' ? c[i] + 32 : c[i]);
    }
    return str_n(c, s.n);
}

/* The token is in a file: it is read again for each request, since something else renews it. */
static struct err bearer(struct service_request *r, struct headers *h)
{
    const struct service_settings *s = r->service->settings;
    struct str token = s->token;
    if (s->token_path.n > 0) {
        TRY(bundle_read_file(&r->arena, s->token_path, &token));
        token = str_trim(token);
    }
    add_header(h, S("authorization"),
               arena_printf(&r->arena, "%.*s %.*s", STR_FMT(s->scheme), STR_FMT(token)));
    return OK;
}

static void fill_headers(struct service_request *r, struct headers *h)
{
    const struct service_settings *s = r->service->settings;
    add_header(h, S("user-agent"), S("Open Policy Agent/1.22.2 (sextant-authz)"));
    for (uint32_t i = 0; !val_undef(s->headers) && i < val_len(s->headers); i++) {
        struct val v = val_nth(s->headers, i);
        if (val_is(v, V_STRING)) {
            add_header(h, lower(&r->arena, val_text(val_nth_key(&r->arena, s->headers, i))),
                       val_text(v));
        }
    }
    for (size_t i = 0; i < r->call.n_headers; i++) {
        add_header(h, r->call.headers[i].name, r->call.headers[i].value);
    }
}

static struct str trimmed(struct str path)
{
    while (path.n > 0 && path.p[0] == '/') {
        path = str_sub(path, 1, path.n);
    }
    while (path.n > 0 && path.p[path.n - 1] == '/') {
        path.n--;
    }
    return path;
}

static void failed_later(void *ctx)
{
    struct service_request *r = ctx;
    r->head = NULL;
    finish(r, r->error, NULL);
}

static void fail(struct service_request *r, const char *why)
{
    timer_stop(r->head);
    r->error = arena_printf(&r->arena, "request failed: %s", why).p;
    r->head = timer_start(r->service->loop, 0, 0, failed_later, r);
}

static void start(struct service_request *r)
{
    struct service *s = r->service;
    struct headers h = {.n = 0};
    fill_headers(r, &h);
    struct err e = s->settings->credentials == CRED_BEARER ? bearer(r, &h) : OK;
    if (failed(e)) {
        fail(r, err_detail());
        return;
    }
    if (s->settings->credentials == CRED_OAUTH2) {
        add_header(&h, S("authorization"),
                   arena_printf(&r->arena, "Bearer %.*s", STR_FMT(buf_str(&s->token))));
    }
    int64_t head_ms = r->call.head_ms == 0 ? s->settings->timeout_s * 1000 : r->call.head_ms;
    struct str url = arena_printf(&r->arena, "%.*s/%.*s", STR_FMT(s->settings->url),
                                  STR_FMT(trimmed(r->call.path)));
    struct http_call call = {
        .method = str_of(r->call.method),
        .url = url,
        .headers = h.v,
        .n_headers = h.n,
        .body = r->call.body,
        .content_type = r->call.content_type,
        .timeout_ms = (int)MIN((head_ms > 0 ? head_ms : 86400 * 1000) + SERVICE_HEAD_OF_BODY_MS,
                               INT64_C(2000000000)),
        .body_max = r->call.body_max,
        .done = answered,
        .on_piece = got_piece,
        .ctx = r,
    };
    r->state = http_client_call(s->client, &call);
    if (head_ms > 0) {
        r->head = timer_start(s->loop, head_ms, 0, head_too_late, r);
    }
}

/* ---- OAuth 2 ---- */

static void token_ready(struct service *s, const char *error)
{
    struct service_request *next;
    s->token_asked = false;
    for (struct service_request *r = s->requests; r != NULL; r = next) {
        next = r->next;
        if (r->waits_for_token) {
            r->waits_for_token = false;
            if (error != NULL) {
                fail(r, error);
            } else {
                start(r);
            }
        }
    }
}

static struct err take_token(struct service *s, const struct http_result *res)
{
    struct arena a;
    struct val v;
    ENSURE(res->status == 200, ERR_DENIED, "error in response from OAuth2 token endpoint: %d %s",
           res->status, http_reason(res->status));
    arena_init(&a, 1 << 20);
    struct err e = val_from_json(&a, res->body, &v);
    struct val token =
        !failed(e) && val_is(v, V_OBJECT) ? val_get_str(v, "access_token") : VAL_UNDEF;
    struct val type = !val_undef(token) ? val_get_str(v, "token_type") : VAL_UNDEF;
    struct val life = !val_undef(token) ? val_get_str(v, "expires_in") : VAL_UNDEF;
    int64_t seconds = 0;
    bool bearer_type = val_is(type, V_STRING) && str_eq_nocase(val_text(type), S("bearer"));
    if (!failed(e) && (!val_is(token, V_STRING) || !bearer_type)) {
        e = err_make(ERR_INVALID, "unknown token type returned from token endpoint");
    }
    if (!failed(e)) {
        (void)val_to_i64(life, &seconds);
        buf_clear(&s->token);
        buf_puts(&s->token, val_text(token));
        s->token_until_ns = clock_mono_ns() + MIN(seconds, INT64_C(86400)) * 1000000000;
    }
    arena_release(&a);
    return e;
}

static void token_answered(void *ctx, struct err e, const struct http_result *res)
{
    struct service *s = ctx;
    s->token_call = NULL;
    if (!failed(e)) {
        e = take_token(s, res);
    }
    char why[512];
    snprintf(why, sizeof why, "%s", failed(e) ? err_detail() : "");
    token_ready(s, failed(e) ? why : NULL);
}

static void form(struct buf *b, const char *name, struct str value)
{
    buf_printf(b, "%s%s=", b->n > 0 ? "&" : "", name);
    percent_put(b, value);
}

static void form_object(struct arena *a, struct buf *b, struct val v)
{
    for (uint32_t i = 0; !val_undef(v) && i < val_len(v); i++) {
        if (val_is(val_nth(v, i), V_STRING)) {
            form(b, arena_cstr(a, val_text(val_nth_key(a, v, i))), val_text(val_nth(v, i)));
        }
    }
}

static void form_scopes(struct buf *b, struct val scopes)
{
    struct buf list;
    buf_init(&list, 1 << 16);
    for (uint32_t i = 0; !val_undef(scopes) && val_is(scopes, V_ARRAY) && i < val_len(scopes);
         i++) {
        if (val_is(val_nth(scopes, i), V_STRING)) {
            buf_printf(&list, "%s%.*s", i > 0 ? " " : "", STR_FMT(val_text(val_nth(scopes, i))));
        }
    }
    if (list.n > 0) {
        form(b, "scope", buf_str(&list));
    }
    buf_release(&list);
}

static void ask_token(struct service *s)
{
    const struct service_settings *c = s->settings;
    struct arena a;
    struct buf body;
    arena_init(&a, 1 << 20);
    buf_init(&body, 1 << 16);
    form(&body, "grant_type", S("client_credentials"));
    form_scopes(&body, c->scopes);
    form_object(&a, &body, c->token_params);
    struct str pair =
        arena_printf(&a, "%.*s:%.*s", STR_FMT(c->client_id), STR_FMT(c->client_secret));
    struct str basic = arena_printf(&a, "Basic %.*s", STR_FMT(base64_encode(&a, pair, BASE64_STD)));
    struct http_header h[SERVICE_HEADERS_MAX] = {{S("authorization"), basic}};
    size_t n = 1;
    for (uint32_t i = 0;
         !val_undef(c->token_headers) && i < val_len(c->token_headers) && n < SERVICE_HEADERS_MAX;
         i++) {
        if (val_is(val_nth(c->token_headers, i), V_STRING)) {
            h[n++] = (struct http_header){lower(&a, val_text(val_nth_key(&a, c->token_headers, i))),
                                          val_text(val_nth(c->token_headers, i))};
        }
    }
    struct http_call call = {
        .method = S("POST"),
        .url = c->token_url,
        .headers = h,
        .n_headers = n,
        .body = buf_str(&body),
        .content_type = S("application/x-www-form-urlencoded"),
        .timeout_ms = (int)MIN(c->timeout_s * 1000, INT64_C(600000)),
        .body_max = 1 << 20,
        .done = token_answered,
        .ctx = s,
    };
    s->token_asked = true;
    s->token_call = http_client_call(s->client, &call);
    buf_release(&body);
    arena_release(&a);
}

/* ---- public ---- */

static void copy_call(struct service_request *r, const struct service_call *c)
{
    r->call = *c;
    struct http_header *h = arena_array(&r->arena, struct http_header, c->n_headers + 1);
    for (size_t i = 0; i < c->n_headers; i++) {
        h[i].name = arena_str(&r->arena, c->headers[i].name);
        h[i].value = arena_str(&r->arena, c->headers[i].value);
    }
    r->call.headers = h;
    r->call.path = arena_str(&r->arena, c->path);
    r->call.body = arena_str(&r->arena, c->body);
    r->call.content_type = arena_str(&r->arena, c->content_type);
}

struct service_request *service_send(struct service *s, const struct service_call *c)
{
    struct service_request *r = calloc(1, sizeof *r);
    BUG_ON(r == NULL);
    arena_init(&r->arena, c->body.n + (16 << 20));
    buf_init(&r->body, c->body_max > 0 ? c->body_max : 16 << 20);
    copy_call(r, c);
    r->service = s;
    r->next = s->requests;
    r->link = &s->requests;
    if (r->next != NULL) {
        r->next->link = &r->next;
    }
    s->requests = r;
    bool need = s->settings->credentials == CRED_OAUTH2 &&
                (s->token.n == 0 || clock_mono_ns() >= s->token_until_ns);
    if (!need) {
        start(r);
        return r;
    }
    r->waits_for_token = true;
    if (!s->token_asked) {
        ask_token(s);
    }
    return r;
}

/* Whom we believe: the file of the settings, and the machine's own when it is asked for. */
static struct err make_trust(const struct service_settings *s, struct tls_trust **out)
{
    struct x509_anchors *anchors;
    struct arena a;
    if (s->ca_cert.n == 0) {
        return tls_trust_system(out);
    }
    TRY(x509_anchors_new(&anchors));
    arena_init(&a, 1 << 16);
    struct err e = x509_anchors_add_file(anchors, arena_cstr(&a, s->ca_cert));
    if (!failed(e) && s->system_ca) {
        e = x509_anchors_add_file(anchors, "/etc/ssl/certs/ca-certificates.crt");
    }
    if (!failed(e)) {
        e = tls_trust_names(anchors, out);
    }
    x509_anchors_unref(anchors);
    arena_release(&a);
    return e;
}

static struct err make_tls(const struct service_settings *s, struct tls_client **out)
{
    struct tls_client_opts o = {0};
    struct arena a;
    TRY(make_trust(s, &o.trust));
    arena_init(&a, 1 << 16);
    struct err e = OK;
    if (s->credentials == CRED_CLIENT_TLS) {
        e = tls_identity_from_files(arena_cstr(&a, s->cert), arena_cstr(&a, s->private_key),
                                    &o.identity);
    }
    if (!failed(e)) {
        e = tls_client_new(&o, out);
    }
    tls_trust_unref(o.trust);
    tls_identity_unref(o.identity);
    arena_release(&a);
    return e;
}

struct err service_new(struct loop *l, const struct service_settings *settings,
                       struct service **out)
{
    struct tls_client *tls = NULL;
    bool https = str_starts(settings->url, S("https://")) || settings->token_url.n > 0;
    ENSURE(!https || !settings->insecure_tls, ERR_UNSUPPORTED,
           "service \"%.*s\": allow_insecure_tls is not supported; name its CA in tls.ca_cert",
           STR_FMT(settings->name));
    ENSURE(settings->credentials != CRED_OAUTH2 || settings->signing_key.n == 0, ERR_UNSUPPORTED,
           "service \"%.*s\": oauth2 with a signing_key is not supported; use client_secret",
           STR_FMT(settings->name));
    if (https) {
        TRY(make_tls(settings, &tls));
    }
    struct service *s = calloc(1, sizeof *s);
    BUG_ON(s == NULL);
    s->settings = settings;
    s->loop = l;
    buf_init_secret(&s->token, 1 << 16);
    struct http_client_opts o = {.tls = tls, .conns_per_host = 32};
    struct err e = http_client_new(l, &o, &s->client);
    s->tls = tls;
    if (failed(e)) {
        tls_client_unref(tls);
        free(s);
        return e;
    }
    *out = s;
    return OK;
}

void service_free(struct service *s)
{
    if (s == NULL) {
        return;
    }
    http_client_cancel(s->token_call);
    while (s->requests != NULL) {
        service_cancel(s->requests);
    }
    http_client_free(s->client);
    tls_client_unref(s->tls);
    buf_release(&s->token);
    free(s);
}
