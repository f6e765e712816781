/*
 * Envoy's external authorization, version 3. The request becomes the input that OPA's Envoy plugin
 * makes of it (attributes, parsed_path, parsed_query, parsed_body); the decision becomes the reply.
 */
#include "outing.h"

#include "authz/authz.h"

#include "lib/base/codec.h"
#include "lib/grpc/grpc.h"
#include "lib/grpc/proto/ext_authz.pb-c.h"

#include <stdlib.h>

enum { HEADERS_MAX = 256 };

struct check {
    struct grpc_call *call; /* NULL when the caller has gone */
    struct authz *z;
    struct decision d;
    struct arena memory;
    struct val path[64], input;
    size_t n;
    struct outing *outing; /* while an answer from outside is on its way */
};

static struct val text(struct arena *a, const char *s)
{
    return val_str(a, str_of(s));
}

static void put_text(struct vlist *l, const char *key, const char *s)
{
    if (s != NULL && s[0] != '\0') {
        vlist_put(l, key, text(l->a, s));
    }
}

static struct val peer_value(struct arena *a, const Extauthz__Peer *p)
{
    struct vlist l = {.a = a};
    if (p == NULL) {
        return val_empty_object();
    }
    if (p->address != NULL && p->address->socket_address != NULL) {
        const Extauthz__SocketAddress *s = p->address->socket_address;
        struct vlist socket = {.a = a}, address = {.a = a};
        put_text(&socket, "address", s->address);
        vlist_put(&socket, "portValue", val_int(a, s->port_value));
        vlist_put(&address, "socketAddress", vlist_object(&socket));
        vlist_put(&l, "address", vlist_object(&address));
    }
    put_text(&l, "principal", p->principal);
    put_text(&l, "service", p->service);
    put_text(&l, "certificate", p->certificate);
    return vlist_object(&l);
}

static struct val http_value(struct arena *a, const Extauthz__HttpRequest *h)
{
    struct vlist l = {.a = a}, headers = {.a = a};
    put_text(&l, "id", h->id);
    put_text(&l, "method", h->method);
    put_text(&l, "path", h->path);
    put_text(&l, "host", h->host);
    put_text(&l, "scheme", h->scheme);
    put_text(&l, "query", h->query);
    put_text(&l, "fragment", h->fragment);
    put_text(&l, "protocol", h->protocol);
    put_text(&l, "body", h->body);
    if (h->size != 0) {
        vlist_put(&l, "size", val_str(a, arena_printf(a, "%lld", (long long)h->size)));
    }
    for (size_t i = 0; i < h->n_headers; i++) {
        put_text(&headers, h->headers[i]->key, h->headers[i]->value);
    }
    vlist_put(&l, "headers", vlist_object(&headers));
    return vlist_object(&l);
}

static struct val segments(struct arena *a, struct str path)
{
    struct vlist l = {.a = a};
    path = str_sub(path, str_starts(path, S("/")), path.n);
    while (path.p != NULL) {
        struct str part = str_split(&path, '/'), decoded;
        vlist_add(&l,
                  val_str(a, failed(percent_decode(a, part, false, &decoded)) ? part : decoded));
    }
    return vlist_array(&l);
}

/* {k: [v, …]} of a query string or form. */
static struct val pairs(struct arena *a, struct str s)
{
    struct val r = val_empty_object();
    struct str k, v;
    bool bad = false;
    while (s.n > 0 && http_pairs_next(a, &s, &k, &v, &bad) && !bad) {
        struct val key = val_str(a, k), old = val_get(r, key);
        struct vlist l = {.a = a};
        for (uint32_t i = 0; !val_undef(old) && i < val_len(old); i++) {
            vlist_add(&l, val_nth(old, i));
        }
        vlist_add(&l, val_str(a, v));
        r = val_with(a, r, key, vlist_array(&l));
    }
    return r;
}

static struct str header(const Extauthz__HttpRequest *h, const char *name)
{
    for (size_t i = 0; i < h->n_headers; i++) {
        if (strcmp(h->headers[i]->key, name) == 0) {
            return str_of(h->headers[i]->value);
        }
    }
    return STR_EMPTY;
}

static void put_parsed(struct vlist *l, const Extauthz__HttpRequest *h)
{
    struct str path = str_of(h->path), query;
    size_t mark = str_find_char(path, '?');
    query = mark == STR_NPOS ? STR_EMPTY : str_sub(path, mark + 1, path.n);
    path = str_sub(path, 0, mark == STR_NPOS ? path.n : mark);
    vlist_put(l, "parsed_path", segments(l->a, path));
    vlist_put(l, "parsed_query", pairs(l->a, query));
    struct str type = header(h, "content-type"), body = str_of(h->body);
    struct val v;
    if (body.n > 0 && str_find(type, S("application/json")) != STR_NPOS &&
        !failed(val_from_json(l->a, body, &v))) {
        vlist_put(l, "parsed_body", v);
    } else if (body.n > 0 && str_starts(type, S("application/x-www-form-urlencoded"))) {
        vlist_put(l, "parsed_body", pairs(l->a, body));
    }
    bool partial = str_is(header(h, "x-envoy-auth-partial-body"), "true");
    vlist_put(l, "truncated_body", val_bool(partial));
}

static struct val map_value(struct arena *a, size_t n,
                            Extauthz__AttributeContext__ContextExtensionsEntry **v)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < n; i++) {
        vlist_add2(&l, text(a, v[i]->key), text(a, v[i]->value));
    }
    return vlist_object(&l);
}

static struct val input_of(struct arena *a, const Extauthz__CheckRequest *in)
{
    struct vlist l = {.a = a}, attributes = {.a = a}, request = {.a = a}, version = {.a = a};
    const Extauthz__AttributeContext *c = in->attributes;
    const Extauthz__HttpRequest *h = c != NULL && c->request != NULL ? c->request->http : NULL;
    if (c != NULL) {
        vlist_put(&attributes, "source", peer_value(a, c->source));
        vlist_put(&attributes, "destination", peer_value(a, c->destination));
        if (c->n_context_extensions > 0) {
            vlist_put(&attributes, "contextExtensions",
                      map_value(a, c->n_context_extensions, c->context_extensions));
        }
        if (c->source != NULL && c->source->principal != NULL) {
            put_text(&l, "source_principal", c->source->principal);
        }
    }
    if (h != NULL) {
        vlist_put(&request, "http", http_value(a, h));
        put_parsed(&l, h);
    }
    vlist_put(&attributes, "request", vlist_object(&request));
    vlist_put(&l, "attributes", vlist_object(&attributes));
    vlist_put(&version, "ext_authz", text(a, "v3"));
    vlist_put(&version, "encoding", text(a, "protojson"));
    vlist_put(&l, "version", vlist_object(&version));
    return vlist_object(&l);
}

static Extauthz__HeaderValueOption *header_option(struct arena *a, struct val k, struct val v)
{
    Extauthz__HeaderValueOption *o = arena_new(a, Extauthz__HeaderValueOption);
    Extauthz__HeaderValue *h = arena_new(a, Extauthz__HeaderValue);
    extauthz__header_value_option__init(o);
    extauthz__header_value__init(h);
    h->key = arena_cstr(a, val_is(k, V_STRING) ? val_text(k) : val_rego_text(a, k));
    h->value = arena_cstr(a, val_is(v, V_STRING) ? val_text(v) : val_rego_text(a, v));
    o->header = h;
    return o;
}

/* Headers of a decision: an object, or an array of objects; a value may be a list. */
static size_t headers_of(struct arena *a, struct val v, Extauthz__HeaderValueOption **out)
{
    size_t n = 0;
    if (val_is(v, V_ARRAY)) {
        for (uint32_t i = 0; i < val_len(v); i++) {
            n += n < HEADERS_MAX ? headers_of(a, val_nth(v, i), out + n) : 0;
        }
        return n;
    }
    for (uint32_t i = 0; val_is(v, V_OBJECT) && i < val_len(v) && n < HEADERS_MAX; i++) {
        struct val k = val_nth_key(a, v, i), item = val_nth(v, i);
        bool list = val_is(item, V_ARRAY);
        for (uint32_t j = 0; j < (list ? val_len(item) : 1) && n < HEADERS_MAX; j++) {
            out[n++] = header_option(a, k, list ? val_nth(item, j) : item);
        }
    }
    return n;
}

static void fill_allowed(struct arena *a, struct val r, Extauthz__CheckResponse *out)
{
    Extauthz__OkHttpResponse *ok = arena_new(a, Extauthz__OkHttpResponse);
    extauthz__ok_http_response__init(ok);
    ok->headers = arena_array(a, Extauthz__HeaderValueOption *, 2 * HEADERS_MAX);
    ok->n_headers = headers_of(a, val_get_str(r, "headers"), ok->headers);
    ok->response_headers_to_add = arena_array(a, Extauthz__HeaderValueOption *, 2 * HEADERS_MAX);
    ok->n_response_headers_to_add =
        headers_of(a, val_get_str(r, "response_headers_to_add"), ok->response_headers_to_add);
    struct val remove = val_get_str(r, "request_headers_to_remove");
    if (val_is(remove, V_ARRAY)) {
        ok->headers_to_remove = arena_array(a, char *, val_len(remove) + 1);
        for (uint32_t i = 0; i < val_len(remove); i++) {
            if (val_is(val_nth(remove, i), V_STRING)) {
                ok->headers_to_remove[ok->n_headers_to_remove++] =
                    arena_cstr(a, val_text(val_nth(remove, i)));
            }
        }
    }
    out->ok_response = ok;
}

enum { HTTP_FORBIDDEN = 403 };

static void fill_denied(struct arena *a, struct val r, Extauthz__CheckResponse *out)
{
    Extauthz__DeniedHttpResponse *no = arena_new(a, Extauthz__DeniedHttpResponse);
    Extauthz__HttpStatus *status = arena_new(a, Extauthz__HttpStatus);
    extauthz__denied_http_response__init(no);
    extauthz__http_status__init(status);
    int64_t code = HTTP_FORBIDDEN;
    struct val given = val_get_str(r, "http_status");
    if (!val_undef(given) && (!val_to_i64(given, &code) || code < 100 || code > 599)) {
        code = HTTP_FORBIDDEN;
    }
    status->code = (int32_t)code;
    no->status = status;
    no->headers = arena_array(a, Extauthz__HeaderValueOption *, 2 * HEADERS_MAX);
    no->n_headers = headers_of(a, val_get_str(r, "headers"), no->headers);
    struct val body = val_get_str(r, "body");
    no->body = val_is(body, V_STRING) ? arena_cstr(a, val_text(body)) : no->body;
    out->denied_response = no;
}

static Google__Protobuf__Struct *decision_metadata(struct arena *a, const char *id)
{
    Google__Protobuf__Struct *s = arena_new(a, Google__Protobuf__Struct);
    Google__Protobuf__Struct__FieldsEntry *f = arena_new(a, Google__Protobuf__Struct__FieldsEntry);
    Google__Protobuf__Value *v = arena_new(a, Google__Protobuf__Value);
    google__protobuf__struct__init(s);
    google__protobuf__struct__fields_entry__init(f);
    google__protobuf__value__init(v);
    v->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
    v->string_value = arena_cstr(a, str_of(id));
    f->key = arena_cstr(a, S("decision_id"));
    f->value = v;
    s->fields = arena_array(a, Google__Protobuf__Struct__FieldsEntry *, 1);
    s->fields[0] = f;
    s->n_fields = 1;
    return s;
}

static void check_free(struct check *k)
{
    arena_release(&k->memory);
    free(k);
}

static void caller_gone(void *ctx)
{
    ((struct check *)ctx)->call = NULL;
}

/* Anything but a clear yes is a no: undefined, an object without `allowed`, an error. */
static bool allowed(struct val r)
{
    return val_is_true(r) || val_is_true(val_get_str(r, "allowed"));
}

static void recorded(void *ctx, struct err e)
{
    struct check *k = ctx;
    if (k->call == NULL) {
        check_free(k);
        return;
    }
    if (failed(e)) {
        grpc_end(k->call, GRPC_UNAVAILABLE, "the decision could not be recorded");
        check_free(k);
        return;
    }
    if (k->d.eval.failed) {
        grpc_end(k->call, GRPC_UNKNOWN, "the policy failed to evaluate");
        check_free(k);
        return;
    }
    struct arena *a = &k->memory;
    bool ok = allowed(k->d.result);
    Extauthz__CheckResponse out = EXTAUTHZ__CHECK_RESPONSE__INIT;
    Extauthz__Status status = EXTAUTHZ__STATUS__INIT;
    status.code = ok ? GRPC_OK : GRPC_PERMISSION_DENIED;
    out.status = &status;
    out.dynamic_metadata = decision_metadata(a, k->d.id);
    if (ok) {
        fill_allowed(a, k->d.result, &out);
    } else {
        fill_denied(a, k->d.result, &out);
    }
    grpc_send(k->call, &out.base);
    grpc_end(k->call, GRPC_OK, NULL);
    check_free(k);
}

static size_t decision_path(struct arena *a, struct str path, struct val *out, size_t max)
{
    size_t n = 0;
    while (path.p != NULL && n < max) {
        struct str part = str_split(&path, '/');
        if (part.n > 0) {
            out[n++] = val_str(a, part);
        }
    }
    return n;
}

/* Whom and what the decision is about, for its audit event. */
static void describe(struct arena *a, const Extauthz__CheckRequest *in, struct decision *d)
{
    const Extauthz__AttributeContext *c = in->attributes;
    const Extauthz__HttpRequest *h = c != NULL && c->request != NULL ? c->request->http : NULL;
    if (c != NULL && c->source != NULL && strncmp(c->source->principal, "spiffe://", 9) == 0) {
        d->actor = arena_str(a, str_of(c->source->principal));
    }
    if (h != NULL) {
        struct str path = str_of(h->path);
        d->resource = arena_printf(a, "%s %.*s", h->method,
                                   STR_FMT(str_sub(path, 0, str_find_char(path, '?'))));
    }
}

static void gone_waiting(void *ctx)
{
    struct check *k = ctx;
    outing_cancel(k->outing);
    check_free(k);
}

static void check_decide(void *ctx, struct outing *o)
{
    struct check *k = ctx;
    struct http_req *req = grpc_request(k->call);
    outing_begin(k->z, o, http_req_loop(req), check_decide, k);
    decide(k->z, k->path, k->n, k->input, false, &k->memory, &k->d);
    if (k->d.eval.waiting) {
        outing_wait(k->z);
    }
    k->outing = outing_end(k->z);
    if (k->outing != NULL) {
        grpc_on_abort(k->call, gone_waiting, k);
        return;
    }
    if (val_undef(k->d.result)) {
        k->d.result = VAL_FALSE;
    }
    grpc_on_abort(k->call, caller_gone, k);
    decision_record(k->z, &k->d, req, recorded, k);
}

static void check_request(struct grpc_call *call, const ProtobufCMessage *m, void *ctx)
{
    struct authz *z = ctx;
    struct check *k = calloc(1, sizeof *k);
    BUG_ON(k == NULL);
    k->call = call;
    k->z = z;
    arena_init(&k->memory, (size_t)z->config->eval_memory);
    k->n = decision_path(&k->memory, z->config->ext_authz_path, k->path, ARRAY_LEN(k->path));
    struct str shown = z->config->ext_authz_path;
    k->d.path = str_sub(shown, str_starts(shown, S("/")), shown.n);
    const Extauthz__CheckRequest *in = (const Extauthz__CheckRequest *)m;
    k->input = input_of(&k->memory, in);
    describe(&k->memory, in, &k->d);
    check_decide(k, NULL);
}

static bool serving(void *ctx)
{
    struct authz *z = ctx;
    return z->daemon == NULL || daemon_ready(z->daemon);
}

void ext_authz_routes(struct authz *z, struct router *r)
{
    grpc_method(r, "/envoy.service.auth.v3.Authorization/Check",
                &extauthz__check_request__descriptor, check_request, z);
    grpc_unknown(r, "envoy.service.auth.v3.Authorization");
    grpc_health(r, serving, z);
}
