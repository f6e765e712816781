/* The walk over a query document, which resolves names and calls the rules. */
#include "authz/rego/builtin/graphql/validate.h"

#include <stdarg.h>
#include <stdio.h>

void gql_report(struct gql_walk *w, const struct gql_pos *pos, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (pos->known) {
        buf_printf(&w->findings, "input:%ld:%ld: %s\n", pos->line, pos->col, text);
    } else {
        buf_printf(&w->findings, "input: %s\n", text);
    }
    (void)gql_spend(w->g, 100);
}

bool gql_walk_enter(struct gql_walk *w)
{
    if (w->depth == GQL_WALK_MAX) {
        (void)gql_spend(w->g, GQL_WORK_MAX);
        return false;
    }
    w->depth++;
    return true;
}

struct gql_fragment *gql_fragment_named(struct gql_walk *w, struct str name)
{
    return gql_named(w->g, &w->q->fragments, name);
}

/* Depth is bounded as that of the literal is. */
static void walk_value(struct gql_walk *w, struct gql_value *v)
{
    if (gql_spend(w->g, 1)) {
        return;
    }
    if (v->kind == GQL_VARIABLE && w->op != NULL) {
        v->variable = gql_named(w->g, &w->op->variables, v->raw);
        if (v->variable != NULL) {
            v->variable->used = true;
        }
    }
    for (size_t i = 0; i < v->children.n; i++) {
        struct gql_child *c = v->children.v[i];
        if (v->kind == GQL_OBJECT && v->def != NULL) {
            struct gql_field *f = gql_named(w->g, &v->def->fields, c->name);
            if (f != NULL) {
                c->value->expected = f->type;
                c->value->expected_default = f->fallback != NULL && f->fallback->kind != GQL_NULL;
                c->value->def = gql_type_def(w->s, gql_type_name(f->type));
            }
        } else if (v->kind == GQL_LIST && v->expected != NULL && v->expected->elem != NULL) {
            c->value->expected = v->expected->elem;
            c->value->def = v->def;
        }
        if (v->kind == GQL_OBJECT || v->kind == GQL_LIST) {
            walk_value(w, c->value);
        }
    }
    gql_on_value(w, v);
}

static void walk_arguments(struct gql_walk *w, const struct gql_list *arguments,
                           const struct gql_list *declared)
{
    for (size_t i = 0; i < arguments->n; i++) {
        struct gql_argument *arg = arguments->v[i];
        struct gql_field *f = declared != NULL ? gql_named(w->g, declared, arg->name) : NULL;
        if (f != NULL) {
            arg->value->expected = f->type;
            arg->value->expected_default = f->fallback != NULL && f->fallback->kind != GQL_NULL;
            arg->value->def = gql_type_def(w->s, gql_type_name(f->type));
        }
        walk_value(w, arg->value);
    }
}

static void walk_directives(struct gql_walk *w, const struct gql_list *directives,
                            struct str location)
{
    for (size_t i = 0; i < directives->n; i++) {
        struct gql_directive *d = directives->v[i];
        d->def = map_get(&w->s->directives, d->name);
        d->location = location;
        walk_arguments(w, &d->arguments, d->def != NULL ? &d->def->arguments : NULL);
        gql_on_directive(w, d);
    }
    gql_on_directives(w, directives);
}

static void walk_selections(struct gql_walk *w, struct gql_definition *parent,
                            const struct gql_list *selections);

static void walk_field(struct gql_walk *w, struct gql_definition *parent, struct gql_selection *f)
{
    f->def = NULL;
    if (str_is(f->name, "__typename")) {
        f->def = w->typename;
    } else if (parent != NULL) {
        f->def = gql_named(w->g, &parent->fields, f->name);
    }
    f->object = parent;
    struct gql_definition *next =
        f->def != NULL ? gql_type_def(w->s, gql_type_name(f->def->type)) : NULL;
    walk_arguments(w, &f->arguments, f->def != NULL ? &f->def->arguments : NULL);
    walk_directives(w, &f->directives, S("FIELD"));
    walk_selections(w, next, &f->selections);
    gql_on_field(w, f);
}

static void walk_inline(struct gql_walk *w, struct gql_definition *parent, struct gql_selection *s)
{
    struct gql_definition *next = parent;
    s->object = parent;
    if (s->condition.n > 0) {
        next = gql_type_def(w->s, s->condition);
    }
    walk_directives(w, &s->directives, S("INLINE_FRAGMENT"));
    walk_selections(w, next, &s->selections);
    gql_on_inline(w, s);
}

/* A fragment is entered once in a definition: cycles end there. */
static void walk_spread(struct gql_walk *w, struct gql_definition *parent, struct gql_selection *s)
{
    struct gql_fragment *f = gql_fragment_named(w, s->name);
    s->fragment = f;
    s->object = parent;
    walk_directives(w, &s->directives, S("FRAGMENT_SPREAD"));
    if (f != NULL && gql_named(w->g, &w->entered, f->name) == NULL) {
        gql_push(w->g, &w->entered, f);
        walk_directives(w, &f->directives, S("FRAGMENT_DEFINITION"));
        walk_selections(w, gql_type_def(w->s, f->condition), &f->selections);
    }
    gql_on_spread(w, s);
}

static void walk_selections(struct gql_walk *w, struct gql_definition *parent,
                            const struct gql_list *selections)
{
    if (!gql_walk_enter(w)) {
        return;
    }
    for (size_t i = 0; i < selections->n && !gql_spend(w->g, 1); i++) {
        struct gql_selection *s = selections->v[i];
        if (s->kind == GQL_FIELD) {
            walk_field(w, parent, s);
        } else if (s->kind == GQL_INLINE) {
            walk_inline(w, parent, s);
        } else {
            walk_spread(w, parent, s);
        }
    }
    w->depth--;
}

static void walk_variables(struct gql_walk *w, struct gql_operation *o)
{
    for (size_t i = 0; i < o->variables.n && !gql_spend(w->g, 1); i++) {
        struct gql_variable *v = o->variables.v[i];
        v->def = gql_type_def(w->s, gql_type_name(v->type));
        gql_on_variable(w, v);
        if (v->fallback != NULL) {
            v->fallback->expected = v->type;
            v->fallback->def = v->def;
        }
    }
    for (size_t i = 0; i < o->variables.n && !gql_spend(w->g, 1); i++) {
        struct gql_variable *v = o->variables.v[i];
        if (v->fallback != NULL) {
            walk_value(w, v->fallback);
        }
        walk_directives(w, &v->directives, S("VARIABLE_DEFINITION"));
    }
}

static void walk_operation(struct gql_walk *w, struct gql_operation *o)
{
    struct gql_definition *root = w->s->query;
    struct str location = S("QUERY");
    if (str_is(o->operation, "mutation")) {
        root = w->s->mutation;
        location = S("MUTATION");
    } else if (str_is(o->operation, "subscription")) {
        root = w->s->subscription;
        location = S("SUBSCRIPTION");
    }
    w->op = o;
    walk_variables(w, o);
    walk_directives(w, &o->directives, location);
    walk_selections(w, root, &o->selections);
    gql_on_operation(w, o);
    w->op = NULL;
}

static void walk_fragment(struct gql_walk *w, struct gql_fragment *f)
{
    f->def = gql_type_def(w->s, f->condition);
    walk_directives(w, &f->directives, S("FRAGMENT_DEFINITION"));
    walk_selections(w, f->def, &f->selections);
    gql_on_fragment(w, f);
}

static void walk(struct gql_walk *w)
{
    for (size_t i = 0; i < w->q->operations.n && !w->g->failed; i++) {
        w->entered.n = 0;
        walk_operation(w, w->q->operations.v[i]);
    }
    for (size_t i = 0; i < w->q->fragments.n && !w->g->failed; i++) {
        w->entered.n = 0;
        walk_fragment(w, w->q->fragments.v[i]);
    }
}

bool gql_validate(struct gql *g, struct gql_schema *s, struct gql_query *q)
{
    struct gql_walk w = {.g = g, .s = s, .q = q};
    buf_init(&w.findings, GQL_ERRORS_MAX);
    w.typename = arena_new(g->a, struct gql_field);
    w.typename->name = S("__typename");
    w.typename->type = arena_new(g->a, struct gql_type);
    w.typename->type->named = S("String");
    gql_overlap_init(&w);
    walk(&w);
    gql_overlap_release(&w);
    if (w.findings.n > 0 && !g->failed) {
        g->failed = true;
        g->error = arena_str(g->a, buf_str(&w.findings));
    }
    buf_release(&w.findings);
    return !g->failed;
}
