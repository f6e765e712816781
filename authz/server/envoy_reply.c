#include "envoy.h"

#include "lib/grpc/grpc.h"

enum { HTTP_FORBIDDEN = 403 };

static struct err wrong_type(const char *what, const char *want, struct val got)
{
    return err_make(ERR_INVALID, "%s must be %s, not %s", what, want, val_type_name(got));
}

bool envoy_allows(struct val decision)
{
    return val_is_true(decision) ||
           (val_is(decision, V_OBJECT) && val_is_true(val_get_str(decision, "allowed")));
}

/* ---- lists of headers, parameters, names ---- */

struct headers {
    struct arena *a;
    const char *what;
    Extauthz__HeaderValueOption **v;
    size_t n;
};

static struct err add_header(struct headers *h, struct val k, struct val v)
{
    ENSURE(h->n < ENVOY_HEADERS_MAX, ERR_INVALID, "%s: more than %d", h->what, ENVOY_HEADERS_MAX);
    ENSURE(val_is(v, V_STRING) && val_is(k, V_STRING), ERR_INVALID,
           "%s: a header's value must be a string, not %s", h->what, val_type_name(v));
    Extauthz__HeaderValueOption *o = arena_new(h->a, Extauthz__HeaderValueOption);
    Extauthz__HeaderValue *value = arena_new(h->a, Extauthz__HeaderValue);
    extauthz__header_value_option__init(o);
    extauthz__header_value__init(value);
    value->key = arena_cstr(h->a, val_text(k));
    value->value = arena_cstr(h->a, val_text(v));
    o->header = value;
    h->v[h->n++] = o;
    return OK;
}

/* {name: value or [value, …]} */
static struct err add_object(struct headers *h, struct val v)
{
    if (!val_is(v, V_OBJECT)) {
        return wrong_type(h->what, "an object", v);
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(h->a, v, i), item = val_nth(v, i);
        bool list = val_is(item, V_ARRAY);
        for (uint32_t j = 0; j < (list ? val_len(item) : 1); j++) {
            TRY(add_header(h, k, list ? val_nth(item, j) : item));
        }
    }
    return OK;
}

static struct err headers_of(struct arena *a, struct val r, const char *what,
                             Extauthz__HeaderValueOption ***out, size_t *n)
{
    struct headers h = {.a = a, .what = what};
    struct val v = val_is(r, V_OBJECT) ? val_get_str(r, what) : VAL_UNDEF;
    if (val_undef(v)) {
        return OK;
    }
    h.v = arena_array(a, Extauthz__HeaderValueOption *, ENVOY_HEADERS_MAX);
    if (val_is(v, V_ARRAY)) {
        for (uint32_t i = 0; i < val_len(v); i++) {
            TRY(add_object(&h, val_nth(v, i)));
        }
    } else {
        TRY(add_object(&h, v));
    }
    *out = h.v;
    *n = h.n;
    return OK;
}

static struct err names_of(struct arena *a, struct val r, const char *what, char ***out, size_t *n)
{
    struct val v = val_is(r, V_OBJECT) ? val_get_str(r, what) : VAL_UNDEF;
    if (val_undef(v)) {
        return OK;
    }
    if (!val_is(v, V_ARRAY)) {
        return wrong_type(what, "an array of strings", v);
    }
    *out = arena_array(a, char *, val_len(v) + 1);
    for (uint32_t i = 0; i < val_len(v); i++) {
        if (!val_is(val_nth(v, i), V_STRING)) {
            return wrong_type(what, "an array of strings", val_nth(v, i));
        }
        (*out)[(*n)++] = arena_cstr(a, val_text(val_nth(v, i)));
    }
    return OK;
}

/* {name: value or [value, …]}, written over the request's own. */
static struct err parameters_of(struct arena *a, struct val r, Extauthz__OkHttpResponse *ok)
{
    static const char what[] = "query_parameters_to_set";
    struct val v = val_is(r, V_OBJECT) ? val_get_str(r, what) : VAL_UNDEF;
    if (val_undef(v)) {
        return OK;
    }
    if (!val_is(v, V_OBJECT)) {
        return wrong_type(what, "an object", v);
    }
    ok->query_parameters_to_set = arena_array(a, Extauthz__QueryParameter *, ENVOY_HEADERS_MAX);
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(a, v, i), item = val_nth(v, i);
        bool list = val_is(item, V_ARRAY);
        for (uint32_t j = 0; j < (list ? val_len(item) : 1); j++) {
            struct val one = list ? val_nth(item, j) : item;
            ENSURE(ok->n_query_parameters_to_set < ENVOY_HEADERS_MAX, ERR_INVALID,
                   "%s: more than %d", what, ENVOY_HEADERS_MAX);
            if (!val_is(one, V_STRING) || !val_is(k, V_STRING)) {
                return wrong_type(what, "strings", one);
            }
            Extauthz__QueryParameter *p = arena_new(a, Extauthz__QueryParameter);
            extauthz__query_parameter__init(p);
            p->key = arena_cstr(a, val_text(k));
            p->value = arena_cstr(a, val_text(one));
            ok->query_parameters_to_set[ok->n_query_parameters_to_set++] = p;
        }
    }
    return OK;
}

/* ---- metadata ---- */

static struct err to_struct(struct arena *a, struct val v, int depth,
                            Google__Protobuf__Struct **out);

static struct err to_value(struct arena *a, struct val v, int depth, Google__Protobuf__Value **out)
{
    Google__Protobuf__Value *m = arena_new(a, Google__Protobuf__Value);
    google__protobuf__value__init(m);
    *out = m;
    ENSURE(depth < ENVOY_METADATA_DEPTH_MAX, ERR_INVALID, "dynamic_metadata is nested too deeply");
    switch (val_type(v)) {
    case V_BOOL:
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE;
        m->bool_value = val_is_true(v);
        return OK;
    case V_NUMBER: {
        struct str s = val_rego_text(a, v);
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE;
        m->number_value = strtod(arena_cstr(a, s), NULL);
        return OK;
    }
    case V_STRING:
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
        m->string_value = arena_cstr(a, val_text(v));
        return OK;
    case V_ARRAY:
    case V_SET:
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE;
        m->list_value = arena_new(a, Google__Protobuf__ListValue);
        google__protobuf__list_value__init(m->list_value);
        m->list_value->values = arena_array(a, Google__Protobuf__Value *, val_len(v) + 1);
        for (uint32_t i = 0; i < val_len(v); i++) {
            TRY(to_value(a, val_nth(v, i), depth + 1, &m->list_value->values[i]));
            m->list_value->n_values++;
        }
        return OK;
    case V_OBJECT:
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_STRUCT_VALUE;
        return to_struct(a, v, depth + 1, &m->struct_value);
    default:
        m->kind_case = GOOGLE__PROTOBUF__VALUE__KIND_NULL_VALUE;
        return OK;
    }
}

static struct err to_struct(struct arena *a, struct val v, int depth,
                            Google__Protobuf__Struct **out)
{
    Google__Protobuf__Struct *s = arena_new(a, Google__Protobuf__Struct);
    google__protobuf__struct__init(s);
    s->fields = arena_array(a, Google__Protobuf__Struct__FieldsEntry *, val_len(v) + 2);
    for (uint32_t i = 0; i < val_len(v); i++) {
        Google__Protobuf__Struct__FieldsEntry *f =
            arena_new(a, Google__Protobuf__Struct__FieldsEntry);
        struct val k = val_nth_key(a, v, i);
        google__protobuf__struct__fields_entry__init(f);
        f->key = arena_cstr(a, val_is(k, V_STRING) ? val_text(k) : val_rego_text(a, k));
        TRY(to_value(a, val_nth(v, i), depth, &f->value));
        s->fields[s->n_fields++] = f;
    }
    *out = s;
    return OK;
}

/* What the decision gives, and its id in any case. */
static struct err metadata_of(struct arena *a, struct val r, const char *id,
                              Google__Protobuf__Struct **out)
{
    struct val v = val_is(r, V_OBJECT) ? val_get_str(r, "dynamic_metadata") : VAL_UNDEF;
    if (!val_undef(v) && !val_is(v, V_OBJECT)) {
        return wrong_type("dynamic_metadata", "an object", v);
    }
    v = val_with(a, val_undef(v) ? val_empty_object() : v, val_str(a, S("decision_id")),
                 val_str(a, str_of(id)));
    return to_struct(a, v, 0, out);
}

/* ---- the two answers ---- */

static struct err fill_allowed(struct arena *a, struct val r, Extauthz__CheckResponse *out)
{
    Extauthz__OkHttpResponse *ok = arena_new(a, Extauthz__OkHttpResponse);
    extauthz__ok_http_response__init(ok);
    TRY(headers_of(a, r, "headers", &ok->headers, &ok->n_headers));
    TRY(headers_of(a, r, "response_headers_to_add", &ok->response_headers_to_add,
                   &ok->n_response_headers_to_add));
    TRY(names_of(a, r, "request_headers_to_remove", &ok->headers_to_remove,
                 &ok->n_headers_to_remove));
    TRY(names_of(a, r, "query_parameters_to_remove", &ok->query_parameters_to_remove,
                 &ok->n_query_parameters_to_remove));
    TRY(parameters_of(a, r, ok));
    out->ok_response = ok;
    return OK;
}

static struct err fill_denied(struct arena *a, struct val r, Extauthz__CheckResponse *out)
{
    Extauthz__DeniedHttpResponse *no = arena_new(a, Extauthz__DeniedHttpResponse);
    Extauthz__HttpStatus *status = arena_new(a, Extauthz__HttpStatus);
    struct val given = val_is(r, V_OBJECT) ? val_get_str(r, "http_status") : VAL_UNDEF;
    struct val body = val_is(r, V_OBJECT) ? val_get_str(r, "body") : VAL_UNDEF;
    int64_t code = HTTP_FORBIDDEN;
    extauthz__denied_http_response__init(no);
    extauthz__http_status__init(status);
    if (!val_undef(given) &&
        (!val_is(given, V_NUMBER) || !val_to_i64(given, &code) || code < 100 || code > 599)) {
        return wrong_type("http_status", "a status of HTTP", given);
    }
    if (!val_undef(body) && !val_is(body, V_STRING)) {
        return wrong_type("body", "a string", body);
    }
    status->code = (int32_t)code;
    no->status = status;
    no->body = val_undef(body) ? no->body : arena_cstr(a, val_text(body));
    TRY(headers_of(a, r, "headers", &no->headers, &no->n_headers));
    out->denied_response = no;
    return OK;
}

struct err envoy_reply(struct arena *a, struct val decision, const char *decision_id,
                       Extauthz__CheckResponse **out)
{
    Extauthz__CheckResponse *m = arena_new(a, Extauthz__CheckResponse);
    Extauthz__Status *status = arena_new(a, Extauthz__Status);
    bool ok = envoy_allows(decision);
    extauthz__check_response__init(m);
    extauthz__status__init(status);
    if (!val_undef(decision) && !val_is(decision, V_BOOL) && !val_is(decision, V_OBJECT)) {
        return wrong_type("the decision", "a boolean or an object", decision);
    }
    if (val_is(decision, V_OBJECT) && !val_is(val_get_str(decision, "allowed"), V_BOOL)) {
        return err_make(ERR_INVALID, "the decision is an object without a boolean 'allowed'");
    }
    status->code = ok ? GRPC_OK : GRPC_PERMISSION_DENIED;
    m->status = status;
    TRY(metadata_of(a, decision, decision_id, &m->dynamic_metadata));
    TRY(ok ? fill_allowed(a, decision, m) : fill_denied(a, decision, m));
    *out = m;
    return OK;
}
