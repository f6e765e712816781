/* Executable documents: operations and fragments (section 2.2 and following of the specification). */
#include "authz/rego/builtin/graphql/parse_priv.h"

static void *selection(struct gql_parser *p);

static void selections(struct gql_parser *p, struct gql_list *out)
{
    if (gqlp_enter(p)) {
        (void)gqlp_some(p, GT_BRACE_L, GT_BRACE_R, selection, out);
        p->depth--;
    }
}

static void required_selections(struct gql_parser *p, struct gql_list *out)
{
    struct gql_token t = gqlp_peek(p);
    if (t.kind != GT_BRACE_L) {
        gqlp_error(p, t, "Expected {, found %s", gql_tok_text(t.kind));
        return;
    }
    selections(p, out);
}

static struct str fragment_name(struct gql_parser *p)
{
    struct gql_token t = gqlp_peek(p);
    if (str_is(t.value, "on")) {
        gqlp_unexpected(p, t);
        return STR_EMPTY;
    }
    return gqlp_name(p);
}

static void spread(struct gql_parser *p, struct gql_selection *s)
{
    s->comment = gqlp_expect(p, GT_SPREAD, NULL);
    struct gql_token t = gqlp_peek(p);
    s->pos = t.pos;
    if (t.kind == GT_NAME && !str_is(t.value, "on")) {
        s->kind = GQL_SPREAD;
        s->name = fragment_name(p);
        gqlp_directives(p, false, &s->directives);
        return;
    }
    s->kind = GQL_INLINE;
    if (str_is(t.value, "on")) {
        (void)gqlp_next(p);
        s->condition = gqlp_name(p);
    }
    gqlp_directives(p, false, &s->directives);
    required_selections(p, &s->selections);
}

static void *selection(struct gql_parser *p)
{
    struct gql_selection *s = arena_new(p->g->a, struct gql_selection);
    struct gql_token t = gqlp_peek(p);
    if (t.kind == GT_SPREAD) {
        spread(p, s);
        return s;
    }
    s->pos = t.pos;
    s->comment = p->comment;
    s->alias = gqlp_name(p);
    s->name = gqlp_skip(p, GT_COLON) ? gqlp_name(p) : s->alias;
    gqlp_arguments(p, false, &s->arguments);
    gqlp_directives(p, false, &s->directives);
    if (gqlp_peek(p).kind == GT_BRACE_L) {
        selections(p, &s->selections);
    }
    return s;
}

static void *variable(struct gql_parser *p)
{
    struct gql_variable *v = arena_new(p->g->a, struct gql_variable);
    v->pos = gqlp_peek(p).pos;
    v->comment = p->comment;
    (void)gqlp_expect(p, GT_DOLLAR, NULL);
    v->name = gqlp_name(p);
    (void)gqlp_expect(p, GT_COLON, NULL);
    v->type = gqlp_type(p);
    if (gqlp_skip(p, GT_EQUALS)) {
        v->fallback = gqlp_value(p, true);
    }
    gqlp_directives(p, false, &v->directives);
    return v;
}

static struct gql_operation *operation(struct gql_parser *p)
{
    struct gql_operation *o = arena_new(p->g->a, struct gql_operation);
    struct gql_token t = gqlp_peek(p);
    o->pos = t.pos;
    if (t.kind == GT_BRACE_L) {
        o->operation = S("query");
        required_selections(p, &o->selections);
        return o;
    }
    o->comment = p->comment;
    o->operation = gqlp_next(p).value;
    if (gqlp_peek(p).kind == GT_NAME) {
        o->name = gqlp_next(p).value;
    }
    (void)gqlp_some(p, GT_PAREN_L, GT_PAREN_R, variable, &o->variables);
    gqlp_directives(p, false, &o->directives);
    required_selections(p, &o->selections);
    return o;
}

static struct gql_fragment *fragment(struct gql_parser *p)
{
    struct gql_fragment *f = arena_new(p->g->a, struct gql_fragment);
    f->pos = gqlp_peek(p).pos;
    f->comment = p->comment;
    (void)gqlp_keyword(p, "fragment");
    f->name = fragment_name(p);
    (void)gqlp_some(p, GT_PAREN_L, GT_PAREN_R, variable, &f->variables);
    (void)gqlp_keyword(p, "on");
    f->condition = gqlp_name(p);
    gqlp_directives(p, false, &f->directives);
    required_selections(p, &f->selections);
    return f;
}

static void definition(struct gql_parser *p, struct gql_query *q)
{
    struct gql_token t = gqlp_peek(p);
    if (t.kind == GT_BRACE_L || gqlp_is_name(p, "query") || gqlp_is_name(p, "mutation") ||
        gqlp_is_name(p, "subscription")) {
        gql_push(p->g, &q->operations, operation(p));
    } else if (gqlp_is_name(p, "fragment")) {
        gql_push(p->g, &q->fragments, fragment(p));
    } else {
        gqlp_unexpected(p, t);
    }
}

bool gql_parse_query(struct gql *g, struct str text, struct gql_query **out)
{
    struct gql_parser p;
    struct gql_query *q = arena_new(g->a, struct gql_query);
    gqlp_init(&p, g, text);
    while (gqlp_peek(&p).kind != GT_EOF && !g->failed) {
        definition(&p, q);
    }
    if (g->failed) {
        return false;
    }
    *out = q;
    return true;
}
