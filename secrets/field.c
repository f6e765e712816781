#include "field.h"

#include "lib/base/clock.h"

#include <inttypes.h>

#define INVALID(name, what)                                                                        \
    err_make(ERR_INVALID, "Field validation failed: error converting input for field \"%s\": %s",  \
             (name), (what))

static const struct json *given(const struct json *data, const char *name)
{
    const struct json *v = json_get(data, name);
    return v == NULL || v->type == JSON_NULL ? NULL : v;
}

bool field_given(const struct json *data, const char *name)
{
    return given(data, name) != NULL;
}

struct err field_str(const struct json *data, const char *name, struct str *out)
{
    const struct json *v = given(data, name);
    if (v == NULL) {
        return OK;
    }
    if (v->type == JSON_STRING || v->type == JSON_NUMBER) {
        *out = v->text;
    } else if (v->type == JSON_TRUE || v->type == JSON_FALSE) {
        *out = v->type == JSON_TRUE ? S("1") : S("0");
    } else {
        return INVALID(name, "expected a string");
    }
    return OK;
}

static struct err to_i64(struct str text, int64_t *out)
{
    bool minus = str_starts(text, S("-"));
    uint64_t n;
    TRY(str_to_u64(minus ? str_sub(text, 1, text.n) : text, &n));
    ENSURE(n <= INT64_MAX, ERR_RANGE, "too big");
    *out = minus ? -(int64_t)n : (int64_t)n;
    return OK;
}

struct err field_int(const struct json *data, const char *name, int64_t *out)
{
    const struct json *v = given(data, name);
    if (v == NULL || (v->type == JSON_STRING && v->text.n == 0)) {
        return OK;
    }
    if ((v->type != JSON_STRING && v->type != JSON_NUMBER) || failed(to_i64(v->text, out))) {
        return INVALID(name, "expected a whole number");
    }
    return OK;
}

struct err field_bool(const struct json *data, const char *name, bool *out)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False", ""};
    const struct json *v = given(data, name);
    if (v == NULL) {
        return OK;
    }
    if (v->type == JSON_TRUE || v->type == JSON_FALSE) {
        *out = v->type == JSON_TRUE;
        return OK;
    }
    struct str text = v->type == JSON_STRING || v->type == JSON_NUMBER ? v->text : S("?");
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (str_is(text, yes[i])) {
            *out = true;
            return OK;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        if (str_is(text, no[i])) {
            *out = false;
            return OK;
        }
    }
    return INVALID(name, "expected true or false");
}

struct err seconds_parse(struct str text, int64_t *out)
{
    text = str_trim(text);
    bool minus = str_starts(text, S("-"));
    int64_t ns;
    TRY(duration_parse(minus ? str_sub(text, 1, text.n) : text, &ns));
    int64_t s = ns / NS_PER_S;
    *out = minus ? -s : s;
    return OK;
}

struct err field_seconds(const struct json *data, const char *name, int64_t *out)
{
    const struct json *v = given(data, name);
    if (v == NULL || (v->type == JSON_STRING && v->text.n == 0)) {
        return OK;
    }
    if ((v->type != JSON_STRING && v->type != JSON_NUMBER) || failed(seconds_parse(v->text, out))) {
        return INVALID(name, "expected seconds or a duration such as 1h30m");
    }
    return OK;
}

static void push_item(struct arena *a, struct json *list, struct str item)
{
    item = str_trim(item);
    if (item.n > 0) {
        json_push(a, list, json_new_string(a, item));
    }
}

struct err field_list(struct arena *a, const struct json *data, const char *name, struct json **out)
{
    const struct json *v = given(data, name);
    if (v == NULL) {
        return OK;
    }
    struct json *list = json_new_array(a);
    if (v->type == JSON_STRING) {
        for (struct str rest = v->text; rest.p != NULL && v->text.n > 0;) {
            push_item(a, list, str_split(&rest, ','));
        }
    } else if (v->type == JSON_ARRAY) {
        for (uint32_t i = 0; i < v->n; i++) {
            enum json_type t = v->items[i]->type;
            if (t != JSON_STRING && t != JSON_NUMBER) {
                return INVALID(name, "expected a list of strings");
            }
            push_item(a, list, v->items[i]->text);
        }
    } else {
        return INVALID(name, "expected a list");
    }
    *out = list;
    return OK;
}

static struct err map_pair(struct arena *a, struct json *map, const struct json *item,
                           const char *name)
{
    struct str text = json_str(item);
    size_t eq = str_find_char(text, '=');
    if (eq == STR_NPOS || eq == 0) {
        return INVALID(name, "expected pairs of the form key=value");
    }
    json_set(a, map, str_trim(str_sub(text, 0, eq)),
             json_new_string(a, str_trim(str_sub(text, eq + 1, text.n))));
    return OK;
}

struct err field_map(struct arena *a, const struct json *data, const char *name, struct json **out)
{
    const struct json *v = given(data, name);
    if (v == NULL) {
        return OK;
    }
    struct json *map = json_new_object(a);
    if (v->type == JSON_OBJECT) {
        for (uint32_t i = 0; i < v->n; i++) {
            const struct json *item = v->members[i].value;
            if (item->type != JSON_STRING && item->type != JSON_NUMBER) {
                return INVALID(name, "expected a map of strings");
            }
            json_set(a, map, v->members[i].key, json_new_string(a, item->text));
        }
    } else if (v->type == JSON_ARRAY) {
        for (uint32_t i = 0; i < v->n; i++) {
            TRY(map_pair(a, map, v->items[i], name));
        }
    } else if (v->type == JSON_STRING && v->text.n > 0) {
        TRY(map_pair(a, map, v, name));
    } else if (v->type != JSON_STRING) {
        return INVALID(name, "expected a map of strings");
    }
    *out = map;
    return OK;
}

bool list_has(const struct json *list, struct str item)
{
    for (uint32_t i = 0; list != NULL && i < list->n; i++) {
        if (str_eq(json_str(list->items[i]), item)) {
            return true;
        }
    }
    return false;
}

struct str duration_text(struct arena *a, int64_t s)
{
    if (s >= 3600) {
        return arena_printf(a, "%" PRId64 "h%" PRId64 "m%" PRId64 "s", s / 3600, s / 60 % 60,
                            s % 60);
    }
    return s >= 60 ? arena_printf(a, "%" PRId64 "m%" PRId64 "s", s / 60, s % 60)
                   : arena_printf(a, "%" PRId64 "s", s);
}
