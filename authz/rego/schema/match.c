/*
 * Values against schemas. Findings come in the order in which upstream looks for them; where it goes
 * over an object in no order, here it is that of the keys.
 */
#include "authz/rego/schema/schema.h"

#include "authz/rego/builtin/regex_cache.h"
#include "authz/rego/value/utf8.h"
#include "lib/base/map.h"

#include <stdarg.h>
#include <stdio.h>

/* Where the value stands in the document. */
struct where {
    const struct where *above; /* NULL at the root */
    struct str name;
};

struct matcher {
    struct arena *a;
    uint64_t work;
    unsigned depth;
    bool stopped;
};

static void check(struct matcher *m, const struct schema *s, struct val v, const struct where *at,
                  struct schema_result *r);

static bool spend(struct matcher *m, uint64_t work)
{
    m->work += work;
    m->stopped = m->stopped || m->work > SCHEMA_WORK_MAX || arena_exhausted(m->a);
    return m->stopped;
}

static struct str field_of(struct arena *a, const struct where *at)
{
    struct buf out;
    const struct where *path[SCHEMA_DEPTH_MAX + 2];
    size_t n = 0;
    if (at->above == NULL) {
        return at->name;
    }
    for (; at->above != NULL && n < ARRAY_LEN(path); at = at->above) {
        path[n++] = at;
    }
    buf_init(&out, 1 << 20);
    for (size_t i = n; i-- > 0;) {
        buf_puts(&out, i + 1 < n ? S(".") : STR_EMPTY);
        buf_puts(&out, path[i]->name);
    }
    struct str s = arena_str(a, buf_str(&out));
    buf_release(&out);
    return s;
}

static void add(struct matcher *m, struct schema_result *r, struct schema_error e)
{
    if (r->n == r->cap) {
        r->v = arena_grow(m->a, r->v, r->n, r->n + 1, &r->cap, sizeof *r->v);
    }
    r->v[r->n++] = e;
}

/* A finding takes two points, so that one is lost after the point of having been looked at. */
static void report(struct matcher *m, struct schema_result *r, const struct where *at,
                   const char *type, const char *fmt, ...) PRINTF_LIKE(5, 6);
static void report(struct matcher *m, struct schema_result *r, const struct where *at,
                   const char *type, const char *fmt, ...)
{
    struct buf text;
    char part[4096];
    va_list ap;
    if (spend(m, 10)) {
        return;
    }
    va_start(ap, fmt);
    int n = vsnprintf(part, sizeof part, fmt, ap);
    va_end(ap);
    buf_init(&text, sizeof part);
    buf_put(&text, part, MIN((size_t)n, sizeof part - 1));
    add(m, r, (struct schema_error){type, field_of(m->a, at), arena_str(m->a, buf_str(&text))});
    buf_release(&text);
    r->score -= 2;
}

static void merge(struct matcher *m, struct schema_result *r, const struct schema_result *other)
{
    for (size_t i = 0; i < other->n && !spend(m, 1); i++) {
        add(m, r, other->v[i]);
    }
    r->score += other->score;
}

static struct schema_result alone(struct matcher *m, const struct schema *s, struct val v,
                                  const struct where *at)
{
    struct schema_result r = {0};
    check(m, s, v, at, &r);
    return r;
}

/* Combinations of schemas. */

/* The result that came nearest, of those that failed. */
static void keep_best(struct schema_result *best, bool *have, const struct schema_result *r)
{
    if (!*have || r->score > best->score) {
        *best = *r;
        *have = true;
    }
}

static void check_any_of(struct matcher *m, const struct schema *s, struct val v,
                         const struct where *at, struct schema_result *r)
{
    struct schema_result best = {0};
    bool have = false;
    for (size_t i = 0; i < s->any_of.n; i++) {
        struct schema_result one = alone(m, s->any_of.v[i], v, at);
        if (one.n == 0) {
            return;
        }
        keep_best(&best, &have, &one);
    }
    if (have) {
        report(m, r, at, "number_any_of", "Must validate at least one schema (anyOf)");
        merge(m, r, &best);
    }
}

static void check_one_of(struct matcher *m, const struct schema *s, struct val v,
                         const struct where *at, struct schema_result *r)
{
    struct schema_result best = {0};
    bool have = false;
    size_t fit = 0;
    for (size_t i = 0; i < s->one_of.n; i++) {
        struct schema_result one = alone(m, s->one_of.v[i], v, at);
        if (one.n == 0) {
            fit++;
        } else if (fit == 0) {
            keep_best(&best, &have, &one);
        }
    }
    if (s->one_of.n == 0 || fit == 1) {
        return;
    }
    report(m, r, at, "number_one_of", "Must validate one and only one schema (oneOf)");
    if (fit == 0) {
        merge(m, r, &best);
    }
}

static void check_all_of(struct matcher *m, const struct schema *s, struct val v,
                         const struct where *at, struct schema_result *r)
{
    size_t fit = 0;
    for (size_t i = 0; i < s->all_of.n; i++) {
        struct schema_result one = alone(m, s->all_of.v[i], v, at);
        fit += one.n == 0;
        merge(m, r, &one);
    }
    if (fit != s->all_of.n) {
        report(m, r, at, "number_all_of", "Must validate all the schemas (allOf)");
    }
}

static void check_dependencies(struct matcher *m, const struct schema *s, struct val v,
                               const struct where *at, struct schema_result *r)
{
    for (size_t i = 0; i < s->n_dependencies && val_is(v, V_OBJECT); i++) {
        const struct schema_dependency *d = &s->dependencies[i];
        if (val_undef(val_get(v, val_str(m->a, d->name)))) {
            continue;
        }
        if (d->schema != NULL) {
            check(m, d->schema, v, at, r);
        }
        for (size_t k = 0; k < d->members.n; k++) {
            if (val_undef(val_get(v, val_str(m->a, d->members.v[k])))) {
                report(m, r, at, "missing_dependency", "Has a dependency on %.*s",
                       STR_FMT(d->members.v[k]));
            }
        }
    }
}

static void check_condition(struct matcher *m, const struct schema *s, struct val v,
                            const struct where *at, struct schema_result *r)
{
    if (s->if_ == NULL) {
        return;
    }
    struct schema_result holds = alone(m, s->if_, v, at);
    const struct schema *next = holds.n == 0 ? s->then : s->otherwise;
    if (next == NULL) {
        return;
    }
    struct schema_result one = alone(m, next, v, at);
    if (one.n == 0) {
        return;
    }
    if (holds.n == 0) {
        report(m, r, at, "condition_then", "Must validate \"then\" as \"if\" was valid");
    } else {
        report(m, r, at, "condition_else", "Must validate \"else\" as \"if\" was not valid");
    }
    merge(m, r, &one);
}

static void check_combinations(struct matcher *m, const struct schema *s, struct val v,
                               const struct where *at, struct schema_result *r)
{
    check_any_of(m, s, v, at, r);
    check_one_of(m, s, v, at, r);
    check_all_of(m, s, v, at, r);
    if (s->not_ != NULL && alone(m, s->not_, v, at).n == 0) {
        report(m, r, at, "number_not", "Must not validate the schema (not)");
    }
    check_dependencies(m, s, v, at, r);
    check_condition(m, s, v, at, r);
    r->score++;
}

/* What concerns values of every type. */

static struct str listed(struct arena *a, const struct schema_strs *l)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < l->n; i++) {
        buf_puts(&out, i > 0 ? S(", ") : STR_EMPTY);
        buf_puts(&out, l->v[i]);
    }
    struct str s = arena_str(a, buf_str(&out));
    buf_release(&out);
    return s;
}

static bool has(const struct schema_strs *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(l->v[i], s)) {
            return true;
        }
    }
    return false;
}

static void check_common(struct matcher *m, const struct schema *s, struct val v,
                         const struct where *at, struct schema_result *r)
{
    struct str text = STR_EMPTY, why;
    if ((s->has_const || s->has_enum) && !schema_plain_text(m->a, v, &text, &why)) {
        report(m, r, at, "internal", "Internal Error %.*s", STR_FMT(why));
        return;
    }
    if (s->has_const && !str_eq(text, s->constant)) {
        report(m, r, at, "const", "%.*s does not match: %.*s", STR_FMT(field_of(m->a, at)),
               STR_FMT(s->constant));
    }
    if (s->has_enum && !has(&s->values, text)) {
        report(m, r, at, "enum", "%.*s must be one of the following: %.*s",
               STR_FMT(field_of(m->a, at)), STR_FMT(listed(m->a, &s->values)));
    }
    if (s->format.n > 0 && val_is(v, V_STRING) && !schema_format_ok(m->a, s->format, val_text(v))) {
        report(m, r, at, "format", "Does not match format '%.*s'", STR_FMT(s->format));
    }
    r->score++;
}

/* Arrays. */

static struct where item_at(struct arena *a, const struct where *at, size_t i)
{
    return (struct where){at, arena_printf(a, "%zu", i)};
}

static void check_item(struct matcher *m, const struct schema *s, struct val v, uint32_t i,
                       const struct where *at, struct schema_result *r)
{
    struct where here = item_at(m->a, at, i);
    struct schema_result one = alone(m, s, val_nth(v, i), &here);
    merge(m, r, &one);
}

static void check_items(struct matcher *m, const struct schema *s, struct val v,
                        const struct where *at, struct schema_result *r)
{
    uint32_t n = val_len(v), given = (uint32_t)s->items.n;
    for (uint32_t i = 0; s->one_for_all && i < n && !m->stopped; i++) {
        check_item(m, s->items.v[0], v, i, at, r);
    }
    if (s->one_for_all || given == 0) {
        return;
    }
    for (uint32_t i = 0; i < MIN(n, given) && !m->stopped; i++) {
        check_item(m, s->items.v[i], v, i, at, r);
    }
    if (given < n && s->no_more_items) {
        report(m, r, at, "array_no_additional_items", "No additional items allowed on array");
    }
    for (uint32_t i = given; s->more_items != NULL && i < n && !m->stopped; i++) {
        check_item(m, s->more_items, v, i, at, r);
    }
}

static void check_unique(struct matcher *m, struct val v, const struct where *at,
                         struct schema_result *r)
{
    struct map seen;
    map_init(&seen);
    for (uint32_t i = 0; i < val_len(v) && !spend(m, 1); i++) {
        struct str text, why;
        if (!schema_plain_text(m->a, val_nth(v, i), &text, &why)) {
            report(m, r, at, "internal", "Internal Error %.*s", STR_FMT(why));
            break;
        }
        char *before = map_set(&seen, text, (char *)(uintptr_t)(i + 1));
        if (before != NULL) {
            report(m, r, at, "unique", "array items[%u,%u] must be unique",
                   (unsigned)((uintptr_t)before - 1), i);
        }
    }
    map_release(&seen);
}

static void check_contains(struct matcher *m, const struct schema *s, struct val v,
                           const struct where *at, struct schema_result *r)
{
    struct schema_result best = {0};
    bool have = false;
    for (uint32_t i = 0; i < val_len(v) && !m->stopped; i++) {
        struct where here = item_at(m->a, at, i);
        struct schema_result one = alone(m, s->contains, val_nth(v, i), &here);
        if (one.n == 0) {
            return;
        }
        keep_best(&best, &have, &one);
    }
    report(m, r, at, "contains", "At least one of the items must match");
    if (have) {
        merge(m, r, &best);
    }
}

static void check_array(struct matcher *m, const struct schema *s, struct val v,
                        const struct where *at, struct schema_result *r)
{
    check_items(m, s, v, at, r);
    if (s->min_items >= 0 && val_len(v) < s->min_items) {
        report(m, r, at, "array_min_items", "Array must have at least %lld items",
               (long long)s->min_items);
    }
    if (s->max_items >= 0 && val_len(v) > s->max_items) {
        report(m, r, at, "array_max_items", "Array must have at most %lld items",
               (long long)s->max_items);
    }
    if (s->unique) {
        check_unique(m, v, at, r);
    }
    if (s->contains != NULL) {
        check_contains(m, s, v, at, r);
    }
    r->score++;
}

/* Objects. */

static bool matches(struct matcher *m, struct str pattern, struct str text)
{
    struct regex *re;
    (void)spend(m, 1 + text.n / 16);
    return !failed(regex_cached(pattern, &re)) && regex_match(re, text, NULL, 0);
}

static bool check_patterns(struct matcher *m, const struct schema *s, struct str key, struct val v,
                           const struct where *at, struct schema_result *r)
{
    bool matched = false;
    for (size_t i = 0; i < s->patterns.n && !m->stopped; i++) {
        if (!matches(m, s->patterns.v[i]->name, key)) {
            continue;
        }
        struct where here = {at, key};
        struct schema_result one = alone(m, s->patterns.v[i], v, &here);
        matched = true;
        merge(m, r, &one);
    }
    r->score += matched;
    return matched;
}

/* Properties are sorted by name. */
static const struct schema *property_of(const struct schema *s, struct str name)
{
    size_t from = 0, to = s->properties.n;
    while (from < to) {
        size_t mid = from + (to - from) / 2;
        int order = str_cmp(s->properties.v[mid]->name, name);
        if (order == 0) {
            return s->properties.v[mid];
        }
        from = order < 0 ? mid + 1 : from;
        to = order < 0 ? to : mid;
    }
    return NULL;
}

static void check_member(struct matcher *m, const struct schema *s, struct str key, struct val v,
                         const struct where *at, struct schema_result *r)
{
    bool known = property_of(s, key) != NULL;
    if (check_patterns(m, s, key, v, at, r) || known) {
        return;
    }
    if (s->no_more_properties) {
        report(m, r, at, "additional_property_not_allowed",
               "Additional property %.*s is not allowed", STR_FMT(key));
    } else if (s->more_properties != NULL) {
        struct where here = {at, key};
        struct schema_result one = alone(m, s->more_properties, v, &here);
        merge(m, r, &one);
    }
}

static void check_property_name(struct matcher *m, const struct schema *s, struct val key,
                                const struct where *at, struct schema_result *r)
{
    struct schema_result one = alone(m, s->property_names, key, at);
    if (one.n > 0) {
        report(m, r, at, "invalid_property_name", "Property name of \"%.*s\" does not match",
               STR_FMT(val_text(key)));
        merge(m, r, &one);
    }
}

static void check_object(struct matcher *m, const struct schema *s, struct val v,
                         const struct where *at, struct schema_result *r)
{
    if (s->min_properties >= 0 && val_len(v) < s->min_properties) {
        report(m, r, at, "array_min_properties", "Must have at least %lld properties",
               (long long)s->min_properties);
    }
    if (s->max_properties >= 0 && val_len(v) > s->max_properties) {
        report(m, r, at, "array_max_properties", "Must have at most %lld properties",
               (long long)s->max_properties);
    }
    for (size_t i = 0; i < s->required.n; i++) {
        if (val_undef(val_get(v, val_str(m->a, s->required.v[i])))) {
            report(m, r, at, "required", "%.*s is required", STR_FMT(s->required.v[i]));
        } else {
            r->score++;
        }
    }
    for (uint32_t i = 0; i < val_len(v) && !spend(m, 1); i++) {
        check_member(m, s, val_text(val_nth_key(m->a, v, i)), val_nth(v, i), at, r);
    }
    for (uint32_t i = 0; s->property_names != NULL && i < val_len(v) && !m->stopped; i++) {
        check_property_name(m, s, val_nth_key(m->a, v, i), at, r);
    }
    r->score++;
}

static void check_properties(struct matcher *m, const struct schema *s, struct val v,
                             const struct where *at, struct schema_result *r)
{
    for (size_t i = 0; i < s->properties.n && !spend(m, 1); i++) {
        struct where here = {at, s->properties.v[i]->name};
        struct val item = val_get(v, val_str(m->a, here.name));
        if (!val_undef(item)) {
            check(m, s->properties.v[i], item, &here, r);
        }
    }
}

/* Strings and numbers. */

static void check_string(struct matcher *m, const struct schema *s, struct str text,
                         const struct where *at, struct schema_result *r)
{
    int64_t n = (int64_t)utf8_count(text);
    if (s->min_length >= 0 && n < s->min_length) {
        report(m, r, at, "string_gte", "String length must be greater than or equal to %lld",
               (long long)s->min_length);
    }
    if (s->max_length >= 0 && n > s->max_length) {
        report(m, r, at, "string_lte", "String length must be less than or equal to %lld",
               (long long)s->max_length);
    }
    if (s->has_pattern && !matches(m, s->pattern, text)) {
        report(m, r, at, "pattern", "Does not match pattern '%.*s'", STR_FMT(s->pattern));
    }
    r->score++;
}

static void report_bound(struct matcher *m, struct schema_result *r, const struct where *at,
                         const char *type, const char *text, struct val bound)
{
    report(m, r, at, type, "%s %.*s", text, STR_FMT(schema_bound_text(m->a, bound)));
}

static void check_number(struct matcher *m, const struct schema *s, struct val v,
                         const struct where *at, struct schema_result *r)
{
    if (!val_undef(s->multiple_of) && !schema_is_multiple(m->a, v, s->multiple_of)) {
        report_bound(m, r, at, "multiple_of", "Must be a multiple of", s->multiple_of);
    }
    if (!val_undef(s->maximum) && val_cmp(v, s->maximum) > 0) {
        report_bound(m, r, at, "number_lte", "Must be less than or equal to", s->maximum);
    }
    if (!val_undef(s->below) && val_cmp(v, s->below) >= 0) {
        report_bound(m, r, at, "number_lt", "Must be less than", s->below);
    }
    if (!val_undef(s->minimum) && val_cmp(v, s->minimum) < 0) {
        report_bound(m, r, at, "number_gte", "Must be greater than or equal to", s->minimum);
    }
    if (!val_undef(s->above) && val_cmp(v, s->above) <= 0) {
        report_bound(m, r, at, "number_gt", "Must be greater than", s->above);
    }
    r->score++;
}

/* Types. */

static enum schema_type type_of(struct val v)
{
    switch (val_type(v)) {
    case V_BOOL:
        return SCHEMA_BOOLEAN;
    case V_NUMBER:
        return num_is_integral(val_number(v)) ? SCHEMA_INTEGER : SCHEMA_NUMBER;
    case V_STRING:
        return SCHEMA_STRING;
    case V_ARRAY:
        return SCHEMA_ARRAY;
    case V_OBJECT:
        return SCHEMA_OBJECT;
    default:
        return SCHEMA_NULL;
    }
}

static bool type_fits(const struct schema *s, enum schema_type t)
{
    return s->n_types == 0 || memchr(s->types, (int)t, s->n_types) != NULL ||
           (t == SCHEMA_INTEGER && memchr(s->types, SCHEMA_NUMBER, s->n_types) != NULL);
}

static const char *const type_names[SCHEMA_TYPES] = {"array", "boolean", "integer", "number",
                                                     "null",  "object",  "string"};

static void report_type(struct matcher *m, const struct schema *s, enum schema_type given,
                        const struct where *at, struct schema_result *r)
{
    struct buf expected;
    buf_init(&expected, 256);
    buf_puts(&expected, s->n_types > 1 ? S("[") : STR_EMPTY);
    for (size_t i = 0; i < s->n_types; i++) {
        buf_puts(&expected, i > 0 ? S(",") : STR_EMPTY);
        buf_puts(&expected, str_of(type_names[s->types[i]]));
    }
    buf_puts(&expected, s->n_types > 1 ? S("]") : STR_EMPTY);
    report(m, r, at, "invalid_type", "Invalid type. Expected: %.*s, given: %s",
           STR_FMT(buf_str(&expected)), type_names[given]);
    buf_release(&expected);
}

static void check_here(struct matcher *m, const struct schema *s, struct val v,
                       const struct where *at, struct schema_result *r)
{
    enum schema_type t = type_of(v);
    if (!type_fits(s, t)) {
        report_type(m, s, t, at, r);
        return;
    }
    check_combinations(m, s, v, at, r);
    if (t == SCHEMA_ARRAY) {
        check_array(m, s, v, at, r);
    } else if (t == SCHEMA_OBJECT) {
        check_object(m, s, v, at, r);
    } else if (t == SCHEMA_INTEGER || t == SCHEMA_NUMBER) {
        check_number(m, s, v, at, r);
    }
    check_common(m, s, v, at, r);
    if (t == SCHEMA_STRING) {
        check_string(m, s, val_text(v), at, r);
    } else if (t == SCHEMA_OBJECT) {
        check_properties(m, s, v, at, r);
    }
    r->score++;
}

static void check(struct matcher *m, const struct schema *s, struct val v, const struct where *at,
                  struct schema_result *r)
{
    size_t hops = 0;
    while (!s->is_bool && s->ref != NULL && hops++ < SCHEMA_DEPTH_MAX) {
        s = s->ref;
    }
    if (s->is_bool) {
        if (!s->pass) {
            report(m, r, at, "false", "False always fails validation");
        }
        return;
    }
    if (m->depth == SCHEMA_DEPTH_MAX || s->ref != NULL) {
        m->stopped = true;
    }
    if (spend(m, 1)) {
        return;
    }
    m->depth++;
    check_here(m, s, v, at, r);
    m->depth--;
}

bool schema_match(struct arena *a, const struct schema *s, struct val v, struct schema_result *out)
{
    struct matcher m = {.a = a};
    struct where root = {NULL, S("(Root)")};
    *out = (struct schema_result){0};
    check(&m, s, schema_plain(a, v), &root, out);
    out->work = m.work;
    if (m.stopped) {
        out->why = S("schema and document are too deep or take too much work");
    }
    return !m.stopped;
}
