/*
 * Definitions by themselves (the "Type Validation" parts of section 3 of the specification): names,
 * references, directives, interfaces, cycles. The first finding in the order of type names counts.
 */
#include "authz/rego/builtin/graphql/schema.h"

#include <stdlib.h>

static bool check_name(struct gql *g, const struct gql_pos *pos, struct str name)
{
    if (!str_starts(name, S("__"))) {
        return true;
    }
    return gql_fail_at(
        g, pos,
        "Name \"%.*s\" must not begin with \"__\", which is reserved by GraphQL introspection.",
        STR_FMT(name));
}

static bool check_ref(struct gql *g, struct gql_schema *s, const struct gql_type *t)
{
    struct str name = gql_type_name(t);
    (void)gql_spend(g, 1);
    return gql_type_def(s, name) != NULL ||
           gql_fail_at(g, &t->pos, "Undefined type %.*s.", STR_FMT(name));
}

static bool check_args(struct gql *g, struct gql_schema *s, const struct gql_list *args,
                       const struct gql_directive_def *within)
{
    for (size_t i = 0; i < args->n; i++) {
        const struct gql_field *arg = args->v[i];
        if (!check_name(g, &arg->pos, arg->name) || !check_ref(g, s, arg->type)) {
            return false;
        }
        const struct gql_definition *d = gql_type_def(s, gql_type_name(arg->type));
        if (!gql_is_input(d)) {
            return gql_fail_at(
                g, &arg->pos,
                "cannot use %.*s as argument %.*s because %.*s is not a valid input type",
                STR_FMT(gql_type_text(g, arg->type)), STR_FMT(arg->name), STR_FMT(d->kind));
        }
        if (!gql_check_applied(g, s, &arg->directives, S("ARGUMENT_DEFINITION"), within, true)) {
            return false;
        }
    }
    return true;
}

static bool applied_args(struct gql *g, const struct gql_directive *d,
                         const struct gql_directive_def *def)
{
    for (size_t i = 0; i < d->arguments.n; i++) {
        const struct gql_argument *arg = d->arguments.v[i];
        if (gql_named(g, &def->arguments, arg->name) == NULL) {
            return gql_fail_at(g, &arg->pos, "Undefined argument %.*s for directive %.*s.",
                               STR_FMT(arg->name), STR_FMT(d->name));
        }
    }
    for (size_t i = 0; i < def->arguments.n; i++) {
        const struct gql_field *want = def->arguments.v[i];
        if (!want->type->non_null || want->fallback != NULL) {
            continue;
        }
        const struct gql_argument *arg = gql_named(g, &d->arguments, want->name);
        if (arg == NULL || arg->value->kind == GQL_NULL) {
            return gql_fail_at(g, &d->pos, "Argument %.*s for directive %.*s cannot be null.",
                               STR_FMT(want->name), STR_FMT(d->name));
        }
    }
    return true;
}

static bool used_before(struct gql *g, const struct gql_list *directives, size_t i)
{
    const struct gql_directive *d = directives->v[i];
    return gql_named(g, &(struct gql_list){directives->v, i, i}, d->name) != NULL;
}

bool gql_check_applied(struct gql *g, struct gql_schema *s, const struct gql_list *directives,
                       struct str location, const struct gql_directive_def *within, bool once)
{
    for (size_t i = 0; i < directives->n; i++) {
        struct gql_directive *d = directives->v[i];
        if (!check_name(g, &d->pos, d->name)) {
            return false;
        }
        if (within != NULL && str_eq(d->name, within->name)) {
            return gql_fail_at(g, &d->pos, "Directive %.*s cannot refer to itself.",
                               STR_FMT(d->name));
        }
        struct gql_directive_def *def = map_get(&s->directives, d->name);
        if (def == NULL) {
            return gql_fail_at(g, &d->pos, "Undefined directive %.*s.", STR_FMT(d->name));
        }
        if (once && !def->repeatable && used_before(g, directives, i)) {
            return gql_fail_at(g, &d->pos,
                               "The directive %.*s can only be used once at this location.",
                               STR_FMT(d->name));
        }
        if (!gql_has_str(g, &def->locations, location)) {
            return gql_fail_at(g, &d->pos, "Directive %.*s is not applicable on %.*s.",
                               STR_FMT(d->name), STR_FMT(location));
        }
        if (!applied_args(g, d, def)) {
            return false;
        }
        d->def = def;
    }
    return !g->failed;
}

static bool check_fields(struct gql *g, struct gql_schema *s, const struct gql_definition *d)
{
    struct str location =
        gql_kind_is(d, "INPUT_OBJECT") ? S("INPUT_FIELD_DEFINITION") : S("FIELD_DEFINITION");
    for (size_t i = 0; i < d->fields.n; i++) {
        const struct gql_field *f = d->fields.v[i];
        if (!check_name(g, &f->pos, f->name) || !check_ref(g, s, f->type) ||
            !check_args(g, s, &f->arguments, NULL) ||
            !gql_check_applied(g, s, &f->directives, location, NULL, true)) {
            return false;
        }
    }
    return true;
}

static bool check_members(struct gql *g, struct gql_schema *s, const struct gql_definition *d)
{
    for (size_t i = 0; i < d->types.n; i++) {
        const struct gql_definition *m = gql_type_def(s, d->types.v[i]);
        if (m == NULL) {
            return gql_fail_at(g, &d->pos, "Undefined type %.*s.",
                               STR_FMT(gql_quoted(g, d->types.v[i])));
        }
        if (!gql_kind_is(m, "OBJECT")) {
            return gql_fail_at(g, &d->pos, "%.*s type %.*s must be OBJECT.", STR_FMT(d->kind),
                               STR_FMT(gql_quoted(g, d->types.v[i])));
        }
    }
    return true;
}

/* Interfaces (sections 3.6 and 3.7). */

static bool covariant(struct gql *g, struct gql_schema *s, const struct gql_type *wanted,
                      const struct gql_type *t)
{
    for (;; wanted = wanted->elem, t = t->elem) {
        if (wanted->non_null && !t->non_null) {
            return false;
        }
        if (wanted->named.n > 0) {
            return str_eq(wanted->named, t->named) ||
                   gql_named(g, gql_possible(s, wanted->named), t->named) != NULL;
        }
        if (wanted->elem == NULL || t->elem == NULL) {
            return false;
        }
    }
}

static bool implements_args(struct gql *g, const struct gql_definition *d,
                            const struct gql_definition *i, const struct gql_field *wanted,
                            const struct gql_field *f)
{
    for (size_t k = 0; k < wanted->arguments.n; k++) {
        const struct gql_field *want = wanted->arguments.v[k];
        const struct gql_field *got = gql_named(g, &f->arguments, want->name);
        if (got == NULL) {
            return gql_fail_at(g, &f->pos,
                               "For %.*s to implement %.*s the field %.*s must have the same "
                               "arguments but it is missing %.*s.",
                               STR_FMT(d->name), STR_FMT(i->name), STR_FMT(wanted->name),
                               STR_FMT(want->name));
        }
        if (!gql_type_fits(want->type, got->type)) {
            return gql_fail_at(g, &got->pos,
                               "For %.*s to implement %.*s the field %.*s must have the same "
                               "arguments but %.*s has the wrong type.",
                               STR_FMT(d->name), STR_FMT(i->name), STR_FMT(wanted->name),
                               STR_FMT(want->name));
        }
    }
    for (size_t k = 0; k < f->arguments.n; k++) {
        const struct gql_field *got = f->arguments.v[k];
        if (got->type->non_null && got->fallback == NULL &&
            gql_named(g, &wanted->arguments, got->name) == NULL) {
            return gql_fail_at(
                g, &got->pos,
                "For %.*s to implement %.*s any additional arguments on %.*s must be "
                "optional or have a default value but %.*s is required.",
                STR_FMT(d->name), STR_FMT(i->name), STR_FMT(f->name), STR_FMT(got->name));
        }
    }
    return true;
}

static bool implements_field(struct gql *g, struct gql_schema *s, const struct gql_definition *d,
                             const struct gql_definition *i, const struct gql_field *wanted)
{
    const struct gql_field *f = gql_named(g, &d->fields, wanted->name);
    if (f == NULL) {
        return gql_fail_at(g, &d->pos,
                           "For %.*s to implement %.*s it must have a field called %.*s.",
                           STR_FMT(d->name), STR_FMT(i->name), STR_FMT(wanted->name));
    }
    if (!covariant(g, s, wanted->type, f->type)) {
        return gql_fail_at(g, &f->pos,
                           "For %.*s to implement %.*s the field %.*s must have type %.*s.",
                           STR_FMT(d->name), STR_FMT(i->name), STR_FMT(wanted->name),
                           STR_FMT(gql_type_text(g, wanted->type)));
    }
    return implements_args(g, d, i, wanted, f);
}

static bool implements_ancestors(struct gql *g, const struct gql_definition *d,
                                 const struct gql_definition *i)
{
    for (size_t k = 0; k < i->interfaces.n; k++) {
        struct str above = i->interfaces.v[k];
        if (gql_has_str(g, &d->interfaces, above)) {
            continue;
        }
        if (str_eq(above, d->name)) {
            return gql_fail_at(
                g, &d->pos,
                "Type %.*s cannot implement %.*s because it would create a circular reference.",
                STR_FMT(d->name), STR_FMT(i->name));
        }
        return gql_fail_at(g, &d->pos,
                           "Type %.*s must implement %.*s because it is implemented by %.*s.",
                           STR_FMT(d->name), STR_FMT(above), STR_FMT(i->name));
    }
    return true;
}

static bool check_implements(struct gql *g, struct gql_schema *s, const struct gql_definition *d,
                             struct str name)
{
    const struct gql_definition *i = gql_type_def(s, name);
    if (i == NULL) {
        return gql_fail_at(g, &d->pos, "Undefined type %.*s.", STR_FMT(gql_quoted(g, name)));
    }
    if (!gql_kind_is(i, "INTERFACE")) {
        return gql_fail_at(g, &d->pos, "%.*s is a non interface type %.*s.",
                           STR_FMT(gql_quoted(g, name)), STR_FMT(i->kind));
    }
    for (size_t k = 0; k < i->fields.n; k++) {
        if (!implements_field(g, s, d, i, i->fields.v[k])) {
            return false;
        }
    }
    return implements_ancestors(g, d, i);
}

/* What a kind must have and may refer to. */

static bool field_kinds(struct gql *g, struct gql_schema *s, const struct gql_definition *d,
                        bool input)
{
    for (size_t i = 0; i < d->fields.n && !gql_spend(g, 1); i++) {
        const struct gql_field *f = d->fields.v[i];
        const struct gql_definition *t = gql_type_def(s, gql_type_name(f->type));
        if (t == NULL || (input ? gql_is_input(t) : gql_is_leaf(t) || gql_is_composite(t))) {
            continue;
        }
        if (input) {
            return gql_fail_at(g, &f->pos,
                               "%.*s %.*s: field must be one of SCALAR, ENUM, INPUT_OBJECT.",
                               STR_FMT(t->kind), STR_FMT(f->name));
        }
        return gql_fail_at(
            g, &f->pos, "%.*s %.*s: field must be one of SCALAR, OBJECT, INTERFACE, UNION, ENUM.",
            STR_FMT(d->kind), STR_FMT(d->name));
    }
    return !g->failed;
}

static bool enum_values(struct gql *g, struct gql_schema *s, const struct gql_definition *d)
{
    for (size_t i = 0; i < d->values.n; i++) {
        const struct gql_enum_value *v = d->values.v[i];
        if (str_is(v->name, "true") || str_is(v->name, "false") || str_is(v->name, "null")) {
            return gql_fail_at(g, &d->pos, "%.*s %.*s: non-enum value %.*s.", STR_FMT(d->kind),
                               STR_FMT(d->name), STR_FMT(v->name));
        }
        if (!gql_check_applied(g, s, &v->directives, S("ENUM_VALUE"), NULL, true)) {
            return false;
        }
    }
    return true;
}

static bool check_kind(struct gql *g, struct gql_schema *s, const struct gql_definition *d)
{
    bool input = gql_kind_is(d, "INPUT_OBJECT"), choice = gql_kind_is(d, "ENUM");
    if (!input && !choice && !gql_kind_is(d, "OBJECT") && !gql_kind_is(d, "INTERFACE")) {
        return true;
    }
    if ((choice ? d->values.n : d->fields.n) == 0) {
        const char *what = choice ? "unique enum values" : input ? "input fields" : "fields";
        return gql_fail_at(g, &d->pos, "%.*s %.*s: must define one or more %s.", STR_FMT(d->kind),
                           STR_FMT(d->name), what);
    }
    return choice ? enum_values(g, s, d) : field_kinds(g, s, d, input);
}

/* The first pair of equal names, the earlier one counting first: its later place, or STR_NPOS. */
static size_t repeated(struct gql *g, const struct gql_list *l)
{
    for (size_t i = 0; i + 1 < l->n; i++) {
        const struct str *name = l->v[i];
        if (gql_spend(g, l->n - i)) {
            break;
        }
        for (size_t k = i + 1; k < l->n; k++) {
            if (str_eq(*name, *(const struct str *)l->v[k])) {
                return k;
            }
        }
    }
    return STR_NPOS;
}

static bool check_unique(struct gql *g, const struct gql_definition *d)
{
    size_t at = repeated(g, &d->fields);
    if (at != STR_NPOS) {
        const struct gql_field *f = d->fields.v[at];
        return gql_fail_at(g, &f->pos, "Field %.*s.%.*s can only be defined once.",
                           STR_FMT(d->name), STR_FMT(f->name));
    }
    at = repeated(g, &d->values);
    if (at != STR_NPOS) {
        const struct gql_enum_value *v = d->values.v[at];
        return gql_fail_at(g, &v->pos, "Enum value %.*s.%.*s can only be defined once.",
                           STR_FMT(d->name), STR_FMT(v->name));
    }
    struct gql_list members = {0};
    for (size_t i = 0; i < d->types.n; i++) {
        gql_push(g, &members, &d->types.v[i]);
    }
    at = repeated(g, &members);
    if (at != STR_NPOS) {
        bool known = d->type_positions.n == d->types.n;
        return gql_fail_at(g, known ? d->type_positions.v[at] : &d->pos,
                           "Union type %.*s can only include type %.*s once.", STR_FMT(d->name),
                           STR_FMT(d->types.v[at]));
    }
    return !g->failed;
}

static bool check_definition(struct gql *g, struct gql_schema *s, const struct gql_definition *d)
{
    if (!check_fields(g, s, d) || !check_members(g, s, d)) {
        return false;
    }
    for (size_t i = 0; i < d->interfaces.n; i++) {
        if (!check_implements(g, s, d, d->interfaces.v[i])) {
            return false;
        }
    }
    return check_kind(g, s, d) && check_unique(g, d) &&
           (d->builtin || check_name(g, &d->pos, d->name)) &&
           gql_check_applied(g, s, &d->directives, d->kind, NULL, false);
}

/*
 * An input object that needs itself can never be written down (section 3.10). The search goes along
 * the fields that must be there; its depth is the number of types, so it keeps a stack of its own.
 */
struct step {
    struct gql_definition *type;
    size_t next; /* field to look at */
};

struct search {
    struct gql *g;
    struct gql_schema *s;
    struct step *stack;
    size_t n;
    struct map seen; /* type name -> the same step's type */
};

static bool report_cycle(struct search *x, size_t from, struct str type)
{
    struct buf path;
    buf_init(&path, 4096);
    const struct gql_field *first = x->stack[from].type->fields.v[x->stack[from].next - 1];
    for (size_t i = from; i < x->n; i++) {
        const struct gql_field *f = x->stack[i].type->fields.v[x->stack[i].next - 1];
        buf_puts(&path, i > from ? S(".") : STR_EMPTY);
        buf_puts(&path, f->name);
    }
    (void)gql_fail_at(
        x->g, &first->pos,
        "Cannot reference Input Object %.*s within itself through a series of non-null "
        "fields: %.*s.",
        STR_FMT(gql_quoted(x->g, type)), STR_FMT(gql_quoted(x->g, buf_str(&path))));
    buf_release(&path);
    return false;
}

/* Goes one field on, one type down, or one type up. */
static bool search_step(struct search *x)
{
    struct step *top = &x->stack[x->n - 1];
    if (gql_spend(x->g, 1)) {
        return false;
    }
    if (top->next == top->type->fields.n) {
        x->n--;
        return true;
    }
    const struct gql_field *f = top->type->fields.v[top->next++];
    struct gql_definition *t = f->type->named.n > 0 ? gql_type_def(x->s, f->type->named) : NULL;
    if (!f->type->non_null || t == NULL || !gql_kind_is(t, "INPUT_OBJECT")) {
        return true;
    }
    for (size_t i = 0; i < x->n && !gql_spend(x->g, 1); i++) {
        if (x->stack[i].type == t) {
            return report_cycle(x, i, t->name);
        }
    }
    if (map_set(&x->seen, t->name, t) == NULL) {
        x->stack[x->n++] = (struct step){t, 0};
    }
    return true;
}

static bool check_cycles(struct gql *g, struct gql_schema *s, struct gql_definition *const *types,
                         size_t n)
{
    struct search x = {.g = g, .s = s, .stack = arena_array(g->a, struct step, n + 1)};
    bool ok = true;
    map_init(&x.seen);
    for (size_t i = 0; i < n && ok; i++) {
        if (gql_kind_is(types[i], "INPUT_OBJECT") &&
            map_set(&x.seen, types[i]->name, types[i]) == NULL) {
            x.stack[x.n++] = (struct step){types[i], 0};
        }
        while (x.n > 0 && ok) {
            ok = search_step(&x);
        }
    }
    map_release(&x.seen);
    return ok;
}

static int by_key(const void *a, const void *b)
{
    return str_cmp((*(struct map_entry *const *)a)->key, (*(struct map_entry *const *)b)->key);
}

/* Entries in the order of their keys. */
static struct map_entry **sorted(struct gql *g, const struct map *m)
{
    struct map_entry **all = arena_array(g->a, struct map_entry *, map_len(m) + 1), *e;
    size_t n = 0;
    for (size_t i = 0; (e = map_at(m, &i)) != NULL;) {
        all[n++] = e;
    }
    qsort(all, n, sizeof *all, by_key);
    return all;
}

bool gql_check_types(struct gql *g, struct gql_schema *s)
{
    struct map_entry **all = sorted(g, &s->types);
    size_t n = map_len(&s->types);
    struct gql_definition **types = arena_array(g->a, struct gql_definition *, n + 1);
    for (size_t i = 0; i < n; i++) {
        types[i] = all[i]->value;
        if (!check_definition(g, s, types[i])) {
            return false;
        }
    }
    return check_cycles(g, s, types, n);
}

bool gql_check_directives(struct gql *g, struct gql_schema *s)
{
    struct map_entry **all = sorted(g, &s->directives);
    for (size_t i = 0; i < map_len(&s->directives); i++) {
        const struct gql_directive_def *d = all[i]->value;
        if (!check_name(g, &d->pos, d->name) || !check_args(g, s, &d->arguments, d)) {
            return false;
        }
    }
    return true;
}
