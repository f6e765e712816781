#include "envoy.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/http/http.h"

static struct val text(struct arena *a, const char *s)
{
    return val_str(a, str_of(s));
}

/* As the JSON form of messages: what has its default value is left out. */
static void put_text(struct vlist *l, const char *key, const char *s)
{
    if (s != NULL && s[0] != '\0') {
        vlist_put(l, key, text(l->a, s));
    }
}

/* ---- attributes ---- */

static struct val labels_value(struct arena *a, const Extauthz__Peer *p)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < p->n_labels; i++) {
        vlist_add2(&l, text(a, p->labels[i]->key), text(a, p->labels[i]->value));
    }
    return vlist_object(&l);
}

static struct val peer_value(struct arena *a, const Extauthz__Peer *p)
{
    struct vlist l = {.a = a};
    if (p->address != NULL) {
        struct vlist socket = {.a = a}, address = {.a = a};
        const Extauthz__SocketAddress *s = p->address->socket_address;
        if (s != NULL) {
            if (s->protocol == 1) {
                put_text(&socket, "protocol", "UDP");
            }
            put_text(&socket, "address", s->address);
            vlist_put(&socket, "portValue", val_int(a, s->port_value));
            vlist_put(&address, "socketAddress", vlist_object(&socket));
        }
        vlist_put(&l, "address", vlist_object(&address));
    }
    if (p->n_labels > 0) {
        vlist_put(&l, "labels", labels_value(a, p));
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
    if (h->raw_body.len > 0) {
        struct str raw = str_n(h->raw_body.data, h->raw_body.len);
        vlist_put(&l, "rawBody", val_str(a, base64_encode(a, raw, BASE64_STD)));
    }
    if (h->size != 0) {
        vlist_put(&l, "size", val_str(a, arena_printf(a, "%lld", (long long)h->size)));
    }
    for (size_t i = 0; i < h->n_headers; i++) {
        vlist_add2(&headers, text(a, h->headers[i]->key), text(a, h->headers[i]->value));
    }
    if (h->n_headers > 0) {
        vlist_put(&l, "headers", vlist_object(&headers));
    }
    return vlist_object(&l);
}

static struct val number_value(struct arena *a, double d)
{
    char s[40];
    struct num n;
    if (d >= -1e15 && d <= 1e15 && d == (double)(int64_t)d) {
        return val_int(a, (int64_t)d);
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, d);
        if (strtod(s, NULL) == d) {
            break;
        }
    }
    struct str copy = arena_str(a, str_of(s));
    return failed(num_parse(copy, &n)) ? VAL_NULL : val_num(a, n);
}

static struct val struct_value(struct arena *a, const Google__Protobuf__Struct *s, int depth);

static struct val any_value(struct arena *a, const Google__Protobuf__Value *v, int depth)
{
    struct vlist l = {.a = a};
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return number_value(a, v->number_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return text(a, v->string_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return val_bool(v->bool_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE:
        return struct_value(a, v->struct_value, depth + 1);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        for (size_t i = 0; depth < ENVOY_METADATA_DEPTH_MAX && i < v->list_value->n_values; i++) {
            vlist_add(&l, any_value(a, v->list_value->values[i], depth + 1));
        }
        return vlist_array(&l);
    default:
        return VAL_NULL;
    }
}

/* Depth is bounded here, and by the decoder of messages before. */
static struct val struct_value(struct arena *a, const Google__Protobuf__Struct *s, int depth)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; depth < ENVOY_METADATA_DEPTH_MAX && i < s->n_fields; i++) {
        if (s->fields[i]->value != NULL) {
            vlist_add2(&l, text(a, s->fields[i]->key), any_value(a, s->fields[i]->value, depth));
        }
    }
    return vlist_object(&l);
}

static void put_metadata(struct vlist *l, const char *key, const Extauthz__Metadata *m)
{
    struct vlist filters = {.a = l->a}, outer = {.a = l->a};
    if (m == NULL) {
        return;
    }
    for (size_t i = 0; i < m->n_filter_metadata; i++) {
        if (m->filter_metadata[i]->value != NULL) {
            vlist_add2(&filters, text(l->a, m->filter_metadata[i]->key),
                       struct_value(l->a, m->filter_metadata[i]->value, 0));
        }
    }
    if (m->n_filter_metadata > 0) {
        vlist_put(&outer, "filterMetadata", vlist_object(&filters));
    }
    vlist_put(l, key, vlist_object(&outer));
}

static struct val request_value(struct arena *a, const Extauthz__Request *r)
{
    struct vlist l = {.a = a};
    if (r->time != NULL && r->time->nanos >= 0 && r->time->nanos < 1000000000 &&
        r->time->seconds > -62135596800 && r->time->seconds < 9000000000) {
        struct buf b;
        int32_t ns = r->time->nanos;
        int digits = ns == 0 ? 0 : ns % 1000000 == 0 ? 3 : ns % 1000 == 0 ? 6 : 9;
        buf_init(&b, 64);
        clock_put_rfc3339(&b, r->time->seconds * NS_PER_S + ns, digits);
        vlist_put(&l, "time", val_str(a, buf_str(&b)));
        buf_release(&b);
    }
    if (r->http != NULL) {
        vlist_put(&l, "http", http_value(a, r->http));
    }
    return vlist_object(&l);
}

static struct val attributes_value(struct arena *a, const Extauthz__AttributeContext *c)
{
    struct vlist l = {.a = a}, extensions = {.a = a}, tls = {.a = a};
    if (c->source != NULL) {
        vlist_put(&l, "source", peer_value(a, c->source));
    }
    if (c->destination != NULL) {
        vlist_put(&l, "destination", peer_value(a, c->destination));
    }
    if (c->request != NULL) {
        vlist_put(&l, "request", request_value(a, c->request));
    }
    for (size_t i = 0; i < c->n_context_extensions; i++) {
        vlist_add2(&extensions, text(a, c->context_extensions[i]->key),
                   text(a, c->context_extensions[i]->value));
    }
    if (c->n_context_extensions > 0) {
        vlist_put(&l, "contextExtensions", vlist_object(&extensions));
    }
    put_metadata(&l, "metadataContext", c->metadata_context);
    put_metadata(&l, "routeMetadataContext", c->route_metadata_context);
    if (c->tls_session != NULL) {
        put_text(&tls, "sni", c->tls_session->sni);
        vlist_put(&l, "tlsSession", vlist_object(&tls));
    }
    return vlist_object(&l);
}

/* ---- what is parsed for policies ---- */

/* {k: [v, …]} of a query string or form; pairs that cannot be decoded are left out. */
static struct val pairs(struct arena *a, struct str s)
{
    struct val r = val_empty_object();
    struct str k, v;
    bool bad = false;
    while (s.n > 0 && http_pairs_next(a, &s, &k, &v, &bad)) {
        if (bad) {
            continue;
        }
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

/* The decoded path, split; leading slashes do not count. */
static struct err put_path(struct vlist *l, struct str path)
{
    struct vlist parts = {.a = l->a};
    struct str decoded, fragment = path;
    path = str_split(&fragment, '#');
    size_t mark = str_find_char(path, '?');
    struct str query = mark == STR_NPOS ? STR_EMPTY : str_sub(path, mark + 1, path.n);
    ENSURE(!failed(percent_decode(l->a, str_sub(path, 0, mark), false, &decoded)), ERR_SYNTAX,
           "the path cannot be decoded");
    while (decoded.n > 0 && decoded.p[0] == '/') {
        decoded = str_sub(decoded, 1, decoded.n);
    }
    decoded.p = decoded.p != NULL ? decoded.p : "";
    while (decoded.p != NULL) {
        vlist_add(&parts, val_str(l->a, str_split(&decoded, '/')));
    }
    vlist_put(l, "parsed_path", vlist_array(&parts));
    vlist_put(l, "parsed_query", pairs(l->a, query));
    return OK;
}

/* Envoy sends the beginning of a body that is longer than it may buffer, and says so. */
static bool is_truncated(const Extauthz__HttpRequest *h, size_t n)
{
    struct str length = header(h, "content-length");
    uint64_t announced = 0;
    return str_is(header(h, "x-envoy-auth-partial-body"), "true") ||
           (length.n > 0 && !failed(str_to_u64(length, &announced)) && announced > n);
}

/* Parts of multipart/form-data by their names; parts that are JSON are read. */
static struct val multipart(struct arena *a, struct str body, struct str type)
{
    struct val r = val_empty_object();
    size_t at = str_find(type, S("boundary="));
    struct str boundary = at == STR_NPOS ? STR_EMPTY : str_sub(type, at + 9, type.n);
    boundary = str_trim(str_split(&boundary, ';'));
    if (boundary.n > 1 && boundary.p[0] == '"' && boundary.p[boundary.n - 1] == '"') {
        boundary = str_sub(boundary, 1, boundary.n - 1);
    }
    if (boundary.n == 0) {
        return VAL_NULL;
    }
    struct str line = arena_printf(a, "--%.*s", STR_FMT(boundary));
    for (size_t next = str_find(body, line); next != STR_NPOS;) {
        struct str part = str_sub(body, next + line.n, body.n);
        next = str_find(part, line);
        if (str_starts(part, S("--")) || next == STR_NPOS) {
            break;
        }
        body = part;
        part = str_sub(part, 0, next);
        size_t head = str_find(part, S("\r\n\r\n"));
        size_t name = str_find(str_sub(part, 0, head), S("name=\""));
        if (head == STR_NPOS || name == STR_NPOS) {
            continue;
        }
        struct str rest = str_sub(part, name + 6, head), key = str_split(&rest, '"');
        struct str content = str_sub(part, head + 4, part.n);
        content = str_ends(content, S("\r\n")) ? str_sub(content, 0, content.n - 2) : content;
        struct val v = val_str(a, content), old = val_get(r, val_str(a, key));
        if (str_find(str_sub(part, 0, head), S("application/json")) != STR_NPOS) {
            struct val json;
            v = failed(val_from_json(a, content, &json)) ? v : json;
        }
        struct vlist l = {.a = a};
        for (uint32_t i = 0; !val_undef(old) && i < val_len(old); i++) {
            vlist_add(&l, val_nth(old, i));
        }
        vlist_add(&l, v);
        r = val_with(a, r, val_str(a, key), vlist_array(&l));
    }
    return r;
}

static struct err put_body(struct vlist *l, const Extauthz__HttpRequest *h)
{
    struct str type = header(h, "content-type"), body = str_of(h->body);
    struct val v = VAL_NULL;
    if (body.n == 0 && h->raw_body.len > 0) {
        body = str_n(h->raw_body.data, h->raw_body.len);
    }
    bool json = str_find(type, S("application/json")) != STR_NPOS;
    bool form = str_find(type, S("application/x-www-form-urlencoded")) != STR_NPOS;
    bool parts = str_find(type, S("multipart/form-data")) != STR_NPOS;
    bool cut = body.n > 0 && (json || form || parts) && is_truncated(h, body.n);
    if (body.n > 0 && !cut) {
        if (json) {
            struct err e = val_from_json(l->a, body, &v);
            ENSURE(!failed(e), ERR_SYNTAX, "the body is no JSON: %s", err_detail());
        } else if (form) {
            v = pairs(l->a, body);
        } else if (parts) {
            v = multipart(l->a, body, type);
        }
    }
    vlist_put(l, "parsed_body", v);
    vlist_put(l, "truncated_body", val_bool(cut));
    return OK;
}

struct err envoy_input(struct arena *a, const Extauthz__CheckRequest *in, struct val *out)
{
    static const Extauthz__HttpRequest none = EXTAUTHZ__HTTP_REQUEST__INIT;
    struct vlist l = {.a = a}, version = {.a = a};
    const Extauthz__AttributeContext *c = in->attributes;
    const Extauthz__HttpRequest *h = c != NULL && c->request != NULL ? c->request->http : NULL;
    h = h != NULL ? h : &none;
    if (c != NULL) {
        vlist_put(&l, "attributes", attributes_value(a, c));
        if (c->source != NULL) {
            put_text(&l, "source_principal", c->source->principal);
        }
    }
    TRY(put_path(&l, str_of(h->path)));
    TRY(put_body(&l, h));
    vlist_put(&version, "ext_authz", text(a, "v3"));
    vlist_put(&version, "encoding", text(a, "protojson"));
    vlist_put(&l, "version", vlist_object(&version));
    *out = vlist_object(&l);
    return OK;
}
