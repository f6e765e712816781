/* Replies in the form of OPA's API: errors are indented, values are one line. */
#include "server.h"

#include "lib/http/gzip.h"

#include <stdarg.h>

static void put_location(struct buf *b, const struct rego_error *e)
{
    buf_puts(b, S("\"location\":{\"file\":"));
    val_json_string(b, e->file, true);
    buf_printf(b, ",\"row\":%u,\"col\":%u}", e->loc.row, e->loc.col);
}

/* Of parse errors: the line they are about, and where on it. */
static void put_details(struct buf *b, const struct rego_error *e)
{
    if (!e->has_line) {
        return;
    }
    buf_puts(b, S(",\"details\":{\"line\":"));
    val_json_string(b, e->line, true);
    buf_printf(b, ",\"idx\":%zu}", (size_t)e->line_at);
}

static void put_error(struct buf *b, const struct rego_error *e)
{
    buf_printf(b, "{\"code\":\"%s\",\"message\":", e->code);
    val_json_string(b, e->message, true);
    if (e->loc.row > 0) {
        buf_putc(b, ',');
        put_location(b, e);
    }
    put_details(b, e);
    buf_putc(b, '}');
}

struct str error_body(struct arena *a, const char *code, struct str message,
                      const struct rego_errors *errors)
{
    struct buf b, out;
    buf_init(&b, REPLY_MAX);
    buf_init(&out, REPLY_MAX);
    buf_printf(&b, "{\"code\":\"%s\",\"message\":", code);
    val_json_string(&b, message, true);
    for (size_t i = 0; errors != NULL && i < errors->n; i++) {
        buf_puts(&b, i == 0 ? S(",\"errors\":[") : S(","));
        put_error(&b, &errors->v[i]);
    }
    buf_puts(&b, errors != NULL && errors->n > 0 ? S("]}") : S("}"));
    json_indent(&out, buf_str(&b));
    buf_putc(&out, '\n');
    struct str s = arena_str(a, buf_str(&out));
    buf_release(&b);
    buf_release(&out);
    return s;
}

static void new_line(struct buf *out, unsigned depth)
{
    buf_putc(out, '\n');
    while (depth-- > 0) {
        buf_puts(out, S("  "));
    }
}

/* One string with its quotes; returns where it ends. */
static size_t copy_string(struct buf *out, struct str text, size_t at)
{
    size_t from = at++;
    while (at < text.n && text.p[at] != '"') {
        at += text.p[at] == '\\' ? 2 : 1;
    }
    at = MIN(at + 1, text.n);
    buf_puts(out, str_sub(text, from, at));
    return at;
}

void json_indent(struct buf *out, struct str text)
{
    unsigned depth = 0;
    for (size_t i = 0; i < text.n;) {
        char c = text.p[i];
        if (c == '"') {
            i = copy_string(out, text, i);
            continue;
        }
        bool opens = c == '{' || c == '[', closes = c == '}' || c == ']';
        bool empty = opens && i + 1 < text.n && (text.p[i + 1] == '}' || text.p[i + 1] == ']');
        if (empty) {
            buf_puts(out, str_sub(text, i, i + 2));
            i += 2;
            continue;
        }
        if (closes && depth > 0) {
            new_line(out, --depth);
        }
        buf_putc(out, c);
        if (c == ':') {
            buf_putc(out, ' ');
        } else if (opens || c == ',') {
            depth += opens;
            new_line(out, depth);
        }
        i++;
    }
}

/* ---- sending ---- */

/* Paths whose answers OPA may pack: they vary by what the client takes. */
static bool varies(const struct http_req *req)
{
    bool get = str_is(req->method, "GET"), post = str_is(req->method, "POST");
    return ((get || post) &&
            (str_starts(req->path, S("/v1/data")) || str_starts(req->path, S("/v0/data")))) ||
           (post && str_starts(req->path, S("/v1/compile")));
}

/* gzip by name, with a weight that is not zero. */
static bool takes_gzip(const struct http_req *req)
{
    struct str accept = http_header_get(req, "accept-encoding");
    while (accept.n > 0) {
        struct str item = str_split(&accept, ',');
        struct str name = str_trim(str_split(&item, ';'));
        if (!str_eq_nocase(name, S("gzip"))) {
            continue;
        }
        struct str weight = str_trim(item);
        if (!str_starts_nocase(weight, S("q="))) {
            return true;
        }
        for (size_t i = 2; i < weight.n; i++) {
            if (weight.p[i] >= '1' && weight.p[i] <= '9') {
                return true;
            }
        }
        return false;
    }
    return false;
}

static void send(const struct authz *z, struct http_req *req, int status, struct str type,
                 struct str body)
{
    struct http_header extra[2] = {{S("vary"), S("Accept-Encoding")},
                                   {S("content-encoding"), S("gzip")}};
    struct http_reply r = {.status = status, .content_type = type, .body = body, .headers = extra};
    r.n_headers = varies(req) ? 1 : 0;
    if (z != NULL && r.n_headers > 0 && (int64_t)body.n >= z->config->gzip_min && takes_gzip(req)) {
        struct buf packed;
        buf_init(&packed, REPLY_MAX);
        if (!failed(gzip_pack(body, (int)z->config->gzip_level, &packed))) {
            r.n_headers = 2;
            r.body = buf_str(&packed);
            http_reply(req, &r);
            buf_release(&packed);
            return;
        }
        buf_release(&packed);
    }
    http_reply(req, &r);
}

void reply_json(struct authz *z, struct http_req *req, int status, struct str body)
{
    send(z, req, status, S("application/json"), body);
}

void reply_error(struct http_req *req, int status, const char *code, const char *fmt, ...)
{
    struct buf text;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    buf_init(&text, REPLY_MAX);
    char *to = buf_reserve(&text, (size_t)MAX(n, 0) + 1);
    if (to != NULL && n > 0) {
        vsnprintf(to, (size_t)n + 1, fmt, again);
        buf_commit(&text, (size_t)n);
    }
    va_end(again);
    reply_json(NULL, req, status, error_body(req->arena, code, buf_str(&text), NULL));
    buf_release(&text);
}

void reply_errors(struct http_req *req, int status, const char *code, const char *message,
                  const struct rego_errors *errors)
{
    reply_json(NULL, req, status, error_body(req->arena, code, str_of(message), errors));
}

void reply_eval_error(struct http_req *req, const struct rego_error *e)
{
    struct rego_errors errors = {.a = req->arena};
    rego_errors_add(&errors, e->code, e->file, e->loc, "%.*s", STR_FMT(e->message));
    reply_errors(req, 500, "internal_error", "error(s) occurred while evaluating query", &errors);
}

void reply_value(struct authz *z, struct http_req *req, int status, struct buf *body, bool pretty)
{
    struct buf indented;
    buf_init(&indented, REPLY_MAX);
    if (pretty) {
        json_indent(&indented, buf_str(body));
    }
    struct buf *b = pretty ? &indented : body;
    buf_putc(b, '\n');
    if (buf_ok(b) && buf_ok(body)) {
        reply_json(z, req, status, buf_str(b));
    } else {
        reply_error(req, 500, "internal_error", "the result is too large");
    }
    buf_release(&indented);
    buf_release(body);
}

void reply_no_content(struct http_req *req)
{
    http_reply(req, &(struct http_reply){.status = 204});
}

/* ---- pieces ---- */

static const char version_text[] = "1.22.2";

void put_provenance(const struct authz *z, struct buf *b)
{
    buf_printf(b,
               "{\"version\":\"%s\",\"build_commit\":\"\",\"build_timestamp\":\"\","
               "\"build_hostname\":\"\"",
               version_text);
    for (size_t i = 0; i < z->store.n_owners; i++) {
        buf_puts(b, i == 0 ? S(",\"bundles\":{") : S(","));
        val_json_string(b, z->store.owners[i].name, true);
        buf_puts(b, S(":{\"revision\":"));
        val_json_string(b, z->store.owners[i].revision, true);
        buf_putc(b, '}');
    }
    buf_puts(b, z->store.n_owners > 0 ? S("}}") : S("}"));
}

void put_labels(const struct authz *z, struct buf *b)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct vlist l = {.a = &a};
    vlist_put(&l, "id", val_str(&a, str_of(z->id)));
    for (uint32_t i = 0; val_is(z->labels, V_OBJECT) && i < val_len(z->labels); i++) {
        vlist_add2(&l, val_nth_key(&a, z->labels, i), val_nth(z->labels, i));
    }
    vlist_put(&l, "version", val_str(&a, str_of(version_text)));
    val_to_json(b, vlist_object(&l), true);
    arena_release(&a);
}
