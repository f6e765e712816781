/* JSON and YAML as text, and values out of them. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/builtin/gofmt.h"

#include <math.h>

#include "authz/rego/value/value_yaml.h"
#include "lib/yaml/yaml.h"

enum { TEXT_MAX = 64 << 20 };

static enum b_status b_marshal(struct bcall *b)
{
    struct buf out;
    buf_init(&out, b_text_max(b, TEXT_MAX));
    val_to_json(&out, b->args[0], true);
    return b_buf(b, &out);
}

struct layout {
    bool pretty;
    struct str prefix, indent;
};

static bool text_option(struct bcall *b, struct str key, struct val v, struct str *out)
{
    if (!val_is(v, V_STRING)) {
        (void)b_operand(b, 2, "key %.*s failed cast to string: operand 2 must be string but got %s",
                        STR_FMT(key), val_type_name(v));
        return false;
    }
    *out = val_text(v);
    return true;
}

static bool layout_options(struct bcall *b, struct layout *l)
{
    struct val o = b->args[1];
    bool said = false;
    if (!b_is(b, 2, V_OBJECT)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(o); i++) {
        struct val k = val_nth_key(b->a, o, i), v = val_nth(o, i);
        struct str key = val_is(k, V_STRING) ? val_text(k) : STR_EMPTY;
        if (str_is(key, "prefix") || str_is(key, "indent")) {
            if (!text_option(b, key, v, str_is(key, "prefix") ? &l->prefix : &l->indent)) {
                return false;
            }
            l->pretty |= !said;
        } else if (str_is(key, "pretty")) {
            if (!val_is(v, V_BOOL)) {
                (void)b_operand(b, 2, "key %.*s failed cast to bool", STR_FMT(key));
                return false;
            }
            said = true;
            l->pretty = val_is_true(v);
        } else {
            (void)b_operand(b, 2, "object contained unknown key %.*s",
                            STR_FMT(val_rego_text(b->a, k)));
            return false;
        }
    }
    if (said) {
        l->pretty = val_is_true(val_get_str(o, "pretty"));
    }
    return true;
}

static enum b_status b_marshal_options(struct bcall *b)
{
    struct layout l = {.indent = S("\t")};
    if (!layout_options(b, &l)) {
        return B_ERROR;
    }
    if (!l.pretty) {
        return b_marshal(b);
    }
    struct buf text, out;
    buf_init(&text, b_text_max(b, TEXT_MAX));
    buf_init(&out, b_text_max(b, TEXT_MAX));
    val_to_json_pretty(&text, b->args[0], arena_cstr(b->a, l.indent), true);
    struct str rest = buf_str(&text);
    buf_puts(&out, l.prefix);
    while (rest.p != NULL) {
        buf_puts(&out, str_split(&rest, '\n'));
        if (rest.p != NULL) {
            buf_putc(&out, '\n');
            buf_puts(&out, l.prefix);
        }
    }
    buf_release(&text);
    return b_buf(b, &out);
}

static enum b_status b_unmarshal(struct bcall *b)
{
    struct str s;
    struct val v;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    struct err e = val_from_json(b->a, s, &v);
    return failed(e) ? b_fail_err(b, e) : b_out(b, v);
}

static enum b_status b_is_valid(struct bcall *b)
{
    struct val v;
    if (!val_is(b->args[0], V_STRING)) {
        return b_out(b, VAL_FALSE);
    }
    return b_out(b, val_bool(!failed(val_from_json(b->a, val_text(b->args[0]), &v))));
}

static bool fits_u64(struct str digits)
{
    uint64_t n;
    return !failed(str_to_u64(digits, &n));
}

/* What is no integer of 64 bits is a float64 to upstream's writer. */
static struct str yaml_number(struct arena *a, struct num n)
{
    struct gofmt_arg arg = {.kind = GOFMT_FLOAT, .f = num_to_double(n)};
    struct str text = num_text(a, n);
    struct buf b;
    if (n.kind == NUM_I64 || !isfinite(arg.f) || (n.kind == NUM_BIG && fits_u64(text))) {
        return text;
    }
    buf_init(&b, 64);
    gofmt_value(a, &b, &arg);
    text = arena_str(a, buf_str(&b));
    buf_release(&b);
    return text;
}

static struct json *json_of_val(struct arena *a, struct val v)
{
    struct json *j;
    switch (val_type(v)) {
    case V_BOOL:
        return json_new_bool(a, val_is_true(v));
    case V_NUMBER:
        return json_new_number_text(a, yaml_number(a, val_number(v)));
    case V_STRING:
        return json_new_string(a, val_text(v));
    case V_ARRAY:
    case V_SET:
        j = json_new_array(a);
        for (uint32_t i = 0; i < val_len(v); i++) {
            json_push(a, j, json_of_val(a, val_nth(v, i)));
        }
        return j;
    case V_OBJECT:
        j = json_new_object(a);
        for (uint32_t i = 0; i < val_len(v); i++) {
            struct val k = val_nth_key(a, v, i);
            json_set(a, j, val_is(k, V_STRING) ? val_text(k) : val_rego_text(a, k),
                     json_of_val(a, val_nth(v, i)));
        }
        return j;
    default:
        return json_new_null(a);
    }
}

static enum b_status b_yaml_marshal(struct bcall *b)
{
    struct buf out;
    buf_init(&out, b_text_max(b, TEXT_MAX));
    yaml_write(&out, json_of_val(b->a, b->args[0]));
    return b_buf(b, &out);
}

static enum b_status b_yaml_unmarshal(struct bcall *b)
{
    struct str s;
    struct val v;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    struct err e = val_from_yaml(b->a, s, &v);
    return failed(e) ? b_fail(b, "%.*s", STR_FMT(val_yaml_error(b->a))) : b_out(b, v);
}

static enum b_status b_yaml_is_valid(struct bcall *b)
{
    struct val v;
    if (!val_is(b->args[0], V_STRING)) {
        return b_out(b, VAL_FALSE);
    }
    return b_out(b, val_bool(!failed(val_from_yaml(b->a, val_text(b->args[0]), &v))));
}

const struct builtin builtins_json[] = {
    {"json.marshal", 1, b_marshal, 0},
    {"json.marshal_with_options", 2, b_marshal_options, 0},
    {"json.unmarshal", 1, b_unmarshal, 0},
    {"json.is_valid", 1, b_is_valid, 0},
    {"yaml.marshal", 1, b_yaml_marshal, 0},
    {"yaml.unmarshal", 1, b_yaml_unmarshal, 0},
    {"yaml.is_valid", 1, b_yaml_is_valid, 0},
    {0},
};
