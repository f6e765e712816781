/* Type system documents (section 3 of the specification). */
#include "authz/rego/builtin/graphql/parse_priv.h"
#include "authz/rego/builtin/graphql/schema.h"

struct description {
    struct str text;
    struct gql_comments *comment;
};

static struct description description(struct gql_parser *p)
{
    struct description d = {STR_EMPTY, NULL};
    struct gql_token t = gqlp_peek(p);
    if (t.kind == GT_BLOCK || t.kind == GT_STRING) {
        d.comment = p->comment;
        d.text = gqlp_next(p).value;
    }
    return d;
}

/* As upstream, an empty description takes its comment with it, but for definitions at the top. */
static void described(struct gql_parser *p, struct str *text, struct gql_comments **before,
                      struct gql_comments **after, struct gql_pos *pos)
{
    struct description d = description(p);
    if (d.text.n > 0) {
        *text = d.text;
        *before = d.comment;
    }
    *pos = gqlp_peek(p).pos;
    *after = p->comment;
}

static struct gql_field *input_value(struct gql_parser *p)
{
    struct gql_field *f = arena_new(p->g->a, struct gql_field);
    described(p, &f->description, &f->before, &f->after, &f->pos);
    f->name = gqlp_name(p);
    (void)gqlp_expect(p, GT_COLON, NULL);
    f->type = gqlp_type(p);
    if (gqlp_skip(p, GT_EQUALS)) {
        f->fallback = gqlp_value(p, true);
    }
    gqlp_directives(p, true, &f->directives);
    return f;
}

static void *input_item(struct gql_parser *p)
{
    return input_value(p);
}

static void *field_item(struct gql_parser *p)
{
    struct gql_field *f = arena_new(p->g->a, struct gql_field);
    described(p, &f->description, &f->before, &f->after, &f->pos);
    f->name = gqlp_name(p);
    (void)gqlp_some(p, GT_PAREN_L, GT_PAREN_R, input_item, &f->arguments);
    (void)gqlp_expect(p, GT_COLON, NULL);
    f->type = gqlp_type(p);
    gqlp_directives(p, true, &f->directives);
    return f;
}

static void *enum_item(struct gql_parser *p)
{
    struct gql_enum_value *v = arena_new(p->g->a, struct gql_enum_value);
    described(p, &v->description, &v->before, &v->after, &v->pos);
    v->name = gqlp_name(p);
    gqlp_directives(p, true, &v->directives);
    return v;
}

static struct str operation_type(struct gql_parser *p)
{
    struct gql_token t = gqlp_next(p);
    if (!str_is(t.value, "query") && !str_is(t.value, "mutation") &&
        !str_is(t.value, "subscription")) {
        gqlp_unexpected(p, t);
    }
    return t.value;
}

static void *operation_item(struct gql_parser *p)
{
    struct gql_operation_type *o = arena_new(p->g->a, struct gql_operation_type);
    o->pos = gqlp_peek(p).pos;
    o->comment = p->comment;
    o->operation = operation_type(p);
    (void)gqlp_expect(p, GT_COLON, NULL);
    o->type = gqlp_name(p);
    return o;
}

static void implements(struct gql_parser *p, struct gql_strs *out)
{
    if (!str_is(gqlp_peek(p).value, "implements")) {
        return;
    }
    (void)gqlp_next(p);
    (void)gqlp_skip(p, GT_AMP);
    do {
        gql_push_str(p->g, out, gqlp_name(p));
    } while (gqlp_skip(p, GT_AMP));
}

static void members(struct gql_parser *p, struct gql_definition *d)
{
    if (!gqlp_skip(p, GT_EQUALS)) {
        return;
    }
    (void)gqlp_skip(p, GT_PIPE);
    do {
        struct gql_pos *pos = arena_new(p->g->a, struct gql_pos);
        *pos = gqlp_peek(p).pos;
        gql_push(p->g, &d->type_positions, pos);
        gql_push_str(p->g, &d->types, gqlp_name(p));
    } while (gqlp_skip(p, GT_PIPE));
}

/* What a kind of definition consists of. */
struct form {
    const char *word, *kind;
    gqlp_item *item; /* of what stands in braces */
    bool interfaces;
};

static const struct form forms[] = {
    {"scalar", "SCALAR", NULL, false},
    {"type", "OBJECT", field_item, true},
    {"interface", "INTERFACE", field_item, true},
    {"union", "UNION", NULL, false},
    {"enum", "ENUM", enum_item, false},
    {"input", "INPUT_OBJECT", input_item, false},
};

static const struct form *form_of(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (str_is(word, forms[i].word)) {
            return &forms[i];
        }
    }
    return NULL;
}

static void body(struct gql_parser *p, const struct form *f, bool extends, struct gql_definition *d)
{
    bool input = f->item == input_item;
    d->pos = gqlp_peek(p).pos;
    d->kind = str_of(f->kind);
    d->name = gqlp_name(p);
    if (f->interfaces && !(extends && str_is(d->kind, "INTERFACE"))) {
        implements(p, &d->interfaces);
    }
    gqlp_directives(p, !(extends && input), &d->directives);
    if (f->item == enum_item) {
        d->end = gqlp_some(p, GT_BRACE_L, GT_BRACE_R, f->item, &d->values);
    } else if (f->item != NULL) {
        d->end = gqlp_some(p, GT_BRACE_L, GT_BRACE_R, f->item, &d->fields);
    } else if (str_is(d->kind, "UNION")) {
        members(p, d);
    }
}

static void define(struct gql_parser *p, const struct form *f, struct description doc,
                   struct gql_types *t)
{
    struct gql_definition *d = arena_new(p->g->a, struct gql_definition);
    d->after = gqlp_keyword(p, f->word);
    d->before = doc.comment;
    d->description = doc.text;
    d->builtin = p->lex.builtin;
    body(p, f, false, d);
    gql_push(p->g, &t->definitions, d);
}

static void schema_body(struct gql_parser *p, struct gql_schema_def *d)
{
    d->pos = gqlp_peek(p).pos;
    gqlp_directives(p, true, &d->directives);
    d->end = gqlp_some(p, GT_BRACE_L, GT_BRACE_R, operation_item, &d->operations);
}

static void schema(struct gql_parser *p, struct description doc, struct gql_types *t)
{
    struct gql_schema_def *d = arena_new(p->g->a, struct gql_schema_def);
    d->after = gqlp_keyword(p, "schema");
    d->before = doc.comment;
    d->description = doc.text;
    schema_body(p, d);
    gql_push(p->g, &t->schema, d);
}

static void extend_schema(struct gql_parser *p, struct gql_comments *comment, struct gql_types *t)
{
    struct gql_schema_def *d = arena_new(p->g->a, struct gql_schema_def);
    (void)gqlp_keyword(p, "schema");
    d->after = comment;
    schema_body(p, d);
    if (d->directives.n == 0 && d->operations.n == 0) {
        gqlp_unexpected(p, gqlp_peek(p));
    }
    gql_push(p->g, &t->schema_extensions, d);
}

static void extend(struct gql_parser *p, struct gql_types *t)
{
    struct gql_comments *comment = gqlp_keyword(p, "extend");
    struct gql_token word = gqlp_peek(p);
    const struct form *f = form_of(word.value);
    if (str_is(word.value, "schema")) {
        extend_schema(p, comment, t);
        return;
    }
    if (f == NULL) {
        gqlp_unexpected(p, word);
        return;
    }
    struct gql_definition *d = arena_new(p->g->a, struct gql_definition);
    (void)gqlp_keyword(p, f->word);
    d->after = comment;
    d->builtin = p->lex.builtin;
    body(p, f, true, d);
    if (d->interfaces.n + d->directives.n + d->fields.n + d->types.n + d->values.n == 0) {
        gqlp_unexpected(p, gqlp_peek(p));
    }
    gql_push(p->g, &t->extensions, d);
}

static struct str location(struct gql_parser *p)
{
    static const char *const known[] = {"QUERY",
                                        "MUTATION",
                                        "SUBSCRIPTION",
                                        "FIELD",
                                        "FRAGMENT_DEFINITION",
                                        "FRAGMENT_SPREAD",
                                        "INLINE_FRAGMENT",
                                        "VARIABLE_DEFINITION",
                                        "SCHEMA",
                                        "SCALAR",
                                        "OBJECT",
                                        "FIELD_DEFINITION",
                                        "ARGUMENT_DEFINITION",
                                        "INTERFACE",
                                        "UNION",
                                        "ENUM",
                                        "ENUM_VALUE",
                                        "INPUT_OBJECT",
                                        "INPUT_FIELD_DEFINITION"};
    struct gql_token t;
    (void)gqlp_expect(p, GT_NAME, &t);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_is(t.value, known[i])) {
            return t.value;
        }
    }
    gqlp_unexpected(p, t);
    return STR_EMPTY;
}

static void directive(struct gql_parser *p, struct description doc, struct gql_types *t)
{
    struct gql_directive_def *d = arena_new(p->g->a, struct gql_directive_def);
    d->after = gqlp_keyword(p, "directive");
    (void)gqlp_expect(p, GT_AT, NULL);
    d->pos = gqlp_peek(p).pos;
    d->before = doc.comment;
    d->description = doc.text;
    d->name = gqlp_name(p);
    (void)gqlp_some(p, GT_PAREN_L, GT_PAREN_R, input_item, &d->arguments);
    if (gqlp_is_name(p, "repeatable")) {
        d->repeatable = true;
        (void)gqlp_next(p);
    }
    (void)gqlp_keyword(p, "on");
    (void)gqlp_skip(p, GT_PIPE);
    do {
        gql_push_str(p->g, &d->locations, location(p));
    } while (gqlp_skip(p, GT_PIPE));
    gql_push(p->g, &t->directives, d);
}

static void definition(struct gql_parser *p, struct gql_types *t)
{
    struct description doc = description(p);
    struct gql_token word = gqlp_peek(p);
    const struct form *f = form_of(word.value);
    if (word.kind != GT_NAME) {
        gqlp_unexpected(p, word);
    } else if (f != NULL) {
        define(p, f, doc, t);
    } else if (str_is(word.value, "schema")) {
        schema(p, doc, t);
    } else if (str_is(word.value, "directive")) {
        directive(p, doc, t);
    } else if (str_is(word.value, "extend")) {
        if (doc.text.n > 0) {
            gqlp_unexpected(p, p->prev);
        }
        extend(p, t);
    } else {
        gqlp_unexpected(p, word);
    }
}

static bool parse(struct gql *g, struct str text, bool builtin, struct gql_types *t)
{
    struct gql_parser p;
    gqlp_init(&p, g, text);
    p.lex.builtin = builtin;
    while (gqlp_peek(&p).kind != GT_EOF && !g->failed) {
        definition(&p, t);
    }
    t->comment = p.comment; /* those at the end of the text */
    return !g->failed;
}

bool gql_parse_types(struct gql *g, struct str text, struct gql_types **out)
{
    struct gql_types *t = arena_new(g->a, struct gql_types);
    if (!parse(g, text, false, t)) {
        return false;
    }
    *out = t;
    return true;
}

bool gql_parse_prelude(struct gql *g, struct str text, struct gql_types *out)
{
    return parse(g, text, true, out);
}
