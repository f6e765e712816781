/* HTTP requests of policies: attempts, redirections, and what failed in the words of Go's client. */
#include "errand.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/http/client.h"
#include "lib/tls/tls.h"

#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    ARENA_MAX = 256 << 20,
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MAX_MS = 60000,
    CONNECT_MS = 60000,
    ADDRESSES_MAX = 100,
};

struct errands {
    struct loop *loop;
    struct errand_limits limits;
    struct http_client *plain, *secure; /* shared; NULL until needed */
    struct tls_client *tls;             /* of `secure` */
    struct errand *first;
};

/* Text that a pool thread fills in; outlives a cancelled errand. */
struct lookup {
    struct errand *e; /* NULL: cancelled */
    char host[256];
    char texts[ADDRESSES_MAX][64];
    size_t n;
};

struct errand {
    struct errands *s;
    struct errand *prev, *next;
    struct arena a;
    struct outside_request r; /* of the next attempt: redirections change it */
    struct http_client *own;  /* with TLS options */
    struct tls_client *own_tls;
    struct http_call_state *call;
    struct timer *timer;
    struct lookup *lookup;
    unsigned tries, hops;
    int64_t end_ms; /* of it all */
    void (*sent)(void *ctx, const struct outside_answer *w);
    void (*resolved)(void *ctx, const struct outside_addresses *w);
    void *ctx;
};

/* ---- life ---- */

struct err errands_new(struct loop *l, const struct errand_limits *limits, struct errands **out)
{
    struct errands *s = calloc(1, sizeof *s);
    BUG_ON(s == NULL);
    s->loop = l;
    s->limits = *limits;
    s->limits.longest_ns =
        limits->longest_ns > 0 ? limits->longest_ns : ERRAND_LONGEST_S * NS_PER_S;
    s->limits.body_max = limits->body_max > 0 ? limits->body_max : (size_t)ERRAND_BODY_MAX;
    *out = s;
    return OK;
}

void errands_free(struct errands *s)
{
    if (s == NULL) {
        return;
    }
    while (s->first != NULL) {
        errand_cancel(s->first);
    }
    http_client_free(s->plain);
    http_client_free(s->secure);
    tls_client_unref(s->tls);
    free(s);
}

static struct errand *errand_new(struct errands *s, void *ctx)
{
    struct errand *e = calloc(1, sizeof *e);
    BUG_ON(e == NULL);
    e->s = s;
    e->ctx = ctx;
    e->end_ms = loop_now_ms(s->loop) + s->limits.longest_ns / NS_PER_MS;
    arena_init(&e->a, ARENA_MAX);
    e->next = s->first;
    if (s->first != NULL) {
        s->first->prev = e;
    }
    s->first = e;
    return e;
}

static void errand_free(struct errand *e)
{
    struct errand **at = e->prev != NULL ? &e->prev->next : &e->s->first;
    *at = e->next;
    if (e->next != NULL) {
        e->next->prev = e->prev;
    }
    if (e->lookup != NULL) {
        e->lookup->e = NULL;
    }
    timer_stop(e->timer);
    http_client_free(e->own);
    tls_client_unref(e->own_tls);
    arena_release(&e->a);
    free(e);
}

void errand_cancel(struct errand *e)
{
    if (e != NULL) {
        http_client_cancel(e->call);
        errand_free(e);
    }
}

static void finish(struct errand *e, const struct outside_answer *w)
{
    void (*sent)(void *, const struct outside_answer *) = e->sent;
    sent(e->ctx, w);
    errand_free(e);
}

static void finish_failed(struct errand *e, bool timed_out, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void finish_failed(struct errand *e, bool timed_out, const char *fmt, ...)
{
    char text[ERR_DETAIL_MAX + 512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct outside_answer w = {.error = str_of(text), .timed_out = timed_out};
    finish(e, &w);
}

/* ---- clients ---- */

static struct err trust_of(const struct outside_tls *t, struct tls_trust **out)
{
    if (t->insecure) {
        return tls_trust_unchecked(out);
    }
    if (t->ca_pem.n == 0) {
        return tls_trust_system(out);
    }
    struct x509_anchors *anchors;
    TRY(x509_anchors_new(&anchors));
    struct err e = OK;
    if (t->system_certs) {
        ignore_err(x509_anchors_add_file(anchors, "/etc/ssl/certs/ca-certificates.crt"));
    }
    e = x509_anchors_add_pem(anchors, t->ca_pem);
    if (failed(e)) {
        e = err_make(ERR_INVALID, "could not append certificates");
    } else {
        e = tls_trust_names(anchors, out);
    }
    x509_anchors_unref(anchors);
    return e;
}

static struct err tls_of(const struct outside_tls *t, struct tls_client **out)
{
    struct tls_trust *trust = NULL;
    struct tls_identity *identity = NULL;
    struct err e = trust_of(t, &trust);
    if (!failed(e) && t->cert_pem.n > 0) {
        e = tls_identity_from_pem(t->cert_pem, t->key_pem, &identity);
    }
    if (!failed(e)) {
        static const char *const alpn[] = {"http/1.1", NULL};
        struct tls_client_opts o = {.trust = trust, .identity = identity, .alpn = alpn};
        e = tls_client_new(&o, out);
    }
    tls_identity_unref(identity);
    tls_trust_unref(trust);
    return e;
}

static struct err shared_client(struct errands *s, bool secure, struct http_client **out)
{
    struct http_client **slot = secure ? &s->secure : &s->plain;
    struct outside_tls usual = {.given = false};
    if (secure && s->tls == NULL) {
        TRY(tls_of(&usual, &s->tls));
    }
    if (*slot == NULL) {
        struct http_client_opts o = {.tls = secure ? s->tls : NULL,
                                     .connect_ms = CONNECT_MS,
                                     .body_max = s->limits.body_max};
        TRY(http_client_new(s->loop, &o, slot));
    }
    *out = *slot;
    return OK;
}

static struct err own_client(struct errand *e, struct http_client **out)
{
    const struct outside_tls *t = &e->r.tls;
    if (e->own == NULL) {
        ENSURE(!t->insecure || !e->s->limits.no_insecure, ERR_DENIED,
               "tls_insecure_skip_verify is not allowed here");
        TRY(tls_of(t, &e->own_tls));
        struct http_client_opts o = {.tls = e->own_tls,
                                     .connect_ms = CONNECT_MS,
                                     .body_max = e->s->limits.body_max,
                                     .server_name = t->server_name};
        TRY(http_client_new(e->s->loop, &o, &e->own));
    }
    *out = e->own;
    return OK;
}

/* ---- an attempt ---- */

static void attempt(struct errand *e);

static void again(void *ctx)
{
    struct errand *e = ctx;
    e->timer = NULL;
    attempt(e);
}

/* 100 ms, and 1.6 times as long each time, give or take a fifth. */
static int64_t backoff_ms(unsigned tries)
{
    int64_t ms = BACKOFF_FIRST_MS;
    uint8_t dice;
    for (unsigned i = 0; i < tries && ms < BACKOFF_MAX_MS; i++) {
        ms = ms * 8 / 5;
    }
    random_bytes(&dice, 1);
    ms = MIN(ms, (int64_t)BACKOFF_MAX_MS);
    return ms + ms * (dice - 128) / 640;
}

static bool retry(struct errand *e)
{
    int64_t ms = backoff_ms(e->tries);
    if (e->tries >= e->r.retries || loop_now_ms(e->s->loop) + ms >= e->end_ms) {
        return false;
    }
    e->tries++;
    e->timer = timer_start(e->s->loop, ms, 0, again, e);
    return true;
}

/* "dial tcp 127.0.0.1:80: connect: connection refused", and the like. */
static void tell_failure(struct errand *e, struct err err)
{
    struct str why = arena_str(&e->a, str_of(err_detail()));
    struct http_url u;
    bool known = !failed(http_url_parse(&e->a, e->r.url, &u));
    size_t colon = str_find(why, S(": "));
    struct str tail = colon != STR_NPOS ? str_sub(why, colon + 2, why.n) : why;
    if (err.code == ERR_TIMEOUT) {
        finish_failed(e, true,
                      "context deadline exceeded (Client.Timeout exceeded while awaiting headers)");
    } else if (known && str_starts(why, S("connect to "))) {
        bool unix_socket = str_starts(u.address, S("unix:"));
        struct str address = unix_socket ? str_sub(u.address, 5, u.address.n) : u.address;
        finish_failed(e, false, "dial %s %.*s: connect: %.*s", unix_socket ? "unix" : "tcp",
                      STR_FMT(address), STR_FMT(tail));
    } else if (known && str_starts(why, u.host) && err.code != ERR_CLOSED) {
        finish_failed(e, false, "dial tcp: lookup %.*s: no such host", STR_FMT(u.host));
    } else if (err.code == ERR_CLOSED) {
        finish_failed(e, false, "EOF");
    } else if (known && u.tls && str_find(why, S("local issuer")) != STR_NPOS) {
        finish_failed(e, false,
                      "tls: failed to verify certificate: x509: certificate signed by unknown "
                      "authority");
    } else if (known && u.tls && str_find(why, S("certificate")) != STR_NPOS) {
        size_t peer = str_find(why, S("peer refused: "));
        why = peer != STR_NPOS ? str_sub(why, peer + 14, why.n) : why;
        finish_failed(e, false, "tls: failed to verify certificate: x509: %.*s", STR_FMT(why));
    } else {
        finish_failed(e, false, "%.*s", STR_FMT(why));
    }
}

/* A reference to where an answer points, against the URL that was asked (RFC 3986 section 5). */
static struct str resolve_url(struct arena *a, struct str base, struct str ref)
{
    size_t scheme = str_find(base, S("://"));
    struct str rest = str_sub(base, scheme == STR_NPOS ? 0 : scheme + 3, base.n);
    size_t slash = str_find_char(rest, '/'), mark = str_find_char(rest, '?');
    size_t end = MIN(MIN(slash, mark), rest.n);
    struct str root = str_sub(base, 0, base.n - rest.n + end);
    struct str path = str_sub(rest, end, mark);
    if (str_find(ref, S("://")) != STR_NPOS && str_find(ref, S("://")) < str_find_char(ref, '/')) {
        return arena_str(a, ref);
    }
    if (str_starts(ref, S("//"))) {
        return arena_printf(a, "%.*s:%.*s", STR_FMT(str_sub(base, 0, scheme)), STR_FMT(ref));
    }
    if (str_starts(ref, S("/"))) {
        return arena_printf(a, "%.*s%.*s", STR_FMT(root), STR_FMT(ref));
    }
    if (str_starts(ref, S("?"))) {
        return arena_printf(a, "%.*s%.*s%.*s", STR_FMT(root), STR_FMT(path), STR_FMT(ref));
    }
    size_t last = str_rfind_char(path, '/');
    struct str folder = last == STR_NPOS ? S("/") : str_sub(path, 0, last + 1);
    return arena_printf(a, "%.*s%.*s%.*s", STR_FMT(root), STR_FMT(folder), STR_FMT(ref));
}

/* Headers that another host has no business to see. */
static void forget_secrets(struct errand *e)
{
    struct outside_header *kept = arena_array(&e->a, struct outside_header, e->r.n_headers + 1);
    size_t n = 0;
    for (size_t i = 0; i < e->r.n_headers; i++) {
        struct str name = e->r.headers[i].name;
        if (!str_is(name, "authorization") && !str_is(name, "cookie") && !str_is(name, "host") &&
            !str_is(name, "www-authenticate") && !str_is(name, "cookie2")) {
            kept[n++] = e->r.headers[i];
        }
    }
    e->r.headers = kept;
    e->r.n_headers = n;
}

/* user:password@ of a URL becomes the header that it stands for. */
static struct str take_user(struct errand *e, struct str url, struct http_header *auth)
{
    size_t scheme = str_find(url, S("://"));
    struct str rest = scheme == STR_NPOS ? STR_EMPTY : str_sub(url, scheme + 3, url.n), user, plain;
    size_t end = MIN(MIN(str_find_char(rest, '/'), str_find_char(rest, '?')), rest.n);
    size_t at = str_rfind_char(str_sub(rest, 0, end), '@');
    if (at == STR_NPOS) {
        return url;
    }
    user = str_sub(rest, 0, at);
    if (failed(percent_decode(&e->a, user, false, &plain))) {
        plain = user;
    }
    struct str colon = str_find_char(plain, ':') == STR_NPOS ? S(":") : S("");
    plain = arena_printf(&e->a, "%.*s%.*s", STR_FMT(plain), STR_FMT(colon));
    auth->name = S("authorization");
    auth->value =
        arena_printf(&e->a, "Basic %.*s", STR_FMT(base64_encode(&e->a, plain, BASE64_STD)));
    return arena_printf(&e->a, "%.*s%.*s", STR_FMT(str_sub(url, 0, scheme + 3)),
                        STR_FMT(str_sub(rest, at + 1, rest.n)));
}

static void set_referer(struct errand *e)
{
    struct outside_header *h = arena_array(&e->a, struct outside_header, e->r.n_headers + 1);
    size_t n = 0;
    for (size_t i = 0; i < e->r.n_headers; i++) {
        if (!str_is(e->r.headers[i].name, "referer")) {
            h[n++] = e->r.headers[i];
        }
    }
    struct http_header auth = {0};
    h[n++] = (struct outside_header){S("referer"), take_user(e, e->r.url, &auth)};
    e->r.headers = h;
    e->r.n_headers = n;
}

/* True: the answer was a redirection, and is followed or has failed. */
static bool redirected(struct errand *e, const struct http_result *res)
{
    bool same_method = res->status == 307 || res->status == 308;
    struct str where = http_result_header(res, "location");
    struct http_url before, after;
    bool follows =
        e->r.redirect && where.n > 0 && (same_method || (res->status >= 301 && res->status <= 303));
    if (!follows) {
        return false;
    }
    if (++e->hops > ERRAND_REDIRECTS_MAX) {
        finish_failed(e, false, "stopped after %d redirects", ERRAND_REDIRECTS_MAX);
        return true;
    }
    struct str url = resolve_url(&e->a, e->r.url, where);
    if (failed(http_url_parse(&e->a, e->r.url, &before)) ||
        failed(http_url_parse(&e->a, url, &after)) || !str_starts_nocase(url, S("http"))) {
        finish_failed(e, false, "failed to parse Location header \"%.*s\"",
                      STR_FMT(str_sub(where, 0, 500)));
        return true;
    }
    if (e->s->limits.hosts != NULL && !outside_allows(e->s->limits.hosts, after.host)) {
        finish_failed(e, false, "disallowed host: %.*s", STR_FMT(str_sub(after.host, 0, 300)));
        return true;
    }
    if (!str_eq_nocase(before.host, after.host)) {
        forget_secrets(e);
    }
    if (!before.tls || after.tls) {
        set_referer(e);
    }
    if (!same_method && !str_is(e->r.method, "HEAD")) {
        e->r.method = S("GET");
        e->r.body = STR_EMPTY;
        e->r.has_body = false;
    }
    e->r.url = url;
    attempt(e);
    return true;
}

static void answered(void *ctx, struct err err, const struct http_result *res)
{
    struct errand *e = ctx;
    e->call = NULL;
    if (failed(err)) {
        if (err.code == ERR_INVALID || err.code == ERR_SYNTAX || err.code == ERR_LIMIT ||
            !retry(e)) {
            tell_failure(e, err);
        }
        return;
    }
    if (redirected(e, res)) {
        return;
    }
    struct outside_header *h = arena_array(&e->a, struct outside_header, res->n_headers + 1);
    for (size_t i = 0; i < res->n_headers; i++) {
        h[i] = (struct outside_header){res->headers[i].name, res->headers[i].value};
    }
    struct outside_answer w = {.status = res->status,
                               .reason = res->reason,
                               .headers = h,
                               .n_headers = res->n_headers,
                               .body = res->body};
    finish(e, &w);
}

static bool has_header(const struct outside_request *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++) {
        if (str_is(r->headers[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool fine_url(struct errand *e)
{
    struct str url = e->r.url;
    size_t colon = str_find_char(url, ':');
    if (str_starts_nocase(url, S("http://")) || str_starts_nocase(url, S("https://")) ||
        (str_starts(url, S("unix:")) && !str_starts(url, S("unix://")))) {
        return true;
    }
    struct str scheme = colon == STR_NPOS ? STR_EMPTY : str_sub(url, 0, MIN(colon, (size_t)50));
    finish_failed(e, false, "unsupported protocol scheme \"%.*s\"", STR_FMT(scheme));
    return false;
}

static void attempt(struct errand *e)
{
    struct http_client *client;
    struct http_header *h = arena_array(&e->a, struct http_header, e->r.n_headers + 2);
    size_t n = 0;
    int64_t left = e->end_ms - loop_now_ms(e->s->loop);
    if (!fine_url(e)) {
        return;
    }
    struct str url = take_user(e, e->r.url, &h[0]);
    n = h[0].name.n > 0 && !has_header(&e->r, "authorization");
    for (size_t i = 0; i < e->r.n_headers; i++) {
        h[n++] = (struct http_header){e->r.headers[i].name, e->r.headers[i].value};
    }
    if (!has_header(&e->r, "user-agent")) {
        h[n++] = (struct http_header){S("user-agent"), S("Sextant-authz")};
    }
    bool secure = str_starts_nocase(url, S("https://"));
    struct err err =
        e->r.tls.given && secure ? own_client(e, &client) : shared_client(e->s, secure, &client);
    if (failed(err)) {
        finish_failed(e, false, "%s", arena_str(&e->a, str_of(err_detail())).p);
        return;
    }
    int64_t ms = e->r.timeout_ns > 0 ? MAX(e->r.timeout_ns / NS_PER_MS, INT64_C(1)) : left;
    struct http_call call = {.method = e->r.method,
                             .url = url,
                             .headers = h,
                             .n_headers = n,
                             .body = e->r.body,
                             .timeout_ms = (int)MAX(MIN(ms, left), INT64_C(1)),
                             .done = answered,
                             .ctx = e};
    e->call = http_client_call(client, &call);
}

static void copy_request(struct errand *e, const struct outside_request *r)
{
    struct arena *a = &e->a;
    struct outside_header *h = arena_array(a, struct outside_header, r->n_headers + 1);
    for (size_t i = 0; i < r->n_headers; i++) {
        h[i].name = arena_str(a, r->headers[i].name);
        h[i].value = arena_str(a, r->headers[i].value);
    }
    e->r = *r;
    e->r.headers = h;
    e->r.method = arena_str(a, r->method);
    e->r.url = arena_str(a, r->url);
    e->r.body = arena_str(a, r->body);
    e->r.tls.ca_pem = arena_str(a, r->tls.ca_pem);
    e->r.tls.cert_pem = arena_str(a, r->tls.cert_pem);
    e->r.tls.key_pem = arena_str(a, r->tls.key_pem);
    e->r.tls.server_name = arena_str(a, r->tls.server_name);
}

struct errand *errand_send(struct errands *s, const struct outside_request *r,
                           void (*done)(void *, const struct outside_answer *), void *ctx)
{
    struct errand *e = errand_new(s, ctx);
    e->sent = done;
    copy_request(e, r);
    e->timer = timer_start(s->loop, 0, 0, again, e); /* never before this returns */
    return e;
}

/* ---- names ---- */

static struct err look_up(void *ctx)
{
    struct lookup *l = ctx;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    int rc = getaddrinfo(l->host, NULL, &hints, &list);
    ENSURE(rc == 0, ERR_NOT_FOUND, "%s", gai_strerror(rc));
    for (struct addrinfo *i = list; i != NULL && l->n < ADDRESSES_MAX; i = i->ai_next) {
        l->n += getnameinfo(i->ai_addr, i->ai_addrlen, l->texts[l->n], sizeof l->texts[0], NULL, 0,
                            NI_NUMERICHOST) == 0;
    }
    freeaddrinfo(list);
    return OK;
}

static void looked_up(void *ctx, struct err err)
{
    struct lookup *l = ctx;
    struct errand *e = l->e;
    if (e != NULL) {
        struct str *texts = arena_array(&e->a, struct str, l->n + 1);
        for (size_t i = 0; i < l->n; i++) {
            texts[i] = str_of(l->texts[i]);
        }
        struct outside_addresses w = {.texts = texts, .n = l->n};
        if (failed(err) || l->n == 0) {
            w = (struct outside_addresses){
                .error = arena_printf(&e->a, "lookup %s: no such host", l->host)};
        }
        e->resolved(e->ctx, &w);
        errand_free(e);
    }
    free(l);
}

static void not_a_name(void *ctx)
{
    struct errand *e = ctx;
    struct outside_addresses w = {.error = S("no such host")};
    e->timer = NULL;
    e->resolved(e->ctx, &w);
    errand_free(e);
}

struct errand *errand_resolve(struct errands *s, struct str host,
                              void (*done)(void *, const struct outside_addresses *), void *ctx)
{
    struct errand *e = errand_new(s, ctx);
    struct lookup *l = calloc(1, sizeof *l);
    BUG_ON(l == NULL);
    e->resolved = done;
    l->e = e;
    e->lookup = l;
    if (failed(str_to_cstr(host, l->host, sizeof l->host)) ||
        failed(loop_work(s->loop, look_up, looked_up, l))) {
        free(l);
        e->lookup = NULL;
        e->timer = timer_start(s->loop, 0, 0, not_a_name, e);
    }
    return e;
}
