/* application/x-www-form-urlencoded (WHATWG URL section 5.1), with OAuth's rule on repetition. */
#include "params.h"

#include "lib/base/codec.h"

static bool may_repeat(struct str name)
{
    return str_is(name, "resource");
}

static struct err add_pair(struct params *p, struct str name, struct str value)
{
    ENSURE(p->n < PARAMS_MAX, ERR_LIMIT, "more than %d parameters", PARAMS_MAX);
    ENSURE(value.n <= PARAM_VALUE_MAX, ERR_LIMIT, "the parameter '%.*s' is longer than %d bytes",
           (int)MIN(name.n, (size_t)60), name.p, PARAM_VALUE_MAX);
    ENSURE(str_is_utf8(name) && str_is_utf8(value) && str_find_char(value, '\0') == STR_NPOS,
           ERR_SYNTAX, "a parameter is not text in UTF-8");
    for (size_t i = 0; i < p->n && !may_repeat(name); i++) {
        ENSURE(!str_eq(p->items[i].name, name), ERR_INVALID,
               "the parameter '%.*s' is given more than once", (int)MIN(name.n, (size_t)60),
               name.p);
    }
    p->items[p->n++] = (struct param){name, value};
    return OK;
}

struct err params_add(struct params *p, struct arena *a, struct str encoded)
{
    for (struct str rest = encoded; rest.p != NULL && encoded.n > 0;) {
        struct str pair = str_split(&rest, '&'), name, value;
        if (pair.n == 0) {
            continue;
        }
        size_t eq = str_find_char(pair, '=');
        struct str raw_name = str_sub(pair, 0, eq == STR_NPOS ? pair.n : eq);
        struct str raw_value = eq == STR_NPOS ? STR_EMPTY : str_sub(pair, eq + 1, pair.n);
        TRY(percent_decode(a, raw_name, true, &name));
        TRY(percent_decode(a, raw_value, true, &value));
        TRY(add_pair(p, name, value));
    }
    return OK;
}

struct str params_nth(const struct params *p, const char *name, size_t n)
{
    for (size_t i = 0; i < p->n; i++) {
        if (str_is(p->items[i].name, name) && p->items[i].value.n > 0 && n-- == 0) {
            return p->items[i].value;
        }
    }
    return STR_EMPTY;
}

struct str params_get(const struct params *p, const char *name)
{
    return params_nth(p, name, 0);
}

struct str params_take(struct params *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++) {
        if (str_is(p->items[i].name, name)) {
            struct str value = p->items[i].value;
            p->items[i].value = STR_EMPTY;
            return value;
        }
    }
    return STR_EMPTY;
}
