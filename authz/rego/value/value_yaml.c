/* YAML by way of the tree of lib/json, whose depth its reader bounds. */
#include "authz/rego/value/value_yaml.h"

#include "lib/yaml/yaml.h"

struct val val_of_json(struct arena *a, const struct json *j)
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

struct err val_from_yaml(struct arena *a, struct str text, struct val *out)
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
struct str val_yaml_error(struct arena *a)
{
    static const char *const grammar[] = {"',' or", "'-'", "node content", "key", "<"};
    unsigned line = err_line();
    struct str text = str_of(err_detail());
    size_t at = str_find(text, S(": "));
    text = at != STR_NPOS ? str_sub(text, at + 2, text.n) : text;
    text = str_sub(text, 0, str_find(text, S(" while ")));
    bool first = line <= 1;
    for (size_t i = 0; i < ARRAY_LEN(grammar); i++) {
        struct str begin = arena_printf(a, "did not find expected %s", grammar[i]);
        line -= str_starts(text, begin) && line > 0;
    }
    return first ? arena_printf(a, "yaml: %.*s", STR_FMT(text))
                 : arena_printf(a, "yaml: line %u: %.*s", line, STR_FMT(text));
}
