/* Answers in Vault's forms: the envelope, the older form with data at the top, raw, and errors. */
#include "request_priv.h"

#include <stdarg.h>

enum { BODY_MAX = 33 << 20, ERROR_MAX = 2048 };

struct err reply_data(struct request *r, struct json *data)
{
    r->reply.data = data;
    return OK;
}

struct err reply_top(struct request *r, struct json *data)
{
    r->reply.data = data;
    r->reply.form = FORM_TOP;
    return OK;
}

struct err reply_raw(struct request *r, int status, struct json *v)
{
    r->reply.data = v;
    r->reply.status = status;
    r->reply.form = FORM_RAW;
    return OK;
}

struct err reply_empty(struct request *r)
{
    r->reply.data = NULL;
    return OK;
}

struct err reply_not_found(struct request *r)
{
    r->reply.status = 404;
    r->reply.errors = json_new_array(r->arena);
    return OK;
}

struct err reply_error(struct request *r, int status, const char *fmt, ...)
{
    char text[ERROR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->reply.status = status;
    r->reply.errors = json_new_array(r->arena);
    json_push(r->arena, r->reply.errors,
              json_new_string(r->arena, arena_str(r->arena, str_of(text))));
    return OK;
}

struct err reply_list(struct request *r, struct json *keys)
{
    if (keys->n == 0) {
        return reply_not_found(r);
    }
    struct json *data = json_new_object(r->arena);
    json_put(r->arena, data, "keys", keys);
    return reply_data(r, data);
}

void reply_warn(struct request *r, const char *fmt, ...)
{
    char text[ERROR_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (r->reply.warnings == NULL) {
        r->reply.warnings = json_new_array(r->arena);
    }
    json_push(r->arena, r->reply.warnings,
              json_new_string(r->arena, arena_str(r->arena, str_of(text))));
}

bool reply_has_content(const struct request *r)
{
    const struct reply *p = &r->reply;
    return p->data != NULL || p->auth != NULL || p->wrap_info != NULL || p->warnings != NULL ||
           p->lease_id.n > 0 || p->raw.p != NULL;
}

static void put_or_null(struct jw *w, const char *key, const struct json *v)
{
    jw_key(w, str_of(key));
    if (v != NULL) {
        jw_json(w, v);
    } else {
        jw_null(w);
    }
}

static void build_envelope(struct request *r, struct jw *w)
{
    const struct reply *p = &r->reply;
    jw_obj(w);
    jw_key_str(w, S("request_id"), p->wrap_info != NULL ? S("") : str_of(r->id));
    jw_key_str(w, S("lease_id"), p->lease_id.p != NULL ? p->lease_id : S(""));
    jw_key_bool(w, S("renewable"), p->renewable);
    jw_key_int(w, S("lease_duration"), p->lease_s);
    put_or_null(w, "data", p->data);
    put_or_null(w, "wrap_info", p->wrap_info);
    put_or_null(w, "warnings", p->warnings);
    put_or_null(w, "auth", p->auth);
    for (uint32_t i = 0; p->form == FORM_TOP && p->data != NULL && i < p->data->n; i++) {
        jw_key(w, p->data->members[i].key);
        jw_json(w, p->data->members[i].value);
    }
    jw_end(w);
}

void reply_build_error(struct request *r, int status, struct str text)
{
    buf_clear(&r->body);
    struct jw w;
    jw_init(&w, &r->body);
    jw_obj(&w);
    jw_key(&w, S("errors"));
    jw_arr(&w);
    if (text.n > 0) {
        jw_str(&w, text);
    }
    jw_end(&w);
    jw_end(&w);
    buf_putc(&r->body, '\n');
    r->status = status;
}

void reply_build(struct request *r)
{
    const struct reply *p = &r->reply;
    if (r->body.max == 0) {
        buf_init_secret(&r->body, BODY_MAX);
    }
    buf_clear(&r->body);
    struct jw w;
    jw_init(&w, &r->body);
    if (p->errors != NULL) {
        r->status = p->status != 0 ? p->status : 400;
        jw_obj(&w);
        put_or_null(&w, "errors", p->errors);
        if (p->warnings != NULL) {
            put_or_null(&w, "warnings", p->warnings);
        }
        jw_end(&w);
    } else if (!reply_has_content(r)) {
        r->status = p->status != 0 ? p->status : 204;
        return;
    } else if (p->raw.p != NULL) {
        buf_puts(&r->body, p->raw);
        r->status = p->status != 0 ? p->status : p->raw.n > 0 ? 200 : 204;
        return;
    } else if (p->form == FORM_RAW) {
        r->status = p->status != 0 ? p->status : 200;
        jw_json(&w, p->data);
    } else {
        r->status = p->status != 0 ? p->status : 200;
        build_envelope(r, &w);
    }
    buf_putc(&r->body, '\n');
    if (!buf_ok(&r->body)) {
        reply_build_error(r, 500, S("the answer is too long"));
    }
}
