/* External authorization: Envoy's ext_authz Check over gRPC, as Istio's CUSTOM action means it. */
#include "mesh.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/grpc/proto/ext_authz.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

struct check {
    struct provider *provider;
    struct grpc_stream *call;
    struct arena arena;
    struct check_result result;
    bool answered;
    void (*done)(void *ctx, const struct check_result *r);
    void *ctx;
};

static void check_free(struct check *c)
{
    arena_release(&c->arena);
    free(c);
}

void check_cancel(struct check *c)
{
    grpc_stream_cancel(c->call);
    check_free(c);
}

/* ---- the answer ---- */

static struct str text_of(struct arena *a, const char *s)
{
    return arena_str(a, str_of(s));
}

static void take_headers(struct check *c, Extauthz__HeaderValueOption **options, size_t n)
{
    c->result.headers = arena_array(&c->arena, struct http_header, n);
    for (size_t i = 0; i < n; i++) {
        const Extauthz__HeaderValue *h = options[i]->header;
        if (h == NULL || h->key[0] == ':' || c->result.n_headers == MESH_HEADERS_ADDED) {
            continue;
        }
        struct str value = h->raw_value.len > 0
                               ? arena_str(&c->arena, str_n(h->raw_value.data, h->raw_value.len))
                               : text_of(&c->arena, h->value);
        char *name = arena_cstr(&c->arena, str_of(h->key));
        for (char *p = name; *p != '\0'; p++) {
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
        }
        if (h1_is_token(str_of(name)) && h1_is_value(value)) {
            c->result.headers[c->result.n_headers++] = (struct http_header){str_of(name), value};
        }
    }
}

static void take_denial(struct check *c, const Extauthz__CheckResponse *r)
{
    c->result.status = 403;
    c->result.reason = "external authorization denied the request";
    if (r->denied_response == NULL) {
        return;
    }
    const Extauthz__DeniedHttpResponse *d = r->denied_response;
    if (d->status != NULL && d->status->code >= 300 && d->status->code <= 599) {
        c->result.status = d->status->code;
    }
    c->result.body = text_of(&c->arena, d->body);
    take_headers(c, d->headers, d->n_headers);
}

static void take_permission(struct check *c, const Extauthz__CheckResponse *r)
{
    c->result.allowed = true;
    if (r->ok_response == NULL) {
        return;
    }
    take_headers(c, r->ok_response->headers, r->ok_response->n_headers);
    size_t n = r->ok_response->n_headers_to_remove;
    c->result.remove = arena_array(&c->arena, struct str, n);
    for (size_t i = 0; i < n; i++) {
        c->result.remove[c->result.n_remove++] =
            text_of(&c->arena, r->ok_response->headers_to_remove[i]);
    }
}

static void on_message(void *ctx, const ProtobufCMessage *m)
{
    struct check *c = ctx;
    const Extauthz__CheckResponse *r = (const Extauthz__CheckResponse *)m;
    if (c->answered) {
        return;
    }
    c->answered = true;
    if (r->status == NULL || r->status->code == 0) { /* an absent status is a status of 0 */
        take_permission(c, r);
    } else {
        take_denial(c, r);
    }
}

/* No answer is a denial, unless the provider was configured to fail open. */
static void on_end(void *ctx, int status, struct str message)
{
    struct check *c = ctx;
    const struct provider_config *o = c->provider->config;
    if (status != 0 || !c->answered) {
        log_warn("external authorization gave no decision", {"provider", LOG_STR(o->name)},
                 {"status", LOG_INT(status)}, {"error", LOG_STR(message)});
        c->result = (struct check_result){.allowed = o->fail_open,
                                          .status = (int)o->status_on_error,
                                          .reason = "external authorization gave no decision"};
    }
    c->call = NULL;
    c->done(c->ctx, &c->result);
    check_free(c);
}

/* ---- the question ---- */

static Extauthz__Peer *make_peer(struct arena *a, const struct ip *ip, uint16_t port,
                                 const char *principal)
{
    Extauthz__Peer *p = arena_new(a, Extauthz__Peer);
    Extauthz__Address *address = arena_new(a, Extauthz__Address);
    Extauthz__SocketAddress *sock = arena_new(a, Extauthz__SocketAddress);
    extauthz__peer__init(p);
    extauthz__address__init(address);
    extauthz__socket_address__init(sock);
    struct buf b;
    buf_init(&b, IP_TEXT_MAX);
    ip_put(&b, ip);
    sock->address = arena_cstr(a, buf_str(&b));
    buf_release(&b);
    sock->port_value = port;
    address->socket_address = sock;
    p->address = address;
    p->principal = principal != NULL ? arena_cstr(a, str_of(principal)) : p->principal;
    return p;
}

static char *request_id(struct arena *a, const struct trace *t)
{
    struct buf b;
    buf_init(&b, TRACE_ID_TEXT);
    trace_id_put(&b, t);
    char *s = arena_cstr(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* Repeated headers are joined with a comma: the message has a map. */
static void put_headers(struct arena *a, const struct http_req *req, Extauthz__HttpRequest *http)
{
    http->headers = arena_array(a, Extauthz__HttpRequest__HeadersEntry *, req->n_headers + 4);
    for (size_t i = 0; i < req->n_headers; i++) {
        struct str name = req->headers[i].name, value = req->headers[i].value;
        Extauthz__HttpRequest__HeadersEntry *e = NULL;
        for (size_t k = 0; k < http->n_headers; k++) {
            if (str_is(name, http->headers[k]->key)) {
                e = http->headers[k];
            }
        }
        if (e != NULL) {
            e->value = arena_cstr(a, arena_printf(a, "%s,%.*s", e->value, STR_FMT(value)));
            continue;
        }
        e = arena_new(a, Extauthz__HttpRequest__HeadersEntry);
        extauthz__http_request__headers_entry__init(e);
        e->key = arena_cstr(a, name);
        e->value = arena_cstr(a, value);
        http->headers[http->n_headers++] = e;
    }
}

static Extauthz__HttpRequest *make_http(struct arena *a, const struct http_req *req,
                                        struct str path)
{
    Extauthz__HttpRequest *http = arena_new(a, Extauthz__HttpRequest);
    extauthz__http_request__init(http);
    http->id = request_id(a, &req->trace);
    http->method = arena_cstr(a, req->method);
    http->path = arena_cstr(
        a,
        req->query.n > 0 ? arena_printf(a, "%.*s?%.*s", STR_FMT(path), STR_FMT(req->query)) : path);
    http->host = arena_cstr(a, req->authority);
    http->scheme = arena_cstr(a, req->scheme);
    http->size = -1;
    http->protocol = arena_cstr(a, req->version == 20 ? S("HTTP/2") : S("HTTP/1.1"));
    put_headers(a, req, http);
    return http;
}

static Extauthz__CheckRequest *make_request(struct arena *a, const struct flow *f,
                                            const struct http_req *req, struct str path)
{
    Extauthz__CheckRequest *check = arena_new(a, Extauthz__CheckRequest);
    Extauthz__AttributeContext *at = arena_new(a, Extauthz__AttributeContext);
    extauthz__check_request__init(check);
    extauthz__attribute_context__init(at);
    check->attributes = at;
    at->source = make_peer(a, &f->src_ip, 0, f->peer_id);
    at->destination = make_peer(a, &f->dst_ip, f->port, f->m->own_id);
    if (f->sni != NULL) {
        at->tls_session = arena_new(a, Extauthz__TlsSession);
        extauthz__tls_session__init(at->tls_session);
        at->tls_session->sni = arena_cstr(a, str_of(f->sni));
    }
    if (req != NULL) {
        at->request = arena_new(a, Extauthz__Request);
        extauthz__request__init(at->request);
        at->request->time = arena_new(a, Extauthz__Timestamp);
        extauthz__timestamp__init(at->request->time);
        int64_t now = clock_wall_ns();
        at->request->time->seconds = now / NS_PER_S;
        at->request->time->nanos = (int32_t)(now % NS_PER_S);
        at->request->http = make_http(a, req, path);
    }
    return check;
}

struct check *check_start(struct provider *p, const struct flow *f, const struct http_req *req,
                          struct str path, const struct json *claims,
                          void (*done)(void *, const struct check_result *), void *ctx)
{
    struct check *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        bug_abort(__FILE__, __LINE__, "out of memory");
    }
    c->provider = p;
    c->done = done;
    c->ctx = ctx;
    arena_init(&c->arena, 1 << 20);
    struct arena a;
    arena_init(&a, 1 << 20);
    struct grpc_out o = {.path = "/envoy.service.auth.v3.Authorization/Check",
                         .request = &make_request(&a, f, req, path)->base,
                         .reply = &extauthz__check_response__descriptor,
                         .timeout_ms = (int)(p->config->timeout_ns / NS_PER_MS),
                         .trace = req != NULL ? req->trace : trace_new(),
                         .on_message = on_message,
                         .on_end = on_end,
                         .ctx = c};
    c->call = grpc_client_call(p->client, &o);
    arena_release(&a);
    return c;
}

/* ---- providers ---- */

struct err providers_open(struct mesh *m)
{
    const struct provider_config *all = m->o->providers.items;
    size_t n = m->o->providers.n;
    m->providers = arena_array(&m->d->boot, struct provider, n);
    m->policy_providers = arena_array(&m->d->boot, struct mesh_provider, n);
    for (size_t i = 0; i < n; i++) {
        struct provider *p = &m->providers[i];
        p->config = &all[i];
        TRY(grpc_client_new(m->loop, all[i].address, NULL, &p->client));
        m->n_providers = i + 1;
        m->policy_providers[i] =
            (struct mesh_provider){.name = all[i].name,
                                   .fail_open = all[i].fail_open,
                                   .status_on_error = (int)all[i].status_on_error,
                                   .ctx = p};
    }
    return OK;
}

void providers_close(struct mesh *m)
{
    for (size_t i = 0; i < m->n_providers; i++) {
        grpc_client_free(m->providers[i].client);
    }
    m->n_providers = 0;
}
