/* Queries: compiled like a rule's body, against a policy that is already there. */
#include "authz/rego/query.h"

#include "authz/rego/types/check.h"

#include <stdlib.h>

static void query_imports(struct compiler *c, const struct rego_query_options *o)
{
    map_init(&c->query_globals);
    struct rego_errors ignored = {.a = c->a};
    for (size_t i = 0; i < o->n_imports; i++) {
        struct str text = arena_printf(c->a, "package query\nimport %.*s", STR_FMT(o->imports[i]));
        struct parse_options po = {.version = o->version};
        struct module *m;
        if (!rego_parse_module(c->a, STR_EMPTY, text, &po, &ignored, &m) || m->n_imports != 1) {
            continue;
        }
        const struct term *path = m->imports[0]->path, *last = path->list.v[path->list.n - 1];
        struct global *g = arena_new(c->a, struct global);
        g->ref = m->imports[0]->path;
        struct str name = m->imports[0]->alias;
        map_set(&c->query_globals,
                name.n > 0            ? name
                : last->type == T_VAR ? last->var.name
                                      : last->str,
                g);
    }
}

/* Names of rules in the query's package. */
static void query_package(struct compiler *c, struct str package)
{
    struct rego_errors ignored = {.a = c->a};
    struct parse_options po = {.version = REGO_V1};
    struct body *b;
    if (package.n == 0 || !rego_parse_query(c->a, package, &po, &ignored, &b) ||
        b->v[0]->term->type != T_REF) {
        return;
    }
    struct term *path = b->v[0]->term;
    struct node *n = c->p->root;
    for (size_t i = 1; n != NULL && i < path->list.n; i++) {
        struct val k = term_const(c->a, path->list.v[i]);
        n = val_undef(k) ? NULL : node_child(n, k);
    }
    for (size_t i = 0; n != NULL && i < n->n_children; i++) {
        if (!val_is(n->children[i]->key, V_STRING)) {
            continue;
        }
        struct global *g = arena_new(c->a, struct global);
        g->ref = term_copy(c->a, path);
        term_push(c->a, g->ref, term_string(c->a, val_text(n->children[i]->key), path->loc));
        map_set(&c->query_globals, val_text(n->children[i]->key), g);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct local *const *x = a, *const *y = b;
    return str_cmp((*x)->name, (*y)->name);
}

static void collect_vars(struct compiler *c, struct rego_query *q)
{
    q->vars = arena_array(c->a, struct local *, c->n_locals + 1);
    for (struct local *l = c->locals; l != NULL; l = l->next) {
        bool hidden = l->wildcard || l->name.p[0] == '$' || !l->top;
        if (!hidden) {
            q->vars[q->n_vars++] = l;
        }
    }
    qsort(q->vars, q->n_vars, sizeof *q->vars, by_name);
}

bool query_parse(struct compiler *c, struct str text, const struct rego_query_options *o,
                 struct body **out)
{
    struct parse_options po = {.version = o->version, .query_keywords_v2 = o->v2_keywords};
    if (!rego_parse_query(c->a, text, &po, c->errors, out)) {
        return false;
    }
    query_imports(c, o);
    query_package(c, o->package);
    return true;
}

/* The stages of a query; each ends the work when it has errors. */
static bool query_stages(struct compiler *c, struct body *b)
{
    check_root_names_of_query(c, b);
    resolve_query(c, b);
    if (c->errors->n == c->errors_before) {
        check_calls_of_query(c, b);
    }
    if (c->errors->n == c->errors_before) {
        check_withs_of_body(c, b);
    }
    if (c->errors->n == c->errors_before) {
        check_functions_of_body(c, b);
    }
    if (c->errors->n > c->errors_before) {
        return false;
    }
    struct varset safe = varset_new(c);
    if (!order_body(c, b, &safe)) {
        order_report(c);
        return false;
    }
    types_check_query(c, b);
    if (c->errors->n == c->errors_before) {
        check_deprecated_in_query(c, b);
    }
    return c->errors->n == c->errors_before;
}

bool query_resolve(struct compiler *c, struct body *b)
{
    c->errors_before = c->errors->n;
    arena_init(&c->scratch, QUERY_MEMORY_MAX);
    bool ok = query_stages(c, b);
    arena_release(&c->scratch);
    if (ok) {
        mark_top_locals(b);
    }
    return ok;
}

bool rego_prepare(const struct rego_policy *p, struct str text, const struct rego_query_options *o,
                  struct rego_errors *errors, struct rego_query **out)
{
    static const struct rego_query_options defaults = {.version = REGO_V1};
    o = o != NULL ? o : &defaults;
    struct rego_query *q = calloc(1, sizeof *q);
    BUG_ON(q == NULL);
    arena_init(&q->a, QUERY_MEMORY_MAX);
    q->policy = p;
    struct compiler c = {.a = &q->a,
                         .p = (struct rego_policy *)(uintptr_t)p,
                         .errors = errors,
                         .query = true,
                         .strict = o->strict,
                         .version = o->version,
                         .max_errors = REGO_ERRORS_MAX};
    size_t before = errors->n;
    struct body *b;
    c.unsafe_builtins = o->unsafe_builtins;
    map_init(&c.query_globals);
    q->text = arena_str(c.a, text);
    if (query_parse(&c, q->text, o, &b)) {
        q->exprs = arena_array(c.a, struct loc, b->n + 1);
        q->n_exprs = b->n;
        for (size_t i = 0; i < b->n; i++) {
            q->exprs[i] = b->v[i]->loc;
        }
        c.captured = o->capture ? b : NULL;
        if (query_resolve(&c, b)) {
            collect_vars(&c, q);
            q->n_exprs = b->n;
            q->code = emit_query(&c, b, q->vars, q->n_vars, o->capture);
        }
    }
    map_release(&c.query_globals);
    q->asks = c.asks || p->asks;
    if (errors->n > before || q->code == NULL) {
        rego_query_free(q);
        return false;
    }
    *out = q;
    return true;
}

void rego_query_free(struct rego_query *q)
{
    if (q != NULL) {
        arena_release(&q->a);
        free(q);
    }
}

bool rego_query_asks(const struct rego_query *q)
{
    return q->asks;
}

size_t rego_query_exprs(const struct rego_query *q)
{
    return q->n_exprs;
}

struct str rego_query_expr_text(const struct rego_query *q, size_t i, struct loc *loc)
{
    *loc = q->exprs[i];
    return str_sub(q->text, loc->off, loc->end);
}

size_t rego_query_vars(const struct rego_query *q)
{
    return q->n_vars;
}

struct str rego_query_var(const struct rego_query *q, size_t i)
{
    return q->vars[i]->name;
}

static void mark_term(struct term *t)
{
    if (t->type == T_VAR) {
        if (t->var.local != NULL) {
            t->var.local->top = true;
        }
        return;
    }
    if (t->type == T_REF || t->type == T_CALL || t->type == T_ARRAY || t->type == T_SET ||
        t->type == T_OBJECT) {
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            mark_term(t->list.v[i]);
        }
    }
}

/* Only variables outside of closures are results of a query. */
void mark_top_locals(struct body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->v[i]->kind == E_TERM) {
            mark_term(b->v[i]->term);
        } else if (b->v[i]->kind == E_EVERY) {
            mark_term(b->v[i]->every.domain);
        }
    }
}
