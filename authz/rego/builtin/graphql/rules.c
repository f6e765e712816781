/*
 * The rules of validation (section 5 of the specification) that look at one thing, and the order in
 * which all of them are called. Comments name each rule as upstream does.
 */
#include "authz/rego/builtin/graphql/validate.h"

#include <stdlib.h>

static struct gql_strs names_of(struct gql_walk *w, const struct gql_list *l)
{
    struct gql_strs names = {0};
    for (size_t i = 0; i < l->n; i++) {
        gql_push_str(w->g, &names, *(const struct str *)l->v[i]);
    }
    return names;
}

/* FieldsOnCorrectType */

struct counted {
    struct str name;
    unsigned uses;
};

static int by_uses(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;
    return x->uses != y->uses ? (x->uses < y->uses ? 1 : -1) : str_cmp(x->name, y->name);
}

/* Types that can stand for `parent` and have the field, and their interfaces that have it too. */
static struct gql_strs types_with_field(struct gql_walk *w, const struct gql_definition *parent,
                                        struct str field)
{
    const struct gql_list *possible = gql_possible(w->s, parent->name);
    struct gql_list found = {0};
    struct gql_strs names = {0};
    for (size_t i = 0; i < possible->n; i++) {
        const struct gql_definition *t = possible->v[i];
        if (gql_named(w->g, &t->fields, field) == NULL) {
            continue;
        }
        for (size_t k = 0; k < t->interfaces.n; k++) {
            const struct gql_definition *above = gql_type_def(w->s, t->interfaces.v[k]);
            if (above == NULL || gql_named(w->g, &above->fields, field) == NULL) {
                continue;
            }
            struct counted *c = gql_named(w->g, &found, above->name);
            if (c == NULL) {
                c = arena_new(w->g->a, struct counted);
                c->name = above->name;
                gql_push(w->g, &found, c);
            }
            c->uses++;
        }
    }
    struct counted *all = arena_array(w->g->a, struct counted, found.n + possible->n + 1);
    size_t n = 0;
    for (; n < found.n; n++) {
        all[n] = *(const struct counted *)found.v[n];
    }
    for (size_t i = 0; i < possible->n; i++) {
        const struct gql_definition *t = possible->v[i];
        if (gql_named(w->g, &t->fields, field) != NULL) {
            const struct counted *c = gql_named(w->g, &found, t->name);
            all[n++] = (struct counted){t->name, c != NULL ? c->uses : 0};
        }
    }
    qsort(all, n, sizeof *all, by_uses);
    for (size_t i = 0; i < n; i++) {
        gql_push_str(w->g, &names, all[i].name);
    }
    return names;
}

static void check_field_exists(struct gql_walk *w, const struct gql_selection *f)
{
    const struct gql_definition *parent = f->object;
    struct str hint = STR_EMPTY;
    if (parent == NULL || f->def != NULL) {
        return;
    }
    struct gql_strs types = {0};
    if (gql_is_abstract(parent)) {
        types = types_with_field(w, parent, f->name);
    }
    if (types.n > 0) {
        hint = arena_printf(w->g->a, " Did you mean to use an inline fragment on %.*s?",
                            STR_FMT(gql_or_list(w, true, &types)));
    } else if (gql_kind_is(parent, "OBJECT") || gql_kind_is(parent, "INTERFACE")) {
        struct gql_strs names = names_of(w, &parent->fields);
        hint = gql_suggest(w, "Did you mean", true, f->name, &names);
    }
    gql_report(w, &f->pos, "Cannot query field \"%.*s\" on type \"%.*s\".%.*s", STR_FMT(f->name),
               STR_FMT(parent->name), STR_FMT(hint));
}

/* KnownArgumentNames */
static void check_known_arguments(struct gql_walk *w, const struct gql_list *arguments,
                                  const struct gql_list *declared, struct str where,
                                  const struct gql_pos *pos)
{
    for (size_t i = 0; i < arguments->n; i++) {
        const struct gql_argument *arg = arguments->v[i];
        if (gql_named(w->g, declared, arg->name) != NULL) {
            continue;
        }
        struct gql_strs names = names_of(w, declared);
        struct str hint = gql_suggest(w, "Did you mean", true, arg->name, &names);
        gql_report(w, pos, "Unknown argument \"%.*s\" on %.*s.%.*s", STR_FMT(arg->name),
                   STR_FMT(where), STR_FMT(hint));
    }
}

/* KnownDirectives */
static void check_known_directive(struct gql_walk *w, struct gql_directive *d)
{
    if (d->def == NULL) {
        gql_report(w, &d->pos, "Unknown directive \"@%.*s\".", STR_FMT(d->name));
        return;
    }
    if (gql_has_str(w->g, &d->def->locations, d->location)) {
        return;
    }
    for (size_t i = 0; i < w->misplaced.n && !gql_spend(w->g, 1); i++) {
        const struct gql_directive *seen = w->misplaced.v[i];
        if (seen->pos.line == d->pos.line && seen->pos.col == d->pos.col &&
            str_eq(seen->name, d->name)) {
            return; /* in a fragment that is walked again */
        }
    }
    gql_push(w->g, &w->misplaced, d);
    gql_report(w, &d->pos, "Directive \"@%.*s\" may not be used on %.*s.", STR_FMT(d->name),
               STR_FMT(d->location));
}

/* ProvidedRequiredArguments */
static void check_required_arguments(struct gql_walk *w, const struct gql_list *arguments,
                                     const struct gql_list *declared, struct str where,
                                     const struct gql_pos *pos)
{
    for (size_t i = 0; i < declared->n; i++) {
        const struct gql_field *f = declared->v[i];
        if (f->type->non_null && f->fallback == NULL &&
            gql_named(w->g, arguments, f->name) == NULL) {
            gql_report(
                w, pos,
                "%.*s argument \"%.*s\" of type \"%.*s\" is required, but it was not provided.",
                STR_FMT(where), STR_FMT(f->name), STR_FMT(gql_type_text(w->g, f->type)));
        }
    }
}

/* ScalarLeafs */
static void check_leaf(struct gql_walk *w, const struct gql_selection *f)
{
    const struct gql_definition *t = gql_type_def(w->s, gql_type_name(f->def->type));
    if (t == NULL) {
        return;
    }
    if (gql_is_leaf(t) && f->selections.n > 0) {
        gql_report(w, &f->pos,
                   "Field \"%.*s\" must not have a selection since type \"%.*s\" has no subfields.",
                   STR_FMT(f->name), STR_FMT(t->name));
    } else if (!gql_is_leaf(t) && f->selections.n == 0) {
        gql_report(
            w, &f->pos,
            "Field \"%.*s\" of type \"%.*s\" must have a selection of subfields. Did you mean "
            "\"%.*s { ... }\"?",
            STR_FMT(f->name), STR_FMT(gql_type_text(w->g, f->def->type)), STR_FMT(f->name));
    }
}

/* UniqueArgumentNames: the second of a name is reported, further ones are not. */
static void check_unique_arguments(struct gql_walk *w, const struct gql_list *arguments)
{
    for (size_t i = 1; i < arguments->n && !gql_spend(w->g, i); i++) {
        const struct gql_argument *arg = arguments->v[i];
        unsigned before = 0;
        for (size_t k = 0; k < i; k++) {
            before += str_eq(((const struct gql_argument *)arguments->v[k])->name, arg->name);
        }
        if (before == 1) {
            gql_report(w, &arg->pos, "There can be only one argument named \"%.*s\".",
                       STR_FMT(arg->name));
        }
    }
}

void gql_on_field(struct gql_walk *w, struct gql_selection *f)
{
    struct arena *a = w->g->a;
    check_field_exists(w, f);
    if (f->def != NULL && f->object != NULL && f->arguments.n > 0) {
        struct str where =
            arena_printf(a, "field \"%.*s.%.*s\"", STR_FMT(f->object->name), STR_FMT(f->name));
        check_known_arguments(w, &f->arguments, &f->def->arguments, where, &f->pos);
    }
    gql_check_introspection(w, f);
    if (w->op != NULL) {
        gql_check_overlap(w, &f->selections);
    }
    if (f->def != NULL) {
        struct str where = arena_printf(a, "Field \"%.*s\"", STR_FMT(f->name));
        check_required_arguments(w, &f->arguments, &f->def->arguments, where, &f->pos);
        check_leaf(w, f);
    }
    check_unique_arguments(w, &f->arguments);
}

void gql_on_directive(struct gql_walk *w, struct gql_directive *d)
{
    struct arena *a = w->g->a;
    if (d->def != NULL) {
        struct str where = arena_printf(a, "directive \"@%.*s\"", STR_FMT(d->name));
        check_known_arguments(w, &d->arguments, &d->def->arguments, where, &d->pos);
    }
    check_known_directive(w, d);
    if (d->def != NULL) {
        struct str where = arena_printf(a, "Directive \"@%.*s\"", STR_FMT(d->name));
        check_required_arguments(w, &d->arguments, &d->def->arguments, where, &d->pos);
    }
    check_unique_arguments(w, &d->arguments);
}

/* UniqueDirectivesPerLocation */
void gql_on_directives(struct gql_walk *w, const struct gql_list *directives)
{
    for (size_t i = 1; i < directives->n; i++) {
        const struct gql_directive *d = directives->v[i];
        struct gql_list before = {directives->v, i, i};
        if ((d->def == NULL || !d->def->repeatable) && gql_named(w->g, &before, d->name) != NULL) {
            gql_report(w, &d->pos,
                       "The directive \"@%.*s\" can only be used once at this location.",
                       STR_FMT(d->name));
        }
    }
}

/* KnownTypeNames */
void gql_on_variable(struct gql_walk *w, struct gql_variable *v)
{
    if (v->def == NULL) {
        gql_report(w, &v->pos, "Unknown type \"%.*s\".", STR_FMT(gql_type_name(v->type)));
    }
}

/* NoUnusedVariables */
static void check_unused(struct gql_walk *w, const struct gql_operation *o)
{
    for (size_t i = 0; i < o->variables.n; i++) {
        const struct gql_variable *v = o->variables.v[i];
        if (v->used) {
            continue;
        }
        if (o->name.n > 0) {
            gql_report(w, &v->pos, "Variable \"$%.*s\" is never used in operation \"%.*s\".",
                       STR_FMT(v->name), STR_FMT(o->name));
        } else {
            gql_report(w, &v->pos, "Variable \"$%.*s\" is never used.", STR_FMT(v->name));
        }
    }
}

/* UniqueVariableNames */
static void check_unique_variables(struct gql_walk *w, const struct gql_operation *o)
{
    for (size_t i = 1; i < o->variables.n && !gql_spend(w->g, i); i++) {
        const struct gql_variable *v = o->variables.v[i];
        unsigned before = 0;
        for (size_t k = 0; k < i; k++) {
            before += str_eq(((const struct gql_variable *)o->variables.v[k])->name, v->name);
        }
        if (before == 1) {
            gql_report(w, &v->pos, "There can be only one variable named \"$%.*s\".",
                       STR_FMT(v->name));
        }
    }
}

/* VariablesAreInputTypes */
static void check_variable_types(struct gql_walk *w, const struct gql_operation *o)
{
    for (size_t i = 0; i < o->variables.n; i++) {
        const struct gql_variable *v = o->variables.v[i];
        if (v->def != NULL && !gql_is_input(v->def)) {
            gql_report(w, &v->pos, "Variable \"$%.*s\" cannot be non-input type \"%.*s\".",
                       STR_FMT(v->name), STR_FMT(gql_type_text(w->g, v->type)));
        }
    }
}

void gql_on_operation(struct gql_walk *w, struct gql_operation *o)
{
    const struct gql_definition *root = str_is(o->operation, "mutation")       ? w->s->mutation
                                        : str_is(o->operation, "subscription") ? w->s->subscription
                                                                               : w->s->query;
    if (root == NULL) { /* KnownRootType */
        gql_report(w, &o->pos, "Schema does not support operation type \"%.*s\"",
                   STR_FMT(o->operation));
    }
    if (o->name.n == 0 && w->q->operations.n > 1) { /* LoneAnonymousOperation */
        gql_report(w, &o->pos, "This anonymous operation must be the only defined operation.");
    }
    check_unused(w, o);
    gql_check_overlap(w, &o->selections);
    gql_check_subscription(w, o);
    if (gql_named(w->g, &w->operations, o->name) != NULL) { /* UniqueOperationNames */
        gql_report(w, &o->pos, "There can be only one operation named \"%.*s\".", STR_FMT(o->name));
    }
    gql_push(w->g, &w->operations, o);
    check_unique_variables(w, o);
    check_variable_types(w, o);
}

/* FragmentsOnCompositeTypes, KnownTypeNames, PossibleFragmentSpreads */
void gql_on_inline(struct gql_walk *w, struct gql_selection *s)
{
    const struct gql_definition *t = gql_type_def(w->s, s->condition);
    if (t != NULL && !gql_is_composite(t)) {
        gql_report(w, &s->pos, "Fragment cannot condition on non composite type \"%.*s\".",
                   STR_FMT(s->condition));
    }
    if (t == NULL && s->condition.n > 0) {
        gql_report(w, &s->pos, "Unknown type \"%.*s\".", STR_FMT(s->condition));
    }
    gql_check_overlap(w, &s->selections);
    gql_check_spread(w, s, s->condition);
}

/* KnownFragmentNames, NoUnusedFragments, PossibleFragmentSpreads */
void gql_on_spread(struct gql_walk *w, struct gql_selection *s)
{
    if (s->fragment == NULL) {
        gql_report(w, &s->pos, "Unknown fragment \"%.*s\".", STR_FMT(s->name));
    }
    if (!w->in_fragments) {
        gql_push(w->g, &w->spread_used, s);
    }
    if (s->fragment != NULL) {
        gql_check_spread(w, s, s->fragment->condition);
    }
}

static struct str suggest_type(struct gql_walk *w, struct str name)
{
    struct gql_strs names = {0};
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&w->s->types, &i)) != NULL;) {
        gql_push_str(w->g, &names, e->key);
    }
    return gql_suggest(w, "Did you mean", true, name, &names);
}

void gql_on_fragment(struct gql_walk *w, struct gql_fragment *f)
{
    if (f->def != NULL && f->condition.n > 0 && !gql_is_composite(f->def)) {
        gql_report(w, &f->pos, "Fragment \"%.*s\" cannot condition on non composite type \"%.*s\".",
                   STR_FMT(f->name), STR_FMT(f->condition));
    }
    if (f->def == NULL) { /* KnownTypeNames */
        gql_report(w, &f->pos, "Unknown type \"%.*s\".%.*s", STR_FMT(f->condition),
                   STR_FMT(suggest_type(w, f->condition)));
    }
    gql_check_cycles(w, f);
    w->in_fragments = true;
    if (gql_named(w->g, &w->spread_used, f->name) == NULL) { /* NoUnusedFragments */
        gql_report(w, &f->pos, "Fragment \"%.*s\" is never used.", STR_FMT(f->name));
    }
    gql_check_overlap(w, &f->selections);
    if (gql_named(w->g, &w->fragments, f->name) != NULL) { /* UniqueFragmentNames */
        gql_report(w, &f->pos, "There can be only one fragment named \"%.*s\".", STR_FMT(f->name));
    }
    gql_push(w->g, &w->fragments, f);
}
