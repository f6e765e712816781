/* What the parts of this folder share: lists, errors, the bound on work, and texts of types and values. */
#include "authz/rego/builtin/graphql/ast.h"

#include "authz/rego/builtin/gofmt.h"

#include <stdarg.h>
#include <stdio.h>

void gql_init(struct gql *g, struct arena *a)
{
    *g = (struct gql){.a = a};
}

void gql_push(struct gql *g, struct gql_list *l, void *item)
{
    if (l->n == l->cap) {
        l->v = arena_grow(g->a, l->v, l->n, l->n + 1, &l->cap, sizeof *l->v);
    }
    l->v[l->n++] = item;
}

void gql_push_str(struct gql *g, struct gql_strs *l, struct str s)
{
    if (l->n == l->cap) {
        l->v = arena_grow(g->a, l->v, l->n, l->n + 1, &l->cap, sizeof *l->v);
    }
    l->v[l->n++] = s;
}

bool gql_spend(struct gql *g, uint64_t work)
{
    g->work += work;
    if (g->failed) {
        return true;
    }
    if (g->work > GQL_WORK_MAX || arena_exhausted(g->a)) {
        g->failed = true;
        g->error = S("input: document is too large or too intricate to be checked");
        return true;
    }
    return false;
}

void *gql_named(struct gql *g, const struct gql_list *l, struct str name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(*(const struct str *)l->v[i], name)) {
            (void)gql_spend(g, i + 1);
            return l->v[i];
        }
    }
    (void)gql_spend(g, l->n + 1);
    return NULL;
}

bool gql_has_str(struct gql *g, const struct gql_strs *l, struct str s)
{
    (void)gql_spend(g, l->n + 1);
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(l->v[i], s)) {
            return true;
        }
    }
    return false;
}

bool gql_fail_at(struct gql *g, const struct gql_pos *pos, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    if (g->failed) {
        return false;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    g->failed = true;
    g->error = arena_printf(g->a, "%s:%ld:%ld: %s", pos->builtin ? "prelude.graphql" : "input",
                            pos->known ? pos->line : -1, pos->known ? pos->col : -1, text);
    return false;
}

struct str gql_type_name(const struct gql_type *t)
{
    while (t->named.n == 0 && t->elem != NULL) {
        t = t->elem;
    }
    return t->named;
}

struct str gql_type_text(struct gql *g, const struct gql_type *t)
{
    struct buf out;
    size_t lists = 0;
    const struct gql_type *inner = t;
    buf_init(&out, 1 << 20);
    for (; inner->named.n == 0 && inner->elem != NULL; inner = inner->elem) {
        buf_putc(&out, '[');
        lists++;
    }
    buf_puts(&out, inner->named);
    buf_puts(&out, inner->non_null ? S("!") : STR_EMPTY);
    /* What closes the lists, from the inside out: the i-th from the outside, found by walking. */
    while (lists-- > 0) {
        const struct gql_type *at = t;
        for (size_t i = 0; i < lists; i++) {
            at = at->elem;
        }
        buf_puts(&out, at->non_null ? S("]!") : S("]"));
    }
    struct str s = arena_str(g->a, buf_str(&out));
    buf_release(&out);
    return s;
}

struct str gql_quoted(struct gql *g, struct str s)
{
    struct buf out;
    buf_init(&out, 10 * s.n + 16);
    gofmt_quoted(&out, s);
    struct str text = arena_str(g->a, buf_str(&out));
    buf_release(&out);
    return text;
}

/* Depth is bounded by the parser's limit, or by that of values. */
static void put_value(struct gql *g, struct buf *out, const struct gql_value *v)
{
    bool list = v->kind == GQL_LIST;
    switch ((enum gql_kind)v->kind) {
    case GQL_VARIABLE:
        buf_putc(out, '$');
        buf_puts(out, v->raw);
        return;
    case GQL_STRING:
    case GQL_BLOCK:
        buf_puts(out, gql_quoted(g, v->raw));
        return;
    case GQL_LIST:
    case GQL_OBJECT:
        buf_putc(out, list ? '[' : '{');
        for (size_t i = 0; i < v->children.n; i++) {
            const struct gql_child *c = v->children.v[i];
            buf_puts(out, i > 0 ? S(",") : STR_EMPTY);
            buf_puts(out, list ? STR_EMPTY : c->name);
            buf_puts(out, list ? STR_EMPTY : S(":"));
            put_value(g, out, c->value);
        }
        buf_putc(out, list ? ']' : '}');
        return;
    default:
        buf_puts(out, v->raw);
    }
}

struct str gql_value_text(struct gql *g, const struct gql_value *v)
{
    struct buf out;
    buf_init(&out, GQL_ERRORS_MAX);
    put_value(g, &out, v);
    struct str s = arena_str(g->a, buf_str(&out));
    buf_release(&out);
    return s;
}
