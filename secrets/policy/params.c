/* allowed_parameters, denied_parameters and required_parameters against the data of a request. */
#include "policy_priv.h"

/* Member `name` of a rule's parameter map, whose names are in lower case already. */
static const struct json *lookup(const struct json *map, struct str name)
{
    for (uint32_t i = 0; i < map->n; i++) {
        if (str_eq_nocase(map->members[i].key, name)) {
            return map->members[i].value;
        }
    }
    return NULL;
}

/* `*` at either end of the pattern stands for anything. */
static bool glob(struct str pattern, struct str s)
{
    bool head = str_starts(pattern, S("*")), tail = pattern.n > 0 && str_ends(pattern, S("*"));
    if (pattern.n == 1 && head) {
        return true;
    }
    struct str core = str_sub(pattern, head, pattern.n - tail);
    if (head && tail) {
        return str_find(s, core) != STR_NPOS;
    }
    return head ? str_ends(s, core) : tail ? str_starts(s, core) : str_eq(s, pattern);
}

/* An empty list stands for any value. */
static bool value_listed(const struct json *value, const struct json *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *want = list->items[i];
        if (want->type == JSON_STRING && value->type == JSON_STRING ? glob(want->text, value->text)
                                                                    : json_equal(want, value)) {
            return true;
        }
    }
    return list->n == 0;
}

static bool has_required(const struct json *required, const struct json *data)
{
    for (uint32_t i = 0; required != NULL && i < required->n; i++) {
        struct str want = required->items[i]->text;
        bool found = false;
        for (uint32_t k = 0; data != NULL && k < data->n; k++) {
            struct str have = data->members[k].key;
            found |= str_eq_nocase(have, want) && !str_has_upper(have);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static bool denied(const struct json *map, const struct json *data)
{
    if (map == NULL || map->n == 0) {
        return false;
    }
    if (json_get(map, "*") != NULL) {
        return true;
    }
    for (uint32_t i = 0; i < data->n; i++) {
        const struct json *list = lookup(map, data->members[i].key);
        if (list != NULL && value_listed(data->members[i].value, list)) {
            return true;
        }
    }
    return false;
}

static bool all_allowed(const struct json *map, const struct json *data)
{
    if (map == NULL || map->n == 0) {
        return true;
    }
    bool rest = json_get(map, "*") != NULL;
    for (uint32_t i = 0; i < data->n; i++) {
        const struct json *list = lookup(map, data->members[i].key);
        if (list == NULL ? !rest : !value_listed(data->members[i].value, list)) {
            return false;
        }
    }
    return true;
}

bool params_allow(const struct acl_rule *rule, const struct json *data)
{
    if (!has_required(rule->required, data)) {
        return false;
    }
    if (data == NULL || data->n == 0) {
        return true;
    }
    return !denied(rule->denied, data) && all_allowed(rule->allowed, data);
}
