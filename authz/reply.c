/* Replies in the form of OPA's API: errors are indented, values are one line. */
#include "authz.h"

#include <stdarg.h>

enum { REPLY_MAX = 1 << 30 };

static void put_location(struct buf *b, const struct rego_error *e)
{
    buf_puts(b, S("      \"location\": {\n        \"file\": "));
    val_json_string(b, e->file, true);
    buf_printf(b, ",\n        \"row\": %u,\n        \"col\": %u\n      }", e->loc.row, e->loc.col);
}

struct str error_body(struct arena *a, const char *code, struct str message,
                      const struct rego_errors *errors)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_printf(&b, "{\n  \"code\": \"%s\",\n  \"message\": ", code);
    val_json_string(&b, message, true);
    for (size_t i = 0; errors != NULL && i < errors->n; i++) {
        const struct rego_error *e = &errors->v[i];
        buf_puts(&b, i == 0 ? S(",\n  \"errors\": [\n    {\n") : S(",\n    {\n"));
        buf_printf(&b, "      \"code\": \"%s\",\n      \"message\": ", e->code);
        val_json_string(&b, e->message, true);
        if (e->loc.row > 0) {
            buf_puts(&b, S(",\n"));
            put_location(&b, e);
        }
        buf_puts(&b, S("\n    }"));
    }
    buf_puts(&b, errors != NULL && errors->n > 0 ? S("\n  ]\n}\n") : S("\n}\n"));
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

void reply_error(struct http_req *req, int status, const char *code, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    http_reply_json(req, status, error_body(req->arena, code, str_of(text), NULL));
}

void reply_errors(struct http_req *req, int status, const char *code, const char *message,
                  const struct rego_errors *errors)
{
    http_reply_json(req, status, error_body(req->arena, code, str_of(message), errors));
}

void reply_value(struct http_req *req, int status, struct buf *body)
{
    if (buf_ok(body)) {
        http_reply_json(req, status, buf_str(body));
    } else {
        reply_error(req, 500, "internal_error", "the result is too large");
    }
    buf_release(body);
}

bool query_flag(const struct http_req *req, const char *name)
{
    struct str v;
    if (!http_query_get(req, name, &v)) {
        return false;
    }
    return v.n == 0 || str_eq_nocase(v, S("true"));
}
