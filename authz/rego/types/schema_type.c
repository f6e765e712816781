/* Types out of compiled schemas. */
#include "authz/rego/types/schema_type.h"

#include "authz/rego/schema/schema.h"

/* A schema that others refer to: at work on, or done. */
struct definition {
    const struct schema *schema;
    const struct type *type;
    struct type *recursive;
    struct definition *next;
};

struct reading {
    struct arena *a;
    struct definition *definitions;
    struct str why;
    unsigned depth;
};

static const struct type *read_schema(struct reading *r, const struct schema *s);

static const struct type *fail(struct reading *r, struct str why)
{
    r->why = r->why.n == 0 ? why : r->why;
    return NULL;
}

static bool has_type(const struct schema *s, enum schema_type t)
{
    for (size_t i = 0; i < s->n_types; i++) {
        if (s->types[i] == t) {
            return true;
        }
    }
    return false;
}

static void add_type(struct schema *s, enum schema_type t)
{
    if (!has_type(s, t) && s->n_types < SCHEMA_TYPES) {
        s->types[s->n_types++] = (uint8_t)t;
    }
}

static bool same_types(const struct schema *x, const struct schema *y)
{
    return x->n_types == y->n_types && memcmp(x->types, y->types, x->n_types) == 0;
}

static struct str types_text(struct reading *r, const struct schema *s)
{
    static const char *const names[] = {"array", "boolean", "integer", "number",
                                        "null",  "object",  "string"};
    struct str all = s->n_types == 0 ? S("undefined") : STR_EMPTY;
    for (size_t i = 0; i < s->n_types; i++) {
        all = arena_printf(r->a, "%.*s%s%s", STR_FMT(all), i > 0 ? "," : "", names[s->types[i]]);
    }
    return all;
}

static struct schema *copy_of(struct reading *r, const struct schema *s)
{
    struct schema *n = arena_new(r->a, struct schema);
    *n = *s;
    if (n->properties.n > 0) {
        add_type(n, SCHEMA_OBJECT);
    } else if (n->items.n > 0) {
        add_type(n, SCHEMA_ARRAY);
    }
    return n;
}

static struct schema_list joined(struct reading *r, struct schema_list x, struct schema_list y,
                                 size_t from)
{
    struct schema_list l = {arena_array(r->a, struct schema *, x.n + y.n + 1), x.n, 0};
    memcpy(l.v, x.v, x.n * sizeof *l.v);
    for (size_t i = from; i < y.n; i++) {
        l.v[l.n++] = y.v[i];
    }
    return l;
}

/* Takes what `s` says into `to`. */
static bool merge(struct reading *r, struct schema *to, const struct schema *s)
{
    if (!same_types(to, s)) {
        fail(r, arena_printf(r->a, "unable to merge these schemas: type mismatch: %.*s and %.*s",
                             STR_FMT(types_text(r, to)), STR_FMT(types_text(r, s))));
        return false;
    }
    if (has_type(to, SCHEMA_OBJECT) && to->properties.n > 0 && s->properties.n > 0) {
        to->properties = joined(r, to->properties, s->properties, 0);
    } else if (has_type(to, SCHEMA_ARRAY) && to->items.n > 0 && s->items.n > 0) {
        to->items = joined(r, to->items, s->items, to->items.n);
        for (size_t i = 0; i < s->items.n; i++) {
            if (!same_types(to->items.v[i], s->items.v[i])) {
                fail(r, S("unable to merge these schemas"));
                return false;
            }
        }
    }
    return true;
}

static const struct schema *behind_refs(const struct schema *s)
{
    for (unsigned i = 0; s->ref != NULL && i < SCHEMA_DEPTH_MAX; i++) {
        s = s->ref;
    }
    return s;
}

static const struct type *read_all_of(struct reading *r, const struct schema *s)
{
    struct schema *all = NULL;
    for (size_t i = 0; i < s->all_of.n; i++) {
        const struct schema *one = behind_refs(s->all_of.v[i]);
        bool says_nothing =
            one->n_types == 0 && one->any_of.n > 0 && one->properties.n == 0 && one->items.n == 0;
        if (says_nothing) {
            continue;
        }
        if (all == NULL) {
            all = copy_of(r, one);
        } else if (!merge(r, all, copy_of(r, one))) {
            return NULL;
        }
    }
    if (all == NULL) {
        return type_any();
    }
    if (s->n_types > 0) {
        bool both = (has_type(s, SCHEMA_OBJECT) && has_type(all, SCHEMA_OBJECT)) ||
                    (has_type(s, SCHEMA_ARRAY) && has_type(all, SCHEMA_ARRAY));
        if (!both && !same_types(s, all)) {
            return fail(r, S("unable to merge these schemas"));
        }
        if (both && !merge(r, all, copy_of(r, s))) {
            return NULL;
        }
    }
    return read_schema(r, all);
}

static const struct type *read_any_of(struct reading *r, const struct schema *s)
{
    const struct type *all = NULL;
    if (s->n_types > 0) {
        struct schema core = *s;
        core.any_of = (struct schema_list){0};
        const struct type *t = read_schema(r, &core);
        if (t == NULL) {
            return NULL;
        }
        all = t->kind == TY_OBJECT && t->object.n > 0 && !t->object.open ? t : NULL;
    }
    for (size_t i = 0; i < s->any_of.n; i++) {
        const struct type *t = read_schema(r, s->any_of.v[i]);
        if (t == NULL) {
            return NULL;
        }
        all = type_or(r->a, t, all);
    }
    return all;
}

static const struct type *read_object(struct reading *r, const struct schema *s)
{
    if (s->properties.n == 0) {
        return type_open_object(r->a, NULL, 0, type_any(), type_any());
    }
    struct type_prop *props = arena_array(r->a, struct type_prop, s->properties.n + 1);
    for (size_t i = 0; i < s->properties.n; i++) {
        props[i].key = val_str(r->a, s->properties.v[i]->name);
        props[i].value = read_schema(r, s->properties.v[i]);
        if (props[i].value == NULL) {
            return NULL;
        }
    }
    return type_object(r->a, props, s->properties.n);
}

static const struct type *read_array(struct reading *r, const struct schema *s)
{
    struct type_list l = {arena_array(r->a, const struct type *, s->items.n + 1), s->items.n};
    for (size_t i = 0; i < l.n; i++) {
        l.v[i] = read_schema(r, s->items.v[i]);
        if (l.v[i] == NULL) {
            return NULL;
        }
    }
    if (l.n == 0 || s->one_for_all) {
        return type_array(r->a, (struct type_list){0}, l.n == 0 ? type_any() : l.v[0]);
    }
    return type_array(r->a, l, NULL);
}

static const struct type *read_plain(struct reading *r, const struct schema *s)
{
    if (s->any_of.n > 0) {
        return read_any_of(r, s);
    }
    if (s->all_of.n > 0) {
        return read_all_of(r, s);
    }
    if (has_type(s, SCHEMA_BOOLEAN)) {
        return type_bool();
    }
    if (has_type(s, SCHEMA_STRING)) {
        return type_string();
    }
    if (has_type(s, SCHEMA_INTEGER) || has_type(s, SCHEMA_NUMBER)) {
        return type_number();
    }
    if (has_type(s, SCHEMA_OBJECT) || (s->n_types == 0 && s->properties.n > 0)) {
        return read_object(r, s);
    }
    if (has_type(s, SCHEMA_ARRAY) || (s->n_types == 0 && s->items.n > 0)) {
        return read_array(r, s);
    }
    return type_any();
}

static const struct type *read_definition(struct reading *r, const struct schema *s)
{
    for (struct definition *d = r->definitions; d != NULL; d = d->next) {
        if (d->schema != s) {
            continue;
        }
        if (d->type == NULL && d->recursive == NULL) {
            d->recursive =
                type_recursive(r->a, arena_printf(r->a, "#/definitions/%.*s", STR_FMT(s->name)));
        }
        return d->type != NULL ? d->type : d->recursive;
    }
    struct definition *d = arena_new(r->a, struct definition);
    d->schema = s;
    d->next = r->definitions;
    r->definitions = d;
    d->type = read_plain(r, behind_refs(s));
    if (d->recursive != NULL && d->type != NULL) {
        d->recursive->recursive.target = type_plain(d->type);
    }
    return d->type;
}

static const struct type *read_schema(struct reading *r, const struct schema *s)
{
    if (r->depth >= SCHEMA_DEPTH_MAX) {
        return type_any();
    }
    r->depth++;
    const struct type *t = s->ref != NULL ? read_definition(r, s->ref) : read_plain(r, s);
    r->depth--;
    return t;
}

const struct type *type_of_schema(struct arena *a, struct val document, struct str *why)
{
    struct reading r = {.a = a};
    struct schema *s;
    if (!schema_compile(a, document, 0, &s, why)) {
        *why = arena_printf(a, "unable to compile the schema: %.*s", STR_FMT(*why));
        return NULL;
    }
    const struct type *t = read_schema(&r, s);
    if (t == NULL) {
        *why = arena_printf(a, "type checking: %.*s", STR_FMT(r.why));
    }
    return t;
}
