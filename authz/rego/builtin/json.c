/* JSON and YAML as text, and values out of them. */
#include "authz/rego/builtin/builtin.h"

#include "lib/yaml/yaml.h"

enum { TEXT_MAX = 256 << 20 };

static enum b_status b_marshal(struct bcall *b)
{
    struct buf out;
    buf_init(&out, TEXT_MAX);
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
    buf_init(&text, TEXT_MAX);
    buf_init(&out, TEXT_MAX);
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

/* Depth is bounded by the reader's limit. */
static struct val val_of_json(struct arena *a, const struct json *j)
{
    struct vlist l = {.a = a};
    struct num n;
    switch (j->type) {
    case JSON_NULL:
        return VAL_NULL;
    case JSON_FALSE:
    case JSON_TRUE:
        return val_bool(j->type == JSON_TRUE);
    case JSON_NUMBER:
        return failed(num_parse(j->text, &n)) ? VAL_NULL : val_num(a, n);
    case JSON_STRING:
        return val_str(a, j->text);
    case JSON_ARRAY:
        for (uint32_t i = 0; i < j->n; i++) {
            vlist_add(&l, val_of_json(a, j->items[i]));
        }
        return vlist_array(&l);
    case JSON_OBJECT:
        for (uint32_t i = 0; i < j->n; i++) {
            vlist_add2(&l, val_str(a, j->members[i].key), val_of_json(a, j->members[i].value));
        }
        return vlist_object(&l);
    }
    return VAL_NULL;
}

static struct json *json_of_val(struct arena *a, struct val v)
{
    struct json *j;
    switch (val_type(v)) {
    case V_BOOL:
        return json_new_bool(a, val_is_true(v));
    case V_NUMBER:
        return json_new_number_text(a, num_text(a, val_number(v)));
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
    buf_init(&out, TEXT_MAX);
    yaml_write(&out, json_of_val(b->a, b->args[0]));
    return b_buf(b, &out);
}

/* The first document counts; one that isn't there is null. */
static struct err yaml_value(struct arena *a, struct str text, struct val *out)
{
    struct json *docs;
    struct yaml_limits limits = {.lenient = true};
    TRY(yaml_parse(a, text, S("yaml"), &limits, &docs));
    *out = docs->n > 0 ? val_of_json(a, docs->items[0]) : VAL_NULL;
    return OK;
}

/*
 * "yaml: line N: what", as Go's reader counts: a line of its grammar from 0, one of its scanner from 1, and
 * the first line of either is not told. Our line counts from 1.
 */
static enum b_status yaml_failed(struct bcall *b)
{
    static const char *const grammar[] = {"',' or", "'-'", "node content", "key", "<"};
    unsigned line = err_line();
    struct str text = str_of(err_detail());
    size_t at = str_find(text, S(": ")), context;
    text = at != STR_NPOS ? str_sub(text, at + 2, text.n) : text;
    context = str_find(text, S(" while "));
    text = str_sub(text, 0, context);
    bool first = line <= 1;
    for (size_t i = 0; i < ARRAY_LEN(grammar); i++) {
        struct buf begin;
        buf_init(&begin, 100);
        buf_printf(&begin, "did not find expected %s", grammar[i]);
        line -= str_starts(text, buf_str(&begin)) && line > 0;
        buf_release(&begin);
    }
    return first ? b_fail(b, "yaml: %.*s", STR_FMT(text))
                 : b_fail(b, "yaml: line %u: %.*s", line, STR_FMT(text));
}

static enum b_status b_yaml_unmarshal(struct bcall *b)
{
    struct str s;
    struct val v;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    struct err e = yaml_value(b->a, s, &v);
    return failed(e) ? yaml_failed(b) : b_out(b, v);
}

static enum b_status b_yaml_is_valid(struct bcall *b)
{
    struct val v;
    if (!val_is(b->args[0], V_STRING)) {
        return b_out(b, VAL_FALSE);
    }
    return b_out(b, val_bool(!failed(yaml_value(b->a, val_text(b->args[0]), &v))));
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
