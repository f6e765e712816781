/* A type system document joined with the prelude: its tables, its extensions, its entry points. */
#include "authz/rego/builtin/graphql/schema.h"

bool gql_is_leaf(const struct gql_definition *d)
{
    return gql_kind_is(d, "ENUM") || gql_kind_is(d, "SCALAR");
}

bool gql_is_abstract(const struct gql_definition *d)
{
    return gql_kind_is(d, "INTERFACE") || gql_kind_is(d, "UNION");
}

bool gql_is_composite(const struct gql_definition *d)
{
    return gql_kind_is(d, "OBJECT") || gql_is_abstract(d);
}

bool gql_is_input(const struct gql_definition *d)
{
    return gql_is_leaf(d) || gql_kind_is(d, "INPUT_OBJECT");
}

bool gql_type_fits(const struct gql_type *t, const struct gql_type *wanted)
{
    for (;; t = t->elem, wanted = wanted->elem) {
        if (!str_eq(t->named, wanted->named) || (t->elem != NULL && wanted->elem == NULL) ||
            (wanted->non_null && !t->non_null)) {
            return false;
        }
        if (t->elem == NULL) {
            return true;
        }
    }
}

const struct gql_list *gql_possible(struct gql_schema *s, struct str name)
{
    static const struct gql_list none;
    const struct gql_list *l = map_get(&s->possible, name);
    return l != NULL ? l : &none;
}

static void add_possible(struct gql *g, struct gql_schema *s, struct str name,
                         struct gql_definition *d)
{
    struct gql_list *l = map_get(&s->possible, name);
    if (l == NULL) {
        l = arena_new(g->a, struct gql_list);
        (void)map_set(&s->possible, name, l);
    }
    if (d != NULL) {
        gql_push(g, l, d);
    }
}

static bool declare_types(struct gql *g, struct gql_schema *s, const struct gql_list *definitions)
{
    for (size_t i = 0; i < definitions->n; i++) {
        struct gql_definition *d = definitions->v[i];
        if (gql_spend(g, 1)) {
            return false;
        }
        if (map_set(&s->types, d->name, d) != NULL) {
            return gql_fail_at(g, &d->pos, "Cannot redeclare type %.*s.", STR_FMT(d->name));
        }
    }
    return true;
}

static void append(struct gql *g, struct gql_list *to, const struct gql_list *from)
{
    for (size_t i = 0; i < from->n && !gql_spend(g, 1); i++) {
        gql_push(g, to, from->v[i]);
    }
}

static void append_strs(struct gql *g, struct gql_strs *to, const struct gql_strs *from)
{
    for (size_t i = 0; i < from->n && !gql_spend(g, 1); i++) {
        gql_push_str(g, to, from->v[i]);
    }
}

/* Extending what does not exist makes it exist. */
static bool extend(struct gql *g, struct gql_schema *s, const struct gql_definition *e,
                   struct gql_list *all)
{
    struct gql_definition *d = gql_type_def(s, e->name);
    if (d == NULL) {
        d = arena_new(g->a, struct gql_definition);
        d->kind = e->kind;
        d->name = e->name;
        d->pos = e->pos;
        (void)map_set(&s->types, d->name, d);
        gql_push(g, all, d);
    }
    if (!str_eq(d->kind, e->kind)) {
        return gql_fail_at(g, &e->pos,
                           "Cannot extend type %.*s because the base type is a %.*s, not %.*s.",
                           STR_FMT(e->name), STR_FMT(d->kind), STR_FMT(e->kind));
    }
    append(g, &d->directives, &e->directives);
    append(g, &d->fields, &e->fields);
    append(g, &d->values, &e->values);
    append(g, &d->type_positions, &e->type_positions);
    append_strs(g, &d->interfaces, &e->interfaces);
    append_strs(g, &d->types, &e->types);
    return !g->failed;
}

static void relate(struct gql *g, struct gql_schema *s, struct gql_definition *d)
{
    if (gql_kind_is(d, "UNION")) {
        for (size_t i = 0; i < d->types.n && !gql_spend(g, 1); i++) {
            add_possible(g, s, d->name, gql_type_def(s, d->types.v[i]));
        }
        return;
    }
    bool object = gql_kind_is(d, "OBJECT") || gql_kind_is(d, "INPUT_OBJECT");
    if (!object && !gql_kind_is(d, "INTERFACE")) {
        return;
    }
    for (size_t i = 0; i < d->interfaces.n && !gql_spend(g, 1); i++) {
        add_possible(g, s, d->interfaces.v[i], d);
    }
    if (object) {
        add_possible(g, s, d->name, d);
    }
}

/* Schemas may declare again what the specification declares; the last one counts. */
static bool may_be_redeclared(struct str name)
{
    static const char *const known[] = {"include",     "skip",  "deprecated",
                                        "specifiedBy", "defer", "oneOf"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_is(name, known[i])) {
            return true;
        }
    }
    return false;
}

static bool declare_directives(struct gql *g, struct gql_schema *s, const struct gql_list *list)
{
    for (size_t i = 0; i < list->n && !gql_spend(g, 1); i++) {
        struct gql_directive_def *d = list->v[i];
        if (map_get(&s->directives, d->name) != NULL && !may_be_redeclared(d->name)) {
            return gql_fail_at(g, &d->pos, "Cannot redeclare directive %.*s.", STR_FMT(d->name));
        }
        (void)map_set(&s->directives, d->name, d);
    }
    return !g->failed;
}

static bool enter_at(struct gql *g, struct gql_schema *s, const struct gql_schema_def *def)
{
    for (size_t i = 0; i < def->operations.n && !gql_spend(g, 1); i++) {
        const struct gql_operation_type *o = def->operations.v[i];
        struct gql_definition *d = gql_type_def(s, o->type);
        if (d == NULL) {
            return gql_fail_at(g, &o->pos,
                               "Schema root %.*s refers to a type %.*s that does not exist.",
                               STR_FMT(o->operation), STR_FMT(o->type));
        }
        if (str_is(o->operation, "query")) {
            s->query = d;
        } else if (str_is(o->operation, "mutation")) {
            s->mutation = d;
        } else if (str_is(o->operation, "subscription")) {
            s->subscription = d;
        }
    }
    return gql_check_applied(g, s, &def->directives, S("SCHEMA"), NULL, true);
}

static struct gql_type *named_type(struct gql *g, struct str name, bool non_null)
{
    struct gql_type *t = arena_new(g->a, struct gql_type);
    t->named = name;
    t->non_null = non_null;
    return t;
}

static void add_introspection(struct gql *g, struct gql_definition *query)
{
    struct gql_field *schema = arena_new(g->a, struct gql_field);
    struct gql_field *type = arena_new(g->a, struct gql_field);
    struct gql_field *name = arena_new(g->a, struct gql_field);
    schema->name = S("__schema");
    schema->type = named_type(g, S("__Schema"), true);
    type->name = S("__type");
    type->type = named_type(g, S("__Type"), false);
    name->name = S("name");
    name->type = named_type(g, S("String"), true);
    gql_push(g, &type->arguments, name);
    gql_push(g, &query->fields, schema);
    gql_push(g, &query->fields, type);
}

static bool entry_points(struct gql *g, struct gql_schema *s, const struct gql_types *t)
{
    if (t->schema.n > 1) {
        const struct gql_schema_def *second = t->schema.v[1];
        return gql_fail_at(
            g, &second->pos,
            "Cannot have multiple schema entry points, consider schema extensions instead.");
    }
    if (t->schema.n == 1 && !enter_at(g, s, t->schema.v[0])) {
        return false;
    }
    for (size_t i = 0; i < t->schema_extensions.n; i++) {
        if (!enter_at(g, s, t->schema_extensions.v[i])) {
            return false;
        }
    }
    return true;
}

/* Without a schema definition, types of these names are the entry points. */
static void default_entry_points(struct gql_schema *s)
{
    s->query = s->query != NULL ? s->query : gql_type_def(s, S("Query"));
    s->mutation = s->mutation != NULL ? s->mutation : gql_type_def(s, S("Mutation"));
    s->subscription =
        s->subscription != NULL ? s->subscription : gql_type_def(s, S("Subscription"));
}

bool gql_schema_build(struct gql *g, struct gql_types *user, struct gql_schema *s)
{
    struct gql_types t = {0};
    struct gql_list all = {0};
    *s = (struct gql_schema){0};
    map_init(&s->types);
    map_init(&s->directives);
    map_init(&s->possible);
    if (!gql_parse_prelude(g, str_of(gql_prelude), &t)) {
        return false;
    }
    append(g, &t.definitions, &user->definitions);
    append(g, &t.directives, &user->directives);
    if (g->failed || !declare_types(g, s, &t.definitions)) {
        return false;
    }
    append(g, &all, &t.definitions);
    for (size_t i = 0; i < user->extensions.n; i++) {
        if (!extend(g, s, user->extensions.v[i], &all)) {
            return false;
        }
    }
    for (size_t i = 0; i < all.n; i++) {
        relate(g, s, all.v[i]);
    }
    if (!declare_directives(g, s, &t.directives) || !entry_points(g, s, user) ||
        !gql_check_types(g, s) || !gql_check_directives(g, s)) {
        return false;
    }
    if (user->schema.n == 0) {
        default_entry_points(s);
    }
    if (s->query != NULL) {
        add_introspection(g, s->query);
    }
    return !g->failed;
}

void gql_schema_release(struct gql_schema *s)
{
    map_release(&s->types);
    map_release(&s->directives);
    map_release(&s->possible);
}
