/*
 * The words of a schema, one after the other in the order in which upstream reads them: the first that
 * is wrong is the error.
 */
#include "authz/rego/schema/compile_priv.h"
#include "authz/rego/schema/ref.h"

#include "authz/rego/builtin/regex_cache.h"

static const char *const type_names[SCHEMA_TYPES] = {"array", "boolean", "integer", "number",
                                                     "null",  "object",  "string"};

struct schema *schemac_new(struct schemac *c, struct str name, const struct schema *parent)
{
    struct schema *s = arena_new(c->a, struct schema);
    s->name = name;
    s->parent = parent;
    s->draft = parent != NULL ? parent->draft : SCHEMA_HYBRID;
    s->multiple_of = s->minimum = s->maximum = s->above = s->below = VAL_UNDEF;
    s->min_length = s->max_length = s->min_items = s->max_items = -1;
    s->min_properties = s->max_properties = -1;
    return s;
}

static bool invalid_type(struct schemac *c, const char *expected, const char *given)
{
    return schemac_fail(c, "Invalid type. Expected: %s, given: %s", expected, given);
}

bool schemac_string(struct schemac *c, struct val m, const char *key, bool *there, struct str *out)
{
    struct val v = val_get_str(m, key);
    *there = !val_undef(v);
    if (*there && !val_is(v, V_STRING)) {
        return invalid_type(c, "string", key);
    }
    *out = *there ? val_text(v) : STR_EMPTY;
    return true;
}

/* A list, or the empty one when it is not there. */
static bool list_of(struct schemac *c, struct val m, const char *key, struct val *out)
{
    struct val v = val_get_str(m, key);
    *out = val_undef(v) ? val_empty_array() : v;
    return val_is(*out, V_ARRAY) || schemac_fail(c, "%s must be of an array", key);
}

static bool is_schema(struct val v)
{
    return val_is(v, V_BOOL) || val_is(v, V_OBJECT);
}

static bool child(struct schemac *c, struct str name, struct val v, struct schema *parent,
                  struct schema **out)
{
    *out = schemac_new(c, name, parent);
    return schemac_schema(c, v, *out);
}

static bool children(struct schemac *c, struct val m, const char *key, struct schema *s,
                     struct schema_list *out)
{
    struct val v;
    if (!list_of(c, m, key, &v)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct schema *one;
        if (!child(c, str_of(key), val_nth(v, i), s, &one)) {
            return false;
        }
        schemac_push(c, out, one);
    }
    return true;
}

/* Names: "$id" and what documents a schema. */
static bool names(struct schemac *c, struct val m, struct schema *s)
{
    static const char *const plain[] = {"title", "description"};
    const char *key =
        s->draft == SCHEMA_DRAFT4 || (s->draft == SCHEMA_HYBRID && !val_undef(val_get_str(m, "id")))
            ? "id"
            : "$id";
    struct str text;
    bool there;
    if (!schemac_string(c, m, key, &there, &text)) {
        return false;
    }
    if (there && failed(ref_normal(c->a, text, &text))) {
        return schemac_fail(c, "%s", err_detail());
    }
    struct val definitions = val_get_str(m, "definitions");
    if (!val_undef(definitions) && !val_is(definitions, V_OBJECT)) {
        return invalid_type(c, "Array Of Schemas", "definitions");
    }
    for (uint32_t i = 0; !val_undef(definitions) && i < val_len(definitions); i++) {
        struct val v = val_nth(definitions, i);
        struct schema *unused;
        if (!is_schema(v)) {
            return invalid_type(c, "Array Of Schemas", "definitions");
        }
        if (!child(c, S("definitions"), v, s, &unused)) {
            return false;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (!schemac_string(c, m, plain[i], &there, &text)) {
            return false;
        }
    }
    return true;
}

static bool add_type(struct schemac *c, struct str name, struct schema *s)
{
    unsigned t = 0;
    while (t < SCHEMA_TYPES && !str_is(name, type_names[t])) {
        t++;
    }
    if (t == SCHEMA_TYPES) {
        return schemac_fail(
            c,
            "has a primitive type that is NOT VALID -- given: /%.*s/ Expected valid "
            "values are:[array boolean integer number null object string]",
            STR_FMT(name));
    }
    if (memchr(s->types, (int)t, s->n_types) != NULL) {
        return schemac_fail(c, "%.*s type is duplicated", STR_FMT(name));
    }
    s->types[s->n_types++] = (uint8_t)t;
    return true;
}

static bool types(struct schemac *c, struct val m, struct schema *s)
{
    struct val v = val_get_str(m, "type");
    if (val_undef(v) || val_is(v, V_STRING)) {
        return val_undef(v) || add_type(c, val_text(v), s);
    }
    for (uint32_t i = 0; val_is(v, V_ARRAY) && i < val_len(v); i++) {
        struct val one = val_nth(v, i);
        if (!val_is(one, V_STRING)) {
            return invalid_type(c, "type", "string/Array Of Strings");
        }
        if (!add_type(c, val_text(one), s)) {
            return false;
        }
    }
    return val_is(v, V_ARRAY) || invalid_type(c, "type", "string/Array Of Strings");
}

static bool properties(struct schemac *c, struct val m, struct schema *s)
{
    struct val v = val_get_str(m, "properties");
    if (!val_undef(v) && !val_is(v, V_OBJECT)) {
        return schemac_fail(c, "Properties must be of type object");
    }
    for (uint32_t i = 0; !val_undef(v) && i < val_len(v); i++) {
        struct schema *one;
        if (!child(c, val_text(val_nth_key(c->a, v, i)), val_nth(v, i), s, &one)) {
            return false;
        }
        schemac_push(c, &s->properties, one);
    }
    return true;
}

/* "additionalProperties" and "additionalItems". */
static bool more(struct schemac *c, struct val m, const char *key, struct schema *s, bool *none,
                 struct schema **out)
{
    struct val v = val_get_str(m, key);
    *none = val_is_false(v);
    if (val_undef(v) || val_is(v, V_BOOL)) {
        return true;
    }
    if (!val_is(v, V_OBJECT)) {
        return invalid_type(c, "boolean/Valid Schema", key);
    }
    return child(c, str_of(key), v, s, out);
}

static bool patterns(struct schemac *c, struct val m, struct schema *s)
{
    struct val v = val_get_str(m, "patternProperties");
    if (!val_undef(v) && !val_is(v, V_OBJECT)) {
        return invalid_type(c, "Valid Schema", "patternProperties");
    }
    for (uint32_t i = 0; !val_undef(v) && i < val_len(v); i++) {
        struct str pattern = val_text(val_nth_key(c->a, v, i));
        struct regex *re;
        struct schema *one;
        if (failed(regex_cached(pattern, &re))) {
            return schemac_fail(c, "Invalid regex pattern '%.*s'", STR_FMT(pattern));
        }
        if (!child(c, pattern, val_nth(v, i), s, &one)) {
            return false;
        }
        schemac_push(c, &s->patterns, one);
    }
    v = val_get_str(m, "propertyNames");
    if (val_undef(v) || s->draft < SCHEMA_DRAFT6) {
        return true;
    }
    return is_schema(v) ? child(c, S("propertyNames"), v, s, &s->property_names)
                        : invalid_type(c, "Valid Schema", "patternProperties");
}

static bool dependency(struct schemac *c, struct str name, struct val v, struct schema *s)
{
    struct schema_dependency d = {.name = name};
    if (is_schema(v)) {
        if (!child(c, name, v, s, &d.schema)) {
            return false;
        }
    } else if (!val_is(v, V_ARRAY)) {
        return schemac_fail(c, "Dependency must be of type Schema Or Array Of Strings");
    }
    for (uint32_t i = 0; val_is(v, V_ARRAY) && i < val_len(v); i++) {
        if (!val_is(val_nth(v, i), V_STRING)) {
            return schemac_fail(c, "Dependency must be of type Schema Or Array Of Strings");
        }
        schemac_push_str(c, &d.members, val_text(val_nth(v, i)));
    }
    s->dependencies[s->n_dependencies++] = d;
    return true;
}

static bool dependencies(struct schemac *c, struct val m, struct schema *s)
{
    struct val v = val_get_str(m, "dependencies");
    if (val_undef(v)) {
        return true;
    }
    if (!val_is(v, V_OBJECT)) {
        return schemac_fail(c, "dependencies must be of type object");
    }
    s->dependencies = arena_array(c->a, struct schema_dependency, val_len(v) + 1);
    for (uint32_t i = 0; i < val_len(v); i++) {
        if (!dependency(c, val_text(val_nth_key(c->a, v, i)), val_nth(v, i), s)) {
            return false;
        }
    }
    return true;
}

static bool items(struct schemac *c, struct val m, struct schema *s)
{
    struct val v = val_get_str(m, "items");
    struct schema *one;
    if (val_undef(v)) {
        return true;
    }
    if (is_schema(v)) {
        s->one_for_all = true;
        schemac_push(c, &s->items, one = schemac_new(c, S("items"), s));
        return schemac_schema(c, v, one);
    }
    for (uint32_t i = 0; val_is(v, V_ARRAY) && i < val_len(v); i++) {
        if (!is_schema(val_nth(v, i))) {
            return invalid_type(c, "Valid Schema/Array Of Schemas", "items");
        }
        if (!child(c, S("items"), val_nth(v, i), s, &one)) {
            return false;
        }
        schemac_push(c, &s->items, one);
    }
    return val_is(v, V_ARRAY) || invalid_type(c, "Valid Schema/Array Of Schemas", "items");
}

/* Bounds of numbers. */

static bool bound(struct schemac *c, struct val m, const char *key, struct val *out)
{
    struct val v = val_get_str(m, key);
    if (val_undef(v)) {
        return true;
    }
    *out = v;
    return val_is(v, V_NUMBER) || schemac_fail(c, "%s must be of a Number", key);
}

/* In draft 4 a boolean that sharpens the bound beside it, from draft 6 on a bound of its own. */
static bool exclusive(struct schemac *c, struct val m, const char *key, const char *with,
                      const struct schema *s, struct val *limit, struct val *out)
{
    struct val v = val_get_str(m, key);
    bool number = s->draft != SCHEMA_DRAFT4 && val_is(v, V_NUMBER);
    bool flag = (s->draft == SCHEMA_DRAFT4 || s->draft == SCHEMA_HYBRID) && val_is(v, V_BOOL);
    if (val_undef(v)) {
        return true;
    }
    if (number) {
        *out = v;
        return true;
    }
    if (!flag) {
        return invalid_type(c,
                            s->draft == SCHEMA_DRAFT4   ? "boolean"
                            : s->draft == SCHEMA_HYBRID ? "boolean/number"
                                                        : "number",
                            key);
    }
    if (val_undef(*limit)) {
        return schemac_fail(c, "%s cannot be used without %s", key, with);
    }
    if (val_is_true(v)) {
        *out = *limit;
        *limit = VAL_UNDEF;
    }
    return true;
}

static bool numbers(struct schemac *c, struct val m, struct schema *s)
{
    s->multiple_of = val_get_str(m, "multipleOf");
    if (!val_undef(s->multiple_of)) {
        if (!val_is(s->multiple_of, V_NUMBER)) {
            return invalid_type(c, "Number", "multipleOf");
        }
        if (num_sign(val_number(s->multiple_of)) <= 0) {
            return schemac_fail(c, "multipleOf must be strictly greater than 0");
        }
    }
    return bound(c, m, "minimum", &s->minimum) &&
           exclusive(c, m, "exclusiveMinimum", "minimum", s, &s->minimum, &s->above) &&
           bound(c, m, "maximum", &s->maximum) &&
           exclusive(c, m, "exclusiveMaximum", "maximum", s, &s->maximum, &s->below);
}

/* Counts: whole numbers written as such, from 0 on. */
static bool count(struct schemac *c, struct val m, const char *key, int64_t *out)
{
    struct val v = val_get_str(m, key);
    if (val_undef(v)) {
        return true;
    }
    if (!val_is(v, V_NUMBER) || !num_written_as_int(val_number(v)) || !val_to_i64(v, out)) {
        *out = -1;
        return schemac_fail(c, "%s must be of an integer", key);
    }
    return *out >= 0 || schemac_fail(c, "%s must be greater than or equal to 0", key);
}

static bool strings(struct schemac *c, struct val m, struct schema *s)
{
    bool there;
    struct regex *re;
    if (!count(c, m, "minLength", &s->min_length) || !count(c, m, "maxLength", &s->max_length)) {
        return false;
    }
    if (s->max_length >= 0 && s->min_length > s->max_length) {
        return schemac_fail(c, "minLength cannot be greater than maxLength");
    }
    if (!schemac_string(c, m, "pattern", &there, &s->pattern)) {
        return false;
    }
    s->has_pattern = there && c->patterns;
    if (s->has_pattern && failed(regex_cached(s->pattern, &re))) {
        return schemac_fail(c, "pattern must be a valid regex");
    }
    return schemac_string(c, m, "format", &there, &s->format);
}

static bool objects(struct schemac *c, struct val m, struct schema *s)
{
    struct val v;
    if (!count(c, m, "minProperties", &s->min_properties) ||
        !count(c, m, "maxProperties", &s->max_properties)) {
        return false;
    }
    if (s->max_properties >= 0 && s->min_properties > s->max_properties) {
        return schemac_fail(c, "minProperties cannot be greater than maxProperties");
    }
    if (!list_of(c, m, "required", &v)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val one = val_nth(v, i);
        if (!val_is(one, V_STRING)) {
            return invalid_type(c, "string", "required");
        }
        if (schemac_has(&s->required, val_text(one))) {
            return schemac_fail(c, "required items must be unique");
        }
        schemac_push_str(c, &s->required, val_text(one));
    }
    return true;
}

static bool arrays(struct schemac *c, struct val m, struct schema *s)
{
    struct val v = val_get_str(m, "uniqueItems"), contains = val_get_str(m, "contains");
    if (!count(c, m, "minItems", &s->min_items) || !count(c, m, "maxItems", &s->max_items)) {
        return false;
    }
    if (!val_undef(v) && !val_is(v, V_BOOL)) {
        return schemac_fail(c, "uniqueItems must be of a boolean");
    }
    s->unique = val_is_true(v);
    return val_undef(contains) || s->draft < SCHEMA_DRAFT6 ||
           child(c, S("contains"), contains, s, &s->contains);
}

static bool literals(struct schemac *c, struct val m, struct schema *s)
{
    struct val v = val_get_str(m, "const");
    struct str text;
    if (!val_undef(v) && s->draft >= SCHEMA_DRAFT6) {
        s->has_const = true;
        if (!schema_plain_text(c->a, v, &s->constant, &text)) {
            return schemac_fail(c, "%.*s", STR_FMT(text));
        }
    }
    s->has_enum = !val_undef(val_get_str(m, "enum"));
    if (!list_of(c, m, "enum", &v)) {
        return false;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct str why;
        if (!schema_plain_text(c->a, val_nth(v, i), &text, &why)) {
            return schemac_fail(c, "%.*s", STR_FMT(why));
        }
        if (schemac_has(&s->values, text)) {
            return schemac_fail(c, "enum items must be unique");
        }
        schemac_push_str(c, &s->values, text);
    }
    return true;
}

static bool condition(struct schemac *c, struct val m, const char *key, struct schema *s,
                      struct schema **out)
{
    struct val v = val_get_str(m, key);
    if (val_undef(v)) {
        return true;
    }
    return is_schema(v) ? child(c, str_of(key), v, s, out)
                        : schemac_fail(c, "%s must be of an object", key);
}

static bool combinations(struct schemac *c, struct val m, struct schema *s)
{
    if (!children(c, m, "oneOf", s, &s->one_of) || !children(c, m, "anyOf", s, &s->any_of) ||
        !children(c, m, "allOf", s, &s->all_of) || !condition(c, m, "not", s, &s->not_)) {
        return false;
    }
    return s->draft < SCHEMA_DRAFT7 ||
           (condition(c, m, "if", s, &s->if_) && condition(c, m, "then", s, &s->then) &&
            condition(c, m, "else", s, &s->otherwise));
}

static bool words(struct schemac *c, struct val m, struct schema *s)
{
    bool done;
    if (!names(c, m, s) || !schemac_reference(c, m, s, &done)) {
        return false;
    }
    return done ||
           (types(c, m, s) && properties(c, m, s) &&
            more(c, m, "additionalProperties", s, &s->no_more_properties, &s->more_properties) &&
            patterns(c, m, s) && dependencies(c, m, s) && items(c, m, s) &&
            more(c, m, "additionalItems", s, &s->no_more_items, &s->more_items) &&
            numbers(c, m, s) && strings(c, m, s) && objects(c, m, s) && arrays(c, m, s) &&
            literals(c, m, s) && combinations(c, m, s));
}

bool schemac_schema(struct schemac *c, struct val document, struct schema *s)
{
    if (s->draft >= SCHEMA_DRAFT6 && val_is(document, V_BOOL)) {
        s->is_bool = true;
        s->pass = val_is_true(document);
        return true;
    }
    if (!val_is(document, V_OBJECT)) {
        return schemac_fail(c, "Expected: Valid Schema, given: Invalid JSON");
    }
    if (!schemac_enter(c)) {
        return false;
    }
    bool ok = words(c, document, s);
    c->depth--;
    return ok;
}
