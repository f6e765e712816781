/* Tokens with comments set aside, and the grammar that both kinds of documents use. */
#include "authz/rego/builtin/graphql/parse_priv.h"

#include <stdarg.h>
#include <stdio.h>

void gqlp_init(struct gql_parser *p, struct gql *g, struct str text)
{
    *p = (struct gql_parser){.g = g};
    gql_lex_init(&p->lex, g, text);
}

void gqlp_error(struct gql_parser *p, struct gql_token t, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    (void)gql_fail_at(p->g, &t.pos, "%s", text);
}

/*
 * Comments are taken when the token ahead is first looked at. They count as read: an error that
 * speaks of the last token may mean one.
 */
static void take_comments(struct gql_parser *p)
{
    struct gql_comments *all = arena_new(p->g->a, struct gql_comments);
    p->in_comment = true;
    while (gqlp_peek(p).kind == GT_COMMENT && !p->g->failed) {
        struct gql_comment *c = arena_new(p->g->a, struct gql_comment);
        c->value = gqlp_next(p).value;
        gql_push(p->g, &all->list, c);
    }
    p->comment = all;
    p->in_comment = false;
}

struct gql_token gqlp_peek(struct gql_parser *p)
{
    if (p->g->failed) {
        return p->prev;
    }
    if (!p->peeked) {
        p->ahead = gql_lex(&p->lex);
        p->peeked = true;
        if (p->ahead.kind == GT_COMMENT && !p->in_comment) {
            take_comments(p);
        }
    }
    return p->ahead;
}

struct gql_token gqlp_next(struct gql_parser *p)
{
    (void)gqlp_peek(p);
    if (gql_spend(p->g, 1)) {
        return p->prev;
    }
    p->peeked = false;
    p->comment = NULL;
    p->prev = p->ahead;
    if (p->prev.kind == GT_INVALID) {
        gqlp_error(p, p->prev, "%.*s", STR_FMT(p->prev.error));
    }
    return p->prev;
}

bool gqlp_skip(struct gql_parser *p, enum gql_tok kind)
{
    if (p->g->failed || gqlp_peek(p).kind != kind) {
        return false;
    }
    (void)gqlp_next(p);
    return true;
}

static struct str described(struct gql_parser *p, struct gql_token t)
{
    if (t.value.n == 0) {
        return str_of(gql_tok_text(t.kind));
    }
    return arena_printf(p->g->a, "%s %.*s", gql_tok_text(t.kind),
                        STR_FMT(gql_quoted(p->g, t.value)));
}

void gqlp_unexpected(struct gql_parser *p, struct gql_token t)
{
    gqlp_error(p, t, "Unexpected %.*s", STR_FMT(described(p, t)));
}

struct gql_comments *gqlp_expect(struct gql_parser *p, enum gql_tok kind, struct gql_token *out)
{
    struct gql_token t = gqlp_peek(p);
    struct gql_comments *comment = p->comment;
    if (t.kind == kind) {
        t = gqlp_next(p);
    } else {
        gqlp_error(p, t, "Expected %s, found %s", gql_tok_text(kind), gql_tok_text(t.kind));
    }
    if (out != NULL) {
        *out = t;
    }
    return comment;
}

bool gqlp_is_name(struct gql_parser *p, const char *name)
{
    struct gql_token t = gqlp_peek(p);
    return t.kind == GT_NAME && str_is(t.value, name);
}

struct gql_comments *gqlp_keyword(struct gql_parser *p, const char *word)
{
    bool there = gqlp_is_name(p, word);
    struct gql_comments *comment = p->comment;
    if (there) {
        (void)gqlp_next(p);
    } else {
        struct gql_token t = gqlp_peek(p);
        gqlp_error(p, t, "Expected \"%s\", found %.*s", word, STR_FMT(described(p, t)));
    }
    return comment;
}

struct str gqlp_name(struct gql_parser *p)
{
    struct gql_token t;
    (void)gqlp_expect(p, GT_NAME, &t);
    return t.value;
}

bool gqlp_enter(struct gql_parser *p)
{
    if (p->depth == GQL_DEPTH_MAX) {
        gqlp_error(p, gqlp_peek(p), "nested more than %d deep", GQL_DEPTH_MAX);
        return false;
    }
    p->depth++;
    return true;
}

struct gql_comments *gqlp_some(struct gql_parser *p, enum gql_tok open, enum gql_tok close,
                               gqlp_item *item, struct gql_list *out)
{
    bool called = false;
    if (!gqlp_skip(p, open)) {
        return NULL;
    }
    while (gqlp_peek(p).kind != close && !p->g->failed) {
        called = true;
        gql_push(p->g, out, item(p));
    }
    if (!called) {
        struct gql_token t = gqlp_peek(p);
        gqlp_error(p, t, "expected at least one definition, found %s", gql_tok_text(t.kind));
        return NULL;
    }
    struct gql_comments *comment = p->comment;
    (void)gqlp_next(p);
    return comment;
}

void gqlp_many(struct gql_parser *p, enum gql_tok open, enum gql_tok close, gqlp_item *item,
               struct gql_list *out)
{
    if (!gqlp_skip(p, open)) {
        return;
    }
    while (gqlp_peek(p).kind != close && !p->g->failed) {
        gql_push(p->g, out, item(p));
    }
    (void)gqlp_next(p);
}

/* Values (section 2.9). A constant one holds no variables. */

static struct gql_child *list_item(struct gql_parser *p, bool constant)
{
    struct gql_child *c = arena_new(p->g->a, struct gql_child);
    c->value = gqlp_value(p, constant);
    return c;
}

static struct gql_child *object_item(struct gql_parser *p, bool constant)
{
    struct gql_child *c = arena_new(p->g->a, struct gql_child);
    c->pos = gqlp_peek(p).pos;
    c->comment = p->comment;
    c->name = gqlp_name(p);
    (void)gqlp_expect(p, GT_COLON, NULL);
    c->value = gqlp_value(p, constant);
    return c;
}

static void *list_item_const(struct gql_parser *p)
{
    return list_item(p, true);
}
static void *list_item_any(struct gql_parser *p)
{
    return list_item(p, false);
}
static void *object_item_const(struct gql_parser *p)
{
    return object_item(p, true);
}
static void *object_item_any(struct gql_parser *p)
{
    return object_item(p, false);
}

static void composite(struct gql_parser *p, bool constant, struct gql_value *v)
{
    v->comment = p->comment;
    if (!gqlp_enter(p)) {
        return;
    }
    if (v->kind == GQL_LIST) {
        gqlp_many(p, GT_BRACKET_L, GT_BRACKET_R, constant ? list_item_const : list_item_any,
                  &v->children);
    } else {
        gqlp_many(p, GT_BRACE_L, GT_BRACE_R, constant ? object_item_const : object_item_any,
                  &v->children);
    }
    p->depth--;
}

static enum gql_kind name_kind(struct str name)
{
    if (str_is(name, "true") || str_is(name, "false")) {
        return GQL_BOOLEAN;
    }
    return str_is(name, "null") ? GQL_NULL : GQL_ENUM;
}

struct gql_value *gqlp_value(struct gql_parser *p, bool constant)
{
    struct gql_value *v = arena_new(p->g->a, struct gql_value);
    struct gql_token t = gqlp_peek(p);
    v->pos = t.pos;
    switch (t.kind) {
    case GT_BRACKET_L:
    case GT_BRACE_L:
        v->kind = t.kind == GT_BRACKET_L ? GQL_LIST : GQL_OBJECT;
        composite(p, constant, v);
        return v;
    case GT_DOLLAR:
        if (constant) {
            gqlp_unexpected(p, t);
            return v;
        }
        (void)gqlp_next(p);
        v->kind = GQL_VARIABLE;
        v->raw = gqlp_name(p);
        return v;
    case GT_INT:
    case GT_FLOAT:
    case GT_STRING:
    case GT_BLOCK:
        v->kind = GQL_INT + (t.kind - GT_INT);
        break;
    case GT_NAME:
        v->kind = name_kind(t.value);
        break;
    default:
        gqlp_unexpected(p, t);
        return v;
    }
    v->raw = gqlp_next(p).value;
    return v;
}

static struct gql_argument *argument(struct gql_parser *p, bool constant)
{
    struct gql_argument *a = arena_new(p->g->a, struct gql_argument);
    a->pos = gqlp_peek(p).pos;
    a->comment = p->comment;
    a->name = gqlp_name(p);
    (void)gqlp_expect(p, GT_COLON, NULL);
    a->value = gqlp_value(p, constant);
    return a;
}

static void *argument_const(struct gql_parser *p)
{
    return argument(p, true);
}
static void *argument_any(struct gql_parser *p)
{
    return argument(p, false);
}

void gqlp_arguments(struct gql_parser *p, bool constant, struct gql_list *out)
{
    (void)gqlp_some(p, GT_PAREN_L, GT_PAREN_R, constant ? argument_const : argument_any, out);
}

void gqlp_directives(struct gql_parser *p, bool constant, struct gql_list *out)
{
    while (gqlp_peek(p).kind == GT_AT && !p->g->failed) {
        struct gql_directive *d = arena_new(p->g->a, struct gql_directive);
        (void)gqlp_next(p);
        d->pos = gqlp_peek(p).pos;
        d->name = gqlp_name(p);
        gqlp_arguments(p, constant, &d->arguments);
        gql_push(p->g, out, d);
    }
}

struct gql_type *gqlp_type(struct gql_parser *p)
{
    struct gql_type *t = arena_new(p->g->a, struct gql_type);
    if (gqlp_skip(p, GT_BRACKET_L)) {
        t->pos = gqlp_peek(p).pos;
        if (gqlp_enter(p)) {
            t->elem = gqlp_type(p);
            p->depth--;
        }
        (void)gqlp_expect(p, GT_BRACKET_R, NULL);
    } else {
        t->pos = gqlp_peek(p).pos;
        t->named = gqlp_name(p);
    }
    t->non_null = gqlp_skip(p, GT_BANG);
    return t;
}
